//! `windows`: maintenance windows, past and coming.

use super::{hinted, length, print, print_json, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::Table;
use crate::cli::{Failure, Global, WindowsArgs};
use crate::present::windows::WindowView;
use sitepulse_daemon::instant;
use sitepulse_model::time::UtcMicros;

pub(super) async fn windows(global: &Global, args: WindowsArgs) -> Result<(), Failure> {
    let asked = [("check", args.check), ("from", args.period.from), ("to", args.period.to)];
    let path = with_query("/api/v1/windows", asked);
    let windows: Vec<WindowView> =
        with(global, Need::Data, async |client| client.all(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&windows);
    }
    if windows.is_empty() {
        return print("No maintenance window is open in this period: write one as [[maintenance]] and apply it.\n");
    }
    let mut table = Table::new(&["WINDOW", "STATE", "FROM", "TO", "LASTS", "CHECKS"]);
    for one in &windows {
        table.push(vec![
            format!("{}@{}", one.window, one.version),
            one.state.clone(),
            whole(&one.from),
            whole(&one.to),
            length(seconds(one)),
            one.checks.join(" "),
        ]);
    }
    print(&table.text())
}

fn seconds(one: &WindowView) -> f64 {
    let at = |text: &str| instant::parse(text, UtcMicros(0)).unwrap_or(UtcMicros(0));
    at(&one.to).us_since(at(&one.from)) as f64 / 1e6
}
