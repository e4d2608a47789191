//! Findings: planted in a ledger, found, told everywhere, acknowledged, left lying, over.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::impact::task::settle as settle_scores;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_collector::insight::task::{TURN, round, settle};
use sitepulse_collector::present::door::Door;
use sitepulse_collector::seal::retention::Retention;
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::AgentKey;
use sitepulse_model::control::{Change, Scope, Weight};
use sitepulse_model::id::{AgentName, AgentNo, CheckId, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Cause, Facts, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{Batch, Entry, JoinRequest};

use super::bench::{Bench, options};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// What checks of these worlds run by.
const INTERVAL_US: u64 = 15 * MINUTE.unsigned_abs();
/// How old these worlds are.
const LIFE: i64 = 36 * DAY;

/// A collector with 36 days of history.
pub struct World {
    pub bench: Bench,
    pub now: UtcMicros,
    seq: std::cell::Cell<u64>,
}

/// A run: how long it took, its state, its certificate's end.
#[derive(Clone, Copy)]
pub struct Ran {
    pub us: u64,
    pub state: ProbeState,
    pub certificate: Option<UtcMicros>,
    pub dns_us: Option<u64>,
}

pub fn up(us: u64) -> Ran {
    Ran { us, state: ProbeState::Up, certificate: None, dns_us: None }
}

fn down() -> Ran {
    Ran { state: ProbeState::Down, ..up(0) }
}

/// The definition of a check that runs each quarter of an hour.
pub fn check(id: &str) -> String {
    format!(
        "[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"https://{id}.example/\"\ninterval = \"15m\"\ntimeout = \"10s\"\nconfirmations = 1\n"
    )
}

impl World {
    pub async fn new(file: &str) -> Self {
        let (bench, now) = (Bench::new(), clock::now());
        bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
        let world = Self { bench, now, seq: std::cell::Cell::new(0) };
        world.apply(file, now.plus_us(-LIFE)).await;
        world
    }

    async fn apply(&self, file: &str, at: UtcMicros) {
        let written = checkfile::parse(&[Source { name: "checks.toml".into(), text: file.into() }]).unwrap();
        self.bench.app.apply(written, options(), at).await.unwrap();
    }

    pub async fn enrol(&self, region: &str, name: &str) -> AgentNo {
        let (region, name) = (Region::parse(region).unwrap(), AgentName::parse(name).unwrap());
        let start = self.now.plus_us(-LIFE);
        let enrol = move |engine: &mut sitepulse_collector::engine::Engine| {
            let token = engine.create_join_token(region, 3_600_000_000, start).unwrap().token;
            let csr_der = AgentKey::generate().unwrap().csr_der(&name).unwrap();
            let (protocol_min, protocol_max, build) = (1, 1, "0.0.0".to_owned());
            let request =
                JoinRequest { protocol_min, protocol_max, secret: token.secret, name: Some(name), csr_der, build };
            engine.join(&request, start).unwrap().unwrap().agent
        };
        self.bench.app.writer().run(enrol).await.unwrap()
    }

    /// Has an agent run a check every quarter of an hour from so many minutes ago until so many; what each run was, by how many minutes ago it was.
    pub async fn ran(&self, agent: AgentNo, check: &str, minutes: (i64, i64), of: impl Fn(i64) -> Ran) {
        let id = CheckId::parse(check).unwrap();
        let (number, revision, name) = {
            let book = self.bench.app.book();
            let check = book.check_by_id(&id).unwrap();
            (check.number, check.newest().revision, book.agent(agent).unwrap().name.clone())
        };
        let lattice = Lattice::new(&id, &name, INTERVAL_US);
        let mut entries = Vec::new();
        let mut ago = minutes.0;
        while ago >= minutes.1 {
            let (scheduled, ran) = (lattice.at_or_before(self.now.plus_us(-ago * MINUTE)), of(ago));
            let mut facts = Facts { status: Some(200), ..Facts::default() };
            facts.certificate_expires = ran.certificate;
            let phases =
                Phases { total: Some(ran.us), dns: ran.dns_us, first_byte: Some(ran.us / 2), ..Phases::default() };
            let result = ProbeResult {
                check: number,
                revision: Revision(revision.0),
                scheduled,
                started: scheduled,
                phases,
                state: ran.state,
                cause: (ran.state == ProbeState::Down).then_some(Cause::Timeout),
                failed_phase: None,
                detail: String::new(),
                address: None,
                facts,
            };
            let seq = self.seq.replace(self.seq.get() + 1);
            let record = Record::Result(result);
            entries.push(Entry { bucket: id.bucket(), seq: Seq(seq), provenance: 0, record });
            ago -= 15;
        }
        for some in entries.chunks(500) {
            let provenances =
                vec![Provenance { build: "0.0.0".into(), clock_offset_us: None, clock_uncertainty_us: 0 }];
            let incarnation = Incarnation(u64::from(agent.0));
            let batch = Batch { number: 1, incarnation, provenances, entries: some.to_vec() };
            let job = IngestJob { agent, received_at: self.now, batch };
            let stored = self.bench.app.writer().run(move |engine| engine.ingest(vec![job])).await.unwrap().unwrap()[0];
            assert_eq!(stored.stored as usize, some.len());
        }
    }

    /// Looks at everything, some time from now.
    pub async fn look(&self, later_us: i64) {
        settle(&self.bench.app, self.now.plus_us(later_us)).await.unwrap();
    }

    async fn list(&self, query: &str) -> Vec<Value> {
        let answer = self.bench.get(&format!("/api/v1/findings{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json().as_array().unwrap().clone()
    }

    /// The one finding of a kind.
    async fn only(&self, query: &str) -> Value {
        let found = self.list(query).await;
        let [one] = &found[..] else { panic!("{query}: {found:#?}") };
        one.clone()
    }
}

/// A check whose certificate ends in so many days.
pub async fn expiring(days: i64) -> (World, AgentNo, String) {
    let world = World::new(&check("shop")).await;
    let agent = world.enrol("eu-west", "w").await;
    let ends = Some(world.now.plus_us(days * DAY));
    world.ran(agent, "shop", (120, 0), |_| Ran { certificate: ends, ..up(100_000) }).await;
    world.look(0).await;
    let id = world.only("?kind=expiry").await["id"].as_str().unwrap().to_owned();
    (world, agent, id)
}

#[tokio::test]
async fn a_check_that_became_slower_is_found_with_its_numbers_sealed_or_not() {
    let world = World::new(&check("shop")).await;
    let agent = world.enrol("eu-west", "w").await;
    // By day twice as slow as by night, with a little noise, and 1.8 times that for the last 20 hours.
    let of = |ago: i64| {
        let season = if (ago / 60) % 24 < 12 { 100_000 } else { 200_000 };
        let noise = (ago / 15 * 7_919) % 4_001;
        let us = season + season * noise.unsigned_abs() / 100_000;
        up(if ago < 20 * 60 { us * 9 / 5 } else { us })
    };
    world.ran(agent, "shop", (35 * 24 * 60, 0), of).await;
    world.look(0).await;
    let one = world.only("?kind=latency_regression").await;
    assert_eq!((&one["check"], &one["state"], &one["stale"]), (&json!("shop"), &json!("open"), &json!(false)));
    let en = one["sentence"]["en"].as_str().unwrap();
    assert!(
        en.starts_with("shop takes 1.") && en.contains("x what these hours of the week used to take, since 20"),
        "{en}"
    );
    let fr = one["sentence"]["fr"].as_str().unwrap();
    assert!(fr.starts_with("shop prend 1,") && fr.contains("depuis le 20"), "{fr}");
    let detail = world.bench.get(&format!("/api/v1/findings/{}", one["id"].as_str().unwrap())).await.json();
    let ratio = detail["evidence"]["ratio_per_mille"].as_u64().unwrap();
    assert!((1_700..=1_900).contains(&ratio), "{detail}");
    let since = sitepulse_daemon::instant::parse(one["since"].as_str().unwrap(), world.now).unwrap();
    let hours = world.now.us_since(since) as f64 / HOUR as f64;
    assert!((18.0..=22.0).contains(&hours), "found to begin {hours} h ago, planted 20");
    assert_eq!(detail["history"][0]["action"], "opened");
    assert!(detail["links"].as_array().unwrap().iter().any(|link| link["href"] == "/checks/shop?span=30d"));
    // The same from the store's sketches.
    world.bench.app.writer().run(|engine| engine.seal_now().unwrap()).await.unwrap();
    world.look(1).await;
    let again = world.bench.get(&format!("/api/v1/findings/{}", one["id"].as_str().unwrap())).await.json();
    // What is open is looked at from four weeks before it: its baseline has an hour more.
    let told = |one: &Value| {
        let evidence = ["before_us", "after_us", "ratio_per_mille", "hours", "hours_slower"];
        (evidence.map(|name| one["evidence"][name].clone()), one["since"].clone())
    };
    assert_eq!(told(&again), told(&detail));
}

#[tokio::test]
async fn a_certificate_that_ends_is_found_and_closes_when_it_is_renewed() {
    let (world, agent, id) = expiring(6).await;
    let one = world.only("?kind=expiry").await;
    assert_eq!((&one["part"], &one["severity"]), (&json!("certificate"), &json!("warning")));
    let en = one["sentence"]["en"].as_str().unwrap();
    assert!(en.starts_with("The certificate of shop ends in 5 d 23 h, on 20") || en.contains("ends in 6 d"), "{en}");
    assert_eq!(world.list("?severity=critical").await.len(), 0);
    // Renewed: seen by the next run.
    let far = Some(world.now.plus_us(80 * DAY));
    world.ran(agent, "shop", (-15, -15), |_| Ran { certificate: far, ..up(100_000) }).await;
    world.look(16 * MINUTE).await;
    assert!(world.list("?kind=expiry").await.is_empty());
    let over = world.only("?kind=expiry&state=closed").await;
    assert_eq!((&over["id"], &over["state"]), (&json!(id), &json!("closed")));
    // An old one is put back: the same finding, open again.
    let ends = Some(world.now.plus_us(2 * DAY));
    world.ran(agent, "shop", (-30, -30), |_| Ran { certificate: ends, ..up(100_000) }).await;
    world.look(31 * MINUTE).await;
    let back = world.only("?kind=expiry").await;
    assert_eq!((&back["id"], &back["reopened"], &back["severity"]), (&json!(id), &json!(1), &json!("critical")));
    let detail = world.bench.get(&format!("/api/v1/findings/{id}")).await.json();
    let actions: Vec<&str> =
        detail["history"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["opened", "closed", "reopened"]);
}

#[tokio::test]
async fn certificates_that_live_for_days_are_told_by_a_third_of_their_life_once_that_is_known() {
    let world = World::new(&check("shop")).await;
    let agent = world.enrol("eu-west", "w").await;
    // They end so many hours from now, and are renewed a day after they were seen first.
    let show = async |from_h: i64, to_h: i64, ends_h: i64| {
        let certificate = Some(world.now.plus_us(ends_h * HOUR));
        world.ran(agent, "shop", (from_h * 60 - 15, to_h * 60), |_| Ran { certificate, ..up(100_000) }).await;
        world.look(-to_h * HOUR).await;
    };
    show(60, 48, -8).await;
    let first = world.only("?kind=expiry").await;
    assert_eq!(first["severity"], "critical", "40 hours are left: {first}");
    show(48, 24, 24).await;
    assert_eq!(world.list("?kind=expiry").await.len(), 1, "one renewal: it may have been an old one");
    show(24, 0, 48).await;
    assert!(world.list("?kind=expiry").await.is_empty(), "two renewals that agree: they live for two days");

    // What is known survives a restart. A third of its life is told again.
    let bench = world.bench.again().await;
    let at = async |hours: i64| {
        settle(&bench.app, world.now.plus_us(hours * HOUR)).await.unwrap();
        bench.get("/api/v1/findings?kind=expiry").await.json()
    };
    assert_eq!(at(31).await, json!([]), "17 hours are left");
    let told = at(33).await;
    assert_eq!((&told[0]["severity"], &told[0]["reopened"]), (&json!("warning"), &json!(1)), "{told}");
    let detail = bench.get(&format!("/api/v1/findings/{}", told[0]["id"].as_str().unwrap())).await.json();
    assert_eq!(detail["evidence"]["told_from_us"], 16 * HOUR, "{detail}");
}

#[tokio::test]
async fn what_flaps_what_is_watched_by_one_and_what_burns_is_found() {
    let slo = "[[slo]]\nid = \"promise\"\nchecks = [\"shop\"]\nobjective = \"99%\"\n";
    let world = World::new(&(check("shop") + slo)).await;
    let agent = world.enrol("eu-west", "w").await;
    // Half an hour bad, two hours good, for five days.
    let of = |ago: i64| if ago < 5 * 24 * 60 && (ago / 15) % 10 < 2 { down() } else { up(100_000) };
    world.ran(agent, "shop", (20 * 24 * 60, 0), of).await;
    world.look(0).await;
    let flapping = world.only("?kind=flapping").await;
    let en = flapping["sentence"]["en"].as_str().unwrap();
    assert!(en.starts_with("shop turned ") && en.contains("times between good and bad within 1 d"), "{en}");
    let gap = world.only("?kind=coverage_gap").await;
    assert_eq!(gap["sentence"]["en"], "One agent alone watches shop: what it sees is what is told");
    let budget = world.only("?kind=budget_forecast").await;
    assert_eq!(
        (&budget["slo"], &budget["checks"], &budget["check"]),
        (&json!("promise"), &json!(["shop"]), &json!(null))
    );
    assert!(budget["sentence"]["en"].as_str().unwrap().starts_with("The error budget of promise is spent"), "{budget}");
    assert_eq!(world.list("?check=shop").await.len(), world.list("").await.len(), "it counts for the check");
}

/// The defect: with each edit of the check, change of a weight, end of a suspension the finding closed for an hour, and its playbook ticked itself.
#[tokio::test]
async fn a_coverage_gap_outlives_an_edit_of_the_check() {
    let world = World::new(&check("shop")).await;
    let agent = world.enrol("eu-west", "w").await;
    world.ran(agent, "shop", (24 * 60, 0), |_| up(100_000)).await;
    world.look(0).await;
    let gap = world.only("?kind=coverage_gap").await;
    world.apply(&check("shop").replace("10s", "9s"), world.now.plus_us(HOUR - MINUTE)).await;
    world.look(HOUR).await;
    let after = world.only("?kind=coverage_gap").await;
    assert_eq!((&after["id"], &after["since"], &after["reopened"]), (&gap["id"], &gap["since"], &json!(0)), "{after}");
    assert_eq!(after["state"], "open", "{after}");
    // Once another agent watches it, it is over.
    world.enrol("eu-north", "n").await;
    world.look(2 * HOUR).await;
    assert_eq!(world.list("?kind=coverage_gap").await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_acknowledgement_says_why_and_what_is_acknowledged_counts_no_more() {
    let (world, _, id) = expiring(6).await;
    let bench = &world.bench;
    let path = format!("/api/v1/findings/{id}/acknowledgement");
    let counted = async || {
        settle_scores(&bench.app, clock::now()).await.unwrap();
        let score = bench.get("/api/v1/impact/shop").await.json();
        let part = score["contributions"].as_array().unwrap().iter().find(|one| one["signal"] == "open_findings");
        let debt = bench.get("/api/v1/kpi").await.json();
        let term = debt["debt"]["terms"].as_array().unwrap().iter().find(|term| term["term"] == "open_findings");
        (part.unwrap()["value"].as_f64().unwrap(), score["score"].as_f64().unwrap(), term.unwrap()["count"].clone())
    };
    let (value, score, debt) = counted().await;
    // The gap in coverage informs or warns: what matters is what the acknowledgement takes away.
    assert!(value >= 2.0 && score > 0.0 && debt.as_u64() >= Some(1), "{value} {score} {debt}");
    for (body, status) in [(json!({"note": " "}), 400), (json!({}), 400), (json!({"note": "x", "by": "y"}), 400)] {
        assert_eq!(bench.post(&path, &body).await.status.as_u16(), status, "{body}");
    }
    assert_eq!(bench.post("/api/v1/findings/none/acknowledgement", &json!({"note": "x"})).await.status.as_u16(), 404);
    let taken = bench.post(&path, &json!({"note": "<b>renewed</b> on Friday"})).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text);
    let taken = taken.json();
    assert_eq!(
        (&taken["state"], &taken["acknowledged"]["note"]),
        (&json!("acknowledged"), &json!("<b>renewed</b> on Friday"))
    );
    // The defect: the colon had a French space on English pages.
    let page = async |lang: &str| bench.get(&format!("/findings/{id}?lang={lang}")).await.text;
    let (en, fr) = (page("en").await, page("fr").await);
    assert!(en.contains(": &#60;b&#62;renewed") && !en.contains(" : &#60;b&#62;renewed"), "{en}");
    assert!(fr.contains("\u{a0}: &#60;b&#62;renewed"), "{fr}");
    let (after, lower, less) = counted().await;
    assert_eq!(value - after, 2.0);
    assert!(lower < score, "{lower} {score}");
    assert_eq!(less.as_u64().map(|count| count + 1), debt.as_u64());
    // Found again it stays acknowledged.
    world.look(HOUR).await;
    assert_eq!(world.only("?kind=expiry").await["state"], "acknowledged");
    assert_eq!(world.list("?state=acknowledged").await.len(), 1);
    let back = bench.send(Door::Local, "DELETE", &path, &[], "").await;
    assert_eq!(back.status, StatusCode::NO_CONTENT, "{}", back.text);
    assert_eq!(counted().await.0, value);
    assert_eq!(bench.send(Door::Local, "DELETE", &path, &[], "").await.status.as_u16(), 409);
    let metrics = bench.get("/metrics").await.text;
    assert!(metrics.contains("sitepulse_findings_open{kind=\"expiry\",severity=\"warning\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn findings_survive_a_restart_and_go_on() {
    let (world, _, id) = expiring(6).await;
    let path = format!("/api/v1/findings/{id}/acknowledgement");
    assert_eq!(world.bench.post(&path, &json!({"note": "known"})).await.status, StatusCode::OK);
    let before = world.bench.get(&format!("/api/v1/findings/{id}")).await.json();
    let World { bench, now, seq } = world;
    let world = World { bench: bench.again().await, now, seq };
    assert_eq!(world.bench.get(&format!("/api/v1/findings/{id}")).await.json(), before);
    // What was looked at within the hour waits for its turn, and its score knows what was found.
    let looked = round(&world.bench.app, now.plus_us(1), TURN).await.unwrap();
    assert_eq!(looked.noted.opened, 0);
    settle_scores(&world.bench.app, clock::now()).await.unwrap();
    let score = world.bench.get("/api/v1/impact/shop").await.json();
    assert!(score["contributions"].as_array().unwrap().iter().any(|one| one["signal"] == "open_findings"), "{score}");
    world.look(2 * HOUR).await;
    let after = world.only("?kind=expiry").await;
    assert_eq!(
        (&after["id"], &after["state"], &after["opened_at"]),
        (&json!(id), &json!("acknowledged"), &before["opened_at"])
    );
}

#[tokio::test]
async fn what_nobody_touches_for_five_days_is_stale_and_costs_more() {
    let world = World::new(&check("shop")).await;
    let agent = world.enrol("eu-west", "w").await;
    let ends = Some(world.now.plus_us(DAY));
    world.ran(agent, "shop", (120, 0), |_| Ran { certificate: ends, ..up(100_000) }).await;
    world.look(-6 * DAY).await;
    world.look(0).await;
    let stale = world.only("?state=stale&kind=expiry").await;
    assert_eq!((&stale["stale"], &stale["severity"]), (&json!(true), &json!("critical")));
    let kpi = world.bench.get("/api/v1/kpi").await.json();
    let term = kpi["debt"]["terms"].as_array().unwrap().iter().find(|term| term["term"] == "stale_findings").unwrap();
    assert!(
        term["count"].as_u64() >= Some(1) && term["named"].to_string().contains(stale["id"].as_str().unwrap()),
        "{term}"
    );
    // Touched, it is stale no more.
    let path = format!("/api/v1/findings/{}/acknowledgement", stale["id"].as_str().unwrap());
    world.bench.post(&path, &json!({"note": "known"})).await;
    assert!(world.list("?state=stale&kind=expiry").await.is_empty());
}

#[tokio::test]
async fn what_a_finding_is_about_may_go_and_what_is_over_goes_with_its_age() {
    let (world, _, id) = expiring(6).await;
    world.bench.apply(&check("other"), json!({"prune": true})).await;
    world.look(HOUR).await;
    let over = world.bench.get(&format!("/api/v1/findings/{id}")).await.json();
    assert_eq!((&over["state"], &over["history"][1]["action"]), (&json!("closed"), &json!("gone")));
    let refused = world.bench.post(&format!("/api/v1/findings/{id}/acknowledgement"), &json!({"note": "x"})).await;
    assert_eq!(refused.status.as_u16(), 409, "{}", refused.text);
}

#[tokio::test]
async fn what_is_over_goes_with_its_age_and_what_is_open_stays() {
    let world =
        World::new(&(check("shop") + &check("idle").replace("[[check]]\n", "[[check]]\nregions = [\"nowhere\"]\n")))
            .await;
    // Nobody watched them 20 days ago; a day later two did, but only one of them.
    world.look(-20 * DAY).await;
    let id = |found: Value| found["id"].as_str().unwrap().to_owned();
    let (shop, idle) = (id(world.only("?check=shop").await), id(world.only("?check=idle").await));
    for (region, name) in [("eu-west", "a"), ("us-east", "b")] {
        let agent = world.enrol(region, name).await;
        world.ran(agent, "shop", (60, 0), |_| up(100_000)).await;
    }
    world.look(-19 * DAY).await;
    assert_eq!(world.bench.get(&format!("/api/v1/findings/{shop}")).await.json()["state"], "closed");
    let retention = Retention { hourly_us: Some(2 * DAY.unsigned_abs()), ..Retention::default() };
    let now = world.now;
    world.bench.app.writer().run(move |engine| engine.expire_now(retention, now).unwrap()).await.unwrap();
    assert_eq!(world.bench.get(&format!("/api/v1/findings/{shop}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.bench.get(&format!("/api/v1/findings/{idle}")).await.json()["state"], "open");
}

#[tokio::test]
async fn the_console_tells_them_in_both_languages_and_takes_acknowledgements() {
    let (world, _, id) = expiring(2).await;
    let bench = &world.bench;
    let list = bench.get("/findings").await.text;
    assert!(list.contains("The certificate of shop ends in") && list.contains("confidence"), "{list}");
    assert!(list.contains(&format!("id=\"finding-{id}\"")) && list.contains("told from"), "{list}");
    let french = bench.get("/findings?lang=fr").await.text;
    assert!(french.contains("Le certificat de shop expire dans") && french.contains("confiance"), "{french}");
    assert!(bench.get("/checks/shop").await.text.contains(&format!("href=\"/findings/{id}\"")));
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    let path = format!("/findings/{id}/acknowledge");
    let empty = bench.send(Door::Local, "POST", &path, &[FORM], "note=+").await;
    assert_eq!(empty.status.as_u16(), 400, "{}", empty.text);
    assert!(empty.text.contains("say why it may stay"), "{}", empty.text);
    let done = bench.send(Door::Local, "POST", &path, &[FORM], "note=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert_eq!((done.status.as_u16(), done.headers["location"].to_str().unwrap()), (303, &*format!("/findings/{id}")));
    let page = bench.get(&format!("/findings/{id}")).await.text;
    assert!(page.contains("&#60;script&#62;alert(1)") && !page.contains("<script>alert"), "{page}");
    assert!(page.contains("Take back"), "{page}");
    let back = bench.send(Door::Local, "POST", &format!("/findings/{id}/take-back"), &[FORM], "").await;
    assert_eq!(back.status.as_u16(), 303);
    assert_eq!(bench.get("/findings/none").await.status.as_u16(), 404);
    for bad in ["?state=none", "?kind=none", "?severity=none", "?check=none", "?colour=red"] {
        assert!(bench.get(&format!("/api/v1/findings{bad}")).await.status.is_client_error(), "{bad}");
    }
}

#[tokio::test]
async fn a_region_a_resolver_and_an_agent_that_stand_out_are_found() {
    let ids = ["one", "two", "three"];
    let world = World::new(&ids.map(check).concat()).await;
    let mut agents = Vec::new();
    for (region, name) in [("eu-west", "a"), ("us-east", "b"), ("ap-south", "c")] {
        agents.push((world.enrol(region, name).await, name));
    }
    for id in ids {
        for (agent, name) in &agents {
            let own = *name == "c";
            let of = move |ago: i64| {
                let noise = (ago / 15 * 7_919 % 401).unsigned_abs();
                let late = own && ago < 24 * 60;
                // The third is slow for a day, resolves slowly, and says down of what the others see up, two hours in five.
                let us = if late { 320_000 } else { 200_000 } + noise * 10;
                let dns_us = Some(if late { 90_000 } else { 10_000 } + noise);
                if late && (ago / 60) % 5 < 2 { down() } else { Ran { dns_us, ..up(us) } }
            };
            world.ran(*agent, id, (34 * 24 * 60, 0), of).await;
        }
    }
    world.look(0).await;
    let slow = world.list("?kind=region_slow").await;
    assert_eq!(slow.len(), 3, "{slow:#?}");
    assert!(slow.iter().all(|one| one["part"] == "region:ap-south"), "{slow:#?}");
    let resolver = world.only("?kind=slow_resolver").await;
    assert_eq!((&resolver["agent"], &resolver["check"], &resolver["checks"]), (&json!("c"), &json!(null), &json!([])));
    assert!(resolver["sentence"]["en"].as_str().unwrap().starts_with("Names take "), "{resolver}");
    let agent = world.only("?kind=agent_disagrees").await;
    assert_eq!(agent["agent"], "c");
    let en = agent["sentence"]["en"].as_str().unwrap();
    assert!(en.starts_with("c said something else than the other agents in ") && en.contains("about 3 checks"), "{en}");
    // Looked at again nothing is counted twice.
    let path = format!("/api/v1/findings/{}", agent["id"].as_str().unwrap());
    let before = world.bench.get(&path).await.json()["evidence"].clone();
    world.look(1).await;
    assert_eq!(world.bench.get(&path).await.json()["evidence"], before);
    // The agent goes, and what was about it.
    let name = AgentName::parse("c").unwrap();
    world.bench.app.revoke_agent(&name, world.now.plus_us(2)).await.unwrap();
    world.look(3).await;
    assert!(world.list("?kind=agent_disagrees").await.is_empty() && world.list("?kind=slow_resolver").await.is_empty());
}

#[tokio::test]
async fn checks_that_share_a_domain_and_fail_together_are_one_finding() {
    let sharing = ["shop", "pay", "search", "login"];
    let others = ["a", "b", "d", "e", "f", "g"];
    let shared = sharing.map(|id| check(id).replace(&format!("{id}.example"), &format!("{id}.brand.example")));
    let world = World::new(&(shared.concat() + &others.map(check).concat())).await;
    let agent = world.enrol("eu-west", "w").await;
    for id in sharing.into_iter().chain(others) {
        let fails = sharing.contains(&id);
        let of = move |ago: i64| if fails && (60..120).contains(&ago) { down() } else { up(100_000) };
        world.ran(agent, id, (10 * 24 * 60, 0), of).await;
    }
    world.look(0).await;
    let one = world.only("?kind=correlated_failures").await;
    assert_eq!((&one["shared"], &one["check"]), (&json!("domain:brand.example"), &json!(null)));
    assert_eq!(one["checks"], json!(["login", "pay", "search", "shop"]), "it counts for each");
    assert!(one["sentence"]["en"].as_str().unwrap().contains("share the domain brand.example: 4 of 4"), "{one}");
    assert_eq!(world.list("?kind=correlated_failures&check=pay").await.len(), 1);
    assert!(world.list("?kind=correlated_failures&check=a").await.is_empty());
}

#[tokio::test]
async fn checks_that_need_one_provider_and_fail_together_are_one_finding() {
    let needing = ["shop", "pay", "search", "login"];
    let others = ["a", "b", "d", "e", "f", "g"];
    let provided = needing.map(|id| check(id) + "providers = [\"ovh\", \"stripe\"]\n").concat();
    // Who needs the other provider alone is fine.
    let alone = ["h", "i"].map(|id| check(id) + "providers = [\"stripe\"]\n").concat();
    let world = World::new(&(provided + &alone + &others.map(check).concat())).await;
    let agent = world.enrol("eu-west", "w").await;
    for id in needing.into_iter().chain(others).chain(["h", "i"]) {
        let fails = needing.contains(&id);
        let of = move |ago: i64| if fails && (60..120).contains(&ago) { down() } else { up(100_000) };
        world.ran(agent, id, (10 * 24 * 60, 0), of).await;
    }
    world.look(0).await;
    let one = world.only("?kind=correlated_failures").await;
    assert_eq!(one["shared"], json!("provider:ovh"));
    let sentence = |language: &str| one["sentence"][language].as_str().unwrap().to_owned();
    assert!(sentence("en").contains("share the provider ovh: 4 of 4"), "{one}");
    assert!(sentence("fr").contains("partagent le fournisseur ovh\u{a0}: 4 sur 4"), "{one}");
    let page = world.bench.get("/checks/shop").await.text;
    assert!(page.contains("Providers") && page.contains("ovh, stripe"), "{page}");
}

#[tokio::test]
async fn a_page_that_got_worse_is_found_with_what_came_with_it() {
    use super::pages::{Found, Pages};
    use sitepulse_model::record::FactKey;
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let found = |run: i64| {
        let late = run < 40;
        let lcp = if late { 3_400_000 } else { 2_400_000 } + (run * 7_919 % 101).unsigned_abs() * 1_000;
        let (element, url) = if late { ("img.hero", "https://shop.example/hero-4k.png?v=1") } else { ("h1.title", "") };
        let mut more = vec![(FactKey::LcpElement, element.into())];
        more.extend((!url.is_empty()).then(|| (FactKey::LcpUrl, url.to_owned())));
        // The footer always moves; an advertisement moves besides since, and less.
        let (cls, ad) = if late { (1_500, r#", {"score": 600, "sources": ["div.ad"]}"#) } else { (800, "") };
        let shifts = format!(r#"{{"score": 800, "sources": ["footer"]}}{ad}"#);
        let report = format!(
            r#"{{"loads": [{{"values": {{"cls": {cls}}}}}], "shown": 0, "attribution": {{"shifts": [{shifts}]}}}}"#
        );
        more.push((FactKey::VitalsReport, report));
        Found { lcp: Some(lcp), cls: Some(cls + run.unsigned_abs() % 20), more, ..Found::default() }
    };
    let entries = (0..9 * 96).rev().map(|run| pages.entry(pages.result(agent, run * 15, &found(run))));
    pages.ingest(agent, entries.collect()).await;
    settle(&pages.bench.app, pages.now).await.unwrap();
    let list = pages.bench.get("/api/v1/findings?kind=vitals_regression").await.json();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2, "{list:#?}");
    let of = |part: &str| list.iter().find(|one| one["part"] == part).unwrap();
    let sentence = |one: &Value, language: &str| one["sentence"][language].as_str().unwrap().to_owned();
    let (lcp, cls) = (of("vital:lcp"), of("vital:cls"));
    let en = sentence(lcp, "en");
    assert!(en.starts_with("LCP of shop-vitals is 1."), "{en}");
    let new = "; new with it: the largest element img.hero (before mostly h1.title) and the largest element's source https://shop.example/hero-4k.png?v=1";
    assert!(en.ends_with(new), "{en}");
    let en = sentence(cls, "en");
    let new = "; new with it: the element that moves div.ad (before mostly footer) and the largest element img.hero (before mostly h1.title)";
    assert!(en.ends_with(new), "{en}");
    let fr = sentence(cls, "fr");
    assert!(fr.contains("\u{a0}; nouveau depuis\u{a0}: l’élément qui se déplace div.ad (avant, surtout footer) et le plus grand élément img.hero"), "{fr}");
    // The evidence has it by numbers: of the runs since and of those of the week before.
    let path = format!("/api/v1/findings/{}", cls["id"].as_str().unwrap());
    let evidence = pages.bench.get(&path).await.json()["evidence"].clone();
    let ad = &evidence["changed"][0];
    assert_eq!((&ad["of"], &ad["before"], &ad["after"]), (&json!("shift_source"), &json!("footer"), &json!("div.ad")));
    // The change is known by the hour: up to three runs before it are of that hour.
    let told = ad["runs_told"].as_u64().unwrap();
    assert!(ad["runs"] == 40 && (40..=43).contains(&told), "{ad}");
    assert_eq!((&ad["runs_before"], &ad["runs_before_told"]), (&json!(0), &json!(7 * 96)), "{ad}");
    assert!(!evidence.to_string().contains("\"after\":\"footer\""), "what always moved is not new: {evidence}");
    let page = pages.bench.get(&format!("/findings/{}", cls["id"].as_str().unwrap())).await;
    let row = format!("div.ad (in 40 of {told} runs since and 0 of 672 before, then mostly: footer)");
    assert!(page.text.contains(&row), "{}", page.text);
}

#[tokio::test]
async fn lists_have_pages_and_nothing_is_said_before_anybody_looked() {
    let world = World::new(&(0..5).map(|n| check(&format!("c-{n}"))).collect::<String>()).await;
    assert!(world.bench.get("/findings").await.text.contains("Nothing was looked at yet"));
    let kpi = world.bench.get("/api/v1/kpi").await.json();
    let term = |kpi: &Value| {
        let terms = kpi["debt"]["terms"].as_array().unwrap();
        terms.iter().find(|term| term["term"] == "open_findings").unwrap()["count"].clone()
    };
    assert_eq!(term(&kpi), json!(null), "absent, which is not 0");
    // Nobody watches them: five gaps.
    world.look(0).await;
    let all = world.list("?kind=coverage_gap").await;
    assert_eq!(all.len(), 5);
    assert_eq!(
        all[0]["sentence"]["en"].as_str().unwrap().split(' ').skip(1).collect::<Vec<_>>().join(" "),
        "is watched by nobody: no agent is assigned to it"
    );
    assert!(term(&world.bench.get("/api/v1/kpi").await.json()).as_u64() >= Some(5));
    let (mut met, mut next) = (Vec::new(), Some("/api/v1/findings?kind=coverage_gap&limit=2".to_owned()));
    while let Some(path) = next {
        let page = world.bench.get(&path).await;
        met.extend(page.json().as_array().unwrap().iter().map(|one| one["id"].clone()));
        let link = page.headers.get("link").and_then(|link| link.to_str().ok());
        next = link.and_then(|link| Some(link.strip_prefix('<')?.split_once('>')?.0.to_owned()));
    }
    assert_eq!(met, all.iter().map(|one| one["id"].clone()).collect::<Vec<_>>());
}

/// A run that timed out sees no certificate: that closed the finding, and threw away what somebody had said of it.
#[tokio::test]
async fn a_failed_run_is_no_renewal() {
    let (world, agent, id) = expiring(6).await;
    let path = format!("/api/v1/findings/{id}/acknowledgement");
    assert_eq!(world.bench.post(&path, &json!({"note": "known"})).await.status, StatusCode::OK);
    let expiring_debt = async |world: &World| {
        let kpi = world.bench.get("/api/v1/kpi").await.json();
        kpi["debt"]["terms"].as_array().unwrap().iter().find(|term| term["term"] == "expiring").unwrap()["count"]
            .clone()
    };
    assert_eq!(expiring_debt(&world).await, json!(1));
    world.ran(agent, "shop", (-15, -30), |_| down()).await;
    world.look(31 * MINUTE).await;
    let one = world.only("?kind=expiry").await;
    assert_eq!((&one["id"], &one["state"]), (&json!(id), &json!("acknowledged")));
    assert_eq!(expiring_debt(&world).await, json!(1));
    // Sealed or not, what was seen comes back with a start.
    world.bench.app.writer().run(|engine| engine.seal_now().unwrap()).await.unwrap();
    let World { bench, now, seq } = world;
    let world = World { bench: bench.again().await, now, seq };
    world.look(32 * MINUTE).await;
    assert_eq!(world.only("?kind=expiry").await["state"], "acknowledged");
    assert_eq!(expiring_debt(&world).await, json!(1));
    let ends = Some(now.plus_us(6 * DAY));
    world.ran(agent, "shop", (-45, -45), |_| Ran { certificate: ends, ..up(100_000) }).await;
    world.look(46 * MINUTE).await;
    let detail = world.bench.get(&format!("/api/v1/findings/{id}")).await.json();
    let actions: Vec<&str> =
        detail["history"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!((actions, &detail["state"]), (vec!["opened", "acknowledged"], &json!("acknowledged")));
    // Who is well without one needs none.
    world.ran(agent, "shop", (-60, -60), |_| up(100_000)).await;
    world.look(61 * MINUTE).await;
    assert!(world.list("?kind=expiry").await.is_empty());
    assert_eq!(expiring_debt(&world).await, json!(0));
    // Back within a day it needs no second word.
    world.ran(agent, "shop", (-75, -75), |_| Ran { certificate: ends, ..up(100_000) }).await;
    world.look(76 * MINUTE).await;
    let back = world.only("?kind=expiry").await;
    assert_eq!((&back["id"], &back["state"], &back["reopened"]), (&json!(id), &json!("acknowledged"), &json!(1)));
    let detail = world.bench.get(&format!("/api/v1/findings/{id}")).await.json();
    assert_eq!(
        (&detail["acknowledged"]["note"], &detail["history"][3]["action"]),
        (&json!("known"), &json!("reopened"))
    );
}

/// So many checks of one agent, of which all but a fifth share a domain; those that share it fail from some minutes on.
async fn one_agent_and_many(count: usize) -> (World, AgentNo, Vec<String>) {
    let ids: Vec<String> = (0..count).map(|nth| format!("c-{nth:03}")).collect();
    let shares = |id: &str| !id.ends_with(['0', '5']);
    let file = |id: &String| {
        let brand = if shares(id) { format!("{id}.brand.example") } else { format!("{id}.example") };
        check(id).replace(&format!("{id}.example"), &brand)
    };
    let world = World::new(&ids.iter().map(file).collect::<String>()).await;
    let agent = world.enrol("eu-west", "w").await;
    for id in &ids {
        world.ran(agent, id, (60, 0), |_| up(100_000)).await;
    }
    let sharing = ids.into_iter().filter(|id| shares(id)).collect();
    (world, agent, sharing)
}

/// Rounds as the task makes them, until nothing is left.
async fn rounds(world: &World, later_us: i64) -> usize {
    for count in 1..1_000 {
        if round(&world.bench.app, world.now.plus_us(later_us), TURN).await.unwrap().left == 0 {
            return count;
        }
    }
    panic!("there is no end")
}

/// With a finding on each of more than 200 checks the look at failures in common was put off each time, for ever.
#[tokio::test]
async fn an_outage_of_more_checks_than_a_turn_is_found() {
    let (world, agent, sharing) = one_agent_and_many(300).await;
    world.look(0).await;
    assert_eq!(world.list("?kind=coverage_gap&limit=1000").await.len(), 300, "each is wanted at each tick");
    for id in &sharing {
        world.ran(agent, id, (-15, -15), |_| down()).await;
    }
    assert!(rounds(&world, 16 * MINUTE).await > 1, "more than a turn");
    let one = world.only("?kind=correlated_failures").await;
    assert_eq!(one["shared"], "domain:brand.example");
    assert_eq!(one["checks"].as_array().unwrap().len(), sharing.len(), "all of them");
    // A definition that changes has all checks wait: the look is made all the same, and the finding, which names more than a turn, closes.
    for id in &sharing {
        world.ran(agent, id, (-30, -30), |_| up(100_000)).await;
    }
    for hours in [25, 28] {
        world.apply(&check(&format!("more-{hours}")), world.now).await;
        rounds(&world, hours * HOUR).await;
    }
    assert!(world.list("?kind=correlated_failures").await.is_empty());
}

/// What others left was known once each check had its turn in the hour: until then an outage after a start was not looked at.
#[tokio::test]
async fn failures_in_common_and_agents_are_judged_at_once_after_a_start() {
    let (world, agent, sharing) = one_agent_and_many(40).await;
    world.look(0).await;
    let World { bench, now, seq } = world;
    let world = World { bench: bench.again().await, now, seq };
    for id in &sharing {
        world.ran(agent, id, (-15, -15), |_| down()).await;
    }
    let looked = round(&world.bench.app, now.plus_us(16 * MINUTE), TURN).await.unwrap();
    assert!(looked.looks < 3 * 40 && looked.left < 40, "{looked:?}");
    assert_eq!(world.only("?kind=correlated_failures").await["shared"], "domain:brand.example");
}

/// Each hour's votes were counted by the first look after it, with the weights of that look: who looked later, or after a start, counted otherwise, and late results never.
#[tokio::test]
async fn what_is_found_of_agents_does_not_depend_on_who_looked_when() {
    let ids = ["one", "two", "three"];
    let world = World::new(&ids.map(check).concat()).await;
    let mut agents = Vec::new();
    for (region, name) in [("eu-west", "a"), ("us-east", "b"), ("ap-south", "c"), ("sa-east", "d")] {
        agents.push(world.enrol(region, name).await);
    }
    let odd = |ago: i64| ago < 20 * 60 && (ago / 60) % 4 < 2;
    for id in ids {
        for agent in &agents {
            let late = *agent == agents[2];
            let of = move |ago: i64| if late && odd(ago) { down() } else { up(100_000) };
            // Of the odd one half a day is not there yet.
            let upto = if late { 12 * 60 } else { 0 };
            world.ran(*agent, id, (8 * 24 * 60, upto), of).await;
        }
    }
    world.look(0).await;
    for id in ids {
        world.ran(agents[2], id, (12 * 60 - 15, 0), |ago| if odd(ago) { down() } else { up(100_000) }).await;
    }
    // The vote of another weighs more from now on: the past stays as it was.
    let (scope, now) = (Scope::Agent(agents[0]), world.now);
    let weigh = move |engine: &mut sitepulse_collector::engine::Engine| {
        engine.control(scope, Change::Weight(Weight(9_000)), "collector:ana", now).unwrap()
    };
    world.bench.app.writer().run(weigh).await.unwrap();
    world.look(HOUR).await;
    let told = async |world: &World| {
        let one = world.only("?kind=agent_disagrees").await;
        let path = format!("/api/v1/findings/{}", one["id"].as_str().unwrap());
        world.bench.get(&path).await.json()["evidence"].clone()
    };
    let before = told(&world).await;
    let (compared, disagreed) = (before["compared"].as_u64().unwrap(), before["disagreed"].as_u64().unwrap());
    // Four answers an hour, of three checks, over a day less the hour that is not counted yet.
    assert!((260..=290).contains(&compared) && disagreed >= 100, "{before}");
    let World { bench, now, seq } = world;
    let world = World { bench: bench.again().await, now, seq };
    world.look(HOUR + 1).await;
    assert_eq!(told(&world).await, before, "after a start, by a ledger that was made anew");
}
