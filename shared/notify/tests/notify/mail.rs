//! Mail to a real server (Debian's python3-aiosmtpd) and to hostile ones.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use sitepulse_model::incident::NoticeEvent;
use sitepulse_notify::egress::Egress;
use sitepulse_notify::{Sender, Sent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::golden::golden;
use super::{DEADLINE, block_on, channel, notice, provider, send, send_by};

/// Tells its port, then each mail as a line of JSON. Takes `ana` with `hunter2`, and nobody named `gone` or `later`.
const SERVER: &str = r#"
import asyncio, json, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return "550 5.1.1 no such user"
        if address.startswith("later"):
            return "451 4.7.1 greylisted"
        envelope.rcpt_tos.append(address)
        return "250 ok"
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None,
            "user": session.auth_data, "mail": envelope.content.decode()}), flush=True)
        return "250 2.0.0 queued as 4F7K2"

def check(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"ana", b"hunter2")
    return AuthResult(success=good, handled=False, auth_data="ana" if good else None)

mode, folder = sys.argv[1], sys.argv[2]
context = None
if mode != "plain":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
async def main():
    loop = asyncio.get_running_loop()
    def make():
        options = {"auth_required": mode != "plain", "authenticator": check, "auth_require_tls": mode == "starttls", "decode_data": False}
        if mode == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        return SMTP(Handler(), hostname="mail.example", **options)
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if mode == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

struct Server {
    child: Child,
    said: BufReader<ChildStdout>,
    port: u16,
    sender: Sender,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key, authority) = provider::certificate();
        write_pem(&folder.path().join("cert.pem"), "CERTIFICATE", &chain[0]);
        write_pem(&folder.path().join("key.pem"), "PRIVATE KEY", key.secret_der());
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, authority).unwrap();
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", SERVER, mode, folder.path().to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        said.read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("this test needs a mail server: apt-get install python3-aiosmtpd");
        Self { child, said, port, sender: Sender::new(Egress::new(None, Some(&ca)).unwrap()), _folder: folder }
    }

    fn send(&self, settings: Value, event: NoticeEvent) -> Sent {
        let mut all = json!({"server": format!("localhost:{}", self.port), "from": "SitePulse <pulse@example.com>",
            "to": ["Ana <ana@example.com>", "ops@example.com"]});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let secrets = [("smtp", "hunter2"), ("wrong", "hunter3")];
        block_on(send_by(&self.sender, &channel("email", all), &secrets, &notice(event), DEADLINE))
    }

    fn mail(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn write_pem(path: &Path, label: &str, der: &[u8]) {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    std::fs::write(path, format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))).unwrap();
}

/// A mail without what changes from run to run.
fn shown(mail: &str) -> String {
    let boundary = mail.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let text = mail.replace(boundary, "BOUNDARY").replace("\r\n", "\n");
    text.lines().map(|line| if line.starts_with("Date: ") { "Date: ..." } else { line }).collect::<Vec<_>>().join("\n")
        + "\n"
}

#[test]
fn mail_goes_by_starttls_with_a_password() {
    let mut server = Server::start("starttls");
    let secure = json!({"user": "ana", "password": "secret:smtp"});
    let sent = server.send(secure, NoticeEvent::Opened);
    assert_eq!(sent, Sent::Delivered { note: "250 2.0.0 queued as 4F7K2".into() });
    let mail = server.mail();
    assert_eq!(mail["to"], json!(["ana@example.com", "ops@example.com"]));
    assert_eq!(
        (&mail["from"], &mail["tls"], &mail["user"]),
        (&json!("pulse@example.com"), &json!(true), &json!("ana"))
    );
    golden("email.en.txt", &shown(mail["mail"].as_str().unwrap()));
    let sent = server.send(json!({"user": "ana", "password": "secret:smtp", "language": "fr"}), NoticeEvent::Resolved);
    assert!(matches!(sent, Sent::Delivered { .. }), "{sent:?}");
    golden("email.fr.txt", &shown(server.mail()["mail"].as_str().unwrap()));
    let sent = server.send(json!({"user": "ana", "password": "secret:wrong"}), NoticeEvent::Opened);
    let Sent::Denied { why } = sent else { panic!("{sent:?}") };
    assert!(why.contains("signing in") && why.contains("535") && !why.contains("hunter3"), "{why}");
    // A server whose certificate nobody vouches for gets no password.
    server.sender = Sender::default();
    let sent = server.send(json!({"user": "ana", "password": "secret:smtp"}), NoticeEvent::Opened);
    assert!(matches!(&sent, Sent::Again { why, .. } if why.contains("STARTTLS")), "{sent:?}");
}

#[test]
fn mail_goes_over_tls_from_the_first_byte() {
    let mut server = Server::start("tls");
    let sent = server.send(json!({"security": "tls", "user": "ana", "password": "secret:smtp"}), NoticeEvent::Test);
    assert!(matches!(sent, Sent::Delivered { .. }), "{sent:?}");
    assert!(server.mail()["mail"].as_str().unwrap().contains("Subject: Test from SitePulse\r\n"));
}

#[test]
fn one_receiver_that_is_gone_keeps_nobody_asleep() {
    let mut server = Server::start("plain");
    let to = |to: &[&str]| json!({"security": "plain", "to": to});
    let sent = server.send(to(&["gone@example.com", "ana@example.com", "later@example.com"]), NoticeEvent::Opened);
    let Sent::Partly { note, left } = sent else { panic!("{sent:?}") };
    assert!(
        note.contains("refused: gone@example.com (")
            && note.contains("550")
            && note.ends_with("tried again for later@example.com"),
        "{note}"
    );
    assert_eq!(left, ["later@example.com"]);
    assert_eq!(server.mail()["to"], json!(["ana@example.com"]));
    let sent = server.send(to(&["gone@example.com", "ana@example.com"]), NoticeEvent::Opened);
    assert!(matches!(&sent, Sent::Delivered { note } if note.contains("refused: gone@example.com (")), "{sent:?}");
    assert_eq!(server.mail()["to"], json!(["ana@example.com"]));
    let sent = server.send(to(&["gone@example.com"]), NoticeEvent::Opened);
    assert!(matches!(&sent, Sent::Denied { why } if why.contains("no such user")), "{sent:?}");
    let sent = server.send(to(&["gone@example.com", "later@example.com"]), NoticeEvent::Opened);
    assert!(matches!(&sent, Sent::Again { why, .. } if why.contains("greylisted")), "{sent:?}");
    // The default is TLS: a server that offers none gets no mail.
    let sent = server.send(json!({}), NoticeEvent::Opened);
    assert!(matches!(&sent, Sent::Denied { why } if why.contains("offers no STARTTLS")), "{sent:?}");
}

/// Says these parts, each after something came.
fn scripted(parts: &[&[u8]], settings: Value) -> Sent {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut all =
            json!({"server": listener.local_addr().unwrap().to_string(), "from": "a@b.example", "to": ["c@d.example"]});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let channel = channel("email", all);
        let talk = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 4096];
            for part in parts {
                if stream.write_all(part).await.is_err() || stream.read(&mut heard).await.unwrap_or(0) == 0 {
                    return;
                }
            }
        };
        let (notice, secrets) = (notice(NoticeEvent::Opened), []);
        tokio::join!(talk, send(&channel, &secrets, &notice)).1
    })
}

#[test]
fn what_is_slipped_in_behind_starttls_counts_for_nothing() {
    // Whoever sits between could answer everything beforehand, and the mail would seem delivered.
    let slipped =
        b"220 go ahead\r\n250-fake\r\n250 AUTH PLAIN\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n";
    let sent = scripted(&[b"220 hi\r\n", b"250-mail.example\r\n250 STARTTLS\r\n", slipped], json!({}));
    assert!(matches!(&sent, Sent::Again { .. }), "{sent:?}");
}

#[test]
fn a_server_that_never_ends_is_left() {
    static ENDLESS: [u8; 1 << 20] = [b'x'; 1 << 20];
    for security in ["plain", "starttls"] {
        let sent = scripted(&[b"220 hi\r\n", &ENDLESS], json!({"security": security}));
        let Sent::Again { why, .. } = &sent else { panic!("{sent:?}") };
        assert!(why.len() < 400, "{why}");
    }
    let sent = scripted(&[&ENDLESS], json!({"security": "plain"}));
    assert!(matches!(sent, Sent::Again { .. }), "{sent:?}");
}
