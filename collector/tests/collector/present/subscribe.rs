//! Mails to subscribers of a status page: from the form to the mail server and back by the links.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{StatusCode, header};
use sitepulse_collector::present::Present;
use sitepulse_collector::present::door::Door;
use sitepulse_collector::present::status::mail;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::record::ProbeState;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bench::{Answer, NETWORK};
use super::status::World;

/// A mail as the server took it.
#[derive(Debug, Clone)]
struct Taken {
    to: Vec<String>,
    text: String,
}

impl Taken {
    /// The body as it was before it was encoded.
    fn body(&self) -> String {
        let (head, body) = self.text.split_once("\r\n\r\n").unwrap();
        if !head.to_ascii_lowercase().contains("content-transfer-encoding: quoted-printable") {
            return body.replace("\r\n", "\n");
        }
        let joined = body.replace("=\r\n", "").replace("\r\n", "\n");
        let mut bytes = Vec::new();
        let mut rest = joined.as_str();
        while let Some((before, after)) = rest.split_once('=') {
            bytes.extend_from_slice(before.as_bytes());
            bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
            rest = &after[2..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        String::from_utf8(bytes).unwrap()
    }

    fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.text.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ");
        let mut lines = head.lines();
        lines.find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    }

    /// The path of the link to a page of this kind.
    fn link(&self, kind: &str) -> String {
        let body = self.body();
        let line = body.lines().find(|line| line.contains(&format!("/status/public/{kind}/"))).unwrap();
        line.strip_prefix("https://console.example").unwrap().to_owned()
    }
}

/// What a mail server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Takes everything but what is for `gone`.
    Takes,
    /// Says nothing to whoever connects.
    Silent,
    /// Takes mails and does not say so.
    Unsaid,
    /// Answers so to every receiver.
    Says(&'static str),
}

/// A mail server.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    mode: Arc<Mutex<Mode>>,
    /// How many receivers were named or, in silence, how many came.
    met: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(Mutex::new(Mode::Takes));
        let server = Self { address, taken: Arc::default(), mode, met: Arc::default() };
        let mine = server.clone();
        #[allow(clippy::disallowed_methods, reason = "a test's server ends with its runtime")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mine = mine.clone();
                tokio::spawn(async move { mine.serve(stream).await.ok() });
            }
        });
        server
    }

    async fn serve(&self, stream: tokio::net::TcpStream) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        if self.mode() == Mode::Silent {
            self.met.fetch_add(1, Ordering::SeqCst);
            return lines.next_line().await.map(drop);
        }
        write.write_all(b"220 mail.example\r\n").await?;
        let (mut to, mut text) = (Vec::new(), None::<String>);
        while let Some(line) = lines.next_line().await? {
            if let Some(mail) = &mut text {
                if line == "." {
                    let taken = Taken { to: std::mem::take(&mut to), text: text.take().unwrap() };
                    self.taken.lock().unwrap().push(taken);
                    if self.mode() != Mode::Unsaid {
                        write.write_all(b"250 queued\r\n").await?;
                    }
                } else {
                    mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.push_str("\r\n");
                }
                continue;
            }
            let answer: &[u8] = match line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "EHLO" => b"250-mail.example\r\n250 8BITMIME\r\n",
                "RCPT" if line.contains("<gone@") => b"550 no such user\r\n",
                "RCPT" => {
                    self.met.fetch_add(1, Ordering::SeqCst);
                    if let Mode::Says(said) = self.mode() {
                        write.write_all(format!("{said}\r\n").as_bytes()).await?;
                        continue;
                    }
                    to.push(line.split(['<', '>']).nth(1).unwrap_or_default().to_owned());
                    b"250 ok\r\n"
                }
                "DATA" => {
                    text = Some(String::new());
                    b"354 go on\r\n"
                }
                "QUIT" => b"221 bye\r\n",
                _ => b"250 ok\r\n",
            };
            write.write_all(answer).await?;
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Waits until it met so many.
    async fn met(&self, count: usize) {
        until("it is met", async || self.met.load(Ordering::SeqCst) >= count).await;
    }

    /// The mails so far, once there are so many.
    async fn mails(&self, count: usize) -> Vec<Taken> {
        let waiting = async {
            loop {
                let taken = self.taken.lock().unwrap().clone();
                if taken.len() >= count {
                    return taken;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        found.unwrap_or_else(|_| panic!("{count} mails never came: {:?}", self.taken.lock().unwrap()))
    }
}

/// Waits until something is so.
async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

struct Mails {
    world: World,
    server: Server,
    /// What sends; dropping its end stops it.
    sending: Mutex<Option<(JoinHandle<()>, watch::Sender<bool>)>>,
}

impl Mails {
    /// A collector with a page that mails; the newest two slots of its checks are not told yet.
    async fn new() -> Self {
        let world = World::fine_but(2).await;
        let server = Server::start().await;
        let file = format!(
            "{}[[channel]]\nid = \"letters\"\nkind = \"email\"\nserver = \"{}\"\nsecurity = \"plain\"\nfrom = \"Example <status@example.com>\"\nto = [\"nobody@example.com\"]\n",
            super::status::FILE.replace("accent =", "channel = \"letters\"\naccent ="),
            server.address
        );
        let applied = world.bench.apply(&file, serde_json::json!({})).await;
        assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
        let mails = Self { world, server, sending: Mutex::default() };
        mails.start();
        mails
    }

    fn start(&self) {
        let (stop, stopping) = watch::channel(false);
        let (app, sender) = (self.world.bench.app.clone(), sitepulse_notify::Sender::default());
        let present = Present::new(app, sender, "https://console.example".into(), stopping.clone());
        #[allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]
        let task = tokio::spawn(mail::run(present, stopping));
        *self.sending.lock().unwrap() = Some((task, stop));
    }

    /// Ends what sends at the point where it is.
    async fn kill(&self) {
        let (task, _stop) = self.sending.lock().unwrap().take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// Somebody is subscribed; the mails so far are theirs alone.
    async fn subscribed(&self, address: &str, lang: &str) {
        let before = self.server.taken.lock().unwrap().len();
        let asked = self.post(&format!("/status/public/subscribe?lang={lang}"), &format!("email={address}")).await;
        assert_eq!(asked.status, StatusCode::OK, "{}", asked.text);
        let mail = self.server.mails(before + 1).await.remove(before);
        assert_eq!(self.post(&mail.link("confirm"), "").await.status, StatusCode::OK);
    }

    async fn state(&self, state: ProbeState, slots: (i64, i64)) {
        for agent in [self.world.berlin, self.world.oslo] {
            self.world.observe(agent, "secret-check", state, slots).await;
        }
    }

    async fn note(&self, text: &str) {
        let list = self.world.bench.get("/api/v1/incidents").await.json();
        let acts = format!("/api/v1/incidents/{}/acts", list[0]["id"].as_str().unwrap());
        let note = serde_json::json!({"act": "public_note", "text": text});
        let noted = self.world.bench.post(&acts, &note).await;
        assert!(noted.status.is_success(), "{}", noted.text);
    }

    async fn subscriptions(&self) -> serde_json::Value {
        self.world.bench.get("/api/v1/status-pages/public").await.json()["subscriptions"].clone()
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        // The first content type counts.
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.world.bench.send(NETWORK, "POST", path, &form, body).await
    }

    /// What lies on the disk.
    fn disk(&self) -> Vec<u8> {
        let dir = self.world.bench.app.data_dir();
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap_or_default();
        [read("collector.db"), read("collector.db-wal")].concat()
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_confirms_is_told_and_ends_it() {
    let mails = Mails::new().await;
    let page = mails.world.get("/status/public?lang=fr").await.text;
    assert!(page.contains("href=\"/status/public/subscribe?lang=fr\">S’abonner par courriel</a>"), "{page}");
    let form = mails.world.get("/status/public/subscribe?lang=fr").await;
    assert!(form.text.contains("<label for=\"email\">Adresse de courriel</label>"), "{}", form.text);
    let asked = mails.post("/status/public/subscribe?lang=fr", "email=Ana.Martin%40Example.org").await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.text);
    assert!(!asked.text.contains("Martin"));
    // Asking again changes nothing, and says the same.
    assert_eq!(mails.post("/status/public/subscribe?lang=fr", "email=ana.martin%40example.org").await.text, asked.text);
    let first = mails.server.mails(1).await.remove(0);
    assert_eq!(first.to, ["Ana.Martin@example.org"]);
    assert!(
        first.body().contains("Pour confirmer, ouvrez :") && first.header("List-Unsubscribe").is_none(),
        "{first:?}"
    );
    assert_eq!(first.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert!(!holds(&mails.disk(), "Ana.Martin"), "an address lies on the disk as it is");

    // Whoever looks confirms nothing.
    let link = first.link("confirm");
    let look = mails.world.get(&link).await;
    assert!(look.text.contains("<button type=\"submit\">Oui, confirmer</button>"), "{}", look.text);
    assert_eq!(look.headers[header::REFERRER_POLICY], "no-referrer");
    let forged = format!("{}x", link.split('?').next().unwrap());
    assert_eq!(mails.post(&forged, "").await.status, StatusCode::NOT_FOUND);
    let confirmed = mails.post(&link, "").await;
    assert!(confirmed.text.contains("Votre abonnement est confirmé."), "{}", confirmed.text);

    let world = &mails.world;
    for agent in [world.berlin, world.oslo] {
        world.observe(agent, "secret-check", ProbeState::Down, (2, 1)).await;
    }
    let opened = mails.server.mails(2).await.remove(1);
    for agent in [world.berlin, world.oslo] {
        world.observe(agent, "secret-check", ProbeState::Up, (1, 0)).await;
    }
    let resolved = mails.server.mails(3).await.remove(2);
    assert!(opened.body().contains("Panne : Vitrine\nDepuis le "), "{}", opened.body());
    assert!(resolved.body().contains("Résolu : Panne : Vitrine\nDu "), "{}", resolved.body());
    for mail in [&opened, &resolved] {
        assert_eq!(mail.to, ["Ana.Martin@example.org"]);
        super::status::assert_nothing_private("a mail", &mail.body());
        let unsubscribe = mail.header("List-Unsubscribe").unwrap();
        assert_eq!(unsubscribe, format!("<https://console.example{}>", mail.link("unsubscribe")));
        assert_eq!(mail.header("List-Unsubscribe-Post").as_deref(), Some("List-Unsubscribe=One-Click"));
        let id = mail.header("Message-ID").unwrap();
        assert!(id.starts_with("<public.") && id.ends_with("@example.com>") && !id.contains("Martin"), "{id}");
    }
    assert_ne!(opened.header("Message-ID"), resolved.header("Message-ID"));

    let end = resolved.link("unsubscribe");
    assert!(mails.world.get(&end).await.text.contains("Se désabonner</button>"));
    let ended = mails.post(&end, "List-Unsubscribe=One-Click").await;
    assert!(ended.text.contains("Votre adresse est oubliée."), "{}", ended.text);
    assert_eq!(mails.post(&end, "").await.status, StatusCode::OK);
    // The link of the confirmation does not bring it back.
    assert_eq!(mails.post(&link, "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(mails.server.mails(3).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_subscribed_is_refused_alike() {
    let mails = Mails::new().await;
    for bad in [
        "",
        "email=",
        "email=ana",
        "email=ana%40example.com%0d%0aBcc%3a+bob%40example.com",
        "email=%3Cscript%3E%40example.com",
    ] {
        let answer = mails.post("/status/public/subscribe", bad).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {}", answer.text);
        assert!(!answer.text.contains("<script") && !answer.text.contains("bob"), "{}", answer.text);
    }
    // Nobody has the address: the answer does not tell.
    let gone = mails.post("/status/public/subscribe", "email=gone%40example.com").await;
    let here = mails.post("/status/public/subscribe", "email=here%40example.com").await;
    assert_eq!((gone.status, &gone.text), (here.status, &here.text));
    assert_eq!(mails.server.mails(1).await[0].to, ["here@example.com"]);
    for path in ["/status/never/subscribe", "/status/never/confirm/x", "/status/never/unsubscribe/x"] {
        assert_eq!(mails.world.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(mails.post(path, "email=ana%40example.com").await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for bad in [
        "email=%C3%A9@example.com",
        "email=ana%40ex%C3%A4mple.com",
        "email=ana%EF%BC%A0example.com",
        "email=ana%E2%80%AE%40example.com",
        "email=ana%00%40example.com",
        "email=ana%40example.com%2Cbob%40example.com",
        "email=ana%40%5B127.0.0.1%5D",
        &format!("email={}%40example.com", "a".repeat(300)),
    ] {
        let answer = mails.post("/status/public/subscribe", bad).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {}", answer.text);
    }
    let long = mails.post("/status/public/subscribe", &format!("email={}%40example.com", "a".repeat(10_000))).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", long.text);
    // One peer may ask so often, then it is told to come back.
    let mut refused = 0;
    for nth in 0..40 {
        let answer = mails.post("/status/public/subscribe", &format!("email=n{nth}%40example.com")).await;
        refused += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(refused, 22);
    // A channel that sends no mail is refused where it is written.
    let hook = super::status::FILE.replace("accent =", "channel = \"ops-hook\"\naccent =");
    let answer = mails.world.bench.apply(&hook, serde_json::json!({"dry_run": true})).await;
    let told = answer.json()["errors"][0].as_str().unwrap().to_owned();
    assert!(told.contains("channel \"ops-hook\" is of kind webhook: name one of kind email"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_and_maintenance_are_told_in_the_readers_language() {
    let mails = Mails::new().await;
    mails.subscribed("ana@example.org", "en").await;
    mails.state(ProbeState::Down, (2, 0)).await;
    mails.server.mails(2).await;
    mails.note("We are on it.\n.\nBcc: bob@example.com").await;
    let update = mails.server.mails(3).await.remove(2);
    assert!(update.header("Subject").is_some_and(|subject| subject.contains("Update: Outage:")), "{update:?}");
    assert!(update.body().contains("We are on it.\n.\nBcc: bob@example.com\n"), "{}", update.body());
    assert!(update.header("Bcc").is_none() && update.to == ["ana@example.org"]);
    // Nothing is told twice, however often it is looked at; a comment among people is told to nobody.
    let soon = instant::format(clock::now().plus_us(2 * 3600 * 1_000_000));
    let late = instant::format(clock::now().plus_us(5 * 86_400 * 1_000_000));
    for (id, from) in [("window-soon", soon), ("window-late", late)] {
        let window = format!(
            "[[maintenance]]\nid = \"{id}\"\nchecks = [\"other-check\"]\nfrom = {}:00Z\nlasts = \"2h\"\n",
            &from[..16]
        );
        let applied = mails.world.bench.apply(&window, serde_json::json!({})).await;
        assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
    }
    let window = mails.server.mails(4).await.remove(3);
    assert!(window.body().contains("Back office") && !window.body().contains("window-soon"), "{}", window.body());
    mails.note("All is well.").await;
    assert!(mails.server.mails(5).await[4].body().contains("All is well."));
    assert_eq!(mails.subscriptions().await["mails_waiting"], 0);
}

/// Whoever was told that maintenance would come was never told that it would not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_that_was_announced_and_is_cancelled_is_told() {
    let mails = Mails::new().await;
    mails.subscribed("ana@example.org", "fr").await;
    let hour_us = 3600 * 1_000_000;
    let now = clock::now();
    let apply = async |id: &str, from_us: i64, lasts: &str| {
        let from = instant::format(now.plus_us(from_us));
        let window = format!(
            "[[maintenance]]\nid = \"{id}\"\nchecks = [\"other-check\"]\nfrom = {}:00Z\nlasts = \"{lasts}\"\n",
            &from[..16]
        );
        let applied = mails.world.bench.apply(&window, serde_json::json!({})).await;
        assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
    };
    let cancel = async |id: &str| {
        let path = format!("/api/v1/definitions/maintenance/{id}");
        let gone = mails.world.bench.send(Door::Local, "DELETE", &path, &[], "").await;
        assert!(gone.status.is_success(), "{}", gone.text);
    };
    apply("window-soon", 5 * hour_us, "2h").await;
    apply("window-late", 200 * hour_us, "2h").await;
    assert!(mails.server.mails(2).await[1].body().starts_with("Maintenance"));
    // It comes all the same, only shorter: nothing to say. Of the other one nobody had heard.
    apply("window-soon", 5 * hour_us, "1h").await;
    cancel("window-late").await;
    cancel("window-soon").await;
    let told = mails.server.mails(3).await.remove(2);
    assert!(told.header("Subject").is_some() && told.body().starts_with("Annulation"), "{}", told.body());
    assert!(told.body().contains("Elle était annoncée") && !told.body().contains("window-"), "{}", told.body());
    // It comes after all, at the same time, and once more does not.
    for _ in 0..2 {
        let heard = mails.server.mails(3).await.len();
        apply("window-soon", 5 * hour_us, "2h").await;
        assert!(mails.server.mails(heard + 1).await[heard].body().starts_with("Maintenance"));
        cancel("window-soon").await;
        assert!(mails.server.mails(heard + 2).await[heard + 1].body().starts_with("Annulation"));
    }
    // One that is open ends before its time.
    apply("window-now", -hour_us, "3h").await;
    assert!(mails.server.mails(8).await[7].body().starts_with("Maintenance"));
    cancel("window-now").await;
    let told = mails.server.mails(9).await.remove(8);
    assert!(told.body().starts_with("Fin anticipée"), "{}", told.body());
    mails.subscribed("bob@example.org", "en").await;
    until("all is sent", async || mails.subscriptions().await["mails_waiting"] == 0).await;
    let all = mails.server.mails(10).await;
    assert_eq!(all.len(), 10, "who came later is told of none of it: {all:?}");
    let metrics = mails.world.bench.get("/metrics?collect=mails").await.text;
    assert!(metrics.contains("sitepulse_status_page_subscribers{page=\"public\"} 2\n"), "{metrics}");
    assert!(!metrics.contains("sitepulse_check_up") && !metrics.contains("example.org"), "{metrics}");
}

/// The mail server has the mail, and the collector dies before it knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_sending_and_noting_sends_one_twice_under_the_same_id() {
    let mails = Mails::new().await;
    mails.subscribed("ana@example.org", "en").await;
    mails.server.set(Mode::Unsaid);
    mails.state(ProbeState::Down, (2, 1)).await;
    mails.server.mails(2).await;
    mails.kill().await;
    mails.server.set(Mode::Takes);
    mails.start();
    let all = mails.server.mails(3).await;
    assert_eq!(all[1].header("Message-ID"), all[2].header("Message-ID"));
    assert_eq!((all[1].body(), all[1].header("Subject")), (all[2].body(), all[2].header("Subject")));
    mails.state(ProbeState::Up, (1, 0)).await;
    let all = mails.server.mails(4).await;
    assert!(all[3].body().contains("Resolved: "), "{}", all[3].body());
    assert_eq!(all.len(), 4);
}

/// The mail is written and handed out, and the collector dies before the mail server has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_writing_and_sending_loses_no_mail_and_doubles_none() {
    let mails = Mails::new().await;
    mails.subscribed("ana@example.org", "en").await;
    mails.server.set(Mode::Silent);
    let met = mails.server.met.load(Ordering::SeqCst);
    mails.state(ProbeState::Down, (2, 1)).await;
    mails.server.met(met + 1).await;
    mails.kill().await;
    // While nobody sends, the incident ends and the collector starts anew over the same files.
    mails.state(ProbeState::Up, (1, 0)).await;
    mails.server.set(Mode::Takes);
    mails.start();
    let all = mails.server.mails(3).await;
    assert!(all[1].body().contains("Since ") && all[2].body().contains("Resolved: "), "{all:?}");
    assert_eq!(all.len(), 3);
}

/// A relay that is set up wrongly refuses everybody for good: no subscriber is lost for that, and no mail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_the_sender_costs_no_subscriber() {
    let mails = Mails::new().await;
    mails.subscribed("ana@example.org", "en").await;
    mails.server.set(Mode::Says("550 5.7.1 relaying denied for <ana@example.org>"));
    let met = mails.server.met.load(Ordering::SeqCst);
    mails.state(ProbeState::Down, (2, 1)).await;
    mails.server.met(met + 1).await;
    until("it waits", async || mails.subscriptions().await["mails_waiting"] == 1).await;
    mails.server.set(Mode::Takes);
    let opened = mails.server.mails(2).await.remove(1);
    assert_eq!(opened.to, ["ana@example.org"]);
    assert_eq!(mails.subscriptions().await["confirmed"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_nobody_has_is_forgotten_after_three_mails() {
    let mails = Mails::new().await;
    mails.subscribed("ana@example.org", "en").await;
    mails.server.set(Mode::Says("550 5.1.1 no such user"));
    mails.state(ProbeState::Down, (2, 0)).await;
    for count in 1..=3 {
        until("one more is refused", async || {
            let told = mails.subscriptions().await;
            told["mails_given_up"] == count || told["confirmed"] == 0
        })
        .await;
        assert_eq!(mails.subscriptions().await["confirmed"], u64::from(count < 3), "after {count}");
        if count < 3 {
            mails.note(&format!("news {count}")).await;
        }
    }
    let none = serde_json::json!({"confirmed": 0, "asking": 0, "mails_waiting": 0, "mails_given_up": 0});
    assert_eq!(mails.subscriptions().await, none);
    assert_eq!(mails.server.taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_page_without_a_channel_has_no_form() {
    let world = World::fine().await;
    assert!(!world.get("/status/public").await.text.contains("/subscribe"));
    assert_eq!(world.get("/status/public/subscribe").await.status, StatusCode::NOT_FOUND);
}
