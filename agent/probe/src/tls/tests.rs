//! Handshakes with real servers on the loopback.
