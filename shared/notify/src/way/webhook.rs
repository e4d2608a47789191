//! A webhook of one's own: all facts as JSON, signed as the Standard Webhooks specification says (<https://www.standardwebhooks.com>).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use sitepulse_daemon::instant;
use sitepulse_model::channel::way::Webhook;
use sitepulse_model::notice::{Found, Notice};
use sitepulse_model::time::UtcMicros;

use super::{OverHttp, Task};
use crate::Trouble;
use crate::http::Outgoing;

impl OverHttp for Webhook {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let url = task.opened.address(&self.url).to_owned();
        let timestamp = task.now.0.div_euclid(1_000_000).to_string();
        let key = &id_of(&task.notice.key);
        let mut outgoing = Outgoing::json(url, &body(task.notice))
            .with("webhook-id", key.clone())
            .with("webhook-timestamp", timestamp.clone());
        if let Some(secret) = &self.secret {
            let signature = sign(task.opened.credential(secret), key, &timestamp, &outgoing.body)?;
            outgoing = outgoing.with("webhook-signature", signature);
        }
        Ok(outgoing)
    }
}

/// A message's key as the specification lets it be: a `.` would end it in what is signed. Ids and agents' names may hold some, none holds a `%`.
fn id_of(key: &str) -> String {
    key.replace('%', "%25").replace('.', "%2E")
}

/// The body: what happened, the incident as every list tells it, what else helps.
pub(crate) fn body(notice: &Notice) -> Value {
    let Notice { event, key, step, at, incident, context } = notice;
    let opt = |at: Option<UtcMicros>| at.map(instant::format);
    let mut told = json!(context);
    // Instants are text, here as everywhere.
    if let Some(Found::Certificate { expires, .. } | Found::Domain { expires, .. }) = &context.found {
        told["found"]["expires"] = json!(instant::format(*expires));
    }
    json!({
        "event": event,
        "key": id_of(key),
        "step": step,
        "at": instant::format(*at),
        "incident": {
            "id": incident.id,
            "check": incident.check,
            "agent": incident.agent,
            "slo": incident.slo,
            "kind": incident.kind,
            "state": incident.state,
            "severity": incident.severity,
            "since": instant::format(incident.since),
            "opened_at": opt(incident.opened_at),
            "acknowledged_at": opt(incident.acknowledged_at),
            "resolved_at": opt(incident.resolved_at),
            "flapping": incident.flapping,
        },
        "context": told,
    })
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. The secret is `whsec_` and base64, or any other text for its bytes.
fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Result<String, Trouble> {
    let key = match secret.strip_prefix("whsec_") {
        None => secret.as_bytes().to_vec(),
        Some(encoded) => STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).map_err(|_| {
            Trouble::refused("the signing secret begins with whsec_ and is no base64 behind it: set it again")
        })?,
    };
    let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        signed.update(part);
    }
    Ok(format!("v1,{}", STANDARD.encode(signed.sign())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is signed is `id.timestamp.body`: an id with a dot could be read in two ways.
    #[test]
    fn an_id_has_no_dot_and_no_two_keys_have_the_same() {
        assert_eq!(id_of("20261122-4f7k2/3/ops"), "20261122-4f7k2/3/ops");
        assert_eq!(id_of("20261122-4f7k2/3/ops.night"), "20261122-4f7k2/3/ops%2Enight");
        assert_ne!(id_of("away/a.b/192.0.2.1:8443"), id_of("away/a%2Eb/192%2E0%2E2%2E1:8443"));
    }

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let body = br#"{"test": 2432232314}"#;
        let sign = |secret: &str| sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(
            sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_ne!(
            sign("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
            sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()
        );
        assert!(!sign("whsec_!").unwrap_err().is_again());
    }
}
