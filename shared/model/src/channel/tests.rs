use alloc::string::ToString;
use alloc::vec;

use serde_json::json;

use super::*;

fn read(value: Value) -> Result<Channel, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn faults(value: Value) -> Vec<String> {
    read(value).unwrap().faults().iter().map(ToString::to_string).collect()
}

#[test]
fn the_keys_are_those_of_all_kinds() {
    let mut keys: BTreeSet<&str> = ["id", "kind", "language", "agents_after"].into();
    for kind in Way::KINDS {
        let of_kind = Way::keys(kind);
        assert!(!of_kind.is_empty(), "{kind}");
        keys.extend(of_kind);
    }
    assert_eq!(keys, Channel::KEYS.iter().copied().collect());
}

#[test]
fn a_channel_is_stored_as_it_is_read() {
    let written = json!({"id": "ops", "kind": "email", "language": "fr", "server": "smtp.example:465", "from": "a@b.example",
        "to": ["Ops <ops@b.example>", "c@d.example"], "security": "tls", "user": "a", "password": "secret:smtp"});
    let channel = read(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&channel).unwrap(), written);
    assert_eq!(channel.faults(), vec![]);
    assert_eq!(channel.secrets(), BTreeSet::from(["smtp".to_string()]));
}

#[test]
fn a_key_that_is_missing_or_of_another_kind_is_named_with_its_remedy() {
    for (written, says) in [
        (json!({"id": "a", "kind": "slack"}), "kind \"slack\" needs url: add url = \"secret:slack-hook\""),
        (
            json!({"id": "a", "kind": "slack", "url": "secret:a", "topic": "b"}),
            "topic is no key of kind \"slack\": it takes url",
        ),
        (json!({"id": "a", "kind": "ntfy", "topic": 7}), "topic is a number: write a text in quotes"),
        (json!({"id": "a", "kind": "pigeon"}), "kind: \"pigeon\" is not known: use one of webhook, email, slack,"),
        (
            json!({"id": "a", "kind": "email", "server": "h:1", "from": "a@b", "to": "c@d"}),
            "to is a text: write a list of texts",
        ),
        (
            json!({"id": "a", "kind": "email", "server": "h:1", "from": "a@b", "to": ["c@d"], "security": "ssl"}),
            "security: use one of `starttls`, `tls`, `plain`",
        ),
    ] {
        let error = read(written).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_credential_in_plain_text_is_refused_and_not_shown() {
    for (kind, rest) in [
        ("slack", json!({"url": "https://hooks.slack.example/T0/B0/hunter2"})),
        ("telegram", json!({"token": "hunter2", "chat": "1"})),
        ("twilio", json!({"account": "AC1", "token": "hunter2", "from": "+1", "to": "+2"})),
        ("webhook", json!({"url": "https://a.example", "secret": "hunter2"})),
    ] {
        let mut written = json!({"id": "ops", "kind": kind});
        written.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let faults = faults(written.clone());
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("`sitepulse-collector secret set ops`"), "{faults:?}");
        assert!(!faults[0].contains("hunter2"), "{faults:?}");
        assert!(!format!("{:?}", read(written).unwrap()).contains("hunter2"));
    }
}

#[test]
fn what_cannot_be_an_address_is_refused() {
    let webhook = |url: &str| faults(json!({"id": "a", "kind": "webhook", "url": url}));
    assert_eq!(webhook("https://a.example/b"), Vec::<String>::new());
    assert_eq!(webhook("secret:hook"), Vec::<String>::new());
    for bad in ["ftp://a.example", "a.example", "https://", "https://me:pw@a.example/", "secret:Hook", "http://a\nb"] {
        assert_eq!(webhook(bad).len(), 1, "{bad}");
    }
    let mail = |key: &str, value: Value| {
        let mut written =
            json!({"id": "a", "kind": "email", "server": "smtp.example:25", "from": "a@b", "to": ["c@d"]});
        written[key] = value;
        faults(written)
    };
    for (key, bad) in [
        ("server", json!("smtp.example")),
        ("server", json!("smtp.example:0")),
        ("server", json!("fd00::1:25")),
        ("from", json!("nobody")),
        ("from", json!("a@b\r\nBcc: c@d")),
        ("to", json!([])),
        ("to", json!(["c@d", "e"])),
        ("to", json!(["c@d, e@f"])),
        ("security", json!("plain")),
        ("user", json!("a")),
        ("password", json!("secret:a")),
    ] {
        assert!(!mail(key, bad.clone()).is_empty(), "{key} = {bad}");
    }
    for (server, here) in [("localhost:25", true), ("[::1]:25", true), ("127.0.0.1:25", true), ("10.0.0.1:25", false)] {
        let written =
            json!({"id": "a", "kind": "email", "server": server, "from": "a@b", "to": ["c@d"], "security": "plain"});
        assert_eq!(faults(written).is_empty(), here, "{server}");
    }
}

#[test]
fn a_destination_is_the_kind_and_the_servers_that_are_named() {
    for (written, destination) in [
        (
            json!({"kind": "webhook", "url": "https://Ops.example:443/hook?a=b", "secret": "secret:a"}),
            "webhook https://ops.example",
        ),
        (json!({"kind": "webhook", "url": "secret:hook"}), "webhook secret:hook"),
        (json!({"kind": "slack", "url": "secret:slack-hook"}), "slack"),
        (json!({"kind": "telegram", "token": "secret:bot", "chat": "1"}), "telegram"),
        (
            json!({"kind": "pagerduty", "key": "secret:pd", "api": "http://127.0.0.1:9/x"}),
            "pagerduty http://127.0.0.1:9",
        ),
        (
            json!({"kind": "email", "server": "SMTP.example:587", "from": "a@b", "to": ["c@d"], "user": "a", "password": "secret:smtp"}),
            "email smtp.example:587",
        ),
    ] {
        let mut written = written;
        written["id"] = json!("ops");
        assert_eq!(read(written).unwrap().destination(), destination);
    }
}
