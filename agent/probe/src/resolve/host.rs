//! What a host is: an address, a name, or neither.

use std::net::IpAddr;

/// Longest name, without its last dot (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A host of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// An address in its canonical form.
    Address(IpAddr),
    /// A name to resolve.
    Name {
        /// In lower case, without a dot at its end.
        name: String,
        /// It ended with a dot: no search list applies.
        absolute: bool,
    },
}

impl Host {
    /// Reads a host. Canonical addresses are addresses (`127.0.0.1`, `::1`); what other programs would turn into an address by rules of
    /// their own (`127.1`, `0x7f.1`, `2130706433`, `0177.0.0.1`) is refused: nobody can be asked for such a name.
    ///
    /// # Errors
    /// Why it is neither, with the remedy.
    pub(crate) fn parse(host: &str) -> Result<Self, String> {
        if let Ok(address) = host.parse() {
            return Ok(Self::Address(address));
        }
        let (name, absolute) = match host.strip_suffix('.') {
            Some(name) => (name, true),
            None => (host, false),
        };
        let neither = |why: &str| Err(format!("{host:?} is neither an address nor a name ({why})"));
        if name.is_empty() {
            return neither("it is empty");
        }
        if !name.is_ascii() {
            return neither("write it in ASCII, as xn--...");
        }
        if name.contains('%') {
            return neither("addresses with a zone and percent signs are not supported");
        }
        if name.contains(':') {
            return neither("an IPv6 address is written as 2001:db8::1");
        }
        if name.len() > NAME_BYTES_MAX {
            return neither("a name has at most 253 bytes");
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > LABEL_BYTES_MAX {
                return neither("between its dots are 1 to 63 characters");
            }
            if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return neither("a name has letters, digits, hyphens and underscores");
            }
        }
        // As URLs have it (WHATWG, "ends in a number"): no top-level domain is a number, so somebody means an address.
        let last = name.rsplit('.').next().unwrap_or(name);
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || last
                .strip_prefix("0x")
                .or_else(|| last.strip_prefix("0X"))
                .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if is_number {
            return neither("write an IPv4 address as four decimal numbers, 192.0.2.7");
        }
        Ok(Self::Name { name: name.to_ascii_lowercase(), absolute })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_addresses_are_addresses() {
        for good in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "2001:DB8::1", "0:0:0:0:0:0:0:1"] {
            assert_eq!(Host::parse(good), Ok(Host::Address(good.parse().unwrap())), "{good}");
        }
        for bad in [
            "2130706433",
            "0177.0.0.1",
            "127.1",
            "127.0.1",
            "0x7f.1",
            "0x7f000001",
            "0X7F.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "127.0.0.01",
            "1.1.1.1.1",
            "256.1.1.1",
            "0x",
            "0",
            "a.0x",
            "a.1",
            "[::1]",
            "::1%lo",
            "fe80::1%1",
            "::1%25lo",
            ":::1",
            "1::2::3",
        ] {
            let error = Host::parse(bad).unwrap_err();
            assert!(error.contains("neither an address nor a name"), "{bad}: {error}");
        }
    }

    #[test]
    fn names_are_names() {
        let name = |host: &str| match Host::parse(host) {
            Ok(Host::Name { name, absolute }) => (name, absolute),
            other => panic!("{host}: {other:?}"),
        };
        assert_eq!(name("Shop.Example."), ("shop.example".to_owned(), true));
        assert_eq!(name("LOCALHOST"), ("localhost".to_owned(), false));
        assert_eq!(name("_dmarc.xn--bcher-kva.example"), ("_dmarc.xn--bcher-kva.example".to_owned(), false));
        assert_eq!(name("127.0.0.1.nip.io").0, "127.0.0.1.nip.io");
        assert_eq!(name("0x7f.example").0, "0x7f.example");
        let long = format!("{}.example", "a".repeat(64));
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a@b",
            "bücher.example",
            "a%2eb",
            "127。0。0。1",
            "①②⑦.0.0.1",
            &long,
            &"a.".repeat(130),
        ] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
    }
}
