//! A maintenance window planned on a phone, in French, by somebody far from the machines: in a real browser.

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::Site;

use super::console_checks::{at, signed_in};

/// Width of a phone, in CSS pixels.
const PHONE: u32 = 390;

#[test]
fn a_window_is_planned_on_a_phone_in_french() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&(site.check("shop").trim_end().to_owned() + "\ngroup = \"web\"\n")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    let mut browser = signed_in(&cluster, PHONE, 844);
    browser.call("Emulation.setTimezoneOverride", serde_json::json!({ "timezoneId": "America/New_York" }));
    browser.follow("button[name=lang][value=fr]");

    // The places stand behind one menu, in groups.
    assert_eq!(browser.eval("getComputedStyle(document.querySelector('nav.places')).display"), "none");
    browser.press(".menu summary");
    assert!(browser.text().contains("Améliorer") || browser.text().contains("AMÉLIORER"), "{}", browser.text());
    browser.follow(".menu a[href='/windows']");
    assert!(browser.text().contains("Aucune fenêtre"), "{}", browser.text());
    browser.follow("a[href='/windows/new']");

    // What repeating does not ask for is not in sight.
    let shown = |id: &str| format!("document.querySelector('#{id}').checkVisibility()");
    assert_eq!(browser.eval(&shown("f-zone")), true);
    for hidden in ["f-interval", "f-month_days", "f-nth", "f-ends", "f-rule"] {
        assert_eq!(browser.eval(&shown(hidden)), false, "{hidden}");
    }
    // The reader's own zone stands there already.
    assert_eq!(browser.eval("document.querySelector('#f-zone').value"), "America/New_York");

    // What is wrong stands at its field, and what was written stays.
    browser.write("#f-id", "nuit");
    browser.write("#f-groups", "weeb");
    browser.write("#f-from", "2150-12-06T02:00");
    browser.write("#f-lasts", "2h");
    browser.write("#f-zone", "Europe/Paris");
    browser.write("#f-frequency", "monthly");
    browser.write("#f-by", "weekday");
    browser.write("#f-nth", "1");
    browser.write("#f-weekday", "SU");
    assert_eq!(browser.eval(&shown("f-nth")), true);
    assert_eq!(browser.eval(&shown("f-month_days")), false);
    browser.follow("button[name=do][value=plan]");
    let wrong = browser.eval("[...document.querySelectorAll('.field.wrong label')].map((l) => l.htmlFor).join()");
    assert_eq!(wrong, "f-groups");
    assert_eq!(browser.eval("document.querySelector('#f-nth').value"), "1");

    browser.write("#f-groups", "web");
    browser.follow("button[name=do][value=plan]");
    let text = browser.text();
    // The first Sunday of December 2150, on both walls.
    for word in [
        "dim 2150-12-06 02:00 – 04:00 CET",
        "sam 2150-12-05 20:00 – 22:00 EST",
        "Pour vous (America/New_York)",
        "Couvre 1 contrôle",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let wide = browser.eval("[document.documentElement.scrollWidth, innerWidth]");
    assert!(wide[0].as_u64() <= wide[1].as_u64(), "{wide:?}");
    let applied =
        "fetch('/windows').then((answer) => answer.text()).then((text) => !text.includes('Planifiez-en une'))";
    assert_eq!(browser.eval(applied), false, "nothing is applied yet");
    browser.follow("button[name=do][value=apply]");
    assert_eq!(browser.path(), "/windows");
    assert!(browser.text().contains("le premier dimanche"), "{}", browser.text());

    // Cancelled in a dialog.
    browser.press("a[href='/windows/nuit/cancel']");
    browser.wait_for("!!document.querySelector('dialog[open] form')", 10);
    browser.follow("dialog form button.danger");
    assert_eq!(browser.path(), "/windows");
    browser.open(&at(&cluster, "/windows"));
    assert!(browser.text().contains("Aucune fenêtre"), "{}", browser.text());
}
