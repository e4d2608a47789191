//! IO that the agent and the collector share.
//!
//! Reading order: [`clock`] is the one place that reads time, [`task`] the one place that starts tasks, [`exit`] says how a program
//! ends. [`instant`] is time as people write it; [`address`] says which addresses may be dialled; [`config`], [`files`], [`lock`] and [`logging`] are what a
//! daemon needs on its machine; [`notify`] and [`shutdown`] tie it to its service manager. [`identity`] is the collector's own
//! certificate authority, [`transport`] carries frames over QUIC between the two programs.
//!
//! Architecture invariant: nothing here knows what a check or a verdict means.

pub mod clock;
pub mod task;

pub mod exit;

pub mod instant;

pub mod address;

pub mod config;
pub mod files;
pub mod lock;
pub mod logging;
pub mod notify;
pub mod shutdown;

pub mod identity;
pub mod seal;
pub mod transport;
