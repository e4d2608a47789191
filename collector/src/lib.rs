//! The collector: receives and keeps every result, computes verdicts and the SLA, serves the console and the API.
//!
//! Reading order, along the flow: [`store`] is the disk; [`engine`] the one owner of all durable state, with [`ingest`], [`enrol`], [`mod@seal`],
//! [`secret`], [`heartbeat`] and the operations of [`app`] as its verbs; [`writer`] the thread it lives on; [`book`] the aggregate in memory that everybody
//! reads; [`vitals`] the figures of pages over time; [`policy`] which accounting policy counts when ([`service_hours`]: on which hours), [`slo`] what was
//! promised, [`sla_report`] figures that somebody was told; [`receive`] one agent's session as a machine without IO, [`listener`] its shell,
//! [`run_now`] the way to ask an agent something at once; [`jobs`] the queue of work that is done beside answering; [`access`] who may do what, and the log of who did; [`oncall`] whom a target leads to; [`app`] the door for everything else.
//!
//! Architecture invariant: nothing is acknowledged that is not committed with `synchronous=FULL`, and the book shows committed
//! facts alone. Nothing calls the presentation half; it reads the book and calls [`app::App`].

pub mod store;

pub mod failpoint;

pub mod access;
pub mod alert;
pub mod amend;
pub mod engine;
pub mod enrol;
pub mod exchange;
pub mod heartbeat;
pub mod impact;
pub mod ingest;
pub mod insight;
pub mod jobs;
pub mod outbox;
pub mod playbook;
pub mod pulse;
pub mod seal;
pub mod secret;
pub mod watchdog;
pub mod writer;

pub mod book;
pub(crate) mod facts;
pub mod latency;
pub mod maintenance;
pub mod oncall;
pub mod policy;
pub mod service_hours;
pub mod sla_report;
pub mod vitals;

pub mod listener;
pub mod receive;
pub mod run_now;

pub mod app;
pub mod slo;
pub mod status;
pub mod subscribers;

pub mod oidc;

pub mod checkfile;
pub mod present;

pub mod serve;

pub mod cli;
