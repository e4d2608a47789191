//! Which agents page by themselves when the collector stays away, and by which channel: see [`sitepulse_model::pager`].
//!
//! At most [`PAGERS_MAX`] agents, in different regions where there are some: one of them may be cut off itself, and a page from each of a hundred agents is none.
//!
//! Who they are is a row of `meta`, so whoever comes back after a restart finds its order, in whatever order they come. They are looked at while agents are
//! connected ([`Engine::choose_pagers`]), and one that stays away is replaced: never because it leaves, for then all leave in turn as the collector stops. An
//! agent that was replaced forgets the order when it comes back.

use std::collections::BTreeSet;
use std::sync::Arc;

use sitepulse_model::id::AgentNo;
use sitepulse_model::pager::Order;
use sitepulse_model::time::{SECOND_US, UtcMicros};
use sitepulse_wire::message::SECRET_BYTES_MAX;

use crate::book::{Agent, Book};
use crate::engine::Engine;
use crate::store::{StoreError, Tables, rows};

/// How many agents page by themselves.
pub(crate) const PAGERS_MAX: usize = 2;
/// How long one of them may be away before another takes its place, in microseconds: 5 min.
const AWAY_US_MAX: i64 = 5 * 60 * SECOND_US;
/// Name of the row: their numbers, with spaces between.
const ROW: &str = "pagers";

/// How good an agent is at it, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It has the order, and is there or was a moment ago. What opens the channel goes to no further machine without need.
    Holds,
    /// It is there.
    There,
    /// It has the order, and stays away: better than nobody.
    Away,
}

/// The agents that do, by what the tables say.
pub(crate) fn stored(tables: Tables<'_>) -> Result<BTreeSet<AgentNo>, StoreError> {
    let row = rows::meta(tables, ROW)?.unwrap_or_default();
    Ok(row.split_whitespace().filter_map(|number| number.parse().ok().map(AgentNo)).collect())
}

/// The agents that should, where somebody is there. Nobody could be seen until `nobody_at`. A clock that was set far back makes nobody present.
fn chosen(book: &Book, nobody_at: UtcMicros, now: UtcMicros) -> BTreeSet<AgentNo> {
    let standing = |agent: &Agent| {
        let presence = agent.presence.read();
        let seen = presence.last_seen.map_or(nobody_at, |seen| seen.max(nobody_at));
        match (book.pagers().contains(&agent.number), presence.connected) {
            (true, there) if there || now.us_since(seen).saturating_abs() < AWAY_US_MAX => Some(Standing::Holds),
            (true, _) => Some(Standing::Away),
            (false, true) => Some(Standing::There),
            (false, false) => None,
        }
    };
    let living = book.agents().filter(|agent| !agent.internal && agent.revoked_at.is_none());
    let able: Vec<(Standing, &Agent)> = living.filter_map(|agent| Some((standing(agent)?, agent))).collect();
    let mut chosen: Vec<&Agent> = Vec::new();
    while chosen.len() < PAGERS_MAX {
        let left = able.iter().filter(|(_, agent)| !chosen.iter().any(|one| one.number == agent.number));
        let best = left.min_by_key(|(standing, agent)| {
            let same_region = chosen.iter().any(|one| one.region == agent.region);
            (*standing == Standing::Away, same_region, *standing, agent.number)
        });
        let Some((_, next)) = best else { break };
        chosen.push(next);
    }
    chosen.into_iter().map(|agent| agent.number).collect()
}

impl Engine {
    /// Looks whether the agents that page by themselves are still those that should, and has others take their places where they are not. While no
    /// agent is connected (after a start, at the end, cut off) nothing changes, and nobody's absence counts. The caller looks a few times a minute.
    ///
    /// # Errors
    /// When the change cannot be written: then nothing changed.
    pub fn choose_pagers(&mut self, now: UtcMicros) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let chosen = {
            let book = shared.book();
            if book.agents_connected() == 0 {
                self.nobody_at = now;
                return Ok(());
            }
            let chosen = chosen(&book, self.nobody_at, now);
            if chosen == *book.pagers() {
                return Ok(());
            }
            chosen
        };
        let row = chosen.iter().map(|agent| agent.0.to_string()).collect::<Vec<_>>().join(" ");
        self.store.write(|tables| rows::set_meta(tables, ROW, &row))?;
        tracing::info!(agents = %row, "these agents page when the collector stays away, where a channel says so");
        shared.book_mut().set_pagers(chosen);
        shared.tick();
        Ok(())
    }
}

/// What an agent is to do when this collector stays away, as it travels. `None`: nothing.
pub(super) fn order(book: &Book, agent: &Agent, collector: &str) -> Option<String> {
    let channels = &book.objects().channels;
    let (channel, after_us) =
        channels.living().find_map(|(_, channel)| Some((&channel.body, channel.body.agents_after_us()?)))?;
    if !book.pagers().contains(&agent.number) {
        return None;
    }
    let secrets = channel.secrets().into_iter().filter_map(|name| Some((name.clone(), book.vault().value(&name)?)));
    let order =
        Order { after_us, collector: collector.to_owned(), channel: channel.clone(), secrets: secrets.collect() };
    let text = serde_json::to_string(&order).expect("texts and numbers always serialize");
    if text.len() > SECRET_BYTES_MAX {
        let bytes = text.len();
        tracing::error!(
            "channel {}: with its secrets it has {bytes} bytes, agents take {SECRET_BYTES_MAX}: they do not page by it when the collector stays away",
            channel.id
        );
        return None;
    }
    Some(text)
}
