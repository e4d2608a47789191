//! Pages on which people act: every form does what the API does, by the same authority, and says what it refused.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::outbox::{Attempt, Outcome};
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::clock;

use super::bench::{Answer, Bench, NETWORK};
use super::incidents::{FILE, enrol};
use super::pages::Pages;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn post(bench: &Bench, path: &str, form: &str) -> Answer {
    bench.send(Door::Local, "POST", path, &[FORM], form).await
}

/// Where an answer leads back to.
fn leads(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    answer.headers["location"].to_str().unwrap()
}

async fn with_agent() -> Bench {
    let bench = Bench::new();
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    assert_eq!(bench.apply(FILE, json!({})).await.status, StatusCode::OK);
    bench.app.writer().run(|engine| enrol(engine, clock::now())).await.unwrap();
    bench
}

async fn agent(bench: &Bench) -> Value {
    bench.get("/api/v1/agents/eu-1").await.json()
}

#[tokio::test]
async fn an_agent_is_weighed_suspended_resumed_and_revoked_from_its_pages() {
    let bench = with_agent().await;
    let weighed = post(&bench, "/agents/eu-1/weight", "back=%2Fagents&weight=0%2C5").await;
    assert_eq!(leads(&weighed), "/agents", "a decimal comma is one, and the list is come back to");
    assert_eq!(agent(&bench).await["weight"], 0.5);
    let refused = post(&bench, "/agents/eu-1/weight", "back=%2Fagents&weight=heavy").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    for word in ["Not done:", "write a number from 0 to 1000", "eu-west", "role=\"alert\""] {
        assert!(refused.text.contains(word), "{word}: {}", refused.text);
    }
    assert!(!refused.text.contains("data-live"), "the address of a form is not to be fetched");

    let form = bench.get("/agents/eu-1/suspend?lang=fr").await;
    assert!(form.text.contains("Raison") && form.text.contains("action=\"/agents/eu-1/suspend\""), "{}", form.text);
    let nothing = post(&bench, "/agents/eu-1/suspend", "reason=&for=1h").await;
    assert_eq!(nothing.status, StatusCode::BAD_REQUEST);
    assert!(nothing.text.contains("a suspension needs a reason"), "{}", nothing.text);
    assert_eq!(leads(&post(&bench, "/agents/eu-1/suspend", "reason=new+disk&for=4h").await), "/agents/eu-1");
    assert_eq!(agent(&bench).await["suspended"]["reason"], "new disk");
    let page = bench.get("/agents/eu-1").await.text;
    assert!(page.contains("new disk") && page.contains("/agents/eu-1/resume") && page.contains("Suspended"), "{page}");
    assert_eq!(leads(&post(&bench, "/agents/eu-1/resume", "").await), "/agents/eu-1");
    assert_eq!(agent(&bench).await["suspended"], Value::Null);

    let unsure = post(&bench, "/agents/eu-1/revoke", "name=eu-2").await;
    assert!(unsure.status == StatusCode::BAD_REQUEST && unsure.text.contains("write eu-1"), "{}", unsure.text);
    assert_eq!(agent(&bench).await["revoked"], Value::Null);
    assert_eq!(leads(&post(&bench, "/agents/eu-1/revoke", "name=eu-1").await), "/agents/eu-1");
    let list = bench.get("/agents").await.text;
    assert!(list.contains("revoked") && !list.contains("/agents/eu-1/suspend"), "{list}");
    assert_eq!(bench.get("/agents/eu-9").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_may_respond_suspends_and_who_may_edit_weighs() {
    let bench = with_agent().await;
    let send = async |access: Access, method: &str, path: &str, form: &str| {
        let bearer = format!("Bearer {}", bench.token(CredentialKind::ApiToken, access).await);
        bench.send(NETWORK, method, path, &[("authorization", &bearer), FORM], form).await
    };
    let suspend = ("/agents/eu-1/suspend", "reason=x&for=1h");
    assert_eq!(send(Access::Read, "POST", suspend.0, suspend.1).await.status, StatusCode::FORBIDDEN);
    assert_eq!(send(Access::Respond, "POST", suspend.0, suspend.1).await.status, StatusCode::SEE_OTHER);
    let weigh = ("/agents/eu-1/weight", "weight=2");
    assert_eq!(send(Access::Respond, "POST", weigh.0, weigh.1).await.status, StatusCode::FORBIDDEN);
    assert_eq!(send(Access::Edit, "POST", weigh.0, weigh.1).await.status, StatusCode::SEE_OTHER);
    assert_eq!(send(Access::Edit, "GET", "/new-agent", "").await.status, StatusCode::FORBIDDEN);
    let looks = send(Access::Read, "GET", "/agents", "").await.text;
    for act in ["/new-agent", "/weight", "/resume", "/suspend"] {
        assert!(!looks.contains(&format!("{act}\"")), "{act} is offered to who may only look: {looks}");
    }
}

#[tokio::test]
async fn the_command_of_a_new_agent_is_shown_once_and_the_agent_is_waited_for() {
    let bench = Bench::new();
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    let since = clock::now().0;
    let path = format!("/new-agent?since={since}");
    let bad = post(&bench, &path, "region=Not+One&ttl=15m").await;
    assert!(bad.status == StatusCode::BAD_REQUEST && bad.text.contains("Not One"), "{}", bad.text);
    let made = post(&bench, &path, "region=eu-west&ttl=15m").await;
    assert!(
        made.text.contains("sitepulse-agent join sp") && made.text.contains("Waiting for the agent"),
        "{}",
        made.text
    );
    assert!(made.text.contains("data-keep"), "the command stays when the page looks again");
    let again = bench.get(&path).await.text;
    assert!(!again.contains("sitepulse-agent join") && again.contains("Waiting for the agent"), "{again}");
    bench.app.writer().run(|engine| enrol(engine, clock::now())).await.unwrap();
    let there = bench.get(&path).await.text;
    assert!(there.contains("href=\"/agents/eu-1\"") && !there.contains("Waiting"), "{there}");
}

#[tokio::test]
async fn an_incident_is_handled_from_its_page() {
    let bench = with_agent().await;
    let opened = post(&bench, "/incidents/new", "title=Provider+%3Cdown%3E&severity=critical&check=shop").await;
    let page = leads(&opened).to_owned();
    let id = page.strip_prefix("/incidents/").unwrap().to_owned();
    let untitled = post(&bench, "/incidents/new", "title=&severity=minor").await;
    assert!(untitled.status == StatusCode::BAD_REQUEST && untitled.text.contains("Not done:"), "{}", untitled.text);

    let seen = bench.get(&page).await.text;
    for word in ["Provider &#60;down&#62;", "Who is paged next", "Level 2 at", "ops-hook"] {
        assert!(seen.contains(word), "{word}: {seen}");
    }
    let next = &bench.get(&format!("/api/v1/incidents/{id}")).await.json()["next"];
    assert_eq!((&next["level"], &next["round"]), (&json!(2), &json!(1)), "{next}");
    assert_eq!(next["targets"][0]["reaches"][0]["channel"], "ops-hook");

    // The message that was given up is tried again from here.
    let give_up = |engine: &mut Engine| {
        let now = clock::now();
        let message = engine.lease(now, 10).unwrap().remove(0);
        let attempt = Attempt { at: now, took_us: 1, outcome: Outcome::GivenUp, note: "HTTP 404".into() };
        engine.mark(message, &attempt).unwrap();
    };
    bench.app.writer().run(give_up).await.unwrap();
    let dead = bench.get("/channels").await.text;
    assert!(dead.contains("Given up, waiting for somebody") && dead.contains("/channels/ops-hook/retry"), "{dead}");
    let all = bench.get(&format!("/channels?state=gave_up&incident={id}")).await.text;
    assert!(all.contains("HTTP 404"), "{all}");
    let delivered = bench.get(&format!("/channels?state=delivered&incident={id}")).await.text;
    assert!(delivered.split_once("id=\"delivery-log\"").unwrap().1.contains("No message matches."), "{delivered}");
    assert!(bench.get(&page).await.text.contains(&format!("{page}/retry")));
    assert_eq!(leads(&post(&bench, &format!("{page}/retry"), "step=1&channel=ops-hook").await), page);
    assert!(!bench.get("/channels").await.text.contains("Given up, waiting"), "it waits to be sent");

    for (act, form) in [("assign", "to=ana"), ("post-mortem", "text=A+cable."), ("silence", "reason=known&for=1h")] {
        let sheet = bench.get(&format!("{page}/{act}")).await;
        assert!(sheet.text.contains(&format!("action=\"{page}/{act}\"")), "{act}: {}", sheet.text);
        assert_eq!(leads(&post(&bench, &format!("{page}/{act}"), form).await), page);
    }
    let told = bench.get(&format!("/api/v1/incidents/{id}")).await.json();
    assert_eq!((&told["assignee"], &told["post_mortem"]), (&json!("ana"), &json!("A cable.")));
    assert_eq!(bench.get("/api/v1/silences").await.json()[0]["checks"], json!(["shop"]));
    assert_eq!(leads(&post(&bench, &format!("{page}/ack"), "").await), page);
    let twice = post(&bench, &format!("{page}/ack"), "").await;
    assert!(twice.status == StatusCode::CONFLICT && twice.text.contains("Not done:"), "{}", twice.text);

    let listed = async |query: &str| bench.get(&format!("/incidents?{query}")).await.text.contains(&page);
    assert!(listed("").await && listed("severity=critical&kind=manual").await && listed("state=all").await);
    assert!(!listed("severity=minor").await && !listed("kind=down").await && !listed("agent=eu-1").await);
    assert_eq!(leads(&post(&bench, &format!("{page}/resolve"), "").await), page);
    assert!(!listed("").await && listed("state=all").await, "what is over is not among what is open");
}

#[tokio::test]
async fn checks_channels_and_policies_are_retired_from_the_console() {
    let bench = with_agent().await;
    for (page, path) in [
        ("/checks/shop", "/checks/shop/retire"),
        ("/channels", "/channels/ops-hook/retire"),
        ("/escalations", "/escalations/default/retire"),
    ] {
        let offered = bench.get(page).await.text;
        assert!(offered.contains(&format!("href=\"{path}\"")), "{path}: {offered}");
        let form = bench.get(&format!("{path}?lang=fr")).await;
        assert!(form.text.contains("Retirer") && form.text.contains(&format!("action=\"{path}\"")), "{}", form.text);
        let bearer = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Respond).await);
        let looks = [("authorization", bearer.as_str()), FORM];
        let offered = bench.send(NETWORK, "GET", page, &looks, "").await.text;
        assert!(!offered.contains(path), "{path} is offered to who may not: {offered}");
        assert_eq!(bench.send(NETWORK, "POST", path, &looks, "").await.status, StatusCode::FORBIDDEN);
    }
    let used = post(&bench, "/channels/ops-hook/retire", "").await;
    assert!(used.status.is_client_error() && used.text.contains("Not done:"), "a policy names it: {}", used.text);
    assert!(used.text.contains("default"), "{}", used.text);
    assert_eq!(leads(&post(&bench, "/checks/shop/retire", "").await), "/checks");
    assert_eq!(bench.get("/api/v1/checks").await.json(), json!([]));
    assert_eq!(post(&bench, "/checks/shop/retire", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/checks/shop/retire").await.status, StatusCode::NOT_FOUND);
    assert_eq!(leads(&post(&bench, "/escalations/default/retire", "").await), "/escalations");
    assert_eq!(leads(&post(&bench, "/channels/ops-hook/retire", "").await), "/channels");
    assert_eq!(bench.get("/api/v1/channels").await.json(), json!([]));
    let told = bench.get("/settings/audit").await.text;
    assert!(told.contains("-check shop") && told.contains("-channel ops-hook"), "{told}");
}

#[tokio::test]
async fn settings_lead_to_what_is_published() {
    let bench = Bench::new();
    let before = bench.get("/settings?lang=fr").await.text;
    assert!(before.contains("Rien n’est publié") && before.contains("[[status_page]]"), "{before}");
    // What is shown there to begin with is a page.
    let sample = before.split_once("[[status_page]]").unwrap().1.split_once("</pre>").unwrap().0;
    let page = format!("{FILE}\n[[status_page]]{}", sample.replace("&#34;", "\""));
    assert_eq!(bench.apply(&page, json!({})).await.status, StatusCode::OK);
    let after = bench.get("/settings?lang=fr").await.text;
    for word in ["href=\"/status/public\"", "/status/public/card", "/status/public/feed.atom", "Example status"] {
        assert!(after.contains(word), "{word}: {after}");
    }
    assert!(!after.contains("[[status_page]]"), "{after}");
}

#[tokio::test]
async fn the_on_call_page_draws_schedules_and_takes_stand_ins() {
    let bench = Bench::new();
    assert_eq!(bench.apply(&super::oncall::samples(), json!({})).await.status, StatusCode::OK);
    let page = bench.get("/on-call?days=28&lang=fr").await.text;
    for word in ["<svg viewBox", "Heures de Europe/Paris", "Couche 2", "28 jours", "Ana Silva"] {
        assert!(page.contains(word), "{word}: {page}");
    }
    // The week in which Paris leaves summer time: told on the day it happens.
    let autumn = bench.get("/on-call?days=14&from=2026-10-19").await.text;
    assert!(autumn.contains("the clock changes: 25 h") && autumn.contains("Sun 25*"), "{autumn}");
    let form = bench.get("/on-call/primary/override").await.text;
    assert!(form.contains("value=\"bob\"") && form.contains("Times of Europe/Paris"), "{form}");
    let over = post(&bench, "/on-call/primary/override", "user=bob&from=&to=2020-01-01T10%3A00").await;
    assert!(over.status == StatusCode::BAD_REQUEST && over.text.contains("Not done:"), "{}", over.text);
    let tomorrow = sitepulse_daemon::instant::format(clock::now().plus_us(86_400_000_000));
    let form = format!("user=bob&from=&to={}T10%3A00", &tomorrow[..10]);
    assert_eq!(leads(&post(&bench, "/on-call/primary/override", &form).await), "/on-call");
    let given = bench.get("/api/v1/schedules/primary/overrides").await.json();
    assert_eq!((&given[0]["user"]["id"], &given[0]["state"]), (&json!("bob"), &json!("now")));
    assert!(
        ["T08:00:00Z", "T09:00:00Z"].iter().any(|utc| given[0]["to"] == format!("{}{utc}", &tomorrow[..10])),
        "10:00 in Paris: {given}"
    );
    assert_eq!(leads(&post(&bench, "/on-call/primary/override/1/end", "").await), "/on-call");
    let feed = post(&bench, "/on-call/primary/feed", "").await.text;
    assert!(feed.contains("https://console.example/api/v1/schedules/primary/calendar.ics?token="), "{feed}");
    assert!(!bench.get("/on-call").await.text.contains("calendar.ics"), "shown to who asks");
}

#[tokio::test]
async fn a_policy_is_written_by_a_form_after_its_plan_was_seen() {
    let bench = with_agent().await;
    let form = "id=web&repeat=1&ack_pause=30m&after-0=0s&to-0-0=ops-hook&after-1=10m&least-1=major&to-1-0=ops-hook";
    let plan = post(&bench, "/escalations/new", &format!("{form}&do=plan")).await;
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.text);
    for word in ["What will change", "web: new", "at_least = &#34;major&#34;", "value=\"apply\""] {
        assert!(plan.text.contains(word), "{word}: {}", plan.text);
    }
    assert_eq!(bench.get("/api/v1/escalations").await.json().as_array().unwrap().len(), 1, "a plan changes nothing");
    let more = post(&bench, "/escalations/new", &format!("{form}&do=more")).await.text;
    assert!(more.contains("name=\"after-2\""), "{more}");
    let wrong = post(&bench, "/escalations/new", &form.replace("10m", "soon")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.text);
    assert!(wrong.text.contains("levels[1].after") && wrong.text.contains("value=\"soon\""), "{}", wrong.text);
    assert_eq!(leads(&post(&bench, "/escalations/new", &format!("{form}&do=apply")).await), "/escalations");
    let edit = bench.get("/escalations/web/edit").await.text;
    assert!(edit.contains("value=\"30m\"") && edit.contains("<option value=\"ops-hook\" selected>"), "{edit}");
    let minor = bench.get("/escalations?check=shop&severity=minor&lang=fr").await.text;
    assert!(minor.contains("shop, mineur") && minor.contains("default"), "{minor}");
    let unknown = bench.get("/escalations?check=nope&severity=minor").await;
    assert!(unknown.status == StatusCode::NOT_FOUND && unknown.text.contains("Not done:"), "{}", unknown.text);
}

#[tokio::test]
async fn a_channel_is_written_by_a_form_and_its_secret_stands_in_no_file() {
    let bench = with_agent().await;
    assert!(bench.get("/channels/new").await.text.contains("/channels/new?kind=slack"));
    assert!(bench.get("/channels/new?kind=slack").await.text.contains("type=\"password\""));
    let bad = post(&bench, "/channels/new", "kind=slack&id=Not+One&url=https%3A%2F%2Fhooks.example%2FT0PSECRET").await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", bad.text);
    assert!(!bad.text.contains("T0PSECRET"), "{}", bad.text);
    assert_eq!(bench.get("/api/v1/secrets").await.json(), json!([]), "what is refused leaves no secret behind");
    let form = "kind=slack&id=team&url=https%3A%2F%2Fhooks.example%2FT0PSECRET&language=fr";
    let bearer = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Edit).await);
    let edits = bench.send(NETWORK, "POST", "/channels/new", &[("authorization", &bearer), FORM], form).await;
    assert_eq!(edits.status, StatusCode::FORBIDDEN, "secrets are an administrator's: {}", edits.text);
    assert_eq!(leads(&post(&bench, "/channels/new", form).await), "/channels");
    let all = bench.get("/api/v1/channels").await;
    let team = all.json().as_array().unwrap().iter().find(|one| one["id"] == "team").cloned().unwrap();
    assert_eq!((&team["language"], &team["missing_secrets"]), (&json!("fr"), &json!([])));
    assert_eq!(bench.get("/api/v1/secrets").await.json()[0]["name"], "team-url");
    for path in ["/channels", "/channels/team/edit", "/api/v1/channels"] {
        assert!(!bench.get(path).await.text.contains("T0PSECRET"), "{path}");
    }
    // Left empty, the secret stays.
    let tag = bench.get("/channels/team/edit").await.hidden("tag");
    let empty = format!("kind=slack&url=&language=&tag={tag}");
    assert_eq!(leads(&post(&bench, "/channels/team/edit", &empty).await), "/channels");
    let all = bench.get("/api/v1/channels").await.json();
    let team = all.as_array().unwrap().iter().find(|one| one["id"] == "team").unwrap();
    assert_eq!((&team["language"], &team["missing_secrets"]), (&json!("en"), &json!([])));
}

#[tokio::test]
async fn silences_are_made_and_ended_and_windows_are_shown() {
    let bench = with_agent().await;
    let nothing = post(&bench, "/silences/new", "reason=deploy&for=1h").await;
    assert!(nothing.status == StatusCode::BAD_REQUEST && nothing.text.contains("value=\"deploy\""), "{}", nothing.text);
    let made = post(&bench, "/silences/new", "reason=deploy&for=1h&checks=shop%2C+shop&groups=web").await;
    assert_eq!(leads(&made), "/silences");
    let page = bench.get("/silences?lang=fr").await.text;
    assert!(page.contains("deploy") && page.contains("Groupes\u{a0}: web") && page.contains("active"), "{page}");
    let id = bench.get("/api/v1/silences").await.json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(leads(&post(&bench, &format!("/silences/{id}/end"), "").await), "/silences");
    assert!(bench.get("/silences").await.text.contains("ended by cli"));
    assert_eq!(post(&bench, "/silences/s-nope/end", "").await.status, StatusCode::NOT_FOUND);

    assert!(bench.get("/windows").await.text.contains("No window is open or planned."));
    let from = sitepulse_daemon::instant::format(clock::now().plus_us(3_600_000_000));
    let from = format!("{}Z", &from[..19]);
    let window = format!("[[maintenance]]\nid = \"deploy\"\ngroups = [\"web\"]\nfrom = \"{from}\"\nlasts = \"2h\"\n");
    assert_eq!(bench.apply(&window, json!({})).await.status, StatusCode::OK);
    let page = bench.get("/windows").await.text;
    assert!(page.contains("deploy") && page.contains("2 h") && page.contains("href=\"/checks/shop\""), "{page}");
}

#[tokio::test]
async fn how_busy_an_agents_machine_is_stands_on_its_pages_in_the_api_and_in_the_metrics() {
    use sitepulse_wire::message::{Host, Status};
    let bench = with_agent().await;
    assert_eq!(agent(&bench).await["host"], Value::Null, "nothing was told yet");
    let tell = |load_milli, used_gib: u64| {
        let host = Host { load_milli, cores: 4, memory_used_bytes: used_gib << 30, memory_total_bytes: 8 << 30 };
        let status = Status { host: Some(host), ..Status::default() };
        let book = bench.app.book();
        let one = book.agents().find(|agent| agent.name.as_str() == "eu-1").unwrap();
        one.presence.update(|presence| presence.tell(status, clock::now()));
    };
    tell(1520, 2);
    let host = agent(&bench).await["host"].clone();
    assert_eq!((&host["load_1m"], &host["cores"], &host["load_high"]), (&json!(1.52), &json!(4), &json!(false)));
    let calm = bench.get("/agents?lang=fr").await.text;
    assert!(calm.contains("1,52 sur 4 cœurs") && calm.contains("mémoire 25\u{a0}% de 8,0 Gio"), "{calm}");
    assert!(!calm.contains("plus de travail que de cœurs"), "{calm}");
    tell(4500, 8);
    for (path, words) in [
        ("/agents?lang=fr", ["4,50 sur 4 cœurs", "plus de travail que de cœurs", "peu de mémoire libre"]),
        ("/agents/eu-1", ["4.50 on 4 cores", "more work than cores", "little memory left"]),
    ] {
        let page = bench.get(path).await.text;
        for word in words {
            assert!(page.contains(word), "{path} {word}: {page}");
        }
    }
    let metrics = bench.get("/metrics").await.text;
    for line in ["sitepulse_agent_host_load1{agent=\"eu-1\",region=\"eu-west\"} ", "sitepulse_agent_host_cores{"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn how_soon_a_spool_is_empty_stands_on_the_agents_pages() {
    use sitepulse_wire::message::Status;
    let bench = with_agent().await;
    let start = clock::now();
    let tell = |connected: bool, at_s: i64, spool_records: u64| {
        let book = bench.app.book();
        let one = book.agents().find(|agent| agent.name.as_str() == "eu-1").unwrap();
        one.presence.update(|presence| {
            presence.connected = connected;
            presence.tell(Status { spool_records, ..Status::default() }, start.plus_us(at_s * 1_000_000));
        });
    };
    let drains = async |seconds: Value, english: &str, french: &str| {
        assert_eq!(agent(&bench).await["spool_drain_seconds"], seconds);
        for path in ["/agents", "/agents/eu-1"] {
            for (lang, is, all) in [
                ("en", english, ["empty in", "drain time not known"]),
                ("fr", french, ["vide dans", "durée de vidage inconnue"]),
            ] {
                let page = bench.get(&format!("{path}?lang={lang}")).await.text;
                assert!(page.contains(is), "{path} {is}: {page}");
                for other in all.iter().filter(|other| is.is_empty() || !is.starts_with(**other)) {
                    assert!(!page.contains(other), "{path} {other}: {page}");
                }
            }
        }
    };
    // Of one message nothing follows.
    tell(true, 0, 2_600);
    drains(Value::Null, "drain time not known", "durée de vidage inconnue").await;
    // 600 less in a minute: the other 2,000 take 200 s.
    tell(true, 60, 2_000);
    drains(json!(200.0), "empty in 3 min", "vide dans 3 min").await;
    // By the last two messages, not by all: 1,000 in 10 s.
    tell(true, 70, 1_000);
    drains(json!(10.0), "empty in 10 s", "vide dans 10 s").await;
    tell(true, 80, 1_001);
    drains(Value::Null, "drain time not known", "durée de vidage inconnue").await;
    // Whoever is not there sends nothing.
    tell(false, 90, 500);
    drains(Value::Null, "drain time not known", "durée de vidage inconnue").await;
    tell(true, 100, 0);
    drains(json!(0.0), "", "").await;
}

#[tokio::test]
async fn outdated_builds_are_marked_on_the_agents_pages() {
    let pages = Pages::new().await;
    let bench = &pages.bench;
    let own = env!("CARGO_PKG_VERSION");
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    let shakes = async |agent, build: &'static str| {
        bench.app.writer().run(move |engine| engine.note_handshake(agent, build, clock::now())).await.unwrap().unwrap();
    };
    let marked = async |builds: [(&str, &str, bool); 2]| {
        for (lang, word) in [("en", "outdated"), ("fr", "obsolète")] {
            let list = bench.get(&format!("/agents?lang={lang}")).await.text;
            for (name, build, outdated) in builds {
                let one = bench.get(&format!("/agents/{name}?lang={lang}")).await.text;
                let row = list.split("<tr>").find(|row| row.contains(&format!("\"/agents/{name}\""))).unwrap();
                for page in [one.as_str(), row] {
                    assert!(page.contains(build), "{name} {build}: {page}");
                    assert_eq!(page.contains(&format!("{build} · {word}")), outdated, "{name} {build}: {page}");
                }
            }
        }
    };
    // Older than the collector is outdated, as new is not.
    shakes(west, own).await;
    marked([("w", own, false), ("e", "0.0.0", true)]).await;
    // So is what is older than the newest agent: the collector may come last.
    shakes(east, "99.0.0").await;
    marked([("w", own, true), ("e", "99.0.0", false)]).await;
    // What is gone is no measure, and needs no new build.
    leads(&post(bench, "/agents/e/revoke", "name=e").await);
    marked([("w", own, false), ("e", "99.0.0", false)]).await;
    leads(&post(bench, "/agents/w/revoke", "name=w").await);
    shakes(west, "0.0.1").await;
    marked([("w", "0.0.1", false), ("e", "99.0.0", false)]).await;
}

/// The store gives the newest incidents first: with very many open ones, the worst is not among those.
#[tokio::test]
async fn the_worst_of_more_than_a_hundred_open_incidents_is_what_to_do_first() {
    let bench = with_agent().await;
    let open = async |title: &str, severity: &str| {
        let opened = bench.post("/api/v1/incidents", &json!({"title": title, "severity": severity})).await;
        assert!(opened.status.is_success(), "{}", opened.text);
    };
    open("the-cable-is-cut", "critical").await;
    for n in 0..101 {
        open(&format!("a-bulb-{n}"), "minor").await;
    }
    let home = bench.get("/").await.text;
    let worst = home.find("the-cable-is-cut").unwrap_or_else(|| panic!("the worst is not there: {home}"));
    assert!(home.find("a-bulb-").is_some_and(|minor| worst < minor), "{home}");
}
