//! The indicators: how soon incidents are taken and over, how much noise they make, whether playbooks are carried out, who gets reports. Every figure is the length of a list of
//! facts, or a mean over one, and [`Present::counted`] tells that list. The rules are the model's ([`sitepulse_model::incident::indicators`]).

use std::collections::BTreeMap;

use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::CheckNo;
use sitepulse_model::incident::indicators::{Episode, Facts, Figure, IN_TIME_US, Noise, Sparing, counted};
use sitepulse_model::incident::times::{Times, times};
use sitepulse_model::incident::{IncidentId, Severity};
use sitepulse_model::time::{Span, UtcMicros};

use crate::book::Book;
use crate::playbook::team_of;
use crate::present::Present;
use crate::present::dto::indicators::{
    CompletionView, CountedView, IndicatorsView, NoiseView, ReportsView, SeverityTimesView, SparedView,
    TeamCompletionView, TimesOfView,
};
use crate::present::kpi::MTTR_TARGET_US;
use crate::present::kpi::period::{Period, Periods};
use crate::present::problem::{Answer, Code, Problem};
use crate::store::{indicators as stored, playbooks};

/// Which list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Incidents.
    Incidents(Figure),
    /// Pages; only those that were taken in time, only those that were not, or all.
    Pages(Option<bool>),
    /// Pages that nobody got; by one cause, or all.
    Spared(Option<Sparing>),
}

impl Of {
    /// Every list with its name.
    pub const ALL: [(&'static str, Self); 11] = [
        ("opened", Self::Incidents(Figure::Opened)),
        ("acknowledged", Self::Incidents(Figure::Acknowledged)),
        ("resolved", Self::Incidents(Figure::Resolved)),
        ("open", Self::Incidents(Figure::Open)),
        ("pages", Self::Pages(None)),
        ("in-time", Self::Pages(Some(true))),
        ("late", Self::Pages(Some(false))),
        ("spared", Self::Spared(None)),
        ("quorum", Self::Spared(Some(Sparing::Quorum))),
        ("parent", Self::Spared(Some(Sparing::Parent))),
        ("flapping", Self::Spared(Some(Sparing::Flapping))),
    ];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, of)| *of)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, of)| *of == self).map_or("", |(name, _)| name)
    }
}

/// What is asked: a period, the one before it instead, a severity.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The period.
    pub period: Period,
    /// The zone of its days.
    pub zone: Option<String>,
    /// The period before instead.
    pub before: bool,
    /// This severity alone, of lists of incidents.
    pub severity: Option<Severity>,
}

impl Asked {
    fn periods(&self, now: UtcMicros) -> Answer<Periods> {
        self.period.upto(now, self.zone.as_deref()).map_err(|error| Problem::new(Code::BadRequest, error))
    }
}

impl Present {
    /// The indicators of a period.
    ///
    /// # Errors
    /// When the zone is not known, or the store cannot be read.
    pub async fn indicators(&self, asked: &Asked) -> Answer<IndicatorsView> {
        let now = clock::now();
        let periods = asked.periods(now)?;
        let facts = self.facts_of(periods).await?;
        let users = self.app().book().objects().users.living().count() as u64;
        let playbooks = self.playbook_completion(periods.now).await?;
        Ok(view(asked, &periods, &facts, ReportsView { users, automated: 0, available: false }, playbooks, now))
    }

    /// The list that a figure is made of, in the order of the instants.
    ///
    /// # Errors
    /// When the zone is not known, or the store cannot be read.
    pub async fn counted(&self, of: Of, asked: &Asked) -> Answer<Vec<CountedView>> {
        let now = clock::now();
        let periods = asked.periods(now)?;
        let facts = self.facts_of(periods).await?;
        let asked = asked.clone();
        self.read(move |book| list(book, of, &asked, &periods, &facts, now)).await
    }

    /// What is known of both periods. What happens at this very instant belongs to the newer one.
    async fn facts_of(&self, periods: Periods) -> Answer<Facts> {
        let span = Span::new(periods.before.from, periods.now.to.plus_us(1));
        Ok(self.app().read_store(move |tables| stored::facts(tables, span)).await?)
    }

    /// How often playbooks were carried out to their end, and by team; `None`: no run was ever begun.
    async fn playbook_completion(&self, period: Span) -> Answer<Option<(CompletionView, Vec<TeamCompletionView>)>> {
        // What ends at this very instant belongs to it.
        let period = Span::new(period.from, period.to.plus_us(1));
        let found = self.app().read_store(move |tables| playbooks::ended(tables, period)).await?;
        let Some(runs) = found else { return Ok(None) };
        let mut teams: BTreeMap<Option<String>, CompletionView> = BTreeMap::new();
        let mut all = CompletionView::default();
        {
            let book = self.app().book();
            for run in &runs {
                let team = teams.entry(team_of(book.objects(), &run.by, run.started_at)).or_default();
                for view in [team, &mut all] {
                    view.ended += 1;
                    view.completed += u64::from(run.finished);
                }
            }
        }
        let shared = |view: CompletionView| {
            let share = (view.ended > 0).then(|| view.completed as f64 / view.ended as f64);
            CompletionView { share, ..view }
        };
        let nobody = teams.remove_entry(&None);
        let teams = teams.into_iter().chain(nobody);
        let teams = teams.map(|(team, view)| TeamCompletionView { team, completion: shared(view) }).collect();
        Ok(Some((shared(all), teams)))
    }
}

/// The newer period, its last instant too.
fn newer(periods: &Periods) -> Span {
    Span::new(periods.now.from, periods.now.to.plus_us(1))
}

fn view(
    asked: &Asked,
    periods: &Periods,
    facts: &Facts,
    reports: ReportsView,
    playbooks: Option<(CompletionView, Vec<TeamCompletionView>)>,
    now: UtcMicros,
) -> IndicatorsView {
    let (playbooks, playbook_teams) = playbooks.map_or((None, Vec::new()), |(all, teams)| (Some(all), teams));
    let severities =
        [None, Some(Severity::Critical), Some(Severity::Major), Some(Severity::Minor), Some(Severity::Info)];
    let times: Vec<SeverityTimesView> = severities
        .into_iter()
        .map(|severity| SeverityTimesView {
            severity: severity.map(|severity| severity.to_string()),
            now: times_of(&facts.episodes, severity, newer(periods)),
            before: times_of(&facts.episodes, severity, periods.before),
        })
        .collect();
    let critical = times_in(&facts.episodes, Some(Severity::Critical), newer(periods));
    IndicatorsView {
        period: asked.period.as_str().into(),
        zone: asked.zone.clone(),
        from: instant::format(periods.now.from),
        to: instant::format(periods.now.to),
        before_from: instant::format(periods.before.from),
        times,
        mttr_target_seconds: MTTR_TARGET_US as f64 / 1e6,
        mttr_met: critical.mttr_us.map(|us| us < MTTR_TARGET_US),
        playbooks,
        playbook_teams,
        reports,
        noise: noise_view(&facts.noise(newer(periods), now)),
        noise_before: noise_view(&facts.noise(periods.before, now)),
    }
}

fn times_in(episodes: &[Episode], severity: Option<Severity>, period: Span) -> Times {
    let lives = episodes.iter().map(|one| &one.life);
    let lives = lives.filter(|life| severity.is_none_or(|severity| life.severity == severity));
    times(lives, Severity::Info, period)
}

fn times_of(episodes: &[Episode], severity: Option<Severity>, period: Span) -> TimesOfView {
    let seconds = |us: Option<i64>| us.map(|us| us as f64 / 1e6);
    let Times { opened, acknowledged, resolved, resolved_untaken, open, mtta_us, mttr_us } =
        times_in(episodes, severity, period);
    TimesOfView {
        opened,
        acknowledged,
        resolved,
        resolved_untaken,
        open,
        mtta_seconds: seconds(mtta_us),
        mttr_seconds: seconds(mttr_us),
    }
}

fn noise_view(noise: &Noise) -> NoiseView {
    let [quorum, parent, flapping] = noise.spared.map(|count| count as u64);
    NoiseView {
        pages: noise.pages as u64,
        incidents: noise.incidents as u64,
        pages_per_incident: noise.per_incident(),
        judged: noise.judged as u64,
        in_time: noise.in_time as u64,
        in_time_share: noise.share_in_time(),
        spared: SparedView { quorum, parent, flapping },
    }
}

fn list(book: &Book, of: Of, asked: &Asked, periods: &Periods, facts: &Facts, now: UtcMicros) -> Vec<CountedView> {
    let period = if asked.before { periods.before } else { newer(periods) };
    let name = |check: CheckNo| book.check(check).map(|check| check.id.to_string());
    let of_episode = |one: &Episode| CountedView {
        incident: Some(one.id.to_string()),
        check: one.check.and_then(name),
        kind: Some(one.kind.to_string()),
        severity: Some(one.life.severity.to_string()),
        ..CountedView::default()
    };
    match of {
        Of::Incidents(figure) => counted(&facts.episodes, figure, asked.severity, period)
            .into_iter()
            .map(|one| CountedView {
                at: instant::format(one.at),
                seconds: one.took_us.map(|us| us as f64 / 1e6),
                ..of_episode(one.episode)
            })
            .collect(),
        Of::Pages(only) => {
            let by_id: BTreeMap<&IncidentId, &Episode> = facts.episodes.iter().map(|one| (&one.id, one)).collect();
            let pages = facts.pages_in(period, now).into_iter();
            let pages = pages.filter(|(_, in_time)| only.is_none() || *in_time == only);
            pages
                .map(|(page, in_time)| CountedView {
                    at: instant::format(page.at),
                    incident: Some(page.incident.to_string()),
                    in_time,
                    ..by_id.get(&page.incident).map(|one| of_episode(one)).unwrap_or_default()
                })
                .collect()
        }
        Of::Spared(only) => facts
            .spared_in(period)
            .into_iter()
            .filter(|one| only.is_none_or(|by| one.by == by))
            .map(|one| CountedView {
                at: instant::format(one.at),
                check: name(one.check),
                spared_by: Some(one.by.as_str().to_owned()),
                ..CountedView::default()
            })
            .collect(),
    }
}

/// How long a page may wait for somebody, in whole minutes: for texts.
pub const IN_TIME_MINUTES: i64 = IN_TIME_US / 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_a_name() {
        for (name, of) in Of::ALL {
            assert_eq!((Of::parse(name), of.name()), (Some(of), name));
        }
        assert_eq!(Of::parse("none"), None);
    }

    #[test]
    fn nothing_happened_is_no_figure() {
        let now = UtcMicros(1_000_000_000_000_000);
        let asked = Asked { period: Period::Week, ..Asked::default() };
        let periods = asked.periods(now).unwrap();
        let view = view(&asked, &periods, &Facts::default(), ReportsView::default(), None, now);
        assert_eq!((view.mttr_met, view.playbooks), (None, None));
        assert_eq!((view.noise.pages_per_incident, view.noise.in_time_share), (None, None));
        assert!(view.times.iter().all(|row| row.now == TimesOfView::default() && row.before == TimesOfView::default()));
        assert_eq!(view.times.len(), 5);
    }
}
