//! `checks` as a table, and `checks --watch`: the table drawn anew every second until Ctrl-C.
//!
//! On a terminal the table is redrawn in place; elsewhere a line is appended whenever a check's picture changed.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::shutdown::Signals;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::time::UtcMicros;
use tokio::time::sleep;

use crate::cli::Failure;
use crate::cli::client::Client;
use crate::cli::table::{Table, clean};
use crate::present::dto::{CheckView, PairView};
use crate::present::figure;
use crate::present::text::EN;

const EVERY: Duration = Duration::from_secs(1);

/// The agents' views, short: `eu-west up 87 ms`, and with the agent's name where a region has several.
fn pairs(check: &CheckView) -> Vec<String> {
    check.agents.iter().map(|one| format!("{} {}", one.place(&check.agents), state(one))).collect()
}

fn state(pair: &PairView) -> String {
    match (pair.suspended.is_some(), pair.state.as_str(), pair.latency_seconds) {
        (true, _, _) => "suspended".to_string(),
        (false, "up" | "degraded", Some(seconds)) => format!("{} {}", pair.state, figure::latency(seconds)),
        (false, "down", _) => match &pair.cause {
            Some(cause) => format!("down ({cause})"),
            None => "down".to_string(),
        },
        (false, "unknown", _) => format!("unknown ({})", pair.unknown_cause.as_deref().unwrap_or("no evidence")),
        (false, state, _) => state.to_string(),
    }
}

/// Availability, completeness and bounds in three cells.
pub fn figures(
    availability: Option<f64>,
    completeness: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
) -> [String; 3] {
    [
        figure::availability(availability, &EN),
        completeness.map_or_else(|| "-".to_string(), |value| figure::percent_down(value, 1)),
        Some(figure::bounds(lower, upper, &EN)).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_string()),
    ]
}

/// The checks as a table.
pub fn table(checks: &[CheckView]) -> Table {
    let mut heads = vec!["CHECK", "VERDICT", "AVAILABILITY", "COMPLETENESS", "BOUNDS", "REGIONS"];
    let grouped = checks.iter().any(|check| check.group.is_some());
    if grouped {
        heads.insert(1, "GROUP");
    }
    let mut table = Table::new(&heads);
    for check in checks {
        let [availability, completeness, bounds] =
            figures(check.sla.availability, check.sla.completeness, check.sla.lower, check.sla.upper);
        let mut regions = pairs(check).join("  ");
        if regions.is_empty() {
            regions = "no agent assigned".into();
        }
        let verdict =
            if check.suspended.is_some() { format!("{} (suspended)", check.verdict) } else { check.verdict.clone() };
        let mut row = vec![check.id.clone(), verdict, availability, completeness, bounds, regions];
        if grouped {
            row.insert(1, check.group.clone().unwrap_or_else(|| "-".into()));
        }
        table.push(row);
    }
    table
}

/// Goes on until a signal.
///
/// # Errors
/// When the first question fails; later ones are asked again.
pub async fn run(client: &Client, json: bool) -> Result<(), Failure> {
    let mut signals = Signals::install()
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot listen for signals: {error}")))?;
    let mut checks: Vec<CheckView> = client.all("/api/v1/checks").await?;
    let mut screen = Screen::open();
    let mut trouble: Option<String> = None;
    loop {
        let drawn = if json {
            json_line(&checks, trouble.is_some())
        } else {
            screen.draw(&checks, trouble.as_deref(), clock::now())
        };
        if drawn.is_err() {
            // Nobody reads any more.
            return Ok(());
        }
        let next = async {
            sleep(EVERY).await;
            client.all::<CheckView>("/api/v1/checks").await
        };
        tokio::select! {
            _ = signals.next() => return Ok(()),
            answer = next => match answer {
                Ok(fresh) => { checks = fresh; trouble = None; }
                Err(failure) => trouble = Some(failure.message),
            },
        }
    }
}

fn json_line(checks: &[CheckView], skip: bool) -> std::io::Result<()> {
    if skip {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, checks)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Where the table is drawn. On a terminal the cursor is hidden and long lines are cut until it is dropped.
struct Screen {
    terminal: bool,
    drawn: usize,
    told: BTreeMap<String, String>,
    trouble: Option<String>,
}

impl Screen {
    fn open() -> Self {
        let terminal = std::io::stdout().is_terminal();
        if terminal {
            print!("\x1b[?25l\x1b[?7l");
        }
        Self { terminal, drawn: 0, told: BTreeMap::new(), trouble: None }
    }

    fn draw(&mut self, checks: &[CheckView], trouble: Option<&str>, now: UtcMicros) -> std::io::Result<()> {
        if self.terminal { self.redraw(checks, trouble, now) } else { self.append(checks, trouble, now) }
    }

    fn redraw(&mut self, checks: &[CheckView], trouble: Option<&str>, now: UtcMicros) -> std::io::Result<()> {
        let mut lines = table(checks).lines();
        if checks.is_empty() {
            lines = vec!["No checks yet: write one and apply it with `sitepulse-collector apply FILE`.".into()];
        }
        let height = match rustix::termios::tcgetwinsize(std::io::stdout()) {
            Ok(size) if size.ws_row > 0 => usize::from(size.ws_row).max(8),
            Ok(_) | Err(_) => 24,
        };
        if lines.len() > height - 3 {
            let hidden = lines.len() - (height - 4);
            lines.truncate(height - 4);
            lines.push(format!("... and {hidden} more"));
        }
        let now = UtcMicros(now.0 - now.0.rem_euclid(1_000_000));
        lines.push(String::new());
        lines.push(match trouble {
            None => format!("{}  (Ctrl-C ends)", instant::format(now)),
            Some(trouble) => format!("{}  {}; trying again", instant::format(now), clean(trouble)),
        });
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        text.push_str("\r\x1b[J");
        for (index, line) in lines.iter().enumerate() {
            text.push_str(&if index == 0 && !checks.is_empty() {
                format!("\x1b[1m{line}\x1b[0m")
            } else {
                coloured(line)
            });
            text.push('\n');
        }
        self.drawn = lines.len();
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn append(&mut self, checks: &[CheckView], trouble: Option<&str>, now: UtcMicros) -> std::io::Result<()> {
        let stamp = instant::format(UtcMicros(now.0 - now.0.rem_euclid(1_000_000)));
        let mut out = std::io::stdout().lock();
        if trouble != self.trouble.as_deref() {
            self.trouble = trouble.map(str::to_string);
            match trouble {
                Some(trouble) => writeln!(out, "{stamp}  {}; trying again", clean(trouble))?,
                None => writeln!(out, "{stamp}  the collector answers again")?,
            }
        }
        for check in checks {
            let [availability, completeness, bounds] =
                figures(check.sla.availability, check.sla.completeness, check.sla.lower, check.sla.upper);
            let states: Vec<String> =
                check.agents.iter().map(|pair| format!("{} {}", pair.place(&check.agents), pair.state)).collect();
            // Figures move with every second; a picture is what a person would call changed.
            let picture = format!("{} {} {}", check.verdict, states.join(" "), check.sla.availability.is_some());
            if self.told.get(&check.id) != Some(&picture) {
                let line = format!(
                    "{stamp}  {}  {}  {availability}  completeness {completeness}  {bounds}  {}",
                    check.id,
                    check.verdict,
                    pairs(check).join("  ")
                );
                writeln!(out, "{}", clean(line.trim_end()))?;
                self.told.insert(check.id.clone(), picture);
            }
        }
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.terminal {
            // The terminal may be gone; then nothing is left to restore.
            drop(std::io::stdout().write_all(b"\x1b[?7h\x1b[?25h"));
            drop(std::io::stdout().flush());
        }
    }
}

/// Colours the words for states in a line that is already laid out.
fn coloured(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 32);
    for (index, word) in line.split(' ').enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let colour = match word {
            "up" => "32",
            "degraded" | "regional" => "33",
            "down" => "1;31",
            "unknown" | "suspended" | "maintenance" => "2",
            _ => "",
        };
        if colour.is_empty() {
            out.push_str(word);
        } else {
            out.push_str(&format!("\x1b[{colour}m{word}\x1b[0m"));
        }
    }
    out
}
