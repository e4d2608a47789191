//! What the engine answers: to the ship session, and to people at the command line.

use std::sync::Arc;

use sitepulse_daemon::clock;
use sitepulse_probe::network::Witness;
use sitepulse_wire::message::Status;
use tokio::sync::oneshot;

use super::durable::{Settled, Wanted};
use super::handle::{Ask, Handover};
use super::{Engine, EngineError, provenance};
use crate::control::view::SpoolView;
use crate::control::{self, Answer, Desk, Live, Request};
use crate::pager;
use crate::secrets::SecretValues;

impl Engine {
    pub(super) fn answer(&mut self, ask: Ask) -> Result<(), EngineError> {
        match ask {
            Ask::Handover(reply) => {
                let handover = Handover {
                    identity: self.identity.clone(),
                    addresses: self.addresses.clone(),
                    events: self.unacked.values().cloned().collect(),
                    assignment_revision: self.revision,
                };
                drop(reply.send(handover));
            }
            Ask::Assign { revision, checks } => {
                self.wanted = Some(Wanted { revision, checks, due: clock::monotonic(), told: false });
            }
            Ask::StoreEvents { events, reply } => {
                let (good, bad): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.validate().is_ok());
                for event in bad {
                    tracing::warn!(
                        author = event.id.author,
                        number = event.id.number,
                        "a control event is invalid and ignored"
                    );
                }
                self.store_events(good, Some(reply));
            }
            Ask::EventsAcked(ids) => {
                for id in &ids {
                    self.unacked.remove(id);
                }
                self.keeper.write(move |state| state.mark_acked(&ids));
            }
            Ask::StoreAddresses(addresses) => {
                if self.addresses != addresses {
                    self.addresses.clone_from(&addresses);
                    self.keeper.write(move |state| state.save_addresses(&addresses));
                }
            }
            Ask::StoreSecrets(secrets) => {
                // At once: a disk that takes nothing costs them with the next restart alone.
                self.use_secrets(&secrets);
                let vault = self.vault.clone();
                self.keeper.run(move |state| vault.store(state, &secrets));
            }
            Ask::RunNow { check, reply } => self.run_now(&check, reply),
            Ask::StoreCertificate { certificate_der, expires } => {
                self.identity.certificate_der.clone_from(&certificate_der);
                self.identity.certificate_expires = expires;
                self.keeper.write(move |state| state.save_certificate(&certificate_der, expires));
                tracing::info!("the certificate was renewed until {}", sitepulse_daemon::instant::format(expires));
            }
            Ask::Clock { offset_us, uncertainty_us } => {
                self.clock = Some((offset_us, uncertainty_us));
                self.spool.set_provenance(provenance(self.clock))?;
            }
            Ask::Link(link) => {
                self.tools.network.collector_link(link.pulse.clone().map(|pulse| pulse as Arc<dyn Witness>));
                self.pager.send_modify(|news| news.connected = link.collector.is_some());
                self.link = link;
            }
            Ask::Status(reply) => {
                // At most a second old; a disk that hangs must not hold up the schedule.
                let figures = self.figures.borrow().clone();
                let status = Status {
                    spool_records: figures.stats.records + figures.queued as u64,
                    spool_bytes: figures.stats.bytes,
                    spool_oldest: figures.stats.oldest,
                    in_flight: u32::try_from(self.scheduler.in_flight()).unwrap_or(u32::MAX),
                    ..Status::default()
                };
                drop(reply.send(status));
            }
            Ask::Control { request, reply } => self.answer_person(request, reply),
        }
        Ok(())
    }

    /// Hands out the secrets: to the probes, and the order that is among them to the pager.
    pub(super) fn use_secrets(&mut self, secrets: &SecretValues) {
        let (order, values) = pager::split(secrets.clone());
        self.tools.secrets.replace(values.0);
        self.pager.send_modify(|news| news.order = order);
    }

    /// Answers the command line on the state file's thread, which alone may store an order.
    pub(super) fn answer_person(&mut self, request: Request, reply: oneshot::Sender<Answer>) {
        let (identity, log, now) = (self.identity.clone(), self.log.clone(), clock::now());
        let checks: Vec<_> = self.checks.values().map(|entry| (entry.held.clone(), entry.last.clone())).collect();
        // At most a second old.
        let spool = SpoolView::of(&self.figures.borrow(), self.spool_bytes_max);
        let live = Some(Live {
            collector: self.link.collector.clone(),
            trouble: self.link.trouble.clone(),
            in_flight: self.scheduler.in_flight(),
            clock: self.clock,
            lag_us: self.punctuality.lag(clock::monotonic()),
            missed: self.punctuality.missed_by_cause(),
            shed: self.scheduler.shed_slots(),
            waiting: self.scheduler.waiting(),
        });
        let settle = self.settle.clone();
        self.keeper.run(move |state| {
            let checks = checks.iter().map(|(held, last)| (&held.summary, last.as_ref())).collect();
            let mut desk = Desk { identity: &identity, state, log: &log, checks, spool, live };
            let (answer, event) = control::answer(&request, &mut desk, now);
            drop(settle.send(Settled::Answered { answer: Box::new(answer), event, reply }));
        });
    }
}
