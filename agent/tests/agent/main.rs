//! The agent's program against a collector played by the test: joining, running, being killed, and its command line.

#![allow(clippy::unwrap_used, reason = "a test's helpers panic like the test")]

mod asked;
mod confidential;
mod joining;
mod kept;
mod memory;
mod played;
mod pressed;
