//! What answers weigh over the wire.

use std::io::Read;

use axum::http::{StatusCode, header};
use flate2::read::GzDecoder;
use sitepulse_collector::present::console::assets_version;
use sitepulse_collector::present::door::Door;

use super::bench::{Answer, Bench};

const GZIP: (&str, &str) = ("accept-encoding", "br, gzip");

fn unpacked(answer: &Answer) -> String {
    let mut text = String::new();
    GzDecoder::new(&answer.bytes[..]).read_to_string(&mut text).unwrap();
    text
}

fn said<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn texts_come_packed_to_who_takes_that() {
    let bench = Bench::new();
    for path in ["/agents", "/metrics", "/assets/console.css"] {
        let plain = bench.get(path).await;
        let packed = bench.send(Door::Local, "GET", path, &[GZIP], "").await;
        assert_eq!((plain.status, packed.status), (StatusCode::OK, StatusCode::OK), "{path}");
        assert_eq!(said(&packed, "content-encoding"), ["gzip"], "{path}");
        assert!(packed.bytes.len() * 2 < plain.bytes.len(), "{path}: {} of {}", packed.bytes.len(), plain.bytes.len());
        assert!(
            said(&plain, "content-encoding").is_empty() && said(&plain, "vary").join(",").contains("Accept-Encoding")
        );
        assert!(
            packed
                .headers
                .get(header::CONTENT_LENGTH)
                .is_none_or(|length| length == packed.bytes.len().to_string().as_str())
        );
        // The figures of metrics move.
        if path != "/metrics" {
            assert_eq!(unpacked(&packed), plain.text, "{path}");
        }
    }
    let refused = bench.send(Door::Local, "GET", "/agents", &[("accept-encoding", "gzip;q=0")], "").await;
    assert!(said(&refused, "content-encoding").is_empty());
    let short = bench.send(Door::Local, "GET", "/healthz", &[GZIP], "").await;
    assert!(said(&short, "content-encoding").is_empty(), "{}", short.text);
    assert!(said(&bench.send(Door::Local, "HEAD", "/agents", &[GZIP], "").await, "content-encoding").is_empty());
}

#[tokio::test]
async fn assets_are_kept_until_they_change() {
    let bench = Bench::new();
    let page = bench.get("/").await;
    let address = format!("/assets/console.css?v={}", assets_version());
    assert!(page.text.contains(&format!("href=\"{address}\"")), "{}", page.text);
    let asset = bench.get(&address).await;
    assert_eq!(said(&asset, "cache-control"), ["public, max-age=31536000, immutable"]);
    let tag = said(&asset, "etag")[0];
    // Whoever asks for another version must not keep this one under its name.
    for path in ["/assets/console.css", "/assets/console.css?v=0", "/assets/console.css?v="] {
        let other = bench.get(path).await;
        assert_eq!(
            (said(&other, "etag")[0], said(&other, "cache-control")),
            (tag, vec!["public, max-age=300"]),
            "{path}"
        );
    }
    let again = bench.send(Door::Local, "GET", &address, &[("if-none-match", tag), GZIP], "").await;
    assert_eq!((again.status, again.bytes.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(said(&again, "etag"), [tag]);
    let changed = bench.send(Door::Local, "GET", &address, &[("if-none-match", "\"0\"")], "").await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(said(&bench.get("/assets/icon.svg").await, "etag"), [tag]);
}
