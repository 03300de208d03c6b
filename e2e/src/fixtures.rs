//! The committed pictures and golden messages, as the tests of this crate read them.

use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use serde::Deserialize;

/// A picture of `fixtures/images/images.json` and what becomes of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Image {
    /// Path below `fixtures/images`.
    pub file: String,
    /// Whether it gets a thumbnail.
    pub valid: bool,
    /// Code of the `Error` outcome, where it does not.
    #[serde(default)]
    pub code: Option<String>,
    /// Media type of the original.
    #[serde(default)]
    pub content_type: Option<String>,
    /// As seen, in pixels.
    #[serde(default)]
    pub width: Option<u32>,
    /// As seen, in pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// Whether the thumbnail keeps transparency.
    #[serde(default)]
    pub alpha: Option<bool>,
    /// What the case is about.
    pub note: String,
}

/// A golden task record of `fixtures/wire/cases.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct TaskCase {
    /// Path below `fixtures/wire`; none is a record without a payload.
    pub file: Option<String>,
    /// Whether it is a task.
    pub reads: bool,
    /// A task whose URL or keys are refused: the code of its `Error` outcome.
    #[serde(default)]
    pub refused: Option<String>,
    /// Not a task: the code of its dead letter.
    #[serde(default)]
    pub code: Option<String>,
    /// The id, where it can be read.
    #[serde(default)]
    pub correlation_id: Option<u64>,
    /// What the case is about.
    pub why: String,
}

impl TaskCase {
    /// The record's payload; none is a null.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn payload(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(file) = &self.file else { return Ok(None) };
        let path = folder("wire").join(file);
        std::fs::read(&path).map(Some).with_context(|| format!("read {}", path.display()))
    }
}

/// Every committed picture.
///
/// # Errors
/// The list cannot be read.
pub fn images() -> anyhow::Result<Vec<Image>> {
    let path = folder("images").join("images.json");
    let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))
}

/// Every golden task record.
///
/// # Errors
/// The list cannot be read.
pub fn task_cases() -> anyhow::Result<Vec<TaskCase>> {
    #[derive(Deserialize)]
    struct Cases {
        tasks: Vec<TaskCase>,
    }
    let path = folder("wire").join("cases.json");
    let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let cases: Cases = serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))?;
    Ok(cases.tasks)
}

/// The bytes of the picture `name` below `fixtures/images`; none if there is no such file.
pub fn image_bytes(name: &str) -> Option<Bytes> {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let bytes = if plain { std::fs::read(folder("images").join(name)).ok() } else { None };
    bytes.map(Bytes::from)
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_picture_and_message_is_there() {
        let images = images().unwrap();
        assert!(images.iter().any(|image| image.valid) && images.iter().any(|image| !image.valid));
        for image in images {
            assert!(image_bytes(&image.file).is_some(), "{}", image.file);
            assert_eq!(image.valid, image.code.is_none(), "{}", image.file);
        }
        for case in task_cases().unwrap() {
            case.payload().unwrap();
        }
    }

    #[test]
    fn nothing_outside_the_folder_is_served() {
        for name in ["../wire/cases.json", "/etc/hostname", "hostile/../../wire/cases.json", ""] {
            assert_eq!(image_bytes(name), None, "{name}");
        }
    }
}
