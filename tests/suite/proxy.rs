//! The console behind a real nginx, as docs/operations.md tells: signing in, cookies for TLS alone, live pages, whose guesses count, and figures that are not for everybody.

use std::process::Command;

use serde_json::json;
use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::run;
use sitepulse_tests::servers::pki::Pki;
use sitepulse_tests::servers::{Proxy, free_port};
use sitepulse_tests::site::Site;

/// What curl says of an answer: its status, then its head.
fn curl(args: &[&str]) -> String {
    let mut curl = Command::new("curl");
    run(curl.args(["-sk", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}\n", "-D", "-"]).args(args)).ok()
}

fn status(told: &str) -> &str {
    told.lines().last().unwrap_or_default()
}

#[test]
fn behind_a_proxy_people_sign_in_over_tls_and_figures_stay_inside() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    let folder = tempfile::tempdir().expect("a folder");
    let (https, plain) = (free_port(), free_port());
    cluster.stop_collector();
    cluster.configure(&format!("[console]\nurl = \"https://localhost:{https}\"\ntrust_forwarded_for = true\n"));
    cluster.start_collector();
    let proxy = Proxy::start(folder.path(), &Pki::new(), cluster.http(), (https, plain));
    let (outside, careless) = (format!("https://localhost:{https}"), format!("http://127.0.0.1:{plain}"));

    // A person: the link leads to the proxy, the session is for TLS alone.
    let link = cluster.ctl(&["sign-in", "--admin", "--json"]).json()["url"].as_str().expect("a link").to_owned();
    assert!(link.starts_with(&format!("{outside}/sign-in?token=")), "{link}");
    let mut browser = Chromium::start(1280, 900);
    browser.call("Security.setIgnoreCertificateErrors", json!({"ignore": true}));
    browser.open(&link);
    let cookies = browser.call("Network.getCookies", json!({"urls": [outside]}));
    let session =
        cookies["cookies"].as_array().expect("a list").iter().find(|one| one["name"] == "__Host-sitepulse_session");
    let session = session.unwrap_or_else(|| panic!("{cookies} on {}", browser.text()));
    assert_eq!(
        (&session["secure"], &session["httpOnly"], &session["sameSite"]),
        (&json!(true), &json!(true), &json!("Strict"))
    );
    // Events come as they are told, though nginx buffers answers.
    browser.open(&format!("{outside}/checks"));
    browser.wait_for("!document.getElementById('pulse').hidden", 30);
    cluster.apply(&(site.check("shop") + &site.check("blog"))).ok();
    browser.wait_for("document.body.innerText.includes('blog')", 30);
    let told = curl(&[&outside]);
    assert!(told.to_lowercase().contains("strict-transport-security: max-age"), "{told}");

    // Figures: nobody's without a token, by whichever way, though a careless proxy looks like this machine itself.
    let direct = format!("http://{}", cluster.http());
    for base in [&outside, &careless, &direct] {
        let told = curl(&[&format!("{base}/metrics")]);
        assert_eq!(status(&told), "401", "{base}: {told}");
    }
    let token = cluster.ctl(&["api-token", "create", "--scope", "read", "--note", "metrics", "--json"]).json();
    let bearer = format!("Authorization: Bearer {}", token["token"].as_str().expect("a token"));
    assert_eq!(status(&curl(&["-H", &bearer, &format!("{outside}/metrics")])), "200");

    // A guess is that of whom the proxy asks for, whatever they say themselves.
    let form = [
        "-H",
        "Sec-Fetch-Site: same-origin",
        "-H",
        "X-Forwarded-For: 203.0.113.9",
        "-d",
        "user=ana&password=wrong+horse+battery",
    ];
    let guess = curl(&[&form[..], &["--interface", "127.0.0.2", &format!("{outside}/sign-in")]].concat());
    assert_eq!(status(&guess), "403", "{guess}");
    let log = cluster.ctl(&["audit", "--json"]).json();
    let refused =
        log.as_array().expect("a list").iter().find(|one| one["action"] == "sign-in" && one["outcome"] == "refused");
    assert_eq!(refused.unwrap_or_else(|| panic!("{log}"))["address"], "127.0.0.2");
    drop(proxy);

    // Opted out: whoever is on this machine needs no token.
    cluster.stop_collector();
    cluster.configure(&format!("[console]\nurl = \"https://localhost:{https}\"\nopen_metrics = true\n"));
    cluster.start_collector();
    assert_eq!(status(&curl(&[&format!("http://{}/metrics", cluster.http())])), "200");
}
