//! One produced record, and what should become of it.

use std::fmt;

use downloader::task::Task;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::fixtures::Image;

/// Where a record stands in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The record's own offset.
    pub offset: i64,
}

/// What a verdict speaks of: a task by its id, or a record without a readable id by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The task with this correlation id.
    Task(u64),
    /// The record at this place.
    Record(Place),
}

/// A record that was produced.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the verdict calls it. One entry each.
    pub subject: Subject,
    /// Where it was written; none if somebody else wrote it. Outcomes are attributed by it where it is known.
    pub place: Option<Place>,
    /// The task, where the record is one.
    pub task: Option<Task>,
    /// What should become of it.
    pub expected: Expected,
}

/// What should become of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An `Ok` outcome and both objects.
    Ok(Source),
    /// An `Error` outcome with this code, and nothing else.
    Error(String),
    /// Either; an `Ok` must still be backed by both objects. For pictures of the public internet.
    Any,
    /// A dead letter with the record's bytes, and an `Error` outcome if its id can be read.
    DeadLetter {
        /// The code of both.
        code: String,
        /// The record's payload.
        payload: Option<Vec<u8>>,
        /// The record's key.
        key: Option<Vec<u8>>,
        /// The record's headers, in their order.
        headers: Vec<(String, Option<Vec<u8>>)>,
        /// The id that can be read.
        correlation_id: Option<u64>,
    },
}

/// What is known of the picture that a task names. What is not known is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// SHA-256 of the original, lower-case hex.
    pub sha256: Option<String>,
    /// Media type of the original.
    pub content_type: Option<String>,
    /// Width and height as seen, in pixels.
    pub size: Option<(u32, u32)>,
}

impl Source {
    /// A picture of which only the bytes are known.
    pub fn of_bytes(bytes: &[u8]) -> Source {
        Source { sha256: Some(sha256(bytes)), ..Source::default() }
    }
}

impl Expected {
    /// What becomes of a task for the committed picture `image` with these bytes, under default settings.
    pub fn of_image(image: &Image, bytes: &[u8]) -> Expected {
        match &image.code {
            Some(code) => Expected::Error(code.clone()),
            None => Expected::Ok(Source {
                content_type: image.content_type.clone(),
                size: image.width.zip(image.height),
                ..Source::of_bytes(bytes)
            }),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Task(id) => write!(f, "{id}"),
            Subject::Record(place) => write!(f, "{place}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

/// SHA-256 as lower-case hex, as outcomes and metadata state it.
pub fn sha256(bytes: &[u8]) -> String {
    downloader::store::hex(&Sha256::digest(bytes).into())
}
