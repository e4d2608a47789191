//! Names to addresses.

/// The agent's resolver. One for all probes.
#[derive(Debug, Default)]
pub struct Resolver {}
