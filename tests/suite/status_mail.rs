//! Mails of a status page from a real collector to a real mail server on loopback, through `kill -9` before a mail goes out and after it went.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rusqlite::Connection;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::mailbox::Mailbox;

fn header<'m>(mail: &'m str, name: &str) -> &'m str {
    let line = mail.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name}: {mail}"))
}

/// The answer to a POST.
fn post(http: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(http)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {http}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_kill_before_a_mail_goes_out_loses_none_and_one_after_it_sends_it_once_more() {
    let server = Mailbox::start();
    let mut cluster = Cluster::start();
    let file = format!(
        "[[check]]\nid = \"job\"\nkind = \"heartbeat\"\nperiod = \"1d\"\ngrace = \"1d\"\ninterval = \"1s\"\n\
         [[channel]]\nid = \"letters\"\nkind = \"email\"\nserver = \"{}\"\nsecurity = \"plain\"\nfrom = \"status@example.com\"\nto = [\"ops@example.com\"]\n\
         [[status_page]]\nid = \"public\"\ntitle = \"Example\"\nchannel = \"letters\"\n\
         [[status_page.groups]]\nname = \"All\"\n[[status_page.groups.items]]\nid = \"job\"\nname = \"Job\"\nchecks = [\"job\"]\n",
        server.address()
    );
    cluster.apply(&file).ok();
    let db = Connection::open(cluster.collector_dir().join("collector.db")).expect("the store opens");
    let token: String = db.query_row("SELECT token FROM heartbeat", [], |row| row.get(0)).expect("a token");
    drop(db);
    let asked = post(cluster.http(), "/status/public/subscribe", "email=ana%40example.org").expect("an answer");
    assert!(asked.starts_with("HTTP/1.1 200"), "{asked}");
    let confirm = server.mails(1).remove(0).replace("=\n", "").replace("=3D", "=");
    let link = confirm.split_whitespace().find(|word| word.contains("/status/public/confirm/")).expect("a link");
    let (_, path) = link.split_once("/status/").expect("a path");
    let confirmed = post(cluster.http(), &format!("/status/{path}"), "").expect("an answer");
    assert!(confirmed.starts_with("HTTP/1.1 200"), "{confirmed}");

    let ping = |cluster: &Cluster, what: &str| post(cluster.http(), &format!("/ping/{token}{what}"), "");
    // (the place, what the job says, how many mails of it the server has in the end)
    let mut mails = 1;
    for (place, says, copies) in [("send", "/fail", 1), ("sent", "", 2), ("sent", "/fail", 2), ("send", "", 1)] {
        cluster.stop_collector();
        cluster.set_env("SITEPULSE_FAILPOINT", &format!("status_mail.{place}:1"));
        cluster.start_collector();
        // It may die before it answers: what it took it has written down.
        let answered = ping(&cluster, says).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
        let status = cluster.collector.as_mut().expect("it was started").wait_for_end(60);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{place} {says}: {status}");
        cluster.collector = None;
        cluster.clear_env();
        cluster.start_collector();
        assert!(answered, "nothing is sent before the ping is answered");
        let all = server.mails(mails + copies);
        assert_eq!(all.len(), mails + copies, "{place} {says}: {all:?}");
        let ids: Vec<&str> = all[mails..].iter().map(|mail| header(mail, "Message-ID")).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{place} {says}: {ids:?}");
        mails += copies;
    }
    cluster.stop_collector();
    // All of them were different but for the copies, and nothing waits.
    let all = server.mails(mails);
    let mut ids: Vec<&str> = all.iter().map(|mail| header(mail, "Message-ID")).collect();
    ids.dedup();
    assert_eq!((all.len(), ids.len()), (7, 5), "{ids:?}");
    let db = Connection::open(cluster.collector_dir().join("collector.db")).expect("the store opens");
    let waiting: u64 =
        db.query_row("SELECT count(*) FROM subscriber_mail WHERE state = 1", [], |row| row.get(0)).expect("a count");
    assert_eq!(waiting, 0);
}
