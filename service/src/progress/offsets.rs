//! One partition's unfinished offsets: the position they allow, the map above it, and what would still fit into it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::map::gap_bytes_max;
use super::tally::Tally;

/// Which offsets of a partition are unfinished.
///
/// Offsets that never appear (transaction markers, compaction) count as finished. What is at or above `known_end` counts
/// as unfinished and is not listed.
#[derive(Clone, Debug)]
pub(super) struct Offsets {
    /// Received and not finished, or left open by the predecessor and not received yet.
    unfinished: BTreeMap<i64, Open>,
    /// The offset after the highest one received; at first where reading starts.
    received_next: i64,
    /// Nothing at or above it is known.
    known_end: i64,
    /// The offset after the highest one finished: where a map ends.
    finished_end: i64,
    /// Finished since the last list was taken, and in lists that no answer came for.
    fresh: Vec<i64>,
    listed: Vec<i64>,
    /// The highest offset that started, and what the map of everything unfinished up to it would cost.
    started: Option<i64>,
    tally: Tally,
    tallied: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Open {
    received: bool,
    written_ms: Option<i64>,
}

/// What an arriving offset means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The next record of the log.
    New,
    /// The predecessor finished it.
    Done,
    /// At or below one already received: the topic was recreated or truncated, and this is another log. Taking it for
    /// a repeat would lose every record up to the old position.
    AnotherLog,
}

impl Offsets {
    /// Nothing is known but where reading starts.
    pub(super) fn from(start: i64) -> Offsets {
        Offsets {
            unfinished: BTreeMap::new(),
            received_next: start,
            known_end: start,
            finished_end: start,
            fresh: Vec::new(),
            listed: Vec::new(),
            started: None,
            tally: Tally::default(),
            tallied: None,
        }
    }

    /// What a predecessor's map says: up to `end` only `unfinished` is left, ascending; `first_written_ms` belongs to the
    /// first of them.
    pub(super) fn recovered(start: i64, unfinished: &[i64], end: i64, first_written_ms: Option<i64>) -> Offsets {
        let mut offsets = Offsets { known_end: end.max(start), finished_end: end.max(start), ..Offsets::from(start) };
        for (at, offset) in unfinished.iter().copied().filter(|offset| (start..end).contains(offset)).enumerate() {
            let written_ms = first_written_ms.filter(|_| at == 0);
            offsets.unfinished.insert(offset, Open { received: false, written_ms });
            offsets.tally.append(offsets.tallied, offset);
            offsets.tallied = Some(offset);
        }
        offsets
    }

    /// A record arrived.
    pub(super) fn received(&mut self, offset: i64, written_ms: Option<i64>) -> Received {
        if offset < self.received_next {
            return Received::AnotherLog;
        }
        self.skip_to(offset);
        self.received_next = offset + 1;
        if offset >= self.known_end {
            self.known_end = offset + 1;
            self.unfinished.insert(offset, Open { received: true, written_ms });
            return Received::New;
        }
        match self.unfinished.entry(offset) {
            Entry::Occupied(mut open) => {
                open.insert(Open { received: true, written_ms });
                Received::New
            }
            Entry::Vacant(_) => Received::Done,
        }
    }

    /// What was expected below `offset` and did not come never will.
    fn skip_to(&mut self, offset: i64) {
        if offset == self.received_next {
            return;
        }
        let expected = self.unfinished.range(self.received_next..offset).map(|(offset, _)| *offset);
        for missing in expected.collect::<Vec<_>>() {
            self.remove(missing);
        }
    }

    /// The log begins at `offset` only: what was expected below it is gone.
    pub(super) fn reach(&mut self, offset: i64) {
        self.skip_to(offset);
        self.received_next = self.received_next.max(offset);
        self.known_end = self.known_end.max(offset);
    }

    /// Offsets at or above the next one to receive that a predecessor finished.
    pub(super) fn known_done(&self) -> u64 {
        let open = self.unfinished.range(self.received_next..).count();
        let known = self.known_end.saturating_sub(self.received_next).max(0).unsigned_abs();
        known.saturating_sub(u64::try_from(open).unwrap_or(u64::MAX))
    }

    /// A record is finished. False if it was not open.
    pub(super) fn finished(&mut self, offset: i64) -> bool {
        let open = self.unfinished.get(&offset).is_some_and(|open| open.received);
        if open {
            self.remove(offset);
            self.finished_end = self.finished_end.max(offset + 1);
            self.fresh.push(offset);
        }
        open
    }

    fn remove(&mut self, offset: i64) {
        self.unfinished.remove(&offset);
        let Some(tallied) = self.tallied.filter(|tallied| *tallied >= offset) else { return };
        let below = self.unfinished.range(..offset).next_back().map(|(offset, _)| *offset);
        let above = self.unfinished.range((Excluded(offset), Included(tallied))).next().map(|(offset, _)| *offset);
        self.tally.remove(below, offset, above);
        if tallied == offset {
            self.tallied = below;
        }
    }

    /// Whether the map of everything unfinished up to `offset` would fit into `units` of metadata.
    pub(super) fn would_fit(&self, offset: i64, units: usize) -> bool {
        let most = u64::try_from(gap_bytes_max(units)).unwrap_or(u64::MAX);
        if self.tallied.is_some_and(|tallied| tallied >= offset) {
            return true;
        }
        let with_it = || self.tally.bytes_with(self.tallied, offset) <= most;
        // As a rule records start in their order; then nothing needs to be looked up.
        if self.tallied.is_some_and(|tallied| tallied + 1 == offset) {
            return with_it();
        }
        let between = self.tallied.map_or(Unbounded, Excluded);
        let mut skipped = self.unfinished.range((between, Excluded(offset))).peekable();
        if skipped.peek().is_none() {
            return with_it();
        }
        let mut with = (self.tally.clone(), self.tallied);
        for offset in skipped.map(|(offset, _)| *offset).chain([offset]) {
            with.0.append(with.1, offset);
            with.1 = Some(offset);
        }
        with.0.best().1 <= most
    }

    /// The record starts.
    pub(super) fn started(&mut self, offset: i64) {
        self.started = self.started.max(Some(offset));
        if self.tallied.is_some_and(|tallied| tallied >= offset) {
            return;
        }
        let between = self.tallied.map_or(Unbounded, Excluded);
        for (joining, _) in self.unfinished.range((between, Included(offset))) {
            self.tally.append(self.tallied, *joining);
            self.tallied = Some(*joining);
        }
    }

    /// The highest offset that started.
    pub(super) fn highest_started(&self) -> Option<i64> {
        self.started
    }

    /// The position that may be committed: everything below is finished or does not exist.
    pub(super) fn next_offset(&self) -> i64 {
        self.unfinished.first_key_value().map_or(self.known_end, |(offset, _)| *offset)
    }

    /// When the record at [`Offsets::next_offset`] was written, if that is known.
    pub(super) fn next_written_ms(&self) -> Option<i64> {
        self.unfinished.first_key_value()?.1.written_ms
    }

    /// Where the map above [`Offsets::next_offset`] ends, what it lists, and the parameter that suits it.
    pub(super) fn map(&self) -> (i64, Vec<i64>, u32) {
        let unfinished = self.unfinished.range(..self.finished_end).map(|(offset, _)| *offset).collect();
        (self.finished_end, unfinished, self.tally.best().0)
    }

    /// A list of what is finished is being taken.
    pub(super) fn taken(&mut self) {
        self.listed.append(&mut self.fresh);
    }

    /// The broker holds the list that was last taken; its map ended at `covered_end`, which may lie below the offset.
    pub(super) fn committed(&mut self, next_offset: i64, covered_end: i64) {
        self.listed.retain(|offset| *offset >= covered_end.max(next_offset));
    }

    /// Whether something finished that is in no acknowledged list.
    pub(super) fn is_dirty(&self) -> bool {
        !self.fresh.is_empty() || !self.listed.is_empty()
    }

    /// Records received and not finished.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.values().filter(|open| open.received).count()
    }

    /// Records finished that no acknowledged list covers: what would run again if we died now.
    pub(super) fn finished_uncommitted(&self) -> usize {
        self.fresh.len() + self.listed.len()
    }

    /// The offset after the highest one received.
    pub(super) fn received_next(&self) -> i64 {
        self.received_next
    }

    /// Offsets in `from..to` that are unfinished as far as is known: what is lost if retention takes them.
    pub(super) fn open_within(&self, from: i64, to: i64) -> u64 {
        let listed = self.unfinished.range(from..to.max(from)).count();
        let unknown = to.saturating_sub(from.max(self.known_end)).max(0);
        u64::try_from(listed).unwrap_or(u64::MAX).saturating_add(unknown.unsigned_abs())
    }

    /// Received and unfinished, ascending.
    pub(super) fn open(&self) -> impl Iterator<Item = i64> + '_ {
        self.unfinished.iter().filter(|(_, open)| open.received).map(|(offset, _)| *offset)
    }

    /// When the oldest record that was received and is not finished was written, in Unix milliseconds.
    pub(super) fn oldest_written_ms(&self) -> Option<i64> {
        self.unfinished.values().filter(|open| open.received).filter_map(|open| open.written_ms).min()
    }
}

#[cfg(test)]
mod tests;
