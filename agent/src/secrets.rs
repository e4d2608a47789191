//! The secrets that checks refer to: in memory for the probes, sealed in the state file for the next start.
//!
//! The collector sends them after every welcome and whenever one changes; an agent that is cut off goes on with what it has, over restarts.
//! What cannot be kept or opened is told once and costs no more than `secret_missing` results until the collector sends it again.
//! Limits: what one connection sends, see [`crate::ship`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sitepulse_daemon::seal::{KEY_FILE, SealError, Sealer};

use crate::state::StateDb;

/// Values by name. `Debug` hides the values.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretValues(pub BTreeMap<String, String>);

impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Seals what the state file keeps.
#[derive(Debug, Clone)]
pub struct Vault {
    /// `None` where the key cannot be used: then nothing is kept.
    sealer: Option<Arc<Sealer>>,
}

impl Vault {
    /// A vault with the key of this data directory (made when there is none). A key that cannot be used is told; the agent runs all the same.
    pub fn open(dir: &Path) -> Self {
        match Sealer::open(dir) {
            Ok(sealer) => Self { sealer: Some(Arc::new(sealer)) },
            Err(error) => {
                tracing::warn!(
                    "{error}; secrets are kept in memory alone and come from the collector after each start"
                );
                Self { sealer: None }
            }
        }
    }

    /// The secrets that the state file keeps. One that does not open is told and left out.
    pub fn load(&self, state: &StateDb) -> SecretValues {
        let Some(sealer) = &self.sealer else { return SecretValues::default() };
        let stored = match state.secrets() {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!("{error}; checks with secrets wait for the collector");
                return SecretValues::default();
            }
        };
        let mut values = BTreeMap::new();
        let mut closed = Vec::new();
        for (name, sealed) in stored {
            match sealer.unseal(&name, &sealed).map(String::from_utf8) {
                Ok(Ok(value)) => drop(values.insert(name, value)),
                Ok(Err(_)) | Err(_) => closed.push(name),
            }
        }
        if !closed.is_empty() {
            tracing::warn!(
                "the secrets {} do not open with this machine's {KEY_FILE}; the checks that need them wait for the collector, which sends them again",
                closed.join(", ")
            );
        }
        SecretValues(values)
    }

    /// Replaces what the state file keeps, where it is not the same.
    pub fn store(&self, state: &mut StateDb, secrets: &SecretValues) {
        let Some(sealer) = &self.sealer else { return };
        let sealed = secrets.0.iter().map(|(name, value)| Ok((name.clone(), sealer.seal(name, value.as_bytes())?)));
        let sealed = match sealed.collect::<Result<Vec<_>, SealError>>() {
            Ok(sealed) => sealed,
            Err(error) => {
                tracing::warn!("{error}; the secrets are kept in memory alone until the collector sends them again");
                return;
            }
        };
        // They come with every connection, mostly the same.
        let same = state.secrets().is_ok_and(|stored| {
            stored.len() == secrets.0.len()
                && stored.iter().all(|(name, sealed)| {
                    let value = secrets.0.get(name).map(String::as_bytes);
                    sealer.unseal(name, sealed).is_ok_and(|stored| Some(stored.as_slice()) == value)
                })
        });
        if same {
            return;
        }
        if let Err(error) = state.save_secrets(&sealed) {
            tracing::warn!("{error}; the secrets are kept in memory alone until the collector sends them again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> SecretValues {
        SecretValues(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn secrets_outlive_a_restart_and_are_nowhere_in_plain() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = values(&[("api", "hunter2-hunter2"), ("dev", "correct-horse")]);
        {
            let mut state = StateDb::open(dir.path()).unwrap();
            let vault = Vault::open(dir.path());
            assert_eq!(vault.load(&state), SecretValues::default());
            vault.store(&mut state, &values(&[("old", "was-here-before")]));
            vault.store(&mut state, &secrets);
            let before = state.secrets().unwrap();
            vault.store(&mut state, &secrets);
            assert_eq!(state.secrets().unwrap(), before, "the same secrets are not written again");
            // While it is open, the write-ahead log is there too.
            assert_nowhere(dir.path(), &["hunter2-hunter2", "correct-horse", "was-here-before"]);
        }
        assert_nowhere(dir.path(), &["hunter2-hunter2", "correct-horse", "was-here-before"]);
        let state = StateDb::open(dir.path()).unwrap();
        assert_eq!(Vault::open(dir.path()).load(&state), secrets);
        assert_eq!(format!("{secrets:?}"), "{\"api\", \"dev\"}");
    }

    #[test]
    fn a_foreign_or_damaged_key_costs_the_secrets_until_they_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = StateDb::open(dir.path()).unwrap();
        let secrets = values(&[("api", "hunter2-hunter2")]);
        Vault::open(dir.path()).store(&mut state, &secrets);
        std::fs::write(dir.path().join(KEY_FILE), [7; 32]).unwrap();
        let foreign = Vault::open(dir.path());
        assert_eq!(foreign.load(&state), SecretValues::default());
        foreign.store(&mut state, &secrets);
        assert_eq!(foreign.load(&state), secrets);
        std::fs::write(dir.path().join(KEY_FILE), b"short").unwrap();
        let damaged = Vault::open(dir.path());
        assert_eq!(damaged.load(&state), SecretValues::default());
        damaged.store(&mut state, &secrets);
        assert_eq!(damaged.load(&state), SecretValues::default());
    }

    fn assert_nowhere(dir: &Path, plain: &[&str]) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            for text in plain {
                assert!(
                    !bytes.windows(text.len()).any(|window| window == text.as_bytes()),
                    "{} has {text}",
                    path.display()
                );
            }
        }
    }
}
