//! A headless Chromium that does what a person would: opens pages, writes in fields, presses keys, looks.
//!
//! Spoken to over a pair of pipes (the DevTools protocol, JSON messages each ended by a NUL), so no port is open.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::{process, wait};

/// After so many seconds a browser ends by itself, whatever becomes of its test.
const SECONDS_MAX: &str = "300";

/// A tab of a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    session: Option<String>,
}

/// A browser with one page, or with several tabs. Ends when dropped.
pub struct Chromium {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    number: u64,
    session: Option<String>,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts it with an empty page of this size.
    ///
    /// # Panics
    /// When Chromium is not installed.
    pub fn start(width: u32, height: u32) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        // The browser reads its third and writes its fourth file; its own words go nowhere.
        let script = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null";
        let mut command = process::bound("timeout");
        command.args([SECONDS_MAX, "sh", "-c", script, "chromium"]);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe", "--lang=en", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let child_ref = child.as_mut().expect("timeout and setpriv are installed");
        let to = child_ref.stdin.take().expect("a pipe");
        let from = BufReader::new(child_ref.stdout.take().expect("a pipe"));
        let child = child.expect("it was started");
        let mut chromium = Self { child, to, from, number: 0, session: None, _profile: profile };
        let page = chromium.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = chromium.call("Target.attachToTarget", json!({ "targetId": page["targetId"], "flatten": true }));
        chromium.session = attached["sessionId"].as_str().map(ToOwned::to_owned);
        chromium.call("Page.enable", json!({}));
        chromium.resize(width, height);
        chromium
    }

    /// Opens another tab beside those there are, and goes on in it.
    pub fn new_tab(&mut self) -> Tab {
        let here = self.session.take();
        let page = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = self.call("Target.attachToTarget", json!({ "targetId": page["targetId"], "flatten": true }));
        let session = attached["sessionId"].as_str().map(ToOwned::to_owned);
        assert!(session.is_some() && session != here, "{attached}");
        self.session = session.clone();
        self.call("Page.enable", json!({}));
        Tab { session }
    }

    /// The tab that one is in.
    pub fn here(&self) -> Tab {
        Tab { session: self.session.clone() }
    }

    /// Goes on in a tab, and has it in front of the others.
    pub fn show(&mut self, tab: &Tab) {
        self.session.clone_from(&tab.session);
        self.call("Page.bringToFront", json!({}));
    }

    /// Gives the page another size, in CSS pixels.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Calls the browser and waits for its answer.
    ///
    /// # Panics
    /// When it refuses, or is gone.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.ask(method, params).unwrap_or_else(|refused| panic!("{method}: {refused}"))
    }

    /// The same; `Err` with its words where it refuses.
    fn ask(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let sent = self.to.write_all(&bytes).and_then(|()| self.to.flush());
        sent.expect("chromium listens (is it installed? ./tests/run does that)");
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).expect("chromium speaks");
            assert_eq!(answer.pop(), Some(0), "chromium is gone (is it installed? ./tests/run does that)");
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            if answer["id"] == self.number {
                return if answer["error"].is_null() {
                    Ok(answer["result"].clone())
                } else {
                    Err(answer["error"].clone())
                };
            }
        }
    }

    /// What a script in the page gives; a promise is waited for.
    ///
    /// # Panics
    /// When it throws.
    pub fn eval(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Goes to an address, as if it were typed.
    pub fn visit(&mut self, url: &str) {
        // Marked, so that the page before is not taken for the one to come.
        self.eval("window.before = true");
        self.call("Page.navigate", json!({ "url": url }));
        self.loaded();
    }

    /// The same. The button behind a sign-in link is pressed too.
    pub fn open(&mut self, url: &str) {
        self.visit(url);
        if url.contains("/sign-in?token=") && self.eval("!!document.querySelector('#link button')") == json!(true) {
            self.follow("#link button");
        }
    }

    /// Waits until a page that was not there before is complete.
    pub fn loaded(&mut self) {
        self.wait_for("!window.before && document.readyState === 'complete'", 30);
    }

    /// Waits until a script gives something that is true.
    pub fn wait_for(&mut self, script: &str, seconds: u64) -> Value {
        wait::until(script, seconds, || {
            // A page that is just going away has no answer.
            let params = json!({ "expression": script, "returnByValue": true });
            let answer = self.ask("Runtime.evaluate", params)?;
            let value = answer["result"]["value"].clone();
            if value.is_null() || value == json!(false) || value == json!("") { Err(answer) } else { Ok(value) }
        })
    }

    /// Presses what a selector finds, and waits for the page that it leads to.
    pub fn follow(&mut self, selector: &str) {
        self.eval("window.before = true");
        self.press(selector);
        self.loaded();
    }

    /// Presses what a selector finds.
    pub fn press(&mut self, selector: &str) {
        let found = format!("document.querySelector({})", json!(selector));
        let there = self.eval(&format!("!!{found} && ({found}.click(), true)"));
        assert_eq!(there, json!(true), "nothing is {selector} on {}", self.text());
    }

    /// Writes in the field that a selector finds.
    pub fn write(&mut self, selector: &str, text: &str) {
        let found = format!("document.querySelector({})", json!(selector));
        let there = self.eval(&format!("!!{found} && ({found}.focus(), {found}.value = {}, true)", json!(text)));
        assert_eq!(there, json!(true), "nothing is {selector} on {}", self.text());
    }

    /// Clicks with the mouse on what a selector finds, once a person could: in sight, and with nothing before it.
    pub fn click(&mut self, selector: &str) {
        // Where its middle is, if that is the element and nothing that covers it. A live page may just be replacing it.
        let middle = format!(
            "(() => {{
                const found = document.querySelector({});
                if (!found || found.disabled) return null;
                found.scrollIntoView({{ block: 'center', inline: 'center', behavior: 'instant' }});
                const {{ x, y, width, height }} = found.getBoundingClientRect();
                const [across, down] = [x + width / 2, y + height / 2];
                const hit = document.elementFromPoint(across, down);
                return hit && (found === hit || found.contains(hit)) ? [across, down] : null;
            }})()",
            json!(selector)
        );
        let middle = self.wait_for(&middle, 10);
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let held = i32::from(kind == "mousePressed");
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let params = json!({
                "type": kind, "x": middle[0], "y": middle[1], "button": button, "buttons": held, "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", params);
        }
    }

    /// Clicks on what a selector finds, and waits for the page that it leads to.
    pub fn go(&mut self, selector: &str) {
        self.eval("window.before = true");
        self.click(selector);
        self.loaded();
    }

    /// Types in the field that a selector finds, in place of what stands there: clicks into it, marks all, types.
    pub fn fill(&mut self, selector: &str, text: &str) {
        self.click(selector);
        let focused = format!("document.activeElement === document.querySelector({})", json!(selector));
        self.wait_for(&focused, 10);
        let all = json!({ "type": "keyDown", "key": "a", "code": "KeyA", "windowsVirtualKeyCode": 65, "modifiers": 2,
            "commands": ["selectAll"] });
        self.call("Input.dispatchKeyEvent", all);
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": "a", "code": "KeyA", "modifiers": 2 }));
        self.call("Input.insertText", json!({ "text": text }));
        let written = self.eval(&format!("document.querySelector({}).value", json!(selector)));
        assert_eq!(written, json!(text), "what was typed in {selector} does not stand there");
    }

    /// Presses a key on the page.
    pub fn key(&mut self, key: &str, code: u32) {
        let text = if key.chars().count() == 1 { key } else { "" };
        let text = if key == "Enter" { "\r" } else { text };
        for (kind, text) in [("keyDown", text), ("keyUp", "")] {
            let params = json!({ "type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// The page as it is now, as HTML.
    pub fn html(&mut self) -> String {
        self.eval("document.documentElement.outerHTML").as_str().unwrap_or_default().to_owned()
    }

    /// What a person can read.
    pub fn text(&mut self) -> String {
        self.eval("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// The path and the query of where one is.
    pub fn path(&mut self) -> String {
        self.eval("location.pathname + location.search").as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // `timeout` hands the signal on to the browser.
        let pid = self.child.id().to_string();
        std::process::Command::new("kill").args(["-TERM", &pid]).status().ok();
        self.child.wait().ok();
    }
}
