//! Enrolment: one-time join tokens, agents' names and certificates, renewal, revocation.
//!
//! A token is 32 random bytes, stored as SHA-256, bound to a region, good for one key and for an hour at most. Joining again with
//! the same key gives the same agent: an agent that was killed before the answer came just tries again.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use sitepulse_model::id::{AgentName, AgentNo, Region, SLUG_BYTES_MAX};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{JoinRequest, Joined, Refusal, RefusalCode, ToAgent};
use sitepulse_wire::token::JoinToken;

use crate::app::AppError;
use crate::book::{Agent, Book, PresenceCell};
use crate::engine::Engine;
use crate::heartbeat::observe::is_reserved;
use crate::store::{StoreError, rows};

/// A token's longest life, and its default: an hour, in microseconds.
pub const TOKEN_TTL_US_MAX: u64 = 3600 * 1_000_000;

/// A join token just made: the one time its secret is seen.
#[derive(Debug, Clone)]
pub struct NewJoinToken {
    /// The token; its text is what people paste.
    pub token: JoinToken,
    /// The region it is bound to.
    pub region: Region,
    /// When it ends.
    pub expires: UtcMicros,
}

/// Random bytes for secrets.
pub(crate) fn random() -> Result<[u8; 32], AppError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| AppError::Unavailable(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn refusal(code: RefusalCode, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into() }
}

impl Engine {
    /// Makes a join token for a region; `ttl_us` at most [`TOKEN_TTL_US_MAX`].
    pub fn create_join_token(&mut self, region: Region, ttl_us: u64, now: UtcMicros) -> Result<NewJoinToken, AppError> {
        if ttl_us == 0 || ttl_us > TOKEN_TTL_US_MAX {
            return Err(AppError::Invalid("a join token lives 1 hour at most: give a ttl from 1s to 1h".into()));
        }
        if is_reserved(region.as_str()) {
            return Err(AppError::Invalid(format!("region {region} is the collector's own: choose another")));
        }
        let addresses = self.shared.addresses();
        if addresses.is_empty() {
            return Err(AppError::Invalid(
                "the collector has no address to put into a token: start `sitepulse-collector serve` once, or set `advertise`".into(),
            ));
        }
        let secret = random()?;
        let token = JoinToken::new(addresses, self.authority.pin(), secret)
            .map_err(|error| AppError::Invalid(error.to_string()))?;
        let expires = now.plus_us(ttl_us.cast_signed());
        self.store.write(|tables| rows::insert_token(tables, &sha256(&secret), &region, now, expires))?;
        tracing::info!(%region, "join token created");
        Ok(NewJoinToken { token, region, expires })
    }

    /// Enrols an agent, or says why not.
    pub fn join(&mut self, request: &JoinRequest, now: UtcMicros) -> Result<Result<Joined, Refusal>, StoreError> {
        let hash = sha256(&request.secret);
        let Some(token) = rows::token(self.store.read(), &hash)? else {
            return Ok(Err(refusal(
                RefusalCode::TokenUnknown,
                "this collector gave out no such join token: create one with `sitepulse-collector token create`",
            )));
        };
        // The key is known by issuing for it; nobody sees this certificate.
        let nobody = AgentName::parse("nobody").expect("a slug");
        let spki = match self.authority.issue_agent(&nobody, &request.csr_der, now) {
            Ok(issued) => issued.spki_sha256,
            Err(error) => {
                return Ok(Err(refusal(
                    RefusalCode::BadMessage,
                    format!("the certificate request is unusable: {error}"),
                )));
            }
        };
        let shared = Arc::clone(&self.shared);
        if let Some((used_by, agent)) = token.used {
            let book = shared.book();
            return Ok(match book.agent(agent) {
                Some(agent) if used_by == spki && agent.revoked_at.is_none() => {
                    self.certify(agent, &request.csr_der, now)
                }
                Some(_) if used_by == spki => Err(revoked(None)),
                Some(_) | None => Err(refusal(
                    RefusalCode::TokenUsed,
                    "the join token was used by another agent already: create a new one with `sitepulse-collector token create`",
                )),
            });
        }
        if now >= token.expires {
            return Ok(Err(refusal(
                RefusalCode::TokenExpired,
                "the join token's time is over: create a new one with `sitepulse-collector token create`",
            )));
        }
        let agent = {
            let book = shared.book();
            let name = match &request.name {
                Some(name) if is_reserved(name.as_str()) => {
                    return Ok(Err(refusal(
                        RefusalCode::NameTaken,
                        format!("the name {name} is the collector's own: choose another with --name"),
                    )));
                }
                Some(name) if book.agent_by_name(name).is_some() => {
                    return Ok(Err(refusal(
                        RefusalCode::NameTaken,
                        format!(
                            "the name {name} is or was another agent's, and names are given once: choose another with --name"
                        ),
                    )));
                }
                Some(name) => name.clone(),
                None => free_name(&book, &token.region),
            };
            Agent {
                number: AgentNo(book.agents().map(|agent| agent.number.0).max().unwrap_or(0) + 1),
                name,
                region: token.region,
                spki_sha256: spki,
                enrolled_at: now,
                revoked_at: None,
                build: request.build.clone(),
                presence: PresenceCell::default(),
                internal: false,
            }
        };
        let joined = match self.certify(&agent, &request.csr_der, now) {
            Ok(joined) => joined,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.store.write(|tables| {
            rows::insert_agent(tables, &agent)?;
            rows::use_token(tables, &hash, &spki, agent.number, now)
        })?;
        tracing::info!(agent = %agent.name, number = %agent.number, region = %agent.region, "agent enrolled");
        shared.book_mut().insert_agent(agent);
        shared.tick();
        Ok(Ok(joined))
    }

    fn certify(&self, agent: &Agent, csr_der: &[u8], now: UtcMicros) -> Result<Joined, Refusal> {
        let issued = self.authority.issue_agent(&agent.name, csr_der, now).map_err(|error| {
            refusal(RefusalCode::BadMessage, format!("the certificate request is unusable: {error}"))
        })?;
        Ok(Joined {
            agent: agent.number,
            name: agent.name.clone(),
            region: agent.region.clone(),
            certificate_der: issued.certificate_der,
            ca_der: self.authority.certificate_der().to_vec(),
            expires: issued.expires,
            addresses: self.shared.addresses(),
        })
    }

    /// Gives an agent a new certificate for its registered key, or says why not.
    pub fn renew(&mut self, agent: AgentNo, csr_der: &[u8], now: UtcMicros) -> Result<ToAgent, Refusal> {
        let book = self.shared.book();
        let Some(agent) = book.agent(agent) else {
            return Err(refusal(RefusalCode::UnknownAgent, "no such agent: join again with a new token"));
        };
        if agent.revoked_at.is_some() {
            return Err(revoked(Some(&agent.name)));
        }
        let unusable = |error: &dyn std::fmt::Display| {
            refusal(RefusalCode::BadMessage, format!("the certificate request is unusable: {error}"))
        };
        let issued = self.authority.issue_agent(&agent.name, csr_der, now).map_err(|error| unusable(&error))?;
        if issued.spki_sha256 != agent.spki_sha256 {
            return Err(refusal(
                RefusalCode::UnknownAgent,
                format!(
                    "the request is for another key than the one agent {} registered: join again with a new token",
                    agent.name
                ),
            ));
        }
        tracing::info!(agent = %agent.name, "certificate renewed");
        Ok(ToAgent::Renewed { certificate_der: issued.certificate_der, expires: issued.expires })
    }

    /// Revokes an agent for good: its sessions end, its past still counts. Revoking twice changes nothing.
    pub fn revoke_agent(&mut self, name: &AgentName, now: UtcMicros) -> Result<AgentNo, AppError> {
        let shared = Arc::clone(&self.shared);
        let known = shared.book().agent_by_name(name).cloned();
        let Some(known) = known else {
            return Err(AppError::NotFound(format!("no agent {name}: see `sitepulse-collector agents`")));
        };
        let number = known.number;
        if known.internal {
            let what = "is the collector's own observer and cannot be revoked: retire the heartbeat checks";
            return Err(AppError::Invalid(format!("agent {name} {what}")));
        }
        if known.revoked_at.is_some() {
            return Ok(number);
        }
        // No guard is held while the disk works.
        self.store.write(|tables| rows::revoke_agent(tables, &known, now))?;
        let mut book = shared.book_mut();
        if let Some(agent) = book.agent_mut(number) {
            agent.revoked_at = Some(now);
        }
        book.changed();
        drop(book);
        tracing::warn!(agent = %name, "agent revoked");
        shared.tick();
        // It is revoked, come what may; who pages in its place is looked at again soon.
        drop(self.choose_pagers(now));
        Ok(number)
    }
}

/// The answer to a revoked agent.
pub(crate) fn revoked(name: Option<&AgentName>) -> Refusal {
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    refusal(RefusalCode::Revoked, format!("agent{name} was revoked: join again under a new name, with a new token"))
}

/// `REGION-N` with the smallest N that no agent had.
fn free_name(book: &Book, region: &Region) -> AgentName {
    let mut number = 1_u64;
    loop {
        let tail = format!("-{number}");
        let mut text = region.as_str().to_owned();
        text.truncate(SLUG_BYTES_MAX - tail.len());
        let name = AgentName::parse(&(text + &tail)).expect("a shortened slug with a number is a slug");
        if book.agent_by_name(&name).is_none() {
            return name;
        }
        number += 1;
    }
}
