//! The cookies of one run (RFC 6265, without `Domain`: a cookie goes back to the host that set it and no other).

use cookie::Cookie;
use hyper::header::{HeaderMap, HeaderValue, SET_COOKIE};
use sitepulse_daemon::clock;
use sitepulse_model::time::{SECOND_US, UtcMicros};

use crate::http::{Jar, Url};

/// Most cookies of a run; the oldest go.
const COOKIES_MAX: usize = 64;
/// Longest cookie, name and value; a longer one is not kept.
const COOKIE_BYTES_MAX: usize = 4096;

/// A run's cookies.
#[derive(Debug, Default)]
pub(super) struct Cookies(Vec<Kept>);

#[derive(Debug)]
struct Kept {
    host: String,
    path: String,
    is_secure: bool,
    name: String,
    value: String,
}

impl Jar for Cookies {
    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        let path = url.path();
        let mut fitting: Vec<&Kept> = self
            .0
            .iter()
            .filter(|kept| kept.host == url.host() && path_matches(&kept.path, path) && (url.tls() || !kept.is_secure))
            .collect();
        // Longer paths first (RFC 6265, 5.4).
        fitting.sort_by_key(|kept| std::cmp::Reverse(kept.path.len()));
        let pairs: Vec<String> = fitting.iter().map(|kept| format!("{}={}", kept.name, kept.value)).collect();
        if pairs.is_empty() { None } else { HeaderValue::from_str(&pairs.join("; ")).ok() }
    }

    fn store(&mut self, url: &Url, headers: &HeaderMap) {
        for line in headers.get_all(SET_COOKIE) {
            let Some(cookie) = line.to_str().ok().and_then(|line| Cookie::parse(line).ok()) else { continue };
            self.set(url, &cookie, clock::now());
        }
    }
}

impl Cookies {
    fn set(&mut self, url: &Url, cookie: &Cookie<'_>, now: UtcMicros) {
        let path = cookie.path().filter(|path| path.starts_with('/')).unwrap_or(default_path(url.path())).to_owned();
        let host = url.host().to_owned();
        let (name, value) = cookie.name_value();
        self.0.retain(|kept| !(kept.host == host && kept.path == path && kept.name == name));
        // `Max-Age` goes before `Expires`.
        let is_over = match (cookie.max_age(), cookie.expires_datetime()) {
            (Some(age), _) => !age.is_positive(),
            (None, Some(expires)) => UtcMicros(expires.unix_timestamp().saturating_mul(SECOND_US)) <= now,
            (None, None) => false,
        };
        if is_over || name.is_empty() || name.len() + value.len() > COOKIE_BYTES_MAX {
            return;
        }
        if self.0.len() >= COOKIES_MAX {
            self.0.remove(0);
        }
        let is_secure = cookie.secure() == Some(true);
        self.0.push(Kept { host, path, is_secure, name: name.to_owned(), value: value.to_owned() });
    }
}

/// The directory of a URL's path (RFC 6265, 5.1.4).
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

fn path_matches(cookie: &str, path: &str) -> bool {
    path.strip_prefix(cookie).is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn jar(set: &[(&str, &str)]) -> Cookies {
        let mut cookies = Cookies::default();
        for (from, line) in set {
            let mut headers = HeaderMap::new();
            headers.append(SET_COOKIE, line.parse().unwrap());
            cookies.store(&url(from), &headers);
        }
        cookies
    }

    fn sent(cookies: &Cookies, to: &str) -> Option<String> {
        cookies.cookies(&url(to)).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_cookie_goes_back_to_its_host_and_path() {
        let cookies = jar(&[
            ("https://shop.example/a/login", "deep=1; HttpOnly"),
            ("https://shop.example/a/login", "sid=abc==; Path=/; Secure; Domain=example"),
            ("https://shop.example/", "app=x; Path=/app"),
            ("https://other.example/", "other=1"),
        ]);
        for (to, expected) in [
            ("https://shop.example/a/b", Some("deep=1; sid=abc==")),
            ("https://shop.example:8443/", Some("sid=abc==")),
            ("https://shop.example/app/x", Some("app=x; sid=abc==")),
            ("https://shop.example/apple", Some("sid=abc==")),
            ("http://shop.example/a/b", Some("deep=1")),
            ("http://shop.example/", None),
            ("https://example/", None),
            ("https://sub.shop.example/", None),
        ] {
            assert_eq!(sent(&cookies, to).as_deref(), expected, "{to}");
        }
    }

    #[test]
    fn cookies_are_replaced_removed_and_limited() {
        let at = "http://shop.example/";
        let cookies = jar(&[(at, "a=1"), (at, "a=2"), (at, "b=1"), (at, "b=; Max-Age=0"), (at, "c=1")]);
        assert_eq!(sent(&cookies, at).as_deref(), Some("a=2; c=1"));
        let cookies = jar(&[
            (at, "a=1"),
            (at, "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
            (at, "b=1; Expires=Fri, 01-Jan-2100 00:00:00 GMT"),
        ]);
        assert_eq!(sent(&cookies, at).as_deref(), Some("b=1"));
        let many: Vec<String> = (0..100).map(|n| format!("n{n}=1")).collect();
        let cookies = jar(&many.iter().map(|line| (at, line.as_str())).collect::<Vec<_>>());
        assert_eq!(cookies.0.len(), COOKIES_MAX);
        assert!(sent(&cookies, at).unwrap().ends_with("n99=1"));
        let long = format!("long={}", "x".repeat(5000));
        assert_eq!(sent(&jar(&[(at, "no pair"), (at, &long)]), at), None);
    }
}
