//! A mail server that takes mail: the greeting, `EHLO`, protection, and optionally a login (RFC 5321, 3207, 4954). No mail is sent.

use sitepulse_model::check::{MailSecurity, MailTarget};
use sitepulse_model::record::{Cause, FactKey};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::attempt::{Answer, Attempt, Failure};
use crate::mail::{Credentials, Dialogue, Mail, Protected, encoded, literal, quote};

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct SmtpProbe {
    mail: Mail,
}

/// A reply, of one line or several.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reply {
    code: u16,
    /// The texts after the code.
    lines: Vec<String>,
}

impl Reply {
    /// As the server said it, for explanations.
    fn said(&self, hidden: &[&str]) -> String {
        quote(&format!("{} {}", self.code, self.lines.join(" ")), hidden)
    }

    /// The words after a keyword of an answer to `EHLO`, in capitals; `None` without it.
    fn offer(&self, keyword: &str) -> Option<Vec<String>> {
        let offers = self.lines.iter().skip(1).filter_map(|line| {
            // Some servers write `AUTH=PLAIN` for clients of old.
            let line = line.to_ascii_uppercase().replacen("AUTH=", "AUTH ", 1);
            let mut words = line.split_ascii_whitespace();
            let is_it = words.next() == Some(keyword);
            is_it.then(|| words.map(ToOwned::to_owned).collect::<Vec<_>>())
        });
        offers.reduce(|mut all, more| {
            all.extend(more);
            all
        })
    }
}

impl SmtpProbe {
    pub(crate) fn new(target: &MailTarget) -> Result<Self, String> {
        Ok(Self { mail: Mail::new("smtp", target)? })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let mail = &self.mail;
        let credentials = mail.credentials(attempt)?;
        let stream = mail.open(attempt).await?;
        let name = literal(&stream);
        match mail.security {
            MailSecurity::None => {
                let mut dialogue = Dialogue::new(stream);
                self.banner(attempt, &mut dialogue).await?;
                self.hello(attempt, &mut dialogue, &name).await?;
                attempt.end();
                mail.part(dialogue, "QUIT").await;
            }
            MailSecurity::Starttls => {
                let mut dialogue = Dialogue::new(stream);
                self.banner(attempt, &mut dialogue).await?;
                let offers = self.hello(attempt, &mut dialogue, &name).await?;
                if offers.offer("STARTTLS").is_none() {
                    return Err(mail.unprotected(&format!("STARTTLS is not offered by {}", mail.host)));
                }
                let reply = self.ask(attempt, &mut dialogue, "STARTTLS").await?;
                if reply.code != 220 {
                    let text = format!("{} refuses STARTTLS: {}", mail.host, reply.said(&[]));
                    return Err(mail.unprotected(&text));
                }
                let mut dialogue = mail.upgrade(attempt, dialogue).await?;
                let offers = self.hello(attempt, &mut dialogue, &name).await?;
                self.finish(attempt, dialogue, &offers, credentials).await?;
            }
            MailSecurity::Tls => {
                let mut dialogue = mail.protect(attempt, stream).await?;
                self.banner(attempt, &mut dialogue).await?;
                let offers = self.hello(attempt, &mut dialogue, &name).await?;
                self.finish(attempt, dialogue, &offers, credentials).await?;
            }
        }
        Ok(Answer::default())
    }

    async fn finish(
        &self,
        attempt: &mut Attempt<'_>,
        mut dialogue: Protected,
        offers: &Reply,
        credentials: Option<Credentials>,
    ) -> Result<(), Failure> {
        if let Some(credentials) = credentials {
            self.log_in(attempt, &mut dialogue, offers, &credentials).await?;
        }
        attempt.end();
        self.mail.part(dialogue, "QUIT").await;
        Ok(())
    }

    async fn banner<S: AsyncRead + Unpin>(
        &self,
        attempt: &mut Attempt<'_>,
        dialogue: &mut Dialogue<S>,
    ) -> Result<(), Failure> {
        self.mail.greeted(attempt, dialogue).await?;
        let reply = self.reply(attempt, dialogue).await?;
        let first = reply.lines.first().map_or("", String::as_str);
        attempt.facts.text(FactKey::Banner, &format!("{} {first}", reply.code));
        if reply.code == 220 {
            return Ok(());
        }
        Err(self.mail.failure(Cause::ProtocolError, &format!("turns clients away: {}", reply.said(&[]))))
    }

    async fn hello<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        attempt: &mut Attempt<'_>,
        dialogue: &mut Dialogue<S>,
        name: &str,
    ) -> Result<Reply, Failure> {
        let reply = self.ask(attempt, dialogue, &format!("EHLO {name}")).await?;
        if reply.code == 250 {
            return Ok(reply);
        }
        Err(self.mail.failure(Cause::ProtocolError, &format!("refuses EHLO: {}", reply.said(&[]))))
    }

    async fn log_in(
        &self,
        attempt: &mut Attempt<'_>,
        dialogue: &mut Protected,
        offers: &Reply,
        credentials: &Credentials,
    ) -> Result<(), Failure> {
        let mechanisms = offers.offer("AUTH").unwrap_or_default();
        let offered = |name: &str| mechanisms.iter().any(|mechanism| mechanism == name);
        let (plain, password) = (credentials.plain(), encoded(&credentials.password));
        let hidden = [plain.as_str(), password.as_str(), credentials.password.as_str()];
        let reply = if offered("PLAIN") {
            self.ask(attempt, dialogue, &format!("AUTH PLAIN {}", plain.as_str())).await?
        } else if offered("LOGIN") {
            let mut reply = self.ask(attempt, dialogue, "AUTH LOGIN").await?;
            for word in [&encoded(&credentials.user), &password] {
                if reply.code != 334 {
                    break;
                }
                reply = self.ask(attempt, dialogue, word).await?;
            }
            reply
        } else {
            let offered =
                if mechanisms.is_empty() { "no login".to_owned() } else { quote(&mechanisms.join(", "), &[]) };
            let text = format!("offers neither PLAIN nor LOGIN to log in by, but {offered}");
            return Err(self.mail.failure(Cause::LoginRefused, &text));
        };
        if reply.code == 235 {
            return Ok(());
        }
        let text = format!("refused the login of {:?}: {}", credentials.user, reply.said(&hidden));
        Err(self.mail.failure(Cause::LoginRefused, &text))
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        attempt: &mut Attempt<'_>,
        dialogue: &mut Dialogue<S>,
        command: &str,
    ) -> Result<Reply, Failure> {
        self.mail.send(dialogue, command).await?;
        self.reply(attempt, dialogue).await
    }

    /// One reply; its code is the status.
    async fn reply<S: AsyncRead + Unpin>(
        &self,
        attempt: &mut Attempt<'_>,
        dialogue: &mut Dialogue<S>,
    ) -> Result<Reply, Failure> {
        let mut reply: Option<Reply> = None;
        loop {
            let line = self.mail.line(dialogue).await?;
            let parsed = parse(&line).filter(|(code, ..)| reply.as_ref().is_none_or(|reply| reply.code == *code));
            let Some((code, last, text)) = parsed else {
                let text = format!("does not speak SMTP: {}", quote(&line, &[]));
                return Err(self.mail.failure(Cause::ProtocolError, &text));
            };
            let whole = reply.get_or_insert_with(|| Reply { code, lines: Vec::new() });
            whole.lines.push(text.to_owned());
            if last {
                attempt.facts.status = Some(code);
                return Ok(reply.unwrap_or(Reply { code, lines: Vec::new() }));
            }
        }
    }
}

/// A line's code, whether it is the reply's last, and its text.
fn parse(line: &str) -> Option<(u16, bool, &str)> {
    let (code, rest) = line.split_at_checked(3)?;
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let code: u16 = code.parse().ok().filter(|code| (200..600).contains(code))?;
    match rest.as_bytes().first() {
        None => Some((code, true, "")),
        Some(b' ') => Some((code, true, &rest[1..])),
        Some(b'-') => Some((code, false, &rest[1..])),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
