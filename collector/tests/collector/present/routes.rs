//! The table of routes, and the pages that promise what the code does.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::present::door::Scope;
use sitepulse_collector::present::route::routes;
use sitepulse_model::channel::way::Way;
use sitepulse_model::check::CheckKind;
use sitepulse_model::expect::Operand;
use tower::ServiceExt;

use super::bench::{Bench, NETWORK};

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// A path that the route takes.
fn concrete(path: &str) -> String {
    let path = path.replace("{number}", "1");
    let named = path.replace("{id}", "shop").replace("{name}", "agent-1").replace("{token}", "forged");
    let named = named.replace("{item}", "all.svg");
    named.replace("{figure}", "debt").replace("{action}", "start").replace("{agent}", "agent-1").replace("{slot}", "1")
}

#[tokio::test]
async fn every_route_that_is_not_public_refuses_strangers() {
    let bench = Bench::new();
    let mut tokens = Vec::new();
    for access in Access::ALL {
        tokens.push((access, format!("Bearer {}", bench.token(CredentialKind::ApiToken, access).await)));
    }
    let mut seen = BTreeSet::new();
    for route in routes() {
        assert!(seen.insert((route.method, route.path)), "{} {} stands twice", route.method, route.path);
        let path = concrete(route.path);
        let bare = bench.send(NETWORK, route.method, &path, &[], "").await;
        let forged = bench.send(NETWORK, route.method, &path, &[("authorization", "Bearer spa_forged")], "").await;
        let cookie =
            bench.send(NETWORK, route.method, &path, &[("cookie", "__Host-sitepulse_session=forged")], "").await;
        match route.scope {
            Scope::Public => assert!(!matches!(bare.status.as_u16(), 401 | 403), "{path}: {}", bare.status),
            Scope::Machine | Scope::Read | Scope::Respond | Scope::Edit | Scope::Admin => {
                for answer in [&bare, &forged, &cookie] {
                    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
                }
            }
        }
        // `/events` never ends its body, so nothing is asked here with credentials that reach far enough.
        for (access, token) in
            tokens.iter().filter(|(access, _)| route.scope.access().is_some_and(|needed| *access < needed))
        {
            let answer = bench.send(NETWORK, route.method, &path, &[("authorization", token)], "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{} {path} with access {access}", route.method);
        }
        assert!(bare.headers.contains_key(header::CONTENT_SECURITY_POLICY), "{path} has no policy");
    }
    assert_eq!(bench.send(NETWORK, "GET", "/nowhere", &[], "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.send(NETWORK, "PUT", "/healthz", &[], "").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_request_by_no_door_is_refused() {
    let bench = Bench::new();
    let request = Request::builder().uri("/api/v1/checks").body(Body::empty()).unwrap();
    let response = bench.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn the_api_page_lists_every_route() {
    let page = include_str!("../../../../docs/api.md");
    for route in routes() {
        let row = format!("| {} | `{}` | {} |", route.method, route.path, route.scope.as_str());
        assert!(page.contains(&row), "docs/api.md has no row {row}");
    }
    assert_eq!(
        page.lines().filter(|line| METHODS.iter().any(|method| line.starts_with(&format!("| {method} |")))).count(),
        routes().len()
    );
}

#[test]
fn the_samples_of_the_checks_page_parse() {
    let page = include_str!("../../../../docs/checks.md");
    let samples: Vec<Source> = page
        .split("```toml\n")
        .skip(1)
        .enumerate()
        .map(|(index, rest)| Source { name: format!("sample {index}"), text: rest.split("```").next().unwrap().into() })
        .collect();
    assert!(samples.len() >= 4);
    checkfile::parse(&samples).unwrap();
    for key in checkfile::KEYS {
        assert!(page.contains(&format!("| `{key}` |")), "docs/checks.md does not describe {key}");
    }
    for kind in CheckKind::NAMES {
        let (_, section) = page
            .split_once(&format!("\n### `{kind}`\n"))
            .unwrap_or_else(|| panic!("docs/checks.md has no section for kind {kind}"));
        let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
        assert!(section.contains(&format!("kind = \"{kind}\"")), "docs/checks.md has no example of kind {kind}");
        for key in CheckKind::keys(kind).unwrap() {
            assert!(section.contains(&format!("| `{key}` |")), "docs/checks.md does not describe {key} of kind {kind}");
        }
        for operand in Operand::names_for(kind) {
            let told = [format!("`{operand}`"), format!("`{operand} '")];
            assert!(told.iter().any(|told| page.contains(told)), "docs/checks.md does not describe {operand}");
        }
    }
}

#[test]
fn the_samples_of_the_channels_page_parse_and_name_every_kind_with_its_keys() {
    let page = include_str!("../../../../docs/channels.md");
    let samples = page.split("```toml\n").skip(1).enumerate();
    let samples: Vec<Source> = samples
        .map(|(index, rest)| Source { name: format!("sample {index}"), text: rest.split("```").next().unwrap().into() })
        .collect();
    let written = checkfile::parse(&samples).unwrap();
    assert_eq!(written.objects.len(), Way::KINDS.len());
    for kind in Way::KINDS {
        let sections = page.split("\n## ").skip(1);
        let section = sections.into_iter().find(|section| section.starts_with(kind));
        let section = section.unwrap_or_else(|| panic!("docs/channels.md has no section for kind {kind}"));
        assert!(section.contains(&format!("kind = \"{kind}\"")), "docs/channels.md has no example of kind {kind}");
        for key in Way::keys(kind) {
            let told = section.contains(&format!("\n{key} = ")) || section.contains(&format!("\n# {key} = "));
            // Where a service of one's own may stand in is told once for kinds that few would run themselves.
            assert!(told || *key == "api", "docs/channels.md does not show {key} of kind {kind}");
        }
    }
}
