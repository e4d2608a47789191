//! What the observer script reports, made sane: a page cannot reach the script, but what it measures is the page's doing, and nothing here trusts it to be small,
//! finite or in order.

use serde::Deserialize;
use serde_json::Value;

/// Times beyond this are nonsense: an hour.
const TIME_MS_MAX: f64 = 3_600_000.0;
/// Entries kept of a load, of all kinds.
const ENTRIES_MAX: usize = 30_000;
/// Clicks that give consent.
const CONSENTS_MAX: usize = 2;

/// A layout shift.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Shift {
    /// When, in microseconds.
    pub(crate) at_us: u64,
    /// Its score.
    pub(crate) score: f64,
    /// Whether the browser says that input came just before. Mobile emulation makes it say so without any.
    pub(crate) recent_input: bool,
    /// Short CSS paths.
    pub(crate) sources: Vec<String>,
}

/// A candidate for the largest paint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Paint {
    /// When, in microseconds.
    pub(crate) at_us: u64,
    /// Its area in CSS pixels.
    pub(crate) area: u64,
    /// Of an image.
    pub(crate) url: String,
    /// A short CSS path.
    pub(crate) element: String,
}

/// A task of 50 ms or longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Task {
    /// Its start, in microseconds.
    pub(crate) at_us: u64,
    /// How long it took.
    pub(crate) duration_us: u64,
}

/// An event of an interaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct InputEvent {
    /// Which interaction.
    pub(crate) interaction: u64,
    /// When the input came, in microseconds.
    pub(crate) at_us: u64,
    /// Until the next frame was shown.
    pub(crate) duration_us: u64,
    /// When its first handler started.
    pub(crate) started_us: u64,
    /// When its last handler was done.
    pub(crate) done_us: u64,
    /// A short CSS path.
    pub(crate) target: String,
}

/// All that was reported of a load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entries {
    /// First Contentful Paint, in microseconds.
    pub(crate) fcp_us: Option<u64>,
    /// Candidates, as they came.
    pub(crate) paints: Vec<Paint>,
    /// As they came.
    pub(crate) shifts: Vec<Shift>,
    /// As they came.
    pub(crate) tasks: Vec<Task>,
    /// As they came.
    pub(crate) events: Vec<InputEvent>,
    /// Errors that nobody caught.
    pub(crate) errors: u32,
    /// The first of them.
    pub(crate) error_texts: Vec<String>,
    /// When consent was given, in microseconds; a second time where the first click had no effect.
    pub(crate) consents_us: Vec<u64>,
    pub(crate) kept: usize,
}

#[derive(Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
enum Raw {
    Fcp {
        t: f64,
    },
    Lcp {
        t: f64,
        size: f64,
        #[serde(default)]
        url: String,
        #[serde(default)]
        element: String,
    },
    Shift {
        t: f64,
        score: f64,
        recent_input: bool,
        #[serde(default)]
        sources: Vec<String>,
    },
    Task {
        t: f64,
        d: f64,
    },
    Event {
        id: f64,
        t: f64,
        d: f64,
        started: f64,
        done: f64,
        #[serde(default)]
        target: String,
    },
    Error {
        message: String,
    },
    Consent {
        t: f64,
    },
}

/// Milliseconds of a page's clock in microseconds.
pub(crate) fn us(ms: f64) -> Option<u64> {
    (ms.is_finite() && (0.0..=TIME_MS_MAX).contains(&ms)).then(|| (ms * 1e3).round() as u64)
}

/// Cuts a text at `max` bytes, between characters, and leaves no control characters in it.
pub(crate) fn cut(text: &str, max: usize) -> String {
    let clean: String = text.chars().take(max).map(|char| if char.is_control() { ' ' } else { char }).collect();
    clean[..clean.floor_char_boundary(max.min(clean.len()))].trim().to_owned()
}

impl Entries {
    /// Takes a report: a JSON list of entries, of which those that are not understood are left out. Whether something moved, was painted or kept the processor
    /// busy: then the page is not at rest.
    pub(crate) fn take(&mut self, report: Value) -> bool {
        let Value::Array(list) = report else { return false };
        let raws = list.into_iter().filter_map(|raw| serde_json::from_value(raw).ok());
        // Every one of them is taken.
        raws.map(|raw| self.take_raw(raw)).filter(|unrest| *unrest).count() > 0
    }

    fn take_raw(&mut self, raw: Raw) -> bool {
        use sitepulse_model::vitals::report::{LISTED_MAX, TEXT_BYTES_MAX};
        if self.kept >= ENTRIES_MAX {
            return true;
        }
        self.kept += 1;
        let text = |text: &str| cut(text, TEXT_BYTES_MAX);
        let unrest = !matches!(raw, Raw::Event { .. } | Raw::Error { .. });
        match raw {
            Raw::Fcp { t } => {
                self.fcp_us = self.fcp_us.or(us(t));
            }
            Raw::Lcp { t, size, url, element } => {
                let (Some(at_us), true) = (us(t), (0.0..1e12).contains(&size)) else { return false };
                // The whole address: its resource is looked up by it.
                self.paints.push(Paint { at_us, area: size as u64, url: cut(&url, 2_000), element: text(&element) });
            }
            Raw::Shift { t, score, recent_input, sources } => {
                let (Some(at_us), true) = (us(t), (0.0..1e3).contains(&score)) else { return false };
                let sources = sources.iter().take(3).map(|path| text(path)).filter(|path| !path.is_empty()).collect();
                self.shifts.push(Shift { at_us, score, recent_input, sources });
            }
            Raw::Task { t, d } => {
                let (Some(at_us), Some(duration_us)) = (us(t), us(d)) else { return false };
                self.tasks.push(Task { at_us, duration_us });
            }
            Raw::Event { id, t, d, started, done, target } => {
                let (Some(at_us), Some(duration_us), Some(started_us), Some(done_us)) =
                    (us(t), us(d), us(started), us(done))
                else {
                    return false;
                };
                let interaction = id as u64;
                self.events.push(InputEvent {
                    interaction,
                    at_us,
                    duration_us,
                    started_us,
                    done_us,
                    target: text(&target),
                });
            }
            Raw::Error { message } => {
                self.errors += 1;
                if self.error_texts.len() < LISTED_MAX {
                    self.error_texts.push(text(&message));
                }
            }
            Raw::Consent { t } => {
                // The observer makes no more, and each hides shifts.
                self.consents_us.extend(us(t).filter(|_| self.consents_us.len() < CONSENTS_MAX));
            }
        }
        unrest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(entries: &mut Entries, json: &str) -> bool {
        entries.take(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn nonsense_is_left_out() {
        let mut entries = Entries::default();
        let unrest = take(
            &mut entries,
            r#"[{"k":"fcp","t":-3},{"k":"fcp","t":1e99},{"k":"shift","t":1,"score":-1,"recent_input":false},
            {"k":"task","t":5,"d":null},{"k":"other"},7,null,{"k":"lcp","t":1,"size":"large"},{"k":"fcp","t":12.5},{"k":"fcp","t":99}]"#,
        );
        assert!(unrest);
        assert_eq!(entries.fcp_us, Some(12_500));
        assert!(entries.shifts.is_empty() && entries.tasks.is_empty() && entries.paints.is_empty());
        assert!(!take(&mut entries, "{}") && !take(&mut entries, r#"[{"k":"error","message":"boom"}]"#));
    }

    #[test]
    fn a_page_without_end_is_bounded() {
        let mut entries = Entries::default();
        let many = format!("[{}]", vec![r#"{"k":"task","t":1,"d":60}"#; 1_000].join(","));
        for _ in 0..40 {
            take(&mut entries, &many);
        }
        assert_eq!(entries.tasks.len(), ENTRIES_MAX);
        assert!(take(&mut entries, r#"[{"k":"task","t":1,"d":60}]"#));
        entries = Entries::default();
        for _ in 0..9 {
            take(&mut entries, &format!(r#"[{{"k":"error","message":"{}"}}]"#, "\u{1F600}".repeat(500)));
        }
        assert_eq!((entries.errors, entries.error_texts.len()), (9, 5));
        assert!(entries.error_texts.iter().all(|text| text.len() == 200));
    }

    #[test]
    fn consent_is_given_twice_at_most() {
        let mut entries = Entries::default();
        take(&mut entries, r#"[{"k":"consent","t":1},{"k":"consent","t":600},{"k":"consent","t":1200}]"#);
        assert_eq!(entries.consents_us, [1_000, 600_000]);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("a\nb", 10), "a b");
        assert_eq!(cut("ééé", 5), "éé");
        assert_eq!(cut("", 5), "");
    }
}
