//! Who somebody at an identity provider is here: by issuer and subject, which stay when names and addresses change hands.

use sitepulse_model::time::UtcMicros;

use crate::enrol::sha256;

/// Who somebody at a provider is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's id.
    pub user: String,
    /// The provider.
    pub issuer: String,
    /// Who they are there.
    pub subject: String,
    /// When they became this user.
    pub linked: UtcMicros,
    /// When they signed in last.
    pub used: UtcMicros,
}

/// What an identity is kept under.
pub fn name(issuer: &str, subject: &str) -> String {
    let hash = sha256(format!("{issuer}\0{subject}").as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An id for a new user: what they call themselves, else what stands before the `@`, as a slug.
pub fn slug(username: Option<&str>, email: Option<&str>) -> String {
    let of = |text: &str| {
        let local = text.split('@').next().unwrap_or_default().to_lowercase();
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
        let text: String = local.chars().take(40).map(plain).collect();
        text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
    };
    let mut all = [username, email].into_iter().flatten().map(of);
    all.find(|slug| !slug.is_empty()).unwrap_or_else(|| "user".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_people_call_themselves_makes_a_slug() {
        for (username, email, is) in [
            (Some("Ana.Silva"), None, "ana.silva"),
            (Some("ana@example.com"), Some("x@y"), "ana"),
            (None, Some("Bob+x@example.com"), "bob-x"),
            (Some("\u{c9}lo\u{ef}se"), None, "lo-se"),
            (Some("../../etc"), None, "etc"),
            (Some("\u{4f60}\u{597d}"), Some("@"), "user"),
            (None, None, "user"),
        ] {
            let slug = slug(username, email);
            assert_eq!(slug, is);
            assert!(sitepulse_model::id::ObjectId::parse(&slug).is_ok(), "{slug}");
        }
        assert_eq!(slug(Some(&"a".repeat(500)), None).len(), 40);
        assert_ne!(name("a", "b"), name("a\0", "b"));
    }
}
