//! What became of a task, as it is written on the topic of outcomes, and the rule by which it is read.

use serde::{Deserialize, Serialize};

use crate::error::Code;

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
