//! A fake provider: takes requests on a loopback port, answers with bytes as they are.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Taken {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) struct Provider {
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls: None }
    }

    /// With a certificate for `localhost`; hands out the PEM of the authority.
    pub(crate) async fn start_tls() -> (Self, String) {
        let (config, authority) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Self { listener, tls: Some(Arc::new(config).into()) }, authority)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Takes one request and answers it.
    pub(crate) async fn take(&self, answer: &[u8]) -> Option<Taken> {
        let (stream, _) = self.listener.accept().await.unwrap();
        match &self.tls {
            None => talk(stream, answer).await,
            Some(acceptor) => talk(acceptor.accept(stream).await.ok()?, answer).await,
        }
    }

    /// Takes one connection and nothing of it.
    pub(crate) async fn connection(&self) -> tokio::net::TcpStream {
        self.listener.accept().await.unwrap().0
    }
}

/// A server's configuration for `localhost`, and the PEM of its authority.
pub(crate) fn tls() -> (rustls::ServerConfig, String) {
    let (chain, key, authority) = certificate();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (config, authority)
}

type Chain = Vec<rustls_pki_types::CertificateDer<'static>>;

pub(crate) fn certificate() -> (Chain, rustls_pki_types::PrivateKeyDer<'static>, String) {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::new(root, root_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let der = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (vec![leaf.der().clone()], der, root_certificate.pem())
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) -> Option<Taken> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut taken = Taken { line, headers, body: bytes.split_off(head + 4) };
    let length: usize = taken.header("content-length").unwrap().parse().unwrap();
    while taken.body.len() < length {
        assert!(stream.read_buf(&mut taken.body).await.unwrap() > 0);
    }
    stream.write_all(answer).await.ok();
    stream.shutdown().await.ok();
    Some(taken)
}
