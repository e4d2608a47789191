//! Which agents page by themselves when the collector stays away: two of them, whatever comes and goes.

use std::time::Duration;

use sitepulse_collector::app::{Access, ApplyOptions};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::receive::ReceiveSession;
use sitepulse_collector::writer::Writer;
use sitepulse_model::id::AgentNo;
use sitepulse_model::pager::{Order, SECRET};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::ToAgent;

use super::secrets::{secrets_of, sent, welcomed};
use super::world::*;

const HOOK: &str = "[[channel]]\nid = \"hook\"\nkind = \"webhook\"\nurl = \"https://ops.example/\"\nsecret = \"secret:hook\"\nagents_after = \"10m\"\n";

fn apply(engine: &mut Engine, file: &str, seconds: i64) {
    let written = checkfile::parse(&[Source { name: "c.toml".into(), text: file.into() }]).unwrap();
    engine.apply_as(Access::Admin, written, &ApplyOptions { prune: true, ..options() }, at(seconds)).unwrap();
}

/// The order that an agent is given, if it is.
fn order_of(message: &ToAgent) -> Option<Order> {
    let secrets = secrets_of(message);
    let (_, text) = secrets.iter().find(|(name, _)| name == SECRET)?;
    Some(serde_json::from_str(text).unwrap())
}

/// An agent, as far as it pages: it has what its newest secrets say, also while it is away.
struct Peer {
    agent: AgentNo,
    session: Option<ReceiveSession>,
    order: Option<Order>,
}

impl Peer {
    fn enrol(engine: &mut Engine, region: &str, name: &str) -> Self {
        Self { agent: enrol(engine, region, Some(name)).agent, session: None, order: None }
    }

    fn present(&self, engine: &Engine, connected: bool, now: UtcMicros) {
        engine.shared().book().agent(self.agent).unwrap().presence.update(|presence| {
            presence.connected = connected;
            presence.last_seen = Some(now);
        });
    }

    /// In the listener's order: welcome, presence, note.
    fn come(&mut self, engine: &mut Engine, now: UtcMicros) {
        let (session, told) = welcomed(engine, self.agent);
        self.order = order_of(&told[1]);
        self.session = Some(session);
        self.present(engine, true, now);
        engine.note_handshake(self.agent, "0.0.0", now).unwrap();
    }

    fn leave(&mut self, engine: &Engine, now: UtcMicros) {
        self.session = None;
        self.present(engine, false, now);
    }

    fn hear(&mut self, engine: &Engine) {
        let Some(session) = &mut self.session else { return };
        session.handle_book(&engine.shared().book());
        for message in sent(session).iter().filter(|message| matches!(message, ToAgent::Secrets(_))) {
            self.order = order_of(message);
        }
    }
}

/// Whether each of them has the order, once those who are there heard what is new.
fn hold(engine: &Engine, peers: &mut [Peer]) -> Vec<bool> {
    peers.iter_mut().for_each(|peer| peer.hear(engine));
    peers.iter().map(|peer| peer.order.is_some()).collect()
}

/// Agents of these regions, in the order of their numbers, and the channel.
fn with_peers<const N: usize>(engine: &mut Engine, regions: [&str; N]) -> [Peer; N] {
    engine.set_secret("hook", b"value", at(1)).unwrap();
    apply(engine, HOOK, 1);
    let mut nth = 0;
    regions.map(|region| {
        nth += 1;
        Peer::enrol(engine, region, &format!("agent-{nth}"))
    })
}

#[test]
fn two_agents_of_different_regions_are_told_to_page_when_the_collector_stays_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let mut peers =
        [("eu", "eu-1"), ("eu", "eu-2"), ("us", "us-1")].map(|(region, name)| Peer::enrol(&mut engine, region, name));
    peers.iter_mut().for_each(|peer| peer.come(&mut engine, at(1)));
    assert_eq!(hold(&engine, &mut peers), [false; 3]);
    engine.set_secret("hook", b"value", at(1)).unwrap();
    apply(&mut engine, HOOK, 2);
    assert_eq!(hold(&engine, &mut peers), [true, true, false]);
    engine.choose_pagers(at(3)).unwrap();
    assert_eq!(hold(&engine, &mut peers), [true, false, true], "one of a region is enough");
    let order = peers[0].order.clone().unwrap();
    assert_eq!((order.after_us, order.secrets["hook"].as_str()), (600_000_000, "value"));
    assert_eq!(peers[2].order, Some(order));

    // What the channel needs changes, another agent takes a revoked one's place, and without the channel nobody pages.
    engine.set_secret("hook", b"new", at(4)).unwrap();
    assert_eq!(hold(&engine, &mut peers), [true, false, true]);
    assert_eq!(peers[0].order.as_ref().unwrap().secrets["hook"], "new");
    let name = engine.shared().book().agent(peers[2].agent).unwrap().name.clone();
    let agent = peers[2].agent;
    engine.revoke_agent(&name, at(5)).unwrap();
    assert!(!engine.shared().book().pagers().contains(&agent));
    assert_eq!(hold(&engine, &mut peers[..2]), [true, true]);
    apply(&mut engine, "", 6);
    assert_eq!(hold(&engine, &mut peers[..2]), [false, false]);
}

/// Who was not back yet ranked behind those who were, and so every agent was told in its turn that others page.
#[test]
fn in_whatever_order_agents_come_back_after_a_restart_the_same_two_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let mut peers = with_peers(&mut engine, ["ap", "eu", "us"]);
    for (nth, held) in [[true, false, false], [true, true, false], [true, true, false]].into_iter().enumerate() {
        peers[nth].come(&mut engine, at(2));
        assert_eq!(hold(&engine, &mut peers), held, "a fresh set-up waits for nothing");
    }
    let mut now = 10;
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for nth in order {
            peers[nth].leave(&engine, at(now));
            engine.choose_pagers(at(now)).unwrap();
            assert_eq!(hold(&engine, &mut peers), [true, true, false], "{order:?}: going");
        }
        drop(engine);
        engine = on_disk(dir.path());
        engine.choose_pagers(at(now + 1_000)).unwrap();
        now += 1_001;
        for nth in order {
            peers[nth].come(&mut engine, at(now));
            // By the welcome alone, and still after it.
            assert_eq!(peers[nth].order.is_some(), nth < 2, "{order:?}: {nth}");
            now += 20;
            engine.choose_pagers(at(now)).unwrap();
            assert_eq!(hold(&engine, &mut peers), [true, true, false], "{order:?}: {nth}");
        }
    }
}

#[test]
fn an_agent_whose_process_restarts_has_its_order_back_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let mut peers = with_peers(&mut engine, ["ap", "eu", "us"]);
    peers.iter_mut().for_each(|peer| peer.come(&mut engine, at(2)));
    peers[0].leave(&engine, at(10));
    engine.choose_pagers(at(20)).unwrap();
    peers[0].come(&mut engine, at(30));
    assert!(peers[0].order.is_some());
    assert_eq!(hold(&engine, &mut peers), [true, true, false]);
}

#[test]
fn an_agent_that_stays_away_five_minutes_is_replaced_unless_nobody_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let mut peers = with_peers(&mut engine, ["ap", "eu", "us"]);
    peers.iter_mut().for_each(|peer| peer.come(&mut engine, at(2)));
    assert_eq!(hold(&engine, &mut peers), [true, true, false]);
    peers[0].leave(&engine, at(100));
    engine.choose_pagers(at(399)).unwrap();
    assert_eq!(hold(&engine, &mut peers), [true, true, false]);
    engine.choose_pagers(at(400)).unwrap();
    assert_eq!(hold(&engine, &mut peers), [true, true, true], "the first one cannot hear yet");
    peers[0].come(&mut engine, at(500));
    engine.choose_pagers(at(501)).unwrap();
    assert_eq!(hold(&engine, &mut peers), [false, true, true]);

    // Cut off from all of them: nobody's absence counts until one is back.
    peers.iter_mut().for_each(|peer| peer.leave(&engine, at(600)));
    engine.choose_pagers(at(9_000)).unwrap();
    peers[0].come(&mut engine, at(9_001));
    engine.choose_pagers(at(9_299)).unwrap();
    assert_eq!(hold(&engine, &mut peers), [false, true, true]);
    // Then who is there goes first, and one that is away is better than none.
    engine.choose_pagers(at(9_300)).unwrap();
    assert_eq!(hold(&engine, &mut peers), [true, true, true]);
    peers[2].come(&mut engine, at(9_301));
    assert_eq!(hold(&engine, &mut peers), [true, true, false]);
    engine.choose_pagers(at(9_302)).unwrap();
    assert_eq!(hold(&engine, &mut peers), [true, true, true]);
    peers[1].come(&mut engine, at(9_303));
    engine.choose_pagers(at(9_304)).unwrap();
    assert_eq!(hold(&engine, &mut peers), [true, false, true]);
}

/// Takes the ten seconds between two looks.
#[tokio::test]
async fn the_writer_looks_by_itself_who_pages() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let mut peers = with_peers(&mut engine, ["eu", "eu", "us"]);
    peers.iter_mut().for_each(|peer| peer.come(&mut engine, at(2)));
    assert_eq!(hold(&engine, &mut peers), [true, true, false]);
    let shared = std::sync::Arc::clone(engine.shared());
    let mut versions = shared.subscribe_versions();
    let writer = Writer::start(engine, None).unwrap();
    let wanted: std::collections::BTreeSet<AgentNo> = [peers[0].agent, peers[2].agent].into();
    let looked = versions.wait_for(|_| *shared.book().pagers() == wanted);
    tokio::time::timeout(Duration::from_secs(60), looked).await.unwrap().unwrap();
    writer.close().await;
}
