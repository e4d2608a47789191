//! Messages over real sockets: to fake providers, good and hostile, and to a real mail server.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "tests")]

mod failures;
mod golden;
mod mail;
mod provider;

use std::time::Duration;

use serde_json::{Value, json};
use sitepulse_model::channel::Channel;
use sitepulse_model::incident::{IncidentKind, IncidentState, NoticeEvent, Severity};
use sitepulse_model::notice::{Context, IncidentFacts, Notice};
use sitepulse_model::time::UtcMicros;
use sitepulse_notify::{Sender, Sent};

/// Far beyond what any test needs: it ends what hangs.
const DEADLINE: Duration = Duration::from_secs(30);

/// 2026-11-22T10:00:00Z.
const TEN: UtcMicros = UtcMicros(1_795_341_600_000_000);

/// A message of an incident that began at ten and was told of five minutes later. The explanation is what a hostile target would write.
fn notice(event: NoticeEvent) -> Notice {
    let at = TEN.plus_us(300_000_000);
    let (state, acknowledged_at, resolved_at) = match event {
        NoticeEvent::Acknowledged => (IncidentState::Acknowledged, Some(at), None),
        NoticeEvent::Resolved => (IncidentState::Resolved, Some(at), Some(at.plus_us(3_700_000_000))),
        NoticeEvent::Opened | NoticeEvent::Escalated | NoticeEvent::Test => (IncidentState::Open, None, None),
    };
    let by = matches!(event, NoticeEvent::Acknowledged | NoticeEvent::Resolved).then(|| "Ana".to_owned());
    Notice {
        event,
        key: "20261122-4f7k2/3/ops".into(),
        step: 3,
        at: resolved_at.unwrap_or(at),
        incident: IncidentFacts {
            id: "20261122-4f7k2".into(),
            check: Some("shop".into()),
            agent: None,
            slo: None,
            kind: IncidentKind::Down,
            state,
            severity: Severity::Critical,
            since: TEN,
            opened_at: Some(TEN.plus_us(60_000_000)),
            acknowledged_at,
            resolved_at,
            flapping: false,
        },
        context: Context {
            recipient: None,
            only: Vec::new(),
            found: None,
            target: Some("https://shop.example/".into()),
            regions: vec!["eu-west".into(), "us-east".into()],
            regions_of: 3,
            phase: Some("first_byte".into()),
            cause: Some("http_status".into()),
            explanation: Some(
                "HTTP 500: <a href=\"https://evil.example\">log in</a> [x](https://evil.example) @everyone <!channel> `*_~ \r\nBcc: a@b\u{202e}"
                    .into(),
            ),
            title: None,
            checks: vec!["shop-cart".into(), "shop-pay".into()],
            by,
            link: Some("https://pulse.example/incidents/20261122-4f7k2".into()),
            acknowledge_link: Some("https://pulse.example/ack/20261122-4f7k2?t=abc&s=def".into()),
        },
    }
}

fn channel(kind: &str, settings: Value) -> Channel {
    let mut written = json!({"id": "ops", "kind": kind});
    written.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let channel: Channel = serde_json::from_value(written).unwrap();
    assert_eq!(channel.faults(), vec![]);
    channel
}

/// Sends with secrets that are their names' values.
async fn send(channel: &Channel, secrets: &[(&str, &str)], notice: &Notice) -> Sent {
    send_by(&Sender::default(), channel, secrets, notice, DEADLINE).await
}

async fn send_by(
    sender: &Sender,
    channel: &Channel,
    secrets: &[(&str, &str)],
    notice: &Notice,
    deadline: Duration,
) -> Sent {
    let secret = |name: &str| secrets.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    sender.send(channel, &secret, notice, deadline).await
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
