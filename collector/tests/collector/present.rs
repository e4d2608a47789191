//! What people and scripts see: the router behind each door, and the real program.

mod access;
mod amendments;
mod backtest;
mod bench;
mod channels;
mod checks;
mod console;
mod heartbeats;
mod impact;
mod incidents;
mod kpi;
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
