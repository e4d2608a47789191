//! Credentials of people and scripts: API tokens, one-time sign-in links and invitations, console sessions.
//!
//! A secret is 32 random bytes, shown once as text; the store keeps the SHA-256 of the text with an expiry. What a user's session may do is their
//! role, as it is at the moment of asking: a session ends with a change of the role, of the password, or of whether the user is there.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sitepulse_model::time::UtcMicros;

use super::AppError;
use crate::access::audit::Deed;
use crate::access::{Way, access_of};
use crate::engine::{Engine, Shared};
use crate::enrol::{random, sha256};
use crate::store::{access as stored, rows};

/// Longest life of a sign-in link: an hour.
pub const SIGN_IN_TTL_US_MAX: u64 = 3600 * 1_000_000;
/// Longest life of a token or session: a year.
pub const TTL_US_MAX: u64 = 366 * 86_400 * 1_000_000;
/// Longest life of an invitation: a week.
pub const INVITE_TTL_US_MAX: u64 = 7 * 86_400 * 1_000_000;
/// Longest life of a user's session: a week.
pub const SESSION_US: u64 = 7 * 86_400 * 1_000_000;
/// Longest life of a session that a sign-in link opened, which is nobody's in particular: 12 hours.
const LINK_SESSION_US: u64 = 12 * 3600 * 1_000_000;
/// A session that nobody used for so long is over, in microseconds: 12 hours. Looked at after a restart, up to an hour sooner.
const IDLE_US: i64 = 12 * 3600 * 1_000_000;
/// How finely the last use is written down.
const USED_US: i64 = 3600 * 1_000_000;
/// Digits of a credential's id.
const ID_DIGITS: usize = 12;
/// Most API tokens at a time.
const TOKENS_MAX: usize = 1000;
/// Most sessions of one user: the oldest end.
const SESSIONS_MAX: usize = 50;
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
    /// An invitation: lets a user set a password of their own, once.
    Invite = 4,
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
            4 => Some(Self::Invite),
            _ => None,
        }
    }

    /// What its secrets begin with, so that leaked ones are recognised.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::ApiToken => "spa_",
            Self::SignIn => "spl_",
            Self::Session => "sps_",
            Self::Invite => "spi_",
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
    /// Whose it is: a user's id. `None`: nobody's in particular.
    pub user: Option<String>,
    /// By which way its holder came.
    pub way: Way,
    /// Who made it.
    pub author: String,
    /// When.
    pub created: UtcMicros,
}

/// The hash of a credential's secret: what it is known by.
pub type CredentialHash = [u8; 32];

/// What people call a credential: the first digits of its hash.
pub fn credential_id(hash: &CredentialHash) -> String {
    hash.iter().take(ID_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// A credential with when it was used.
#[derive(Debug)]
pub(crate) struct Held {
    credential: Credential,
    /// Last use, in microseconds of UTC; the instant it was made where there was none.
    used: AtomicI64,
    /// What of that is written down.
    noted: AtomicI64,
}

impl Held {
    pub(crate) fn new(credential: Credential, used: Option<UtcMicros>) -> Self {
        let used = used.unwrap_or(credential.created).0;
        Self { credential, used: AtomicI64::new(used), noted: AtomicI64::new(used) }
    }

    pub(crate) const fn expires(&self) -> UtcMicros {
        self.credential.expires
    }
}

/// A credential as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCredential {
    /// Its hash.
    pub hash: CredentialHash,
    /// The credential.
    pub credential: Credential,
    /// When it was used last; `None`: never.
    pub used: Option<UtcMicros>,
}

/// What credential to make.
#[derive(Debug, Clone)]
pub struct WantedCredential {
    /// What it is for.
    pub kind: CredentialKind,
    /// What it lets its holder do.
    pub access: Access,
    /// Whose it is or what for: 1 to 64 bytes.
    pub note: String,
    /// How long it holds, in microseconds.
    pub ttl_us: u64,
    /// Whose it is.
    pub user: Option<String>,
    /// Who makes it.
    pub author: String,
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

/// Whether a credential holds now, whatever its secret.
fn holds(shared: &Shared, held: &Held, now: UtcMicros) -> bool {
    let one = &held.credential;
    if one.expires <= now {
        return false;
    }
    let idle =
        one.kind == CredentialKind::Session && now.us_since(UtcMicros(held.used.load(Ordering::Relaxed))) >= IDLE_US;
    !idle && one.user.as_deref().is_none_or(|user| stands(shared, user, one))
}

/// Whether a user is still who they were when the credential was made: there all the time, of the same role, with the same password.
fn stands(shared: &Shared, user: &str, one: &Credential) -> bool {
    let book = shared.book();
    let users = &book.objects().users;
    let Some(role) = users.current(user).and_then(|revised| revised.body.role) else { return false };
    let since = || users.versions(user).iter().filter(|revised| one.created < revised.effective_from);
    let there = since().all(|revised| !revised.retired);
    let same_role = access_of(role) == one.access && since().all(|revised| revised.body.role == Some(role));
    let same_password = shared.access.password(user).is_none_or(|password| password.set <= one.created);
    match one.kind {
        CredentialKind::Session | CredentialKind::SignIn => there && same_role && same_password,
        CredentialKind::Invite => there && same_password,
        CredentialKind::ApiToken => true,
    }
}

fn valid(shared: &Shared, kind: CredentialKind, secret: &str, now: UtcMicros) -> Option<(CredentialHash, Credential)> {
    if secret.len() > SECRET_BYTES_MAX || !secret.starts_with(kind.prefix()) {
        return None;
    }
    let hash = sha256(secret.as_bytes());
    let credentials = shared.credentials();
    let held = credentials.get(&hash).filter(|held| held.credential.kind == kind && holds(shared, held, now))?;
    Some((hash, held.credential.clone()))
}

impl Shared {
    /// A credential of a kind that holds now.
    pub fn verify(&self, kind: CredentialKind, secret: &str, now: UtcMicros) -> Option<Credential> {
        valid(self, kind, secret, now).map(|(_, credential)| credential)
    }

    /// The same with its hash.
    pub(crate) fn known(
        &self,
        kind: CredentialKind,
        secret: &str,
        now: UtcMicros,
    ) -> Option<(CredentialHash, Credential)> {
        valid(self, kind, secret, now)
    }

    /// Whether a credential that was verified before still holds.
    pub(crate) fn still_holds(&self, hash: &CredentialHash, now: UtcMicros) -> bool {
        self.credentials().get(hash).is_some_and(|held| holds(self, held, now))
    }

    /// Notes a use; whether it is time to write that down.
    pub(super) fn touch(&self, hash: &CredentialHash, now: UtcMicros) -> bool {
        let credentials = self.credentials();
        let Some(held) = credentials.get(hash) else { return false };
        held.used.fetch_max(now.0, Ordering::Relaxed);
        let noted = held.noted.load(Ordering::Relaxed);
        let due = now.0.div_euclid(USED_US) > noted.div_euclid(USED_US) || noted == held.credential.created.0;
        due && held.noted.compare_exchange(noted, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Credentials of a kind that hold now, the newest first.
    pub(super) fn listed(&self, kind: CredentialKind, now: UtcMicros) -> Vec<ListedCredential> {
        let credentials = self.credentials();
        let holding = credentials.iter().filter(|(_, held)| held.credential.kind == kind && holds(self, held, now));
        let mut out: Vec<_> = holding
            .map(|(hash, held)| {
                let used = held.used.load(Ordering::Relaxed);
                let used = (used != held.credential.created.0).then_some(UtcMicros(used));
                ListedCredential { hash: *hash, credential: held.credential.clone(), used }
            })
            .collect();
        out.sort_by_key(|one| std::cmp::Reverse((one.credential.created, one.hash)));
        out
    }
}

impl Engine {
    /// Makes a credential that is nobody's in particular; `ttl_us` at most [`TTL_US_MAX`], [`SIGN_IN_TTL_US_MAX`] for sign-in links.
    pub fn create_credential(
        &mut self,
        kind: CredentialKind,
        access: Access,
        note: &str,
        ttl_us: u64,
        now: UtcMicros,
    ) -> Result<NewCredential, AppError> {
        let author = "collector:cli".to_owned();
        self.make_credential(WantedCredential { kind, access, note: note.to_owned(), ttl_us, user: None, author }, now)
    }

    /// Makes a credential; its life at most [`TTL_US_MAX`], [`SIGN_IN_TTL_US_MAX`] for sign-in links, [`INVITE_TTL_US_MAX`] for invitations.
    pub fn make_credential(&mut self, wanted: WantedCredential, now: UtcMicros) -> Result<NewCredential, AppError> {
        let WantedCredential { kind, note, ttl_us, .. } = &wanted;
        let ttl_us_max = match kind {
            CredentialKind::SignIn => SIGN_IN_TTL_US_MAX,
            CredentialKind::Invite => INVITE_TTL_US_MAX,
            CredentialKind::ApiToken | CredentialKind::Session => TTL_US_MAX,
        };
        if *ttl_us == 0 || *ttl_us > ttl_us_max {
            let longest = sitepulse_model::duration::format(ttl_us_max);
            return Err(AppError::Invalid(format!("the ttl must be longer than nothing and at most {longest}")));
        }
        if note.is_empty() || note.len() > NOTE_BYTES_MAX || note.chars().any(char::is_control) {
            return Err(AppError::Invalid(format!("the note must be 1 to {NOTE_BYTES_MAX} bytes on one line")));
        }
        if *kind == CredentialKind::ApiToken {
            // Histories call a token by its note.
            if wanted.user.is_none() && self.shared.book().objects().users.current(note).is_some() {
                let what =
                    format!("the note {note:?} is a user's id, and deeds of both would look alike: take another");
                return Err(AppError::Invalid(what));
            }
            if self.shared.listed(*kind, now).len() >= TOKENS_MAX {
                return Err(AppError::Conflict(format!("there are {TOKENS_MAX} tokens already: revoke some")));
            }
        }
        let made = make(&wanted, now)?;
        self.keep(&made, &[], None, now)?;
        Ok(made)
    }

    /// Writes a new credential down, ends others and tells of it, in one transaction.
    fn keep(
        &mut self,
        made: &NewCredential,
        ended: &[CredentialHash],
        told: Option<(&str, &Deed)>,
        now: UtcMicros,
    ) -> Result<(), AppError> {
        let hash = sha256(made.secret.as_bytes());
        let first = made.credential.kind == CredentialKind::Session && !self.shared.access.opened();
        self.store.write(|tables| {
            rows::delete_credentials_before(tables, now)?;
            ended.iter().try_for_each(|hash| rows::delete_credential(tables, hash).map(drop))?;
            rows::insert_credential(tables, &hash, &made.credential)?;
            if first {
                stored::note_opened(tables)?;
            }
            told.map_or(Ok(()), |(author, deed)| stored::append(tables, now, author, deed).map(drop))
        })?;
        if first {
            self.shared.access.note_opened();
        }
        let mut credentials = self.shared.credentials_mut();
        credentials.retain(|hash, held| now < held.expires() && !ended.contains(hash));
        credentials.insert(hash, Held::new(made.credential.clone(), None));
        Ok(())
    }

    /// Uses a sign-in link up and opens a console session, both in one transaction; `None` when the link is unknown, used or
    /// expired. `from`: the address it is opened from.
    pub fn redeem_signin(
        &mut self,
        secret: &str,
        from: Option<String>,
        now: UtcMicros,
    ) -> Result<Option<NewCredential>, AppError> {
        let Some((used, link)) = valid(&self.shared, CredentialKind::SignIn, secret, now) else {
            return Ok(None);
        };
        let session = make_session(link.access, &link.note, None, Way::Link, now)?;
        self.keep_session(&session, &[used], from, now)?;
        Ok(Some(session))
    }

    /// Opens a session of a user who showed who they are, `set` being when the password that was shown was set; `None` where that is not so any more.
    pub(super) fn open_session(
        &mut self,
        user: &str,
        set: UtcMicros,
        from: Option<String>,
        now: UtcMicros,
    ) -> Result<Option<NewCredential>, AppError> {
        if self.shared.access.password(user).is_none_or(|password| password.set != set) {
            return Ok(None);
        }
        let Some(access) = self.access_of_user(user) else { return Ok(None) };
        let now = now.max(set);
        let session = make_session(access, user, Some(user), Way::Password, now)?;
        self.keep_users_session(&session, user, from, now)?;
        Ok(Some(session))
    }

    /// Keeps a session of a user who just came in; of too many the oldest end.
    pub(super) fn keep_users_session(
        &mut self,
        session: &NewCredential,
        user: &str,
        from: Option<String>,
        now: UtcMicros,
    ) -> Result<(), AppError> {
        let own = self.of_user(CredentialKind::Session, user);
        let oldest: Vec<_> = own.into_iter().skip(SESSIONS_MAX - 1).collect();
        self.keep_session(session, &oldest, from, now)
    }

    /// Sets a user's password and ends all their sessions and invitations but what `by` opens: `Some` gives a new session.
    pub(super) fn set_password(
        &mut self,
        user: &str,
        phc: Option<String>,
        signs_in: Option<(Way, Option<String>)>,
        now: UtcMicros,
    ) -> Result<Option<NewCredential>, AppError> {
        let access = self.access_of_user(user);
        let stands = phc.is_none() || access.is_some();
        if !stands {
            let what = format!(
                "user {user} has no role and cannot sign in: write role = \"viewer\" (responder, editor, admin) in [[user]] and apply it"
            );
            return Err(AppError::Conflict(what));
        }
        let now = now.max(self.shared.access.password(user).map_or(now, |password| password.set.plus_us(1)));
        let password = phc.map(|phc| crate::access::Password { phc, set: now });
        let session = match (signs_in, access) {
            (Some((way, from)), Some(access)) => Some((make_session(access, user, Some(user), way, now)?, from)),
            (Some(_), None) | (None, _) => None,
        };
        let mut ended = self.of_user(CredentialKind::Session, user);
        ended.extend(self.of_user(CredentialKind::Invite, user));
        self.store.write(|tables| {
            stored::set_password(tables, user, password.as_ref())?;
            ended.iter().try_for_each(|hash| rows::delete_credential(tables, hash).map(drop))
        })?;
        self.shared.access.keep(user, password);
        self.shared.credentials_mut().retain(|hash, _| !ended.contains(hash));
        let Some((session, from)) = session else { return Ok(None) };
        self.keep_session(&session, &[], from, now)?;
        Ok(Some(session))
    }

    /// Uses an invitation up: sets the user's password and opens a session.
    pub(super) fn redeem_invite(
        &mut self,
        secret: &str,
        phc: String,
        from: Option<String>,
        now: UtcMicros,
    ) -> Result<Option<NewCredential>, AppError> {
        let Some((_, invite)) = valid(&self.shared, CredentialKind::Invite, secret, now) else { return Ok(None) };
        let Some(user) = invite.user else { return Ok(None) };
        self.set_password(&user, Some(phc), Some((Way::Invite, from)), now)
    }

    fn keep_session(
        &mut self,
        session: &NewCredential,
        ended: &[CredentialHash],
        from: Option<String>,
        now: UtcMicros,
    ) -> Result<(), AppError> {
        let one = &session.credential;
        let mut deed = Deed::new(crate::access::audit::Told::Done, one.way, "sign-in").about(&one.note).from(from);
        deed.credential = Some(credential_id(&sha256(session.secret.as_bytes())));
        let author = format!("collector:{}", one.note);
        self.keep(session, ended, Some((&author, &deed)), now)
    }

    /// How far a user reaches who may sign in.
    fn access_of_user(&self, user: &str) -> Option<Access> {
        self.shared.book().objects().users.current(user)?.body.role.map(access_of)
    }

    /// A user's credentials of a kind, the newest first: also those that do not hold any more.
    fn of_user(&self, kind: CredentialKind, user: &str) -> Vec<CredentialHash> {
        let credentials = self.shared.credentials();
        let own = |held: &&Held| held.credential.kind == kind && held.credential.user.as_deref() == Some(user);
        let mut own: Vec<_> = credentials.iter().filter(|(_, held)| own(held)).collect();
        own.sort_by_key(|(_, held)| std::cmp::Reverse(held.credential.created));
        own.into_iter().map(|(hash, _)| *hash).collect()
    }

    /// Ends a credential; whether it was there.
    pub fn revoke_credential(&mut self, kind: CredentialKind, secret: &str, now: UtcMicros) -> Result<bool, AppError> {
        let Some((hash, _)) = valid(&self.shared, kind, secret, now) else { return Ok(false) };
        self.end(&[hash])?;
        Ok(true)
    }

    /// Ends the credential of a kind with this id, of this user alone where one is named.
    pub(super) fn end_credential(
        &mut self,
        kind: CredentialKind,
        id: &str,
        user: Option<&str>,
        now: UtcMicros,
    ) -> Result<Credential, AppError> {
        let found = self.shared.listed(kind, now).into_iter().find(|one| {
            credential_id(&one.hash) == id && user.is_none_or(|user| one.credential.user.as_deref() == Some(user))
        });
        let what = match kind {
            CredentialKind::ApiToken => "API token",
            CredentialKind::Session => "session",
            CredentialKind::SignIn | CredentialKind::Invite => "link",
        };
        let found = found.ok_or_else(|| AppError::NotFound(format!("no {what} has the id {id:?}")))?;
        self.end(&[found.hash])?;
        Ok(found.credential)
    }

    /// Ends every session of a user; how many.
    pub(super) fn end_sessions(&mut self, user: &str) -> Result<usize, AppError> {
        let own = self.of_user(CredentialKind::Session, user);
        self.end(&own)?;
        Ok(own.len())
    }

    fn end(&mut self, ended: &[CredentialHash]) -> Result<(), AppError> {
        self.store.write(|tables| ended.iter().try_for_each(|hash| rows::delete_credential(tables, hash).map(drop)))?;
        self.shared.credentials_mut().retain(|hash, _| !ended.contains(hash));
        Ok(())
    }
}

pub(super) fn make_session(
    access: Access,
    note: &str,
    user: Option<&str>,
    way: Way,
    now: UtcMicros,
) -> Result<NewCredential, AppError> {
    let (kind, author) = (CredentialKind::Session, format!("collector:{note}"));
    let ttl_us = if user.is_some() { SESSION_US } else { LINK_SESSION_US };
    let user = user.map(str::to_owned);
    let mut made = make(&WantedCredential { kind, access, note: note.to_owned(), ttl_us, user, author }, now)?;
    made.credential.way = way;
    Ok(made)
}

fn make(wanted: &WantedCredential, now: UtcMicros) -> Result<NewCredential, AppError> {
    let WantedCredential { kind, access, note, ttl_us, user, author } = wanted.clone();
    let secret = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(random()?));
    let way = match kind {
        CredentialKind::ApiToken => Way::Token,
        CredentialKind::SignIn | CredentialKind::Session => Way::Link,
        CredentialKind::Invite => Way::Invite,
    };
    let expires = now.plus_us(ttl_us.cast_signed());
    Ok(NewCredential {
        secret,
        credential: Credential { kind, access, note, expires, user, way, author, created: now },
    })
}
