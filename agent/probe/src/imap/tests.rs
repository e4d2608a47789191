//! Against scripted servers on the loopback: good, refusing and hostile ones.

use sitepulse_model::record::{FactKey, Phase, ProbeState};

use super::*;
use crate::mail::testing::{Mailbox, Peer, Pki};
use crate::testing::some_roots;

/// `\0watch@shop.example\0Tr0ub4dor&3`.
const PLAIN: &str = "AHdhdGNoQHNob3AuZXhhbXBsZQBUcjB1YjRkb3ImMw==";

fn bare() -> Mailbox {
    Mailbox::new("imap", MailSecurity::None, some_roots())
}

fn tag(line: &str) -> &str {
    line.split(' ').next().unwrap()
}

fn capabilities(peer: &mut Peer, offers: &str) {
    let line = peer.line();
    assert!(line.ends_with(" CAPABILITY"), "{line}");
    peer.say(&format!("* CAPABILITY IMAP4rev1 {offers}\r\n{} OK done\r\n", tag(&line)));
}

fn log_out(peer: &mut Peer) {
    peer.hear("s9 LOGOUT");
    peer.say("* BYE\r\ns9 OK bye\r\n");
}

#[test]
fn a_server_that_greets_is_up() {
    for greeting in ["* OK Dovecot ready.", "* PREAUTH welcome back"] {
        let result = bare().run(move |peer| {
            peer.say(&format!("{greeting}\r\n"));
            capabilities(peer, "IDLE");
            log_out(peer);
        });
        assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
        assert_eq!(result.facts.texts_of(FactKey::Banner).collect::<String>(), greeting);
        assert!(result.phases.first_byte.is_some() && result.phases.transfer.is_some() && result.phases.tls.is_none());
    }
}

#[test]
fn starttls_and_a_login_by_each_way() {
    for offers in ["AUTH=PLAIN SASL-IR LOGINDISABLED", "AUTH=PLAIN", "IDLE"] {
        let pki = Pki::new();
        let serving = pki.serving();
        let result = Mailbox::new("imap", MailSecurity::Starttls, pki.root.roots()).with_login().run(move |peer| {
            peer.say("* OK [CAPABILITY IMAP4rev1 AUTH=EVIL] hello\r\n");
            capabilities(peer, "STARTTLS LOGINDISABLED");
            peer.hear("s2 STARTTLS");
            peer.say("s2 OK begin\r\n");
            peer.protect(serving);
            capabilities(peer, offers);
            let line = peer.line();
            match offers {
                "AUTH=PLAIN SASL-IR LOGINDISABLED" => assert_eq!(line, format!("s4 AUTHENTICATE PLAIN {PLAIN}")),
                "AUTH=PLAIN" => {
                    assert_eq!(line, "s4 AUTHENTICATE PLAIN");
                    peer.say("+ \r\n");
                    assert_eq!(peer.line(), PLAIN);
                }
                _ => assert_eq!(line, "s4 LOGIN \"watch@shop.example\" \"Tr0ub4dor&3\""),
            }
            peer.say("* CAPABILITY IMAP4rev1 MOVE\r\ns4 OK logged in\r\n");
            log_out(peer);
        });
        assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""), "{offers}");
        assert!(result.phases.tls.is_some() && result.facts.certificate_expires.is_some());
    }
}

#[test]
fn refusals_are_told_in_the_servers_words_and_never_with_the_password() {
    let result = bare().run(|peer| peer.say("* BYE overloaded\r\n"));
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ProtocolError)));
    assert_eq!(result.detail, "imap: 127.0.0.1 turns clients away: * BYE overloaded");

    let starttls = || Mailbox::new("imap", MailSecurity::Starttls, some_roots());
    let result = starttls().run(|peer| {
        peer.say("* OK hello\r\n");
        capabilities(peer, "IDLE");
    });
    assert_eq!(
        (result.cause, result.detail.as_str()),
        (Some(Cause::TlsFailed), "TLS: STARTTLS is not offered by 127.0.0.1")
    );

    let result = starttls().run(|peer| peer.say("* PREAUTH hello\r\n"));
    assert_eq!(result.cause, Some(Cause::TlsFailed), "{}", result.detail);
    assert!(result.detail.contains("PREAUTH"));

    let pki = Pki::new();
    for (offers, answer, said) in [
        (
            "AUTH=PLAIN SASL-IR",
            "s4 NO [AUTHENTICATIONFAILED] AHdhdGNoQHNob3AuZXhhbXBsZQBUcjB1YjRkb3ImMw== is Tr0ub4dor&3\r\n",
            "refused the login of \"watch@shop.example\": NO [AUTHENTICATIONFAILED] ... is ...",
        ),
        ("LOGINDISABLED", "", "does not let anybody log in (LOGINDISABLED)"),
    ] {
        let serving = pki.serving();
        let result = Mailbox::new("imap", MailSecurity::Tls, pki.root.roots()).with_login().run(move |peer| {
            peer.protect(serving);
            peer.say("* OK hello\r\n");
            capabilities(peer, offers);
            if !answer.is_empty() {
                peer.line();
            }
            peer.say(answer);
            peer.outlast();
        });
        assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::LoginRefused)));
        assert_eq!(result.detail, format!("imap: 127.0.0.1 {said}"));
    }
}

#[test]
fn what_waits_before_the_handshake_was_slipped_in() {
    let pki = Pki::new();
    let result = Mailbox::new("imap", MailSecurity::Starttls, pki.root.roots()).run(|peer| {
        peer.say("* OK hello\r\n");
        capabilities(peer, "STARTTLS");
        peer.hear("s2 STARTTLS");
        peer.say("s2 OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\ns3 OK done\r\n");
        peer.outlast();
    });
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ProtocolError)), "{}", result.detail);
    assert!(result.detail.contains("STARTTLS"));
}

#[test]
fn hostile_servers_cost_no_more_than_their_limits() {
    let result = bare().run(|peer| {
        peer.say("* OK hello\r\n");
        while peer.try_say(b"* 23 EXISTS\r\n") {}
    });
    assert_eq!(
        (result.cause, result.detail.as_str()),
        (Some(Cause::ProtocolError), "imap: 127.0.0.1 sent over 256 lines")
    );
    let result = bare().run(|peer| while peer.try_say(b"* OK endless ") {});
    assert_eq!(result.detail, "imap: 127.0.0.1 sent a line over 8192 bytes");
    let result = bare().run(|peer| peer.say("* OK \0\r\n"));
    assert_eq!(result.detail, "imap: 127.0.0.1 sent a NUL, which no line may have");
    for nonsense in ["220 mail.example ESMTP\r\n", "* HELLO\r\n", "*\r\n", "\r\n"] {
        let result = bare().run(move |peer| peer.say(nonsense));
        assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::ProtocolError)), "{nonsense:?}");
        assert!(result.detail.starts_with("imap: 127.0.0.1 does not speak IMAP: "), "{}", result.detail);
    }
    let result = bare().run(|peer| {
        peer.say("* OK hello\r\n");
        peer.line();
        peer.say("* BYE idle too long\r\n");
    });
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::ConnectionReset), Some(Phase::Transfer)));
    let result = bare().within(100_000).run(Peer::outlast);
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::FirstByte)));
}

#[test]
fn strings_are_quoted() {
    assert_eq!(quoted("a\"b\\c").unwrap().as_str(), "\"a\\\"b\\\\c\"");
    assert!(quoted("line\r\ns5 LOGOUT").is_none());
    assert!(quoted("pässword").is_none());
}

#[test]
fn assertions_see_the_whole_greeting() {
    let greeting = format!("* OK {} of mail.shop.example", "x".repeat(300));
    for (assertion, state) in [
        ("banner contains 'of mail.shop.example'", ProbeState::Up),
        ("banner not contains 'of mail.shop.example'", ProbeState::Down),
    ] {
        let said = greeting.clone();
        let result = bare().expect(assertion).run(move |peer| {
            peer.say(&format!("{said}\r\n"));
            capabilities(peer, "IDLE");
            log_out(peer);
        });
        assert_eq!(result.state, state, "{assertion}: {}", result.detail);
        assert_eq!(result.facts.texts_of(FactKey::Banner).collect::<String>(), greeting[..200]);
    }
}

#[test]
fn secrets_are_taken_out_before_a_fact_is_cut() {
    let mailbox = Mailbox::new("imap", MailSecurity::Starttls, some_roots()).with_login();
    // Five of its characters before the cut: too few to be known for a secret.
    let result = mailbox.run(|peer| peer.say(&format!("* BYE {}Tr0ub4dor&3\r\n", "x".repeat(189))));
    let banner: String = result.facts.texts_of(FactKey::Banner).collect();
    assert!(banner.len() == 200 && banner.ends_with("xsecre"), "{banner}");
}
