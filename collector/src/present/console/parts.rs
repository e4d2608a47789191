//! What pages are made of: small pieces that look and read the same wherever they stand.
//!
//! A part is a template of its own: a page holds it as a field and writes it with `{{ part|safe }}`, for what is in it is escaped
//! already. Colour never speaks alone: each part says in words, for the eye or for screen readers, what its colours say.
//!
//! A form that is short opens in a dialog: an `<a data-dialog href=...>` leads to a page that is complete in itself, and where scripts
//! run its content is shown above the page one is on. So there is one form, and it works without scripts.

mod chart;
mod forms;
mod heatmap;

use askama::Template;

pub use chart::{Chart, Line};
pub use forms::{Choice, Field, Input};
pub use heatmap::{Heatmap, Hour};

use crate::present::text::Texts;

/// A state in a word, with its colour.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/pill.html")]
pub struct Pill {
    /// `up`, `degraded`, `regional`, `down`, `maintenance` or `unknown`.
    pub class: &'static str,
    /// The word.
    pub word: String,
}

impl Pill {
    /// The pill of a verdict or an agent's state.
    pub fn of_state(state: &str, t: &Texts) -> Self {
        Self { class: super::class(state), word: t.state(state).to_owned() }
    }
}

/// A figure with what it is called and what is to be known beside it.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "parts/stat.html")]
pub struct Stat {
    /// What it is.
    pub title: String,
    /// The figure.
    pub value: String,
    /// Whether there is a figure, not only the words that there is none.
    pub measured: bool,
    /// `good`, `plain`, `warning` or `critical`: the class of its edge.
    pub tone: &'static str,
    /// One line about it.
    pub note: String,
    /// How it changed: the class and the words; empty words where nothing is told.
    pub change: (&'static str, String),
    /// Where it is explained; empty where nowhere.
    pub href: String,
    /// More figures below it.
    pub lines: Vec<StatLine>,
}

/// A line below a figure.
#[derive(Debug, Clone, Default)]
pub struct StatLine {
    /// What it says.
    pub text: String,
    /// Its own figure.
    pub value: String,
    /// Where it leads; empty where nowhere.
    pub href: String,
}

/// A course of values without axes, for a glance: `None` is a gap.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "parts/sparkline.html")]
pub struct Sparkline {
    /// What is drawn, in words with its figures: the only text that it has.
    pub label: String,
    /// The path, in a box of 100 by 20.
    path: String,
}

impl Sparkline {
    /// Draws values from `low` to `high`; an empty line where there are none.
    pub fn of(values: &[Option<f64>], low: f64, high: f64, label: String) -> Self {
        let (width, height) = (100.0, 20.0);
        let step = if values.len() > 1 { width / (values.len() - 1) as f64 } else { width };
        let range = if high > low { high - low } else { 1.0 };
        let mut path = String::new();
        let mut open = false;
        for (at, value) in values.iter().enumerate() {
            let Some(value) = value else {
                open = false;
                continue;
            };
            let y = height - ((value - low) / range).clamp(0.0, 1.0) * height;
            path.push_str(&format!("{}{:.1} {y:.1}", if open { "L" } else { "M" }, at as f64 * step));
            // A value between two gaps is a dot.
            let alone = !open && values.get(at + 1).is_none_or(Option::is_none);
            if alone {
                path.push_str("h.01");
            }
            open = true;
        }
        Self { label, path }
    }

    /// Whether nothing is drawn.
    pub fn is_empty(&self) -> bool {
        self.path.is_empty()
    }
}

/// A stretch of a ribbon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// Its colour, the class of a state.
    pub class: &'static str,
    /// Where it begins, of [`RIBBON_UNITS`].
    pub x: String,
    /// How long it is.
    pub width: String,
    /// What it says where a pointer rests on it; empty: nothing.
    pub title: String,
}

/// How wide a ribbon is in its own units.
pub const RIBBON_UNITS: f64 = 1440.0;
/// The least width of a bar, so that no outage is too short to see.
const BAR_UNITS_MIN: f64 = 2.0;

impl Bar {
    /// A stretch from `from` to `to`, both parts of 1 of the ribbon.
    pub fn of(class: &'static str, from: f64, to: f64, title: String) -> Self {
        let x = (from * RIBBON_UNITS).clamp(0.0, RIBBON_UNITS - BAR_UNITS_MIN);
        let width = ((to - from) * RIBBON_UNITS).max(BAR_UNITS_MIN).min(RIBBON_UNITS - x);
        Self { class, x: short(x), width: short(width), title }
    }
}

/// A number with at most one decimal: pages hold thousands of them.
pub fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(ToOwned::to_owned).unwrap_or(text)
}

/// What was when, as a coloured band.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "parts/ribbon.html")]
pub struct Ribbon {
    /// What is drawn, in words.
    pub label: String,
    /// Its stretches in their order; later ones are drawn above.
    pub bars: Vec<Bar>,
    /// What stands below it, evenly spread from its beginning to its end; may be empty.
    pub ticks: Vec<String>,
    /// Whether it is the tall one of a page's head.
    pub tall: bool,
}

/// How much of an error budget is left.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "parts/budget.html")]
pub struct BudgetBar {
    /// In words.
    pub label: String,
    /// The colour, the class of a state.
    pub class: &'static str,
    /// What is left for sure, per mille.
    pub left: u32,
    /// What is left at best, per mille.
    pub upper: u32,
}

impl BudgetBar {
    /// From shares of 1; an overdrawn one is drawn full, as down.
    pub fn of(left: f64, upper: f64, class: &'static str, label: String) -> Self {
        let mille = |share: f64| (share.clamp(0.0, 1.0) * 1000.0).floor() as u32;
        if left < 0.0 {
            return Self { label, class: "down", left: 1000, upper: 1000 };
        }
        Self { label, class, left: mille(left), upper: mille(upper.max(left)) }
    }
}

/// A share of 1 as a half circle.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "parts/gauge.html")]
pub struct Gauge {
    /// What it is, in words with its figure.
    pub label: String,
    /// The figure in it.
    pub value: String,
    /// The colour, the class of a state.
    pub class: &'static str,
    /// How far it is filled, of 100.
    filled: String,
}

impl Gauge {
    /// Filled to a share of 1.
    pub fn of(share: f64, class: &'static str, value: String, label: String) -> Self {
        Self { label, value, class, filled: short(share.clamp(0.0, 1.0) * 100.0) }
    }
}

/// Nothing is there yet, and what to do about it.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "parts/empty.html")]
pub struct Empty {
    /// That there is nothing, and what would be here.
    pub text: String,
    /// What to type, if that helps.
    pub command: String,
    /// Where to go and what that is called; empty where nowhere.
    pub act: (String, String),
}

/// A filter's values, or the tabs of a page: links, of which one is where one is.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "parts/chips.html")]
pub struct Chips {
    /// What is chosen by them.
    pub label: String,
    /// Each.
    pub chips: Vec<Chip>,
    /// Whether they are tabs of a page.
    pub tabs: bool,
}

/// A value to filter by.
#[derive(Debug, Clone, Default)]
pub struct Chip {
    /// What it is called.
    pub label: String,
    /// Where it leads.
    pub href: String,
    /// Whether one is there.
    pub current: bool,
    /// How many there are; empty where nobody counts.
    pub count: String,
    /// A state's class for its dot; empty without one.
    pub class: &'static str,
}

/// From one page of a long list to the next.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "parts/pager.html")]
pub struct Pager {
    /// `1 to 100 of 5 000`.
    pub text: String,
    /// Where the page before is, and what that is called; `None` on the first one.
    pub previous: Option<(String, &'static str)>,
    /// Where the next one is.
    pub next: Option<(String, &'static str)>,
}

/// What just happened, or what is wrong.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "parts/notice.html")]
pub struct Notice {
    /// `good`, `plain`, `warning` or `critical`.
    pub tone: &'static str,
    /// In a sentence.
    pub text: String,
    /// Each thing that is wrong.
    pub lines: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ribbon_shows_the_shortest_outage_and_never_leaves_its_box() {
        let bar = Bar::of("down", 0.5, 0.5, String::new());
        assert_eq!((bar.x.as_str(), bar.width.as_str()), ("720", "2"));
        let last = Bar::of("down", 1.0, 1.0, String::new());
        assert_eq!((last.x.as_str(), last.width.as_str()), ("1438", "2"));
    }

    #[test]
    fn a_sparkline_has_gaps_and_dots() {
        let line = Sparkline::of(&[Some(0.0), Some(1.0), None, Some(0.5), None], 0.0, 1.0, "x".into());
        assert_eq!(line.path, "M0.0 20.0L25.0 0.0M75.0 10.0h.01");
        assert!(Sparkline::of(&[None, None], 0.0, 1.0, String::new()).is_empty());
    }

    #[test]
    fn an_overdrawn_budget_is_drawn_as_down() {
        let bar = BudgetBar::of(-0.2, 0.3, "up", String::new());
        assert_eq!((bar.class, bar.left), ("down", 1000));
        assert_eq!(BudgetBar::of(0.4567, 0.5, "up", String::new()).left, 456);
    }

    #[test]
    fn what_is_in_a_part_is_escaped() {
        let hostile = "<script>alert(1)</script>".to_owned();
        let notice = Notice { tone: "critical", text: hostile.clone(), lines: vec![hostile.clone()] };
        let field = Field { label: hostile.clone(), error: hostile.clone(), ..Field::text("x", &hostile) };
        for text in [notice.render(), field.render(), Pill { class: "up", word: hostile }.render()] {
            assert!(!text.unwrap().contains("<script>"));
        }
    }
}
