//! Which agents page by themselves when the collector stays away, and by which channel: see [`sitepulse_model::pager`].
//!
//! At most [`PAGERS_MAX`] agents, in different regions where there are some: one of them may be cut off itself, and a page from each of a hundred agents is none.

use sitepulse_model::id::AgentNo;
use sitepulse_model::pager::Order;
use sitepulse_wire::message::SECRET_BYTES_MAX;

use crate::book::{Agent, Book};

/// How many agents page by themselves.
const PAGERS_MAX: usize = 2;

/// The agents that do.
fn chosen(book: &Book) -> Vec<AgentNo> {
    let mut living: Vec<&Agent> = book.agents().filter(|agent| !agent.internal && agent.revoked_at.is_none()).collect();
    // One that is not there pages nobody.
    living.sort_by_key(|agent| (!agent.presence.is_connected(), agent.number));
    let mut chosen: Vec<&Agent> = Vec::new();
    let elsewhere = |agent: &&&Agent, chosen: &[&Agent]| chosen.iter().all(|one| one.region != agent.region);
    while chosen.len() < PAGERS_MAX {
        let left = || living.iter().filter(|agent| !chosen.iter().any(|one| one.number == agent.number));
        let Some(next) = left().find(|agent| elsewhere(agent, &chosen)).or_else(|| left().next()) else { break };
        chosen.push(next);
    }
    chosen.into_iter().map(|agent| agent.number).collect()
}

/// What an agent is to do when this collector stays away, as it travels. `None`: nothing.
pub(super) fn order(book: &Book, agent: &Agent, collector: &str) -> Option<String> {
    let channels = &book.objects().channels;
    let (channel, after_us) =
        channels.living().find_map(|(_, channel)| Some((&channel.body, channel.body.agents_after_us()?)))?;
    if !chosen(book).contains(&agent.number) {
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
