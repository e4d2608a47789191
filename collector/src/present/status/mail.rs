//! Mails to subscribers: what happened is put into words and queued ([`crate::subscribers`]), what is queued is sent.
//!
//! It looks when something changed, within [`EVERY`], and each [`LOOKS_US`] anyway. What began longer than [`FRESH_US`] ago and is over before its beginning was written is not
//! written of at all: a check that comes to a page brings no old stories. An incident that opens again is a new beginning. Maintenance is announced [`AHEAD_US`] before it begins.
//! Nothing private is in a mail: it says what the page says.
//!
//! Limits: [`BATCH`] mails are handed out at a time and [`OUT_MAX`] are out, each with [`DEADLINE`]; while a mail server takes none it is left alone, for [`PAUSE_MAX`] at most.
//! Addresses go nowhere but to the mail server. At shutdown what is out has [`DRAIN`]; what does not end in it is due at the next start.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use sitepulse_daemon::clock;
use sitepulse_model::channel::Channel;
use sitepulse_model::delivery::Answer;
use sitepulse_model::status_page::StatusPage;
use sitepulse_model::time::UtcMicros;
use sitepulse_notify::Sent;
use sitepulse_notify::mail::{Mail, Mailed};
use tokio::sync::watch;

use super::page::what;
use super::{Wall, names};
use crate::app::AppError;
use crate::failpoint;
use crate::present::Present;
use crate::present::figure;
use crate::present::http::{escape, stopped};
use crate::present::text::Language;
use crate::status::cancelled::{self, Cancelled};
use crate::status::{self, Episode, Planned};
use crate::subscribers::{self, CONFIRM_US, DueMail, Link, News, Outcome, Signer, channel_of, sealed_as};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3);
/// How long an attempt may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// Most mails on their way at a time.
const OUT_MAX: usize = 8;
/// Most mails that are handed out at a time: all of them are tried within the time that they are leased for.
const BATCH: usize = 32;
/// How often it looks where nothing changed, in microseconds: windows come nearer by themselves.
const LOOKS_US: u64 = 60_000_000;
/// How old an incident may be that began and ended unseen and is told of all the same, in microseconds: 1 h.
const FRESH_US: i64 = 3_600_000_000;
/// How long before it begins maintenance is announced, in microseconds: 3 days.
const AHEAD_US: i64 = 3 * 86_400_000_000;
/// How long a mail server that takes nothing is left alone: from so long, twice as long each time.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long what is out may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(3);
/// What is over is let go of so often, in microseconds.
const EXPIRES_US: u64 = 3_600_000_000;

/// Writes and sends until `stopping` turns true or the writer is gone.
pub async fn run(present: Present, stopping: watch::Receiver<bool>) {
    // No other process holds this store: what was handed out went down with the one before.
    if let Err(error) = release(&present).await {
        tracing::warn!("mails of status pages that were out at the last stop wait for their lease to end: {error}");
    }
    let mut desk = Desk { looked: None, expired: None, resume: None, pause: PAUSE_MIN };
    loop {
        let mut stop = stopping.clone();
        let (turned, ends) = {
            let mut turn = pin!(desk.turn(&present, &stopping));
            let first = tokio::select! {
                turned = &mut turn => Some(turned),
                () = stopped(&mut stop) => None,
            };
            match first {
                Some(turned) => (turned, false),
                None => (tokio::time::timeout(DRAIN, turn).await.unwrap_or(Ok(())), true),
            }
        };
        if let Err(error) = turned {
            tracing::warn!("mails of status pages wait: {error}");
        }
        if ends {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

async fn release(present: &Present) -> Result<(), AppError> {
    let released = present.app().writer().run(|engine| engine.release_mails(clock::now())).await??;
    if released > 0 {
        tracing::info!(
            "{released} mails of status pages were out when the collector ended: they are sent, maybe once more"
        );
    }
    Ok(())
}

/// What is remembered from turn to turn. Instants are those of the monotonic clock, in microseconds.
struct Desk {
    /// At which change, and when, it looked last.
    looked: Option<(u64, u64)>,
    expired: Option<u64>,
    /// Until when the mail server is left alone.
    resume: Option<u64>,
    pause: Duration,
}

impl Desk {
    async fn turn(&mut self, present: &Present, stopping: &watch::Receiver<bool>) -> Result<(), AppError> {
        let app = present.app();
        let pages: Vec<String> = {
            let book = app.book();
            let living = book.objects().status_pages.living();
            living.map(|(id, _)| id.to_owned()).filter(|id| channel_of(&book, id).is_some()).collect()
        };
        let now = clock::monotonic().0;
        if self.expired.is_none_or(|at| now.saturating_sub(at) > EXPIRES_US) {
            self.expired = Some(now);
            app.writer().run(|engine| engine.expire_mails(clock::now())).await??;
        }
        if pages.is_empty() {
            return Ok(());
        }
        let tick = *app.subscribe().borrow();
        let known = self.looked.is_some_and(|(seen, at)| seen == tick && now.saturating_sub(at) < LOOKS_US);
        if !known {
            look(present, &pages).await?;
            self.looked = Some((tick, now));
        }
        while !*stopping.borrow() && self.resume.is_none_or(|at| clock::monotonic().0 >= at) {
            let batch = send(present).await?;
            if batch.tried == 0 {
                break;
            }
            if batch.failed && !batch.taken {
                self.resume = Some(clock::monotonic().0 + u64::try_from(self.pause.as_micros()).unwrap_or(u64::MAX));
                self.pause = (self.pause * 2).min(PAUSE_MAX);
            } else {
                (self.resume, self.pause) = (None, PAUSE_MIN);
            }
        }
        Ok(())
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
        let cancelled = cancelled::of(app, &page, AHEAD_US, now);
        let mut news = news(&page, present.public_url(), (&episodes, &planned), now);
        news.extend(taken_back(&page, present.public_url(), &cancelled));
        // Mostly there is nothing, and then nobody who writes waits for it.
        let (page_id, all) = (id.clone(), news.clone());
        let found = app.read_in_background(move |tables| {
            let told = subscribers::counts(tables, &page_id)?.confirmed == 0;
            Ok(!told && !subscribers::untold(tables, &page_id, &all)?.is_empty())
        });
        if !found.await? {
            continue;
        }
        let page_id = id.clone();
        let written = app.writer().run(move |engine| engine.post_news(&page_id, &news, now)).await??;
        if written > 0 {
            tracing::info!(page = id.as_str(), mails = written, "subscribers of a status page are told");
        }
    }
    Ok(())
}

/// Where a page is.
fn address(public: &str, page: &StatusPage, lang: Language) -> String {
    format!("{public}/status/{}?lang={}", escape(&page.id), lang.tag())
}

/// What subscribers are told of maintenance that does not come as announced: those who were told that it would.
fn taken_back(page: &StatusPage, public: &str, cancelled: &[Cancelled]) -> Vec<News> {
    let wall = Wall::of(page);
    let one = |one: &Cancelled| {
        let texts = Language::ALL.map(|lang| {
            let (words, told) = (lang.texts().status, lang.texts().subscribe);
            let what = (words.window_title)(&names(page, &one.items, lang));
            let title = if one.begun() { (told.mail_ended_early)(&what) } else { (told.mail_cancelled)(&what) };
            let subject = format!("[{}] {title}", page.title(lang.tag()));
            let when = (words.from_to)(&wall.text(one.span.from), &wall.text(one.span.to));
            (
                lang.tag(),
                subject,
                format!("{title}\n{}\n\n{}\n", (told.mail_planned)(&when), address(public, page, lang)),
            )
        });
        let announcement = format!("window/{}", super::hex(&one.key));
        let mail = subscribers::taken_back(&announcement);
        News { mail, after: Some(announcement), again: true, at: one.announced, texts: texts.into() }
    };
    cancelled.iter().map(one).collect()
}

/// What subscribers are told of these.
fn news(page: &StatusPage, public: &str, (episodes, planned): (&[Episode], &[Planned]), now: UtcMicros) -> Vec<News> {
    let wall = Wall::of(page);
    let address = |lang: Language| address(public, page, lang);
    let mut all = Vec::new();
    for one in episodes {
        // The order of names is the order of mails that are written at the same time.
        let incident = format!("incident/{}", super::hex(&one.key));
        let key = format!("{incident}/{}", one.reopened);
        let title = |lang: Language| {
            let words = lang.texts().status;
            (words.of)(&what(one, words), &names(page, &one.items, lang))
        };
        let began = format!("{key}/0-opened");
        let mut add =
            |mail: String, after: Option<String>, at: UtcMicros, text: &dyn Fn(Language) -> (String, String)| {
                let texts = Language::ALL.map(|lang| {
                    let (subject, text) = text(lang);
                    let subject = format!("[{}] {subject}", page.title(lang.tag()));
                    (lang.tag(), subject, format!("{text}\n\n{}\n", address(lang)))
                });
                all.push(News { mail, after, again: false, at, texts: texts.into() });
            };
        let is_told = one.resolved.is_none() || now.us_since(one.opened) < FRESH_US;
        if is_told {
            add(began.clone(), None, one.opened, &|lang| {
                let words = lang.texts().subscribe;
                let title = title(lang);
                let text = format!("{title}\n{}", (words.mail_since)(&wall.text(one.since)));
                (title, text)
            });
        }
        if let Some(end) = one.resolved {
            add(format!("{key}/2-resolved"), Some(began.clone()), one.opened, &|lang| {
                let (words, day) = (lang.texts().subscribe, lang.texts().status.day_sign);
                let title = (words.mail_resolved)(&title(lang));
                let length = figure::length(end.us_since(one.since).max(0) as f64 / 1e6, day);
                let text = (words.mail_until)(&wall.text(one.since), &wall.text(end), &length);
                (title.clone(), format!("{title}\n{text}"))
            });
        }
        for (at, note) in &one.notes {
            // One of an incident that opened again is not told again.
            add(format!("{incident}/n-{}", at.0), Some(began.clone()), one.opened, &|lang| {
                let title = (lang.texts().subscribe.mail_update)(&title(lang));
                (title.clone(), format!("{title}\n{}\n\n{note}", wall.text(*at)))
            });
        }
    }
    for one in planned.iter().filter(|one| one.span.from.us_since(now) <= AHEAD_US) {
        let texts = Language::ALL.map(|lang| {
            let words = lang.texts().status;
            let title = (words.window_title)(&names(page, &one.items, lang));
            let subject = format!("[{}] {title}", page.title(lang.tag()));
            let when = (words.from_to)(&wall.text(one.span.from), &wall.text(one.span.to));
            (lang.tag(), subject, format!("{title}\n{when}\n\n{}\n", address(lang)))
        });
        let mail = format!("window/{}", super::hex(&one.key));
        // Whoever confirmed before it was told of is told.
        let at = one.announced.max(one.span.from.plus_us(-AHEAD_US));
        all.push(News { mail, after: None, again: true, at, texts: texts.into() });
    }
    all
}

/// What a batch of mails came to.
#[derive(Default)]
struct Batch {
    tried: usize,
    /// Whether the mail server took one, or said of one that nobody has its address.
    taken: bool,
    /// Whether it did not take one.
    failed: bool,
}

/// Sends what is due, at most [`BATCH`]. What ends is marked at once, with whatever ended meanwhile.
async fn send(present: &Present) -> Result<Batch, AppError> {
    let app = present.app();
    let taken = app.writer().run(|engine| {
        let mails = engine.take_mails(BATCH, clock::now())?;
        let signer = if mails.is_empty() { None } else { Some(engine.subscription_signer()?) };
        Ok::<_, AppError>((mails, signer))
    });
    let (mails, Some(signer)) = taken.await?? else { return Ok(Batch::default()) };
    let mut batch = Batch { tried: mails.len(), ..Batch::default() };
    let mut told: Option<String> = None;
    let attempts = stream::iter(mails).map(|mail| attempt(present, &signer, mail)).buffer_unordered(OUT_MAX);
    let mut ended = pin!(attempts.ready_chunks(OUT_MAX));
    while let Some(some) = ended.next().await {
        let mut done = Vec::with_capacity(some.len());
        for (mail, outcome, why) in some {
            match outcome {
                Outcome::Answer(Answer::Taken) | Outcome::Nobody => batch.taken = true,
                Outcome::Answer(Answer::Later { .. } | Answer::Denied | Answer::Refused) => batch.failed = true,
            }
            told = told.or(why);
            done.push((mail, outcome));
        }
        let forgotten = app.writer().run(move |engine| engine.mark_mails(&done, clock::now())).await??;
        if forgotten > 0 {
            tracing::info!(
                "{forgotten} subscribers of status pages are forgotten: their mail servers say that nobody has the address"
            );
        }
    }
    if let Some(why) = told {
        tracing::warn!("a mail to a subscriber of a status page is not taken: {why}");
    }
    Ok(batch)
}

/// Makes one attempt; tells why it failed, without the address.
async fn attempt(present: &Present, signer: &Signer, due: DueMail) -> (DueMail, Outcome, Option<String>) {
    let (channel, secrets, mail) = match prepare(present, signer, &due) {
        Ok(prepared) => prepared,
        // The page sends none now: it may again.
        Err(why) => return (due, Outcome::Answer(Answer::Later { after_us: None }), Some(why)),
    };
    let secret = |name: &str| secrets.get(name).cloned();
    failpoint::pass("status_mail.send");
    let sender = present.sender();
    let sent = AssertUnwindSafe(sender.mail(&channel, &secret, &mail, DEADLINE)).catch_unwind().await;
    failpoint::pass("status_mail.sent");
    let later = Answer::Later { after_us: None };
    let (answer, why) = match sent {
        Ok(Mailed::Nobody) => return (due, Outcome::Nobody, None),
        Ok(Mailed::Sent(Sent::Delivered { .. })) => (Answer::Taken, None),
        Ok(Mailed::Sent(Sent::Again { why, after })) => {
            let after_us = after.map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
            (Answer::Later { after_us }, Some(why))
        }
        // A server that is set up wrongly refuses everything: subscribers must not pay for that, so these are tried for a day too.
        Ok(Mailed::Sent(Sent::Denied { why } | Sent::Refused { why } | Sent::Partly { note: why, .. })) => {
            (later, Some(why))
        }
        Err(_) => (later, Some("internal error: the transport panicked, see the log".to_owned())),
    };
    (due, Outcome::Answer(answer), why.map(|why| format!("channel {}: {why}", channel.id)))
}

type Prepared = (Channel, BTreeMap<String, String>, Mail);

/// The mail as it goes out.
fn prepare(present: &Present, signer: &Signer, due: &DueMail) -> Result<Prepared, String> {
    let book = present.app().book();
    let id = &due.key.page;
    let gone = || format!("status page {id} is gone, or names no channel of kind email any more");
    let page = &book.objects().status_pages.current(id).ok_or_else(gone)?.body;
    let channel = channel_of(&book, id).ok_or_else(gone)?;
    let names = channel.secrets();
    let secrets = names.into_iter().filter_map(|name| book.vault().value(&name).map(|value| (name, value))).collect();
    let to = book.vault().unseal_kept(&sealed_as(&due.key.subscriber), &due.sealed).ok_or_else(|| {
        "a subscriber's address does not open with the seal key that is here: put the right one back".to_owned()
    })?;
    let lang = Language::of_tag(&due.language).unwrap_or(Language::English);
    let words = lang.texts().subscribe;
    let link = |what: &str, token: String| {
        format!("{}/status/{}/{what}/{token}?lang={}", present.public_url(), escape(&page.id), lang.tag())
    };
    let asked: Option<i64> = due.key.mail.strip_prefix("confirm/").and_then(|seconds| seconds.parse().ok());
    let (text, unsubscribe) = if let Some(seconds) = asked {
        let until = UtcMicros(seconds.saturating_mul(1_000_000)).plus_us(CONFIRM_US);
        let link = link("confirm", signer.token(Link::Confirm, &page.id, &due.key.subscriber, Some(until)));
        (format!("{}\n\n{}\n{link}\n\n{}\n", due.body, words.mail_confirm_link, words.mail_ignore), None)
    } else {
        let link = link("unsubscribe", signer.token(Link::End, &page.id, &due.key.subscriber, None));
        let title = page.title(lang.tag());
        (format!("{}\n-- \n{}\n{link}\n", due.body, (words.mail_end)(title)), Some(link))
    };
    let key = format!("{}.{}.{}", page.id, due.key.subscriber, due.key.mail.replace('/', "."));
    Ok((channel, secrets, Mail { to, subject: due.subject.clone(), text, key, unsubscribe }))
}
