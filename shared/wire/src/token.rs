//! The text of a join token: `sp1_` and base64url of the collector's addresses, its CA's pin, a secret and a CRC-32C.
//!
//! The payload is `pin[32] secret[32] count:u8 (length:u8 address)*` and the checksum (little endian) of the prefix and the payload,
//! so that a truncated or mistyped token is told apart from one that the collector refuses.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

use crate::message::ADDRESSES_MAX;

/// What every token of this version begins with.
pub const TOKEN_PREFIX: &str = "sp1_";
/// Longest address in a token, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 255;

/// Longest token text: all addresses at their longest.
const TOKEN_CHARS_MAX: usize = TOKEN_PREFIX.len() + (64 + 1 + ADDRESSES_MAX * (1 + ADDRESS_BYTES_MAX) + 4) * 4 / 3 + 4;

/// What an agent needs to join: where to go, whom to trust, and the right to.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Addresses (`host:port`) of collectors, 1 to [`ADDRESSES_MAX`], each 1 to [`ADDRESS_BYTES_MAX`] bytes.
    pub addresses: Vec<String>,
    /// SHA-256 of the SubjectPublicKeyInfo of the collector's CA.
    pub ca_pin: [u8; 32],
    /// The secret; the collector keeps only its hash.
    pub secret: [u8; 32],
}

/// Why a text is no join token. Never contains the text: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Something else was pasted.
    #[error(
        "this is not a join token: it must begin with {TOKEN_PREFIX:?}; make one with `sitepulse-collector token create`"
    )]
    NotAToken,
    /// From a newer collector.
    #[error("this join token begins with {prefix:?}, this build understands {TOKEN_PREFIX:?}: upgrade this agent")]
    Newer {
        /// Its prefix.
        prefix: String,
    },
    /// A character that cannot occur.
    #[error(
        "the join token has the impossible character {character:?} at column {column}: copy it again, in one piece"
    )]
    BadCharacter {
        /// The character.
        character: char,
        /// Where, from 1.
        column: usize,
    },
    /// The checksum does not fit.
    #[error("the join token is damaged: a character is missing, added or wrong; copy it again, in one piece")]
    Damaged,
    /// An address list out of bounds.
    #[error("a join token carries 1 to {ADDRESSES_MAX} addresses of 1 to {ADDRESS_BYTES_MAX} bytes, not {count}")]
    Addresses {
        /// How many there are.
        count: usize,
    },
}

impl JoinToken {
    /// A token; checks the addresses' bounds.
    pub fn new(addresses: Vec<String>, ca_pin: [u8; 32], secret: [u8; 32]) -> Result<Self, TokenError> {
        let count = addresses.len();
        let fits = |address: &String| !address.is_empty() && address.len() <= ADDRESS_BYTES_MAX;
        if count == 0 || count > ADDRESSES_MAX || !addresses.iter().all(fits) {
            return Err(TokenError::Addresses { count });
        }
        Ok(Self { addresses, ca_pin, secret })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl fmt::Display for JoinToken {
    /// The token itself: a secret until it is used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut payload = Vec::with_capacity(128);
        payload.extend_from_slice(&self.ca_pin);
        payload.extend_from_slice(&self.secret);
        // Addresses out of bounds are cut: a token made by `new` has none.
        let addresses = &self.addresses[..self.addresses.len().min(ADDRESSES_MAX)];
        payload.push(addresses.len() as u8);
        for address in addresses {
            let bytes = &address.as_bytes()[..address.len().min(ADDRESS_BYTES_MAX)];
            payload.push(bytes.len() as u8);
            payload.extend_from_slice(bytes);
        }
        let sum = checksum(&payload);
        payload.extend_from_slice(&sum);
        f.write_str(TOKEN_PREFIX)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(payload))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let Some(encoded) = text.strip_prefix(TOKEN_PREFIX) else {
            return Err(other_prefix(text));
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if let Some((index, character)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
            return Err(TokenError::BadCharacter { character, column: index + 1 });
        }
        if text.len() > TOKEN_CHARS_MAX {
            return Err(TokenError::Damaged);
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Damaged)?;
        let (payload, sum) = bytes.split_last_chunk::<4>().ok_or(TokenError::Damaged)?;
        if checksum(payload) != *sum {
            return Err(TokenError::Damaged);
        }
        let (ca_pin, rest) = payload.split_first_chunk::<32>().ok_or(TokenError::Damaged)?;
        let (secret, rest) = rest.split_first_chunk::<32>().ok_or(TokenError::Damaged)?;
        let (&count, mut rest) = rest.split_first().ok_or(TokenError::Damaged)?;
        let mut addresses = Vec::with_capacity(usize::from(count).min(ADDRESSES_MAX));
        for _ in 0..count {
            let (&length, after) = rest.split_first().ok_or(TokenError::Damaged)?;
            let (address, after) = after.split_at_checked(usize::from(length)).ok_or(TokenError::Damaged)?;
            addresses.push(str::from_utf8(address).map_err(|_| TokenError::Damaged)?.to_owned());
            rest = after;
        }
        if !rest.is_empty() {
            return Err(TokenError::Damaged);
        }
        Self::new(addresses, *ca_pin, *secret)
    }
}

fn checksum(payload: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(TOKEN_PREFIX.as_bytes()), payload).to_le_bytes()
}

/// `sp2_...` is a newer token; anything else is none.
fn other_prefix(text: &str) -> TokenError {
    let newer = text.strip_prefix("sp").and_then(|rest| rest.split_once('_')).filter(|(version, _)| {
        !version.is_empty() && version.len() <= 3 && version.bytes().all(|b| b.is_ascii_digit())
    });
    match newer {
        Some((version, _)) => TokenError::Newer { prefix: format!("sp{version}_") },
        None => TokenError::NotAToken,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> JoinToken {
        JoinToken::new(vec!["collector.example:8443".into(), "[2001:db8::1]:8443".into()], [7; 32], [9; 32]).unwrap()
    }

    #[test]
    fn every_single_character_typo_is_damage() {
        let text = sample().to_string();
        assert_eq!(text.parse::<JoinToken>().unwrap(), sample());
        assert_eq!(format!(" {text}\n").parse::<JoinToken>().unwrap(), sample());
        for at in TOKEN_PREFIX.len()..text.len() {
            let mut typo: Vec<char> = text.chars().collect();
            typo[at] = if typo[at] == 'A' { 'B' } else { 'A' };
            let typo: String = typo.into_iter().collect();
            assert_eq!(typo.parse::<JoinToken>(), Err(TokenError::Damaged), "column {at}");
            let shorter = [&text[..at], &text[at + 1..]].concat();
            assert!(shorter.parse::<JoinToken>().is_err(), "without column {at}");
        }
    }

    #[test]
    fn errors_tell_what_to_do_and_never_the_secret() {
        let bad = |text: &str| text.parse::<JoinToken>().unwrap_err();
        assert_eq!(bad("hello"), TokenError::NotAToken);
        assert_eq!(bad(""), TokenError::NotAToken);
        assert!(bad("sp2_abc").to_string().contains("upgrade this agent"));
        assert_eq!(bad("sp1_ab cd"), TokenError::BadCharacter { character: ' ', column: 7 });
        assert_eq!(bad("sp1_"), TokenError::Damaged);
        assert_eq!(bad(&format!("sp1_{}", "A".repeat(10_000))), TokenError::Damaged);
        assert!(!format!("{:?}", sample()).contains('9'));
        assert!(JoinToken::new(vec![], [0; 32], [0; 32]).is_err());
        assert!(JoinToken::new(vec!["x".repeat(256)], [0; 32], [0; 32]).is_err());
    }

    proptest! {
        #[test]
        fn any_token_comes_back(
            addresses in prop::collection::vec("[a-z0-9.:]{1,255}", 1..=ADDRESSES_MAX),
            ca_pin: [u8; 32],
            secret: [u8; 32],
        ) {
            let token = JoinToken::new(addresses, ca_pin, secret).unwrap();
            prop_assert_eq!(token.to_string().parse::<JoinToken>().unwrap(), token);
        }

        #[test]
        fn any_text_is_handled(text in "(sp1_)?.{0,200}") {
            prop_assert!(text.parse::<JoinToken>().is_err());
        }
    }
}
