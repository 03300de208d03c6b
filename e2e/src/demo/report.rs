//! What the demo leaves behind: pictures, a contact sheet, a summary; and the few lines it prints.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use downloader::task::{Outcome, Res};
use serde::Serialize;

use super::work::Item;
use super::{Run, page};
use crate::ledger::{Expected, Subject, Verdict};

/// Longest name of a file, without number and extension.
const STEM_BYTES_MAX: usize = 60;

/// What is reported of one picture.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) note: String,
    /// `Ok`, `Error` or `lost`.
    pub(super) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    /// Whether it is what the fixtures' list says; none: nothing was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) as_expected: Option<bool>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) problems: Vec<String>,
    pub(super) attempts: Option<u32>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) source_bytes: Option<u64>,
    pub(super) content_type: Option<String>,
    /// Paths below the folder.
    pub(super) original: Option<String>,
    pub(super) thumbnail: Option<String>,
    #[serde(skip)]
    pub(super) thumbnail_bytes: Option<(String, bytes::Bytes)>,
}

#[derive(Serialize)]
struct Summary<'a> {
    pictures: usize,
    seconds: f64,
    pictures_per_second: f64,
    ok: usize,
    errors: &'a BTreeMap<String, usize>,
    lost: Vec<String>,
    wrong: Vec<String>,
    repeated: Vec<String>,
    rerun: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rerun_bound: Option<usize>,
    green: bool,
    tasks: &'a [Row],
}

/// Writes everything below `folder`, in place of an earlier run's, and returns its path.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(run: &Run, folder: &Path) -> anyhow::Result<PathBuf> {
    for name in ["originals", "thumbnails"] {
        let folder = folder.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let folder = folder.canonicalize().with_context(|| format!("find {}", folder.display()))?;
    let rows = rows(run, &folder)?;
    let verdict = &run.verdict;
    let names = |subjects: &mut dyn Iterator<Item = &Subject>| subjects.map(ToString::to_string).collect();
    let summary = Summary {
        pictures: rows.len(),
        seconds: run.took.as_secs_f64(),
        pictures_per_second: rate(run),
        ok: verdict.ok,
        errors: &verdict.errors,
        lost: names(&mut verdict.lost.iter()),
        wrong: names(&mut verdict.wrong.keys()),
        repeated: names(&mut verdict.repeated.keys()),
        rerun: names(&mut verdict.rerun.keys()),
        rerun_bound: verdict.bound,
        green: verdict.is_green(),
        tasks: &rows,
    };
    let text = serde_json::to_string_pretty(&summary).context("write the summary as JSON")?;
    save(&folder, "summary.json", text.as_bytes())?;
    save(&folder, "index.html", page::contact_sheet(&rows, verdict, run.took).as_bytes())?;
    Ok(folder)
}

/// The few lines at the end.
pub(super) fn summary(run: &Run, folder: &Path) -> String {
    let (verdict, mut text) = (&run.verdict, String::new());
    let count = run.work.items.len();
    let _ = writeln!(text, "\n{count} pictures in {:.1} s, {:.0} a second", run.took.as_secs_f64(), rate(run));
    let _ = writeln!(text, "{verdict}");
    let expected = run.work.items.iter().any(|item| matches!(item.expected, Expected::Error(_)));
    if expected && verdict.wrong.is_empty() && verdict.lost.is_empty() {
        let _ = writeln!(text, "Every error is one that fixtures/images/images.json expects.");
    }
    if verdict.bound.is_some_and(|bound| bound > 0) {
        let _ = writeln!(text, "\n{}", crash_line(verdict));
    }
    let _ = writeln!(text, "\nContact sheet, pictures and summary: {}", folder.join("index.html").display());
    text
}

/// What the crash cost, in one line.
fn crash_line(verdict: &Verdict) -> String {
    format!(
        "SIGKILL mid-flight: lost {}, wrong {}, repeated {} of at most {}",
        verdict.lost.len(),
        verdict.wrong.len(),
        verdict.repeated.len(),
        verdict.bound.unwrap_or_default(),
    )
}

fn rate(run: &Run) -> f64 {
    let finished = run.work.items.len() - run.verdict.lost.len();
    finished as f64 / run.took.as_secs_f64().max(0.001)
}

fn rows(run: &Run, folder: &Path) -> anyhow::Result<Vec<Row>> {
    let items = run.work.by_id();
    items.into_values().map(|item| row(run, item, folder)).collect()
}

fn row(run: &Run, item: &Item, folder: &Path) -> anyhow::Result<Row> {
    let outcome = run.stack.ledger.outcome(item.id);
    let field = |read: fn(&Outcome) -> Option<String>| outcome.as_ref().and_then(read);
    let mut row = Row {
        id: item.id,
        name: item.name.clone(),
        note: item.note.clone(),
        result: match outcome.as_ref().map(|outcome| outcome.res) {
            Some(Res::Ok) => "Ok",
            Some(Res::Error) => "Error",
            None => "lost",
        },
        code: field(|outcome| outcome.code.clone()),
        description: field(|outcome| Some(outcome.description.clone())).unwrap_or_default(),
        problems: run
            .verdict
            .wrong
            .get(&Subject::Task(item.id))
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect(),
        as_expected: None,
        attempts: outcome.as_ref().and_then(|outcome| outcome.attempts),
        width: outcome.as_ref().and_then(|outcome| outcome.width),
        height: outcome.as_ref().and_then(|outcome| outcome.height),
        source_bytes: outcome.as_ref().and_then(|outcome| outcome.source_bytes),
        content_type: field(|outcome| outcome.content_type.clone()),
        original: None,
        thumbnail: None,
        thumbnail_bytes: None,
    };
    if outcome.is_some() && item.expected != Expected::Any {
        row.as_expected = Some(row.problems.is_empty());
    }
    if outcome.is_none_or(|outcome| outcome.res == Res::Error) {
        return Ok(row);
    }
    for (kind, key) in
        [("originals", format!("originals/{}", item.id)), ("thumbnails", format!("thumbnails/{}", item.id))]
    {
        let Some(object) = run.stack.ledger.object(&key) else { continue };
        let content_type = object.content_type.unwrap_or_default();
        let path = format!("{kind}/{}.{}", stem(item), extension(&content_type));
        save(folder, &path, &object.bytes)?;
        match kind {
            "originals" => row.original = Some(path),
            _ => {
                row.thumbnail = Some(path);
                row.thumbnail_bytes = Some((content_type, object.bytes));
            }
        }
    }
    Ok(row)
}

/// A file name that tells which picture it is and is one on every system.
fn stem(item: &Item) -> String {
    let path = url::Url::parse(&item.url).map(|url| url.path().to_owned()).unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let name = last.rsplit_once('.').map_or(last, |(name, _)| name);
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let mut stem: String = name.chars().map(plain).collect();
    stem.truncate(STEM_BYTES_MAX);
    format!("{:04}-{}", item.id, if stem.is_empty() { "picture" } else { &stem })
}

fn extension(content_type: &str) -> &'static str {
    match content_type {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "image/webp" => "webp",
        _ => "bin",
    }
}

fn save(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_plain_whatever_the_url() {
        let stem = |url: &str| {
            let (url, name) = (url.to_owned(), String::new());
            super::stem(&Item { id: 7, url, name, note: String::new(), expected: Expected::Any })
        };
        assert_eq!(stem("https://a.example/cats/cat.final.jpg?size=1"), "0007-cat-final");
        assert_eq!(stem("https://a.example/"), "0007-picture");
        assert_eq!(stem("https://a.example/..%2f..%2fpasswd"), "0007----2f-");
        assert!(stem(&format!("https://a.example/{}", "x".repeat(500))).len() <= STEM_BYTES_MAX + 5);
    }
}
