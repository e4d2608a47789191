//! The console in a browser that runs no scripts: what one reads is there, and forms work.

use serde_json::{Value, json};
use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::Site;

use crate::console_checks::at;

/// What of a page is there for scripts alone: pieces that wait for content, controls that do nothing, words that say it is still to come.
const LACKS: &str = "(() => {
    const main = document.querySelector('main') ?? document.body;
    const seen = (one) => one.checkVisibility({ visibilityProperty: true });
    const lacks = [];
    const tell = (why, one) => lacks.push(`${why}: ${one.outerHTML.slice(0, 200)}`);
    if (!main.innerText.trim()) tell('says nothing', main);
    const pieces = 'h1, h2, h3, p, li, dd, dt, section, ul, ol, dl, table, tbody, tr, figure, output, pre, [role=status]';
    const other = 'svg, img, input, select, textarea, button';
    // A part of the page that the server has nothing for: no script fills it either, it holds the place for what may come.
    const place = (one) => one.matches('main > section[id]') && !one.children.length;
    for (const one of main.querySelectorAll(pieces)) {
        if (place(one)) continue;
        if (seen(one) && !one.innerText.trim() && !one.querySelector(other)) tell('is empty', one);
    }
    for (const one of document.querySelectorAll('button')) {
        if (seen(one) && (!one.form || one.type !== 'submit')) tell('does nothing', one);
    }
    for (const one of document.querySelectorAll('a')) {
        if (seen(one) && !/^([/#?]|https?:)/.test(one.getAttribute('href') ?? '')) tell('leads nowhere', one);
    }
    for (const one of document.querySelectorAll('[aria-busy=true], progress:not([value])')) tell('waits', one);
    const still = document.body.innerText.match(/.*(loading|being counted|chargement|calcul en cours).*/i);
    if (still) lacks.push(`says: ${still[0]}`);
    return lacks;
})()";

/// Opens a page, which must say these words and wait for nothing.
fn read(browser: &mut Chromium, cluster: &Cluster, path: &str, words: &[&str]) {
    browser.visit(&at(cluster, path));
    if path.starts_with("/?") {
        // Figures of weeks may take a moment; the page loads itself anew till they are there.
        browser.wait_for("!/being counted|calcul en cours/.test(document.body.innerText)", 30);
    }
    let text = browser.text();
    for word in words {
        assert!(text.contains(word), "{path} does not say {word:?}: {text}");
    }
    let lacks = browser.eval(LACKS);
    assert_eq!(lacks, json!([]), "{path}");
}

#[test]
fn everything_is_there_to_read_where_no_scripts_run() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    let status = "[[status_page]]\nid = \"public\"\ntitle = \"Example\"\n[[status_page.groups]]\nname = \"All\"\n\
                  [[status_page.groups.items]]\nid = \"shop\"\nname = \"The shop\"\nchecks = [\"shop\"]\n";
    cluster.apply(&format!("{}group = \"web\"\n{status}", site.check("shop"))).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    let job = cluster.ctl(&["jobs", "run", "noop", "--not-before", "+1d", "--json"]).json();
    let job = job["id"].as_str().expect("an id").to_owned();

    let mut browser = Chromium::start(1280, 900);
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.visit("data:text/html,<script>document.title = 'ran'</script>");
    assert_eq!(browser.eval("document.title"), "", "a page's own scripts do not run");

    let link = cluster.ctl(&["sign-in", "--admin", "--json"]).json();
    browser.visit(link["url"].as_str().expect("sign-in --json gives a url"));
    browser.go("#link button");
    assert_eq!(browser.path(), "/", "{}", browser.text());
    // An act is a form; what it is about is read in the same way.
    browser.visit(&at(&cluster, "/incidents/new"));
    browser.fill("main [name=title]", "A cable was cut");
    browser.go("main form button[type=submit]");
    let incident = browser.path();
    assert!(incident.starts_with("/incidents/"), "{incident}");

    for (lang, [opened, waits, calm]) in [
        ("en", ["Opened", "waiting", "Everything is operational"]),
        ("fr", ["Ouvert", "en attente", "Tout est opérationnel"]),
    ] {
        let page = |path: &str| format!("{path}?lang={lang}");
        read(&mut browser, &cluster, &page("/"), &["web", "A cable was cut"]);
        read(&mut browser, &cluster, &page("/checks"), &["shop", "eu-west", "100"]);
        read(&mut browser, &cluster, &page("/checks/shop"), &["eu-west-1", &site.url("shop")]);
        read(&mut browser, &cluster, &page("/checks/shop/explain"), &["eu-west-1"]);
        read(&mut browser, &cluster, &page("/incidents"), &["A cable was cut"]);
        read(&mut browser, &cluster, &page(&incident), &["A cable was cut", opened]);
        read(&mut browser, &cluster, &page("/agents"), &["eu-west-1"]);
        read(&mut browser, &cluster, &page("/agents/eu-west-1"), &["shop"]);
        read(&mut browser, &cluster, &page("/jobs"), &[&job, waits]);
        read(&mut browser, &cluster, &page(&format!("/jobs/{job}")), &[waits]);
        read(&mut browser, &cluster, &page("/status/public"), &["The shop", calm]);
        // All other places, as the navigation has them.
        browser.visit(&at(&cluster, &page("/")));
        let places =
            browser.eval("[...document.querySelectorAll('nav.places a')].map((one) => one.getAttribute('href'))");
        let places: Vec<&str> = places.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert!(places.len() > 10, "{places:?}");
        for place in places {
            read(&mut browser, &cluster, &page(place), &[]);
        }
    }
}
