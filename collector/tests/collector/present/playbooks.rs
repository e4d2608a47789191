//! Playbooks and their runs as people and scripts see them.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::playbook::acts::Asked as About;
use sitepulse_collector::present::door::Door;
use sitepulse_collector::present::route::routes;
use sitepulse_collector::seal::retention::Retention;
use sitepulse_daemon::clock;
use sitepulse_model::playbook::fill::{self, Names};
use sitepulse_model::playbook::library;
use sitepulse_model::record::ProbeState;

use super::bench::Bench;
use super::incidents::{FILE, down, list, recover};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A playbook of one's own for the check `shop`'s group.
const OWN: &str = r#"
[[playbook]]
id = "shop-down"
title = "The shop is down"
title_fr = "La boutique est en panne"
incidents = ["down"]
groups = ["web"]
[[playbook.steps]]
id = "take"
title = "Take it"
minutes = 1
done_when = "incident acknowledged"
[[playbook.steps]]
id = "mend"
title = "Mend it"
minutes = 9
role = "dba"
link = "https://wiki.example/{check}"
command = "sitepulse-collector run-now {check} && dig {host}"
[[playbook.steps]]
id = "up"
title = "See it up"
minutes = 5
done_when = "check up"
"#;

async fn incident(bench: &Bench) -> String {
    list(bench, "").await[0]["id"].as_str().unwrap().to_owned()
}

async fn start(bench: &Bench, playbook: &str, incident: &str) -> Value {
    let answer = bench.post("/api/v1/playbook-runs", &json!({"playbook": playbook, "incident": incident})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

async fn act(bench: &Bench, run: &Value, act: Value) -> super::bench::Answer {
    bench.post(&format!("/api/v1/playbook-runs/{}/acts", run["id"].as_str().unwrap()), &act).await
}

async fn run(bench: &Bench, run: &Value) -> Value {
    bench.get(&format!("/api/v1/playbook-runs/{}", run["id"].as_str().unwrap())).await.json()
}

fn states(run: &Value) -> Vec<&str> {
    run["marks"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn own_playbooks_are_applied_judged_and_offered_before_built_in_ones() {
    let (bench, _) = down().await;
    let id = incident(&bench).await;
    let offers = bench.get(&format!("/api/v1/playbook-offers?incident={id}")).await.json();
    assert_eq!(offers["offers"][0]["playbook"], "service-down", "{offers}");
    assert_eq!(bench.apply(OWN, json!({})).await.status, StatusCode::OK);
    let offers = bench.get(&format!("/api/v1/playbook-offers?incident={id}")).await.json();
    let ids: Vec<&str> =
        offers["offers"].as_array().unwrap().iter().map(|one| one["playbook"].as_str().unwrap()).collect();
    assert_eq!(ids, ["shop-down", "service-down"]);
    assert_eq!((&offers["offers"][0]["minutes"], &offers["offers"][0]["built_in"]), (&json!(15), &json!(false)));
    // In the library with its version; definitions are read and written by themselves.
    let one = bench.get("/api/v1/playbooks/shop-down").await.json();
    assert_eq!(
        (&one["version"], &one["title"]["fr"], &one["steps"][2]["done_when"]),
        (&json!("1"), &json!("La boutique est en panne"), &json!("check up"))
    );
    let all = bench.get("/api/v1/playbooks").await.json();
    assert_eq!(all.as_array().unwrap().len(), library::all().len() + 1);
    let definition = bench.get("/api/v1/definitions/playbook/shop-down").await;
    assert_eq!(definition.status, StatusCode::OK, "{}", definition.text);
    // What is wrong is told with its place.
    for (from, to, why) in [
        (
            "\"check up\"",
            "\"check gone\"",
            "checks.toml:24:13: playbook \"shop-down\": steps[2].done_when: \"check gone\" is no fact that ticks a step",
        ),
        ("dig {host}", "dig '{host}'", "stands within quotes"),
        ("incidents = [\"down\"]", "incidents = [\"downn\"]", "\"downn\" is no kind of incident"),
        ("groups = [\"web\"]", "groups = [\"wob\"]", "there is no group \"wob\": did you mean \"web\"?"),
        ("minutes = 9", "minuts = 9", "minuts"),
    ] {
        let answer = bench.apply(&OWN.replacen(from, to, 1), json!({})).await;
        assert!(
            answer.status.is_client_error() && answer.text.contains(&why.replace('"', "\\\"")),
            "{why}: {}",
            answer.text
        );
    }
}

/// The defect: a run that could not be written ended the round, so those after it never ticked.
#[tokio::test]
async fn a_run_that_fails_does_not_keep_others_from_ticking() {
    let (bench, _) = down().await;
    bench.apply(&(OWN.to_owned() + &OWN.replace("shop-down", "shop-down-too")), json!({})).await;
    let id = incident(&bench).await;
    let mut runs = [start(&bench, "shop-down", &id).await, start(&bench, "shop-down-too", &id).await];
    runs.sort_by_key(|run| run["id"].as_str().unwrap().to_owned());
    // The place of the first one's next entry is taken.
    let first = runs[0]["id"].as_str().unwrap().to_owned();
    let damage = move |engine: &mut sitepulse_collector::engine::Engine| {
        let taken =
            "INSERT INTO playbook_entry SELECT bucket, run_id, 1, 0, 'x', 'x' FROM playbook_run WHERE run_id = ?1";
        engine.store().connection().execute(taken, [first]).unwrap()
    };
    assert_eq!(bench.app.writer().run(damage).await.unwrap(), 1);
    bench.post(&format!("/api/v1/incidents/{id}/acts"), &json!({"act": "acknowledge", "by": "ana"})).await;
    bench.app.see_playbooks(clock::now()).await.unwrap_err();
    assert_eq!(states(&run(&bench, &runs[1]).await), ["done", "open", "open"]);
}

/// The defect: one row of another build, or a damaged one, stopped all runs, their lists and the rates.
#[tokio::test]
async fn a_run_that_cannot_be_read_stops_no_other() {
    for damage in ["head = '{'", "head = CAST(x'ff' AS TEXT)", "state = 'of_another_build'"] {
        let (bench, _) = down().await;
        bench.apply(&(OWN.to_owned() + &OWN.replace("shop-down", "shop-down-too")), json!({})).await;
        let id = incident(&bench).await;
        let (good, bad) = (start(&bench, "shop-down", &id).await, start(&bench, "shop-down-too", &id).await);
        let of = bad["id"].as_str().unwrap().to_owned();
        let sql = format!("UPDATE playbook_run SET {damage} WHERE run_id = ?1");
        let harm =
            move |engine: &mut sitepulse_collector::engine::Engine| engine.store().connection().execute(&sql, [of]);
        assert_eq!(bench.app.writer().run(harm).await.unwrap().unwrap(), 1);
        // The next process reads the runs anew.
        let bench = bench.again().await;
        bench.post(&format!("/api/v1/incidents/{id}/acts"), &json!({"act": "acknowledge", "by": "ana"})).await;
        assert_eq!(bench.app.see_playbooks(clock::now()).await.unwrap(), 1, "{damage}");
        assert_eq!(states(&run(&bench, &good).await), ["done", "open", "open"]);
        // A page has as many as are asked for, though one is left out.
        let listed = bench.get("/api/v1/playbook-runs?limit=1").await.json();
        assert_eq!(listed[0]["id"], good["id"], "{damage}: {listed}");
        assert_eq!(bench.get("/playbooks").await.status, StatusCode::OK, "{damage}");
    }
}

/// The defect: who wrote a reason that was refused wrote it again, and nobody's reason was English on French pages.
#[tokio::test]
async fn a_reason_that_is_refused_stays_in_its_form() {
    let (bench, _) = down().await;
    bench.apply(OWN, json!({})).await;
    let begun = start(&bench, "shop-down", &incident(&bench).await).await;
    let path = format!("/playbook-runs/{}", begun["id"].as_str().unwrap());
    let send = async |action: &str, body: &str| {
        bench.send(Door::Local, "POST", &format!("{path}/{action}"), &[FORM], body).await
    };
    let long = "x".repeat(501);
    for (action, body, field) in
        [("skip", format!("step=mend&reason={long}"), "why-mend"), ("abandon", format!("reason={long}"), "why-abandon")]
    {
        let refused = send(action, &body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
        let kept: Vec<&str> = refused.text.split("<input").filter(|input| input.contains(&long)).collect();
        assert!(kept.len() == 1 && kept[0].contains(&format!("id=\"{field}\"")), "{action}: {}", refused.text);
    }
    // As many letters as the form lets pass, of two bytes each.
    let letters = "%C3%A9".repeat(500);
    assert_eq!(send("skip", &format!("step=mend&reason={letters}")).await.status, StatusCode::SEE_OTHER);
    let idle = sitepulse_model::time::UtcMicros(clock::now().0 + sitepulse_model::playbook::run::IDLE_US);
    bench.app.see_playbooks(idle).await.unwrap();
    let told = async |lang: &str| bench.get(&format!("{path}?lang={lang}")).await.text;
    assert!(told("en").await.contains("nothing happened for 7 days"));
    let french = told("fr").await;
    assert!(french.contains("rien ne s’est passé pendant 7 jours") && !french.contains("nothing happened"), "{french}");
}

#[tokio::test]
async fn a_run_goes_from_the_offer_to_its_end() {
    let (bench, agent) = down().await;
    bench.apply(OWN, json!({})).await;
    let id = incident(&bench).await;
    let begun = start(&bench, "shop-down", &id).await;
    assert_eq!(
        (&begun["state"], &begun["version"], &begun["check"], &begun["steps"]),
        (&json!("running"), &json!("1"), &json!("shop"), &json!(3))
    );
    let mend = &begun["marks"][1];
    assert_eq!(mend["command"], "sitepulse-collector run-now shop && dig 127.0.0.1");
    assert_eq!((&mend["link"], &mend["missing"]), (&json!("https://wiki.example/shop"), &json!([])));
    // Once at a time.
    let twice = bench.post("/api/v1/playbook-runs", &json!({"playbook": "shop-down", "incident": id})).await;
    assert_eq!(twice.status, StatusCode::CONFLICT, "{}", twice.text);
    assert!(twice.text.contains(begun["id"].as_str().unwrap()), "{}", twice.text);
    // The definition changes: this run stays as it was.
    bench.apply(&OWN.replace("Mend it", "Repair it"), json!({})).await;
    assert_eq!(bench.get("/api/v1/playbooks/shop-down").await.json()["version"], "2");
    assert_eq!(run(&bench, &begun).await["marks"][1]["title"]["en"], "Mend it");

    // Nothing ticks by itself before the evidence says so.
    assert_eq!(bench.app.see_playbooks(clock::now()).await.unwrap(), 0);
    bench.post(&format!("/api/v1/incidents/{id}/acts"), &json!({"act": "acknowledge", "by": "ana"})).await;
    assert_eq!(bench.app.see_playbooks(clock::now()).await.unwrap(), 1);
    let seen = run(&bench, &begun).await;
    assert_eq!(states(&seen), ["done", "open", "open"]);
    assert_eq!(
        (&seen["marks"][0]["by"], &seen["marks"][0]["seen"]["fr"]),
        (&json!("evidence"), &json!("l’incident est pris"))
    );

    // People: refused with the remedy, then done.
    for (what, status, why) in [
        (json!({"act": "finish"}), StatusCode::CONFLICT, "open steps are left: mend, up"),
        (json!({"act": "tick", "step": "take"}), StatusCode::CONFLICT, "is marked already"),
        (json!({"act": "tick", "step": "dance"}), StatusCode::NOT_FOUND, "its steps are take, mend, up"),
        (json!({"act": "skip", "step": "mend", "reason": " "}), StatusCode::BAD_REQUEST, "say why it is skipped"),
        (json!({"act": "dance"}), StatusCode::BAD_REQUEST, "dance"),
    ] {
        let answer = act(&bench, &begun, what).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.text.contains(why), "{why}: {}", answer.text);
    }
    let skipped = act(&bench, &begun, json!({"act": "skip", "step": "mend", "reason": "it mended itself"})).await;
    assert_eq!(skipped.status, StatusCode::OK, "{}", skipped.text);
    act(&bench, &begun, json!({"act": "note", "text": "seen before"})).await;
    recover(&bench, agent).await;
    assert_eq!(bench.app.see_playbooks(clock::now()).await.unwrap(), 1);
    let finished = act(&bench, &begun, json!({"act": "finish"})).await.json();
    assert_eq!(
        (&finished["state"], &finished["estimate_minutes"], &finished["by_itself"]),
        (&json!("finished"), &json!(6), &json!(2))
    );
    let told: Vec<&str> =
        finished["entries"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!(told, ["done", "skipped", "noted", "done", "finished"]);
    assert_eq!(act(&bench, &begun, json!({"act": "note", "text": "late"})).await.status, StatusCode::CONFLICT);

    // It counts, for its playbook and for who started it.
    let second = start(&bench, "service-down", &id).await;
    act(&bench, &second, json!({"act": "abandon", "reason": "the other one did"})).await;
    let rates = bench.get("/api/v1/playbook-rates").await.json();
    assert_eq!((&rates["all"]["runs"], &rates["all"]["completion"]), (&json!(2), &json!(0.5)), "{rates}");
    assert_eq!(rates["people"][0]["name"], "collector:cli");
    let indicators = bench.get("/api/v1/indicators").await.json();
    assert_eq!(indicators["playbooks"], json!({"ended": 2, "completed": 1, "share": 0.5}), "{indicators}");
    let own = rates["playbooks"].as_array().unwrap().iter().find(|one| one["name"] == "shop-down").unwrap();
    assert_eq!((&own["finished"], &own["steps_done"]), (&json!(1), &json!(2.0 / 3.0)));
}

/// Users of two teams, and one of none.
const PEOPLE: &str =
    "[[user]]\nid = \"ana\"\nteam = \"platform\"\n[[user]]\nid = \"bob\"\nteam = \"night\"\n[[user]]\nid = \"cas\"\n";

/// A run that somebody began about the check, and ended so; `None`: it goes on.
async fn began(bench: &Bench, by: &str, finished: Option<bool>) {
    let about = About::Check("shop".into());
    let run = bench.app.start_playbook("shop-down", about, by, clock::now()).await.unwrap();
    let path = format!("/api/v1/playbook-runs/{}/acts", run.head.id);
    let mut acts = Vec::new();
    match finished {
        Some(true) => {
            let skip = |step: &&str| json!({"act": "skip", "step": step, "reason": "a test"});
            acts.extend(["take", "mend", "up"].iter().map(skip));
            acts.push(json!({"act": "finish"}));
        }
        Some(false) => acts.push(json!({"act": "abandon", "reason": "a test"})),
        None => {}
    }
    for act in acts {
        let done = bench.post(&path, &act).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    }
}

#[tokio::test]
async fn runs_count_for_the_team_that_who_started_them_was_in_then() {
    let (bench, _) = down().await;
    bench.apply(OWN, json!({})).await;
    assert_eq!(bench.apply(PEOPLE, json!({})).await.status, StatusCode::OK);
    let ended = [("ana", true), ("ana", false), ("bob", true), ("cas", false), ("gone", false)];
    for (by, finished) in ended {
        began(&bench, &format!("collector:{by}"), Some(finished)).await;
    }
    began(&bench, "collector:cli", None).await;
    // Bob goes to the other team: his run of before stays where it was.
    bench.apply(&PEOPLE.replace("night", "platform"), json!({})).await;
    let users = bench.get("/api/v1/users").await.json();
    let teams: Vec<&Value> = users.as_array().unwrap().iter().map(|user| &user["team"]).collect();
    assert_eq!(teams, [&json!("platform"), &json!("platform"), &json!(null)], "{users}");

    let rates = bench.get("/api/v1/playbook-rates").await.json();
    let told: Vec<Value> = rates["teams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["team"], one["runs"], one["finished"], one["completion"], one["playbooks"][0]["name"]]))
        .collect();
    let expected = [
        json!(["night", 1, 1, 1.0, "shop-down"]),
        json!(["platform", 2, 1, 0.5, "shop-down"]),
        json!([null, 3, 0, 0.0, "shop-down"]),
    ];
    assert_eq!(told, expected, "{rates}");
    let indicators = bench.get("/api/v1/indicators").await.json();
    let expected = json!([
        {"team": "night", "ended": 1, "completed": 1, "share": 1.0},
        {"team": "platform", "ended": 2, "completed": 1, "share": 0.5},
        {"team": null, "ended": 2, "completed": 0, "share": 0.0},
    ]);
    assert_eq!(indicators["playbook_teams"], expected, "{indicators}");
    assert_eq!(indicators["playbooks"], json!({"ended": 5, "completed": 2, "share": 0.4}));

    let metrics = bench.get("/metrics").await.text;
    for line in [
        "sitepulse_playbook_runs{playbook=\"shop-down\",team=\"platform\",state=\"finished\"} 1\n",
        "sitepulse_playbook_runs{playbook=\"shop-down\",team=\"\",state=\"running\"} 1\n",
        "sitepulse_playbook_estimate_seconds{playbook=\"shop-down\",team=\"night\"} 0\n",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    let page = bench.get("/playbooks").await.text;
    assert!(page.contains("By team") && page.contains("no team") && page.contains("1 of 2 carried through"), "{page}");
    let page = bench.get("/playbooks?lang=fr").await.text;
    assert!(page.contains("Par équipe") && page.contains("menées à bien\u{a0}: 1 sur 2"), "{page}");
    let page = bench.get("/indicators").await.text;
    assert!(page.contains("Playbook completion, platform") && page.contains("Playbook completion, no team"), "{page}");
    assert!(bench.get("/indicators?lang=fr").await.text.contains("Procédures menées à bien, sans équipe"));
    assert!(bench.get("/settings").await.text.contains("ana · platform"));
    let bad = bench.apply(&PEOPLE.replace("night", "Night Shift"), json!({})).await;
    assert!(bad.text.contains("team \\\"Night Shift\\\" is not a slug"), "{}", bad.text);
}

#[tokio::test]
async fn runs_that_are_over_go_with_their_age_and_those_under_way_stay() {
    let (bench, _) = down().await;
    bench.apply(OWN, json!({})).await;
    began(&bench, "collector:ana", Some(true)).await;
    began(&bench, "collector:ana", None).await;
    let expire = async |hourly_us: u64| {
        let retention = Retention { hourly_us: Some(hourly_us), ..Retention::default() };
        let later = clock::now().plus_us(12 * 3_600 * 1_000_000);
        bench.app.writer().run(move |engine| engine.expire_now(retention, later).unwrap()).await.unwrap();
        bench.get("/api/v1/playbook-runs?state=all").await.json().as_array().unwrap().len()
    };
    assert_eq!(expire(13 * 3_600 * 1_000_000).await, 2, "too young");
    assert_eq!(expire(11 * 3_600 * 1_000_000).await, 1);
    let left = bench.get("/api/v1/playbook-runs?state=all").await.json();
    assert_eq!(left[0]["state"], "running", "{left}");
    let entries = |engine: &mut sitepulse_collector::engine::Engine| -> i64 {
        let sql = "SELECT count(*) FROM playbook_entry";
        engine.store().connection().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(bench.app.writer().run(entries).await.unwrap(), 0, "what happened to it is gone, too");
}

#[tokio::test]
async fn runs_outlive_a_restart_and_go_on_ticking() {
    let (bench, agent) = down().await;
    bench.apply(OWN, json!({})).await;
    let id = incident(&bench).await;
    let begun = start(&bench, "shop-down", &id).await;
    act(&bench, &begun, json!({"act": "tick", "step": "mend"})).await;
    let before = run(&bench, &begun).await;
    let bench = bench.again().await;
    let after = run(&bench, &begun).await;
    for field in ["marks", "entries", "started_at", "started_by", "state"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    bench.post(&format!("/api/v1/incidents/{id}/acts"), &json!({"act": "acknowledge"})).await;
    recover(&bench, agent).await;
    assert_eq!(bench.app.see_playbooks(clock::now()).await.unwrap(), 2);
    assert_eq!(states(&run(&bench, &begun).await), ["done", "done", "done"]);
    // What somebody took back waits for somebody.
    act(&bench, &begun, json!({"act": "undo", "step": "up"})).await;
    let bench = bench.again().await;
    assert_eq!(bench.app.see_playbooks(clock::now()).await.unwrap(), 0);
    assert_eq!(states(&run(&bench, &begun).await), ["done", "done", "open"]);
    let runs = bench.get("/api/v1/playbook-runs").await.json();
    assert_eq!(runs.as_array().unwrap().len(), 1);
    // Nobody works on it for a week: it is abandoned by itself, and told so.
    let later = clock::now().plus_us(8 * 86_400_000_000);
    assert_eq!(bench.app.see_playbooks(later).await.unwrap(), 1);
    assert_eq!(run(&bench, &begun).await["state"], "abandoned");
}

#[tokio::test]
async fn lists_of_runs_have_filters_and_pages() {
    let bench = Bench::new();
    bench.apply(FILE, json!({})).await;
    let mut made = Vec::new();
    for playbook in ["service-down", "degraded", "flapping"] {
        let answer = bench.post("/api/v1/playbook-runs", &json!({"playbook": playbook, "check": "shop"})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        made.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    made.reverse();
    let (mut told, mut next) = (Vec::new(), Some("/api/v1/playbook-runs?check=shop&limit=2".to_owned()));
    while let Some(path) = next {
        let page = bench.get(&path).await;
        told.extend(page.json().as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        next = page.headers.get("link").map(|link| link.to_str().unwrap()[1..].split('>').next().unwrap().to_owned());
    }
    assert_eq!(told, made);
    let some = bench.get("/api/v1/playbook-runs?playbook=degraded&state=all").await.json();
    assert_eq!(some.as_array().unwrap().len(), 1);
    assert_eq!(bench.get("/api/v1/playbook-runs?incident=none").await.json(), json!([]));
    for bad in [
        "/api/v1/playbook-runs?state=over",
        "/api/v1/playbook-runs?check=a&incident=b",
        "/api/v1/playbook-offers",
        "/api/v1/playbook-rates?from=now&to=-1d",
    ] {
        assert_eq!(bench.get(bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    for (gone, body) in [
        ("/api/v1/playbook-runs", json!({"playbook": "none", "check": "shop"})),
        ("/api/v1/playbook-runs", json!({"playbook": "degraded", "check": "none"})),
        ("/api/v1/playbook-runs", json!({"playbook": "degraded", "incident": "none"})),
        ("/api/v1/playbook-runs/none/acts", json!({"act": "finish"})),
    ] {
        assert_eq!(bench.post(gone, &body).await.status, StatusCode::NOT_FOUND, "{gone} {body}");
    }
    for path in [
        "/api/v1/playbooks/none",
        "/api/v1/playbook-runs/none",
        "/api/v1/playbook-offers?incident=none",
        "/playbooks/none",
        "/playbook-runs/none",
    ] {
        assert_eq!(bench.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn pages_tell_it_in_both_languages_and_forms_do_it() {
    let (bench, _) = down().await;
    // What somebody wrote stays text.
    bench.apply(&OWN.replace("Mend it", "<script>alert(1)</script>"), json!({})).await;
    let id = incident(&bench).await;
    let page = bench.get(&format!("/incidents/{id}")).await.text;
    assert!(
        page.contains("The shop is down") && page.contains("3 steps · 15 min") && page.contains("1 other fits too"),
        "{page}"
    );
    let french = bench.get(&format!("/incidents/{id}?lang=fr")).await.text;
    assert!(french.contains("La boutique est en panne") && french.contains("Que faire"), "{french}");
    let started =
        bench.send(Door::Local, "POST", "/playbooks/shop-down/start", &[FORM], &format!("incident={id}")).await;
    assert_eq!(started.status, StatusCode::SEE_OTHER, "{}", started.text);
    let path = started.headers["location"].to_str().unwrap().to_owned();
    let page = bench.get(&path).await.text;
    assert!(page.contains("ticks itself when somebody has taken the incident"), "{page}");
    assert!(!page.contains("<script>alert") && page.contains("alert(1)"), "{page}");
    // A form that is refused says why on the page.
    let refused = bench.send(Door::Local, "POST", &format!("{path}/skip"), &[FORM], "step=mend&reason=").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("say why it is skipped"), "{}", refused.text);
    for (action, body) in [
        ("tick", "step=take"),
        ("skip", "step=mend&reason=later"),
        ("note", "text=hello"),
        ("tick", "step=up"),
        ("finish", ""),
    ] {
        let done = bench.send(Door::Local, "POST", &format!("{path}/{action}"), &[FORM], body).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{action}: {}", done.text);
    }
    let over = bench.get(&format!("{path}?lang=fr")).await.text;
    assert!(over.contains("terminée") && !over.contains("<form method=\"post\" action=\"/playbook-runs"), "{over}");
    // The incident's page tells of it still; the library tells what it came to.
    assert!(bench.get(&format!("/incidents/{id}")).await.text.contains(&path));
    let library = bench.get("/playbooks").await.text;
    assert!(
        library.contains("100 %") && library.contains("The shop is down") && library.contains("renew-certificate"),
        "{library}"
    );
    assert!(bench.get("/playbooks/renew-certificate?lang=fr").await.text.contains("se coche seule quand"));
    assert_eq!(
        bench.send(Door::Local, "POST", &format!("{path}/dance"), &[FORM], "").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_finding_has_its_playbook_and_a_renewed_certificate_ticks_it() {
    let (world, agent, id) = super::findings::expiring(6).await;
    let bench = &world.bench;
    let own = "[[playbook]]\nid = \"renew\"\ntitle = \"Renew it\"\nfindings = [\"expiry\"]\nsteps = [\n\
               { id = \"renew\", title = \"Renew\", minutes = 10, done_when = \"certificate renewed\", command = \"openssl s_client -connect {address}\" },\n\
               { id = \"closed\", title = \"See it close\", minutes = 1, done_when = \"finding closed\" },\n]\n";
    assert_eq!(bench.apply(own, json!({})).await.status, StatusCode::OK);
    let page = bench.get(&format!("/findings/{id}")).await.text;
    assert!(page.contains("Renew it") && page.contains("2 steps · 11 min"), "{page}");
    let begun = bench.post("/api/v1/playbook-runs", &json!({"playbook": "renew", "finding": id})).await.json();
    assert_eq!(
        (&begun["about"], &begun["kind"], &begun["check"]),
        (&json!("finding"), &json!("expiry"), &json!("shop"))
    );
    assert_eq!(begun["marks"][0]["command"], "openssl s_client -connect shop.example:443");
    let minutes = |minutes: i64| world.now.plus_us(minutes * 60_000_000);
    assert_eq!(bench.app.see_playbooks(minutes(1)).await.unwrap(), 0);
    // Another certificate that nobody trusts renews nothing, however late it ends.
    let certificate = Some(world.now.plus_us(80 * 86_400_000_000));
    let renewed = move |_| super::findings::Ran { certificate, ..super::findings::up(100_000) };
    let refused = move |ago| super::findings::Ran { state: ProbeState::Down, ..renewed(ago) };
    world.ran(agent, "shop", (-15, -15), refused).await;
    assert_eq!(bench.app.see_playbooks(minutes(16)).await.unwrap(), 0);
    // The next run takes it; the next look closes the finding.
    world.ran(agent, "shop", (-30, -30), renewed).await;
    assert_eq!(bench.app.see_playbooks(minutes(31)).await.unwrap(), 1);
    let seen = run(bench, &begun).await;
    assert_eq!(states(&seen), ["done", "open"]);
    assert!(seen["marks"][0]["seen"]["en"].as_str().unwrap().starts_with("ends 20"), "{seen}");
    world.look(31 * 60_000_000).await;
    assert_eq!(bench.app.see_playbooks(minutes(31)).await.unwrap(), 1);
    assert_eq!(states(&run(bench, &begun).await), ["done", "done"]);
}

/// The defect: while the agent that sees the forgotten server was silent, what the other sees counted as renewed, and the mark stood for good.
#[tokio::test]
async fn an_agent_that_falls_silent_renews_no_certificate() {
    let world = super::findings::World::new(&super::findings::check("shop")).await;
    let (bench, now) = (&world.bench, world.now);
    let seen = |days: i64| {
        let certificate = Some(now.plus_us(days * 86_400_000_000));
        move |_| super::findings::Ran { certificate, ..super::findings::up(100_000) }
    };
    let (forgotten, renewed) = (world.enrol("eu-west", "w").await, world.enrol("us-east", "e").await);
    world.ran(forgotten, "shop", (120, 0), seen(5)).await;
    world.ran(renewed, "shop", (120, 0), seen(60)).await;
    let own = "[[playbook]]\nid = \"renew\"\ntitle = \"Renew it\"\nfindings = [\"expiry\"]\nsteps = [\n\
               { id = \"renew\", title = \"Renew\", minutes = 10, done_when = \"certificate renewed\" },\n\
               { id = \"everywhere\", title = \"Everywhere\", minutes = 1, done_when = \"certificate valid for 21d\" },\n]\n";
    assert_eq!(bench.apply(own, json!({})).await.status, StatusCode::OK);
    let begun = bench.post("/api/v1/playbook-runs", &json!({"playbook": "renew", "check": "shop"})).await.json();
    let minutes = |minutes: i64| now.plus_us(minutes * 60_000_000);
    // One is silent for three hours: the other is the only voter.
    world.ran(renewed, "shop", (-15, -180), seen(60)).await;
    assert_eq!(bench.app.see_playbooks(minutes(181)).await.unwrap(), 0);
    assert_eq!(states(&run(bench, &begun).await), ["open", "open"]);
    // It is back, cannot tell, and then sees the new one too.
    world
        .ran(forgotten, "shop", (-180, -180), |_| super::findings::Ran {
            state: ProbeState::Unknown,
            ..super::findings::up(0)
        })
        .await;
    assert_eq!(bench.app.see_playbooks(minutes(181)).await.unwrap(), 0);
    for agent in [forgotten, renewed] {
        world.ran(agent, "shop", (-195, -195), seen(60)).await;
    }
    assert_eq!(bench.app.see_playbooks(minutes(196)).await.unwrap(), 2);
    assert_eq!(states(&run(bench, &begun).await), ["done", "done"]);
}

#[test]
fn links_of_built_in_steps_are_pages() {
    let pages: Vec<&str> = routes().iter().filter(|route| route.method == "GET").map(|route| route.path).collect();
    let is_page = |link: &str| {
        let path: Vec<&str> = link.split('?').next().unwrap().split('/').collect();
        pages.iter().any(|page| {
            let page: Vec<&str> = page.split('/').collect();
            page.len() == path.len() && page.iter().zip(&path).all(|(want, is)| want == is || want.starts_with('{'))
        })
    };
    for book in library::all() {
        for step in &book.steps {
            if let Some(link) = step.link.as_deref() {
                assert!(is_page(link), "{}/{}: {link} is no page", book.id, step.id);
            }
        }
    }
}

/// What a real shell makes of a name that was filled in: one word, as it was.
#[test]
fn a_shell_reads_what_was_filled_in() {
    for nasty in ["it's", "a b", "$(touch /tmp/x)", "`id`", "\\", "'; rm -rf /; '", "é\"*?[a]{b,c}~", "!x", "&&", "#"]
    {
        let names = Names { host: Some(nasty.into()), ..Names::default() };
        let template = "printf '%s|' {host} x{host}y # {host}";
        assert_eq!(fill::check_command(template), Ok(()));
        let (command, missing) = fill::command(template, &names);
        assert!(missing.is_empty());
        let told = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(String::from_utf8(told.stdout).unwrap(), format!("{nasty}|x{nasty}y|"), "{command}");
    }
}

#[test]
fn the_page_of_playbooks_shows_every_key_and_fact_and_its_sample_parses() {
    use sitepulse_collector::checkfile::{self, Source};
    use sitepulse_model::playbook::condition::{Condition, FORMS};
    let page = include_str!("../../../../docs/playbooks.md");
    let samples = page.split("```toml\n").skip(1).enumerate();
    let samples: Vec<Source> = samples
        .map(|(index, rest)| Source { name: format!("sample {index}"), text: rest.split("```").next().unwrap().into() })
        .collect();
    assert_eq!(checkfile::parse(&samples).unwrap().objects.len(), 1);
    for form in FORMS {
        assert!(
            Condition::parse(form).is_ok() && page.contains(&format!("`{form}`")),
            "docs/playbooks.md has no {form}"
        );
    }
    for name in fill::NAMES {
        assert!(page.contains(&format!("`{{{name}}}`")), "docs/playbooks.md has no {name}");
    }
    for key in sitepulse_model::playbook::Playbook::KEYS {
        assert!(page.contains(&format!("`{key}`")), "docs/playbooks.md has no {key}");
    }
}
