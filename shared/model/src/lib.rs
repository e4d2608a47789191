//! The pure domain of SitePulse.
//!
//! Nothing in this crate does IO, reads a clock, draws a random number or depends on the order of a hash map: `no_std` plus
//! `alloc` lets the compiler hold that line. Every function is handed `now` and data, and returns data.
//!
//! Reading order: [`id`], [`time`] and [`duration`] name things; [`check`] says what to probe ([`quorum`], [`expect`]); [`record`] is what an
//! agent reports; [`series`] keeps it, [`timeline`] turns it into time, [`vote`] into verdicts, [`sla`] into figures, and [`explain`] says why;
//! [`amendment`] says what records that came late changed of them; [`accounting`] counts them as a contract says ([`service_hours`]: and when;
//! [`terms`]: by which version), [`slo`] holds them against a promise, [`maintenance`] takes planned work out; [`backtest`] replays the evidence
//! under another policy;
//! [`vitals`] is what a browser measures, [`sketch`] keeps many values in little space; [`control`] holds the effective-dated histories of weights
//! and suspensions; [`impact`] makes one number of it all: what to look at first; [`insight`] finds what no single result says; [`schedule`] says when a check runs; [`present`] is what is so now, as pages see it; [`incident`] is the life of a bad verdict,
//! [`escalation`] says whom to tell of it, [`notice`] what, [`channel`] by which way, [`delivery`] when again; [`user`] and [`oncall`] lead from a target to
//! people, by the time on the wall ([`wall`]); [`pager`] is when an agent pages by itself; [`job`] is the life of work that is done beside all that.
#![no_std]

extern crate alloc;

pub mod duration;
pub mod id;
pub mod time;

pub mod check;
pub mod expect;
pub mod quorum;

pub mod record;
pub mod vitals;

pub mod coded;
pub mod control;
pub mod series;
pub mod timeline;
pub mod unknown;
pub mod vote;

pub mod accounting;
pub mod amendment;
pub mod backtest;
pub mod explain;
pub mod impact;
pub mod insight;
pub mod maintenance;
pub mod present;
pub mod service_hours;
pub mod sketch;
pub mod sla;
pub mod slo;
pub mod status_page;
pub mod terms;

pub mod channel;
pub mod delivery;
pub mod escalation;
pub mod incident;
pub mod notice;
pub mod pager;
pub mod playbook;

pub mod oncall;
pub mod user;
pub mod wall;

pub mod backoff;
pub mod job;
pub mod schedule;
