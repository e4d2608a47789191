//! The one owner of all durable state: store, marks, authority; and what it shares with readers.
//!
//! An [`Engine`] does everything in the caller's thread and is handed `now`; the simulator drives one over a store in memory. In
//! the collector it lives in [`crate::writer`]'s thread. Its verbs are in [`crate::ingest`], [`crate::enrol`] and [`crate::app`].

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sitepulse_daemon::clock;
use sitepulse_daemon::identity::CertificateAuthority;
use sitepulse_model::id::AgentNo;
use sitepulse_model::record::Record;
use sitepulse_model::series::Series;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::ADDRESSES_MAX;
use sitepulse_wire::token::ADDRESS_BYTES_MAX;
use tokio::sync::watch;

use crate::access;
use crate::alert;
use crate::alert::link::Links;
use crate::alert::signals::in_time::{self, InTime};
use crate::alert::silence::Silences;
use crate::amend::Desk;
use crate::app::{AppError, CredentialHash, Held};
use crate::book::Book;
use crate::heartbeat::door::PingDoor;
use crate::heartbeat::observe::Heartbeats;
use crate::ingest::{Marks, SourceCache, SpoolKey};
use crate::insight::shelf::Shelf;
use crate::jobs;
use crate::outbox::figures::Deliveries;
use crate::outbox::{self, Bell};
use crate::playbook;
use crate::pulse::Pulses;
use crate::receive::pager;
use crate::run_now::RunDesk;
use crate::seal::{Intervals, UNSEALED_AT_START_MAX, seal_excess};
use crate::secret::{self, Vault};
use crate::store::mend::{self, Damage};
use crate::store::rows::Arrival;
use crate::store::series::month_span;
use crate::store::{Store, StoreError, StoreOpenError, amendments, marks, rows};

/// A file of at most so many bytes is looked through before it is used.
const CHECKED_AT_START_BYTES_MAX: u64 = 32 << 20;

/// Name of the addresses in the table `meta`: one a line.
const META_ADDRESSES: &str = "addresses";

/// The book, being read.
#[derive(Debug)]
pub struct BookRead<'a> {
    #[cfg(debug_assertions)]
    place: usize,
    read: RwLockReadGuard<'a, Book>,
}

#[cfg(debug_assertions)]
thread_local! {
    /// Where the books are that this thread reads: one, but in tests of several collectors.
    static READS: std::cell::RefCell<Vec<usize>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl<'a> BookRead<'a> {
    #[track_caller]
    fn of(book: &'a RwLock<Book>) -> Self {
        #[cfg(debug_assertions)]
        let place = std::ptr::from_ref(book).addr();
        #[cfg(debug_assertions)]
        READS.with_borrow_mut(|reads| {
            assert!(
                !reads.contains(&place),
                "this thread has the book already: who waits to write in between would block both"
            );
            reads.push(place);
        });
        Self {
            #[cfg(debug_assertions)]
            place,
            read: book.read().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl std::ops::Deref for BookRead<'_> {
    type Target = Book;

    fn deref(&self) -> &Book {
        &self.read
    }
}

#[cfg(debug_assertions)]
impl Drop for BookRead<'_> {
    fn drop(&mut self) {
        READS.with_borrow_mut(|reads| reads.retain(|place| *place != self.place));
    }
}

/// What the engine shares with everybody who reads.
#[derive(Debug)]
pub struct Shared {
    book: RwLock<Book>,
    credentials: RwLock<HashMap<CredentialHash, Held>>,
    addresses: RwLock<Vec<String>>,
    ticks: watch::Sender<u64>,
    versions: watch::Sender<u64>,
    /// What those who sign in share.
    pub access: access::Desk,
    /// The door for pings of jobs.
    pub pings: PingDoor,
    /// The connections that a run-now can be asked over.
    pub runs: RunDesk,
    /// Wakes the task that sends messages.
    pub outbox: Bell,
    /// What became of messages since the start of the process.
    pub deliveries: Deliveries,
    /// Wakes the task that runs jobs, and knows those that run.
    pub jobs: jobs::Desk,
    /// What must go on, and when it did last.
    pub pulses: Pulses,
    /// Makes and reads the links in messages.
    pub links: Links,
    /// The findings that stand.
    pub findings: Shelf,
    /// Counters for `/metrics`, from the start of the process.
    pub counters: Counters,
    /// Whether the database was found whole since the start of the process.
    pub integrity: Integrity,
    /// Damage that readers met and the log has told.
    pub(crate) told: Told,
    /// The runs of playbooks that are under way.
    pub playbooks: playbook::Desk,
}

/// Most things that are told once each; what comes beyond is not told.
const TOLD_MAX: usize = 1_000;

/// What was told in the log and is not told again with each question.
#[derive(Debug, Default)]
pub(crate) struct Told(std::sync::Mutex<std::collections::BTreeSet<String>>);

impl Told {
    /// Whether this is new.
    pub(crate) fn first_time(&self, what: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD_MAX && told.insert(what.to_owned())
    }

    /// Tells it as an error, the first time.
    pub(crate) fn error(&self, what: &str) {
        if self.first_time(what) {
            tracing::error!("{what}");
        }
    }
}

/// What a look through the whole database found. Shared with readers.
#[derive(Debug, Default)]
pub struct Integrity(std::sync::Mutex<Option<Result<(), String>>>);

impl Integrity {
    /// `None` before it was looked through, then what was found.
    pub fn found(&self) -> Option<Result<(), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note(&self, outcome: Result<Option<String>, StoreError>) {
        let found = match outcome {
            Ok(None) => Ok(()),
            Ok(Some(what)) => Err(format!("the database is damaged: {what}; make a copy of it, and restore a backup")),
            Err(error) => Err(format!("the database cannot be looked through: {error}")),
        };
        if let Err(what) = &found {
            tracing::error!("{what}");
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }
}

/// Counters from the start of the process.
#[derive(Debug, Default)]
pub struct Counters {
    /// Batches taken in.
    pub batches: AtomicU64,
    /// Records stored.
    pub stored: AtomicU64,
    /// Records that had been stored before.
    pub duplicates: AtomicU64,
    /// Records set aside as senseless.
    pub set_aside: AtomicU64,
    /// Transactions that stored batches.
    pub commits: AtomicU64,
    /// Connections taken, of agents and of strangers.
    pub connections: AtomicU64,
    /// Refusals sent.
    pub refusals: AtomicU64,
    /// Records sealed.
    pub sealed: AtomicU64,
    /// What of the time that sealing took went into rollups, in nanoseconds.
    pub rollups_ns: AtomicU64,
    /// The longest transaction of sealing, merging or letting go, in microseconds.
    pub pause_us_max: AtomicU64,
}

impl Shared {
    /// The book, for reading. A thread that has it must not ask again: where somebody waits to write in between, both wait for ever. Builds with
    /// debug assertions panic instead.
    #[track_caller]
    pub fn book(&self) -> BookRead<'_> {
        BookRead::of(&self.book)
    }

    /// How long who writes waits for the book, in microseconds: for benchmarks. Nothing is changed.
    pub fn wait_to_write(&self) -> u64 {
        let began = sitepulse_daemon::clock::monotonic();
        drop(self.book_mut());
        sitepulse_daemon::clock::monotonic().us_since(began)
    }

    /// The book, for the engine after a commit.
    pub(crate) fn book_mut(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn credentials(&self) -> RwLockReadGuard<'_, HashMap<CredentialHash, Held>> {
        self.credentials.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn credentials_mut(&self) -> RwLockWriteGuard<'_, HashMap<CredentialHash, Held>> {
        self.credentials.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses that agents are told.
    pub fn addresses(&self) -> Vec<String> {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells readers that the book changed.
    pub fn tick(&self) {
        self.ticks.send_modify(|tick| *tick += 1);
        let version = self.book().version();
        self.versions.send_if_modified(|known| std::mem::replace(known, version) != version);
    }

    /// A counter that grows with every change of the book.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    /// [`Book::version`]: changes with checks, agents, control events and secrets alone.
    pub fn subscribe_versions(&self) -> watch::Receiver<u64> {
        self.versions.subscribe()
    }
}

/// Tells what could not be read, and what to do.
fn tell(book: &Book, damages: &[Damage]) {
    for Damage { key, month, why, whole, .. } in damages {
        let check = book.check(key.check).map_or_else(|| key.check.to_string(), |check| check.id.to_string());
        let agent = book.agent(key.agent).map_or_else(|| key.agent.to_string(), |agent| agent.name.to_string());
        match (month, whole) {
            (Some(month), true) => {
                let from = sitepulse_daemon::instant::format(month_span(*month).from);
                tracing::warn!(
                    "table series: check {check}, agent {agent}, the month from {from}: {why}; made anew from its records, nothing is lost (the table quarantine keeps what stood there)"
                );
            }
            (Some(month), false) => {
                let from = sitepulse_daemon::instant::format(month_span(*month).from);
                tracing::error!(
                    "table series: check {check}, agent {agent}, the month from {from}: {why}; made anew from the records that are left, the table quarantine keeps what stood there: restore a backup if older ones matter"
                );
            }
            (None, _) => {
                tracing::error!(
                    "table pair: check {check}, agent {agent}: {why}; counted anew from the records that are left, the table quarantine keeps what stood there: restore a backup if the counts of older ones matter"
                );
            }
        }
    }
}

/// The owner of all durable state.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) shared: Arc<Shared>,
    pub(crate) authority: Arc<CertificateAuthority>,
    pub(crate) marks: HashMap<SpoolKey, Marks>,
    pub(crate) sources: SourceCache,
    /// The newest number of arrival given out.
    pub(crate) arrival: Arrival,
    /// By when the records came in that were not sealed at the start, by their slots.
    pub(crate) arrived_by: UtcMicros,
    /// Rows in the table `quarantine`.
    pub(crate) quarantined_rows: u64,
    pub(crate) heartbeats: Heartbeats,
    /// The late data whose amendments are not written yet.
    pub(crate) amend: Desk,
    /// The incidents.
    pub(crate) alert: alert::desk::Desk,
    /// What turns of the dispatcher remember.
    pub(crate) sending: outbox::memory::Memory,
    /// When no agent was connected the last time; the start, if ever since one was.
    pub(crate) nobody_at: UtcMicros,
}

impl Engine {
    /// Opens the store in `data_dir` and rebuilds the book from it. `owner` names this process in leases: random.
    pub fn open(
        data_dir: &Path,
        authority: CertificateAuthority,
        owner: u64,
        now: UtcMicros,
    ) -> Result<Self, StoreOpenError> {
        Self::open_checking(data_dir, authority, owner, now, CHECKED_AT_START_BYTES_MAX)
    }

    /// [`Self::open`], looking through a file of at most so many bytes before it is used; a bigger one is left to [`crate::seal::task::look_through`].
    pub fn open_checking(
        data_dir: &Path,
        authority: CertificateAuthority,
        owner: u64,
        now: UtcMicros,
        checked_bytes_max: u64,
    ) -> Result<Self, StoreOpenError> {
        let store = Store::open(data_dir, owner, now)?;
        let vault = Vault::open(data_dir)?;
        let file = data_dir.join(crate::store::FILE);
        let path = file.display().to_string();
        // A big file is looked through beside the service (`seal/task.rs`).
        let small = std::fs::metadata(&file).is_ok_and(|file| file.len() <= checked_bytes_max);
        if small {
            let damaged = |source| StoreOpenError::Damaged { path: path.clone(), source };
            if let Some(what) = mend::quick_check(store.read()).map_err(damaged)? {
                return Err(damaged(StoreError::Integrity { what }));
            }
        }
        let engine = Self::rebuild(store, vault, authority, now, UNSEALED_AT_START_MAX)
            .map_err(|source| StoreOpenError::Damaged { path, source })?;
        if small {
            engine.shared.integrity.note(Ok(None));
        }
        Ok(engine)
    }

    /// An engine over a store in memory.
    pub fn in_memory(authority: CertificateAuthority, now: UtcMicros) -> Result<Self, StoreOpenError> {
        let store = Store::in_memory(1, now)?;
        let path = String::from(":memory:");
        Self::rebuild(store, Vault::default(), authority, now, UNSEALED_AT_START_MAX)
            .map_err(|source| StoreOpenError::Damaged { path, source })
    }

    /// Reads everything: the book is a function of the tables. At most so many records are left unsealed before.
    pub(crate) fn rebuild(
        mut store: Store,
        mut vault: Vault,
        authority: CertificateAuthority,
        now: UtcMicros,
        unsealed_max: u64,
    ) -> Result<Self, StoreError> {
        let started = clock::monotonic();
        let mut intervals = Intervals::default();
        for (check, revision) in rows::revisions(store.read())? {
            intervals.learn(check, revision.revision, revision.definition.interval_us);
        }
        seal_excess(&mut store, &intervals, unsealed_max, now)?;
        let tables = store.read();
        let mut book = Book::default();
        for (name, sealed, set_at) in rows::secrets(tables)? {
            vault.insert(name, sealed, set_at);
        }
        secret::restore_configured(tables, &mut vault)?;
        vault.complain();
        *book.vault_mut() = vault;
        for agent in rows::agents(tables)? {
            book.insert_agent(agent);
        }
        book.set_pagers(pager::stored(tables)?);
        for (number, revision) in rows::revisions(tables)? {
            book.insert_revision(number, revision);
        }
        book.withhold_invalid();
        for revised in crate::store::objects::versions(tables)? {
            book.insert_object(revised);
        }
        for one in crate::store::oncall::overrides(tables)? {
            book.duty_mut().insert_override(one);
        }
        for (schedule, key) in crate::store::oncall::feeds(tables)? {
            book.duty_mut().insert_feed(schedule, key);
        }
        let events = rows::events(tables)?;
        for (event, _) in &events {
            book.insert_event(event.clone());
        }
        let mut newest: HashMap<AgentNo, UtcMicros> = HashMap::new();
        let mut heard = |agent: AgentNo, started: UtcMicros| {
            newest.entry(agent).and_modify(|at| *at = started.max(*at)).or_insert(started);
        };
        if let Some(misfit) = mend::misfit(tables)? {
            tracing::error!("{misfit}: the database is damaged or was mixed from two; restore a backup");
        }
        let intervals = Intervals::of(&book);
        let (sealed, damages) = crate::store::seal::sealed(tables, &intervals, |key, sealed| {
            if let Some(started) = sealed.newest_started {
                heard(key.agent, started);
            }
            book.insert_sealed(key.check, key.agent, sealed.pair);
        })?;
        tell(&book, &damages);
        let mut newest_slot = None;
        let under_way = amendments::under_way(tables)?;
        let late: Vec<_> = under_way.iter().map(|row| (row.key, row.upto)).collect();
        let (mut amend, replay) = Desk::restore(under_way, now);
        events.iter().for_each(|(event, received)| amend.replay_act(event, *received));
        let unsealed = crate::store::seal::unsealed(tables, |arrival, agent, record| {
            amend.replay(&replay, arrival, agent, &record, |key, revision| book.known(key, revision));
            if let Record::Result(result) = &record {
                heard(agent, result.started);
            }
            newest_slot = newest_slot.max(Some(record.scheduled()));
            book.insert_record(agent, arrival, record);
        })?;
        if let Some(first) = unsealed.damaged.first() {
            let count = unsealed.damaged.len();
            tracing::error!(
                "{count} records cannot be read and will be set aside in the table quarantine, the first: {first}"
            );
        }
        let unsealed = unsealed.records;
        // What a clock noted that was set back since says nothing of the time to come.
        for agent in book.agents() {
            agent.presence.update(|presence| presence.last_seen = presence.last_seen.map(|seen| seen.min(now)));
        }
        // Only handshakes are noted as seen; what was stored since is newer. Agents' clocks may run ahead of ours.
        for (agent, started) in newest {
            if let Some(agent) = book.agent(agent) {
                agent.presence.update(|presence| presence.last_seen = presence.last_seen.max(Some(started.min(now))));
            }
        }
        crate::store::vitals::newest_reports(tables, |check, agent, scheduled, json| {
            book.insert_report(check, agent, scheduled, json);
        })?;
        for (check, key) in crate::store::vitals::screenshots(tables)? {
            book.insert_screenshot(check, key);
        }
        amendments::marks(tables, |check, number, span, noted| book.insert_amended(check, number, span, noted))?;
        let mut told = InTime::default();
        amendments::late_since(tables, now.plus_us(-in_time::KEPT_US), |key, touched| {
            let series = book.pair(key.0, key.1).map(|pair| &pair.series);
            told.add(key, touched, Series::new(), series, now);
        })?;
        for (key, touched, held) in amend.stretches() {
            let series = book.pair(key.0, key.1).map(|pair| &pair.series);
            told.add(key, touched, held.clone(), series, now);
        }
        let ended_after = now.plus_us(-alert::desk::Desk::looks_back_us());
        let standing = crate::store::incidents::standing(tables, ended_after)?;
        let silences = crate::store::silences::list(tables, Some(now), usize::MAX)?;
        let quarantined_rows = rows::quarantined(tables)?;
        book.count_quarantined(quarantined_rows);
        let arrival = rows::newest_arrival(tables)?;
        let marks = marks::all(tables)?.into_iter().collect();
        let sources = SourceCache::after(rows::newest_source(tables)?);
        let credentials = rows::credentials(tables)?.into_iter().filter(|(_, credential, _)| now < credential.expires);
        let credentials = credentials.map(|(hash, credential, used)| (hash, Held::new(credential, used))).collect();
        let passwords = crate::store::access::passwords(tables)?.into_iter().collect();
        let identities = crate::store::identity::all(tables)?.into_iter().collect();
        let access = access::Desk::new(passwords, identities, crate::store::access::opened(tables)?);
        let addresses = rows::meta(tables, META_ADDRESSES)?.unwrap_or_default();
        let took_ms = clock::monotonic().since(started).as_millis();
        tracing::info!(sealed, unsealed, took_ms, "the book is rebuilt from the store");
        let heartbeats = Heartbeats::rebuild(rows::heartbeats(tables)?);
        if !damages.is_empty() {
            store.write(|tables| mend::write(tables, &damages, now))?;
        }
        if crate::store::outbox::any_leased(store.read())? {
            store.write(|tables| crate::store::outbox::release_all(tables, now))?;
        }
        let links = Links::of_store(&mut store)?;
        let mut alert = alert::desk::Desk::restore(standing, Silences::new(silences), links.clone(), now);
        alert.present.restore_late(late);
        alert.present.in_time = told;
        let pings = PingDoor::default();
        for (token, check) in heartbeats.tokens() {
            pings.learn(token, check);
        }
        let (findings, unreadable) = crate::store::findings::standing(store.read(), Shelf::looks_back(now))?;
        for error in unreadable {
            tracing::error!("{error}: it is not shown, and found again if it is so still");
        }
        let looks = crate::store::findings::looks(store.read())?;
        let findings = Shelf::restore(findings, looks, crate::store::findings::certificates(store.read())?);
        let shared = Shared {
            book: RwLock::new(book),
            credentials: RwLock::new(credentials),
            access,
            addresses: RwLock::new(addresses.lines().map(str::to_owned).collect()),
            ticks: watch::channel(0).0,
            versions: watch::channel(0).0,
            pings,
            runs: RunDesk::default(),
            outbox: Bell::default(),
            deliveries: Deliveries::default(),
            jobs: jobs::Desk::default(),
            pulses: Pulses::default(),
            links,
            findings,
            counters: Counters::default(),
            integrity: Integrity::default(),
            told: Told::default(),
            playbooks: playbook::Desk::default(),
        };
        Ok(Self {
            store,
            shared: Arc::new(shared),
            authority: Arc::new(authority),
            marks,
            sources,
            arrival,
            arrived_by: newest_slot.unwrap_or(now).min(now),
            quarantined_rows,
            heartbeats,
            amend,
            alert,
            sending: outbox::memory::Memory::default(),
            nobody_at: now,
        })
    }

    /// What readers see.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The authority that signs certificates.
    pub fn authority(&self) -> &Arc<CertificateAuthority> {
        &self.authority
    }

    /// The store, for tests that shrink or damage it.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Sets the addresses (`host:port`) that agents are told: at most [`ADDRESSES_MAX`]. Unchanged ones write nothing.
    pub fn set_addresses(&mut self, addresses: Vec<String>) -> Result<(), AppError> {
        let fits = |address: &String| {
            (1..=ADDRESS_BYTES_MAX).contains(&address.len()) && !address.contains(char::is_whitespace)
        };
        if addresses.len() > ADDRESSES_MAX || !addresses.iter().all(fits) {
            let what = format!(
                "agents are told at most {ADDRESSES_MAX} addresses of 1 to {ADDRESS_BYTES_MAX} bytes: check `advertise`"
            );
            return Err(AppError::Invalid(what));
        }
        if self.shared.addresses() == addresses {
            return Ok(());
        }
        self.store.write(|tables| rows::set_meta(tables, META_ADDRESSES, &addresses.join("\n")))?;
        *self.shared.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
        Ok(())
    }

    /// Notes an agent's handshake, once its presence tells of it.
    pub fn note_handshake(&mut self, agent: AgentNo, build: &str, now: UtcMicros) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        // No guard is held while the disk works.
        let known = shared.book().agent(agent).cloned();
        if let Some(known) = known {
            self.store.write(|tables| rows::note_agent(tables, &known, build, now))?;
            known.presence.update(|presence| presence.last_seen = presence.last_seen.max(Some(now)));
            if known.build != build
                && let Some(agent) = shared.book_mut().agent_mut(agent)
            {
                build.clone_into(&mut agent.build);
            }
        }
        shared.tick();
        // A fresh set-up has somebody who pages at once.
        if shared.book().pagers().len() < pager::PAGERS_MAX {
            self.choose_pagers(now)?;
        }
        Ok(())
    }

    /// How many records of an agent are known to be on their way still: gaps in the sequence numbers seen.
    pub fn awaited(&self, agent: AgentNo) -> u64 {
        self.marks.iter().filter(|(key, _)| key.agent == agent).map(|(_, marks)| marks.missing()).sum()
    }
}
