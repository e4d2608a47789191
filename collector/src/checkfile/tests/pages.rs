//! `web_vitals` checks and device profiles.

use sitepulse_model::check::{Interact, SecretText, WebVitalsTarget};
use sitepulse_model::vitals::Vital;
use sitepulse_model::vitals::profile::{Milli, Profile, ProfileChoice, Threshold};

use super::*;

fn target(check: &CheckDefinition) -> &WebVitalsTarget {
    let CheckKind::WebVitals(target) = &check.kind else { panic!("a check of kind {}", check.kind.as_str()) };
    target
}

fn own(check: &CheckDefinition) -> &Profile {
    match &target(check).profile {
        ProfileChoice::Own(profile) => profile,
        ProfileChoice::Named(name) => panic!("the built-in {name}"),
    }
}

fn page(id: &str, keys: &str) -> String {
    format!("[[check]]\nid = \"{id}\"\nkind = \"web_vitals\"\nurl = \"https://shop.example/\"\n{keys}\n")
}

#[test]
fn the_full_sample_of_a_page_parses() {
    let checks = one(r##"
[[check]]
id = "shop-vitals"
kind = "web_vitals"
url = "https://shop.example/"
interval = "15m"
profile = "mobile"             # mobile | desktop | an own [profile.NAME]
runs = 3                       # the median counts, min and max are kept
interact = [{ click = "#menu" }, { type = ["#search", "shoes"] }]   # gives INP
consent = { click = "#accept" }
expect = ["degraded if lcp > good", "down if lcp > 8s"]
"##)
    .unwrap();
    let expected = WebVitalsTarget {
        interact: vec![Interact::Click("#menu".into()), Interact::Type("#search".into(), SecretText("shoes".into()))],
        consent: Some(Interact::Click("#accept".into())),
        ..WebVitalsTarget::page("https://shop.example/")
    };
    assert_eq!(target(&checks[0]), &expected);
    assert_eq!((checks[0].interval_us, checks[0].timeout_us), (900_000_000, 30_000_000));
    let texts: Vec<&str> = checks[0].expect.iter().map(|expectation| expectation.source()).collect();
    assert_eq!(texts, ["degraded if lcp > good", "down if lcp > 8s"]);
}

#[test]
fn pages_have_defaults_of_their_own() {
    let checks = one(&page("a", "")).unwrap();
    assert_eq!(
        checks[0],
        CheckDefinition {
            id: CheckId::parse("a").unwrap(),
            kind: CheckKind::WebVitals(Box::new(WebVitalsTarget::page("https://shop.example/"))),
            interval_us: 900_000_000,
            timeout_us: 30_000_000,
            retries: 0,
            weight: Weight::ONE,
            regions: None,
            quorum: Quorum::Majority,
            confirmations: 2,
            recoveries: 1,
            expect: Vec::new(),
        }
    );
    let keys = "interval = \"1h\"\ntimeout = \"20s\"\nretries = 4\nconfirmations = 3\nrecoveries = 2\nweight = 0.5\nquorum = \"any\"";
    let checks = one(&page("a", keys)).unwrap();
    assert_eq!((checks[0].interval_us, checks[0].timeout_us, checks[0].retries), (3_600_000_000, 20_000_000, 4));
    assert_eq!((checks[0].confirmations, checks[0].recoveries, checks[0].quorum), (3, 2, Quorum::Any));
}

#[test]
fn a_profile_is_a_built_in_one_with_changes() {
    let text = page("a", "profile = \"slow-phone\"")
        + &page("b", "profile = \"office\"")
        + &page("c", "profile = \"plain\"")
        + r#"
[profile.slow-phone]
base = "mobile"
cpu = 6
thresholds = { lcp = ["4s", "6s"], cls = [0.15, 0.3] }
[profile.slow-phone.network]
down_kbps = 400.5
[profile.office]
width = 1920
height = 1080
dpr = 1.25
mobile = false
touch = true
network = "none"
user_agent = "Mozilla/5.0 (SitePulse)"
[profile.plain]
"#;
    let checks = one(&text).unwrap();
    let mobile = Profile::builtin("mobile").unwrap();
    let slow = own(&checks[0]);
    assert_eq!((slow.name.as_str(), slow.width, slow.cpu), ("slow-phone", 412, Milli(6_000)));
    let (link, base) = (slow.network.unwrap(), mobile.network.unwrap());
    assert_eq!((link.rtt, link.down_kbps, link.up_kbps), (base.rtt, Milli(400_500), base.up_kbps));
    assert_eq!(slow.thresholds.of(Vital::Lcp), Threshold { good: 4_000_000, poor: 6_000_000 });
    assert_eq!(slow.thresholds.of(Vital::Cls), Threshold { good: 1_500, poor: 3_000 });
    assert_eq!(slow.thresholds.of(Vital::Inp), mobile.thresholds.of(Vital::Inp), "what is not named stays");
    let office = own(&checks[1]);
    assert_eq!((office.width, office.height, office.dpr, office.touch), (1920, 1080, Milli(1_250), true));
    assert_eq!((office.network, office.user_agent.as_deref()), (None, Some("Mozilla/5.0 (SitePulse)")));
    assert_eq!(*own(&checks[2]), Profile { name: "plain".into(), ..Profile::builtin("desktop").unwrap() });
    for check in &checks {
        let json = check.kind.target_json();
        assert_eq!(CheckKind::from_target_json("web_vitals", &json).as_ref(), Ok(&check.kind), "{json}");
    }
}

#[test]
fn a_profile_belongs_to_its_file() {
    let source = |name: &str, text: String| Source { name: name.into(), text };
    let one = source("one.toml", page("a", "profile = \"tablet\"") + "[profile.tablet]\nwidth = 800\n");
    let two = source("two.toml", page("b", "profile = \"tablet\"") + "[profile.tablet]\nwidth = 900\n");
    let widths: Vec<u32> =
        parse(&[one.clone(), two]).unwrap().checks.iter().map(|check| own(&check.definition).width).collect();
    assert_eq!(widths, [800, 900]);
    let without = source("three.toml", page("c", "profile = \"tablet\"") + "[profile.kiosk]\n");
    let error = parse(&[one, without]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "three.toml:5:11: check \"c\": profile: \"tablet\" is no profile: known are mobile, desktop, kiosk; describe an own one in this file as [profile.NAME]"
    );
}

#[test]
fn mistakes_in_profiles_are_told_at_once_with_place_and_remedy() {
    let found = texts(
        r##"
[profile]
flat = 3
[profile.slow]
base = "tablet"
[profile.odd]
widht = 3
[profile.bad]
width = 10
dpr = "2"
[profile.worse]
width = 10
height = -1
[profile.worst]
height = 5000
dpr = 9
cpu = 0.5
user_agent = "a\nb"
[profile.worst.network]
rtt = "11s"
down_kbps = 0.5
[profile.w2]
network = "fast"
[profile.w3]
network = { rtt = 5 }
[profile.w4]
network = { rt = "5s" }
[profile.w5]
thresholds = { lcp = ["2s"] }
[profile.w6]
thresholds = { lcp = ["4s", "2s"], cls = [0.2, 0.1] }
[profile.w7]
thresholds = { lcp = ["4", "2s"] }
[profile.w8]
thresholds = { lpc = ["1s", "2s"] }
[profile.mobile]
width = 500
[profile.Big]
[[check]]
id = "a"
kind = "web_vitals"
url = "https://a/"
profile = "worse"
[[check]]
id = "b"
kind = "http"
url = "https://a/"
profile = "slow"
"##,
    );
    assert_eq!(
        found,
        [
            r#"checks.toml:3:1: "flat" is a whole number: a profile is a table, write [profile.NAME]"#,
            r#"checks.toml:5:8: profile "slow": base: "tablet" is not built in: use mobile or desktop"#,
            r#"checks.toml:7:1: profile "odd": unknown key "widht": did you mean "width"?"#,
            r#"checks.toml:10:7: profile "bad": dpr: found string "2", write a number from 0 to 4000000 with at most three decimals, as in 1.75"#,
            r#"checks.toml:13:10: profile "worse": height: found integer -1, write a whole number, not below 0"#,
            r#"checks.toml:15:10: profile "worst": height: 5000 pixels: allowed are 200 to 4000"#,
            r#"checks.toml:16:7: profile "worst": dpr: 9: allowed are 0.5 to 4"#,
            r#"checks.toml:17:7: profile "worst": cpu: 0.5: allowed are 1 to 20"#,
            r#"checks.toml:18:14: profile "worst": user_agent: a header's value holds ASCII on one line: no line breaks, no control characters"#,
            r#"checks.toml:20:7: profile "worst": network.rtt: the longest round trip is 10s"#,
            r#"checks.toml:21:13: profile "worst": network.down_kbps: write kilobits per second, from 1"#,
            r#"checks.toml:23:11: profile "w2": network: found string "fast", write "none", or a table as in { rtt = "40ms", down_kbps = 10240, up_kbps = 10240 }"#,
            r#"checks.toml:25:19: profile "w3": network.rtt: found integer 5, write a text in quotes, and for a time its unit, as in "10s""#,
            r#"checks.toml:27:13: profile "w4": unknown key "rt" in network: did you mean "rtt"?"#,
            r#"checks.toml:29:22: profile "w5": thresholds.lcp: write 2 values, not 1"#,
            r#"checks.toml:31:22: profile "w6": thresholds.lcp: good comes first and is at most poor, as in lcp = ["2.5s", "4s"]"#,
            r#"checks.toml:31:42: profile "w6": thresholds.cls: good comes first and is at most poor, as in cls = [0.1, 0.25]"#,
            r#"checks.toml:33:22: profile "w7": thresholds.lcp: duration "4" has no unit after 4: use one of us, ms, s, m, h, d, as in 4s"#,
            r#"checks.toml:35:16: profile "w8": unknown key "lpc" in thresholds: did you mean "lcp"?"#,
            r#"checks.toml:36:10: profile "mobile": name: mobile is built in and stays what it is: give yours a name of its own"#,
            r#"checks.toml:38:10: profile "Big": name: "Big" is no name: use 1 to 32 of a-z, 0-9 and '-'"#,
            r#"checks.toml:48:1: check "b": unknown key "profile" of kind "http": known are id, kind, interval, timeout, retries, weight, group, tags, class, parents, providers, escalation, regions, quorum, confirmations, recoveries, expect, url, method, headers, body, auth, redirects, http, family, proxy, compression, tls"#,
        ]
    );
    assert_eq!(
        texts("profile = \"mobile\"\n"),
        ["checks.toml:1:1: \"profile\" holds profiles by their names: write [profile.NAME]"]
    );
    assert_eq!(texts("[[profile]]\nname = \"a\"\n").len(), 1);
}

#[test]
fn mistakes_in_pages_are_told_with_place_and_remedy() {
    for (keys, found) in [
        (
            "profile = \"tv\"",
            &[
                r#"5:11: check "a": profile: "tv" is no profile: known are mobile, desktop; describe an own one in this file as [profile.NAME]"#,
            ][..],
        ),
        (
            "profile = { name = \"x\" }",
            &[
                r#"5:11: check "a": profile is a table: write a name, like "mobile", and describe an own one as [profile.NAME]"#,
            ],
        ),
        (
            "profile = \"tv\"\nruns = 0\ninteract = [{ click = \"\" }, { type = [\"#a\", \"\"] }, { press = \"Enter it\" }, { scroll = 1000000 }, { wait = \"1h\" }]\nconsent = { wait = \"1s\" }\nsettle = \"1ms\"\ntimeout = \"0s\"",
            &[
                r#"5:11: check "a": profile: "tv" is no profile: known are mobile, desktop; describe an own one in this file as [profile.NAME]"#,
                r#"6:8: check "a": runs: 0 loads: allowed are 1 to 9"#,
                r##"7:13: check "a": interact[0]: "" is no CSS selector: write one line, as in "#menu""##,
                r#"7:29: check "a": interact[1]: write 1 to 500 characters on one line to type; a key is pressed by { press = "Enter" }"#,
                r#"7:52: check "a": interact[2]: "Enter it" is no key: write its name, as in "Enter" or "a""#,
                r#"7:76: check "a": interact[3]: 1000000 pixels: at most 100000 are scrolled"#,
                r#"7:98: check "a": interact[4]: 1h: allowed are 1ms to 10s"#,
                r##"8:11: check "a": consent: consent is given by a click: write consent = { click = "#accept" }"##,
                r#"9:10: check "a": settle: 1ms: allowed are 100ms to 10s"#,
                r#"10:11: check "a": timeout is 0s: allowed are 1ms to 5m"#,
            ],
        ),
        (
            "interact = [{ clik = \"#a\" }]",
            &[r#"5:15: check "a": interact[0].clik: "clik" is not known: use click, type, press, scroll or wait"#],
        ),
        (
            "interact = [{ type = \"#a\" }]",
            &[r##"5:22: check "a": interact[0].type: write a selector and a text, as in type = ["#search", "shoes"]"##],
        ),
        (
            "interact = [{ type = [\"#a\"] }]",
            &[r##"5:22: check "a": interact[0].type: write a selector and a text, as in type = ["#search", "shoes"]"##],
        ),
        ("interact = { click = \"#a\" }", &[r#"5:12: check "a": interact: found map, write a list"#]),
        (
            "interact = [\"click\"]",
            &[r##"5:13: check "a": interact[0]: write one action and what it acts on, as in { click = "#menu" }"##],
        ),
        (
            "interact = [{ click = \"a\", wait = \"1s\" }]",
            &[r##"5:13: check "a": interact[0]: write one action and what it acts on, as in { click = "#menu" }"##],
        ),
        (
            "interact = [{ scroll = \"a\" }]",
            &[r#"5:24: check "a": interact[0].scroll: found string "a", write a whole number"#],
        ),
        (
            "interact = [{ wait = 3 }]",
            &[
                r#"5:22: check "a": interact[0].wait: found integer 3, write a text in quotes, and for a time its unit, as in "10s""#,
            ],
        ),
        (
            "consent = \"#a\"",
            &[r##"5:11: check "a": consent: write what to click, as in consent = { click = "#accept" }"##],
        ),
        ("runs = 300", &[r#"5:8: check "a": runs: found integer 300, write a whole number, not below 0"#]),
        ("throttling = \"no\"", &[r#"5:14: check "a": throttling: found string "no", write true or false"#]),
        (
            "profil = \"mobile\"",
            &[r#"5:1: check "a": unknown key "profil" of kind "web_vitals": did you mean "profile"?"#],
        ),
        (
            "expect = [\"lcp > god\"]",
            &[
                r#"5:18: check "a": assertion "lcp > god": expected a duration, as in 800ms, or good or poor, found "god""#,
            ],
        ),
    ] {
        let found: Vec<String> = found.iter().map(|found| format!("checks.toml:{found}")).collect();
        assert_eq!(texts(&page("a", keys)), found, "{keys}");
    }
}

#[test]
fn all_loads_of_a_page_end_in_time() {
    for keys in
        ["retries = 2", "timeout = \"100s\"", "runs = 9\ntimeout = \"33s\"", "runs = 1\nretries = 5\ntimeout = \"50s\""]
    {
        assert!(one(&page("a", keys)).is_ok(), "{keys}");
    }
    for (keys, found) in [
        (
            "retries = 3",
            "5:11: check \"a\": 3 retries of 3 loads with a timeout of 30s each take up to 6m: at most 5m are allowed, so lower retries, runs or timeout",
        ),
        (
            "timeout = \"1m\"\nruns = 9",
            "6:8: check \"a\": 9 loads with a timeout of 1m each take up to 9m: at most 5m are allowed, so lower runs or timeout",
        ),
        (
            "timeout = \"2m\"",
            "5:11: check \"a\": 3 loads with a timeout of 2m each take up to 6m: at most 5m are allowed, so lower runs or timeout",
        ),
    ] {
        assert_eq!(texts(&page("a", keys)), [format!("checks.toml:{found}")], "{keys}");
    }
}

#[test]
fn inp_is_asked_for_only_where_it_is_measured() {
    let expect = "expect = [\"lcp > 1s\", \"degraded if inp > good\"]";
    for interact in ["", "interact = [{ scroll = 5 }, { wait = \"1s\" }]\n", "consent = { click = \"#a\" }\n"] {
        let found = texts(&page("a", &format!("{interact}{expect}")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].ends_with("23: check \"a\": assertion \"degraded if inp > good\": there is no INP without an interaction: add interact = [{ click = \"#menu\" }]"),
            "{found:?}"
        );
    }
    for interact in
        ["{ click = \"#a\" }", "{ scroll = 5 }, { press = \"Enter\" }", "{ type = [\"#a\", \"secret:word\"] }"]
    {
        assert!(one(&page("a", &format!("interact = [{interact}]\n{expect}"))).is_ok(), "{interact}");
    }
}

/// What `docs/checks.md` says of the built-in profiles and thresholds is what they are.
#[test]
fn the_page_tells_the_built_in_profiles() {
    let page = include_str!("../../../../docs/checks.md");
    let [mobile, desktop] = ["mobile", "desktop"].map(|name| Profile::builtin(name).unwrap());
    let link = |profile: &Profile| {
        let link = profile.network.unwrap();
        let [rtt, down, up] = [
            sitepulse_model::duration::format(link.rtt.0),
            link.down_kbps.get().to_string(),
            link.up_kbps.get().to_string(),
        ];
        format!("{{ rtt = \"{rtt}\", down_kbps = {down}, up_kbps = {up} }}")
    };
    type Tell = fn(&Profile) -> String;
    let keys: [(&str, Tell); 6] = [
        ("width", |profile| profile.width.to_string()),
        ("height", |profile| profile.height.to_string()),
        ("dpr", |profile| profile.dpr.get().to_string()),
        ("mobile", |profile| profile.mobile.to_string()),
        ("touch", |profile| profile.touch.to_string()),
        ("cpu", |profile| profile.cpu.get().to_string()),
    ];
    let mut rows: Vec<(&str, [String; 2])> = keys.map(|(key, tell)| (key, [&mobile, &desktop].map(tell))).into();
    rows.push(("network", [&mobile, &desktop].map(link)));
    for (key, [of_mobile, of_desktop]) in rows {
        let row =
            page.lines().find(|line| line.starts_with(&format!("| `{key}` |")) && line.matches(" | `").count() == 2);
        let row = row.unwrap_or_else(|| panic!("no row of {key}"));
        assert!(row.ends_with(&format!(" | `{of_mobile}` | `{of_desktop}` |")), "{row}");
    }
    for vital in Vital::ALL {
        let Threshold { good, poor } = mobile.thresholds.of(vital);
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", vital.as_str()))).unwrap();
        assert!(row.ends_with(&format!(" | {} | {} |", vital.shown(good), vital.shown(poor))), "{row}");
    }
    for key in ["base", "user_agent", "thresholds"] {
        assert!(page.contains(&format!("| `{key}` |")), "{key}");
    }
}

/// However a file is cut or a sign of it lost: definitions, or errors that name a place in it.
#[test]
fn a_damaged_file_is_told_never_a_panic() {
    let text = page(
        "a",
        "profile = \"kiosk\"\ninteract = [{ click = \"#a\" }, { type = [\"#q\", \"x\"] }]\nconsent = { click = \"#b\" }",
    ) + "[profile.kiosk]\nbase = \"mobile\"\ndpr = 1.5\nnetwork = { rtt = \"5ms\" }\nthresholds = { lcp = [\"1s\", \"2s\"], cls = [0.1, 0.2] }\n";
    let told = |damaged: &str| match one(damaged) {
        Ok(checks) => assert!(checks.len() <= 1),
        Err(errors) => {
            let lines = damaged.lines().count() + 1;
            assert!(!errors.0.is_empty() && errors.0.iter().all(|error| (1..=lines).contains(&error.line)), "{errors}");
        }
    };
    assert!(one(&text).is_ok());
    for at in 0..text.len() {
        told(&text[..at]);
        told(&format!("{}{}", &text[..at], &text[at + 1..]));
        told(&format!("{}{}{}", &text[..at], "[", &text[at + 1..]));
    }
}
