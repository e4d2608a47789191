//! Every page that people see, looked at by axe-core in a real browser: two languages, two colours, two widths. `tests/axe/run` starts it.
//!
//! The pages are those of the table of routes, so that a new one is looked at as soon as there is a route; this only knows what stands for `{id}`.
//! The browser is asked by the DevTools protocol, whose scripts the pages' Content-Security-Policy does not hinder.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use serde_json::{Value, json};
use sitepulse_collector::present::door::Scope;
use sitepulse_collector::present::route::routes;
use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::{Mood, Site};
use sitepulse_tests::wait;

const WIDTHS: [(u32, u32); 2] = [(1280, 900), (390, 844)];
const COLOURS: [&str; 2] = ["light", "dark"];
const LANGUAGES: [&str; 2] = ["en", "fr"];
/// So many pages in one browser.
const PAGES_AT_ONCE: usize = 10;
/// What axe calls what nobody should meet.
const GRAVE: [&str; 2] = ["serious", "critical"];
/// What of GET people do not see as a page.
const NO_PAGES: [&str; 12] = [
    "/api/v1/",
    "/assets/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/events",
    "/ping/",
    "/oembed",
    "/status/{id}/look.css",
    "/status/{id}/feed.atom",
    "/status/{id}/badge/{item}",
    // An address of its own: the calendar of a schedule.
    "/feed/",
];

const REST: &str = r#"
[[check]]
id = "job"
kind = "heartbeat"
period = "1h"
grace = "5m"
group = "jobs"
tags = ["eu", "night"]

[[policy]]
id = "contract"
objective = "99.95%"
hours = { zone = "Europe/Paris", weekly = ["mon-fri 08:00-20:00"] }

[[slo]]
id = "promise"
groups = ["web"]
policy = "contract"
period = "30d"

[[maintenance]]
id = "night"
groups = ["jobs"]
from = "2026-01-04T02:00"
lasts = "2h"
zone = "Europe/Paris"
rrule = "FREQ=WEEKLY;BYDAY=SU"

[[maintenance]]
id = "now"
checks = ["job"]
from = "2026-01-04T02:00"
lasts = "24h"
rrule = "FREQ=DAILY"

[[user]]
id = "ana"
name = "Ana Silva"
role = "admin"
notify = ["ops-hook"]

[[channel]]
id = "ops-hook"
kind = "webhook"
url = "http://127.0.0.1:9/"

[[schedule]]
id = "primary"
zone = "Europe/Paris"
layers = [{ users = ["ana"], rotation = "weekly", handoff = "mon 09:00", start = "2026-01-05" }]

[[escalation]]
id = "default"
default = true
levels = [{ after = "0s", notify = ["oncall:primary"] }, { after = "30m", notify = ["ops-hook"] }]

[[status_page]]
id = "public"
title = "Example status"
title_fr = "État d’Example"
zone = "Europe/Paris"

[[status_page.groups]]
name = "Web"

[[status_page.groups.items]]
id = "shop"
name = "Shop"
checks = ["shop", "blog"]
"#;

/// Something that axe found, and where.
#[derive(Debug, Default)]
struct Finding {
    impact: String,
    help: String,
    pages: BTreeSet<String>,
    example: String,
}

fn main() -> ExitCode {
    let axe = std::env::var("AXE").expect("AXE names axe.min.js: tests/axe/run does that");
    let axe = std::fs::read_to_string(&axe).unwrap_or_else(|error| panic!("{axe}: {error}"));
    // Cargo hands benchmarks a flag of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|one| one.starts_with('/')).collect();

    let site = Site::start();
    let mut cluster = Cluster::start();
    let web = |id: &str| site.check(id).trim_end().to_owned() + "\ngroup = \"web\"\ntags = [\"eu\"]\n\n";
    cluster.apply(&(web("shop") + &web("blog") + REST)).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 60);
    site.set(Mood::Ill);
    let incident = wait::until("an incident is open", 60, || {
        let all = cluster.ctl(&["incidents", "--json"]).json();
        let found =
            all.as_array().and_then(|all| all.iter().find(|one| one["check"] == "shop" && one["state"] == "open"));
        found.and_then(|one| one["id"].as_str().map(str::to_owned)).ok_or_else(|| all.to_string())
    });
    let (public, inside) = pages(&incident);

    let mut found: BTreeMap<String, Finding> = BTreeMap::new();
    let mut looked = 0;
    let ways = WIDTHS.into_iter().flat_map(|size| COLOURS.map(|colours| (size, colours)));
    for ((width, height), colours) in ways {
        let wanted = |path: &&String| wanted.is_empty() || wanted.iter().any(|one| path.starts_with(one));
        let all: Vec<(&String, bool)> = public
            .iter()
            .filter(wanted)
            .map(|path| (path, false))
            .chain(inside.iter().filter(wanted).map(|path| (path, true)))
            .collect();
        // A browser ends by itself after a time, so each looks at some of them.
        for some in all.chunks(PAGES_AT_ONCE) {
            let mut browser = Chromium::start(width, height);
            let feature = json!([{"name": "prefers-color-scheme", "value": colours}]);
            browser.call("Emulation.setEmulatedMedia", json!({"features": feature}));
            let mut signed_in = false;
            for (path, needs) in some {
                if *needs && !signed_in {
                    let link = cluster.ctl(&["sign-in", "--admin", "--json"]).json();
                    browser.open(link["url"].as_str().expect("sign-in --json gives a url"));
                    signed_in = true;
                }
                for language in LANGUAGES {
                    let mark = if path.contains('?') { '&' } else { '?' };
                    browser.open(&format!("http://{}{path}{mark}lang={language}", cluster.http()));
                    looked += 1;
                    let name = format!("{path} {language} {colours} {width}");
                    for violation in look(&mut browser, &axe) {
                        note(&mut found, &violation, &name);
                    }
                    let wide = browser.eval("[document.documentElement.scrollWidth, innerWidth]");
                    if wide[0].as_u64() > wide[1].as_u64() {
                        let overhang = json!({"id": "overhang", "impact": "serious", "nodes": [{"html": ""}],
                            "help": "The page is wider than the window"});
                        note(&mut found, &overhang, &name);
                    }
                }
            }
            eprintln!("{width} {colours}: {looked} pages so far");
        }
    }
    println!("{looked} pages looked at, {} rules broken", found.len());
    let mut grave = false;
    for (rule, Finding { impact, help, pages, example }) in &found {
        grave |= GRAVE.contains(&impact.as_str());
        let some: Vec<&str> = pages.iter().take(6).map(String::as_str).collect();
        println!("{impact}: {rule}: {help}\n  on {} pages: {}\n  {example}", pages.len(), some.join(" · "));
    }
    if looked == 0 || grave { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The pages for everybody, and those behind the door.
fn pages(incident: &str) -> (Vec<String>, Vec<String>) {
    let (mut public, mut inside) = (Vec::new(), Vec::new());
    for route in routes().into_iter().filter(|route| route.method == "GET") {
        let docs = route.path == "/api/v1/docs";
        if !docs && NO_PAGES.iter().any(|no| route.path.starts_with(no)) {
            continue;
        }
        let path = match route.path {
            // What a token opens is looked at without one: the page that says so.
            "/invite" => "/invite?token=none".to_owned(),
            "/a/{token}" => "/a/none".to_owned(),
            "/incidents/{id}/{action}" => {
                inside.extend(["assign", "post-mortem", "silence"].map(|act| format!("/incidents/{incident}/{act}")));
                continue;
            }
            "/terms/{figure}" => {
                let figures = ["sla", "group?group=web", "slo?slo=promise", "debt"];
                inside.extend(figures.map(|figure| format!("/terms/{figure}")));
                continue;
            }
            "/channels/new" => "/channels/new?kind=email".to_owned(),
            path => {
                let family = path.trim_start_matches('/').split('/').next().unwrap_or_default();
                let id = match family {
                    "checks" => "shop",
                    "agents" => "eu-west-1",
                    "incidents" => incident,
                    "on-call" => "primary",
                    "escalations" => "default",
                    "channels" => "ops-hook",
                    "windows" => "now",
                    "settings" => "contract",
                    "status" => "public",
                    // What has no name in it needs none; a page of another family answers with what there is.
                    _ => "default",
                };
                path.replace("{id}", id).replace("{name}", id)
            }
        };
        if route.scope == Scope::Public { public.push(path) } else { inside.push(path) }
    }
    (public, inside)
}

/// What axe finds on the page that is open.
fn look(browser: &mut Chromium, axe: &str) -> Vec<Value> {
    browser.eval(&format!("{axe}; true"));
    let run = "axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})\
               .then((told) => told.violations.map(({id, impact, help, nodes}) => ({id, impact, help, nodes: nodes.slice(0, 2)\
               .map(({html, failureSummary}) => ({html, failureSummary}))})))";
    browser.eval(run).as_array().cloned().unwrap_or_default()
}

fn note(found: &mut BTreeMap<String, Finding>, violation: &Value, page: &str) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let finding = found.entry(text(&violation["id"])).or_default();
    finding.pages.insert(page.to_owned());
    if finding.example.is_empty() {
        let node = &violation["nodes"][0];
        finding.impact = text(&violation["impact"]);
        finding.help = text(&violation["help"]);
        finding.example = format!("{}\n  {}", text(&node["html"]), text(&node["failureSummary"]).replace('\n', " "));
    }
}
