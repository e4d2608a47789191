//! The SitePulse agent: runs checks on schedule, keeps every result in a local spool, ships them to the collector.
//!
//! Data flows one way: [`engine`] (the schedule) -> [`sitepulse_probe`] -> [`spool`] -> [`ship`]; acknowledgements are the only way back.
//! [`state`] holds who the agent is and what it runs, [`secrets`] what its checks must not show, [`control`] answers the command line, [`cli`] is it,
//! [`host`] tells how busy the machine is.
//!
//! Architecture invariant: no probe waits for the collector or for the disk.

pub mod secrets;
pub mod state;
pub mod summary;

pub mod engine;
pub mod spool;

pub mod host;
pub mod ship;

pub mod control;

pub mod cli;
pub mod config;
pub mod join;
pub mod pager;
pub mod runner;
