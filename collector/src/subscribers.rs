//! Who is told of a public status page by mail: they ask, confirm by a signed link that only their mailbox has, and end it by one.
//!
//! An address is kept sealed, under a keyed hash of page and address whose key is sealed too: neither the tables nor the log tell it, and asking twice makes no second row. A
//! mail is a row that is leased, sent, then marked: a kill between the two sends it once more, under the same `Message-ID`. Of each subscriber one mail at a time is out, the earliest first, so
//! that no end overtakes its beginning.
//!
//! `TOKEN = base64url(purpose (1 byte) || expiry (8 bytes, seconds since 1970) || page || 0 || subscriber || HMAC (32 bytes))`

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use sitepulse_model::channel::way::Way;
use sitepulse_model::delivery::{self, Answer, Decision, Tries};
use sitepulse_model::time::UtcMicros;

use crate::app::AppError;
use crate::book::Book;
use crate::engine::Engine;
use crate::enrol::random;
use crate::secret::{META_SEAL_KEY, Vault};
use crate::store::subscribers::{self as stored, Mark};
use crate::store::{StoreError, Tables, rows};

/// Most subscribers of a page who have confirmed.
pub const SUBSCRIBERS_MAX: u64 = 10_000;
/// Most who have asked and not confirmed: more than can ask within [`CONFIRM_US`].
const ASKING_MAX: u64 = 10_000;
/// How long the link of a confirmation works, in microseconds: 48 h. Who has not confirmed by then is forgotten.
pub const CONFIRM_US: i64 = 48 * 3600 * 1_000_000;
/// One address is not written to again for a confirmation within this: 1 h.
const ASK_PAUSE_US: i64 = 3600 * 1_000_000;
/// How long mails that are over are kept, without their texts, in microseconds: 7 days.
const KEPT_US: i64 = 7 * 86_400 * 1_000_000;
/// How long is remembered what was told, in microseconds: 400 days. No page tells of an incident that was over for so long.
const TOLD_US: i64 = 400 * 86_400 * 1_000_000;
/// For how long a mail is handed out, in microseconds.
const LEASE_US: i64 = 120 * 1_000_000;
/// So often the same maintenance is announced anew at most, each time after it was taken back.
const TIMES_MAX: usize = 100;
/// Longest address, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 254;
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 512;
/// After so many mails in a row that were refused because nobody has the address, it is forgotten.
const REFUSED_MAX: u32 = 3;
/// Subscribers of a page that is no more are forgotten after this, in microseconds: 7 days, lest a mistake in a file costs them all.
const GONE_US: i64 = 7 * 86_400 * 1_000_000;
/// What the key signs: another use of it could not be taken for this one.
const PURPOSE: &[u8] = b"sitepulse status page mail 1\0";
/// Name of the key in the table `meta`: sealed, in base64. Whoever has the database alone can neither forge a link nor try addresses against the names.
const META_KEY: &str = "status_mail_key";
/// Name of the newest asking in the table `meta`. Each asking writes it, so that those that change nothing else take as long.
const META_ASKED: &str = "status_mail_asked";

/// A subscriber as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// The address, sealed.
    pub sealed: Vec<u8>,
    /// `en` or `fr`.
    pub language: String,
    /// Whether they confirmed.
    pub confirmed: bool,
    /// When they asked last.
    pub asked: UtcMicros,
}

/// Which mail: the same for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MailKey {
    /// The page's id.
    pub page: String,
    /// The subscriber's name.
    pub subscriber: String,
    /// What it is about: `confirm/1790000000`, `incident/3f.../0/opened`.
    pub mail: String,
}

/// A mail that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMail {
    /// Which.
    pub key: MailKey,
    /// How often it was tried.
    pub tries: u32,
    /// When it was tried first.
    pub tried: Option<UtcMicros>,
    /// Its subject.
    pub subject: String,
    /// Its text, without links of the subscriber's own.
    pub body: String,
    /// The address, sealed.
    pub sealed: Vec<u8>,
    /// `en` or `fr`.
    pub language: String,
}

/// Something that all subscribers of a page are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What it is about.
    pub mail: String,
    /// What must have been told before it; `None`: it stands alone.
    pub after: Option<String>,
    /// Whether it is announced and taken back, perhaps more than once: both names are those of the first time.
    pub again: bool,
    /// Who confirmed later is not told.
    pub at: UtcMicros,
    /// Language, subject and text, of each language.
    pub texts: Vec<(&'static str, String, String)>,
}

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// To confirm.
    Confirm = 1,
    /// To end it.
    End = 2,
}

/// Signs links, and names subscribers. Clones share the key.
#[derive(Clone)]
pub struct Signer(Arc<hmac::Key>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    fn new(key: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The name of an address among a page's subscribers. Capitals make no other.
    fn name(&self, page: &str, address: &str) -> String {
        let said = [PURPOSE, b"name\0", page.as_bytes(), b"\0", address.to_ascii_lowercase().as_bytes()].concat();
        hmac::sign(&self.0, &said).as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A token; one without an end works as long as the subscription does.
    pub fn token(&self, link: Link, page: &str, subscriber: &str, until: Option<UtcMicros>) -> String {
        let seconds = until.map_or(i64::MAX, |until| until.0 / 1_000_000);
        let mut token = vec![link as u8];
        token.extend_from_slice(&seconds.to_be_bytes());
        token.extend_from_slice(page.as_bytes());
        token.push(0);
        token.extend_from_slice(subscriber.as_bytes());
        let tag = hmac::sign(&self.0, &[PURPOSE, &token].concat());
        token.extend_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The subscriber whom a token is about; `None` of one that is forged, damaged, over or of another page, which are not told apart.
    pub fn granted(&self, link: Link, page: &str, token: &str, now: UtcMicros) -> Option<String> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (said, tag) = bytes.split_last_chunk::<32>()?;
        hmac::verify(&self.0, &[PURPOSE, said].concat(), tag).ok()?;
        let (purpose, said) = said.split_first()?;
        let (seconds, names) = said.split_first_chunk::<8>()?;
        let (of, subscriber) = std::str::from_utf8(names).ok()?.split_once('\0')?;
        let holds = now.0 / 1_000_000 < i64::from_be_bytes(*seconds);
        (*purpose == link as u8 && of == page && holds).then(|| subscriber.to_owned())
    }
}

/// An address as it is written to; `None` where mail could not be or where it could be more than an address.
pub fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let labels = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let dots = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
    let good = text.len() <= ADDRESS_BYTES_MAX
        && !local.is_empty()
        && local.len() <= 64
        && local.bytes().all(plain)
        && dots
        && domain.contains('.')
        && domain.split('.').all(labels);
    good.then(|| format!("{local}@{}", domain.to_ascii_lowercase()))
}

/// The channel that mails of a page go out by; `None` where nobody can subscribe.
pub fn channel_of(book: &Book, page: &str) -> Option<sitepulse_model::channel::Channel> {
    let name = book.objects().status_pages.current(page)?.body.channel.as_deref()?;
    let channel = &book.objects().channels.current(name)?.body;
    matches!(channel.way, Way::Email(_)).then(|| channel.clone())
}

impl Engine {
    /// What links are signed with; made when it is first asked for.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(crate) fn subscription_signer(&mut self) -> Result<Signer, AppError> {
        if let Some(sealed) = rows::meta(self.store.read(), META_KEY)? {
            let key = opened(self.shared.book().vault(), &sealed);
            let closed = || {
                AppError::Unavailable(
                    "what status pages' mails are signed with does not open with the seal key that is here: put the right one back".into(),
                )
            };
            return Ok(Signer::new(key.ok_or_else(closed)?.as_bytes()));
        }
        let key = URL_SAFE_NO_PAD.encode(random()?);
        let sealer = self.sealer()?;
        let sealed = sealer.seal(META_KEY, key.as_bytes()).map_err(|error| AppError::Unavailable(error.to_string()))?;
        self.store.write(|tables| {
            rows::set_meta(tables, META_SEAL_KEY, sealer.fingerprint())?;
            rows::set_meta(tables, META_KEY, &URL_SAFE_NO_PAD.encode(sealed))
        })?;
        Ok(Signer::new(key.as_bytes()))
    }

    /// Whether what is sealed here for subscribers, if anything, opens with this machine's key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn subscriptions_open(&self) -> Result<bool, StoreError> {
        let sealed = rows::meta(self.store.read(), META_KEY)?;
        Ok(sealed.is_none_or(|sealed| opened(self.shared.book().vault(), &sealed).is_some()))
    }

    /// Somebody asks to be told of a page: a mail that asks them to confirm goes to the address, unless one went lately, or they are told already. Which of these it
    /// was is not said: whoever asks may not own the address.
    ///
    /// # Errors
    /// When nobody can subscribe to the page, too many have, or it cannot be written.
    pub(crate) fn ask_subscription(
        &mut self,
        page: &str,
        address: &str,
        (language, subject, body): (&str, &str, &str),
        now: UtcMicros,
    ) -> Result<(), AppError> {
        let signer = self.subscription_signer()?;
        if channel_of(&self.shared.book(), page).is_none() {
            return Err(AppError::NotFound("nobody can subscribe to this page".into()));
        }
        let name = signer.name(page, address);
        // The same for who is known and who is not: also a page that is full does not tell them apart.
        let (asking, confirmed) = stored::count(self.store.read(), page)?;
        if asking >= ASKING_MAX || confirmed >= SUBSCRIBERS_MAX {
            return Err(AppError::Unavailable("too many have subscribed to this page".into()));
        }
        let known = stored::one(self.store.read(), page, &name)?;
        let waits = |known: Subscriber| known.confirmed || (0..ASK_PAUSE_US).contains(&now.us_since(known.asked));
        let is_new = !known.is_some_and(waits);
        let sealer = self.sealer()?;
        let sealed = sealer
            .seal(&sealed_as(&name), address.as_bytes())
            .map_err(|error| AppError::Unavailable(error.to_string()))?;
        let one = Subscriber { sealed, language: language.to_owned(), confirmed: false, asked: now };
        let mail = format!("confirm/{}", now.0 / 1_000_000);
        let key = MailKey { page: page.to_owned(), subscriber: name, mail };
        self.store.write(|tables| {
            rows::set_meta(tables, META_SEAL_KEY, sealer.fingerprint())?;
            // One transaction in either case, so that the time it takes tells nothing.
            rows::set_meta(tables, META_ASKED, &now.0.to_string())?;
            if !is_new {
                return Ok(());
            }
            stored::ask(tables, page, &key.subscriber, &one)?;
            stored::post(tables, &key, (subject, body), now)
        })?;
        Ok(())
    }

    /// Somebody confirms; whether they had asked.
    pub(crate) fn confirm_subscription(
        &mut self,
        page: &str,
        subscriber: &str,
        now: UtcMicros,
    ) -> Result<bool, AppError> {
        Ok(self.store.write(|tables| stored::confirm(tables, page, subscriber, now))?)
    }

    /// Somebody ends it: nothing of them is kept.
    pub(crate) fn end_subscription(&mut self, page: &str, subscriber: &str) -> Result<(), AppError> {
        Ok(self.store.write(|tables| stored::remove(tables, page, subscriber))?)
    }

    /// Writes what all subscribers of a page are told, each of it once; how many mails that makes.
    pub(crate) fn post_news(&mut self, page: &str, news: &[News], now: UtcMicros) -> Result<u64, AppError> {
        Ok(self.store.write(|tables| {
            let mut written = 0;
            for one in untold(tables, page, news)? {
                written += stored::post_all(tables, page, &one, now)?;
            }
            Ok(written)
        })?)
    }

    /// Hands out mails that are due, at most so many.
    pub(crate) fn take_mails(&mut self, limit: usize, now: UtcMicros) -> Result<Vec<DueMail>, AppError> {
        let due = stored::due(self.store.read(), now, limit)?;
        if due.is_empty() {
            return Ok(due);
        }
        self.store.write(|tables| {
            due.iter().try_for_each(|mail| stored::mark(tables, &mail.key, Mark::Leased(now.plus_us(LEASE_US)), None))
        })?;
        Ok(due)
    }

    /// Mails that a process which is gone had handed out are due again.
    pub(crate) fn release_mails(&mut self, now: UtcMicros) -> Result<u64, AppError> {
        Ok(self.store.write(|tables| stored::release(tables, now))?)
    }

    /// Notes what became of mails; how many subscribers are forgotten for nobody has their address.
    pub(crate) fn mark_mails(&mut self, done: &[(DueMail, Outcome)], now: UtcMicros) -> Result<u64, AppError> {
        Ok(self.store.write(|tables| {
            let mut forgotten = 0;
            for (mail, outcome) in done {
                let MailKey { page, subscriber, .. } = &mail.key;
                let key = format!("{page}/{subscriber}/{}", mail.key.mail);
                let tries = Tries { count: mail.tries, since: mail.tried };
                let answer = match outcome {
                    Outcome::Answer(answer) => *answer,
                    Outcome::Nobody => Answer::Refused,
                };
                let mark = match delivery::decide(&key, tries, answer, now) {
                    Decision::Delivered => Mark::Delivered,
                    Decision::Again { at } => Mark::Again(at),
                    Decision::GivenUp => Mark::GivenUp,
                };
                stored::mark(tables, &mail.key, mark, Some(now))?;
                let nobody = matches!(outcome, Outcome::Nobody);
                if (nobody || mark == Mark::Delivered)
                    && stored::count_refused(tables, page, subscriber, nobody)?
                        .is_some_and(|count| count >= REFUSED_MAX)
                {
                    stored::remove(tables, page, subscriber)?;
                    forgotten += 1;
                }
            }
            Ok(forgotten)
        })?)
    }

    /// Lets go of what is over, and of the subscribers of pages that are no more.
    pub(crate) fn expire_mails(&mut self, now: UtcMicros) -> Result<(), AppError> {
        let mut gone = stored::pages(self.store.read())?;
        {
            let book = self.shared.book();
            let kept = |page: &String| {
                let last = book.objects().status_pages.versions(page).last();
                last.is_some_and(|last| !last.retired || now.us_since(last.effective_from) < GONE_US)
            };
            gone.retain(|page| !kept(page));
        }
        Ok(self.store.write(|tables| {
            gone.iter().try_for_each(|page| stored::remove_all(tables, page))?;
            stored::expire(tables, now.plus_us(-KEPT_US), now.plus_us(-CONFIRM_US), now.plus_us(-TOLD_US))
        })?)
    }
}

/// What of a page is to be told and was not, in order; what follows on something that was not told is not told either.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn untold(tables: Tables<'_>, page: &str, news: &[News]) -> Result<Vec<News>, StoreError> {
    let mut new: Vec<News> = Vec::new();
    for one in news {
        let told = |mail: &str| -> Result<bool, StoreError> {
            Ok(new.iter().any(|before| before.mail == mail) || stored::is_told(tables, page, mail)?)
        };
        let one = if one.again { this_time(one, &told)? } else { one.clone() };
        let follows = match &one.after {
            Some(before) => told(before)?,
            None => true,
        };
        if follows && !told(&one.mail)? {
            new.push(one);
        }
    }
    Ok(new)
}

/// The name under which it is told that an announcement is taken back.
pub(crate) fn taken_back(announcement: &str) -> String {
    format!("{announcement}/cancelled")
}

/// The same news under the names of this time: what was taken back is announced anew under another name.
fn this_time(one: &News, told: &dyn Fn(&str) -> Result<bool, StoreError>) -> Result<News, StoreError> {
    let first = one.after.as_ref().unwrap_or(&one.mail);
    let mut announcement = first.clone();
    for time in 1..TIMES_MAX {
        if !told(&taken_back(&announcement))? {
            break;
        }
        announcement = format!("{first}/{time}");
    }
    Ok(match one.after {
        None => News { mail: announcement, ..one.clone() },
        Some(_) => News { mail: taken_back(&announcement), after: Some(announcement), ..one.clone() },
    })
}

/// The key that links are signed with.
fn opened(vault: &Vault, sealed: &str) -> Option<String> {
    vault.unseal_kept(META_KEY, &URL_SAFE_NO_PAD.decode(sealed).ok()?)
}

/// What became of an attempt to send a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What the mail server made of it.
    Answer(Answer),
    /// The mail server says that nobody has this address.
    Nobody,
}

/// How the mails of a page fare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Who asked and has not confirmed.
    pub asking: u64,
    /// Who confirmed.
    pub confirmed: u64,
    /// Mails that are not delivered yet.
    pub waiting: u64,
    /// When the oldest of those was written.
    pub oldest: Option<UtcMicros>,
    /// Mails of the last 7 days that were given up.
    pub given_up: u64,
}

/// How the mails of a page fare.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn counts(tables: Tables<'_>, page: &str) -> Result<Counts, StoreError> {
    let (asking, confirmed) = stored::count(tables, page)?;
    let ((waiting, oldest), (given_up, _)) = stored::mails(tables, page)?;
    Ok(Counts { asking, confirmed, waiting, oldest, given_up })
}

/// Under which name an address is sealed.
pub(crate) fn sealed_as(subscriber: &str) -> String {
    format!("subscriber/{subscriber}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_for_its_purpose_its_page_and_its_time() {
        let signer = Signer::new(b"key");
        let now = UtcMicros(1_790_000_000_000_000);
        let name = signer.name("public", "Ana@example.com");
        assert_eq!(name, signer.name("public", "ana@example.com"));
        assert_ne!(name, signer.name("other", "ana@example.com"));
        assert!(!name.contains("ana") && name.len() == 32);
        let token = signer.token(Link::Confirm, "public", &name, Some(now.plus_us(CONFIRM_US)));
        assert_eq!(signer.granted(Link::Confirm, "public", &token, now), Some(name.clone()));
        assert_eq!(signer.granted(Link::Confirm, "public", &token, now.plus_us(CONFIRM_US)), None);
        assert_eq!(signer.granted(Link::End, "public", &token, now), None);
        assert_eq!(signer.granted(Link::Confirm, "other", &token, now), None);
        assert_eq!(Signer::new(b"another").granted(Link::Confirm, "public", &token, now), None);
        let end = signer.token(Link::End, "public", &name, None);
        assert_eq!(signer.granted(Link::End, "public", &end, now.plus_us(400 * 86_400_000_000)), Some(name));
        let bytes = URL_SAFE_NO_PAD.decode(&end).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(signer.granted(Link::End, "public", &URL_SAFE_NO_PAD.encode(changed), now), None, "byte {at}");
        }
        for bad in ["", "a", "é", &"A".repeat(10_000)] {
            assert_eq!(signer.granted(Link::End, "public", bad, now), None);
        }
    }

    #[test]
    fn an_address_is_an_address_and_nothing_more() {
        assert_eq!(address("  Ana.B+status@Example.COM ").as_deref(), Some("Ana.B+status@example.com"));
        for bad in [
            "",
            "ana",
            "@example.com",
            "ana@",
            "ana@localhost",
            "ana@exa mple.com",
            "ana@example.com\r\nBcc: bob@example.com",
            "Ana <ana@example.com>",
            "ana@example.com,bob@example.com",
            "ana..b@example.com",
            "ana@-example.com",
            "ana@example..com",
            "\"ana\"@example.com",
            "é@example.com",
            &format!("{}@example.com", "a".repeat(65)),
        ] {
            assert_eq!(address(bad), None, "{bad:?}");
        }
    }
}
