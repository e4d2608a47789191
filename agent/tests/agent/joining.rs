//! Joining, and how connections end.

use std::path::Path;
use std::process::Output;

use sitepulse_wire::token::JoinToken;

use crate::played::*;

#[test]
fn joining() {
    let collector = Collector::start(Vec::new());
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let code = |output: &Output| output.status.code().unwrap_or_else(|| panic!("{output:?}"));
    let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let output = ask(&dir, &["status"]);
    assert_eq!(code(&output), 4, "{}", text(&output));
    assert!(text(&output).contains("no agent has joined here"), "{}", text(&output));

    let output = ask(&dir, &["join", "sp1_nonsense"]);
    assert_eq!(code(&output), 2, "{}", text(&output));

    let forged = JoinToken::new(vec![collector.address.to_string()], collector.pin, [1; 32]).unwrap().to_string();
    let output = ask(&dir, &["join", &forged]);
    assert_eq!(code(&output), 5, "{}", text(&output));
    assert!(text(&output).contains("refused the join"), "{}", text(&output));

    let misled = JoinToken::new(vec![collector.address.to_string()], [0; 32], SECRET).unwrap().to_string();
    let output = ask(&dir, &["join", &misled]);
    assert_eq!(code(&output), 5, "{}", text(&output));
    assert!(text(&output).contains("another CA"), "{}", text(&output));

    let nowhere = JoinToken::new(vec!["127.0.0.1:9".into()], collector.pin, SECRET).unwrap().to_string();
    let output = ask(&dir, &["join", &nowhere]);
    assert_eq!(code(&output), 6, "{}", text(&output));

    let joined = json(&dir, &["join", &collector.token(), "--name", "berlin-1", "--json"]);
    assert_eq!((joined["name"].as_str(), joined["region"].as_str()), (Some("berlin-1"), Some("eu-west")));
    let again = json(&dir, &["join", &collector.token(), "--json"]);
    assert_eq!(again, joined, "the same token again changes nothing");
    let other = JoinToken::new(vec![collector.address.to_string()], collector.pin, [2; 32]).unwrap().to_string();
    let output = ask(&dir, &["join", &other]);
    assert_eq!(code(&output), 4, "{}", text(&output));
    assert!(text(&output).contains("has joined here already"), "{}", text(&output));

    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("state.db"))), (0o700, 0o600));
}

#[test]
fn joining_and_stopping_close_their_connections() {
    let collector = Collector::start(vec![check(1, "shop", "http://127.0.0.1:9/".to_owned())]);
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    json(&dir, &["join", &collector.token(), "--json"]);
    let goodbyes = || collector.book.lock().unwrap().goodbyes;
    wait_for("the goodbye of the join", || goodbyes() == 1);
    let daemon = Daemon::start(&dir);
    wait_for("a result", || results(&collector.records(), 1) >= 1);
    assert!(daemon.terminate().success());
    wait_for("the goodbye of the agent", || goodbyes() == 2);
}
