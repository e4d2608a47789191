//! Arguments of the commands about who may do what: tokens, users, secrets, the audit log.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `token ...`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Creates a one-time token for an agent to join with, or (--api) a token for --url.
    #[command(after_help = "Examples:\n  sitepulse-collector token create --region eu-west\n  \
                            sitepulse-collector token create --region eu-west --ttl 10m --json\n  \
                            sitepulse-collector token create --api --ttl 30d     # as api-token create --scope admin")]
    Create(TokenCreateArgs),
}

/// `token create`
#[derive(Debug, Clone, Args)]
pub struct TokenCreateArgs {
    /// The region of the agent that joins with it.
    #[arg(long, value_name = "REGION", required_unless_present = "api")]
    pub region: Option<String>,
    /// Creates an API token instead.
    #[arg(long, conflicts_with = "region")]
    pub api: bool,
    /// How long it is good for: at most 1h to join [default: 1h; --api: 30d].
    #[arg(long, value_name = "DURATION")]
    pub ttl: Option<String>,
}

/// `api-token ...`
#[derive(Debug, Subcommand)]
pub enum ApiTokenCommand {
    /// Makes a token and shows it, this once.
    #[command(
        after_help = "Examples:\n  sitepulse-collector api-token create --scope read --note grafana\n  sitepulse-collector api-token create --scope edit --note deploy --ttl 90d --json"
    )]
    Create(ApiTokenCreateArgs),
    /// Lists the tokens that hold: never a secret.
    #[command(after_help = "Examples:\n  sitepulse-collector api-token list")]
    List,
    /// Ends a token at once.
    #[command(after_help = "Examples:\n  sitepulse-collector api-token revoke 3f9a1c0b77de")]
    Revoke {
        /// Its id, as `list` shows it.
        id: String,
    },
}

/// `api-token create`
#[derive(Debug, Clone, Args)]
pub struct ApiTokenCreateArgs {
    /// How far it reaches: read, respond, edit or admin.
    #[arg(long, value_name = "SCOPE")]
    pub scope: String,
    /// What it is for; histories call it so.
    #[arg(long, value_name = "TEXT")]
    pub note: String,
    /// How long it is good for: at most 366d [default: 30d].
    #[arg(long, value_name = "DURATION")]
    pub ttl: Option<String>,
}

/// `user ...`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Lists users with their role, when their password was set, and how many sessions they have.
    #[command(after_help = "Examples:\n  sitepulse-collector user list\n  sitepulse-collector user list --json")]
    List,
    /// Sets a user's password, asked for without echo or read from stdin; it ends all their sessions.
    #[command(
        after_help = "Examples:\n  sitepulse-collector user password ana\n  sitepulse-collector user password ana --remove"
    )]
    Password {
        /// The user.
        id: String,
        /// Takes the password away instead.
        #[arg(long)]
        remove: bool,
    },
    /// Prints a link by which a user sets a password of their own; it works once, for three days.
    #[command(after_help = "Examples:\n  sitepulse-collector user invite ana")]
    Invite {
        /// The user.
        id: String,
    },
    /// Forgets who a user is at the identity provider, and ends their sessions: the next sign-in by it finds out anew.
    #[command(after_help = "Examples:\n  sitepulse-collector user unlink ana")]
    Unlink {
        /// The user.
        id: String,
    },
    /// Ends all sessions of a user.
    #[command(name = "sign-out", after_help = "Examples:\n  sitepulse-collector user sign-out ana")]
    SignOut {
        /// The user.
        id: String,
    },
}

/// `audit`
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// Entries from then on: an instant, or an age like -7d.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Entries before then.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// By this user or token alone: ana, cli, or in full (collector:ana, stranger).
    #[arg(long, value_name = "AUTHOR")]
    pub author: Option<String>,
    /// Most entries: 1 to 1000 [default: 100].
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Looks through the whole log instead of showing it.
    #[arg(long, conflicts_with_all = ["from", "to", "author", "limit"])]
    pub verify: bool,
}

/// `secret ...`
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Sets a secret, new or anew; its value comes from stdin or a file, never from the command line.
    #[command(after_help = "Examples:\n  sitepulse-collector secret set shop.token < token.txt\n  \
                            sitepulse-collector secret set client.key --file client.key\n\n\
                            The newline that ends a single line is not part of the value; a text of several lines stays as it is.")]
    Set {
        /// Its name: 1 to 64 of a-z, 0-9, `-`, `_` and `.`.
        name: String,
        /// Where the value is [default: stdin].
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Lists the secrets: when each was set, and which checks use it.
    #[command(after_help = "Example:\n  sitepulse-collector secret list --json")]
    List,
    /// Removes a secret; refused while a check uses it.
    #[command(after_help = "Example:\n  sitepulse-collector secret remove shop.token")]
    Remove {
        /// Its name.
        name: String,
        /// Although checks use it: their runs say unknown from then on.
        #[arg(long)]
        force: bool,
    },
}
