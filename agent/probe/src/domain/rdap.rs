//! What an RDAP answer about a domain says (RFC 9083).

use serde::Deserialize;
use sitepulse_model::time::UtcMicros;

/// A registration as far as checks go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) name: Option<String>,
    pub(super) expires: Option<UtcMicros>,
    pub(super) registrar: Option<String>,
    pub(super) status: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Domain {
    object_class_name: String,
    ldh_name: Option<String>,
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    entities: Vec<Entity>,
    #[serde(default)]
    status: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    event_action: String,
    event_date: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entity {
    #[serde(default)]
    roles: Vec<String>,
    handle: Option<String>,
    /// jCard (RFC 7095): `["vcard", [["fn", {}, "text", "Example Registrar"], ...]]`.
    vcard_array: Option<serde_json::Value>,
}

impl Registration {
    /// Reads an answer. The error says what it lacks, for people.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let domain: Domain = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if domain.object_class_name != "domain" {
            return Err(format!("it is about an object of class {:?}", domain.object_class_name));
        }
        let ends = domain.events.iter().find(|event| event.event_action.eq_ignore_ascii_case("expiration"));
        let expires = ends
            .map(|event| date(&event.event_date).ok_or_else(|| format!("{:?} is no date", event.event_date)))
            .transpose()?;
        let registrar = domain.entities.iter().find(|entity| entity.roles.iter().any(|role| role == "registrar"));
        let registrar = registrar.and_then(|entity| entity.full_name().or_else(|| entity.handle.clone()));
        Ok(Self { name: domain.ldh_name, expires, registrar, status: domain.status })
    }

    /// The status that tells of its end, if one does: deleted, though perhaps still to be restored (RFC 3915, 8056).
    pub(super) fn fate(&self) -> Option<&str> {
        // "redemption period" is told in both forms, with and without what follows.
        let ends = |status: &&String| {
            ["redemption period", "pending delete"].iter().any(|end| status.to_ascii_lowercase().starts_with(end))
        };
        self.status.iter().find(ends).map(String::as_str)
    }
}

impl Entity {
    fn full_name(&self) -> Option<String> {
        let properties = self.vcard_array.as_ref()?.get(1)?.as_array()?;
        let name = properties.iter().find(|property| property.get(0).and_then(|name| name.as_str()) == Some("fn"))?;
        name.get(3)?.as_str().filter(|name| !name.is_empty()).map(ToOwned::to_owned)
    }
}

/// RFC 3339; some registries leave the zone out and mean UTC.
fn date(text: &str) -> Option<UtcMicros> {
    let parse = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|at| UtcMicros(at.as_microsecond()));
    parse(text).or_else(|| parse(&format!("{text}Z"))).or_else(|| parse(&format!("{text}T00:00:00Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_registries_write_them() {
        let noon = UtcMicros(1_767_268_800_000_000);
        for text in
            ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00.0Z", "2026-01-01T13:00:00+01:00", "2026-01-01T12:00:00"]
        {
            assert_eq!(date(text), Some(noon), "{text}");
        }
        assert_eq!(date("2026-01-01"), Some(UtcMicros(1_767_225_600_000_000)));
        for bad in ["", "soon", "2026-13-01T12:00:00Z", "\0"] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }
}
