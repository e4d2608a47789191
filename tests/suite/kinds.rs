//! Every kind of check against real servers, through the whole system: a check file, the collector, an agent, and what it says.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sitepulse_daemon::{clock, instant};
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::run;
use sitepulse_tests::servers::pki::Pki;
use sitepulse_tests::servers::{self, Imap, Names, Nginx, free_port};
use sitepulse_tests::wait;

mod advertised;
mod evidence;
mod ways;

/// What a check is expected to say.
struct Row {
    id: String,
    state: &'static str,
    cause: Option<&'static str>,
    /// Parts of the explanation.
    says: &'static [&'static str],
    /// Facts by name: a text that the fact's JSON contains.
    facts: &'static [(&'static str, &'static str)],
    /// Phases that must have happened.
    phases: &'static [&'static str],
    /// The phase that failed.
    failed: Option<&'static str>,
}

/// A check file, and what is expected of it.
#[derive(Default)]
struct Sheet {
    toml: String,
    rows: Vec<Row>,
}

impl Sheet {
    fn add(&mut self, id: &str, keys: &str) -> &mut Row {
        write!(self.toml, "[[check]]\nid = \"{id}\"\ninterval = \"2s\"\ntimeout = \"4s\"\n{keys}\n\n")
            .expect("a text grows");
        self.expect(id)
    }

    /// What is expected of a check that stands there already.
    fn expect(&mut self, id: &str) -> &mut Row {
        self.rows.push(Row {
            id: id.to_owned(),
            state: "up",
            cause: None,
            says: &[],
            facts: &[],
            phases: &[],
            failed: None,
        });
        self.rows.last_mut().expect("just pushed")
    }
}

impl Row {
    fn down(&mut self, cause: &'static str, says: &'static [&'static str]) -> &mut Self {
        (self.state, self.cause, self.says) = ("down", Some(cause), says);
        self
    }

    /// Degraded by an assertion of its own.
    fn degraded(&mut self, says: &'static [&'static str]) -> &mut Self {
        (self.state, self.cause, self.says) = ("degraded", Some("soft_assertion"), says);
        self
    }

    fn failed(&mut self, phase: &'static str) -> &mut Self {
        self.failed = Some(phase);
        self
    }

    fn facts(&mut self, facts: &'static [(&'static str, &'static str)]) -> &mut Self {
        self.facts = facts;
        self
    }

    fn phases(&mut self, phases: &'static [&'static str]) -> &mut Self {
        self.phases = phases;
        self
    }

    /// Whether `result` (of run-now) is what was expected; else what differs.
    fn judge(&self, result: &Value) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{}: {what}: {result}", self.id));
        if result["state"] != self.state || result["cause"].as_str() != self.cause {
            return wrong(&format!("expected {} {:?}", self.state, self.cause));
        }
        let explanation = result["explanation"].as_str().unwrap_or_default();
        if let Some(part) = self.says.iter().find(|part| !explanation.contains(**part)) {
            return wrong(&format!("the explanation lacks {part:?}"));
        }
        for (name, part) in self.facts {
            if !result["facts"][name].to_string().contains(part) {
                return wrong(&format!("fact {name} lacks {part:?}"));
            }
        }
        if self.failed.is_some() && result["phase"].as_str() != self.failed {
            return wrong(&format!("expected that {:?} failed", self.failed));
        }
        if let Some(phase) = self.phases.iter().find(|phase| result["phases_us"][**phase].as_u64().is_none()) {
            return wrong(&format!("phase {phase} is absent"));
        }
        Ok(())
    }
}

fn secret(cluster: &Cluster, name: &str, value: &str) {
    let file = cluster.dir().join("secret.txt");
    std::fs::write(&file, value).expect("a file can be written");
    cluster.ctl(&["secret", "set", name, "--file", file.to_str().expect("UTF-8")]).ok();
    std::fs::remove_file(file).expect("it is there");
}

/// What one run says, made now by the one agent; null where there was none.
fn run_now(cluster: &Cluster, id: &str) -> Value {
    let answer: Value = serde_json::from_str(&cluster.ctl(&["run-now", id, "--json"]).stdout).unwrap_or_default();
    answer["runs"][0]["result"].clone()
}

fn http(sheet: &mut Sheet, nginx: &Nginx, ca: &str) {
    let (plain, https) = (format!("http://localhost:{}", nginx.http), format!("https://localhost:{}", nginx.https));
    let tls = format!("tls = {{ ca = \"\"\"{ca}\"\"\" }}");
    sheet
        .add("http-1", &format!("kind = \"http\"\nurl = \"{plain}/\"\nhttp = \"1.1\"\nexpect = [\"body contains 'Welcome'\", \"status == 200\"]"))
        .phases(&["dns", "connect", "send", "first_byte", "transfer", "total"]);
    sheet
        .add("https-2", &format!("kind = \"http\"\nurl = \"{https}/\"\nhttp = \"2\"\n{tls}\nexpect = [\"http.version == 'HTTP/2'\", \"certificate.days > 100\"]"))
        .phases(&["connect", "tls", "first_byte"]);
    sheet.add(
        "https-auto",
        &format!("kind = \"http\"\nurl = \"{https}/\"\n{tls}\nexpect = [\"http.version == 'HTTP/2'\"]"),
    );
    sheet.add(
        "https-1",
        &format!(
            "kind = \"http\"\nurl = \"{https}/\"\nhttp = \"1.1\"\n{tls}\nexpect = [\"http.version == 'HTTP/1.1'\"]"
        ),
    );
    sheet
        .add("https-unknown-ca", &format!("kind = \"http\"\nurl = \"{https}/\""))
        .down("certificate_invalid", &["TLS: certificate for localhost", "does not trust"]);
    sheet
        .add("https-expired", &format!("kind = \"http\"\nurl = \"https://localhost:{}/\"\n{tls}", nginx.expired))
        .down("certificate_invalid", &["TLS: certificate for localhost expired", "days ago"]);
    sheet.add(
        "https-insecure",
        &format!("kind = \"http\"\nurl = \"https://localhost:{}/\"\ntls = {{ insecure = true }}", nginx.expired),
    );
    let mutual = format!("https://localhost:{}/", nginx.mutual);
    sheet.add(
        "mutual",
        &format!("kind = \"http\"\nurl = \"{mutual}\"\ntls = {{ ca = \"\"\"{ca}\"\"\", client_certificate = \"secret:client-crt\", client_key = \"secret:client-key\" }}\nexpect = [\"status == 200\"]"),
    );
    sheet
        .add("mutual-without", &format!("kind = \"http\"\nurl = \"{mutual}\"\n{tls}"))
        .down("assertion_failed", &["status 400"]);
    sheet.add("basic", &format!("kind = \"http\"\nurl = \"{plain}/basic\"\nredirects = 2\nauth = {{ basic = {{ user = \"ana\", password = \"secret:ana\" }} }}\nexpect = [\"status in [200, 404]\"]"));
    sheet
        .add("basic-wrong", &format!("kind = \"http\"\nurl = \"{plain}/basic\"\nauth = {{ basic = {{ user = \"ana\", password = \"secret:wrong\" }} }}"))
        .down("assertion_failed", &["status 401"]);
    sheet
        .add("post", &format!("kind = \"http\"\nurl = \"{plain}/echo\"\nmethod = \"PUT\"\nheaders = {{ X-Shop = \"seven\", Authorization = \"secret:bearer\" }}\nbody = \"x=1\"\nexpect = [\"body matches /^PUT seven Bearer t-./\"]"));
    sheet
        .add("moved", &format!("kind = \"http\"\nurl = \"{plain}/moved\"\nredirects = 3\nexpect = [\"redirects == 1\", \"body contains 'Welcome'\", \"url matches /localhost/\"]"))
        .facts(&[("hop", "301"), ("redirects", "1")]);
    sheet
        .add("loop", &format!("kind = \"http\"\nurl = \"{plain}/loop\"\nredirects = 3"))
        .down("redirect_failed", &["redirect"]);
    let metadata = sheet.add("metadata", &format!("kind = \"http\"\nurl = \"{plain}/metadata\"\nredirects = 3"));
    (metadata.state, metadata.cause, metadata.says) = ("unknown", Some("policy_refused"), &["169.254.169.254"]);
    sheet.add(
        "content",
        &format!("kind = \"http\"\nurl = \"{plain}/api\"\nexpect = [\"json '$.queue.depth' < 10\", \"json '$.status' == 'ok'\", \"json '$.items[1]' == 'b'\", \"header 'content-type' contains 'json'\"]"),
    );
    sheet
        .add(
            "content-broken",
            &format!("kind = \"http\"\nurl = \"{plain}/api\"\nexpect = [\"json '$.queue.depth' > 10\"]"),
        )
        .down("assertion_failed", &["$.queue.depth", "3"])
        .failed("transfer");
    sheet.add("feed", &format!("kind = \"http\"\nurl = \"{plain}/feed\"\nexpect = [\"xml '/rss/channel/title' == 'News'\", \"xml '/rss/channel/item/@id' == '7'\"]"));
    sheet.add("page", &format!("kind = \"http\"\nurl = \"{plain}/page\"\nexpect = [\"html 'h1.hero' == 'Welcome'\", \"html 'input[name=csrf]@value' matches /^tok-/\"]"));
    sheet
        .add("gzip", &format!("kind = \"http\"\nurl = \"{plain}/gzip\"\ncompression = true\nexpect = [\"size == 16000\", \"body contains 'Welcome Welcome'\"]"))
        .facts(&[("content_encoding", "gzip")]);
    sheet
        .add(
            "slow-is-degraded",
            &format!("kind = \"http\"\nurl = \"{plain}/\"\nexpect = [\"degraded if latency > 1us\"]"),
        )
        .degraded(&["latency"]);
    sheet
        .add("retried", &format!("kind = \"http\"\nurl = \"{plain}/broken\"\nretries = 2"))
        .down("assertion_failed", &["status 503"])
        .failed("first_byte")
        .facts(&[("attempts", "3"), ("failed_attempt", "503")]);
    sheet
        .add("flow", &format!("kind = \"flow\"\nsteps = [\n {{ name = \"login\", url = \"{plain}/login\", method = \"POST\", expect = [\"status == 200\"], capture = {{ token = \"json '$.token'\" }} }},\n {{ name = \"account\", url = \"{plain}/account\", headers = {{ X-Token = \"{{{{token}}}}\" }}, expect = [\"body contains 'Hello Ana'\"] }},\n]"))
        .facts(&[("step", "login"), ("step", "account")]);
    sheet
        .add("flow-broken", &format!("kind = \"flow\"\nsteps = [\n {{ name = \"login\", url = \"{plain}/login\" }},\n {{ name = \"account\", url = \"{plain}/account\" }},\n]"))
        .down("assertion_failed", &["account", "403"]);
    sheet
        .add("registered", &format!("kind = \"domain\"\ndomain = \"shop.test\"\nrdap = \"{plain}/rdap/\"\nexpect = [\"domain.days > 1000\", \"registrar == 'Example Registrar'\"]"));
    sheet
        .add("unregistered", &format!("kind = \"domain\"\ndomain = \"nobody.test\"\nrdap = \"{plain}/rdap/\""))
        .down("not_registered", &["nobody.test"]);
    sheet.add("tcp", &format!("kind = \"tcp\"\naddress = \"localhost:{}\"", nginx.http)).phases(&["dns", "connect"]);
    sheet.add("tcp-talk", &format!("kind = \"tcp\"\naddress = \"127.0.0.1:{}\"\nsend = \"GET / HTTP/1.0\\r\\n\\r\\n\"\nexpect = [\"body contains 'Welcome'\"]", nginx.http));
    sheet.add("tcp-both", &format!("kind = \"tcp\"\naddress = \"localhost:{}\"\nfamily = \"both\"", nginx.http));
    sheet.rows.pop();
    sheet
        .add("tls", &format!("kind = \"tls\"\naddress = \"localhost:{}\"\nalpn = [\"h2\"]\n{tls}\nexpect = [\"tls.version == 'TLSv1.3'\", \"tls.alpn == 'h2'\", \"certificate.names contains 'localhost'\"]", nginx.https))
        .facts(&[("certificate_issuer", "Test CA"), ("tls_cipher", "AES"), ("chain_length", "1")]);
    sheet
        .add("tls-expired", &format!("kind = \"tls\"\naddress = \"localhost:{}\"\n{tls}", nginx.expired))
        .down("certificate_invalid", &["expired"])
        .facts(&[("certificate_subject", "localhost")]);
    sheet
        .add("tls-none", &format!("kind = \"tls\"\naddress = \"localhost:{}\"\n{tls}", nginx.http))
        .down("tls_failed", &["does not speak TLS"]);
    sheet
        .add("websocket-refused", &format!("kind = \"websocket\"\nurl = \"ws://localhost:{}/\"", nginx.http))
        .down("protocol_error", &["200"]);
}

fn names(sheet: &mut Sheet, names: &Names) {
    let server = format!("server = \"127.0.0.1:{}\"", names.authority);
    for (id, name, record, expect) in [
        ("dns-a", "shop.test", "A", "answers == 2\", \"answer == '192.0.2.10'\", \"ttl >= 60s"),
        ("dns-aaaa", "shop.test", "AAAA", "answer == '2001:db8::10'"),
        ("dns-mx", "shop.test", "MX", "answer == '10 mail.shop.test.'"),
        ("dns-ns", "shop.test", "NS", "answer contains 'ns.shop.test'"),
        ("dns-txt", "shop.test", "TXT", "answer contains 'v=spf1'"),
        ("dns-soa", "shop.test", "SOA", "answer contains 'hostmaster.shop.test'"),
        ("dns-srv", "_sip._tcp.shop.test", "SRV", "answer contains '5060'"),
        ("dns-caa", "shop.test", "CAA", "answer contains 'ca.test'"),
        ("dns-cname", "www.shop.test", "CNAME", "answer contains 'shop.test'"),
    ] {
        sheet
            .add(
                id,
                &format!("kind = \"dns\"\nname = \"{name}\"\nrecord = \"{record}\"\n{server}\nexpect = [\"{expect}\"]"),
            )
            .facts(&[("dns_rcode", "NOERROR")]);
    }
    sheet
        .add("dns-tcp", &format!("kind = \"dns\"\nname = \"shop.test\"\ntransport = \"tcp\"\n{server}"))
        .phases(&["connect"]);
    sheet
        .add("dns-none", &format!("kind = \"dns\"\nname = \"nobody.shop.test\"\n{server}"))
        .down("assertion_failed", &["answers"])
        .facts(&[("dns_rcode", "NXDOMAIN")]);
    sheet.add(
        "dnssec",
        &format!("kind = \"dns\"\nname = \"shop.test\"\ndnssec = true\nserver = \"127.0.0.1:{}\"\nexpect = [\"dns.ad == true\"]", names.resolver),
    );
    // A question for the MX of shop.test, by hand: header, 4 shop 4 test 0, type and class.
    let question = ["123401000001000000000000", "0473686f70", "0474657374", "00", "000f0001"].concat();
    sheet
        .add("udp", &format!("kind = \"udp\"\naddress = \"127.0.0.1:{}\"\nsend_hex = \"{question}\"", names.authority));
}

fn others(sheet: &mut Sheet, land: &Land, ca: &str) {
    let tls = format!("tls = {{ ca = \"\"\"{ca}\"\"\" }}");
    let login = |password: &str| format!("login = {{ user = \"ana\", password = \"secret:{password}\" }}");
    sheet
        .add("http-3", &format!("kind = \"http\"\nurl = \"https://localhost:{}/\"\nhttp = \"3\"\n{tls}\nexpect = [\"body contains 'HTTP/3'\", \"http.version == 'HTTP/3'\"]", land.caddy.1))
        .phases(&["tls", "first_byte"]);
    sheet
        .add(
            "http-3-unknown-ca",
            &format!("kind = \"http\"\nurl = \"https://localhost:{}/\"\nhttp = \"3\"", land.caddy.1),
        )
        .down("certificate_invalid", &["does not trust"]);
    sheet.add("proxied", &format!("kind = \"http\"\nurl = \"http://localhost:{}/\"\nproxy = \"http://127.0.0.1:{}\"\nexpect = [\"body contains 'Welcome'\"]", land.nginx.http, land.proxy.1));
    sheet.add("proxied-tls", &format!("kind = \"http\"\nurl = \"https://localhost:{}/\"\nproxy = \"http://127.0.0.1:{}\"\n{tls}\nexpect = [\"body contains 'Welcome'\"]", land.nginx.https, land.proxy.1));
    sheet
        .add(
            "stapled",
            &format!(
                "kind = \"tls\"\naddress = \"localhost:{}\"\n{tls}\nexpect = [\"ocsp == 'good'\"]",
                land.stapled.1
            ),
        )
        .facts(&[("ocsp", "good")]);
    sheet
        .add("revoked", &format!("kind = \"tls\"\naddress = \"localhost:{}\"\n{tls}", land.revoked.1))
        .down("certificate_invalid", &["revoked"]);
    sheet.add("icmp", "kind = \"icmp\"\nhost = \"127.0.0.1\"\ncount = 3\nspacing = \"20ms\"\nexpect = [\"loss == 0%\", \"rtt < 100ms\"]").facts(&[("sent", "3"), ("received", "3")]);
    sheet
        .add("websocket", &format!("kind = \"websocket\"\nurl = \"ws://localhost:{}/\"\nsubprotocols = [\"shop.v1\"]\nsend = \"ping 7\"\nexpect = [\"body contains 'ping 7'\", \"subprotocol == 'shop.v1'\"]", land.websocket.1));
    sheet.add(
        "websocket-tls",
        &format!(
            "kind = \"websocket\"\nurl = \"wss://localhost:{}/\"\n{tls}\nsend = \"x\"\nexpect = [\"body == 'x'\"]",
            land.websocket.2
        ),
    );
    sheet
        .add("grpc", &format!("kind = \"grpc\"\nurl = \"http://localhost:{}\"\nservice = \"shop\"", land.grpc.1))
        .facts(&[("grpc_status", "SERVING")]);
    sheet.add("grpc-tls", &format!("kind = \"grpc\"\nurl = \"https://localhost:{}\"\n{tls}", land.grpc.2));
    sheet
        .add(
            "grpc-not-serving",
            &format!("kind = \"grpc\"\nurl = \"http://localhost:{}\"\nservice = \"till\"", land.grpc.1),
        )
        .down("not_serving", &["till"]);
    sheet
        .add(
            "grpc-unknown",
            &format!("kind = \"grpc\"\nurl = \"http://localhost:{}\"\nservice = \"cellar\"", land.grpc.1),
        )
        .down("not_serving", &["cellar"]);
    for (kind, starttls, implicit) in [("smtp", land.smtp.1, land.smtp.2), ("imap", land.imap.starttls, land.imap.tls)]
    {
        sheet
            .add(
                &format!("{kind}-starttls"),
                &format!(
                    "kind = \"{kind}\"\naddress = \"localhost:{starttls}\"\nsecurity = \"starttls\"\n{tls}\n{}",
                    login("ana")
                ),
            )
            .phases(&["connect", "first_byte", "tls"]);
        sheet.add(
            &format!("{kind}-tls"),
            &format!("kind = \"{kind}\"\naddress = \"localhost:{implicit}\"\nsecurity = \"tls\"\n{tls}"),
        );
        sheet.add(&format!("{kind}-plain"), &format!("kind = \"{kind}\"\naddress = \"localhost:{starttls}\""));
        sheet
            .add(
                &format!("{kind}-login-refused"),
                &format!(
                    "kind = \"{kind}\"\naddress = \"localhost:{starttls}\"\nsecurity = \"starttls\"\n{tls}\n{}",
                    login("wrong")
                ),
            )
            .down("login_refused", &["login"]);
    }
    let closed = free_port();
    sheet
        .add("tcp-closed", &format!("kind = \"tcp\"\naddress = \"127.0.0.1:{closed}\""))
        .down("connection_refused", &["connect: 127.0.0.1"]);
    sheet
        .add("udp-closed", &format!("kind = \"udp\"\naddress = \"127.0.0.1:{closed}\"\nsend = \"x\""))
        .down("connection_refused", &[]);
    sheet
        .add(
            "udp-silent",
            &format!(
                "kind = \"udp\"\naddress = \"127.0.0.1:{}\"\nsend = \"x\"",
                land.silent.local_addr().expect("bound").port()
            ),
        )
        .down("timeout", &["did not answer"]);
    sheet
        .add("grpc-none", &format!("kind = \"grpc\"\nurl = \"http://localhost:{}\"", land.nginx.http))
        .down("protocol_error", &[]);
    let missing = sheet.add(
        "secret-missing",
        &format!(
            "kind = \"http\"\nurl = \"http://localhost:{}/\"\nauth = {{ bearer = \"secret:nobody-set-this\" }}",
            land.nginx.http
        ),
    );
    (missing.state, missing.cause, missing.says) = ("unknown", Some("secret_missing"), &["nobody-set-this"]);
    let private = sheet.add("private", "kind = \"tcp\"\naddress = \"10.11.12.13:80\"");
    (private.state, private.cause, private.says) = ("unknown", Some("policy_refused"), &["10.11.12.13", "allow"]);
}

/// All servers.
struct Land {
    nginx: Nginx,
    caddy: (servers::Server, u16),
    names: Names,
    imap: Imap,
    smtp: (servers::Server, u16, u16),
    grpc: (servers::Server, u16, u16),
    websocket: (servers::Server, u16, u16),
    mutual: (servers::Server, u16),
    proxy: (servers::Server, u16),
    stapled: (servers::Server, u16),
    revoked: (servers::Server, u16),
    /// Takes datagrams and never answers.
    silent: UdpSocket,
}

impl Land {
    fn start(dir: &Path, pki: &Pki) -> Self {
        Self {
            nginx: Nginx::start(dir, pki),
            caddy: servers::caddy(dir, pki),
            names: Names::start(dir),
            imap: Imap::start(dir, pki),
            smtp: servers::smtp(dir, pki),
            grpc: servers::grpc(dir, pki),
            websocket: servers::websocket(dir, pki),
            mutual: servers::mutual(dir, pki),
            proxy: servers::proxy(dir),
            stapled: servers::stapling(dir, pki, false),
            revoked: servers::stapling(dir, pki, true),
            silent: UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port"),
        }
    }
}

#[test]
fn every_kind_says_what_real_servers_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let pki = Pki::new();
    let mut land = Land::start(dir.path(), &pki);
    let ca = pki.ca_pem();
    let mut sheet = Sheet::default();
    http(&mut sheet, &land.nginx, &ca);
    names(&mut sheet, &land.names);
    others(&mut sheet, &land, &ca);
    ways::add(&mut sheet, &land, &ca);

    let mut cluster = Cluster::start();
    let client = pki.server("agent");
    for (name, value) in [
        ("ana", "right"),
        ("wrong", "guess"),
        ("bearer", "Bearer t-1"),
        ("client-crt", client.certificate_pem()),
        ("client-key", client.key_pem()),
    ] {
        secret(&cluster, name, value);
    }
    cluster.apply(&sheet.toml).ok();
    cluster.add_agent("one", "lab");

    // What a run says, in every detail.
    wait::until("the agent has its checks and secrets", 30, || {
        let result = run_now(&cluster, "basic");
        if result["state"] == "up" { Ok(()) } else { Err(result.to_string()) }
    });
    let wrong: Vec<String> = sheet.rows.iter().filter_map(|row| row.judge(&run_now(&cluster, &row.id)).err()).collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), sheet.rows.len(), wrong.join("\n"));

    // The scheduled runs arrive at the same verdicts.
    for row in sheet.rows.iter().filter(|row| row.state != "unknown") {
        cluster.wait_for_verdict(&row.id, row.state, 60);
    }
    let both = |family: &str| cluster.check(&format!("tcp-both-{family}"))["verdict"].clone();
    assert_eq!(both("ipv4"), "up");
    assert_eq!(both("ipv6"), "down", "nginx listens on IPv4 alone");

    land.nginx.server.stop();
    let gone = cluster.wait_for_verdict("http-1", "down", 30);
    assert_eq!(gone["verdict"], "down");
    let result = run_now(&cluster, "http-1");
    assert_eq!(
        (&result["cause"], &result["phase"]),
        (&Value::from("connection_refused"), &Value::from("connect")),
        "{result}"
    );
    assert_eq!(result["address"], format!("127.0.0.1:{}", land.nginx.http), "{result}");

    // No secret stands anywhere in the clear: databases, spools, logs.
    let key_line = client.key_pem().lines().nth(1).expect("a key has a body").to_owned();
    for secret in ["Bearer t-1", key_line.as_str()] {
        let found = run(Command::new("grep").args(["-rlF", "--binary-files=text", "-e", secret]).arg(cluster.dir()));
        assert_eq!(found.stdout, "", "{secret:?} stands in the clear");
    }
}

#[test]
fn a_job_that_calls_is_up_and_one_that_fails_or_stays_away_is_down() {
    let mut cluster = Cluster::start();
    cluster
        .apply("[[check]]\nid = \"backup\"\nkind = \"heartbeat\"\nperiod = \"1h\"\ngrace = \"5m\"\ninterval = \"1s\"\n\n[[check]]\nid = \"late\"\nkind = \"heartbeat\"\nperiod = \"1s\"\ngrace = \"1s\"\ninterval = \"1s\"\n")
        .ok();
    let url = |id: &str| cluster.ctl(&["heartbeat", "url", id]).ok().trim().to_owned();
    let (backup, late) = (url("backup"), url("late"));
    let call = |url: String| run(Command::new("curl").args(["-fsS", "-m", "5", "--retry", "0", &url])).ok();
    call(backup.clone());
    call(late);
    cluster.wait_for_verdict("backup", "up", 20);
    cluster.wait_for_verdict("late", "down", 20);
    call(format!("{backup}/start"));
    call(format!("{backup}/fail"));
    cluster.wait_for_verdict("backup", "down", 20);
    call(format!("{backup}/0"));
    cluster.wait_for_verdict("backup", "up", 20);
    // What was called is durable: a killed collector knows it again.
    cluster.kill_collector();
    cluster.start_collector();
    cluster.wait_for_verdict("backup", "up", 20);
    let gone = run(Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", &format!("{}x", backup)]));
    assert_eq!(gone.stdout, "404");
    wait::until("the killed time is missed, not down", 20, || {
        let sla = cluster.sla("backup", &[]);
        if sla["availability"].is_number() { Ok(()) } else { Err(sla.to_string()) }
    });
}

#[test]
fn a_log_line_is_no_verdict() {
    let mut cluster = Cluster::start();
    cluster
        .apply("[[check]]\nid = \"job\"\nkind = \"heartbeat\"\nperiod = \"1h\"\ngrace = \"5m\"\ninterval = \"1s\"\n")
        .ok();
    let url = cluster.ctl(&["heartbeat", "url", "job"]).ok().trim().to_owned();
    let call = |how: &str| {
        run(Command::new("curl").args(["-fsS", "-m", "5", "-d", "half way", &format!("{url}{how}")])).ok();
    };
    // Judged again after now.
    let judged = |cluster: &Cluster| {
        let now = instant::format(clock::now());
        wait::until("the job is judged again", 30, || {
            let check = cluster.check("job");
            let last = check["agents"][0]["last_scheduled"].as_str().unwrap_or_default().to_owned();
            if last > now { Ok(check) } else { Err(check.to_string()) }
        })
    };
    for (how, verdict) in [("", "up"), ("/fail", "down")] {
        call(how);
        cluster.wait_for_verdict("job", verdict, 30);
        call("/log");
        assert_eq!(judged(&cluster)["verdict"], verdict);
    }
    cluster.stop_collector();
}

#[test]
fn a_job_is_due_by_the_clock_of_its_zone() {
    let cluster = Cluster::start();
    // Some time in the next minute but one, as Tokyo's clocks show it.
    let at = instant::format(clock::now().plus_us(70_000_000));
    let part = |range: std::ops::Range<usize>| at[range].parse::<u8>().expect("instants are RFC 3339");
    let (hour, minute) = ((part(11..13) + 9) % 24, part(14..16));
    let check = |id: &str, zone: &str| {
        format!(
            "[[check]]\nid = \"{id}\"\nkind = \"heartbeat\"\ncron = \"{minute} {hour} * * *\"\nzone = \"{zone}\"\ngrace = \"1s\"\ninterval = \"1s\"\n\n"
        )
    };
    cluster.apply(&(check("tokyo", "Asia/Tokyo") + &check("utc", "UTC"))).ok();
    for id in ["tokyo", "utc"] {
        let url = cluster.ctl(&["heartbeat", "url", id]).ok().trim().to_owned();
        run(Command::new("curl").args(["-fsS", "-m", "5", &url])).ok();
    }
    cluster.wait_for_verdict("tokyo", "up", 30);
    cluster.wait_for_verdict("utc", "up", 30);
    // Nobody calls when it is due in Tokyo; in UTC it is due nine hours later.
    cluster.wait_for_verdict("tokyo", "down", 150);
    assert_eq!(cluster.check("utc")["verdict"], "up");
}
