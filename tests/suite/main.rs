//! End-to-end tests of the real binaries, and the simulator's runs. Everything talks to loopback and ends what it starts.

mod agent_cli;
mod backup;
mod bad_input;
mod console;
mod edges;
mod kill;
mod kinds;
mod main_job;
mod network;
mod outage;
mod quickstart;
mod scale;
mod simulation;
mod sums;
mod vitals;
