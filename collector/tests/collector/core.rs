//! The core half: store, ingest, enrolment, sessions, the listener.

mod amend;
mod apply;
mod enrol;
mod heartbeats;
mod ingest;
mod listener;
mod secrets;
mod session;
mod world;
