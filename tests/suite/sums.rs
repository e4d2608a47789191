//! What must hold of every SLA figure, recomputed here from the seconds it shows.

use serde_json::Value;

/// Asserts the shape and the arithmetic of one object of `sla --json`.
pub(crate) fn hold(sla: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("not a number in {sla}"));
    let seconds = &sla["seconds"];
    let of = |name: &str| number(&seconds[name]);
    let unknown: f64 = ["agent_stopped", "agent_offline", "suspended", "shed", "unassigned"]
        .iter()
        .map(|cause| number(&seconds["unknown"][*cause]))
        .sum();
    let measured = of("up") + of("degraded") + of("regional") + of("down");
    let period = measured + unknown + of("maintenance");
    let instant = |name: &str| {
        let text = sla[name].as_str().expect("instants are RFC 3339");
        sitepulse_daemon::instant::parse(text, sitepulse_daemon::clock::now()).expect("instants are RFC 3339")
    };
    let span = instant("to").us_since(instant("from")) as f64 / 1e6;
    close("seconds add up to the period", period, span, sla);
    if measured == 0.0 {
        assert!(sla["availability"].is_null(), "{sla}");
        return;
    }
    close("availability", number(&sla["availability"]), 1.0 - of("down") / measured, sla);
    close("completeness", number(&sla["completeness"]), measured / (span - of("maintenance")), sla);
    close("lower", number(&sla["lower"]), 1.0 - (of("down") + unknown) / (measured + unknown), sla);
    close("upper", number(&sla["upper"]), 1.0 - of("down") / (measured + unknown), sla);
    let weighted = number(&sla["weighted_availability"]);
    assert!((0.0..=1.0).contains(&weighted), "{sla}");
}

/// Asserts that `explain --json` of a check with the quorum `majority` adds up to its figures, and that the votes give the verdicts.
pub(crate) fn explained(explained: &Value) {
    let figures = &explained["figures"];
    hold(figures);
    let intervals = explained["intervals"].as_array().expect("a list");
    let mut until = figures["from"].clone();
    for interval in intervals {
        assert_eq!(interval["from"], until, "contiguous: {interval}");
        until = interval["to"].clone();
        let votes = interval["votes"].as_array().expect("a list");
        let weight = |vote: Option<&str>| -> f64 {
            let counts = |one: &&Value| one["standing"] == "live" && vote.is_none_or(|vote| one["vote"] == vote);
            votes.iter().filter(counts).filter_map(|one| one["weight"].as_f64()).sum()
        };
        let (down, live) = (weight(Some("down")), weight(None));
        assert_eq!((interval["weight_down"].as_f64(), interval["weight_live"].as_f64()), (Some(down), Some(live)));
        let verdict = match () {
            () if live == 0.0 => "unknown",
            () if down * 2.0 > live => "down",
            () if down > 0.0 => "regional",
            () if weight(Some("degraded")) * 2.0 > live => "degraded",
            () => "up",
        };
        assert_eq!(interval["verdict"], verdict, "{interval}");
        let silent =
            votes.iter().find(|one| one["standing"] == "live" && one["evidence"].as_array().is_none_or(Vec::is_empty));
        assert!(silent.is_none(), "a vote without a record: {interval}");
    }
    assert_eq!(until, figures["to"]);
    for verdict in ["up", "degraded", "regional", "down"] {
        let of = intervals.iter().filter(|interval| interval["verdict"] == verdict);
        let sum: f64 = of.filter_map(|interval| interval["seconds"].as_f64()).sum();
        close(verdict, sum, figures["seconds"][verdict].as_f64().expect("a number"), figures);
    }
}

fn close(what: &str, a: f64, b: f64, sla: &Value) {
    assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{what}: {a} is not {b} in {sla}");
}
