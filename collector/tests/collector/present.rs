//! What people and scripts see: the router behind each door, and the real program.

mod access;
mod bench;
mod checks;
mod heartbeats;
mod objects;
mod pages;
mod program;
mod routes;
mod vitals;
