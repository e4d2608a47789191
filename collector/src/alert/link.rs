//! Links in messages: to an incident's page, and the one that acknowledges it.
//!
//! An acknowledge link carries its authority: the incident, until when it works and whom it was sent to, under an HMAC-SHA256 with the collector's own key. It
//! does that one thing. The key is made at the first start and kept in the table `meta`, as safe as the authority's keys beside it; no export holds it.
//!
//! `TOKEN = base64url(expiry (8 bytes, seconds since 1970) || incident || 0 || who || HMAC (32 bytes))`

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use sitepulse_model::incident::IncidentId;
use sitepulse_model::time::UtcMicros;

use crate::app::AppError;
use crate::enrol::random;
use crate::store::{Store, StoreError, rows};

/// How long an acknowledge link works, in microseconds: 7 d.
pub const LIFE_US: i64 = 7 * 86_400 * 1_000_000;
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 512;
/// What the key signs: another use of it could not be taken for this one.
const PURPOSE: &[u8] = b"sitepulse acknowledge 1\0";
/// Name of the key in the table `meta`, in base64.
const META_KEY: &str = "acknowledge_key";

/// Makes links, and reads those that come back. Clones share it.
#[derive(Clone)]
pub struct Links {
    key: Arc<hmac::Key>,
    console: Arc<RwLock<Option<String>>>,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("console", &self.console()).finish_non_exhaustive()
    }
}

impl Default for Links {
    /// With a key that nobody else has: of a desk that was not restored, whose links work nowhere.
    fn default() -> Self {
        Self::new(&random().unwrap_or_default())
    }
}

/// What a good link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The incident that may be acknowledged.
    pub incident: IncidentId,
    /// The channel that the link was sent to.
    pub who: String,
}

impl Links {
    fn new(key: &[u8]) -> Self {
        Self { key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)), console: Arc::default() }
    }

    /// The links of a store, whose key is made where there is none.
    ///
    /// # Errors
    /// When the store cannot be read or written, or holds no key.
    pub(crate) fn of_store(store: &mut Store) -> Result<Self, StoreError> {
        let bad = |what: String| StoreError::BadRow { table: "meta", what: format!("{META_KEY}: {what}") };
        if let Some(text) = rows::meta(store.read(), META_KEY)? {
            let key = URL_SAFE_NO_PAD.decode(&text).map_err(|error| bad(error.to_string()))?;
            return Ok(Self::new(&key));
        }
        let key = random().map_err(|error: AppError| bad(error.to_string()))?;
        store.write(|tables| rows::set_meta(tables, META_KEY, &URL_SAFE_NO_PAD.encode(key)))?;
        Ok(Self::new(&key))
    }

    /// Where browsers reach the console, without a slash at its end; `None`: messages carry no links.
    pub fn set_console(&self, url: Option<&str>) {
        let url = url.map(|url| url.trim_end_matches('/').to_owned());
        *self.console.write().unwrap_or_else(PoisonError::into_inner) = url;
    }

    fn console(&self) -> Option<String> {
        self.console.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The address of an incident's page.
    pub(crate) fn incident(&self, id: &str) -> Option<String> {
        self.console().map(|url| format!("{url}/incidents/{id}"))
    }

    /// The address that acknowledges an incident, for whom it is sent to.
    pub(crate) fn acknowledge(&self, id: &IncidentId, who: &str, now: UtcMicros) -> Option<String> {
        self.console().map(|url| format!("{url}/a/{}", self.token(id, who, now.plus_us(LIFE_US))))
    }

    fn token(&self, id: &IncidentId, who: &str, until: UtcMicros) -> String {
        let seconds = until.0 / 1_000_000;
        let mut token = seconds.to_be_bytes().to_vec();
        token.extend_from_slice(id.0.as_bytes());
        token.push(0);
        token.extend_from_slice(who.as_bytes());
        let tag = hmac::sign(&self.key, &[PURPOSE, &token].concat());
        token.extend_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// What a link allows now; `None` for one that is forged, damaged or expired, which are not told apart. The comparison takes the same time for every tag.
    pub fn granted(&self, token: &str, now: UtcMicros) -> Option<Granted> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (said, tag) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        hmac::verify(&self.key, &[PURPOSE, said].concat(), tag).ok()?;
        let (seconds, names) = said.split_first_chunk::<8>()?;
        let until = UtcMicros(i64::from_be_bytes(*seconds).checked_mul(1_000_000)?);
        let (incident, who) = std::str::from_utf8(names).ok()?.split_once('\0')?;
        let granted = Granted { incident: IncidentId(incident.to_owned()), who: who.to_owned() };
        (now < until).then_some(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_for_its_incident_until_it_expires() {
        let links = Links::new(b"key");
        let (now, id) = (UtcMicros(1_790_000_000_000_000), IncidentId("20261122-4f7k2".into()));
        let token = links.token(&id, "ops-hook", now.plus_us(LIFE_US));
        let granted = Granted { incident: id, who: "ops-hook".into() };
        assert_eq!(links.granted(&token, now), Some(granted.clone()));
        assert_eq!(links.granted(&token, now.plus_us(LIFE_US - 1)), Some(granted));
        assert_eq!(links.granted(&token, now.plus_us(LIFE_US)), None);
        assert_eq!(Links::new(b"another").granted(&token, now), None);
    }

    #[test]
    fn no_changed_link_works() {
        let links = Links::new(b"key");
        let now = UtcMicros(1_790_000_000_000_000);
        let token = links.token(&IncidentId("20261122-4f7k2".into()), "ops-hook", now.plus_us(LIFE_US));
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(links.granted(&URL_SAFE_NO_PAD.encode(changed), now), None, "byte {at}, bit {bit}");
            }
            assert_eq!(links.granted(&URL_SAFE_NO_PAD.encode(&bytes[..at]), now), None, "cut at {at}");
        }
        for bad in ["", "a", "é", &"A".repeat(10_000)] {
            assert_eq!(links.granted(bad, now), None);
        }
    }

    #[test]
    fn without_a_console_there_are_no_links_and_debug_shows_no_key() {
        let links = Links::new(b"key");
        let id = IncidentId("i".into());
        assert_eq!((links.incident("i"), links.acknowledge(&id, "ops", UtcMicros(0))), (None, None));
        links.set_console(Some("https://status.example/"));
        assert_eq!(links.incident("i").unwrap(), "https://status.example/incidents/i");
        assert!(links.acknowledge(&id, "ops", UtcMicros(0)).unwrap().starts_with("https://status.example/a/"));
        assert_eq!(format!("{links:?}"), "Links { console: Some(\"https://status.example\"), .. }");
    }
}
