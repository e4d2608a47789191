//! Texts with variables in them: `{{name}}`.
//!
//! In a URL variables stand behind the host alone, and their values are percent-encoded: whatever an answer held, it can change neither the host
//! nor the shape of the URL. One exception: a variable that is the whole path (`https://shop.example{{location}}`) may hold a path with a
//! query, or a URL of the same host; that is what `header 'location'` captures.

use super::Variables;
use crate::http::Url;

/// A text in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
}

impl Template {
    /// Finds the variables. Braces around anything but a name are text.
    pub(super) fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            let named = from[2..].split_once("}}").filter(|(name, _)| is_name(name));
            match named {
                Some((name, after)) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Variable(name.to_owned()));
                    rest = after;
                }
                // One brace: the next one may begin a variable.
                None => {
                    plain.push('{');
                    rest = &from[1..];
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Self(pieces)
    }

    /// The names used.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// Whether it has no variables.
    pub(super) fn is_plain(&self) -> bool {
        self.names().next().is_none()
    }

    /// The text with the variables' values as they are.
    pub(super) fn render(&self, variables: &Variables) -> String {
        self.render_with(variables, |value| value.to_owned())
    }

    fn render_with(&self, variables: &Variables, put: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Variable(name) => out.push_str(&put(variables.get(name).map_or("", String::as_str))),
            }
        }
        out
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A URL with variables behind its host.
#[derive(Debug)]
pub(super) struct UrlTemplate {
    /// `https://host:port`.
    origin: String,
    rest: Template,
    /// The URL where nothing is variable.
    plain: Option<Url>,
}

impl UrlTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("{text:?} has no scheme"))?;
        let end = rest.find(['/', '?', '#', '{']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let origin = format!("{scheme}://{authority}");
        if authority.is_empty() {
            return Err(format!("{text:?} has no host of its own; variables stand behind the host"));
        }
        let parsed = Url::parse(&origin)?;
        let rest = Template::parse(rest);
        // `https://shop{{id}}.example/` would be the path `7.example` at the host `shop`.
        let leads = matches!(rest.0.first(), Some(Piece::Variable(_)));
        let is_host = match rest.0.get(1) {
            Some(Piece::Text(text)) => !text.starts_with(['/', '?', '&', '#']),
            Some(Piece::Variable(_)) => true,
            None => false,
        };
        if leads && (is_host || authority.ends_with(['.', ':'])) {
            return Err(format!("{text:?} has a variable in its host; variables stand behind the host"));
        }
        let plain = if rest.is_plain() { Some(Url::parse(text)?) } else { None };
        if plain.as_ref().is_some_and(|url| !url.same_origin(&parsed)) {
            return Err(format!("{text:?} has braces in its host; variables stand behind the host"));
        }
        Ok(Self { origin, rest, plain })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.rest.names()
    }

    /// The URL with the variables' values in it; why it is none.
    pub(super) fn render(&self, variables: &Variables) -> Result<Url, String> {
        if let Some(url) = &self.plain {
            return Ok(url.clone());
        }
        let origin = Url::parse(&self.origin)?;
        let rest = match self.rest.0.split_first() {
            Some((Piece::Variable(name), tail)) => {
                let path = self.whole_path(&origin, variables.get(name).map_or("", String::as_str))?;
                path + &Template(tail.to_vec()).render_with(variables, encode)
            }
            Some((Piece::Text(_), _)) | None => self.rest.render_with(variables, encode),
        };
        if let Some(segment) = climbing(&rest) {
            return Err(format!("its path would climb by the segment {segment:?}"));
        }
        let url = Url::parse(&format!("{}{rest}", self.origin))?;
        if url.same_origin(&origin) { Ok(url) } else { Err(format!("it leads away from {}", self.origin)) }
    }

    /// A value that stands for the whole path.
    fn whole_path(&self, origin: &Url, value: &str) -> Result<String, String> {
        let url = origin.join(value)?;
        if !url.same_origin(origin) {
            return Err(format!("its value leads to {}, not to {}", url, self.origin));
        }
        Ok(url.origin_form().to_string())
    }
}

/// The first segment of the path in `rest` (what follows the host) that leads to its parent or to itself. Coded dots are dots to all who read URLs.
fn climbing(rest: &str) -> Option<&str> {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    path.split(['/', '\\'])
        .find(|segment| [".", ".."].contains(&segment.to_ascii_lowercase().replace("%2e", ".").as_str()))
}

/// Everything but unreserved characters (RFC 3986, 2.3) in percents.
pub(super) fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [
            ("id", "7"),
            ("evil", "/../x?y=1&z#@h\r\nü"),
            ("path", "/orders/7?x=1"),
            ("url", "https://shop.example/orders/8"),
            ("away", "https://evil.example/"),
            ("slashes", "//evil.example/"),
            ("up", ".."),
            ("dot", "."),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn variables_are_found_among_braces() {
        for (text, rendered) in [
            ("", ""),
            ("plain", "plain"),
            ("a {{id}} b {{id}}{{id}}", "a 7 b 77"),
            ("{\"a\":{\"id\":{{id}}}}", "{\"a\":{\"id\":7}}"),
            ("{{{id}}}", "{7}"),
            ("{{Not a name}} {{}} {{ id }} {{id", "{{Not a name}} {{}} {{ id }} {{id"),
            ("{{unknown}}.", "."),
        ] {
            assert_eq!(Template::parse(text).render(&variables()), rendered, "{text}");
        }
        assert_eq!(Template::parse("{{a}}x{{b}}").names().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn values_cannot_change_the_shape_of_a_url() {
        let url = |text: &str| UrlTemplate::parse(text).unwrap().render(&variables()).map(|url| url.to_string());
        for (text, rendered) in [
            ("https://shop.example/a/{{id}}/b?c={{id}}", "https://shop.example/a/7/b?c=7"),
            (
                "https://shop.example:8443/{{evil}}",
                "https://shop.example:8443/%2F..%2Fx%3Fy%3D1%26z%23%40h%0D%0A%C3%BC",
            ),
            ("https://shop.example?x={{evil}}", "https://shop.example/?x=%2F..%2Fx%3Fy%3D1%26z%23%40h%0D%0A%C3%BC"),
            ("https://shop.example{{path}}", "https://shop.example/orders/7?x=1"),
            ("https://shop.example{{path}}&y={{id}}", "https://shop.example/orders/7?x=1&y=7"),
            ("https://shop.example{{url}}", "https://shop.example/orders/8"),
            ("https://shop.example/a?up={{up}}", "https://shop.example/a?up=.."),
            ("https://shop.example/a{{up}}/{{up}}.", "https://shop.example/a../..."),
        ] {
            assert_eq!(url(text).as_deref(), Ok(rendered), "{text}");
        }
        // A captured `..` must not turn the order into the whole shop.
        for climbs in [
            "https://shop.example/orders/{{up}}/delete",
            "https://shop.example/orders/{{up}}",
            "https://shop.example/orders/{{dot}}{{dot}}?x=1",
            "https://shop.example/orders/.{{dot}}/x",
            "https://shop.example/orders/%2e{{dot}}/x",
            "https://shop.example/orders\\{{up}}\\x",
            "https://shop.example/orders/{{dot}}/delete",
        ] {
            let climbed = url(climbs);
            assert!(climbed.as_ref().is_err_and(|text| text.contains("climb")), "{climbs}: {climbed:?}");
        }
        for away in ["https://shop.example{{away}}", "https://shop.example{{slashes}}"] {
            assert!(url(away).is_err(), "{away}");
        }
        for bad in [
            "https://{{id}}/",
            "https://{{id}}.example/",
            "https://shop.{{id}}.example/",
            "https://shop{{id}}.example/",
            "https://shop{{id}}{{id}}/",
            "https://shop.{{id}}/",
            "https://shop.example:{{id}}/",
            "shop.example/{{id}}",
            "ftp://a.example/{{id}}",
        ] {
            assert!(UrlTemplate::parse(bad).is_err(), "{bad}");
        }
    }
}
