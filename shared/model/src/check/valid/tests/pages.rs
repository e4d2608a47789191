//! `web_vitals`, and device profiles.

use alloc::string::ToString as _;

use super::*;

const PROFILE: &str = r#"{"name":"kiosk","width":800,"height":600,"dpr":1,"mobile":false,"touch":true,"cpu":2.5}"#;

#[test]
fn plain_pages_are_good() {
    for (json, secrets) in [
        (r#"{"url":"https://shop.example/a?b=c"}"#.to_owned(), &[][..]),
        (r#"{"url":"http://[::1]:8080/","profile":"desktop","runs":9,"settle":"10s","throttling":false,"insecure":true}"#.to_owned(), &[]),
        (
            r##"{"url":"https://a/","interact":[{"click":"main > a.x"},{"type":["#password","secret:p.1"]},{"type":["#q","caf\u00e9"]},
                {"press":"Enter"},{"press":"\u00e9"},{"scroll":-100000},{"wait":"10s"}],"consent":{"click":"#ok"}}"##
                .to_owned(),
            &["p.1"],
        ),
        (format!(r#"{{"url":"https://a/","profile":{PROFILE}}}"#), &[]),
    ] {
        let target = good("web_vitals", &json);
        assert_eq!(target.host().as_deref(), Some("browser"), "{json}");
        assert_eq!(target.secrets().iter().map(String::as_str).collect::<Vec<_>>(), secrets, "{json}");
        assert_eq!(good("web_vitals", &target.target_json()), target);
    }
}

#[test]
fn bad_values_of_pages_are_refused_with_their_key_and_the_remedy() {
    for (json, field, part) in [
        (r#"{"url":"ftp://a/"}"#, "url", "it must start with http:// or https://"),
        (r#"{"url":"chrome://version"}"#, "url", "it must start with http:// or https://"),
        (r#"{"url":"file:///etc/passwd"}"#, "url", "it must start with http:// or https://"),
        (r#"{"url":"https://u:p@a/"}"#, "url", "a user or password"),
        (r##"{"url":"https://a/#x"}"##, "url", "fragment"),
        (
            r#"{"url":"https://a/","profile":"tablet"}"#,
            "profile",
            "\"tablet\" is no profile: use mobile, desktop, or describe it as [profile.NAME]",
        ),
        (r#"{"url":"https://a/","runs":0}"#, "runs", "0 loads: allowed are 1 to 9"),
        (r#"{"url":"https://a/","runs":10}"#, "runs", "10 loads"),
        (r#"{"url":"https://a/","settle":"99ms"}"#, "settle", "99ms: allowed are 100ms to 10s"),
        (r#"{"url":"https://a/","settle":"11s"}"#, "settle", "allowed are"),
        (r#"{"url":"https://a/","settle":"100500us"}"#, "settle", "whole milliseconds"),
        (r#"{"url":"https://a/","interact":[{"scroll":1},{"click":" "}]}"#, "interact[1]", "no CSS selector"),
        (r#"{"url":"https://a/","interact":[{"click":"a\nb"}]}"#, "interact[0]", "one line"),
        (r#"{"url":"https://a/","interact":[{"type":["","x"]}]}"#, "interact[0]", "no CSS selector"),
        (r##"{"url":"https://a/","interact":[{"type":["#a",""]}]}"##, "interact[0]", "1 to 500 characters"),
        (r##"{"url":"https://a/","interact":[{"type":["#a","x\n"]}]}"##, "interact[0]", "{ press = \"Enter\" }"),
        (r##"{"url":"https://a/","interact":[{"type":["#a","secret:A B"]}]}"##, "interact[0]", "names no secret"),
        (
            r##"{"url":"https://a/","interact":[{"type":["input[type=Password]","hunter2"]}]}"##,
            "interact[0]",
            "a password may not stand here in the clear",
        ),
        (r#"{"url":"https://a/","interact":[{"press":""}]}"#, "interact[0]", "no key"),
        (r#"{"url":"https://a/","interact":[{"press":"Ctrl+A"}]}"#, "interact[0]", "no key"),
        (r#"{"url":"https://a/","interact":[{"scroll":100001}]}"#, "interact[0]", "at most 100000"),
        (r#"{"url":"https://a/","interact":[{"scroll":-2147483648}]}"#, "interact[0]", "at most 100000"),
        (r#"{"url":"https://a/","interact":[{"wait":"0s"}]}"#, "interact[0]", "allowed are 1ms to 10s"),
        (r#"{"url":"https://a/","consent":{"press":"Enter"}}"#, "consent", "consent is given by a click"),
        (r#"{"url":"https://a/","consent":{"click":""}}"#, "consent", "no CSS selector"),
    ] {
        let error = match read("web_vitals", json) {
            Ok(target) => panic!("{json} is taken: {target:?}"),
            Err(error) => error,
        };
        assert!(error.field == field && error.message.contains(part), "{json}: {error:?}");
    }
    let action = r#"{"scroll":1}"#;
    let many = [action; 21].join(",");
    let error = read("web_vitals", &format!(r#"{{"url":"https://a/","interact":[{many}]}}"#)).unwrap_err();
    assert_eq!(error.to_string(), "interact: 21 interactions: at most 20 are allowed");
    let long = "a".repeat(501);
    let error =
        read("web_vitals", &format!(r#"{{"url":"https://a/","interact":[{{"click":"{long}"}}]}}"#)).unwrap_err();
    assert!(error.message.contains("no CSS selector"), "{error}");
}

#[test]
fn bad_values_of_profiles_are_refused_with_their_key_and_the_remedy() {
    for (from, to, field, part) in [
        (r#""kiosk""#, r#""Kiosk""#, "name", "use 1 to 32 of a-z, 0-9 and '-'"),
        (r#""kiosk""#, r#""""#, "name", "use 1 to 32"),
        (r#""kiosk""#, r#""mobile""#, "name", "mobile is built in and stays what it is"),
        (":800", ":199", "width", "199 pixels: allowed are 200 to 4000"),
        (":600", ":4001", "height", "4001 pixels"),
        (r#""dpr":1"#, r#""dpr":0.499"#, "dpr", "0.499: allowed are 0.5 to 4"),
        (r#""dpr":1"#, r#""dpr":4.001"#, "dpr", "allowed are 0.5 to 4"),
        (":2.5", ":0.999", "cpu", "allowed are 1 to 20"),
        (":2.5", ":20.001", "cpu", "allowed are 1 to 20"),
        (
            "}",
            r#","network":{"rtt":"10001ms","down_kbps":1,"up_kbps":1}}"#,
            "network.rtt",
            "the longest round trip is 10s",
        ),
        ("}", r#","network":{"rtt":"0s","down_kbps":0.999,"up_kbps":1}}"#, "network.down_kbps", "from 1"),
        ("}", r#","network":{"rtt":"0s","down_kbps":1,"up_kbps":0}}"#, "network.up_kbps", "from 1"),
        ("}", r#","user_agent":""}"#, "user_agent", "leave it out"),
        ("}", r#","user_agent":"a\r\nb: c"}"#, "user_agent", "no line breaks"),
        ("}", r#","thresholds":{"inp":["2s","1s"]}}"#, "thresholds.inp", "as in inp = [\"2.5s\", \"4s\"]"),
        ("}", r#","thresholds":{"cls":[0.2,0.1]}}"#, "thresholds.cls", "as in cls = [0.1, 0.25]"),
        // One side alone may pass the default of the other.
        ("}", r#","thresholds":{"lcp":["5s","4s"]}}"#, "thresholds.lcp", "good comes first"),
    ] {
        let profile = PROFILE.replace(from, to);
        assert_ne!(profile, PROFILE);
        let error = read("web_vitals", &format!(r#"{{"url":"https://a/","profile":{profile}}}"#)).unwrap_err();
        assert_eq!(error.field, format!("profile.{field}"), "{profile}: {error}");
        assert!(error.message.contains(part), "{profile}: {error:?}");
        let faults = serde_json::from_str::<Profile>(&profile).unwrap().faults();
        assert_eq!(faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>(), [field], "the same, by itself");
    }
    for (from, to) in [
        (r#""touch":true,"#, ""),
        ("}", r#","widht":3}"#),
        (":800", ":-1"),
        (":2.5", r#":"fast""#),
        (":2.5", ":0.00001"),
    ] {
        let profile = PROFILE.replace(from, to);
        assert!(read("web_vitals", &format!(r#"{{"url":"https://a/","profile":{profile}}}"#)).is_err(), "{profile}");
    }
}
