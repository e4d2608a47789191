//! Messages from agent to collector. Kinds 1 to 127.

use bincode::{Decode, Encode};
use sitepulse_model::id::{AgentName, Incarnation};
use sitepulse_model::record::Record;
use sitepulse_model::time::UtcMicros;

use super::batch::BatchV1;
use super::control::{EventIdV1, EventV1, events_from, events_of, ids_from, ids_of};
use super::{BUILD_BYTES_MAX, decode_body, der, encode_frame, field, protocols, text};
use crate::frame::{DecodeError, EncodeError, FieldError};
use crate::message::{Hello, Host, JoinRequest, Lane, RUN_REFUSED_BYTES_MAX, Status, ToCollector};
use crate::record;

const HELLO: u16 = 1;
const LANE_OPEN: u16 = 2;
const BATCH: u16 = 3;
const CONTROL: u16 = 4;
const CONTROL_ACK: u16 = 5;
const STATUS: u16 = 6;
const JOIN: u16 = 7;
const RENEW: u16 = 8;
const RAN: u16 = 9;

#[derive(Debug, Encode, Decode)]
struct HelloV1 {
    protocol_min: u16,
    protocol_max: u16,
    build: String,
    incarnation: u64,
    sent_at: i64,
    assignment_revision: u64,
    spool_records: u64,
}

#[derive(Debug, Encode, Decode)]
struct StatusV1 {
    spool_records: u64,
    spool_bytes: u64,
    spool_oldest: Option<i64>,
    in_flight: u32,
    clock_offset_us: Option<i64>,
    clock_uncertainty_us: u64,
    host: Option<HostV1>,
}

#[derive(Debug, Encode, Decode)]
struct HostV1 {
    load_milli: u32,
    cores: u32,
    memory_used_bytes: u64,
    memory_total_bytes: u64,
}

#[derive(Encode, Decode)]
struct JoinV1 {
    protocol_min: u16,
    protocol_max: u16,
    secret: [u8; 32],
    name: Option<String>,
    csr_der: Vec<u8>,
    build: String,
}

#[derive(Debug, Encode, Decode)]
struct RanV1 {
    ask: u64,
    /// A record, as [`crate::record`] writes it.
    result: Option<Vec<u8>>,
    refused: String,
}

pub(crate) fn kind(message: &ToCollector) -> u16 {
    match message {
        ToCollector::Hello(_) => HELLO,
        ToCollector::LaneOpen(_) => LANE_OPEN,
        ToCollector::Batch(_) => BATCH,
        ToCollector::Control(_) => CONTROL,
        ToCollector::ControlAck(_) => CONTROL_ACK,
        ToCollector::Status(_) => STATUS,
        ToCollector::Join(_) => JOIN,
        ToCollector::Renew { .. } => RENEW,
        ToCollector::Ran { .. } => RAN,
    }
}

pub(crate) fn encode(message: &ToCollector) -> Result<Vec<u8>, EncodeError> {
    let kind = kind(message);
    match message {
        ToCollector::Hello(hello) => {
            validate_hello(hello)?;
            let dto = HelloV1 {
                protocol_min: hello.protocol_min,
                protocol_max: hello.protocol_max,
                build: hello.build.clone(),
                incarnation: hello.incarnation.0,
                sent_at: hello.sent_at.0,
                assignment_revision: hello.assignment_revision,
                spool_records: hello.spool_records,
            };
            encode_frame(kind, &dto)
        }
        ToCollector::LaneOpen(lane) => encode_frame(kind, &(*lane as u8)),
        ToCollector::Batch(batch) => encode_frame(kind, &BatchV1::of(batch)?),
        ToCollector::Control(events) => encode_frame(kind, &events_of(events)?),
        ToCollector::ControlAck(ids) => encode_frame(kind, &ids_of(ids)?),
        ToCollector::Status(status) => {
            validate_status(status)?;
            let dto = StatusV1 {
                spool_records: status.spool_records,
                spool_bytes: status.spool_bytes,
                spool_oldest: status.spool_oldest.map(|at| at.0),
                in_flight: status.in_flight,
                clock_offset_us: status.clock_offset_us,
                clock_uncertainty_us: status.clock_uncertainty_us,
                host: status.host.map(|host| HostV1 {
                    load_milli: host.load_milli,
                    cores: host.cores,
                    memory_used_bytes: host.memory_used_bytes,
                    memory_total_bytes: host.memory_total_bytes,
                }),
            };
            encode_frame(kind, &dto)
        }
        ToCollector::Join(join) => {
            validate_join(join)?;
            let dto = JoinV1 {
                protocol_min: join.protocol_min,
                protocol_max: join.protocol_max,
                secret: join.secret,
                name: join.name.as_ref().map(AgentName::to_string),
                csr_der: join.csr_der.clone(),
                build: join.build.clone(),
            };
            encode_frame(kind, &dto)
        }
        ToCollector::Renew { csr_der } => {
            der("renew.csr_der", csr_der)?;
            encode_frame(kind, csr_der)
        }
        ToCollector::Ran { ask, outcome } => {
            let dto = match outcome {
                Ok(result) => {
                    let mut bytes = Vec::new();
                    record::encode(&Record::Result((**result).clone()), &mut bytes);
                    RanV1 { ask: *ask, result: Some(bytes), refused: String::new() }
                }
                Err(refused) => {
                    text("ran.refused", refused, RUN_REFUSED_BYTES_MAX)?;
                    RanV1 { ask: *ask, result: None, refused: refused.clone() }
                }
            };
            encode_frame(kind, &dto)
        }
    }
}

pub(crate) fn decode(kind: u16, body: &[u8]) -> Result<ToCollector, DecodeError> {
    Ok(match kind {
        HELLO => {
            let dto: HelloV1 = decode_body(body)?;
            let hello = Hello {
                protocol_min: dto.protocol_min,
                protocol_max: dto.protocol_max,
                build: dto.build,
                incarnation: Incarnation(dto.incarnation),
                sent_at: UtcMicros(dto.sent_at),
                assignment_revision: dto.assignment_revision,
                spool_records: dto.spool_records,
            };
            validate_hello(&hello)?;
            ToCollector::Hello(hello)
        }
        LANE_OPEN => {
            let code: u8 = decode_body(body)?;
            let lane = [Lane::Fresh, Lane::Backlog].into_iter().find(|lane| *lane as u8 == code);
            ToCollector::LaneOpen(lane.ok_or_else(|| field("lane_open.lane", format!("there is no lane {code}")))?)
        }
        BATCH => ToCollector::Batch(decode_body::<BatchV1>(body)?.into_batch()?),
        CONTROL => ToCollector::Control(events_from(decode_body::<Vec<EventV1>>(body)?)?),
        CONTROL_ACK => ToCollector::ControlAck(ids_from(decode_body::<Vec<EventIdV1>>(body)?)?),
        STATUS => {
            let dto: StatusV1 = decode_body(body)?;
            let status = Status {
                spool_records: dto.spool_records,
                spool_bytes: dto.spool_bytes,
                spool_oldest: dto.spool_oldest.map(UtcMicros),
                in_flight: dto.in_flight,
                clock_offset_us: dto.clock_offset_us,
                clock_uncertainty_us: dto.clock_uncertainty_us,
                host: dto.host.map(|host| Host {
                    load_milli: host.load_milli,
                    cores: host.cores,
                    memory_used_bytes: host.memory_used_bytes,
                    memory_total_bytes: host.memory_total_bytes,
                }),
            };
            validate_status(&status)?;
            ToCollector::Status(status)
        }
        JOIN => {
            let dto: JoinV1 = decode_body(body)?;
            let name = dto.name.as_deref().map(AgentName::parse).transpose();
            let join = JoinRequest {
                protocol_min: dto.protocol_min,
                protocol_max: dto.protocol_max,
                secret: dto.secret,
                name: name.map_err(|error| field("join.name", error.to_string()))?,
                csr_der: dto.csr_der,
                build: dto.build,
            };
            validate_join(&join)?;
            ToCollector::Join(join)
        }
        RENEW => {
            let csr_der: Vec<u8> = decode_body(body)?;
            der("renew.csr_der", &csr_der)?;
            ToCollector::Renew { csr_der }
        }
        RAN => {
            let dto: RanV1 = decode_body(body)?;
            let outcome = match dto.result {
                Some(bytes) => match record::decode(&bytes).map_err(|error| field("ran.result", error.to_string()))? {
                    Record::Result(result) if dto.refused.is_empty() => Ok(Box::new(result)),
                    Record::Result(_) => return Err(field("ran.refused", "a result that is refused").into()),
                    Record::Missed(_) | Record::Dropped(_) => return Err(field("ran.result", "not a result").into()),
                },
                None => {
                    text("ran.refused", &dto.refused, RUN_REFUSED_BYTES_MAX)?;
                    Err(dto.refused)
                }
            };
            ToCollector::Ran { ask: dto.ask, outcome }
        }
        _ => return Err(DecodeError::UnknownKind { kind, towards: "a collector" }),
    })
}

fn validate_hello(hello: &Hello) -> Result<(), FieldError> {
    protocols(hello.protocol_min, hello.protocol_max)?;
    text("hello.build", &hello.build, BUILD_BYTES_MAX)
}

fn validate_status(status: &Status) -> Result<(), FieldError> {
    let Some(host) = status.host else { return Ok(()) };
    if host.cores == 0 {
        return Err(field("status.host.cores", "a machine has a processor"));
    }
    if host.memory_total_bytes == 0 || host.memory_used_bytes > host.memory_total_bytes {
        let (used, total) = (host.memory_used_bytes, host.memory_total_bytes);
        return Err(field("status.host.memory_used_bytes", format!("{used} of {total} bytes cannot be used")));
    }
    Ok(())
}

fn validate_join(join: &JoinRequest) -> Result<(), FieldError> {
    protocols(join.protocol_min, join.protocol_max)?;
    text("join.build", &join.build, BUILD_BYTES_MAX)?;
    der("join.csr_der", &join.csr_der)
}
