//! What checks have in common, prepared once.
//!
//! Ten thousand checks rarely differ in more than their address. Who prepares many of them keeps a pool while doing so, and what is equal is
//! kept once: assertions, lists of them, and of `http` checks everything but the URL.

use std::collections::HashMap;
use std::sync::Arc;

use sitepulse_model::check::{CheckDefinition, HttpTarget};
use sitepulse_model::expect::{self, Expectation};

use crate::http::Manner;

/// What the checks prepared so far have in common. Memory: as many as there were different ones. Drop it when the last check is prepared; what is
/// used lives on.
#[derive(Debug, Default)]
pub struct Pool {
    assertions: expect::Pool,
    /// By kind and texts.
    lists: HashMap<String, Arc<[Expectation]>>,
    /// By the target's JSON without its URL.
    manners: HashMap<String, Arc<Manner>>,
}

impl Pool {
    /// What a check asserts, with the defaults of its kind.
    pub(crate) fn expect(&mut self, definition: &CheckDefinition) -> Arc<[Expectation]> {
        let kind = definition.kind.as_str();
        let mut written = kind.to_owned();
        for expectation in &definition.expect {
            written.push('\0');
            written.push_str(expectation.source());
        }
        let assertions = &mut self.assertions;
        self.lists.entry(written).or_insert_with(|| assertions.with_defaults(kind, &definition.expect).into()).clone()
    }

    /// How an `http` check asks for its URL.
    pub(crate) fn manner(&mut self, target: &HttpTarget) -> Result<Arc<Manner>, String> {
        let rest = HttpTarget { url: String::new(), ..target.clone() };
        let written = serde_json::to_string(&rest).map_err(|error| error.to_string())?;
        if let Some(known) = self.manners.get(&written) {
            return Ok(known.clone());
        }
        let made = Arc::new(Manner::new(target)?);
        self.manners.insert(written, made.clone());
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use sitepulse_model::check::CheckKind;

    #[test]
    fn checks_that_differ_in_their_url_share_the_rest() {
        let mut pool = Pool::default();
        let first = HttpTarget::get("https://a.example/1");
        let manner = pool.manner(&first).unwrap();
        assert!(Arc::ptr_eq(&manner, &pool.manner(&HttpTarget::get("https://b.example/2")).unwrap()));
        let post = HttpTarget { method: "POST".to_owned(), ..first.clone() };
        assert!(!Arc::ptr_eq(&manner, &pool.manner(&post).unwrap()));
        let redirected = HttpTarget { redirects: 1, ..first.clone() };
        assert!(!Arc::ptr_eq(&manner, &pool.manner(&redirected).unwrap()));
        assert!(pool.manner(&HttpTarget { method: "get".to_owned(), ..first }).is_err());
    }

    #[test]
    fn checks_that_assert_alike_share_the_list() {
        let mut pool = Pool::default();
        let asserts = |url: &str, expect: &[&str]| check(CheckKind::http(url), 1_000_000, expect).definition;
        let first = pool.expect(&asserts("http://a.example/", &["body contains 'a'"]));
        assert!(Arc::ptr_eq(&first, &pool.expect(&asserts("http://b.example/", &["body contains 'a'"]))));
        assert!(!Arc::ptr_eq(&first, &pool.expect(&asserts("http://b.example/", &["body contains 'b'"]))));
        assert!(!Arc::ptr_eq(&first, &pool.expect(&asserts("http://b.example/", &[]))));
    }
}
