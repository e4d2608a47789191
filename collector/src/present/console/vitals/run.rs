//! One run's vitals in its card: values, why they are so, what the page was made of, how it was measured.

use askama::Template;
use sitepulse_model::vitals::profile::Profile;
use sitepulse_model::vitals::report::{FirstByte, Host, Interaction, LargestPaint, Load, Page, Report};
use sitepulse_model::vitals::{Rating, Vital};

use super::{amount, look, short};
use crate::present::console::broken_template;
use crate::present::console::check::Segment;
use crate::present::console::facts::FactRow;
use crate::present::dto::vitals::{RunVitalsView, SpreadView};
use crate::present::figure;
use crate::present::problem::Answer;
use crate::present::text::Texts;

#[derive(Template)]
#[template(path = "run_vitals.html")]
struct Run<'a> {
    t: &'a Texts,
    /// By which an open page knows its parts again.
    id: &'a str,
    values: Vec<Value>,
    caveat: String,
    bars: Vec<Block>,
    shifts: Vec<ShiftRow>,
    page: Vec<FactRow>,
    provenance: Vec<FactRow>,
    loads: Vec<LoadRow>,
}

struct Value {
    short: String,
    long: &'static str,
    class: &'static str,
    shape: &'static str,
    median: String,
    rating: &'static str,
    spread: String,
}

/// A time and what it was made of.
struct Block {
    title: String,
    note: String,
    lines: Vec<String>,
    parts: Vec<Segment>,
}

struct ShiftRow {
    score: String,
    at: String,
    sources: Vec<String>,
}

struct LoadRow {
    number: String,
    shown: bool,
    values: String,
    ended: String,
    host: String,
    warning: String,
}

/// Renders them.
pub(in crate::present::console) fn render(
    id: &str,
    run: &RunVitalsView,
    unkept_screenshot: bool,
    t: &Texts,
) -> Answer<String> {
    let none = Report::default();
    let report = run.report.as_ref().unwrap_or(&none);
    let attribution = report.attribution.clone().unwrap_or_default();
    let mut caveats = Vec::new();
    if run.low_confidence {
        caveats.push(t.vitals.low_confidence);
    }
    if unkept_screenshot {
        caveats.push(t.vitals.screenshot_not_kept);
    }
    let mut bars: Vec<Block> = Vec::new();
    bars.extend(attribution.lcp.as_ref().map(|paint| largest_paint(paint, run, report, t)));
    bars.extend(attribution.interactions.iter().map(|one| interaction(one, t)));
    bars.extend(attribution.ttfb.as_ref().map(|parts| first_byte(parts, t)));
    let shifts = attribution.shifts.iter().map(|shift| ShiftRow {
        score: amount(Vital::Cls, shift.score, t),
        at: (t.vitals.shift_at)(&time(shift.at_us, t)),
        sources: shift.sources.clone(),
    });
    let view = Run {
        t,
        id,
        values: Vital::ALL.iter().filter_map(|vital| Some(one_value(*vital, run.vitals.get(*vital)?, t))).collect(),
        caveat: caveats.join(" "),
        bars,
        shifts: shifts.collect(),
        page: report.page.as_ref().map(|page| page_facts(page, t)).unwrap_or_default(),
        provenance: provenance(report, t),
        loads: report.loads.iter().enumerate().map(|(at, load)| load_row(at, load, report, t)).collect(),
    };
    view.render().map_err(|_| broken_template())
}

fn time(us: u64, t: &Texts) -> String {
    (t.number)(figure::latency(us as f64 / 1e6))
}

fn one_value(vital: Vital, spread: &SpreadView, t: &Texts) -> Value {
    let ratings = [Rating::Good, Rating::NeedsImprovement, Rating::Poor];
    let rating = ratings.into_iter().find(|rating| spread.rating.as_deref() == Some(rating.as_str()));
    let (class, shape) = rating.map_or(("none", ""), look);
    let text = |value: f64| (t.number)(figure::vital(vital, value));
    let median = match rating {
        Some(_) => (t.number)(figure::rated_vital(vital, spread.median, spread.thresholds)),
        None => text(spread.median),
    };
    let alone = spread.min.total_cmp(&spread.max).is_eq();
    Value {
        short: short(vital),
        long: (t.vitals.name)(vital),
        class,
        shape,
        median,
        rating: rating.map_or("", t.vitals.rating),
        spread: if alone { String::new() } else { format!("{} – {}", text(spread.min), text(spread.max)) },
    }
}

/// Stretches one after another; their colours are those of the phases.
fn parts(of: &[(&'static str, &'static str, Option<u64>)], t: &Texts) -> Vec<Segment> {
    let whole = of.iter().filter_map(|(_, _, us)| *us).fold(0_u64, u64::saturating_add).max(1) as f64;
    let mut at = 0.0;
    let mut out = Vec::new();
    for (name, label, us) in of {
        let Some(us) = us else { continue };
        let width = *us as f64 * 1000.0 / whole;
        out.push(Segment { name, label, time: time(*us, t), x: format!("{at:.1}"), width: format!("{width:.1}") });
        at += width;
    }
    out
}

fn largest_paint(paint: &LargestPaint, run: &RunVitalsView, report: &Report, t: &Texts) -> Block {
    let v = t.vitals;
    // The first byte of the load that the attribution is of.
    let shown = report.shown.and_then(|at| report.loads.get(at)).and_then(|load| load.values.ttfb);
    let median = run.vitals.ttfb_ms.as_ref().map(|spread| (spread.median * 1e3) as u64);
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let split = paint.load_delay_us.is_some() || paint.load_us.is_some() || paint.render_delay_us.is_some();
    Block {
        title: v.lcp_element.to_owned(),
        note: if paint.area > 0 { (v.area)(&figure::count(paint.area)) } else { String::new() },
        lines: [text(&paint.element).or_else(|| text(v.no_lcp_element)), text(&paint.url)]
            .into_iter()
            .flatten()
            .collect(),
        parts: parts(
            &[
                ("first_byte", v.first_byte, shown.or(median).filter(|_| split)),
                ("send", v.load_delay, paint.load_delay_us),
                ("transfer", v.load, paint.load_us),
                ("tls", v.render_delay, paint.render_delay_us),
            ],
            t,
        ),
    }
}

fn interaction(one: &Interaction, t: &Texts) -> Block {
    let v = t.vitals;
    Block {
        title: format!("INP · {}", time(one.duration_us, t)),
        note: String::new(),
        lines: [(v.action)(&one.action), one.target.clone()].into_iter().filter(|text| !text.is_empty()).collect(),
        parts: parts(
            &[
                ("send", v.input_delay, Some(one.input_delay_us)),
                ("tls", v.processing, Some(one.processing_us)),
                ("transfer", v.presentation, Some(one.presentation_us)),
            ],
            t,
        ),
    }
}

fn first_byte(one: &FirstByte, t: &Texts) -> Block {
    use sitepulse_model::record::Phase;
    let v = t.vitals;
    let some = |us: u64| Some(us).filter(|us| *us > 0);
    Block {
        title: v.ttfb_parts.to_owned(),
        note: String::new(),
        lines: Vec::new(),
        parts: parts(
            &[
                ("send", v.redirect, some(one.redirect_us)),
                ("dns", (t.phase)(Phase::Dns), some(one.dns_us)),
                ("connect", (t.phase)(Phase::Connect), some(one.connect_us)),
                ("tls", (t.phase)(Phase::Tls), some(one.tls_us)),
                ("first_byte", v.wait, some(one.wait_us)),
            ],
            t,
        ),
    }
}

fn fact(label: &str, values: Vec<String>) -> Option<FactRow> {
    let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
    (!values.is_empty()).then(|| FactRow { label: label.to_owned(), values, wide: false })
}

fn page_facts(page: &Page, t: &Texts) -> Vec<FactRow> {
    let v = t.vitals;
    let some = |count: u32| if count > 0 { count.to_string() } else { String::new() };
    let consent = page.consent.map_or("", |given| if given { v.yes } else { v.no });
    let mut errors = vec![some(page.js_errors)];
    errors.extend(page.js_error_texts.iter().cloned());
    let rows = [
        fact(v.final_url, vec![page.url.clone()]),
        fact(t.fact_status, vec![page.status.map_or_else(String::new, |status| status.to_string())]),
        fact(v.protocol, vec![page.protocol.clone()]),
        fact(t.address, vec![page.address.clone()]),
        fact(v.requests, vec![page.requests.to_string()]),
        fact(v.bytes, vec![figure::count(page.bytes)]),
        fact(v.failed_requests, vec![some(page.failed_requests)]),
        fact(v.script_errors, errors),
        fact(v.dialogs, vec![some(page.dialogs)]),
        fact(v.downloads, vec![some(page.downloads)]),
        fact(v.popups, vec![some(page.popups)]),
        fact(v.refused, page.refused.clone()),
        fact(v.consent, vec![consent.to_owned()]),
    ];
    rows.into_iter().flatten().collect()
}

fn provenance(report: &Report, t: &Texts) -> Vec<FactRow> {
    let v = t.vitals;
    let mut rows = Vec::new();
    rows.extend(fact(v.browser, vec![report.browser.clone()]));
    if let Some(profile) = &report.profile {
        rows.extend(fact(v.profile, device(profile, report, t)));
        rows.extend(fact(v.user_agent, vec![profile.user_agent.clone().unwrap_or_default()]));
    }
    rows
}

fn device(profile: &Profile, report: &Report, t: &Texts) -> Vec<String> {
    let v = t.vitals;
    let number = |milli: sitepulse_model::vitals::profile::Milli| (t.number)(milli.get().to_string());
    let touch = if profile.touch { format!(", {}", v.touch) } else { String::new() };
    let screen = format!("{} × {}, DPR {}{touch}", profile.width, profile.height, number(profile.dpr));
    let network = profile.network.map_or_else(
        || v.network_as_is.to_owned(),
        |link| {
            let mbits = |kbps: sitepulse_model::vitals::profile::Milli| (t.number)(format!("{:.2}", kbps.get() / 1e3));
            (v.network)(&time(link.rtt.0, t), &mbits(link.down_kbps), &mbits(link.up_kbps))
        },
    );
    let mut processor = if profile.is_throttled() { (v.processor)(&number(profile.cpu)) } else { String::new() };
    for way in report.cpu_throttling() {
        processor = format!("{processor}, {}", (v.cpu_throttling)(way));
    }
    vec![profile.name.clone(), screen, processor, network]
}

fn load_row(at: usize, load: &Load, report: &Report, t: &Texts) -> LoadRow {
    let v = t.vitals;
    let values = Vital::ALL
        .iter()
        .filter_map(|vital| Some(format!("{} {}", short(*vital), amount(*vital, load.values.get(*vital)?, t))));
    let mut warning = load.failure.clone();
    if load.low_confidence {
        warning =
            if warning.is_empty() { v.low_confidence.to_owned() } else { format!("{} {warning}", v.low_confidence) };
    }
    LoadRow {
        number: format!("{}/{}", at + 1, report.loads.len()),
        shown: report.shown == Some(at) && report.loads.len() > 1,
        values: values.collect::<Vec<_>>().join(" · "),
        ended: format!("{}{}{}, {}", v.ended, t.colon, (v.why_ended)(load.ended), time(load.observed_us, t)),
        host: host(&load.host, t),
        warning,
    }
}

fn host(host: &Host, t: &Texts) -> String {
    let v = t.vitals;
    let percent = |thousandths: Option<u32>| {
        thousandths.map_or_else(|| "–".to_owned(), |one| (t.number)(format!("{:.1} %", f64::from(one) / 10.0)))
    };
    let [before, during, judged] = [host.pressure_before, host.pressure_during, host.pressure_judged()].map(percent);
    let mut parts = vec![(v.pressure)(&before, &during, &judged)];
    if host.cpus > 0 {
        parts.push((v.parallel)(host.parallel, host.cpus));
    }
    if host.benchmark_us > 0 {
        parts.push((v.benchmark)(&time(host.benchmark_us, t)));
    }
    format!("{}{}{}", v.host, t.colon, parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use sitepulse_model::vitals::report::CpuThrottling;

    use super::*;
    use crate::present::text::{EN, FR};

    fn one() -> Interaction {
        Interaction {
            action: "click #menu".to_owned(),
            target: "a#menu".to_owned(),
            duration_us: 184_000,
            ..Interaction::default()
        }
    }

    /// The defect: French pages told what was done in English.
    #[test]
    fn what_was_done_is_told_in_the_words_of_the_page() {
        assert_eq!(interaction(&one(), &EN).lines, ["click #menu", "a#menu"]);
        assert_eq!(interaction(&one(), &FR).lines, ["clic sur #menu", "a#menu"]);
        let of = |action: &str| interaction(&Interaction { action: action.to_owned(), ..one() }, &FR).lines[0].clone();
        assert_eq!(
            [of("type #q"), of("press Enter"), of("scroll 100")],
            ["saisie dans #q", "touche Enter", "défilement de 100 px"]
        );
        assert_eq!(
            [of("hover #menu"), of("click")],
            ["hover #menu", "click"],
            "what a newer agent does is told as it says it"
        );
    }

    #[test]
    fn how_the_processor_was_slowed_down_is_told_where_the_agent_told_it() {
        let mobile = Profile::builtin("mobile").unwrap();
        let of = |ways: &[Option<CpuThrottling>], t| {
            let loads = ways.iter().map(|way| Load { cpu_throttling: *way, ..Load::default() }).collect();
            device(&mobile, &Report { loads, ..Report::default() }, t)[2].clone()
        };
        assert_eq!(of(&[None], &EN), "processor 4× slower");
        assert_eq!(of(&[Some(CpuThrottling::Rest); 3], &EN), "processor 4× slower, by rest");
        let both = [CpuThrottling::Chromium, CpuThrottling::Rest].map(Some);
        assert_eq!(of(&both, &FR), "processeur 4× plus lent, par mise en pause, par le ralentissement de Chromium");
    }

    /// The defect: a load stood there as left out, and nothing of why.
    #[test]
    fn the_pressure_that_a_load_was_judged_by_is_told() {
        let alone = Host {
            pressure_before: Some(10),
            pressure_during: Some(700),
            pressure_others: Some(312),
            ..Host::default()
        };
        assert_eq!(host(&alone, &EN), "Host: pressure 1.0 % before, 70.0 % during, 31.2 % judged");
        let beside = Host { shared: true, ..alone };
        assert!(host(&beside, &EN).ends_with("70.0 % judged"), "{}", host(&beside, &EN));
        assert!(host(&Host::default(), &FR).contains("– retenus"));
    }
}
