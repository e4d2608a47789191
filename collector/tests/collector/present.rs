//! What people and scripts see: the router behind each door, and the real program.

mod access;
mod amendments;
mod api;
mod backtest;
mod bench;
mod channels;
mod checks;
mod definitions;
mod heartbeats;
mod incidents;
mod latency;
mod objects;
mod oncall;
mod pages;
mod policies;
mod program;
mod results;
mod routes;
mod slo;
mod vitals;
