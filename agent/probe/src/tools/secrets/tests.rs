use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use sitepulse_model::record::{FactKey, Facts};

use super::*;
use crate::flow;

fn secrets(values: &[(&str, &str)]) -> Secrets {
    Secrets::new(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn secrets_are_taken_out_of_what_is_told() {
    let secrets =
        secrets(&[("api", "hunter2-hunter2"), ("pin", "4711"), ("pem", "-----BEGIN KEY-----\nMIIEvQIBADAN\n")]);
    assert_eq!(secrets.redact("got hunter2-hunter2 and 4711, 471"), "got secret:api and secret:pin, 471");
    assert_eq!(secrets.redact("body is 'x hunter2-hun"), "body is 'x secret:api", "a quote that was cut");
    assert_eq!(secrets.redact("hunter2 is short of it"), "hunter2 is short of it");
    assert_eq!(secrets.redact("hunter2-hunter2hunter2-hunter2"), "secret:apisecret:api");
    assert_eq!(secrets.redact("key MIIEvQIBADAN ends"), "key secret:pem ends");
    let mut facts = Facts::default();
    facts.text(FactKey::Hop, "https://a.example/?echo=bWU6aHVudGVyMi1odW50ZXIy");
    facts.text(FactKey::Banner, "220 hello 4711");
    facts.text(FactKey::Step, "one hunter2-hunter2");
    facts.number(FactKey::Attempts, 4711);
    facts.text(FactKey::VitalsReport, "{\"browser\":\"Chrome/4711\"}");
    flow::redact_facts(&secrets, &BTreeMap::new(), &mut facts);
    assert_eq!(facts.texts_of(FactKey::Banner).collect::<Vec<_>>(), ["220 hello secret:pin"]);
    assert_eq!(facts.texts_of(FactKey::Hop).collect::<Vec<_>>(), ["https://a.example/?echo=secret:api"]);
    assert_eq!(facts.texts_of(FactKey::Step).collect::<Vec<_>>(), ["one secret:api"]);
    assert_eq!(facts.number_of(FactKey::Attempts), Some(4711));
    assert_eq!(facts.texts_of(FactKey::VitalsReport).next(), Some("{\"browser\":\"Chrome/4711\"}"));
}

#[test]
fn a_login_is_taken_out_of_its_base64_whoever_logs_in() {
    for password in ["pa55", "open sesame", "ü~~~~???", "a-long-password-that-goes-on-and-on"] {
        let secrets = secrets(&[("word", password)]);
        for user in ["me", "you", "user", "Aladdin", "{}"] {
            let coded = STANDARD.encode(format!("{user}:{password}"));
            let text = format!("400: bad line 'authorization: Basic {coded}', sorry");
            let hidden = "400: bad line 'authorization: Basic secret:word', sorry";
            assert_eq!(secrets.redact(&text), hidden, "{user}:{password} is {coded}");
        }
    }
    let secrets = secrets(&[("word", "a-long-password-that-goes-on-and-on")]);
    let cut = STANDARD.encode("me:a-long-password");
    assert_eq!(secrets.redact(&format!("got 'Basic {}", &cut[..16])), "got 'Basic secret:word", "a quote that was cut");
    assert_eq!(secrets.redact("nothing of the kind"), "nothing of the kind");
}

#[test]
fn of_two_secrets_that_begin_alike_neither_is_left_over() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI";
    let (one, two) = (format!("{jwt}xIn0.abcdefgh"), format!("{jwt}yIn0.stuvwxyz"));
    let secrets = secrets(&[
        ("a", "sk_live_AAAAAAAAAAAA"),
        ("b", "sk_live_BBBBBBBBBBBB"),
        ("begin", "sk_live_BBBB"),
        ("one", &one),
        ("two", &two),
        ("pem1", "-----BEGIN KEY-----\nMIIEvQIBADANfirst\n-----END KEY-----"),
        ("pem2", "-----BEGIN KEY-----\nMIIEvQIBADANsecond\n-----END KEY-----"),
    ]);
    for (text, told) in [
        ("got sk_live_BBBBBBBBBBBB.", "got secret:b."),
        ("got sk_live_AAAAAAAAAAAA.", "got secret:a."),
        ("got sk_live_BBBBBB", "got secret:b"),
        ("got sk_live_AAAsk_live_BBBBBBBBBBBB", "got secret:asecret:b"),
        ("key MIIEvQIBADANsecond", "key secret:pem2"),
        ("key MIIEvQIBADANfirst", "key secret:pem1"),
        ("key MIIEvQIBADANsec", "key secret:pem2"),
    ] {
        assert_eq!(secrets.redact(text), told);
    }
    assert_eq!(secrets.redact(&format!("{two} {one}")), "secret:two secret:one");
}

#[test]
fn a_secret_that_begins_within_the_beginning_of_another_is_not_left_over() {
    let secrets = secrets(&[("a", "xxxxabcdefgh"), ("b", "abcdBBBBBBBBBBBB")]);
    assert_eq!(secrets.redact("xxxxabcdBBBBBBBBBBBB"), "secret:b");
}

#[test]
fn a_token_or_login_is_known_without_its_scheme() {
    let login = STANDARD.encode("probe@shop:pa55w0rd");
    let key = STANDARD.encode("sk_live_AAAAAAAA:x");
    let secrets = secrets(&[
        ("bearer", "Bearer t0ken-t0ken-t0ken"),
        ("basic", &format!("Basic {login}")),
        ("key", &format!("basic {key}")),
        ("cookie", "session=5e55i0n5e55i0n; Path=/"),
        ("form", "user=me&password=f0rm-pa55w0rd"),
        ("json", r#"{"user": "me", "password": "j5on \"pa55w0rd\""}"#),
    ]);
    for (text, told) in [
        ("no token t0ken-t0ken-t0ken here", "no token secret:bearer here"),
        ("no token t0ken-t0k", "no token secret:bearer"),
        ("got Bearer t0ken-t0ken-t0ken", "got secret:bearer"),
        ("wrong password pa55w0rd", "wrong password secret:basic"),
        ("no key sk_live_AAAAAAAA: extra", "no key secret:key: extra"),
        ("session 5e55i0n5e55i0n is over", "session secret:cookie is over"),
        ("wrong password f0rm-pa55w0rd", "wrong password secret:form"),
        ("wrong password j5on \"pa55w0rd\"", "wrong password secret:json"),
        ("wrong password j5on \"pa55", "wrong password secret:json"),
    ] {
        assert_eq!(secrets.redact(text), told);
    }
    assert_eq!(secrets.redact(&format!("bad login {login}, {key}")), "bad login secret:basic, secret:key");
}

#[test]
fn a_secret_is_known_however_a_text_spells_it() {
    let value = "pä\"ss & wörd/+\\<?>~~~";
    let secrets = secrets(&[("word", value)]);
    let form = url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
    let percent = form.replace('+', "%20");
    let json = serde_json::to_string(value).unwrap();
    let json_twice = serde_json::to_string(&json).unwrap();
    let ascii: String = value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let html = value.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&#x3e;");
    let twice = url::form_urlencoded::byte_serialize(percent.as_bytes()).collect::<String>();
    for spelt in [
        value.to_owned(),
        percent.to_lowercase(),
        percent.clone(),
        json.trim_matches('"').to_owned(),
        json.replace('/', "\\/").trim_matches('"').to_owned(),
        ascii,
        format!("{value:?}").trim_matches('"').to_owned(),
        json_twice[3..json_twice.len() - 3].to_owned(),
        html,
        twice,
        form,
        STANDARD.encode(value),
        URL_SAFE_NO_PAD.encode(format!("me:{value}")),
        URL_SAFE_NO_PAD.encode(format!("you:{value}")),
        url::form_urlencoded::byte_serialize(STANDARD.encode(format!("me:{value}")).as_bytes()).collect(),
    ] {
        assert_eq!(secrets.redact(&format!("it said <{spelt}>.")), "it said <secret:word>.", "{spelt}");
    }
    assert_eq!(secrets.redact("100 % of 5 + 5 \\ %zz &c; \\u12 %"), "100 % of 5 + 5 \\ %zz &c; \\u12 %");
}

#[test]
fn an_attempt_tells_nothing_of_a_secret_that_was_replaced_meanwhile() {
    let store = SecretStore::default();
    store.replace([("api".to_owned(), "old-value-old-value".to_owned())].into());
    let attempt = store.now();
    let sent = attempt.resolve(&SecretText("secret:api".to_owned())).unwrap();
    store.replace([("api".to_owned(), "new-value-new-value".to_owned())].into());
    assert_eq!(attempt.redact(&format!("no key {sent}")), "no key secret:api");
    assert_eq!(attempt.resolve(&SecretText("secret:api".to_owned())).unwrap(), sent, "a flow sends one value, not two");
    assert_eq!(store.now().redact("no key new-value-new-value"), "no key secret:api");
}

fn spelt(value: &str, way: usize) -> String {
    match way {
        0 | 1 => value.to_owned(),
        2 => url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
        3 => serde_json::to_string(value).unwrap().trim_matches('"').to_owned(),
        4 => STANDARD.encode(format!("me:{value}")),
        _ => format!("{value:?}").trim_matches('"').to_owned(),
    }
}

proptest! {
    /// Values are made of other characters than what is between them.
    #[test]
    fn no_part_that_tells_a_secret_from_others_is_left_over(
        prefixes in prop::collection::vec("[a-cü\"%]{0,12}", 1..3),
        tails in prop::collection::vec((0usize..3, "[a-d_ü\"+ ]{0,6}[a-d_]{8,20}"), 1..6),
        pieces in prop::collection::vec((0usize..6, 0usize..6, "[0-9 :,]{0,5}"), 1..6),
        cut in 8usize..40,
    ) {
        let values: Vec<String> =
            tails.iter().map(|(prefix, tail)| format!("{}{tail}", prefixes[prefix % prefixes.len()])).collect();
        let secrets = Secrets::new(values.iter().enumerate().map(|(at, value)| (at.to_string(), value.clone())).collect());
        let mut text = String::new();
        for (value, way, between) in &pieces {
            // Base64 stands alone in its word.
            text += &format!("{between};{};", spelt(&values[value % values.len()], *way));
        }
        // The last value is cut by the end of the text.
        let last = &values[cut % values.len()];
        text.extend(last.chars().take(cut));
        let told = secrets.redact(&text);
        for value in &values {
            let chars: Vec<char> = value.chars().collect();
            // White space at an end tells nothing: a line of a secret is looked for without it.
            let telling = chars.windows(8).filter(|window| window[0] != ' ' && window[7] != ' ');
            for window in telling.map(|window| window.iter().collect::<String>()) {
                for way in [0, 2, 3, 5] {
                    let window = spelt(&window, way);
                    prop_assert!(!told.contains(&window), "{window:?} of {value:?} is in {told:?}, made of {text:?}");
                }
            }
        }
    }
}
