//! What was received and has not started: a queue per partition, under one lock with the progress it belongs to.
//!
//! The poll thread puts in, the dispatcher takes out, completions go to the progress. Every change of ownership ends an
//! epoch: its tasks are cancelled, its waiting records forgotten, its late completions ignored. Killed here: nothing that
//! waits was begun, and nothing that runs is committed.

mod delivery;
mod gauges;
mod queue;
mod state;

use std::sync::{Arc, PoisonError};
#[cfg(not(feature = "shuttle"))]
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

#[cfg(feature = "shuttle")]
use shuttle::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tracing::{info, warn};

pub use delivery::Delivery;
pub use gauges::Sizes;

use super::commit::Commits;
use crate::flow::hosts::HostKey;
use crate::observe::metrics::Metrics;
use crate::progress::{Care, Commit, Epoch, Found, LogId, Progress, Received};
use crate::task::Ticket;
use queue::Queue;
use state::State;

/// Bytes of records that wait here, over all partitions; each may hold its share.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// A partition pauses at this many waiting records, and resumes at a quarter.
const WAITING_RECORDS_MAX: usize = 2048;
/// After a streak of unclean ends half of the parallel tasks run for this long: what killed the process may have been
/// several records at once.
const CAUTIOUS_FOR: Duration = Duration::from_secs(60);

/// Received records and the progress of their partitions.
#[derive(Debug)]
pub(super) struct Intake {
    state: Mutex<State>,
    may_start: Notify,
    /// Some lease was renewed.
    leased: Notify,
    commits: Commits,
    metrics: Metrics,
}

/// Where a record belongs.
enum Placed {
    /// It is to be worked, in this epoch.
    In(Epoch),
    /// It is not to be worked.
    Nowhere,
    /// It is of another log than the one its partition was opened on.
    InAnotherLog,
}

impl Intake {
    /// Owns nothing yet; at most `parallel` records run at once.
    pub(super) fn new(progress: Progress, parallel: usize, commits: Commits, metrics: Metrics) -> Intake {
        let state = State::new(progress, parallel);
        Intake { state: Mutex::new(state), may_start: Notify::new(), leased: Notify::new(), commits, metrics }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These partitions are ours from now on, and have to be opened. During a drain they are left to the next owner.
    pub(super) fn assigned(&self, partitions: &[i32]) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        for partition in partitions {
            state.end(*partition);
            state.progress.assigned(*partition);
        }
        drop(state);
        self.commits.soon();
    }

    /// These partitions are given up: ends their epochs and returns the commits that close them.
    pub(super) fn revoked(&self, partitions: &[i32]) -> Vec<Commit> {
        let mut state = self.lock();
        let closing = partitions.iter().filter_map(|partition| state.hand_back(*partition)).collect();
        drop(state);
        // What was finished in them no longer holds back the others.
        self.may_start.notify_one();
        closing
    }

    /// These partitions are somebody else's by now, or may be: ends their epochs; nothing more is said of them.
    pub(super) fn lost(&self, partitions: &[i32]) {
        let mut state = self.lock();
        partitions.iter().for_each(|partition| state.lose(*partition));
        drop(state);
        self.may_start.notify_one();
    }

    /// Ends every epoch and returns the commits that are owed.
    pub(super) fn close_all(&self) -> Vec<Commit> {
        let partitions = self.partitions();
        self.revoked(&partitions);
        self.owed()
    }

    /// The broker acknowledged these last commits.
    pub(super) fn closed(&self, commits: &[Commit]) {
        let mut state = self.lock();
        for commit in commits {
            state.owed.remove(&commit.partition);
        }
    }

    /// The last commits that a drain owes and may still make.
    pub(super) fn owed(&self) -> Vec<Commit> {
        self.lock().owed.values().flatten().cloned().collect()
    }

    /// Partitions whose last commit a drain owes, whether or not it may still be made.
    pub(super) fn unclosed(&self) -> Vec<i32> {
        self.lock().owed.keys().copied().collect()
    }

    /// Assigned and not open yet.
    pub(super) fn opening(&self) -> Vec<(i32, Epoch)> {
        self.lock().progress.opening().collect()
    }

    pub(super) fn is_opening(&self) -> bool {
        self.lock().progress.opening().next().is_some()
    }

    /// What the group and the log say of an assigned partition. Returns where reading begins; `None`: the assignment has
    /// ended meanwhile.
    pub(super) fn opened(&self, partition: i32, epoch: Epoch, found: &Found) -> Option<i64> {
        let mut state = self.lock();
        let opened = state.progress.open(partition, epoch, found, Instant::now())?;
        state.waiting.insert(partition, Queue::default());
        state.ended.insert(partition, Arc::default());
        state.log_end.insert(partition, found.log_end);
        drop(state);
        let committed = found.committed;
        info!(
            partition,
            start = opened.start,
            committed,
            done_above = opened.known_done,
            strikes = opened.strikes,
            "partition opened"
        );
        if let Some(distrust) = opened.distrust {
            self.metrics.metadata_distrusted(distrust);
            warn!(partition, committed, %distrust, "finished work above the committed offset may run again");
        }
        if opened.beyond_end {
            let log_end = found.log_end;
            warn!(
                partition,
                committed, log_end, "the group's offset lies beyond the log's end; reading it from its start"
            );
        }
        if opened.expired > 0 {
            self.metrics.records_expired(opened.expired);
            let (expired, log_start) = (opened.expired, found.log_start);
            warn!(partition, committed, log_start, expired, "retention took records before they were worked on");
        }
        Some(opened.start)
    }

    /// Partitions that were opened on another log than this one, which the topic's name stands for now.
    pub(super) fn of_another_log(&self, log_id: LogId) -> Vec<(i32, Epoch)> {
        self.lock().progress.of_another_log(log_id)
    }

    /// Opening has to be done once more.
    pub(super) fn reopen(&self, partition: i32, epoch: Epoch) {
        let mut state = self.lock();
        if !state.closed && state.progress.is_current(partition, epoch) {
            state.end(partition);
            state.progress.assigned(partition);
        }
    }

    /// Takes a record in. Nobody hears of it before [`Intake::look`]. False: its partition has to be opened again, and must be
    /// paused until then.
    pub(super) fn received(&self, mut delivery: Delivery) -> bool {
        let mut state = self.lock();
        let epoch = match self.place(&mut state, &delivery) {
            Placed::In(epoch) => epoch,
            Placed::Nowhere => return true,
            Placed::InAnotherLog => return false,
        };
        let partition = delivery.ticket.partition;
        delivery.ticket.epoch = epoch;
        if let Some(ended) = state.ended.get(&partition) {
            delivery.ended = ended.clone();
        }
        state.waiting.entry(partition).or_default().push(delivery);
        // Offsets can jump past what was announced.
        let wants_commit = state.progress.wants_commit(partition);
        drop(state);
        if wants_commit {
            self.commits.soon();
        }
        true
    }

    /// Whoever waits for records may look for them: some were received.
    pub(super) fn look(&self) {
        self.may_start.notify_one();
    }

    /// Where the record belongs.
    fn place(&self, state: &mut State, delivery: &Delivery) -> Placed {
        let Ticket { partition, offset, .. } = delivery.ticket;
        state.note_jump(partition, offset);
        loop {
            let Some(received) = state.progress.received(partition, offset, delivery.timestamp_ms) else {
                // Polled before the revocation was served, or before reading begins where it should.
                return Placed::Nowhere;
            };
            match received {
                Ok((epoch, Received::New)) => return Placed::In(epoch),
                Ok((_, Received::Done)) => {
                    self.metrics.record_skipped();
                    return Placed::Nowhere;
                }
                Ok((_, Received::AnotherLog)) if state.progress.is_identified(partition) => {
                    warn!(partition, offset, "offsets went backwards, so this is another log; opening it");
                    state.end(partition);
                    state.progress.assigned(partition);
                    self.commits.soon();
                    return Placed::InAnotherLog;
                }
                Ok((_, Received::AnotherLog)) => {
                    warn!(partition, offset, "offsets went backwards, so this is another log; reading it from here");
                    state.forget(partition);
                    state.progress.restarted(partition, offset);
                    state.waiting.insert(partition, Queue::default());
                    state.ended.insert(partition, Arc::default());
                    self.commits.soon();
                }
                Err(distrust) => {
                    self.metrics.metadata_distrusted(distrust);
                    warn!(partition, offset, %distrust, "finished work above the committed offset may run again");
                }
            }
        }
    }

    /// The next records to start, 1..=`most` of them, partitions in turn. `None`: closed.
    ///
    /// # Cancel safety
    /// Safe: records are taken only when they are returned.
    pub(super) async fn next(self: &Arc<Self>, most: usize) -> Option<Vec<Delivery>> {
        loop {
            let may_start = self.may_start.notified();
            {
                let (mut state, now) = (self.lock(), Instant::now());
                if state.closed {
                    return None;
                }
                let mut taken = Vec::with_capacity(most);
                taken.extend(std::iter::from_fn(|| state.take(now)).take(most));
                state.held_back = taken.is_empty() && !state.waiting.values().all(Queue::is_empty);
                let wants_commit = taken.iter().any(|record| state.progress.wants_commit(record.ticket.partition));
                drop(state);
                if wants_commit {
                    self.commits.soon();
                }
                if !taken.is_empty() {
                    return Some(taken.into_iter().map(|record| record.started(self)).collect());
                }
            }
            may_start.await;
        }
    }

    fn care(&self, partition: i32) -> Care {
        self.lock().progress.care(partition, Instant::now())
    }

    /// A record that had started no longer runs.
    fn ended(&self, host: Option<&HostKey>, care: Care) {
        let mut state = self.lock();
        state.ended(host, care);
        let held_back = state.held_back;
        drop(state);
        if held_back {
            self.may_start.notify_one();
        }
    }

    /// The record is finished, and no longer runs.
    pub(super) fn finished(&self, mut record: Delivery) {
        let ticket = record.ticket;
        let mut state = self.lock();
        let finished = state.progress.finished(ticket.partition, ticket.epoch, ticket.offset);
        if let Some(share) = record.share.take() {
            let (host, care) = share.into_parts();
            state.ended(host.as_ref(), care);
        }
        if finished.streak_over {
            state.cautious_until = Some(Instant::now() + CAUTIOUS_FOR);
        }
        let wants_commit = finished.counted && state.progress.wants_commit(ticket.partition);
        let held_back = state.held_back;
        drop(state);
        if finished.streak_over {
            info!(partition = ticket.partition, "the records of former unclean ends are finished");
        }
        if wants_commit {
            self.commits.soon();
        }
        if held_back {
            self.may_start.notify_one();
        }
    }

    /// What should be committed now; with `all` also what the broker already holds.
    pub(super) fn commits(&self, all: bool) -> Vec<Commit> {
        self.lock().progress.commits(all, Instant::now())
    }

    /// The broker acknowledged these, handed to it at `sent_at`.
    pub(super) fn committed(&self, commits: &[Commit], sent_at: Instant) {
        let mut state = self.lock();
        for commit in commits {
            state.progress.committed(commit, sent_at);
        }
        drop(state);
        self.leased.notify_waiters();
        self.may_start.notify_one();
    }

    /// The broker refuses metadata of this size. False: it cannot be made smaller.
    pub(super) fn metadata_refused(&self, commit: &Commit) -> bool {
        self.lock().progress.metadata_refused(commit)
    }

    /// Waits until the lease of the record's partition runs; for ever where the assignment has ended.
    async fn leased(&self, ticket: Ticket) {
        loop {
            let leased = self.leased.notified();
            if self.lock().progress.may_publish(ticket.partition, ticket.epoch, Instant::now()) {
                return;
            }
            leased.await;
        }
    }

    /// Nothing starts any more, and what waits is forgotten; it was never begun.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        self.may_start.notify_one();
    }

    /// Partitions to pause and to resume now.
    pub(super) fn pressure(&self) -> (Vec<i32>, Vec<i32>) {
        let mut state = self.lock();
        let share = WAITING_BYTES_MAX / state.waiting.len().max(1);
        let over = |queue: &Queue| queue.len() >= WAITING_RECORDS_MAX || queue.bytes() >= share;
        let under = |queue: &Queue| queue.len() <= WAITING_RECORDS_MAX / 4 && queue.bytes() <= share / 4;
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for (partition, queue) in &state.waiting {
            match state.paused.contains(partition) {
                false if over(queue) => pause.push(*partition),
                true if under(queue) => resume.push(*partition),
                _ => {}
            }
        }
        state.paused.extend(&pause);
        state.paused.retain(|partition| !resume.contains(partition));
        (pause, resume)
    }
}

#[cfg(test)]
mod tests;
