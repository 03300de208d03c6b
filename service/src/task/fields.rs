//! A JSON object -> a task, or what is wrong with it and the id where that much can be read.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{CORRELATION_ID_MAX, RecordError, Task};
use crate::error::Code;

/// The contract's fields as they stand in a JSON object.
#[derive(Default)]
pub(super) struct Fields {
    values: [Option<Value>; FIELDS.len()],
    twice: Option<&'static str>,
}

const FIELDS: [&str; 4] = ["correlation_id", "url", "target_path", "target_thumbnail_path"];

impl Fields {
    /// Of several rules that are broken, the first in the order of the list of codes counts.
    pub(super) fn judge(self) -> Result<Task, RecordError> {
        let number = match &self.values {
            [Some(Value::Number(number)), ..] => Some(number),
            _ => None,
        };
        let id = number.and_then(serde_json::Number::as_u64).filter(|id| *id <= CORRELATION_ID_MAX);
        // Of two ids nobody knows which was meant.
        let correlation_id = id.filter(|_| self.twice != FIELDS.first().copied());
        let fail = |code, reason: String| Err(RecordError { code, reason, correlation_id });
        if let Some((missing, _)) = FIELDS.iter().zip(&self.values).find(|(_, value)| value.is_none()) {
            return fail(Code::FieldMissing, format!("{missing} is missing"));
        }
        if let Some(twice) = self.twice {
            return fail(Code::FieldDuplicate, format!("{twice} is there twice"));
        }
        let Some(correlation_id) = id else {
            return match number.is_some_and(is_whole) {
                true => fail(Code::IdOutOfRange, format!("correlation_id is not within 0..={CORRELATION_ID_MAX}")),
                false => fail(Code::FieldType, "correlation_id is not a whole number".into()),
            };
        };
        match self.values {
            [
                _,
                Some(Value::String(url)),
                Some(Value::String(target_path)),
                Some(Value::String(target_thumbnail_path)),
            ] => Ok(Task { correlation_id, url, target_path, target_thumbnail_path }),
            _ => fail(Code::FieldType, "url, target_path or target_thumbnail_path is not a text".into()),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    /// A derived reader would also take an array of the values for a task.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some(Name(known)) = object.next_key()? {
                    let place = known.and_then(|at| Some((FIELDS.get(at)?, fields.values.get_mut(at)?)));
                    let Some((field, value)) = place else {
                        object.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    if value.replace(object.next_value()?).is_some() {
                        fields.twice.get_or_insert(field);
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Which of the contract's fields a key names; read where it stands, for most keys are compared and forgotten.
struct Name(Option<usize>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;
        impl Visitor<'_> for Key {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name(FIELDS.iter().position(|field| *field == name)))
            }
        }
        deserializer.deserialize_identifier(Key)
    }
}

/// Written without a fraction or exponent; beyond 64 bits the parser keeps a number as a float.
fn is_whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.abs() >= CORRELATION_ID_MAX as f64)
}
