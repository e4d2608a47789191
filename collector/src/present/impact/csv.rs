//! Scores for spreadsheets: RFC 4180, UTF-8, a header line. Numbers have a decimal point whatever the language; what is not known is empty, never 0.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sitepulse_model::impact::Signal;

use crate::present::dto::impact::{ImpactHistoryView, ImpactTogetherView, ImpactView, ImpactsView};
use crate::present::openapi::signature::{Gives, Operation};

/// A table.
#[derive(Debug)]
pub struct Csv {
    name: &'static str,
    text: String,
}

impl IntoResponse for Csv {
    fn into_response(self) -> Response {
        let shown = format!("attachment; filename=\"{}\"", self.name);
        let shown = HeaderValue::from_str(&shown).unwrap_or(HeaderValue::from_static("attachment"));
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
            (header::CONTENT_DISPOSITION, shown),
        ];
        (headers, self.text).into_response()
    }
}

impl Gives for Csv {
    fn tell(operation: &mut Operation<'_>) {
        operation.answer(200, "A table with a header line.", Some(("text/csv", json!({"type": "string"}))));
    }
}

/// A line; what could be taken for something else is quoted, and what a spreadsheet would take for a formula is not one.
fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cell = |text: String| {
        let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err() {
            format!("'{text}")
        } else {
            text
        };
        if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    let mut line = cells.into_iter().map(cell).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

fn number(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.2}")).unwrap_or_default()
}

/// What each score is made of: `check`, `group`, `region`, then the score and, a column for each signal, what that adds. Checks first, then groups, then regions, then all together.
pub fn scores(view: &ImpactsView) -> Csv {
    let head =
        ["of", "name", "group", "region", "class", "weight", "score", "band", "raised_by", "dominant", "model", "at"];
    let signals = Signal::ALL.map(|signal| signal.as_str().to_owned());
    let mut text = line(head.map(str::to_owned).into_iter().chain(signals));
    let points = |parts: Vec<(&str, f64)>| {
        Signal::ALL
            .map(|signal| number(parts.iter().find(|(name, _)| *name == signal.as_str()).map(|(_, points)| *points)))
    };
    let region = view.region.clone().unwrap_or_default();
    for one in &view.checks {
        let ImpactView { check, group, class, weight, score, band, model, at, dominant, contributions, .. } = one;
        let cells = [
            "check".to_owned(),
            check.clone(),
            group.clone().unwrap_or_default(),
            region.clone(),
            class.clone(),
            weight.to_string(),
            number(*score),
            band.clone().unwrap_or_default(),
            String::new(),
            dominant.clone().unwrap_or_default(),
            model.clone(),
            at.clone(),
        ];
        let parts = contributions.iter().map(|part| (part.signal.as_str(), part.points)).collect();
        text.push_str(&line(cells.into_iter().chain(points(parts))));
    }
    let groups = view.groups.iter().map(|one| ("group", one.group.clone().unwrap_or_default(), one));
    let regions = view.regions.iter().map(|one| ("region", one.region.clone().unwrap_or_default(), one));
    let whole = view.whole.iter().map(|one| ("all", String::new(), one));
    for (of, name, one) in groups.chain(regions).chain(whole) {
        let ImpactTogetherView { group, score, band, raised, dominant, contributions, .. } = one;
        let cells = [
            of.to_owned(),
            name,
            group.clone().unwrap_or_default(),
            one.region.clone().unwrap_or_else(|| region.clone()),
            String::new(),
            String::new(),
            number(Some(*score)),
            band.clone(),
            raised.as_ref().map(|raised| raised.check.clone()).unwrap_or_default(),
            dominant.clone().unwrap_or_default(),
            view.model.clone(),
            view.as_of.clone(),
        ];
        let parts = contributions.iter().map(|part| (part.signal.as_str(), part.points)).collect();
        text.push_str(&line(cells.into_iter().chain(points(parts))));
    }
    Csv { name: "impact.csv", text }
}

/// What a score was, a line for each hour.
pub fn history(view: &ImpactHistoryView) -> Csv {
    let mut text = line(["at", "check", "group", "region", "score", "model"].map(str::to_owned));
    let named = |name: &Option<String>| name.clone().unwrap_or_default();
    for hour in &view.hours {
        let score = number(Some(hour.score));
        let cells =
            [hour.at.clone(), named(&view.check), named(&view.group), named(&view.region), score, hour.model.clone()];
        text.push_str(&line(cells));
    }
    Csv { name: "impact-history.csv", text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::dto::impact::ImpactHourView;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        let cells = ["plain", "a,b", "say \"x\"", "=1+1", "-5", "-x", "two\nlines", ""];
        assert_eq!(line(cells.map(str::to_owned)), "plain,\"a,b\",\"say \"\"x\"\"\",'=1+1,-5,'-x,\"two\nlines\",\r\n");
    }

    #[test]
    fn an_hour_is_a_line() {
        let hour = ImpactHourView { at: "2026-11-22T10:00:00Z".into(), score: 5.0, model: "built-in@1".into() };
        let view = ImpactHistoryView { check: None, group: Some("web".into()), region: None, hours: vec![hour] };
        let want = "at,check,group,region,score,model\r\n2026-11-22T10:00:00Z,,web,,5.00,built-in@1\r\n";
        assert_eq!(history(&view).text, want);
    }
}
