//! The keys of a structure, asked from its own deserializer: the names stand in one place, the structure.

use core::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;

/// A deserializer that gives nothing; its error carries the fields that the structure asks for.
pub(super) struct Reader;

/// See [`Reader`].
#[derive(Debug)]
pub(super) struct Fields(&'static [&'static str]);

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only fields are asked for")
    }
}

impl core::error::Error for Fields {}

impl Error for Fields {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Reader {
    type Error = Fields;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Fields> {
        Err(Fields(fields))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fields> {
        Err(Fields(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

/// The fields that `read` asks a [`Reader`] for.
pub(super) fn of(read: impl FnOnce(Reader) -> Option<Result<(), Fields>>) -> Option<&'static [&'static str]> {
    Some(match read(Reader)? {
        Ok(()) => &[],
        Err(Fields(fields)) => fields,
    })
}
