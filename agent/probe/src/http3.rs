//! HTTP/3 over QUIC.

/// The UDP sockets that QUIC connections are dialled from, one of each family.
#[derive(Debug, Default)]
pub struct Endpoints {}
