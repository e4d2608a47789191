//! Accounting policies: figures and explanations under them, and reports that can be made again.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::checkfile::{self, Source, Written};
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::instant;
use sitepulse_model::id::AgentNo;

use super::bench::options;
use super::pages::{Found, MINUTE, Pages};

/// The first version of the policy `contract`, and from two hours ago on the second one.
const VERSIONS: [(&str, i64); 2] = [
    ("[[policy]]\nid = \"contract\"\nobjective = \"90%\"\n", 3 * 24 * 60),
    ("[[policy]]\nid = \"contract\"\nobjective = \"99.9%\"\nunknown = \"down\"\nregional = \"by_share\"\n", 120),
];

fn written(text: &str) -> Written {
    checkfile::parse(&[Source { name: "all.toml".into(), text: text.into() }]).unwrap()
}

/// Two agents that saw a day of a page: regional for an hour, down for half an hour, silent for two hours.
pub struct Story {
    pub pages: Pages,
    pub west: AgentNo,
}

impl Story {
    pub async fn new(pages: Pages) -> Self {
        let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
        for quarter in 1..96 {
            let minutes = quarter * 15;
            if (180..300).contains(&minutes) {
                continue;
            }
            let west_down = (60..120).contains(&minutes) || (600..660).contains(&minutes);
            let east_down = (600..630).contains(&minutes);
            for (agent, down) in [(west, west_down), (east, east_down)] {
                pages.ran(agent, minutes, &Found { down, lcp: Some(1_000_000), ..Found::default() }).await;
            }
        }
        for (text, minutes) in VERSIONS {
            let at = pages.now.plus_us(-minutes * MINUTE);
            pages.bench.app.apply(written(text), options(), at).await.unwrap();
        }
        let story = Self { pages, west };
        story.settle().await;
        story
    }

    /// Writes the amendments of what came in late, as the collector does when no more comes.
    async fn settle(&self) {
        let now = self.pages.now;
        self.pages.bench.app.writer().run(move |engine| engine.settle(now, true)).await.unwrap().unwrap();
    }

    /// An instant so many minutes ago, as text.
    pub fn ago(&self, minutes: i64) -> String {
        instant::format(self.pages.now.plus_us(-minutes * MINUTE)).replace('+', "%2B")
    }

    async fn figures(&self, policy: &str) -> Value {
        let (from, to) = (self.ago(1200), self.ago(30));
        let path = format!("/api/v1/sla?check=shop-vitals&from={from}&to={to}{policy}");
        let figures = self.pages.bench.get(&path).await.json();
        figures[0].clone()
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[tokio::test]
async fn each_version_counts_its_own_time() {
    let story = Story::new(Pages::new().await).await;
    let plain = story.figures("").await;
    assert_eq!(plain["policy"], json!(null));
    let built_in = story.figures("&policy=default").await;
    for key in ["availability", "completeness", "lower", "upper", "seconds"] {
        assert_eq!(built_in[key], plain[key], "{key}");
    }
    assert_eq!((&built_in["policy"]["objective"], &built_in["policy"]["met"]), (&json!("99.9%"), &json!(false)));

    let history = story.figures("&policy=contract").await;
    let policy = &history["policy"];
    let terms: Vec<_> = policy["terms"].as_array().unwrap().iter().map(|term| term["version"].clone()).collect();
    assert_eq!(terms, [1, 2], "{policy}");
    assert_eq!((&policy["version"], &policy["objective"]), (&json!(null), &json!(null)));
    let (first, second) = (story.figures("&policy=contract@1").await, story.figures("&policy=contract@2").await);
    assert_eq!(first["availability"], plain["availability"], "version 1 counts as the built-in one");
    assert_eq!((&first["policy"]["met"], &first["policy"]["objective"]), (&json!(true), &json!("90%")));
    let down = |view: &Value| number(&view["policy"]["seconds"]["down"]);
    // The silence lies in the first version's time: only the second one, asked for by its number, counts it as down.
    assert!(down(&first) < down(&history) && down(&history) < down(&second), "{first} {history} {second}");
    assert!(down(&second) - down(&history) > 3600.0);
    for view in [&built_in, &first, &second, &history] {
        let seconds = &view["policy"]["seconds"];
        let sum = number(&seconds["counted"]) + number(&seconds["excluded"]) + number(&seconds["outside"]);
        assert!((sum - 1170.0 * 60.0).abs() < 1e-3, "{view}");
        assert_eq!(view["completeness"], plain["completeness"], "evidence is not more by how it counts");
        assert_eq!((view["upper"].is_number(), view["lower"].is_number()), (true, true));
    }
    // Before its first version a policy counts nothing.
    let long_ago = story.ago(5 * 24 * 60);
    let path = format!("/api/v1/sla?check=shop-vitals&from={long_ago}&to={}&policy=contract", story.ago(4 * 24 * 60));
    let before = story.pages.bench.get(&path).await.json();
    assert_eq!((&before[0]["availability"], &before[0]["policy"]["terms"]), (&json!(null), &json!([])));
    assert_eq!(before[0]["policy"]["seconds"]["outside"], json!(86_400.0));
}

#[tokio::test]
async fn service_hours_leave_the_night_out() {
    let story = Story::new(Pages::new().await).await;
    let hours = "[[policy]]\nid = \"hours\"\nobjective = \"99%\"\n\
                 hours = { zone = \"Australia/Lord_Howe\", weekly = [\"mon-sun 08:00-20:00\"] }\n";
    story.pages.bench.apply(hours, json!({})).await;
    let view = story.pages.bench.get("/api/v1/sla?check=shop-vitals&from=-7d&policy=hours@1").await.json()[0].clone();
    let seconds = &view["policy"]["seconds"];
    // Half of each day, but for a change of the clock.
    let inside = 7.0 * 86_400.0 - number(&seconds["outside"]);
    assert!((inside - 3.5 * 86_400.0).abs() <= 1800.0, "{view}");
    assert!(number(&seconds["counted"]) + number(&seconds["excluded"]) <= inside + 1e-3);
}

#[tokio::test]
async fn an_explanation_adds_up_under_a_policy() {
    let story = Story::new(Pages::new().await).await;
    for policy in ["contract", "contract@2", "default"] {
        let (from, to) = (story.ago(1200), story.ago(30));
        let path = format!("/api/v1/explain?check=shop-vitals&from={from}&to={to}&policy={policy}");
        let explained = story.pages.bench.get(&path).await.json();
        let figures = story.figures(&format!("&policy={policy}")).await;
        assert_eq!(explained["figures"], figures);
        let intervals = explained["intervals"].as_array().unwrap();
        for key in ["counted", "down", "excluded", "outside", "unknown"] {
            let parts = intervals.iter().flat_map(|interval| interval["counted"].as_array().unwrap());
            let sum: f64 = parts.map(|part| number(&part["seconds"][key])).sum();
            assert!((sum - number(&figures["policy"]["seconds"][key])).abs() < 1e-6, "{policy} {key}");
        }
        let regional = intervals.iter().find(|interval| interval["verdict"] == "regional").unwrap();
        let counts = if policy == "contract@2" { "by_share" } else { "up" };
        assert_eq!(regional["counted"][0]["counts"], counts, "{policy}");
    }
}

#[tokio::test]
async fn policies_are_listed_and_refused_by_name() {
    let story = Story::new(Pages::new().await).await;
    let bench = &story.pages.bench;
    let listed = bench.get("/api/v1/policies").await.json();
    assert_eq!((&listed[0]["id"], &listed[0]["built_in"]), (&json!("default"), &json!(true)));
    assert_eq!(listed[0]["versions"][0]["policy"]["objective"], "99.9%");
    let versions = listed[1]["versions"].as_array().unwrap();
    assert_eq!((&versions[0]["to"], &versions[1]["policy"]["unknown"]), (&versions[1]["from"], &json!("down")));
    let ask = async |policy: &str| bench.get(&format!("/api/v1/sla?policy={policy}")).await;
    assert_eq!(ask("none").await.status, StatusCode::NOT_FOUND);
    let newest = ask("contract@9").await;
    assert_eq!((newest.status, newest.text.contains("its newest is 2")), (StatusCode::NOT_FOUND, true));
    assert_eq!(ask("contract@x").await.status, StatusCode::BAD_REQUEST);
    // Several checks in one question.
    assert_eq!(bench.get("/api/v1/sla?check=shop-vitals,none").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_report_is_made_again_to_the_same_digits_or_tells_what_changed() {
    let mut story = Story::new(Pages::new().await).await;
    let bench = &story.pages.bench;
    let body = json!({"name": "may", "checks": ["shop-vitals"], "from": story.ago(1200), "to": story.ago(30), "policy": "contract"});
    let stored = bench.post("/api/v1/sla-reports", &body).await;
    assert_eq!(stored.status, StatusCode::OK, "{}", stored.text);
    let stored = stored.json();
    let figures = story.figures("&policy=contract").await;
    let check = &stored["checks"][0];
    for key in ["availability", "weighted_availability", "completeness", "lower", "upper", "weighted_lower"] {
        assert_eq!(check[key], figures[key], "{key}");
    }
    assert_eq!((&stored["availability"], &stored["author"]), (&check["availability"], &json!("collector:cli")));

    let again = bench.post("/api/v1/sla-reports", &body).await;
    assert_eq!((again.status, again.text.contains("choose another name")), (StatusCode::CONFLICT, true));
    let mut bad = body.clone();
    bad["name"] = json!("May 2026");
    assert_eq!(bench.post("/api/v1/sla-reports", &bad).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get("/api/v1/sla-reports/none/verify").await.status, StatusCode::NOT_FOUND);

    // What is unknown is told by cause, of the report and of the live figures, and adds up.
    let seconds = &check["seconds"];
    let causes = seconds["unknown_by_cause"].as_object().expect("causes");
    let sum: f64 = causes.values().map(number).sum();
    assert!((sum - number(&seconds["unknown"])).abs() < 1e-6 && sum > 0.0, "{seconds}");
    assert_eq!(seconds["unknown_by_cause"], figures["policy"]["seconds"]["unknown_by_cause"]);
    let shares: f64 = stored["unknown"].as_object().expect("shares").values().map(number).sum();
    assert!((shares - (1.0 - number(&stored["completeness"]))).abs() < 1e-9, "{stored}");

    // A new version of the policy, a new definition and a restart rewrite nothing.
    bench.apply("[[policy]]\nid = \"contract\"\nobjective = \"100%\"\nunknown = \"up\"\n", json!({})).await;
    let mut check = story.pages.check.clone();
    check.confirmations = 3;
    bench.app.apply(vec![check], options(), story.pages.now).await.unwrap();
    story.pages.bench = bench.again().await;
    let bench = &story.pages.bench;
    let listed = bench.get("/api/v1/sla-reports").await.json();
    assert_eq!(listed, json!([stored]));
    assert_eq!(bench.get("/api/v1/sla-reports/may").await.json(), stored);
    let verified = bench.get("/api/v1/sla-reports/may/verify").await.json();
    assert_eq!((&verified["same"], &verified["checks"][0]["changed"]), (&json!(true), &json!([])), "{verified}");
    assert_eq!(verified["checks"][0]["now"], verified["checks"][0]["stored"]);

    // What agents had held back fills the silence.
    story.pages.ran(story.west, 195, &Found::default()).await;
    story.pages.now = story.pages.now.plus_us(MINUTE);
    story.settle().await;
    let verified = story.pages.bench.get("/api/v1/sla-reports/may/verify").await.json();
    let check = &verified["checks"][0];
    assert_eq!(
        (&verified["same"], &check["changed"], &check["amendments"]),
        (&json!(false), &json!(["late_data"]), &json!(1))
    );
    let unknown = |which: &str| number(&check[which]["seconds"]["unknown"]);
    // Up to the other agent's next slot, which may lie a quarter of an hour before its own.
    assert!(unknown("stored") - unknown("now") > 890.0, "{verified}");

    // Weights that an agent brings later are told apart.
    let weight = json!({"agent": "e", "action": "weight", "weight": 5.0});
    assert_eq!(story.pages.bench.post("/api/v1/control", &weight).await.status, StatusCode::OK);
    let verified = story.pages.bench.get("/api/v1/sla-reports/may/verify").await.json();
    assert_eq!(verified["checks"][0]["changed"], json!(["late_data"]), "a weight of today says nothing of then");
}

#[tokio::test]
async fn readers_store_no_reports() {
    let story = Story::new(Pages::new().await).await;
    let kind = sitepulse_collector::app::CredentialKind::ApiToken;
    let token = story.pages.bench.token(kind, sitepulse_collector::app::Access::Read).await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let door: Door = super::bench::NETWORK;
    let stored = story.pages.bench.send(door, "POST", "/api/v1/sla-reports", &headers, "{\"name\": \"may\"}").await;
    assert_eq!(stored.status, StatusCode::FORBIDDEN);
    assert_eq!(story.pages.bench.send(door, "GET", "/api/v1/policies", &headers, "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_policy_is_chosen_on_the_checks_page() {
    let story = Story::new(Pages::new().await).await;
    let page = async |query: &str| story.pages.bench.get(&format!("/checks/shop-vitals?{query}")).await.text;
    let bare = page("lang=en").await;
    for choice in ["default@1", "contract (each version in its time)", "contract@1", "contract@2"] {
        assert!(bare.contains(&format!(">{choice}</option>")), "{choice}: {bare}");
    }
    assert!(!bare.contains("Error budget left"));
    let chosen = page("lang=en&policy=contract").await;
    assert!(chosen.contains("<option value=\"contract\" selected>"), "{chosen}");
    assert!(chosen.contains("version 1, 2") && chosen.contains("several") && chosen.contains("completeness"));
    let french = page("lang=fr&policy=contract%402").await;
    assert!(french.contains("manqué") && french.contains("99,9 %") && french.contains("Budget d’erreur restant"));
    let hostile = page("lang=en&policy=%3Cscript%3E").await;
    assert!(hostile.contains("There is no policy &#60;script&#62;.") && !hostile.contains("<script>"), "{hostile}");
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn a_new_version_is_tried_on_the_last_days_before_it_is_saved() {
    let story = Story::new(Pages::new().await).await;
    let bench = &story.pages.bench;
    let post = async |path: &str, form: &str| bench.send(Door::Local, "POST", path, &[FORM], form).await;
    let edit = "/settings/policies/contract/edit";
    let list = bench.get("/settings/policies?lang=fr").await.text;
    for word in ["contract", "99,9 %", "comme en panne", "selon la part des votes", "1 version antérieure", edit] {
        assert!(list.contains(word), "{word}: {list}");
    }
    assert!(!list.contains("/settings/policies/default/edit"), "the built-in one stays what it is");
    let opened = bench.get(edit).await;
    let tag = opened.hidden("tag");
    let draft = "objective=99%2C95+%25&maintenance=excluded&unknown=excluded&degraded=up&regional=down";
    let shown = post(edit, &format!("{draft}&do=plan&tag={tag}")).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    for word in [
        "objective: 99.9% → 99.95%",
        "unknown: down → excluded",
        "Had it counted the last 30 days",
        "href=\"/checks/shop-vitals\"",
        " points",
    ] {
        assert!(shown.text.contains(word), "{word}: {}", shown.text);
    }
    // The figures of the plan are those that the API tells of a version by its number.
    let now =
        bench.get("/api/v1/sla?check=shop-vitals&from=-30d&policy=contract@2").await.json()[0]["availability"].clone();
    let shows = |availability: &Value| {
        // Time goes on between the two questions: the last digit may be another.
        let last = (number(availability) * 10_000.0).floor();
        [-1.0, 0.0, 1.0].iter().any(|more| shown.text.contains(&format!("{:.2} %", (last + more) / 100.0)))
    };
    assert!(shows(&now), "{now}: {}", shown.text);
    let tried = json!({"policy": {"id": "contract", "objective": "99.95%", "regional": "down"}});
    let tried = bench.post("/api/v1/policy-trials", &tried).await.json();
    // Time goes on between the two questions.
    let close = (number(&tried["checks"][0]["now"]["availability"]) - number(&now)).abs() < 1e-4;
    assert!(tried["version"] == 2 && close, "{now} {tried}");
    let bad = json!({"policy": {"id": "contract", "objective": "99%", "unknown": "by_share"}});
    assert_eq!(bench.post("/api/v1/policy-trials", &bad).await.status, StatusCode::BAD_REQUEST);
    let versions = async || bench.get("/api/v1/policies").await.json()[1]["versions"].as_array().unwrap().len();
    assert_eq!(versions().await, 2, "a plan saves nothing");
    let body = json!({"name": "may", "checks": ["shop-vitals"], "from": story.ago(1200), "to": story.ago(30), "policy": "contract"});
    let stored = bench.post("/api/v1/sla-reports", &body).await.json();

    let (seen, tag) = (shown.hidden("seen"), shown.hidden("tag"));
    let done = post(edit, &format!("{draft}&do=apply&seen={seen}&tag={tag}")).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(versions().await, 3);
    let after =
        bench.get("/api/v1/sla?check=shop-vitals&from=-30d&policy=contract@3").await.json()[0]["availability"].clone();
    assert!(shows(&after), "{after} was promised: {}", shown.text);
    assert_ne!(now, after);
    assert_eq!(bench.get("/api/v1/sla-reports/may").await.json(), stored, "reports stay");
    // Nobody saves over it with what was seen before.
    let late = post(edit, &format!("{draft}&do=apply&seen={seen}&tag={tag}")).await;
    assert!(late.status == StatusCode::OK && late.text.contains("Somebody changed it"), "{}", late.text);
    assert_eq!(versions().await, 3);
}

#[tokio::test]
async fn what_is_wrong_with_a_policy_stands_at_its_field_and_nothing_is_saved() {
    let bench = super::bench::Bench::new();
    let post = async |path: &str, form: &str| bench.send(Door::Local, "POST", path, &[FORM], form).await;
    for (field, form, remedy) in [
        ("id", "id=default&objective=99%25", "choose another id"),
        ("id", "id=Gold+One&objective=99%25", ""),
        ("objective", "id=gold&objective=most", "99.9%"),
        ("objective", "id=gold&objective=", "99.9%"),
        ("zone", "id=gold&objective=99%25&zone=Mars%2FBase&weekly=mon-fri+08:00-20:00", "Europe/Paris"),
        ("weekly", "id=gold&objective=99%25&zone=UTC&weekly=always", "mon-fri 08:00-20:00"),
        ("weekly", "id=gold&objective=99%25&zone=UTC", "at least one entry"),
        ("except", "id=gold&objective=99%25&zone=UTC&weekly=mon+08:00-20:00&except=christmas", "2026-12-25"),
        ("unknown", "id=gold&objective=99%25&unknown=by_share", "excluded"),
        ("regional", "id=gold&objective=99%25&regional=half", "by_share"),
    ] {
        let answer = post("/settings/policies/new", &format!("{form}&do=plan")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}: {}", answer.text);
        let error = answer.text.split_once(&format!("id=\"f-{field}-error\">"));
        let error = error.unwrap_or_else(|| panic!("{field}: {}", answer.text)).1.split_once("</p>").unwrap().0;
        assert!(error.contains(remedy), "{field}: {error}");
    }
    assert_eq!(bench.get("/api/v1/policies").await.json().as_array().unwrap().len(), 1);
    // An objective counts by it: it cannot end.
    let text = format!(
        "{}[[policy]]\nid = \"gold\"\nobjective = \"99%\"\n[[slo]]\nid = \"front\"\nchecks = [\"shop\"]\npolicy = \"gold\"\n",
        super::bench::CHECK
    );
    assert_eq!(bench.apply(&text, json!({})).await.status, StatusCode::OK);
    let kept = post("/settings/policies/gold/end", "").await;
    assert!(kept.status == StatusCode::UNPROCESSABLE_ENTITY && kept.text.contains("front"), "{}", kept.text);
    bench.send(Door::Local, "DELETE", "/api/v1/definitions/slo/front", &[], "").await;
    assert_eq!(post("/settings/policies/gold/end", "").await.status, StatusCode::SEE_OTHER);
    assert!(bench.get("/settings/policies").await.text.contains("ended"));
    assert_eq!(bench.get("/settings/policies/gold/edit").await.status, StatusCode::NOT_FOUND);
}
