//! The run as one page that a stranger can read: what each task went through, under which faults, and what was committed.
//!
//! What was recorded -> JSON -> `timeline.html`, a page without anything from outside. A run of more tasks than fit is
//! thinned, and the page says by which rule.

mod page;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::containers::container::Life;
use crate::fault_book::FaultEntry;
use crate::ledger::{Ledger, Verdict};
use crate::traces::Span;

/// The page without its script and its data.
const TEMPLATE: &str = include_str!("timeline.html");
const SCRIPT: &str = include_str!("timeline.js");
/// Where they go.
const SCRIPT_HERE: &str = "@SCRIPT@";
const DATA_HERE: &str = "@DATA@";

/// What a run left for its page. Times are Unix milliseconds of this machine, which is also the broker's.
#[derive(Debug)]
pub(super) struct Recorded<'a> {
    /// Of the sandbox.
    pub(super) name: &'a str,
    /// The test ended by a panic.
    pub(super) failed: bool,
    pub(super) ledger: &'a Ledger,
    pub(super) verdict: &'a Verdict,
    /// In the order of their start.
    pub(super) spans: &'a [Span],
    pub(super) faults: &'a [FaultEntry],
    pub(super) processes: &'a [Process],
    /// When the origin was asked for each path.
    pub(super) requests: &'a BTreeMap<String, Vec<i64>>,
    pub(super) now_ms: i64,
}

/// A container of the sandbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    /// Short: `downloader-1`.
    pub(super) name: String,
    /// As its spans and commits name it, 16 hexadecimal digits, where its log says so.
    pub(super) run_id: Option<String>,
    pub(super) life: Life,
}

/// The whole page.
pub(super) fn html(recorded: &Recorded<'_>) -> anyhow::Result<String> {
    Ok(fill(&serde_json::to_string(&page::page(recorded))?))
}

/// The page, up to its data and from there on.
fn around_the_data() -> (String, String) {
    let page = TEMPLATE.replacen(SCRIPT_HERE, SCRIPT, 1);
    let (before, after) = page.split_once(DATA_HERE).unwrap_or((&page, ""));
    (before.to_owned(), after.to_owned())
}

/// What strangers named stands in the data, URLs and dead letters: none of it may end the element that holds them.
fn fill(json: &str) -> String {
    let (before, after) = around_the_data();
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            // Ends of lines to JavaScript, though not to JSON.
            '\u{2028}' => safe.push_str("\\u2028"),
            '\u{2029}' => safe.push_str("\\u2029"),
            other => safe.push(other),
        }
    }
    format!("{before}{safe}{after}")
}
