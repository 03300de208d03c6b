//! What has been received, what is finished, and therefore what may be committed. Pure: no clock, no I/O, no threads.
//!
//! Killed here: nothing is lost, for a commit only ever says what was already true. This module does not know Kafka's
//! client; it is told what happened and asked what may be said.

mod offsets;

use std::collections::BTreeMap;

pub use offsets::{Offsets, Received};

/// Finished records that no acknowledged commit covers: from here on a commit is made early.
pub const COMMIT_EARLY_AT: usize = 256;
/// Finished records that no acknowledged commit covers: from here on nothing starts (I4).
pub const START_NOTHING_AT: usize = 512;

/// One assignment of one partition. It ends when the partition is revoked, lost, or turns out to hold another log.
pub type Epoch = u64;

/// The progress of every partition this process owns.
#[derive(Debug, Default)]
pub struct Progress {
    partitions: BTreeMap<i32, Owned>,
    last_epoch: Epoch,
}

#[derive(Debug)]
struct Owned {
    epoch: Epoch,
    offsets: Offsets,
}

/// A position that may be committed: everything below `next_offset` is finished or does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Whose position.
    pub partition: i32,
    /// In which assignment it became true.
    pub epoch: Epoch,
    /// The offset the next owner starts at.
    pub next_offset: i64,
}

impl Progress {
    /// The partition is ours from now on. Whatever was known of it is forgotten.
    pub fn assigned(&mut self, partition: i32) -> Epoch {
        self.last_epoch += 1;
        self.partitions.insert(partition, Owned { epoch: self.last_epoch, offsets: Offsets::default() });
        self.last_epoch
    }

    /// The partition is no longer ours. Returns what may still be said of it if we are asked for it (revoked); after a
    /// loss the caller must drop it.
    pub fn unassigned(&mut self, partition: i32) -> Option<Commit> {
        let owned = self.partitions.remove(&partition)?;
        owned.commit(partition)
    }

    /// A record arrived. `None`: the partition is not ours.
    pub fn received(&mut self, partition: i32, offset: i64) -> Option<(Epoch, Received)> {
        let owned = self.partitions.get_mut(&partition)?;
        Some((owned.epoch, owned.offsets.received(offset)))
    }

    /// A record is finished. False: that assignment has ended, and the record is somebody else's now.
    pub fn finished(&mut self, partition: i32, epoch: Epoch, offset: i64) -> bool {
        match self.partitions.get_mut(&partition) {
            Some(owned) if owned.epoch == epoch => owned.offsets.finished(offset),
            _ => false,
        }
    }

    /// Every position that differs from the last acknowledged one, or with `all` every known position.
    pub fn commits(&self, all: bool) -> Vec<Commit> {
        let wanted = self.partitions.iter().filter(|(_, owned)| all || owned.offsets.is_dirty());
        wanted.filter_map(|(partition, owned)| owned.commit(*partition)).collect()
    }

    /// The broker acknowledged `commit`. Ignored if the assignment has ended meanwhile.
    pub fn committed(&mut self, commit: Commit) {
        if let Some(owned) = self.partitions.get_mut(&commit.partition)
            && owned.epoch == commit.epoch
        {
            owned.offsets.committed(commit.next_offset);
        }
    }

    /// Whether that assignment still holds.
    pub fn is_current(&self, partition: i32, epoch: Epoch) -> bool {
        self.partitions.get(&partition).is_some_and(|owned| owned.epoch == epoch)
    }

    /// The partitions that are ours.
    pub fn partitions(&self) -> impl Iterator<Item = i32> + '_ {
        self.partitions.keys().copied()
    }

    /// Records received and not finished.
    pub fn unfinished(&self) -> usize {
        self.partitions.values().map(|owned| owned.offsets.unfinished()).sum()
    }

    /// Records finished that no acknowledged commit covers: what would run again if we died now.
    pub fn finished_uncommitted(&self) -> usize {
        self.partitions.values().map(|owned| owned.offsets.finished_uncommitted()).sum()
    }

    /// The offset after the highest one received from `partition`.
    pub fn received_next(&self, partition: i32) -> Option<i64> {
        self.partitions.get(&partition)?.offsets.received_next()
    }

    /// The lowest unfinished record of each partition.
    pub fn oldest_unfinished(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.partitions
            .iter()
            .filter_map(|(partition, owned)| owned.offsets.oldest_unfinished().map(|offset| (*partition, offset)))
    }
}

impl Owned {
    fn commit(&self, partition: i32) -> Option<Commit> {
        self.offsets.next_offset().map(|next_offset| Commit { partition, epoch: self.epoch, next_offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_of_an_ended_assignment_is_not_recorded() {
        let mut progress = Progress::default();
        let first = progress.assigned(0);
        progress.received(0, 5);
        progress.finished(0, first, 5);
        let late = progress.commits(false);
        assert_eq!(progress.unassigned(0), late.first().copied());
        let second = progress.assigned(0);
        assert!(!progress.finished(0, first, 5), "the old assignment finishes nothing");
        progress.received(0, 5);
        for commit in late {
            progress.committed(commit);
        }
        assert!(progress.finished(0, second, 5));
        assert_eq!(progress.commits(false), [Commit { partition: 0, epoch: second, next_offset: 6 }]);
    }

    #[test]
    fn nothing_is_committed_for_a_partition_that_delivered_nothing() {
        let mut progress = Progress::default();
        progress.assigned(3);
        assert_eq!(progress.commits(true), []);
        assert_eq!(progress.received(4, 0), None, "not ours");
    }
}
