//! Impact scores in a real browser, in both languages: from the worst checks to what a score is made of, and a model that is tried and then saved. And the job that writes them down,
//! through `kill -9`.

use serde_json::{Value, json};
use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::{Mood, Site};
use sitepulse_tests::wait;

/// Width of a phone, in CSS pixels.
const PHONE: u32 = 390;

fn at(cluster: &Cluster, path: &str) -> String {
    format!("http://{}{path}", cluster.http())
}

fn words(browser: &mut Chromium, selector: &str) -> String {
    browser.eval(&format!("document.querySelector({})?.innerText", json!(selector))).as_str().unwrap_or_default().into()
}

fn score(cluster: &Cluster) -> Value {
    cluster.ctl(&["impact", "shop", "--json"]).json()
}

#[test]
fn scores_are_explained_and_a_model_is_tried_and_saved_in_both_languages() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&format!("{}group = \"web\"\n", site.check("shop"))).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    site.set(Mood::Ill);
    cluster.wait_for_verdict("shop", "down", 20);
    wait::until("the outage has a score, and its region too", 90, || {
        let told = score(&cluster);
        let regions = cluster.ctl(&["impact", "--json"]).json()["regions"].as_array().map_or(0, Vec::len);
        if told["score"].as_f64() > Some(0.0) && regions == 1 { Ok(()) } else { Err(told) }
    });
    let link = cluster.ctl(&["sign-in", "--admin", "--json"]).json();
    let mut browser = Chromium::start(1280, 900);
    browser.open(link["url"].as_str().expect("sign-in --json gives a url"));

    for (lang, title, worst, reason, parts) in [
        ("en", "Impact score", "Worst checks", "Mostly because", "Weighted availability"),
        ("fr", "Score d’impact", "Contrôles les plus touchés", "Surtout parce que", "Disponibilité pondérée"),
    ] {
        // From all checks together to the worst one, and there to what its score is made of.
        browser.open(&at(&cluster, "/impact"));
        browser.follow(&format!("button[name=lang][value={lang}]"));
        assert_eq!(words(&mut browser, "h1"), title);
        for part in ["#impact-whole", "#impact-groups", "#impact-regions"] {
            let text = words(&mut browser, part);
            assert!(text.chars().any(|c| c.is_ascii_digit()), "{part}: {text:?}");
        }
        assert!(words(&mut browser, "#impact-groups").contains("web"));
        assert!(words(&mut browser, "#impact-regions").contains("eu-west"));
        let text = words(&mut browser, "#impact-worst");
        assert!(text.contains(worst) && text.contains(reason) && text.contains("shop"), "{text}");
        browser.follow("#impact-worst a[href='/checks/shop#impact']");
        assert_eq!(browser.path(), "/checks/shop");
        let text = words(&mut browser, "#impact");
        assert!(text.contains(reason), "{text}");
        browser.press("#impact-parts summary");
        let text = words(&mut browser, "#impact-parts");
        assert!(text.to_lowercase().contains(&parts.to_lowercase()), "{text}");
    }

    // Another model: tried, which changes nothing, then saved. French first, for the decimal comma is read too.
    browser.open(&at(&cluster, "/impact"));
    browser.follow("#impact-head a[href='/impact/model']");
    assert_eq!(words(&mut browser, "h1"), "Modèle de score");
    browser.write("#f-warning", "0,5");
    browser.write("#f-critical", "100");
    browser.follow("form.scoring button[value=plan]");
    let plan = words(&mut browser, ".plan");
    assert!(plan.contains("Ce que cela changerait maintenant") && plan.contains("Tous les contrôles"), "{plan}");
    assert_eq!(score(&cluster)["model"], "built-in@1", "trying changes nothing");
    // A model that makes no sense stays on the form, with what is wrong.
    browser.write("#f-critical", "0,1");
    browser.follow("form.scoring button[value=plan]");
    assert_eq!(browser.eval("!!document.querySelector('.plan')"), false, "{}", browser.text());
    browser.write("#f-critical", "100");
    browser.follow("form.scoring button[value=plan]");
    browser.follow("form.scoring button[value=apply]");
    assert_eq!(browser.path(), "/impact");
    wait::until("scores are found by the new model", 30, || {
        let told = score(&cluster);
        if told["model"] == "default@1" { Ok(()) } else { Err(told) }
    });
    browser.open(&at(&cluster, "/impact/model?lang=en"));
    assert_eq!(words(&mut browser, "h1"), "Scoring model");
    assert!(words(&mut browser, "main").contains("default@1"), "{}", browser.text());
    assert_eq!(browser.eval("document.querySelector('#f-critical').value"), "100");

    // On a phone nothing is wider than the window.
    browser.resize(PHONE, 844);
    for path in ["/impact", "/impact/model", "/checks/shop"] {
        for lang in ["en", "fr"] {
            browser.open(&at(&cluster, &format!("{path}?lang={lang}")));
            let wide = browser.eval("[document.documentElement.scrollWidth, innerWidth]");
            assert!(wide[0].as_u64() <= wide[1].as_u64(), "{path} {lang}: {wide}");
        }
    }
}

/// The job of an hour dies in its transaction, and again when that is committed and the job is not done yet: every row of the hour is there in the end, once.
#[test]
fn an_hour_of_scores_is_written_through_kills_in_the_midst_of_it() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&format!("{}group = \"web\"\n", site.check("shop"))).ok();
    let jobs = |cluster: &Cluster| {
        let list = cluster.ctl(&["jobs", "--kind", "impact", "--json"]).json();
        list["jobs"].as_array().expect("a list").clone()
    };
    let all_done = |cluster: &Cluster| {
        let told = jobs(cluster);
        if !told.is_empty() && told.iter().all(|job| job["state"] == "done") { Ok(()) } else { Err(told) }
    };
    // Nothing is known of the check, so the hour's job writes nothing down; the next process asks for it again.
    wait::until("the first job of the hour is done", 60, || all_done(&cluster));
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    site.set(Mood::Ill);
    cluster.wait_for_verdict("shop", "down", 20);
    cluster.stop_collector();

    cluster.collector_dies_at("impact.turn:1");
    cluster.collector_dies_at("impact.turned:1");
    cluster.start_collector();
    wait::until("every job is done", 60, || all_done(&cluster));
    let begun: u64 = jobs(&cluster).iter().map(|job| job["epoch"].as_u64().expect("an epoch") - 1).sum();
    assert!(begun >= 2, "each death met the job: {:?}", jobs(&cluster));
    let history = |whose: &[&str]| {
        let told = cluster.ctl(&[&["impact", "--history", "--json"][..], whose].concat()).json();
        let hours: Vec<String> = told["hours"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|hour| hour["at"].as_str().expect("an instant").to_owned())
            .collect();
        assert!(hours.windows(2).all(|pair| pair[0] < pair[1]), "each hour once: {told}");
        hours
    };
    let check = history(&["shop"]);
    assert!(!check.is_empty());
    for whose in [&["--group", "web"][..], &["--region", "eu-west"], &[]] {
        assert_eq!(history(whose), check, "{whose:?}");
    }
    cluster.stop_collector();
}
