//! URLs of targets and of redirects, parsed as browsers do.

use std::fmt;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;

/// Longest URL that a redirect may lead to, in bytes.
const URL_BYTES_MAX: usize = 8192;

/// An absolute `http://` or `https://` URL without user information or fragment.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    uri: Uri,
    tls: bool,
    port: u16,
}

impl Url {
    /// Parses what a check names. Names in other scripts become punycode, `0x7f.1` becomes `127.0.0.1`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parsed = ::url::Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err("the URL holds a user or a password; put them into the check's auth".to_owned());
        }
        Self::from_parsed(parsed)
    }

    /// Where a `Location` leads from here. User information in it is dropped.
    pub(crate) fn join(&self, location: &str) -> Result<Self, String> {
        if location.len() > URL_BYTES_MAX {
            return Err(format!("its location is longer than {URL_BYTES_MAX} bytes"));
        }
        let here = ::url::Url::parse(&self.to_string()).map_err(|error| error.to_string())?;
        let there = here.join(location).map_err(|error| format!("{location:?} is no URL: {error}"))?;
        Self::from_parsed(there)
    }

    fn from_parsed(mut parsed: ::url::Url) -> Result<Self, String> {
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("{:?} is neither http:// nor https://", parsed.as_str()));
        }
        // Both can only fail where there is no host, and these schemes have one.
        parsed.set_username("").ok();
        parsed.set_password(None).ok();
        parsed.set_fragment(None);
        Self::again(parsed.as_str())
    }

    /// From the text that one prints as: nothing is made of it again, it is only taken apart.
    pub(crate) fn again(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(format!("{text:?} has no host"));
        }
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { uri, tls, port })
    }

    /// Whether it is `https://`.
    pub(crate) fn tls(&self) -> bool {
        self.tls
    }

    /// The host to resolve, lower case, an IPv6 address without its brackets.
    pub(crate) fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port, the scheme's where none is named.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The path without its query.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Scheme, host and port are the same: what belongs to the one may be told to the other.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.tls == other.tls && self.port == other.port && self.host() == other.host()
    }

    /// What `Host` says: the port only where it is not the scheme's.
    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map_or("", hyper::http::uri::Authority::as_str)
    }

    /// [`Url::authority`] as a header's value.
    pub(crate) fn host_header(&self) -> HeaderValue {
        HeaderValue::from_str(self.authority()).unwrap_or(HeaderValue::from_static(""))
    }

    /// With scheme and host, as HTTP/2, HTTP/3 and proxies want it.
    pub(crate) fn absolute(&self) -> &Uri {
        &self.uri
    }

    /// Path and query alone, as HTTP/1.1 wants it.
    pub(crate) fn origin_form(&self) -> Uri {
        self.uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_browsers_do() {
        for (text, tls, host, port, authority, target) in [
            ("http://Shop.Example", false, "shop.example", 80, "shop.example", "/"),
            ("https://shop.example:443/a?b=c#d", true, "shop.example", 443, "shop.example", "/a?b=c"),
            ("http://[::1]:8080/x y", false, "::1", 8080, "[::1]:8080", "/x%20y"),
            ("http://0x7f.1/", false, "127.0.0.1", 80, "127.0.0.1", "/"),
            ("http://2130706433/", false, "127.0.0.1", 80, "127.0.0.1", "/"),
            ("https://bücher.example/ü", true, "xn--bcher-kva.example", 443, "xn--bcher-kva.example", "/%C3%BC"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.tls(), url.host(), url.port()), (tls, host, port), "{text}");
            assert_eq!((url.authority(), url.origin_form().to_string().as_str()), (authority, target), "{text}");
            assert_eq!(Url::again(&url.to_string()), Ok(url), "{text}");
        }
        for bad in
            ["ftp://a.example/", "shop.example", "http://", "http://a:b@c.example/", "http://a b/", "http://:80/"]
        {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn locations_lead_on() {
        let here = Url::parse("http://a.example:8080/shop/cart?x=1").unwrap();
        for (location, there) in [
            ("/login", "http://a.example:8080/login"),
            ("pay", "http://a.example:8080/shop/pay"),
            ("../up", "http://a.example:8080/up"),
            ("?y=2", "http://a.example:8080/shop/cart?y=2"),
            ("//b.example/z", "http://b.example/z"),
            ("https://me:word@c.example/#part", "https://c.example/"),
            ("", "http://a.example:8080/shop/cart?x=1"),
        ] {
            assert_eq!(here.join(location).unwrap().to_string(), there, "{location}");
        }
        for bad in ["ftp://a.example/", "javascript:alert(1)", "http://[::1", "https://", &"x".repeat(9000)] {
            assert!(here.join(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let url = |text| Url::parse(text).unwrap();
        assert!(url("http://a.example/x").same_origin(&url("http://A.example:80/y")));
        for other in ["https://a.example/", "http://a.example:81/", "http://b.example/"] {
            assert!(!url("http://a.example/").same_origin(&url(other)), "{other}");
        }
    }
}
