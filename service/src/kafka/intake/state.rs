//! The intake's state, changed under its lock: what waits, what runs, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::delivery::Delivery;
use super::queue::Queue;
use crate::flow::hosts::HostKey;
use crate::progress::{Care, Commit, Progress, START_NOTHING_AT};
use crate::task::Ticket;

/// Suspects that run at once, waiting for a child's place included: they must not take the permits of everybody else.
const CAREFUL_MAX: usize = 8;
/// Jumps in the offsets that wait for the broker to say where the log begins.
const JUMPS_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct State {
    pub(super) progress: Progress,
    pub(super) waiting: BTreeMap<i32, Queue>,
    pub(super) ended: BTreeMap<i32, Arc<CancellationToken>>,
    /// The end of each partition's log, as the broker last said.
    pub(super) log_end: HashMap<i32, i64>,
    jumps: Vec<Jump>,
    pub(super) paused: BTreeSet<i32>,
    pub(super) served_last: i32,
    /// Nothing starts any more.
    pub(super) closed: bool,
    /// The last commits that a drain owes: one for each partition that was ours when it began, until it is acknowledged.
    /// `None`: it may no longer be made.
    pub(super) owed: BTreeMap<i32, Option<Commit>>,
    pub(super) parallel: usize,
    pub(super) running: usize,
    /// Of these, suspects.
    pub(super) careful: usize,
    pub(super) running_by_host: HashMap<HostKey, usize>,
    /// Records wait that might not start when they were last looked for: then the end of another may let one.
    pub(super) held_back: bool,
    pub(super) cautious_until: Option<Instant>,
}

/// Offsets that did not come: they never existed, or retention took them.
#[derive(Debug)]
struct Jump {
    partition: i32,
    from: i64,
    to: i64,
    /// Of these, unfinished as far as is known.
    open: u64,
}

impl State {
    pub(super) fn new(progress: Progress, parallel: usize) -> State {
        State {
            progress,
            waiting: BTreeMap::new(),
            ended: BTreeMap::new(),
            log_end: HashMap::new(),
            jumps: Vec::new(),
            paused: BTreeSet::new(),
            served_last: -1,
            closed: false,
            owed: BTreeMap::new(),
            parallel,
            running: 0,
            careful: 0,
            running_by_host: HashMap::new(),
            held_back: false,
            cautious_until: None,
        }
    }

    pub(super) fn end(&mut self, partition: i32) -> Option<Commit> {
        self.forget(partition);
        self.log_end.remove(&partition);
        self.progress.unassigned(partition)
    }

    /// Ends the epoch of a partition whose last commit may still be made.
    pub(super) fn hand_back(&mut self, partition: i32) -> Option<Commit> {
        let closing = self.end(partition);
        match closing {
            Some(commit) if self.closed => {
                self.owed.insert(partition, Some(commit.clone()));
                Some(commit)
            }
            // A drain may have ended its epoch before, and not have heard yet that it is closed.
            None => self.owed.get(&partition).cloned().flatten(),
            closing => closing,
        }
    }

    /// Ends the epoch of a partition that may have another owner already.
    pub(super) fn lose(&mut self, partition: i32) {
        let was_open = self.end(partition).is_some();
        if self.closed && (was_open || self.owed.contains_key(&partition)) {
            self.owed.insert(partition, None);
        }
    }

    /// Cancels what runs and drops what waits.
    pub(super) fn forget(&mut self, partition: i32) {
        if let Some(ended) = self.ended.remove(&partition) {
            ended.cancel();
        }
        self.waiting.remove(&partition);
        self.paused.remove(&partition);
        self.jumps.retain(|jump| jump.partition != partition);
    }

    /// The oldest record of the next partition in turn; it counts as running from now on.
    pub(super) fn take(&mut self, now: Instant) -> Option<Delivery> {
        if self.progress.finished_uncommitted() >= START_NOTHING_AT {
            return None;
        }
        let half = (self.parallel / 2).max(1);
        if self.cautious_until.is_some_and(|until| now < until) && self.running >= half {
            return None;
        }
        let (progress, by_host) = (&self.progress, &self.running_by_host);
        let full = |host: &HostKey| by_host.get(host).is_some_and(|running| *running > half);
        let suspects_wait = self.careful >= CAREFUL_MAX.min(half);
        let may = |partition: i32, offset: i64| {
            let care = progress.may_start(partition, offset, now)?.ok()?;
            (care == Care::None || !suspects_wait).then_some(care)
        };
        let turn = self.served_last.saturating_add(1);
        let in_turn = [(Included(turn), Unbounded), (Unbounded, Excluded(turn))];
        let (mut record, care) = in_turn.into_iter().find_map(|partitions| {
            let mut queues = self.waiting.range_mut(partitions);
            queues.find_map(|(partition, queue)| queue.take(|offset| may(*partition, offset), full))
        })?;
        let Ticket { partition, offset, .. } = record.ticket;
        self.served_last = partition;
        self.progress.started(partition, offset);
        record.care = care;
        self.running += 1;
        self.careful += usize::from(care != Care::None);
        if let Some(host) = record.busy_host() {
            *self.running_by_host.entry(host.clone()).or_default() += 1;
        }
        Some(record)
    }

    /// What [`State::take`] counted no longer runs.
    pub(super) fn ended(&mut self, host: Option<&HostKey>, care: Care) {
        self.running = self.running.saturating_sub(1);
        self.careful = self.careful.saturating_sub(usize::from(care != Care::None));
        if let Some(host) = host
            && let Some(running) = self.running_by_host.get_mut(host)
        {
            *running -= 1;
            if *running == 0 {
                self.running_by_host.remove(host);
            }
        }
    }

    pub(super) fn note_jump(&mut self, partition: i32, offset: i64) {
        let Some(expected) = self.progress.received_next(partition).filter(|expected| *expected != offset) else {
            return;
        };
        let open = self.progress.open_within(partition, expected, offset);
        if open > 0 && self.jumps.len() < JUMPS_MAX {
            self.jumps.push(Jump { partition, from: expected, to: offset, open });
        }
    }

    /// Of the offsets that did not come, those that the log has lost because it begins later now.
    pub(super) fn expired(&mut self, partition: i32, log_start: i64) -> u64 {
        let mut expired = 0;
        self.jumps.retain(|jump| {
            if jump.partition != partition {
                return true;
            }
            let lost = log_start.min(jump.to).saturating_sub(jump.from).max(0);
            expired += lost.unsigned_abs().min(jump.open);
            false
        });
        expired
    }
}
