//! Promises: what is told of an error budget, on every surface the same.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_daemon::instant;
use sitepulse_model::id::AgentNo;

use super::bench::{NETWORK, options};
use super::pages::{Found, Pages};

const SLOS: &str = "[[slo]]\nid = \"tight\"\nchecks = [\"shop-vitals\"]\nobjective = \"99%\"\n\
                    [[slo]]\nid = \"loose\"\nchecks = [\"shop-vitals\"]\nobjective = \"98%\"\ndescription = \"<script>alert('x')</script>\"\n\
                    [[slo]]\nid = \"month\"\nchecks = [\"shop-vitals\"]\nperiod = \"month\"\nzone = \"Europe/Paris\"\n";

/// Five days of evidence in a life of ten, in which 75 minutes were down, until 45 minutes ago.
async fn with_history() -> (Pages, AgentNo) {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let found = |minutes| Found { down: (60..=120).contains(&minutes), lcp: Some(1_000_000), ..Found::default() };
    let entries = (0..5 * 96).rev().map(|run| pages.entry(pages.result(agent, run * 15, &found(run * 15))));
    assert_eq!(pages.ingest(agent, entries.collect()).await.stored, 5 * 96);
    (pages, agent)
}

async fn slo(pages: &Pages, id: &str) -> Value {
    pages.bench.get(&format!("/api/v1/slos/{id}")).await.json()
}

#[tokio::test]
async fn a_budget_is_what_the_figures_of_its_period_say() {
    let (pages, _) = with_history().await;
    pages.bench.apply(SLOS, json!({})).await;
    let all = pages.bench.get("/api/v1/slos").await.json();
    let ids: Vec<&str> = all.as_array().unwrap().iter().map(|slo| slo["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["loose", "month", "tight"]);
    let loose = slo(&pages, "loose").await;
    let outcome = &loose["outcome"];
    assert_eq!(
        (&loose["state"], &loose["period"], &loose["checks"]),
        (&json!("ok"), &json!("30d"), &json!(["shop-vitals"]))
    );
    assert_eq!((&outcome["policy"], &outcome["policy_version"]), (&json!("default"), &json!(1)));
    let asked = format!(
        "/api/v1/sla?check=shop-vitals&from={}&to={}",
        outcome["from"].as_str().unwrap(),
        loose["as_of"].as_str().unwrap()
    );
    let sla = &pages.bench.get(&asked).await.json()[0];
    for figure in ["completeness", "lower", "upper"] {
        let [told, asked] = [outcome, sla].map(|view| view[figure].as_f64().unwrap());
        assert!((told - asked).abs() < 1e-12, "{figure}: {told} {asked}");
    }
    assert_eq!(sla["seconds"]["down"], 75.0 * 60.0);
    let budget = &outcome["budget"];
    assert_eq!(budget["used_seconds"], sla["seconds"]["down"]);
    let counted = sla["seconds"]["up"].as_f64().unwrap() + 75.0 * 60.0;
    assert_eq!(outcome["counted_seconds"], counted);
    let number = |view: &Value| view.as_f64().unwrap();
    assert!((number(&budget["allowed_seconds"]) - counted * 0.02).abs() < 1e-5, "{budget}");
    let left = number(&budget["allowed_seconds"]) - 75.0 * 60.0;
    assert!((number(&budget["left_seconds"]) - left).abs() < 1e-5, "{budget}");
    // Half of its life nothing was known of it.
    assert!(
        number(&budget["left_ratio_lower"]) < 0.0
            && number(&budget["left_ratio_upper"]) > number(&budget["left_ratio"])
    );
    let burns = outcome["burns"].as_array().unwrap();
    let windows: Vec<[&str; 2]> =
        burns.iter().map(|pair| ["long", "short"].map(|one| pair[one]["window"].as_str().unwrap())).collect();
    assert_eq!(windows, [["1h", "5m"], ["6h", "30m"], ["3d", "6h"]]);
    // 75 min of 6 h and of 3 d, at 2 %.
    for (pair, hours) in [(1, 6.0), (2, 72.0)] {
        let rate = number(&burns[pair]["long"]["rate"]);
        assert!((rate - 1.25 / hours / 0.02).abs() < 1e-9, "{rate}");
    }
    assert_eq!((&burns[1]["long"]["reached"], &burns[1]["short"]["reached"]), (&json!(true), &json!(false)));
    assert_eq!(burns[2]["speaks"], json!(false));

    let tight = slo(&pages, "tight").await;
    assert_eq!((&tight["state"], &tight["outcome"]["exhausted_at"]), (&json!("exhausted"), &json!(null)));
    assert!(number(&tight["outcome"]["budget"]["left_seconds"]) < 0.0);
    // A calendar month's budget is a month's, less what of it nothing was known.
    let month = &slo(&pages, "month").await["outcome"];
    let whole = number(&month["counted_seconds"]) + number(&month["to_come_seconds"]);
    assert!((number(&month["budget"]["allowed_seconds"]) - whole / 1000.0).abs() < 1e-5, "{month}");
    assert_eq!(month["objective"], "99.9%");
}

#[tokio::test]
async fn groups_policies_and_changes_apply_at_once() {
    let (pages, _) = with_history().await;
    assert_eq!(pages.bench.get("/api/v1/slos").await.json(), json!([]));
    let text = "[[check]]\nid = \"shop-vitals\"\nkind = \"web_vitals\"\nurl = \"https://shop.example/\"\ninterval = \"15m\"\ngroup = \"front\"\n\
                [[check]]\nid = \"idle\"\nkind = \"http\"\nurl = \"https://idle.example/\"\ngroup = \"front\"\n\
                [[policy]]\nid = \"contract\"\nobjective = \"95%\"\nunknown = \"down\"\n\
                [[slo]]\nid = \"front\"\ngroups = [\"front\"]\npolicy = \"contract\"\n";
    // Before its first version a policy counts nothing: it is as old as the evidence.
    let written = checkfile::parse(&[Source { name: "all.toml".into(), text: text.into() }]).unwrap();
    pages.bench.app.apply(written, options(), pages.now.plus_us(-9 * 86_400_000_000)).await.unwrap();
    let all = pages.bench.get("/api/v1/slos").await.json();
    assert_eq!(all[0]["checks"], json!(["idle", "shop-vitals"]));
    let outcome = &all[0]["outcome"];
    assert_eq!(
        (&outcome["policy"], &outcome["policy_version"], &outcome["objective"]),
        (&json!("contract"), &json!(1), &json!("95%"))
    );
    // What is unknown counts as down here: the half of the life before the first result, and all of the new check's.
    assert_eq!(outcome["availability"], outcome["lower"]);
    assert_eq!(all[0]["state"], "exhausted");
    // A change is seen at once, however long the figures would serve.
    let softer = text.replace("unknown = \"down\"\n", "").replace("95%", "10%");
    pages.bench.apply(&softer, json!({})).await;
    let again = pages.bench.get("/api/v1/slos").await.json();
    assert_eq!((&again[0]["outcome"]["policy_version"], &again[0]["state"]), (&json!(2), &json!("ok")));
    // What the first version counted as down stays so: a change rewrites no past.
    let [before, after] = [outcome, &again[0]["outcome"]].map(|one| one["availability"].as_f64().unwrap());
    assert!(after < 0.5 && (after - before).abs() < 1e-3, "{before} {after}");
}

#[tokio::test]
async fn nothing_measured_is_null() {
    let pages = Pages::new().await;
    pages.bench.apply(SLOS, json!({})).await;
    let slo = slo(&pages, "loose").await;
    assert_eq!(slo["state"], "unknown");
    let outcome = &slo["outcome"];
    assert_eq!(
        (&outcome["availability"], &outcome["lower"], &outcome["upper"]),
        (&json!(null), &json!(0.0), &json!(1.0))
    );
    assert_eq!((&outcome["budget"]["left_seconds"], &outcome["budget"]["left_ratio"]), (&json!(null), &json!(null)));
    assert_eq!(outcome["burns"][0]["long"]["rate"], json!(null));
}

#[tokio::test]
async fn history_tells_the_end_of_each_day() {
    let (pages, _) = with_history().await;
    pages.bench.apply(SLOS, json!({})).await;
    let history = pages.bench.get("/api/v1/slos/loose/history").await.json();
    let days = history["days"].as_array().unwrap();
    assert!((30..=31).contains(&days.len()), "{}", days.len());
    assert_eq!(days[0]["budget"]["left_seconds"], json!(null));
    let used = |day: &Value| day["budget"]["used_seconds"].as_f64();
    assert_eq!(used(&days[days.len() - 1]), Some(4500.0));
    // The day before yesterday's end knows nothing of today's outage.
    assert_eq!(used(&days[days.len() - 4]), Some(0.0));
    for (path, status) in [("/api/v1/slos/none", 404), ("/api/v1/slos/none/history", 404)] {
        let answer = pages.bench.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (status, Some("not_found")));
    }
}

#[tokio::test]
async fn the_console_and_the_metrics_tell_the_same() {
    let (pages, _) = with_history().await;
    pages.bench.apply(SLOS, json!({})).await;
    let session = pages.bench.token(CredentialKind::Session, Access::Read).await;
    let cookie = format!("__Host-sitepulse_session={session}");
    let page = async |path: &str| {
        let answer = pages.bench.send(NETWORK, "GET", path, &[("cookie", &cookie)], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.text
    };
    let english = page("/slos?lang=en").await;
    assert!(english.contains("98 % over the last 30 d · policy default@1"), "{english}");
    assert!(english.contains(">exhausted</span>") && english.contains(">on track</span>"), "{english}");
    assert!(!english.contains("<script>alert"), "{english}");
    let french = page("/slos?lang=fr").await;
    assert!(
        french.contains("98\u{a0}% sur 30 j glissants") && french.contains("ce mois-ci (Europe/Paris)"),
        "{french}"
    );
    let check = page("/checks/shop-vitals?lang=en").await;
    assert!(check.contains("Service level objectives <span class=\"count\">3</span>"), "{check}");
    let metrics = pages.bench.get("/metrics").await.text;
    for line in [
        "sitepulse_slo_state{slo=\"tight\",state=\"exhausted\"} 1",
        "sitepulse_slo_state{slo=\"tight\",state=\"ok\"} 0",
        "sitepulse_slo_objective_ratio{slo=\"month\"} 0.999",
        "sitepulse_slo_error_budget_left_ratio{slo=\"tight\"} -0.",
        "sitepulse_slo_burn_rate{slo=\"loose\",window=\"6h\"} 10.416666666666666",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert_eq!(metrics.matches("slo=\"loose\",window=\"6h\"").count(), 1);
}

/// A group with a history: one check that is retired, one that moved away, one that came, one with maintenance; a policy that changed.
async fn with_a_past() -> Pages {
    const DAY_US: i64 = 86_400_000_000;
    let mut pages = Pages::new().await;
    let agents = [pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await];
    let check = |id: &str, group: &str, weight: &str| {
        format!(
            "[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"15m\"\ngroup = \"{group}\"\nweight = {weight}\n"
        )
    };
    let policy = |objective: &str, unknown: &str| {
        format!(
            "[[policy]]\nid = \"contract\"\nobjective = \"{objective}\"\nunknown = \"{unknown}\"\nregional = \"by_share\"\n"
        )
    };
    let at = |days_ago: i64| {
        let at = pages.now.plus_us(-days_ago * DAY_US + 2 * 3_600_000_000);
        instant::format(at.plus_us(-(at.0 % 1_000_000)))
    };
    let maintenance =
        format!("[[maintenance]]\nid = \"release\"\nchecks = [\"stays\"]\nfrom = {}\nlasts = \"3h\"\n", at(3));
    let slo = "[[slo]]\nid = \"front\"\ngroups = [\"front\"]\npolicy = \"contract\"\nperiod = \"7d\"\n";
    let stories = [
        (
            9,
            vec![
                check("ends", "front", "1.0"),
                check("leaves", "front", "2.0"),
                check("comes", "back", "3.0"),
                check("stays", "front", "0.5"),
                policy("99%", "excluded"),
                maintenance.clone(),
                slo.into(),
            ],
        ),
        (
            2,
            vec![
                check("leaves", "back", "2.0"),
                check("comes", "front", "3.0"),
                check("stays", "front", "1.5"),
                policy("99.9%", "down"),
                maintenance,
                slo.into(),
            ],
        ),
    ];
    for (days_ago, texts) in stories {
        let sources = [Source { name: "all.toml".into(), text: texts.concat() }];
        let written = checkfile::parse(&sources).unwrap();
        let options = sitepulse_collector::app::ApplyOptions { prune: true, ..options() };
        pages.bench.app.apply(written, options, pages.now.plus_us(-days_ago * DAY_US)).await.unwrap();
    }
    for (nth, id) in ["ends", "leaves", "comes", "stays"].into_iter().enumerate() {
        pages.check.id = sitepulse_model::id::CheckId::parse(id).unwrap();
        for (second, agent) in agents.into_iter().enumerate() {
            let nth = nth as i64;
            let entries = (1..8 * 96).rev().filter(|run| run % 100 >= 5 + nth).map(|run| {
                // Each check has an outage of its own, of which the second agent sees the half.
                let down = (run + 37 * nth) % 150 < 12 - 6 * second as i64;
                let mut result = pages.result(agent, run * 15, &Found { down, ..Found::default() });
                result.facts = Default::default();
                pages.entry(result)
            });
            let entries: Vec<_> = entries.collect();
            let sent = entries.len() as u64;
            assert_eq!(pages.ingest(agent, entries).await.stored, sent);
        }
    }
    pages
}

#[tokio::test]
async fn a_promise_of_a_group_and_the_groups_figures_agree_through_every_change() {
    let pages = with_a_past().await;
    let slo = slo(&pages, "front").await;
    assert_eq!(slo["checks"], json!(["comes", "ends", "stays"]));
    let outcome = &slo["outcome"];
    let (from, to) = (outcome["from"].as_str().unwrap(), slo["as_of"].as_str().unwrap());
    let asked = format!("/api/v1/sla/groups?group=front&policy=contract&from={from}&to={to}");
    let group = &pages.bench.get(&asked).await.json()["groups"][0];
    assert_eq!((&group["checks"], &group["measured"]), (&json!(3), &json!(3)));
    for figure in ["availability", "completeness", "lower", "upper"] {
        let [promise, figures] = [outcome, group].map(|view| view[figure].as_f64().unwrap());
        assert!(promise > 0.5 && promise < 1.0, "{figure}: {promise}");
        assert!((promise - figures).abs() < 1e-9, "{figure}: {promise} and {figures}");
    }
    // The same of a time that is past for ever: each day of the history as of its end.
    let history = pages.bench.get("/api/v1/slos/front/history").await.json();
    assert!(history["days"].as_array().unwrap().len() >= 7);
    // Another policy would have said something else: it is the policy's history that agrees.
    let plain = asked.replace("policy=contract&", "");
    assert_ne!(pages.bench.get(&plain).await.json()["groups"][0]["lower"], group["lower"]);
}
