//! What a person would do on a page, done with the browser's own input: trusted, and seen by the page as such.

use serde_json::{Value, json};
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::check::Interact;
use sitepulse_model::vitals::report::TEXT_BYTES_MAX;

use super::entries::{cut, us};
use super::figures::Dispatched;
use super::session::Session;
use super::story::Stop;

/// Why an interaction did not take place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undone {
    /// The load is over.
    Stopped(Stop),
    /// The page gave no answer.
    Unresponsive,
    /// There was nothing to act on: what, and why.
    Failed(String),
}

impl From<Stop> for Undone {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// The interaction for people: `click #menu`. A text that is typed is not in it.
pub(crate) fn name(interact: &Interact) -> String {
    let text = match interact {
        Interact::Click(selector) => format!("click {selector}"),
        Interact::Type(selector, _) => format!("type {selector}"),
        Interact::Press(key) => format!("press {key}"),
        Interact::Scroll(pixels) => format!("scroll {pixels}"),
        Interact::Wait(duration) => format!("wait {}", super::failure::seconds(duration.0)),
    };
    cut(&text, TEXT_BYTES_MAX)
}

/// Does it, waiting for its element until `at`. What was dispatched, where it was input.
pub(crate) async fn perform(
    session: &mut Session,
    interact: &Interact,
    touch: bool,
    (width, height): (u32, u32),
    at: Monotonic,
) -> Result<Option<Dispatched>, Undone> {
    let from_us = match interact {
        Interact::Wait(duration) => {
            session.wait(duration.0.min(at.us_since(clock::monotonic()))).await?;
            return Ok(None);
        }
        Interact::Click(selector) => {
            let place = find(session, selector, at).await?;
            let (x, y) = (&place["x"], &place["y"]);
            if touch {
                let points = json!([{ "x": x, "y": y }]);
                dispatch(
                    session,
                    at,
                    "Input.dispatchTouchEvent",
                    json!({ "type": "touchStart", "touchPoints": points }),
                )
                .await?;
                dispatch(session, at, "Input.dispatchTouchEvent", json!({ "type": "touchEnd", "touchPoints": [] }))
                    .await?;
            } else {
                for (kind, button, count) in
                    [("mouseMoved", "none", 0), ("mousePressed", "left", 1), ("mouseReleased", "left", 1)]
                {
                    let params = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": count });
                    dispatch(session, at, "Input.dispatchMouseEvent", params).await?;
                }
            }
            time(&place["now"])
        }
        Interact::Type(selector, text) => {
            find(session, selector, at).await?;
            let focused = ask(session, at, "focus", &[json!(selector)]).await?;
            for char in text.0.chars() {
                key(session, at, &Key::of_char(char)).await?;
            }
            time(&focused["now"])
        }
        Interact::Press(name) => {
            let Some(pressed) = Key::named(name) else {
                return Err(Undone::Failed(format!("no key is called {}", cut(name, 40))));
            };
            let from_us = now(session, at).await?;
            key(session, at, &pressed).await?;
            from_us
        }
        Interact::Scroll(pixels) => {
            let from_us = now(session, at).await?;
            let params = json!({
                "type": "mouseWheel", "x": width / 2, "y": height / 2, "deltaX": 0, "deltaY": pixels,
            });
            dispatch(session, at, "Input.dispatchMouseEvent", params).await?;
            from_us
        }
    };
    let to_us = now(session, at).await?.max(from_us);
    session.story.settle.unrest(clock::monotonic());
    Ok(Some(Dispatched { action: name(interact), from_us, to_us }))
}

async fn find(session: &mut Session, selector: &str, at: Monotonic) -> Result<Value, Undone> {
    let within_ms = at.us_since(clock::monotonic()) / 1_000;
    let found = ask(session, at.plus_us(500_000), "find", &[json!(selector), json!(within_ms)]).await?;
    match found["why"].as_str() {
        Some(why) => Err(Undone::Failed(format!("{} {why}", cut(selector, TEXT_BYTES_MAX)))),
        None => Ok(found),
    }
}

async fn now(session: &mut Session, at: Monotonic) -> Result<u64, Undone> {
    Ok(time(&ask(session, at, "now", &[]).await?))
}

async fn ask(session: &mut Session, at: Monotonic, function: &str, parameters: &[Value]) -> Result<Value, Undone> {
    session.ask(at, function, parameters).await?.ok_or(Undone::Unresponsive)?.map_err(Undone::Failed)
}

async fn dispatch(session: &mut Session, at: Monotonic, method: &'static str, params: Value) -> Result<(), Undone> {
    session.call_until(at, method, params).await?.map(drop).ok_or(Undone::Unresponsive)
}

/// A page's time, in microseconds.
fn time(value: &Value) -> u64 {
    value.as_f64().and_then(us).unwrap_or_default()
}

/// A key, in the words of the DevTools protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    key: String,
    code: String,
    /// The number that Windows gives it, which browsers go by; 0 where it has none.
    number: u32,
    /// What it types.
    text: String,
}

impl Key {
    fn of_char(char: char) -> Self {
        let upper = char.to_ascii_uppercase();
        let (code, number) = match char {
            'a'..='z' | 'A'..='Z' => (format!("Key{upper}"), u32::from(upper)),
            '0'..='9' => (format!("Digit{char}"), u32::from(char)),
            ' ' => ("Space".to_owned(), 32),
            '\n' | '\r' => return Self::special("Enter", 13, "\r"),
            '\t' => return Self::special("Tab", 9, ""),
            _ => (String::new(), 0),
        };
        Self { key: char.to_string(), code, number, text: char.to_string() }
    }

    fn special(name: &str, number: u32, text: &str) -> Self {
        Self { key: name.to_owned(), code: name.to_owned(), number, text: text.to_owned() }
    }

    fn named(name: &str) -> Option<Self> {
        let mut chars = name.chars();
        if let (Some(char), None) = (chars.next(), chars.next()) {
            return Some(Self::of_char(char));
        }
        let (number, text) = match name {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Escape" => (27, ""),
            "Backspace" => (8, ""),
            "Delete" => (46, ""),
            "Space" => return Some(Self::of_char(' ')),
            "PageUp" => (33, ""),
            "PageDown" => (34, ""),
            "End" => (35, ""),
            "Home" => (36, ""),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            _ => {
                let number: u32 = name.strip_prefix('F')?.parse().ok()?;
                ((1..=12).contains(&number).then_some(111 + number)?, "")
            }
        };
        Some(Self::special(name, number, text))
    }
}

async fn key(session: &mut Session, at: Monotonic, key: &Key) -> Result<(), Undone> {
    let press = |kind: &str, text: &str| {
        json!({
            "type": kind, "key": key.key, "code": key.code, "windowsVirtualKeyCode": key.number, "text": text,
        })
    };
    let down = if key.text.is_empty() { "rawKeyDown" } else { "keyDown" };
    dispatch(session, at, "Input.dispatchKeyEvent", press(down, &key.text)).await?;
    dispatch(session, at, "Input.dispatchKeyEvent", press("keyUp", "")).await
}

#[cfg(test)]
mod tests {
    use sitepulse_model::check::{DurationUs, SecretText};

    use super::*;

    #[test]
    fn keys_have_their_names() {
        assert_eq!(Key::named("Enter"), Some(Key::special("Enter", 13, "\r")));
        assert_eq!(Key::named("F5").map(|key| key.number), Some(116));
        assert_eq!(Key::named("a"), Some(Key::of_char('a')));
        assert_eq!(Key::named("a").map(|key| (key.code, key.number)), Some(("KeyA".to_owned(), 65)));
        assert_eq!(Key::named("ü").map(|key| (key.code, key.number)), Some((String::new(), 0)));
        for none in ["F0", "F13", "Fn", "Return to sender", ""] {
            assert_eq!(Key::named(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_typed_is_not_told() {
        let typed = Interact::Type("#password".to_owned(), SecretText("hunter2".to_owned()));
        assert_eq!(name(&typed), "type #password");
        assert_eq!(name(&Interact::Wait(DurationUs(1_500_000))), "wait 1.5 s");
    }
}
