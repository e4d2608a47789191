//! Who may do what: tokens, sessions, users, the audit log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An API token in a list: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiTokenView {
    /// The first twelve digits of its hash.
    pub id: String,
    /// How far it reaches: `read`, `respond`, `edit`, `admin`.
    pub scope: String,
    /// What it is for: histories call it `collector:NOTE`.
    pub note: String,
    /// Who made it.
    pub author: String,
    /// When it was made.
    pub created: String,
    /// When it ends.
    pub expires: String,
    /// When it was used last, to the hour; `null`: never.
    pub used: Option<String>,
}

/// Asks for an API token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiTokenBody {
    /// How far it reaches: `read`, `respond`, `edit`, `admin`.
    #[serde(default = "NewApiTokenBody::scope_default")]
    pub scope: String,
    /// What it is for: 1 to 64 bytes.
    #[serde(default = "NewApiTokenBody::note_default")]
    pub note: String,
    /// How long it is good for: 1 to 31,622,400 (366 days).
    pub ttl_seconds: u64,
}

impl NewApiTokenBody {
    fn scope_default() -> String {
        "admin".into()
    }

    fn note_default() -> String {
        "token".into()
    }
}

/// A new API token. The secret is told this once and stored hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewApiTokenView {
    /// The token.
    pub token: String,
    /// What it is called in the list.
    pub id: String,
    /// How far it reaches.
    pub scope: String,
    /// What it is for.
    pub note: String,
    /// When it ends.
    pub expires: String,
}

/// A console session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    /// The first twelve digits of its hash.
    pub id: String,
    /// Whose it is; `null`: opened by a sign-in link, nobody's in particular.
    pub user: Option<String>,
    /// By which way: `link`, `password`, `invite`, `provider`.
    pub way: String,
    /// How far it reaches.
    pub access: String,
    /// When it was opened.
    pub created: String,
    /// When it ends at the latest.
    pub expires: String,
    /// When it was used last.
    pub used: Option<String>,
    /// Whether it is the one that asks.
    pub this: bool,
}

/// A user, as far as signing in goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountView {
    /// The user's id.
    pub id: String,
    /// What people call them.
    pub name: String,
    /// `viewer`, `responder`, `editor`, `admin`; `null`: cannot sign in.
    pub role: Option<String>,
    /// The team they belong to.
    #[serde(default)]
    pub team: Option<String>,
    /// When their password was set; `null`: they have none.
    pub password_set: Option<String>,
    /// Who they are at the identity provider; `null`: nobody yet.
    #[serde(default)]
    pub identity: Option<IdentityView>,
    /// How many sessions they have.
    pub sessions: usize,
}

/// Who a user is at an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdentityView {
    /// The provider.
    pub issuer: String,
    /// Their name there, which stays.
    pub subject: String,
    /// When they signed in by it first.
    pub linked: String,
    /// When they signed in by it last.
    pub used: String,
}

/// An entry of the audit log, with what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditView {
    /// Its number.
    pub number: u64,
    /// When it was asked, or was.
    pub at: String,
    /// Who: `collector:cli`, `collector:USER`, `collector:NOTE` of a token, `stranger`.
    pub author: String,
    /// By which way: `cli`, `token`, `link`, `password`, `invite`, `provider`, `stranger`.
    pub way: String,
    /// The id of the token or session.
    pub credential: Option<String>,
    /// Where they were; `null`: on this machine's socket or command line.
    pub address: Option<String>,
    /// Method and route, or `sign-in`.
    pub action: String,
    /// What it is about.
    pub subject: String,
    /// `done`, `failed`, `refused`, `cut_off` (nobody waited for the end), `open` (under way, or a crash cut it off).
    pub outcome: String,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// What was done.
    pub detail: String,
    /// How many of its like before it were not told.
    pub left_out: u64,
    /// Of the entry and all before it, in hex.
    pub hash: String,
}

/// What a look through the audit log found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditVerdictView {
    /// Whether it is as it was written.
    pub intact: bool,
    /// How many entries it has, outcomes counted too.
    pub entries: u64,
    /// Up to which number older ones were let go (`[retention] audit`); 0: none.
    pub let_go: u64,
    /// The newest number.
    pub newest: u64,
    /// Its hash, in hex: noted elsewhere it shows later that nothing before it was changed.
    pub head: String,
    /// What is wrong.
    pub fault: Option<String>,
}
