//! What was received and has not started: a fair queue per partition, under one lock with the progress it belongs to.
//!
//! The poll thread puts in, the dispatcher takes out, completions go to the progress. Every change of ownership ends an
//! epoch: its tasks are cancelled, its waiting records forgotten, its late completions ignored.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use opentelemetry::Context;
use rdkafka::message::OwnedHeaders;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::headers;
use crate::progress::{COMMIT_EARLY_AT, Commit, Progress, Received, START_NOTHING_AT};
use crate::task::Ticket;

/// Bytes of records that wait here, over all partitions; each may hold its share.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// A partition pauses at this many waiting records, and resumes at a quarter.
const WAITING_RECORDS_MAX: usize = 2048;

/// A record that may be worked on.
#[derive(Debug)]
pub struct Delivery {
    /// The bytes, as they came.
    pub payload: Option<Vec<u8>>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: Option<OwnedHeaders>,
    pub(super) timestamp_ms: Option<i64>,
    /// Its place.
    pub ticket: Ticket,
    /// Fires when the record stops being ours: from then on nothing may be published for it.
    pub ended: CancellationToken,
}

impl Delivery {
    /// The trace the record belongs to.
    pub fn trace(&self) -> Context {
        headers::trace_context(self.headers.as_ref())
    }
}

/// Received records and the progress of their partitions.
#[derive(Debug, Default)]
pub(super) struct Intake {
    state: Mutex<State>,
    may_start: Notify,
}

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    waiting: BTreeMap<i32, Waiting>,
    ended: HashMap<i32, CancellationToken>,
    /// When each unfinished record was written, in Unix milliseconds.
    written_ms: BTreeMap<(i32, i64), i64>,
    /// The end of each partition's log, as the broker last said.
    log_end: HashMap<i32, i64>,
    paused: BTreeSet<i32>,
    served_last: i32,
    closed: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    records: VecDeque<Delivery>,
    bytes: usize,
}

impl Intake {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These partitions are ours from now on.
    pub(super) fn assigned(&self, partitions: &[i32]) {
        let mut state = self.lock();
        for partition in partitions {
            state.end(*partition);
            state.begin(*partition);
        }
    }

    /// These partitions are no longer ours: ends their epochs and returns the positions that were true until now.
    pub(super) fn unassigned(&self, partitions: &[i32]) -> Vec<Commit> {
        let mut state = self.lock();
        partitions.iter().filter_map(|partition| state.end(*partition)).collect()
    }

    /// Takes a record in.
    pub(super) fn received(&self, mut delivery: Delivery) {
        let mut state = self.lock();
        let Ticket { partition, offset, .. } = delivery.ticket;
        let epoch = match state.progress.received(partition, offset) {
            Some((epoch, Received::New)) => epoch,
            Some((_, Received::AnotherLog)) => {
                warn!(partition, offset, "offsets went backwards, so this is another log; reading it from here");
                state.end(partition);
                state.begin(partition);
                match state.progress.received(partition, offset) {
                    Some((epoch, _)) => epoch,
                    None => return,
                }
            }
            // Polled before the revocation was served: it is somebody else's record.
            None => return,
        };
        delivery.ticket.epoch = epoch;
        delivery.ended = state.ended.get(&partition).cloned().unwrap_or_default();
        if let Some(written_ms) = delivery.timestamp_ms {
            state.written_ms.insert((partition, offset), written_ms);
        }
        let waiting = state.waiting.entry(partition).or_default();
        waiting.bytes += delivery.size();
        waiting.records.push_back(delivery);
        drop(state);
        self.may_start.notify_one();
    }

    /// The next record to start, partitions in turn. `None`: closed.
    ///
    /// # Cancel safety
    /// Safe: a record is taken only when it is returned.
    pub(super) async fn next(&self) -> Option<Delivery> {
        loop {
            let may_start = self.may_start.notified();
            {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                if state.progress.finished_uncommitted() < START_NOTHING_AT
                    && let Some(delivery) = state.take()
                {
                    return Some(delivery);
                }
            }
            may_start.await;
        }
    }

    /// The record is finished. Returns whether a commit should be made early.
    pub(super) fn finished(&self, ticket: Ticket) -> bool {
        let mut state = self.lock();
        state.written_ms.remove(&(ticket.partition, ticket.offset));
        state.progress.finished(ticket.partition, ticket.epoch, ticket.offset)
            && state.progress.finished_uncommitted() >= COMMIT_EARLY_AT
    }

    /// What should be committed now; with `all` also what the broker already holds.
    pub(super) fn commits(&self, all: bool) -> Vec<Commit> {
        self.lock().progress.commits(all)
    }

    /// The broker acknowledged these.
    pub(super) fn committed(&self, commits: &[Commit]) {
        let mut state = self.lock();
        for commit in commits {
            state.progress.committed(*commit);
        }
        drop(state);
        self.may_start.notify_one();
    }

    /// Nothing starts any more, and what waits is forgotten; it was never begun.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.may_start.notify_one();
    }

    /// Partitions to pause and to resume now.
    pub(super) fn pressure(&self) -> (Vec<i32>, Vec<i32>) {
        let mut state = self.lock();
        let share = WAITING_BYTES_MAX / state.waiting.len().max(1);
        let over = |waiting: &Waiting| waiting.records.len() >= WAITING_RECORDS_MAX || waiting.bytes >= share;
        let under = |waiting: &Waiting| waiting.records.len() <= WAITING_RECORDS_MAX / 4 && waiting.bytes <= share / 4;
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for (partition, waiting) in &state.waiting {
            match state.paused.contains(partition) {
                false if over(waiting) => pause.push(*partition),
                true if under(waiting) => resume.push(*partition),
                _ => {}
            }
        }
        state.paused.extend(&pause);
        state.paused.retain(|partition| !resume.contains(partition));
        (pause, resume)
    }

    /// The broker said where the logs end.
    pub(super) fn log_ends(&self, ends: impl Iterator<Item = (i32, i64)>) {
        self.lock().log_end.extend(ends);
    }

    /// Records unread or unfinished, as far as the broker has said where the logs end.
    pub(super) fn lag(&self) -> Option<u64> {
        let state = self.lock();
        let mut unread = 0;
        for partition in state.progress.partitions() {
            let end = *state.log_end.get(&partition)?;
            let next = state.progress.received_next(partition).unwrap_or(end);
            unread += u64::try_from(end - next).unwrap_or(0);
        }
        Some(unread + u64::try_from(state.progress.unfinished()).unwrap_or(u64::MAX))
    }

    /// When the oldest unfinished record was written, in Unix milliseconds.
    pub(super) fn oldest_written_ms(&self) -> Option<i64> {
        self.lock().written_ms.values().min().copied()
    }

    /// Records received and not finished, those among them that have not started, and partitions owned.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let state = self.lock();
        let waiting = state.waiting.values().map(|waiting| waiting.records.len()).sum();
        (state.progress.unfinished(), waiting, state.progress.partitions().count())
    }

    /// The partitions that are ours.
    pub(super) fn partitions(&self) -> Vec<i32> {
        self.lock().progress.partitions().collect()
    }

    /// Unfinished records, lowest of each partition, for the log of an end that could not close everything.
    pub(super) fn oldest_unfinished(&self) -> Vec<(i32, i64)> {
        self.lock().progress.oldest_unfinished().collect()
    }
}

impl State {
    fn begin(&mut self, partition: i32) {
        self.progress.assigned(partition);
        self.waiting.insert(partition, Waiting::default());
        self.ended.insert(partition, CancellationToken::new());
    }

    fn end(&mut self, partition: i32) -> Option<Commit> {
        if let Some(ended) = self.ended.remove(&partition) {
            ended.cancel();
        }
        self.waiting.remove(&partition);
        self.paused.remove(&partition);
        self.log_end.remove(&partition);
        self.written_ms.retain(|(owner, _), _| *owner != partition);
        self.progress.unassigned(partition)
    }

    /// The oldest record of the next partition in turn.
    fn take(&mut self) -> Option<Delivery> {
        let after = self.waiting.range(self.served_last.saturating_add(1)..);
        let partition = after.chain(&self.waiting).find(|(_, waiting)| !waiting.records.is_empty()).map(|(p, _)| *p)?;
        let waiting = self.waiting.get_mut(&partition)?;
        let delivery = waiting.records.pop_front()?;
        waiting.bytes = waiting.bytes.saturating_sub(delivery.size());
        self.served_last = partition;
        Some(delivery)
    }
}

impl Delivery {
    fn size(&self) -> usize {
        self.payload.as_ref().map_or(0, Vec::len) + self.key.as_ref().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn record(partition: i32, offset: i64) -> Delivery {
        Delivery {
            payload: Some(vec![0; 100]),
            key: None,
            headers: None,
            timestamp_ms: Some(offset),
            ticket: Ticket { partition, offset, epoch: 0 },
            ended: CancellationToken::new(),
        }
    }

    fn take(intake: &Intake) -> Option<Delivery> {
        intake.next().now_or_never().flatten()
    }

    #[test]
    fn one_partitions_backlog_does_not_starve_another() {
        let intake = Intake::default();
        intake.assigned(&[0, 1, 2]);
        (0..100).for_each(|offset| intake.received(record(0, offset)));
        intake.received(record(2, 7));
        let order: Vec<i32> = (0..3).map(|_| take(&intake).expect("waiting").ticket.partition).collect();
        assert!(order.contains(&2), "{order:?}");
    }

    #[test]
    fn a_revoked_partition_cancels_its_tasks_and_finishes_nothing_more() {
        let intake = Intake::default();
        intake.assigned(&[0]);
        intake.received(record(0, 10));
        intake.received(record(0, 11));
        let started = take(&intake).expect("waiting");
        let closing = intake.unassigned(&[0]);
        assert!(started.ended.is_cancelled());
        assert!(take(&intake).is_none(), "what waited is somebody else's");
        assert_eq!(closing.first().map(|commit| commit.next_offset), Some(10), "10 was not finished");
        intake.finished(started.ticket);
        assert_eq!(intake.commits(true), []);
        assert_eq!(intake.oldest_written_ms(), None);
    }

    #[test]
    fn a_recreated_topic_is_read_from_its_start() {
        let intake = Intake::default();
        intake.assigned(&[0]);
        intake.received(record(0, 99));
        let old = take(&intake).expect("waiting");
        intake.received(record(0, 0));
        assert!(old.ended.is_cancelled());
        let new = take(&intake).expect("the first record of the new log");
        intake.finished(old.ticket);
        assert_eq!(new.ticket.offset, 0);
        assert_eq!(intake.commits(false).first().map(|commit| commit.next_offset), Some(0));
    }

    #[test]
    fn nothing_starts_while_too_much_is_finished_and_uncommitted() {
        let intake = Intake::default();
        intake.assigned(&[0]);
        (0..1000).for_each(|offset| intake.received(record(0, offset)));
        let mut finished = 0;
        let mut early = 0;
        while let Some(delivery) = take(&intake) {
            early += usize::from(intake.finished(delivery.ticket));
            finished += 1;
        }
        assert_eq!(finished, START_NOTHING_AT);
        assert_eq!(early, START_NOTHING_AT - COMMIT_EARLY_AT + 1);
        let commits = intake.commits(false);
        intake.committed(&commits);
        assert!(take(&intake).is_some(), "the commit was acknowledged");
    }

    #[test]
    fn a_long_backlog_pauses_its_partition_and_a_short_one_resumes_it() {
        let intake = Intake::default();
        intake.assigned(&[0, 1]);
        for offset in 0..i64::try_from(WAITING_RECORDS_MAX).expect("small") {
            intake.received(record(0, offset));
        }
        assert_eq!(intake.pressure(), (vec![0], vec![]));
        assert_eq!(intake.pressure(), (vec![], vec![]), "said once");
        while let Some(delivery) = take(&intake) {
            intake.finished(delivery.ticket);
            let commits = intake.commits(false);
            intake.committed(&commits);
        }
        assert_eq!(intake.pressure(), (vec![], vec![0]));
    }

    #[test]
    fn lag_counts_what_is_unread_and_what_is_unfinished() {
        let intake = Intake::default();
        intake.assigned(&[0]);
        assert_eq!(intake.lag(), None, "the broker has not said where the log ends");
        intake.received(record(0, 5));
        intake.log_ends([(0, 10)].into_iter());
        assert_eq!(intake.lag(), Some(5), "four unread and one unfinished");
    }
}
