//! Sealing: secrets at rest. AES-256-GCM with a key of this machine, the name as associated data.
//!
//! The key is the file `seal.key` of the data directory (32 random bytes, mode 0600), or the credential `seal.key` that systemd hands over
//! (`LoadCredentialEncrypted=seal.key`), which wins. A shell has no such credential: what it does to a service's files must not make a second key there. Whoever has a copy of the database alone has nothing; whoever has the key too has it all.

use std::fmt;
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use thiserror::Error;

use crate::files::{self, FileError};

/// The key's file name, in the data directory and among systemd's credentials.
pub const KEY_FILE: &str = "seal.key";
const KEY_BYTES: usize = 32;

/// Why something cannot be sealed or unsealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// The key's file fails.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key's file is no key.
    #[error(
        "{path}: a seal key has {KEY_BYTES} bytes, this file has {bytes}; put the right one back, or remove it and set every secret anew"
    )]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// The sealed bytes do not open with this key and name.
    #[error(
        "secret {name:?} does not open with this key: put the right {KEY_FILE} back, or remove the secret and set it anew"
    )]
    Wrong {
        /// The secret.
        name: String,
    },
    /// No randomness.
    #[error("the system gives no random numbers")]
    Random,
}

/// Seals and unseals. `Debug` hides the key.
pub struct Sealer {
    key: LessSafeKey,
    fingerprint: String,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// Takes the key from systemd's credentials, else from `dir`, else makes one there.
    pub fn open(dir: &Path) -> Result<Self, SealError> {
        if let Some(existing) = Self::existing(dir)? {
            return Ok(existing);
        }
        let path = dir.join(KEY_FILE);
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| SealError::Random)?;
        files::write_atomic(&path, &bytes, 0o600)?;
        Self::read(path)
    }

    /// Takes the key from systemd's credentials, else from `dir`; `None` where neither has one.
    pub fn existing(dir: &Path) -> Result<Option<Self>, SealError> {
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join(KEY_FILE));
        if let Some(path) = credential.filter(|path| path.exists()) {
            return Self::read(path).map(Some);
        }
        let path = dir.join(KEY_FILE);
        if path.exists() { Self::read(path).map(Some) } else { Ok(None) }
    }

    /// Tells this key from any other, and nothing about it: hexadecimal text.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn read(path: PathBuf) -> Result<Self, SealError> {
        let bytes = files::read(&path, 1024)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::BadKey { path, bytes: bytes.len() })?;
        let digest = digest(&SHA256, &[b"sitepulse seal key\0".as_slice(), &bytes].concat());
        let fingerprint = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { key: LessSafeKey::new(key), fingerprint })
    }

    /// Seals a value under its name: nonce, then ciphertext and tag.
    pub fn seal(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let mut sealed = value.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name.as_bytes()), &mut sealed)
            .map_err(|_| SealError::Random)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Sealer::seal`] made of the same name.
    pub fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let wrong = || SealError::Wrong { name: name.to_owned() };
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let value = self.key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut rest).map_err(|_| wrong())?;
        Ok(value.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_name_and_key_alone() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealer = Sealer::open(dir.path()).unwrap();
        let sealed = sealer.seal("ops", b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_ne!(sealed, sealer.seal("ops", b"hunter2").unwrap(), "each sealing has its own nonce");
        let again = Sealer::open(dir.path()).unwrap();
        assert_eq!(again.unseal("ops", &sealed).unwrap(), b"hunter2");
        assert!(again.unseal("dev", &sealed).is_err());
        assert!(Sealer::open(other.path()).unwrap().unseal("ops", &sealed).is_err());
        let mut broken = sealed.clone();
        *broken.last_mut().unwrap() ^= 1;
        assert!(again.unseal("ops", &broken).is_err());
        assert!(again.unseal("ops", b"short").is_err());
    }

    #[test]
    fn looking_for_a_key_makes_none_and_each_key_has_its_fingerprint() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(Sealer::existing(dir.path()).unwrap().is_none());
        assert!(!dir.path().join(KEY_FILE).exists());
        let made = Sealer::open(dir.path()).unwrap();
        let again = Sealer::existing(dir.path()).unwrap().unwrap();
        assert_eq!(again.fingerprint(), made.fingerprint());
        assert_ne!(Sealer::open(other.path()).unwrap().fingerprint(), made.fingerprint());
    }

    #[test]
    fn a_damaged_key_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(KEY_FILE), b"short").unwrap();
        let error = Sealer::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("has 5") && error.contains("put the right one back"), "{error}");
    }
}
