//! What people and scripts see: the router behind each door, and the real program.

mod access;
mod bench;
mod checks;
mod heartbeats;
mod latency;
mod pages;
mod program;
mod results;
mod routes;
mod vitals;
