//! Bodies that are costly to look into, each with the assertion that looks: HTML, JSON, XML, regexes. What is sent without end or length is
//! looked into while it comes, too.

use futures_util::{SinkExt as _, StreamExt as _};
use sitepulse_model::record::Cause;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::behaviour::{ASSERTION, Behaviour, Scheme, UP, outlast, send};
use crate::http::answer;

/// What a body may have at most.
const BODY_BYTES: usize = 1 << 20;

/// A page of this text, as often as it fits after `start`.
fn filled(start: &str, text: &str, times: usize) -> String {
    let fit = (BODY_BYTES - start.len()) / text.len();
    start.to_owned() + &text.repeat(times.min(fit))
}

fn numbered(text: &str, times: usize) -> String {
    (0..times).map(|n| text.replace('#', &n.to_string())).collect()
}

/// Words with an `x` at irregular distances: a regex that starts with it is in another set of states at each byte.
fn irregular() -> String {
    let mut seed = 1_u32;
    let mut letter = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match seed >> 16 {
            n if n % 7 == 0 => ' ',
            n if n % 3 == 0 => 'x',
            n => char::from(b'a' + (n % 25) as u8),
        }
    };
    (0..BODY_BYTES).map(|_| letter()).filter(|letter| *letter != 'q').collect()
}

fn row(
    name: &'static str,
    outcomes: &'static [Option<Cause>],
    expect: &'static [&'static str],
    body: &str,
) -> Behaviour {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    answer(name, outcomes, head + body).expect(expect)
}

const IRREGULAR: &[&str] = &["body matches /x.{0,100}q/"];

/// Words that nobody asked for, and then the end.
fn words() -> Behaviour {
    let bytes: std::sync::Arc<[u8]> = irregular().into_bytes().into();
    let behaviour = Behaviour::new(Scheme::Tcp, "tcp: an irregular banner", ASSERTION, move |mut stream| {
        let bytes = bytes.clone();
        async move {
            send(&mut stream, &bytes).await;
            stream.shutdown().await.ok();
            outlast(&mut stream).await;
        }
    });
    behaviour.expect(IRREGULAR).few()
}

/// Messages of these words, and then the end.
fn messages() -> Behaviour {
    let messages: std::sync::Arc<[Message]> =
        irregular().into_bytes().chunks(16 << 10).map(|chunk| Message::binary(chunk.to_vec())).collect();
    let behaviour = Behaviour::new(Scheme::WebSocket, "websocket: irregular messages", ASSERTION, move |stream| {
        let messages = messages.clone();
        async move {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
            for message in messages.iter() {
                if socket.feed(message.clone()).await.is_err() {
                    return;
                }
            }
            socket.close(None).await.ok();
            while matches!(socket.next().await, Some(Ok(_))) {}
        }
    });
    behaviour.expect(IRREGULAR).few()
}

/// The rows of this file.
pub(crate) fn table() -> Vec<Behaviour> {
    let long = "x ".repeat(475_000);
    let formatting = "<p>".to_owned() + &numbered("<b a=#>", 400);
    vec![
        row(
            "html: a long attribute opened anew",
            ASSERTION,
            &["html '.price' exists"],
            &filled(&format!("<p><b class='{long}'>"), "</p><p>x", usize::MAX),
        ),
        row(
            "html: many elements opened anew",
            ASSERTION,
            &["html 'u' exists"],
            &filled(&formatting, "<p>x", usize::MAX),
        ),
        row("html: deep", ASSERTION, &["html 'u' exists"], &filled("", "<div>", usize::MAX)),
        row(
            "html: positions over comments",
            ASSERTION,
            &["html 'i:nth-last-child(40000):nth-of-type(n)' exists"],
            &filled("", "<!---->x<i></i>", 10_000),
        )
        .few(),
        row(
            "html: as much as may be",
            ASSERTION,
            &["html 'i.a ~ i:not(.b) + i > u' exists"],
            &filled("", "<i class='a c d e f'>x</i>", 16_000),
        )
        .few(),
        row("json: deep", ASSERTION, &["json '$.a' exists"], &filled("", "[", usize::MAX)),
        row("json: wide", ASSERTION, &["json '$..price' exists"], &(filled("[0", ",{}", 300_000) + "]")),
        row("json: wide and good", UP, &["json '$[0]' == 0"], &(filled("[0", ",1.5e3", 100_000) + "]")),
        row("xml: deep", ASSERTION, &["xml '/a/b' exists"], &filled("", "<a>", usize::MAX)),
        row(
            "xml: many attributes",
            ASSERTION,
            &["xml '/a/b' exists"],
            &("<a ".to_owned() + &numbered("a#='' ", 80_000) + "/>"),
        ),
        row("xml: wide", ASSERTION, &["xml '/a/b/d' exists"], &(filled("<a>", "<b><c/></b>", 15_000) + "</a>")),
        row("regex: irregular", ASSERTION, IRREGULAR, &irregular()).few(),
        row("regex: many starts", ASSERTION, &["body matches /[a-z ]{1,60}[0-9]q/"], &irregular()),
        words(),
        messages(),
    ]
}
