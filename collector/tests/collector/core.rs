//! The core half: store, ingest, enrolment, sessions, the listener.

mod apply;
mod enrol;
mod ingest;
mod listener;
mod session;
mod world;
