//! Assertions that many checks write alike, parsed once.
//!
//! Ten thousand checks rarely hold ten thousand different assertions, and a parsed one is not small (a regex has its automaton). An
//! [`Expectation`] is a counted reference; who reads a list of checks keeps a pool while doing so, and equal texts become one assertion.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{ExpectError, Expectation, defaults_for};

/// The assertions read so far, by kind of check and text. Memory: as many as there were different ones. Drop it when the list is read; what
/// is used lives on.
#[derive(Debug, Default)]
pub struct Pool {
    kinds: BTreeMap<String, BTreeMap<String, Expectation>>,
}

impl Pool {
    /// As [`Expectation::parse`].
    ///
    /// # Errors
    /// Why the text is no assertion for this kind.
    pub fn parse(&mut self, text: &str, kind: &str) -> Result<Expectation, ExpectError> {
        if let Some(known) = self.kinds.get(kind).and_then(|known| known.get(text)) {
            return Ok(known.clone());
        }
        let parsed = Expectation::parse(text, kind)?;
        self.kinds.entry(kind.into()).or_default().insert(text.into(), parsed.clone());
        Ok(parsed)
    }

    /// As [`with_defaults`](super::with_defaults).
    pub fn with_defaults(&mut self, kind: &str, list: &[Expectation]) -> Vec<Expectation> {
        let defaults: Vec<Expectation> = defaults_for(kind, list)
            .map(|assertion| self.parse(assertion, kind).expect("the default assertions parse; a test holds it"))
            .collect();
        // Exactly as long as it is: it is kept for as long as its check.
        let mut all = Vec::with_capacity(list.len() + defaults.len());
        all.extend(defaults);
        all.extend_from_slice(list);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_alike_is_kept_once() {
        let mut pool = Pool::default();
        let first = pool.parse("body matches /a+b/", "http").unwrap();
        let again = pool.parse("body matches /a+b/", "http").unwrap();
        assert!(first.is_same(&again));
        assert!(!first.is_same(&pool.parse("body matches /a+c/", "http").unwrap()));
        assert!(pool.parse("status == 200", "tcp").is_err(), "what one kind knows, another may not");
        assert!(pool.parse("status == 200", "http").is_ok() && pool.parse("status == 200", "tcp").is_err());
        let one = pool.with_defaults("http", core::slice::from_ref(&first));
        let other = pool.with_defaults("http", &[]);
        assert_eq!((one.len(), other.len()), (2, 1));
        assert!(one[0].is_same(&other[0]) && one[1].is_same(&first));
    }
}
