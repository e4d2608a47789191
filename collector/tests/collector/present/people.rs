//! People at the door: passwords, roles, sessions, invitations, tokens with scopes, and the audit log.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::present::audit;
use sitepulse_collector::present::console::frame::Place;
use sitepulse_collector::present::door::{Door, Scope};
use sitepulse_collector::present::route::routes;
use sitepulse_daemon::clock;
use tower::ServiceExt;

use super::bench::{Answer, Bench, NETWORK};

const HERE: [(&str, &str); 2] = [("origin", "https://console.example"), ("host", "console.example")];
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const PASSWORD: &str = "correct horse battery";
const USERS: &str = "[[user]]\nid = \"ana\"\nname = \"Ana <Silva>\"\nrole = \"admin\"\n\n[[user]]\nid = \"bob\"\nrole = \"editor\"\n\n\
                     [[user]]\nid = \"carl\"\n";

/// A collector whose users ana and bob have the same password.
async fn bench() -> Bench {
    let bench = Bench::new();
    assert_eq!(bench.apply(USERS, json!({})).await.status, StatusCode::OK);
    for user in ["ana", "bob"] {
        assert_eq!(set_password(&bench, user, PASSWORD).await.status, StatusCode::NO_CONTENT);
    }
    bench
}

async fn set_password(bench: &Bench, user: &str, password: &str) -> Answer {
    bench.send(Door::Local, "PUT", &format!("/api/v1/accounts/{user}/password"), &[], password).await
}

async fn knock(bench: &Bench, door: Door, user: &str, password: &str) -> Answer {
    let body = format!("user={user}&password={}", password.replace(' ', "+"));
    bench.send(door, "POST", "/sign-in", &[HERE[0], HERE[1], FORM], &body).await
}

fn cookie_of(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    answer.headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
}

async fn session(bench: &Bench, user: &str) -> String {
    cookie_of(&knock(bench, NETWORK, user, PASSWORD).await)
}

async fn status(bench: &Bench, cookie: &str, path: &str) -> StatusCode {
    bench.send(NETWORK, "GET", path, &[("cookie", cookie)], "").await.status
}

async fn form(bench: &Bench, cookie: &str, path: &str, body: &str) -> Answer {
    bench.send(NETWORK, "POST", path, &[("cookie", cookie), HERE[0], HERE[1], FORM], body).await
}

async fn log(bench: &Bench) -> Vec<Value> {
    // What is told in passing is written by now.
    bench.app.writer().run(|_| ()).await.unwrap();
    let answer = bench.get("/api/v1/audit?limit=1000").await;
    answer.json().as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
}

fn peer(last: u8) -> Door {
    Door::Network { peer: std::net::SocketAddr::from(([198, 51, 100, last], 40_000)), loopback: false, secure: true }
}

#[tokio::test]
async fn a_user_signs_in_with_a_password_and_reaches_as_far_as_their_role() {
    let bench = bench().await;
    let page = bench.send(NETWORK, "GET", "/checks/shop?span=7d", &[], "").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(
        page.text.contains("name=\"password\"") && page.text.contains("value=\"/checks/shop?span=7d\""),
        "{}",
        page.text
    );
    let answer = bench
        .send(
            NETWORK,
            "POST",
            "/sign-in",
            &[HERE[0], HERE[1], FORM],
            "user=bob&password=correct+horse+battery&back=/slos",
        )
        .await;
    assert_eq!(answer.headers[header::LOCATION], "/slos");
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
    for part in ["__Host-sitepulse_session=sps_", "; HttpOnly", "; SameSite=Strict", "; Secure", "; Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    let bob = cookie_of(&answer);
    assert_eq!(status(&bench, &bob, "/settings").await, StatusCode::OK);
    let audit = bench.send(NETWORK, "GET", "/settings/audit", &[("cookie", &bob)], "").await;
    assert_eq!(audit.status, StatusCode::FORBIDDEN);
    assert!(audit.text.contains("not for your role"), "{}", audit.text);
    let ana = session(&bench, "ana").await;
    let settings = bench.send(NETWORK, "GET", "/settings?lang=fr", &[("cookie", &ana)], "").await;
    assert!(
        settings.text.contains("Ana &#60;Silva&#62;") && settings.text.contains("Jetons d’API"),
        "{}",
        settings.text
    );
    assert_eq!(status(&bench, &ana, "/settings/audit").await, StatusCode::OK);
    // Nobody is sent to another site after signing in, and nobody is signed in by one.
    let body = "user=bob&password=correct+horse+battery&back=//evil.example";
    let away = bench.send(NETWORK, "POST", "/sign-in", &[HERE[0], HERE[1], FORM], body).await;
    assert_eq!(away.headers[header::LOCATION], "/");
    for origin in ["https://evil.example", "null"] {
        let headers = [("origin", origin), HERE[1], FORM];
        let foreign = bench.send(NETWORK, "POST", "/sign-in", &headers, body).await;
        assert_eq!((foreign.status, foreign.headers.get(header::SET_COOKIE)), (StatusCode::FORBIDDEN, None));
    }
}

#[tokio::test]
async fn who_is_not_there_is_refused_as_a_wrong_password_is() {
    let bench = bench().await;
    let wrong = knock(&bench, peer(1), "ana", "wrong horse battery").await;
    let nobody = knock(&bench, peer(2), "mallory", "wrong horse battery").await;
    let no_role = knock(&bench, peer(3), "carl", "wrong horse battery").await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    for other in [&nobody, &no_role] {
        assert_eq!(other.status, wrong.status);
        let plain = |text: &str| text.replace("mallory", "ana").replace("carl", "ana");
        assert_eq!(plain(&other.text), wrong.text);
        assert!(other.headers.get(header::SET_COOKIE).is_none());
    }
    // Without a role there is no password to set.
    assert_eq!(set_password(&bench, "carl", PASSWORD).await.status, StatusCode::CONFLICT);
    assert_eq!(set_password(&bench, "mallory", PASSWORD).await.status, StatusCode::NOT_FOUND);
    for weak in ["short", "password1234", "bobbobbobbob", "\u{fffd}"] {
        let answer = set_password(&bench, "bob", weak).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{weak}");
        assert!(weak == "short" || !answer.text.contains(weak), "{}", answer.text);
    }
}

#[tokio::test]
async fn guesses_are_slowed_down_and_the_right_one_from_a_known_address_is_not() {
    let bench = bench().await;
    cookie_of(&knock(&bench, peer(9), "ana", PASSWORD).await);
    // All at the same instant, in this order: no wait is over meanwhile.
    let guess = |last: u8, user: &'static str, password: &'static str| {
        let bench = &bench;
        Box::pin(async move { knock(bench, peer(last), user, password).await })
    };
    let mut knocks: Vec<_> = (0..8).map(|_| guess(1, "ana", "wrong horse battery")).collect();
    // Even the right password waits there, and by this name anywhere new; not where ana is known, and not for others elsewhere.
    knocks.push(guess(1, "ana", PASSWORD));
    knocks.push(guess(2, "ana", PASSWORD));
    knocks.push(guess(9, "ana", PASSWORD));
    knocks.push(guess(3, "bob", PASSWORD));
    let answers = futures_util::future::join_all(knocks).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429, 429, 429, 429, 429, 303, 303]);
    assert_eq!(answers[7].headers[header::RETRY_AFTER], "1");
    let log = log(&bench).await;
    let told: Vec<_> = log.iter().filter(|one| one["action"] == "sign-in" && one["subject"] == "ana").collect();
    assert!(told.iter().any(|one| one["outcome"] == "failed" && one["status"] == 429), "{told:?}");
    assert!(told.iter().any(|one| one["outcome"] == "refused" && one["author"] == "stranger"), "{told:?}");
    assert!(
        told.iter().any(|one| one["outcome"] == "done" && one["author"] == "collector:ana" && one["way"] == "password")
    );
    assert!(!bench.get("/api/v1/audit?limit=1000").await.text.contains("horse"));
}

#[tokio::test]
async fn a_session_ends_at_once_with_the_role_the_password_or_the_user() {
    let bench = bench().await;
    let [ana, bob] = [session(&bench, "ana").await, session(&bench, "bob").await];
    // Lowered: over, not less.
    let lowered = USERS.replace("\"editor\"", "\"viewer\"");
    assert_eq!(bench.apply(&lowered, json!({})).await.status, StatusCode::OK);
    assert_eq!(status(&bench, &bob, "/").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&bench, &ana, "/").await, StatusCode::OK);
    // And not back with the role.
    assert_eq!(bench.apply(USERS, json!({})).await.status, StatusCode::OK);
    assert_eq!(status(&bench, &bob, "/").await, StatusCode::UNAUTHORIZED);
    // A stolen cookie after a change of the password; the change itself goes on with a new one.
    let stolen = session(&bench, "ana").await;
    let wrong =
        form(&bench, &ana, "/settings/password", "current=x&password=vélo nuage tiroir&again=vélo nuage tiroir").await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN, "{}", wrong.text);
    let differ = format!("current={PASSWORD}&password=velo nuage tiroir&again=velo nuage");
    assert_eq!(form(&bench, &ana, "/settings/password", &differ).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let body = format!("current={PASSWORD}&password=velo nuage tiroir&again=velo nuage tiroir");
    let foreign = [("cookie", ana.as_str()), ("origin", "https://evil.example"), HERE[1], FORM];
    assert_eq!(bench.send(NETWORK, "POST", "/settings/password", &foreign, &body).await.status, StatusCode::FORBIDDEN);
    let fresh = cookie_of(&form(&bench, &ana, "/settings/password", &body).await);
    for over in [&ana, &stolen] {
        assert_eq!(status(&bench, over, "/").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(status(&bench, &fresh, "/").await, StatusCode::OK);
    assert_eq!(knock(&bench, peer(4), "ana", PASSWORD).await.status, StatusCode::FORBIDDEN);
    // Retired, and written anew: what was open stays over, over a restart too.
    let only_bob = USERS.replace("[[user]]\nid = \"ana\"\nname = \"Ana <Silva>\"\nrole = \"admin\"\n", "");
    assert_eq!(bench.apply(&only_bob, json!({"prune": true})).await.status, StatusCode::OK);
    assert_eq!(status(&bench, &fresh, "/").await, StatusCode::UNAUTHORIZED);
    assert_eq!(bench.apply(USERS, json!({})).await.status, StatusCode::OK);
    assert_eq!(status(&bench, &fresh, "/").await, StatusCode::UNAUTHORIZED);
    let bench = bench.again().await;
    for over in [&ana, &stolen, &fresh, &bob] {
        assert_eq!(status(&bench, over, "/").await, StatusCode::UNAUTHORIZED);
    }
    let kept = cookie_of(&knock(&bench, NETWORK, "ana", "velo nuage tiroir").await);
    let bench = bench.again().await;
    assert_eq!(status(&bench, &kept, "/").await, StatusCode::OK);
}

#[tokio::test]
async fn who_edits_makes_nobody_an_admin() {
    let bench = bench().await;
    let edit = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Edit).await);
    let apply = async |text: &str, prune: bool| {
        let body = json!({"files": [{"name": "f.toml", "text": text}], "prune": prune}).to_string();
        bench.send(NETWORK, "POST", "/api/v1/apply", &[("authorization", &edit)], &body).await
    };
    for text in [
        USERS.replace("\"editor\"", "\"admin\""),
        USERS.replace("id = \"carl\"\n", "id = \"carl\"\nrole = \"viewer\"\n"),
        USERS.replace("role = \"admin\"\n", ""),
        format!("{USERS}[[user]]\nid = \"dora\"\nrole = \"viewer\"\n"),
    ] {
        let refused = apply(&text, false).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    }
    let only_bob = "[[user]]\nid = \"bob\"\nrole = \"editor\"\n";
    assert_eq!(apply(only_bob, true).await.status, StatusCode::FORBIDDEN, "pruned away");
    // What is not about roles is taken: also of users who have one.
    let renamed = USERS.replace("id = \"bob\"\n", "id = \"bob\"\nname = \"Bob\"\n");
    assert_eq!(apply(&format!("{renamed}[[user]]\nid = \"dora\"\n"), false).await.status, StatusCode::OK);
    let accounts = bench.get("/api/v1/accounts").await.json();
    let roles: Vec<_> = accounts.as_array().unwrap().iter().map(|one| (&one["id"], &one["role"])).collect();
    assert_eq!(json!(roles), json!([["ana", "admin"], ["bob", "editor"], ["carl", null], ["dora", null]]));
}

#[tokio::test]
async fn an_invitation_sets_a_password_once() {
    let bench = bench().await;
    let invite = async |user: &str| bench.post(&format!("/api/v1/accounts/{user}/invite"), &Value::Null).await;
    assert_eq!(invite("carl").await.status, StatusCode::CONFLICT);
    assert_eq!(invite("mallory").await.status, StatusCode::NOT_FOUND);
    let [first, second] = [invite("bob").await.json(), invite("bob").await.json()];
    let path = |link: &Value| link["url"].as_str().unwrap().strip_prefix("https://console.example").unwrap().to_owned();
    let token = path(&first).split_once("token=").unwrap().1.to_owned();
    let looked = bench.send(NETWORK, "GET", &path(&first), &[], "").await;
    assert!(looked.status == StatusCode::OK && looked.text.contains("bob"), "{}", looked.text);
    let send = async |password: &str, again: &str| {
        let body = format!("token={token}&password={password}&again={again}");
        bench.send(NETWORK, "POST", "/invite", &[FORM], &body).await
    };
    assert_eq!(send("velo nuage", "velo nuage").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let bob = cookie_of(&send("velo nuage tiroir", "velo nuage tiroir").await);
    assert_eq!(status(&bench, &bob, "/").await, StatusCode::OK);
    assert_eq!(send("velo nuage tiroir 2", "velo nuage tiroir 2").await.status, StatusCode::GONE);
    // Another invitation of the same user is over too: the password was set since.
    assert_eq!(bench.send(NETWORK, "GET", &path(&second), &[], "").await.status, StatusCode::GONE);
    cookie_of(&knock(&bench, NETWORK, "bob", "velo nuage tiroir").await);
}

#[tokio::test]
async fn tokens_have_a_scope_are_listed_without_secrets_and_revoked() {
    let bench = bench().await;
    let make = async |body: Value| bench.post("/api/v1/tokens", &body).await;
    for bad in [
        json!({"scope": "root", "note": "x", "ttl_seconds": 60}),
        json!({"scope": "read", "note": "", "ttl_seconds": 60}),
        json!({"scope": "read", "note": "ana", "ttl_seconds": 60}),
        json!({"scope": "read", "note": "x", "ttl_seconds": 0}),
        json!({"scope": "read", "note": "x", "ttl_seconds": 366 * 86_400 + 1}),
        json!({"scope": "read", "note": "x", "ttl_seconds": u64::MAX}),
    ] {
        assert_eq!(make(bad.clone()).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let made = make(json!({"scope": "respond", "note": "grafana", "ttl_seconds": 60})).await.json();
    let secret = made["token"].as_str().unwrap();
    let bearer = format!("Bearer {secret}");
    let ask =
        async |method: &str, path: &str| bench.send(NETWORK, method, path, &[("authorization", &bearer)], "{}").await;
    assert_eq!(ask("GET", "/api/v1/checks").await.status, StatusCode::OK);
    assert_eq!(ask("POST", "/api/v1/control").await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask("POST", "/api/v1/silences").await.status, StatusCode::BAD_REQUEST, "it may");
    let list = bench.get("/api/v1/tokens").await;
    assert!(!list.text.contains(secret));
    let one = list.json()[0].clone();
    assert_eq!(
        (&one["id"], &one["scope"], &one["note"], &one["author"]),
        (&made["id"], &json!("respond"), &json!("grafana"), &json!("collector:cli"))
    );
    assert!(one["used"].as_str().unwrap().ends_with(":00:00Z"), "to the hour: {one}");
    // What was used and when survives a restart.
    let bench = bench.again().await;
    assert_eq!(bench.get("/api/v1/tokens").await.json()[0]["used"], one["used"]);
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(bench.send(Door::Local, "DELETE", &path, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.send(Door::Local, "DELETE", &path, &[], "").await.status, StatusCode::NOT_FOUND);
    let over = bench.send(NETWORK, "GET", "/api/v1/checks", &[("authorization", &bearer)], "").await;
    assert_eq!(over.status, StatusCode::UNAUTHORIZED);
    let day = 86_400_000_000;
    let app = &bench.app;
    let short = app.create_credential(CredentialKind::ApiToken, Access::Read, "day", day, clock::now()).await.unwrap();
    let later = clock::now().plus_us(day.cast_signed());
    assert!(app.verify(CredentialKind::ApiToken, &short.secret, clock::now()).is_some());
    assert!(app.verify(CredentialKind::ApiToken, &short.secret, later).is_none());
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_whose_they_are() {
    let bench = bench().await;
    let [ana, bob, bob2] = [session(&bench, "ana").await, session(&bench, "bob").await, session(&bench, "bob").await];
    let list = async |cookie: &str, query: &str| {
        bench.send(NETWORK, "GET", &format!("/api/v1/sessions{query}"), &[("cookie", cookie)], "").await
    };
    let own = list(&bob, "").await.json();
    assert_eq!(own.as_array().unwrap().len(), 2);
    assert_eq!(list(&bob, "?all=true").await.status, StatusCode::FORBIDDEN);
    assert_eq!(list(&ana, "?all=true").await.json().as_array().unwrap().len(), 3);
    let id = |sessions: &Value, this: bool| {
        let all = sessions.as_array().unwrap();
        all.iter().find(|one| one["this"] == this).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let end =
        async |cookie: &str, id: &str| form(&bench, cookie, &format!("/settings/sessions/{id}/end"), "").await.status;
    let anas = id(&list(&ana, "").await.json(), true);
    assert_eq!(end(&bob, &anas).await, StatusCode::NOT_FOUND, "another's");
    assert_eq!(end(&bob, &id(&own, false)).await, StatusCode::SEE_OTHER);
    assert_eq!(status(&bench, &bob2, "/").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&bench, &bob, "/").await, StatusCode::OK);
    assert_eq!(form(&bench, &ana, "/settings/users/bob/sign-out", "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(status(&bench, &bob, "/").await, StatusCode::UNAUTHORIZED);
    // A session that nobody uses is over after half a day, one that is used after a week.
    let secret = ana.split_once('=').unwrap().1;
    let hours = |count: i64| clock::now().plus_us(count * 3_600_000_000);
    let holds = |at| bench.app.verify(CredentialKind::Session, secret, at).is_some();
    assert!(holds(hours(11)) && !holds(hours(12)));
    let (hash, _) = bench.app.known(CredentialKind::Session, secret, clock::now()).unwrap();
    for hour in (0..7 * 24).step_by(11) {
        bench.app.touch(hash, hours(hour));
        assert!(holds(hours(hour)), "{hour}");
    }
    assert!(!holds(hours(7 * 24)));
}

/// A path that the route takes.
fn concrete(path: &str) -> String {
    let path = path.replace("{number}", "1").replace("{token}", "forged").replace("{action}", "start");
    let mut out = Vec::new();
    for part in path.split('/') {
        out.push(if part.starts_with('{') { "shop" } else { part });
    }
    out.join("/")
}

#[tokio::test]
async fn every_change_leaves_its_row() {
    let bench = bench().await;
    let changes = routes().into_iter().filter(|route| route.method != "GET");
    let mut expected = Vec::new();
    for route in changes {
        let path = concrete(route.path);
        let before = log(&bench).await.len();
        let answer = bench.send(Door::Local, route.method, &path, &[], "{}").await;
        let method = Method::from_bytes(route.method.as_bytes()).unwrap();
        let told = audit::is_told(&method, route.path);
        assert_eq!(!told, audit::SILENT.contains(&route.path));
        let told_now = log(&bench).await;
        let newest = told_now[0].clone();
        if told {
            expected.push(json!(format!("{} {}", route.method, route.path)));
            assert_eq!(Some(&newest["action"]), expected.last(), "{newest}");
            assert_eq!(newest["status"], answer.status.as_u16(), "{newest}");
            assert_eq!((&newest["author"], &newest["way"]), (&json!("collector:cli"), &json!("cli")));
            assert!(!newest["subject"].as_str().unwrap().contains("forged"), "{newest}");
            assert!(newest["subject"] != "" || newest["detail"] != "", "it does not say what it was about: {newest}");
        } else {
            assert_eq!(told_now.len(), before, "{} is told", route.path);
        }
        // A stranger leaves one where the path is public, and none where it is not.
        if route.scope == Scope::Public && told && !["/sign-in", "/invite"].contains(&route.path) {
            bench.send(NETWORK, route.method, &path, &[], "").await;
            let newest = log(&bench).await[0].clone();
            assert_eq!(
                (&newest["author"], &newest["address"]),
                (&json!("stranger"), &json!("198.51.100.7")),
                "{newest}"
            );
        }
    }
    assert!(expected.len() > 30);
    let verdict = bench.get("/api/v1/audit/verify").await.json();
    assert_eq!((&verdict["intact"], &verdict["fault"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn what_is_under_way_is_told_already_and_what_is_cut_off_shows() {
    let bench = Bench::new();
    // The handler waits for the end of its body.
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let request =
        Request::builder().method("POST").uri("/api/v1/apply").header(header::CONTENT_TYPE, "application/json");
    let mut request = request.body(endless).unwrap();
    request.extensions_mut().insert(Door::Local);
    let mut asked = Box::pin(bench.router.clone().oneshot(request));
    loop {
        tokio::select! {
            biased;
            _ = asked.as_mut() => panic!("the body never ends"),
            log = log(&bench) => {
                if log.first().is_some_and(|one| one["action"] == "POST /api/v1/apply") {
                    assert_eq!((&log[0]["outcome"], &log[0]["status"]), (&json!("open"), &Value::Null));
                    break;
                }
            }
        }
    }
    drop(asked);
    let log = log(&bench).await;
    assert_eq!((log.len(), &log[0]["outcome"]), (1, &json!("cut_off")), "{log:?}");
    // Both stand there after a restart too.
    let bench = bench.again().await;
    assert_eq!(bench.get("/api/v1/audit/verify").await.json()["entries"], 2);
}

#[test]
fn every_place_of_the_console_has_a_route() {
    for place in Place::ALL {
        let led = routes().iter().any(|route| route.method == "GET" && route.path == place.path());
        assert!(led, "{place:?}");
    }
}

#[tokio::test]
async fn the_log_says_what_was_done_and_what_was_refused() {
    let bench = bench().await;
    let read = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Read).await);
    let refused = bench.send(NETWORK, "DELETE", "/api/v1/tokens/0011223344aa", &[("authorization", &read)], "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let log_now = log(&bench).await;
    let newest = &log_now[0];
    assert_eq!(
        (&newest["outcome"], &newest["author"], &newest["subject"]),
        (&json!("refused"), &json!("collector:test"), &json!("0011223344aa"))
    );
    let forged = [("authorization", "Bearer spa_forged")];
    bench.send(NETWORK, "GET", "/api/v1/checks", &forged, "").await;
    assert_eq!(log(&bench).await[0]["author"], "stranger");
    // Whoever just has no session is no story.
    let count = log(&bench).await.len();
    bench.send(NETWORK, "GET", "/", &[], "").await;
    bench.send(NETWORK, "POST", "/api/v1/tokens", &[], "{}").await;
    assert_eq!(log(&bench).await.len(), count);
    // Forged tokens by the thousand do not fill the disk.
    for _ in 0..200 {
        bench.send(NETWORK, "GET", "/api/v1/checks", &forged, "").await;
    }
    assert!(log(&bench).await.len() < count + 70);

    let ana = session(&bench, "ana").await;
    let made = form(&bench, &ana, "/settings/tokens", "note=grafana&scope=read&days=30").await;
    assert!(made.status == StatusCode::OK && made.text.contains("spa_"), "{}", made.text);
    let secret = made.text.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap().to_owned();
    bench.apply("[[user]]\nid = \"eve\"\n", json!({})).await;
    let of_ana = bench.get("/api/v1/audit?author=collector:ana").await;
    let entries = of_ana.json();
    let entries = entries.as_array().unwrap();
    assert_eq!(entries[0]["action"], "POST /settings/tokens");
    let detail = entries[0]["detail"].as_str().unwrap();
    assert!(detail.contains("grafana") && detail.contains("scope read"), "{detail}");
    assert_eq!((&entries[0]["way"], &entries[1]["action"]), (&json!("password"), &json!("sign-in")));
    assert_eq!(entries[0]["credential"], entries[1]["credential"]);
    let all = bench.get("/api/v1/audit?limit=1000").await;
    assert!(all.text.contains("+user eve") && !all.text.contains(&secret) && !all.text.contains(PASSWORD));
    let page = bench.send(NETWORK, "GET", "/settings/audit?author=ana&lang=fr", &[("cookie", &ana)], "").await;
    assert!(page.text.contains("POST /settings/tokens") && !page.text.contains("+user eve"), "{}", page.text);
    // Pages of the log follow each other.
    let number = log(&bench).await[3]["number"].as_u64().unwrap();
    let older = bench.get(&format!("/api/v1/audit?before={number}&limit=2")).await.json();
    assert!(older.as_array().unwrap().len() == 2 && older[0]["number"].as_u64().unwrap() < number);
}
