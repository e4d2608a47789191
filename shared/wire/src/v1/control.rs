//! Control events and their acknowledgements.

use bincode::{Decode, Encode};
use sitepulse_model::control::{AUTHOR_BYTES_MAX, Change, ControlEvent, EventId, Scope, Weight};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::time::UtcMicros;

use super::{field, text};
use crate::frame::FieldError;
use crate::message::EVENTS_MAX;

#[derive(Debug, Encode, Decode)]
pub(super) struct EventIdV1 {
    author: String,
    number: u64,
}

#[derive(Debug, Encode, Decode)]
pub(super) struct EventV1 {
    id: EventIdV1,
    at: i64,
    scope: ScopeV1,
    change: ChangeV1,
}

#[derive(Debug, Encode, Decode)]
enum ScopeV1 {
    Agent(u32),
    AgentCheck(u32, u32),
    Check(u32),
}

#[derive(Debug, Encode, Decode)]
enum ChangeV1 {
    Suspend { until: i64, reason: String },
    Resume,
    Weight(u32),
}

pub(super) fn events_of(events: &[ControlEvent]) -> Result<Vec<EventV1>, FieldError> {
    count("control", events.len())?;
    events
        .iter()
        .map(|event| {
            validate(event)?;
            Ok(EventV1 {
                id: id_of(&event.id),
                at: event.at.0,
                scope: match event.scope {
                    Scope::Agent(agent) => ScopeV1::Agent(agent.0),
                    Scope::AgentCheck(agent, check) => ScopeV1::AgentCheck(agent.0, check.0),
                    Scope::Check(check) => ScopeV1::Check(check.0),
                },
                change: match &event.change {
                    Change::Suspend { until, reason } => ChangeV1::Suspend { until: until.0, reason: reason.clone() },
                    Change::Resume => ChangeV1::Resume,
                    Change::Weight(weight) => ChangeV1::Weight(weight.0),
                },
            })
        })
        .collect()
}

pub(super) fn events_from(events: Vec<EventV1>) -> Result<Vec<ControlEvent>, FieldError> {
    count("control", events.len())?;
    events
        .into_iter()
        .map(|event| {
            let event = ControlEvent {
                id: EventId { author: event.id.author, number: event.id.number },
                at: UtcMicros(event.at),
                scope: match event.scope {
                    ScopeV1::Agent(agent) => Scope::Agent(AgentNo(agent)),
                    ScopeV1::AgentCheck(agent, check) => Scope::AgentCheck(AgentNo(agent), CheckNo(check)),
                    ScopeV1::Check(check) => Scope::Check(CheckNo(check)),
                },
                change: match event.change {
                    ChangeV1::Suspend { until, reason } => Change::Suspend { until: UtcMicros(until), reason },
                    ChangeV1::Resume => Change::Resume,
                    ChangeV1::Weight(weight) => Change::Weight(Weight(weight)),
                },
            };
            validate(&event)?;
            Ok(event)
        })
        .collect()
}

pub(super) fn ids_of(ids: &[EventId]) -> Result<Vec<EventIdV1>, FieldError> {
    count("control_ack", ids.len())?;
    ids.iter().map(|id| valid_id(id).map(|()| id_of(id))).collect()
}

pub(super) fn ids_from(ids: Vec<EventIdV1>) -> Result<Vec<EventId>, FieldError> {
    count("control_ack", ids.len())?;
    ids.into_iter()
        .map(|id| {
            let id = EventId { author: id.author, number: id.number };
            valid_id(&id).map(|()| id)
        })
        .collect()
}

fn id_of(id: &EventId) -> EventIdV1 {
    EventIdV1 { author: id.author.clone(), number: id.number }
}

fn validate(event: &ControlEvent) -> Result<(), FieldError> {
    event
        .validate()
        .map_err(|error| field(&format!("control event {}/{}", event.id.author, event.id.number), error.to_string()))
}

fn valid_id(id: &EventId) -> Result<(), FieldError> {
    text("control_ack.author", &id.author, AUTHOR_BYTES_MAX)?;
    if id.number == 0 { Err(field("control_ack.number", "events count from 1")) } else { Ok(()) }
}

fn count(name: &str, count: usize) -> Result<(), FieldError> {
    if count > EVENTS_MAX {
        return Err(field(name, format!("{count} events, at most {EVENTS_MAX} are allowed")));
    }
    Ok(())
}
