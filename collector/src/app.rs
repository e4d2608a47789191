//! The door to the collector for everything but agents: the console, the API, the command line.
//!
//! An [`App`] owns the data directory (under its lock), the writer's thread and the book. It works without a listener: the command
//! line opens one in its own process when no server runs.

mod credentials;
mod plan;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::control::{Change, ControlEvent, Scope};
use sitepulse_model::id::{AgentName, AgentNo, Region};
use sitepulse_model::time::UtcMicros;
use tokio::sync::watch;

use crate::book::Book;

pub use credentials::{Access, Credential, CredentialKind, NewCredential};
pub use plan::{FieldDiff, Plan, PlanItem, PlanStep};

/// How to apply definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Whether checks that the definitions do not name are retired.
    pub prune: bool,
    /// Whether to plan only.
    pub dry_run: bool,
    /// Who applies: `collector:cli`, `collector:USER`.
    pub author: String,
}

// SIGNATURES (bodies follow in a few minutes)
impl App {
    /// Opens (or creates) the data directory. Blocking. Takes the data directory's lock; `OpenError::exit()` gives the exit code.
    pub fn open(data_dir: &Path, now: UtcMicros) -> Result<Self, OpenError>;
    /// The book, for reading. Don't hold it across an `await`.
    pub fn book(&self) -> RwLockReadGuard<'_, Book>;
    /// Ticks after every change of the book (a counter). Coalesce on the reader's side.
    pub fn subscribe(&self) -> watch::Receiver<u64>;
    /// Addresses (`host:port`) that agents are told; kept in the store, so a token can be made offline too.
    pub fn addresses(&self) -> Vec<String>;
    pub async fn set_addresses(&self, addresses: Vec<String>) -> Result<(), AppError>;
    /// A one-time join token. `ttl_us` at most an hour (else AppError::Invalid). Result { token: wire::token::JoinToken, expires, region }
    pub async fn create_join_token(&self, region: Region, ttl_us: u64, now: UtcMicros) -> Result<NewJoinToken, AppError>;
    pub async fn apply(&self, definitions: Vec<CheckDefinition>, options: ApplyOptions, now: UtcMicros) -> Result<Plan, AppError>;
    pub async fn control(&self, scope: Scope, change: Change, author: &str, now: UtcMicros) -> Result<ControlEvent, AppError>;
    pub async fn revoke_agent(&self, name: &AgentName, now: UtcMicros) -> Result<AgentNo, AppError>; // NotFound
    /// kind: ApiToken (bearer), SignIn (one-time link, consumed by redeem), Session (console cookie). Secret text is shown once: "spa_..." etc.
    pub async fn create_credential(&self, kind: CredentialKind, access: Access, note: &str, ttl_us: u64, now: UtcMicros) -> Result<NewCredential /* {secret: String, expires} */, AppError>;
    /// An API token or console session that is valid now.
    pub fn verify(&self, kind: CredentialKind, secret: &str, now: UtcMicros) -> Option<Credential /* {kind, access, note, expires} */>;
    /// Consumes a sign-in link and opens a console session. None: unknown, used or expired.
    pub async fn redeem_signin(&self, secret: &str, session_ttl_us: u64, now: UtcMicros) -> Result<Option<NewCredential>, AppError>;
    pub async fn revoke_credential(&self, kind: CredentialKind, secret: &str, now: UtcMicros) -> Result<bool, AppError>;
    /// Whether the store takes writes; the text says why not.
    pub fn readiness(&self) -> Result<(), String>;
    /// Counters for /metrics.
    pub fn metrics(&self) -> Metrics;
    pub fn data_dir(&self) -> &Path;
    pub fn ca_pin(&self) -> [u8; 32];
    /// Flushes and stops the writer; blocking errors are logged. Later calls get AppError::Unavailable.
    pub async fn close(&self);
}
// listener.rs:  Listener::bind(&App, SocketAddr, advertise: Vec<String>) -> Result<Listener, ListenError>; .local_addr(); async fn run(self, tasks: TaskSet/&TaskSet, stop: impl Future)
// book: Book::conservation(now) -> Vec<ConservationRow>
