//! The wire format: record bytes -> [`Task`], outcome -> bytes, and who may say that a record is finished.
//!
//! Field names are those of the 2020 original; `fixtures/wire/` holds golden messages that both languages read.

mod identity;

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use url::Url;

use crate::error::{Class, Classified, Code};

pub use identity::RecordIdentity;

/// The largest id: what fits Java's `long`.
const CORRELATION_ID_MAX: u64 = i64::MAX as u64;
/// Longest URL we fetch, in bytes.
const URL_BYTES_MAX: usize = 8192;
/// Longest object key, in bytes: S3's own limit.
const KEY_BYTES_MAX: usize = 1024;
/// Longest part of a key between slashes, in bytes: what stores on a file system take.
const KEY_SEGMENT_BYTES_MAX: usize = 255;

/// A task as it is written on the topic of tasks. Its shape is right; its URL and keys are not judged yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// 0..=2^63-1; management assigns at most 2^32-1.
    pub correlation_id: u64,
    /// Where the picture is.
    pub url: String,
    /// Object key of the original.
    pub target_path: String,
    /// Object key of the thumbnail.
    pub target_thumbnail_path: String,
}

/// A task that may be worked on.
#[derive(Clone, Debug)]
pub struct VettedTask {
    /// The task's id.
    pub correlation_id: u64,
    /// An http or https URL with a host, without credentials.
    pub url: Url,
    /// Object key of the original.
    pub original_key: ObjectKey,
    /// Object key of the thumbnail; never the same as the original's.
    pub thumbnail_key: ObjectKey,
}

/// An object key that stays inside the bucket and that every store takes: 1 to 1024 bytes in segments of 1 to 255, none
/// of them `.` or `..`, no control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The key as text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this key or lies below it, which stores on a file system refuse.
    fn covers(&self, other: &ObjectKey) -> bool {
        other.0.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The record is not a task: it goes to the topic of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("not a task: {reason}")]
pub struct RecordError {
    /// What is wrong with it.
    pub code: Code,
    /// The same in words.
    pub reason: String,
    /// Its id, where that can be read.
    pub correlation_id: Option<u64>,
}

/// The task is well formed, but we refuse its URL or keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum TaskError {
    #[error("the URL {0}")]
    UrlInvalid(String),
    #[error("the URL's scheme is '{0}'; only http and https are fetched")]
    UrlScheme(String),
    #[error("the URL carries a user name or a password")]
    UrlCredentials,
    #[error("{field} {problem}")]
    KeyInvalid { field: &'static str, problem: &'static str },
}

impl Classified for TaskError {
    fn class(&self) -> Class {
        Class::Permanent
    }

    fn code(&self) -> Code {
        match self {
            TaskError::UrlInvalid(_) => Code::UrlInvalid,
            TaskError::UrlScheme(_) => Code::UrlSchemeRefused,
            TaskError::UrlCredentials => Code::UrlCredentialsRefused,
            TaskError::KeyInvalid { .. } => Code::KeyInvalid,
        }
    }
}

impl Task {
    /// Reads a record's payload: one JSON object, in which each contract field stands once. Unknown fields are ignored.
    ///
    /// # Errors
    /// What is wrong, and the id where that much can be read.
    pub fn read(payload: Option<&[u8]>) -> Result<Task, RecordError> {
        let fail = |code, reason: String| Err(RecordError { code, reason, correlation_id: None });
        let payload = payload.unwrap_or_default();
        if payload.is_empty() {
            return fail(Code::NoPayload, "the record has no payload".into());
        }
        match serde_json::from_slice::<Fields>(payload) {
            Ok(fields) => fields.judge(),
            Err(error) => fail(Code::NotJson, format!("not one JSON object: {error}")),
        }
    }

    /// Judges what the task asks for, before anything is fetched.
    ///
    /// # Errors
    /// Which part of it is refused, and why.
    pub fn vet(&self) -> Result<VettedTask, TaskError> {
        let url = vet_url(&self.url)?;
        let original_key = vet_key("target_path", &self.target_path)?;
        let thumbnail_key = vet_key("target_thumbnail_path", &self.target_thumbnail_path)?;
        if original_key.covers(&thumbnail_key) || thumbnail_key.covers(&original_key) {
            return Err(TaskError::KeyInvalid {
                field: "target_thumbnail_path",
                problem: "is the same as target_path, or one is a folder of the other",
            });
        }
        Ok(VettedTask { correlation_id: self.correlation_id, url, original_key, thumbnail_key })
    }
}

/// The URL in a record's payload, where that is an object with one. A look ahead that costs little: whether the record is a
/// task, [`Task::read`] says.
pub(crate) fn url_in(payload: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct OnlyUrl<'a> {
        #[serde(borrow)]
        url: Cow<'a, str>,
    }
    serde_json::from_slice(payload).ok().map(|found: OnlyUrl<'_>| found.url)
}

/// The contract's fields as they stand in a JSON object.
#[derive(Default)]
struct Fields {
    values: [Option<Value>; FIELDS.len()],
    twice: Option<&'static str>,
}

const FIELDS: [&str; 4] = ["correlation_id", "url", "target_path", "target_thumbnail_path"];

impl Fields {
    /// Of several rules that are broken, the first in the order of the list of codes counts.
    fn judge(self) -> Result<Task, RecordError> {
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

fn vet_url(text: &str) -> Result<Url, TaskError> {
    if text.len() > URL_BYTES_MAX {
        return Err(TaskError::UrlInvalid(format!("is longer than {URL_BYTES_MAX} bytes")));
    }
    // The URL standard would drop some of them silently, and then we would fetch something else than was asked for.
    if text.chars().any(char::is_control) {
        return Err(TaskError::UrlInvalid("has a control character".into()));
    }
    let url = Url::parse(text).map_err(|error| TaskError::UrlInvalid(format!("cannot be parsed: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TaskError::UrlScheme(url.scheme().chars().take(32).collect()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TaskError::UrlCredentials);
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(TaskError::UrlInvalid("has no host".into()));
    }
    Ok(url)
}

fn vet_key(field: &'static str, text: &str) -> Result<ObjectKey, TaskError> {
    let refuse = |problem| Err(TaskError::KeyInvalid { field, problem });
    if text.is_empty() {
        return refuse("is empty");
    }
    if text.len() > KEY_BYTES_MAX {
        return refuse("is longer than 1024 bytes");
    }
    if text.chars().any(char::is_control) {
        return refuse("has a control character");
    }
    for segment in text.split('/') {
        match segment {
            "" => return refuse("starts or ends with '/', or has '//'"),
            "." | ".." => return refuse("has a '.' or '..' segment"),
            _ if segment.len() > KEY_SEGMENT_BYTES_MAX => return refuse("has a segment longer than 255 bytes"),
            _ => {}
        }
    }
    Ok(ObjectKey(text.to_owned()))
}

/// What a successful task produced, as the outcome states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Length of the original, in bytes.
    pub source_bytes: u64,
    /// SHA-256 of the original, lower-case hex.
    pub source_sha256: String,
    /// Width of the picture as it is shown, in pixels.
    pub width: u32,
    /// Height of the picture as it is shown, in pixels.
    pub height: u32,
    /// Media type of the original, judged by its bytes.
    pub content_type: String,
    /// Length of the thumbnail, in bytes.
    pub thumbnail_bytes: u64,
    /// SHA-256 of the thumbnail, lower-case hex.
    pub thumbnail_sha256: String,
    /// Width of the thumbnail, in pixels.
    pub thumbnail_width: u32,
    /// Height of the thumbnail, in pixels.
    pub thumbnail_height: u32,
}

/// The first word of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words of the wire format")]
pub enum Res {
    Ok,
    Error,
}

/// An outcome as it is written on the topic of outcomes. The first three fields are all that 2020 wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of Picture and of the wire format")]
pub struct Outcome {
    pub correlation_id: u64,
    pub res: Res,
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_height: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permanent: Option<bool>,
}

impl Outcome {
    /// Both objects are stored.
    pub fn ok(correlation_id: u64, attempts: u32, picture: Picture) -> Outcome {
        Outcome {
            correlation_id,
            res: Res::Ok,
            description: String::new(),
            attempts: Some(attempts),
            source_bytes: Some(picture.source_bytes),
            source_sha256: Some(picture.source_sha256),
            width: Some(picture.width),
            height: Some(picture.height),
            content_type: Some(picture.content_type),
            thumbnail_bytes: Some(picture.thumbnail_bytes),
            thumbnail_sha256: Some(picture.thumbnail_sha256),
            thumbnail_width: Some(picture.thumbnail_width),
            thumbnail_height: Some(picture.thumbnail_height),
            code: None,
            permanent: None,
        }
    }

    /// The task failed.
    pub fn error(correlation_id: u64, attempts: u32, code: Code, permanent: bool) -> Outcome {
        Outcome {
            correlation_id,
            res: Res::Error,
            description: code.meaning().to_owned(),
            attempts: Some(attempts),
            source_bytes: None,
            source_sha256: None,
            width: None,
            height: None,
            content_type: None,
            thumbnail_bytes: None,
            thumbnail_sha256: None,
            thumbnail_width: None,
            thumbnail_height: None,
            code: Some(code.as_str().to_owned()),
            permanent: Some(permanent),
        }
    }

    /// The reader's rule: whether `self` takes the place of `held`. `Ok` is final, an `Error` may be replaced by an
    /// `Ok`, otherwise the first stays. Order and repeats then don't matter.
    pub fn replaces(&self, held: &Outcome) -> bool {
        held.res == Res::Error && self.res == Res::Ok
    }
}

/// A record's place, handed through the stages unread. Its only use is to say, with an acknowledged outcome, that the
/// record is finished; so an offset cannot reach the commit any other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Which assignment of the partition it was received in.
    pub(crate) epoch: u64,
}

#[cfg(test)]
mod tests;
