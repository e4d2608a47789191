//! The five fields of cron, as far as their syntax goes. When a job is due is for the collector, which knows time zones.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of month", first: 1, last: 31, names: &[] },
    Field {
        name: "month",
        first: 1,
        last: 12,
        names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    },
    Field { name: "day of week", first: 0, last: 7, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] },
];

/// Most days of each month.
const MONTH_DAYS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Judges a cron expression.
pub(super) fn cron(text: &str) -> Result<(), String> {
    const BYTES_MAX: usize = 200;
    if text.len() > BYTES_MAX {
        return Err(format!("it has {} bytes, at most {BYTES_MAX} are allowed", text.len()));
    }
    if text.trim_start().starts_with('@') {
        return Err("names like @daily are not taken: write five fields, as in \"0 3 * * *\"".into());
    }
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!(
            "it has {} fields, write five: minute, hour, day of month, month, day of week, as in \"0 3 * * MON-FRI\"",
            parts.len()
        ));
    }
    let mut values = Vec::with_capacity(FIELDS.len());
    for (field, part) in FIELDS.iter().zip(&parts) {
        values.push(field.values(part)?);
    }
    let [_, _, days, months, _] = values.as_slice() else { return Ok(()) };
    let comes = |month: &u8| days.iter().any(|day| *day <= MONTH_DAYS[usize::from(*month - 1)]);
    if parts.get(4) == Some(&"*") && !months.iter().any(comes) {
        return Err("this day never comes: no such month has it".into());
    }
    Ok(())
}

impl Field {
    /// Every value that a field's list, ranges and steps name.
    fn values(&self, part: &str) -> Result<Vec<u8>, String> {
        let mut values = Vec::new();
        for item in part.split(',') {
            let (range, step) = match item.split_once('/') {
                None => (item, 1),
                Some((range, step)) => {
                    let step = number(step).filter(|step| (1..=self.last).contains(step));
                    (range, step.ok_or_else(|| self.wrong(item, "after / stands a step from 1"))?)
                }
            };
            let (first, last) = if range == "*" {
                (self.first, self.last)
            } else if let Some((first, last)) = range.split_once('-') {
                (self.value(first, item)?, self.value(last, item)?)
            } else {
                let first = self.value(range, item)?;
                if item.contains('/') {
                    return Err(self.wrong(item, "a step follows * or a range, as in */15 or 10-50/5"));
                }
                (first, first)
            };
            if last < first {
                return Err(self.wrong(item, "the range is empty: swap its ends, or write two"));
            }
            values.extend((first..=last).step_by(usize::from(step)));
        }
        Ok(values)
    }

    fn value(&self, text: &str, item: &str) -> Result<u8, String> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        if let Some(at) = named {
            return Ok(at as u8 + self.first);
        }
        let allowed = || match self.names {
            [] => format!("use {} to {}", self.first, self.last),
            [first, .., last] => format!("use {} to {} or {first} to {last}", self.first, self.last),
            [_] => String::new(),
        };
        number(text)
            .filter(|value| (self.first..=self.last).contains(value))
            .ok_or_else(|| self.wrong(item, &allowed()))
    }

    fn wrong(&self, item: &str, why: &str) -> String {
        format!("the {} {item:?} is wrong: {why}", self.name)
    }
}

fn number(text: &str) -> Option<u8> {
    let digits = !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_is_five_fields() {
        for good in [
            "* * * * *",
            "*/15 0-5,12 1,15 JAN-mar SUN",
            "0 3 29 2 *",
            "0  3\t* * 7",
            "5-59/10 * * * 1-5",
            "0 0 31 2 1",
        ] {
            assert_eq!(cron(good), Ok(()), "{good}");
        }
        for (bad, part) in [
            ("", "has 0 fields"),
            ("@daily", "five fields"),
            ("* * * *", "has 4 fields"),
            ("0 * * * * *", "has 6 fields"),
            ("60 * * * *", "minute \"60\" is wrong: use 0 to 59"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of month"),
            ("* * * 13 *", "use 1 to 12 or JAN to DEC"),
            ("* * * * 8", "SUN to SAT"),
            ("* * * * MO", "day of week"),
            ("5-1 * * * *", "swap"),
            ("*/0 * * * *", "step from 1"),
            ("*/x * * * *", "step from 1"),
            ("5/10 * * * *", "a step follows"),
            ("1,,2 * * * *", "minute"),
            ("-1 * * * *", "minute"),
            ("+1 * * * *", "minute"),
            ("0 0 L * *", "day of month"),
            ("0 0 30 2 *", "never comes"),
            ("0 0 31 4,6 *", "never comes"),
        ] {
            let why = cron(bad).unwrap_err();
            assert!(why.contains(part), "{bad:?}: {why}");
        }
        assert!(cron(&"1,".repeat(200)).is_err());
    }
}
