//! The door to the collector for everything but agents: the console, the API, the command line.
//!
//! An [`App`] owns the data directory (under its lock), the writer's thread and the book. It works without a listener: the command
//! line opens one in its own process when no server runs.

mod access;
mod control;
mod credentials;
mod idempotency;
mod identity;
mod incidents;
mod insights;
mod join_tokens;
mod latency;
mod oncall;
mod plan;
mod sla_report;
mod vitals;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::files::{self, FileError};
use sitepulse_daemon::identity::CertificateAuthority;
use sitepulse_daemon::lock::{DataDirLock, LOCK_PATIENCE, LockError};
use sitepulse_model::control::{Change, ControlEvent, Scope};
use sitepulse_model::id::{AgentName, AgentNo, CheckNo, Region};
use sitepulse_model::time::UtcMicros;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::alert::signals;
use crate::checkfile::Written;
use crate::engine::{BookRead, Engine, Shared};
use crate::enrol::NewJoinToken;
use crate::exchange::Histories;
use crate::exchange::row::Named;
use crate::heartbeat::PingKind;
use crate::heartbeat::observe::HeartbeatNow;
use crate::impact::board::Board;
use crate::ingest::import::{ImportedHistories, ImportedRecords};
use crate::insight::task::Rounds;
use crate::outbox::figures::ChannelFigures;
use crate::outbox::{LogKey, Logged};
use crate::store::{Store, StoreError, StoreOpenError, Tables, outbox as stored_outbox};
use crate::writer::{Closed, Writer};

pub use access::{Knock, Refusal};
pub(crate) use control::number_after;
pub(crate) use credentials::Held;
pub use credentials::{
    Access, Credential, CredentialHash, CredentialKind, INVITE_TTL_US_MAX, ListedCredential, NewCredential, SESSION_US,
    SIGN_IN_TTL_US_MAX, TTL_US_MAX, WantedCredential, credential_id,
};
pub use identity::Refused;
pub use plan::{FieldDiff, ObjectItem, Plan, PlanItem, PlanStep, changes};

/// The authority's certificate, in the data directory.
pub(crate) const CA_CERTIFICATE: &str = "ca.pem";
/// The authority's key, mode 0600, in the data directory.
pub(crate) const CA_KEY: &str = "ca.key";
/// Longest PEM file that is read.
const PEM_BYTES_MAX: u64 = 64 * 1024;
/// Most reads of tables at a time.
const READERS_MAX: usize = 2;
/// How long a read waits for its turn.
const READER_WAIT: Duration = Duration::from_secs(10);

/// How to apply files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Whether checks and objects that the files do not name are retired.
    pub prune: bool,
    /// Whether to plan only.
    pub dry_run: bool,
    /// Who applies: `collector:cli`, `collector:USER`.
    pub author: String,
}

/// Why the collector's data cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The data directory is in use or unusable.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreOpenError),
    /// The authority's files cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authority's files make no sense.
    #[error("{path}: {what}; restore a backup: without this key every agent must join again")]
    Authority {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The system is out of something.
    #[error("cannot start: {0}")]
    System(String),
}

impl OpenError {
    /// How a program ends with this.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Lock(_) | Self::Store(_) | Self::File(_) | Self::Authority { .. } => Exit::DataDir,
            Self::System(_) => Exit::Failure,
        }
    }

    /// Whether another process has the data directory: ask that one.
    pub const fn is_held(&self) -> bool {
        matches!(self, Self::Lock(LockError::Held { .. }))
    }
}

/// Why an operation was not carried out. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppError {
    /// It names something that is not there.
    #[error("{0}")]
    NotFound(String),
    /// It asks for something that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Something else is in its way.
    #[error("{0}")]
    Conflict(String),
    /// Whoever asks does not reach so far.
    #[error("{0}")]
    Forbidden(String),
    /// Check files that refer to what would not be there: every fault.
    #[error("{}", .0.join("\n"))]
    BadFiles(Vec<String>),
    /// The collector cannot do it now: the disk is full, or it is shutting down.
    #[error("{0}")]
    Unavailable(String),
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Closed> for AppError {
    fn from(closed: Closed) -> Self {
        Self::Unavailable(closed.to_string())
    }
}

/// Numbers for `/metrics`, since the start of the process unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Batches taken in.
    pub batches: u64,
    /// Records stored.
    pub stored: u64,
    /// Records that had been stored before.
    pub duplicates: u64,
    /// Records set aside as senseless.
    pub set_aside: u64,
    /// Transactions that stored batches.
    pub commits: u64,
    /// Writes that failed.
    pub write_failures: u64,
    /// Batches that wait for the writer now.
    pub batches_waiting: u64,
    /// Connections taken, of agents and of strangers.
    pub connections: u64,
    /// Refusals sent.
    pub refusals: u64,
    /// Records sealed.
    pub sealed: u64,
    /// The longest transaction of sealing, merging or letting go, in microseconds.
    pub pause_us_max: u64,
    /// Agents that hold a connection now.
    pub agents_connected: u64,
    /// Whether the database was found whole; `None` before it was looked through.
    pub intact: Option<bool>,
}

/// The collector, open. Clones share it.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data_dir: PathBuf,
    shared: Arc<Shared>,
    authority: Arc<CertificateAuthority>,
    writer: Writer,
    readers: Arc<Semaphore>,
    board: Board,
    insights: Rounds,
}

impl App {
    /// Opens the data directory, creating it and the authority when they are missing. Blocks; takes the directory's lock.
    pub fn open(data_dir: &Path, now: UtcMicros) -> Result<Self, OpenError> {
        Self::open_as(data_dir, signals::Settings::default(), now, true)
    }

    /// [`Self::open`] with what the configuration says of incidents. The present is not looked at before [`Self::watch`]: messages have links, and where the
    /// console is must be known.
    pub fn open_with(data_dir: &Path, incidents: signals::Settings, now: UtcMicros) -> Result<Self, OpenError> {
        Self::open_as(data_dir, incidents, now, false)
    }

    /// Looks at the present from now on.
    pub async fn watch(&self) {
        let begin = |engine: &mut Engine| {
            engine.alert.still = false;
            engine.alert.touch_all();
        };
        if self.inner.writer.run(begin).await.is_err() {
            tracing::warn!("the collector ends before it began to watch");
        }
    }

    /// As [`Self::open`], for one command while no server runs: nothing is concluded from a present that nobody watches. No incident opens or ends by itself, and
    /// no step of a ladder is taken; what is due is done by the next server.
    pub fn open_still(data_dir: &Path, now: UtcMicros) -> Result<Self, OpenError> {
        Self::open_as(data_dir, signals::Settings::default(), now, false)
    }

    fn open_as(
        data_dir: &Path,
        incidents: signals::Settings,
        now: UtcMicros,
        watching: bool,
    ) -> Result<Self, OpenError> {
        let lock = DataDirLock::acquire_within(data_dir, LOCK_PATIENCE)?;
        let authority = open_authority(data_dir, now)?;
        let owner = crate::enrol::random().map_err(|error| OpenError::System(error.to_string()))?;
        let owner = u64::from_le_bytes(*owner.first_chunk().expect("32 bytes hold 8"));
        let mut engine = Engine::open(data_dir, authority, owner, now)?;
        engine.set_incidents(incidents);
        engine.alert.still = !watching;
        Self::start(engine, data_dir.to_owned(), Some(lock))
    }

    /// An app over an engine of one's own, such as one in memory.
    pub fn over(engine: Engine) -> Result<Self, OpenError> {
        Self::start(engine, PathBuf::new(), None)
    }

    fn start(engine: Engine, data_dir: PathBuf, lock: Option<DataDirLock>) -> Result<Self, OpenError> {
        let shared = Arc::clone(engine.shared());
        let authority = Arc::clone(engine.authority());
        let writer = Writer::start(engine, lock).map_err(|error| OpenError::System(error.to_string()))?;
        let readers = Arc::new(Semaphore::new(READERS_MAX));
        let (board, insights) = (Board::default(), Rounds::default());
        Ok(Self { inner: Arc::new(Inner { data_dir, shared, authority, writer, readers, board, insights }) })
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    /// The book, for reading. Not to be held across an `await`.
    #[track_caller]
    pub fn book(&self) -> BookRead<'_> {
        self.inner.shared.book()
    }

    /// What the engine shares with readers.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// The impact scores of now.
    pub fn board(&self) -> &Board {
        &self.inner.board
    }

    /// What the rounds of looking for findings share.
    pub(crate) fn insights(&self) -> &Rounds {
        &self.inner.insights
    }

    /// The authority that signs certificates.
    pub fn authority(&self) -> &Arc<CertificateAuthority> {
        &self.inner.authority
    }

    /// SHA-256 of the authority's public key: what join tokens carry.
    pub fn ca_pin(&self) -> [u8; 32] {
        self.inner.authority.pin()
    }

    /// The way to the thread that writes.
    pub fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    /// Reads tables that the book does not hold, beside the writer. At most [`READERS_MAX`] at a time; more wait, for [`READER_WAIT`] at most.
    pub(crate) async fn read_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, AppError> {
        let dir = self.inner.data_dir.clone();
        if dir.as_os_str().is_empty() {
            // A store in memory has one connection.
            return Ok(self.inner.writer.run(move |engine| work(engine.store.read())).await??);
        }
        let permit = turn(&self.inner.readers, READER_WAIT).await?;
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            Store::open_to_read(&dir)?.at_one_instant(work)
        });
        Ok(read.await.map_err(|_| AppError::Unavailable("the collector is shutting down: try again".into()))??)
    }

    /// For reads that may meet damage.
    fn telling(&self) -> Telling {
        Telling(Arc::clone(&self.inner.shared))
    }

    /// Reads tables for the collector's own work, which takes nobody's turn.
    pub(crate) async fn read_in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce(Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, AppError> {
        let dir = self.inner.data_dir.clone();
        if dir.as_os_str().is_empty() {
            return Ok(self.inner.writer.run(move |engine| work(engine.store.read())).await??);
        }
        let read = tokio::task::spawn_blocking(move || Store::open_to_read(&dir)?.at_one_instant(work));
        Ok(read.await.map_err(|_| AppError::Unavailable("the collector is shutting down: try again".into()))??)
    }

    /// A counter that grows with every change of the book; readers see the newest value only, and may look as rarely as they like.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.inner.shared.subscribe()
    }

    /// Addresses (`host:port`) that agents are told.
    pub fn addresses(&self) -> Vec<String> {
        self.inner.shared.addresses()
    }

    /// Sets the addresses that agents are told; they are kept, so that a token can be made while no server runs.
    pub async fn set_addresses(&self, addresses: Vec<String>) -> Result<(), AppError> {
        self.inner.writer.run(move |engine| engine.set_addresses(addresses)).await?
    }

    /// Makes a one-time join token for a region; `ttl_us` at most an hour.
    pub async fn create_join_token(
        &self,
        region: Region,
        ttl_us: u64,
        now: UtcMicros,
    ) -> Result<NewJoinToken, AppError> {
        self.inner.writer.run(move |engine| engine.create_join_token(region, ttl_us, now)).await?
    }

    /// Applies what files say, or plans to. See [`Engine::apply`].
    pub async fn apply(
        &self,
        written: impl Into<Written>,
        options: ApplyOptions,
        now: UtcMicros,
    ) -> Result<Plan, AppError> {
        let written = written.into();
        self.inner.writer.run(move |engine| engine.apply(written, &options, now)).await?
    }

    /// The same on behalf of somebody who reaches so far. See [`Engine::apply_as`].
    pub async fn apply_as(
        &self,
        access: Access,
        written: impl Into<Written>,
        options: ApplyOptions,
        now: UtcMicros,
    ) -> Result<Plan, AppError> {
        let written = written.into();
        self.inner.writer.run(move |engine| engine.apply_as(access, written, &options, now)).await?
    }

    /// Takes exported histories in. See [`Engine::import_histories`].
    pub async fn import_histories(&self, histories: Histories, author: String) -> Result<ImportedHistories, AppError> {
        self.inner.writer.run(move |engine| engine.import_histories(&histories, &author, clock::now())).await?
    }

    /// Takes exported records in. See [`Engine::import_records`].
    pub async fn import_records(&self, records: Vec<Named>, now: UtcMicros) -> Result<ImportedRecords, AppError> {
        self.inner.writer.run(move |engine| engine.import_records(records, now)).await?
    }

    /// Suspends, resumes or weighs on behalf of `author` (`collector:cli`, `collector:USER`).
    pub async fn control(
        &self,
        scope: Scope,
        change: Change,
        author: &str,
        now: UtcMicros,
    ) -> Result<ControlEvent, AppError> {
        let author = author.to_owned();
        self.inner.writer.run(move |engine| engine.control(scope, change, &author, now)).await?
    }

    /// Revokes an agent for good.
    pub async fn revoke_agent(&self, name: &AgentName, now: UtcMicros) -> Result<AgentNo, AppError> {
        let name = name.clone();
        self.inner.writer.run(move |engine| engine.revoke_agent(&name, now)).await?
    }

    /// Notes the service's seal key. See [`Engine::adopt_seal_key`]; where that fails it is told, and the start goes on.
    pub async fn adopt_seal_key(&self) {
        if let Ok(Err(error)) = self.inner.writer.run(Engine::adopt_seal_key).await {
            tracing::warn!("the seal key's fingerprint is not noted: {error}");
        }
    }

    /// Notes which secrets the configuration refers to. See [`Engine::note_configured_secrets`]; where that fails it is told, and the start goes on.
    pub async fn note_configured_secrets(&self, configured: BTreeMap<String, String>) {
        let noted = self.inner.writer.run(move |engine| engine.note_configured_secrets(configured)).await;
        if let Ok(Err(error)) = noted {
            tracing::warn!("which secrets the configuration refers to is not noted: {error}");
        }
    }

    /// Sets a secret. See [`Engine::set_secret`].
    pub async fn set_secret(&self, name: &str, value: Vec<u8>, now: UtcMicros) -> Result<(), AppError> {
        let name = name.to_owned();
        self.inner.writer.run(move |engine| engine.set_secret(&name, &value, now)).await?
    }

    /// Removes a secret. See [`Engine::remove_secret`].
    pub async fn remove_secret(&self, name: &str, force: bool) -> Result<(), AppError> {
        let name = name.to_owned();
        self.inner.writer.run(move |engine| engine.remove_secret(&name, force)).await?
    }

    /// Takes a job's ping in, as of the instant that the writer comes to it: durable when this returns. `false` when the check is no
    /// living heartbeat.
    pub async fn ping(
        &self,
        check: CheckNo,
        kind: PingKind,
        exit_status: Option<u8>,
        body: Vec<u8>,
    ) -> Result<bool, AppError> {
        // An earlier instant could lie before a look that the writer took while this waited, which would then never see it.
        Ok(self.inner.writer.run(move |engine| engine.ping(check, kind, exit_status, body, clock::now())).await??)
    }

    /// The tokens of heartbeat checks, in their order. See [`Engine::heartbeat_tokens`].
    pub async fn heartbeat_tokens(&self, checks: Vec<CheckNo>) -> Result<Vec<Option<String>>, AppError> {
        Ok(self.inner.writer.run(move |engine| engine.heartbeat_tokens(&checks)).await?)
    }

    /// A heartbeat check's token and pings; `None` for a check that is none.
    pub async fn heartbeat(&self, check: CheckNo) -> Result<Option<HeartbeatNow>, AppError> {
        Ok(self.inner.writer.run(move |engine| engine.heartbeat(check)).await??)
    }

    /// Makes an API token, a sign-in link or a console session. `note` says whose it is: 1 to 64 bytes.
    pub async fn create_credential(
        &self,
        kind: CredentialKind,
        access: Access,
        note: &str,
        ttl_us: u64,
        now: UtcMicros,
    ) -> Result<NewCredential, AppError> {
        let note = note.to_owned();
        self.inner.writer.run(move |engine| engine.create_credential(kind, access, &note, ttl_us, now)).await?
    }

    /// An API token or console session that holds now.
    pub fn verify(&self, kind: CredentialKind, secret: &str, now: UtcMicros) -> Option<Credential> {
        self.inner.shared.verify(kind, secret, now)
    }

    /// Ends a credential; whether it held.
    pub async fn revoke_credential(
        &self,
        kind: CredentialKind,
        secret: &str,
        now: UtcMicros,
    ) -> Result<bool, AppError> {
        let secret = secret.to_owned();
        self.inner.writer.run(move |engine| engine.revoke_credential(kind, &secret, now)).await?
    }

    /// Tries a message again. See [`Engine::retry_delivery`].
    pub async fn retry_delivery(&self, key: String, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let author = author.to_owned();
        self.inner.writer.run(move |engine| engine.retry_delivery_of(&key, &author, now)).await?
    }

    /// Writes down that a channel was tried out.
    pub async fn log_test(&self, line: Logged) -> Result<(), AppError> {
        self.inner
            .writer
            .run(move |engine| engine.store.write(|tables| stored_outbox::log_test(tables, &line)))
            .await??;
        Ok(())
    }

    /// The newest attempts to deliver, of one channel or all, newest first.
    pub async fn deliveries(&self, channel: Option<String>, limit: usize) -> Result<Vec<Logged>, AppError> {
        self.read_store(move |tables| stored_outbox::log(tables, channel.as_deref(), limit)).await
    }

    /// Attempts to deliver, of one channel or all, newest first, after one of them.
    pub async fn deliveries_after(
        &self,
        channel: Option<String>,
        after: Option<LogKey>,
        limit: usize,
    ) -> Result<Vec<Logged>, AppError> {
        self.read_store(move |tables| stored_outbox::log_after(tables, channel.as_deref(), after.as_ref(), limit)).await
    }

    /// The newest attempt by each of these channels that was ever tried.
    pub async fn last_deliveries(&self, channels: Vec<String>) -> Result<Vec<Logged>, AppError> {
        self.read_store(move |tables| {
            let mut last = Vec::new();
            for channel in &channels {
                last.extend(stored_outbox::log(tables, Some(channel), 1)?);
            }
            Ok(last)
        })
        .await
    }

    /// What waits for every channel, and what became of the rest since the start of the process.
    pub async fn channel_figures(&self) -> Result<Vec<ChannelFigures>, AppError> {
        let waiting = self.read_store(stored_outbox::waiting).await?;
        let known: Vec<String> = self.book().objects().channels.living().map(|(id, _)| id.to_owned()).collect();
        Ok(self.inner.shared.deliveries.figures(waiting, known.into_iter()))
    }

    /// How many incidents are not over, by kind, state and severity.
    pub async fn open_incidents(&self) -> Result<Vec<(String, String, String, u64)>, AppError> {
        self.read_store(crate::store::incidents::open_counts).await
    }

    /// Whether the store takes writes; else why not.
    pub fn readiness(&self) -> Result<(), String> {
        self.inner.writer.health().readiness()
    }

    /// Numbers for `/metrics`.
    pub fn metrics(&self) -> Metrics {
        let counters = &self.inner.shared.counters;
        Metrics {
            batches: counters.batches.load(Ordering::Relaxed),
            stored: counters.stored.load(Ordering::Relaxed),
            duplicates: counters.duplicates.load(Ordering::Relaxed),
            set_aside: counters.set_aside.load(Ordering::Relaxed),
            commits: counters.commits.load(Ordering::Relaxed),
            write_failures: self.inner.writer.health().failures(),
            batches_waiting: self.inner.writer.batches_waiting() as u64,
            connections: counters.connections.load(Ordering::Relaxed),
            refusals: counters.refusals.load(Ordering::Relaxed),
            sealed: counters.sealed.load(Ordering::Relaxed),
            pause_us_max: counters.pause_us_max.load(Ordering::Relaxed),
            agents_connected: self.book().agents_connected() as u64,
            intact: self.inner.shared.integrity.found().map(|found| found.is_ok()),
        }
    }

    /// Does what was asked before, ends the writer and gives the data directory back. Later calls are `Unavailable`.
    pub async fn close(&self) {
        self.inner.writer.close().await;
    }
}

/// Tells in the log of damaged rows that a question met: once, however often it is asked.
struct Telling(Arc<Shared>);

impl Telling {
    fn told<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        read.inspect_err(|error| match error {
            StoreError::BadRow { .. } => self.0.told.error(&error.to_string()),
            StoreError::Database(_) | StoreError::Fenced { .. } | StoreError::Integrity { .. } => {}
        })
    }
}

/// Loads the authority, or makes one in a data directory that has none.
fn open_authority(data_dir: &Path, now: UtcMicros) -> Result<CertificateAuthority, OpenError> {
    let (certificate_path, key_path) = (data_dir.join(CA_CERTIFICATE), data_dir.join(CA_KEY));
    let bad = |path: &Path, what: String| OpenError::Authority { path: path.to_owned(), what };
    let key = match files::read(&key_path, PEM_BYTES_MAX) {
        Ok(key) => key,
        // The key is written first and the database last: no database, no agent that could miss it.
        Err(FileError::NotFound { .. }) if !data_dir.join(crate::store::FILE).exists() => {
            let authority = CertificateAuthority::create(now).map_err(|error| bad(&key_path, error.to_string()))?;
            files::write_atomic(&certificate_path, authority.certificate_pem().as_bytes(), 0o644)?;
            files::write_atomic(&key_path, authority.key_pem().as_bytes(), 0o600)?;
            return Ok(authority);
        }
        Err(FileError::NotFound { .. }) => return Err(bad(&key_path, "no such file".into())),
        Err(error) => return Err(error.into()),
    };
    let certificate = files::read(&certificate_path, PEM_BYTES_MAX)?;
    let text = |path: &Path, bytes: Vec<u8>| String::from_utf8(bytes).map_err(|error| bad(path, error.to_string()));
    let (certificate, key) = (text(&certificate_path, certificate)?, text(&key_path, key)?);
    CertificateAuthority::load(&certificate, &key).map_err(|error| bad(&key_path, error.to_string()))
}

/// A reader's turn.
async fn turn(readers: &Arc<Semaphore>, wait: Duration) -> Result<OwnedSemaphorePermit, AppError> {
    match tokio::time::timeout(wait, Arc::clone(readers).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(Closed.into()),
        Err(_) => Err(AppError::Unavailable(
            "other questions keep the store's readers busy: try again, and ask for shorter periods".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_waits_for_its_turn_no_longer_than_told() {
        let readers = Arc::new(Semaphore::new(1));
        let reading = turn(&readers, READER_WAIT).await.unwrap();
        let late = turn(&readers, Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(&late, AppError::Unavailable(what) if what.contains("try again")), "{late}");
        drop(reading);
        assert!(turn(&readers, READER_WAIT).await.is_ok());
    }
}
