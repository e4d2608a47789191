//! Who reads French is refused in French: each form is sent wrongly, and no English sentence is on the page that answers.

use axum::http::StatusCode;
use serde_json::json;
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::clock;

use super::bench::Bench;
use super::incidents::{FILE, enrol};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const HTML: (&str, &str) = ("accept", "text/html");
/// Words that stand in about every English sentence, and in no French one.
const ENGLISH: [&str; 26] = [
    "the",
    "is",
    "it",
    "of",
    "and",
    "write",
    "must",
    "there",
    "already",
    "with",
    "needs",
    "this",
    "has",
    "at most",
    "no",
    "not",
    "its",
    "was",
    "give",
    "name a",
    "lasts",
    "allowed",
    "known are",
    "unknown",
    "did you",
    "nothing",
];

/// What people read of a page: no tags, no code, no values that they wrote.
fn readable(page: &str) -> String {
    let main = page.split_once("<main").map_or(page, |(_, main)| main);
    let mut out = String::new();
    let mut rest = main;
    while let Some((text, after)) = rest.split_once('<') {
        out.push_str(text);
        out.push(' ');
        let skipped = ["pre", "textarea", "code", "option"]
            .into_iter()
            .find(|tag| after.strip_prefix(tag).is_some_and(|rest| rest.starts_with([' ', '>'])));
        let end = skipped.map_or_else(|| ">".to_owned(), |tag| format!("</{tag}>"));
        rest = after.split_once(end.as_str()).map_or("", |(_, rest)| rest);
    }
    // Inside quotes stands what somebody wrote, or what is to be written as code.
    let plain = out.replace("&#34;", "\"").replace("&#39;", "'").replace("&#38;", "&");
    plain.split('"').step_by(2).collect::<Vec<_>>().join(" … ")
}

fn english_in(text: &str) -> Option<String> {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric() && c != '’' && c != '\'').filter(|word| !word.is_empty()).collect();
    let all = format!(" {} ", words.join(" "));
    ENGLISH.iter().find_map(|word| {
        let at = all.find(&format!(" {word} "))?;
        Some(all.chars().skip(all[..at].chars().count().saturating_sub(60)).take(160).collect())
    })
}

fn written(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn english_is_told_from_french() {
    assert!(english_in("un contrôle ; the check is retired").is_some());
    assert_eq!(english_in("Le contrôle est retiré, note et page d’état : it’s"), None);
}

#[tokio::test]
async fn every_form_that_is_sent_wrongly_is_refused_in_french() {
    let bench = Bench::new();
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    let more = "\n[[schedule]]\nid = \"primary\"\nzone = \"UTC\"\n[[schedule.layers]]\nusers = [\"bob\"]\nrotation = \"weekly\"\nhandoff = \"mon 09:00\"\nstart = \"2026-01-05\"\n\n[[user]]\nid = \"bob\"\n";
    let both = bench.apply(&format!("{FILE}{more}"), json!({})).await;
    assert_eq!(both.status, StatusCode::OK, "{}", both.text);
    bench.app.writer().run(|engine| enrol(engine, clock::now())).await.unwrap();
    let opened = bench.post("/api/v1/incidents", &json!({"title": "Câble"})).await.json();
    let incident = format!("/incidents/{}", opened["id"].as_str().unwrap());
    let (ack, comment) = (format!("{incident}/ack"), format!("{incident}/comment"));
    let (quiet, mortem) = (format!("{incident}/silence"), format!("{incident}/post-mortem"));
    assert_eq!(bench.send(Door::Local, "POST", &ack, &[FORM], "").await.status, StatusCode::SEE_OTHER);
    let check = |keys: &str| format!("toml={}&base=", written(&format!("[[check]]\nid = \"blog\"\n{keys}")));
    // The scoring model as the form has it.
    let page = bench.get("/impact/model").await.text;
    let field = |input: &str| {
        let of = |key: &str| Some(input.split_once(&format!(" {key}=\""))?.1.split_once('"')?.0.to_owned());
        let name = of("name").filter(|name| !["tag", "check", "back"].contains(&name.as_str()))?;
        Some(format!("{name}={}", of("value")?))
    };
    let fields: Vec<String> = page.split("<input").skip(1).filter_map(field).collect();
    let model = format!("{}&tag=&do=plan", fields.join("&"));
    assert!(model.contains("critical=70") && model.contains("floor=0.6"), "{model}");
    let long = "x".repeat(700);
    let forms: Vec<(&str, String)> = vec![
        ("/agents/eu-1/weight", "weight=heavy".into()),
        ("/agents/eu-1/weight", "weight=-1".into()),
        ("/agents/eu-1/suspend", "reason=&for=1h".into()),
        ("/agents/eu-1/suspend", "reason=x&for=soon".into()),
        ("/agents/eu-1/suspend", "reason=x&until=2020-01-01T10%3A00".into()),
        ("/agents/eu-1/suspend", "reason=x&until=2099-01-01T10%3A00".into()),
        ("/agents/eu-1/revoke", "name=eu-2".into()),
        ("/agents/none/resume", String::new()),
        ("/checks/shop/suspend", "reason=&length=1h".into()),
        ("/checks/none/suspend", "reason=x&length=1h".into()),
        ("/new-agent", "region=Not+One&ttl=15m".into()),
        ("/new-agent", "region=eu&ttl=3h".into()),
        ("/new-check", check("kind = \"htp\"\n")),
        ("/new-check", check("kind = \"http\"\n")),
        ("/new-check", check("kind = \"http\"\nurl = \"ftp://a/\"\ninterval = \"10ms\"\ntimeout = 5\n")),
        ("/new-check", check("kind = \"http\"\nurl = \"http://u:p@a/\"\ninterval = \"1 fortnight\"\nweight = -1\n")),
        (
            "/new-check",
            check("kind = \"http\"\nurl = \"http://a/\"\nintervall = \"10s\"\nquorum = \"some\"\nregions = []\n"),
        ),
        (
            "/new-check",
            check("kind = \"http\"\nurl = \"http://a/\"\nclass = \"high\"\nconfirmations = 0\ntags = \"a\"\n"),
        ),
        ("/new-check", check("kind = \"http\"\nurl = \"http://a/\"\nparents = [\"none\"]\nescalation = \"none\"\n")),
        ("/new-check", check("kind = \"tcp\"\naddress = \"shop.example\"\n")),
        ("/new-check", check("kind = \"http\"\nurl = \"http://a/\"\nexpect = [\"latency < 2\"]\n")),
        ("/escalations/new", "id=Not+One&after-0=0s&to-0-0=ops-hook&do=plan".into()),
        ("/escalations/new", "id=a&after-0=soon&to-0-0=ops-hook&do=plan".into()),
        (
            "/escalations/new",
            "id=a&after-0=0s&after-1=0s&to-0-0=ops-hook&to-1-0=none&repeat=99&ack_pause=1s&do=plan".into(),
        ),
        ("/escalations/new", "id=a&do=plan".into()),
        ("/channels/new", "kind=webhook&id=Not+One&url=ops".into()),
        ("/channels/new", "kind=email&id=post&server=mail&from=me&to=you&security=plain".into()),
        ("/channels/ops-hook/retry", "incident=none&step=1".into()),
        ("/channels/none/test", String::new()),
        ("/channels/ops-hook/retire", String::new()),
        ("/checks/none/retire", String::new()),
        ("/silences/new", "reason=&for=1h&checks=shop".into()),
        ("/silences/new", "reason=x&for=1h".into()),
        ("/silences/new", "reason=x&for=1h&checks=none".into()),
        ("/silences/new", "reason=x&for=1h&checks=shop&everything=yes".into()),
        ("/silences/none/end", String::new()),
        ("/incidents/new", "title=&severity=major".into()),
        ("/incidents/new", "title=x&severity=major&check=none".into()),
        ("/incidents/none/ack", String::new()),
        (ack.as_str(), String::new()),
        (comment.as_str(), "text=".into()),
        (mortem.as_str(), "text=".into()),
        (quiet.as_str(), "reason=&for=1h".into()),
        ("/on-call/primary/override", "user=none&from=&to=2099-01-01T10%3A00".into()),
        ("/on-call/primary/override", "user=bob&from=&to=2020-01-01T10%3A00".into()),
        ("/on-call/none/override", "user=bob&from=&to=2099-01-01T10%3A00".into()),
        ("/windows/new", "id=Not+One&from=soon&lasts=2h&do=plan".into()),
        ("/windows/new", "id=a&checks=none&from=2099-01-01T10%3A00&lasts=soon&zone=Mars&do=plan".into()),
        ("/settings/policies/new", "id=Not+One&do=plan".into()),
        ("/settings/tokens", format!("note={long}&scope=read&days=30")),
        ("/settings/tokens", "note=x&scope=all&days=30".into()),
        ("/settings/tokens", "note=x&scope=read&days=9999".into()),
        ("/settings/users/none/invite", String::new()),
        ("/impact/model", model.replace("critical=70", "critical=1")),
        ("/impact/model", model.replace("floor=0.6", "floor=7")),
        ("/findings/none/acknowledge", "note=".into()),
        ("/playbooks/none/start", "check=shop".into()),
        ("/jobs/none/cancel", String::new()),
    ];
    let mut wrong = Vec::new();
    for (path, form) in forms {
        let answer = bench.send(Door::Local, "POST", path, &[FORM, HTML, ("accept-language", "fr")], &form).await;
        assert!(answer.status.is_client_error(), "{path} {form}: {} {}", answer.status, answer.text);
        assert!(answer.text.contains("<html lang=\"fr\""), "{path} {form}: {}", answer.text);
        // What an incident rests on is evidence, and no refusal.
        let text = readable(&answer.text).replace("a person says so: nothing is measured", "");
        if let Some(english) = english_in(&text) {
            wrong.push(format!("{path} {form}\n    {english}"));
        }
    }
    assert!(wrong.is_empty(), "{} forms are refused in English:\n{}", wrong.len(), wrong.join("\n"));
}

/// The audit page says itself which instant it cannot read.
#[tokio::test]
async fn the_audit_page_refuses_an_instant_in_french() {
    let bench = Bench::new();
    let page = bench.send(Door::Local, "GET", "/settings/audit?from=soon&lang=fr", &[HTML], "").await;
    assert!(page.text.contains("n’est pas un instant"), "{}", page.text);
    let alert = page.text.split_once("role=\"alert\">").unwrap().1.split_once("</p>").unwrap().0;
    assert_eq!(english_in(&readable(alert)), None, "{alert}");
}
