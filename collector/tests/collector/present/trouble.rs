//! Refusals as a browser shows them: a page in the reader's language with a way on, and nothing of it for programs.

use axum::http::{StatusCode, header};
use serde_json::json;
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::present::door::Door;
use sitepulse_collector::present::text::Language;

use super::bench::{Answer, Bench, CHECK, NETWORK};

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn browse(bench: &Bench, door: Door, method: &str, path: &str, more: &[(&str, &str)], form: &str) -> Answer {
    let headers: Vec<(&str, &str)> = [HTML, FORM].into_iter().chain(more.iter().copied()).collect();
    bench.send(door, method, path, &headers, form).await
}

fn is_page(answer: &Answer, lang: &str) {
    let kind = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("text/html"), "{kind}: {}", answer.text);
    assert!(answer.text.contains(&format!("<html lang=\"{lang}\"")), "{}", answer.text);
}

#[tokio::test]
async fn what_is_not_there_is_a_page_with_a_way_on_in_both_languages() {
    let bench = Bench::new();
    assert_eq!(bench.apply(CHECK, json!({})).await.status, StatusCode::OK);
    for language in Language::ALL {
        let (lang, w) = (language.tag(), language.texts().trouble);
        let speaks = [("accept-language", lang)];
        for (path, title) in [
            ("/checks/typo", "NotFound"),
            ("/incidents?check=typo", "NotFound"),
            ("/nowhere/at/all", "NotFound"),
            ("/checks?after=%00", ""),
        ] {
            let answer = browse(&bench, Door::Local, "GET", path, &speaks, "").await;
            is_page(&answer, lang);
            if !title.is_empty() {
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
                let title = (w.title)(sitepulse_collector::present::problem::Code::NotFound);
                assert!(answer.text.contains(title), "{path}: {}", answer.text);
            }
        }
        let wrong = browse(&bench, Door::Local, "PUT", "/checks", &speaks, "").await;
        assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
        is_page(&wrong, lang);
        // A form that the framework refuses before a handler sees it.
        let headers = [HTML, ("accept-language", lang), ("content-type", "text/plain")];
        let alien = bench.send(Door::Local, "POST", "/checks/shop/suspend", &headers, "reason=x").await;
        assert!(alien.status.is_client_error());
        is_page(&alien, lang);
    }
    let french = browse(&bench, Door::Local, "GET", "/checks/typo", &[("accept-language", "fr")], "").await;
    assert!(!french.text.contains("no check is named"), "{}", french.text);
    assert!(french.text.contains("href=\"/checks\"") && french.text.contains("Contrôles"), "{}", french.text);
}

#[tokio::test]
async fn a_retired_check_is_told_as_that_and_leads_to_its_incidents() {
    let bench = Bench::new();
    assert_eq!(bench.apply(CHECK, json!({})).await.status, StatusCode::OK);
    let other = CHECK.replace("shop", "blog");
    assert_eq!(bench.apply(&other, json!({"prune": true})).await.status, StatusCode::OK);
    for (lang, word) in [("en", "is retired since"), ("fr", "est retiré depuis")] {
        let answer = browse(&bench, Door::Local, "GET", "/checks/shop", &[("accept-language", lang)], "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        is_page(&answer, lang);
        assert!(answer.text.contains(word) && answer.text.contains("state=all&#38;check=shop"), "{}", answer.text);
        let listed = browse(&bench, Door::Local, "GET", "/incidents?state=all&check=shop", &[], "").await;
        assert_eq!(listed.status, StatusCode::OK, "{}", listed.text);
    }
}

#[tokio::test]
async fn programs_are_told_of_refusals_as_problems() {
    let bench = Bench::new();
    for (path, headers) in [
        ("/checks/typo", &[][..]),
        ("/checks/typo", &[("accept", "*/*")][..]),
        ("/api/v1/checks/typo", &[HTML][..]),
        ("/ping/forged", &[HTML][..]),
    ] {
        let answer = bench.send(Door::Local, "GET", path, headers, "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json", "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_form_without_a_session_leads_to_the_sign_in_page_and_says_that_nothing_was_saved() {
    let bench = Bench::new();
    assert_eq!(bench.apply(CHECK, json!({})).await.status, StatusCode::OK);
    let user = "[[user]]\nid = \"ana\"\nrole = \"admin\"\n";
    assert_eq!(bench.apply(user, json!({})).await.status, StatusCode::OK);
    let password = "/api/v1/accounts/ana/password";
    let set = bench.send(Door::Local, "PUT", password, &[], "correct horse battery").await;
    assert_eq!(set.status, StatusCode::NO_CONTENT);
    for language in Language::ALL {
        let speaks = [("accept-language", language.tag()), ("cookie", "__Host-sitepulse_session=over")];
        for (path, back) in [("/checks/shop/edit", "/checks/shop/edit"), ("/agents/eu-1/weight", "/agents/eu-1")] {
            let answer = browse(&bench, NETWORK, "POST", path, &speaks, "reason=a+long+story").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            is_page(&answer, language.tag());
            let said = language.texts().trouble.nothing_saved.replace('\'', "&#39;");
            assert!(answer.text.contains(&said), "{path}: {}", answer.text);
            assert!(answer.text.contains(&format!("name=\"back\" value=\"{back}\"")), "{}", answer.text);
            assert!(!answer.text.contains("a long story") && !answer.text.contains("class=\"places\""));
        }
    }
}

#[tokio::test]
async fn what_somebody_may_not_do_is_a_page_too() {
    let bench = Bench::new();
    assert_eq!(bench.apply(CHECK, json!({})).await.status, StatusCode::OK);
    let session = bench.token(CredentialKind::Session, Access::Read).await;
    let cookie = format!("__Host-sitepulse_session={session}");
    let speaks = [("cookie", &*cookie), ("sec-fetch-site", "same-origin"), ("accept-language", "fr")];
    let answer = browse(&bench, NETWORK, "POST", "/checks/shop/suspend", &speaks, "reason=x&length=1h").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    is_page(&answer, "fr");
    assert!(answer.text.contains("Ce n’est pas permis") && answer.text.contains("class=\"places\""), "{}", answer.text);
    assert!(!answer.text.contains("this credential"), "{}", answer.text);
}
