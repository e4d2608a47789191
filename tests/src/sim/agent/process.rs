//! The process's own work: what `sitepulse_agent::engine` and `ship::io` do between the machines.

use std::collections::BTreeMap;

use sitepulse_agent::ship::{self, Stop, Stream};
use sitepulse_agent::spool::policy::PendingRecord;
use sitepulse_agent::spool::schema::OpenSlots;
use sitepulse_agent::spool::writer::{Begun, Submission};
use sitepulse_agent::state::{Assignment, Identity};
use sitepulse_daemon::clock::Monotonic;
use sitepulse_model::check::AssignedCheck;
use sitepulse_model::id::{Bucket, CheckNo, Revision};
use sitepulse_model::record::{Facts, Missed, MissedCause, Phases, ProbeResult, Provenance, Record};
use sitepulse_model::schedule::{Action, MissedSlots, Plan};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::frame::Message as _;
use sitepulse_wire::message::{Lane, RefusalCode, Status};

use super::{Entry, Epoch, Here, Point, Process, Ship, Truth, Wish};

const ACKED_EVERY_US: i64 = 60_000_000;
const SLOT_LAG_US_MAX: i64 = 400_000_000;

impl Process {
    pub(super) fn plans(&self, identity: &Identity) -> Vec<Plan> {
        self.checks.values().map(|entry| Plan::of(&entry.assigned, &identity.name)).collect()
    }

    pub(super) fn note_frontier(&mut self, submission: &mut Submission, wall: UtcMicros) {
        let waiting: Vec<_> = self.scheduler.take_new_waiting().collect();
        let waiting = waiting.into_iter().filter_map(|(check, revision, slot)| {
            let bucket = self.bucket(check)?;
            Some(Begun { check, first: slot, slots: OpenSlots { revision, bucket, last: slot, count: 1 } })
        });
        submission.begun.extend(waiting);
        submission.frontier = Some(self.scheduler.earliest_next().unwrap_or(UtcMicros::MAX).min(wall.plus_us(1)));
    }

    fn bucket(&self, check: CheckNo) -> Option<Bucket> {
        self.checks.get(&check).map(|entry| entry.bucket).or_else(|| self.retired.get(&check).copied())
    }

    pub(super) fn carry_out(
        &mut self,
        actions: Vec<Action>,
        identity: &Identity,
        region: usize,
        wall: UtcMicros,
        truth: &mut Truth,
        here: &mut Here<'_>,
    ) {
        if actions.is_empty() {
            return;
        }
        let mut submission = Submission::default();
        for action in actions {
            match action {
                Action::Run { check, revision, slot, host } => {
                    self.begin(check, revision, slot, host, identity, region, wall, truth, &mut submission, here);
                }
                Action::Missed(missed) => self.miss(&missed, &mut submission),
                Action::ClockStepped { .. } => {}
            }
        }
        self.note_frontier(&mut submission, wall);
        self.spooler.submit(submission, here.now);
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of an agent, borrowed apart")]
    fn begin(
        &mut self,
        check: CheckNo,
        revision: Revision,
        slot: UtcMicros,
        host: u64,
        identity: &Identity,
        region: usize,
        wall: UtcMicros,
        truth: &mut Truth,
        submission: &mut Submission,
        here: &mut Here<'_>,
    ) {
        let Some(entry) = self.checks.get(&check) else {
            truth.broken.push(format!("{}: check {check} ran unassigned", identity.name));
            self.scheduler.finished(host);
            return;
        };
        if self.log.suspended_at(identity.agent, check, slot).is_some() {
            self.scheduler.finished(host);
            let missed =
                MissedSlots { check, revision, first: slot, last: slot, count: 1, cause: MissedCause::Suspended };
            self.miss(&missed, submission);
            return;
        }
        let slots = OpenSlots { revision, bucket: entry.bucket, last: slot, count: 1 };
        submission.begun.push(Begun { check, first: slot, slots });
        truth.runs.push((check, slot, here.now));
        let timeout_us = entry.assigned.definition.timeout_us as i64;
        let found = here.site.probe(check.0 as usize - 1, region, here.now, timeout_us, here.rng);
        let result = ProbeResult {
            check,
            revision,
            scheduled: slot,
            started: wall,
            phases: Phases { total: Some(found.took_us as u64), ..Phases::default() },
            state: found.state,
            cause: found.cause,
            failed_phase: None,
            detail: String::new(),
            address: None,
            facts: Facts::default(),
        };
        self.runs_begun += 1;
        self.runs.insert((here.now + found.took_us, self.runs_begun), (host, result));
    }

    fn miss(&mut self, missed: &MissedSlots, submission: &mut Submission) {
        let Some(bucket) = self.bucket(missed.check) else { return };
        let record = Record::Missed(Missed {
            check: missed.check,
            revision: missed.revision,
            first: missed.first,
            last: missed.last,
            count: missed.count,
            cause: missed.cause,
        });
        let keep = self.transitions.keep(&record);
        submission.records.push(PendingRecord { bucket, keep, record });
    }

    pub(super) fn finish(&mut self, host: u64, result: ProbeResult, now: i64) {
        self.scheduler.finished(host);
        let Some(bucket) = self.bucket(result.check) else { return };
        let record = Record::Result(result);
        let keep = self.transitions.keep(&record);
        let records = vec![PendingRecord { bucket, keep, record }];
        self.spooler.submit(Submission { records, ..Submission::default() }, now);
    }

    pub(super) fn remember_acked(&mut self, now: i64, wall: UtcMicros) {
        if now - self.acked_saved < ACKED_EVERY_US {
            return;
        }
        self.acked_saved = now;
        let oldest = self.spooler.figures().stats.oldest;
        let until = oldest.unwrap_or(UtcMicros::MAX).min(wall).plus_us(-SLOT_LAG_US_MAX);
        self.state.save_acked_until(until).expect("the state is written");
    }

    /// Takes a new assignment. Dies on the way if `doom` says so.
    #[allow(clippy::too_many_arguments, reason = "the parts of an agent, borrowed apart")]
    fn assign(
        &mut self,
        revision: u64,
        checks: Vec<AssignedCheck>,
        identity: &Identity,
        region: usize,
        wall: UtcMicros,
        truth: &mut Truth,
        doom: &mut Option<Point>,
        here: &mut Here<'_>,
    ) {
        if self.quiet {
            return;
        }
        let actions = self.scheduler.handle_now(wall, (here.now - self.booted) as u64);
        self.carry_out(actions, identity, region, wall, truth, here);
        let mut submission = Submission::default();
        self.note_frontier(&mut submission, wall);
        self.spooler.submit(submission, here.now);
        if !self.spooler.flush(here.now) {
            return;
        }
        if doom.take_if(|point| *point == Point::BeforeAssignment).is_some() {
            self.dead = true;
            return;
        }
        let mut since = BTreeMap::new();
        for check in &checks {
            let same = self.checks.get(&check.number).is_some_and(|entry| {
                entry.assigned.definition.id == check.definition.id
                    && entry.assigned.definition.interval_us == check.definition.interval_us
            });
            let known = self.since.get(&check.number).filter(|_| same);
            since.insert(check.number, known.copied().unwrap_or(wall.plus_us(1)));
        }
        let assignment = Assignment { revision, checks, since };
        self.state.save_assignment(&assignment).expect("the state is written");
        note_epochs(truth, &assignment, &self.since, identity, wall);
        if doom.take_if(|point| *point == Point::AfterAssignment).is_some() {
            self.dead = true;
            return;
        }
        let mut entries = BTreeMap::new();
        for check in assignment.checks {
            let number = check.number;
            let kept = self.checks.remove(&number).filter(|entry| entry.assigned == check);
            entries.insert(number, kept.unwrap_or_else(|| Entry::new(check)));
        }
        let gone = std::mem::replace(&mut self.checks, entries);
        self.retired.extend(gone.into_iter().map(|(number, entry)| (number, entry.bucket)));
        self.since = assignment.since;
        self.revision = revision;
        let checks = &self.checks;
        self.transitions.retain(|check| checks.contains_key(check));
        let plans = self.plans(identity);
        let actions = self.scheduler.assign(&plans, wall);
        self.carry_out(actions, identity, region, wall, truth, here);
    }

    /// Carries out one wish of the session; whether the connection is over.
    #[allow(clippy::too_many_arguments, reason = "the parts of an agent, borrowed apart")]
    pub(super) fn obey(
        &mut self,
        action: ship::Action,
        ship: &mut Ship,
        identity: &Identity,
        region: usize,
        wall: UtcMicros,
        truth: &mut Truth,
        doom: &mut Option<Point>,
        here: &mut Here<'_>,
    ) -> bool {
        let now = here.now;
        let monotonic = Monotonic((now - self.booted) as u64);
        match action {
            ship::Action::Send(stream, message) => {
                let known = ship.streams.iter().position(|known| *known == stream);
                let number = known.unwrap_or_else(|| {
                    ship.streams.push(stream);
                    ship.streams.len() - 1
                });
                let priority = match stream {
                    Stream::Control => 0,
                    Stream::Lane(Lane::Fresh) => 1,
                    Stream::Lane(Lane::Backlog) => 2,
                };
                let bytes = message.encode().expect("the agent's messages can be sent");
                here.wishes.push(Wish::Send { stream: number as u32, priority, bytes });
            }
            ship::Action::ReadPage { lane, after, up_to, records_max, bytes_max } => {
                let page = self.spooler.page(after, up_to, records_max, bytes_max);
                ship.session.handle_records(lane, page, monotonic);
            }
            ship::Action::Delete { incarnation, ids } => {
                if doom.take_if(|point| *point == Point::Acked).is_some() {
                    self.dead = true;
                }
                self.spooler.delete(incarnation, ids, now);
            }
            ship::Action::Clock { offset_us, uncertainty_us } => {
                self.spooler.set_provenance(&provenance(Some((offset_us, uncertainty_us))), now);
            }
            ship::Action::StoreAddresses(addresses) => {
                self.state.save_addresses(&addresses).expect("the state is written");
            }
            ship::Action::Assign { revision, checks } => {
                self.assign(revision, checks, identity, region, wall, truth, doom, here);
            }
            ship::Action::StoreEvents(events) => {
                self.state.save_events(&events, true).expect("the state is written");
                if doom.take_if(|point| *point == Point::AfterEvents).is_some() {
                    self.dead = true;
                }
                let ids = events.iter().map(|event| event.id.clone()).collect();
                for event in events {
                    self.log.insert(event);
                }
                ship.session.handle_stored(ids);
            }
            // The checks here refer to none: the empty set comes with each connection.
            ship::Action::StoreSecrets(secrets) if secrets.0.is_empty() => {}
            ship::Action::StoreSecrets(_) | ship::Action::RunNow { .. } => {
                truth.broken.push("secrets or a run nobody asked for came".to_owned());
            }
            ship::Action::EventsAcked(ids) => self.state.mark_acked(&ids).expect("the state is written"),
            ship::Action::WantStatus => {
                let figures = self.spooler.figures();
                let status = Status {
                    spool_records: figures.stats.records + figures.queued as u64,
                    spool_bytes: figures.stats.bytes,
                    spool_oldest: figures.stats.oldest,
                    in_flight: self.scheduler.in_flight() as u32,
                    ..Status::default()
                };
                ship.session.handle_status(status, monotonic);
            }
            ship::Action::StoreCertificate { .. } => {
                truth.broken.push("a certificate nobody asked for came".to_owned())
            }
            ship::Action::Stop(stop) => {
                let expected = match &stop {
                    Stop::Refused(refusal) => refusal.code == RefusalCode::Unavailable,
                    Stop::SpoolReplaced => true,
                    Stop::Broken(what) => what.contains("acknowledges nothing") || what.contains("did not answer"),
                    Stop::CertificateExpired | Stop::Renewed => false,
                };
                if !expected {
                    truth.broken.push(format!("{}: the connection stopped: {stop:?}", identity.name));
                }
                return true;
            }
        }
        false
    }
}

/// Writes down which slots each check has from now on.
fn note_epochs(
    truth: &mut Truth,
    assignment: &Assignment,
    before: &BTreeMap<CheckNo, UtcMicros>,
    identity: &Identity,
    wall: UtcMicros,
) {
    for (check, epochs) in &mut truth.epochs {
        let kept = assignment.since.get(check).is_some_and(|since| before.get(check) == Some(since));
        if !kept && let Some(last) = epochs.last_mut() {
            last.to.get_or_insert(wall);
        }
    }
    for check in &assignment.checks {
        let since = assignment.since[&check.number];
        if before.get(&check.number) != Some(&since) {
            let lattice = Plan::of(check, &identity.name).lattice;
            truth.epochs.entry(check.number).or_default().push(Epoch { lattice, from: since, to: None });
        }
    }
}

pub(super) fn provenance(clock: Option<(i64, u64)>) -> Provenance {
    Provenance {
        build: "0.0.0".to_owned(),
        clock_offset_us: clock.map(|(offset, _)| offset),
        clock_uncertainty_us: clock.map_or(0, |(_, uncertainty)| uncertainty),
    }
}
