//! What happens to runs, on the writer's thread: started by people, ticked, skipped and ended by them, ticked by the evidence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sitepulse_model::id::fnv1a_of;
use sitepulse_model::incident::{IncidentId, IncidentState};
use sitepulse_model::playbook::Step;
use sitepulse_model::playbook::condition::Facts;
use sitepulse_model::playbook::fill::Names;
use sitepulse_model::playbook::run::{Entry, Head, ITSELF, Occasion, Refusal, Run, State, Told};
use sitepulse_model::time::UtcMicros;

use super::{Desk, RUNNING_MAX, facts, finding};
use crate::app::{App, AppError};
use crate::engine::Engine;
use crate::store::{StoreError, incidents, playbooks as stored};

/// What a run is started about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// An incident, by its id.
    Incident(String),
    /// A finding, by its id.
    Finding(String),
    /// A check, by its id: an exercise.
    Check(String),
}

impl Desk {
    /// Works on the runs under way; they are read from the store the first time.
    fn with<T>(
        &self,
        read: impl FnOnce() -> Result<Vec<Run>, StoreError>,
        work: impl FnOnce(&mut BTreeMap<String, Run>) -> T,
    ) -> Result<T, StoreError> {
        let mut running = self.lock();
        if let Some(running) = running.as_mut() {
            return Ok(work(running));
        }
        let found = read()?.into_iter().map(|run| (run.head.id.clone(), run)).collect();
        Ok(work(running.insert(found)))
    }

    /// What is durable now.
    fn keep(&self, run: &Run) {
        if let Some(running) = self.lock().as_mut() {
            match run.state {
                State::Running => drop(running.insert(run.head.id.clone(), run.clone())),
                State::Finished | State::Abandoned => drop(running.remove(&run.head.id)),
            }
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Engine {
    fn running(&self) -> Result<Vec<Run>, AppError> {
        let desk = &self.shared.playbooks;
        Ok(desk.with(|| stored::running(self.store.read()), |running| running.values().cloned().collect())?)
    }

    /// Starts a run.
    ///
    /// # Errors
    /// When there is no such playbook, or nothing that it would be about, when it runs already, or cannot be written.
    pub fn start_playbook(
        &mut self,
        playbook: &str,
        asked: &Asked,
        author: &str,
        now: UtcMicros,
    ) -> Result<Run, AppError> {
        let shared = Arc::clone(&self.shared);
        let offered = super::one(shared.book().objects(), playbook).ok_or_else(|| {
            AppError::NotFound(format!("no playbook {playbook:?}: `sitepulse-collector playbooks` lists them"))
        })?;
        let (occasion, names, mut began) = self.occasion(asked, now)?;
        let running = self.running()?;
        if let Some(other) = running.iter().find(|run| run.head.playbook == playbook && run.head.occasion == occasion) {
            let text = format!("playbook {playbook} runs already: go on with {}, or abandon it", other.head.id);
            return Err(AppError::Conflict(text));
        }
        if running.len() >= RUNNING_MAX {
            let text = format!("{RUNNING_MAX} playbooks run: finish or abandon some");
            return Err(AppError::Conflict(text));
        }
        let conditions: Vec<_> = offered.body.steps.iter().filter_map(Step::condition).collect();
        let known = facts::facts(self, &shared.book(), &names, &conditions, now, now);
        began = Facts { acknowledged: began.acknowledged, resolved: began.resolved, closed: began.closed, ..known };
        let id = self.free_run_id(playbook, &occasion, now)?;
        let body = offered.body;
        let head = Head {
            id,
            playbook: body.id,
            version: offered.version,
            title: body.title,
            title_fr: body.title_fr,
            occasion,
            started_at: now.0,
            started_by: author.to_owned(),
            steps: body.steps,
            names,
            began,
        };
        let run = Run::new(head);
        self.store.write(|tables| stored::set(tables, &run))?;
        shared.playbooks.keep(&run);
        shared.tick();
        Ok(run)
    }

    /// Makes an entry of a run.
    ///
    /// # Errors
    /// When there is no such run, the entry cannot be made, or cannot be written.
    pub fn act_on_playbook(&mut self, id: &str, entry: Entry, author: &str, now: UtcMicros) -> Result<Run, AppError> {
        let Some(mut run) = stored::one(self.store.read(), id)? else {
            return Err(AppError::NotFound(format!(
                "no run {id:?}: `sitepulse-collector playbook runs --all` lists them"
            )));
        };
        let told = Told { at: now, by: author.to_owned(), entry };
        run.apply(told).map_err(|refusal| refused(id, &refusal))?;
        self.keep_playbook(&run, run.entries.len() - 1)?;
        Ok(run)
    }

    /// Ticks what the evidence shows now. How many entries were made.
    ///
    /// # Errors
    /// When the store cannot be read or written: of several runs that fail the first is told. The others are ticked all the same.
    pub fn see_playbooks(&mut self, now: UtcMicros) -> Result<usize, AppError> {
        let mut made = 0;
        let mut failed = None;
        for run in self.running()? {
            match self.see_playbook(run, now) {
                Ok(entries) => made += entries,
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(made), Err)
    }

    /// Ticks what the evidence shows of one run. How many entries were made.
    fn see_playbook(&mut self, mut run: Run, now: UtcMicros) -> Result<usize, AppError> {
        let shared = Arc::clone(&self.shared);
        let before = run.entries.len();
        let conditions = facts::waiting(&run);
        let since = UtcMicros(run.head.started_at);
        let mut known = facts::facts(self, &shared.book(), &run.head.names, &conditions, since, now);
        match &run.head.occasion {
            Occasion::Incident { id, .. } => {
                if let Some(state) = self.state_of_incident(&IncidentId(id.clone()))? {
                    facts::of_incident(&mut known, state);
                }
            }
            Occasion::Finding { id, .. } => {
                known.closed = finding::find(self.store.read(), id)?.map(|finding| finding.closed);
            }
            Occasion::Check { .. } => {}
        }
        for entry in run.due(&known, now) {
            let told = Told { at: now, by: ITSELF.to_owned(), entry };
            run.apply(told).map_err(|refusal| refused(&run.head.id, &refusal))?;
        }
        let made = run.entries.len() - before;
        if made > 0 {
            self.keep_playbook(&run, before)?;
        }
        Ok(made)
    }

    /// Writes a run with its entries from one on, and shows it.
    fn keep_playbook(&mut self, run: &Run, from: usize) -> Result<(), AppError> {
        self.store.write(|tables| {
            for (at, told) in run.entries.iter().enumerate().skip(from) {
                stored::append(tables, &run.head.id, at + 1, told)?;
            }
            stored::set(tables, run)
        })?;
        self.shared.playbooks.keep(run);
        self.shared.tick();
        Ok(())
    }

    fn state_of_incident(&self, id: &IncidentId) -> Result<Option<IncidentState>, AppError> {
        if let Some(state) = self.alert.state_of(id) {
            return Ok(Some(state));
        }
        Ok(incidents::one(self.store.read(), id)?.map(|standing| standing.incident.life.state))
    }

    /// What a run would be about, its names, and what is known of the incident or finding.
    fn occasion(&self, asked: &Asked, now: UtcMicros) -> Result<(Occasion, Names, Facts), AppError> {
        let shared = Arc::clone(&self.shared);
        let mut known = Facts::default();
        let found = match asked {
            Asked::Incident(id) => {
                let standing = incidents::one(self.store.read(), &IncidentId(id.clone()))?.ok_or_else(|| {
                    AppError::NotFound(format!(
                        "no incident {id}: `sitepulse-collector incidents --all` lists what there is"
                    ))
                })?;
                facts::of_incident(&mut known, standing.incident.life.state);
                let (_, names) = facts::names_of_incident(&shared.book(), &standing, now);
                (Occasion::Incident { id: id.clone(), kind: standing.incident.kind.to_string() }, names)
            }
            Asked::Finding(id) => {
                let finding = finding::find(self.store.read(), id)?.ok_or_else(|| {
                    AppError::NotFound(format!("no finding {id}: `sitepulse-collector findings` lists them"))
                })?;
                known.closed = Some(finding.closed);
                let (_, names) = facts::names_of_finding(&shared.book(), id, &finding, now);
                (Occasion::Finding { id: id.clone(), kind: finding.kind }, names)
            }
            Asked::Check(id) => {
                let names = facts::names(&shared.book(), Some(id), None, now);
                if names.check.is_none() {
                    return Err(AppError::NotFound(format!(
                        "no check {id:?}: `sitepulse-collector checks` lists them"
                    )));
                }
                (Occasion::Check { id: id.clone() }, names)
            }
        };
        Ok((found.0, found.1, known))
    }

    /// `p-20261123-4f7k2zq`.
    fn free_run_id(&self, playbook: &str, occasion: &Occasion, now: UtcMicros) -> Result<String, AppError> {
        let day = sitepulse_daemon::instant::format(now).get(..10).unwrap_or_default().replace('-', "");
        for nonce in 0_u32..1_000 {
            let pieces = [playbook.as_bytes(), occasion.id().as_bytes(), &now.0.to_le_bytes(), &nonce.to_le_bytes()];
            let id = format!("p-{day}-{}", crate::alert::short(fnv1a_of(&pieces), 7));
            if stored::one(self.store.read(), &id)?.is_none() {
                return Ok(id);
            }
        }
        Err(AppError::Unavailable("no id is free".into()))
    }
}

fn refused(id: &str, refusal: &Refusal) -> AppError {
    let text = format!("run {id}: {refusal}");
    match refusal {
        Refusal::WhySkipped | Refusal::WhyAbandoned | Refusal::Note => AppError::Invalid(text),
        Refusal::NoStep(_, _) => AppError::NotFound(text),
        Refusal::Ended(_) | Refusal::Marked(_) | Refusal::NotMarked(_) | Refusal::Open(_) | Refusal::Full => {
            AppError::Conflict(text)
        }
    }
}

impl App {
    /// Starts a run. See [`Engine::start_playbook`].
    ///
    /// # Errors
    /// As there.
    pub async fn start_playbook(
        &self,
        playbook: &str,
        asked: Asked,
        author: &str,
        now: UtcMicros,
    ) -> Result<Run, AppError> {
        let (playbook, author) = (playbook.to_owned(), author.to_owned());
        self.writer().run(move |engine| engine.start_playbook(&playbook, &asked, &author, now)).await?
    }

    /// Does something to a run. See [`Engine::act_on_playbook`].
    ///
    /// # Errors
    /// As there.
    pub async fn act_on_playbook(&self, id: &str, entry: Entry, author: &str, now: UtcMicros) -> Result<Run, AppError> {
        let (id, author) = (id.to_owned(), author.to_owned());
        self.writer().run(move |engine| engine.act_on_playbook(&id, entry, &author, now)).await?
    }

    /// Ticks what the evidence shows. See [`Engine::see_playbooks`].
    ///
    /// # Errors
    /// As there.
    pub async fn see_playbooks(&self, now: UtcMicros) -> Result<usize, AppError> {
        self.writer().run(move |engine| engine.see_playbooks(now)).await?
    }
}
