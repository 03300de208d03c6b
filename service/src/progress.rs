//! What has been received, what is finished, and therefore what may be committed and what may start. Pure: time is told,
//! nothing is asked, no threads.
//!
//! Killed here: nothing is lost, for a commit only ever says what was already true (I3), and nothing starts before a
//! commit says that it may (I4). This module does not know Kafka's client; it is told what happened and asked what may
//! be said.

mod map;
mod offsets;
mod partition;
mod quarantine;
mod tally;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use map::{Distrust, LogId, METADATA_UNITS_MAX, Note, Place};
pub use offsets::Received;
pub use partition::{Found, Hold, Opened};
pub use quarantine::{CAREFUL_AT, Care, ENVIRONMENT_AT, START_AHEAD};

use partition::Owned;

/// Finished records that no acknowledged commit covers: from here on a commit is made early.
pub const COMMIT_EARLY_AT: usize = 256;
/// Finished records that no acknowledged commit covers: from here on nothing starts (I4).
pub const START_NOTHING_AT: usize = 512;

/// One assignment of one partition. It ends when the partition is revoked, lost, or turns out to hold another log.
pub type Epoch = u64;

/// The progress of every partition this process owns.
#[derive(Debug)]
pub struct Progress {
    group: String,
    topic: String,
    run_id: u64,
    lease: Duration,
    partitions: BTreeMap<i32, Phase>,
    last_epoch: Epoch,
    /// Over all partitions, for it is asked with every record.
    finished_uncommitted: usize,
}

#[derive(Debug)]
enum Phase {
    /// Assigned; what the group holds for it is not yet known.
    Opening(Epoch),
    Open(Box<Owned>),
}

/// What a group is told of one partition: everything below `next_offset` is finished or does not exist, and above it
/// what the metadata says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Whose.
    pub partition: i32,
    /// In which assignment it became true.
    pub epoch: Epoch,
    /// The offset the next owner starts at.
    pub next_offset: i64,
    /// The text beside it.
    pub metadata: String,
    /// Where the map in it ends.
    covered_end: i64,
    /// Nothing at or above it has started or will before the next commit.
    limit: i64,
}

impl Commit {
    /// The position alone, for a broker that takes no metadata.
    pub fn bare(&self) -> Commit {
        Commit { metadata: String::new(), covered_end: i64::MIN, ..*self }
    }
}

/// What came of a finished record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// It was ours and open.
    pub counted: bool,
    /// With it the suspects of former unclean ends are all through.
    pub streak_over: bool,
}

impl Progress {
    /// Owns nothing yet. Commits are bound to `group` and `topic` and name `run_id` as their writer; for `lease` after
    /// an acknowledged one was sent its partition counts as ours.
    pub fn new(group: &str, topic: &str, run_id: u64, lease: Duration) -> Progress {
        Progress {
            group: group.to_owned(),
            topic: topic.to_owned(),
            run_id,
            lease,
            partitions: BTreeMap::new(),
            last_epoch: 0,
            finished_uncommitted: 0,
        }
    }

    /// The partition is ours from now on, and has to be opened. Whatever was known of it is forgotten.
    pub fn assigned(&mut self, partition: i32) -> Epoch {
        self.last_epoch += 1;
        if let Some(Phase::Open(owned)) = self.partitions.insert(partition, Phase::Opening(self.last_epoch)) {
            self.finished_uncommitted -= owned.offsets.finished_uncommitted();
        }
        self.last_epoch
    }

    /// What the group and the log say of an assigned partition. `None`: that assignment has ended, or is open already.
    pub fn open(&mut self, partition: i32, epoch: Epoch, found: &Found, now: Instant) -> Option<Opened> {
        let phase = self.partitions.get_mut(&partition)?;
        let Phase::Opening(current) = phase else { return None };
        if *current != epoch {
            return None;
        }
        let place = Place { group: self.group.clone(), topic: self.topic.clone(), partition };
        let (owned, opened) = Owned::open(epoch, place, self.run_id, found, now);
        *phase = Phase::Open(Box::new(owned));
        Some(opened)
    }

    /// The partition is no longer ours. Returns the closing commit, which may be made if the partition was revoked; after
    /// a loss the caller must drop it. `None`: it was not open, and nothing may be said of it.
    pub fn unassigned(&mut self, partition: i32) -> Option<Commit> {
        match self.partitions.remove(&partition)? {
            Phase::Opening(_) => None,
            Phase::Open(owned) => {
                self.finished_uncommitted -= owned.offsets.finished_uncommitted();
                Some(owned.close())
            }
        }
    }

    /// Whether it is known which log the partition was opened on. Then it is opened again where it turns out to hold
    /// another, so that this one is known too.
    pub fn is_identified(&self, partition: i32) -> bool {
        self.owned(partition).is_some_and(|owned| owned.log_id.is_some())
    }

    /// The partition holds another log, which begins at `offset`; logs have no ids here.
    pub fn restarted(&mut self, partition: i32, offset: i64) -> Option<Epoch> {
        self.last_epoch += 1;
        let epoch = self.last_epoch;
        self.change(partition, |owned| owned.restart(epoch, offset))?;
        Some(epoch)
    }

    /// The topic's name stands for this log now. Returns the partitions that were opened on another, or not known to be
    /// opened on this one: they have to be opened again, or what they read and commit is of a log that is gone.
    pub fn of_another_log(&self, log_id: LogId) -> Vec<(i32, Epoch)> {
        let other = self.opened().filter(|owned| owned.log_id != Some(log_id));
        other.map(|owned| (owned.partition(), owned.epoch)).collect()
    }

    /// A record arrived, written at `written_ms` (Unix milliseconds). `None`: the partition is not ours, or not open.
    /// An error: the map that was taken over is of another log and is forgotten now; tell again.
    pub fn received(
        &mut self,
        partition: i32,
        offset: i64,
        written_ms: Option<i64>,
    ) -> Option<Result<(Epoch, Received), Distrust>> {
        self.change(partition, |owned| owned.received(offset, written_ms).map(|received| (owned.epoch, received)))
    }

    /// Whether a received record may start now, and with what care.
    ///
    /// # Errors
    /// What holds it back. `None` within: its assignment has ended.
    pub fn may_start(&self, partition: i32, offset: i64, now: Instant) -> Option<Result<Care, Hold>> {
        Some(self.owned(partition)?.may_start(offset, now))
    }

    /// The record starts.
    pub fn started(&mut self, partition: i32, offset: i64) {
        if let Some(owned) = self.owned_mut(partition) {
            owned.offsets.started(offset);
        }
    }

    /// A record is finished.
    pub fn finished(&mut self, partition: i32, epoch: Epoch, offset: i64) -> Finished {
        let finished = self.change(partition, |owned| match owned.epoch == epoch {
            true => owned.finished(offset),
            false => Finished::default(),
        });
        finished.unwrap_or_default()
    }

    /// Commits that have something new to say, or with `all` one of every open partition. Where the last one was large a
    /// partition rests, unless records wait for it: then as many as it takes don't, those first that free the most.
    pub fn commits(&mut self, all: bool, now: Instant) -> Vec<Commit> {
        let dirty = self.opened_mut().filter(|owned| all || owned.is_dirty());
        let (mut taken, mut resting): (Vec<_>, Vec<_>) =
            dirty.partition(|owned| all || owned.limit_is_near() || !owned.rests(now));
        let finished = |owned: &Owned| owned.offsets.finished_uncommitted();
        let mut left: usize = resting.iter().map(|owned| finished(owned)).sum();
        if left >= COMMIT_EARLY_AT {
            resting.sort_by_key(|owned| Reverse(finished(owned)));
            // Down to half, so that each request frees many.
            taken.extend(resting.into_iter().take_while(|owned| {
                let frees = left >= COMMIT_EARLY_AT / 2;
                left = left.saturating_sub(finished(owned));
                frees
            }));
        }
        taken.into_iter().map(Owned::take).collect()
    }

    /// The broker acknowledged `commit`, handed to it at `sent_at`. Ignored if the assignment has ended meanwhile.
    pub fn committed(&mut self, commit: &Commit, sent_at: Instant) {
        let lease = self.lease;
        self.change(commit.partition, |owned| {
            if owned.epoch == commit.epoch {
                owned.committed(commit, sent_at, lease);
            }
        });
    }

    /// The broker refuses metadata as long as this commit's; shorter texts are made from now on. False: they are as short
    /// as can be.
    pub fn metadata_refused(&mut self, commit: &Commit) -> bool {
        self.owned_mut(commit.partition).is_none_or(|owned| owned.epoch != commit.epoch || owned.halve_metadata())
    }

    /// Whether that assignment still holds.
    pub fn is_current(&self, partition: i32, epoch: Epoch) -> bool {
        match self.partitions.get(&partition) {
            Some(Phase::Opening(current)) => *current == epoch,
            Some(Phase::Open(owned)) => owned.epoch == epoch,
            None => false,
        }
    }

    /// Whether that assignment still holds and its lease runs: whether an outcome may be handed to the producer (I7).
    pub fn may_publish(&self, partition: i32, epoch: Epoch, now: Instant) -> bool {
        self.owned(partition).is_some_and(|owned| owned.epoch == epoch && owned.is_leased(now))
    }

    /// Whether, after what happened to a record of `partition`, commits are wanted before their time. Then
    /// [`Progress::commits`] has some, and once these are acknowledged none is wanted.
    pub fn wants_commit(&self, partition: i32) -> bool {
        self.finished_uncommitted >= COMMIT_EARLY_AT || self.owned(partition).is_some_and(Owned::limit_is_near)
    }

    /// The partitions that are ours.
    pub fn partitions(&self) -> impl Iterator<Item = i32> + '_ {
        self.partitions.keys().copied()
    }

    /// Partitions that are ours and not open yet.
    pub fn opening(&self) -> impl Iterator<Item = (i32, Epoch)> + '_ {
        self.partitions.iter().filter_map(|(partition, phase)| match phase {
            Phase::Opening(epoch) => Some((*partition, *epoch)),
            Phase::Open(_) => None,
        })
    }

    /// Partitions whose lease does not run.
    pub fn unleased(&self, now: Instant) -> usize {
        self.partitions.len() - self.opened().filter(|owned| owned.is_leased(now)).count()
    }

    /// Records received and not finished.
    pub fn unfinished(&self) -> usize {
        self.opened().map(|owned| owned.offsets.unfinished()).sum()
    }

    /// Records finished that no acknowledged commit covers: what would run again if we died now.
    pub fn finished_uncommitted(&self) -> usize {
        self.finished_uncommitted
    }

    /// The offset after the highest one received from `partition`.
    pub fn received_next(&self, partition: i32) -> Option<i64> {
        Some(self.owned(partition)?.offsets.received_next())
    }

    /// Unfinished offsets of `partition` in `from..to`, as far as they are known.
    pub fn open_within(&self, partition: i32, from: i64, to: i64) -> u64 {
        self.owned(partition).map_or(0, |owned| owned.offsets.open_within(from, to))
    }

    /// Received and unfinished records, by partition and offset.
    pub fn open_records(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.partitions.iter().flat_map(|(partition, phase)| {
            let owned = match phase {
                Phase::Opening(_) => None,
                Phase::Open(owned) => Some(owned),
            };
            owned.into_iter().flat_map(|owned| owned.offsets.open().map(|offset| (*partition, offset)))
        })
    }

    /// When the oldest unfinished record was written, in Unix milliseconds.
    pub fn oldest_written_ms(&self) -> Option<i64> {
        self.opened().filter_map(|owned| owned.offsets.oldest_written_ms()).min()
    }

    /// How carefully records of `partition` have to be worked now.
    pub fn care(&self, partition: i32, now: Instant) -> Care {
        self.owned(partition).map_or(Care::None, |owned| owned.care(now))
    }

    /// Unclean ends in a row over the same records, the most of any partition.
    pub fn strikes(&self) -> u8 {
        self.opened().map(|owned| owned.quarantine.strikes()).max().unwrap_or(0)
    }

    /// The largest share of its allowance that a partition's last acknowledged metadata took: units, and allowance.
    pub fn metadata_units(&self) -> (usize, usize) {
        let share = |(units, most): &(usize, usize)| units.saturating_mul(1000).checked_div(*most);
        self.opened().map(Owned::metadata_units).max_by_key(share).unwrap_or((0, METADATA_UNITS_MAX))
    }

    fn owned(&self, partition: i32) -> Option<&Owned> {
        match self.partitions.get(&partition)? {
            Phase::Open(owned) => Some(owned),
            Phase::Opening(_) => None,
        }
    }

    /// Changes what is known of an open partition, and keeps count of what is finished in it.
    fn change<T>(&mut self, partition: i32, change: impl FnOnce(&mut Owned) -> T) -> Option<T> {
        let Phase::Open(owned) = self.partitions.get_mut(&partition)? else { return None };
        let before = owned.offsets.finished_uncommitted();
        let result = change(owned);
        self.finished_uncommitted = self.finished_uncommitted - before + owned.offsets.finished_uncommitted();
        Some(result)
    }

    fn owned_mut(&mut self, partition: i32) -> Option<&mut Owned> {
        match self.partitions.get_mut(&partition)? {
            Phase::Open(owned) => Some(owned),
            Phase::Opening(_) => None,
        }
    }

    fn opened(&self) -> impl Iterator<Item = &Owned> + '_ {
        self.partitions.values().filter_map(|phase| match phase {
            Phase::Open(owned) => Some(&**owned),
            Phase::Opening(_) => None,
        })
    }

    fn opened_mut(&mut self) -> impl Iterator<Item = &mut Owned> + '_ {
        self.partitions.values_mut().filter_map(|phase| match phase {
            Phase::Open(owned) => Some(&mut **owned),
            Phase::Opening(_) => None,
        })
    }
}

#[cfg(test)]
mod tests;
