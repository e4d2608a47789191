//! Behaviours below HTTPS.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::behaviour::{Behaviour, CERTIFICATE, RESET, Scheme, TIMEOUT, TLS_FAILED, drip, flood, outlast, reset, send};

/// A handshake record of 16 KiB that belongs to a message of 16 MiB.
fn endless_handshake() -> Vec<u8> {
    let mut record = vec![22, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    record
}

/// The first flight of a good server: its hello and, sealed, its certificate.
async fn flight(stream: &mut TcpStream, config: Arc<ServerConfig>) -> Vec<u8> {
    let mut connection = ServerConnection::new(config).unwrap();
    let mut hello = vec![0; 4096];
    while !connection.wants_write() {
        match stream.read(&mut hello).await {
            Ok(read @ 1..) => {
                connection.read_tls(&mut &hello[..read]).unwrap();
                connection.process_new_packets().unwrap();
            }
            Ok(0) | Err(_) => return Vec::new(),
        }
    }
    let mut out = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut out).unwrap();
    }
    out
}

fn config() -> Arc<ServerConfig> {
    showing("127.0.0.1", 1)
}

/// A server of this subject that sends its certificate so many times.
fn showing(subject: &str, times: usize) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, subject);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    // Nobody looks whether the certificate makes sense.
    let key = CertifiedKey::new(vec![cert.der().clone(); times], key);
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    Arc::new(config)
}

/// The rows of this file.
pub(crate) fn table() -> Vec<Behaviour> {
    let config = config();
    let (long, wide, endless) =
        (showing("x", 50), showing(&"\u{e9}".repeat(10_000), 1), showing(&"x".repeat(150_000), 1));
    let shows = |name, outcomes, config: Arc<ServerConfig>| {
        Behaviour::new(Scheme::Https, name, outcomes, move |mut stream| {
            let config = config.clone();
            async move {
                let flight = flight(&mut stream, config).await;
                send(&mut stream, &flight).await;
                outlast(&mut stream).await;
            }
        })
    };
    vec![
        shows("TLS: a chain of 50 certificates", CERTIFICATE, long),
        shows("TLS: a subject of 20 KB", CERTIFICATE, wide),
        shows("TLS: a subject of 150 KB", TLS_FAILED, endless),
        Behaviour::new(Scheme::Https, "TLS: garbage", TLS_FAILED, |mut stream| async move {
            send(&mut stream, b"SSH-2.0-OpenSSH_9.2p1\r\n").await;
            outlast(&mut stream).await;
        }),
        Behaviour::new(Scheme::Https, "TLS: an alert", TLS_FAILED, |mut stream| async move {
            send(&mut stream, &[21, 3, 3, 0, 2, 2, 40]).await;
            outlast(&mut stream).await;
        }),
        Behaviour::new(Scheme::Https, "TLS: endless warnings", TLS_FAILED, |mut stream| async move {
            flood(&mut stream, &[21, 3, 3, 0, 2, 1, 112].repeat(1000)).await;
        }),
        Behaviour::new(Scheme::Https, "TLS: an endless message", TLS_FAILED, |mut stream| async move {
            let record = endless_handshake();
            flood(&mut stream, &record).await;
        }),
        Behaviour::new(Scheme::Https, "TLS: silence", TIMEOUT, |mut stream| async move {
            outlast(&mut stream).await;
        }),
        Behaviour::new(Scheme::Https, "TLS: a hello at 1 B/s", TIMEOUT, |mut stream| async move {
            drip(&mut stream, &[22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3, 0, 0]).await;
        }),
        Behaviour::new(Scheme::Https, "TLS: half a certificate", TIMEOUT, move |mut stream| {
            let config = config.clone();
            async move {
                let flight = flight(&mut stream, config).await;
                send(&mut stream, &flight[..flight.len() / 2]).await;
                outlast(&mut stream).await;
            }
        }),
        Behaviour::new(Scheme::Https, "TLS: reset after the hello", RESET, |mut stream| async move {
            let mut hello = [0; 64];
            stream.read_exact(&mut hello).await.ok();
            reset(stream);
        }),
    ]
}
