//! A mail server that shows mail: the greeting, its capabilities, protection, and optionally a login (RFC 3501, 9051, 4959). No mailbox is
//! opened.

use sitepulse_model::check::{MailSecurity, MailTarget};
use sitepulse_model::record::{Cause, FactKey};
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use crate::attempt::{Answer, Attempt, Failure};
use crate::mail::{Credentials, Dialogue, Mail, Protected, encoded, quote};

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct ImapProbe {
    mail: Mail,
}

/// How a server greets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeting {
    /// Come in and log in.
    Ok,
    /// It takes the client for logged in already.
    Preauth,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    status: Status,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    No,
    Bad,
    /// The server waits for more.
    Continue,
}

impl ImapProbe {
    pub(crate) fn new(target: &MailTarget) -> Result<Self, String> {
        Ok(Self { mail: Mail::new("imap", target)? })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let mail = &self.mail;
        let credentials = mail.credentials(attempt)?;
        let stream = mail.open(attempt).await?;
        match mail.security {
            MailSecurity::None => {
                let mut dialogue = Dialogue::new(stream);
                self.greeting(attempt, &mut dialogue).await?;
                self.capabilities(&mut dialogue, "s1").await?;
                attempt.end();
                mail.part(dialogue, "s9 LOGOUT").await;
            }
            MailSecurity::Starttls => {
                let mut dialogue = Dialogue::new(stream);
                if self.greeting(attempt, &mut dialogue).await? == Greeting::Preauth {
                    let text = format!("{} takes the client for logged in before STARTTLS (PREAUTH)", mail.host);
                    return Err(mail.unprotected(&text));
                }
                let offers = self.capabilities(&mut dialogue, "s1").await?;
                if !has(&offers, "STARTTLS") {
                    return Err(mail.unprotected(&format!("STARTTLS is not offered by {}", mail.host)));
                }
                let done = self.ask(&mut dialogue, "s2", "STARTTLS", &mut |_| {}).await?;
                if done.status != Status::Ok {
                    let text = format!("{} refuses STARTTLS: {}", mail.host, quote(&done.text, &[]));
                    return Err(mail.unprotected(&text));
                }
                let mut dialogue = mail.upgrade(attempt, dialogue).await?;
                let offers = self.capabilities(&mut dialogue, "s3").await?;
                self.finish(attempt, dialogue, Greeting::Ok, &offers, credentials).await?;
            }
            MailSecurity::Tls => {
                let mut dialogue = mail.protect(attempt, stream).await?;
                let greeting = self.greeting(attempt, &mut dialogue).await?;
                let offers = self.capabilities(&mut dialogue, "s3").await?;
                self.finish(attempt, dialogue, greeting, &offers, credentials).await?;
            }
        }
        Ok(Answer::default())
    }

    async fn finish(
        &self,
        attempt: &mut Attempt<'_>,
        mut dialogue: Protected,
        greeting: Greeting,
        offers: &[String],
        credentials: Option<Credentials>,
    ) -> Result<(), Failure> {
        if let Some(credentials) = credentials {
            if greeting == Greeting::Preauth {
                let text = "takes the client for logged in already (PREAUTH): the password cannot be tried";
                return Err(self.mail.failure(Cause::LoginRefused, text));
            }
            self.log_in(&mut dialogue, offers, &credentials).await?;
        }
        attempt.end();
        self.mail.part(dialogue, "s9 LOGOUT").await;
        Ok(())
    }

    async fn greeting<S: AsyncRead + Unpin>(
        &self,
        attempt: &mut Attempt<'_>,
        dialogue: &mut Dialogue<S>,
    ) -> Result<Greeting, Failure> {
        self.mail.greeted(attempt, dialogue).await?;
        let line = self.mail.line(dialogue).await?;
        attempt.facts.text(FactKey::Banner, &line);
        let word = line.strip_prefix("* ").and_then(|rest| rest.split_ascii_whitespace().next());
        match word.map(str::to_ascii_uppercase).as_deref() {
            Some("OK") => Ok(Greeting::Ok),
            Some("PREAUTH") => Ok(Greeting::Preauth),
            Some("BYE") => {
                let text = format!("turns clients away: {}", quote(&line, &[]));
                Err(self.mail.failure(Cause::ProtocolError, &text))
            }
            Some(_) | None => {
                let text = format!("does not speak IMAP: {}", quote(&line, &[]));
                Err(self.mail.failure(Cause::ProtocolError, &text))
            }
        }
    }

    /// What the server can do, in capitals. Asked for anew after each change of state, never taken from what came before.
    async fn capabilities<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        tag: &str,
    ) -> Result<Vec<String>, Failure> {
        let mut offers = Vec::new();
        let mut listen = |line: &str| {
            let line = line.to_ascii_uppercase();
            if let Some(words) = line.strip_prefix("* CAPABILITY ") {
                offers = words.split_ascii_whitespace().map(ToOwned::to_owned).collect();
            }
        };
        let done = self.ask(dialogue, tag, "CAPABILITY", &mut listen).await?;
        if done.status == Status::Ok && (has(&offers, "IMAP4REV1") || has(&offers, "IMAP4REV2")) {
            return Ok(offers);
        }
        let text = match done.status {
            Status::Ok => "tells no capabilities of IMAP4rev1".to_owned(),
            Status::No | Status::Bad | Status::Continue => {
                format!("refuses to tell its capabilities: {}", quote(&done.text, &[]))
            }
        };
        Err(self.mail.failure(Cause::ProtocolError, &text))
    }

    async fn log_in(
        &self,
        dialogue: &mut Protected,
        offers: &[String],
        credentials: &Credentials,
    ) -> Result<(), Failure> {
        let (plain, password) = (credentials.plain(), encoded(&credentials.password));
        let hidden = [plain.as_str(), password.as_str(), credentials.password.as_str()];
        let done = if has(offers, "AUTH=PLAIN") && has(offers, "SASL-IR") {
            let command = Zeroizing::new(format!("AUTHENTICATE PLAIN {}", plain.as_str()));
            self.ask(dialogue, "s4", &command, &mut |_| {}).await?
        } else if has(offers, "AUTH=PLAIN") {
            let done = self.ask(dialogue, "s4", "AUTHENTICATE PLAIN", &mut |_| {}).await?;
            if done.status == Status::Continue {
                self.mail.send(dialogue, &plain).await?;
                self.done(dialogue, "s4", &mut |_| {}).await?
            } else {
                done
            }
        } else if has(offers, "LOGINDISABLED") {
            return Err(self.mail.failure(Cause::LoginRefused, "does not let anybody log in (LOGINDISABLED)"));
        } else {
            let (Some(user), Some(password)) = (quoted(&credentials.user), quoted(&credentials.password)) else {
                let text = "offers LOGIN alone, which carries no password or user beyond ASCII";
                return Err(self.mail.failure(Cause::LoginRefused, text));
            };
            let command = Zeroizing::new(format!("LOGIN {} {}", user.as_str(), password.as_str()));
            self.ask(dialogue, "s4", &command, &mut |_| {}).await?
        };
        match done.status {
            Status::Ok => Ok(()),
            Status::No | Status::Bad | Status::Continue => {
                let text = format!("refused the login of {:?}: {}", credentials.user, quote(&done.text, &hidden));
                Err(self.mail.failure(Cause::LoginRefused, &text))
            }
        }
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        tag: &str,
        command: &str,
        untagged: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Done, Failure> {
        self.mail.send(dialogue, &Zeroizing::new(format!("{tag} {command}"))).await?;
        self.done(dialogue, tag, untagged).await
    }

    /// Reads to the end of a command; what the server says before goes to `untagged`.
    async fn done<S: AsyncRead + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        tag: &str,
        untagged: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Done, Failure> {
        loop {
            let line = self.mail.line(dialogue).await?;
            if let Some(done) = done(&line, tag) {
                return Ok(done);
            }
            if line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("* BYE")) {
                let text = format!("hung up: {}", quote(&line, &[]));
                return Err(self.mail.failure(Cause::ConnectionReset, &text));
            }
            if !line.starts_with("* ") {
                let text = format!("does not speak IMAP: {}", quote(&line, &[]));
                return Err(self.mail.failure(Cause::ProtocolError, &text));
            }
            untagged(&line);
        }
    }
}

/// How the command of `tag` ended, if this line tells.
fn done(line: &str, tag: &str) -> Option<Done> {
    if line == "+" || line.starts_with("+ ") {
        return Some(Done { status: Status::Continue, text: line.to_owned() });
    }
    let rest = line.strip_prefix(tag)?.strip_prefix(' ')?;
    let status = match rest.split_ascii_whitespace().next()?.to_ascii_uppercase().as_str() {
        "OK" => Status::Ok,
        "NO" => Status::No,
        "BAD" => Status::Bad,
        _ => return None,
    };
    Some(Done { status, text: rest.to_owned() })
}

fn has(offers: &[String], capability: &str) -> bool {
    offers.iter().any(|offer| offer == capability)
}

/// A quoted string; `None` for what it cannot carry.
fn quoted(text: &str) -> Option<Zeroizing<String>> {
    if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return None;
    }
    Some(Zeroizing::new(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))))
}

#[cfg(test)]
mod tests;
