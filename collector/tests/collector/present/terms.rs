//! Every figure leads to what it is made of: pages of terms, and explanations by agent, region and span.

use axum::http::StatusCode;
use serde_json::json;
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::clock;

use super::bench::Bench;
use super::incidents::{FILE, enrol};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const SLO: &str = "\n[[slo]]\nid = \"shop-30d\"\nobjective = \"99.9%\"\nchecks = [\"shop\"]\nperiod = \"30d\"\n";

async fn bench() -> Bench {
    let bench = Bench::new();
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    let applied = bench.apply(&format!("{FILE}{SLO}"), json!({})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
    bench.app.writer().run(|engine| enrol(engine, clock::now())).await.unwrap();
    bench
}

#[tokio::test]
async fn the_terms_of_means_objectives_and_the_debt_are_pages_in_both_languages() {
    let bench = bench().await;
    for (lang, takes, term) in [("en", "Takes away", "How many"), ("fr", "Coûte", "Combien")] {
        for path in ["/terms/sla?period=7d", "/terms/group?group=web", "/terms/slo?slo=shop-30d"] {
            let page = bench.get(&format!("{path}&lang={lang}")).await;
            assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
            assert!(
                page.text.contains(takes) && page.text.contains("/checks/shop/explain?from="),
                "{path}: {}",
                page.text
            );
        }
        let debt = bench.get(&format!("/terms/debt?lang={lang}")).await;
        assert!(debt.text.contains(term) && debt.text.contains("href=\"/findings\""), "{}", debt.text);
    }
    for gone in ["/terms/none", "/terms/group?group=none", "/terms/slo?slo=none"] {
        assert_eq!(bench.get(gone).await.status, StatusCode::NOT_FOUND, "{gone}");
    }
}

#[tokio::test]
async fn figures_lead_to_the_explanation_of_the_same_time_and_votes() {
    let bench = bench().await;
    let home = bench.get("/").await.text;
    for href in ["/terms/sla?period=24h", "/terms/debt", "/terms/group?group=web"] {
        assert!(home.contains(&format!("href=\"{href}\"")), "{href}: {home}");
    }
    let slos = bench.get("/slos").await.text;
    assert!(slos.contains("href=\"/terms/slo?slo=shop-30d\""), "{slos}");
    let check = bench.get("/checks/shop?span=90d").await.text;
    for href in ["/checks/shop/explain?span=90d\"", "/checks/shop/explain?span=90d&#38;agent=eu-1\""] {
        assert!(check.contains(href), "{href}: {check}");
    }
    for (query, told) in [
        ("span=90d&agent=eu-1", "By the votes of the agent eu-1 alone."),
        ("span=7d&region=eu-west", "By the votes of the region eu-west alone."),
        ("span=90d", "90 days"),
        ("from=2026-01-01&to=2099-01-01&policy=", "--from 2026-01-01 --to 2099-01-01"),
    ] {
        let page = bench.get(&format!("/checks/shop/explain?{query}")).await;
        assert!(page.status == StatusCode::OK && page.text.contains(told), "{query}: {}", page.text);
    }
    let nobody = bench.get("/checks/shop/explain?agent=none&lang=fr").await;
    assert!(nobody.text.contains("aucun agent ne s’appelle"), "{}", nobody.text);
}

#[tokio::test]
async fn a_region_with_several_agents_has_a_lane_of_its_own() {
    let bench = bench().await;
    let one = bench.get("/checks/shop").await.text;
    assert!(!one.contains("agents together"), "one agent is its region");
    let join = |engine: &mut sitepulse_collector::engine::Engine| {
        use sitepulse_daemon::identity::AgentKey;
        use sitepulse_model::id::{AgentName, Region};
        use sitepulse_wire::message::JoinRequest;
        let now = clock::now();
        let token = engine.create_join_token(Region::parse("eu-west").unwrap(), 3_600_000_000, now).unwrap().token;
        let name = AgentName::parse("eu-2").unwrap();
        let csr_der = AgentKey::generate().unwrap().csr_der(&name).unwrap();
        let request = JoinRequest {
            protocol_min: 1,
            protocol_max: 1,
            secret: token.secret,
            name: Some(name),
            csr_der,
            build: "0.0.0".to_owned(),
        };
        engine.join(&request, now).unwrap().unwrap();
    };
    bench.app.writer().run(join).await.unwrap();
    let two = bench.get("/checks/shop").await.text;
    for part in ["2 agents together", "explain?span=24h&#38;region=eu-west", "agent=eu-1", "agent=eu-2"] {
        assert!(two.contains(part), "{part}: {two}");
    }
}

#[tokio::test]
async fn an_agents_vote_on_one_check_is_weighed_on_the_checks_page() {
    let bench = bench().await;
    let page = bench.get("/checks/shop").await.text;
    assert!(page.contains("action=\"/checks/shop/agents/eu-1/weight\""), "{page}");
    let path = "/checks/shop/agents/eu-1/weight";
    let done = bench.send(Door::Local, "POST", path, &[FORM], "weight=2%2C5").await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let told = bench.get("/api/v1/checks/shop").await.json();
    assert_eq!(told["agents"][0]["weight"], 2.5);
    let wrong = bench.send(Door::Local, "POST", path, &[FORM, ("accept-language", "fr")], "weight=heavy").await;
    assert!(wrong.status == StatusCode::BAD_REQUEST && wrong.text.contains("n’est pas un poids"), "{}", wrong.text);
}

#[tokio::test]
async fn users_and_join_tokens_are_managed_in_the_console() {
    let bench = bench().await;
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    let post = async |path: &str, form: &str| bench.send(Door::Local, "POST", path, &[FORM], form).await;
    let made = post("/settings/users/new", "id=zoe&name=Zo%C3%A9&email=&role=editor&tag=").await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
    let zoe = async || bench.get("/api/v1/definitions/user/zoe").await.json()["definition"].clone();
    assert_eq!((&zoe().await["role"], &zoe().await["name"]), (&json!("editor"), &json!("Zoé")));
    let again = post("/settings/users/new", "id=zoe&role=admin&tag=").await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text);
    // What the form has no field for stays.
    let file = "[[user]]\nid = \"zoe\"\nrole = \"editor\"\nzone = \"Europe/Paris\"\n";
    let before = bench.get("/settings/users/zoe/edit").await.hidden("tag");
    assert_eq!(bench.apply(file, json!({})).await.status, StatusCode::OK);
    let late = post("/settings/users/zoe/edit", &format!("name=&email=&role=viewer&tag={before}")).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED, "{}", late.text);
    assert_eq!(zoe().await["role"], "editor");
    let tag = late.hidden("tag");
    let done = post("/settings/users/zoe/edit", &format!("name=&email=&role=viewer&tag={tag}")).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!((&zoe().await["role"], &zoe().await["zone"]), (&json!("viewer"), &json!("Europe/Paris")));
    assert!(bench.get("/settings/users/zoe/retire").await.text.contains("action=\"/settings/users/zoe/retire\""));
    assert_eq!(post("/settings/users/zoe/retire", "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(bench.get("/api/v1/definitions/user/zoe").await.status, StatusCode::NOT_FOUND);

    assert!(post("/new-agent", "region=eu-east&ttl=15m").await.text.contains("sitepulse-agent join"));
    let tokens = bench.get("/api/v1/join-tokens").await.json();
    let open = tokens.as_array().unwrap().iter().find(|one| one["state"] == "open").unwrap()["id"].clone();
    let revoke = format!("/join-tokens/{}/revoke", open.as_str().unwrap());
    assert!(bench.get("/new-agent").await.text.contains(&revoke));
    assert_eq!(post(&revoke, "").await.status, StatusCode::SEE_OTHER);
    assert!(!bench.get("/new-agent").await.text.contains(&revoke));
    let gone = post(&revoke, "").await;
    assert!(gone.status == StatusCode::NOT_FOUND && gone.text.contains("Not done:"), "{}", gone.text);
}
