//! Signing in by an identity provider: a real one on loopback that issues signed tokens, and whatever somebody could put in its place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::oidc::Oidc;
use sitepulse_collector::oidc::settings::{OidcTexts, Settings};
use sitepulse_collector::present::Present;
use sitepulse_collector::present::door::Door;
use sitepulse_collector::present::route::router;
use sitepulse_daemon::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::bench::{Answer, Bench, NETWORK};

const CONSOLE: &str = "https://console.example";
const USERS: &str = "[[user]]\nid = \"ana\"\nname = \"Ana\"\nemail = \"Ana@example.com\"\nrole = \"editor\"\n\n\
                     [[user]]\nid = \"carl\"\nemail = \"carl@example.com\"\n";
/// Made for these tests.
const RSA: &[u8] = include_bytes!("provider_rsa.pk8");

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Rsa,
    Ed,
    /// `none`, without a signature.
    Nothing,
    /// HS256 with the published RSA key as the secret.
    PublicKey,
    /// RS256, by the key of somebody else under the right name.
    Stranger,
}

type Change = Box<dyn Fn(&mut Value) + Send>;

/// What the provider does.
struct Acts {
    up: bool,
    sign: Sign,
    change: Change,
    /// Of each code: the challenge and the nonce that it was given for.
    codes: BTreeMap<String, (String, String)>,
    /// The name of the Ed25519 key; its seed is the first byte.
    kid: String,
    /// Whether it says that it names itself on the way back.
    names_itself: bool,
    /// What it tells beside the ID token, to who shows the access token.
    userinfo: Value,
    asked: BTreeMap<String, usize>,
}

#[derive(Clone)]
struct Provider {
    issuer: String,
    acts: Arc<Mutex<Acts>>,
}

fn fields(text: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            if *first == b'%' {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
                rest = &after[2..];
            } else {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let acts = Acts {
            up: true,
            sign: Sign::Rsa,
            change: Box::new(|_| {}),
            codes: BTreeMap::new(),
            kid: "1".into(),
            names_itself: true,
            userinfo: Value::Null,
            asked: BTreeMap::new(),
        };
        let issuer = format!("http://{}/realm", listener.local_addr().unwrap());
        let provider = Self { issuer, acts: Arc::new(Mutex::new(acts)) };
        let mine = provider.clone();
        #[allow(clippy::disallowed_methods, reason = "a test's server ends with its runtime")]
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                let whole = |bytes: &[u8]| {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    let (head, body) = text.split_once("\r\n\r\n")?;
                    let length = head.to_ascii_lowercase().lines().find_map(|line| {
                        line.strip_prefix("content-length: ").map(|length| length.parse::<usize>().unwrap())
                    });
                    (body.len() >= length.unwrap_or(0)).then(|| (head.to_owned(), body.to_owned()))
                };
                let request = loop {
                    if let Some(request) = whole(&bytes) {
                        break Some(request);
                    }
                    let mut some = [0; 4096];
                    match stream.read(&mut some).await {
                        Ok(0) | Err(_) => break None,
                        Ok(count) => bytes.extend_from_slice(&some[..count]),
                    }
                };
                let Some((head, body)) = request else { continue };
                let (status, answer) = mine.answer(&head, &body);
                let answer = answer.to_string();
                let text = format!(
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                    answer.len()
                );
                stream.write_all(text.as_bytes()).await.ok();
            }
        });
        provider
    }

    fn acts(&self) -> MutexGuard<'_, Acts> {
        self.acts.lock().unwrap()
    }

    fn asked(&self, path: &str) -> usize {
        self.acts().asked.get(path).copied().unwrap_or(0)
    }

    fn change(&self, change: impl Fn(&mut Value) + Send + 'static) {
        self.acts().change = Box::new(change);
    }

    fn answer(&self, head: &str, body: &str) -> (u16, Value) {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let mut acts = self.acts();
        *acts.asked.entry(path.clone()).or_default() += 1;
        if !acts.up {
            return (503, json!({}));
        }
        let at = |path: &str| format!("{}{path}", self.issuer);
        match path.as_str() {
            "/realm/.well-known/openid-configuration" => (
                200,
                json!({
                    "issuer": self.issuer,
                    "authorization_endpoint": at("/auth?tenant=1"),
                    "token_endpoint": at("/token"),
                    "jwks_uri": at("/keys"),
                    "userinfo_endpoint": at("/userinfo"),
                    "authorization_response_iss_parameter_supported": acts.names_itself,
                    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                }),
            ),
            "/realm/keys" => {
                let public = PublicKeyComponents::<Vec<u8>>::from(rsa().public());
                let ed = ed(&acts.kid);
                (
                    200,
                    json!({"keys": [
                        {"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": encoded(&public.n), "e": encoded(&public.e)},
                        {"kty": "OKP", "crv": "Ed25519", "kid": acts.kid, "x": encoded(ed.public_key())},
                        {"kty": "oct", "kid": "secret", "k": "AAAA"},
                    ]}),
                )
            }
            "/realm/token" => {
                let form = fields(body);
                let basic = base64::engine::general_purpose::STANDARD.encode("site%20pulse:hunter%3A2");
                let known = head.contains(&format!("authorization: Basic {basic}"));
                let challenge = encoded(Sha256::digest(form["code_verifier"].as_bytes()));
                // A code works once, for whoever it was given to.
                let Some((_, nonce)) = acts.codes.remove(&form["code"]).filter(|(of, _)| known && *of == challenge)
                else {
                    return (400, json!({"error": "invalid_grant", "error_description": "<script>"}));
                };
                assert_eq!(form["redirect_uri"], format!("{CONSOLE}/sign-in/provider/back"));
                let now = clock::now().0 / 1_000_000;
                let mut claims = json!({
                    "iss": self.issuer, "aud": "site pulse", "sub": "4711", "iat": now, "exp": now + 300, "nonce": nonce,
                    "email": "ana@example.com", "email_verified": true, "name": "Ana at work",
                    "preferred_username": "ana.s", "groups": ["staff"],
                });
                (acts.change)(&mut claims);
                (
                    200,
                    json!({"id_token": token(acts.sign, &acts.kid, &claims), "token_type": "Bearer", "access_token": "x"}),
                )
            }
            "/realm/userinfo"
                if head.contains("authorization: Bearer x\r\n") || head.ends_with("authorization: Bearer x") =>
            {
                (200, acts.userinfo.clone())
            }
            _ => (404, json!({})),
        }
    }
}

fn rsa() -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(RSA).unwrap()
}

fn ed(kid: &str) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[kid.as_bytes()[0]; 32]).unwrap()
}

fn token(sign: Sign, kid: &str, claims: &Value) -> String {
    let (alg, kid) = match sign {
        Sign::Rsa => ("RS256", "rsa"),
        Sign::Ed => ("EdDSA", kid),
        Sign::Stranger => ("EdDSA", kid),
        Sign::Nothing => ("none", "rsa"),
        Sign::PublicKey => ("HS256", "rsa"),
    };
    let header = json!({"alg": alg, "kid": kid, "typ": "JWT"});
    let said = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
    let tag = match sign {
        Sign::Rsa => {
            let mut tag = vec![0; rsa().public().modulus_len()];
            rsa().sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), said.as_bytes(), &mut tag).unwrap();
            tag
        }
        Sign::Ed => ed(kid).sign(said.as_bytes()).as_ref().to_vec(),
        Sign::Stranger => ed("stranger").sign(said.as_bytes()).as_ref().to_vec(),
        Sign::Nothing => Vec::new(),
        Sign::PublicKey => {
            let public = PublicKeyComponents::<Vec<u8>>::from(rsa().public());
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public.n);
            ring::hmac::sign(&key, said.as_bytes()).as_ref().to_vec()
        }
    };
    format!("{said}.{}", encoded(tag))
}

struct World {
    bench: Bench,
    provider: Provider,
    _stop: watch::Sender<bool>,
}

/// A browser on its way.
#[derive(Debug, Clone)]
struct Flow {
    cookie: String,
    sent: BTreeMap<String, String>,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl Fn(&mut OidcTexts)) -> Self {
        let provider = Provider::start().await;
        let mut bench = Bench::new();
        assert_eq!(bench.apply(USERS, json!({})).await.status, StatusCode::OK);
        bench.app.set_secret("oidc", b"hunter:2".to_vec(), clock::now()).await.unwrap();
        let mut texts = OidcTexts {
            issuer: provider.issuer.clone(),
            client_id: "site pulse".into(),
            client_secret: Some("secret:oidc".into()),
            ..OidcTexts::default()
        };
        change(&mut texts);
        let oidc = Arc::new(Oidc::new(Settings::new(texts).unwrap(), CONSOLE));
        let (stop, stopping) = watch::channel(false);
        let sender = sitepulse_notify::Sender::default();
        let present = Present::new(bench.app.clone(), sender, CONSOLE.into(), stopping);
        bench.router = router(present.signed_in_by(oidc));
        Self { bench, provider, _stop: stop }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.bench.send(NETWORK, "GET", path, &[("cookie", cookie)], "").await
    }

    async fn begin(&self, next: &str) -> Flow {
        let answer = self.bench.send(NETWORK, "GET", &format!("/sign-in/provider?next={next}"), &[], "").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let location = answer.headers[header::LOCATION].to_str().unwrap();
        let query = location.strip_prefix(&format!("{}/auth?tenant=1&", self.provider.issuer)).unwrap();
        let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
        for part in
            ["__Host-sitepulse_provider=", "; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/", "Max-Age=600"]
        {
            assert!(set.contains(part), "{set}");
        }
        Flow { cookie: set.split(';').next().unwrap().to_owned(), sent: fields(query) }
    }

    /// The provider lets somebody in: the code that it sends the browser back with.
    fn code(&self, flow: &Flow) -> String {
        let mut acts = self.provider.acts();
        let code = format!("code-{}-{}", acts.codes.len(), &flow.sent["state"][..8]);
        acts.codes.insert(code.clone(), (flow.sent["code_challenge"].clone(), flow.sent["nonce"].clone()));
        code
    }

    fn path(&self, state: &str, code: &str) -> String {
        let issuer = self.provider.issuer.replace(':', "%3A").replace('/', "%2F");
        format!("/sign-in/provider/back?code={code}&state={state}&iss={issuer}")
    }

    async fn back(&self, flow: &Flow) -> Answer {
        let code = self.code(flow);
        self.get(&self.path(&flow.sent["state"], &code), &flow.cookie).await
    }

    /// Somebody comes in, or does not.
    async fn try_in(&self) -> Answer {
        self.back(&self.begin("/").await).await
    }

    async fn log(&self) -> Vec<Value> {
        self.bench.app.writer().run(|_| ()).await.unwrap();
        self.bench.get("/api/v1/audit?limit=1000").await.json().as_array().unwrap().clone()
    }

    async fn account(&self, id: &str) -> Value {
        let all = self.bench.get("/api/v1/accounts").await.json();
        all.as_array().unwrap().iter().find(|one| one["id"] == id).cloned().unwrap_or(Value::Null)
    }
}

/// The session that an answer gives.
fn session(answer: &Answer) -> Option<String> {
    let cookies = answer.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap());
    let own = |cookie: &str| {
        cookie.starts_with("__Host-sitepulse_session=").then(|| cookie.split(';').next().unwrap().to_owned())
    };
    cookies.filter_map(own).next()
}

fn assert_refused(what: &str, answer: &Answer) {
    assert_eq!((answer.status, session(answer)), (StatusCode::FORBIDDEN, None), "{what}: {}", answer.text);
    assert!(answer.text.contains("role=\"alert\""), "{what}: {}", answer.text);
}

#[tokio::test]
async fn whoever_the_provider_vouches_for_comes_in_as_the_user_of_their_address_and_stays_that() {
    let world = World::new().await;
    let page = world.bench.send(NETWORK, "GET", "/checks?state=down", &[("accept-language", "fr")], "").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(page.text.contains("href=\"/sign-in/provider?next=%2Fchecks%3Fstate%3Ddown\""), "{}", page.text);
    assert!(page.text.contains("Se connecter avec le compte de votre organisation"), "{}", page.text);
    let flow = world.begin("%2Fchecks%3Fstate%3Ddown").await;
    let sent = |name: &str| flow.sent[name].as_str();
    assert_eq!((sent("response_type"), sent("client_id")), ("code", "site pulse"));
    assert_eq!((sent("code_challenge_method"), sent("scope")), ("S256", "openid profile email"));
    assert!(sent("state").len() == 43 && sent("nonce").len() == 43 && sent("code_challenge").len() == 43);
    let answer = world.back(&flow).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(answer.text.contains("content=\"0; url=/checks?state=down\""), "{}", answer.text);
    let ana = session(&answer).unwrap();
    let strict = answer.headers.get_all(header::SET_COOKIE).iter().any(|value| {
        value.to_str().unwrap().contains("__Host-sitepulse_session=")
            && value.to_str().unwrap().contains("SameSite=Strict")
    });
    assert!(strict);
    let settings = world.get("/settings?lang=fr", &ana).await;
    assert_eq!(settings.status, StatusCode::OK);
    assert!(settings.text.contains("fournisseur d’identité ("), "{}", settings.text);
    let sessions = world.bench.send(NETWORK, "GET", "/api/v1/sessions", &[("cookie", &ana)], "").await.json();
    assert_eq!((&sessions[0]["way"], &sessions[0]["user"]), (&json!("provider"), &json!("ana")));
    let account = world.account("ana").await;
    assert_eq!((&account["identity"]["subject"], &account["role"]), (&json!("4711"), &json!("editor")));
    let log = world.log().await;
    let told: Vec<_> = log.iter().map(|one| (one["action"].as_str().unwrap(), one["way"].as_str().unwrap())).collect();
    assert!(told.contains(&("link", "provider")) && told.contains(&("sign-in", "provider")), "{told:?}");
    assert!(log.iter().all(|one| !one.to_string().contains("hunter")));

    // The name there decides from now on, not the address.
    world.provider.change(|claims| claims["email"] = json!("someone.else@example.com"));
    let again = session(&world.try_in().await).unwrap();
    assert_eq!(world.get("/settings", &again).await.status, StatusCode::OK);
    // Somebody else there with the address is not her.
    world.provider.change(|claims| claims["sub"] = json!("666"));
    let taken = world.try_in().await;
    assert_refused("the address of somebody who is linked", &taken);
    assert!(taken.text.contains("linked to another account"), "{}", taken.text);

    // Signing out ends this session alone; what ends users' sessions ends these.
    let here = [("cookie", again.as_str()), ("origin", CONSOLE), ("host", "console.example")];
    assert_eq!(world.bench.send(NETWORK, "POST", "/sign-out", &here, "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(world.get("/settings", &again).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/settings", &ana).await.status, StatusCode::OK);
    let lower = USERS.replace("editor", "viewer");
    assert_eq!(world.bench.apply(&lower, json!({})).await.status, StatusCode::OK);
    assert_eq!(world.get("/settings", &ana).await.status, StatusCode::UNAUTHORIZED);
    // An admin forgets who she is there: the address decides anew.
    let unlinked = world.bench.send(
        sitepulse_collector::present::door::Door::Local,
        "DELETE",
        "/api/v1/accounts/ana/identity",
        &[],
        "",
    );
    assert_eq!(unlinked.await.status, StatusCode::NO_CONTENT);
    assert!(session(&world.try_in().await).is_some());
    assert_eq!(world.account("ana").await["identity"]["subject"], "666");
}

/// Some providers tell an address at the userinfo endpoint alone.
#[tokio::test]
async fn an_address_that_the_token_leaves_out_is_asked_for() {
    let world = World::with(|texts| texts.allow_domains = Some(vec!["example.com".into()])).await;
    let nameless = |claims: &mut Value| {
        let claims = claims.as_object_mut().unwrap();
        claims.retain(|name, _| !["email", "email_verified"].contains(&name.as_str()));
    };
    assert!(session(&world.try_in().await).is_some());
    assert_eq!(world.provider.asked("/realm/userinfo"), 0, "the token said all");
    world.provider.change(nameless);
    assert_refused("nobody tells an address", &world.try_in().await);
    let told = |sub: &str, verified: bool| json!({"sub": sub, "email": "ana@example.com", "email_verified": verified});
    for (what, userinfo) in [("of somebody else", told("1", true)), ("not known to be theirs", told("4711", false))] {
        world.provider.acts().userinfo = userinfo;
        assert_refused(what, &world.try_in().await);
    }
    world.provider.acts().userinfo = told("4711", true);
    assert!(session(&world.try_in().await).is_some());
}

#[tokio::test]
async fn tokens_that_are_not_good_let_nobody_in() {
    let world = World::new().await;
    for sign in [Sign::Nothing, Sign::PublicKey, Sign::Stranger] {
        world.provider.acts().sign = sign;
        assert_refused(&format!("{sign:?}"), &world.try_in().await);
    }
    world.provider.acts().sign = Sign::Rsa;
    type Bad = (&'static str, fn(&mut Value));
    let bad: [Bad; 9] = [
        ("another nonce", |claims| claims["nonce"] = json!("replayed")),
        ("no nonce", |claims| drop(claims.as_object_mut().unwrap().remove("nonce"))),
        ("another client", |claims| claims["aud"] = json!("other")),
        ("two clients", |claims| claims["aud"] = json!(["site pulse", "other"])),
        ("another issuer", |claims| claims["iss"] = json!("https://evil.example")),
        ("over", |claims| claims["exp"] = json!(clock::now().0 / 1_000_000 - 61)),
        ("never over", |claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        ("of the future", |claims| claims["iat"] = json!(clock::now().0 / 1_000_000 + 3600)),
        ("nobody", |claims| claims["sub"] = json!("")),
    ];
    for (what, change) in bad {
        world.provider.change(change);
        let refused = world.try_in().await;
        assert_refused(what, &refused);
        assert!(!refused.text.contains("<script"), "{}", refused.text);
    }
    let refusals = world.log().await.into_iter().filter(|one| one["outcome"] == "refused" && one["way"] == "provider");
    assert_eq!(refusals.count(), 12);
    // An address that the provider does not vouch for is nobody's.
    world.provider.change(|claims| claims["email_verified"] = json!(false));
    let unknown = world.try_in().await;
    assert_refused("an address that is not verified", &unknown);
    assert!(unknown.text.contains("not a user here yet"), "{}", unknown.text);
    // And the same provider lets her in when nothing is wrong, by either kind of key.
    world.provider.change(|_| {});
    assert!(session(&world.try_in().await).is_some());
    world.provider.acts().sign = Sign::Ed;
    assert!(session(&world.try_in().await).is_some());
}

#[tokio::test]
async fn a_way_back_works_once_in_the_browser_that_began_it() {
    let world = World::new().await;
    let (mine, theirs) = (world.begin("/").await, world.begin("/").await);
    let path = |flow: &Flow, code: &str| world.path(&flow.sent["state"], code);
    // A state that nobody began, none, and one of a browser that began none.
    for state in ["", "forged", &"a".repeat(5000)] {
        assert_refused(state, &world.get(&world.path(state, "x"), &mine.cookie).await);
    }
    let alone = world.begin("/").await;
    assert_refused("no cookie", &world.get(&path(&alone, &world.code(&alone)), "").await);
    // The link of somebody who wants me to be signed in as them.
    assert_refused("their state", &world.get(&path(&theirs, &world.code(&theirs)), &mine.cookie).await);
    // Their code in my way back: the provider gave it for another challenge.
    let other = world.begin("/").await;
    let stolen = world.code(&other);
    assert_refused("their code", &world.get(&path(&mine, &stolen), &mine.cookie).await);
    // One that is used up is used up, whether it worked or not.
    assert_refused("again", &world.get(&path(&mine, &world.code(&mine)), &mine.cookie).await);
    let good = world.begin("/").await;
    assert!(session(&world.back(&good).await).is_some());
    assert_refused("a replay", &world.back(&good).await);
    // A code twice.
    let (first, second) = (world.begin("/").await, world.begin("/").await);
    let code = world.code(&first);
    assert!(session(&world.get(&path(&first, &code), &first.cookie).await).is_some());
    assert_refused("a code twice", &world.get(&path(&second, &code), &second.cookie).await);
    // What the provider refuses, with whatever it says.
    let flow = world.begin("/").await;
    let issuer = world.provider.issuer.replace(':', "%3A").replace('/', "%2F");
    let denied = format!("/sign-in/provider/back?state={}&iss={issuer}&error=access_denied", flow.sent["state"]);
    let denied = world.get(&denied, &flow.cookie).await;
    assert_refused("denied", &denied);
    assert!(denied.text.contains("did not let you in"), "{}", denied.text);
    let flow = world.begin("/").await;
    let said = format!("/sign-in/provider/back?state={}&iss={issuer}&error=%3Cscript%3E", flow.sent["state"]);
    let said = world.get(&said, &flow.cookie).await;
    assert!(said.status == StatusCode::FORBIDDEN && !said.text.contains("<script"), "{}", said.text);
}

/// Somebody in between has the browser bring an answer of another provider (RFC 9207).
#[tokio::test]
async fn an_answer_of_another_issuer_is_not_redeemed() {
    let world = World::new().await;
    let before = world.provider.asked("/realm/token");
    for iss in ["&iss=https%3A%2F%2Fevil.example", "", "&iss="] {
        let flow = world.begin("/").await;
        let code = world.code(&flow);
        let path = format!("/sign-in/provider/back?code={code}&state={}{iss}", flow.sent["state"]);
        assert_refused(iss, &world.get(&path, &flow.cookie).await);
    }
    assert_eq!(world.provider.asked("/realm/token"), before, "a code went out");
    // A provider that never names itself need not.
    let quiet = World::new().await;
    quiet.provider.acts().names_itself = false;
    let flow = quiet.begin("/").await;
    let path = format!("/sign-in/provider/back?code={}&state={}", quiet.code(&flow), flow.sent["state"]);
    assert!(session(&quiet.get(&path, &flow.cookie).await).is_some());
}

#[tokio::test]
async fn nobody_is_led_to_another_site() {
    let world = World::new().await;
    for next in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%2F%09%2Fevil.example",
        "%09%2F%2Fevil.example",
        "javascript%3Aalert(1)",
        "%2Fa%0d%0aSet-Cookie%3A+a%3Db",
        "",
    ] {
        let answer = world.back(&world.begin(next).await).await;
        assert_eq!(answer.status, StatusCode::OK, "{next}");
        assert!(
            answer.text.contains("content=\"0; url=/\"") && !answer.text.contains("evil"),
            "{next}: {}",
            answer.text
        );
    }
    let quoted = world.back(&world.begin("%2F%22%3E%3Cscript%3E").await).await;
    assert!(!quoted.text.contains("<script>"), "{}", quoted.text);
}

#[tokio::test]
async fn strangers_become_users_where_the_owner_says_so_and_follow_their_groups() {
    let world = World::with(|texts| {
        texts.unknown = Some("viewer".into());
        texts.allow_groups = Some(vec!["staff".into()]);
        texts.roles = Some([("sre".to_owned(), "editor".to_owned()), ("boss".to_owned(), "admin".to_owned())].into());
        texts.button = Some("Sign in <here>".into());
    })
    .await;
    let page = world.bench.send(NETWORK, "GET", "/sign-in", &[], "").await.text;
    assert!(page.contains("Sign in &#60;here&#62;</a>"), "{page}");
    let as_bob = |groups: &'static [&'static str]| {
        move |claims: &mut Value| {
            claims["sub"] = json!("bob-there");
            claims["email"] = json!("bob@example.com");
            claims["preferred_username"] = json!("Bob");
            claims["name"] = json!("Bob B.");
            claims["groups"] = json!(groups);
        }
    };
    world.provider.change(as_bob(&["staff"]));
    let first = session(&world.try_in().await).unwrap();
    let bob = world.account("bob").await;
    assert_eq!(
        (&bob["role"], &bob["name"], &bob["identity"]["subject"]),
        (&json!("viewer"), &json!("Bob B."), &json!("bob-there"))
    );
    assert_eq!(world.get("/settings", &first).await.status, StatusCode::OK);
    // More groups, and the older session ends with the role.
    world.provider.change(as_bob(&["staff", "sre"]));
    let second = session(&world.try_in().await).unwrap();
    assert_eq!(world.account("bob").await["role"], "editor");
    assert_eq!(world.get("/settings", &first).await.status, StatusCode::UNAUTHORIZED);
    // In no group that is allowed: what the provider gave it takes away.
    world.provider.change(as_bob(&["sre"]));
    assert_refused("no group", &world.try_in().await);
    assert_eq!(world.get("/settings", &second).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.account("bob").await["role"], Value::Null);
    world.provider.change(as_bob(&["staff", "boss"]));
    assert!(session(&world.try_in().await).is_some());
    assert_eq!(world.account("bob").await["role"], "admin");
    // Written as code, the code says it.
    let code = format!("{USERS}\n[[user]]\nid = \"bob\"\nrole = \"viewer\"\n");
    assert_eq!(world.bench.apply(&code, json!({})).await.status, StatusCode::OK);
    assert!(session(&world.try_in().await).is_some());
    assert_eq!(world.account("bob").await["role"], "viewer");
    // Another Bob is another user; nobody takes over an id, or the user whose address they only claim.
    world.provider.change(|claims| {
        claims["sub"] = json!("other-bob");
        claims["email"] = json!("ana@example.com");
        claims["email_verified"] = json!(false);
        claims["preferred_username"] = json!("bob");
    });
    let other = session(&world.try_in().await).unwrap();
    assert_eq!(
        world.bench.send(NETWORK, "GET", "/api/v1/sessions", &[("cookie", &other)], "").await.json()[0]["access"],
        "read"
    );
    let accounts = world.bench.get("/api/v1/accounts").await.json();
    let new: Vec<_> =
        accounts.as_array().unwrap().iter().filter(|one| one["identity"]["subject"] == "other-bob").collect();
    assert!(new.len() == 1 && new[0]["id"].as_str().unwrap().starts_with("bob-"), "{accounts}");
    // Who is retired stays out, and a later user of the same id is somebody else.
    world.provider.change(as_bob(&["staff"]));
    assert_eq!(world.bench.apply(USERS, json!({"prune": true})).await.status, StatusCode::OK);
    assert_refused("retired", &world.try_in().await);
    assert_eq!(world.bench.apply(&code, json!({})).await.status, StatusCode::OK);
    assert_refused("another of the same id", &world.try_in().await);
    // Whom a sign-in made no file ever named: pruning by files leaves them, ending them by their id does not.
    let stays = new[0]["id"].as_str().unwrap();
    assert_eq!(world.account(stays).await["role"], "viewer");
    let levels =
        format!("[[escalation]]\nid = \"night\"\nlevels = [{{ after = \"0s\", notify = [\"user:{stays}\"] }}]\n");
    let named = world.bench.apply(&format!("{code}\n{levels}"), json!({"prune": true, "dry_run": true})).await;
    assert_eq!(named.status, StatusCode::OK, "a file may refer to them: {}", named.text);
    let path = format!("/api/v1/definitions/user/{stays}");
    let ended = world.bench.send(Door::Local, "DELETE", &path, &[], "").await;
    assert!(ended.status.is_success(), "{}", ended.text);
    assert_eq!(world.account(stays).await["role"], Value::Null);
    // Without a role nobody comes in, whatever the provider says.
    world.provider.change(|claims| {
        claims["sub"] = json!("carl-there");
        claims["email"] = json!("carl@example.com");
        claims["groups"] = json!(["staff", "boss"]);
    });
    assert_refused("no role", &world.try_in().await);
}

/// Writes a user as a holder of an `edit` token would.
async fn write_user(world: &World, id: &str, user: &Value) -> Answer {
    let token = world.bench.token(CredentialKind::ApiToken, Access::Edit).await;
    let bearer = format!("Bearer {token}");
    let path = format!("/api/v1/definitions/user/{id}");
    world.bench.send(NETWORK, "PUT", &path, &[("authorization", &bearer)], &user.to_string()).await
}

/// Whoever a provider vouches for is the user of their address: who sets an address says who comes in.
#[tokio::test]
async fn who_edits_leads_nobody_in_as_somebody_else() {
    let world = World::new().await;
    let boss = "[[user]]\nid = \"boss\"\nemail = \"boss@example.com\"\nrole = \"admin\"\n\n[[user]]\nid = \"chief\"\nrole = \"admin\"\n";
    assert_eq!(world.bench.apply(&format!("{USERS}\n{boss}"), json!({})).await.status, StatusCode::OK);
    world.provider.change(|claims| {
        claims["sub"] = json!("mallory-there");
        claims["email"] = json!("mallory@example.com");
    });
    for user in ["boss", "chief"] {
        let taken =
            write_user(&world, user, &json!({"id": user, "role": "admin", "email": "mallory@example.com"})).await;
        assert_eq!(taken.status, StatusCode::FORBIDDEN, "{}", taken.text);
        assert!(taken.text.contains("only an admin may"), "{}", taken.text);
        assert_refused(user, &world.try_in().await);
    }
    // Neither is an address taken away, nor with a role that is not there before or after.
    let gone = write_user(&world, "boss", &json!({"id": "boss", "role": "admin"})).await;
    assert_eq!(gone.status, StatusCode::FORBIDDEN, "{}", gone.text);
    // Who cannot sign in may have another address, and who can another name.
    let carl = write_user(&world, "carl", &json!({"id": "carl", "email": "carl@elsewhere.example"})).await;
    assert_eq!(carl.status, StatusCode::OK, "{}", carl.text);
    let named =
        write_user(&world, "boss", &json!({"id": "boss", "role": "admin", "email": "boss@example.com", "name": "B."}))
            .await;
    assert_eq!(named.status, StatusCode::OK, "{}", named.text);
    assert_refused("still nobody", &world.try_in().await);
}

/// A user whom a sign-in wrote would be ruled by the code from the first change on, and keep a role that the provider takes away.
#[tokio::test]
async fn who_edits_takes_nobody_out_of_the_provider_s_hands() {
    let world = World::with(|texts| {
        texts.unknown = Some("viewer".into());
        texts.allow_domains = Some(vec!["example.com".into()]);
        texts.roles = Some([("boss".to_owned(), "admin".to_owned())].into());
    })
    .await;
    let as_bob = |groups: &'static [&'static str]| {
        move |claims: &mut Value| {
            claims["sub"] = json!("bob-there");
            claims["email"] = json!("bob@example.com");
            claims["preferred_username"] = json!("bob");
            claims["groups"] = json!(groups);
        }
    };
    world.provider.change(as_bob(&["boss"]));
    assert!(session(&world.try_in().await).is_some());
    assert_eq!(world.account("bob").await["role"], "admin");
    let mut definition = world.bench.get("/api/v1/definitions/user/bob").await.json()["definition"].clone();
    definition["name"] = json!("Bob, kept");
    let kept = write_user(&world, "bob", &definition).await;
    assert_eq!(kept.status, StatusCode::FORBIDDEN, "{}", kept.text);
    world.provider.change(as_bob(&[]));
    assert!(session(&world.try_in().await).is_some());
    assert_eq!(world.account("bob").await["role"], "viewer", "the provider still says it");
    // An admin may say it by code.
    let file = "[[user]]\nid = \"bob\"\nemail = \"bob@example.com\"\nrole = \"editor\"\n";
    assert_eq!(world.bench.apply(file, json!({})).await.status, StatusCode::OK);
    assert!(session(&world.try_in().await).is_some());
    assert_eq!(world.account("bob").await["role"], "editor");
}

#[tokio::test]
async fn a_domain_that_is_not_allowed_is_not() {
    let world = World::with(|texts| texts.allow_domains = Some(vec!["example.com".into()])).await;
    assert!(session(&world.try_in().await).is_some());
    for email in ["ana@example.com.evil.org", "ana@evil.org", "ana"] {
        world.provider.change(move |claims| claims["email"] = json!(email));
        assert_refused(email, &world.try_in().await);
    }
}

#[tokio::test]
async fn new_keys_are_asked_for_once_whoever_names_them() {
    let world = World::new().await;
    world.provider.acts().sign = Sign::Ed;
    assert!(session(&world.try_in().await).is_some());
    assert_eq!(world.provider.asked("/realm/keys"), 1);
    world.provider.acts().kid = "2".into();
    assert!(session(&world.try_in().await).is_some());
    assert_eq!(world.provider.asked("/realm/keys"), 2);
    for kid in ["3", "4", "5"] {
        world.provider.acts().kid = kid.into();
        assert_refused(kid, &world.try_in().await);
    }
    assert_eq!(
        (world.provider.asked("/realm/keys"), world.provider.asked("/realm/.well-known/openid-configuration")),
        (2, 1)
    );
}

#[tokio::test]
async fn a_provider_that_is_away_is_told_of_and_keeps_nobody_else_out() {
    let world = World::new().await;
    world.provider.acts().up = false;
    for _ in 0..3 {
        let answer = world.bench.send(NETWORK, "GET", "/sign-in/provider?lang=fr", &[], "").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.text.contains("ne répond pas en ce moment"), "{}", answer.text);
    }
    assert_eq!(world.provider.asked("/realm/.well-known/openid-configuration"), 1, "it is left alone for a while");
    let page = world.bench.send(NETWORK, "GET", "/sign-in", &[], "").await;
    assert!(page.status == StatusCode::OK && page.text.contains("does not answer right now"), "{}", page.text);
    let link = world.bench.token(CredentialKind::SignIn, Access::Admin).await;
    let by_link = world.bench.open_link(NETWORK, &link).await;
    assert_eq!(by_link.status, StatusCode::SEE_OTHER);
    world.provider.acts().up = true;
    let back = async {
        while world.bench.send(NETWORK, "GET", "/sign-in/provider", &[], "").await.status != StatusCode::SEE_OTHER {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), back).await.unwrap();
    assert!(!world.bench.send(NETWORK, "GET", "/sign-in", &[], "").await.text.contains("does not answer right now"));
    assert!(session(&world.try_in().await).is_some());
}

#[tokio::test]
async fn without_a_provider_there_is_no_way_to_one() {
    let bench = Bench::new();
    for path in ["/sign-in/provider", "/sign-in/provider/back?state=a&code=b"] {
        assert_eq!(bench.send(NETWORK, "GET", path, &[], "").await.status, StatusCode::NOT_FOUND);
    }
    assert!(!bench.send(NETWORK, "GET", "/sign-in", &[], "").await.text.contains("/sign-in/provider"));
}
