//! How long after a verdict was committed an open console shows it: the page of a check in Chromium, while the results of all others come in.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use sitepulse_collector::app::{App, ApplyOptions};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::ingest::IngestJob;
use sitepulse_daemon::clock;
use sitepulse_model::id::{AgentName, AgentNo, Bucket, CheckId, CheckNo, Incarnation, Revision, Seq};
use sitepulse_model::record::{Cause, Phase, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::{SECOND_US, UtcMicros};
use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::usage;
use sitepulse_wire::message::{Batch, Entry};
use tokio::runtime::Handle;

use crate::fill::result;
use crate::verdict;

/// How often it goes down and up again.
const TURNS: usize = 10;
/// A change is shown in so long: the goal.
const SHOWN_MS: f64 = 1000.0;
/// A check of one agent's whose every result is a verdict.
const ID: &str = "seen-live";
const INTERVAL_US: u64 = SECOND_US as u64;

/// Who tells of the check.
struct Teller {
    app: App,
    runtime: Handle,
    check: (CheckNo, Bucket),
    agent: AgentNo,
    lattice: Lattice,
    told: u64,
    last: UtcMicros,
}

impl Teller {
    fn new(app: &App, runtime: Handle, name: &AgentName) -> Self {
        let region = app.book().agent_by_name(name).expect("it is enrolled").region.clone();
        let text = format!(
            "[[check]]\nid = \"{ID}\"\nkind = \"http\"\nurl = \"https://live.example/\"\ninterval = \"1s\"\nconfirmations = 1\nregions = [\"{region}\"]\n"
        );
        let written = checkfile::parse(&[Source { name: "live.toml".into(), text }]).expect("it is valid");
        let options = ApplyOptions { prune: false, dry_run: false, author: "collector:bench".to_owned() };
        runtime.block_on(app.apply(written, options, clock::now())).expect("it is applied");
        let id = CheckId::parse(ID).expect("a slug");
        let (check, agent) = {
            let book = app.book();
            let check = book.check_by_id(&id).expect("it was applied");
            ((check.number, check.bucket()), book.agent_by_name(name).expect("it is enrolled").number)
        };
        let (lattice, last) = (Lattice::new(&id, name, INTERVAL_US), clock::now());
        Self { app: app.clone(), runtime, check, agent, lattice, told: 0, last }
    }

    /// Tells a state at the next slot; when it was committed.
    fn tell(&mut self, state: ProbeState) -> UtcMicros {
        let slot = self.lattice.after(self.last.max(clock::now()));
        self.last = slot;
        // At ever another part of the second: consoles look at steady times.
        let at = slot.plus_us(self.told as i64 * 137_000 % 900_000);
        std::thread::sleep(Duration::from_micros(u64::try_from(at.us_since(clock::now())).unwrap_or(0)));
        let down = state == ProbeState::Down;
        let record = Record::Result(ProbeResult {
            revision: Revision(1),
            started: slot,
            state,
            cause: down.then_some(Cause::ConnectionRefused),
            failed_phase: down.then_some(Phase::Connect),
            detail: if down { "connection refused".to_owned() } else { String::new() },
            ..result(self.check.0, 0, slot)
        });
        let entries = vec![Entry { bucket: self.check.1, seq: Seq(self.told), provenance: 0, record }];
        self.told += 1;
        let provenances =
            vec![Provenance { build: "bench".to_owned(), clock_offset_us: Some(12), clock_uncertainty_us: 150 }];
        // Beside what the agent sends of all other checks.
        let batch = Batch { number: self.told, incarnation: Incarnation(3), provenances, entries };
        let job = IngestJob { agent: self.agent, received_at: clock::now(), batch };
        let (done, committed) = mpsc::channel();
        let reply = move |outcome: Option<sitepulse_collector::ingest::IngestOutcome>| {
            done.send((clock::now(), outcome.map(|outcome| outcome.stored))).expect("the benchmark waits");
        };
        self.runtime.block_on(self.app.writer().ingest(job, reply)).expect("the writer lives");
        let (at, stored) = committed.recv().expect("the writer answers");
        assert_eq!(stored, Some(1), "the result makes sense");
        at
    }
}

/// Has the page note when it says a word.
fn watch(word: &str) -> String {
    format!(
        "(() => {{
            window.shown = 0;
            const seen = new MutationObserver(() => {{
                if (document.querySelector('.check-head .pill')?.innerText !== '{word}') return;
                window.shown = Date.now();
                seen.disconnect();
            }});
            seen.observe(document.getElementById('main'), {{ childList: true, subtree: true, characterData: true }});
        }})()"
    )
}

/// Opens the check's page at a console that lets a browser in, and has its verdict change again and again.
pub(crate) fn measure(app: &App, runtime: Handle, name: &AgentName, console: SocketAddr) {
    let mut teller = Teller::new(app, runtime, name);
    teller.tell(ProbeState::Up);
    let mut browser = Chromium::start(1280, 900);
    browser.open(&format!("http://{console}/checks/{ID}"));
    browser.wait_for("!document.getElementById('pulse').hidden", 60);
    let mut took = Vec::new();
    for (state, word) in [(ProbeState::Down, "down"), (ProbeState::Up, "up")].repeat(TURNS) {
        browser.eval(&watch(word));
        let committed = teller.tell(state);
        let shown = browser.wait_for("window.shown", 30).as_f64().expect("a time");
        took.push(shown - committed.0 as f64 / 1e3);
    }
    let median = usage::median(&mut took);
    let worst = took.last().copied().unwrap_or_default();
    println!(
        "\na verdict on an open page in Chromium, {} changes: median {median:.0} ms after its commit, worst {worst:.0} ms (goal: {SHOWN_MS:.0}): {}",
        took.len(),
        verdict(worst <= SHOWN_MS)
    );
}
