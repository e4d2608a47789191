//! `kpi`: how things stand, in four figures.

use super::{print, print_json, whole, with};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, KpiArgs};
use crate::present::dto::kpi::KpiView;
use crate::present::http::escape;
use crate::present::kpi::banner::{Banner, Line};
use crate::present::text::EN;

pub(super) async fn kpi(global: &Global, args: KpiArgs) -> Result<(), Failure> {
    let mut path = format!("/api/v1/kpi?period={}", escape(&args.period));
    if let Some(zone) = &args.zone {
        path.push_str(&format!("&zone={}", escape(zone)));
    }
    let view: KpiView = with(global, Need::Data, async |client| client.get(&path).await).await?;
    if global.json { print_json(&view) } else { print(&text(&view)) }
}

fn text(view: &KpiView) -> String {
    let mut text = format!("{} up to {}\n\n", (EN.kpi.period)(&view.period), whole(&view.to));
    let mut table = Table::new(&["FIGURE", "VALUE", "", "CHANGE"]);
    let banner = Banner::of(view, &EN);
    for tile in &banner.tiles {
        let change = tile.change.as_ref().map_or_else(String::new, |(_, text)| text.clone());
        table.push(vec![tile.title.to_owned(), tile.value.clone(), tile.note.clone(), change]);
    }
    text.push_str(&table.text());
    for tile in banner.tiles.iter().filter(|tile| !tile.lines.is_empty()) {
        text.push_str(&format!("\n{}\n", tile.title));
        for Line { text: what, value, .. } in &tile.lines {
            let told = if value.is_empty() { format!("  {what}") } else { format!("  {what}: {value}") };
            text.push_str(&clean(&told));
            text.push('\n');
        }
    }
    text
}
