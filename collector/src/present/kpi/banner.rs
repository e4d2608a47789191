//! The banner as pages show it: five tiles in a language's words, ready for a template.

use sitepulse_model::impact::Signal;

use crate::present::dto::kpi::{DebtView, KpiImpactView, KpiIncidentsView, KpiSlaView, KpiView, ResponseView};
use crate::present::figure;
use crate::present::text::Texts;

/// How a tile is to be taken; told by a word or a sign too, never by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Neither.
    Plain,
    /// To be looked at.
    Warning,
    /// To be looked at first.
    Critical,
}

impl Tone {
    /// As a class of the style sheet.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Plain => "plain",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A line below a tile's figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it says.
    pub text: String,
    /// Its own figure, where it has one.
    pub value: String,
    /// Where it leads, where it leads anywhere.
    pub href: Option<String>,
}

/// A figure of the banner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// `sla`, `impact`, `incidents`, `debt`, `response`.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// The figure.
    pub value: String,
    /// How it is to be taken.
    pub tone: Tone,
    /// One sentence about it.
    pub note: String,
    /// How it changed, where that is told.
    pub change: Option<(Tone, String)>,
    /// More about it.
    pub lines: Vec<Line>,
    /// Where it is explained.
    pub href: String,
}

/// The banner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Banner {
    /// `24h`, `7d` or `30d`.
    pub period: String,
    /// The five tiles, in their order.
    pub tiles: [Tile; 5],
}

impl Banner {
    /// In a language's words.
    pub fn of(view: &KpiView, texts: &Texts) -> Self {
        let tiles = [
            sla(&view.sla, texts),
            impact(view.impact.as_ref(), texts),
            incidents(&view.incidents, texts),
            debt(&view.debt, texts),
            response(&view.response, texts),
        ];
        Self { period: view.period.clone(), tiles }
    }
}

fn sla(view: &KpiSlaView, texts: &Texts) -> Tile {
    let words = texts.kpi;
    let change = match view.change_points {
        None => view.availability.map(|_| (Tone::Plain, words.no_change.to_owned())),
        Some(points) if points.abs() < 0.005 => Some((Tone::Plain, words.unchanged.to_owned())),
        Some(points) => {
            let tone = if points > 0.0 { Tone::Good } else { Tone::Warning };
            Some((tone, (words.change)(&signed(points, texts))))
        }
    };
    let parts = [figure::completeness(view.completeness, texts), figure::bounds_to(view.lower, view.upper, 2, texts)];
    let note: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Tile {
        id: "sla",
        title: words.sla,
        value: match view.pending {
            true => words.pending.to_owned(),
            false => figure::availability(view.availability, texts),
        },
        tone: Tone::Plain,
        note: note.join(" "),
        change,
        lines: Vec::new(),
        href: "/terms/sla".into(),
    }
}

fn impact(view: Option<&KpiImpactView>, texts: &Texts) -> Tile {
    let words = texts.impact;
    let number = |value: f64| (texts.number)(format!("{value:.2}"));
    let signal = view.and_then(|view| view.dominant.as_deref());
    let signal = signal.and_then(|name| Signal::ALL.into_iter().find(|signal| signal.as_str() == name));
    let lines = [
        signal.map(|signal| (words.mostly.to_owned(), (words.signal)(signal).to_owned(), None)),
        view.and_then(|view| view.raised_by.as_ref())
            .map(|check| ((words.raised)(check), String::new(), Some(format!("/checks/{check}#impact")))),
    ];
    let change = view.and_then(|view| Some((view.score, view.before?))).map(|(now, before)| {
        // Both are hundredths: their difference is told as exactly.
        let by = ((now - before) * 100.0).round() / 100.0;
        match by {
            by if by > 0.0 => (Tone::Warning, (words.changed)(&signed(by, texts))),
            by if by < 0.0 => (Tone::Good, (words.changed)(&signed(by, texts))),
            _ => (Tone::Plain, texts.kpi.unchanged.to_owned()),
        }
    });
    Tile {
        id: "impact",
        title: words.score,
        value: view.map_or_else(|| words.none.to_owned(), |view| number(view.score)),
        tone: match view.map(|view| view.band.as_str()) {
            None => Tone::Plain,
            Some("critical") => Tone::Critical,
            Some("warning") => Tone::Warning,
            Some(_) => Tone::Good,
        },
        note: view.map_or_else(String::new, |view| (words.band)(&view.band).to_owned()),
        change,
        lines: lines.into_iter().flatten().map(|(text, value, href)| Line { text, value, href }).collect(),
        href: "/impact".into(),
    }
}

/// `+0.12`, `−0.03`.
fn signed(points: f64, texts: &Texts) -> String {
    let sign = if points < 0.0 { '\u{2212}' } else { '+' };
    format!("{sign}{}", (texts.number)(format!("{:.2}", points.abs())))
}

fn incidents(view: &KpiIncidentsView, texts: &Texts) -> Tile {
    let words = texts.kpi;
    let by = view.by_severity;
    let counts = [("critical", by.critical), ("major", by.major), ("minor", by.minor), ("info", by.info)];
    let some = counts.iter().filter(|(_, count)| *count > 0);
    let note: Vec<String> =
        some.map(|(severity, count)| (words.of_severity)(*count, &(texts.incidents.severity)(severity))).collect();
    let line = |one: &crate::present::dto::incidents::IncidentView| {
        let about = one.title.clone().or(one.check.clone()).or(one.agent.clone()).or(one.slo.clone());
        Line {
            text: format!("{} · {}", about.unwrap_or_else(|| one.id.clone()), (texts.incidents.kind)(&one.kind)),
            value: (texts.incidents.severity)(&one.severity),
            href: Some(format!("/incidents/{}", crate::present::http::escape(&one.id))),
        }
    };
    Tile {
        id: "incidents",
        title: words.incidents,
        value: if view.open == 0 { words.none_open.to_owned() } else { figure::count(view.open) },
        tone: match (by.critical, view.open) {
            (1.., _) => Tone::Critical,
            (0, 1..) => Tone::Warning,
            (0, 0) => Tone::Good,
        },
        note: note.join(", "),
        change: None,
        lines: view.top.iter().map(line).collect(),
        href: "/incidents".into(),
    }
}

fn debt(view: &DebtView, texts: &Texts) -> Tile {
    let words = texts.kpi;
    let number = |value: f64| (texts.number)(plain(value));
    let leads = |term: &str| match term {
        "overdue_jobs" | "failed_jobs" => "/jobs",
        "open_findings" | "stale_findings" => "/findings",
        "overdue_tasks" => "/playbooks",
        _ => "/terms/debt",
    };
    let line = |term: &crate::present::dto::kpi::DebtTermView| Line {
        text: (words.term)(&term.term).to_owned(),
        value: match (term.count, term.points) {
            (Some(count), Some(points)) => format!("{count} · {}", (words.points)(&number(points))),
            (Some(_) | None, None) | (None, Some(_)) => words.absent.to_owned(),
        },
        href: Some(leads(&term.term).to_owned()),
    };
    Tile {
        id: "debt",
        title: words.debt,
        value: number(view.points),
        tone: match view.level.as_str() {
            "critical" => Tone::Critical,
            "warning" => Tone::Warning,
            _ => Tone::Good,
        },
        note: match view.complete {
            true => (words.level)(&view.level).to_owned(),
            false => format!("{}, {}", (words.level)(&view.level), words.incomplete),
        },
        change: None,
        lines: view.terms.iter().map(line).collect(),
        href: "/terms/debt".into(),
    }
}

fn response(view: &ResponseView, texts: &Texts) -> Tile {
    let words = texts.kpi;
    let length = |seconds: Option<f64>| seconds.map(|seconds| (texts.number)(figure::length(seconds, texts.slo.day)));
    let target = (words.target)(&figure::length(view.mttr_target_seconds, texts.slo.day));
    let (tone, note) = match view.mttr_met {
        Some(true) => (Tone::Good, format!("{target}, {}", words.met)),
        Some(false) => (Tone::Critical, format!("{target}, {}", words.missed)),
        None => (Tone::Plain, target),
    };
    let mtta = length(view.mtta_seconds).unwrap_or_else(|| words.none_acknowledged.to_owned());
    Tile {
        id: "response",
        title: words.response,
        value: length(view.mttr_seconds).unwrap_or_else(|| words.none_resolved.to_owned()),
        tone,
        note,
        change: None,
        lines: vec![
            Line { text: words.mttr.to_owned(), value: (words.resolved)(view.resolved), href: None },
            Line { text: words.mtta.to_owned(), value: mtta, href: None },
        ],
        href: "/incidents".into(),
    }
}

/// A number with as many decimals as it has, two at most: `4`, `4.5`.
fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::dto::incidents::OpenNowView;
    use crate::present::kpi::debt::Debt;
    use crate::present::text::{EN, FR};

    fn view() -> KpiView {
        KpiView {
            period: "7d".into(),
            zone: None,
            from: String::new(),
            to: String::new(),
            before_from: String::new(),
            sla: KpiSlaView {
                availability: Some(0.999_87),
                percent: Some(99.98),
                completeness: Some(0.951),
                lower: Some(0.95),
                upper: Some(0.9999),
                change_points: Some(-0.01),
                ..KpiSlaView::default()
            },
            incidents: KpiIncidentsView {
                open: 3,
                by_severity: OpenNowView { critical: 2, major: 1, minor: 0, info: 0 },
                top: Vec::new(),
            },
            debt: Debt { expiring: Some(vec!["shop".into()]), ..Debt::default() }.view(),
            response: ResponseView {
                mttr_seconds: Some(18_000.0),
                resolved: 2,
                mttr_target_seconds: 14_400.0,
                mttr_met: Some(false),
                ..ResponseView::default()
            },
            impact: Some(KpiImpactView {
                score: 36.5,
                band: "warning".into(),
                model: "built-in@1".into(),
                dominant: Some("latency_p95".into()),
                raised_by: Some("shop".into()),
                before: Some(30.25),
            }),
        }
    }

    fn told(texts: &Texts) -> Vec<[String; 3]> {
        let banner = Banner::of(&view(), texts);
        let change = |tile: &Tile| tile.change.as_ref().map_or_else(String::new, |(_, text)| text.clone());
        banner.tiles.iter().map(|tile| [tile.value.clone(), tile.note.clone(), change(tile)]).collect()
    }

    #[test]
    fn five_figures_in_english() {
        let want = [
            ["99.98 %", "completeness 95.1 % [95.00 %, 99.99 %]", "\u{2212}0.01 points against the period before"],
            ["36.50", "warning", "+6.25 points since the period began"],
            ["3", "2 critical, 1 major", ""],
            ["2", "ok, without the terms that have no source yet", ""],
            ["5 h", "target: below 4 h, missed", ""],
        ];
        assert_eq!(told(&EN), want);
        let banner = Banner::of(&view(), &EN);
        assert_eq!(banner.tiles[3].lines[0].value, "no source yet");
        assert_eq!(banner.tiles[3].lines[5].value, "1 · 2 points");
        assert_eq!(
            banner.tiles.each_ref().map(|tile| tile.tone.class()),
            ["plain", "warning", "critical", "good", "critical"]
        );
    }

    #[test]
    fn five_figures_in_french() {
        let told = told(&FR);
        assert_eq!(told[0][0], "99,98 %");
        assert_eq!(told[0][2], "\u{2212}0,01 points par rapport à la période précédente");
        assert_eq!(
            (told[2][1].as_str(), told[4][1].as_str()),
            ("2 critiques, 1 majeur", "cible : moins de 4 h, manquée")
        );
    }

    #[test]
    fn nothing_measured_is_no_figure() {
        let nothing = KpiView { sla: KpiSlaView::default(), response: ResponseView::default(), impact: None, ..view() };
        let banner = Banner::of(&nothing, &EN);
        assert_eq!((banner.tiles[0].value.as_str(), &banner.tiles[0].change), (EN.no_evidence, &None));
        assert_eq!((banner.tiles[1].value.as_str(), banner.tiles[4].value.as_str()), ("no score", "none resolved"));
    }
}
