//! The console's pages about checks, without a browser: the overview, the list, the forms.

use axum::http::{StatusCode, header};
use serde_json::json;
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::present::door::Door;

use super::bench::{Answer, Bench, CHECK, NETWORK};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn submit(bench: &Bench, path: &str, fields: &[(&str, &str)]) -> Answer {
    let escape = sitepulse_collector::present::http::escape;
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    bench.send(Door::Local, "POST", path, &[FORM], &body.join("&")).await
}

/// The value of a hidden field or of the file, as it stands on a page.
fn value_of(page: &str, name: &str) -> String {
    let from = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("no {name}: {page}"));
    let text = from.split('"').next().unwrap();
    text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&")
}

async fn many() -> Bench {
    let bench = Bench::new();
    let check = |n: usize| {
        let (group, tag) = (n % 5, n % 3);
        format!(
            "[[check]]\nid = \"c-{n:03}\"\nkind = \"tcp\"\naddress = \"127.0.0.1:9\"\ngroup = \"g-{group}\"\ntags = [\"t{tag}\"]\n"
        )
    };
    let text: String = (0..230).map(check).collect();
    assert_eq!(bench.apply(&text, json!({})).await.status, StatusCode::OK);
    bench
}

fn rows(page: &str) -> Vec<&str> {
    let links = page.split("<td class=\"name\"><a href=\"/checks/").skip(1);
    links.filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn the_list_is_filtered_sorted_and_paged_by_its_address() {
    let bench = many().await;
    let first = bench.get("/checks?sort=name").await.text;
    assert_eq!((rows(&first).len(), rows(&first)[0]), (100, "c-000"));
    assert!(first.contains("1 to 100 of 230"), "{first}");
    assert!(first.len() <= 150 * 1024, "{} bytes", first.len());
    // Every row is met once, page by page, and the way back leads to where one was.
    let (mut met, mut next) = (Vec::new(), Some("/checks?sort=name".to_owned()));
    let mut pages = Vec::new();
    while let Some(path) = next {
        let page = bench.get(&path).await.text;
        met.extend(rows(&page).iter().map(|id| (*id).to_owned()));
        let link = |rel: &str| {
            let from = page.split(&format!("rel=\"{rel}\" href=\"")).nth(1)?;
            Some(from.split('"').next()?.replace("&#38;", "&"))
        };
        next = link("next");
        pages.push((path, link("prev")));
    }
    assert_eq!(met, (0..230).map(|n| format!("c-{n:03}")).collect::<Vec<_>>());
    assert_eq!(
        pages.iter().map(|(_, before)| before.clone()).collect::<Vec<_>>()[..2],
        [None, Some(pages[0].0.clone())]
    );
    let filtered = bench.get("/checks?group=g-1&tag=t0&q=c-0&sort=-name&region=&kind=").await.text;
    assert_eq!(rows(&filtered), ["c-096", "c-081", "c-066", "c-051", "c-036", "c-021", "c-006"]);
    assert!(
        filtered.contains("href=\"/checks?group=g-1&#38;tag=t0&#38;sort=-name\""),
        "without the search: {filtered}"
    );
    for hostile in ["q=%3Cscript%3Ealert(1)%3C/script%3E", "group=%22%3E%3Cscript%3Ealert(1)"] {
        assert!(!bench.get(&format!("/checks?{hostile}")).await.text.contains("<script>alert"), "{hostile}");
    }
    assert_eq!(bench.get("/checks?after=nonsense").await.status, StatusCode::BAD_REQUEST);
    assert!(bench.get("/checks?q=nothing-like-it&lang=fr").await.text.contains("Aucun contrôle ne répond"));
}

#[tokio::test]
async fn the_overview_leads_to_the_first_check_and_counts_groups_later() {
    let bench = Bench::new();
    let empty = bench.get("/").await.text;
    assert!(empty.contains("action=\"/new-check\"") && empty.contains("href=\"/agents\""), "{empty}");
    let looks = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Read).await);
    let read = bench.send(NETWORK, "GET", "/", &[("authorization", &looks)], "").await.text;
    assert!(!read.contains("action=\"/new-check\"") && read.contains("reading only"), "{read}");
    bench.apply(CHECK, json!({})).await;
    let one = bench.get("/").await.text;
    assert!(one.contains("Say from where") && one.contains("✓ done"), "{one}");
}

#[tokio::test]
async fn a_check_is_written_by_the_form_shown_and_then_applied() {
    let bench = Bench::new();
    let begun = bench.get("/new-check?address=https%3A%2F%2Fshop.example%2F").await.text;
    assert!(begun.contains("value=\"https://shop.example/\"") && begun.contains("value=\"shop-example\""), "{begun}");
    // What is wrong stands at its field, in the words of check files.
    let fields = [("id", "Shop!"), ("kind", "http"), ("address", ""), ("interval", "soon")];
    let wrong = submit(&bench, "/new-check", &fields).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    for field in ["id", "address", "interval"] {
        assert!(wrong.text.contains(&format!("id=\"f-{field}-error\"")), "{field}: {}", wrong.text);
    }
    let fields = [("id", "shop"), ("kind", "http"), ("address", "https://shop.example/"), ("interval", "30s")];
    let shown = submit(&bench, "/new-check", &fields).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert!(shown.text.contains("The check is new."), "{}", shown.text);
    assert_eq!(bench.get("/api/v1/checks").await.json(), json!([]), "nothing is applied that was not shown");
    let seen = value_of(&shown.text, "seen");
    let again = |more: &[(&'static str, &str)], interval: &str| {
        let mut all: Vec<(&str, String)> = vec![("id", "shop".into()), ("kind", "http".into())];
        all.extend([("address", "https://shop.example/".into()), ("interval", interval.to_owned())]);
        all.extend(["seen", "toml", "base"].map(|name| (name, seen.clone())));
        all.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        all
    };
    let send = async |path: &str, fields: Vec<(&str, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        submit(&bench, path, &fields).await
    };
    // What was changed since is shown anew instead.
    let changed = send("/new-check", again(&[], "40s")).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(bench.get("/api/v1/checks").await.json(), json!([]));
    let done = send("/new-check", again(&[], "30s")).await;
    assert_eq!(
        (done.status, done.headers[header::LOCATION].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/checks/shop")
    );
    assert_eq!(bench.get("/api/v1/checks/shop").await.json()["interval_seconds"], 30.0);
    // The id is taken now.
    let taken = submit(&bench, "/new-check", &fields).await;
    assert!(taken.status == StatusCode::UNPROCESSABLE_ENTITY && taken.text.contains("f-id-error"), "{}", taken.text);
}

#[tokio::test]
async fn an_edit_shows_what_differs_and_keeps_what_the_form_does_not_know() {
    let bench = Bench::new();
    bench.apply(&CHECK.replace("interval", "method = \"HEAD\"\ninterval"), json!({})).await;
    let page = bench.get("/checks/shop/edit").await.text;
    let base = value_of(&page, "base");
    assert!(base.contains("method = \"HEAD\"") && base.contains("interval = \"1s\""), "{base}");
    let fields = [("id", "shop"), ("kind", "http"), ("address", "http://127.0.0.1:9/"), ("interval", "5s")];
    let send = async |more: &[(&str, &str)]| submit(&bench, "/checks/shop/edit", &[&fields[..], more].concat()).await;
    let shown = send(&[("base", &base), ("toml", &base), ("weight", "3")]).await.text;
    assert!(
        shown.contains("<del>1s</del>") && shown.contains("<ins>5s</ins>") && shown.contains("<ins>3</ins>"),
        "{shown}"
    );
    // What somebody wrote in the file outweighs the fields.
    let own = base.replace("1s", "7s");
    let shown = send(&[("base", &base), ("toml", &own)]).await.text;
    assert!(shown.contains("<ins>7s</ins>") && !shown.contains("<ins>5s</ins>"), "{shown}");
    let seen = value_of(&shown, "seen");
    let tag = value_of(&shown, "tag");
    let same = send(&[("base", ""), ("toml", &seen), ("seen", &seen), ("tag", &tag)]).await;
    assert_eq!(same.status, StatusCode::SEE_OTHER, "{}", same.text);
    let check = bench.get("/api/v1/checks/shop").await.json();
    assert_eq!((&check["interval_seconds"], &check["revision"]), (&json!(7.0), &json!(2)));
    // Its page tells what became of it, and another id makes no other check of it.
    let history = bench.get("/checks/shop").await.text;
    assert!(history.contains("<code>interval</code> 1s → 7s"), "{history}");
    let other = seen.replace("\"shop\"", "\"other\"");
    let renamed = send(&[("base", &seen), ("toml", &other)]).await;
    assert!(
        renamed.status == StatusCode::UNPROCESSABLE_ENTITY && renamed.text.contains("f-id-error"),
        "{}",
        renamed.text
    );
    // No TOML at all is told like everything else.
    let broken = send(&[("base", ""), ("toml", "[[check\n<script>")]).await;
    assert_eq!(broken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!broken.text.contains("<script>\n") && broken.text.contains("role=\"alert\""), "{}", broken.text);
}

#[tokio::test]
async fn a_suspension_needs_a_reason_and_ends_by_a_button() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    let without = submit(&bench, "/checks/shop/suspend", &[("reason", " "), ("length", "1h")]).await;
    assert_eq!(without.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(without.text.contains("a suspension needs a reason"), "{}", without.text);
    let done = submit(&bench, "/checks/shop/suspend", &[("reason", "moving"), ("length", "4h")]).await;
    assert_eq!(
        (done.status, done.headers[header::LOCATION].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/checks/shop")
    );
    let page = bench.get("/checks/shop").await.text;
    assert!(page.contains("moving") && page.contains("action=\"/checks/shop/resume\""), "{page}");
    let over = submit(&bench, "/checks/shop/resume", &[("agent", "")]).await;
    assert_eq!(over.status, StatusCode::SEE_OTHER);
    assert!(bench.get("/api/v1/checks/shop").await.json()["suspended"].is_null());
    assert_eq!(bench.get("/checks/none/suspend").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_check_and_an_agent_may_be_called_new() {
    let bench = Bench::new();
    bench.apply(&CHECK.replace("shop", "new"), json!({})).await;
    let page = bench.get("/checks/new").await;
    assert!(page.status == StatusCode::OK && page.text.contains("/checks/new/edit"), "{}", page.text);
    assert_eq!(bench.get("/agents/new").await.status, StatusCode::NOT_FOUND, "no agent is called so");
}

#[tokio::test]
async fn the_navigation_has_groups_and_marks_where_one_is() {
    let bench = Bench::new();
    let page = bench.get("/api/v1/docs?lang=fr").await.text;
    let places = page.split_once("class=\"places\"").unwrap().1.split_once("</nav>").unwrap().0;
    for word in ["<p>Surveiller</p>", "<p>Réagir</p>", "<p>Améliorer</p>", "<p>Système</p>"] {
        assert!(places.contains(word), "{word}: {places}");
    }
    assert_eq!(places.matches("aria-current").count(), 1);
    assert!(places.contains("href=\"/api/v1/docs\" aria-current=\"page\""), "{places}");
    // On a phone the same behind one menu, which says where one is.
    let menu =
        page.split_once("<details class=\"menu\" id=\"places-menu\">").unwrap().1.split_once("</details>").unwrap().0;
    assert!(menu.contains("API</summary>") && menu.contains("href=\"/windows\""), "{menu}");
}

#[tokio::test]
async fn a_pages_device_is_chosen_among_those_that_are_described_somewhere() {
    let bench = Bench::new();
    let office = "[[check]]\nid = \"desk\"\nkind = \"web_vitals\"\nurl = \"https://shop.example/\"\nprofile = \"office\"\n\
                  [profile.office]\nbase = \"desktop\"\ncpu = 2\n";
    assert_eq!(bench.apply(office, json!({})).await.status, StatusCode::OK);
    let fields = [("id", "home"), ("kind", "web_vitals"), ("address", "https://shop.example/")];
    let asked = submit(&bench, "/new-check", &fields).await.text;
    for name in ["mobile", "desktop", "office"] {
        assert!(asked.contains(&format!("<option value=\"{name}\"")), "{name}: {asked}");
    }
    assert!(asked.contains("<option value=\"mobile\" selected"), "where nothing is said: {asked}");
    let base = value_of(&asked, "base");
    let more = [("profile", "office"), ("base", base.as_str()), ("toml", base.as_str())];
    let chosen = submit(&bench, "/new-check", &[&fields[..], &more].concat()).await.text;
    let seen = value_of(&chosen, "seen");
    assert!(seen.contains("[profile.office]") && seen.contains("profile = \"office\""), "{seen}");
    let file = [("profile", "office"), ("base", seen.as_str()), ("toml", seen.as_str()), ("seen", seen.as_str())];
    let done = submit(&bench, "/new-check", &[&fields[..], &file].concat()).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    // The same device to the last value, and the form has it again.
    let kind = |id: &str| {
        let book = bench.app.book();
        let check = book.check_by_id(&sitepulse_model::id::CheckId::parse(id).unwrap()).unwrap();
        check.current().unwrap().definition.kind.clone()
    };
    assert_eq!(kind("home"), kind("desk"));
    let again = bench.get("/checks/home/edit?lang=fr").await.text;
    assert!(again.contains("<option value=\"office\" selected") && again.contains("Profil d’appareil"), "{again}");
    let http = bench.get("/new-check").await.text;
    assert!(!http.contains("f-profile"), "{http}");
}
