//! End-to-end tests of the real binaries, and the simulator's runs. Everything talks to loopback and ends what it starts.

mod agent_cli;
mod alerting_console;
mod backup;
mod bad_input;
mod browser_end;
mod console;
mod console_checks;
mod console_windows;
mod delivery;
mod edges;
mod findings;
mod impact;
mod incidents;
mod job_pages;
mod jobs;
mod kill;
mod kinds;
mod main_job;
mod network;
mod outage;
mod playbooks;
mod proxy;
mod quickstart;
mod scale;
mod sealing;
mod simulation;
mod status_mail;
mod sums;
mod vitals;
mod without_scripts;

/// For tests that take root, where it is missing: fails, unless somebody said that this will do.
fn no_root(reason: &str) {
    assert!(
        std::env::var("SITEPULSE_SKIP_ROOT").is_ok_and(|skip| skip == "1"),
        "{reason}; run it as root or by tests/run, or leave it out with SITEPULSE_SKIP_ROOT=1"
    );
    println!("skipped, as SITEPULSE_SKIP_ROOT=1 says: {reason}");
}
