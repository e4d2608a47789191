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

fn close(what: &str, a: f64, b: f64, sla: &Value) {
    assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{what}: {a} is not {b} in {sla}");
}
