//! Pages of lists: `?limit=1..1000&cursor=...`, and where the next page is (`Link: <...>; rel="next"`, RFC 8288).
//!
//! Every list has an order by a key that is unique in it. A cursor holds the key of the last thing that a page told, and a checksum over
//! it and the list's path; the next page begins after that key, whether it is still there or not. So a list may change between two
//! pages: nothing that was there all the time is told twice or left out. A handler takes [`List`] in place of its query and answers
//! with [`Listed`].

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::present::openapi::signature::{Gives, Operation, Takes};
use crate::present::problem::{Answer, Code, Problem};

/// Most things of a page.
pub const LIMIT_MAX: usize = 1000;
/// How many a page has where nobody says: at 5,000 checks the whole list is 34 MB.
pub const LIMIT_DEFAULT: usize = 500;

/// What a list is asked that nothing else is asked of.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What a list is asked: its own query, and the page.
#[derive(Debug)]
pub struct List<Q> {
    /// The list's own query.
    pub query: Q,
    /// The page.
    pub page: Asked,
}

/// Which page is asked for.
#[derive(Debug)]
pub struct Asked {
    limit: Option<usize>,
    cursor: Option<String>,
    path: String,
    /// The rest of the query, as it was written.
    rest: String,
}

/// A page of a list.
#[derive(Debug)]
pub struct Listed<T> {
    items: Vec<T>,
    next: Option<HeaderValue>,
}

/// The page of something that is told in an object with more beside it.
#[derive(Debug)]
pub struct Paged<T> {
    body: T,
    next: Option<HeaderValue>,
}

impl Asked {
    fn of(uri: &Uri) -> Answer<(Self, Uri)> {
        let (mut limit, mut cursor, mut rest) = (None, None, Vec::new());
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            if let Some(text) = pair.strip_prefix("limit=") {
                let found = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                let what = || Problem::new(Code::BadRequest, format!("limit={text}: write 1 to {LIMIT_MAX}"));
                limit = Some(found.ok_or_else(what)?);
            } else if let Some(text) = pair.strip_prefix("cursor=") {
                cursor = Some(text.to_owned());
            } else {
                rest.push(pair);
            }
        }
        let (path, rest) = (uri.path().to_owned(), rest.join("&"));
        let without = if rest.is_empty() { path.clone() } else { format!("{path}?{rest}") };
        // A part of an address that was taken is one.
        let without = without.parse().map_err(|_| Problem::new(Code::BadRequest, "the address is not understood"))?;
        Ok((Self { limit, cursor, path, rest }, without))
    }

    /// How many are told at most, where a list is too long to be told whole.
    pub fn limit_or(&self, default: usize) -> usize {
        self.limit.unwrap_or(default)
    }

    /// The key that the page before ended with.
    ///
    /// # Errors
    /// When the cursor is not one of this list.
    pub fn cursor<K: DeserializeOwned>(&self) -> Answer<Option<K>> {
        let Some(text) = &self.cursor else { return Ok(None) };
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (sum, key) = bytes.split_first_chunk::<4>()?;
            (self.sum(key) == *sum).then_some(())?;
            serde_json::from_slice(key).ok()
        };
        let what = "the cursor is not one of this list: take the address of the next page from the `Link` header of the page before, \
                    or begin without `cursor`";
        read().map(Some).ok_or_else(|| Problem::new(Code::BadRequest, what))
    }

    fn sum(&self, key: &[u8]) -> [u8; 4] {
        crc32c::crc32c_append(crc32c::crc32c(self.path.as_bytes()), key).to_be_bytes()
    }

    /// The cursor after a key.
    pub fn cursor_after<K: Serialize>(&self, key: &K) -> Option<String> {
        let key = serde_json::to_vec(key).ok()?;
        let mut bytes = self.sum(&key).to_vec();
        bytes.extend(key);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Where the page after a key is.
    fn link<K: Serialize>(&self, key: &K, limit: usize) -> Option<HeaderValue> {
        let Self { path, rest, .. } = self;
        let (between, cursor) = (if rest.is_empty() { "" } else { "&" }, self.cursor_after(key)?);
        HeaderValue::from_str(&format!("<{path}?{rest}{between}limit={limit}&cursor={cursor}>; rel=\"next\"")).ok()
    }

    /// The page of a list that is there as a whole. Without a limit it is of [`LIMIT_DEFAULT`].
    ///
    /// # Errors
    /// When the cursor is not one of this list.
    pub fn of_all<T, K>(&self, items: Vec<T>, key: impl Fn(&T) -> K) -> Answer<Listed<T>>
    where
        K: Ord + Serialize + DeserializeOwned,
    {
        self.of_list(items, self.limit_or(LIMIT_DEFAULT), key)
    }

    /// The same of a list that is told whole without a limit: its `ETag` stands for all of it.
    ///
    /// # Errors
    /// When the cursor is not one of this list.
    pub fn of_whole<T, K>(&self, items: Vec<T>, key: impl Fn(&T) -> K) -> Answer<Listed<T>>
    where
        K: Ord + Serialize + DeserializeOwned,
    {
        self.of_list(items, self.limit_or(usize::MAX), key)
    }

    fn of_list<T, K>(&self, mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> K) -> Answer<Listed<T>>
    where
        K: Ord + Serialize + DeserializeOwned,
    {
        items.sort_by_cached_key(&key);
        if let Some(last) = self.cursor::<K>()? {
            items.drain(..items.partition_point(|item| key(item) <= last));
        }
        Ok(self.of_more(items, limit, key))
    }

    /// The page of items that were read in order from the cursor on: one more than `limit` where there are more.
    pub fn of_more<T, K: Serialize>(&self, mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> K) -> Listed<T> {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).and_then(|last| self.link(&key(last), limit));
        Listed { items, next }
    }

    /// An object that tells a page; `next` is the last key where there are more.
    pub fn around<T, K: Serialize>(&self, body: T, limit: usize, next: Option<&K>) -> Paged<T> {
        Paged { body, next: next.and_then(|key| self.link(key, limit)) }
    }
}

impl<T> Listed<T> {
    /// The same page, told otherwise.
    pub fn map<U>(self, tell: impl FnMut(T) -> U) -> Listed<U> {
        Listed { items: self.items.into_iter().map(tell).collect(), next: self.next }
    }

    /// What it tells, to be completed.
    pub fn items_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        Paged { body: self.items, next: self.next }.into_response()
    }
}

impl<T: Serialize> IntoResponse for Paged<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        if let Some(next) = self.next {
            response.headers_mut().insert(header::LINK, next);
        }
        response
    }
}

impl<Q: DeserializeOwned, S: Sync> FromRequestParts<S> for List<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (page, without) = Asked::of(&parts.uri)?;
        let query = Query::try_from_uri(&without);
        let Query(query) = query.map_err(|rejection| Problem::new(Code::BadRequest, rejection.body_text()))?;
        Ok(Self { query, page })
    }
}

impl<Q: JsonSchema> Takes for List<Q> {
    fn tell(operation: &mut Operation<'_>) {
        operation.query::<Q>();
        operation.parameter(json!({
            "name": "limit", "in": "query", "required": false, "description": "How many at most.",
            "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
        }));
        operation.parameter(json!({
            "name": "cursor", "in": "query", "required": false,
            "description": "Where the page begins: the address of the next page, in the `Link` header of the page before, has it.",
            "schema": {"type": "string"},
        }));
    }
}

impl<T: JsonSchema> Gives for Listed<T> {
    fn tell(operation: &mut Operation<'_>) {
        operation.gives_json::<Vec<T>>();
        operation.answer_header("Link", "`<...>; rel=\"next\"`: the address of the next page, where there is one.");
    }
}

impl<T: JsonSchema> Gives for Paged<T> {
    fn tell(operation: &mut Operation<'_>) {
        operation.gives_json::<T>();
        operation.answer_header("Link", "`<...>; rel=\"next\"`: the address of the next page, where there is one.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str) -> Asked {
        Asked::of(&uri.parse().unwrap()).unwrap().0
    }

    /// The address of the next page.
    fn next(listed: &Listed<u32>) -> Option<String> {
        let link = listed.next.as_ref()?.to_str().unwrap();
        Some(link.strip_prefix('<')?.split_once('>')?.0.to_owned())
    }

    #[test]
    fn pages_tell_everything_once_while_the_list_changes() {
        let mut all: Vec<u32> = (0..100).map(|n| n * 10).collect();
        let (mut told, mut at) = (Vec::new(), Some("/list?of=a%26b&limit=7".to_owned()));
        while let Some(uri) = at {
            assert!(uri.starts_with("/list?of=a%26b&limit=7"), "{uri}");
            let page = asked(&uri).of_all(all.clone(), |n| *n).unwrap();
            at = next(&page);
            told.extend(page.items);
            // The one that the cursor names goes, and others come before it.
            let last = *told.last().unwrap();
            all.retain(|n| *n != last);
            all.extend([last.saturating_sub(5), 1]);
        }
        let kept: Vec<u32> = told.iter().copied().filter(|n| n % 10 == 0).collect();
        assert_eq!(kept, (0..100).map(|n| n * 10).collect::<Vec<_>>());
    }

    #[test]
    fn a_long_list_comes_by_pages_though_nobody_asks_for_it() {
        let all: Vec<u32> = (0..LIMIT_DEFAULT as u32 + 1).collect();
        let page = asked("/list").of_all(all.clone(), |n| *n).unwrap();
        assert_eq!((page.items.len(), page.items.last()), (LIMIT_DEFAULT, Some(&(LIMIT_DEFAULT as u32 - 1))));
        let rest = asked(&next(&page).unwrap()).of_all(all.clone(), |n| *n).unwrap();
        assert_eq!((rest.items.as_slice(), next(&rest)), (&[LIMIT_DEFAULT as u32][..], None));
        let whole = asked("/list").of_whole(all.clone(), |n| *n).unwrap();
        assert_eq!((whole.items.len(), next(&whole)), (all.len(), None));
    }

    #[test]
    fn a_cursor_of_another_list_or_a_made_up_one_is_refused() {
        let here = asked("/list").cursor_after(&"shop").unwrap();
        assert_eq!(asked(&format!("/list?cursor={here}")).cursor::<String>().unwrap().as_deref(), Some("shop"));
        let forged = URL_SAFE_NO_PAD.encode(b"0000\"shop\"");
        for uri in [
            format!("/other?cursor={here}"),
            format!("/list?cursor={forged}"),
            "/list?cursor=".into(),
            "/list?cursor=%00".into(),
            "/list?cursor=shop".into(),
        ] {
            assert!(asked(&uri).cursor::<String>().is_err(), "{uri}");
        }
        // Of the same list, but of another kind of key.
        assert!(asked(&format!("/list?cursor={here}")).cursor::<u64>().is_err());
    }

    #[test]
    fn a_limit_is_a_number_within_bounds() {
        for bad in ["0", "1001", "-1", "", "x", "1e2", "99999999999999999999999"] {
            assert!(Asked::of(&format!("/list?limit={bad}").parse().unwrap()).is_err(), "{bad}");
        }
        assert_eq!(asked("/list?limit=1000").limit_or(1), 1000);
    }
}
