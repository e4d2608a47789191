//! What the end-to-end tests and the simulator stand on.
//!
//! [`site`] is a web site that can be told to fail, [`servers`] are real servers of every kind, [`provider`] takes the collector's messages, [`mailbox`] its mails; [`cluster`] runs
//! the real binaries against it and kills them for real, [`descent`] tells what became of their children; [`oracle`] reads the collector's store afterwards and says whether anything was lost, doubled or
//! invented; [`incidents`] reads what it would page for.

pub mod chromium;
pub mod cluster;
pub mod descent;
pub mod incidents;
pub mod mailbox;
pub mod oracle;
pub mod process;
pub mod provider;
pub mod servers;
pub mod sim;
pub mod site;
pub mod usage;
pub mod victoria;
pub mod wait;
