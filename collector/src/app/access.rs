//! People at the door: signing in, passwords, invitations, sessions and tokens, and the audit log.

use std::net::IpAddr;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;
use tokio::sync::OwnedSemaphorePermit;

use super::credentials::{
    Credential, CredentialHash, CredentialKind, ListedCredential, NewCredential, WantedCredential,
};
use super::{App, AppError};
use crate::access::audit::{Deed, Verdict};
use crate::access::{Desk, counted_by, password};
use crate::enrol::random;
use crate::store::access::{self as stored, Asked, Told};

/// How long one waits for a turn to have a password hashed.
const HASH_WAIT: Duration = Duration::from_secs(10);

/// Who wants to sign in.
#[derive(Clone)]
pub struct Knock {
    /// As they call themselves.
    pub user: String,
    /// What they show.
    pub password: String,
    /// Where they are.
    pub address: Option<IpAddr>,
}

/// Why one was not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The user or the password is wrong; which, is not told.
    Wrong,
    /// Too many failures: wait so long, in microseconds.
    Slow(u64),
    /// The collector cannot do it now.
    App(AppError),
}

impl<E: Into<AppError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::App(error.into())
    }
}

impl App {
    /// What those who sign in share.
    pub fn desk(&self) -> &Desk {
        &self.inner.shared.access
    }

    /// A credential that holds now, with its hash.
    pub fn known(&self, kind: CredentialKind, secret: &str, now: UtcMicros) -> Option<(CredentialHash, Credential)> {
        self.inner.shared.known(kind, secret, now)
    }

    /// Whether a credential still holds.
    pub fn still_holds(&self, hash: &CredentialHash, now: UtcMicros) -> bool {
        self.inner.shared.still_holds(hash, now)
    }

    /// Notes that a credential was used. Written down to the hour.
    pub fn touch(&self, hash: CredentialHash, now: UtcMicros) {
        if !self.inner.shared.touch(&hash, now) {
            return;
        }
        let noted = self.inner.writer.tell(move |engine| {
            let written = engine.store.write(|tables| crate::store::rows::note_credential_used(tables, &hash, now));
            if let Err(error) = written {
                tracing::debug!("the last use of a credential is not noted: {error}");
            }
        });
        if noted.is_err() {
            tracing::debug!("the collector ends before the last use of a credential is noted");
        }
    }

    /// Credentials of a kind that hold now, the newest first.
    pub fn credentials(&self, kind: CredentialKind, now: UtcMicros) -> Vec<ListedCredential> {
        self.inner.shared.listed(kind, now)
    }

    /// Makes a credential.
    pub async fn make_credential(&self, wanted: WantedCredential, now: UtcMicros) -> Result<NewCredential, AppError> {
        self.inner.writer.run(move |engine| engine.make_credential(wanted, now)).await?
    }

    /// Ends the credential of a kind with this id, of this user alone where one is named.
    pub async fn end_credential(
        &self,
        kind: CredentialKind,
        id: &str,
        user: Option<String>,
        now: UtcMicros,
    ) -> Result<Credential, AppError> {
        let id = id.to_owned();
        self.inner.writer.run(move |engine| engine.end_credential(kind, &id, user.as_deref(), now)).await?
    }

    /// Ends every session of a user; how many.
    pub async fn end_sessions(&self, user: &str) -> Result<usize, AppError> {
        let user = user.to_owned();
        self.inner.writer.run(move |engine| engine.end_sessions(&user)).await?
    }

    /// Uses a sign-in link up and opens a console session; `None` when the link is unknown, used or expired.
    pub async fn redeem_signin(
        &self,
        secret: &str,
        from: Option<String>,
        now: UtcMicros,
    ) -> Result<Option<NewCredential>, AppError> {
        let secret = secret.to_owned();
        self.inner.writer.run(move |engine| engine.redeem_signin(&secret, from, now)).await?
    }

    /// Signs a user in by their password. Whoever is not there, cannot sign in, or has no password costs the same work.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn sign_in(&self, knock: Knock, now: UtcMicros) -> Result<NewCredential, Refusal> {
        let desk = self.desk();
        let user: String = knock.user.trim().chars().take(100).collect();
        let counted = knock.address.and_then(counted_by);
        desk.throttle().attempt(&user, counted, clock::monotonic().0).map_err(Refusal::Slow)?;
        let may = self.book().objects().users.current(&user).is_some_and(|revised| revised.body.role.is_some());
        let kept = desk.password(&user).filter(|_| may);
        let phc = kept.as_ref().map(|kept| kept.phc.clone());
        let shown = knock.password;
        let good = self.hashing(move || password::verify(&shown, phc.as_deref())).await?;
        let Some(kept) = kept.filter(|_| good) else { return Err(Refusal::Wrong) };
        let (name, from) = (user.clone(), knock.address.map(|address| address.to_string()));
        let opened = self.inner.writer.run(move |engine| engine.open_session(&name, kept.set, from, now)).await??;
        let session = opened.ok_or(Refusal::Wrong)?;
        desk.throttle().succeeded(&user, counted, clock::monotonic().0);
        Ok(session)
    }

    /// Whether this is a user's password now; slowed down as signing in is.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn confirm(&self, knock: Knock) -> Result<(), Refusal> {
        let desk = self.desk();
        let counted = knock.address.and_then(counted_by);
        desk.throttle().attempt(&knock.user, counted, clock::monotonic().0).map_err(Refusal::Slow)?;
        let phc = desk.password(&knock.user).map(|kept| kept.phc);
        let shown = knock.password;
        if !self.hashing(move || password::verify(&shown, phc.as_deref())).await? {
            return Err(Refusal::Wrong);
        }
        desk.throttle().succeeded(&knock.user, counted, clock::monotonic().0);
        Ok(())
    }

    /// Sets a user's password (`None` removes it) and ends their sessions; gives them a new one where `signs_in` says by which way.
    pub async fn set_password(
        &self,
        user: &str,
        text: Option<String>,
        signs_in: Option<(crate::access::Way, Option<String>)>,
        now: UtcMicros,
    ) -> Result<Option<NewCredential>, AppError> {
        if self.book().objects().users.current(user).is_none() && text.is_some() {
            return Err(AppError::NotFound(format!("no user is named {user:?}")));
        }
        let phc = match text {
            Some(text) => Some(self.hash(user, text).await?),
            None => None,
        };
        let user = user.to_owned();
        self.inner.writer.run(move |engine| engine.set_password(&user, phc, signs_in, now)).await?
    }

    /// Uses an invitation up: sets its user's password and opens a session. `None` when it is unknown, used or over.
    pub async fn redeem_invite(
        &self,
        secret: &str,
        text: String,
        from: Option<String>,
        now: UtcMicros,
    ) -> Result<Option<NewCredential>, AppError> {
        let Some((_, invite)) = self.known(CredentialKind::Invite, secret, now) else { return Ok(None) };
        let phc = self.hash(&invite.user.unwrap_or_default(), text).await?;
        let secret = secret.to_owned();
        self.inner.writer.run(move |engine| engine.redeem_invite(&secret, phc, from, now)).await?
    }

    async fn hash(&self, user: &str, text: String) -> Result<String, AppError> {
        password::judge(&text, user).map_err(|weak| AppError::Invalid(weak.message()))?;
        let random = random()?;
        let salt = *random.first_chunk::<16>().expect("32 bytes hold 16");
        let hashed = self.hashing(move || password::hash(&text, &salt)).await?;
        hashed.map_err(|error| AppError::Unavailable(format!("the password cannot be hashed: {error}")))
    }

    /// Hashes beside the tasks, [`crate::access::HASHERS_MAX`] at a time.
    async fn hashing<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
        let permit: OwnedSemaphorePermit = super::turn(&self.desk().hashers, HASH_WAIT)
            .await
            .map_err(|_| AppError::Unavailable("too many people sign in at this moment: try again".into()))?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| AppError::Unavailable("the collector is shutting down: try again".into()))
    }

    /// Adds an entry to the audit log: durable when this returns. Gives its number.
    pub async fn audit(&self, author: &str, deed: Deed, now: UtcMicros) -> Result<u64, AppError> {
        let author = author.to_owned();
        let write = move |engine: &mut crate::engine::Engine| {
            engine.store.write(|tables| stored::append(tables, now, &author, &deed))
        };
        Ok(self.inner.writer.run(write).await??)
    }

    /// Adds an entry to the audit log, and waits for nothing: also where whoever asked has gone.
    pub fn audit_soon(&self, author: &str, deed: Deed, now: UtcMicros) {
        let author = author.to_owned();
        let told = self.inner.writer.tell(move |engine| {
            if let Err(error) = engine.store.write(|tables| stored::append(tables, now, &author, &deed)) {
                tracing::error!("an entry of the audit log is not written: {author}: {}: {error}", deed.action);
            }
        });
        if told.is_err() {
            tracing::error!("the collector ends before an entry of the audit log is written");
        }
    }

    /// What strangers cause, told within [`crate::access::audit::Bound`].
    pub fn audit_bounded(&self, author: &str, mut deed: Deed, now: UtcMicros) {
        let told = self.desk().bound().tell(clock::monotonic().0);
        if let Some(left_out) = told {
            deed.left_out = left_out;
            tracing::warn!(
                address = deed.address.as_deref().unwrap_or("-"),
                "{author}: {} {}: {}",
                deed.action,
                deed.subject,
                if deed.detail.is_empty() { "refused" } else { &deed.detail }
            );
            self.audit_soon(author, deed, now);
        }
    }

    /// The audit log, the newest first.
    pub async fn audited(&self, asked: Asked) -> Result<Vec<Told>, AppError> {
        self.read_store(move |tables| stored::deeds(tables, &asked)).await
    }

    /// Looks through the whole audit log.
    pub async fn audit_verdict(&self) -> Result<Verdict, AppError> {
        self.read_store(stored::verify).await
    }

    /// Lets entries of the audit log go that are older than an instant.
    pub(crate) async fn let_audit_go(&self, before: UtcMicros) -> Result<(), AppError> {
        loop {
            let write =
                move |engine: &mut crate::engine::Engine| engine.store.write(|tables| stored::let_go(tables, before));
            if self.inner.writer.run(write).await?? == 0 {
                return Ok(());
            }
        }
    }
}
