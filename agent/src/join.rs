//! `sitepulse-agent join TOKEN`: enrolment.
//!
//! The key is made and stored before it is shown to anyone, so that a join that was cut short can be repeated with the same token: the collector
//! answers the same key the same way.

use std::path::Path;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_daemon::exit::{Exit, Fatal};
use sitepulse_daemon::identity::{AgentKey, spki_sha256};
use sitepulse_daemon::lock::DataDirLock;
use sitepulse_daemon::transport::{Client, ClientIdentity, ConnectError, Connection, StreamPriority};
use sitepulse_model::id::AgentName;
use sitepulse_wire::message::{JoinRequest, Joined, PROTOCOL, PROTOCOL_MIN, Refusal, ToAgent, ToCollector};
use sitepulse_wire::token::JoinToken;

use crate::engine::BUILD;
use crate::state::{Identity, StateDb};

/// How long the collector may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How long the collector may take to hear that the connection is closed.
const LEAVE_MAX: Duration = Duration::from_millis(500);
/// How long a collector without a free place is asked again.
const PLACE_MAX: Duration = Duration::from_secs(20);
/// Pause between two questions for a place.
const PLACE_PAUSE: Duration = Duration::from_millis(500);

/// Joins, or finds that this very token was used here before.
pub async fn join(dir: &Path, token: &JoinToken, name: Option<AgentName>) -> anyhow::Result<Identity> {
    let _lock = DataDirLock::acquire(dir)?;
    let mut state = StateDb::open(dir).map_err(|error| Fatal::new(Exit::DataDir, error))?;
    let digest = digest(&token.secret);
    if let Some(identity) = state.identity().map_err(|error| Fatal::new(Exit::DataDir, error))? {
        if identity.token_digest == digest {
            return Ok(identity);
        }
        let text = format!(
            "{}: agent {} has joined here already; use another --data-dir, or remove this one to join anew",
            dir.display(),
            identity.name
        );
        return Err(Fatal::new(Exit::DataDir, text).into());
    }
    let key = match state.join_key(&digest).map_err(|error| Fatal::new(Exit::DataDir, error))? {
        Some(der) => AgentKey::from_pkcs8_der(&der)?,
        None => {
            let key = AgentKey::generate()?;
            state.save_join_key(&digest, key.pkcs8_der()).map_err(|error| Fatal::new(Exit::DataDir, error))?;
            key
        }
    };
    // Only the request's key counts; the collector writes the name.
    let asked = match &name {
        Some(name) => name.clone(),
        None => AgentName::parse("agent").map_err(|error| anyhow::anyhow!("{error}"))?,
    };
    let request = JoinRequest {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL,
        secret: token.secret,
        name,
        csr_der: key.csr_der(&asked)?,
        build: BUILD.to_owned(),
    };
    let client = Client::new(ClientIdentity::Pinned { ca_pin: token.ca_pin });
    let begin = clock::monotonic();
    let mut told = false;
    let (address, connection) = loop {
        match connect(&client, &token.addresses).await? {
            Ok(connected) => break connected,
            Err(error) => {
                let full = matches!(error, ConnectError::Full { .. });
                if !full || clock::monotonic().since(begin) >= PLACE_MAX {
                    return Err(error.into());
                }
                if !std::mem::replace(&mut told, true) {
                    eprintln!("{error}; trying again for {} s", PLACE_MAX.as_secs());
                }
                tokio::time::sleep(PLACE_PAUSE).await;
            }
        }
    };
    let answer = tokio::time::timeout(ANSWER_MAX, ask(&connection, request)).await;
    connection.close(0, "done");
    // Otherwise the place of this connection stays taken until it times out.
    client.leave(LEAVE_MAX).await;
    let Ok(joined) = answer else {
        let text = format!("the collector at {address} did not answer; run the same command again");
        return Err(Fatal::new(Exit::Unreachable, text).into());
    };
    store(&mut state, token, &key, digest, joined?)
}

/// Tries every address once. The error is the last one's, but that a collector has no place outweighs that others do not answer.
async fn connect(client: &Client, addresses: &[String]) -> anyhow::Result<Result<(String, Connection), ConnectError>> {
    let mut last = None;
    for address in addresses {
        match client.connect(address).await {
            Ok(connection) => return Ok(Ok((address.clone(), connection))),
            Err(error) if matches!(last, Some(ConnectError::Full { .. })) => tracing::debug!("{error}"),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Ok(Err(error)),
        None => Err(Fatal::new(Exit::Usage, "the token names no address; make a new one").into()),
    }
}

async fn ask(connection: &Connection, request: JoinRequest) -> anyhow::Result<Joined> {
    let mut stream = connection.open_stream::<ToAgent, ToCollector>(StreamPriority::Control).await?;
    stream.send(&ToCollector::Join(request)).await?;
    let answer = stream
        .recv()
        .await
        .map_err(|error| Fatal::new(Exit::Unreachable, format!("{error}; run the same command again")))?;
    match answer {
        Some(ToAgent::Joined(joined)) => Ok(joined),
        Some(ToAgent::Refusal(Refusal { message, .. })) => {
            Err(Fatal::new(Exit::Refused, format!("the collector refused the join: {message}")).into())
        }
        Some(
            ToAgent::Welcome(_)
            | ToAgent::Assignment(_)
            | ToAgent::Ack(_)
            | ToAgent::Control(_)
            | ToAgent::ControlAck(_)
            | ToAgent::Renewed { .. }
            | ToAgent::Secrets(_)
            | ToAgent::RunNow { .. },
        )
        | None => {
            let text = "the collector did not answer the join; is it of the same version as this agent?";
            Err(Fatal::new(Exit::Refused, text).into())
        }
    }
}

fn store(
    state: &mut StateDb,
    token: &JoinToken,
    key: &AgentKey,
    token_digest: String,
    joined: Joined,
) -> anyhow::Result<Identity> {
    if spki_sha256(&joined.ca_der)? != token.ca_pin {
        let text = "the collector handed out a CA that the token does not name; nothing was stored";
        return Err(Fatal::new(Exit::Refused, text).into());
    }
    let identity = Identity {
        name: joined.name,
        agent: joined.agent,
        region: joined.region,
        key_pkcs8_der: key.pkcs8_der().to_vec(),
        certificate_der: joined.certificate_der,
        certificate_expires: joined.expires,
        ca_der: joined.ca_der,
        token_digest,
    };
    let mut addresses = token.addresses.clone();
    addresses.extend(joined.addresses.into_iter().filter(|address| !token.addresses.contains(address)));
    state.save_identity(&identity, &addresses).map_err(|error| Fatal::new(Exit::DataDir, error))?;
    tracing::debug!("enrolled at {}", sitepulse_daemon::instant::format(clock::now()));
    Ok(identity)
}

/// SHA-256 of a token's secret, hexadecimal.
fn digest(secret: &[u8; 32]) -> String {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = suite.tls13().map(|tls13| tls13.common.hash_provider.hash(secret));
    hash.map(|hash| hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()).unwrap_or_default()
}
