//! What the public is shown, and what it is never shown.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_daemon::identity::AgentKey;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::{AgentName, AgentNo, CheckId, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Cause, Facts, Phase, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_wire::message::{Batch, Entry, JoinRequest};

use super::bench::{Answer, Bench, NETWORK, options};

const INTERVAL_US: i64 = 15 * 60 * 1_000_000;
const DAY: i64 = 96;

/// Everything in here that no public answer may hold.
const PRIVATE: &[&str] = &[
    "secret-check",
    "other-check",
    "private-group",
    "inside.example",
    "probe-berlin",
    "probe-oslo",
    "eu-private",
    "no-private",
    "connection_refused",
    "nobody listens",
    "198.51.100.77",
    "ops-hook",
    "ladder",
    "window-id",
    "said among us",
];

pub const FILE: &str = r##"
[[check]]
id = "secret-check"
kind = "http"
url = "http://inside.example:8081/private"
interval = "15m"
group = "private-group"
confirmations = 1

[[check]]
id = "other-check"
kind = "http"
url = "http://inside.example:8082/private"
interval = "15m"
confirmations = 1

[[channel]]
id = "ops-hook"
kind = "webhook"
url = "https://ops.example/hook"

[[escalation]]
id = "ladder"
default = true
levels = [ { after = "0s", notify = ["ops-hook"] } ]

[[status_page]]
id = "public"
title = "Example <b>&\"co\"</b>"
title_fr = "Exemple"
about = "Hello\nworld <script>alert(1)</script>"
accent = "#aa3366"
home = "https://www.example.com/?a=1&b=2"
zone = "Europe/Paris"

[[status_page.groups]]
name = "Shop'><img src=x>"
name_fr = "Boutique"

[[status_page.groups.items]]
id = "front"
name = "Front <i>door</i>"
name_fr = "Vitrine"
groups = ["private-group"]

[[status_page.groups.items]]
id = "back"
name = "Back office"
checks = ["other-check"]
"##;

pub struct World {
    pub bench: Bench,
    pub berlin: AgentNo,
    pub oslo: AgentNo,
    seq: std::cell::Cell<u64>,
}

fn enrol(engine: &mut Engine, region: &str, name: &str) -> AgentNo {
    let at = clock::now().plus_us(-5 * DAY * INTERVAL_US);
    let token = engine.create_join_token(Region::parse(region).unwrap(), 3_600_000_000, at).unwrap().token;
    let name = AgentName::parse(name).unwrap();
    let csr_der = AgentKey::generate().unwrap().csr_der(&name).unwrap();
    let (protocol_min, protocol_max, build) = (1, 1, "0.0.0".to_owned());
    let request = JoinRequest { protocol_min, protocol_max, secret: token.secret, name: Some(name), csr_der, build };
    engine.join(&request, at).unwrap().unwrap().agent
}

impl World {
    /// A collector whose checks are five days old; nothing was measured yet.
    async fn new() -> Self {
        let bench = Bench::new();
        bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
        let written = checkfile::parse(&[Source { name: "checks.toml".into(), text: FILE.into() }]).unwrap();
        bench.app.apply(written, options(), clock::now().plus_us(-5 * DAY * INTERVAL_US)).await.unwrap();
        let agents = |engine: &mut Engine| {
            (enrol(engine, "eu-private", "probe-berlin"), enrol(engine, "no-private", "probe-oslo"))
        };
        let (berlin, oslo) = bench.app.writer().run(agents).await.unwrap();
        Self { bench, berlin, oslo, seq: std::cell::Cell::new(0) }
    }

    /// Results of an agent for a check from so many slots ago up to, but without, so many slots ago.
    pub async fn observe(&self, agent: AgentNo, check: &str, state: ProbeState, (from, to): (i64, i64)) {
        let first_seq = self.seq.replace(self.seq.get() + 10_000);
        let check = CheckId::parse(check).unwrap();
        let name = AgentName::parse(if agent == self.berlin { "probe-berlin" } else { "probe-oslo" }).unwrap();
        let work = move |engine: &mut Engine| {
            let now = clock::now();
            let entries = {
                let book = engine.shared().book();
                let check = book.check_by_id(&check).unwrap();
                let newest = Lattice::new(&check.id, &name, INTERVAL_US.unsigned_abs()).at_or_before(now);
                let down = state == ProbeState::Down;
                let entry = |(at, ago): (usize, i64)| {
                    let slot = newest.plus_us(-ago * INTERVAL_US);
                    let record = Record::Result(ProbeResult {
                        check: check.number,
                        revision: Revision(1),
                        scheduled: slot,
                        started: slot,
                        phases: Phases::default(),
                        state,
                        cause: down.then_some(Cause::ConnectionRefused),
                        failed_phase: down.then_some(Phase::Connect),
                        detail: "nobody listens".into(),
                        address: Some("198.51.100.77:8081".parse().unwrap()),
                        facts: Facts::default(),
                    });
                    Entry { bucket: check.bucket(), seq: Seq(first_seq + at as u64), provenance: 0, record }
                };
                (to..from).rev().enumerate().map(entry).collect()
            };
            let provenances =
                vec![Provenance { build: "0.0.0".into(), clock_offset_us: Some(0), clock_uncertainty_us: 7 }];
            let batch =
                Batch { number: 1 + first_seq, incarnation: Incarnation(u64::from(agent.0)), provenances, entries };
            engine.ingest(vec![IngestJob { agent, batch, received_at: now }]).unwrap();
            engine.watch(clock::now()).unwrap();
        };
        self.bench.app.writer().run(work).await.unwrap();
    }

    /// Everything fine for four days, the newest slot not told yet.
    pub async fn fine() -> Self {
        Self::fine_but(1).await
    }

    /// The same, so many slots not told yet.
    pub async fn fine_but(slots: i64) -> Self {
        let world = Self::new().await;
        for check in ["secret-check", "other-check"] {
            for agent in [world.berlin, world.oslo] {
                world.observe(agent, check, ProbeState::Up, (4 * DAY, slots)).await;
            }
        }
        world
    }

    /// As a stranger asks.
    pub async fn get(&self, path: &str) -> Answer {
        self.bench.send(NETWORK, "GET", path, &[], "").await
    }

    async fn with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.bench.send(NETWORK, "GET", path, headers, "").await
    }

    /// The page once it holds something: what was found out serves for a second.
    async fn until(&self, path: &str, wanted: &str) -> String {
        let asked = async {
            loop {
                let text = self.get(path).await.text;
                if text.contains(wanted) {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(60), asked).await;
        found.unwrap_or_else(|_| panic!("{path} never told {wanted:?}"))
    }
}

pub fn assert_nothing_private(what: &str, text: &str) {
    for word in PRIVATE {
        assert!(!text.contains(word), "{what} tells {word:?}: {text}");
    }
}

/// Whether XML is well formed, as far as tags and quotes go.
fn assert_well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        assert!(!before.contains('>') || !before.contains("]]>"), "{before}");
        let (tag, after) = after.split_once('>').unwrap_or_else(|| panic!("a tag never ends: {after}"));
        rest = after;
        if tag.starts_with('?') || tag.starts_with('!') {
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{text}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    for entity in text.split('&').skip(1) {
        assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|known| entity.starts_with(known)), "&{entity}");
    }
}

#[tokio::test]
async fn a_page_tells_what_the_owner_chose_in_both_languages() {
    let world = World::fine().await;
    let page = world.get("/status/public").await;
    assert_eq!(page.status, StatusCode::OK);
    for told in [
        "Everything is operational",
        "Back office",
        "Front &#60;i&#62;door&#60;/i&#62;",
        "Example &#60;b&#62;&#38;&#34;co&#34;&#60;/b&#62;",
        "world &#60;script&#62;alert(1)&#60;/script&#62;",
        "href=\"https://www.example.com/?a=1&#38;b=2\"",
        "100.00 %",
        "/status/public/look.css",
        "No incidents.",
        " CET</time>",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    assert!(!page.text.contains("<script") && !page.text.contains("<img src=x") && !page.text.contains("style="));
    let french = world.get("/status/public?lang=fr").await.text;
    for told in ["lang=\"fr\"", "Tout est opérationnel", "Vitrine", "Boutique", "Exemple", "100,00 %", "aujourd’hui"]
    {
        assert!(french.contains(told), "{told}: {french}");
    }
    for english in ["Operational", "evidence", "today", "Incidents of", "Ongoing", "outage", "no information"] {
        assert!(!french.contains(english), "{english} stands on the French page");
    }
    let swiss = world.with("/status/public", &[("accept-language", "fr-CH, en;q=0.5")]).await;
    assert_eq!(
        (&swiss.headers[header::CONTENT_LANGUAGE], swiss.text.contains("Vitrine")),
        (&"fr".parse().unwrap(), true)
    );
    assert_eq!(swiss.headers[header::VARY], "Accept-Encoding, Accept-Language");
    assert_eq!(world.get("/status/public/look.css").await.text, ":root { --own: #aa3366; }\n");
}

#[tokio::test]
async fn nothing_private_is_told_by_anything_public() {
    let world = World::fine().await;
    let soon = instant::format(clock::now().plus_us(2 * 3600 * 1_000_000));
    let window = format!(
        "[[maintenance]]\nid = \"window-id\"\nchecks = [\"other-check\"]\nfrom = {}:00Z\nlasts = \"2h\"\n",
        &soon[..16]
    );
    let applied = world.bench.apply(&window, json!({})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
    world.observe(world.berlin, "secret-check", ProbeState::Down, (1, 0)).await;
    world.observe(world.oslo, "secret-check", ProbeState::Down, (1, 0)).await;
    let list = world.bench.get("/api/v1/incidents").await.json();
    let id = list[0]["id"].as_str().unwrap().to_owned();
    let acts = format!("/api/v1/incidents/{id}/acts");
    assert!(world.bench.post(&acts, &json!({"act": "comment", "text": "said among us"})).await.status.is_success());
    let page = world.until("/status/public", "Ongoing incidents").await;
    assert!(page.contains("Some services are out of order") && page.contains("Outage: Front"), "{page}");
    assert!(page.contains("Announced") && !page.contains(&id), "{page}");
    for path in [
        "/status/public",
        "/status/public?lang=fr",
        "/status/public/card",
        "/status/public/feed.atom",
        "/status/public/badge/front.svg",
        "/status/public/badge/all.svg",
        "/status/public/badge/back.svg?show=90d",
        "/status/public/look.css",
        "/oembed?url=https%3A%2F%2Fconsole.example%2Fstatus%2Fpublic",
        "/oembed?url=https%3A%2F%2Fconsole.example%2Fstatus%2Fpublic&format=xml",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        assert_nothing_private(path, &answer.text);
        let told: Vec<String> = answer.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        assert_nothing_private(path, &told.join("\n"));
        assert!(!answer.headers.contains_key(header::SET_COOKIE), "{path}");
    }
    // A note for the public is one by an act of its own.
    let note = json!({"act": "public_note", "text": "We are <on> it\nand stay so"});
    assert!(world.bench.post(&acts, &note).await.status.is_success());
    let page = world.until("/status/public", "We are").await;
    assert!(page.contains("We are &#60;on&#62; it\nand stay so") && !page.contains("said among us"), "{page}");
    let feed = world.get("/status/public/feed.atom").await.text;
    assert!(feed.contains("We are &lt;on&gt; it") && !feed.contains("said among us"), "{feed}");
    let history = world.bench.get(&format!("/api/v1/incidents/{id}")).await.json();
    assert_eq!(history["integrity"]["intact"], true, "{history}");
}

#[tokio::test]
async fn pages_that_are_not_there_are_all_alike() {
    let world = World::new().await;
    let retired =
        world.bench.apply("[[check]]\nid = \"x\"\nkind = \"tcp\"\naddress = \"127.0.0.1:9\"\n", json!({"prune": true}));
    let retired = retired.await;
    assert_eq!(retired.status, StatusCode::OK, "{}", retired.text);
    for family in
        ["/status/{}", "/status/{}/card", "/status/{}/feed.atom", "/status/{}/badge/all.svg", "/status/{}/look.css"]
    {
        let ask = async |id: &str| world.get(&family.replace("{}", id)).await;
        let (never, was) = (ask("never").await, ask("public").await);
        assert_eq!((never.status, was.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND), "{family}");
        assert_eq!((never.text.as_str(), never.headers.len()), (was.text.as_str(), was.headers.len()), "{family}");
        assert!(!never.text.contains("never") && !was.text.contains("Example"), "{}", was.text);
    }
    let here = World::new().await;
    for path in
        ["/status/public/badge/secret-check.svg", "/status/public/badge/front", "/status/public/badge/all.svg?show=90d"]
    {
        assert_eq!(here.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(here.get("/status/public/badge/front.svg?show=1y").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn days_without_evidence_are_never_green() {
    let world = World::new().await;
    let page = world.get("/status/public").await.text;
    assert!(page.contains("There is no information at the moment"), "{page}");
    assert_eq!(page.matches("<rect class=\"up\" x=").count(), 0);
    assert_eq!(page.matches("<rect class=\"unknown\" x=").count(), 180);
    assert!(!page.contains("100.00 %"), "{page}");
    // Of two items one was looked at for two days.
    let world = World::new().await;
    world.observe(world.berlin, "other-check", ProbeState::Up, (2 * DAY, 0)).await;
    let page = world.until("/status/public", "No problem is known; one service cannot be fully observed").await;
    let up = page.matches("<rect class=\"up\" x=").count();
    assert!((2..=3).contains(&up), "{up}");
    assert!(page.contains("class=\"overall unknown\""), "{page}");
    let listed = world.bench.get("/api/v1/status-pages/public").await.json();
    assert_eq!((&listed["state"], &listed["partly_unknown"]), (&json!("up"), &json!(true)));
    let [front, back] = [&listed["items"][0], &listed["items"][1]];
    assert_eq!(
        (&front["state"], &front["availability"], &front["checks"]),
        (&json!("unknown"), &Value::Null, &json!(["secret-check"]))
    );
    // It lived for five of the days.
    let completeness = back["completeness"].as_f64().unwrap();
    assert!((0.3..0.5).contains(&completeness), "{back}");
    assert!(back["lower"].as_f64().unwrap() < 0.5 && back["upper"] == json!(1.0), "{back}");
}

#[tokio::test]
async fn a_regional_outage_is_told_and_never_reads_as_all_fine() {
    let world = World::new().await;
    // At noon, that no midnight divides the hour of the outage into two bars.
    let noon = clock::now().0.div_euclid(INTERVAL_US).rem_euclid(DAY) + DAY + DAY / 2;
    for agent in [world.berlin, world.oslo] {
        world.observe(agent, "secret-check", ProbeState::Up, (4 * DAY, noon)).await;
        world.observe(agent, "other-check", ProbeState::Up, (4 * DAY, 1)).await;
    }
    // One of two agents: no majority.
    world.observe(world.berlin, "secret-check", ProbeState::Down, (noon, noon - 4)).await;
    world.observe(world.berlin, "secret-check", ProbeState::Up, (noon - 4, 2)).await;
    world.observe(world.oslo, "secret-check", ProbeState::Up, (noon, 0)).await;
    let page = world.get("/status/public").await.text;
    assert!(page.contains("Everything is operational"), "{page}");
    assert!(page.contains("partial outage 1 h"), "{page}");
    let front = page.split("id=\"i-front\"").nth(1).unwrap().split("id=\"i-back\"").next().unwrap();
    assert!(!front.contains("<b>100.00 %</b>") && front.contains("<rect class=\"partial\""), "{front}");
    let badge = world.get("/status/public/badge/front.svg?show=90d").await.text;
    assert!(!badge.contains("100.00 %") && badge.contains("99."), "{badge}");
    assert!(world.get("/status/public/badge/back.svg?show=90d").await.text.contains("100.00 %"));
    // And now again, for so long that the other agent has looked since, whatever the hour: before, it might be a total outage.
    world.observe(world.berlin, "secret-check", ProbeState::Down, (2, 0)).await;
    let page = world.until("/status/public", "Partial outage: Front").await;
    assert!(page.contains("Some services are partly out of order"), "{page}");
    let badge = world.get("/status/public/badge/front.svg").await.text;
    assert!(badge.contains("partial outage"), "{badge}");
}

#[tokio::test]
async fn late_data_changes_the_bars_of_the_past() {
    let world = World::fine().await;
    let before = world.get("/status/public").await.text;
    assert!(!before.contains("<rect class=\"down\" x="), "{before}");
    // Another agent had been cut off, and tells now what it saw three days ago: a majority it makes not, but it counts.
    let third =
        world.bench.app.writer().run(|engine: &mut Engine| enrol(engine, "eu-private", "probe-late")).await.unwrap();
    assert!(third != world.oslo);
    let page = world.until("/status/public", "class=\"overall up\"").await;
    assert!(page.contains("Everything is operational"));
    for agent in [world.berlin, world.oslo] {
        world.observe(agent, "other-check", ProbeState::Down, (4 * DAY + 40, 4 * DAY + 20)).await;
    }
    let page = world.until("/status/public", "<rect class=\"down\" x=").await;
    // Five hours, which midnight may divide.
    assert!(page.contains("outage "), "{page}");
}

#[tokio::test]
async fn answers_are_compressed_tagged_and_not_sent_twice() {
    let world = World::fine().await;
    for path in ["/status/public", "/status/public/feed.atom", "/status/public/card", "/status/public/badge/front.svg"]
    {
        let plain = world.get(path).await;
        assert!(plain.headers[header::CACHE_CONTROL].to_str().unwrap().starts_with("public, max-age="), "{path}");
        assert!(!plain.headers.contains_key(header::CONTENT_ENCODING), "{path}");
        let packed = world.with(path, &[("accept-encoding", "gzip, br")]).await;
        let tag = packed.headers[header::ETAG].to_str().unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{path}: a weak tag {tag}");
        if packed.headers.contains_key(header::CONTENT_ENCODING) {
            assert_ne!(tag, plain.headers[header::ETAG].to_str().unwrap());
            let mut text = String::new();
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed.bytes.as_slice()), &mut text)
                .unwrap();
            assert!(text.len() > packed.bytes.len());
        }
        // A minute may end between two questions: then it is another page.
        let again = world.with(path, &[("if-none-match", &tag), ("accept-encoding", "gzip")]).await;
        if again.headers[header::ETAG].to_str().unwrap() == tag {
            assert_eq!((again.status, again.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        }
        assert_eq!(world.with(path, &[("if-none-match", "\"other\"")]).await.status, StatusCode::OK, "{path}");
    }
    let big = world.with("/status/public", &[("accept-encoding", "gzip")]).await;
    assert_eq!(big.headers[header::CONTENT_ENCODING], "gzip");
}

#[tokio::test]
async fn the_card_alone_may_be_framed() {
    let world = World::fine().await;
    for path in ["/status/public", "/status/public/card", "/status/public/feed.atom", "/status/never/card", "/"] {
        let answer = world.get(path).await;
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        let framable = path == "/status/public/card";
        assert_eq!(policy.contains("frame-ancestors *"), framable, "{path}: {policy}");
        assert_eq!(policy.contains("frame-ancestors 'none'"), !framable, "{path}: {policy}");
        assert_eq!(answer.headers.contains_key(header::X_FRAME_OPTIONS), !framable, "{path}");
    }
    let card = world.get("/status/public/card?lang=fr").await;
    assert!(card.text.contains("Tout est opérationnel") && card.text.contains("Vitrine"), "{}", card.text);
    assert!(!card.text.contains("<script") && card.text.len() < 4_000);
    let kept = card.headers[header::ETAG].to_str().unwrap().to_owned();
    let again = world.with("/status/public/card?lang=fr", &[("if-none-match", &kept)]).await;
    assert!(again.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("frame-ancestors *"));
}

#[tokio::test]
async fn a_pasted_link_becomes_a_card() {
    let world = World::fine().await;
    let page = world.get("/status/public").await.text;
    let head = page.split("</head>").next().unwrap();
    let tag = head.split("<link ").find(|tag| tag.contains("application/json+oembed")).unwrap();
    assert!(tag.contains("rel=\"alternate\""), "{tag}");
    let href =
        tag.split("href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&");
    let path = href.strip_prefix("https://console.example").unwrap();
    let found = world.get(path).await;
    assert_eq!(found.headers[header::CONTENT_TYPE], "application/json; charset=utf-8");
    let rich = found.json();
    // What the specification asks of every answer, and of this type.
    assert_eq!((&rich["type"], &rich["version"]), (&json!("rich"), &json!("1.0")));
    assert_eq!(rich["title"], "Example <b>&\"co\"</b>");
    let (width, height) = (rich["width"].as_u64().unwrap(), rich["height"].as_u64().unwrap());
    assert!(width == 600 && (100..400).contains(&height), "{rich}");
    let html = rich["html"].as_str().unwrap();
    assert!(html.starts_with("<iframe src=\"https://console.example/status/public/card?lang=en\""), "{html}");
    assert!(html.contains("&lt;b&gt;") && !html.contains("<b>") && html.ends_with("></iframe>"), "{html}");
    let ask = async |query: &str| world.get(&format!("/oembed?{query}")).await;
    let url = "url=https%3A%2F%2Fconsole.example%2Fstatus%2Fpublic%3Flang%3Dfr";
    let small = ask(&format!("{url}&maxwidth=320&maxheight=120")).await.json();
    assert_eq!((&small["width"], &small["height"], &small["title"]), (&json!(320), &json!(120), &json!("Exemple")));
    let xml = ask(&format!("{url}&format=xml")).await;
    assert_eq!(xml.headers[header::CONTENT_TYPE], "text/xml; charset=utf-8");
    assert_well_formed(&xml.text);
    assert!(xml.text.contains("<type>rich</type>") && xml.text.contains("&lt;iframe src="), "{}", xml.text);
    for (query, status) in [
        (format!("{url}&format=yaml"), 501),
        (format!("{url}&maxwidth=wide"), 400),
        (String::new(), 400),
        ("url=https%3A%2F%2Fconsole.example%2Fstatus%2Fnever".into(), 404),
        ("url=https%3A%2F%2Fevil.example%2Fstatus%2Fpublic".into(), 404),
        ("url=https%3A%2F%2Fconsole.example%40evil.example%2Fstatus%2Fpublic".into(), 404),
        ("url=javascript%3Aalert(1)".into(), 404),
        ("url=https%3A%2F%2Fconsole.example%2Fstatus%2Fpublic%22%3E%3Cscript%3E".into(), 404),
        ("url=http%3A%2F%2F169.254.169.254%2F".into(), 404),
    ] {
        let answer = ask(&query).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {}", answer.text);
        assert!(!answer.text.contains("script") && !answer.text.contains("evil"), "{}", answer.text);
    }
}

#[tokio::test]
async fn the_feed_is_atom_whose_ids_last() {
    let world = World::fine_but(2).await;
    let empty = world.get("/status/public/feed.atom").await;
    assert_eq!(empty.headers[header::CONTENT_TYPE], "application/atom+xml; charset=utf-8");
    assert_well_formed(&empty.text);
    assert!(!empty.text.contains("<entry>"));
    for agent in [world.berlin, world.oslo] {
        world.observe(agent, "secret-check", ProbeState::Down, (2, 1)).await;
    }
    let open = world.until("/status/public/feed.atom", "<entry>").await;
    assert_well_formed(&open);
    let part = |text: &str, tag: &str| -> Vec<String> {
        let (start, end) = (format!("<{tag}>"), format!("</{tag}>"));
        text.split(&start).skip(1).map(|rest| rest.split(&end).next().unwrap().to_owned()).collect()
    };
    let (ids, titles) = (part(&open, "id"), part(&open, "title"));
    assert_eq!((ids.len(), titles.len()), (2, 2), "{open}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 2);
    assert!(ids.iter().all(|id| id.starts_with("urn:uuid:") && id.len() == 45), "{ids:?}");
    assert_eq!(titles[1], "Outage: Front &lt;i&gt;door&lt;/i&gt;");
    assert!(
        part(&open, "updated").iter().chain(&part(&open, "published")).all(|at| at.len() == 20 && at.ends_with('Z'))
    );
    for agent in [world.berlin, world.oslo] {
        world.observe(agent, "secret-check", ProbeState::Up, (1, 0)).await;
    }
    let over = world.until("/status/public/feed.atom", "Resolved").await;
    assert_eq!(part(&over, "id"), ids);
    assert!(part(&over, "updated").last() >= part(&open, "updated").last());
    let french = world.get("/status/public/feed.atom?lang=fr").await.text;
    assert!(french.contains("Panne : Vitrine"), "{french}");
    assert!(french.contains("xml:lang=\"fr\"") && french.contains("Résolu"), "{french}");
    let page = world.get("/status/public").await.text;
    assert!(page.contains("Resolved") && !page.contains("Ongoing incidents"), "{page}");
}

#[tokio::test]
async fn badges_are_pictures_with_a_title_in_both_languages() {
    let world = World::fine().await;
    for (path, told) in [
        ("/status/public/badge/back.svg", "Back office: operational"),
        ("/status/public/badge/back.svg?lang=fr", "Back office : opérationnel"),
        ("/status/public/badge/front.svg?lang=fr&show=7d", "Vitrine · 7 jours : 100,00 %"),
        ("/status/public/badge/back.svg?show=24h", "Back office · 24 h: 100.00 %"),
        ("/status/public/badge/back.svg?show=30d", "Back office · 30 days: 100.00 %"),
        ("/status/public/badge/all.svg?lang=fr", "Exemple : opérationnel"),
    ] {
        let badge = world.get(path).await;
        assert_eq!(badge.headers[header::CONTENT_TYPE], "image/svg+xml; charset=utf-8");
        // Behind a figure the title tells how much of the time is known, where that is not all.
        assert!(badge.text.contains(&format!("<title>{told}")), "{path}: {}", badge.text);
        assert_well_formed(&badge.text);
    }
    let hostile = world.get("/status/public/badge/all.svg?lang=en").await.text;
    assert!(hostile.contains("Example &lt;b&gt;&amp;&quot;co&quot;&lt;/b&gt;"), "{hostile}");
    // Where the owner tells no figures, no badge does.
    let silent = FILE.replace("zone = \"Europe/Paris\"\n", "figures = false\n");
    assert_eq!(world.bench.apply(&silent, json!({})).await.status, StatusCode::OK);
    assert_eq!(world.get("/status/public/badge/back.svg?show=7d").await.status, StatusCode::NOT_FOUND);
    let page = world.get("/status/public").await.text;
    assert!(!page.contains("100.00 %,") && !page.contains("<b>100.00 %</b>") && page.contains(" UTC</time>"), "{page}");
}

#[tokio::test]
async fn what_is_written_is_judged_with_its_place() {
    let bench = Bench::new();
    let told = async |from: &str, to: &str| {
        let answer = bench.apply(&FILE.replace(from, to), json!({"dry_run": true})).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{to}: {}", answer.text);
        answer.json()["errors"][0].as_str().unwrap().to_owned()
    };
    let zone = told("Europe/Paris", "Europe/Pari").await;
    assert!(zone.contains("checks.toml:") && zone.contains("zone: \"Europe/Pari\" is no IANA time zone"), "{zone}");
    let check = told("checks = [\"other-check\"]", "checks = [\"othr-check\"]").await;
    assert!(check.contains("groups[0].items[1].checks[0]: there is no check \"othr-check\""), "{check}");
    let key = told("accent = ", "colour = ").await;
    assert!(key.contains("unknown key \"colour\""), "{key}");
    let item = told("id = \"back\"", "id = \"front\"").await;
    assert!(item.contains("is another item's id already"), "{item}");
}

#[test]
fn the_samples_of_the_status_page_page_parse_and_name_every_key() {
    let page = include_str!("../../../../docs/status-page.md");
    let samples = page.split("```toml\n").skip(1).enumerate();
    let samples: Vec<Source> = samples
        .map(|(index, rest)| Source { name: format!("sample {index}"), text: rest.split("```").next().unwrap().into() })
        .collect();
    let written = checkfile::parse(&samples).unwrap();
    assert!(!written.objects.is_empty());
    for key in sitepulse_model::status_page::StatusPage::KEYS {
        assert!(page.contains(&format!("| `{key}` |")), "docs/status-page.md does not describe {key}");
    }
}
