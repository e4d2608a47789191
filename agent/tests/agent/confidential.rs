//! Secrets stand in no file, no log and no answer.

use std::path::Path;

use sitepulse_agent::secrets::Vault;
use sitepulse_agent::state::StateDb;
use sitepulse_model::check::{CheckKind, SecretText};

use crate::played::*;

/// Every file below a directory, and whether it holds `text`.
fn files_with(dir: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in
        std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
    {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn secrets_appear_in_no_file_no_log_and_no_answer() {
    const VALUE: &str = "correct-horse-battery";
    let site = Site::start();
    let mut shop = check(1, "shop", format!("http://{}/", site.address));
    let CheckKind::Http(target) = &mut shop.definition.kind else { unreachable!("it is http") };
    target.headers.insert("x-key".to_owned(), SecretText("secret:api".to_owned()));
    let collector = Collector::start(vec![shop]);
    collector.book.lock().unwrap().secrets = vec![("api".to_owned(), VALUE.to_owned())];
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    json(&dir, &["join", &collector.token(), "--json"]);
    let log = home.path().join("log");
    let start = || {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        Daemon(agent(&dir, &["run"]).env("SITEPULSE_LOG", "trace").stderr(file).spawn().unwrap())
    };
    let daemon = start();
    wait_for("results", || results(&collector.records(), 1) >= 2);
    assert!(site.request.lock().unwrap().contains(&format!("x-key: {VALUE}")), "the prober has it");
    assert_eq!(files_with(&dir, VALUE), Vec::<std::path::PathBuf>::new(), "while it runs");
    for question in
        [&["status", "--json"][..], &["checks", "--json"], &["spool", "--json"], &["run-now", "shop", "--json"]]
    {
        let output = ask(&dir, question);
        assert!(!String::from_utf8_lossy(&output.stdout).contains(VALUE), "{question:?}");
    }
    daemon.kill();
    assert_eq!(files_with(&dir, VALUE), Vec::<std::path::PathBuf>::new(), "after a kill");
    assert!(!format!("{:?}", collector.records()).contains(VALUE));
    {
        let state = StateDb::open(&dir).unwrap();
        let sealed = state.secrets().unwrap();
        assert_eq!(sealed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["api"]);
        assert_eq!(Vault::open(&dir).load(&state).0["api"], VALUE);
    }
    // Cut off from the collector, a new start has them all the same.
    collector.book.lock().unwrap().away = true;
    site.request.lock().unwrap().clear();
    let daemon = start();
    wait_for("a request with the secret", || site.request.lock().unwrap().contains(VALUE));
    assert!(daemon.terminate().success());
    collector.book.lock().unwrap().away = false;
    // A key of another machine: told, and mended by the collector.
    std::fs::write(dir.join("seal.key"), [7; 32]).unwrap();
    let before = results(&collector.records(), 1);
    let daemon = start();
    wait_for("results with a foreign key", || results(&collector.records(), 1) > before);
    assert!(daemon.terminate().success());
    assert_eq!(Vault::open(&dir).load(&StateDb::open(&dir).unwrap()).0["api"], VALUE);
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("do not open with this machine's seal.key"), "{log}");
    assert!(!log.contains(VALUE), "the log tells the secret");
}
