//! Names and numbers of things. A slug is what people write; a number is what travels and is stored.

use alloc::string::{String, ToString};
use core::fmt;

/// Longest slug, in bytes.
pub const SLUG_BYTES_MAX: usize = 64;

/// Why a text is no slug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlugError {
    /// What the text was meant to be ("check id", "region", ...).
    pub what: &'static str,
    /// The text as given.
    pub text: String,
}

impl fmt::Display for SlugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} is not a slug: use 1 to {SLUG_BYTES_MAX} of a-z, 0-9, '-', '_' and '.', starting with a letter or digit",
            self.what, self.text
        )
    }
}

impl core::error::Error for SlugError {}

/// Reads a slug; `what` names it in the error.
pub(crate) fn slug(what: &'static str, text: &str) -> Result<String, SlugError> {
    let bytes = text.as_bytes();
    let ok = !bytes.is_empty()
        && bytes.len() <= SLUG_BYTES_MAX
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
    if ok { Ok(text.to_string()) } else { Err(SlugError { what, text: text.to_string() }) }
}

macro_rules! slug_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Parses a slug: 1 to 64 of `a-z 0-9 - _ .`, starting with a letter or digit.
            pub fn parse(text: &str) -> Result<Self, SlugError> {
                slug($what, text).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

slug_type!(
    /// A check's id, chosen by its author: `shop`.
    CheckId, "check id"
);
slug_type!(
    /// A region: `eu-west`. Several agents may share one.
    Region, "region"
);
slug_type!(
    /// An agent's name, unique in a collector: `eu-west-1`.
    AgentName, "agent name"
);
slug_type!(
    /// A group of checks: `shop`. A check is in one at most.
    Group, "group"
);
slug_type!(
    /// A word that checks carry: `checkout`. A check may carry several.
    Tag, "tag"
);
slug_type!(
    /// Who operates something that a check needs, as its author calls them: `ovh`. A check may need several.
    Provider, "provider"
);
slug_type!(
    /// The id of what is written as code beside checks: `business-hours`.
    ObjectId, "id"
);

macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_type!(
    /// A check's number: given out by the collector when the check is first applied, never reused.
    CheckNo, u32
);
number_type!(
    /// An agent's number: given out by the collector at enrolment, never reused.
    AgentNo, u32
);
number_type!(
    /// A check definition's revision, from 1.
    Revision, u32
);
number_type!(
    /// Names one life of an agent's spool file; random, new whenever the file is.
    Incarnation, u64
);
number_type!(
    /// A record's number within (agent, incarnation, bucket), from 0 without gaps.
    Seq, u64
);
number_type!(
    /// A shard key, 0 to 63: first in every key of the store. See [`CheckId::bucket`].
    Bucket, u8
);

/// How many buckets there are. Fixed for ever: stored keys depend on it.
pub const BUCKETS: u8 = 64;

impl Bucket {
    /// The bucket of a text: FNV-1a (64 bit) modulo [`BUCKETS`]. Stable for ever: stored keys depend on it.
    pub fn of(text: &str) -> Self {
        Self((fnv1a(text.as_bytes()) % u64::from(BUCKETS)) as u8)
    }
}

impl CheckId {
    /// The bucket that holds everything about this check.
    pub fn bucket(&self) -> Bucket {
        Bucket::of(&self.0)
    }
}

impl AgentName {
    /// The bucket that holds this agent's own rows (not its results: those live with their check).
    pub fn bucket(&self) -> Bucket {
        Bucket::of(&self.0)
    }
}

/// FNV-1a, 64 bit: a small stable hash for keys and schedule offsets. Not for secrets.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    fnv1a_of(&[bytes])
}

/// [`fnv1a`] of some pieces as if they were one.
pub fn fnv1a_of(pieces: &[&[u8]]) -> u64 {
    pieces
        .iter()
        .copied()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_refuse_what_could_hurt() {
        for bad in ["", "Shop", "a b", "-x", "ä", "a/b", &"x".repeat(65)] {
            assert!(CheckId::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["shop", "eu-west", "a.b_c-1", "0"] {
            assert!(CheckId::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn buckets_never_move() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a_of(&[b"shop", b"@", b"eu-1"]), fnv1a(b"shop@eu-1"));
        assert_eq!(Bucket::of("a"), Bucket(0x0c));
    }
}
