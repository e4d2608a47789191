//! HTTP/3 as DNS offers it: caddy, and HTTPS records of NSD by way of Unbound.
//!
//! An agent asks the machine's own name server, at port 53: this one sees another `/etc/resolv.conf`, which takes a mount namespace and root. Without them the
//! test fails, or with `SITEPULSE_SKIP_ROOT=1` says so and does nothing.

use std::process::Command;

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::{self, run};
use sitepulse_tests::servers::pki::Pki;
use sitepulse_tests::servers::{self, Names, free_port};
use sitepulse_tests::wait;

use super::{Sheet, run_now};
use crate::no_root;

/// An HTTPS record `1 . alpn=h3 port=PORT` as RFC 3597 writes it: not every tool knows the type by name.
fn https(name: &str, at: u16, port: u16) -> String {
    format!(
        "_{at}._https.{name} IN TYPE65 \\# 16 0001 00 0001 0003 026833 0003 0002 {port:04x}\n{name} IN A 127.0.0.1\n"
    )
}

#[test]
fn http3_is_spoken_where_dns_offers_it_and_nowhere_else() {
    let dir = tempfile::tempdir().expect("a folder");
    // Another resolv.conf for one process and what it starts.
    let resolv = dir.path().join("resolv.conf");
    let id = std::process::id();
    let address = format!("127.77.{}.{}", id / 250 % 250 + 1, id % 250 + 1);
    std::fs::write(&resolv, format!("nameserver {address}\n")).expect("a file can be written");
    let with_resolv = |program: &std::ffi::OsStr| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"", "sh"]);
        command.arg(&resolv).arg(program);
        command
    };
    let tried = run(&mut with_resolv("true".as_ref()));
    if tried.code != 0 {
        return no_root(&format!("a mount namespace needs root ({})", tried.stderr.trim()));
    }
    let pki = Pki::new();
    let (_caddy, port) = servers::caddy(dir.path(), &pki);
    let closed = free_port();
    let records = [
        https("quic", port, port),
        // It offers what nobody speaks there.
        https("gone", port, closed),
        "plain IN A 127.0.0.1\n".to_owned(),
    ]
    .concat();
    let _names = Names::start_with(dir.path(), &records, Some(&address));

    let tls = format!("tls = {{ ca = \"\"\"{}\"\"\", server_name = \"localhost\" }}", pki.ca_pem());
    let mut sheet = Sheet::default();
    let keys = |name: &str, http: &str, version: &str| {
        format!(
            "kind = \"http\"\nurl = \"https://{name}.shop.test:{port}/\"\nhttp = \"{http}\"\n{tls}\nexpect = [\"http.version == '{version}'\", \"body contains '{version}'\"]"
        )
    };
    sheet
        .add("offered", &keys("quic", "advertised", "HTTP/3"))
        .facts(&[("http_version", "HTTP/3"), ("http_offer", "its HTTPS record offers h3")])
        .phases(&["dns", "tls", "first_byte"]);
    sheet
        .add("not-offered", &keys("plain", "advertised", "HTTP/2"))
        .facts(&[("http_version", "HTTP/2"), ("http_offer", "no HTTPS record")])
        .phases(&["dns", "connect", "tls", "first_byte"]);
    // A check that does not ask for it is not led there.
    sheet.add("not-asked", &keys("quic", "auto", "HTTP/2"));
    sheet
        .add("offered-in-vain", &keys("gone", "advertised", "HTTP/3"))
        .down("connection_refused", &["(HTTP/3, which its HTTPS record offers)"]);

    let mut cluster = Cluster::start();
    cluster.apply(&sheet.toml).ok();
    cluster.join("one", "lab");
    let mut agent = with_resolv(process::agent().get_program());
    agent.args(["run", "--allow", "loopback", "--data-dir"]).arg(cluster.agent_dir("one"));
    cluster.start_agent_by("one", &mut agent);
    wait::until("the agent has its checks", 30, || {
        let result = run_now(&cluster, "offered");
        if result.is_null() { Err("no result") } else { Ok(()) }
    });
    let wrong: Vec<String> = sheet.rows.iter().filter_map(|row| row.judge(&run_now(&cluster, &row.id)).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    cluster.stop_agent("one");
}
