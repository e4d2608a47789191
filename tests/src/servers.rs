//! Real servers from Debian's packages, each as a process of its own on free loopback ports, ended when dropped.
//!
//! Nothing here knows a prober: these are nginx, caddy, NSD, Unbound, Dovecot, tinyproxy, OpenSSL, and Python's aiosmtpd, grpcio and
//! websockets. `tests/run` installs them.

pub mod pki;

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use self::pki::{Issued, Leaf, Pki};
use crate::process::{Daemon, root, run};
use crate::wait;

/// How long a server may take to listen, in seconds.
const START_S: u64 = 20;
/// Debian's user and group `nobody`: some servers refuse to be root.
const NOBODY: u32 = 65534;

/// A server process with its folder.
#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    dir: PathBuf,
}

impl Server {
    /// Starts `command` and waits until it takes TCP connections on every one of `ports`.
    fn start(name: &str, dir: &Path, command: &mut Command, ports: &[u16]) -> Self {
        let mut server = Self { daemon: Daemon::start(command, &dir.join(format!("{name}.log"))), dir: dir.into() };
        for port in ports {
            wait::until(&format!("{name} listens on {port}"), START_S, || {
                if let Some(status) = server.daemon.ended() {
                    panic!("{name} ended with {status}: {}", server.daemon.log());
                }
                TcpStream::connect(("127.0.0.1", *port)).map(drop).map_err(|error| (error, server.daemon.log()))
            });
        }
        server
    }

    /// Ends it, with the children it has: asked, because a master that is killed leaves its workers behind.
    pub fn stop(&mut self) {
        if self.daemon.ended().is_none() {
            run(Command::new("kill").arg("-TERM").arg(self.daemon.pid().to_string()));
            wait::until(&format!("the server in {} ends", self.dir.display()), START_S, || {
                self.daemon.ended().ok_or("still running")
            });
        }
    }

    /// All that it wrote.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A TCP port, free now for TCP and UDP. (Somebody else could take it before we do; then the server says so and the test fails.)
pub fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn folder(parent: &Path, name: &str) -> PathBuf {
    let dir = parent.join(name);
    std::fs::create_dir_all(&dir).expect("a folder can be made");
    dir
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file can be written");
}

/// nginx: HTTP/1.1 plain, HTTP/1.1 and HTTP/2 over TLS, client certificates, redirects, logins.
#[derive(Debug)]
pub struct Nginx {
    /// The process.
    pub server: Server,
    /// Plain HTTP.
    pub http: u16,
    /// HTTPS with HTTP/2.
    pub https: u16,
    /// HTTPS that asks for a client certificate.
    pub mutual: u16,
    /// HTTPS with a certificate that expired.
    pub expired: u16,
    /// HTTPS with a certificate that ends in a few days.
    pub expiring: u16,
}

impl Nginx {
    /// Starts it. `/` says Welcome, `/api` JSON, `/feed` XML, `/page` HTML, `/moved` redirects to `/`, `/loop` to itself, `/basic` wants
    /// ana:right, `/gzip` answers compressed, `/login` gives a token and a cookie that `/account` wants, `/rdap/domain/shop.test` is RDAP.
    pub fn start(parent: &Path, pki: &Pki) -> Self {
        let dir = folder(parent, "nginx");
        let good = pki.server("localhost").write(&dir, "good");
        let expired = pki.expired("localhost").write(&dir, "expired");
        let expiring = pki.expiring("localhost", 5).write(&dir, "expiring");
        write(&dir.join("ca.pem"), &pki.ca_pem());
        write(&dir.join("users"), "ana:{PLAIN}right\n");
        let site = folder(&dir, "site");
        write(&site.join("index.html"), "<title>Shop</title><h1>Welcome</h1>");
        write(
            &site.join("page"),
            "<html><body><form><input name=csrf value=tok-77></form><h1 class=hero>Welcome</h1></body></html>",
        );
        write(&site.join("feed"), "<rss><channel><title>News</title><item id=\"7\"/></channel></rss>");
        write(&site.join("api"), r#"{"status":"ok","queue":{"depth":3},"items":["a","b"]}"#);
        write(&site.join("gzip"), &"Welcome ".repeat(2000));
        folder(&site, "rdap/domain");
        write(
            &site.join("rdap/domain/shop.test"),
            r#"{"objectClassName":"domain","ldhName":"shop.test","status":["active"],"events":[{"eventAction":"registration","eventDate":"2001-01-01T00:00:00Z"},{"eventAction":"expiration","eventDate":"2099-01-01T00:00:00Z"}],"entities":[{"objectClassName":"entity","roles":["registrar"],"vcardArray":["vcard",[["version",{},"text","4.0"],["fn",{},"text","Example Registrar"]]]}]}"#,
        );
        let (http, https, mutual) = (free_port(), free_port(), free_port());
        let (expired_port, expiring_port) = (free_port(), free_port());
        let locations = format!(
            "root {site}; default_type text/html;
             location /api {{ default_type application/json; }}
             location /feed {{ default_type application/xml; }}
             location /rdap/ {{ default_type application/rdap+json; }}
             location /gzip {{ gzip on; gzip_types *; gzip_min_length 10; default_type text/plain; }}
             location /moved {{ return 301 /; }}
             location /loop {{ return 302 /loop; }}
             location /metadata {{ return 302 http://169.254.169.254/latest/; }}
             location /broken {{ return 503 'out of order'; }}
             location /basic {{ auth_basic shop; auth_basic_user_file {users}; }}
             location = /login {{ default_type application/json; add_header Set-Cookie 'session=s-1; Path=/'; return 200 '{{\"token\":\"t-42\"}}'; }}
             location = /account {{ if ($who != 't-42s-1') {{ return 403; }} return 200 'Hello Ana'; }}
             location = /echo {{ return 200 '$request_method $http_x_shop $http_authorization'; }}",
            site = site.display(),
            users = dir.join("users").display(),
        );
        let tls = |issued: &Issued| {
            format!("ssl_certificate {}; ssl_certificate_key {};", issued.certificate.display(), issued.key.display())
        };
        let config = format!(
            "daemon off; worker_processes 1; pid {dir}/pid; error_log stderr warn;
             events {{ worker_connections 4096; }}
             http {{
               access_log off; ssl_protocols TLSv1.2 TLSv1.3; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
               map $http_x_token$cookie_session $who {{ default $http_x_token$cookie_session; }}
               server {{ listen 127.0.0.1:{http}; server_name localhost; {locations} }}
               server {{ listen 127.0.0.1:{https} ssl http2; server_name localhost; {good} {locations} }}
               server {{ listen 127.0.0.1:{mutual} ssl; server_name localhost; {good} ssl_client_certificate {dir}/ca.pem; ssl_verify_client on; {locations} }}
               server {{ listen 127.0.0.1:{expired_port} ssl; server_name localhost; {expired} {locations} }}
               server {{ listen 127.0.0.1:{expiring_port} ssl; server_name localhost; {expiring} {locations} }}
             }}",
            dir = dir.display(),
            good = tls(&good),
            expired = tls(&expired),
            expiring = tls(&expiring),
        );
        write(&dir.join("nginx.conf"), &config);
        // The workers change to nobody when the parent is root: what they read must be readable.
        open_up(parent);
        let server = Server::start(
            "nginx",
            &dir,
            Command::new("/usr/sbin/nginx")
                .arg("-c")
                .arg(dir.join("nginx.conf"))
                .arg("-p")
                .arg(&dir)
                .args(["-e", "stderr"]),
            &[http, https, mutual, expired_port, expiring_port],
        );
        Self { server, http, https, mutual, expired: expired_port, expiring: expiring_port }
    }
}

/// Makes a folder and what is in it readable for everybody; nothing in it is worth hiding.
fn open_up(dir: &Path) {
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(dir)).ok();
}

fn is_root() -> bool {
    run(Command::new("id").arg("-u")).ok().trim() == "0"
}

/// caddy: HTTP/3 (quic-go) beside HTTP/2 and HTTP/1.1, on IPv4 and IPv6, as localhost and (with the same certificate)
/// any name of shop.test. `/zstd` and `/br` answer compressed so.
pub fn caddy(parent: &Path, pki: &Pki) -> (Server, u16) {
    let dir = folder(parent, "caddy");
    let good = pki.server("localhost").write(&dir, "good");
    let port = free_port();
    write(&dir.join("br"), &"Welcome ".repeat(2000));
    run(Command::new("brotli").args(["--keep", "--force", "br"]).current_dir(&dir)).ok();
    write(
        &dir.join("Caddyfile"),
        &format!(
            "{{\n admin off\n auto_https off\n storage file_system {dir}/data\n}}\nhttps://localhost:{port}, https://*.shop.test:{port} {{\n bind 127.0.0.1 ::1\n tls {certificate} {key}\n handle /zstd {{\n encode zstd\n respond \"{big}\"\n }}\n handle /br {{\n root * {dir}\n file_server {{\n precompressed br\n }}\n }}\n respond /big \"{big}\"\n respond \"Welcome over {{http.request.proto}}\"\n}}\n",
            dir = dir.display(),
            certificate = good.certificate.display(),
            key = good.key.display(),
            big = "x".repeat(20_000),
        ),
    );
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(dir.join("Caddyfile")).env("HOME", &dir);
    (Server::start("caddy", &dir, &mut command, &[port]), port)
}

/// NSD with the signed zone `shop.test`, and Unbound before it, which validates.
#[derive(Debug)]
pub struct Names {
    /// Answers with authority.
    pub nsd: Server,
    /// Resolves and validates.
    pub unbound: Server,
    /// NSD's port.
    pub authority: u16,
    /// Unbound's port.
    pub resolver: u16,
}

impl Names {
    /// Starts both.
    pub fn start(parent: &Path) -> Self {
        Self::start_with(parent, "", None)
    }

    /// Starts both with more lines of the zone; Unbound also at port 53 of an address of this machine, for those that know no other.
    pub fn start_with(parent: &Path, records: &str, address: Option<&str>) -> Self {
        let dir = folder(parent, "names");
        let interface = address.map_or_else(String::new, |address| format!(" interface: {address}@53\n"));
        let zone = "$ORIGIN shop.test.\n$TTL 300\n@ IN SOA ns.shop.test. hostmaster.shop.test. 7 3600 600 86400 60\n@ IN NS ns.shop.test.\nns IN A 127.0.0.1\n\
             @ IN A 192.0.2.10\n@ IN A 192.0.2.11\n@ IN AAAA 2001:db8::10\n@ IN MX 10 mail.shop.test.\n@ IN TXT \"v=spf1 -all\"\n@ IN CAA 0 issue \"ca.test\"\n\
             www IN CNAME shop.test.\n_sip._tcp IN SRV 1 2 5060 sip.shop.test.\n";
        write(&dir.join("shop.test.zone"), &format!("{zone}{records}"));
        write(
            &dir.join("reverse.zone"),
            "$ORIGIN 2.0.192.in-addr.arpa.\n$TTL 300\n@ IN SOA ns.shop.test. hostmaster.shop.test. 1 3600 600 86400 60\n@ IN NS ns.shop.test.\n10 IN PTR shop.test.\n",
        );
        let keygen =
            run(Command::new("ldns-keygen").args(["-a", "ECDSAP256SHA256", "-k", "shop.test"]).current_dir(&dir));
        let key = keygen.ok().trim().to_owned();
        run(Command::new("ldns-signzone").args(["-n", "shop.test.zone", &key]).current_dir(&dir)).ok();
        let (authority, resolver) = (free_port(), free_port());
        let at = dir.display();
        write(
            &dir.join("nsd.conf"),
            &format!(
                "server:\n ip-address: 127.0.0.1@{authority}\n username: \"\"\n zonesdir: \"{at}\"\n database: \"\"\n pidfile: \"\"\n zonelistfile: \"{at}/zone.list\"\n xfrdfile: \"\"\n xfrdir: \"{at}\"\nremote-control:\n control-enable: no\nzone:\n name: shop.test\n zonefile: shop.test.zone.signed\nzone:\n name: 2.0.192.in-addr.arpa\n zonefile: reverse.zone\n"
            ),
        );
        write(
            &dir.join("unbound.conf"),
            &format!(
                "server:\n interface: 127.0.0.1@{resolver}\n{interface} username: \"\"\n chroot: \"\"\n directory: \"{at}\"\n pidfile: \"\"\n use-syslog: no\n do-not-query-localhost: no\n access-control: 127.0.0.0/8 allow\n trust-anchor-file: \"{at}/{key}.ds\"\n module-config: \"validator iterator\"\n local-zone: \"test.\" nodefault\nremote-control:\n control-enable: no\nstub-zone:\n name: \"shop.test\"\n stub-addr: 127.0.0.1@{authority}\n"
            ),
        );
        let nsd = Server::start(
            "nsd",
            &dir,
            Command::new("/usr/sbin/nsd").args(["-d", "-c"]).arg(dir.join("nsd.conf")),
            &[authority],
        );
        let unbound = Server::start(
            "unbound",
            &dir,
            Command::new("/usr/sbin/unbound").args(["-d", "-c"]).arg(dir.join("unbound.conf")),
            &[resolver],
        );
        Self { nsd, unbound, authority, resolver }
    }
}

/// Dovecot: IMAP with STARTTLS and over TLS; every user's password is `right`.
#[derive(Debug)]
pub struct Imap {
    /// The process.
    pub server: Server,
    /// Plain at first.
    pub starttls: u16,
    /// TLS from the first byte.
    pub tls: u16,
}

impl Imap {
    /// Starts it.
    pub fn start(parent: &Path, pki: &Pki) -> Self {
        let dir = folder(parent, "imap");
        let good = pki.server("localhost").write(&dir, "good");
        let (starttls, tls) = (free_port(), free_port());
        let me = run(Command::new("id").arg("-un")).ok().trim().to_owned();
        let group = run(Command::new("id").arg("-gn")).ok().trim().to_owned();
        let (user, group) = if is_root() { ("nobody".to_owned(), "nogroup".to_owned()) } else { (me, group) };
        let at = dir.display();
        let config = format!(
            "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = /dev/stderr\nprotocols = imap\nlisten = 127.0.0.1\nssl = yes\nssl_cert = <{certificate}\nssl_key = <{key}\ndefault_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\nfirst_valid_uid = 1\nmail_location = maildir:{at}/mail/%u\ndisable_plaintext_auth = yes\nauth_failure_delay = 0\nservice imap-login {{\n chroot =\n inet_listener imap {{\n port = {starttls}\n }}\n inet_listener imaps {{\n port = {tls}\n ssl = yes\n }}\n}}\nservice anvil {{\n chroot =\n unix_listener anvil-auth-penalty {{\n mode = 0\n }}\n}}\nservice stats {{\n chroot =\n}}\npassdb {{\n driver = static\n args = password=right\n}}\nuserdb {{\n driver = static\n args = uid={user} gid={group} home={at}/mail/%u\n}}\n",
            certificate = good.certificate.display(),
            key = good.key.display(),
        );
        write(&dir.join("dovecot.conf"), &config);
        open_up(parent);
        let mut command = if is_root() {
            run(Command::new("chown").args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(&dir)).ok();
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups", "dovecot"]);
            command
        } else {
            Command::new("dovecot")
        };
        command.args(["-F", "-c"]).arg(dir.join("dovecot.conf"));
        Self { server: Server::start("dovecot", &dir, &mut command, &[starttls, tls]), starttls, tls }
    }
}

/// One of the small Python programs of `tests/servers`, told its ports and files.
fn python(parent: &Path, name: &str, ports: &[u16], files: &[&Path]) -> Server {
    let dir = folder(parent, name);
    let mut command = Command::new("/usr/bin/python3");
    command.arg(root().join(format!("tests/servers/{name}.py"))).args(ports.iter().map(u16::to_string)).args(files);
    Server::start(name, &dir, &mut command, ports)
}

/// aiosmtpd: SMTP with STARTTLS (first port) and over TLS (second); ana's password is `right`.
pub fn smtp(parent: &Path, pki: &Pki) -> (Server, u16, u16) {
    let good = pki.server("localhost").write(&folder(parent, "smtp"), "good");
    let (starttls, tls) = (free_port(), free_port());
    (python(parent, "smtp", &[starttls, tls], &[&good.certificate, &good.key]), starttls, tls)
}

/// grpcio: the health protocol, plain (first port) and over TLS (second). `shop` serves, `till` does not.
pub fn grpc(parent: &Path, pki: &Pki) -> (Server, u16, u16) {
    let good = pki.server("localhost").write(&folder(parent, "grpc"), "good");
    let (plain, tls) = (free_port(), free_port());
    (python(parent, "health_server", &[plain, tls], &[&good.certificate, &good.key]), plain, tls)
}

/// websockets: echoes every message; speaks the subprotocol `shop.v1`. Plain and over TLS.
pub fn websocket(parent: &Path, pki: &Pki) -> (Server, u16, u16) {
    let good = pki.server("localhost").write(&folder(parent, "websocket"), "good");
    let (plain, tls) = (free_port(), free_port());
    (python(parent, "websocket_echo", &[plain, tls], &[&good.certificate, &good.key]), plain, tls)
}

/// tinyproxy: an HTTP proxy with CONNECT.
pub fn proxy(parent: &Path) -> (Server, u16) {
    let dir = folder(parent, "proxy");
    let port = free_port();
    write(
        &dir.join("tinyproxy.conf"),
        &format!("Port {port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 20\nAllow 127.0.0.1\nLogLevel Warning\n"),
    );
    let mut command = Command::new("tinyproxy");
    command.args(["-d", "-c"]).arg(dir.join("tinyproxy.conf"));
    (Server::start("tinyproxy", &dir, &mut command, &[port]), port)
}

/// `openssl s_server` with a stapled OCSP answer of `openssl ocsp`: good, or revoked.
pub fn stapling(parent: &Path, pki: &Pki, revoked: bool) -> (Server, u16) {
    let dir = folder(parent, if revoked { "ocsp-revoked" } else { "ocsp-good" });
    let leaf = pki.server("localhost").write(&dir, "leaf");
    write(&dir.join("ca.pem"), &pki.ca_pem());
    write(&dir.join("ca.key"), &pki.ca_key_pem());
    let serial = run(Command::new("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(&leaf.certificate)).ok();
    let serial = serial.trim().trim_start_matches("serial=").to_owned();
    let line = if revoked {
        format!("R\t300101000000Z\t200101000000Z\t{serial}\tunknown\t/CN=localhost\n")
    } else {
        format!("V\t300101000000Z\t\t{serial}\tunknown\t/CN=localhost\n")
    };
    write(&dir.join("index.txt"), &line);
    let made = run(Command::new("openssl")
        .args(["ocsp", "-index", "index.txt", "-rsigner", "ca.pem", "-rkey", "ca.key", "-CA", "ca.pem"])
        .args(["-issuer", "ca.pem", "-cert"])
        .arg(&leaf.certificate)
        .args(["-ndays", "7", "-respout", "staple.der"])
        .current_dir(&dir));
    made.ok();
    let port = free_port();
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-quiet", "-www", "-status_file", "staple.der", "-accept", &format!("127.0.0.1:{port}")])
        .arg("-cert")
        .arg(&leaf.certificate)
        .arg("-key")
        .arg(&leaf.key)
        .current_dir(&dir);
    (Server::start("s_server", &dir, &mut command, &[port]), port)
}

/// `openssl s_server` over TLS 1.2 that wants a client certificate of this authority: without one there is no handshake.
pub fn mutual(parent: &Path, pki: &Pki) -> (Server, u16) {
    let dir = folder(parent, "mutual");
    let leaf = pki.server("localhost").write(&dir, "leaf");
    write(&dir.join("ca.pem"), &pki.ca_pem());
    let port = free_port();
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-quiet", "-www", "-tls1_2", "-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"])
        .args(["-accept", &format!("127.0.0.1:{port}"), "-cert"])
        .arg(&leaf.certificate)
        .arg("-key")
        .arg(&leaf.key)
        .current_dir(&dir);
    (Server::start("s_server", &dir, &mut command, &[port]), port)
}

/// `openssl s_server` that shows a leaf on a port, for a certificate that is to be replaced: stop it, and start another one.
pub fn showing(parent: &Path, name: &str, leaf: &Leaf, port: u16) -> Server {
    let dir = folder(parent, name);
    let leaf = leaf.write(&dir, "leaf");
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}"), "-cert"]);
    command.arg(&leaf.certificate).arg("-key").arg(&leaf.key).current_dir(&dir);
    Server::start("s_server", &dir, &mut command, &[port])
}

/// nginx in front of a console: with the server that docs/operations.md tells, over TLS as `localhost`, and with one that says nothing of whom it asks for, plain.
#[derive(Debug)]
pub struct Proxy {
    /// The process.
    pub server: Server,
    /// As documented.
    pub https: u16,
    /// With nginx's own defaults.
    pub plain: u16,
}

impl Proxy {
    /// Starts it on these ports before the console at `upstream`.
    pub fn start(parent: &Path, pki: &Pki, upstream: &str, (https, plain): (u16, u16)) -> Self {
        let dir = folder(parent, "proxy");
        let issued = pki.server("localhost").write(&dir, "console");
        let page = std::fs::read_to_string(root().join("docs/operations.md")).expect("the page is there");
        let told =
            page.split_once("```nginx\n").and_then(|(_, rest)| rest.split_once("```")).expect("it tells a server").0;
        let instead = |text: String, from: &str, to: &str| {
            assert!(text.contains(from), "{from:?} is not in the documented server: {text}");
            text.replace(from, to)
        };
        let documented = instead(told.to_owned(), "listen 443 ssl", &format!("listen 127.0.0.1:{https} ssl"));
        let documented = instead(documented, "server_name status.example", "server_name localhost");
        let documented = instead(documented, "127.0.0.1:8080", upstream);
        let documented = instead(documented, "/etc/ssl/status.example.pem", &issued.certificate.display().to_string());
        let documented = instead(documented, "/etc/ssl/status.example.key", &issued.key.display().to_string());
        let config = format!(
            "daemon off; worker_processes 1; pid {dir}/pid; error_log stderr warn;
             events {{ worker_connections 512; }}
             http {{
               access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
               {documented}
               server {{ listen 127.0.0.1:{plain}; location / {{ proxy_pass http://{upstream}; }} }}
             }}",
            dir = dir.display(),
        );
        write(&dir.join("nginx.conf"), &config);
        open_up(parent);
        let mut nginx = Command::new("/usr/sbin/nginx");
        let nginx = nginx.arg("-c").arg(dir.join("nginx.conf")).arg("-p").arg(&dir).args(["-e", "stderr"]);
        Self { server: Server::start("nginx", &dir, nginx, &[https, plain]), https, plain }
    }
}
