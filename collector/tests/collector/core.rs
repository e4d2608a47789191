//! The core half: store, ingest, enrolment, sessions, the listener.

mod alert;
mod amend;
mod apply;
mod backtest;
mod enrol;
mod exchange;
mod groups;
mod heartbeats;
mod incidents;
mod ingest;
mod jobs;
mod latency;
mod listener;
mod migration;
mod notices;
mod objects;
mod oncall;
mod outbox;
mod pagers;
mod seal;
mod secrets;
mod session;
mod signals;
mod snapshot;
mod watch;
mod windows;
pub(super) mod world;
