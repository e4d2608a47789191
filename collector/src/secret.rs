//! Secrets: set by people, kept sealed, unsealed only on their way to an agent whose checks refer to them.
//!
//! A check says `secret:NAME`. The value is in the table `secret`, sealed with the machine's key ([`sitepulse_daemon::seal`]) under its
//! name; in memory it stays sealed too. Nothing that people or scripts can read gives it back: no answer, log or export.
//!
//! All secrets are sealed with one key. Systemd may hand it to the service alone, so a command line beside a stopped service can find
//! none, or an older one: it must not seal with another. The fingerprint of the key in use is kept in the table `meta`
//! ([`Engine::adopt_seal_key`]), and a secret is set with that key alone.
//!
//! Limits: [`SECRETS_KEPT_MAX`] secrets, names of 1 to 64 of a-z, 0-9, `-`, `_` and `.`, values of 1 to 8192 bytes of UTF-8.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sitepulse_daemon::seal::{KEY_FILE, SealError, Sealer};
use sitepulse_model::check::{SECRET_NAME_BYTES_MAX, is_secret_name};

use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::SECRET_BYTES_MAX;

use crate::app::AppError;
use crate::book::SecretUsers;
use crate::engine::Engine;
use crate::outbox;
use crate::store::{StoreError, Tables, rows};

/// Most secrets of one collector.
pub const SECRETS_KEPT_MAX: usize = 1000;

/// Name of the fingerprint of the key that secrets are sealed with, in the table `meta`; empty text for none.
pub(crate) const META_SEAL_KEY: &str = "seal_key";

/// Name of the keys of the configuration that refer to secrets, in the table `meta`: JSON, the secret by the key.
const META_CONFIGURED: &str = "configured_secrets";

/// A secret as it is kept.
#[derive(Clone, PartialEq, Eq)]
struct Kept {
    sealed: Vec<u8>,
    set_at: UtcMicros,
    /// Another one for every value that was ever set since the start: who was sent which.
    stamp: u64,
}

/// Every secret, sealed, with the way to open them. `Debug` shows names alone.
#[derive(Default)]
pub struct Vault {
    /// Where a key may be made; `None` for a store in memory.
    dir: Option<PathBuf>,
    sealer: Option<Arc<Sealer>>,
    kept: BTreeMap<String, Kept>,
    stamps: u64,
    /// The keys of the service's configuration that refer to a secret, `oidc.client_secret`, with its name.
    configured: BTreeMap<String, String>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("names", &self.kept.keys()).finish_non_exhaustive()
    }
}

impl Vault {
    /// A vault with the key that is there. None is made before the first secret is set.
    pub(crate) fn open(dir: &Path) -> Result<Self, SealError> {
        let sealer = Sealer::existing(dir)?.map(Arc::new);
        Ok(Self { dir: Some(dir.to_owned()), sealer, ..Self::default() })
    }

    pub(crate) fn insert(&mut self, name: String, sealed: Vec<u8>, set_at: UtcMicros) {
        self.stamps += 1;
        self.kept.insert(name, Kept { sealed, set_at, stamp: self.stamps });
    }

    fn remove(&mut self, name: &str) {
        self.kept.remove(name);
    }

    /// Every secret's name and when it was set, by name.
    pub fn names(&self) -> impl Iterator<Item = (&str, UtcMicros)> {
        self.kept.iter().map(|(name, kept)| (name.as_str(), kept.set_at))
    }

    /// The keys of the service's configuration that refer to secrets, each with the secret's name.
    pub fn configured(&self) -> impl Iterator<Item = (&str, &str)> {
        self.configured.iter().map(|(key, name)| (key.as_str(), name.as_str()))
    }

    /// Whether there is such a secret.
    pub fn contains(&self, name: &str) -> bool {
        self.kept.contains_key(name)
    }

    /// Whether a secret opens with this machine's key.
    pub fn opens(&self, name: &str) -> bool {
        self.unseal(name).is_some_and(|opened| opened.is_ok())
    }

    /// Tells this value of a secret from any other one it had since the start; `None` where there is no such secret.
    pub(crate) fn stamp(&self, name: &str) -> Option<u64> {
        self.kept.get(name).map(|kept| kept.stamp)
    }

    /// A secret's value, on its way to an agent. `None` where it is not set or does not open, which the start has told.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        String::from_utf8(self.unseal(name)?.ok()?).ok()
    }

    /// Opens what was sealed with this machine's key and is kept elsewhere. `None` where it does not open.
    pub(crate) fn unseal_kept(&self, name: &str, sealed: &[u8]) -> Option<String> {
        String::from_utf8(self.sealer.as_ref()?.unseal(name, sealed).ok()?).ok()
    }

    fn unseal(&self, name: &str) -> Option<Result<Vec<u8>, SealError>> {
        let (sealer, kept) = (self.sealer.as_ref()?, self.kept.get(name)?);
        Some(sealer.unseal(name, &kept.sealed))
    }

    /// Tells people of secrets that do not open: another key lies in the data directory than the one they were sealed with.
    pub(crate) fn complain(&self) {
        if self.sealer.is_none() && !self.kept.is_empty() {
            tracing::error!(
                "the {KEY_FILE} that secrets are sealed with is neither in the data directory nor among systemd's credentials: put it \
                 back; checks that use secrets say unknown (secret_missing)"
            );
        }
        for name in self.kept.keys() {
            if let Some(Err(error)) = self.unseal(name) {
                tracing::error!("{error}; checks that use it say unknown (secret_missing)");
            }
        }
    }
}

/// The value that is meant: what `echo` appends to a single line goes, a text of several lines (PEM) stays as it is.
fn meant(value: &str) -> &str {
    let bare = value.strip_suffix("\r\n").or_else(|| value.strip_suffix('\n')).unwrap_or(value);
    if bare.contains('\n') { value } else { bare }
}

/// What the configuration of the service's last start refers to.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn restore_configured(tables: Tables<'_>, vault: &mut Vault) -> Result<(), StoreError> {
    let noted = rows::meta(tables, META_CONFIGURED)?;
    vault.configured = noted.and_then(|noted| serde_json::from_str(&noted).ok()).unwrap_or_default();
    Ok(())
}

impl Engine {
    /// Notes which keys of the service's configuration refer to which secrets, in place of those of the start before: commands beside a stopped service know
    /// them by this.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn note_configured_secrets(&mut self, configured: BTreeMap<String, String>) -> Result<(), StoreError> {
        if self.shared.book().vault().configured == configured {
            return Ok(());
        }
        let noted = serde_json::to_string(&configured).expect("texts by texts are JSON");
        self.store.write(|tables| rows::set_meta(tables, META_CONFIGURED, &noted))?;
        self.shared.book_mut().vault_mut().configured = configured;
        Ok(())
    }

    /// Notes the key that this process has as the one that secrets are sealed with, while there are none yet; with secrets, where none
    /// was noted and they open with it. For the service alone: a command line may lack the service's key.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn adopt_seal_key(&mut self) -> Result<(), StoreError> {
        let noted = self.noted_seal_key()?;
        let own = {
            let book = self.shared.book();
            let vault = book.vault();
            let own = vault.sealer.as_ref().map(|sealer| sealer.fingerprint().to_owned());
            let fits = noted.is_none() && vault.kept.keys().all(|name| vault.opens(name));
            if !vault.kept.is_empty() && !fits {
                return Ok(());
            }
            own
        };
        if !self.subscriptions_open()? {
            return Ok(());
        }
        if own != noted {
            let own = own.unwrap_or_default();
            self.store.write(|tables| rows::set_meta(tables, META_SEAL_KEY, &own))?;
        }
        Ok(())
    }

    fn noted_seal_key(&self) -> Result<Option<String>, StoreError> {
        Ok(rows::meta(self.store.read(), META_SEAL_KEY)?.filter(|noted| !noted.is_empty()))
    }

    /// The sealer for a new value: the one that all other secrets are sealed with. Made here for the first secret.
    pub(crate) fn sealer(&mut self) -> Result<Arc<Sealer>, AppError> {
        let noted = self.noted_seal_key()?;
        let dir = {
            let book = self.shared.book();
            let vault = book.vault();
            let Some(dir) = vault.dir.clone() else {
                return Err(AppError::Unavailable("a store in memory seals nothing".into()));
            };
            let elsewhere = || {
                AppError::Conflict(format!(
                    "secrets are sealed with a {KEY_FILE} that is not here: where systemd hands it to the service, start the service \
                     and set the secret then; else put the right one back into {}",
                    dir.display()
                ))
            };
            if let Some(sealer) = &vault.sealer {
                if let Some(closed) = vault.kept.keys().find(|name| !vault.opens(name)) {
                    return Err(AppError::Conflict(format!(
                        "secret {closed} does not open with the {KEY_FILE} that is here, and all secrets are sealed with one key: put \
                         the right one back, or `sitepulse-collector secret remove --force` what does not open (`secret list`)"
                    )));
                }
                if noted.is_some_and(|noted| noted != sealer.fingerprint()) {
                    return Err(elsewhere());
                }
                return Ok(Arc::clone(sealer));
            }
            if noted.is_some() || !vault.kept.is_empty() {
                return Err(elsewhere());
            }
            dir
        };
        let sealer = Arc::new(Sealer::open(&dir).map_err(|error| AppError::Unavailable(error.to_string()))?);
        self.shared.book_mut().vault_mut().sealer = Some(Arc::clone(&sealer));
        Ok(sealer)
    }

    /// Sets a secret, new or anew; agents that need it are told.
    ///
    /// # Errors
    /// A name or value that cannot be. The message never shows the value.
    pub fn set_secret(&mut self, name: &str, value: &[u8], now: UtcMicros) -> Result<(), AppError> {
        if !is_secret_name(name) {
            return Err(AppError::Invalid(format!(
                "{name:?} cannot name a secret: use 1 to {SECRET_NAME_BYTES_MAX} of a-z, 0-9, '-', '_' and '.'"
            )));
        }
        let text = std::str::from_utf8(value)
            .map_err(|_| AppError::Invalid("the value is not UTF-8: encode it first, in base64 for example".into()))?;
        let text = meant(text);
        if !(1..=SECRET_BYTES_MAX).contains(&text.len()) {
            return Err(AppError::Invalid(format!(
                "the value has {} bytes: a secret has 1 to {SECRET_BYTES_MAX}",
                text.len()
            )));
        }
        {
            let book = self.shared.book();
            let vault = book.vault();
            if vault.kept.len() >= SECRETS_KEPT_MAX && !vault.contains(name) {
                return Err(AppError::Invalid(format!(
                    "{SECRETS_KEPT_MAX} secrets are kept at most: remove one first"
                )));
            }
        }
        let sealer = self.sealer()?;
        let sealed = sealer.seal(name, text.as_bytes()).map_err(|error| AppError::Unavailable(error.to_string()))?;
        let channels = outbox::users_of_secret(&self.shared.book(), name);
        self.store.write(|tables| {
            rows::set_meta(tables, META_SEAL_KEY, sealer.fingerprint())?;
            rows::set_secret(tables, name, &sealed, now)?;
            outbox::mend(tables, &channels, now)
        })?;
        self.shared.book_mut().vault_mut().insert(name.to_owned(), sealed, now);
        tracing::info!(secret = name, "secret set");
        self.mended(&channels);
        self.shared.tick();
        Ok(())
    }

    /// Removes a secret. One that living checks, channels or the configuration refer to stays, unless `force` is set: their runs say unknown then, their messages wait, and
    /// what the configuration needs it for does not work.
    pub fn remove_secret(&mut self, name: &str, force: bool) -> Result<(), AppError> {
        let users: SecretUsers = {
            let book = self.shared.book();
            if !book.vault().contains(name) {
                return Err(AppError::NotFound(format!("no secret {name:?}: see `sitepulse-collector secret list`")));
            }
            book.users_of_secrets().remove(name).unwrap_or_default()
        };
        if users != SecretUsers::default() && !force {
            let checks = users.checks.iter().map(ToString::to_string);
            let channels = users.channels.iter().map(|channel| format!("channel {channel}"));
            let keys = users.configuration.iter().map(|key| format!("{key} of the configuration"));
            let named: Vec<String> = checks.chain(channels).chain(keys).collect();
            let what = [
                (!users.checks.is_empty()).then_some("checks say unknown"),
                (!users.channels.is_empty()).then_some("messages wait"),
                (!users.configuration.is_empty()).then_some("what the configuration needs it for does not work"),
            ];
            let what: Vec<&str> = what.into_iter().flatten().collect();
            return Err(AppError::Conflict(format!(
                "secret {name} is used by {}: change them first, or use --force and {}",
                named.join(", "),
                what.join(", ")
            )));
        }
        self.store.write(|tables| rows::delete_secret(tables, name))?;
        self.shared.book_mut().vault_mut().remove(name);
        tracing::info!(secret = name, "secret removed");
        self.shared.tick();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_echo_appends_goes_and_pem_keeps_its_lines() {
        for (given, is) in [
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            ("hunter2", "hunter2"),
            (" a b \n", " a b "),
            ("-----BEGIN X-----\nAA==\n-----END X-----\n", "-----BEGIN X-----\nAA==\n-----END X-----\n"),
            ("\n", ""),
            ("a\n\n", "a\n\n"),
        ] {
            assert_eq!(meant(given), is, "{given:?}");
        }
    }

    #[test]
    fn names_are_plain() {
        assert!(is_secret_name("ops.token_1-a"));
        // No check could refer to one in capitals.
        for bad in ["", "a b", "a/b", "é", "API_TOKEN", &"a".repeat(SECRET_NAME_BYTES_MAX + 1)] {
            assert!(!is_secret_name(bad), "{bad:?}");
        }
    }
}
