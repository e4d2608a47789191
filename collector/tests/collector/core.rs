//! The core half: store, ingest, enrolment, sessions, the listener.

mod apply;
mod enrol;
mod groups;
mod heartbeats;
mod ingest;
mod listener;
mod objects;
mod secrets;
mod session;
mod windows;
mod world;
