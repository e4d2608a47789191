//! `/status/{id}/badge/{item}.svg`: a state or an availability as a picture of two words; `all.svg` is the whole page.

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use sitepulse_model::sla::Together;
use sitepulse_model::status_page::WHOLE;

use super::body::Body;
use super::oembed::markup;
use super::page::{alone, stands_alone};
use super::{StatusQuery, language, nothing_here};
use crate::present::Present;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::{Language, Texts};
use crate::status::{Facts, Seen, State as Condition, named};

/// How long others may keep a badge, in seconds.
const SERVES_S: u32 = 60;
/// Room on each side of a text, in tenths of a pixel.
const PADDING: u32 = 60;
/// Longest text, in characters: what is longer ends with an ellipsis.
const TEXT_CHARS_MAX: usize = 60;

/// What a badge shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    State,
    Last24h,
    /// So many days, at this place of the item's figures.
    Days(usize, usize),
}

impl Show {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "state" => Self::State,
            "24h" => Self::Last24h,
            "7d" => Self::Days(7, 0),
            "30d" => Self::Days(30, 1),
            "90d" => Self::Days(90, 2),
            _ => return None,
        })
    }
}

/// `GET /status/{id}/badge/{item}`: the item's id, with `.svg`.
pub async fn badge(
    State(present): State<Present>,
    Path((id, item)): Path<(String, String)>,
    headers: HeaderMap,
    Query(query): Query<StatusQuery>,
) -> Answer<Response> {
    let word = query.show.as_deref().unwrap_or("state");
    let Some(show) = Show::parse(word) else {
        return Err(Problem::new(Code::BadRequest, "show is one of state, 24h, 7d, 30d, 90d"));
    };
    let Some(item) = item.strip_suffix(".svg").map(str::to_owned) else { return Ok(nothing_here()) };
    let Some(taken) = present.status(&id).await? else { return Ok(nothing_here()) };
    let facts = &taken.facts;
    let known = item == WHOLE || facts.page.items().any(|one| one.id == item);
    // Of a whole page there are no figures: its items weigh what nobody has said.
    let figures = show != Show::State;
    if !known || (figures && (!facts.page.figures || item == WHOLE)) {
        return Ok(nothing_here());
    }
    let lang = language(&facts.page, query.lang.as_deref(), &headers);
    let negotiated = query.lang.is_none();
    let key = format!("badge {} {negotiated} {word} {item}", lang.tag());
    let body = present.rendered(&taken, key, move |facts| {
        let Told { label, value, evidence, state } = told(facts, &item, show, lang);
        let mut title = (lang.texts().status.of)(&label, &value);
        if !evidence.is_empty() {
            title.push_str(&format!(", {evidence}"));
        }
        let picture = svg(&title, &label, &value, state);
        Ok(Body::new("image/svg+xml; charset=utf-8", SERVES_S, picture).in_language(lang, negotiated))
    });
    Ok(body.await?.answer(&headers))
}

/// What a badge tells.
struct Told {
    label: String,
    value: String,
    /// What share of the time a figure was observed for; empty where it is all of it, and of a state.
    evidence: String,
    /// Whose colour it has.
    state: Condition,
}

impl Told {
    fn state(label: String, state: Condition, t: &Texts) -> Self {
        Self { label, value: (t.status.short)(state).to_owned(), evidence: String::new(), state }
    }
}

fn told(facts: &Facts, item: &str, show: Show, lang: Language) -> Told {
    let t = lang.texts();
    let state = |seen: Seen| match seen {
        Seen { state: Condition::Up, partly: true } => Condition::Unknown,
        Seen { state, .. } => state,
    };
    let found = named(facts).find(|(one, _)| one.id == item);
    let Some((named, found)) = found else {
        let state = state(facts.overall);
        return Told::state(facts.page.title(lang.tag()).to_owned(), state, t);
    };
    let name = named.name(lang.tag()).to_owned();
    let figure = |figures: &Together, period: String| {
        let label = format!("{name} · {period}");
        let (value, evidence) = alone(figures, t);
        Told { label, value, evidence, state: grade(figures) }
    };
    match show {
        Show::State => {
            let state = state(found.now);
            Told::state(name, state, t)
        }
        Show::Last24h => figure(&found.last_24h, t.status.last_24h.to_owned()),
        Show::Days(days, at) => figure(&found.last_days[at], (t.status.last_days)(days)),
    }
}

/// The colour of a figure: by the number of nines, and none where too little was measured.
fn grade(figures: &Together) -> Condition {
    match figures.availability.filter(|_| stands_alone(figures)) {
        None => Condition::Unknown,
        Some(value) if value >= 0.999 => Condition::Up,
        Some(value) if value >= 0.99 => Condition::Degraded,
        Some(value) if value >= 0.95 => Condition::Partial,
        Some(_) => Condition::Down,
    }
}

/// White text stands on these with a contrast of at least 4.5.
const fn colour(state: Condition) -> &'static str {
    match state {
        Condition::Up => "#217a50",
        Condition::Degraded => "#8d5b12",
        Condition::Partial => "#a64e12",
        Condition::Down => "#bd2f34",
        Condition::Maintenance => "#4d5fa6",
        Condition::Unknown => "#5f6a75",
    }
}

/// The width of a text in 11 px DejaVu Sans or Verdana, in tenths of a pixel. What another font makes of it is squeezed or stretched into that (`textLength`).
fn width(text: &str) -> u32 {
    text.chars()
        .map(|character| match character {
            'i' | 'j' | 'l' | '\'' | '’' | '|' => 31,
            ' ' | '.' | ',' | ':' | ';' | '!' | '·' | '\u{a0}' | '\u{202f}' => 38,
            'f' | 'r' | 't' | 'I' | '(' | ')' | '/' | '-' => 46,
            'c' | 'k' | 's' | 'v' | 'x' | 'y' | 'z' | 'ç' | 'J' => 61,
            'm' | 'W' => 105,
            'w' | 'M' => 92,
            '%' => 112,
            'A'..='Z' => 77,
            '0'..='9' => 70,
            'a'..='z' | 'à'..='ÿ' => 68,
            'À'..='Ý' => 77,
            '…' => 90,
            // Most other scripts are as wide as they are tall, at most.
            _ => 110,
        })
        .sum()
}

fn cut(text: &str) -> String {
    if text.chars().count() <= TEXT_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect()
}

fn svg(title: &str, label: &str, value: &str, state: Condition) -> String {
    let (label, value) = (cut(label), cut(value));
    let (left, right) = (width(&label), width(&value));
    let (left_box, right_box) = (left + 2 * PADDING, right + 2 * PADDING);
    let whole = left_box + right_box;
    let px = |tenths: u32| format!("{}.{}", tenths / 10, tenths % 10);
    let title = markup(title);
    let text = |x: u32, length: u32, text: &str| {
        let text = markup(text);
        format!(
            "<text x=\"{}\" y=\"14\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\">{text}</text>",
            px(x),
            px(length)
        )
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"20\" viewBox=\"0 0 {w} 20\" role=\"img\" aria-label=\"{title}\">\
         <title>{title}</title><clipPath id=\"r\"><rect width=\"{w}\" height=\"20\" rx=\"4\"/></clipPath><g clip-path=\"url(#r)\">\
         <rect width=\"{w}\" height=\"20\" fill=\"#3b4650\"/><rect x=\"{l}\" width=\"{r}\" height=\"20\" fill=\"{colour}\"/></g>\
         <g fill=\"#fff\" font-family=\"Verdana,'DejaVu Sans',Geneva,sans-serif\" font-size=\"11\">{}{}</g></svg>\n",
        text(PADDING, left, &label),
        text(left_box + PADDING, right, &value),
        w = px(whole),
        l = px(left_box),
        r = px(right_box),
        colour = colour(state),
    )
}

/// The words of all languages that a badge of a state may show: their widths are looked at in tests.
#[cfg(test)]
fn words(t: &crate::present::text::Texts) -> Vec<&'static str> {
    let states = [Condition::Up, Condition::Degraded, Condition::Partial, Condition::Down, Condition::Maintenance];
    states.into_iter().chain([Condition::Unknown]).map(|state| (t.status.short)(state)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lightness(hex: &str) -> f64 {
        let byte = |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        let linear = |value: f64| if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(byte(1)) + 0.7152 * linear(byte(3)) + 0.0722 * linear(byte(5))
    }

    #[test]
    fn white_can_be_read_on_every_colour() {
        let states = [
            Condition::Up,
            Condition::Degraded,
            Condition::Partial,
            Condition::Down,
            Condition::Maintenance,
            Condition::Unknown,
        ];
        for state in states {
            let contrast = 1.05 / (lightness(colour(state)) + 0.05);
            assert!(contrast >= 4.5, "{state:?}: {contrast:.2}");
        }
        assert!(1.05 / (lightness("#3b4650") + 0.05) >= 4.5);
    }

    #[test]
    fn widths_follow_the_texts() {
        for language in Language::ALL {
            for word in words(language.texts()) {
                let each = width(word) / u32::try_from(word.chars().count()).unwrap();
                assert!((50..75).contains(&each), "{word}: {each}");
            }
        }
        assert!(width("99.98 %") < width("99.98 % ") && width("WWW") > 2 * width("iii"));
        assert!(cut(&"é".repeat(100)).chars().count() == TEXT_CHARS_MAX);
    }

    #[test]
    fn a_figure_of_which_less_than_half_is_known_is_grey_and_no_figure() {
        let figures = |completeness| Together {
            availability: Some(1.0),
            completeness: Some(completeness),
            ..Together::default()
        };
        let t = &crate::present::text::EN;
        assert_eq!(grade(&figures(0.5)), Condition::Up);
        assert_eq!(alone(&figures(0.5), t), ("100.00 %".into(), "evidence for 50.0 %".into()));
        assert_eq!(grade(&figures(0.499)), Condition::Unknown);
        assert_eq!(alone(&figures(0.499), t), ("little evidence".into(), "evidence for 49.9 %".into()));
        assert_eq!(alone(&figures(1.0), t), ("100.00 %".into(), String::new()));
        assert_eq!(alone(&Together::default(), t), ("no evidence".into(), String::new()));
    }

    #[test]
    fn hostile_names_stay_texts() {
        let made = svg("</title><script>", "</title><script>alert(1)</script>", "\"'&", Condition::Up);
        assert!(!made.contains("<script") && made.contains("&lt;script&gt;") && made.contains("&quot;&#39;&amp;"));
        assert_eq!(made.matches("<title>").count(), 1);
    }
}
