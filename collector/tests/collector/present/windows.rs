//! Maintenance windows made, changed, ended and cancelled by the console's forms.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::{clock, instant};

use super::bench::{Answer, Bench, CHECK, NETWORK};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
/// A window every Sunday night.
const NIGHT: &str =
    "id=night&checks=shop&from=2150-12-06T02%3A00&lasts=2h&zone=Europe%2FParis&frequency=weekly&day-SU=yes";

async fn post(bench: &Bench, path: &str, form: &str) -> Answer {
    bench.send(Door::Local, "POST", path, &[FORM], form).await
}

/// What was planned, applied as it was shown.
async fn apply(bench: &Bench, path: &str, form: &str) -> Answer {
    let shown = post(bench, path, &format!("{form}&do=plan")).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    let (seen, tag) = (shown.hidden("seen"), shown.hidden("tag"));
    post(bench, path, &format!("{form}&do=apply&seen={seen}&tag={tag}")).await
}

async fn windows(bench: &Bench) -> Vec<Value> {
    let all = bench.get("/api/v1/definitions?kind=maintenance").await.json();
    all.as_array().unwrap().clone()
}

fn leads(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    answer.headers["location"].to_str().unwrap()
}

#[tokio::test]
async fn a_window_is_planned_shown_and_then_applied() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    let form = bench.get("/windows/new?lang=fr").await.text;
    for word in ["Nouvelle fenêtre", "Fuseau horaire", "name=\"day-MO\"", "Selon", "type=\"date\""] {
        assert!(form.contains(word), "{word}: {form}");
    }
    // Its dates on the wall of its zone, and of the reader's.
    let shown = post(&bench, "/windows/new?lang=fr", &format!("{NIGHT}&do=plan&reader=America%2FNew_York")).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    let (winter, theirs) = ("dim 2150-12-06 02:00 – 04:00 CET", "sam 2150-12-05 20:00 – 22:00 EST");
    for word in [winter, theirs, "Pour vous (America/New_York)", "href=\"/checks/shop\"", "FREQ=WEEKLY;BYDAY=SU"] {
        assert!(shown.text.contains(word), "{word}: {}", shown.text);
    }
    assert_eq!(windows(&bench).await, Vec::<Value>::new(), "a plan saves nothing");
    // What was not shown is not applied.
    let unseen = post(&bench, "/windows/new", &format!("{NIGHT}&do=apply")).await;
    assert!(unseen.status == StatusCode::OK && unseen.text.contains("another than the one you saw"), "{}", unseen.text);
    assert_eq!(windows(&bench).await, Vec::<Value>::new());

    assert_eq!(leads(&apply(&bench, "/windows/new", NIGHT).await), "/windows");
    let made = windows(&bench).await;
    assert_eq!(
        made[0]["definition"],
        json!({"id": "night", "checks": ["shop"], "from": "2150-12-06T02:00", "lasts": "2h", "zone": "Europe/Paris", "rrule": "FREQ=WEEKLY;BYDAY=SU"})
    );
    let list = bench.get("/windows?lang=fr").await.text;
    assert!(list.contains("chaque semaine, le dim") && list.contains("/windows/night/edit"), "{list}");
    // The id is taken now.
    let again = post(&bench, "/windows/new", &format!("{NIGHT}&do=plan")).await;
    assert!(again.status == StatusCode::UNPROCESSABLE_ENTITY && again.text.contains("f-id-error"), "{}", again.text);
}

#[tokio::test]
async fn what_is_wrong_stands_at_its_field_and_nothing_is_saved() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    let good = [("id", "night"), ("checks", "shop"), ("from", "2150-12-06T02:00"), ("lasts", "2h")];
    for (field, value, more, remedy) in [
        ("id", "Night!", "", "a-z"),
        ("checks", "shops", "", "did you mean"),
        ("from", "soon", "", "2026-12-01T02:00"),
        ("lasts", "a while", "", ""),
        ("zone", "Europe/Pariss", "", "did you mean"),
        ("interval", "x", "&frequency=daily", "1 to 1000"),
        ("count", "0", "&frequency=daily&ends=count", "1 to 10000"),
        ("until", "", "&frequency=daily&ends=until", "20261231"),
        ("month_days", "32", "&frequency=monthly", "1 to 31"),
        ("rule", "FREQ=HOURLY", "&frequency=rule", "DAILY, WEEKLY or MONTHLY"),
        ("frequency", "yearly", "", "DAILY, WEEKLY or MONTHLY"),
    ] {
        let mut form: Vec<(&str, &str)> = good.into_iter().filter(|(name, _)| *name != field).collect();
        form.push((field, value));
        let form: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace('&', "%26").replace(' ', "+")))
            .collect();
        for act in ["plan", "apply"] {
            let answer = post(&bench, "/windows/new", &format!("{}{more}&do={act}", form.join("&"))).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}: {}", answer.text);
            let error = answer.text.split_once(&format!("id=\"f-{field}-error\">"));
            let error = error.unwrap_or_else(|| panic!("{field}: {}", answer.text)).1.split_once("</p>").unwrap().0;
            assert!(error.contains(remedy), "{field}: {error}");
        }
    }
    let nothing = post(&bench, "/windows/new", "id=night&from=2150-12-06T02%3A00&lasts=2h&do=plan").await;
    assert!(
        nothing.text.contains("role=\"alert\"") && nothing.text.contains("name checks, groups or tags"),
        "{}",
        nothing.text
    );
    assert_eq!(windows(&bench).await, Vec::<Value>::new());
}

#[tokio::test]
async fn two_who_change_a_window_do_not_overwrite_each_other() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    apply(&bench, "/windows/new", NIGHT).await;
    let edit = "/windows/night/edit";
    let opened = bench.get(edit).await;
    let text = &opened.text;
    assert!(
        text.contains("value=\"2150-12-06T02:00\"") && text.contains("name=\"day-SU\" value=\"yes\" checked"),
        "{text}"
    );
    let mine = NIGHT.replace("lasts=2h", "lasts=3h");
    let planned = post(&bench, edit, &format!("{mine}&do=plan&tag={}", opened.hidden("tag"))).await;
    assert!(planned.text.contains("lasts: 2h → 3h"), "{}", planned.text);
    // Somebody else is faster.
    assert_eq!(leads(&apply_edit(&bench, &NIGHT.replace("lasts=2h", "lasts=4h")).await), "/windows");
    let (seen, tag) = (planned.hidden("seen"), planned.hidden("tag"));
    let late = post(&bench, edit, &format!("{mine}&do=apply&seen={seen}&tag={tag}")).await;
    assert!(late.status == StatusCode::OK && late.text.contains("Somebody changed it"), "{}", late.text);
    assert!(late.text.contains("lasts: 4h → 3h"), "{}", late.text);
    assert_eq!(windows(&bench).await[0]["definition"]["lasts"], "4h");
    let (seen, tag) = (late.hidden("seen"), late.hidden("tag"));
    assert_eq!(leads(&post(&bench, edit, &format!("{mine}&do=apply&seen={seen}&tag={tag}")).await), "/windows");
    let now = windows(&bench).await;
    assert_eq!((&now[0]["definition"]["lasts"], &now[0]["version"]), (&json!("3h"), &json!(3)));
    assert_eq!(bench.get("/windows/none/edit").await.status, StatusCode::NOT_FOUND);
}

async fn apply_edit(bench: &Bench, form: &str) -> Answer {
    let opened = bench.get("/windows/night/edit").await;
    let shown = post(bench, "/windows/night/edit", &format!("{form}&do=plan&tag={}", opened.hidden("tag"))).await;
    let (seen, tag) = (shown.hidden("seen"), shown.hidden("tag"));
    post(bench, "/windows/night/edit", &format!("{form}&do=apply&seen={seen}&tag={tag}")).await
}

/// A window that began a minute ago and comes each day.
async fn open(bench: &Bench) {
    let from = instant::format(clock::now().plus_us(-60_000_000));
    let window = format!(
        "{CHECK}[[maintenance]]\nid = \"daily\"\nchecks = [\"shop\"]\nfrom = \"{}Z\"\nlasts = \"2h\"\nrrule = \"FREQ=DAILY;COUNT=3\"\n",
        &from[..19]
    );
    let applied = bench.apply(&window, json!({})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
}

#[tokio::test]
async fn the_time_that_is_open_ends_and_the_next_ones_stay() {
    let bench = Bench::new();
    open(&bench).await;
    let state = async || bench.get("/api/v1/checks/shop").await.json()["verdict"].clone();
    assert_eq!(state().await, "maintenance");
    let before = bench.get("/api/v1/windows").await.json();
    assert_eq!(before.as_array().unwrap().len(), 3, "{before}");
    let list = bench.get("/windows").await.text;
    assert!(list.contains("href=\"/windows/daily/end\""), "{list}");
    let sheet = bench.get("/windows/daily/end").await.text;
    assert!(sheet.contains("The next one stays") && sheet.contains("action=\"/windows/daily/end\""), "{sheet}");
    assert_eq!(leads(&post(&bench, "/windows/daily/end", "").await), "/windows");
    assert_ne!(state().await, "maintenance", "it is watched again at once");
    let after = bench.get("/api/v1/windows").await.json();
    let times = |view: &Value, at: usize| (view[at]["from"].clone(), view[at]["to"].clone());
    assert_eq!(after.as_array().unwrap().len(), 3, "{after}");
    assert_eq!((times(&after, 1), times(&after, 2)), (times(&before, 1), times(&before, 2)));
    assert_eq!((&after[0]["from"], &after[0]["state"]), (&before[0]["from"], &json!("past")), "the past stays");
    // Once more there is nothing to end.
    let again = post(&bench, "/windows/daily/end", "").await;
    assert!(again.status == StatusCode::CONFLICT && again.text.contains("It is not open"), "{}", again.text);
}

#[tokio::test]
async fn a_cancelled_window_ends_and_opens_never_again() {
    let bench = Bench::new();
    open(&bench).await;
    let sheet = bench.get("/windows/daily/cancel?lang=fr").await.text;
    assert!(sheet.contains("Elle est ouverte") && sheet.contains("Elle ne s’ouvrira plus"), "{sheet}");
    assert_eq!(leads(&post(&bench, "/windows/daily/cancel", "").await), "/windows");
    let left = bench.get("/api/v1/windows").await.json();
    assert_eq!((left.as_array().unwrap().len(), &left[0]["state"]), (1, &json!("past")), "{left}");
    assert_eq!(post(&bench, "/windows/daily/cancel", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(windows(&bench).await, Vec::<Value>::new());
}

#[tokio::test]
async fn who_may_not_edit_is_offered_nothing() {
    let bench = Bench::new();
    open(&bench).await;
    let bearer = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Respond).await);
    let list = bench.send(NETWORK, "GET", "/windows", &[("authorization", &bearer)], "").await.text;
    assert!(list.contains("daily") && !list.contains("/windows/daily/") && !list.contains("/windows/new"), "{list}");
}
