//! Every page that people see, looked at by axe-core in a real browser: two languages, two colours, two widths. `tests/axe/run` starts it.
//!
//! The pages are those of the table of routes, so that a new one is looked at as soon as there is a route; this only knows what stands for `{id}`, and what some
//! forms lead to: plans, trials, a command to paste, what is wrong.
//! The browser is asked by the DevTools protocol, whose scripts the pages' Content-Security-Policy does not hinder.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;

use serde_json::{Value, json};
use sitepulse_collector::present::door::Scope;
use sitepulse_collector::present::route::routes;
use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::mailbox::Mailbox;
use sitepulse_tests::provider::Provider;
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

/// Pages that a form leads to: where it stands, and how it is filled and sent.
const FORMS: [(&str, &str); 8] = [
    (
        "/windows/new",
        "fill({id: 'axe', groups: 'web', from: '2150-12-06T02:00', lasts: '2h', zone: 'Europe/Paris'}); press('button[value=plan]')",
    ),
    (
        "/windows/new",
        "fill({id: 'Not A Slug', groups: 'weeb', from: '2150-12-06T02:00', lasts: '2'}); press('button[value=plan]')",
    ),
    ("/new-check?address=http://127.0.0.1:9/", "fill({id: 'axe'}); press('form.editor .fields ~ .acts button')"),
    (
        "/new-check?address=http://127.0.0.1:9/",
        "fill({id: 'Not A Slug', interval: '1'}); press('form.editor .fields ~ .acts button')",
    ),
    ("/impact", "document.querySelector('#impact-then [name=at]').value = '-1m'; press('#impact-then button')"),
    ("/impact/model", "fill({check: 'shop'}); press('button[value=plan]')"),
    ("/settings/policies/contract/edit", "press('button[value=plan]')"),
    ("/new-agent", "fill({region: 'eu-west'}); press('#join-made form button')"),
];
/// What those scripts use.
const HANDS: &str = "const fill = (all) => Object.entries(all).forEach(([name, value]) => { document.getElementById(`f-${name}`).value = value; });
    const press = (found) => { const button = [...document.querySelectorAll(`#main ${found}`)].at(-1); button.form.noValidate = true; button.click(); };";

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
url = "HOOK"

[[channel]]
id = "letters"
kind = "email"
server = "MAIL"
security = "plain"
from = "status@example.com"
to = ["ops@example.com"]

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
channel = "letters"

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

    let (site, hook, mailbox) = (Site::start(), Provider::start(), Mailbox::start());
    let mut cluster = Cluster::start();
    let names = names(&mut cluster, &site, &hook, &mailbox);
    let pages = pages(&names);

    let mut found: BTreeMap<String, Finding> = BTreeMap::new();
    let mut looked = 0;
    let ways = WIDTHS.into_iter().flat_map(|size| COLOURS.map(|colours| (size, colours)));
    for ((width, height), colours) in ways {
        let wanted = |page: &&Page| wanted.is_empty() || wanted.iter().any(|one| page.path.starts_with(one));
        let (mut all, inside): (Vec<&Page>, Vec<&Page>) = pages.iter().filter(wanted).partition(|page| !page.inside);
        all.extend(inside);
        // A browser ends by itself after a time, so each looks at some of them.
        for some in all.chunks(PAGES_AT_ONCE) {
            let mut browser = Chromium::start(width, height);
            let feature = json!([{"name": "prefers-color-scheme", "value": colours}]);
            browser.call("Emulation.setEmulatedMedia", json!({"features": feature}));
            browser.call("Network.enable", json!({}));
            let mut signed_in = false;
            for Page { path, inside, form } in some {
                if *inside && !signed_in {
                    let link = cluster.ctl(&["sign-in", "--admin", "--json"]).json();
                    browser.open(link["url"].as_str().expect("sign-in --json gives a url"));
                    signed_in = true;
                }
                for language in LANGUAGES {
                    // What a form leads to has no language in its address.
                    browser.call("Network.setExtraHTTPHeaders", json!({"headers": {"Accept-Language": language}}));
                    let mark = if path.contains('?') { '&' } else { '?' };
                    browser.visit(&format!("http://{}{path}{mark}lang={language}", cluster.http()));
                    if let Some(form) = form {
                        browser.eval(&format!("window.before = true; {{ {HANDS} {form} }}"));
                        browser.loaded();
                    }
                    looked += 1;
                    let then = form.map_or("", |_| " (sent)");
                    let name = format!("{path}{then} {language} {colours} {width}");
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

/// A page that is looked at.
struct Page {
    path: String,
    /// Whether it is behind the door.
    inside: bool,
    /// What is done on it before it is looked at, see [`FORMS`].
    form: Option<&'static str>,
}

/// What stands for a name in a path, by the first word of the path; and paths that somebody was sent.
type Names = BTreeMap<&'static str, String>;

/// Has something of everything there, and its names.
fn names(cluster: &mut Cluster, site: &Site, hook: &Provider, mailbox: &Mailbox) -> Names {
    let web = |id: &str| site.check(id).trim_end().to_owned() + "\ngroup = \"web\"\ntags = [\"eu\"]\n\n";
    // An assertion that always holds is a finding.
    let loose = site.check("loose").trim_end().to_owned() + "\nexpect = [\"status >= 0\"]\n\n";
    let rest = REST.replace("HOOK", &hook.url("hook")).replace("MAIL", &mailbox.address().to_string());
    cluster.apply(&(web("shop") + &web("blog") + &loose + &rest)).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 60);
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned();
    let finding = wait::until("an assertion that always holds is found", 120, || {
        let list = cluster.ctl(&["findings", "--kind", "cannot_fail", "--json"]).json();
        list[0]["id"].as_str().map(str::to_owned).ok_or(list)
    });
    // Somebody subscribes to the status page; an incident is told them with the way out.
    post(cluster, "/status/public/subscribe", "email=ana%40example.org");
    let confirm = sent(&mailbox.mails(1), "confirm");
    post(cluster, &confirm, "");
    site.set(Mood::Ill);
    let incident = wait::until("an incident is open", 60, || {
        let all = cluster.ctl(&["incidents", "--json"]).json();
        let found =
            all.as_array().and_then(|all| all.iter().find(|one| one["check"] == "shop" && one["state"] == "open"));
        found.and_then(|one| one["id"].as_str().map(str::to_owned)).ok_or_else(|| all.to_string())
    });
    let end = sent(&mailbox.mails(2)[1..], "unsubscribe");
    let acknowledge = wait::until("a message with a link to acknowledge", 60, || {
        let all: Vec<String> = hook.received().iter().map(|one| one.body.to_string()).collect();
        let link = all.iter().flat_map(|body| body.split('"')).find(|word| word.contains("/a/")).map(path_of);
        link.ok_or(all)
    });
    let run = cluster.ctl(&["playbook", "run", "service-down", "--incident", &incident, "--json"]).json();
    let invite = cluster.ctl(&["user", "invite", "ana", "--json"]).json();
    let link = cluster.ctl(&["sign-in", "--json"]).json();
    BTreeMap::from([
        ("checks", "shop".to_owned()),
        ("agents", "eu-west-1".to_owned()),
        ("incidents", incident),
        ("on-call", "primary".to_owned()),
        ("escalations", "default".to_owned()),
        ("channels", "ops-hook".to_owned()),
        ("windows", "now".to_owned()),
        ("users", "ana".to_owned()),
        ("policies", "contract".to_owned()),
        ("status", "public".to_owned()),
        ("findings", finding),
        ("jobs", text(&cluster.ctl(&["jobs", "run", "noop", "--json"]).json()["id"])),
        ("playbooks", "service-down".to_owned()),
        ("playbook-runs", text(&run["id"])),
        ("/invite", path_of(&text(&invite["url"]))),
        ("/sign-in", path_of(&text(&link["url"]))),
        ("/a/{token}", acknowledge),
        ("/status/{id}/confirm/{token}", confirm),
        ("/status/{id}/unsubscribe/{token}", end),
    ])
}

/// The pages of the table of routes, and those that forms lead to.
fn pages(names: &Names) -> Vec<Page> {
    let mut all = Vec::new();
    for route in routes().into_iter().filter(|route| route.method == "GET") {
        let docs = route.path == "/api/v1/docs";
        if !docs && NO_PAGES.iter().any(|no| route.path.starts_with(no)) {
            continue;
        }
        let inside = route.scope != Scope::Public;
        let mut add = |path: String| all.push(Page { path, inside, form: None });
        match route.path {
            "/incidents/{id}/{action}" => {
                for act in ["assign", "post-mortem", "silence"] {
                    add(format!("/incidents/{}/{act}", names["incidents"]));
                }
            }
            "/terms/{figure}" => {
                for figure in ["sla", "group?group=web", "slo?slo=promise", "debt"] {
                    add(format!("/terms/{figure}"));
                }
            }
            "/channels/new" => add("/channels/new?kind=email".to_owned()),
            // What was sent to somebody; the sign-in page itself too.
            path if names.contains_key(path) => {
                if path == "/sign-in" {
                    add(path.to_owned());
                }
                add(names[path].clone());
            }
            path => {
                // The word before the name says whose it is: `/settings/users/{id}/edit`.
                let family = path.split_once("/{").map_or("", |(before, _)| before.rsplit('/').next().unwrap_or(""));
                let name = match names.get(family) {
                    Some(name) => name.as_str(),
                    None => {
                        assert!(!path.contains('{'), "{path}: nothing stands for its name");
                        ""
                    }
                };
                let path = path.replace("{id}", name).replace("{name}", name);
                assert!(!path.contains('{'), "{path}: nothing stands for its name");
                add(path);
            }
        }
    }
    all.extend(FORMS.map(|(path, form)| Page { path: path.to_owned(), inside: true, form: Some(form) }));
    all
}

/// The path and the query of an address.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or_else(String::new, |at| rest[at..].to_owned())
}

/// Where the first link of this kind in mails leads.
fn sent(mails: &[String], what: &str) -> String {
    let mark = format!("/status/public/{what}/");
    let plain: Vec<String> = mails.iter().map(|mail| mail.replace("=\n", "").replace("=3D", "=")).collect();
    let link = plain.iter().flat_map(|mail| mail.split_whitespace()).find(|word| word.contains(&mark));
    let link = link.unwrap_or_else(|| panic!("no {mark}: {plain:?}")).trim_matches(['<', '>', ',']);
    // Its language is chosen here.
    path_of(link).split('?').next().unwrap_or_default().to_owned()
}

/// Sends a form as somebody who is not signed in.
fn post(cluster: &Cluster, path: &str, body: &str) {
    let http = cluster.http();
    let mut stream = TcpStream::connect(http).expect("the console listens");
    let head = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close";
    write!(stream, "POST {path} HTTP/1.1\r\nHost: {http}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .expect("the console takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in UTF-8");
    assert!(answer.starts_with("HTTP/1.1 200"), "POST {path}: {answer}");
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
