//! What happened to a page so far, as the browser tells it: pure, handed each event with the time it came. It says what is to be done about an event
//! ([`Errand`]), and when the load cannot go on ([`Stop`]).

use serde_json::Value;
use sitepulse_daemon::clock::Monotonic;
use sitepulse_model::vitals::report::TEXT_BYTES_MAX;

use super::entries::{Entries, cut};
use super::settle::Settle;
use super::traffic::Traffic;

/// Frames and workers with a session of their own that are followed.
const CHILDREN_MAX: u32 = 64;
/// Redirects of the page's own address that are followed.
pub(crate) const REDIRECTS_MAX: u32 = 10;

/// What is to be done about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Listen to the observer of the page, which was reached.
    Observe,
    /// Close the dialog, which stops the page.
    CloseDialog,
    /// Close all windows but the page's own.
    ClosePopups,
    /// Make this frame or worker part of the device, and let it run.
    Adopt(String),
    /// Let it run.
    Release(String),
}

/// Why a load cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its renderer crashed.
    Crashed,
    /// It went elsewhere.
    Away {
        /// Where to.
        url: String,
        /// The browser's word for why: `metaTagRefresh`.
        reason: String,
        /// How long after it was reached, in microseconds.
        after_us: u64,
    },
    /// It closed its own window.
    Closed,
    /// It makes more events than are taken.
    Flooded,
    /// The browser is gone.
    Gone,
    /// Its address redirects more often than is followed.
    Redirects,
    /// The page itself broke off: `net::ERR_CONNECTION_RESET`.
    Broken(String),
    /// The browser refused to do what is needed.
    Refused(String),
    /// The deadline passed.
    Deadline,
}

/// What happened to a page so far.
#[derive(Debug)]
pub(crate) struct Story {
    /// When it came to rest, if it did.
    pub(crate) settle: Settle,
    /// Its requests.
    pub(crate) traffic: Traffic,
    /// What the observer reported.
    pub(crate) entries: Entries,
    /// Dialogs, each of them closed.
    pub(crate) dialogs: u32,
    /// Downloads, each of them refused.
    pub(crate) downloads: u32,
    /// Windows, each of them closed.
    pub(crate) popups: u32,
    /// When the page was reached: its document took the window's place.
    pub(crate) reached: Option<Monotonic>,
    /// The context of the observer's world.
    pub(crate) world: Option<u64>,
    /// When its load event fired, in the browser's seconds.
    pub(crate) loaded_s: Option<f64>,
    /// Why it cannot go on.
    pub(crate) stop: Option<Stop>,
    frame: String,
    loader: String,
    reason: String,
    /// Where it last asked to go.
    requested: String,
    children: u32,
}

impl Story {
    /// A page that is about to be loaded in `frame`.
    pub(crate) fn new(frame: String, rest_us: u64, now: Monotonic) -> Self {
        Self {
            settle: Settle::new(rest_us, now),
            traffic: Traffic::default(),
            entries: Entries::default(),
            dialogs: 0,
            downloads: 0,
            popups: 0,
            reached: None,
            world: None,
            loaded_s: None,
            stop: None,
            frame,
            loader: String::new(),
            reason: String::new(),
            requested: String::new(),
            children: 0,
        }
    }

    /// Takes an event of the page's own session (`own`), or of one of its frames and workers.
    pub(crate) fn take(&mut self, own: bool, method: &str, params: &Value, now: Monotonic) -> Option<Errand> {
        match method {
            _ if method.starts_with("Network.") => {
                self.traffic.take(method, params, &self.frame);
                self.settle.in_flight(self.traffic.in_flight(), now);
                if let (Some(failure), Some(_)) = (&self.traffic.document.failure, self.reached) {
                    self.stop(Stop::Broken(failure.clone()));
                }
                if self.traffic.document.redirects > REDIRECTS_MAX {
                    self.stop(Stop::Redirects);
                }
                None
            }
            "Target.attachedToTarget" => {
                self.children += 1;
                let session = params["sessionId"].as_str().unwrap_or_default().to_owned();
                Some(if self.children <= CHILDREN_MAX { Errand::Adopt(session) } else { Errand::Release(session) })
            }
            "Page.javascriptDialogOpening" if own => {
                self.dialogs = self.dialogs.saturating_add(1);
                self.settle.unrest(now);
                Some(Errand::CloseDialog)
            }
            _ if !own => None,
            "Page.loadEventFired" if self.reached.is_some() => {
                self.loaded_s = self.loaded_s.or(params["timestamp"].as_f64());
                self.settle.loaded(now);
                None
            }
            // A page that stops its own loading has no load event.
            "Page.frameStoppedLoading" if self.reached.is_some() && params["frameId"] == self.frame.as_str() => {
                self.settle.loaded(now);
                self.traffic.stopped();
                self.settle.in_flight(self.traffic.in_flight(), now);
                None
            }
            "Page.frameRequestedNavigation" if params["frameId"] == self.frame.as_str() => {
                params["reason"].as_str().unwrap_or_default().clone_into(&mut self.reason);
                params["url"].as_str().unwrap_or_default().clone_into(&mut self.requested);
                // It waits without end for what the browser does not begin.
                if let (Some(reached), true) = (self.reached, is_closed(&self.requested)) {
                    self.away(cut(&self.requested, TEXT_BYTES_MAX), now.us_since(reached));
                }
                None
            }
            "Page.frameNavigated" => self.navigated(&params["frame"], now),
            "Page.windowOpen" => {
                self.popups = self.popups.saturating_add(1);
                self.settle.unrest(now);
                Some(Errand::ClosePopups)
            }
            "Page.downloadWillBegin" => {
                self.downloads = self.downloads.saturating_add(1);
                None
            }
            "Inspector.targetCrashed" => {
                self.stop(Stop::Crashed);
                None
            }
            _ => None,
        }
    }

    /// Takes what the observer told.
    pub(crate) fn reported(&mut self, entries: Value, now: Monotonic) {
        if self.entries.take(entries) {
            self.settle.unrest(now);
        }
        if self.entries.fcp_us.is_some() || !self.entries.paints.is_empty() {
            self.settle.painted();
        }
    }

    fn navigated(&mut self, frame: &Value, now: Monotonic) -> Option<Errand> {
        let text = |key: &str| frame[key].as_str().unwrap_or_default();
        // Frames within the page do as they like.
        if frame.get("parentId").is_some() || text("id") != self.frame {
            return None;
        }
        match self.reached {
            // An error, which the navigation itself tells.
            None if frame.get("unreachableUrl").is_some() => None,
            None => {
                self.reached = Some(now);
                text("loaderId").clone_into(&mut self.loader);
                Some(Errand::Observe)
            }
            Some(reached) if text("loaderId") != self.loader => {
                // Where it cannot go, the browser shows a page of its own.
                let shown = text("url");
                let own = shown.starts_with("chrome-error:") || shown.starts_with("about:");
                let wanted = [text("unreachableUrl"), if own { self.requested.as_str() } else { "" }, shown];
                let url = wanted.into_iter().find(|url| !url.is_empty()).unwrap_or_default();
                let url = cut(url, TEXT_BYTES_MAX);
                self.away(url, now.us_since(reached));
                None
            }
            Some(_) => None,
        }
    }

    /// Whether the page, which was given consent, went to its own address again. One that reloads itself may be gone before it was told that consent was given:
    /// where it was to be (`wanted`), that is taken to be why.
    pub(crate) fn is_consent_reload(&self, wanted: bool) -> bool {
        let Some(Stop::Away { url, reason, .. }) = &self.stop else { return false };
        let own = cut(&self.traffic.document.url, TEXT_BYTES_MAX);
        let given = !self.entries.consents_us.is_empty() || wanted && reason == "reload";
        given && url.split('#').next() == own.split('#').next()
    }

    fn away(&mut self, url: String, after_us: u64) {
        let reason = cut(&self.reason, 40);
        self.stop(Stop::Away { url, reason, after_us });
    }

    /// The first reason counts.
    pub(crate) fn stop(&mut self, stop: Stop) {
        self.stop.get_or_insert(stop);
    }
}

/// Whether an address is one that browsers open for their users alone.
fn is_closed(url: &str) -> bool {
    ["file:", "filesystem:", "chrome:", "chrome-untrusted:", "devtools:", "view-source:"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn story() -> Story {
        Story::new("F".to_owned(), 1_000, Monotonic(0))
    }

    fn tell(story: &mut Story, method: &str, params: Value) -> Option<Errand> {
        story.take(true, method, &params, Monotonic(10))
    }

    fn navigated(story: &mut Story, loader: &str, url: &str) -> Option<Errand> {
        tell(story, "Page.frameNavigated", json!({ "frame": { "id": "F", "loaderId": loader, "url": url } }))
    }

    #[test]
    fn the_first_document_is_the_page_and_a_second_is_elsewhere() {
        let mut story = story();
        assert_eq!(navigated(&mut story, "1", "http://a/"), Some(Errand::Observe));
        let child = json!({ "frame": { "id": "C", "parentId": "F", "loaderId": "9", "url": "http://c/" } });
        tell(&mut story, "Page.frameNavigated", child);
        navigated(&mut story, "1", "http://a/#there");
        assert_eq!(story.stop, None);
        tell(&mut story, "Page.frameRequestedNavigation", json!({ "frameId": "F", "reason": "metaTagRefresh" }));
        navigated(&mut story, "2", "http://b/");
        let Some(Stop::Away { url, reason, .. }) = &story.stop else { panic!("{:?}", story.stop) };
        assert_eq!((url.as_str(), reason.as_str()), ("http://b/", "metaTagRefresh"));
        tell(&mut story, "Inspector.targetCrashed", json!({}));
        assert!(matches!(story.stop, Some(Stop::Away { .. })), "the first reason counts");
    }

    #[test]
    fn a_page_that_loads_itself_anew_for_consent_is_told_from_others() {
        let of = |consent: bool, to: &str| {
            let mut story = story();
            let request = json!({
                "requestId": "L", "loaderId": "L", "frameId": "F", "type": "Document", "request": { "url": "http://a/x" },
            });
            tell(&mut story, "Network.requestWillBeSent", request);
            navigated(&mut story, "L", "http://a/x");
            if consent {
                story.reported(json!([{ "k": "consent", "t": 300.0 }]), Monotonic(20));
            }
            navigated(&mut story, "M", to);
            story.is_consent_reload(false)
        };
        assert!(of(true, "http://a/x") && of(true, "http://a/x#top"));
        assert!(!of(false, "http://a/x"), "by itself");
        assert!(!of(true, "http://a/welcome"), "another address is another page");
    }

    #[test]
    fn a_page_may_load_itself_anew_before_it_tells_that_consent_was_given() {
        let mut story = story();
        let request = json!({
            "requestId": "L", "loaderId": "L", "frameId": "F", "type": "Document", "request": { "url": "http://a/x" },
        });
        tell(&mut story, "Network.requestWillBeSent", request);
        navigated(&mut story, "L", "http://a/x");
        tell(&mut story, "Page.frameRequestedNavigation", json!({ "frameId": "F", "reason": "reload" }));
        navigated(&mut story, "M", "http://a/x");
        assert!(story.is_consent_reload(true));
        assert!(!story.is_consent_reload(false), "nobody meant to give consent");
    }

    #[test]
    fn an_error_page_is_not_the_page() {
        let mut story = story();
        let error = json!({ "frame": {
            "id": "F", "loaderId": "1", "url": "chrome-error://chromewebdata/", "unreachableUrl": "http://a/" } });
        tell(&mut story, "Page.frameNavigated", error);
        assert_eq!(story.reached, None);
    }

    #[test]
    fn a_page_that_goes_where_it_cannot_is_away() {
        for frame in [
            json!({ "id": "F", "loaderId": "2", "url": "chrome-error://chromewebdata/", "unreachableUrl": "http://no/" }),
            json!({ "id": "F", "loaderId": "2", "url": "about:blank#blocked" }),
        ] {
            let mut story = story();
            navigated(&mut story, "1", "http://a/");
            let asked = json!({ "frameId": "F", "reason": "scriptInitiated", "url": "http://no/" });
            tell(&mut story, "Page.frameRequestedNavigation", asked);
            tell(&mut story, "Page.frameNavigated", json!({ "frame": frame }));
            let Some(Stop::Away { url, .. }) = &story.stop else { panic!("{:?}", story.stop) };
            assert_eq!(url, "http://no/");
        }
    }

    #[test]
    fn a_page_that_asks_for_a_file_is_away_at_once() {
        for (url, is_away) in [("file:///etc/passwd", true), ("Chrome://version/", true), ("mailto:a@b", false)] {
            let mut story = story();
            navigated(&mut story, "1", "http://a/");
            let asked = json!({ "frameId": "F", "reason": "formSubmissionGet", "url": url });
            tell(&mut story, "Page.frameRequestedNavigation", asked);
            assert_eq!(matches!(story.stop, Some(Stop::Away { .. })), is_away, "{url}");
        }
    }

    #[test]
    fn ten_redirects_are_followed() {
        let mut story = story();
        let mut hop = |redirected: bool| {
            let mut params = json!({
                "requestId": "L", "loaderId": "L", "frameId": "F", "type": "Document", "request": { "url": "http://a/" },
            });
            if redirected {
                params["redirectResponse"] = json!({});
            }
            tell(&mut story, "Network.requestWillBeSent", params);
            story.stop.clone()
        };
        assert_eq!(hop(false), None);
        for _ in 0..REDIRECTS_MAX {
            assert_eq!(hop(true), None);
        }
        assert_eq!(hop(true), Some(Stop::Redirects));
    }

    #[test]
    fn a_document_that_was_stopped_midway_keeps_nobody_waiting() {
        let mut story = story();
        let request = json!({
            "requestId": "L", "loaderId": "L", "frameId": "F", "type": "Document", "request": { "url": "http://a/" },
        });
        tell(&mut story, "Network.requestWillBeSent", request);
        navigated(&mut story, "L", "http://a/");
        story.reported(json!([{ "k": "fcp", "t": 5.0 }]), Monotonic(10));
        tell(&mut story, "Page.frameStoppedLoading", json!({ "frameId": "C" }));
        assert_eq!(story.traffic.in_flight(), 1, "a frame within");
        tell(&mut story, "Page.frameStoppedLoading", json!({ "frameId": "F" }));
        assert_eq!(story.traffic.in_flight(), 0);
    }

    #[test]
    fn nothing_is_loaded_before_the_page_is_reached() {
        let mut story = story();
        tell(&mut story, "Page.frameStoppedLoading", json!({ "frameId": "F" }));
        tell(&mut story, "Page.loadEventFired", json!({ "timestamp": 1.0 }));
        assert!(!story.settle.is_loaded());
        navigated(&mut story, "1", "http://a/");
        tell(&mut story, "Page.loadEventFired", json!({ "timestamp": 1.0 }));
        assert!(story.settle.is_loaded());
    }

    #[test]
    fn what_would_stop_a_page_is_dealt_with() {
        let mut story = story();
        assert_eq!(tell(&mut story, "Page.javascriptDialogOpening", json!({})), Some(Errand::CloseDialog));
        assert_eq!(tell(&mut story, "Page.windowOpen", json!({})), Some(Errand::ClosePopups));
        assert_eq!(tell(&mut story, "Page.downloadWillBegin", json!({})), None);
        assert_eq!((story.dialogs, story.popups, story.downloads), (1, 1, 1));
        let attached = json!({ "sessionId": "S" });
        assert_eq!(tell(&mut story, "Target.attachedToTarget", attached.clone()), Some(Errand::Adopt("S".to_owned())));
        for _ in 0..CHILDREN_MAX {
            tell(&mut story, "Target.attachedToTarget", attached.clone());
        }
        assert_eq!(tell(&mut story, "Target.attachedToTarget", attached), Some(Errand::Release("S".to_owned())));
        // What a frame does with its own documents is not the page's.
        story.take(false, "Page.frameNavigated", &json!({ "frame": { "id": "F", "loaderId": "1" } }), Monotonic(1));
        assert_eq!(story.reached, None);
    }
}
