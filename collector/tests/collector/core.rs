//! The core half: store, ingest, enrolment, sessions, the listener.

mod apply;
mod enrol;
mod heartbeats;
mod ingest;
mod latency;
mod listener;
mod migration;
mod seal;
mod secrets;
mod session;
mod world;
