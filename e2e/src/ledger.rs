//! The book of a run: what was produced, what came of it, what the origin and the bucket saw; and the verdict over it.
//!
//! Verdicts are sets of subjects, never counts, and nothing is taken from the downloader's own word: objects are read
//! back and hashed, requests are counted by the origin, offsets are asked of the broker.

mod entry;
mod history;
mod invariant;
mod judge;
mod likeness;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use downloader::task::{Outcome, Task};

pub use entry::{Entry, Expected, Place, Source, Subject, sha256};
pub use invariant::{Invariant, Problem};
pub use verdict::{Lie, Verdict};

use crate::bucket::{Bucket, Object};
use crate::expect::unix_ms;
use crate::kafka::{CommitRecord, DeadLetter, GroupCommit, OutcomeRecord, PartitionOffsets, header};

/// The book. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    entries: BTreeMap<Subject, Entry>,
    /// Which subject stands where, for entries whose place is known.
    places: BTreeMap<Place, Subject>,
    outcomes: BTreeMap<Subject, Vec<OutcomeRecord>>,
    dead_letters: BTreeMap<Place, Vec<DeadLetter>>,
    objects: BTreeMap<String, Option<Object>>,
    listed: BTreeSet<String>,
    requests: BTreeMap<String, usize>,
    /// When each path was asked for, in Unix milliseconds, oldest first.
    request_times: BTreeMap<String, Vec<i64>>,
    offsets: Vec<PartitionOffsets>,
    /// Every commit of the group, in the order in which the broker wrote them down.
    commits: Vec<CommitRecord>,
    /// Commits that a test made itself, and nobody is to blame for.
    tools: Vec<GroupCommit>,
    /// Below this offset of the partition nothing exists since then (Unix milliseconds).
    deleted: Vec<(Place, i64)>,
    /// When the topic of tasks was deleted, in Unix milliseconds.
    topics_deleted: Vec<i64>,
    /// When each entry was produced, and since when its log is another, in Unix milliseconds.
    existed: BTreeMap<Subject, (i64, Option<i64>)>,
    strays: Vec<String>,
    thumbnail_edge_px: Option<u32>,
}

impl Ledger {
    /// A ledger for thumbnails of at most so many pixels, if they are to be compared.
    pub fn new(thumbnail_edge_px: Option<u32>) -> Ledger {
        let ledger = Ledger::default();
        ledger.book().thumbnail_edge_px = thumbnail_edge_px;
        ledger
    }

    /// A task was written.
    pub fn produced_task(&self, task: Task, place: Option<Place>, expected: Expected) {
        let subject = Subject::Task(task.correlation_id);
        self.produced(Entry { subject, place, task: Some(task), expected });
    }

    /// A record was written.
    ///
    /// # Panics
    /// Its subject was written before: then no verdict about it would mean anything.
    pub fn produced(&self, entry: Entry) {
        let mut book = self.book();
        if let Some(place) = entry.place {
            book.places.insert(place, entry.subject);
            // The outcome may have been faster than we.
            book.attribute_again(entry.subject, place);
        }
        let subject = entry.subject;
        book.existed.insert(subject, (unix_ms(), None));
        assert!(book.entries.insert(subject, entry).is_none(), "{subject} was produced twice");
    }

    /// An outcome was read.
    pub fn saw_outcome(&self, record: OutcomeRecord) {
        let mut book = self.book();
        let subject = book.subject_of(&record);
        book.outcomes.entry(subject).or_default().push(record);
    }

    /// A dead letter was read.
    pub fn saw_dead_letter(&self, letter: DeadLetter) {
        let number = |name| header(&letter.headers, name).and_then(|text| text.parse::<i64>().ok());
        let place =
            number("dead.partition").and_then(|partition| i32::try_from(partition).ok()).zip(number("dead.offset"));
        match place {
            Some((partition, offset)) => {
                self.book().dead_letters.entry(Place { partition, offset }).or_default().push(letter);
            }
            None => self.saw_stray(format!("the dead letter at {} does not say where it comes from", letter.place)),
        }
    }

    /// The broker wrote a commit of the group down.
    pub fn saw_commit(&self, commit: CommitRecord) {
        self.book().commits.push(commit);
    }

    /// The test commits for the group itself: nobody is to blame for what that says.
    pub fn commits_itself(&self, commit: GroupCommit) {
        self.book().tools.push(commit);
    }

    /// Everything below this offset of its partition was deleted just now: what was not finished never has to be.
    pub fn deleted_below(&self, place: Place) {
        self.book().deleted.push((place, unix_ms()));
    }

    /// The topic of tasks was deleted: what was produced until now is gone, and its places mean nothing any more.
    pub fn topic_deleted(&self) {
        let mut book = self.book();
        let now_ms = unix_ms();
        book.places.clear();
        book.topics_deleted.push(now_ms);
        for (_produced, gone) in book.existed.values_mut() {
            gone.get_or_insert(now_ms);
        }
    }

    /// Something was found that nobody should have written.
    pub fn saw_stray(&self, what: impl Into<String>) {
        self.book().strays.push(what.into());
    }

    /// The object under `key` as it was read back; none: there is none.
    pub fn saw_object(&self, key: impl Into<String>, object: Option<Object>) {
        self.book().objects.insert(key.into(), object);
    }

    /// Every key in the bucket.
    pub fn saw_keys(&self, keys: impl IntoIterator<Item = String>) {
        self.book().listed = keys.into_iter().collect();
    }

    /// How many requests the origin received for each path.
    pub fn saw_requests(&self, counts: BTreeMap<String, usize>) {
        self.book().requests = counts;
    }

    /// When the origin received the requests for each path, in Unix milliseconds, oldest first.
    pub fn saw_request_times(&self, times: BTreeMap<String, Vec<i64>>) {
        self.book().request_times = times;
    }

    /// Where the group stands.
    pub fn saw_offsets(&self, offsets: Vec<PartitionOffsets>) {
        self.book().offsets = offsets;
    }

    /// Reads back every object that a task names, and lists the bucket.
    ///
    /// # Errors
    /// The store refuses, or cannot be reached.
    pub async fn read_objects(&self, bucket: &Bucket) -> anyhow::Result<()> {
        self.saw_keys(bucket.list().await?.into_keys());
        for key in self.keys() {
            let object = if self.book().listed.contains(&key) { bucket.get(&key).await? } else { None };
            self.saw_object(key, object);
        }
        Ok(())
    }

    /// Whether every record is finished; if not, which are open.
    ///
    /// # Errors
    /// What is missing, for `eventually`.
    pub fn settled(&self) -> Result<(), String> {
        let book = self.book();
        let open: Vec<String> = book.open().map(|subject| subject.to_string()).collect();
        if open.is_empty() {
            return Ok(());
        }
        let shown = open.iter().take(10).cloned().collect::<Vec<_>>().join(" ");
        Err(format!("{} of {} records are not finished: {shown}", open.len(), book.entries.len()))
    }

    /// How many records are finished, and how many there are.
    pub fn progress(&self) -> (usize, usize) {
        let book = self.book();
        (book.entries.len() - book.open().count(), book.entries.len())
    }

    /// The outcome that stands for a task by the reader's rule.
    pub fn outcome(&self, correlation_id: u64) -> Option<Outcome> {
        self.book().standing(Subject::Task(correlation_id)).cloned()
    }

    /// Every outcome of a task as it was read, repeats included.
    pub fn outcome_records(&self, subject: Subject) -> Vec<OutcomeRecord> {
        self.book().outcomes.get(&subject).cloned().unwrap_or_default()
    }

    /// The dead letters of the record at `place`.
    pub fn dead_letters(&self, place: Place) -> Vec<DeadLetter> {
        self.book().dead_letters.get(&place).cloned().unwrap_or_default()
    }

    /// The object under `key`, as it was read back.
    pub fn object(&self, key: &str) -> Option<Object> {
        self.book().objects.get(key).cloned().flatten()
    }

    /// When the record was produced, in Unix milliseconds.
    pub fn produced_ms(&self, subject: Subject) -> Option<i64> {
        self.book().existed.get(&subject).map(|(produced_ms, _gone)| *produced_ms)
    }

    /// Every commit of the group so far, in the order in which the broker wrote them down.
    pub fn commits(&self) -> Vec<CommitRecord> {
        self.book().commits.clone()
    }

    /// Who made the last commit of each partition, and had not closed it: its owner, as far as a reader can know.
    pub fn owners(&self) -> BTreeMap<i32, u64> {
        let mut owners = BTreeMap::new();
        for commit in &self.book().commits {
            match commit.run_id().filter(|_| commit.is_open()) {
                Some(run_id) => owners.insert(commit.partition, run_id),
                None => owners.remove(&commit.partition),
            };
        }
        owners
    }

    /// The entries, in the order of their subjects.
    pub fn entries(&self) -> Vec<Entry> {
        self.book().entries.values().cloned().collect()
    }

    /// Judges what is in the book. At most `bound` records may have been rerun or repeated; none: any number.
    pub fn verdict(&self, bound: Option<usize>) -> Verdict {
        judge::judge(&self.book(), bound)
    }

    fn keys(&self) -> Vec<String> {
        let book = self.book();
        let tasks = book.entries.values().filter_map(|entry| entry.task.as_ref());
        tasks.flat_map(|task| [task.target_path.clone(), task.target_thumbnail_path.clone()]).collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// By place where the outcome says one that we know, else by id.
    fn subject_of(&self, record: &OutcomeRecord) -> Subject {
        let known = source_place(record).and_then(|place| self.places.get(&place)).copied();
        known.filter(|subject| may_be_of(record, *subject)).unwrap_or(Subject::Task(record.outcome.correlation_id))
    }

    /// Moves outcomes that were filed under their id to `subject`, now that its place is known.
    fn attribute_again(&mut self, subject: Subject, place: Place) {
        let mut moved = Vec::new();
        for records in self.outcomes.values_mut() {
            let here = |record: &mut OutcomeRecord| source_place(record) == Some(place) && may_be_of(record, subject);
            moved.extend(records.extract_if(.., here));
        }
        self.outcomes.retain(|_, records| !records.is_empty());
        if !moved.is_empty() {
            self.outcomes.entry(subject).or_default().extend(moved);
        }
    }

    /// By the reader's rule.
    fn standing(&self, subject: Subject) -> Option<&Outcome> {
        let mut outcomes = self.outcomes.get(&subject)?.iter().map(|record| &record.outcome);
        let first = outcomes.next()?;
        Some(outcomes.fold(first, |held, next| if next.replaces(held) { next } else { held }))
    }

    fn open(&self) -> impl Iterator<Item = Subject> {
        let open = |entry: &&Entry| !self.is_finished(entry) && !history::is_gone(self, entry);
        self.entries.values().filter(open).map(|entry| entry.subject)
    }

    fn is_finished(&self, entry: &Entry) -> bool {
        let outcome = self.outcomes.contains_key(&entry.subject);
        match &entry.expected {
            Expected::Ok(_) | Expected::Error(_) | Expected::Any => outcome,
            Expected::DeadLetter { correlation_id, .. } => {
                let letter = entry.place.is_some_and(|place| self.dead_letters.contains_key(&place));
                letter && (outcome || correlation_id.is_none())
            }
        }
    }
}

/// A task's outcomes carry its id; places may be those of a log that is gone.
fn may_be_of(record: &OutcomeRecord, subject: Subject) -> bool {
    match subject {
        Subject::Task(id) => record.outcome.correlation_id == id,
        Subject::Record(_) => true,
    }
}

/// The place of the record that an outcome answers, as its headers say it.
fn source_place(record: &OutcomeRecord) -> Option<Place> {
    let partition = header(&record.headers, "source.partition")?.parse().ok()?;
    Some(Place { partition, offset: header(&record.headers, "source.offset")?.parse().ok()? })
}
