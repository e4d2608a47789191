//! Other ways to the same servers: IPv6, other codings, a certificate of our own, reverse names; and thresholds.

use super::{Land, Sheet};

pub(super) fn add(sheet: &mut Sheet, land: &Land, ca: &str) {
    let tls = format!("tls = {{ ca = \"\"\"{ca}\"\"\" }}");
    let caddy = land.caddy.1;
    let page = |id: &str, keys: &str, expect: &str, path: &str| {
        (
            id.to_owned(),
            format!("kind = \"http\"\nurl = \"https://localhost:{caddy}{path}\"\n{tls}\n{keys}\nexpect = [{expect}]"),
        )
    };
    for (id, keys) in [
        page("ipv6", "family = \"ipv6\"", "\"body contains 'HTTP/2'\"", "/"),
        page("ipv6-http-3", "family = \"ipv6\"\nhttp = \"3\"", "\"body contains 'HTTP/3'\"", "/"),
        page("both", "family = \"both\"", "\"status == 200\"", "/"),
    ] {
        sheet.add(&id, &keys).phases(&["dns", "tls", "first_byte"]);
    }
    // It is two checks; neither has the id that was written.
    sheet.rows.pop();
    for family in ["ipv4", "ipv6"] {
        sheet.expect(&format!("both-{family}"));
    }
    sheet.add("ipv6-written", &format!("kind = \"tcp\"\naddress = \"[::1]:{caddy}\"")).phases(&["connect"]);
    sheet
        .add("ipv6-tls", &format!("kind = \"tls\"\naddress = \"localhost:{caddy}\"\nfamily = \"ipv6\"\n{tls}"))
        .phases(&["dns", "tls"]);
    sheet
        .add("ipv6-icmp", "kind = \"icmp\"\nhost = \"::1\"\ncount = 2\nspacing = \"20ms\"")
        .facts(&[("received", "2")]);
    sheet
        .add(
            "ipv6-refused",
            &format!("kind = \"http\"\nurl = \"http://localhost:{}/\"\nfamily = \"ipv6\"", land.nginx.http),
        )
        .down("connection_refused", &["connect: [::1]"])
        .failed("connect");

    let (id, keys) = page("zstd", "compression = true", "\"size == 20000\", \"body matches /^x+$/\"", "/zstd");
    sheet.add(&id, &keys).facts(&[("content_encoding", "zstd")]);
    let (id, keys) = page("br", "compression = true", "\"size == 16000\", \"body contains 'Welcome Welcome'\"", "/br");
    sheet.add(&id, &keys).facts(&[("content_encoding", "br")]);

    let expiring = format!("localhost:{}", land.nginx.expiring);
    sheet
        .add("tls-expiring", &format!("kind = \"tls\"\naddress = \"{expiring}\"\n{tls}"))
        .degraded(&["certificate.days"]);
    sheet
        .add(
            "https-expiring",
            &format!(
                "kind = \"http\"\nurl = \"https://{expiring}/\"\n{tls}\nexpect = [\"degraded if certificate.days < 7\"]"
            ),
        )
        .degraded(&["certificate.days"]);
    sheet
        .add(
            "tls-expiring-hard",
            &format!("kind = \"tls\"\naddress = \"{expiring}\"\n{tls}\nexpect = [\"certificate.days >= 7\"]"),
        )
        .down("assertion_failed", &["certificate.days"])
        .failed("tls");

    let icmp = |expect: &str| {
        format!("kind = \"icmp\"\nhost = \"127.0.0.1\"\ncount = 5\nspacing = \"20ms\"\nexpect = [\"{expect}\"]")
    };
    sheet.add("rtt", &icmp("rtt.max < 3s\", \"jitter < 3s")).facts(&[("rtt_avg_us", ""), ("jitter_us", "")]);
    sheet.add("rtt-degraded", &icmp("degraded if rtt >= 0us")).degraded(&["rtt"]);
    sheet.add("jitter-degraded", &icmp("degraded if jitter >= 0us")).degraded(&["jitter"]);
    sheet.add("rtt-down", &icmp("rtt.min > 3s")).down("assertion_failed", &["rtt.min"]).failed("total");

    let reverse = format!("kind = \"dns\"\nrecord = \"PTR\"\nserver = \"127.0.0.1:{}\"", land.names.authority);
    sheet
        .add("dns-ptr", &format!("{reverse}\nname = \"192.0.2.10\"\nexpect = [\"answer == 'shop.test.'\"]"))
        .facts(&[("dns_rcode", "NOERROR")]);
    sheet
        .add("dns-ptr-none", &format!("{reverse}\nname = \"192.0.2.99\""))
        .down("assertion_failed", &["answers"])
        .failed("first_byte");

    let mutual = format!("kind = \"tls\"\naddress = \"localhost:{}\"", land.mutual.1);
    sheet
        .add(
            "tls-mutual",
            &format!(
                "{mutual}\ntls = {{ ca = \"\"\"{ca}\"\"\", client_certificate = \"secret:client-crt\", client_key = \"secret:client-key\" }}\nexpect = [\"tls.version == 'TLSv1.2'\"]"
            ),
        )
        .phases(&["tls"]);
    sheet.add("tls-mutual-without", &format!("{mutual}\n{tls}")).down("tls_failed", &["TLS: "]).failed("tls");
}
