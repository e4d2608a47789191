//! The requests of a load, as the browser tells them: what is on its way, what was the page itself, how much came and what failed.

use std::collections::HashMap;

use serde_json::Value;

/// Requests followed at once; a page that makes more has the rest counted, not waited for.
const FOLLOWED_MAX: usize = 4_096;

/// All requests of a load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic {
    /// Requests made; each redirect is one.
    pub(crate) requests: u32,
    /// Bytes received, as they travelled.
    pub(crate) bytes: u64,
    /// Failed, or answered with an error status.
    pub(crate) failed: u32,
    /// The page's own.
    pub(crate) document: Document,
    followed: HashMap<String, Followed>,
    awaited: usize,
}

#[derive(Debug, Clone)]
struct Followed {
    url: String,
    kind: Kind,
    awaited: bool,
    failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Until its end.
    Whole,
    /// Until its answer begins: streams may have no end.
    Answer,
    /// Not at all: nobody waits for what it brings.
    Aside,
    /// The browser's own: the full one fetches the icon of the site for its tab. No part of the page.
    Own,
}

impl Kind {
    fn of(params: &Value) -> Self {
        match text(params, "type") {
            "Other" if text(&params["initiator"], "type") == "other" => Self::Own,
            "EventSource" | "Media" => Self::Answer,
            "Ping" | "CSPViolationReport" | "Prefetch" => Self::Aside,
            _ => Self::Whole,
        }
    }
}

/// The page's own request, after redirects. Times are the browser's, in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Document {
    /// Its number.
    pub(crate) id: String,
    /// Where it led to.
    pub(crate) url: String,
    /// Redirects that led there.
    pub(crate) redirects: u32,
    /// When the first request was made.
    pub(crate) first_s: f64,
    /// When the last was.
    pub(crate) last_s: f64,
    /// Its answer.
    pub(crate) answer: Option<Answer>,
    /// When all of it was there.
    pub(crate) finished_s: Option<f64>,
    /// Why it failed: `net::ERR_CONNECTION_RESET`.
    pub(crate) failure: Option<String>,
}

/// How the page was answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// As the browser takes it, after its own look at the content.
    pub(crate) mime: String,
    /// `h2`.
    pub(crate) protocol: String,
    /// When, in the browser's seconds.
    pub(crate) at_s: f64,
    /// Parts of the last request; in milliseconds after its start, absent where they did not happen.
    pub(crate) timing: Option<Timing>,
}

/// Parts of a request, in milliseconds after `started_s`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[allow(missing_docs, reason = "named as in the DevTools protocol")]
pub(crate) struct Timing {
    pub(crate) started_s: f64,
    pub(crate) tls: Option<(f64, f64)>,
    pub(crate) send: (f64, f64),
    pub(crate) headers_start: f64,
    pub(crate) headers_end: f64,
}

impl Traffic {
    /// Requests that a page at rest would not have.
    pub(crate) const fn in_flight(&self) -> usize {
        self.awaited
    }

    /// Something that is still on its way, for people.
    pub(crate) fn pending(&self) -> Option<&str> {
        self.followed.values().find(|followed| followed.awaited).map(|followed| followed.url.as_str())
    }

    /// Takes an event of the `Network` domain. `frame` is the page's main frame.
    pub(crate) fn take(&mut self, method: &str, params: &Value, frame: &str) {
        let id = text(params, "requestId");
        match method {
            "Network.requestWillBeSent" => self.sent(id, params, frame),
            "Network.responseReceived" => self.answered(id, params),
            "Network.loadingFinished" => {
                if self.followed.get(id).is_none_or(|followed| followed.kind != Kind::Own) {
                    self.bytes = self.bytes.saturating_add(bytes(params));
                }
                if id == self.document.id {
                    self.document.finished_s = params["timestamp"].as_f64();
                }
                self.end(id);
            }
            "Network.loadingFailed" => {
                let canceled = params["canceled"].as_bool().unwrap_or(false);
                // A document that is still on its way ends so, too, where its page stops it or goes elsewhere.
                if id == self.document.id && !canceled {
                    self.document.failure = Some(text(params, "errorText").to_owned());
                }
                if !canceled
                    && self.followed.get(id).is_some_and(|followed| !followed.failed && followed.kind != Kind::Own)
                {
                    self.failed += 1;
                }
                self.end(id);
            }
            _ => {}
        }
    }

    /// The page stopped loading: no more of its document comes, which the browser does not tell of one that was stopped midway.
    pub(crate) fn stopped(&mut self) {
        let id = self.document.id.clone();
        self.end(&id);
    }

    fn sent(&mut self, id: &str, params: &Value, frame: &str) {
        let url = text(&params["request"], "url");
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return;
        }
        let kind = Kind::of(params);
        self.requests = self.requests.saturating_add(u32::from(kind != Kind::Own));
        if let Some(redirect) = params.get("redirectResponse") {
            self.bytes = self.bytes.saturating_add(bytes(redirect));
        }
        let at_s = params["timestamp"].as_f64().unwrap_or_default();
        let main =
            text(params, "type") == "Document" && text(params, "frameId") == frame && text(params, "loaderId") == id;
        if main && (self.document.id.is_empty() || self.document.id == id) {
            if self.document.id.is_empty() {
                self.document.first_s = at_s;
            }
            self.document.redirects += u32::from(params.get("redirectResponse").is_some());
            self.document.id = id.to_owned();
            self.document.url = url.to_owned();
            self.document.last_s = at_s;
        }
        if self.followed.len() >= FOLLOWED_MAX {
            return;
        }
        let awaited = matches!(kind, Kind::Whole | Kind::Answer);
        let url = super::entries::cut(url, 2_000);
        let old = self.followed.insert(id.to_owned(), Followed { url, kind, awaited, failed: false });
        self.awaited += usize::from(awaited);
        self.awaited -= usize::from(old.is_some_and(|old| old.awaited));
    }

    fn answered(&mut self, id: &str, params: &Value) {
        let response = &params["response"];
        let status = response["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
        if id == self.document.id {
            self.document.answer = Some(Answer {
                status,
                mime: super::entries::cut(text(response, "mimeType"), 100),
                protocol: super::entries::cut(text(response, "protocol"), 20),
                at_s: params["timestamp"].as_f64().unwrap_or_default(),
                timing: timing(&response["timing"]),
            });
        }
        if let Some(followed) = self.followed.get_mut(id) {
            if status >= 400 && !followed.failed && followed.kind != Kind::Own {
                followed.failed = true;
                self.failed += 1;
            }
            if followed.kind == Kind::Answer && followed.awaited {
                followed.awaited = false;
                self.awaited -= 1;
            }
        }
    }

    fn end(&mut self, id: &str) {
        if self.followed.remove(id).is_some_and(|followed| followed.awaited) {
            self.awaited -= 1;
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn bytes(value: &Value) -> u64 {
    // A floating-point number on the wire; `as` saturates.
    value["encodedDataLength"].as_f64().unwrap_or_default() as u64
}

fn timing(value: &Value) -> Option<Timing> {
    let number = |key: &str| value[key].as_f64().filter(|number| number.is_finite());
    let span = |start: &str, end: &str| Some((number(start)?, number(end)?)).filter(|span| span.0 >= 0.0);
    let headers_end = number("receiveHeadersEnd")?;
    Some(Timing {
        started_s: number("requestTime")?,
        tls: span("sslStart", "sslEnd"),
        send: span("sendStart", "sendEnd")?,
        headers_start: number("receiveHeadersStart").unwrap_or(headers_end),
        headers_end,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(traffic: &mut Traffic, id: &str, kind: &str, url: &str) {
        let params = json!({
            "requestId": id, "loaderId": "L", "frameId": "F", "type": kind, "timestamp": 10.0, "request": { "url": url },
        });
        traffic.take("Network.requestWillBeSent", &params, "F");
    }

    #[test]
    fn the_page_is_followed_through_redirects() {
        let mut traffic = Traffic::default();
        sent(&mut traffic, "L", "Document", "http://a/");
        let redirected = json!({
            "requestId": "L", "loaderId": "L", "frameId": "F", "type": "Document", "timestamp": 11.0,
            "request": { "url": "http://b/" }, "redirectResponse": { "encodedDataLength": 100 },
        });
        traffic.take("Network.requestWillBeSent", &redirected, "F");
        assert_eq!(traffic.document.url, "http://b/");
        assert_eq!((traffic.document.first_s, traffic.document.last_s), (10.0, 11.0));
        assert_eq!((traffic.requests, traffic.bytes, traffic.in_flight()), (2, 100, 1));
        let response =
            json!({ "requestId": "L", "timestamp": 12.0, "response": { "status": 200, "mimeType": "text/html" } });
        traffic.take("Network.responseReceived", &response, "F");
        let finished = json!({ "requestId": "L", "timestamp": 13.0, "encodedDataLength": 900.0 });
        traffic.take("Network.loadingFinished", &finished, "F");
        assert_eq!((traffic.bytes, traffic.in_flight(), traffic.failed), (1_000, 0, 0));
        assert_eq!(traffic.document.answer.as_ref().map(|answer| answer.status), Some(200));
        // Another document of the same frame is not the page.
        let next = json!({
            "requestId": "M", "loaderId": "M", "frameId": "F", "type": "Document", "request": { "url": "http://c/" },
        });
        traffic.take("Network.requestWillBeSent", &next, "F");
        assert_eq!(traffic.document.url, "http://b/");
    }

    #[test]
    fn streams_and_beacons_do_not_keep_a_page_from_rest() {
        let mut traffic = Traffic::default();
        sent(&mut traffic, "1", "EventSource", "http://a/events");
        sent(&mut traffic, "2", "Ping", "http://a/beacon");
        sent(&mut traffic, "3", "Fetch", "http://a/poll");
        sent(&mut traffic, "4", "Image", "data:image/gif;base64,R0");
        assert_eq!((traffic.requests, traffic.in_flight()), (3, 2));
        let response = json!({ "requestId": "1", "response": { "status": 200 } });
        traffic.take("Network.responseReceived", &response, "F");
        assert_eq!(traffic.in_flight(), 1);
        assert_eq!(traffic.pending(), Some("http://a/poll"));
    }

    #[test]
    fn the_icon_that_the_browser_fetches_for_itself_is_no_part_of_the_page() {
        let mut traffic = Traffic::default();
        let icon = json!({
            "requestId": "1", "loaderId": "L", "frameId": "F", "type": "Other", "initiator": { "type": "other" },
            "request": { "url": "http://a/favicon.ico" },
        });
        traffic.take("Network.requestWillBeSent", &icon, "F");
        traffic.take("Network.responseReceived", &json!({ "requestId": "1", "response": { "status": 404 } }), "F");
        traffic.take("Network.loadingFinished", &json!({ "requestId": "1", "encodedDataLength": 300 }), "F");
        assert_eq!((traffic.requests, traffic.failed, traffic.bytes, traffic.in_flight()), (0, 0, 0, 0));
    }

    #[test]
    fn a_request_fails_once() {
        let mut traffic = Traffic::default();
        for id in ["1", "2", "3"] {
            sent(&mut traffic, id, "Image", "http://a/i");
        }
        traffic.take("Network.responseReceived", &json!({ "requestId": "1", "response": { "status": 404 } }), "F");
        traffic.take("Network.loadingFailed", &json!({ "requestId": "1", "errorText": "net::ERR_FAILED" }), "F");
        traffic.take("Network.loadingFailed", &json!({ "requestId": "2", "canceled": true }), "F");
        traffic.take("Network.loadingFailed", &json!({ "requestId": "3", "errorText": "net::ERR_FAILED" }), "F");
        traffic.take("Network.loadingFailed", &json!({ "requestId": "9", "errorText": "net::ERR_FAILED" }), "F");
        assert_eq!((traffic.failed, traffic.in_flight()), (2, 0));
    }

    #[test]
    fn a_document_that_its_own_page_stops_did_not_break_off() {
        let failure = |canceled: bool| {
            let mut traffic = Traffic::default();
            sent(&mut traffic, "L", "Document", "http://a/");
            let failed = json!({ "requestId": "L", "errorText": "net::ERR_ABORTED", "canceled": canceled });
            traffic.take("Network.loadingFailed", &failed, "F");
            assert_eq!(traffic.in_flight(), 0);
            traffic.document.failure
        };
        assert_eq!((failure(true), failure(false).as_deref()), (None, Some("net::ERR_ABORTED")));
    }

    #[test]
    fn a_flood_is_counted_but_not_kept() {
        let mut traffic = Traffic::default();
        for id in 0..2 * FOLLOWED_MAX {
            sent(&mut traffic, &id.to_string(), "Fetch", "http://a/");
        }
        assert_eq!(traffic.requests as usize, 2 * FOLLOWED_MAX);
        assert_eq!(traffic.in_flight(), FOLLOWED_MAX);
    }
}
