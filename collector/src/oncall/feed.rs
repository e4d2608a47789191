//! A schedule as an iCalendar feed (RFC 5545), and the token in its address.
//!
//! Calendar programs send no headers of ours, so the address itself shows that it may be read: it is signed for one schedule (or one user of it) and opens nothing else.
//! Another key makes every address of the schedule void. Instants are told in UTC, so no rules of zones must be; an event keeps its UID as long as the shift begins
//! when it does.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::hmac;
use sitepulse_model::time::{Span, UtcMicros};

use super::duty::FeedKey;

/// Longest line, in bytes without its end.
const LINE_BYTES_MAX: usize = 75;

/// One shift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Stays the same: see the module's head.
    pub uid: String,
    /// When.
    pub span: Span,
    /// What the calendar shows.
    pub summary: String,
    /// More of it.
    pub description: String,
}

/// The token of an address.
pub fn token(key: &FeedKey, schedule: &str, user: Option<&str>) -> String {
    URL_SAFE_NO_PAD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key.0), &signed(schedule, user)))
}

/// Whether a token opens the calendar of a schedule, or of one user of it.
pub fn opens(key: &FeedKey, schedule: &str, user: Option<&str>, token: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
    URL_SAFE_NO_PAD.decode(token).is_ok_and(|tag| hmac::verify(&key, &signed(schedule, user), &tag).is_ok())
}

/// What is signed. Ids hold no byte 0.
fn signed(schedule: &str, user: Option<&str>) -> Vec<u8> {
    format!("sitepulse on-call calendar\0{schedule}\0{}", user.unwrap_or_default()).into_bytes()
}

/// The calendar of events; `revised` is when anything of it was changed last.
pub fn calendar(name: &str, events: &[Event], revised: UtcMicros) -> String {
    let mut out = Lines(String::new());
    out.line("BEGIN:VCALENDAR");
    out.line("VERSION:2.0");
    out.line(concat!("PRODID:-//SitePulse//", env!("CARGO_PKG_VERSION"), "//EN"));
    out.line("CALSCALE:GREGORIAN");
    out.line(&format!("X-WR-CALNAME:{}", escaped(name)));
    out.line("REFRESH-INTERVAL;VALUE=DURATION:PT1H");
    out.line("X-PUBLISHED-TTL:PT1H");
    for event in events {
        out.line("BEGIN:VEVENT");
        out.line(&format!("UID:{}", escaped(&event.uid)));
        out.line(&format!("DTSTAMP:{}", stamp(revised)));
        out.line(&format!("DTSTART:{}", stamp(event.span.from)));
        out.line(&format!("DTEND:{}", stamp(event.span.to)));
        out.line(&format!("SUMMARY:{}", escaped(&event.summary)));
        out.line(&format!("DESCRIPTION:{}", escaped(&event.description)));
        out.line("TRANSP:TRANSPARENT");
        out.line("END:VEVENT");
    }
    out.line("END:VCALENDAR");
    out.0
}

/// `20261102T080000Z`.
pub fn stamp(at: UtcMicros) -> String {
    // Whole seconds: a shift that a change cut in between begins with the next.
    let seconds = at.0.div_euclid(1_000_000) + i64::from(at.0.rem_euclid(1_000_000) > 0);
    let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | ';' | ',' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
    }
    out
}

struct Lines(String);

impl Lines {
    /// Adds a line, folded: what goes on begins with a space.
    fn line(&mut self, text: &str) {
        let mut bytes = 0;
        for letter in text.chars() {
            if bytes + letter.len_utf8() > LINE_BYTES_MAX {
                self.0.push_str("\r\n ");
                bytes = 1;
            }
            self.0.push(letter);
            bytes += letter.len_utf8();
        }
        // A text takes whatever is written to it.
        write!(self.0, "\r\n").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_one_calendar_alone() {
        let (key, other) = (FeedKey([1; 32]), FeedKey([2; 32]));
        let whole = token(&key, "primary", None);
        assert!(opens(&key, "primary", None, &whole));
        assert!(!opens(&key, "primary", Some("ana"), &whole));
        assert!(!opens(&key, "second", None, &whole));
        assert!(!opens(&other, "primary", None, &whole), "a key that was changed");
        let ana = token(&key, "primary", Some("ana"));
        assert!(opens(&key, "primary", Some("ana"), &ana));
        assert!(!opens(&key, "primary", Some("bob"), &ana));
        for bad in ["", "forged", &whole[1..], &format!("{whole}A")] {
            assert!(!opens(&key, "primary", None, bad), "{bad}");
        }
    }

    #[test]
    fn a_calendar_is_folded_escaped_and_ends_its_lines_as_it_must() {
        let span = Span::new(UtcMicros(1_793_606_400_000_000), UtcMicros(1_793_606_400_500_000));
        let summary = format!("Ana; Bob, \\ and\nélan {}", "é".repeat(60));
        let event = Event { uid: "u@x".into(), span, summary: summary.clone(), description: String::new() };
        let text = calendar("primary", &[event], UtcMicros(0));
        assert!(text.ends_with("END:VCALENDAR\r\n"));
        assert!(text.split("\r\n").all(|line| line.len() <= LINE_BYTES_MAX && !line.contains(['\r', '\n'])), "{text}");
        assert!(text.contains("\r\nDTSTART:20261102T080000Z\r\nDTEND:20261102T080001Z\r\n"), "{text}");
        let unfolded = text.replace("\r\n ", "");
        let escaped = summary.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,").replace('\n', "\\n");
        assert!(unfolded.contains(&format!("\r\nSUMMARY:{escaped}\r\n")), "{unfolded}");
    }
}
