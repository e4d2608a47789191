//! The corpus: targets that try to reach what the policy denies, made from a few tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::de::DeserializeOwned;
use serde_json::json;
use sitepulse_model::check::CheckKind;

use crate::ground::{PUBLIC, alias, chain, rebinding, redirect, service, set};

/// How a run of a case must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Refused by the policy.
    Refused,
    /// Refused by the policy, or as neither an address nor a name.
    Nowhere,
    /// Anyhow, as long as nothing but the public address was dialled.
    Anyhow,
    /// Up, having dialled the public address and nothing else.
    Public,
    /// Anyhow, having dialled the public address and nothing else.
    Led,
}

/// A target, and how it must end.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) kind: CheckKind,
    pub(crate) end: End,
}

/// Addresses that nobody may dial, in canonical spellings.
const DENIED: [&str; 37] = [
    "127.0.0.1",
    "127.0.0.3",
    "127.1.2.3",
    "127.255.255.254",
    "0.0.0.0",
    "0.0.0.1",
    "10.0.0.7",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "100.64.0.1",
    "100.127.255.254",
    "169.254.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "0:0:0:0:0:0:0:1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd12:3456::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "ff02::1",
    "100::1",
    "2001:db8::1",
];

/// What is hidden inside IPv6 addresses.
const HIDDEN: [Ipv4Addr; 4] =
    [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 0, 0, 7), Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::UNSPECIFIED];

/// What some programs take for 127.0.0.1, and is none of its canonical spellings.
const ODD_LOOPBACK: [&str; 32] = [
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0X7F000001",
    "0x7f.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "0177.0.0.01",
    "0177.0000.0000.0001",
    "127.1",
    "127.0.1",
    "127.0x1",
    "0177.1",
    "0x7f.1",
    "127.0.0.01",
    "127.0.0.0x1",
    "127.00.00.1",
    "127.0.0.1.",
    "2130706433.",
    "127.1.",
    "0x7f.1.",
    "00000000177.0.0.1",
    "0",
    "0.",
    "0x0",
    "00",
    "0.0",
    "0.0.0",
    "017700000001.",
    "127.65536",
    "0x7f.0x1",
    "0177.0x1",
];

/// Hosts that only URLs can spell. `PORT` is the canary's.
const ODD_URLS: [&str; 44] = [
    "http://good@127.0.0.1:PORT/",
    "http://good:pw@127.0.0.1:PORT/",
    "http://good.test@127.0.0.1:PORT/",
    "http://good.test:80@127.0.0.1:PORT/",
    "http://a@b@127.0.0.1:PORT/",
    "http://good.test%40127.0.0.1:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://127%2e0%2e0%2e1:PORT/",
    "http://127.0.0.1%2f:PORT/",
    "http://127.0.0.1%00:PORT/",
    "http://127.0.0.1%00.good.test:PORT/",
    "http://%6c%6f%63%61%6c%68%6f%73%74:PORT/",
    "http://loc%61lhost:PORT/",
    "http://127。0。0。1:PORT/",
    "http://127．0．0．1:PORT/",
    "http://127｡0｡0｡1:PORT/",
    "http://１２７.0.0.1:PORT/",
    "http://①②⑦.⓪.⓪.①:PORT/",
    "http://①27.0.0.1:PORT/",
    "http://𝟏𝟐𝟕.0.0.1:PORT/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/",
    "http://ｌｏｃａｌｈｏｓｔ:PORT/",
    "http://127.0.0.1\t:PORT/",
    "http://127.0.\t0.1:PORT/",
    "http://\t127.0.0.1:PORT/",
    "http://127.0.0.1\n:PORT/",
    " http://127.0.0.1:PORT/",
    "http:127.0.0.1:PORT/",
    "http:/127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "http:\\\\127.0.0.1:PORT\\",
    "http://127.0.0.1:PORT\\@good.test/",
    "http://127.0.0.1:PORT#@good.test/",
    "http://127.0.0.1:PORT?@good.test/",
    "HTTP://127.0.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://[::1%25lo]:PORT/",
    "http://[fe80::1%25eth0]:PORT/",
    "http://[::1%lo]:PORT/",
    "http://[::1].:PORT/",
    "http://[127.0.0.1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/",
];

/// Names of this machine that need no name server.
const LOCAL_NAMES: [&str; 7] = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "LocalHost.",
    "a.localhost",
    "127.0.0.1.localhost",
    "good.test.localhost.",
];

/// Every address inside which `inner` hides.
pub(crate) fn embeddings(inner: Ipv4Addr) -> Vec<String> {
    let bits = inner.to_bits();
    let [a, b] = [(bits >> 16) as u16, bits as u16];
    let addresses = [
        [0, 0, 0, 0, 0, 0xffff, a, b],
        [0, 0, 0, 0, 0xffff, 0, a, b],
        [0x64, 0xff9b, 0, 0, 0, 0, a, b],
        [0x64, 0xff9b, 1, a, b >> 8, b << 8, 0, 0],
        [0x64, 0xff9b, 1, a >> 8, (a << 8) >> 8, b, 0, 0],
        [0x64, 0xff9b, 1, 0, a >> 8, (a << 8) | (b >> 8), b << 8, 0],
        [0x64, 0xff9b, 1, 0, 0, 0, a, b],
        [0x2002, a, b, 0, 0, 0, 0, 1],
        [0x2002, a, b, 1, 0, 0, a, b],
        [0x2001, 0, a, b, 0, 0, !0x808, !0x808],
        [0x2001, 0, 0x808, 0x808, 0, 0, !a, !b],
        [0x2606, 0x4700, 0, 1, 0, 0x5efe, a, b],
        [0x2606, 0x4700, 0, 1, 0x200, 0x5efe, a, b],
        [0xfe80, 0, 0, 0, 0, 0x5efe, a, b],
    ];
    let mut all: Vec<String> = addresses.map(|segments| Ipv6Addr::from(segments).to_string()).to_vec();
    all.push(format!("::ffff:{a:x}:{b:x}"));
    all.push(format!("0:0:0:0:0:FFFF:{inner}"));
    // ::0.0.0.0 is :: and has its own place.
    if bits != 0 {
        all.push(format!("::{inner}"));
    }
    all
}

fn url(scheme: &str, host: &str, port: u16) -> String {
    if host.contains(':') { format!("{scheme}://[{host}]:{port}/") } else { format!("{scheme}://{host}:{port}/") }
}

fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A target as it is written, unjudged: what the collector refuses at the door must come to nothing at the agent, too.
fn made(kind: &str, target: &serde_json::Value) -> CheckKind {
    fn read<T: DeserializeOwned>(target: &serde_json::Value) -> T {
        serde_json::from_value(target.clone()).unwrap()
    }
    match kind {
        "http" => CheckKind::Http(Box::new(read(target))),
        "tcp" => CheckKind::Tcp(read(target)),
        "udp" => CheckKind::Udp(read(target)),
        "tls" => CheckKind::Tls(Box::new(read(target))),
        "dns" => CheckKind::Dns(read(target)),
        "icmp" => CheckKind::Icmp(read(target)),
        "websocket" => CheckKind::Websocket(Box::new(read(target))),
        "grpc" => CheckKind::Grpc(Box::new(read(target))),
        "smtp" => CheckKind::Smtp(Box::new(read(target))),
        "imap" => CheckKind::Imap(Box::new(read(target))),
        "domain" => CheckKind::Domain(Box::new(read(target))),
        "flow" => CheckKind::Flow(Box::new(read(target))),
        other => panic!("no kind {other}"),
    }
}

pub(crate) fn http(url: &str) -> CheckKind {
    made("http", &json!({ "url": url, "redirects": 10 }))
}

/// A page over HTTP/3 where DNS offers it.
pub(crate) fn advertised(host: &str, port: u16) -> CheckKind {
    made("http", &json!({ "url": url("https", host, port), "http": "advertised", "redirects": 10 }))
}

/// One target of every kind that dials `host`.
pub(crate) fn every_kind(host: &str, port: u16) -> Vec<CheckKind> {
    let address = host_port(host, port);
    let rdap = url("https", host, port);
    let grpc = url("http", host, port);
    vec![
        http(&url("http", host, port)),
        made("http", &json!({ "url": url("https", host, port), "http": "3" })),
        made("http", &json!({ "url": format!("http://good.test:{port}/"), "proxy": grpc.trim_end_matches('/') })),
        made("tcp", &json!({ "address": address })),
        made("udp", &json!({ "address": address, "send": "hello" })),
        made("tls", &json!({ "address": address })),
        made("icmp", &json!({ "host": host, "count": 1 })),
        made("dns", &json!({ "name": "good.test", "server": address })),
        made("dns", &json!({ "name": "good.test", "server": address, "transport": "tcp" })),
        made("websocket", &json!({ "url": url("ws", host, port) })),
        made("grpc", &json!({ "url": grpc.trim_end_matches('/') })),
        made("smtp", &json!({ "address": address })),
        made("imap", &json!({ "address": address, "security": "tls" })),
        made("domain", &json!({ "domain": "good.test", "rdap": rdap })),
        made("flow", &json!({ "steps": [{ "name": "first", "url": url("http", host, port) }] })),
    ]
}

/// The kinds that differ in how they read a host: a URL's, `host:port`, a host alone.
fn some_kinds(host: &str, port: u16) -> Vec<CheckKind> {
    let kinds = ["http", "tcp", "udp", "tls", "icmp", "websocket", "dns", "smtp"];
    let mut all = every_kind(host, port);
    all.retain(|kind| kinds.contains(&kind.as_str()));
    all
}

/// The whole corpus, against a canary at `port`.
pub(crate) fn cases(port: u16) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |kinds: Vec<CheckKind>, end| cases.extend(kinds.into_iter().map(|kind| Case { kind, end }));
    let public = IpAddr::V4(PUBLIC);
    let canary = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let at_public = |path: &str| format!("http://{PUBLIC}:{port}{path}");

    // Addresses, as they are and inside others.
    let hidden: Vec<String> = HIDDEN.into_iter().flat_map(embeddings).collect();
    for host in DENIED.iter().copied().chain(hidden.iter().map(String::as_str)) {
        add(every_kind(host, port), End::Refused);
        // The same behind a name.
        add(some_kinds(&set(&[host.parse().unwrap()]), port), End::Refused);
    }
    for host in ODD_LOOPBACK {
        add(some_kinds(host, port), End::Nowhere);
    }
    for odd in ODD_URLS {
        let odd = odd.replace("PORT", &port.to_string());
        add(vec![http(&odd), made("websocket", &json!({ "url": odd.replacen("http", "ws", 1) }))], End::Nowhere);
        // Seen from the public server some of these are paths of its own, and one breaks its answer.
        let is_odd_here = odd.starts_with("http:1") || odd.starts_with("http:/1") || odd.contains('\n');
        let end = if is_odd_here { End::Anyhow } else { End::Nowhere };
        add(vec![http(&at_public(&redirect(302, odd.trim())))], end);
    }
    for scope in ["fe80::1%1", "fe80::1%eth0", "::1%lo", "::1%25lo", "::1%0", "::ffff:127.0.0.1%1"] {
        let address = host_port(scope, port);
        let kinds = ["tcp", "udp", "tls", "smtp", "imap"].map(|kind| made(kind, &json!({ "address": address })));
        add(kinds.to_vec(), End::Nowhere);
        add(vec![made("dns", &json!({ "name": "good.test", "server": address }))], End::Nowhere);
        add(vec![made("icmp", &json!({ "host": scope }))], End::Nowhere);
        add(vec![made("tcp", &json!({ "address": format!("{scope}:{port}") }))], End::Nowhere);
    }
    for name in LOCAL_NAMES {
        add(every_kind(name, port), End::Refused);
    }

    // Names: aliases, spellings, sets with something good in them, answers that change.
    for links in [1, 2, 5, 15] {
        add(some_kinds(&chain(links, canary), port), End::Refused);
    }
    add(some_kinds(&set(&[canary]).to_uppercase(), port), End::Refused);
    add(some_kinds(&format!("{}.", set(&[canary])), port), End::Refused);
    let v6: IpAddr = Ipv6Addr::LOCALHOST.into();
    let mapped: IpAddr = Ipv4Addr::LOCALHOST.to_ipv6_mapped().into();
    for bad in [vec![canary, "10.0.0.7".parse().unwrap()], vec![v6, mapped], vec![canary, v6], vec![v6, canary]] {
        add(some_kinds(&set(&bad), port), End::Refused);
    }
    let metadata: IpAddr = "169.254.169.254".parse().unwrap();
    for mixed in [
        vec![public, canary],
        vec![canary, public],
        vec![canary, public, metadata],
        vec![metadata, canary, public],
        vec![public, metadata, canary],
        vec![canary, canary, public],
        vec![v6, public],
        vec![public, v6],
        vec![mapped, canary, public],
    ] {
        add(vec![http(&url("http", &set(&mixed), port))], End::Public);
        add(vec![http(&at_public(&redirect(301, &url("http", &set(&mixed), port))))], End::Public);
    }
    for (tag, bad) in [("one", canary), ("two", metadata), ("three", "10.0.0.7".parse().unwrap())] {
        let name = rebinding(tag, &[public, bad]);
        // Asked once, the name is good; asked again, it is not. A prober that looked it up twice in one run would dial the second.
        add(vec![http(&url("http", &name, port))], End::Public);
        add(
            vec![http(&url("http", &name, port)), made("tcp", &json!({ "address": host_port(&name, port) }))],
            End::Refused,
        );
        // The first hop is good, the second goes to the same name and is not.
        let hop = rebinding(&format!("hop-{tag}"), &[public, bad]);
        let path = redirect(302, &url("http", &hop, port));
        add(vec![http(&format!("http://{hop}:{port}{path}"))], End::Refused);
        let back = rebinding(&format!("back-{tag}"), &[bad, public]);
        add(vec![http(&url("http", &back, port))], End::Refused);
    }

    // HTTPS records: of a public host, they lead elsewhere. Names in records are names: none of them is an address.
    let nat64: IpAddr = "64:ff9b::7f00:1".parse().unwrap();
    let private: IpAddr = "10.0.0.7".parse().unwrap();
    for inside in [canary, v6, mapped, private, metadata, nat64] {
        add(vec![advertised(&service(&set(&[inside]), port), port)], End::Refused);
        add(vec![advertised(&alias(&service(&set(&[inside]), port)), port)], End::Refused);
    }
    for name in LOCAL_NAMES {
        add(vec![advertised(&service(name, port), port)], End::Refused);
    }
    for odd in ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0"] {
        add(vec![advertised(&service(odd, port), port)], End::Nowhere);
    }
    add(vec![advertised(&service(&chain(3, canary), port), port)], End::Refused);
    add(vec![advertised(&service(&rebinding("service", &[canary, public]), port), port)], End::Refused);
    for zero in [set(&[public]), set(&[canary])] {
        add(vec![advertised(&service(&zero, 0), port)], End::Refused);
    }
    for mixed in [vec![canary, public], vec![metadata, private, public]] {
        add(vec![advertised(&service(&set(&mixed), port), port)], End::Led);
    }

    // Redirects.
    let canary_urls = [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "10.0.0.7",
        "169.254.169.254",
        "64:ff9b::7f00:1",
        "localhost",
        "127.1",
        "2130706433",
    ];
    for status in [301, 302, 303, 307, 308] {
        for host in canary_urls {
            add(vec![http(&at_public(&redirect(status, &url("http", host, port))))], End::Refused);
            let twice = at_public(&redirect(302, &url("https", host, port)));
            add(vec![http(&at_public(&redirect(status, &twice)))], End::Refused);
        }
        let relative = format!("//127.0.0.1:{port}/");
        let with_user = format!("http://good.test@127.0.0.1:{port}/");
        let by_name = url("http", &set(&[canary]), port);
        for location in [relative, with_user, by_name] {
            add(vec![http(&at_public(&redirect(status, &location)))], End::Refused);
        }
    }
    for elsewhere in
        ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:6379/_INFO", "unix:/run/docker.sock"]
    {
        add(vec![http(&at_public(&redirect(302, elsewhere))), http(elsewhere)], End::Nowhere);
    }
    add(vec![http("http://127.0.0.2:0/"), http("http://1.1.1.1:0/")], End::Nowhere);
    cases
}
