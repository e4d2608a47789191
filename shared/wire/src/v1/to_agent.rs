//! Messages from collector to agent. Kinds 129 to 255.

use bincode::{Decode, Encode};
use sitepulse_model::check::SECRET_NAME_BYTES_MAX;
use sitepulse_model::expect::Pool;
use sitepulse_model::id::{AgentName, AgentNo, CheckNo, Region};
use sitepulse_model::time::UtcMicros;

use super::check::AssignedCheckV1;
use super::control::{EventIdV1, EventV1, events_from, events_of, ids_from, ids_of};
use super::{BUILD_BYTES_MAX, REFUSAL_BYTES_MAX, addresses, decode_body, der, encode_frame, field, text};
use crate::frame::{DecodeError, EncodeError, FieldError};
use crate::message::{
    ASSIGNMENT_PART_MAX, Ack, AssignmentPart, Joined, Refusal, RefusalCode, SECRET_BYTES_MAX, SECRETS_MAX, SecretsPart,
    ToAgent, Welcome,
};

const WELCOME: u16 = 129;
const REFUSAL: u16 = 130;
const ASSIGNMENT: u16 = 131;
const ACK: u16 = 132;
const CONTROL: u16 = 133;
const CONTROL_ACK: u16 = 134;
const JOINED: u16 = 135;
const RENEWED: u16 = 136;
const SECRETS: u16 = 137;
const RUN_NOW: u16 = 138;

#[derive(Debug, Encode, Decode)]
struct WelcomeV1 {
    protocol: u16,
    build: String,
    received_at: i64,
    sent_at: i64,
    agent: u32,
    addresses: Vec<String>,
    assignment_follows: bool,
    backlog_per_s: u32,
}

#[derive(Debug, Encode, Decode)]
struct RefusalV1 {
    code: u8,
    message: String,
}

#[derive(Debug, Encode, Decode)]
struct AssignmentV1 {
    revision: u64,
    part: u32,
    parts: u32,
    checks: Vec<AssignedCheckV1>,
}

#[derive(Debug, Encode, Decode)]
struct AckV1 {
    number: u64,
    backlog_per_s: u32,
}

#[derive(Debug, Encode, Decode)]
struct JoinedV1 {
    agent: u32,
    name: String,
    region: String,
    certificate_der: Vec<u8>,
    ca_der: Vec<u8>,
    expires: i64,
    addresses: Vec<String>,
}

#[derive(Debug, Encode, Decode)]
struct RenewedV1 {
    certificate_der: Vec<u8>,
    expires: i64,
}

#[derive(Encode, Decode)]
struct SecretsV1 {
    part: u32,
    parts: u32,
    secrets: Vec<(String, String)>,
}

#[derive(Debug, Encode, Decode)]
struct RunNowV1 {
    ask: u64,
    check: u32,
}

pub(crate) fn kind(message: &ToAgent) -> u16 {
    match message {
        ToAgent::Welcome(_) => WELCOME,
        ToAgent::Refusal(_) => REFUSAL,
        ToAgent::Assignment(_) => ASSIGNMENT,
        ToAgent::Ack(_) => ACK,
        ToAgent::Control(_) => CONTROL,
        ToAgent::ControlAck(_) => CONTROL_ACK,
        ToAgent::Joined(_) => JOINED,
        ToAgent::Renewed { .. } => RENEWED,
        ToAgent::Secrets(_) => SECRETS,
        ToAgent::RunNow { .. } => RUN_NOW,
    }
}

pub(crate) fn encode(message: &ToAgent) -> Result<Vec<u8>, EncodeError> {
    let kind = kind(message);
    match message {
        ToAgent::Welcome(welcome) => {
            validate_welcome(welcome)?;
            let dto = WelcomeV1 {
                protocol: welcome.protocol,
                build: welcome.build.clone(),
                received_at: welcome.received_at.0,
                sent_at: welcome.sent_at.0,
                agent: welcome.agent.0,
                addresses: welcome.addresses.clone(),
                assignment_follows: welcome.assignment_follows,
                backlog_per_s: welcome.backlog_per_s,
            };
            encode_frame(kind, &dto)
        }
        ToAgent::Refusal(refusal) => {
            text("refusal.message", &refusal.message, REFUSAL_BYTES_MAX)?;
            encode_frame(kind, &RefusalV1 { code: refusal.code as u8, message: refusal.message.clone() })
        }
        ToAgent::Assignment(part) => {
            validate_part(part.part, part.parts, part.checks.len())?;
            let dto = AssignmentV1 {
                revision: part.revision,
                part: part.part,
                parts: part.parts,
                checks: part.checks.iter().map(AssignedCheckV1::of).collect::<Result<_, _>>()?,
            };
            encode_frame(kind, &dto)
        }
        ToAgent::Ack(ack) => encode_frame(kind, &AckV1 { number: ack.number, backlog_per_s: ack.backlog_per_s }),
        ToAgent::Control(events) => encode_frame(kind, &events_of(events)?),
        ToAgent::ControlAck(ids) => encode_frame(kind, &ids_of(ids)?),
        ToAgent::Joined(joined) => {
            validate_joined(joined)?;
            let dto = JoinedV1 {
                agent: joined.agent.0,
                name: joined.name.to_string(),
                region: joined.region.to_string(),
                certificate_der: joined.certificate_der.clone(),
                ca_der: joined.ca_der.clone(),
                expires: joined.expires.0,
                addresses: joined.addresses.clone(),
            };
            encode_frame(kind, &dto)
        }
        ToAgent::Renewed { certificate_der, expires } => {
            der("renewed.certificate_der", certificate_der)?;
            encode_frame(kind, &RenewedV1 { certificate_der: certificate_der.clone(), expires: expires.0 })
        }
        ToAgent::Secrets(part) => {
            validate_secrets(part)?;
            encode_frame(kind, &SecretsV1 { part: part.part, parts: part.parts, secrets: part.secrets.clone() })
        }
        ToAgent::RunNow { ask, check } => encode_frame(kind, &RunNowV1 { ask: *ask, check: check.0 }),
    }
}

pub(crate) fn decode(kind: u16, body: &[u8]) -> Result<ToAgent, DecodeError> {
    Ok(match kind {
        WELCOME => {
            let dto: WelcomeV1 = decode_body(body)?;
            let welcome = Welcome {
                protocol: dto.protocol,
                build: dto.build,
                received_at: UtcMicros(dto.received_at),
                sent_at: UtcMicros(dto.sent_at),
                agent: AgentNo(dto.agent),
                addresses: dto.addresses,
                assignment_follows: dto.assignment_follows,
                backlog_per_s: dto.backlog_per_s,
            };
            validate_welcome(&welcome)?;
            ToAgent::Welcome(welcome)
        }
        REFUSAL => {
            let dto: RefusalV1 = decode_body(body)?;
            text("refusal.message", &dto.message, REFUSAL_BYTES_MAX)?;
            let code = RefusalCode::ALL.into_iter().find(|code| *code as u8 == dto.code);
            let code =
                code.ok_or_else(|| field("refusal.code", format!("unknown code {}: {}", dto.code, dto.message)))?;
            ToAgent::Refusal(Refusal { code, message: dto.message })
        }
        ASSIGNMENT => {
            let dto: AssignmentV1 = decode_body(body)?;
            validate_part(dto.part, dto.parts, dto.checks.len())?;
            let mut pool = Pool::default();
            ToAgent::Assignment(AssignmentPart {
                revision: dto.revision,
                part: dto.part,
                parts: dto.parts,
                checks: dto.checks.into_iter().map(|check| check.into_check(&mut pool)).collect::<Result<_, _>>()?,
            })
        }
        ACK => {
            let dto: AckV1 = decode_body(body)?;
            ToAgent::Ack(Ack { number: dto.number, backlog_per_s: dto.backlog_per_s })
        }
        CONTROL => ToAgent::Control(events_from(decode_body::<Vec<EventV1>>(body)?)?),
        CONTROL_ACK => ToAgent::ControlAck(ids_from(decode_body::<Vec<EventIdV1>>(body)?)?),
        JOINED => {
            let dto: JoinedV1 = decode_body(body)?;
            let joined = Joined {
                agent: AgentNo(dto.agent),
                name: AgentName::parse(&dto.name).map_err(|error| field("joined.name", error.to_string()))?,
                region: Region::parse(&dto.region).map_err(|error| field("joined.region", error.to_string()))?,
                certificate_der: dto.certificate_der,
                ca_der: dto.ca_der,
                expires: UtcMicros(dto.expires),
                addresses: dto.addresses,
            };
            validate_joined(&joined)?;
            ToAgent::Joined(joined)
        }
        RENEWED => {
            let dto: RenewedV1 = decode_body(body)?;
            der("renewed.certificate_der", &dto.certificate_der)?;
            ToAgent::Renewed { certificate_der: dto.certificate_der, expires: UtcMicros(dto.expires) }
        }
        SECRETS => {
            let dto: SecretsV1 = decode_body(body)?;
            let part = SecretsPart { part: dto.part, parts: dto.parts, secrets: dto.secrets };
            validate_secrets(&part)?;
            ToAgent::Secrets(part)
        }
        RUN_NOW => {
            let dto: RunNowV1 = decode_body(body)?;
            ToAgent::RunNow { ask: dto.ask, check: CheckNo(dto.check) }
        }
        _ => return Err(DecodeError::UnknownKind { kind, towards: "an agent" }),
    })
}

fn validate_welcome(welcome: &Welcome) -> Result<(), FieldError> {
    text("welcome.build", &welcome.build, BUILD_BYTES_MAX)?;
    addresses("welcome.addresses", &welcome.addresses)
}

fn validate_part(part: u32, parts: u32, checks: usize) -> Result<(), FieldError> {
    if part >= parts {
        return Err(field("assignment.part", format!("part {part} of {parts}: parts count from 0")));
    }
    if checks > ASSIGNMENT_PART_MAX {
        return Err(field("assignment.checks", format!("{checks} checks, at most {ASSIGNMENT_PART_MAX} are allowed")));
    }
    Ok(())
}

fn validate_secrets(part: &SecretsPart) -> Result<(), FieldError> {
    if part.part >= part.parts {
        return Err(field("secrets.part", format!("part {} of {}: parts count from 0", part.part, part.parts)));
    }
    if part.secrets.len() > SECRETS_MAX {
        return Err(field("secrets", format!("{} secrets, at most {SECRETS_MAX} are allowed", part.secrets.len())));
    }
    for (name, value) in &part.secrets {
        text("secrets.name", name, SECRET_NAME_BYTES_MAX)?;
        if value.is_empty() || value.len() > SECRET_BYTES_MAX {
            return Err(field("secrets.value", format!("{} bytes, 1 to {SECRET_BYTES_MAX} are allowed", value.len())));
        }
    }
    Ok(())
}

fn validate_joined(joined: &Joined) -> Result<(), FieldError> {
    der("joined.certificate_der", &joined.certificate_der)?;
    der("joined.ca_der", &joined.ca_der)?;
    addresses("joined.addresses", &joined.addresses)
}
