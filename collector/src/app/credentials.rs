//! Credentials of people and scripts: API tokens, one-time sign-in links, console sessions.
//!
//! A secret is 32 random bytes, shown once as text; the store keeps the SHA-256 of the text with an expiry.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sitepulse_model::time::UtcMicros;

use super::AppError;
use crate::engine::{Engine, Shared};
use crate::enrol::{random, sha256};
use crate::store::rows;

/// Longest life of a sign-in link: an hour.
pub const SIGN_IN_TTL_US_MAX: u64 = 3600 * 1_000_000;
/// Longest life of a token or session: a year.
pub const TTL_US_MAX: u64 = 366 * 86_400 * 1_000_000;
/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 64;
/// Longest secret that is looked at, in bytes.
const SECRET_BYTES_MAX: usize = 128;

/// What a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// A bearer token of the API.
    ApiToken = 1,
    /// A sign-in link: opens one console session, once.
    SignIn = 2,
    /// A console session's cookie.
    Session = 3,
}

impl CredentialKind {
    /// The stored number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind of a stored number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::ApiToken),
            2 => Some(Self::SignIn),
            3 => Some(Self::Session),
            _ => None,
        }
    }

    /// What its secrets begin with, so that leaked ones are recognised.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::ApiToken => "spa_",
            Self::SignIn => "spl_",
            Self::Session => "sps_",
        }
    }
}

/// What a credential lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Look at everything: the role `viewer`.
    Read,
    /// And act on what happens: incidents, silences, on-call overrides, suspensions; the role `responder`.
    Respond,
    /// And change what is watched: checks, objects as code, weights; the role `editor`.
    Edit,
    /// And everything else: agents, secrets, tokens, users; the role `admin`.
    Admin,
}

impl Access {
    /// Every access, each reaches further than those before.
    pub const ALL: [Self; 4] = [Self::Read, Self::Respond, Self::Edit, Self::Admin];

    /// The stored number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Admin => 2,
            Self::Respond => 3,
            Self::Edit => 4,
        }
    }

    /// The access of a stored number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|access| access.code() == code)
    }

    /// The access of its text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|access| access.as_str() == text)
    }

    /// The text in configuration and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Respond => "respond",
            Self::Edit => "edit",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A credential that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// What it is for.
    pub kind: CredentialKind,
    /// What it lets its holder do.
    pub access: Access,
    /// Whose it is or what for, as given at its making: the USER in `collector:USER`.
    pub note: String,
    /// When it ends.
    pub expires: UtcMicros,
}

/// A credential just made: the one time its secret is seen.
#[derive(Clone, PartialEq, Eq)]
pub struct NewCredential {
    /// The secret, as text that fits a URL, a header or a cookie.
    pub secret: String,
    /// The credential.
    pub credential: Credential,
}

impl fmt::Debug for NewCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewCredential").field("credential", &self.credential).finish_non_exhaustive()
    }
}

fn valid(shared: &Shared, kind: CredentialKind, secret: &str, now: UtcMicros) -> Option<Credential> {
    if secret.len() > SECRET_BYTES_MAX || !secret.starts_with(kind.prefix()) {
        return None;
    }
    let found = shared.credentials().get(&sha256(secret.as_bytes())).cloned()?;
    (found.kind == kind && now < found.expires).then_some(found)
}

impl Shared {
    /// A credential of a kind that holds now.
    pub fn verify(&self, kind: CredentialKind, secret: &str, now: UtcMicros) -> Option<Credential> {
        valid(self, kind, secret, now)
    }
}

impl Engine {
    /// Makes a credential; `ttl_us` at most [`TTL_US_MAX`], [`SIGN_IN_TTL_US_MAX`] for sign-in links.
    pub fn create_credential(
        &mut self,
        kind: CredentialKind,
        access: Access,
        note: &str,
        ttl_us: u64,
        now: UtcMicros,
    ) -> Result<NewCredential, AppError> {
        let ttl_us_max = match kind {
            CredentialKind::SignIn => SIGN_IN_TTL_US_MAX,
            CredentialKind::ApiToken | CredentialKind::Session => TTL_US_MAX,
        };
        if ttl_us == 0 || ttl_us > ttl_us_max {
            let longest = sitepulse_model::duration::format(ttl_us_max);
            return Err(AppError::Invalid(format!("the ttl must be longer than nothing and at most {longest}")));
        }
        if note.is_empty() || note.len() > NOTE_BYTES_MAX || note.chars().any(char::is_control) {
            return Err(AppError::Invalid(format!("the note must be 1 to {NOTE_BYTES_MAX} bytes on one line")));
        }
        let made = make(kind, access, note, now.plus_us(ttl_us.cast_signed()))?;
        let hash = sha256(made.secret.as_bytes());
        self.store.write(|tables| {
            rows::delete_credentials_before(tables, now)?;
            rows::insert_credential(tables, &hash, &made.credential, now)
        })?;
        let mut credentials = self.shared.credentials_mut();
        credentials.retain(|_, credential| now < credential.expires);
        credentials.insert(hash, made.credential.clone());
        drop(credentials);
        Ok(made)
    }

    /// Uses a sign-in link up and opens a console session, both in one transaction; `None` when the link is unknown, used or
    /// expired.
    pub fn redeem_signin(
        &mut self,
        secret: &str,
        session_ttl_us: u64,
        now: UtcMicros,
    ) -> Result<Option<NewCredential>, AppError> {
        let Some(link) = valid(&self.shared, CredentialKind::SignIn, secret, now) else {
            return Ok(None);
        };
        let expires = now.plus_us(session_ttl_us.min(TTL_US_MAX).cast_signed());
        let session = make(CredentialKind::Session, link.access, &link.note, expires)?;
        let (used, hash) = (sha256(secret.as_bytes()), sha256(session.secret.as_bytes()));
        self.store.write(|tables| {
            rows::delete_credential(tables, &used)?;
            rows::insert_credential(tables, &hash, &session.credential, now)
        })?;
        let mut credentials = self.shared.credentials_mut();
        credentials.remove(&used);
        credentials.insert(hash, session.credential.clone());
        drop(credentials);
        Ok(Some(session))
    }

    /// Ends a credential; whether it was there.
    pub fn revoke_credential(&mut self, kind: CredentialKind, secret: &str, now: UtcMicros) -> Result<bool, AppError> {
        if valid(&self.shared, kind, secret, now).is_none() {
            return Ok(false);
        }
        let hash = sha256(secret.as_bytes());
        self.store.write(|tables| rows::delete_credential(tables, &hash))?;
        self.shared.credentials_mut().remove(&hash);
        Ok(true)
    }
}

fn make(kind: CredentialKind, access: Access, note: &str, expires: UtcMicros) -> Result<NewCredential, AppError> {
    let secret = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(random()?));
    Ok(NewCredential { secret, credential: Credential { kind, access, note: note.to_owned(), expires } })
}
