//! What explains a failure when the server has long changed: in the result, and in the evidence of its incident.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::run;
use sitepulse_tests::servers::pki::Pki;
use sitepulse_tests::servers::{self, Nginx};
use sitepulse_tests::wait;

/// What `sha256sum` says of what `curl` gets.
fn sha256_of(dir: &Path, url: &str, how: &[&str]) -> String {
    let file = dir.join("body");
    run(Command::new("curl").args(["-sk", "-m", "10", "-o"]).arg(&file).args(how).arg(url)).ok();
    let summed = run(Command::new("sha256sum").arg(&file)).ok();
    summed.split(' ').next().unwrap_or_default().to_owned()
}

/// What `openssl` says of a certificate.
fn fingerprint(pem: &Path) -> String {
    let args = ["x509", "-noout", "-fingerprint", "-sha256", "-in"];
    let told = run(Command::new("openssl").args(args).arg(pem)).ok();
    told.trim().rsplit('=').next().unwrap_or_default().replace(':', "").to_lowercase()
}

/// The facts of the newest result that is not up, and those in the evidence of the check's incident.
fn facts(cluster: &Cluster, check: &str) -> [Value; 2] {
    let json = |args: &[&str]| serde_json::from_str::<Value>(&cluster.ctl(args).ok()).expect("JSON");
    let id = wait::until(&format!("an incident of {check} is open"), 60, || {
        let found = json(&["incidents", "--check", check, "--json"]);
        let one = found.as_array().into_iter().flatten().find(|one| one["state"] == "open");
        one.and_then(|one| one["id"].as_str()).map(str::to_owned).ok_or(found.clone())
    });
    let incident = json(&["incident", &id, "--json"]);
    let verified = json(&["incident", &id, "--verify", "--json"]);
    assert_eq!(verified["intact"], true, "{verified}");
    let results = json(&["results", check, "--from", "-10m", "--json"]);
    let mut records = results["records"].as_array().into_iter().flatten();
    let newest = records.rfind(|one| one["result"]["state"] == "down").map(|one| one["result"]["facts"].clone());
    [newest.unwrap_or_else(|| panic!("{results}")), incident["evidence"][0]["votes"][0]["result"]["facts"].clone()]
}

#[test]
fn what_the_server_sent_and_showed_is_in_the_result_and_in_the_evidence_of_its_incident() {
    let dir = tempfile::tempdir().expect("a folder");
    let pki = Pki::new();
    let nginx = Nginx::start(dir.path(), &pki);
    let caddy = servers::caddy(dir.path(), &pki);
    let plain = format!("http://localhost:{}", nginx.http);
    let over_quic = format!("https://localhost:{}/", caddy.1);
    let tls = format!("tls = {{ ca = \"\"\"{}\"\"\" }}", pki.ca_pem());
    let check =
        |id: &str, keys: String| format!("[[check]]\nid = \"{id}\"\ninterval = \"2s\"\ntimeout = \"4s\"\n{keys}\n\n");
    let file = [
        check("expired", format!("kind = \"http\"\nurl = \"https://localhost:{}/\"\n{tls}", nginx.expired)),
        check("tls-expired", format!("kind = \"tls\"\naddress = \"localhost:{}\"\n{tls}", nginx.expired)),
        check("broken", format!("kind = \"http\"\nurl = \"{plain}/broken\"")),
        check(
            "gzip",
            format!(
                "kind = \"http\"\nurl = \"{plain}/gzip\"\ncompression = true\nexpect = [\"body contains 'Goodbye'\"]"
            ),
        ),
        check(
            "quic",
            format!("kind = \"http\"\nurl = \"{over_quic}\"\nhttp = \"3\"\n{tls}\nexpect = [\"status == 404\"]"),
        ),
        check(
            "flow",
            format!(
                "kind = \"flow\"\nsteps = [\n {{ name = \"home\", url = \"{plain}/\" }},\n {{ name = \"api\", url = \"{plain}/api\", expect = [\"json '$.status' == 'gone'\"] }},\n]"
            ),
        ),
        check("good", format!("kind = \"http\"\nurl = \"{plain}/\"")),
    ];
    let mut cluster = Cluster::start();
    cluster.apply(&file.concat()).ok();
    cluster.add_agent("one", "lab");

    let expired = fingerprint(&dir.path().join("nginx/expired.pem"));
    assert_eq!(expired.len(), 64, "{expired}");
    for id in ["expired", "tls-expired"] {
        for facts in facts(&cluster, id) {
            let chain = facts["certificate_chain"].as_array().cloned().unwrap_or_default();
            assert_eq!(chain.len(), 1, "{id}: {facts}");
            let told = |name: &str| chain[0][name].as_str().unwrap_or_default().to_owned();
            let wanted = [&*expired, "2021-01-01T00:00:00Z", "localhost", "Test CA"];
            assert_eq!(["sha256", "not_after", "subject", "issuer"].map(told), wanted, "{id}: {facts}");
            assert_eq!(facts["response_sha256"], Value::Null, "{id}: {facts}");
            assert_eq!(facts["resolver_answer"][0], "127.0.0.1", "{id}: {facts}");
            assert!(["hosts file", "localhost"].map(Value::from).contains(&facts["resolver"]), "{id}: {facts}");
        }
    }
    // Of `quic` what HTTP/3 brought: this page tells over what it came.
    let quic = dir.path().join("quic");
    std::fs::write(&quic, "Welcome over HTTP/3.0").expect("a file can be written");
    let quic = run(Command::new("sha256sum").arg(&quic)).ok().split(' ').next().unwrap_or_default().to_owned();
    for (id, sha256) in [
        ("broken", sha256_of(dir.path(), &format!("{plain}/broken"), &[])),
        ("gzip", sha256_of(dir.path(), &format!("{plain}/gzip"), &[])),
        ("quic", quic),
        ("flow", sha256_of(dir.path(), &format!("{plain}/api"), &[])),
    ] {
        for facts in facts(&cluster, id) {
            assert_eq!(facts["response_sha256"], Value::from(sha256.as_str()), "{id}: {facts}");
            assert_eq!((&facts["response_cut"], &facts["certificate_chain"]), (&Value::Null, &Value::Null), "{id}");
        }
    }
    cluster.wait_for_verdict("good", "up", 30);
    let good = cluster.check("good")["agents"][0]["facts"].clone();
    assert_eq!(
        good.as_object().map(|facts| facts.keys().cloned().collect::<Vec<_>>()),
        Some(vec!["body_bytes".to_owned(), "status".to_owned()]),
        "{good}"
    );
}
