use super::*;

mod pages;

fn read(kind: &str, json: &str) -> Result<CheckKind, TargetError> {
    CheckKind::from_target_json(kind, json)
}

fn good(kind: &str, json: &str) -> CheckKind {
    read(kind, json).unwrap_or_else(|error| panic!("{kind} {json}: {error}"))
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\\nQUJD\\n-----END CERTIFICATE-----\\n";

#[test]
fn plain_targets_of_every_kind_are_good() {
    for (kind, json, host, secrets) in [
        ("http", r#"{"url":"https://Shop.Example:8443/a?b=c:d@e"}"#, Some("shop.example"), &[][..]),
        ("http", r#"{"url":"http://[::1]:8080/"}"#, Some("::1"), &[]),
        ("http", r#"{"url":"http://a/","proxy":"http://Proxy:3128"}"#, Some("proxy"), &[]),
        (
            "http",
            r#"{"url":"https://a/","method":"POST","headers":{"x-token":"secret:t.1","accept":"*/*"},"body":"secret:body",
                "auth":{"basic":{"user":"u","password":"secret:p"}},"redirects":10,"http":"3",
                "tls":{"client_certificate":"secret:c","client_key":"secret:k","server_name":"b.example"}}"#,
            Some("a"),
            &["body", "c", "k", "p", "t.1"],
        ),
        ("tcp", r#"{"address":"db:5432","send":"secret:hello"}"#, Some("db"), &["hello"]),
        ("tcp", r#"{"address":"[2001:DB8::1]:22"}"#, Some("2001:db8::1"), &[]),
        ("tls", r#"{"address":"a:443","alpn":["h2","http/1.1"],"tls":{"insecure":true}}"#, Some("a"), &[]),
        ("dns", r#"{"name":"_sip._tcp.a.example.","record":"SRV"}"#, Some("dns"), &[]),
        ("dns", r#"{"name":".","record":"NS","server":"NS1.example:5353"}"#, Some("ns1.example"), &[]),
        ("dns", r#"{"name":"2001:db8::1","record":"PTR","server":"[::1]"}"#, Some("::1"), &[]),
        ("icmp", r#"{"host":"2001:DB8::1","count":20,"spacing":"10ms","size":1400}"#, Some("2001:db8::1"), &[]),
        ("udp", r#"{"address":"a:53","send_hex":"00fF"}"#, Some("a"), &[]),
        ("websocket", r#"{"url":"wss://a/x","send":"hi","subprotocols":["chat"]}"#, Some("a"), &[]),
        ("grpc", r#"{"url":"https://a:50051","service":"shop.v1.Cart"}"#, Some("a"), &[]),
        (
            "smtp",
            r#"{"address":"a:587","security":"starttls","login":{"user":"u","password":"secret:p"}}"#,
            Some("a"),
            &["p"],
        ),
        ("imap", r#"{"address":"a:143"}"#, Some("a"), &[]),
        ("domain", r#"{"domain":"shop.Example"}"#, Some("rdap:example"), &[]),
        ("domain", r#"{"domain":"shop.example","rdap":"https://rdap.example/v1/"}"#, Some("rdap.example"), &[]),
        ("heartbeat", r#"{"period":"366d","grace":"1s"}"#, None, &[]),
        ("heartbeat", r#"{"cron":"0 3 * * MON-FRI","zone":"America/Port-au-Prince","grace":"7d"}"#, None, &[]),
        (
            "flow",
            r#"{"steps":[{"name":"in","url":"https://A/login","auth":{"bearer":"secret:t"},"capture":{"id":"json '$.id'","csrf":"body /x(.)/"}},
                {"name":"use","url":"https://b/{{id}}?c={{csrf}}","headers":{"x-csrf-token":"{{csrf}}"},"body":"{{id}}",
                 "auth":{"bearer":"{{id}}"},"expect":["status == 200"]}]}"#,
            Some("a"),
            &["t"],
        ),
    ] {
        let target = good(kind, json);
        assert_eq!(target.host().as_deref(), host, "{json}");
        assert_eq!(target.secrets().iter().map(String::as_str).collect::<Vec<_>>(), secrets, "{json}");
        assert_eq!(good(kind, &target.target_json()), target);
    }
    good("http", &format!(r#"{{"url":"https://a/","tls":{{"ca":"{PEM}{PEM}"}}}}"#));
}

#[test]
fn bad_values_are_refused_with_their_key_and_the_remedy() {
    for (kind, json, field, part) in [
        ("http", r#"{"url":"ftp://a/"}"#, "url", "it must start with http:// or https://"),
        ("http", r#"{"url":"https://u:p@a/"}"#, "url", "a user or password"),
        ("http", r#"{"url":"http://"}"#, "url", "names no host"),
        ("http", r#"{"url":"https:///x"}"#, "url", "names no host"),
        ("http", r#"{"url":"http://:80/"}"#, "url", "names no host"),
        ("http", r#"{"url":"http://a:0/"}"#, "url", "1 to 65535"),
        ("http", r#"{"url":"http://a:99999/"}"#, "url", "1 to 65535"),
        ("http", r#"{"url":"http://a:x/"}"#, "url", "1 to 65535"),
        ("http", r#"{"url":"http://a:/"}"#, "url", "1 to 65535"),
        ("http", r#"{"url":"http://a:+80/"}"#, "url", "1 to 65535"),
        ("http", r#"{"url":"http://::1/"}"#, "url", "brackets"),
        ("http", r#"{"url":"http://[::1/"}"#, "url", "not closed"),
        ("http", r#"{"url":"http://[x]/"}"#, "url", "no IPv6 address"),
        ("http", r#"{"url":"http://[::1]x/"}"#, "url", "after the bracket"),
        ("http", r#"{"url":"http://a..b/"}"#, "url", "empty"),
        ("http", r#"{"url":"http://-a/"}"#, "url", "start or end with '-'"),
        ("http", r#"{"url":"http://a%2fb/"}"#, "url", "use letters"),
        ("http", r#"{"url":"javascript:alert(1)"}"#, "url", "it must start with"),
        ("http", r#"{"url":"//a"}"#, "url", "it must start with"),
        ("http", r#"{"url":""}"#, "url", "it must start with"),
        ("http", r##"{"url":"http://a/#x"}"##, "url", "fragment"),
        ("http", r#"{"url":"http://a b/"}"#, "url", "%20"),
        ("http", r#"{"url":"http://é/"}"#, "url", "xn--"),
        ("http", r#"{"url":"http://a\\@b/"}"#, "url", "password"),
        ("http", r#"{"url":"http://a/\\b"}"#, "url", "%5C"),
        ("http", r#"{"url":"http://a/","method":"get"}"#, "method", "in capitals"),
        ("http", r#"{"url":"http://a/","method":"G T"}"#, "method", "in capitals"),
        ("http", r#"{"url":"http://a/","method":"CONNECT"}"#, "method", "proxy"),
        ("http", r#"{"url":"http://a/","headers":{"a b":"x"}}"#, "headers.a b", "no header name"),
        ("http", r#"{"url":"http://a/","headers":{"Host":"x"}}"#, "headers.Host", "leave it out"),
        (
            "http",
            r#"{"url":"http://a/","headers":{"transfer-encoding":"x"}}"#,
            "headers.transfer-encoding",
            "leave it out",
        ),
        ("http", r#"{"url":"http://a/","headers":{"x":"a\r\nb: c"}}"#, "headers.x", "no line breaks"),
        ("http", r#"{"url":"http://a/","headers":{"X":"a","x":"b"}}"#, "headers.x", "twice"),
        (
            "http",
            r#"{"url":"http://a/","headers":{"Cookie":"a=b"}}"#,
            "headers.Cookie",
            "sitepulse-collector secret set NAME",
        ),
        ("http", r#"{"url":"http://a/","headers":{"x-my-token":"b"}}"#, "headers.x-my-token", "secret set"),
        ("http", r#"{"url":"http://a/","headers":{"x-auth-secret":""}}"#, "headers.x-auth-secret", "secret set"),
        ("http", r#"{"url":"http://a/","headers":{"x-token":"{{a}}"}}"#, "headers.x-token", "secret set"),
        ("http", r#"{"url":"http://a/","headers":{"x":"secret:A"}}"#, "headers.x", "names no secret"),
        ("http", r#"{"url":"http://a/","body":"secret:"}"#, "body", "names no secret"),
        ("http", r#"{"url":"http://a/","auth":{"bearer":"abc"}}"#, "auth.bearer", "secret set"),
        (
            "http",
            r#"{"url":"http://a/","auth":{"basic":{"user":"a","password":"abc"}}}"#,
            "auth.basic.password",
            "secret set",
        ),
        (
            "http",
            r#"{"url":"http://a/","auth":{"basic":{"user":"a:b","password":"secret:x"}}}"#,
            "auth.basic.user",
            "':'",
        ),
        (
            "http",
            r#"{"url":"http://a/","auth":{"bearer":"secret:a"},"headers":{"Authorization":"secret:a"}}"#,
            "auth",
            "both",
        ),
        ("http", r#"{"url":"http://a/","redirects":11}"#, "redirects", "at most 10"),
        ("http", r#"{"url":"http://a/","http":"3"}"#, "http", "https://"),
        ("http", r#"{"url":"https://a/","http":"3","proxy":"http://p:1"}"#, "proxy", "HTTP/3"),
        ("http", r#"{"url":"http://a/","proxy":"http://u:p@p:1"}"#, "proxy", "password"),
        ("http", r#"{"url":"http://a/","proxy":"https://p:1"}"#, "proxy", "http://"),
        ("http", r#"{"url":"http://a/","proxy":"http://p:1/x"}"#, "proxy", "without a path"),
        ("http", r#"{"url":"http://a/","tls":{"ca":"x"}}"#, "tls.ca", "not PEM"),
        ("http", r#"{"url":"http://a/","tls":{"ca":" "}}"#, "tls.ca", "holds no certificate"),
        ("http", r#"{"url":"http://a/","tls":{"ca":"-----BEGIN PRIVATE KEY-----"}}"#, "tls.ca", "private key"),
        (
            "http",
            r#"{"url":"http://a/","tls":{"ca":"-----BEGIN CERTIFICATE-----!-----END CERTIFICATE-----"}}"#,
            "tls.ca",
            "base64",
        ),
        ("http", r#"{"url":"http://a/","tls":{"server_name":"a:1"}}"#, "tls.server_name", "without a port"),
        ("http", r#"{"url":"http://a/","tls":{"client_key":"secret:k"}}"#, "tls.client_key", "client_certificate"),
        (
            "http",
            r#"{"url":"http://a/","tls":{"client_certificate":"secret:k"}}"#,
            "tls.client_certificate",
            "client_key",
        ),
        (
            "http",
            r#"{"url":"http://a/","tls":{"client_certificate":"secret:c","client_key":"PEM"}}"#,
            "tls.client_key",
            "secret set",
        ),
        (
            "http",
            r#"{"url":"http://a/","tls":{"client_certificate":"PEM","client_key":"secret:k"}}"#,
            "tls.client_certificate",
            "PEM",
        ),
        ("tcp", r#"{"address":"a"}"#, "address", "host:port"),
        ("tcp", r#"{"address":"a:"}"#, "address", "1 to 65535"),
        ("tcp", r#"{"address":"::1:22"}"#, "address", "brackets"),
        ("tcp", r#"{"address":"[::1]"}"#, "address", "names no port"),
        ("tcp", r#"{"address":"a b:1"}"#, "address", "use letters"),
        ("tcp", r#"{"address":"http://a:1"}"#, "address", "brackets"),
        ("tcp", r#"{"address":"a:1","send":""}"#, "send", "nothing in it"),
        ("tls", r#"{"address":"a:1","alpn":["h 2"]}"#, "alpn[0]", "no protocol"),
        ("tls", r#"{"address":"a:1","alpn":["h2",""]}"#, "alpn[1]", "no protocol"),
        ("tls", r#"{"address":"a:1","alpn":["h2","h2"]}"#, "alpn[1]", "twice"),
        ("dns", r#"{"name":""}"#, "name", "empty"),
        ("dns", r#"{"name":"a b"}"#, "name", "use letters"),
        ("dns", r#"{"name":"a..b"}"#, "name", "empty"),
        ("dns", r#"{"name":"é.example"}"#, "name", "xn--"),
        ("dns", r#"{"name":"a","server":"2001:db8::1"}"#, "server", "brackets"),
        ("dns", r#"{"name":"a","server":"ns:0"}"#, "server", "1 to 65535"),
        ("dns", r#"{"name":"2001:db8::1"}"#, "name", "use letters"),
        ("icmp", r#"{"host":""}"#, "host", "names no host"),
        ("icmp", r#"{"host":"a:1"}"#, "host", "without a port"),
        ("icmp", r#"{"host":"[::1]"}"#, "host", "without a port or brackets"),
        ("icmp", r#"{"host":"a","count":0}"#, "count", "1 to 20"),
        ("icmp", r#"{"host":"a","count":21}"#, "count", "1 to 20"),
        ("icmp", r#"{"host":"a","spacing":"9ms"}"#, "spacing", "10ms to 10s"),
        ("icmp", r#"{"host":"a","spacing":"11s"}"#, "spacing", "10ms to 10s"),
        ("icmp", r#"{"host":"a","size":15}"#, "size", "16 to 1400"),
        ("icmp", r#"{"host":"a","size":1401}"#, "size", "16 to 1400"),
        ("udp", r#"{"address":"a:1"}"#, "send", "nothing to send"),
        ("udp", r#"{"address":"a:1","send":"a","send_hex":"00"}"#, "send_hex", "leave one out"),
        ("udp", r#"{"address":"a:1","send_hex":"0"}"#, "send_hex", "two for each byte"),
        ("udp", r#"{"address":"a:1","send_hex":""}"#, "send_hex", "two for each byte"),
        ("udp", r#"{"address":"a:1","send_hex":"0x"}"#, "send_hex", "no hexadecimal digit"),
        ("websocket", r#"{"url":"https://a/"}"#, "url", "ws:// or wss://"),
        ("websocket", r#"{"url":"ws://a/","subprotocols":["a b"]}"#, "subprotocols[0]", "no protocol"),
        (
            "websocket",
            r#"{"url":"ws://a/","headers":{"Sec-WebSocket-Key":"x"}}"#,
            "headers.Sec-WebSocket-Key",
            "handshake",
        ),
        ("grpc", r#"{"url":"https://a/x"}"#, "url", "path of its own"),
        ("grpc", r#"{"url":"https://a","service":"a b"}"#, "service", "no service"),
        ("grpc", r#"{"url":"https://a","headers":{"grpc-timeout":"1S"}}"#, "headers.grpc-timeout", "gRPC itself"),
        ("smtp", r#"{"address":"a:25","login":{"user":"u","password":"secret:p"}}"#, "login", "security"),
        (
            "imap",
            r#"{"address":"a:993","security":"tls","login":{"user":"u","password":"p"}}"#,
            "login.password",
            "secret set",
        ),
        (
            "imap",
            r#"{"address":"a:993","security":"tls","login":{"user":"","password":"secret:p"}}"#,
            "login.user",
            "user's name",
        ),
        ("domain", r#"{"domain":"example"}"#, "domain", "two parts"),
        ("domain", r#"{"domain":"a.example."}"#, "domain", "dot at the end"),
        ("domain", r#"{"domain":"192.0.2.1"}"#, "domain", "no domain name"),
        ("domain", r#"{"domain":"a_b.example"}"#, "domain", "no domain name"),
        ("domain", r#"{"domain":"a.example","rdap":"https://r/?x"}"#, "rdap", "no query"),
        ("heartbeat", r#"{"grace":"1m"}"#, "", "neither period nor cron"),
        ("heartbeat", r#"{"period":"1d","cron":"* * * * *","grace":"1m"}"#, "cron", "leave one out"),
        ("heartbeat", r#"{"period":"1d","zone":"UTC","grace":"1m"}"#, "zone", "cron alone"),
        ("heartbeat", r#"{"cron":"* * * * *","zone":"../etc","grace":"1m"}"#, "zone", "IANA"),
        ("heartbeat", r#"{"period":"367d","grace":"1m"}"#, "period", "366d"),
        ("heartbeat", r#"{"period":"500ms","grace":"1m"}"#, "period", "1s to 366d"),
        ("heartbeat", r#"{"period":"1d","grace":"8d"}"#, "grace", "1s to 7d"),
        ("heartbeat", r#"{"cron":"* * * *","grace":"1m"}"#, "cron", "has 4 fields"),
        ("flow", r#"{"steps":[]}"#, "steps", "1 to 20"),
        ("flow", r#"{"steps":[{"name":"","url":"http://a/"}]}"#, "steps[0].name", "no name"),
        (
            "flow",
            r#"{"steps":[{"name":"a","url":"http://a/"},{"name":"a","url":"http://a/"}]}"#,
            "steps[1].name",
            "of its own",
        ),
        (
            "flow",
            r#"{"steps":[{"name":"a","url":"http://a/{{x}}"}]}"#,
            "steps[0].url",
            "no earlier step captures {{x}}",
        ),
        (
            "flow",
            r#"{"steps":[{"name":"a","url":"http://a/{{x}}","capture":{"x":"status"}}]}"#,
            "steps[0].url",
            "no earlier step",
        ),
        (
            "flow",
            r#"{"steps":[{"name":"a","url":"http://a/","capture":{"x":"status"}},{"name":"b","url":"http://{{x}}/"}]}"#,
            "steps[1].url",
            "not in the scheme",
        ),
        ("flow", r#"{"steps":[{"name":"a","url":"http://a/{{X}}"}]}"#, "steps[0].url", "begins a variable"),
        ("flow", r#"{"steps":[{"name":"a","url":"http://a/","body":"{{x"}]}"#, "steps[0].body", "begins a variable"),
        (
            "flow",
            r#"{"steps":[{"name":"a","url":"http://a/","headers":{"x":"{{y}}"}}]}"#,
            "steps[0].headers.x",
            "captures {{y}}",
        ),
        (
            "flow",
            r#"{"steps":[{"name":"a","url":"http://a/","headers":{"x-token":"abc"}}]}"#,
            "steps[0].headers.x-token",
            "secret set",
        ),
        (
            "flow",
            r#"{"steps":[{"name":"a","url":"http://a/","expect":["status = 1"]}]}"#,
            "steps[0].expect[0]",
            "written \"==\"",
        ),
        (
            "flow",
            r#"{"steps":[{"name":"a","url":"http://a/","expect":["loss < 1%"]}]}"#,
            "steps[0].expect[0]",
            "has no loss",
        ),
        (
            "flow",
            r#"{"steps":[{"name":"a","url":"http://a/","capture":{"x":"json"}}]}"#,
            "steps[0].capture.x",
            "text in quotes",
        ),
        (
            "flow",
            r#"{"steps":[{"name":"a","url":"http://a/","capture":{"X":"status"}}]}"#,
            "steps[0].capture.X",
            "no variable",
        ),
        ("flow", r#"{"http":"3","steps":[{"name":"a","url":"http://a/"}]}"#, "steps[0].url", "https://"),
    ] {
        let error = match read(kind, json) {
            Ok(target) => panic!("{kind} {json} is taken: {target:?}"),
            Err(error) => error,
        };
        assert!(error.field == field && error.message.contains(part), "{kind} {json}: {error:?}");
    }
}

#[test]
fn sizes_are_bounded() {
    let long = |count: usize| "x".repeat(count);
    for (kind, json, part) in [
        ("http", format!(r#"{{"url":"http://a/{}"}}"#, long(2048)), "at most 2048"),
        ("http", format!(r#"{{"url":"http://{}/"}}"#, long(64)), "63 characters"),
        ("http", format!(r#"{{"url":"http://{}/"}}"#, "a.".repeat(130)), "253 characters"),
        ("http", format!(r#"{{"url":"http://a/","headers":{{"x":"{}"}}}}"#, long(8193)), "8192 bytes"),
        ("http", format!(r#"{{"url":"http://a/","tls":{{"ca":"{}"}}}}"#, long(33 << 10)), "32 KiB"),
        ("http", format!(r#"{{"url":"http://a/","body":"secret:{}"}}"#, long(65)), "names no secret"),
        ("http", format!(r#"{{"url":"http://a/","body":"{}"}}"#, long(65 << 10)), "bytes, at most 65536"),
        ("tcp", format!(r#"{{"address":"a:1","send":"{}"}}"#, long((32 << 10) + 1)), "at most 32768"),
        (
            "http",
            format!(
                r#"{{"url":"http://a/","headers":{{{}}}}}"#,
                (0..65).map(|n| format!(r#""x{n}":"""#)).collect::<Vec<_>>().join(",")
            ),
            "65 headers",
        ),
        (
            "flow",
            format!(
                r#"{{"steps":[{}]}}"#,
                (0..21).map(|n| format!(r#"{{"name":"{n}","url":"http://a/"}}"#)).collect::<Vec<_>>().join(",")
            ),
            "21 steps",
        ),
    ] {
        let error = read(kind, &json).unwrap_err();
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn all_faults_are_told() {
    let http = CheckKind::deserialize(
        "http",
        &mut serde_json::Deserializer::from_str(r#"{"url":"x","method":"y","redirects":99,"proxy":"z"}"#),
    );
    let fields: Vec<String> = http.unwrap().unwrap().faults().into_iter().map(|fault| fault.field).collect();
    assert_eq!(fields, ["url", "method", "redirects", "proxy"]);
}

#[test]
fn unknown_kinds_and_keys_are_refused() {
    assert!(read("htp", "{}").unwrap_err().message.contains("known are http, tcp"));
    assert!(read("tcp", r#"{"address":"a:1","url":"x"}"#).unwrap_err().message.contains("unknown field"));
    assert!(read("tcp", r#"{"address":"a:1"} x"#).is_err());
    assert!(read("tcp", r"{}").unwrap_err().message.contains("address"));
}

#[test]
fn the_keys_of_a_kind_are_its_structures() {
    assert_eq!(CheckKind::keys("tcp"), Some(&["address", "send", "family"][..]));
    assert!(CheckKind::keys("htp").is_none());
    assert!(CheckKind::NAMES.iter().all(|kind| CheckKind::keys(kind).is_some_and(|keys| !keys.is_empty())));
}
