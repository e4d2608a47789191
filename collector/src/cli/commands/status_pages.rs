//! `status-pages`: what is published, and how it stands.

use super::{print, print_json, with};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global};
use crate::present::dto::status::StatusPageView;
use crate::present::figure;

pub(super) async fn status_pages(global: &Global) -> Result<(), Failure> {
    let pages: Vec<StatusPageView> =
        with(global, Need::Data, async |client| client.all("/api/v1/status-pages").await).await?;
    if global.json {
        return print_json(&pages);
    }
    if pages.is_empty() {
        return print("There is no status page: write one as [[status_page]] and apply it.\n");
    }
    let mut text = String::new();
    for page in &pages {
        let mark = if page.partly_unknown { ", not all of it known" } else { "" };
        let line = format!("{}@{}  {}{mark}  {}  {}", page.id, page.version, page.state, page.url, page.title);
        text.push_str(&format!("{}\n", clean(&line)));
        let mut table = Table::new(&["GROUP", "ITEM", "NAME", "STATE", "90 DAYS", "EVIDENCE", "CHECKS"]);
        for item in &page.items {
            let percent = |value: Option<f64>, decimals| {
                value.map_or_else(|| "-".to_owned(), |value| figure::percent_down(value, decimals))
            };
            let mark = if item.partly_unknown { " (in part)" } else { "" };
            table.push(vec![
                item.group.clone(),
                item.id.clone(),
                item.name.clone(),
                format!("{}{mark}", item.state),
                percent(item.availability, 2),
                percent(item.completeness, 1),
                item.checks.join(" "),
            ]);
        }
        text.push_str(&table.text());
    }
    print(&text)
}
