//! What a figure costs: `sla`, `sla-all`, `explain`, `growth`, `year`.

use std::path::Path;

use sitepulse_collector::book::Filter;
use sitepulse_collector::present::view::Snapshot;
use sitepulse_model::id::CheckNo;
use sitepulse_model::series::Series;
use sitepulse_model::sla::Account;
use sitepulse_model::time::Span;
use sitepulse_tests::usage;
use sitepulse_tests::victoria::Victoria;

use crate::bare::Bare;
use crate::kuma::Kuma;
use crate::lines;
use crate::ours::{Feed, Ours, wall_us};
use crate::synthetic::{Ledger, Size};
use crate::{SEED, ledger, setting, verdict};

/// More than any explanation here tells.
const ROOM: usize = 1_000_000;
/// How often a question about one check is asked: the median counts.
const ASKED: usize = 21;
/// How often a question about all is.
const ASKED_ALL: usize = 7;

/// Thirty days of many checks, here and with the peers.
pub(crate) struct Month {
    ledger: Ledger,
    ours: Ours,
    kuma: Kuma,
    victoria: Option<Victoria>,
}

impl Month {
    pub(crate) fn new(below: &Path) -> Self {
        let size = Size {
            checks: setting("SITEPULSE_BENCH_CHECKS", 1000) as usize,
            agents: 1,
            interval_s: 300,
            days: setting("SITEPULSE_BENCH_DAYS", 30),
        };
        let ledger = ledger(SEED, size);
        println!("{} checks, 1 agent, every 300 s, {} days: {} slots", size.checks, size.days, size.slots());
        let mut ours = Ours::new(&ledger, below);
        let used = ours.fill(&mut Feed::new(&ledger), ledger.to());
        println!("  sitepulse       {:.2} us of CPU per result to fill", used as f64 / ours.stored as f64);
        let mut kuma = Kuma::new(below, size.checks);
        kuma.fill(&mut Feed::new(&ledger), ledger.to(), size.interval_s);
        let victoria = Victoria::start(below);
        if let Some(victoria) = &victoria {
            let (used, results) = lines::fill(victoria, &mut Feed::new(&ledger), ledger.to());
            println!("  VictoriaMetrics {:.2} us of CPU per result to fill", used as f64 / results as f64);
            victoria.settle();
        }
        Self { ledger, ours, kuma, victoria }
    }

    /// The figures of one check.
    pub(crate) fn sla(&self) {
        let (period, book) = (self.ledger.month(), self.ours.book());
        let mut checks = self.ours.checks.iter().cycle();
        let mut next = || book.account(*checks.next().expect("some"), &Filter::All, period);
        let our = wall_us(ASKED, || (0..100).map(|_| next()).last()) / 100.0;
        println!("ours                    {our:>10.1} us; goal <= 200 us: {}", verdict(our <= 200.0));
        let mut monitors = (0..self.ledger.size.checks).cycle();
        let kuma = wall_us(ASKED, || self.kuma.one(monitors.next().expect("some"), period));
        println!("heartbeats in SQLite    {kuma:>10.1} us; ours is 1/{:.0}", kuma / our);
        if let Some(victoria) = &self.victoria {
            let mut checks = (0..self.ledger.size.checks).cycle();
            let mut question =
                || format!("avg_over_time(probe_up{{check=\"check-{}\"}}[30d])", checks.next().expect("some"));
            let theirs = wall_us(ASKED, || victoria.query(&question(), period.to.0 / 1_000_000));
            println!("VictoriaMetrics         {theirs:>10.1} us (over HTTP); ours is 1/{:.0}", theirs / our);
        }
    }

    /// The figures of all checks.
    pub(crate) fn all(&self) {
        let (period, book) = (self.ledger.month(), self.ours.book());
        let account = |check| book.account(check, &Filter::All, period).expect("it is known");
        let ours = || self.ours.checks.iter().map(|check| account(*check)).collect::<Vec<Account>>();
        let our = wall_us(ASKED_ALL, ours) / 1000.0;
        println!("ours                    {our:>10.2} ms; goal <= 20 ms: {}", verdict(our <= 20.0));
        let kuma = wall_us(3, || self.kuma.all(period)) / 1000.0;
        println!("heartbeats in SQLite    {kuma:>10.2} ms; ours is 1/{:.0}", kuma / our);
        if let Some(victoria) = &self.victoria {
            let ask = || victoria.query("avg_over_time(probe_up[30d])", period.to.0 / 1_000_000);
            assert_eq!(ask().as_array().map(Vec::len), Some(self.ledger.size.checks), "not all checks are there");
            let theirs = wall_us(ASKED_ALL, ask) / 1000.0;
            let ratio = theirs / our;
            println!(
                "VictoriaMetrics         {theirs:>10.2} ms (over HTTP); ours is 1/{ratio:.1}, goal 1/5: {}",
                verdict(ratio >= 5.0)
            );
        }
        self.agree(&ours(), period);
        // Five agents on each check, with the model alone: 43 million results are not worth being taken in one by one.
        let size = Size { agents: 5, ..self.ledger.size };
        let many = Bare::new(&ledger(SEED, size));
        let five = wall_us(ASKED_ALL, || (0..size.checks).map(|check| many.account(check, period)).collect::<Vec<_>>())
            / 1000.0;
        println!("ours, 5 agents each     {five:>10.2} ms ({} slots; the model alone, made run by run)", size.slots());
    }

    /// What the peers answer must be about the same thing: a benchmark of another question would be none.
    fn agree(&self, ours: &[Account], period: Span) {
        let mean = |figures: &[f64]| figures.iter().sum::<f64>() / figures.len() as f64;
        let ours = mean(&ours.iter().filter_map(Account::availability).collect::<Vec<_>>());
        let kuma = mean(&self.kuma.all(period));
        println!("mean availability: ours {ours:.5} (confirmed outages alone), by heartbeats {kuma:.5} (blips too)");
        assert!((ours - kuma).abs() < 0.01, "the peers were not given the same history");
    }

    /// The intervals behind a figure.
    pub(crate) fn explain(&self) {
        let (period, book) = (self.ledger.month(), self.ours.book());
        let explain = |check| book.explain(check, &Filter::All, period, ROOM).expect("there is room").len();
        let mut checks = self.ours.checks.iter().cycle();
        let our = wall_us(ASKED, || explain(*checks.next().expect("some"))) / 1000.0;
        let intervals = explain(self.ours.checks[0]);
        println!(
            "ours, 1 agent           {our:>10.3} ms, about {intervals} intervals; goal <= 30 ms: {}",
            verdict(our <= 30.0)
        );
        let many =
            Bare::new(&ledger(SEED, Size { agents: 5, checks: 50.min(self.ledger.size.checks), ..self.ledger.size }));
        let mut checks = (0..many.series.len()).cycle();
        let five = wall_us(ASKED, || many.explain(checks.next().expect("some"), period)) / 1000.0;
        let intervals = many.explain(0, period).len();
        println!(
            "ours, 5 agents          {five:>10.3} ms, about {intervals} intervals; goal <= 30 ms: {}",
            verdict(five <= 30.0)
        );
    }
}

/// Whether a figure costs more where a check runs more often.
pub(crate) fn frequency(below: &Path) {
    let checks = setting("SITEPULSE_BENCH_CHECKS", 1000).div_ceil(100) as usize;
    let took = [300, 60].map(|interval_s| {
        let size = Size { checks, agents: 5, interval_s, days: setting("SITEPULSE_BENCH_DAYS", 30) };
        let ledger = ledger(SEED, size);
        let mut ours = Ours::new(&ledger, below);
        ours.fill(&mut Feed::new(&ledger), ledger.to());
        let (period, book) = (ledger.month(), ours.book());
        let all = || ours.checks.iter().filter_map(|check| book.account(*check, &Filter::All, period)).count();
        let took = wall_us(ASKED, all) / checks as f64;
        let runs: usize = ours
            .checks
            .iter()
            .flat_map(|check| book.check(*check))
            .flat_map(|check| check.pairs.values())
            .map(|pair| pair.series.run_count())
            .sum();
        println!(
            "5 agents, every {interval_s:>3} s   {took:>10.1} us for {} slots, {} runs a check",
            size.slots() / checks as u64,
            runs / checks
        );
        took
    });
    println!("five times the results cost {:.2} times", took[1] / took[0]);
}

/// The same questions about thirty days with ten times the history behind them.
pub(crate) fn growth(below: &Path) {
    let checks = setting("SITEPULSE_BENCH_CHECKS", 1000).div_ceil(10) as usize;
    let days = setting("SITEPULSE_BENCH_DAYS", 30);
    let [short, long] = [1, 10].map(|times| {
        let size = Size { checks, agents: 1, interval_s: 300, days: days * times };
        let ledger = ledger(SEED, size);
        let mut ours = Ours::new(&ledger, below);
        let mut feed = Feed::new(&ledger);
        ours.fill(&mut feed, ledger.from.plus_us((size.days * 9 / 10) as i64 * crate::synthetic::DAY));
        let before = ours.stored;
        let ingest = ours.fill(&mut feed, ledger.to()) as f64 / (ours.stored - before).max(1) as f64;
        let (period, book) = (ledger.month(), ours.book());
        let accounts = || ours.checks.iter().filter_map(|check| book.account(*check, &Filter::All, period)).count();
        let explained =
            || ours.checks.iter().filter_map(|check| book.explain(*check, &Filter::All, period, ROOM)).count();
        [
            ("ingest, us of CPU per result", ingest),
            ("sla of a check, us", wall_us(ASKED, accounts) / checks as f64),
            ("explain a check, us", wall_us(ASKED, explained) / checks as f64),
            (
                "verdict now of a check, us",
                wall_us(ASKED, || ours.checks.iter().filter_map(|check| book.verdict_now(*check, ledger.to())).count())
                    / checks as f64,
            ),
            ("conservation of all, us", wall_us(ASKED_ALL, || book.conservation(ledger.to()))),
        ]
    });
    for ((what, short), (_, long)) in short.iter().zip(&long) {
        println!(
            "{what:<30} {short:>10.2} -> {long:>10.2}: {:.2} times (goal <= 1.5: {})",
            long / short,
            verdict(long / short <= 1.5)
        );
    }
}

/// A year of minutes from five agents. Half a billion results are not worth being taken in one by one: the file is made as it is when they have
/// been sealed and the raw ones are gone, and the collector is started over it.
pub(crate) fn year(below: &Path) {
    let size = Size {
        checks: setting("SITEPULSE_BENCH_CHECKS", 1000).div_ceil(5) as usize,
        agents: 5,
        interval_s: 60,
        days: setting("SITEPULSE_BENCH_DAYS", 30) * 365 / 30,
    };
    let ledger = ledger(SEED, size);
    let before = usage::rss_kib(std::process::id());
    let (mut ours, started) = Ours::new(&ledger, below).imprint(&ledger);
    let memory = usage::rss_kib(std::process::id()) - before;
    let disk = ours.packed_bytes();
    let book = ours.book();
    let series = || book.checks().flat_map(|check| check.pairs.values()).map(|pair| &pair.series);
    let runs: usize = series().map(Series::run_count).sum();
    let pairs = series().count();
    println!(
        "{} checks, 5 agents, every 60 s, {} days: {} slots in {runs} runs, {:.0} runs a pair",
        size.checks,
        size.days,
        size.slots(),
        runs as f64 / pairs as f64
    );
    println!(
        "a start takes {:.0} ms; the book {:.1} KiB a pair of its own reckoning, the process grew by {:.1} KiB a pair; the file has {:.1} KiB a pair",
        started as f64 / 1000.0,
        series().map(Series::memory_bytes).sum::<usize>() as f64 / 1024.0 / pairs as f64,
        memory as f64 / pairs as f64,
        disk as f64 / 1024.0 / pairs as f64
    );
    for (what, period) in [("30 days", ledger.month()), ("the year", Span::new(ledger.from, ledger.to()))] {
        let account = |check: &CheckNo| book.account(*check, &Filter::All, period);
        let all = wall_us(ASKED_ALL, || ours.checks.iter().filter_map(account).count()) / 1000.0;
        let explain = |check: &CheckNo| book.explain(*check, &Filter::All, period, ROOM).map(|told| told.len());
        let explained = wall_us(3, || ours.checks.iter().filter_map(explain).count()) / 1000.0;
        let each = |all: f64| all * 1000.0 / size.checks as f64;
        println!(
            "{what:<10} sla of a check {:>8.1} us, of all {all:>8.2} ms; explain a check {:>8.3} ms",
            each(all),
            each(explained) / 1000.0
        );
    }
    let now = ledger.to();
    println!("conservation of all pairs {:>10.2} ms", wall_us(ASKED_ALL, || book.conservation(ledger.to())) / 1000.0);
    println!("what the console shows    {:>10.2} ms", wall_us(ASKED_ALL, || Snapshot::take(&book, now)) / 1000.0);
}
