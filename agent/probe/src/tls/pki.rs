//! PKIs and TLS servers for tests: good ones and ones broken on purpose.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use der::{Decode, Encode as _};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SigningKey as _,
};
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sitepulse_daemon::clock;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId, ResponseData,
    SingleResponse, Version,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certification authority, with the certificates that lead to its root.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// What a server sends besides its leaf.
    above: Vec<CertificateDer<'static>>,
}

fn authority(name: &str, years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    params
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority(name, (2020, 4000)), KeyPair::generate().unwrap()).unwrap();
        Self { issuer, above: Vec::new() }
    }

    pub(crate) fn intermediate(&self, name: &str) -> Self {
        self.intermediate_of(name, (2020, 4000))
    }

    pub(crate) fn intermediate_of(&self, name: &str, years: (i32, i32)) -> Self {
        let params = authority(name, years);
        let issuer = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.issuer).unwrap();
        let mut above = self.above.clone();
        above.insert(0, issuer.der().clone());
        Self { issuer, above }
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// An OCSP answer about `leaf`, signed by this authority.
    pub(crate) fn staple(&self, leaf: &Leaf<'_>, status: CertStatus, days: (i64, i64)) -> Vec<u8> {
        staple(leaf, status, days, self.issuer.key(), None)
    }

    /// As [`Authority::staple`], by a responder whose certificate comes along.
    pub(crate) fn staple_by(&self, responder: &Leaf<'_>, leaf: &Leaf<'_>, status: CertStatus) -> Vec<u8> {
        staple(leaf, status, (-1, 1), &responder.key, Some(responder.der()))
    }
}

/// ecdsa-with-SHA256.
const ECDSA: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// sha1, whose hashes nobody reads here.
const SHA1: &[u8] = &[0x30, 0x07, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a];

/// `days`: since when and until when, from now.
fn staple(
    leaf: &Leaf<'_>,
    cert_status: CertStatus,
    days: (i64, i64),
    key: &KeyPair,
    responder: Option<&CertificateDer<'_>>,
) -> Vec<u8> {
    let (_, parsed) = X509Certificate::from_der(leaf.der()).unwrap();
    let at = |days: i64| {
        let seconds = clock::now().0 / 1_000_000 + days * 86_400;
        let since_1970 = std::time::Duration::from_secs(u64::try_from(seconds).unwrap());
        OcspGeneralizedTime::from(der::DateTime::from_unix_duration(since_1970).unwrap())
    };
    let mut serial = vec![2, u8::try_from(parsed.raw_serial().len()).unwrap()];
    serial.extend_from_slice(parsed.raw_serial());
    let nothing = der::asn1::OctetString::new(vec![0; 20]).unwrap();
    let single = SingleResponse {
        cert_id: CertId {
            hash_algorithm: Decode::from_der(SHA1).unwrap(),
            issuer_name_hash: nothing.clone(),
            issuer_key_hash: nothing.clone(),
            serial_number: Decode::from_der(&serial).unwrap(),
        },
        cert_status,
        this_update: at(days.0),
        next_update: Some(at(days.1)),
        single_extensions: None,
    };
    let tbs_response_data = ResponseData {
        version: Version::V1,
        responder_id: ResponderId::ByKey(nothing),
        produced_at: at(days.0),
        responses: vec![single],
        response_extensions: None,
    };
    let signature = key.sign(&tbs_response_data.to_der().unwrap()).unwrap();
    let basic = BasicOcspResponse {
        tbs_response_data,
        signature_algorithm: Decode::from_der(ECDSA).unwrap(),
        signature: der::asn1::BitString::from_bytes(&signature).unwrap(),
        certs: responder.map(|responder| vec![Decode::from_der(responder).unwrap()]),
    };
    OcspResponse::successful(basic).unwrap().to_der().unwrap()
}

/// A certificate with its key, signed anew by each change.
pub(crate) struct Leaf<'a> {
    key: KeyPair,
    params: CertificateParams,
    by: Option<&'a Authority>,
    certificate: Certificate,
    alone: bool,
}

impl<'a> Leaf<'a> {
    pub(crate) fn of(by: &'a Authority, names: &[&str]) -> Self {
        Self::new(Some(by), names)
    }

    pub(crate) fn self_signed(names: &[&str]) -> Leaf<'static> {
        Leaf::new(None, names)
    }

    fn new(by: Option<&'a Authority>, names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        let certificate = sign(&params, &key, by);
        Self { key, params, by, certificate, alone: false }
    }

    fn changed(mut self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        change(&mut self.params);
        self.certificate = sign(&self.params, &self.key, self.by);
        self
    }

    pub(crate) fn valid(self, from: i32, to: i32) -> Self {
        self.changed(|params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        })
    }

    pub(crate) fn for_clients(self) -> Self {
        self.changed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    pub(crate) fn for_ocsp(self) -> Self {
        self.changed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning])
    }

    /// An authority's certificate, used as a server's own.
    pub(crate) fn authority(self) -> Self {
        self.changed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
    }

    /// The server sends it without what leads to its root.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    fn serving(&self, config: ServerConfig) -> Serving {
        Serving { config, leaf_sha256: super::certificate::sha256(self.der()) }
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        let above = if self.alone { &[][..] } else { self.by.map_or(&[][..], |by| &by.above) };
        std::iter::once(self.der()).chain(above).cloned().collect()
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }

    pub(crate) fn serve(&self, change: impl FnOnce(&mut ServerConfig)) -> Serving {
        let mut serving = self.serve_versions(rustls::ALL_VERSIONS);
        change(&mut serving.config);
        serving
    }

    pub(crate) fn serve_versions(&self, versions: &[&'static SupportedProtocolVersion]) -> Serving {
        let config = ServerConfig::builder_with_provider(Arc::new(super::provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain(), self.private())
            .unwrap();
        self.serving(config)
    }

    pub(crate) fn serve_stapled(&self, ocsp: Vec<u8>) -> Serving {
        let config = ServerConfig::builder_with_provider(Arc::new(super::provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert_with_ocsp(self.chain(), self.private(), ocsp)
            .unwrap();
        self.serving(config)
    }

    pub(crate) fn serve_clients(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Serving {
        let config = ServerConfig::builder_with_provider(Arc::new(super::provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain(), self.private())
            .unwrap();
        self.serving(config)
    }
}

fn sign(params: &CertificateParams, key: &KeyPair, by: Option<&Authority>) -> Certificate {
    match by {
        Some(by) => params.signed_by(key, &by.issuer).unwrap(),
        None => params.self_signed(key).unwrap(),
    }
}

/// A server to be started.
pub(crate) struct Serving {
    pub(crate) config: ServerConfig,
    leaf_sha256: String,
}

/// A server that shakes hands and says nothing, until the test's end.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) leaf_sha256: String,
}

/// Serves any number of connections, one after another, on a thread that ends with the process.
pub(crate) fn server(serving: Serving) -> Server {
    let config = Arc::new(serving.config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            outlast(&config, stream);
        }
    });
    Server { address, leaf_sha256: serving.leaf_sha256 }
}

fn outlast(config: &Arc<ServerConfig>, stream: TcpStream) {
    let connection = ServerConnection::new(config.clone()).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}
