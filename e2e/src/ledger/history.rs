//! The judging of every commit that the broker wrote down, and of what was done after it.
//!
//! All times are the broker's or this machine's, which are one clock. A commit that the test made itself is nobody's lie,
//! but what it says is what a successor finds.

use std::collections::{BTreeMap, BTreeSet};

use super::{Book, Entry, Expected, Lie, Place, Subject, Verdict};
use crate::kafka::{CommitRecord, header};

/// How long after a commit of its successor an outcome of a former owner may still arrive: what its producer held (I7).
const LATE_AFTER_MS: i64 = 15_000;

pub(super) fn judge(book: &Book, verdict: &mut Verdict) {
    verdict.commits_seen = book.commits.len();
    verdict.writers = book.commits.iter().filter_map(CommitRecord::run_id).collect::<BTreeSet<_>>().len();
    let mut partitions: BTreeMap<i32, Partition<'_>> = BTreeMap::new();
    for commit in &book.commits {
        partitions.entry(commit.partition).or_default().commits.push(commit);
    }
    for entry in book.entries.values() {
        if let Some(place) = entry.place {
            partitions.entry(place.partition).or_default().entries.push(Known::of(book, entry, place));
        }
    }
    for partition in partitions.values_mut() {
        partition.entries.sort_by_key(|known| known.place.offset);
        verdict.lies.extend(partition.lies(book));
        verdict.rerun_recorded.extend(partition.rerun_recorded(book));
        verdict.late.extend(partition.late(book));
        verdict.set_back.extend(partition.set_back(book));
    }
}

/// Whether retention, or the deletion of the topic, took the record before it was finished.
pub(super) fn is_gone(book: &Book, entry: &Entry) -> bool {
    entry.place.is_some_and(|place| gone_ms(book, entry.subject, place).is_some())
}

/// Since when the record does not exist any more.
fn gone_ms(book: &Book, subject: Subject, place: Place) -> Option<i64> {
    let deleted =
        book.deleted.iter().filter(|(below, _)| below.partition == place.partition && place.offset < below.offset);
    let replaced = book.existed.get(&subject).and_then(|(_, gone)| *gone);
    deleted.map(|(_, at_ms)| *at_ms).chain(replaced).min()
}

#[derive(Default)]
struct Partition<'a> {
    /// As they were written down.
    commits: Vec<&'a CommitRecord>,
    /// By offset.
    entries: Vec<Known<'a>>,
}

/// A record whose place is known, and when it was what.
struct Known<'a> {
    entry: &'a Entry,
    place: Place,
    produced_ms: i64,
    gone_ms: Option<i64>,
    finished_ms: Option<i64>,
}

impl<'a> Known<'a> {
    fn of(book: &Book, entry: &'a Entry, place: Place) -> Known<'a> {
        let produced_ms = book.existed.get(&entry.subject).map_or(i64::MIN, |(produced, _)| *produced);
        let gone_ms = gone_ms(book, entry.subject, place);
        Known { entry, place, produced_ms, gone_ms, finished_ms: finished_ms(book, entry, place) }
    }

    fn exists_at(&self, at_ms: i64) -> bool {
        self.produced_ms <= at_ms && self.gone_ms.is_none_or(|gone| at_ms < gone)
    }
}

/// When the broker had what finishes the record.
fn finished_ms(book: &Book, entry: &Entry, place: Place) -> Option<i64> {
    let outcomes = book.outcomes.get(&entry.subject).into_iter().flatten();
    let outcome = outcomes.map(|record| record.at_ms.unwrap_or(i64::MIN)).min();
    match &entry.expected {
        Expected::Ok(_) | Expected::Error(_) | Expected::Any => outcome,
        Expected::DeadLetter { correlation_id, .. } => {
            let letters = book.dead_letters.get(&place).into_iter().flatten();
            let letter = letters.map(|letter| letter.at_ms.unwrap_or(i64::MIN)).min()?;
            if correlation_id.is_some() { Some(letter.max(outcome?)) } else { Some(letter) }
        }
    }
}

impl Partition<'_> {
    /// Commits that say of a record what was not true when they were made (I3).
    fn lies(&self, book: &Book) -> Vec<Lie> {
        let mut lies = Vec::new();
        for commit in self.commits.iter().filter(|commit| !is_a_tools(book, commit)) {
            let lied_of = |known: &&Known<'_>| {
                !self.names_a_log_before(book, commit, known)
                    && commit.claims(known.place.offset)
                    && known.exists_at(commit.at_ms)
                    && known.finished_ms.is_none_or(|finished| finished > commit.at_ms)
            };
            let subjects: BTreeSet<_> = self.entries.iter().filter(lied_of).map(|known| known.entry.subject).collect();
            if !subjects.is_empty() {
                let (partition, next_offset) = (commit.partition, commit.next_offset.unwrap_or_default());
                lies.push(Lie { partition, next_offset, writer: commit.run_id(), at_ms: commit.at_ms, subjects });
            }
        }
        lies
    }

    /// Whether the commit says that it is about a log that was gone when the record was produced: no successor believes it.
    fn names_a_log_before(&self, book: &Book, commit: &CommitRecord, known: &Known<'_>) -> bool {
        let deleted = book.topics_deleted.iter().rev().find(|at_ms| **at_ms <= known.produced_ms);
        let (Some(deleted_ms), Some(log_id)) = (deleted, commit.log_id()) else { return false };
        self.commits.iter().any(|before| before.at_ms < *deleted_ms && before.log_id() == Some(log_id))
    }

    /// Records that were fetched again although the last commit before a successor's first said that they are finished (I4).
    fn rerun_recorded(&self, book: &Book) -> BTreeSet<Subject> {
        let claims = self.claims();
        let end = book.offsets.iter().map(|offsets| (offsets.partition, offsets.high)).collect::<BTreeMap<_, _>>();
        let again = |known: &&Known<'_>| {
            let path = known.entry.task.as_ref().and_then(|task| url::Url::parse(&task.url).ok());
            let times = path.and_then(|url| book.request_times.get(url.path()));
            let Some([first, later @ ..]) = times.map(Vec::as_slice) else { return false };
            later.iter().any(|fetched| {
                let claim = claims.iter().rev().find(|(at_ms, _)| at_ms <= fetched);
                let Some((claimed_ms, Some(found))) = claim else { return false };
                // What lies beyond the log's end says nothing of this log.
                let beyond = end.get(&known.place.partition).is_some_and(|end| found.next_offset > Some(*end));
                first < claimed_ms && found.claims(known.place.offset) && !beyond
            })
        };
        self.entries.iter().filter(again).map(|known| known.entry.subject).collect()
    }

    /// When each owner began, and the commit that it found.
    fn claims(&self) -> Vec<(i64, Option<&CommitRecord>)> {
        let (mut known, mut claims, mut last) = (BTreeSet::new(), Vec::new(), None);
        for commit in &self.commits {
            if let Some(run_id) = commit.run_id()
                && known.insert(run_id)
            {
                claims.push((commit.at_ms, last));
            }
            last = Some(*commit);
        }
        claims
    }

    /// Outcomes by a process that was no owner any more for longer than its producer may hold them (I7).
    fn late(&self, book: &Book) -> BTreeSet<Subject> {
        let is_late = |known: &&Known<'_>| {
            let outcomes = book.outcomes.get(&known.entry.subject).into_iter().flatten();
            outcomes.into_iter().any(|outcome| {
                let run = header(&outcome.headers, "source.run_id").and_then(|run| u64::from_str_radix(run, 16).ok());
                let (Some(run), Some(at_ms)) = (run, outcome.at_ms) else { return false };
                let owner =
                    |commit: &&&CommitRecord| commit.run_id().is_some() && commit.at_ms <= at_ms - LATE_AFTER_MS;
                let former = self.commits.iter().rev().find(owner).is_some_and(|commit| commit.run_id() != Some(run));
                let lately = |commit: &&CommitRecord| (at_ms - LATE_AFTER_MS..=at_ms).contains(&commit.at_ms);
                former && !self.commits.iter().copied().filter(lately).any(|commit| commit.run_id() == Some(run))
            })
        };
        self.entries.iter().filter(is_late).map(|known| known.entry.subject).collect()
    }

    /// Records that a commit opens again although the one before it, by another process, had closed them: where its writer had
    /// committed before, it goes by what it knew then, and was not told since (I7). Who gets a partition back goes on from what
    /// it finds, and a newcomer that does not believe what it finds was never an owner.
    fn set_back(&self, book: &Book) -> BTreeSet<Subject> {
        let end = book.offsets.iter().map(|offsets| (offsets.partition, offsets.high)).collect::<BTreeMap<_, _>>();
        let (mut owners, mut set_back, mut before) = (BTreeSet::new(), BTreeSet::new(), None::<&CommitRecord>);
        for commit in self.commits.iter().copied() {
            let former = commit.run_id().is_some_and(|run_id| owners.contains(&run_id));
            if let Some(before) = before.filter(|_| former)
                && before.run_id().is_some_and(|run_id| commit.run_id() != Some(run_id))
                && before.log_id() == commit.log_id()
                && ![before, commit].iter().any(|either| is_a_tools(book, either))
                && end.get(&before.partition).is_none_or(|end| before.next_offset <= Some(*end))
            {
                let opened = |known: &&Known<'_>| {
                    let offset = known.place.offset;
                    [before, commit].iter().all(|either| known.exists_at(either.at_ms))
                        && before.claims(offset)
                        && !commit.claims(offset)
                };
                set_back.extend(self.entries.iter().filter(opened).map(|known| known.entry.subject));
            }
            owners.extend(commit.run_id());
            before = Some(commit);
        }
        set_back
    }
}

fn is_a_tools(book: &Book, commit: &CommitRecord) -> bool {
    book.tools.iter().any(|tool| {
        tool.partition == commit.partition
            && Some(tool.offset) == commit.next_offset
            && tool.metadata.as_bytes() == commit.metadata
    })
}

#[cfg(test)]
mod tests;
