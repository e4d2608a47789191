//! The collector: receives and keeps every result, computes verdicts and the SLA, serves the console and the API.
//!
//! Reading order, along the flow: [`store`] is the disk; [`engine`] the one owner of all durable state, with [`ingest`], [`enrol`],
//! [`secret`], [`heartbeat`] and the operations of [`app`] as its verbs; [`writer`] the thread it lives on; [`book`] the aggregate in memory that everybody
//! reads; [`vitals`] the figures of pages over time; [`receive`] one agent's session as a machine without IO, [`listener`] its shell, [`run_now`] the
//! way to ask an agent something at once; [`app`] the door for everything else.
//!
//! Architecture invariant: nothing is acknowledged that is not committed with `synchronous=FULL`, and the book shows committed
//! facts alone. Nothing calls the presentation half; it reads the book and calls [`app::App`].

pub mod store;

pub mod engine;
pub mod enrol;
pub mod heartbeat;
pub mod ingest;
pub mod secret;
pub mod writer;

pub mod book;
pub mod maintenance;
pub mod vitals;

pub mod listener;
pub mod receive;
pub mod run_now;

pub mod app;

pub mod checkfile;
pub mod present;

pub mod serve;

pub mod cli;
