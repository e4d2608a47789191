//! What an ID token says: whether it is for this sign-in, and whom it lets in as what.

use std::collections::BTreeMap;

use serde_json::Value;
use sitepulse_model::time::UtcMicros;
use sitepulse_model::user::Role;

/// How far the provider's clock may be off, in seconds.
pub const SKEW_S: i64 = 60;
/// Longest subject, in bytes (OpenID Connect Core, 2).
pub const SUBJECT_BYTES_MAX: usize = 255;
/// Longest name and address that are taken over, in bytes.
const TEXT_BYTES_MAX: usize = 200;
/// Most groups that are looked at.
const VALUES_MAX: usize = 2_000;

/// What a token must say to be for this sign-in.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The provider's issuer.
    pub issuer: &'a str,
    /// This collector at the provider.
    pub client_id: &'a str,
    /// What this sign-in asked to be repeated.
    pub nonce: &'a str,
    /// The present.
    pub now: UtcMicros,
}

/// Whom a provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The provider.
    pub issuer: String,
    /// Who they are there, for ever.
    pub subject: String,
    /// Their address, where the provider says that it is theirs.
    pub email: Option<String>,
    /// What people call them.
    pub name: Option<String>,
    /// What they call themselves when they sign in there.
    pub username: Option<String>,
    /// Their groups or roles there.
    pub values: Vec<String>,
}

/// What becomes of somebody who is no user here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// They do not come in.
    Refuse,
    /// They become a user.
    Create,
}

/// Who may come in, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The claim that tells groups or roles.
    pub claim: String,
    /// The role that each of its values gives.
    pub roles: BTreeMap<String, Role>,
    /// The domains one of which the address must be in, in lower case.
    pub domains: Option<Vec<String>>,
    /// The groups one of which one must be in.
    pub groups: Option<Vec<String>>,
    /// What becomes of somebody who is no user here.
    pub unknown: Unknown,
}

impl Rules {
    /// Whether somebody may come in at all.
    ///
    /// # Errors
    /// Why not, for the audit log.
    pub fn admit(&self, person: &Person) -> Result<(), &'static str> {
        let domain = person.email.as_deref().and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
        let in_domain = |domains: &Vec<String>| {
            domain.is_some_and(|domain| domains.iter().any(|one| one.eq_ignore_ascii_case(domain)))
        };
        if !self.domains.as_ref().is_none_or(in_domain) {
            return Err("no verified address in a domain that is allowed");
        }
        if !self.groups.as_ref().is_none_or(|groups| groups.iter().any(|group| person.values.contains(group))) {
            return Err("in no group that is allowed");
        }
        Ok(())
    }

    /// The role that the claim gives: of several the one that reaches furthest.
    pub fn role(&self, person: &Person) -> Option<Role> {
        person.values.iter().filter_map(|value| self.roles.get(value)).max().copied()
    }
}

/// Whom a token vouches for, once its signature is good.
///
/// # Errors
/// What is wrong with it, for the audit log.
pub fn person(claims: &Value, claim: &str, expected: Expected<'_>) -> Result<Person, &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err("the ID token is of another issuer");
    }
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let party = claims.get("azp");
    let for_us = audiences.contains(&expected.client_id)
        && (audiences.len() == 1 || party.is_some())
        && party.is_none_or(|party| party.as_str() == Some(expected.client_id));
    if !for_us {
        return Err("the ID token is for another client");
    }
    // Seconds as JSON writes numbers; a text is none.
    let seconds = |name: &str| {
        let number = claims.get(name)?;
        number.as_i64().or_else(|| number.as_f64().filter(|it| it.abs() < 1e15).map(|it| it as i64))
    };
    let now = expected.now.0.div_euclid(1_000_000);
    if seconds("exp").is_none_or(|exp| now >= exp.saturating_add(SKEW_S)) {
        return Err("the ID token is over, or does not say until when it is good");
    }
    if seconds("iat").is_none_or(|iat| iat > now + SKEW_S) {
        return Err("the ID token is of the future: compare the clocks");
    }
    if claims.get("nbf").is_some() && seconds("nbf").is_none_or(|nbf| nbf > now + SKEW_S) {
        return Err("the ID token is not good yet: compare the clocks");
    }
    if text("nonce") != Some(expected.nonce) {
        return Err("the ID token is of another sign-in (nonce)");
    }
    let subject = text("sub")
        .filter(|sub| !sub.is_empty() && sub.len() <= SUBJECT_BYTES_MAX && !sub.chars().any(char::is_control));
    let subject = subject.ok_or("the ID token names nobody")?.to_owned();
    // Some providers write the truth in quotes.
    let verified = matches!(claims.get("email_verified"), Some(Value::Bool(true)))
        || text("email_verified").is_some_and(|text| text == "true");
    let line = |name: &str| {
        let text = text(name)?.trim();
        let fits = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    };
    let email = line("email").filter(|email| verified && email.contains('@'));
    let values = values(claims, claim);
    let (name, username) = (line("name"), line("preferred_username"));
    Ok(Person { issuer: expected.issuer.to_owned(), subject, email, name, username, values })
}

/// The texts of a claim: by its whole name, else by the names between its dots.
fn values(claims: &Value, claim: &str) -> Vec<String> {
    let found = claims.get(claim).or_else(|| claim.split('.').try_fold(claims, |within, name| within.get(name)));
    match found {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => all.iter().take(VALUES_MAX).filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_790_000_000;
    const EXPECTED: Expected<'static> =
        Expected { issuer: "https://id.example", client_id: "sitepulse", nonce: "n", now: UtcMicros(NOW * 1_000_000) };

    fn good() -> Value {
        json!({
            "iss": "https://id.example", "aud": "sitepulse", "exp": NOW + 300, "iat": NOW, "nonce": "n", "sub": "4711",
            "email": "ana@example.com", "email_verified": true, "name": "Ana", "groups": ["sre", "staff"], "realm": {"roles": ["ops"]}
        })
    }

    fn read(change: impl Fn(&mut Value)) -> Result<Person, &'static str> {
        let mut claims = good();
        change(&mut claims);
        person(&claims, "groups", EXPECTED)
    }

    #[test]
    fn a_token_for_this_sign_in_tells_who_it_is() {
        let person = read(|_| {}).unwrap();
        assert_eq!((person.subject.as_str(), person.email.as_deref()), ("4711", Some("ana@example.com")));
        assert_eq!(person.values, ["sre", "staff"]);
        assert_eq!(values(&good(), "realm.roles"), ["ops"]);
        assert_eq!(values(&json!({"https://a.b/c": "x"}), "https://a.b/c"), ["x"]);
        // Fractions of seconds, several audiences, a clock that is off by less than a minute.
        assert!(read(|claims| claims["exp"] = json!(NOW as f64 + 0.5)).is_ok());
        assert!(read(|claims| claims["exp"] = json!(NOW - SKEW_S + 1)).is_ok());
        assert!(read(|claims| claims["iat"] = json!(NOW + SKEW_S)).is_ok());
        assert!(
            read(|claims| {
                claims["aud"] = json!(["other", "sitepulse"]);
                claims["azp"] = json!("sitepulse");
            })
            .is_ok()
        );
    }

    #[test]
    fn an_address_that_is_not_verified_is_none() {
        for verified in [json!(false), json!("false"), json!(1), json!("yes"), Value::Null] {
            assert_eq!(read(|claims| claims["email_verified"] = verified.clone()).unwrap().email, None, "{verified}");
        }
        assert!(read(|claims| claims["email_verified"] = json!("true")).unwrap().email.is_some());
    }

    #[test]
    fn what_is_not_for_this_sign_in_is_refused() {
        for (name, value) in [
            ("iss", json!("https://id.example/")),
            ("iss", json!("https://evil.example")),
            ("iss", Value::Null),
            ("aud", json!("other")),
            ("aud", json!([])),
            ("aud", json!(["sitepulse", "other"])),
            ("aud", Value::Null),
            ("azp", json!("other")),
            ("azp", json!(3)),
            ("exp", json!(NOW - SKEW_S)),
            ("exp", json!("9999999999")),
            ("exp", Value::Null),
            ("iat", json!(NOW + SKEW_S + 1)),
            ("iat", json!("0")),
            ("iat", Value::Null),
            ("nbf", json!(NOW + SKEW_S + 1)),
            ("nbf", json!("0")),
            ("nonce", json!("m")),
            ("nonce", json!("")),
            ("nonce", Value::Null),
            ("sub", json!("")),
            ("sub", json!(4711)),
            ("sub", json!("a".repeat(256))),
            ("sub", json!("a\nb")),
        ] {
            assert!(read(|claims| claims[name] = value.clone()).is_err(), "{name} = {value}");
        }
        for absent in ["iss", "aud", "exp", "iat", "nonce", "sub"] {
            assert!(read(|claims| drop(claims.as_object_mut().unwrap().remove(absent))).is_err(), "{absent}");
        }
    }

    #[test]
    fn who_comes_in_is_said_by_domain_and_group() {
        let rules = Rules {
            claim: "groups".into(),
            roles: [("sre".to_owned(), Role::Editor), ("staff".to_owned(), Role::Viewer)].into(),
            domains: Some(vec!["example.com".into()]),
            groups: Some(vec!["staff".into()]),
            unknown: Unknown::Refuse,
        };
        let ana = read(|_| {}).unwrap();
        assert_eq!((rules.admit(&ana), rules.role(&ana)), (Ok(()), Some(Role::Editor)));
        for (what, email) in [
            ("elsewhere", "ana@example.com.evil.org"),
            ("below", "ana@sub.example.com"),
            ("two", "a@example.com@evil.org"),
        ] {
            let other = Person { email: Some(email.into()), ..ana.clone() };
            assert!(rules.admit(&other).is_err(), "{what}");
        }
        assert!(rules.admit(&Person { email: Some("ana@EXAMPLE.com".into()), ..ana.clone() }).is_ok());
        assert!(rules.admit(&Person { email: None, ..ana.clone() }).is_err());
        let alone = Person { values: vec!["sre".into()], ..ana };
        assert!(rules.admit(&alone).is_err());
        assert_eq!(rules.role(&Person { values: Vec::new(), ..alone }), None);
    }
}
