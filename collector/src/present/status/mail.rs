//! Mails to subscribers: what happened is put into words and queued ([`crate::subscribers`]), what is queued is sent.
//!
//! It looks every few seconds. An incident that is over before its beginning was written is not written of at all; one that opens again is a new beginning. Nothing private is
//! in a mail: it says what the page says.
//!
//! Limits: [`OUT_MAX`] mails at a time, each with [`DEADLINE`]. Addresses go nowhere but to the mail server: what that says is not logged, for it repeats them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use sitepulse_daemon::clock;
use sitepulse_model::channel::Channel;
use sitepulse_model::delivery::Answer;
use sitepulse_model::status_page::StatusPage;
use sitepulse_model::time::UtcMicros;
use sitepulse_notify::Sent;
use sitepulse_notify::mail::Mail;
use tokio::sync::watch;

use super::page::what;
use super::{Wall, names};
use crate::app::AppError;
use crate::present::Present;
use crate::present::figure;
use crate::present::http::escape;
use crate::present::text::Language;
use crate::status::{self, Episode, Planned};
use crate::subscribers::{CONFIRM_US, DueMail, Link, News, Signer, channel_of, sealed_as};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3);
/// How long an attempt may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// Most mails on their way at a time.
const OUT_MAX: usize = 8;
/// What is over is let go of so often, in microseconds.
const EXPIRES_US: u64 = 3_600_000_000;

/// Writes and sends until `stopping` turns true or the writer is gone.
pub async fn run(present: Present, mut stopping: watch::Receiver<bool>) {
    let mut expired: Option<u64> = None;
    loop {
        let pages: Vec<String> = {
            let book = present.app().book();
            let living = book.objects().status_pages.living();
            living.map(|(id, _)| id.to_owned()).filter(|id| channel_of(&book, id).is_some()).collect()
        };
        if !pages.is_empty() {
            let turn = async {
                look(&present, &pages).await?;
                while send(&present).await? > 0 {}
                let now = clock::monotonic().0;
                if expired.is_none_or(|at| now.saturating_sub(at) > EXPIRES_US) {
                    expired = Some(now);
                    present.app().writer().run(|engine| engine.expire_mails(clock::now())).await??;
                }
                Ok::<(), AppError>(())
            };
            tokio::select! {
                turned = turn => if let Err(error) = turned {
                    tracing::warn!("mails of status pages wait: {error}");
                },
                // What is out stays leased, and is sent once more after the next start.
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// Queues what happened.
async fn look(present: &Present, pages: &[String]) -> Result<(), AppError> {
    let app = present.app();
    let told = status::told(app, clock::now()).await?;
    for id in pages {
        let now = clock::now();
        let Some(page) = app.book().objects().status_pages.current(id).map(|page| page.body.clone()) else { continue };
        let (episodes, planned) = status::news(app, &page, &told, now);
        let news = news(&page, present.public_url(), &episodes, &planned);
        let page_id = id.clone();
        let written = app.writer().run(move |engine| engine.post_news(&page_id, &news, now)).await??;
        if written > 0 {
            tracing::info!(page = id.as_str(), mails = written, "subscribers of a status page are told");
        }
    }
    Ok(())
}

/// What subscribers are told of these.
fn news(page: &StatusPage, public: &str, episodes: &[Episode], planned: &[Planned]) -> Vec<News> {
    let wall = Wall::of(page);
    let address = |lang: Language| format!("{public}/status/{}?lang={}", escape(&page.id), lang.tag());
    let mut all = Vec::new();
    for one in episodes {
        let key = format!("incident/{}/{}", super::hex(&one.key), one.reopened);
        let title = |lang: Language| {
            let words = lang.texts().status;
            (words.of)(&what(one, words), &names(page, &one.items, lang))
        };
        let began = format!("{key}/opened");
        let mut add =
            |mail: String, after: Option<String>, at: UtcMicros, text: &dyn Fn(Language) -> (String, String)| {
                let texts = Language::ALL.map(|lang| {
                    let (subject, text) = text(lang);
                    let subject = format!("[{}] {subject}", page.title(lang.tag()));
                    (lang.tag(), subject, format!("{text}\n\n{}\n", address(lang)))
                });
                all.push(News { mail, after, at, texts: texts.into() });
            };
        match one.resolved {
            None => add(began, None, one.opened, &|lang| {
                let words = lang.texts().subscribe;
                let title = title(lang);
                let text = format!("{title}\n{}", (words.mail_since)(&wall.text(one.since)));
                (title, text)
            }),
            Some(end) => add(format!("{key}/resolved"), Some(began), end, &|lang| {
                let (words, day) = (lang.texts().subscribe, lang.texts().status.day_sign);
                let title = (words.mail_resolved)(&title(lang));
                let length = figure::length(end.us_since(one.since).max(0) as f64 / 1e6, day);
                let text = (words.mail_until)(&wall.text(one.since), &wall.text(end), &length);
                (title.clone(), format!("{title}\n{text}"))
            }),
        }
    }
    for one in planned {
        let texts = Language::ALL.map(|lang| {
            let words = lang.texts().status;
            let title = (words.window_title)(&names(page, &one.items, lang));
            let subject = format!("[{}] {title}", page.title(lang.tag()));
            let when = (words.from_to)(&wall.text(one.span.from), &wall.text(one.span.to));
            (lang.tag(), subject, format!("{title}\n{when}\n\n{}\n", address(lang)))
        });
        let mail = format!("window/{}", super::hex(&one.key));
        all.push(News { mail, after: None, at: one.announced, texts: texts.into() });
    }
    all
}

/// Sends what is due; how many mails that were.
async fn send(present: &Present) -> Result<usize, AppError> {
    let app = present.app();
    let (mails, signer) = app
        .writer()
        .run(|engine| Ok::<_, AppError>((engine.take_mails(OUT_MAX, clock::now())?, engine.subscription_signer()?)))
        .await??;
    let count = mails.len();
    let mut out: FuturesUnordered<_> = mails.into_iter().map(|mail| attempt(present, &signer, mail)).collect();
    let mut done = Vec::with_capacity(count);
    while let Some(one) = out.next().await {
        done.push(one);
    }
    if !done.is_empty() {
        app.writer().run(move |engine| engine.mark_mails(&done, clock::now())).await??;
    }
    Ok(count)
}

async fn attempt(present: &Present, signer: &Signer, due: DueMail) -> (DueMail, Answer) {
    let Some((channel, secrets, mail)) = prepare(present, signer, &due) else { return (due, Answer::Refused) };
    let secret = |name: &str| secrets.get(name).cloned();
    let sent = present.sender().mail(&channel, &secret, &mail, DEADLINE).await;
    let answer = match sent {
        Sent::Delivered { .. } => Answer::Taken,
        Sent::Again { after, .. } => {
            Answer::Later { after_us: after.map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX)) }
        }
        Sent::Refused { .. } => {
            let (page, who) = (&due.key.page, &due.key.subscriber);
            tracing::warn!(
                page,
                subscriber = who,
                channel = channel.id,
                "the mail server refuses a mail to a subscriber"
            );
            Answer::Refused
        }
    };
    (due, answer)
}

type Prepared = (Channel, BTreeMap<String, String>, Mail);

/// The mail as it goes out; `None` where the page sends none any more, or the address does not open with this machine's key.
fn prepare(present: &Present, signer: &Signer, due: &DueMail) -> Option<Prepared> {
    let book = present.app().book();
    let page = &book.objects().status_pages.current(&due.key.page)?.body;
    let channel = channel_of(&book, &due.key.page)?;
    let names = channel.secrets();
    let secrets = names.into_iter().filter_map(|name| book.vault().value(&name).map(|value| (name, value))).collect();
    let Some(to) = book.vault().unseal_kept(&sealed_as(&due.key.subscriber), &due.sealed) else {
        tracing::error!(page = page.id, "a subscriber's address does not open with this machine's seal key");
        return None;
    };
    let lang = Language::of_tag(&due.language).unwrap_or(Language::English);
    let words = lang.texts().subscribe;
    let link = |what: &str, token: String| {
        format!("{}/status/{}/{what}/{token}?lang={}", present.public_url(), escape(&page.id), lang.tag())
    };
    let (text, unsubscribe) = if due.key.mail.starts_with("confirm/") {
        let until =
            due.key.mail.rsplit('/').next()?.parse::<i64>().ok()?.saturating_mul(1_000_000).saturating_add(CONFIRM_US);
        let token = signer.token(Link::Confirm, &page.id, &due.key.subscriber, Some(UtcMicros(until)));
        let link = link("confirm", token);
        (format!("{}\n\n{}\n{link}\n\n{}\n", due.body, words.mail_confirm_link, words.mail_ignore), None)
    } else {
        let link = link("unsubscribe", signer.token(Link::End, &page.id, &due.key.subscriber, None));
        let title = page.title(lang.tag());
        (format!("{}\n-- \n{}\n{link}\n", due.body, (words.mail_end)(title)), Some(link))
    };
    let key = format!("{}.{}.{}", page.id, due.key.subscriber, due.key.mail.replace('/', "."));
    let subject = due.subject.clone();
    Some((channel, secrets, Mail { to, from_name: None, subject, text, key, unsubscribe }))
}
