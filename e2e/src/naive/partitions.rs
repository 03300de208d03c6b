//! What is finished in each partition, and what a commit says of it. Pure but for the test's own defects.

use std::collections::{BTreeMap, BTreeSet};

use downloader::progress::{METADATA_UNITS_MAX, Note, Place as CommitPlace};

use super::Defect;
use crate::kafka::{GroupCommit, Names};
use crate::ledger::Place;

/// How far above what is finished something may have started: as far as it is said, for the note's own sake.
const START_AHEAD: i64 = 1_000;

/// Every partition that the consumer believes to own.
#[derive(Debug)]
pub(super) struct Partitions {
    names: Names,
    owned: BTreeMap<i32, Owned>,
    /// The highest offset that was ever received; only a defect looks at it.
    highest: BTreeMap<i32, i64>,
    assignments: u64,
    /// Commits on their way to the broker.
    saying: usize,
}

#[derive(Debug, Default)]
struct Owned {
    assignment: u64,
    /// Everything below is finished.
    next_offset: i64,
    /// What is finished above.
    finished: BTreeSet<i64>,
    received: Option<i64>,
    /// Open when its predecessor died.
    suspects: BTreeSet<i64>,
    /// Something was finished that no commit has said.
    unsaid: bool,
}

/// What to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Work(Ticket),
    /// The same, though it is suspected.
    Suspect(Ticket),
    /// A predecessor has finished it, or nobody owns its partition.
    Skip,
}

/// A record in one assignment of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) place: Place,
    assignment: u64,
}

impl Partitions {
    pub(super) fn of(names: &Names) -> Partitions {
        Partitions { names: names.clone(), owned: BTreeMap::new(), highest: BTreeMap::new(), assignments: 0, saying: 0 }
    }

    /// The partition is ours, and the group holds this for it.
    pub(super) fn assigned(&mut self, partition: i32, held: Option<&GroupCommit>, defect: Option<Defect>) {
        self.assignments += 1;
        // The first commit is a claim: from then on it is ours for all to see.
        let mut owned = Owned { assignment: self.assignments, unsaid: true, ..Owned::default() };
        if let Some(held) = held {
            owned.next_offset = held.offset;
            let note = Note::read(held.metadata.as_bytes(), &self.place(partition), held.offset);
            if let Ok(Some(note)) = note
                && note.unfinished.first() == Some(&held.offset)
                && defect != Some(Defect::MapIgnored)
            {
                let unfinished: BTreeSet<i64> = note.unfinished.into_iter().collect();
                owned.finished = (held.offset..note.end).filter(|offset| !unfinished.contains(offset)).collect();
                owned.suspects = unfinished;
            }
        }
        self.owned.insert(partition, owned);
    }

    /// It is ours no longer.
    pub(super) fn gone(&mut self, partition: i32) {
        self.owned.remove(&partition);
    }

    /// All of them are to be committed once more.
    pub(super) fn say_again(&mut self) {
        self.owned.values_mut().for_each(|owned| owned.unsaid = true);
    }

    pub(super) fn received(&mut self, place: Place, defect: Option<Defect>) -> Received {
        let highest = self.highest.insert(place.partition, place.offset);
        if defect == Some(Defect::LowerOffsetIsDuplicate) && highest.is_some_and(|highest| place.offset <= highest) {
            self.highest.extend(highest.map(|highest| (place.partition, highest)));
            return Received::Skip;
        }
        let Some(owned) = self.owned.get_mut(&place.partition) else { return Received::Skip };
        if owned.received.is_some_and(|before| place.offset <= before) {
            // Offsets that go backwards are those of another log.
            *owned = Owned { assignment: owned.assignment, ..Owned::default() };
        }
        owned.received = Some(place.offset);
        let ticket = Ticket { place, assignment: owned.assignment };
        match place.offset {
            offset if offset < owned.next_offset || owned.finished.contains(&offset) => Received::Skip,
            offset if owned.suspects.contains(&offset) => Received::Suspect(ticket),
            _ => Received::Work(ticket),
        }
    }

    /// The record is finished, if its partition is still ours.
    pub(super) fn finished(&mut self, ticket: Ticket, defect: Option<Defect>) {
        let owned = self.owned.get_mut(&ticket.place.partition).filter(|owned| owned.assignment == ticket.assignment);
        let Some(owned) = owned else { return };
        owned.unsaid = true;
        if defect == Some(Defect::CommitPerRecord) {
            owned.next_offset = ticket.place.offset + 1;
            return;
        }
        owned.finished.insert(ticket.place.offset);
        while owned.finished.remove(&owned.next_offset) {
            owned.next_offset += 1;
        }
    }

    /// Whether the record's partition is still ours, in the assignment in which it came.
    pub(super) fn owns(&self, ticket: Ticket) -> bool {
        self.owned.get(&ticket.place.partition).is_some_and(|owned| owned.assignment == ticket.assignment)
    }

    /// Whether a commit would say something new.
    pub(super) fn unsaid(&self) -> bool {
        self.owned.values().any(|owned| owned.unsaid)
    }

    /// Whether nothing is left to be said, or on its way.
    pub(super) fn is_quiet(&self) -> bool {
        !self.unsaid() && self.saying == 0
    }

    /// What [`Partitions::commits`] gave out has been answered.
    pub(super) fn said(&mut self) {
        self.saying -= 1;
    }

    /// Everything there is to say, until [`Partitions::said`]; if it cannot be said, [`Partitions::say_again`] before that.
    pub(super) fn commits(&mut self, run_id: u64, defect: Option<Defect>) -> Vec<GroupCommit> {
        let commit = |(partition, owned): (&i32, &Owned)| {
            let map = match defect {
                Some(Defect::MapOfAnotherPartition) => self.another(*partition).unwrap_or(owned),
                _ => owned,
            };
            self.commit(*partition, owned.next_offset, map, run_id, defect)
        };
        let commits = self.owned.iter().map(commit).collect();
        self.saying += 1;
        self.owned.values_mut().for_each(|owned| owned.unsaid = false);
        commits
    }

    fn another(&self, partition: i32) -> Option<&Owned> {
        self.owned.iter().find(|(other, _)| **other != partition).map(|(_, owned)| owned)
    }

    fn commit(&self, partition: i32, offset: i64, map: &Owned, run_id: u64, defect: Option<Defect>) -> GroupCommit {
        let end = map.finished.last().map_or(offset, |last| last + 1);
        let mut unfinished: Vec<i64> = (offset..end).filter(|offset| !map.finished.contains(offset)).collect();
        if defect == Some(Defect::MapOffByOne) {
            unfinished.iter_mut().skip(1).for_each(|offset| *offset += 1);
        }
        let end = if defect == Some(Defect::MapDropped) { i64::MIN } else { end };
        let (fence, limit) = (offset, end.max(offset) + START_AHEAD);
        let note =
            Note { run_id, open: true, strikes: 0, fence, limit, anchor_ms: None, end, unfinished, log_id: None };
        let written = note.write(&self.place(partition), offset, METADATA_UNITS_MAX, 0);
        let (metadata, _end) = written.expect("a note of a few records fits");
        GroupCommit { partition, offset, metadata }
    }

    fn place(&self, partition: i32) -> CommitPlace {
        CommitPlace { group: self.names.group.clone(), topic: self.names.tasks.clone(), partition }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u64 = 7;

    fn at(offset: i64) -> Place {
        Place { partition: 0, offset }
    }

    /// A partition of eight records of which 1 and 4 still run.
    fn partitions(defect: Option<Defect>) -> Partitions {
        let mut partitions = Partitions::of(&Names::of("t"));
        partitions.assigned(0, None, defect);
        for offset in 0..8 {
            let Received::Work(ticket) = partitions.received(at(offset), defect) else { panic!("{offset} is skipped") };
            if ![1, 4].contains(&offset) {
                partitions.finished(ticket, defect);
            }
        }
        partitions
    }

    fn said(partitions: &mut Partitions, defect: Option<Defect>) -> (GroupCommit, Note) {
        let commits = partitions.commits(RUN, defect);
        let [commit] = commits.as_slice() else { panic!("{commits:?}") };
        let place = partitions.place(0);
        let note = Note::read(commit.metadata.as_bytes(), &place, commit.offset).unwrap().unwrap();
        (commit.clone(), note)
    }

    #[test]
    fn a_commit_says_what_is_finished_and_a_successor_skips_that() {
        let mut first = partitions(None);
        assert!(first.unsaid());
        let (commit, note) = said(&mut first, None);
        assert_eq!((commit.offset, note.unfinished, note.end), (1, vec![1, 4], 8));
        assert!(!first.unsaid() && !first.is_quiet(), "it is on its way");
        first.said();
        assert!(first.is_quiet());
        let mut heir = Partitions::of(&Names::of("t"));
        heir.assigned(0, Some(&commit), None);
        let skipped = (0..9).filter(|offset| heir.received(at(*offset), None) == Received::Skip).collect::<Vec<_>>();
        assert_eq!(skipped, [0, 2, 3, 5, 6, 7]);
    }

    #[test]
    fn another_log_is_begun_anew() {
        let mut partitions = partitions(None);
        assert!(matches!(partitions.received(at(0), None), Received::Work(_)));
        assert_eq!(said(&mut partitions, None).0.offset, 0);
    }

    #[test]
    fn what_ends_in_an_assignment_that_is_over_says_nothing() {
        let mut partitions = Partitions::of(&Names::of("t"));
        partitions.assigned(0, None, None);
        let Received::Work(ticket) = partitions.received(at(0), None) else { panic!("it is skipped") };
        partitions.gone(0);
        partitions.finished(ticket, None);
        assert!(!partitions.unsaid() && partitions.commits(RUN, None).is_empty());
        partitions.assigned(0, None, None);
        partitions.finished(ticket, None);
        assert_eq!(said(&mut partitions, None).0.offset, 0);
    }

    #[test]
    fn each_defect_of_a_commit_is_in_what_it_says() {
        let said = |defect| {
            let (commit, note) = said(&mut partitions(Some(defect)), Some(defect));
            (commit.offset, note.unfinished, note.end)
        };
        assert_eq!(said(Defect::CommitPerRecord).0, 8);
        assert_eq!(said(Defect::MapDropped), (1, vec![], 1), "no map");
        assert_eq!(said(Defect::MapOffByOne), (1, vec![1, 5], 8));
    }
}
