//! How a window comes again, as the fields of a form: the parts of an RRULE that people choose, and a rule of its own for what they cannot say.

use std::collections::BTreeMap;

use crate::present::text::Texts;

/// The days of a week as rules write them.
pub(super) const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
/// Which one of a month's weekdays, as rules write it; empty: every one.
pub(super) const NTHS: [&str; 8] = ["", "1", "2", "3", "4", "5", "-2", "-1"];
/// How often, as the form sends it; empty: once.
pub(super) const FREQUENCIES: [&str; 5] = ["", "daily", "weekly", "monthly", "rule"];

/// What the fields say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Repeats {
    /// One of [`FREQUENCIES`].
    pub(super) frequency: String,
    pub(super) interval: String,
    /// The weekdays of a weekly rule.
    pub(super) days: [bool; 7],
    /// `weekday`: a monthly rule goes by a weekday of the month, else by its dates.
    pub(super) by: String,
    pub(super) month_days: String,
    pub(super) nth: String,
    /// One of [`DAYS`].
    pub(super) weekday: String,
    /// `count`, `until`, else it never ends.
    pub(super) ends: String,
    pub(super) count: String,
    /// `2026-12-31`
    pub(super) until: String,
    /// A rule of its own.
    pub(super) rule: String,
}

impl Repeats {
    /// What a form says.
    pub(super) fn read(form: &BTreeMap<String, String>) -> Self {
        let told = |key: &str| form.get(key).map(|text| text.trim().to_owned()).unwrap_or_default();
        Self {
            frequency: told("frequency"),
            interval: told("interval"),
            days: DAYS.map(|day| form.contains_key(&format!("day-{day}"))),
            by: told("by"),
            month_days: told("month_days"),
            nth: told("nth"),
            weekday: told("weekday"),
            ends: told("ends"),
            count: told("count"),
            until: told("until"),
            rule: told("rule"),
        }
    }

    /// The fields of a rule; those that cannot say it hold it as it is.
    pub(super) fn of_rule(rule: &str) -> Self {
        let own = || Self { frequency: "rule".into(), rule: rule.to_owned(), ..Self::default() };
        Self::of_parts(rule).unwrap_or_else(own)
    }

    fn of_parts(rule: &str) -> Option<Self> {
        let mut repeats = Self::default();
        let rule = rule.trim();
        for part in rule.strip_prefix("RRULE:").unwrap_or(rule).split(';') {
            let (key, value) = part.split_once('=')?;
            match key {
                "FREQ" => repeats.frequency = value.to_ascii_lowercase(),
                "INTERVAL" if value == "1" => {}
                "INTERVAL" => repeats.interval = value.to_owned(),
                "COUNT" => (repeats.ends, repeats.count) = ("count".into(), value.to_owned()),
                "UNTIL" => {
                    let day = value.len() == 8 && value.bytes().all(|byte| byte.is_ascii_digit());
                    let day = day.then(|| format!("{}-{}-{}", &value[..4], &value[4..6], &value[6..]))?;
                    (repeats.ends, repeats.until) = ("until".into(), day);
                }
                "BYMONTHDAY" => repeats.month_days = value.split(',').collect::<Vec<_>>().join(", "),
                // After FREQ, which every rule has: see below.
                "BYDAY" => repeats.nth = value.to_owned(),
                _ => return None,
            }
        }
        let by_day = std::mem::take(&mut repeats.nth);
        match repeats.frequency.as_str() {
            "daily" => (by_day.is_empty() && repeats.month_days.is_empty()).then_some(repeats),
            "weekly" => {
                for day in by_day.split(',').filter(|day| !day.is_empty()) {
                    repeats.days[DAYS.iter().position(|known| *known == day)?] = true;
                }
                repeats.month_days.is_empty().then_some(repeats)
            }
            "monthly" if by_day.is_empty() => Some(repeats),
            "monthly" if repeats.month_days.is_empty() => {
                let (nth, day) = by_day.split_at_checked(by_day.len().checked_sub(2)?)?;
                let known = NTHS.contains(&nth) && DAYS.contains(&day);
                (repeats.by, repeats.nth, repeats.weekday) = ("weekday".into(), nth.to_owned(), day.to_owned());
                known.then_some(repeats)
            }
            _ => None,
        }
    }

    /// The rule; `None` is once. What makes no sense is told by the judge of rules.
    pub(super) fn rule(&self) -> Option<String> {
        let frequency = match self.frequency.as_str() {
            "" => return None,
            "rule" => return Some(self.rule.clone()),
            other => other.to_ascii_uppercase(),
        };
        let mut parts = vec![format!("FREQ={frequency}")];
        if !["", "1"].contains(&self.interval.as_str()) {
            parts.push(format!("INTERVAL={}", self.interval));
        }
        let list = |text: &str| text.split([',', ' ']).filter(|one| !one.is_empty()).collect::<Vec<_>>().join(",");
        match (self.frequency.as_str(), self.by.as_str()) {
            ("weekly", _) if self.days.contains(&true) => {
                let chosen = DAYS.iter().zip(self.days).filter(|(_, chosen)| *chosen).map(|(day, _)| *day);
                parts.push(format!("BYDAY={}", chosen.collect::<Vec<_>>().join(",")));
            }
            ("monthly", "weekday") => parts.push(format!("BYDAY={}{}", self.nth, self.weekday)),
            ("monthly", _) if !self.month_days.is_empty() => {
                parts.push(format!("BYMONTHDAY={}", list(&self.month_days)));
            }
            _ => {}
        }
        match self.ends.as_str() {
            "count" => parts.push(format!("COUNT={}", self.count)),
            "until" => parts.push(format!("UNTIL={}", self.until.replace('-', ""))),
            _ => {}
        }
        Some(parts.join(";"))
    }

    /// The field that a fault of the rule is about.
    pub(super) fn field_of(&self, message: &str) -> &'static str {
        let by_part = [
            ("INTERVAL", "interval"),
            ("COUNT", "count"),
            ("UNTIL", "until"),
            ("BYMONTHDAY", "month_days"),
            ("BYDAY", "weekday"),
        ];
        let part = by_part.into_iter().find(|(part, _)| message.starts_with(part));
        match part {
            _ if self.frequency == "rule" => "rule",
            Some((_, field)) => field,
            None => "frequency",
        }
    }

    /// In words; a rule of its own as it is written.
    pub(super) fn words(&self, t: &Texts) -> String {
        let w = t.windows;
        let frequency = match self.frequency.as_str() {
            "" => return w.once.to_owned(),
            "rule" => return self.rule.clone(),
            other => other.to_ascii_uppercase(),
        };
        let mut words = vec![(w.every)(&frequency, self.interval.parse().unwrap_or(1))];
        let days = self.days.iter().enumerate().filter(|(_, chosen)| **chosen);
        let days: Vec<&str> = days.map(|(at, _)| (t.desk.weekday)(at)).collect();
        if !days.is_empty() {
            words.push((w.on)(&days.join(", ")));
        }
        if !self.month_days.is_empty() {
            words.push((w.on_dates)(&self.month_days));
        }
        if let Some(day) = DAYS.iter().position(|day| *day == self.weekday).filter(|_| self.by == "weekday") {
            words.push((w.on_nth)((w.nth_word)(&self.nth), (w.weekday_long)(day)));
        }
        match self.ends.as_str() {
            "count" => words.push((w.so_many)(self.count.parse().unwrap_or(0))),
            "until" => words.push((w.until)(&self.until)),
            _ => {}
        }
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintenance::Rule;

    #[test]
    fn a_rule_is_the_same_after_a_form() {
        for (rule, by_fields) in [
            ("FREQ=DAILY", true),
            ("FREQ=DAILY;INTERVAL=3;COUNT=5", true),
            ("FREQ=WEEKLY;BYDAY=MO,TH;UNTIL=20261231", true),
            ("FREQ=WEEKLY;INTERVAL=2", true),
            ("FREQ=MONTHLY;BYMONTHDAY=1,15,-1", true),
            ("FREQ=MONTHLY;BYDAY=-1FR;COUNT=12", true),
            ("FREQ=MONTHLY;BYDAY=SU", true),
            ("RRULE:BYDAY=SU;FREQ=WEEKLY;INTERVAL=1", true),
            ("FREQ=MONTHLY;BYDAY=1SU,3SU", false),
            ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", false),
            ("FREQ=DAILY;BYDAY=MO", false),
            ("FREQ=DAILY;UNTIL=20261231T220000Z", false),
            ("FREQ=YEARLY", false),
            ("nonsense", false),
        ] {
            let fields = Repeats::of_rule(rule);
            assert_eq!(fields.frequency != "rule", by_fields, "{rule}: {fields:?}");
            let written = fields.rule().unwrap();
            assert_eq!(Rule::parse(&written).ok(), Rule::parse(rule).ok(), "{rule} became {written}");
            assert_eq!(Repeats::of_rule(&written), fields, "{rule}");
        }
    }

    #[test]
    fn a_rule_reads_in_both_languages() {
        use crate::present::text::{EN, FR};
        let words = |rule: &str| {
            let fields = Repeats::of_rule(rule);
            (fields.words(&EN), fields.words(&FR))
        };
        let (en, fr) = words("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;COUNT=5");
        assert_eq!(
            (en.as_str(), fr.as_str()),
            ("every 2 weeks, on Mon, Thu, 5 times", "toutes les 2 semaines, le lun, jeu, 5 fois")
        );
        let (en, fr) = words("FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20261231");
        assert_eq!(en, "monthly, on the last Friday, until 2026-12-31");
        assert_eq!(fr, "chaque mois, le dernier vendredi, jusqu’au 2026-12-31");
    }
}
