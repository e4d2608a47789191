//! HTTP/3 as a whole check; [`crate::http3`] tests the exchange itself.

use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Response;
use quinn::crypto::rustls::QuicServerConfig;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sitepulse_model::check::{CheckKind, HttpTarget, HttpVersion, SecretText};
use sitepulse_model::record::{FactKey, ProbeState};
use tokio::sync::oneshot;

use super::certificates::{Pki, pki};
use crate::testing;

fn config(pki: &Pki) -> quinn::ServerConfig {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &pki.issuer).unwrap();
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(crate::tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()))
}

/// Redirects the first request and answers the second, each over its own connection; tells what it saw.
async fn talk(endpoint: quinn::Endpoint, over: oneshot::Receiver<()>) -> Vec<String> {
    let mut connections = Vec::new();
    let mut seen = Vec::new();
    for status in [307, 200] {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        let mut h3 = h3::server::Connection::<_, Bytes>::new(h3_quinn::Connection::new(connection)).await.unwrap();
        let (request, mut stream) = h3.accept().await.unwrap().unwrap().resolve_request().await.unwrap();
        let mut length = 0;
        while let Some(data) = stream.recv_data().await.unwrap() {
            length += bytes::Buf::remaining(&data);
        }
        let announced = request.headers().get("content-length").map_or("none", |value| value.to_str().unwrap());
        seen.push(format!("{} {} {length} {announced}", request.method(), request.uri().path()));
        let response = Response::builder().status(status);
        let response = if status == 307 {
            response.header("location", "/there")
        } else {
            response.header("content-encoding", "gzip")
        };
        // The prober may hang up on a redirect before all of it went out.
        stream.send_response(response.body(()).unwrap()).await.ok();
        if status == 200 {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            std::io::Write::write_all(&mut encoder, b"over quic").unwrap();
            stream.send_data(Bytes::from(encoder.finish().unwrap())).await.unwrap();
            stream.finish().await.unwrap();
        }
        connections.push(h3);
    }
    // The prober's runtime ends with its run: nobody tells that it hung up.
    over.await.unwrap();
    seen
}

#[test]
fn http3_is_a_check_like_any_other() {
    let pki = pki();
    let config = config(&pki);
    let (tell, told) = std::sync::mpsc::channel();
    let (end, over) = oneshot::channel();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
            tell.send(endpoint.local_addr().unwrap()).unwrap();
            talk(endpoint, over).await
        })
    });
    let address = told.recv().unwrap();
    let target = HttpTarget {
        http: HttpVersion::Http3,
        method: "POST".to_owned(),
        body: Some(SecretText("order".to_owned())),
        redirects: 1,
        ..HttpTarget::get(format!("https://{address}/here"))
    };
    let check =
        testing::check(CheckKind::Http(Box::new(target)), 10_000_000, &["status == 200", "body == 'over quic'"]);
    let result = testing::run(&check, &testing::tools(pki.roots.clone()));
    end.send(()).unwrap();
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    assert_eq!(server.join().unwrap(), ["POST /here 5 5", "POST /there 5 5"]);
    assert_eq!(result.facts.texts_of(FactKey::HttpVersion).collect::<Vec<_>>(), ["HTTP/3"]);
    assert_eq!(result.facts.number_of(FactKey::Redirects), Some(1));
    assert_eq!((result.address, result.phases.connect), (Some(address), None));
}
