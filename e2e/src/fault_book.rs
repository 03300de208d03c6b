//! The book of faults: what a test did to the system, and when. A reader of its evidence needs both.
//!
//! A sandbox keeps one book and hands it to what it starts: containers, links, proxies, the origin and the failpoints write
//! their own faults down. What has no word there is noted by the test.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::expect::unix_ms;

/// The book. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<FaultEntry>>>);

/// One fault, in Unix milliseconds of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultEntry {
    /// What was done, and to whom.
    pub what: String,
    /// The one path of the origin that it concerns; none: everything.
    pub path: Option<String>,
    /// When it began.
    pub began_ms: i64,
    /// When it ended: for a moment, when it began; none: not yet.
    pub ended_ms: Option<i64>,
}

impl FaultEntry {
    /// Whether it has no duration.
    pub fn is_moment(&self) -> bool {
        self.ended_ms == Some(self.began_ms)
    }
}

/// A fault that lasts. It ends when this is dropped; where a test fails meanwhile, it lasted until then, and stays open.
#[derive(Debug)]
#[must_use = "dropped, it has ended"]
pub struct Ongoing {
    faults: Faults,
    at: usize,
}

impl Faults {
    /// Something begins that lasts until the guard is dropped.
    pub fn began(&self, what: impl Into<String>) -> Ongoing {
        self.began_at(what, None)
    }

    /// As [`Faults::began`], of one path of the origin alone.
    pub(crate) fn began_at(&self, what: impl Into<String>, path: Option<&str>) -> Ongoing {
        let mut book = self.book();
        let (what, path) = (what.into(), path.map(str::to_owned));
        book.push(FaultEntry { what, path, began_ms: unix_ms(), ended_ms: None });
        Ongoing { faults: self.clone(), at: book.len() - 1 }
    }

    /// Something happens that has no duration.
    pub fn moment(&self, what: impl Into<String>) {
        let now_ms = unix_ms();
        self.book().push(FaultEntry { what: what.into(), path: None, began_ms: now_ms, ended_ms: Some(now_ms) });
    }

    /// What was noted so far, in the order in which it began.
    pub fn entries(&self) -> Vec<FaultEntry> {
        self.book().clone()
    }

    fn book(&self) -> MutexGuard<'_, Vec<FaultEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ongoing {
    /// It ends now.
    pub fn end(self) {}
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        // What held when the test failed is what a reader looks for.
        if std::thread::panicking() {
            return;
        }
        if let Some(entry) = self.faults.book().get_mut(self.at) {
            // Later than its beginning, so that it is no moment.
            entry.ended_ms.get_or_insert(unix_ms().max(entry.began_ms + 1));
        }
    }
}

/// A handle's way to the book of whoever owns it. Clones share it; until it is given one, nothing is noted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<OnceLock<Noted>>);

#[derive(Debug)]
struct Noted {
    faults: Faults,
    name: String,
    lasting: Mutex<Vec<(&'static str, Ongoing)>>,
}

impl Notes {
    /// From now on what happens to `name` is noted in `faults`. Only the first counts.
    pub(crate) fn go_to(&self, faults: &Faults, name: &str) {
        let noted = Noted { faults: faults.clone(), name: name.to_owned(), lasting: Mutex::default() };
        // A second owner would be a clone of the first one's handle.
        let _first = self.0.set(noted);
    }

    /// `what` happened to it.
    pub(crate) fn moment(&self, what: &str) {
        if let Some(noted) = self.0.get() {
            noted.faults.moment(noted.text(what));
        }
    }

    /// `what` lasts as long as the guard.
    pub(crate) fn began(&self, what: &str) -> Option<Ongoing> {
        self.0.get().map(|noted| noted.faults.began(noted.text(what)))
    }

    /// As [`Notes::began`], of one path of the origin.
    pub(crate) fn began_at(&self, what: &str, path: &str) -> Option<Ongoing> {
        self.0.get().map(|noted| noted.faults.began_at(noted.text(what), Some(path)))
    }

    /// `what`, the `kind` of its faults, lasts until [`Notes::ends`] or another of the kind.
    pub(crate) fn begins(&self, kind: &'static str, what: &str) {
        self.ends(kind);
        if let (Some(noted), Some(ongoing)) = (self.0.get(), self.began(what)) {
            noted.lasting().push((kind, ongoing));
        }
    }

    /// What lasted of this kind is over.
    pub(crate) fn ends(&self, kind: &str) {
        if let Some(noted) = self.0.get() {
            noted.lasting().retain(|(other, _)| *other != kind);
        }
    }
}

impl Noted {
    fn text(&self, what: &str) -> String {
        format!("{}: {what}", self.name)
    }

    fn lasting(&self) -> MutexGuard<'_, Vec<(&'static str, Ongoing)>> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(faults: &Faults) -> Vec<String> {
        faults.entries().into_iter().filter(|entry| entry.ended_ms.is_none()).map(|entry| entry.what).collect()
    }

    #[test]
    fn what_lasts_ends_with_its_guard_and_a_moment_at_once() {
        let faults = Faults::default();
        let cut = faults.began("cut");
        faults.moment("SIGKILL");
        assert_eq!(open(&faults), ["cut"]);
        cut.end();
        assert!(open(&faults).is_empty());
        let moments: Vec<bool> = faults.entries().iter().map(FaultEntry::is_moment).collect();
        assert_eq!(moments, [false, true], "in the order in which they began");
    }

    #[test]
    fn what_lasts_when_a_test_fails_stays_open() {
        let faults = Faults::default();
        let theirs = faults.clone();
        let failed = std::thread::spawn(move || {
            let _held = theirs.began("held");
            panic!("on purpose");
        });
        assert!(failed.join().is_err());
        assert_eq!(open(&faults), ["held"]);
    }

    #[test]
    fn a_handle_notes_nothing_before_it_knows_where_and_then_under_its_name() {
        let (faults, notes) = (Faults::default(), Notes::default());
        notes.moment("SIGKILL");
        notes.begins("cut", "cut from Kafka");
        notes.go_to(&faults, "downloader-1");
        let clone = notes.clone();
        clone.begins("cut", "cut from Kafka");
        notes.begins("delay", "slow");
        assert_eq!(open(&faults), ["downloader-1: cut from Kafka", "downloader-1: slow"]);
        notes.begins("delay", "slower");
        clone.ends("cut");
        assert_eq!(open(&faults), ["downloader-1: slower"], "one of a kind");
    }
}
