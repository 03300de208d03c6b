//! The wire format: record bytes -> [`Task`], outcome -> bytes, and who may say that a record is finished.
//!
//! Field names are those of the 2020 original; `fixtures/wire/` holds golden messages that both languages read.

mod fields;
mod identity;
mod outcome;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Class, Classified, Code};

use fields::Fields;

pub use identity::RecordIdentity;
pub use outcome::{Outcome, Picture, Res};

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
