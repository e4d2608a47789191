//! What is probed, and who else probes: nginx, caddy and blackbox_exporter on free ports of the loopback, with files in a temporary folder.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sitepulse_tests::process::{self, Daemon};
use sitepulse_tests::wait;
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;

use crate::contest::{Contender, Prober};

/// Installs what is missing.
pub(crate) fn install() {
    let script = ". packaging/needs.sh && need_packages nginx:nginx caddy:caddy curl:curl prometheus-blackbox-exporter:prometheus-blackbox-exporter";
    let done = Command::new("bash").args(["-c", script]).current_dir(process::root()).status().expect("bash runs");
    assert!(done.success(), "not all programs are there");
}

/// Whether the kernel lets us send echoes over unprivileged sockets.
pub(crate) fn may_ping() -> bool {
    Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4)).is_ok()
}

/// This program again, in a network of its own where unprivileged echoes are allowed. This machine's settings stay as they are.
pub(crate) fn again_in_own_network(name: &str) {
    // Built before: in there is no network.
    process::binaries();
    let script = "echo '0 0' > /proc/sys/net/ipv4/ping_group_range && ip link set lo up && exec setpriv --pdeathsig TERM \"$0\" \"$1\"";
    let exe = std::env::current_exe().expect("a running bench has a path");
    let done = Command::new("unshare").args(["-rn", "sh", "-c", script]).arg(exe).arg(name).status();
    assert!(
        done.is_ok_and(|done| done.success()),
        "no network of our own (unshare -rn); run as root: sysctl net.ipv4.ping_group_range=\"0 2147483647\""
    );
}

/// Echo requests that this network namespace received.
pub(crate) fn echoes() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").expect("Linux tells");
    let mut lines = text.lines().filter(|line| line.starts_with("Icmp:")).map(str::split_whitespace);
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let found = names.zip(values).find(|(name, _)| *name == "InEchos");
    found.and_then(|(_, value)| value.parse().ok()).expect("Linux counts echoes")
}

/// A folder with a certificate for 127.0.0.1 and the authority behind it.
pub(crate) struct Site {
    dir: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir =
            tempfile::Builder::new().prefix("sitepulse-bench-").tempdir().expect("a temporary folder can be made");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "bench authority");
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).expect("names").signed_by(&key, &authority).expect("a certificate");
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).expect("it can be written");
        write("ca.pem", authority.pem());
        write("chain.pem", leaf.pem());
        write("key.pem", key.serialize_pem());
        Self { dir }
    }

    /// Another folder with the same certificate.
    pub(crate) fn new_like(site: &Self) -> Self {
        let dir =
            tempfile::Builder::new().prefix("sitepulse-bench-").tempdir().expect("a temporary folder can be made");
        for name in ["ca.pem", "chain.pem", "key.pem"] {
            std::fs::copy(site.file(name), dir.path().join(name)).expect("it can be copied");
        }
        Self { dir }
    }

    /// A new folder in it.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::create_dir(&path).expect("a folder can be made");
        path
    }

    /// The authority's file.
    pub(crate) fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, text).expect("it can be written");
        path
    }
}

/// A port of 127.0.0.1 that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

fn wait_for_port(daemon: &mut Daemon, port: u16) {
    wait::until("the server listens", 30, || {
        if let Some(status) = daemon.ended() {
            panic!("it ended with {status}: {}", daemon.log());
        }
        TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())
    });
}

/// One page over HTTP and HTTPS (TLS 1.3).
pub(crate) struct Nginx {
    daemon: Daemon,
    http: u16,
    https: u16,
    status: u16,
}

impl Nginx {
    pub(crate) fn start(site: &Site) -> Self {
        Self::start_before(site, None)
    }

    /// With `backend`, `/slow` is passed on to it.
    pub(crate) fn start_before(site: &Site, backend: Option<SocketAddr>) -> Self {
        let (http, https, status) = (free_port(), free_port(), free_port());
        let slow = backend.map_or_else(String::new, |backend| {
            format!("location /slow {{ proxy_pass http://{backend}; proxy_buffering off; proxy_http_version 1.1; }}")
        });
        let dir = site.dir.path().display();
        let config = format!(
            "daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log stderr warn;
            events {{ worker_connections 8192; }}
            http {{
                access_log off; server_tokens off;
                client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
                uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
                ssl_certificate {dir}/chain.pem; ssl_certificate_key {dir}/key.pem;
                ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;
                server {{
                    listen 127.0.0.1:{http} backlog=4096; listen 127.0.0.1:{https} ssl backlog=4096;
                    default_type text/plain;
                    location / {{ return 200 \"Welcome\\n\"; }}
                    {slow}
                }}
                server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}
            }}"
        );
        let file = site.write("nginx.conf", &config);
        let mut daemon = Daemon::start(
            process::bound("nginx").arg("-e").arg("stderr").arg("-p").arg(site.dir.path()).arg("-c").arg(file),
            &site.file("nginx.log"),
        );
        wait_for_port(&mut daemon, http);
        Self { daemon, http, https, status }
    }

    pub(crate) fn http(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }

    pub(crate) fn https(&self) -> String {
        format!("127.0.0.1:{}", self.https)
    }

    /// Connections accepted so far, those that ask this left out of differences by one.
    pub(crate) fn accepted(&self) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.status)).expect("nginx listens");
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("nginx listens");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("nginx answers");
        let line = text.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1);
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("no figures in {text}; {}", self.daemon.log()))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master takes its workers along.
        self.daemon.stop();
    }
}

/// One page over HTTP/3.
pub(crate) struct Caddy {
    daemon: Daemon,
    port: u16,
    log: PathBuf,
}

impl Caddy {
    pub(crate) fn start(site: &Site) -> Self {
        let port = free_port();
        let (dir, log) = (site.dir.path().display(), site.file("access.log"));
        let config = format!(
            "{{\n admin off\n default_sni 127.0.0.1\n auto_https disable_redirects\n servers {{\n  protocols h1 h2 h3\n }}\n}}\n\
            https://127.0.0.1:{port} {{\n tls {dir}/chain.pem {dir}/key.pem\n log {{\n  output file {}\n }}\n respond \"Welcome\"\n}}\n",
            log.display()
        );
        let file = site.write("Caddyfile", &config);
        let mut daemon = Daemon::start(
            process::bound("caddy")
                .args(["run", "--adapter", "caddyfile", "--config"])
                .arg(file)
                .env("HOME", site.dir.path())
                .env("XDG_DATA_HOME", site.dir.path())
                .env("XDG_CONFIG_HOME", site.dir.path()),
            &site.file("caddy.log"),
        );
        wait_for_port(&mut daemon, port);
        Self { daemon, port, log }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Requests answered so far.
    pub(crate) fn requests(&self) -> u64 {
        let log = std::fs::read(&self.log).unwrap_or_else(|error| panic!("{error}; {}", self.daemon.log()));
        log.iter().filter(|byte| **byte == b'\n').count() as u64
    }
}

/// Debian's blackbox_exporter.
pub(crate) struct Blackbox {
    daemon: Daemon,
    port: u16,
}

impl Blackbox {
    pub(crate) fn start(site: &Site) -> Self {
        let config = format!(
            "modules:
  tcp_connect: {{ prober: tcp, timeout: 5s, tcp: {{ preferred_ip_protocol: ip4 }} }}
  icmp: {{ prober: icmp, timeout: 5s, icmp: {{ preferred_ip_protocol: ip4 }} }}
  http_2xx:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      fail_if_body_not_matches_regexp: [Welcome]
      tls_config: {{ ca_file: {} }}
",
            site.ca().display()
        );
        let file = site.write("blackbox.yml", &config);
        let port = free_port();
        let mut daemon = Daemon::start(
            process::bound("prometheus-blackbox-exporter")
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg("--log.level=error"),
            &site.file("blackbox.log"),
        );
        wait_for_port(&mut daemon, port);
        Self { daemon, port }
    }

    /// It, asked for probes of `target` at a pace.
    pub(crate) fn contender(&self, site: &Site, pace: u32, module: &str, target: &str) -> Contender {
        let target = target.replace(':', "%3A").replace('/', "%2F");
        let path = format!("/probe?module={module}&target={target}");
        let driver = Prober::start(site, pace, &["asked", &format!("127.0.0.1:{}", self.port), &path]);
        Contender::driven("blackbox_exporter", self.daemon.pid(), driver)
    }
}

/// A web server behind nginx that takes its time: 120 ms to the first byte, 80 ms more to the last. Ends with the program.
pub(crate) fn slow_backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut stream = stream;
                let mut request = [0; 4096];
                while stream.read(&mut request)? > 0 {
                    std::thread::sleep(Duration::from_millis(120));
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nWelcome")?;
                    std::thread::sleep(Duration::from_millis(80));
                    stream.write_all(b"Welcome")?;
                }
                Ok(())
            });
        }
    });
    address
}
