//! `api-token`, `user` and `audit`: who may do what, and who did.

use std::io::{IsTerminal as _, Read as _, Write as _};

use bytes::Bytes;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use sitepulse_daemon::exit::Exit;

use super::{print, print_json, ttl, whole, with, with_query};
use crate::access::password::BYTES_MAX;
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{ApiTokenCommand, ApiTokenCreateArgs, AuditArgs, Failure, Global, UserCommand};
use crate::present::dto::LinkView;
use crate::present::dto::access::{
    AccountView, ApiTokenView, AuditVerdictView, AuditView, NewApiTokenBody, NewApiTokenView,
};
use crate::present::http::escape;

/// The default life of an API token: 30 days.
const TTL_SECONDS: u64 = 30 * 86_400;

pub(super) async fn api_token(global: &Global, command: ApiTokenCommand) -> Result<(), Failure> {
    match command {
        ApiTokenCommand::Create(args) => create_token(global, args).await,
        ApiTokenCommand::List => {
            let tokens: Vec<ApiTokenView> =
                with(global, Need::Data, async |client| client.get("/api/v1/tokens").await).await?;
            list_tokens(global, &tokens)
        }
        ApiTokenCommand::Revoke { id } => {
            let path = format!("/api/v1/tokens/{}", escape(&id));
            with(global, Need::Data, async |client| client.delete(&path).await).await?;
            if global.json {
                return print_json(&serde_json::json!({ "revoked": id }));
            }
            print(&format!("Revoked {}.\n", clean(&id)))
        }
    }
}

pub(super) async fn create_token(global: &Global, args: ApiTokenCreateArgs) -> Result<(), Failure> {
    let ttl_seconds = ttl(args.ttl.as_deref(), TTL_SECONDS)?;
    let request = NewApiTokenBody { scope: args.scope, note: args.note, ttl_seconds };
    let made: NewApiTokenView =
        with(global, Need::Directory, async |client| client.post("/api/v1/tokens", &request).await).await?;
    if global.json {
        return print_json(&made);
    }
    print(&format!(
        "{}\n\nScope {}, good until {}; shown this once. Use it so:\n\n  SITEPULSE_TOKEN={} sitepulse-collector checks --url URL\n\n\
         End it with `sitepulse-collector api-token revoke {}`.\n",
        made.token,
        made.scope,
        whole(&made.expires),
        made.token,
        made.id
    ))
}

fn list_tokens(global: &Global, tokens: &[ApiTokenView]) -> Result<(), Failure> {
    if global.json {
        return print_json(&tokens);
    }
    if tokens.is_empty() {
        return print(
            "No API tokens: make one with `sitepulse-collector api-token create --scope read --note TEXT`.\n",
        );
    }
    let mut table = Table::new(&["ID", "SCOPE", "NOTE", "MADE BY", "MADE", "LAST USED", "EXPIRES"]);
    for one in tokens {
        table.push(vec![
            one.id.clone(),
            one.scope.clone(),
            clean(&one.note),
            clean(&one.author),
            whole(&one.created),
            one.used.as_deref().map_or_else(|| "never".into(), whole),
            whole(&one.expires),
        ]);
    }
    print(&table.text())
}

pub(super) async fn user(global: &Global, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::List => {
            let users: Vec<AccountView> =
                with(global, Need::Data, async |client| client.get("/api/v1/accounts").await).await?;
            list_users(global, &users)
        }
        UserCommand::Password { id, remove: true } => {
            let path = format!("/api/v1/accounts/{}/password", escape(&id));
            with(global, Need::Data, async |client| client.delete(&path).await).await?;
            told(global, "removed", &id, format!("{} cannot sign in by password any more.\n", clean(&id)))
        }
        UserCommand::Password { id, remove: false } => {
            let password = password(&id)?;
            let path = format!("/api/v1/accounts/{}/password", escape(&id));
            with(global, Need::Data, async |client| client.put(&path, password).await).await?;
            told(global, "set", &id, format!("The password of {} is set; their sessions have ended.\n", clean(&id)))
        }
        UserCommand::Invite { id } => {
            let path = format!("/api/v1/accounts/{}/invite", escape(&id));
            let made: LinkView = with(global, Need::Server, async |client| client.post(&path, &()).await).await?;
            if global.json {
                return print_json(&made);
            }
            print(&format!(
                "{}\n\nSend it to {}. It works once, until {}.\n",
                made.url,
                clean(&id),
                whole(&made.expires)
            ))
        }
        UserCommand::Unlink { id } => {
            let path = format!("/api/v1/accounts/{}/identity", escape(&id));
            with(global, Need::Data, async |client| client.delete(&path).await).await?;
            told(global, "unlinked", &id, format!("{} is nobody at the identity provider any more.\n", clean(&id)))
        }
        UserCommand::SignOut { id } => {
            let path = format!("/api/v1/accounts/{}/sign-out", escape(&id));
            with(global, Need::Data, async |client| client.post::<()>(&path, &()).await).await?;
            told(global, "signed_out", &id, format!("The sessions of {} have ended.\n", clean(&id)))
        }
    }
}

fn told(global: &Global, key: &str, id: &str, text: String) -> Result<(), Failure> {
    if global.json { print_json(&serde_json::json!({ key: id })) } else { print(&text) }
}

fn list_users(global: &Global, users: &[AccountView]) -> Result<(), Failure> {
    if global.json {
        return print_json(&users);
    }
    if users.is_empty() {
        return print("No users: write them as [[user]] and apply the file, see docs/access.md.\n");
    }
    let mut table = Table::new(&["USER", "NAME", "TEAM", "ROLE", "PASSWORD SET", "PROVIDER", "SESSIONS"]);
    for one in users {
        table.push(vec![
            one.id.clone(),
            clean(&one.name),
            one.team.clone().unwrap_or_else(|| "-".into()),
            one.role.clone().unwrap_or_else(|| "none".into()),
            one.password_set.as_deref().map_or_else(|| "no".into(), whole),
            one.identity.as_ref().map_or_else(|| "no".into(), |identity| clean(&identity.subject)),
            one.sessions.to_string(),
        ]);
    }
    print(&table.text())
}

/// A new password: asked for twice on a terminal, else the first line of stdin.
fn password(user: &str) -> Result<Bytes, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Usage, format!("the password cannot be read: {error}"));
    if !std::io::stdin().is_terminal() {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(BYTES_MAX as u64 + 3).read_to_end(&mut bytes).map_err(failed)?;
        return Ok(Bytes::from(bytes));
    }
    let first = asked(&format!("New password of {}: ", clean(user))).map_err(failed)?;
    let second = asked("Once more: ").map_err(failed)?;
    if first != second {
        return Err(Failure::new(Exit::Usage, "the two are not the same: nothing was changed"));
    }
    Ok(Bytes::from(first))
}

/// Puts the terminal back as it was, whatever happens.
struct Quiet(Termios);

impl Drop for Quiet {
    fn drop(&mut self) {
        if tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0).is_err() {
            tracing::debug!("the terminal went away");
        }
    }
}

/// Asks for a line without echo.
fn asked(prompt: &str) -> std::io::Result<String> {
    let before = tcgetattr(std::io::stdin())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    let quiet = Quiet(before);
    tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent)?;
    let mut stderr = std::io::stderr();
    stderr.write_all(prompt.as_bytes())?;
    stderr.flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    drop(quiet);
    stderr.write_all(b"\n")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

pub(super) async fn audit(global: &Global, args: AuditArgs) -> Result<Exit, Failure> {
    if args.verify {
        return verify(global).await;
    }
    let full = |author: String| {
        if author.contains(':') || author == "stranger" { author } else { format!("collector:{author}") }
    };
    let asked = [
        ("from", args.from),
        ("to", args.to),
        ("author", args.author.map(full)),
        ("limit", args.limit.map(|limit| limit.to_string())),
    ];
    let path = with_query("/api/v1/audit", asked);
    let entries: Vec<AuditView> = with(global, Need::Data, async |client| client.get(&path).await).await?;
    if global.json {
        return print_json(&entries).map(|()| Exit::Ok);
    }
    if entries.is_empty() {
        return print("Nothing is told of that time.\n").map(|()| Exit::Ok);
    }
    let mut table = Table::new(&["NO", "AT", "WHO", "BY", "FROM", "WHAT", "ABOUT", "OUTCOME", "DETAIL"]);
    for one in &entries {
        let status = one.status.map(|status| format!(" {status}")).unwrap_or_default();
        table.push(vec![
            one.number.to_string(),
            whole(&one.at),
            clean(one.author.strip_prefix("collector:").unwrap_or(&one.author)),
            one.way.clone(),
            one.address.clone().unwrap_or_else(|| "-".into()),
            clean(&one.action),
            if one.subject.is_empty() { "-".into() } else { clean(&one.subject) },
            format!("{}{status}", one.outcome),
            clean(&one.detail),
        ]);
    }
    print(&table.text()).map(|()| Exit::Ok)
}

async fn verify(global: &Global) -> Result<Exit, Failure> {
    let found: AuditVerdictView =
        with(global, Need::Data, async |client| client.get("/api/v1/audit/verify").await).await?;
    let exit = if found.intact { Exit::Ok } else { Exit::DataDir };
    if global.json {
        return print_json(&found).map(|()| exit);
    }
    if let Some(fault) = &found.fault {
        return Err(Failure::new(exit, format!("the audit log is not as it was written: {fault}")));
    }
    print(&format!(
        "All {} entries are as they were written.\nThe newest is {}: {}\n",
        found.entries, found.newest, found.head
    ))
    .map(|()| exit)
}
