//! Findings in a real browser: what cannot fail is found by itself, acknowledged with a note and taken back, in both languages, live, on a phone.

use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::Site;
use sitepulse_tests::wait;

fn at(cluster: &Cluster, path: &str) -> String {
    format!("http://{}{path}", cluster.http())
}

/// The id of the finding about the assertion.
fn found(cluster: &Cluster) -> String {
    let look = || {
        let list = cluster.ctl(&["findings", "--kind", "cannot_fail", "--json"]).json();
        list[0]["id"].as_str().map(str::to_owned).ok_or(list.clone())
    };
    wait::until("an assertion that always holds is found", 120, look)
}

#[test]
fn a_finding_is_acknowledged_with_a_note_and_taken_back_in_both_languages() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    let check = format!(
        "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"{}\"\ninterval = \"1s\"\nexpect = [\"status >= 0\"]\n",
        site.url("shop")
    );
    cluster.apply(&check).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    let id = found(&cluster);
    let link = cluster.ctl(&["sign-in", "--admin", "--json"]).json();
    let mut browser = Chromium::start(1280, 900);
    browser.open(link["url"].as_str().expect("sign-in --json gives a url"));

    // English: from the list to the note.
    browser.open(&at(&cluster, "/findings"));
    let text = browser.text();
    assert!(text.contains("The assertion \"status >= 0\" of shop holds whatever is answered"), "{text}");
    assert!(text.contains("confidence 100 %"), "{text}");
    browser.press(&format!("#acknowledge-{id} summary"));
    browser.write(&format!("#note-{id}"), "kept on purpose, see the runbook");
    browser.follow(&format!("#acknowledge-{id} button"));
    assert_eq!(browser.path(), format!("/findings/{id}"));
    let text = browser.text();
    assert!(text.contains("acknowledged by") && text.contains("kept on purpose, see the runbook"), "{text}");
    let told = cluster.ctl(&["findings", &id, "--json"]).json();
    assert_eq!(told["acknowledged"]["note"], "kept on purpose, see the runbook");

    // Live: what is taken back elsewhere is seen on the open page.
    browser.eval("window.mark = true");
    cluster.ctl(&["finding", "take-back", &id]).ok();
    browser.wait_for("document.querySelector('#finding-history').innerText.includes('taken back')", 20);
    assert_eq!(browser.eval("window.mark"), true);

    // French, on the page itself, and the check's page leads there.
    browser.follow("button[name=lang][value=fr]");
    let text = browser.text();
    assert!(text.contains("L’assertion « status >= 0 » de shop tient quelle que soit la réponse"), "{text}");
    browser.write(&format!("#note-{id}"), "gardé exprès");
    browser.follow(&format!("#acknowledge-{id} button"));
    let text = browser.text();
    assert!(text.contains("pris en compte par") && text.contains("gardé exprès"), "{text}");
    browser.follow(&format!("form[action='/findings/{id}/take-back'] button"));
    assert!(browser.text().contains("Prise en compte retirée"), "{}", browser.text());
    browser.open(&at(&cluster, "/checks/shop"));
    browser.follow(&format!("#findings a[href='/findings/{id}']"));
    assert_eq!(browser.path(), format!("/findings/{id}"));

    // On a phone nothing is wider than the window.
    browser.resize(390, 844);
    for path in ["/findings".to_owned(), "/findings?state=all".to_owned(), format!("/findings/{id}")] {
        browser.open(&at(&cluster, &path));
        let wide = browser.eval("[document.documentElement.scrollWidth, innerWidth]");
        assert!(wide[0].as_u64() <= wide[1].as_u64(), "{path}: {wide}");
    }
}
