//! Targets of every kind: what is written as JSON is read again as the same, and is valid.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use sitepulse_model::check::{
    Auth, CheckKind, DnsTarget, DnsTransport, DnsType, DomainTarget, DurationUs, Family, FlowStep, FlowTarget,
    GrpcTarget, HeartbeatTarget, HttpTarget, HttpVersion, IcmpTarget, Interact, Login, MailSecurity, MailTarget,
    SecretText, TcpTarget, TlsOptions, TlsTarget, UdpTarget, WebVitalsTarget, WebsocketTarget,
};
use sitepulse_model::vitals::profile::{Link, Milli, Profile, ProfileChoice, Thresholds};

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{1,10}(\\.[a-z0-9]{1,10}){0,3}",
        Just("[2001:db8::1]".to_owned()),
        Just("192.0.2.1".to_owned())
    ]
}

fn address() -> impl Strategy<Value = String> {
    (host(), 1..=u16::MAX).prop_map(|(host, port)| format!("{host}:{port}"))
}

fn url(scheme: &'static str) -> impl Strategy<Value = String> {
    (host(), option::of(1..=u16::MAX), "(/[a-zA-Z0-9%&=?._~!$'()*+,;:@|-]{0,20})?").prop_map(
        move |(host, port, path)| {
            format!("{scheme}{host}{}{path}", port.map(|port| format!(":{port}")).unwrap_or_default())
        },
    )
}

fn secret() -> impl Strategy<Value = SecretText> {
    "secret:[a-z0-9._-]{1,64}".prop_map(SecretText)
}

/// Any text, as bodies have it; no reference by accident.
fn text() -> impl Strategy<Value = SecretText> {
    prop_oneof![secret(), "[^s{]{1,30}".prop_map(SecretText)]
}

fn headers() -> impl Strategy<Value = std::collections::BTreeMap<String, SecretText>> {
    btree_map("x-[a-f]{1,8}", prop_oneof![secret(), "[ -rt-z]{0,20}".prop_map(SecretText)], 0..4)
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Any), Just(Family::Ipv4), Just(Family::Ipv6)]
}

fn auth() -> impl Strategy<Value = Auth> {
    prop_oneof![
        secret().prop_map(Auth::Bearer),
        ("[^:{\\pC]{0,20}", secret()).prop_map(|(user, password)| Auth::Basic { user, password }),
    ]
}

fn tls() -> impl Strategy<Value = TlsOptions> {
    let pem = "-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/]{1,40}==\n-----END CERTIFICATE-----\n";
    (option::of(pem), option::of("[a-z]{1,20}"), any::<bool>(), option::of((secret(), secret()))).prop_map(
        |(ca, server_name, insecure, client)| {
            let (client_certificate, client_key) = client.unzip();
            TlsOptions { ca, server_name, insecure, client_certificate, client_key }
        },
    )
}

fn micros(first: u64, last: u64) -> impl Strategy<Value = DurationUs> {
    (first / 1000..=last / 1000).prop_map(|ms| DurationUs(ms * 1000))
}

fn http() -> impl Strategy<Value = CheckKind> {
    let version = prop_oneof![
        Just(HttpVersion::Auto),
        Just(HttpVersion::Http1),
        Just(HttpVersion::Http2),
        Just(HttpVersion::Advertised)
    ];
    (
        (url("https://"), "[A-Z]{1,10}x?".prop_map(|method| method.replace('x', "-")), headers(), option::of(text())),
        (option::of(auth()), 0..=10_u8, version, family(), option::of(address()), any::<bool>(), tls()),
    )
        .prop_map(|((url, method, headers, body), (auth, redirects, http, family, proxy, compression, tls))| {
            // What a host offers is not spoken through a proxy.
            let proxy = proxy.filter(|_| http != HttpVersion::Advertised).map(|address| format!("http://{address}"));
            CheckKind::Http(Box::new(HttpTarget {
                url,
                method,
                headers,
                body,
                auth,
                redirects,
                http,
                family,
                proxy,
                compression,
                tls,
            }))
        })
}

fn dns() -> impl Strategy<Value = CheckKind> {
    let record = prop_oneof![Just(DnsType::A), Just(DnsType::Aaaa), Just(DnsType::Caa), Just(DnsType::Soa)];
    let transport = prop_oneof![Just(DnsTransport::Udp), Just(DnsTransport::Tcp)];
    ("[a-z_]{1,20}\\.?", record, option::of(prop_oneof![host(), address()]), transport, any::<bool>(), family())
        .prop_map(|(name, record, server, transport, dnssec, family)| {
            CheckKind::Dns(DnsTarget { name, record, server, transport, dnssec, family })
        })
}

fn mail() -> impl Strategy<Value = MailTarget> {
    let login = ("[a-z@.]{1,20}", secret()).prop_map(|(user, password)| Login { user, password });
    (address(), any::<bool>(), option::of(login), family(), tls()).prop_map(|(address, direct, login, family, tls)| {
        let security = match (&login, direct) {
            (_, true) => MailSecurity::Tls,
            (Some(_), false) => MailSecurity::Starttls,
            (None, false) => MailSecurity::None,
        };
        MailTarget { address, security, login, family, tls }
    })
}

fn step() -> impl Strategy<Value = FlowStep> {
    let expect = prop_oneof![Just("status == 200"), Just("json '$.a' exists"), Just("degraded if latency > 1s")];
    let capture = prop_oneof![Just("json '$.a'"), Just("header 'x'"), Just("html 'a@href'"), Just("body /a(.)/")];
    (
        (url("http://"), headers(), option::of(text()), option::of(auth()), 0..=10_u8),
        vec(expect.prop_map(str::to_owned), 0..3),
        btree_map("[a-z_][a-z0-9_]{0,10}", capture.prop_map(str::to_owned), 0..3),
    )
        .prop_map(|((url, headers, body, auth, redirects), expect, capture)| FlowStep {
            name: String::new(),
            url,
            method: "GET".to_owned(),
            headers,
            body,
            auth,
            redirects,
            expect,
            capture,
        })
}

fn flow() -> impl Strategy<Value = CheckKind> {
    (vec(step(), 1..4), family(), tls()).prop_map(|(mut steps, family, tls)| {
        let mut known: Option<String> = None;
        for (index, step) in steps.iter_mut().enumerate() {
            step.name = format!("step {index}");
            if let Some(name) = &known {
                step.url = format!("http://a/{{{{{name}}}}}?{{{{{name}}}}}");
            }
            known = step.capture.keys().next().cloned().or(known);
        }
        CheckKind::Flow(Box::new(FlowTarget { steps, http: HttpVersion::Auto, family, tls }))
    })
}

fn heartbeat() -> impl Strategy<Value = CheckKind> {
    let when =
        prop_oneof![
            micros(1_000_000, 366 * 86_400_000_000).prop_map(|period| (Some(period), None, None)),
            (Just("*/5 0-6 * JAN-MAR MON,5"), option::of("[A-Z][a-z]{1,10}/[A-Z][a-z_]{1,10}"))
                .prop_map(|(cron, zone)| (None, Some(cron.to_owned()), zone)),
        ];
    (when, micros(1_000_000, 7 * 86_400_000_000))
        .prop_map(|((period, cron, zone), grace)| CheckKind::Heartbeat(HeartbeatTarget { period, cron, zone, grace }))
}

fn interact() -> impl Strategy<Value = Interact> {
    let selector = "[#.]?[a-o]{1,20}( > [a-z]{1,5})?";
    prop_oneof![
        selector.prop_map(Interact::Click),
        (selector, prop_oneof![secret(), "[ -rt-z]{1,30}".prop_map(SecretText)])
            .prop_map(|(selector, text)| Interact::Type(selector, text)),
        prop_oneof![Just("Enter"), Just("a"), Just("\u{e9}"), Just("F12")]
            .prop_map(|key| Interact::Press(key.to_owned())),
        (-100_000..=100_000_i32).prop_map(Interact::Scroll),
        micros(1_000, 10_000_000).prop_map(Interact::Wait),
    ]
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    let pair =
        || (0..100_000_u64, 0..100_000_u64).prop_map(|(a, b)| [a.min(b), a.max(b)].map(|ms| DurationUs(ms * 1_000)));
    let score = (0..5_000_u32, 0..5_000_u32).prop_map(|(a, b)| [Milli(a.min(b)), Milli(a.max(b))]);
    (pair(), score, pair(), pair(), pair(), pair()).prop_map(|(lcp, cls, inp, tbt, fcp, ttfb)| Thresholds {
        lcp,
        cls,
        inp,
        tbt,
        fcp,
        ttfb,
    })
}

fn profile() -> impl Strategy<Value = ProfileChoice> {
    let kbps = || (1_000..=4_000_000_000_u32).prop_map(Milli);
    let link = (micros(0, 10_000_000), kbps(), kbps());
    let link = link.prop_map(|(rtt, down_kbps, up_kbps)| Link { rtt, down_kbps, up_kbps });
    let own = (
        ("own-[a-z0-9-]{0,28}", 200..=4_000_u32, 200..=4_000_u32, 500..=4_000_u32, any::<bool>(), any::<bool>()),
        (1_000..=20_000_u32, option::of(link), option::of("[ -rt-z]{1,40}"), thresholds()),
    );
    prop_oneof![
        Just(ProfileChoice::default()),
        Just(ProfileChoice::Named("desktop".to_owned())),
        own.prop_map(|((name, width, height, dpr, mobile, touch), (cpu, network, user_agent, thresholds))| {
            let (dpr, cpu) = (Milli(dpr), Milli(cpu));
            ProfileChoice::Own(Box::new(Profile {
                name,
                width,
                height,
                dpr,
                mobile,
                touch,
                cpu,
                network,
                user_agent,
                thresholds,
            }))
        }),
    ]
}

fn page() -> impl Strategy<Value = CheckKind> {
    (
        (url("https://"), profile(), 1..=9_u8, vec(interact(), 0..=20)),
        (option::of("#[a-z]{1,20}"), micros(100_000, 10_000_000), any::<bool>(), any::<bool>()),
    )
        .prop_map(|((url, profile, runs, interact), (consent, settle, throttling, insecure))| {
            let consent = consent.map(Interact::Click);
            CheckKind::WebVitals(Box::new(WebVitalsTarget {
                url,
                profile,
                runs,
                interact,
                consent,
                settle,
                throttling,
                insecure,
            }))
        })
}

fn target() -> impl Strategy<Value = CheckKind> {
    let hex = "([0-9a-fA-F]{2}){1,20}";
    let udp = (address(), prop_oneof![text().prop_map(Ok), hex.prop_map(Err)], family());
    let websocket = (url("wss://"), option::of(text()), headers(), option::of(auth()), family(), tls());
    let icmp = ("[a-z]{1,20}", 1..=20_u8, micros(10_000, 10_000_000), 16..=1400_u16, family());
    prop_oneof![
        http(),
        (address(), option::of(text()), family()).prop_map(|(address, send, family)| CheckKind::Tcp(TcpTarget {
            address,
            send,
            family
        })),
        (address(), prop_oneof![Just(vec![]), Just(vec!["h2".to_owned(), "http/1.1".to_owned()])], family(), tls())
            .prop_map(|(address, alpn, family, tls)| CheckKind::Tls(Box::new(TlsTarget {
                address,
                alpn,
                family,
                tls
            }))),
        dns(),
        icmp.prop_map(|(host, count, spacing, size, family)| {
            CheckKind::Icmp(IcmpTarget { host, count, spacing, size, family })
        }),
        udp.prop_map(|(address, send, family)| {
            let (send, send_hex) = send.map_or_else(|hex| (None, Some(hex)), |text| (Some(text), None));
            CheckKind::Udp(UdpTarget { address, send, send_hex, family })
        }),
        websocket.prop_map(|(url, send, headers, auth, family, tls)| {
            let subprotocols = vec!["chat".to_owned()];
            CheckKind::Websocket(Box::new(WebsocketTarget { url, send, headers, auth, subprotocols, family, tls }))
        }),
        (address(), "[a-zA-Z.]{0,20}", headers(), family(), tls()).prop_map(
            |(address, service, headers, family, tls)| {
                CheckKind::Grpc(Box::new(GrpcTarget {
                    url: format!("https://{address}"),
                    service,
                    headers,
                    family,
                    tls,
                }))
            }
        ),
        mail().prop_map(|target| CheckKind::Smtp(Box::new(target))),
        mail().prop_map(|target| CheckKind::Imap(Box::new(target))),
        (
            "[a-z]{1,10}\\.[a-z]{2,10}",
            option::of(url("https://").prop_filter("no query", |url| !url.contains('?'))),
            tls()
        )
            .prop_map(|(domain, rdap, tls)| CheckKind::Domain(Box::new(DomainTarget { domain, rdap, tls }))),
        heartbeat(),
        flow(),
        page(),
    ]
}

proptest! {
    #![proptest_config(crate::cases(256))]

    #[test]
    fn targets_are_read_as_they_were_written(target in target()) {
        prop_assert_eq!(target.validate(), Ok(()), "{:?}", target);
        let json = target.target_json();
        prop_assert_eq!(CheckKind::from_target_json(target.as_str(), &json), Ok(target.clone()), "{}", json);
        prop_assert_eq!(target.host().is_none(), matches!(target, CheckKind::Heartbeat(_)));
        let all_stand_there = target.secrets().iter().all(|name| json.contains(&format!("secret:{name}")));
        prop_assert!(all_stand_there, "{}", json);
        prop_assert_eq!(json.contains("\"secret:"), !target.secrets().is_empty());
    }

    #[test]
    fn no_text_makes_the_judges_panic(kind in proptest::sample::select(&CheckKind::NAMES[..]), text in "\\PC{0,40}", key in "(url|address|name|host|domain|cron)") {
        let json = serde_json::json!({ key: text, "grace": "1m", "steps": [{"name": "a", "url": text, "capture": {"a": text}, "expect": [text]}] });
        let mut keys = json.as_object().unwrap().clone();
        if kind != "flow" { keys.remove("steps"); }
        if kind != "heartbeat" { keys.remove("grace"); }
        if let Ok(target) = CheckKind::from_target_json(kind, &serde_json::Value::Object(keys).to_string()) {
            prop_assert_eq!(target.validate(), Ok(()));
        }
    }
}
