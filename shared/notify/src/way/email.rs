//! Mail over SMTP: text and HTML. One mail goes to every receiver. Where the server takes some of them and wants others to be tried later (4xx: greylisting, a full
//! mailbox), the next attempt is for those alone.
//!
//! Its id is made from the notice's key, so that a mailbox can tell what comes twice; it refers to its incident, which becomes one thread.

mod lines;

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Quit, Rcpt};
use lettre::transport::smtp::extension::{ClientId, MailParameter, Extension};
use lettre::transport::smtp::Error;
use lettre::Message;
use sitepulse_model::channel::setting::Security;
use sitepulse_model::channel::way::{Email, host_and_port};
use sitepulse_model::time::UtcMicros;
use tokio::time::{Instant, timeout_at};

use self::lines::Lines;
use super::Task;
use crate::egress::Egress;
use crate::http::line;
use crate::letter::Letter;
use crate::mail::Mail;
use crate::opened::Opened;
use crate::{Sent, Trouble, escape};

/// How much of a server's answer is told, in characters.
const TOLD_CHARS_MAX: usize = 200;
/// How long a server may take to say goodbye: the mail is its already.
const GOODBYE: Duration = Duration::from_secs(1);

/// Sends one mail.
pub(super) async fn send(way: &Email, task: &Task<'_>) -> Result<Sent, Trouble> {
    let mail = Written::of(way, task)?;
    within(way, (task.egress, task.opened), &mail, task.until).await
}

/// Sends one mail to somebody who is no receiver of the channel.
pub(crate) async fn send_mail(
    way: &Email,
    through: (&Egress, &Opened),
    mail: &Mail,
    now: UtcMicros,
    until: Instant,
) -> Result<Sent, Trouble> {
    let mail = Written::to_one(way, mail, now)?;
    within(way, through, &mail, until).await
}

async fn within(way: &Email, through: (&Egress, &Opened), mail: &Written, until: Instant) -> Result<Sent, Trouble> {
    let late = || Trouble::again(format!("{} did not take the mail in time; it may have it", way.server));
    timeout_at(until, exchange(way, through, mail)).await.unwrap_or_else(|_| Err(late()))
}

/// A mail as it goes out.
struct Written {
    from: Address,
    to: Vec<Address>,
    bytes: Vec<u8>,
}

impl Written {
    fn of(way: &Email, task: &Task<'_>) -> Result<Self, Trouble> {
        let mailbox = |text: &str| {
            text.parse::<Mailbox>().map_err(|error| Trouble::refused(format!("{text:?} is no mail address: {error}")))
        };
        let from = mailbox(&way.from)?;
        let receivers: Vec<Mailbox> = way.to.iter().map(|one| mailbox(one)).collect::<Result<_, _>>()?;
        let letter = task.letter();
        let domain = from.email.domain().to_owned();
        let key: String = task.notice.key.replace('/', ".");
        let thread = format!("<{}.{}@{domain}>", task.notice.incident.id, task.channel.id);
        let mut mail = Message::builder()
            .from(from.clone())
            .subject(letter.subject.clone())
            .date(UNIX_EPOCH + Duration::from_micros(task.now.0.max(0).cast_unsigned()))
            .message_id(Some(format!("<{key}@{domain}>")))
            .in_reply_to(thread.clone())
            .references(thread);
        for receiver in &receivers {
            mail = mail.to(receiver.clone());
        }
        let mail = mail
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .multipart(MultiPart::alternative().singlepart(part(ContentType::TEXT_PLAIN, letter.text())).singlepart(part(
                ContentType::TEXT_HTML,
                html(&letter),
            )))
            .map_err(|error| Trouble::refused(format!("no mail can be written: {error}")))?;
        let only = &task.notice.context.only;
        let left = |address: &Address| only.is_empty() || only.contains(&address.to_string());
        let mut to: Vec<Address> = receivers.into_iter().map(|receiver| receiver.email).collect();
        // Whom a changed channel names no more needs nothing; one that names others only is told as a whole.
        if to.iter().any(left) {
            to.retain(left);
        }
        Ok(Self { from: from.email, to, bytes: mail.formatted() })
    }

    /// A mail of plain text to one address.
    fn to_one(way: &Email, mail: &Mail, now: UtcMicros) -> Result<Self, Trouble> {
        let bad = |what: &str, error: &dyn std::fmt::Display| Trouble::refused(format!("{what} is no mail address: {error}"));
        let from: Mailbox = way.from.parse().map_err(|error| bad("the channel's sender", &error))?;
        let to: Address = mail.to.parse().map_err(|error| bad("the receiver", &error))?;
        let domain = from.email.domain().to_owned();
        let header = |name: &'static str, value: String| HeaderValue::new(HeaderName::new_from_ascii_str(name), value);
        let mut message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(mail.subject.clone())
            .date(UNIX_EPOCH + Duration::from_micros(now.0.max(0).cast_unsigned()))
            .message_id(Some(format!("<{}@{domain}>", mail.key)))
            .raw_header(header("Auto-Submitted", "auto-generated".to_owned()));
        if let Some(link) = &mail.unsubscribe {
            message = message
                .raw_header(header("List-Unsubscribe", format!("<{link}>")))
                .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
        }
        let message = message
            .singlepart(part(ContentType::TEXT_PLAIN, mail.text.clone()))
            .map_err(|error| Trouble::refused(format!("no mail can be written: {error}")))?;
        Ok(Self { from: from.email, to: vec![to], bytes: message.formatted() })
    }
}

fn part(kind: ContentType, body: String) -> SinglePart {
    SinglePart::builder().header(kind).body(body)
}

/// The facts as a table. No pictures, no styles that a mail program would have to fetch.
pub(crate) fn html(letter: &Letter) -> String {
    let colour = letter.tone.colour();
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{subject}</title></head>\n\
         <body style=\"font-family:sans-serif;color:#212121\">\n\
         <h1 style=\"font-size:18px;border-left:6px solid #{colour:06x};padding-left:10px\">{subject}</h1>\n<p>{}</p>\n",
        letter.language,
        escape::html(&letter.lead),
        subject = escape::html(&letter.subject),
    );
    out.push_str("<table cellpadding=\"4\">\n");
    for (label, value) in &letter.facts {
        out.push_str(&format!(
            "<tr><th align=\"left\" valign=\"top\">{}</th><td>{}</td></tr>\n",
            escape::html(label),
            escape::html(value)
        ));
    }
    out.push_str("</table>\n");
    for (label, link) in letter.links() {
        out.push_str(&format!("<p><a href=\"{}\">{}</a></p>\n", escape::html(link), escape::html(label)));
    }
    out.push_str("</body></html>\n");
    out
}

async fn exchange(way: &Email, (egress, opened): (&Egress, &Opened), mail: &Written) -> Result<Sent, Trouble> {
    let bad_server = || Trouble::refused(format!("{:?} is no server: write HOST:PORT, like smtp.example:587", way.server));
    let (host, port) = host_and_port(&way.server).ok_or_else(bad_server)?;
    let hello = ClientId::Domain(mail.from.domain().to_owned());
    let stream = egress.dial(host, port).await?;
    let here = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
    let security = way.security.unwrap_or(Security::Starttls);
    let stream: Box<dyn AsyncTokioStream> = match security {
        Security::Tls => Box::new(Lines::new(egress.secure(host, stream).await?)),
        Security::Plain if !here => {
            return Err(Trouble::denied(format!("{host} is not this machine: mail goes there with \"starttls\" or \"tls\"")));
        }
        Security::Starttls | Security::Plain => Box::new(Lines::new(stream)),
    };
    let failed = |step: &str| {
        let server = way.server.clone();
        let step = step.to_owned();
        // The mail is not the server's yet: a server that is being changed says no as well.
        move |error: Error| early(&server, &step, &error)
    };
    let mut server = AsyncSmtpConnection::connect_with_transport(stream, &hello).await.map_err(failed("the greeting"))?;
    if security == Security::Starttls {
        if !server.can_starttls() {
            return Err(Trouble::denied(format!("{} offers no STARTTLS: use security = \"tls\" on its port for TLS", way.server)));
        }
        let tls = parameters(host, egress).map_err(failed("TLS"))?;
        server.starttls(tls, &hello).await.map_err(failed("STARTTLS"))?;
    }
    if let (Some(user), Some(password)) = (&way.user, &way.password) {
        let user = opened.phrase(user).to_owned();
        let credentials = Credentials::new(user, opened.credential(password).to_owned());
        // A mail server whose directory is away for a minute says the same as one that was given a wrong password.
        server.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(failed("signing in"))?;
    }
    let mut parameters = Vec::new();
    if mail.to.iter().chain([&mail.from]).any(|address| !address.to_string().is_ascii()) {
        if !server.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(Trouble::denied(format!("{} takes no addresses beyond ASCII: use others", way.server)));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    server.command(MailFrom::new(Some(mail.from.clone()), parameters)).await.map_err(failed("the sender"))?;
    // Who is accepted is told: one address that is gone must not keep the others asleep.
    let (mut accepted, mut refused) = (0, Vec::new());
    for receiver in &mail.to {
        match server.command(Rcpt::new(receiver.clone(), Vec::new())).await {
            Ok(_) => accepted += 1,
            Err(error) if error.status().is_some() => refused.push((receiver, error)),
            Err(error) => return Err(early(&way.server, "a receiver", &error)),
        }
    }
    if accepted == 0 {
        let (_, worst) = refused.iter().find(|(_, error)| error.is_transient()).or(refused.first()).ok_or_else(bad_server)?;
        let trouble = early(&way.server, "every receiver", worst);
        return Err(if is_nobody(worst) { Trouble::nobody(trouble.why) } else { trouble });
    }
    server.command(Data).await.map_err(failed("the mail"))?;
    let answer = server.message(&mail.bytes).await.map_err(|error| of_mail(&way.server, &error))?;
    // It is delivered, whatever becomes of the goodbye.
    drop(tokio::time::timeout(GOODBYE, server.command(Quit)).await);
    let said: Vec<&str> = answer.message().collect();
    let mut note = line(format!("{} {}", answer.code(), said.join(" ")).as_bytes(), TOLD_CHARS_MAX);
    if !refused.is_empty() {
        let named: Vec<String> = refused.iter().map(|(who, error)| format!("{who} ({})", told(error))).collect();
        note = format!("{note}; refused: {}", line(named.join(", ").as_bytes(), TOLD_CHARS_MAX));
    }
    let left: Vec<String> =
        refused.iter().filter(|(_, error)| error.is_transient()).map(|(who, _)| who.to_string()).collect();
    if !left.is_empty() {
        return Ok(Sent::Partly { note: format!("{note}; tried again for {}", left.join(", ")), left });
    }
    Ok(Sent::Delivered { note })
}

fn parameters(host: &str, egress: &Egress) -> Result<TlsParameters, Error> {
    let store = if egress.mozilla { CertificateStore::WebpkiRoots } else { CertificateStore::None };
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(store);
    for root in egress.roots.iter() {
        builder = builder.add_root_certificate(Certificate::from_der(root.to_vec())?);
    }
    builder.build()
}

/// Whether a server says that there is no such mailbox (RFC 3463: 5.1.1 to 5.1.3, 5.1.6, 5.1.10, 5.2.1). A bare 550 may as well be a sender that is not trusted.
fn is_nobody(error: &Error) -> bool {
    let text = told(error);
    let said = text.split_once("): ").map_or("", |(_, said)| said);
    let code = said.split_whitespace().next().unwrap_or_default();
    error.is_permanent() && ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"].contains(&code)
}

/// What a server said, or how the way to it broke.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    line(text.as_bytes(), TOLD_CHARS_MAX)
}

/// What went wrong before the server had the mail.
fn early(server: &str, step: &str, error: &Error) -> Trouble {
    let why = format!("{server}: {step}: {}", told(error));
    if error.is_permanent() || error.is_client() { Trouble::denied(why) } else { Trouble::again(why) }
}

/// What the server makes of the mail itself: what it refuses for good it refuses again.
fn of_mail(server: &str, error: &Error) -> Trouble {
    let why = format!("{server}: the mail: {}", told(error));
    if error.is_permanent() { Trouble::refused(why) } else { Trouble::again(why) }
}
