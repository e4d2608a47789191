//! Against scripted servers on the loopback: good, refusing and hostile ones.

use sitepulse_model::record::{Cause, FactKey, Phase, ProbeResult, ProbeState};

use super::*;
use crate::mail::testing::{Mailbox, Peer, Pki};
use crate::testing::some_roots;

/// `\0watch@shop.example\0Tr0ub4dor&3`.
const PLAIN: &str = "AHdhdGNoQHNob3AuZXhhbXBsZQBUcjB1YjRkb3ImMw==";

fn banner(result: &ProbeResult) -> String {
    result.facts.texts_of(FactKey::Banner).collect()
}

fn bare() -> Mailbox {
    Mailbox::new("smtp", MailSecurity::None, some_roots())
}

fn greet(peer: &mut Peer, offers: &[&str]) {
    peer.say("220-mail.example ESMTP\r\n220 at your service\r\n");
    hello(peer, offers);
}

fn hello(peer: &mut Peer, offers: &[&str]) {
    peer.hear("EHLO [127.0.0.1]");
    peer.say("250-mail.example\r\n");
    for offer in offers {
        peer.say(&format!("250-{offer}\r\n"));
    }
    peer.say("250 8BITMIME\r\n");
}

#[test]
fn a_server_that_greets_is_up() {
    let result = bare().run(|peer| {
        greet(peer, &[]);
        peer.hear("QUIT");
        peer.say("221 bye\r\n");
        peer.outlast();
    });
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    assert_eq!((banner(&result).as_str(), result.facts.status), ("220 mail.example ESMTP", Some(250)));
    assert!(result.phases.first_byte.is_some() && result.phases.transfer.is_some() && result.phases.tls.is_none());
}

#[test]
fn starttls_and_a_login_by_each_mechanism() {
    for (auth, first) in [("AUTH PLAIN LOGIN", "AUTH PLAIN "), ("AUTH=LOGIN", "AUTH LOGIN")] {
        let pki = Pki::new();
        let serving = pki.serving();
        let check = Mailbox::new("smtp", MailSecurity::Starttls, pki.root.roots()).with_login();
        let result = check.run(move |peer| {
            greet(peer, &["starttls", "AUTH NTLM"]);
            peer.hear("STARTTLS");
            peer.say("220 go on\r\n");
            peer.protect(serving);
            hello(peer, &[auth]);
            let said = peer.hear(first);
            if said == "AUTH LOGIN" {
                peer.say("334 VXNlcm5hbWU6\r\n");
                peer.hear("d2F0Y2hAc2hvcC5leGFtcGxl");
                peer.say("334 UGFzc3dvcmQ6\r\n");
                peer.hear("VHIwdWI0ZG9yJjM=");
            } else {
                assert_eq!(said, format!("AUTH PLAIN {PLAIN}"));
            }
            peer.say("235 welcome\r\n");
            peer.hear("QUIT");
        });
        assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""), "{auth}");
        assert_eq!(result.facts.status, Some(235));
        assert!(result.phases.tls.is_some());
        assert!(result.facts.certificate_expires.is_some());
    }
}

#[test]
fn implicit_tls() {
    let pki = Pki::new();
    let serving = pki.serving();
    let result = Mailbox::new("smtp", MailSecurity::Tls, pki.root.roots()).run(|peer| {
        peer.protect(serving);
        greet(peer, &[]);
        peer.hear("QUIT");
    });
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
}

#[test]
fn refusals_are_told_in_the_servers_words_and_never_with_the_password() {
    let starttls = || Mailbox::new("smtp", MailSecurity::Starttls, some_roots());
    let result = bare().run(|peer| peer.say("554 no mail here\r\n"));
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ProtocolError)));
    assert_eq!(result.detail, "smtp: 127.0.0.1 turns clients away: 554 no mail here");
    assert_eq!(result.facts.status, Some(554));

    let result = starttls().run(|peer| greet(peer, &["SIZE 1000"]));
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::TlsFailed), Some(Phase::Tls)));
    assert_eq!(result.detail, "TLS: STARTTLS is not offered by 127.0.0.1");

    let result = starttls().run(|peer| {
        greet(peer, &["STARTTLS"]);
        peer.hear("STARTTLS");
        peer.say("454 not now\r\n");
    });
    assert_eq!(result.cause, Some(Cause::TlsFailed));
    assert_eq!(result.detail, "TLS: 127.0.0.1 refuses STARTTLS: 454 not now");

    let pki = Pki::new();
    let serving = pki.serving();
    let result = Mailbox::new("smtp", MailSecurity::Tls, pki.root.roots()).with_login().run(|peer| {
        peer.protect(serving);
        greet(peer, &["AUTH PLAIN"]);
        let said = peer.hear("AUTH PLAIN ");
        peer.say(&format!("535 bad: {said} (Tr0ub4dor&3)\r\n"));
    });
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::LoginRefused)));
    assert_eq!(
        result.detail,
        "smtp: 127.0.0.1 refused the login of \"watch@shop.example\": 535 bad: AUTH PLAIN ... (...)"
    );

    let serving = pki.serving();
    let result = Mailbox::new("smtp", MailSecurity::Tls, pki.root.roots()).with_login().run(|peer| {
        peer.protect(serving);
        greet(peer, &["AUTH GSSAPI"]);
        peer.outlast();
    });
    assert_eq!(result.cause, Some(Cause::LoginRefused));
    assert!(result.detail.ends_with("offers neither PLAIN nor LOGIN to log in by, but GSSAPI"), "{}", result.detail);
}

#[test]
fn what_waits_before_the_handshake_was_slipped_in() {
    let pki = Pki::new();
    let result = Mailbox::new("smtp", MailSecurity::Starttls, pki.root.roots()).run(|peer| {
        greet(peer, &["STARTTLS"]);
        peer.hear("STARTTLS");
        peer.say("220 go on\r\n250-evil.example\r\n250 AUTH PLAIN\r\n");
        peer.outlast();
    });
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ProtocolError)), "{}", result.detail);
    assert!(result.detail.contains("STARTTLS"), "{}", result.detail);
}

#[test]
fn hostile_servers_cost_no_more_than_their_limits() {
    let endless_lines = |peer: &mut Peer| while peer.try_say(b"220-and another thing\r\n") {};
    let result = bare().run(endless_lines);
    assert_eq!(
        (result.cause, result.detail.as_str()),
        (Some(Cause::ProtocolError), "smtp: 127.0.0.1 sent over 256 lines")
    );

    let result = bare().run(|peer| while peer.try_say(b"220 endless ") {});
    assert_eq!(
        (result.cause, result.detail.as_str()),
        (Some(Cause::ProtocolError), "smtp: 127.0.0.1 sent a line over 8192 bytes")
    );

    let result = bare().run(|peer| peer.say("220 mail\0.example\r\n"));
    assert_eq!(result.detail, "smtp: 127.0.0.1 sent a NUL, which no line may have");

    for nonsense in ["HTTP/1.1 400 Bad Request\r\n", "22\r\n", "999 x\r\n", "220-a\r\n250 b\r\n", "220x\r\n", "\r\n"] {
        let result = bare().run(move |peer| peer.say(nonsense));
        assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ProtocolError)), "{nonsense:?}");
        assert!(result.detail.starts_with("smtp: 127.0.0.1 does not speak SMTP: "), "{}", result.detail);
    }

    let result = bare().run(|peer| peer.say("220-half"));
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::ConnectionReset), Some(Phase::Transfer)));
    let result = bare().run(|_| {});
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::ConnectionReset), Some(Phase::FirstByte)));
}

#[test]
fn the_deadline_names_the_slow_step() {
    let result = bare().within(100_000).run(Peer::outlast);
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::FirstByte)));
    // A byte at a time, for ever.
    let result = bare().within(100_000).run(|peer| {
        while peer.try_say(b"2") {
            std::thread::yield_now();
        }
    });
    assert_eq!(result.state, ProbeState::Down, "{}", result.detail);
    let result = bare().within(100_000).run(|peer| {
        peer.say("220 mail.example\r\n");
        peer.outlast();
    });
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::Transfer)));
    assert_eq!(banner(&result), "220 mail.example");
}

#[test]
fn a_login_without_protection_is_refused_when_the_check_is_made() {
    let check = bare().with_login();
    let error = SmtpProbe::new(&check.target("127.0.0.1:25".parse().unwrap())).unwrap_err();
    assert!(error.starts_with("login: a password is not sent unprotected"), "{error}");
}

#[test]
fn a_missing_secret_is_known_before_anything_is_dialled() {
    let check = Mailbox::new("smtp", MailSecurity::Tls, some_roots()).with_login();
    let kind = sitepulse_model::check::CheckKind::Smtp(Box::new(check.target("127.0.0.1:1".parse().unwrap())));
    let tools = crate::testing::tools(some_roots());
    let result = crate::testing::run(&crate::testing::check(kind, 1_000_000, &[]), &tools);
    assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::SecretMissing)));
    assert_eq!(result.address, None);
}
