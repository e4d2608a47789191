//! Our contender: this binary again, as a child in a control group, that holds a warm browser and loads what it is told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sitepulse_browser::{Browser, Dialled, Form, Gate, Job, Options, Refusal};
use sitepulse_daemon::clock;
use sitepulse_model::check::WebVitalsTarget;
use sitepulse_model::record::{Cause, Phase};
use sitepulse_model::vitals::profile::Profile;

use crate::group::Group;

/// A child that loads.
pub(crate) struct Ours {
    child: Child,
    input: Option<ChildStdin>,
    /// Its answers.
    pub(crate) output: BufReader<ChildStdout>,
    /// Where it and its browser run.
    pub(crate) group: Group,
}

/// What is to be loaded.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    /// The page.
    pub(crate) url: &'a str,
    /// Slowed down as its profile says, or not at all.
    pub(crate) profile: &'a str,
    /// See `profile`.
    pub(crate) throttled: bool,
    /// How often, so many at once.
    pub(crate) count: usize,
    /// See `count`.
    pub(crate) parallel: usize,
    /// The deadline, in milliseconds.
    pub(crate) timeout_ms: u64,
}

/// How that went.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loads {
    /// From the order to its last load.
    pub(crate) wall_us: u64,
    /// Processor time of the agent's side and the browser.
    pub(crate) cpu_us: u64,
    /// Figures of each: LCP, CLS (ten-thousandths), TBT; microseconds.
    pub(crate) figures: Vec<[f64; 3]>,
    /// How long each took to be over, its context gone.
    pub(crate) each_us: Vec<u64>,
    /// Why some failed.
    pub(crate) failures: Vec<String>,
}

impl Ours {
    /// Starts it; `form` is `shell` or `full`.
    pub(crate) fn start(form: &str) -> Self {
        let group = Group::new(form);
        let mut child = group
            .command()
            .arg(std::env::current_exe().expect("a running bench has a path"))
            .args(["driver", form])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this bench can be started");
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().expect("its output")));
        Self { child, input, output, group }
    }

    /// The agent's side of it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Loads.
    pub(crate) fn load(&mut self, order: Order<'_>) -> Loads {
        let before = self.group.cpu_us();
        self.order(order);
        let mut loads = self.done();
        loads.cpu_us = self.group.cpu_us() - before;
        loads
    }

    /// Begins to load.
    pub(crate) fn order(&mut self, order: Order<'_>) {
        let order = json!({
            "url": order.url, "profile": order.profile, "throttled": order.throttled, "count": order.count, "parallel": order.parallel,
            "timeout_ms": order.timeout_ms,
        });
        writeln!(self.input.as_mut().expect("it is asked while it runs"), "{order}").expect("it takes orders");
    }

    /// Waits for it.
    pub(crate) fn done(&mut self) -> Loads {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        let told: Value = serde_json::from_str(&line).expect("it answers in JSON");
        let list = |key: &str| told[key].as_array().cloned().unwrap_or_default();
        Loads {
            wall_us: told["wall_us"].as_u64().unwrap_or(0),
            cpu_us: 0,
            figures: list("figures").iter().map(|f| [0, 1, 2].map(|n| f[n].as_f64().unwrap_or(f64::NAN))).collect(),
            each_us: list("each_us").iter().filter_map(Value::as_u64).collect(),
            failures: list("failures").iter().map(|text| text.as_str().unwrap_or_default().to_owned()).collect(),
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // The end of its orders.
        drop(self.input.take());
        if let Err(error) = self.child.wait() {
            eprintln!("the end of our side cannot be seen: {error}");
        }
    }
}

/// The child.
pub(crate) fn driver(form: &str) {
    let form = if form == "shell" { Form::HeadlessShell } else { Form::Chromium };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let browser = Arc::new(Browser::new(Options { form, ..Options::default() }));
        loop {
            let line = tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).map(|_| line)
            });
            let line = line.await.expect("it does not panic").expect("orders");
            if line.is_empty() {
                break;
            }
            println!("{}", obey(&browser, &serde_json::from_str(&line).expect("an order in JSON")).await);
        }
        browser.close().await;
    });
}

async fn obey(browser: &Browser, order: &Value) -> Value {
    let text = |key: &str| order[key].as_str().expect("a text").to_owned();
    let number = |key: &str| order[key].as_u64().expect("a number");
    let profile = Profile::builtin(&text("profile")).expect("a profile");
    let throttled = order["throttled"] == true;
    let job = Job {
        url: text("url"),
        profile: if throttled { profile } else { profile.without_throttling() },
        interact: Vec::new(),
        consent: None,
        settle_us: WebVitalsTarget::page("").settle.0,
        timeout_us: number("timeout_ms") * 1_000,
        insecure: false,
        screenshot: false,
    };
    let (mut figures, mut failures, mut each_us) = (Vec::new(), Vec::new(), Vec::new());
    let begun = clock::monotonic();
    let one = async || {
        let seat = browser.seat(throttled).await;
        let begun = clock::monotonic();
        let outcome = browser.load(&seat, &job, &Straight).await;
        (outcome, clock::monotonic().us_since(begun))
    };
    let mut left = number("count");
    let mut going = Vec::new();
    while left > 0 || !going.is_empty() {
        while left > 0 && (going.len() as u64) < number("parallel") {
            going.push(Box::pin(one()));
            left -= 1;
        }
        let ((outcome, us), _, rest) = futures_util::future::select_all(going).await;
        going = rest;
        each_us.push(us);
        match outcome {
            Ok(loaded) => {
                let values = loaded.load.values;
                let of = |value: Option<u64>| value.map(|value| value as f64);
                figures.push([of(values.lcp), of(values.cls), of(values.tbt)]);
            }
            Err(failed) => failures.push(failed.detail),
        }
    }
    json!({ "wall_us": clock::monotonic().us_since(begun), "figures": figures, "failures": failures, "each_us": each_us })
}

/// Dials what it is asked for: all of it is on loopback.
struct Straight;

impl Gate for Straight {
    fn open<'a>(&'a self, host: &'a str, port: u16, _timeout_us: u64) -> BoxFuture<'a, Result<Dialled, Refusal>> {
        Box::pin(async move {
            let refused = |detail: String, address| Refusal {
                cause: Cause::PolicyRefused,
                phase: Phase::Connect,
                detail,
                address,
            };
            let address: SocketAddr =
                format!("{host}:{port}").parse().map_err(|error| refused(format!("{host}: {error}"), None))?;
            let begun = clock::monotonic();
            let stream = tokio::net::TcpStream::connect(address).await;
            let connect_us = clock::monotonic().us_since(begun);
            let stream = stream.map_err(|error| refused(error.to_string(), Some(address)))?;
            Ok(Dialled { stream, address, dns_us: None, connect_us })
        })
    }
}
