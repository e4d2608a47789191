//! `sitepulse-agent vitals URL`: measures a page once, here and now, as a `web_vitals` check would.
//!
//! It needs no agent and touches no state. As with `probe`, loopback and private addresses may be dialled unless a configuration file says what may.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use base64::Engine as _;
use clap::Args;
use sitepulse_daemon::clock;
use sitepulse_daemon::exit::{Exit, Fatal};
use sitepulse_model::check::{CheckKind, DurationUs, Interact, WebVitalsTarget};
use sitepulse_model::duration;
use sitepulse_model::record::{Cause, FactKey, ProbeResult};
use sitepulse_model::vitals::Spread;
use sitepulse_model::vitals::profile::ProfileChoice;
use sitepulse_probe::tools::{Progress, Tools};
use sitepulse_probe::{Probe, Run};

use super::probe::{self, source};
use crate::config::{Config, browser};
use crate::control::vitals::{self, VitalsView};
use crate::runner;

pub(super) const EXAMPLES: &str = "Examples:
  sitepulse-agent vitals https://shop.example/
  sitepulse-agent vitals https://shop.example/ --profile desktop --runs 5 --json | jq .lcp_ms
  sitepulse-agent vitals https://shop.example/ --consent '#accept' --interact '[{\"click\":\"#menu\"},{\"type\":[\"#search\",\"shoes\"]}]'
  sitepulse-agent vitals http://127.0.0.1:8080/ --no-throttling --runs 1 --screenshot failed.jpg

Figures are those of a laboratory: a program looked at the page, no visitor. A secret to type is written secret:NAME and taken from SITEPULSE_SECRET_NAME.
Exit codes as for `probe`: 0 up or degraded, 9 down, 10 unknown (no browser, or the host is too busy to measure).";

/// The command line of `vitals`.
#[derive(Debug, Args)]
pub(super) struct VitalsArgs {
    /// The page, as http:// or https://.
    url: String,
    /// The device: mobile or desktop.
    #[arg(long, value_name = "NAME", default_value = "mobile")]
    profile: String,
    /// Loads, 1 to 9; the median counts.
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: u8,
    /// What to do on the page once it is at rest, as in a check file, in JSON; gives INP.
    #[arg(long, value_name = "JSON")]
    interact: Option<String>,
    /// What to click to give the consent that a banner asks for.
    #[arg(long, value_name = "SELECTOR")]
    consent: Option<String>,
    /// The real processor and network instead of the device's.
    #[arg(long)]
    no_throttling: bool,
    /// How long nothing may happen before the page is at rest [default: 2s].
    #[arg(long, value_name = "DURATION")]
    settle: Option<String>,
    /// The deadline of each load [default: as of a check].
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// An assertion; may be repeated.
    #[arg(long, value_name = "ASSERTION")]
    expect: Vec<String>,
    /// Which browser: auto, headless-shell, chromium, or the path of a program [default: auto, or as the configuration says].
    #[arg(long, value_name = "FORM|PATH")]
    browser: Option<String>,
    /// What may be dialled and how the browser is run: this agent's configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Allow addresses: loopback, private, or a network as 10.0.0.0/8; may be repeated.
    #[arg(long, value_name = "ENTRY")]
    allow: Vec<String>,
    /// Accept any certificate.
    #[arg(long)]
    insecure: bool,
    /// Where to write a picture (JPEG) of a page that failed.
    #[arg(long, value_name = "FILE")]
    screenshot: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl VitalsArgs {
    fn target(&self) -> Result<WebVitalsTarget, String> {
        let interact = match &self.interact {
            Some(text) => serde_json::from_str::<Vec<Interact>>(text)
                .map_err(|error| format!("--interact: {error}; write it as '[{{\"click\":\"#menu\"}}]'"))?,
            None => Vec::new(),
        };
        let mut target = WebVitalsTarget {
            profile: ProfileChoice::Named(self.profile.clone()),
            runs: self.runs,
            interact,
            consent: self.consent.clone().map(Interact::Click),
            throttling: !self.no_throttling,
            insecure: self.insecure,
            ..WebVitalsTarget::page(&self.url)
        };
        if let Some(settle) = &self.settle {
            target.settle = DurationUs(duration::parse(settle).map_err(|error| format!("--settle: {error}"))?);
        }
        Ok(target)
    }
}

/// Measures the page. Gives the exit code.
pub(super) fn vitals(args: &VitalsArgs, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Exit> {
    let usage = |reason: String| Fatal::new(Exit::Usage, reason);
    let target = args.target().map_err(usage)?;
    let kind = CheckKind::WebVitals(Box::new(target));
    let check = source::check_of(kind, args.timeout.as_deref(), &args.expect).map_err(usage)?;
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let trusted = ["loopback".to_owned(), "private".to_owned()];
    let policy = match &config {
        Some(config) => config.policy(&args.allow),
        None => Config::default().policy(&[&trusted, args.allow.as_slice()].concat()),
    };
    let policy = policy.map_err(|reason| usage(format!("--allow: {reason}")))?;
    let config = config.unwrap_or_default();
    let mut options = config.browser.options();
    if let Some(text) = &args.browser {
        options.form = browser::form(text).map_err(|reason| usage(format!("--browser: {reason}")))?;
        // One that is named is meant, not whatever a socket gives.
        options.socket = None;
    }
    let tools = runner::tools(policy, &config.network.references, options)?;
    tools.secrets.replace(probe::secrets(std::slice::from_ref(&check), false)?);
    let now = clock::now();
    let run = Run { check: check.number, revision: check.revision, slot: now, started: now, note_all: true };
    let probe = Probe::new(&check);
    let mut result = runtime.block_on(async {
        let result = watched(&tools, probe.run(run, &tools)).await;
        tools.browser.close().await;
        result
    });
    if result.cause == Some(Cause::PolicyRefused) {
        result.detail = probe::with_remedy(&result.detail);
    }
    if let Some(path) = &args.screenshot {
        save_screenshot(&result, path)?;
    }
    let view = VitalsView::of(&result, args.url.clone(), args.profile.clone(), args.runs);
    if args.json {
        super::write(&(serde_json::to_string_pretty(&view)? + "\n"))?;
    } else {
        super::write(&text(&result, &view))?;
    }
    Ok(probe::exit_of(result.state))
}

/// The table, with what explains it.
fn text(result: &ProbeResult, view: &VitalsView) -> String {
    let mut out = format!("{}  {}\n", view.state, view.url);
    let cause = view.cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
    if !view.explanation.is_empty() || !cause.is_empty() {
        out.push_str(&format!("{}{cause}\n", view.explanation));
    }
    let Some(report) = vitals::report(&result.facts) else { return out };
    let thresholds = report.profile.as_ref().map(|profile| profile.thresholds).unwrap_or_default();
    out.push('\n');
    if report.shown.is_some() {
        out.push_str(&vitals::table(|vital| Spread::from_facts(vital, &result.facts), &thresholds));
        out.push('\n');
    }
    out.push_str(&vitals::explained(&report));
    out
}

fn save_screenshot(result: &ProbeResult, path: &std::path::Path) -> anyhow::Result<()> {
    let Some(text) = result.facts.texts_of(FactKey::Screenshot).next() else {
        eprintln!("no screenshot: there is one of pages that failed only, and none where secrets are typed");
        return Ok(());
    };
    let picture = base64::engine::general_purpose::STANDARD.decode(text)?;
    let failed = |error| Fatal::new(Exit::Failure, format!("{}: cannot be written ({error})", path.display()));
    Ok(std::fs::write(path, picture).map_err(failed)?)
}

/// How far it is, where that is worth a line.
fn told(step: Progress) -> Option<String> {
    match step {
        Progress::Loading { load, runs, pressed } if load > runs => {
            let why = if pressed { "the host was too busy for" } else { "the browser ended in" };
            Some(format!("load {load}: {why} one of {runs}, again ..."))
        }
        Progress::Loading { load, runs, pressed: _ } => Some(format!("load {load} of {runs} ...")),
        Progress::Waiting | Progress::Idle => None,
    }
}

/// Tells on standard error how far it is: on one line of a terminal, else a line each.
async fn watched<T>(tools: &Tools, run: impl Future<Output = T>) -> T {
    let mut progress = tools.progress.subscribe();
    let terminal = std::io::stderr().is_terminal();
    let tell = |text: &str| {
        let mut err = std::io::stderr().lock();
        // Nobody may be there to read it.
        drop(if terminal { write!(err, "\r\x1b[K{text}") } else { writeln!(err, "{text}") });
        drop(err.flush());
    };
    tokio::pin!(run);
    loop {
        tokio::select! {
            biased;
            changed = progress.changed() => {
                let step = *progress.borrow_and_update();
                if let Some(text) = told(step) {
                    tell(&text);
                }
                if changed.is_err() {
                    return run.await;
                }
            }
            result = &mut run => {
                if terminal {
                    tell("");
                }
                return result;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: VitalsArgs,
    }

    fn target(line: &[&str]) -> Result<WebVitalsTarget, String> {
        Line::parse_from([&["vitals", "https://a/"], line].concat()).args.target()
    }

    #[test]
    fn options_are_the_keys_of_a_check() {
        assert_eq!(target(&[]).unwrap(), WebVitalsTarget::page("https://a/"));
        let all = [
            "--profile",
            "desktop",
            "--runs",
            "5",
            "--no-throttling",
            "--insecure",
            "--consent",
            "#ok",
            "--settle",
            "2s",
            "--interact",
            r##"[{"click":"#menu"},{"type":["#q","secret:word"]},{"wait":"1s"}]"##,
        ];
        let target = target(&all).unwrap();
        assert_eq!((target.profile.name(), target.runs, target.throttling), ("desktop", 5, false));
        assert_eq!((target.settle, target.insecure), (DurationUs(2_000_000), true));
        assert_eq!(target.consent, Some(Interact::Click("#ok".to_owned())));
        assert_eq!(target.interact[2], Interact::Wait(DurationUs(1_000_000)));
        assert!(CheckKind::WebVitals(Box::new(target)).secrets().contains("word"));
    }

    /// The defect: where the browser had ended, the host was said to be too busy.
    #[test]
    fn a_load_is_repeated_for_the_reason_that_is_told() {
        let of = |load, pressed| told(Progress::Loading { load, runs: 3, pressed }).unwrap();
        assert_eq!([of(1, false), of(3, true)], ["load 1 of 3 ...", "load 3 of 3 ..."]);
        assert_eq!(of(4, true), "load 4: the host was too busy for one of 3, again ...");
        assert_eq!(of(4, false), "load 4: the browser ended in one of 3, again ...");
    }

    #[test]
    fn what_cannot_be_is_told_with_the_option() {
        for (line, why) in [(["--interact", "[click]"], "--interact: "), (["--settle", "soon"], "--settle: ")] {
            let error = target(&line).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
        let page = |target: WebVitalsTarget| source::check_of(CheckKind::WebVitals(Box::new(target)), None, &[]);
        assert!(page(target(&["--profile", "tablet"]).unwrap()).unwrap_err().contains("tablet"));
        assert!(page(target(&["--runs", "0"]).unwrap()).unwrap_err().contains("1 to 9"));
    }
}
