use proptest::prelude::*;
use sitepulse_model::time::{Span, UtcMicros};

use super::*;
use crate::present::dto::{PairView, SlaView, SuspensionView};

const FROM: UtcMicros = UtcMicros(1_795_341_600_000_000);

fn check(id: &str, verdict: Verdict, availability: Option<f64>) -> CheckView {
    let json = serde_json::json!({
        "id": id, "kind": "http", "target": format!("https://{id}.example/"), "url": "", "interval_seconds": 60.0, "timeout_seconds": 10.0, "weight": 1.0,
        "regions": null, "quorum": "majority", "confirmations": 2, "recoveries": 1, "expect": [], "revision": 1, "verdict": verdict.as_str(), "since": null,
        "unknown_cause": null, "share_down": null, "quorum_reduced": false, "suspended": null, "agents": [],
        "sla": sla(id, availability),
    });
    serde_json::from_value(json).unwrap()
}

fn sla(id: &str, availability: Option<f64>) -> SlaView {
    let json = serde_json::json!({
        "check": id, "from": "", "to": "", "availability": availability, "weighted_availability": availability, "completeness": null, "lower": null,
        "upper": null, "seconds": { "up": 0.0, "degraded": 0.0, "regional": 0.0, "down": 0.0, "maintenance": 0.0,
            "unknown": { "agent_stopped": 0.0, "agent_offline": 0.0, "suspended": 0.0, "shed": 0.0, "unassigned": 0.0 } },
    });
    serde_json::from_value(json).unwrap()
}

fn seen_from(region: &str) -> Arc<PairView> {
    let json = serde_json::json!({
        "agent": format!("{region}-1"), "region": region, "state": "up", "unknown_cause": null, "last_scheduled": null, "cause": null, "failed_phase": null,
        "detail": "", "latency_seconds": null, "status": null, "address": null, "weight": 1.0, "suspended": null,
        "phases_seconds": { "dns": null, "connect": null, "tls": null, "send": null, "first_byte": null, "transfer": null, "total": null },
    });
    serde_json::from_value(json).unwrap()
}

/// A snapshot of these checks, in the order of their ids.
fn snapshot(checks: impl IntoIterator<Item = CheckView>) -> Snapshot {
    let mut checks: Vec<Arc<CheckView>> = checks.into_iter().map(Arc::new).collect();
    checks.sort_by(|a, b| a.id.cmp(&b.id));
    let strips = checks.iter().map(|_| Strip { period: Span::new(FROM, FROM), spans: Vec::new() }).collect();
    Snapshot { now: FROM, checks, strips, ..Snapshot::default() }
}

fn shop() -> Snapshot {
    let mut cart = check("cart", Verdict::Down, Some(0.9));
    cart.group = Some("shop".into());
    cart.tags = vec!["eu".into(), "paid".into()];
    cart.agents = vec![seen_from("eu-west"), seen_from("eu-west"), seen_from("us-east")];
    let mut desk = check("desk", Verdict::Up, Some(1.0));
    desk.group = Some("shop".into());
    desk.tags = vec!["eu".into()];
    desk.suspended = Some(SuspensionView { until: None, reason: "moves".into(), author: "ops".into() });
    let mut blind = check("blind", Verdict::Unknown, None);
    blind.kind = "dns".into();
    blind.target = "Ärger.example A".into();
    blind.weight = 5.0;
    snapshot([cart, desk, blind, check("edge", Verdict::Regional, Some(0.95))])
}

fn ids(page: &Page<'_>) -> Vec<String> {
    page.rows.iter().map(|row| row.check.id.clone()).collect()
}

fn found(filter: Filter) -> Vec<String> {
    ids(&shop().query(&filter, &Slice::default()))
}

#[test]
fn what_calls_for_somebody_comes_first() {
    assert_eq!(found(Filter::default()), ["cart", "edge", "blind", "desk"]);
    let by = |sort, reverse| ids(&shop().query(&Filter::default(), &Slice { sort, reverse, ..Slice::default() }));
    assert_eq!(by(Sort::Name, false), ["blind", "cart", "desk", "edge"]);
    assert_eq!(by(Sort::Name, true), ["edge", "desk", "cart", "blind"]);
    // What has no figure is last from either end.
    assert_eq!(by(Sort::Availability, false), ["cart", "edge", "desk", "blind"]);
    assert_eq!(by(Sort::Availability, true), ["desk", "edge", "cart", "blind"]);
    assert_eq!(by(Sort::Weight, false)[0], "blind");
}

#[test]
fn filters_narrow_each_other() {
    let named = |name: &str| InGroup::Named(name.into());
    assert_eq!(found(Filter { group: named("shop"), ..Filter::default() }), ["cart", "desk"]);
    assert_eq!(found(Filter { group: InGroup::Ungrouped, ..Filter::default() }), ["edge", "blind"]);
    assert_eq!(found(Filter { tags: vec!["eu".into(), "paid".into()], ..Filter::default() }), ["cart"]);
    assert_eq!(found(Filter { region: Some("us-east".into()), ..Filter::default() }), ["cart"]);
    assert_eq!(found(Filter { kind: Some("dns".into()), ..Filter::default() }), ["blind"]);
    assert_eq!(found(Filter { states: vec![Verdict::Up, Verdict::Regional], ..Filter::default() }), ["edge", "desk"]);
    assert_eq!(found(Filter { suspended: Some(true), ..Filter::default() }), ["desk"]);
    assert_eq!(found(Filter { group: named("shop"), states: vec![Verdict::Regional], ..Filter::default() }), [""; 0]);
}

#[test]
fn text_is_looked_for_in_all_that_names_a_check() {
    let text = |text: &str| found(Filter { text: text.into(), ..Filter::default() });
    assert_eq!(text("CART"), ["cart"]);
    assert_eq!(text("Desk.Example"), ["desk"]);
    assert_eq!(text("shop paid"), ["cart"]);
    assert_eq!(text("ärger"), ["blind"]);
    assert_eq!(text("ÄRGER a"), ["blind"]);
    assert_eq!(text("shop nothing"), [""; 0]);
    assert_eq!(text("  ").len(), 4);
}

#[test]
fn totals_tell_what_other_states_would_show() {
    let snapshot = shop();
    let filter = Filter { states: vec![Verdict::Up], group: InGroup::Named("shop".into()), ..Filter::default() };
    let page = snapshot.query(&filter, &Slice::default());
    assert_eq!((page.found, page.totals.checks(), page.totals.suspended), (1, 2, 1));
    assert_eq!((page.totals.of(Verdict::Up), page.totals.of(Verdict::Down)), (1, 1));
    assert_eq!(page.totals.worst(), Some(Verdict::Down));
    assert_eq!(Totals::default().worst(), None);
}

#[test]
fn facets_count_each_check_once() {
    let snapshot = shop();
    let facets = snapshot.facets();
    assert_eq!(facets.totals.checks(), 4);
    assert_eq!((facets.groups["shop"].checks(), facets.ungrouped.checks()), (2, 2));
    assert_eq!((facets.tags["eu"].checks(), facets.tags["paid"].checks()), (2, 1));
    assert_eq!((facets.regions["eu-west"].checks(), facets.regions["us-east"].checks()), (1, 1));
    assert_eq!((facets.kinds["http"].checks(), facets.kinds["dns"].checks()), (3, 1));
}

#[test]
fn a_cursor_is_a_text_and_nothing_else_is() {
    let snapshot = shop();
    let page = snapshot.query(&Filter::default(), &Slice { rows: Some(1), ..Slice::default() });
    let next = page.next.unwrap();
    assert_eq!(next.to_string(), "0.cart");
    assert_eq!(next.to_string().parse(), Ok(next));
    for bad in ["", "cart", "x.cart", "-1.cart", "fffffffffffffffff.a"] {
        assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
    }
}

#[test]
fn a_row_that_is_gone_leaves_its_page_where_it_was() {
    let slice = Slice { sort: Sort::Name, rows: Some(2), ..Slice::default() };
    let next = shop().query(&Filter::default(), &slice).next;
    let mut later = shop();
    later.checks.remove(1);
    later.strips.remove(1);
    assert_eq!(ids(&later.query(&Filter::default(), &Slice { after: next, ..slice })), ["desk", "edge"]);
}

#[test]
fn a_check_is_found_by_its_id_alone() {
    assert_eq!(shop().check("desk").unwrap().check.id, "desk");
    assert!(shop().check("des").is_none() && Snapshot::default().check("").is_none());
}

proptest! {
    /// Pages forward, and back again, show every row once and in order.
    #[test]
    fn pages_make_up_the_list(
        checks in prop::collection::btree_map("[a-c]{1,3}", (0..6_usize, prop::option::of(0..4_u32)), 0..40),
        sort in prop::sample::select(vec![Sort::Severity, Sort::Name, Sort::Availability, Sort::Weight, Sort::Impact]),
        scores in prop::collection::hash_map("[a-c]{1,3}", (0..4_u32).prop_map(|points| Points(points * 2_500)), 0..40),
        reverse: bool,
        rows in 1..7_usize,
    ) {
        let checks = checks.iter().map(|(id, (at, availability))| {
            check(id, Verdict::ALL[*at], availability.map(|value| f64::from(value) / 3.0))
        });
        let snapshot = snapshot(checks);
        let whole = Slice { sort, reverse, after: None, rows: Some(ROWS_MAX), scores: scores.clone() };
        let all = ids(&snapshot.query(&Filter::default(), &whole));
        prop_assert_eq!(all.len(), snapshot.checks.len());
        if sort == Sort::Impact {
            // Those without a score last, whichever way it is turned.
            let found: Vec<Option<Points>> = all.iter().map(|id| scores.get(id).copied()).collect();
            let told: Vec<Points> = found.iter().map_while(|points| *points).collect();
            prop_assert!(found[told.len()..].iter().all(Option::is_none));
            let sorted = told.windows(2).all(|pair| if reverse { pair[0] <= pair[1] } else { pair[0] >= pair[1] });
            prop_assert!(sorted);
        }
        let mut slice = Slice { rows: Some(rows), ..whole };
        let (mut seen, mut starts) = (Vec::new(), vec![None]);
        loop {
            let page = snapshot.query(&Filter::default(), &slice);
            prop_assert_eq!(page.before, seen.len());
            let wanted = (!seen.is_empty()).then(|| starts[starts.len() - 2].clone());
            prop_assert_eq!(&page.previous, &wanted);
            seen.extend(ids(&page));
            let Some(next) = page.next else { break };
            starts.push(Some(next.to_string().parse().unwrap()));
            slice.after = starts[starts.len() - 1].clone();
        }
        prop_assert_eq!(seen, all);
    }
}
