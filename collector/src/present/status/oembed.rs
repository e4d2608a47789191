//! `/oembed`: tells an editor into which a page's address is pasted how to show it as a card (oEmbed 1.0, type `rich`).
//!
//! Only addresses of this collector's own status pages are answered, as `[console] status_url` (else `url`) spells them: what the answer holds is made from that setting and
//! the page, never from the request.

use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{card, nothing_here};
use crate::present::Present;
use crate::present::http::escape;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Language;

/// How wide and tall a card is where nothing is asked, in CSS pixels: its lines decide.
const WIDTH: u32 = 600;
const HEIGHT_OF_FRAME: u32 = 130;
const HEIGHT_OF_ITEM: u32 = 27;
/// Below this nothing could be read.
const SIDE_MIN: u32 = 100;
/// How long others may keep the answer, in seconds: the card in it is always new.
const CACHE_AGE_S: u32 = 3_600;
/// Longest address that is looked at, in bytes.
const URL_BYTES_MAX: usize = 1_000;

/// What is asked. Keys of other versions are passed over.
#[derive(Debug, Default, Deserialize)]
pub struct OembedQuery {
    url: Option<String>,
    format: Option<String>,
    maxwidth: Option<String>,
    maxheight: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Rich {
    version: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    provider_name: String,
    provider_url: String,
    cache_age: u32,
    width: u32,
    height: u32,
    html: String,
}

/// `GET /oembed`
pub async fn oembed(State(present): State<Present>, Query(query): Query<OembedQuery>) -> Answer<Response> {
    let xml = match query.format.as_deref().unwrap_or("json") {
        "json" => false,
        "xml" => true,
        _ => return Ok((StatusCode::NOT_IMPLEMENTED, "format is json or xml\n").into_response()),
    };
    let Some(url) = query.url else { return Err(Problem::new(Code::BadRequest, "url is missing: the page's address")) };
    let side = |text: &Option<String>, name: &str, whole: u32| match text.as_deref().map(str::parse::<u32>) {
        None => Ok(whole),
        Some(Ok(most)) => Ok(whole.min(most).max(SIDE_MIN.min(most))),
        Some(Err(_)) => Err(Problem::new(Code::BadRequest, format!("{name} is a number of pixels"))),
    };
    let Some((id, lang)) = page_of(present.public_url(), &url) else { return Ok(nothing_here()) };
    let Some(taken) = present.status(&id).await? else { return Ok(nothing_here()) };
    let facts = &taken.facts;
    let tall = HEIGHT_OF_FRAME + HEIGHT_OF_ITEM * u32::try_from(card::shown(facts)).unwrap_or(0);
    let (width, height) = (side(&query.maxwidth, "maxwidth", WIDTH)?, side(&query.maxheight, "maxheight", tall)?);
    let language =
        lang.or_else(|| facts.page.language.as_deref().and_then(Language::of_tag)).unwrap_or(Language::English);
    let title = facts.page.title(language.tag()).to_owned();
    let public = present.public_url();
    let source = format!("{public}/status/{}/card?lang={}", escape(&id), language.tag());
    let rich = Rich {
        version: "1.0",
        kind: "rich",
        provider_name: title.clone(),
        provider_url: facts.page.home.clone().unwrap_or_else(|| format!("{public}/status/{}", escape(&id))),
        cache_age: CACHE_AGE_S,
        width,
        height,
        html: format!(
            "<iframe src=\"{}\" width=\"{width}\" height=\"{height}\" title=\"{}\" loading=\"lazy\" frameborder=\"0\" scrolling=\"no\"></iframe>",
            markup(&source),
            markup(&title)
        ),
        title,
    };
    let serves = (header::CACHE_CONTROL, "public, max-age=300");
    Ok(if xml {
        ([(header::CONTENT_TYPE, "text/xml; charset=utf-8"), serves], rich.xml()).into_response()
    } else {
        let json = serde_json::to_string(&rich).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        ([(header::CONTENT_TYPE, "application/json; charset=utf-8"), serves], json).into_response()
    })
}

impl Rich {
    fn xml(&self) -> String {
        let numbers = [("cache_age", self.cache_age), ("width", self.width), ("height", self.height)];
        let texts = [
            ("version", self.version),
            ("type", self.kind),
            ("title", self.title.as_str()),
            ("provider_name", self.provider_name.as_str()),
            ("provider_url", self.provider_url.as_str()),
            ("html", self.html.as_str()),
        ];
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\n<oembed>\n");
        for (name, text) in texts {
            out.push_str(&format!("  <{name}>{}</{name}>\n", markup(text)));
        }
        for (name, number) in numbers {
            out.push_str(&format!("  <{name}>{number}</{name}>\n"));
        }
        out.push_str("</oembed>\n");
        out
    }
}

/// Escapes a text for HTML and XML, in attributes too.
pub(super) fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no way to write these.
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => out.push(character),
        }
    }
    out
}

/// The page that an address leads to, and the language it asks for; `None` of any other address.
fn page_of(public: &str, url: &str) -> Option<(String, Option<Language>)> {
    if url.len() > URL_BYTES_MAX {
        return None;
    }
    let (url, _) = url.split_once('#').unwrap_or((url, ""));
    let (uri, own): (Uri, Uri) = (url.parse().ok()?, public.parse().ok()?);
    let same = uri.scheme() == own.scheme()
        && uri.host().zip(own.host()).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
        && port(&uri) == port(&own)
        // Who is named before the host changes where people think they are.
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if !same {
        return None;
    }
    let path = uri.path().strip_prefix(own.path().trim_end_matches('/'))?.strip_prefix("/status/")?;
    let id = path.strip_suffix('/').unwrap_or(path);
    let slug = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || !id.bytes().all(slug) {
        return None;
    }
    let lang = uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("lang=")));
    Some((id.to_owned(), lang.and_then(Language::of_tag)))
}

fn port(uri: &Uri) -> Option<u16> {
    uri.port_u16().or_else(|| match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        Some(_) | None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_own_pages_are_answered() {
        let own = "https://status.example";
        let page = |url: &str| page_of(own, url).map(|(id, lang)| (id, lang.map(Language::tag)));
        let public = |lang| Some(("public".to_owned(), lang));
        for url in [
            "https://status.example/status/public",
            "https://status.example:443/status/public/",
            "https://STATUS.example/status/public#e-1",
            "https://status.example/status/public?utm=x",
        ] {
            assert_eq!(page(url), public(None), "{url}");
        }
        assert_eq!(page("https://status.example/status/public?a=b&lang=fr"), public(Some("fr")));
        for url in [
            "",
            "public",
            "/status/public",
            "http://status.example/status/public",
            "https://status.example:444/status/public",
            "https://status.example.evil.example/status/public",
            "https://status.example@evil.example/status/public",
            "https://ana@status.example/status/public",
            "https://evil.example/https://status.example/status/public",
            "https://status.example/status/",
            "https://status.example/status/public/card",
            "https://status.example/status/..%2f..",
            "https://status.example/status/<script>",
            "https://status.example/checks/shop",
            "javascript:alert(1)",
            "file:///etc/passwd",
            &format!("https://status.example/status/{}", "a".repeat(2_000)),
        ] {
            assert_eq!(page(url), None, "{url}");
        }
        assert_eq!(page_of("https://a.example/sp", "https://a.example/sp/status/x").unwrap().0, "x");
        assert_eq!(page_of("https://a.example/sp", "https://a.example/status/x"), None);
    }

    #[test]
    fn markup_is_text_and_nothing_more() {
        assert_eq!(markup("<a href=\"x\">'&\u{0}\u{1b}</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&lt;/a&gt;");
    }
}
