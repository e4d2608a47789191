//! What each kind sends, byte for byte: `tests/golden/KIND.LANGUAGE.txt`. Run with `UPDATE_GOLDEN=1` to write them anew, and read what changed.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use sitepulse_model::channel::way::Way;
use sitepulse_model::incident::{IncidentKind, NoticeEvent};
use sitepulse_model::notice::{Found, Notice};
use sitepulse_notify::Sent;

use super::provider::{Provider, Taken};
use super::{block_on, channel, notice, send};

/// Holds a text against its file.
pub(crate) fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{name} differs; set UPDATE_GOLDEN=1, and read what changed:\n{text}");
}

/// The settings of a kind for a provider at `base`, and the secrets they name.
fn settings(kind: &str, base: &str) -> (Value, Vec<(&'static str, String)>) {
    let hook = |path: &str| (json!({"url": "secret:hook"}), vec![("hook", format!("{base}/{path}"))]);
    let token = |value: Value| (value, vec![("token", "hunter2token".to_owned())]);
    match kind {
        "webhook" => (
            json!({"url": format!("{base}/hook?a=b"), "secret": "secret:sign"}),
            vec![("sign", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())],
        ),
        "slack" => hook("services/T0/B0/hunter2"),
        "teams" => hook("workflows/hunter2?sig=x"),
        "discord" => hook("api/webhooks/1/hunter2"),
        "google_chat" => hook("v1/spaces/A/messages?key=k&token=hunter2"),
        "mattermost" => {
            let (mut settings, secrets) = hook("hooks/hunter2");
            settings["channel"] = json!("town-square");
            (settings, secrets)
        }
        "telegram" => (
            json!({"token": "secret:token", "chat": "-1001234567890", "api": base}),
            vec![("token", "123456:hunter2".to_owned())],
        ),
        "ntfy" => token(json!({"topic": "ops-alerts", "token": "secret:token", "api": base})),
        "gotify" => token(json!({"token": "secret:token", "api": base})),
        "pushover" => token(json!({"token": "secret:token", "user": "u123", "device": "phone", "api": base})),
        "pagerduty" => token(json!({"key": "secret:token", "api": base})),
        "opsgenie" => token(json!({"key": "secret:token", "team": "SRE", "api": base})),
        "twilio" => token(
            json!({"account": "AC1", "token": "secret:token", "from": "+15005550006", "to": "+33612345678", "api": base}),
        ),
        kind => panic!("give {kind} settings here"),
    }
}

/// A request for people: what changes from run to run is named.
fn shown(taken: &Taken, port: u16) -> String {
    let mut out = format!("{}\n", taken.line);
    for (name, value) in &taken.headers {
        let changes = ["content-length", "host", "webhook-timestamp", "webhook-signature", "user-agent"];
        let value = if changes.contains(&name.as_str()) { "..." } else { value };
        writeln!(out, "{name}: {value}").unwrap();
    }
    let body = match serde_json::from_slice::<Value>(&taken.body) {
        Ok(body) => serde_json::to_string_pretty(&body).unwrap(),
        Err(_) => String::from_utf8(taken.body.clone()).unwrap().replace('&', "\n&"),
    };
    format!("{out}\n{body}\n").replace(&port.to_string(), "PORT")
}

async fn exchange(kind: &str, language: &str, event: NoticeEvent) -> (Taken, u16) {
    let provider = Provider::start().await;
    let base = format!("http://{}", provider.address());
    let (mut settings, secrets) = settings(kind, &base);
    settings["language"] = json!(language);
    let channel = channel(kind, settings);
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let notice = notice(event);
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";
    let (taken, sent) = tokio::join!(provider.take(ok), send(&channel, &secrets, &notice));
    assert_eq!(sent, Sent::Delivered { note: "HTTP 200".into() });
    (taken.unwrap(), provider.address().port())
}

#[test]
fn each_kind_says_it_in_its_provider_s_words() {
    block_on(async {
        for kind in Way::KINDS.iter().filter(|kind| **kind != "email") {
            for language in ["en", "fr"] {
                let (taken, port) = exchange(kind, language, NoticeEvent::Opened).await;
                golden(&format!("{kind}.{language}.txt"), &shown(&taken, port));
            }
        }
    });
}

#[test]
fn what_ends_and_what_is_tried_is_told_too() {
    block_on(async {
        for kind in ["webhook", "pagerduty", "opsgenie", "slack"] {
            let mut all = String::new();
            for event in [NoticeEvent::Escalated, NoticeEvent::Acknowledged, NoticeEvent::Resolved, NoticeEvent::Test] {
                let (taken, port) = exchange(kind, "en", event).await;
                writeln!(all, "=== {event}\n{}", shown(&taken, port)).unwrap();
            }
            golden(&format!("{kind}.life.txt"), &all);
        }
    });
}

/// A message as the collector makes it: its own tests keep these (`collector/tests/collector/core/notices.rs`).
fn kept(name: &str, event: NoticeEvent) -> Notice {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/notices/{name}.{event}.json"));
    let mut notice: Notice = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    notice.context.link = Some(format!("https://pulse.example/incidents/{}", notice.incident.id));
    if event == NoticeEvent::Opened {
        notice.context.acknowledge_link = Some("https://pulse.example/ack/20261122-4f7k2?t=abc&s=def".into());
    }
    notice
}

/// The words: every kind of trouble and every event, as Gotify's text and Twilio's short form have them.
#[test]
fn every_trouble_is_told_in_both_languages() {
    let mut all: Vec<(String, Notice)> = Vec::new();
    for kind in IncidentKind::ALL {
        let names = match kind {
            IncidentKind::Certificate => vec!["certificate", "domain"],
            IncidentKind::Down
            | IncidentKind::Regional
            | IncidentKind::Degraded
            | IncidentKind::AgentSilent
            | IncidentKind::WebVitals
            | IncidentKind::SloBurn
            | IncidentKind::Manual => vec![kind.as_str()],
        };
        for name in names {
            for event in [NoticeEvent::Opened, NoticeEvent::Resolved] {
                let notice = kept(name, event);
                assert_eq!(notice.incident.kind, *kind, "{name}");
                all.push((format!("{name} {event}"), notice));
            }
        }
    }
    // The events of one kind say them all.
    for event in [NoticeEvent::Escalated, NoticeEvent::Acknowledged, NoticeEvent::Test] {
        let mut notice = notice(event);
        notice.context.explanation = Some("no answer within 10 s".into());
        all.push((format!("down {event}"), notice));
    }
    let mut many = kept("agent_silent", NoticeEvent::Opened);
    many.context.checks = (1..=14).map(|n| format!("check-{n}")).collect();
    many.incident.flapping = true;
    all.push(("agent_silent opened, many checks, flapping".into(), many));
    let mut said_by_somebody = kept("manual", NoticeEvent::Opened);
    said_by_somebody.context.title = Some("Payments are slow {what} @everyone".into());
    all.push(("manual opened, with a title that means harm".into(), said_by_somebody));
    let mut expired = kept("certificate", NoticeEvent::Opened);
    expired.context.found = Some(Found::Certificate { name: None, expires: expired.at.plus_us(-90_000_000_000) });
    all.push(("certificate opened, expired and nameless".into(), expired));
    let mut spent = kept("slo_burn", NoticeEvent::Opened);
    spent.context.found =
        Some(Found::Burn { hours: 72, rate_tenths: None, threshold_tenths: 10, left_permille: Some(-120) });
    all.push(("slo_burn opened, of what allows nothing".into(), spent));
    block_on(async {
        for language in ["en", "fr"] {
            let mut out = String::new();
            for (name, notice) in &all {
                let text = said(language, "gotify", notice).await;
                let text: Value = serde_json::from_slice(&text).unwrap();
                let short = String::from_utf8(said(language, "twilio", notice).await).unwrap();
                let short = short.split("&Body=").nth(1).unwrap();
                let short = decoded(short);
                let of = short.chars().count();
                assert!(of <= 160, "{of}: {short}");
                writeln!(
                    out,
                    "=== {name}\nSubject: {}\nShort ({of}): {short}\n\n{}",
                    text["title"].as_str().unwrap(),
                    text["message"].as_str().unwrap()
                )
                .unwrap();
            }
            golden(&format!("words.{language}.txt"), &out);
        }
    });
}

/// The short form was cut at its end, where the date stood.
#[test]
fn a_text_message_keeps_the_date_or_the_figure_and_cuts_the_name() {
    let wanted = [
        ("certificate", ["2026-09-26 (in ", "2026-09-26 (dans "]),
        ("domain", ["2026-10-11 (in ", "2026-10-11 (dans "]),
        ("web_vitals", ["0.05 to 0.25 (+400 %), mobile", "0,05 à 0,25 (+400 %), mobile"]),
        ("slo_burn", ["168.4 over 1 h, budget used up", "168,4 sur 1 h, budget épuisé"]),
    ];
    block_on(async {
        for (name, wanted) in wanted {
            for (language, wanted) in ["en", "fr"].into_iter().zip(wanted) {
                for event in [NoticeEvent::Opened, NoticeEvent::Escalated] {
                    let mut notice = kept(name, NoticeEvent::Opened);
                    notice.event = event;
                    let long = Some("checkout-of-the-shop-".repeat(6));
                    if notice.incident.slo.is_some() {
                        notice.incident.slo = long;
                    } else {
                        notice.incident.check = long;
                    }
                    let text = String::from_utf8(said(language, "twilio", &notice).await).unwrap();
                    let text = decoded(text.split("&Body=").nth(1).unwrap());
                    assert!(text.contains(wanted) && text.contains("checkout"), "{name} {language}: {text}");
                    assert!(text.chars().count() <= 160 && !text.contains('\u{a0}'), "{text}");
                    assert!(text.ends_with(" https://pulse.example/ack/20261122-4f7k2?t=abc&s=def"), "{text}");
                }
            }
        }
    });
}

async fn said(language: &str, kind: &str, notice: &sitepulse_model::notice::Notice) -> Vec<u8> {
    let provider = Provider::start().await;
    let (mut settings, secrets) = settings(kind, &format!("http://{}", provider.address()));
    settings["language"] = json!(language);
    let channel = channel(kind, settings);
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (taken, _) = tokio::join!(provider.take(ok), send(&channel, &secrets, notice));
    taken.unwrap().body
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn times_are_those_of_whom_it_is_for() {
    let shown = |zone: Option<&str>| {
        let mut notice = notice(NoticeEvent::Opened);
        notice.context.recipient = Some(sitepulse_model::notice::Recipient {
            user: "ana".into(),
            name: "Ana".into(),
            language: None,
            zone: zone.map(str::to_owned),
        });
        block_on(async {
            let provider = Provider::start().await;
            let base = format!("http://{}", provider.address());
            let (settings, secrets) = settings("ntfy", &base);
            let channel = channel("ntfy", settings);
            let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let (taken, _) = tokio::join!(provider.take(b"HTTP/1.1 200 OK\r\n\r\n"), send(&channel, &secrets, &notice));
            String::from_utf8(taken.unwrap().body).unwrap()
        })
    };
    assert!(shown(Some("Asia/Kathmandu")).contains("2026-11-22 15:45:00 +05:45"), "{}", shown(Some("Asia/Kathmandu")));
    assert!(shown(None).contains("2026-11-22 10:00:00 UTC"));
}
