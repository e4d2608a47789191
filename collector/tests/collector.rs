//! The collector's integration tests, in one binary.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "tests")]

/// In `tests/collector/`.
mod collector {
    mod core;
    mod present;
}
