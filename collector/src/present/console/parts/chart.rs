//! Lines over time with axes, and the same as a table.

use askama::Template;

use super::short;

/// Where the drawing lies in its box of 800 by 240.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 792.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 212.0;
/// How many lines the grid has above its floor.
const GRIDS: u32 = 4;
/// About how many instants are named below.
const TICKS: usize = 6;

/// The chart.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/chart.html")]
pub struct Chart {
    /// What is drawn, in words.
    pub label: String,
    /// The head of the column of instants.
    pub time: String,
    /// What opens the table.
    pub as_table: String,
    /// The instants of the values, as text, the oldest first.
    pub names: Vec<String>,
    /// The lines.
    pub lines: Vec<Line>,
    /// How a value is written.
    pub write: fn(f64) -> String,
    /// Turns a written number into the language's own.
    pub number: fn(String) -> String,
}

/// A line.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its colour: a class `line-1` to `line-4`.
    pub class: &'static str,
    /// What it is.
    pub name: String,
    /// Its values, as many as there are instants; `None` is a gap.
    pub values: Vec<Option<f64>>,
}

/// The next of 1, 2, 5, 10, ... from a value on.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|top| *top >= value * 0.999_999).unwrap_or(10.0 * power)
}

impl Chart {
    fn top(&self) -> f64 {
        round_up(self.lines.iter().flat_map(|line| line.values.iter().flatten()).fold(0.0, |top, one| top.max(*one)))
    }

    fn x(&self, at: usize) -> f64 {
        let last = self.names.len().saturating_sub(1).max(1) as f64;
        LEFT + (RIGHT - LEFT) * at as f64 / last
    }

    /// The lines of the grid with their figures.
    fn grids(&self) -> Vec<(String, String)> {
        let top = self.top();
        let grid = |at: u32| {
            let share = f64::from(at) / f64::from(GRIDS);
            (short(BOTTOM - (BOTTOM - TOP) * share), (self.number)((self.write)(top * share)))
        };
        (0..=GRIDS).map(grid).collect()
    }

    /// Instants below: where, which, and how they are aligned.
    fn ticks(&self) -> Vec<(String, &str, &'static str)> {
        let last = self.names.len().saturating_sub(1);
        let step = (last / TICKS).max(1);
        let shown = (0..=last).step_by(step).filter(|at| *at == 0 || last - at >= step / 2 || *at == last);
        let align = |at| match at {
            0 => "start",
            at if at == last => "end",
            _ => "middle",
        };
        shown.filter_map(|at| Some((short(self.x(at)), self.names.get(at)?.as_str(), align(at)))).collect()
    }

    fn path(&self, line: &Line) -> String {
        let top = self.top();
        let mut path = String::new();
        let mut open = false;
        for (at, value) in line.values.iter().enumerate() {
            let Some(value) = value else {
                open = false;
                continue;
            };
            let y = BOTTOM - (BOTTOM - TOP) * (value / top).clamp(0.0, 1.0);
            path.push_str(&format!("{}{} {}", if open { "L" } else { "M" }, short(self.x(at)), short(y)));
            if !open && line.values.get(at + 1).is_none_or(Option::is_none) {
                path.push_str("h.01");
            }
            open = true;
        }
        path
    }

    fn cell(&self, line: &Line, at: &usize) -> String {
        let value = line.values.get(*at).copied().flatten();
        value.map_or_else(|| "–".to_owned(), |value| (self.number)((self.write)(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_a_round_number_above_the_highest_value() {
        for (value, top) in [(0.087, 0.1), (0.11, 0.2), (0.3, 0.4), (1.0, 1.0), (4.1, 5.0), (0.0, 1.0)] {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn a_gap_breaks_the_line_and_the_table_says_so() {
        let line = Line { class: "line-1", name: "p50".into(), values: vec![Some(1.0), None, Some(0.5)] };
        let chart = Chart {
            label: "x".into(),
            time: "t".into(),
            as_table: "table".into(),
            names: vec!["a".into(), "b".into(), "c".into()],
            lines: vec![line.clone()],
            write: |value| format!("{value}"),
            number: |text| text,
        };
        assert_eq!(chart.path(&line), "M56 12h.01M792 112h.01");
        assert_eq!(chart.cell(&line, &1), "–");
    }
}
