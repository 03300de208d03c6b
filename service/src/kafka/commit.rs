//! Positions to and from the broker, on a thread of its own: a synchronous commit can hang for as long as the network
//! does, and nobody waits for one without a deadline. One commit is under way at a time.
//!
//! What is newly assigned is opened here: the group's offset and metadata are read, reading is set to begin there, and a
//! first commit claims the partition. A topic that was made anew is noticed here, and opened again. Killed here: the broker keeps the older position, which is just as true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::committed;
use super::intake::Intake;
use super::log_id::LogIds;
use super::rebalance::Callbacks;
use crate::observe::metrics::Metrics;
use crate::progress::{Commit, Epoch};

/// An owner says again what it holds, so that a stale commit of a former owner doesn't stand for long, and so that its
/// lease goes on; with a short lease, more often.
const REPEAT_AFTER_MAX: Duration = Duration::from_secs(10);
/// Refusals are logged at most this often.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// How long the broker may take to say what a group holds.
const OPEN_PATIENCE: Duration = Duration::from_secs(5);
/// How long the broker may take to say, on the way, which log a partition is. No commit waits for that.
const ASK_PATIENCE: Duration = Duration::from_secs(1);
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Bytes of metadata in one request: brokers refuse a whole request near 1 MiB, and then nothing of it is kept.
const METADATA_BYTES_MAX: usize = 256 << 10;

enum Request {
    Now,
    Close { commits: Vec<Commit>, until: Instant, reply: SyncSender<bool> },
    Stop,
}

/// Asks the commit thread.
#[derive(Clone, Debug)]
pub(super) struct Commits {
    requests: Sender<Request>,
    asked: Arc<AtomicBool>,
}

/// The other end of [`Commits`], before the thread runs.
pub(super) struct Requests {
    requests: Receiver<Request>,
    asked: Arc<AtomicBool>,
}

pub(super) fn channel() -> (Commits, Requests) {
    let (sender, receiver) = mpsc::channel();
    let asked = Arc::new(AtomicBool::new(false));
    (Commits { requests: sender, asked: asked.clone() }, Requests { requests: receiver, asked })
}

impl Commits {
    /// Open and commit without waiting for the interval.
    pub(super) fn soon(&self) {
        if !self.asked.swap(true, Ordering::AcqRel) {
            let _ = self.requests.send(Request::Now);
        }
    }

    /// The last commit for partitions that are given up. Blocks up to `patience`; true: the broker acknowledged it.
    pub(super) fn close(&self, commits: Vec<Commit>, patience: Duration) -> bool {
        if commits.is_empty() {
            return true;
        }
        let (reply, answer) = mpsc::sync_channel(1);
        let request = Request::Close { commits, until: Instant::now() + patience, reply };
        self.requests.send(request).is_ok() && answer.recv_timeout(patience) == Ok(true)
    }

    /// Ends the thread once it is idle.
    pub(super) fn stop(&self) {
        let _ = self.requests.send(Request::Stop);
    }
}

/// What the thread needs.
pub(super) struct Committer {
    pub(super) client: Arc<BaseConsumer<Callbacks>>,
    pub(super) intake: Arc<Intake>,
    pub(super) metrics: Metrics,
    pub(super) topic: String,
    pub(super) interval: Duration,
    pub(super) lease: Duration,
}

/// What the thread remembers.
struct Memory {
    log_ids: LogIds,
    due: Instant,
    repeated: Instant,
    warned: Option<Instant>,
    /// Not before: the group's offsets could not be read.
    open_at: Instant,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start(self, requests: Requests) -> anyhow::Result<JoinHandle<()>> {
        let thread = std::thread::Builder::new().name("kafka-commit".into());
        let now = Instant::now();
        let log_ids = LogIds::new(self.client.clone(), &self.topic)?;
        let memory = Memory { log_ids, due: now + self.interval, repeated: now, warned: None, open_at: now };
        thread.spawn(move || self.run(&requests, memory)).context("start the commit thread")
    }

    fn run(self, requests: &Requests, mut memory: Memory) {
        let repeat_after = REPEAT_AFTER_MAX.min(self.lease / 2);
        loop {
            match requests.requests.recv_timeout(memory.due.saturating_duration_since(Instant::now())) {
                // Later than that the partition may have a new owner, and a broker accepts a commit that sets it back.
                Ok(Request::Close { until, .. }) if Instant::now() > until => continue,
                Ok(Request::Close { commits, reply, .. }) => {
                    let _ = reply.send(self.close(&commits, &mut memory));
                    continue;
                }
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Request::Now) | Err(RecvTimeoutError::Timeout) => {}
            }
            requests.asked.store(false, Ordering::Release);
            self.look_at_the_log(&mut memory);
            self.open(&mut memory);
            let repeat = memory.repeated.elapsed() >= repeat_after;
            if repeat && let Err(error) = memory.log_ids.ask(ASK_PATIENCE) {
                debug!("{error:#}");
            }
            let acknowledged = self.commit_all(self.intake.commits(repeat), &mut memory);
            if repeat && acknowledged {
                memory.repeated = Instant::now();
            }
            memory.due = Instant::now() + self.interval.min(repeat_after);
            if self.intake.is_opening() {
                memory.due = memory.due.min(memory.open_at.max(Instant::now()));
            }
        }
    }

    /// Where the topic was made anew since a partition was opened, that is opened again: at the same offset there is another
    /// record now, and nothing else would tell.
    fn look_at_the_log(&self, memory: &mut Memory) {
        let log_id = match memory.log_ids.answer(Duration::ZERO) {
            Ok(Some(Some(log_id))) => log_id,
            Ok(_) => return,
            Err(error) => return debug!("{error:#}"),
        };
        let stale = self.intake.of_another_log(log_id);
        if stale.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(stale.len());
        for (partition, _) in &stale {
            list.add_partition(&self.topic, *partition);
        }
        warn!(partitions = ?stale, "the topic was made anew; reading it from where the group stands in the new one");
        // What was fetched before is dropped, so that nothing arrives while it is not known where reading begins.
        if let Err(error) = self.client.pause(&list) {
            return self.warn(memory, || warn!(%error, "cannot pause partitions of a topic that was made anew"));
        }
        for (partition, epoch) in stale {
            self.intake.reopen(partition, epoch);
        }
    }

    /// Opens what was assigned: reading begins where the group says, and nothing starts before a commit has claimed it.
    fn open(&self, memory: &mut Memory) {
        let opening = self.intake.opening();
        if opening.is_empty() || Instant::now() < memory.open_at {
            return;
        }
        let partitions: Vec<i32> = opening.iter().map(|(partition, _)| *partition).collect();
        let (found, missing) =
            committed::find(&self.client, &mut memory.log_ids, &self.topic, &partitions, OPEN_PATIENCE);
        let starts = opening.iter().filter_map(|(partition, epoch)| {
            Some((*partition, *epoch, self.intake.opened(*partition, *epoch, found.get(partition)?)?))
        });
        let unread = self.read_from(&starts.collect::<Vec<_>>()).err();
        if let Some(error) = missing.or(unread) {
            memory.open_at = Instant::now() + OPEN_AGAIN_AFTER;
            self.warn(memory, || warn!("cannot begin with all that was assigned, and will try again: {error:#}"));
        }
    }

    /// Sets where reading begins; until now these partitions were paused.
    fn read_from(&self, starts: &[(i32, Epoch, i64)]) -> anyhow::Result<()> {
        let mut failed = None;
        for (partition, epoch, start) in starts {
            let mut list = TopicPartitionList::with_capacity(1);
            list.add_partition(&self.topic, *partition);
            let seek = self.client.seek(&self.topic, *partition, Offset::Offset(*start), OPEN_PATIENCE);
            if let Err(error) = seek.and_then(|()| self.client.resume(&list)) {
                // If it was taken from us meanwhile, its epoch has ended, and this does nothing.
                self.intake.reopen(*partition, *epoch);
                failed = Some((*partition, error));
            }
        }
        match failed {
            None => Ok(()),
            Some((partition, error)) => Err(error).with_context(|| format!("begin to read partition {partition}")),
        }
    }

    fn commit_all(&self, commits: Vec<Commit>, memory: &mut Memory) -> bool {
        let mut acknowledged = true;
        let mut rest = commits.as_slice();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_of(rest));
            acknowledged &= self.commit(batch, memory);
            rest = later;
        }
        acknowledged
    }

    /// One request; true: acknowledged.
    fn commit(&self, commits: &[Commit], memory: &mut Memory) -> bool {
        let sent_at = Instant::now();
        match self.send(commits) {
            Ok(()) => {
                self.intake.committed(commits, sent_at);
                debug!(partitions = commits.len(), took = ?sent_at.elapsed(), "committed");
                true
            }
            // A broker refuses one partition's metadata and keeps the others', without saying which.
            Err(error) if commits.len() > 1 && may_be_one_partitions(&error) => {
                let each = commits.iter().map(|commit| self.commit(std::slice::from_ref(commit), memory));
                each.fold(true, |all, acknowledged| all & acknowledged)
            }
            Err(error) => {
                let smaller = metadata_too_large(&error)
                    && commits.first().is_some_and(|commit| self.intake.metadata_refused(commit));
                let (took, partitions) = (sent_at.elapsed(), commits.len());
                self.warn(memory, || match smaller {
                    true => warn!(
                        partition = commits.first().map(|commit| commit.partition),
                        "the broker takes less metadata than Kafka's default (offset.metadata.max.bytes); the map of \
                         finished work is cut to half"
                    ),
                    false => warn!(%error, partitions, ?took, "a commit was not acknowledged; it will be made again"),
                });
                false
            }
        }
    }

    /// The closing commit; where its metadata is refused, the position alone.
    fn close(&self, commits: &[Commit], memory: &mut Memory) -> bool {
        let mut acknowledged = true;
        let mut rest = commits;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_of(rest));
            let result = match self.send(batch) {
                Err(error) if may_be_one_partitions(&error) => {
                    let bare: Vec<Commit> = batch.iter().map(Commit::bare).collect();
                    self.send(&bare)
                }
                result => result,
            };
            match result {
                Ok(()) => self.intake.closed(batch),
                Err(error) => {
                    self.warn(memory, || warn!(%error, "a closing commit was not acknowledged"));
                    acknowledged = false;
                }
            }
            rest = later;
        }
        acknowledged
    }

    fn send(&self, commits: &[Commit]) -> KafkaResult<()> {
        let started = Instant::now();
        let result = self.list(commits).and_then(|list| self.client.commit(&list, CommitMode::Sync));
        self.metrics.commit(started.elapsed(), result.as_ref().err().map(refusal));
        result
    }

    fn list(&self, commits: &[Commit]) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for commit in commits {
            let mut element = list.add_partition(&self.topic, commit.partition);
            element.set_offset(Offset::Offset(commit.next_offset))?;
            element.set_metadata(commit.metadata.as_str());
        }
        Ok(list)
    }

    fn warn(&self, memory: &mut Memory, say: impl FnOnce()) {
        if memory.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            memory.warned = Some(Instant::now());
            say();
        }
    }
}

/// How many of `commits` go into one request: at least one.
fn batch_of(commits: &[Commit]) -> usize {
    let mut bytes = 0;
    let fits = |commit: &&Commit| {
        bytes += commit.metadata.len();
        bytes <= METADATA_BYTES_MAX
    };
    commits.iter().take_while(fits).count().max(1).min(commits.len())
}

fn metadata_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::OffsetMetadataTooLarge)
}

fn may_be_one_partitions(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{InvalidCommitOffsetSize, MessageSizeTooLarge, OffsetMetadataTooLarge, Unknown};
    let codes = [InvalidCommitOffsetSize, MessageSizeTooLarge, OffsetMetadataTooLarge, Unknown];
    error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

/// What a refusal is called in metrics.
fn refusal(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::IllegalGeneration) => "illegal_generation",
        Some(RDKafkaErrorCode::UnknownMemberId) => "unknown_member_id",
        Some(RDKafkaErrorCode::RebalanceInProgress) => "rebalance_in_progress",
        Some(RDKafkaErrorCode::StaleMemberEpoch) => "stale_member_epoch",
        Some(RDKafkaErrorCode::FencedMemberEpoch) => "fenced_member_epoch",
        Some(RDKafkaErrorCode::FencedInstanceId) => "fenced_instance_id",
        Some(RDKafkaErrorCode::OffsetMetadataTooLarge) => "offset_metadata_too_large",
        Some(RDKafkaErrorCode::NotCoordinator | RDKafkaErrorCode::CoordinatorNotAvailable) => "not_coordinator",
        Some(RDKafkaErrorCode::WaitingForCoordinator) => "no_coordinator",
        Some(RDKafkaErrorCode::RequestTimedOut | RDKafkaErrorCode::OperationTimedOut) => "timed_out",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Found, Progress};

    fn commits(count: i32, finished: i64) -> Vec<Commit> {
        let (mut progress, now) = (Progress::new("g", "t", 1, Duration::from_secs(1)), Instant::now());
        for partition in 0..count {
            let epoch = progress.assigned(partition);
            progress.open(partition, epoch, &Found::default(), now);
            for offset in 0..finished * 2 {
                progress.received(partition, offset, None);
                if offset % 2 == 1 {
                    progress.finished(partition, epoch, offset);
                }
            }
        }
        progress.commits(true, now)
    }

    #[test]
    fn a_request_stays_far_below_the_size_that_brokers_refuse_whole() {
        let commits = commits(100, 28_000);
        let bytes: usize = commits.iter().map(|commit| commit.metadata.len()).sum();
        assert!(bytes > 4 * METADATA_BYTES_MAX, "{bytes}");
        let (mut rest, mut requests) = (commits.as_slice(), 0);
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_of(rest));
            let size: usize = batch.iter().map(|commit| commit.metadata.len()).sum();
            assert!(size <= METADATA_BYTES_MAX, "{size}");
            (rest, requests) = (later, requests + 1);
        }
        assert!((4..10).contains(&requests), "{requests}");
    }
}
