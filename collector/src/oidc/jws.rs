//! The signature of an ID token: RS256, ES256 or EdDSA (Ed25519), by a key that the provider publishes.
//!
//! Nothing else is taken, whatever the token asks for: not `none`, not an HMAC for which a public key would serve as the secret. A key serves the one algorithm of its own kind,
//! and a token that demands something more (`crit`) is refused (RFC 8725, 3.1 and 3.10).
//!
//! Limits: [`TOKEN_BYTES_MAX`] of a token, [`KEYS_MAX`] keys, RSA of 2048 to 8192 bits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::Value;

/// Longest ID token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 32 << 10;
/// Most keys of a provider.
pub const KEYS_MAX: usize = 100;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, PKCS #1 1.5 with SHA-256.
    Rs256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Why a token is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is no signed token.
    Malformed,
    /// It is signed in a way that is not taken.
    Algorithm,
    /// No key that is known signed it: there may be a newer one.
    NoKey,
    /// The signature is not the key's.
    Signature,
}

impl Fault {
    /// What is wrong, for the audit log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Malformed => "the ID token is malformed",
            Self::Algorithm => "the ID token is signed in a way that is not taken: RS256, ES256 or EdDSA are",
            Self::NoKey => "the ID token names a key that the provider does not publish",
            Self::Signature => "the ID token's signature is wrong",
        }
    }
}

/// A key as a provider publishes it (RFC 7517).
#[derive(Deserialize)]
struct Published {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct PublishedKeys {
    keys: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Point(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    material: Material,
}

/// The keys of a provider that can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

impl Key {
    /// `None` of a key for something else.
    fn of(published: &Published) -> Option<Self> {
        if published.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let (algorithm, material) = match (published.kty.as_str(), published.crv.as_deref()) {
            ("RSA", None) => {
                let trimmed = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect();
                let (n, e) = (trimmed(bytes(published.n.as_ref())?), trimmed(bytes(published.e.as_ref())?));
                (Algorithm::Rs256, Material::Rsa { n, e })
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(published.x.as_ref())?, bytes(published.y.as_ref())?);
                let fits = x.len() == 32 && y.len() == 32;
                (Algorithm::Es256, Material::Point(fits.then(|| [vec![4], x, y].concat())?))
            }
            ("OKP", Some("Ed25519")) => {
                let x = bytes(published.x.as_ref()).filter(|x| x.len() == 32)?;
                (Algorithm::EdDsa, Material::Point(x))
            }
            _ => return None,
        };
        let fits = published.alg.as_deref().is_none_or(|alg| alg == algorithm.as_str());
        fits.then(|| Self { kid: published.kid.clone(), algorithm, material })
    }

    fn signed(&self, said: &[u8], tag: &[u8]) -> bool {
        let by = |how: &'static dyn VerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(how, point).verify(said, tag).is_ok()
        };
        match (&self.material, self.algorithm) {
            (Material::Rsa { n, e }, Algorithm::Rs256) => signature::RsaPublicKeyComponents { n, e }
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, said, tag)
                .is_ok(),
            (Material::Point(point), Algorithm::Es256) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Material::Point(point), Algorithm::EdDsa) => by(&signature::ED25519, point),
            (Material::Rsa { .. }, Algorithm::Es256 | Algorithm::EdDsa) | (Material::Point(_), Algorithm::Rs256) => {
                false
            }
        }
    }
}

impl Keys {
    /// Reads a provider's keys; those that are of no use here are left out.
    ///
    /// # Errors
    /// When it is no set of keys, or none is of use.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let all: PublishedKeys = serde_json::from_slice(body).map_err(|error| format!("no set of keys: {error}"))?;
        let read = all.keys.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value::<Published>(key).ok());
        let keys: Vec<Key> = read.filter_map(|published| Key::of(&published)).collect();
        if keys.is_empty() {
            return Err("none of its keys signs with RS256, ES256 or EdDSA".into());
        }
        Ok(Self(keys))
    }

    /// What a token says, once its signature is good.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn open(&self, token: &str) -> Result<Value, Fault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Fault::Malformed);
        }
        let (said, tag) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
        let (header, body) = said.split_once('.').filter(|(_, body)| !body.contains('.')).ok_or(Fault::Malformed)?;
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Malformed);
        let (header, body, tag) = (decoded(header)?, decoded(body)?, decoded(tag)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| Fault::Malformed)?;
        if header.crit.is_some() {
            return Err(Fault::Algorithm);
        }
        let algorithm = Algorithm::ALL.into_iter().find(|one| one.as_str() == header.alg).ok_or(Fault::Algorithm)?;
        let fits = |key: &&Key| key.algorithm == algorithm && (header.kid.is_none() || key.kid == header.kid);
        let mut fitting = self.0.iter().filter(fits);
        // Without a name there must be no choice.
        let key = fitting.next().filter(|_| fitting.next().is_none()).ok_or(Fault::NoKey)?;
        if !key.signed(said.as_bytes(), &tag) {
            return Err(Fault::Signature);
        }
        serde_json::from_slice(&body).map_err(|_| Fault::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    fn encoded(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn token(header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let said = format!("{}.{}", encoded(header.to_string()), encoded("{\"sub\":\"ana\"}"));
        let tag = sign(said.as_bytes());
        format!("{said}.{}", encoded(tag))
    }

    fn ed() -> (Ed25519KeyPair, Value) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": encoded(pair.public_key())});
        (pair, key)
    }

    fn keys(all: &[&Value]) -> Keys {
        Keys::parse(json!({"keys": all}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn each_algorithm_is_taken_with_its_own_key() {
        let (pair, key) = ed();
        let signed = |header: Value| token(&header, |said| pair.sign(said).as_ref().to_vec());
        assert_eq!(keys(&[&key]).open(&signed(json!({"alg": "EdDSA", "kid": "a"}))).unwrap()["sub"], "ana");
        assert_eq!(keys(&[&key]).open(&signed(json!({"alg": "EdDSA"}))).unwrap()["sub"], "ana");
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let point = ec.public_key().as_ref();
        let ec_key =
            json!({"kty": "EC", "crv": "P-256", "kid": "b", "x": encoded(&point[1..33]), "y": encoded(&point[33..])});
        let by_ec =
            token(&json!({"alg": "ES256", "kid": "b"}), |said| ec.sign(&random, said).unwrap().as_ref().to_vec());
        assert_eq!(keys(&[&key, &ec_key]).open(&by_ec).unwrap()["sub"], "ana");
        // With the name of a key of another kind.
        assert_eq!(keys(&[&key, &ec_key]).open(&signed(json!({"alg": "EdDSA", "kid": "b"}))), Err(Fault::NoKey));
        // Two without a name.
        assert_eq!(keys(&[&key, &key]).open(&signed(json!({"alg": "EdDSA"}))), Err(Fault::NoKey));
    }

    #[test]
    fn what_a_forger_asks_for_is_not_taken() {
        let (pair, key) = ed();
        let keys = keys(&[&key]);
        let good = token(&json!({"alg": "EdDSA", "kid": "a"}), |said| pair.sign(said).as_ref().to_vec());
        for alg in ["none", "None", "NONE", "", "HS256", "hs256", "HS512", "RS512", "PS256", "ES384", "eddsa"] {
            let header = json!({"alg": alg, "kid": "a"});
            assert_eq!(keys.open(&token(&header, |_| Vec::new())), Err(Fault::Algorithm), "{alg}");
            // The published key as the secret of an HMAC, in each way that it may be written.
            for secret in
                [pair.public_key().as_ref().to_vec(), key.to_string().into_bytes(), key["x"].as_str().unwrap().into()]
            {
                let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
                let forged = token(&header, |said| ring::hmac::sign(&hmac, said).as_ref().to_vec());
                assert_eq!(keys.open(&forged), Err(Fault::Algorithm), "{alg}");
            }
        }
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let forged = token(&json!({"alg": "EdDSA", "kid": "a"}), |said| other.sign(said).as_ref().to_vec());
        assert_eq!(keys.open(&forged), Err(Fault::Signature));
        let own_key = json!({"alg": "EdDSA", "kid": "a", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": encoded(other.public_key())}});
        assert_eq!(keys.open(&token(&own_key, |said| other.sign(said).as_ref().to_vec())), Err(Fault::Signature));
        let critical = json!({"alg": "EdDSA", "kid": "a", "crit": ["b64"], "b64": false});
        assert_eq!(keys.open(&token(&critical, |said| pair.sign(said).as_ref().to_vec())), Err(Fault::Algorithm));
        for at in 0..good.len() {
            let mut changed = good.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(keys.open(std::str::from_utf8(&changed).unwrap()).is_err(), "byte {at}");
        }
        for bad in [
            "",
            ".",
            "..",
            "...",
            "a.b",
            "a.b.c.d",
            &"A".repeat(TOKEN_BYTES_MAX + 1),
            &format!("{good}."),
            &format!("{good}="),
            "é.é.é",
        ] {
            assert!(keys.open(bad).is_err(), "{bad:?}");
        }
        assert!(keys.open(&good).is_ok());
    }

    #[test]
    fn keys_for_something_else_are_left_out() {
        let (_, key) = ed();
        let with = |name: &str, value: &str| {
            let mut key = key.clone();
            key[name] = value.into();
            json!({"keys": [key]}).to_string()
        };
        assert!(Keys::parse(with("use", "enc").as_bytes()).is_err());
        assert!(Keys::parse(with("alg", "RS256").as_bytes()).is_err());
        assert!(Keys::parse(with("crv", "X25519").as_bytes()).is_err());
        assert!(Keys::parse(with("x", "AAAA").as_bytes()).is_err());
        assert!(Keys::parse(with("kty", "oct").as_bytes()).is_err());
        assert!(Keys::parse(with("alg", "EdDSA").as_bytes()).is_ok());
        for bad in ["", "[]", "{}", "{\"keys\": 3}", "{\"keys\": []}"] {
            assert!(Keys::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
