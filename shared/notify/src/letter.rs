//! A notice in words: what a woken person needs, in the channel's language. Kinds of channels arrange these words; none makes its own.
//!
//! What comes from outside (names, targets, explanations) is cut, loses control characters and characters that change how others are shown, and an explanation, which
//! the target writes, loses its addresses' power to become links: `https[:]//`. Escaping for a format is [`crate::escape`]'s.

mod clock;
mod words;

use sitepulse_model::incident::{NoticeEvent, Severity};
use sitepulse_model::notice::{Found, Notice};
use sitepulse_model::time::UtcMicros;

use crate::http::line;
use clock::Clock;
use words::{Words, fill};

/// Longest value of a fact, in characters.
const VALUE_CHARS_MAX: usize = 300;
/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 140;
/// Longest short form but for its link, in characters: with one of 60 it fits a text message.
const SHORT_CHARS_MAX: usize = 160;
/// So much of a name stays in a short form, in characters, whatever else it says.
const NAME_CHARS_MIN: usize = 12;
/// Most checks that are named.
const CHECKS_MAX: usize = 10;

/// See [`crate::cause_in`].
pub(crate) fn cause_in(language: &str, cause: &str) -> Option<&'static str> {
    if language == "fr" { words::FR.known_cause(cause) } else { words::EN.known_cause(cause) }
}

/// What a message is about, at a glance: colours and priorities are made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It burns.
    Critical,
    /// Soon.
    Major,
    /// Can wait.
    Minor,
    /// To be known: an acknowledgement, a test.
    Info,
    /// It is over.
    Good,
}

impl Tone {
    /// As `RRGGBB`.
    pub(crate) const fn colour(self) -> u32 {
        match self {
            Self::Critical => 0x00c6_2828,
            Self::Major => 0x00ef_6c00,
            Self::Minor => 0x00f9_a825,
            Self::Info => 0x0015_65c0,
            Self::Good => 0x002e_7d32,
        }
    }
}

/// A notice in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    /// `en` or `fr`.
    pub(crate) language: &'static str,
    pub(crate) tone: Tone,
    /// One line: `[critical] shop is down`.
    pub(crate) subject: String,
    /// One line with the first facts, for a text message or the first line of a card.
    pub(crate) lead: String,
    /// The fewest words beside the subject, for a text message; may be empty.
    brief: String,
    /// Of what was found, instead of both: what stands before the name, the name, what stands after. The name is cut rather than a date or a figure.
    terse: Option<[String; 3]>,
    /// Between a label and its value: French has a space there.
    colon: &'static str,
    /// What is known, each with its label.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// The incident's page, with what to call it.
    pub(crate) link: Option<(&'static str, String)>,
    /// The link that acknowledges, with what to call it.
    pub(crate) acknowledge: Option<(&'static str, String)>,
}

impl Letter {
    /// Puts a notice into words; `language` is `en` or `fr`, `en` where nothing is said.
    pub(crate) fn of(notice: &Notice, language: Option<&str>) -> Self {
        let words = if language == Some("fr") { &words::FR } else { &words::EN };
        let zone = notice.context.recipient.as_ref().and_then(|recipient| recipient.zone.as_deref());
        Writer { words, notice, clock: Clock::of(zone) }.letter()
    }

    /// At most 160 characters, or as few as its link allows: the links are never cut.
    pub(crate) fn short(&self) -> String {
        let link = self.acknowledge.as_ref().or(self.link.as_ref()).map(|(_, link)| link.as_str());
        let left = link.map_or(SHORT_CHARS_MAX, |link| SHORT_CHARS_MAX.saturating_sub(link.chars().count() + 1));
        // A link so long that nothing is left goes in a message of more than one part.
        let room = if left < 60 { SHORT_CHARS_MAX } else { left };
        let text = match &self.terse {
            Some([before, name, after]) => {
                let taken = before.chars().count() + after.chars().count();
                format!("{before}{}{after}", cut(name, room.saturating_sub(taken).max(NAME_CHARS_MIN)))
            }
            None if self.brief.is_empty() => self.subject.clone(),
            None => format!("{} - {}", self.subject, self.brief),
        };
        // A space that does not break is in no text message's alphabet, and would cost it half its length.
        let text = cut(&text.replace('\u{a0}', " "), room);
        link.map_or(text.clone(), |link| format!("{text} {link}"))
    }

    /// All of it as plain text, a fact a line.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("{}\n", self.lead);
        if !self.facts.is_empty() {
            out.push('\n');
        }
        for line in self.lines() {
            out.push_str(&format!("{line}\n"));
        }
        for (label, link) in self.links() {
            out.push_str(&format!("\n{}{link}\n", self.label(label)));
        }
        out
    }

    /// The facts, each as one line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.facts.iter().map(|(label, value)| format!("{}{value}", self.label(label)))
    }

    /// A label as it stands before its value.
    pub(crate) fn label(&self, label: &str) -> String {
        format!("{label}{}", self.colon)
    }

    /// The links that there are, the acknowledging one first.
    pub(crate) fn links(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.acknowledge.iter().chain(self.link.iter())
    }
}

/// Whether a link is one: it goes out as it is.
fn is_link(text: &str) -> bool {
    let scheme = text.starts_with("https://") || text.starts_with("http://");
    scheme && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"|\\^`{}".contains(&byte))
}

/// At most so many characters.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    // Three dots: the one character for them would cost a text message half its length.
    let kept: String = text.chars().take(chars_max.saturating_sub(3)).collect();
    format!("{}...", kept.trim_end())
}

fn value(text: &str) -> String {
    line(text.as_bytes(), VALUE_CHARS_MAX)
}

/// What a target writes: without links.
fn said(text: &str) -> String {
    value(text).replace("://", "[:]//")
}

struct Writer<'a> {
    words: &'static Words,
    notice: &'a Notice,
    clock: Clock,
}

impl Writer<'_> {
    fn letter(&self) -> Letter {
        let (words, notice) = (self.words, self.notice);
        let link = |label: &'static str, link: &Option<String>| {
            link.as_ref().filter(|link| is_link(link)).map(|link| (label, link.clone()))
        };
        let open = notice.incident.state.is_open() && notice.event != NoticeEvent::Test;
        Letter {
            language: words.language,
            tone: self.tone(),
            subject: cut(&self.subject(), SUBJECT_CHARS_MAX),
            lead: self.lead(),
            brief: self.brief(),
            terse: self.terse(),
            colon: words.colon,
            facts: self.facts(),
            link: link(words.open_incident, &notice.context.link),
            acknowledge: link(words.acknowledge, &notice.context.acknowledge_link)
                .filter(|_| open && notice.event != NoticeEvent::Acknowledged),
        }
    }

    fn tone(&self) -> Tone {
        match self.notice.event {
            NoticeEvent::Opened | NoticeEvent::Escalated => match self.notice.incident.severity {
                Severity::Critical => Tone::Critical,
                Severity::Major => Tone::Major,
                Severity::Minor => Tone::Minor,
                Severity::Info => Tone::Info,
            },
            NoticeEvent::Acknowledged | NoticeEvent::Test => Tone::Info,
            NoticeEvent::Resolved => Tone::Good,
        }
    }

    /// What it is about.
    fn what(&self) -> String {
        let incident = &self.notice.incident;
        let named = incident.check.as_ref().or(incident.agent.as_ref()).or(incident.slo.as_ref());
        let title = self.notice.context.title.as_ref();
        value(named.or(title).unwrap_or(&incident.id))
    }

    fn subject(&self) -> String {
        let (words, notice) = (self.words, self.notice);
        if notice.event == NoticeEvent::Test {
            return words.test_subject.to_owned();
        }
        let (is, was) = words.trouble(notice.incident.kind);
        let what = self.what();
        let severity = words.severity(notice.incident.severity);
        let sentence = fill(if notice.event == NoticeEvent::Resolved { was } else { is }, &[("what", &what)]);
        let by = self.by();
        let took = self.lasted();
        let values = [("severity", severity), ("sentence", &sentence), ("by", &by), ("took", &took)];
        fill(words.subject(notice.event), &values)
    }

    fn by(&self) -> String {
        self.notice.context.by.as_deref().map_or_else(|| self.words.somebody.to_owned(), value)
    }

    /// How long it lasted by now, or until it was over.
    fn lasted(&self) -> String {
        let end = self.notice.incident.resolved_at.unwrap_or(self.notice.at);
        self.words.duration(end.us_since(self.notice.incident.since).max(0).cast_unsigned() / 1_000_000)
    }

    /// Where it is seen from.
    fn regions(&self) -> Option<String> {
        let context = &self.notice.context;
        if context.regions.is_empty() && context.regions_of == 0 {
            return None;
        }
        // Where it is, rather than who says so: a silent agent's own region.
        if context.regions_of == 0 {
            return Some(value(&context.regions.join(", ")));
        }
        let fraction = self.words.regions(context.regions.len(), context.regions_of);
        Some(if context.regions.is_empty() {
            fraction
        } else {
            value(&format!("{fraction}{}{}", self.words.colon, context.regions.join(", ")))
        })
    }

    /// How it failed: the cause in the reader's language, and the agent's own line, which is English, as a quotation where that is another one.
    fn how(&self) -> Option<String> {
        let context = &self.notice.context;
        let cause = context.cause.as_deref().map(|cause| self.words.cause(cause));
        let line = context.explanation.as_deref().map(said);
        match (cause, line) {
            (Some(cause), Some(line)) => Some(fill(self.words.how, &[("cause", &cause), ("line", &line)])),
            (cause, line) => line.or(cause),
        }
    }

    /// What was found, of what no vote is about: as a sentence, or as few words as there can be.
    fn found(&self, short: bool) -> Option<String> {
        let words = self.words;
        let pick = |long: &'static str, terse: &'static str| if short { terse } else { long };
        let until = |at: UtcMicros, long: [&'static str; 2], terse: [&'static str; 2], name: &Option<String>| {
            let left_us = at.us_since(self.notice.at);
            let left = words.duration(left_us.unsigned_abs() / 1_000_000);
            let name = name.as_deref().map_or_else(|| self.what(), value);
            let moment = if short { self.clock.day(at) } else { self.clock.moment(at) };
            let [soon, past] = if short { terse } else { long };
            let values = [("name", name.as_str()), ("at", &moment), ("left", &left)];
            fill(if left_us > 0 { soon } else { past }, &values)
        };
        Some(match self.notice.context.found.as_ref()? {
            Found::Certificate { name, expires } => until(*expires, words.certificate, words.certificate_short, name),
            Found::Domain { name, expires } => until(*expires, words.domain, words.domain_short, name),
            Found::Vital { vital, profile, baseline, median, worse } => {
                let shown = |value| words.number(&vital.shown(value));
                let grown = u128::from(median.saturating_sub(*baseline)) * 100;
                let percent = grown.checked_div(u128::from(*baseline)).map(|percent| {
                    let percent = fill(words.percent, &[("number", &percent.to_string())]);
                    format!(" (+{percent})")
                });
                let values = [
                    ("vital", vital.as_str().to_uppercase()),
                    ("baseline", shown(*baseline)),
                    ("median", shown(*median)),
                    ("percent", percent.unwrap_or_default()),
                    ("profile", value(profile)),
                    ("count", worse.saturating_sub(1).to_string()),
                ];
                let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let more = if *worse > 1 && !short { fill(words.vital_more, &values) } else { String::new() };
                format!("{}{more}", fill(pick(words.vital, words.vital_short), &values))
            }
            Found::Burn { hours, rate_tenths, threshold_tenths, left_permille } => {
                let tenths = |value: u64| words.number(&format!("{}.{}", value / 10, value % 10));
                let rate = rate_tenths.map(tenths);
                let (hours, threshold) = (hours.to_string(), tenths(*threshold_tenths));
                let values =
                    [("rate", rate.as_deref().unwrap_or_default()), ("hours", &hours), ("threshold", &threshold)];
                let sentence = match rate {
                    Some(_) => pick(words.burn, words.burn_short),
                    None => pick(words.burn_whole, words.burn_whole_short),
                };
                let left = left_permille.map(|left| match u64::try_from(left) {
                    Ok(left) if left > 0 => {
                        fill(pick(words.budget_left, words.budget_left_short), &[("left", &tenths(left))])
                    }
                    Ok(_) | Err(_) => pick(words.budget_none, words.budget_none_short).to_owned(),
                });
                format!("{}{}", fill(sentence, &values), left.unwrap_or_default())
            }
        })
    }

    /// A text message about what was found: its date or its figure says more than the sentence of the subject.
    fn terse(&self) -> Option<[String; 3]> {
        let (words, notice) = (self.words, self.notice);
        match notice.event {
            NoticeEvent::Opened | NoticeEvent::Escalated | NoticeEvent::Acknowledged => {}
            NoticeEvent::Resolved | NoticeEvent::Test => return None,
        }
        let found = self.found(true)?;
        // What no name holds: a line has no control characters.
        const PLACE: &str = "\u{1}";
        let by = self.by();
        let values = [("severity", words.severity(notice.incident.severity)), ("sentence", PLACE), ("by", &by)];
        let subject = fill(words.subject(notice.event), &values);
        let (before, after) = subject.split_once(PLACE)?;
        Some([before.to_owned(), self.what(), format!("{}{found}{after}", words.colon)])
    }

    /// Why: what failed first, and how.
    fn why(&self) -> Option<String> {
        let context = &self.notice.context;
        match (context.phase.as_deref().map(|phase| self.words.phase(phase)), self.how()) {
            (Some(phase), Some(how)) => Some(format!("{phase}{}{how}", self.words.colon)),
            (Some(phase), None) => Some(phase),
            (None, how) => how,
        }
    }

    fn lead(&self) -> String {
        let (words, notice) = (self.words, self.notice);
        match notice.event {
            NoticeEvent::Test => return words.test_lead.to_owned(),
            NoticeEvent::Resolved => {
                let (since, took) = (self.clock.moment(notice.incident.since), self.lasted());
                let by = notice.context.by.as_deref().map(value);
                let lead = fill(words.resolved_lead, &[("since", &since), ("took", &took)]);
                return by.map_or(lead.clone(), |by| format!("{lead} {}", fill(words.resolved_by, &[("by", &by)])));
            }
            NoticeEvent::Opened | NoticeEvent::Escalated | NoticeEvent::Acknowledged => {}
        }
        let (since, lasted) = (self.clock.moment(notice.incident.since), self.lasted());
        let mut parts = vec![fill(words.since_lead, &[("since", &since), ("lasted", &lasted)])];
        let context = &notice.context;
        if context.regions_of > 0 {
            parts.push(words.regions(context.regions.len(), context.regions_of));
        }
        parts.extend(self.why());
        parts.extend(self.found(false));
        format!("{}.", parts.join(", ").trim_end_matches('.'))
    }

    fn brief(&self) -> String {
        let (words, context) = (self.words, &self.notice.context);
        match self.notice.event {
            NoticeEvent::Test => words.test_lead.to_owned(),
            NoticeEvent::Resolved => {
                context.by.as_deref().map_or_else(String::new, |by| fill(words.resolved_by, &[("by", &value(by))]))
            }
            NoticeEvent::Opened | NoticeEvent::Escalated | NoticeEvent::Acknowledged => {
                let since = self.clock.minute(self.notice.incident.since);
                let mut parts = vec![format!("{since} ({})", self.lasted())];
                if context.regions_of > 0 {
                    parts.push(format!("{}/{} {}", context.regions.len(), context.regions_of, words.regions_short));
                }
                // A text message has no room for both, nor for quotation marks beyond its alphabet.
                let known = context.cause.as_deref().and_then(|cause| self.words.known_cause(cause));
                parts.extend(known.map(str::to_owned).or_else(|| self.how()));
                parts.join(", ")
            }
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let (words, notice) = (self.words, self.notice);
        let (incident, context) = (&notice.incident, &notice.context);
        if notice.event == NoticeEvent::Test {
            return vec![(words.key, value(&notice.key))];
        }
        let mut facts = Vec::new();
        let what = self.what();
        let target = context.target.as_deref().map(value).filter(|target| *target != what);
        facts.push((words.what, target.map_or(what.clone(), |target| format!("{what} ({target})"))));
        // A manual incident is named by its title already.
        facts.extend(
            context.title.as_deref().map(value).filter(|title| *title != what).map(|title| (words.title, title)),
        );
        facts.push((words.since, format!("{} ({})", self.clock.moment(incident.since), self.lasted())));
        facts.extend(incident.resolved_at.map(|at| (words.until, self.clock.moment(at))));
        let where_from = if context.regions_of == 0 { words.region } else { words.seen_from };
        facts.extend(self.regions().map(|regions| (where_from, regions)));
        facts.extend(self.why().map(|why| (words.why, why)));
        facts.extend(self.found(false).map(|found| (words.found, found)));
        facts.push((words.severity_label, words.severity(incident.severity).to_owned()));
        if incident.flapping {
            facts.push((words.flapping_label, words.flapping.to_owned()));
        }
        if notice.event == NoticeEvent::Escalated {
            facts.push((words.step_label, fill(words.step, &[("step", &notice.step.to_string())])));
        }
        if matches!(notice.event, NoticeEvent::Acknowledged) {
            let at = incident.acknowledged_at.unwrap_or(notice.at);
            facts.push((words.acknowledged_by, format!("{}, {}", self.by(), self.clock.moment(at))));
        }
        if !context.checks.is_empty() {
            let mut named: Vec<String> = context.checks.iter().take(CHECKS_MAX).map(|check| value(check)).collect();
            let more = context.checks.len().saturating_sub(CHECKS_MAX);
            if more > 0 {
                named.push(fill(words.more, &[("count", &more.to_string())]));
            }
            facts.push((words.checks, named.join(", ")));
        }
        facts.push((words.incident, value(&incident.id)));
        facts
    }
}
