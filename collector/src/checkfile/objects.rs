//! Objects beside checks: `[[policy]]`, `[[slo]]` and `[[maintenance]]` tables, read by their structures in the model and judged there.

use std::collections::BTreeMap;

use sitepulse_model::id::ObjectId;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Reader;
use super::target::place;
use super::words::{a_type, nearest};
use super::{Place, WrittenObject};
use crate::book::ObjectKind;

/// Where each object was written, so that none is written twice.
pub(super) type SeenObjects = BTreeMap<(ObjectKind, String), String>;

impl Reader<'_> {
    /// The tables of one kind.
    pub(super) fn objects(
        &mut self,
        kind: ObjectKind,
        value: &Spanned<DeValue<'_>>,
        at: usize,
        seen: &mut SeenObjects,
        objects: &mut Vec<WrittenObject>,
    ) {
        let table = kind.table();
        let DeValue::Array(entries) = value.get_ref() else {
            self.error(at, format!("{table:?} is one table: write [[{table}]] with two brackets, once for each"));
            return;
        };
        for entry in entries.iter() {
            if let DeValue::Table(keys) = entry.get_ref() {
                self.object = keys.get("id").and_then(|id| id.get_ref().as_str()).map(|id| format!("{table} {id:?}"));
                let object = self.object(kind, entry, keys, seen);
                objects.extend(object);
                self.object = None;
            } else {
                self.error(entry.span().start, format!("{table} is a table, not {}", a_type(entry.get_ref())));
            }
        }
    }

    fn object(
        &mut self,
        kind: ObjectKind,
        entry: &Spanned<DeValue<'_>>,
        keys: &DeTable<'_>,
        seen: &mut SeenObjects,
    ) -> Option<WrittenObject> {
        let span = entry.span();
        let mut good = true;
        let mut known = DeTable::new();
        for (key, value) in keys {
            let name = key.get_ref().as_ref();
            if kind.keys().contains(&name) {
                known.insert(key.clone(), with_texts(value));
                continue;
            }
            good = false;
            let hint = match nearest(name, kind.keys().iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known are {}", kind.keys().join(", ")),
            };
            self.error(key.span().start, format!("unknown key {name:?}: {hint}"));
        }
        let reader = toml::de::Deserializer::from(Spanned::new(span.clone(), known.clone()));
        let object = match kind.read(reader) {
            Ok(object) => object,
            Err(error) => {
                self.misread(kind.table(), &span, &known, &error);
                return None;
            }
        };
        let at = |field: &str| place(&known, field).unwrap_or(span.start);
        let id_at = at("id");
        if let Err(error) = ObjectId::parse(object.id()) {
            self.error(id_at, error.to_string());
            return None;
        }
        let whole = (kind, object.id().to_owned());
        if let Some(before) = seen.get(&whole) {
            let table = kind.table();
            self.error(id_at, format!("the id is already used at {before}: give each {table} an id of its own"));
            good = false;
        } else {
            seen.insert(whole, self.placed(id_at).to_string());
        }
        for fault in object.faults() {
            good = false;
            self.error(at(&fault.field), fault.to_string());
        }
        let references = object.references();
        let references = references.into_iter().map(|reference| {
            let place = self.placed(at(&reference.field));
            (reference, place)
        });
        let references: Vec<_> = references.collect();
        good.then_some(WrittenObject { object, references })
    }

    pub(super) fn placed(&self, at: usize) -> Place {
        let (line, column) = self.place(at);
        Place { file: self.source.name.clone(), line, column }
    }
}

/// A value in which TOML's own dates are texts: they mean the same as the texts that objects hold.
fn with_texts<'i>(value: &Spanned<DeValue<'i>>) -> Spanned<DeValue<'i>> {
    let inside = match value.get_ref() {
        DeValue::Datetime(at) => DeValue::String(at.to_string().into()),
        DeValue::Array(list) => DeValue::Array(list.iter().map(with_texts).collect()),
        DeValue::Table(keys) => {
            DeValue::Table(keys.iter().map(|(key, value)| (key.clone(), with_texts(value))).collect())
        }
        other @ (DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => other.clone(),
    };
    Spanned::new(value.span(), inside)
}
