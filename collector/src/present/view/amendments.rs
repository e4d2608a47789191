//! From stored amendments to their JSON.

use sitepulse_daemon::instant;
use sitepulse_model::amendment::{LateAgent, StoredChange, StoredTold};
use sitepulse_model::id::AgentNo;
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};

use crate::book::{Amended, Book, Check};
use crate::present::dto::amendments::{AmendedView, AmendmentView, ChangeView, FiguresView, LateView, ToldView};
use crate::present::view::seconds_view;
use crate::store::amendments::Stored;

/// An amendment, with names for numbers.
pub fn amendment_view(book: &Book, stored: &Stored) -> AmendmentView {
    let amendment = &stored.amendment;
    let at = |us: i64| instant::format(UtcMicros(us));
    let check = book.check(stored.check);
    AmendmentView {
        check: check.map_or_else(|| format!("#{}", stored.check), |check| check.id.to_string()),
        number: stored.number,
        noted: at(amendment.noted_us),
        from: at(amendment.from_us),
        to: at(amendment.to_us),
        late: amendment.late.iter().map(|late| late_view(book, late)).collect(),
        before: figures_view(&amendment.before),
        after: figures_view(&amendment.after),
        changes: amendment.changes.iter().map(change_view).collect(),
        changes_more: amendment.changes_more,
    }
}

fn late_view(book: &Book, late: &LateAgent) -> LateView {
    let agent = book.agent(AgentNo(late.agent));
    LateView {
        agent: agent.map_or_else(|| format!("#{}", late.agent), |agent| agent.name.to_string()),
        region: agent.map_or_else(String::new, |agent| agent.region.to_string()),
        records: late.records,
        acts: late.acts,
        first: instant::format(UtcMicros(late.first_us)),
        last: instant::format(UtcMicros(late.last_us)),
        behind_seconds: late.behind_us as f64 / 1e6,
    }
}

fn figures_view(account: &Account) -> FiguresView {
    FiguresView {
        availability: account.availability(),
        weighted_availability: account.weighted_availability(),
        completeness: account.completeness(),
        lower: account.lower(),
        upper: account.upper(),
        weighted_lower: account.weighted_lower(),
        weighted_upper: account.weighted_upper(),
        seconds: seconds_view(account),
    }
}

fn change_view(change: &StoredChange) -> ChangeView {
    ChangeView {
        from: instant::format(UtcMicros(change.from_us)),
        to: instant::format(UtcMicros(change.to_us)),
        seconds: change.to_us.saturating_sub(change.from_us) as f64 / 1e6,
        before: told_view(&change.before),
        after: told_view(&change.after),
    }
}

fn told_view(told: &StoredTold) -> ToldView {
    ToldView {
        verdict: told.verdict.clone(),
        unknown_cause: told.unknown_cause.clone(),
        share_down: told.share_down.filter(|(_, live)| *live > 0).map(|(down, live)| down as f64 / live as f64),
    }
}

/// Whether late data changed figures of a period.
pub fn amended_view(check: &Check, period: Span) -> Option<AmendedView> {
    amended_of(&check.amended, period)
}

/// [`amended_view`] of these amendments.
pub fn amended_of(amended: &[Amended], period: Span) -> Option<AmendedView> {
    let mut amended = amended.iter().filter(|one| !one.span.clip(period).is_empty());
    let first = amended.next()?;
    let (count, noted) = amended.fold((1, first.noted), |(count, noted), one| (count + 1, noted.max(one.noted)));
    Some(AmendedView { count, noted: instant::format(noted) })
}
