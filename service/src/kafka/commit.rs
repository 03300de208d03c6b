//! Positions to the broker, on a thread of its own: a synchronous commit can hang for as long as the network does, and
//! nobody waits for one without a deadline. One commit is under way at a time.
//!
//! Killed here: the broker keeps the older position, which is just as true.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::intake::Intake;
use super::rebalance::Callbacks;
use crate::observe::metrics::Metrics;
use crate::progress::Commit;

/// An owner says again what it holds, so that a stale commit of a former owner doesn't stand for long.
const REPEAT_AFTER: Duration = Duration::from_secs(10);
/// Refusals are logged at most this often.
const WARN_EVERY: Duration = Duration::from_secs(10);

enum Request {
    Now,
    Close { commits: Vec<Commit>, until: Instant, reply: SyncSender<bool> },
    Stop,
}

/// Asks the commit thread.
#[derive(Clone)]
pub(super) struct Commits {
    requests: Sender<Request>,
}

/// The other end of [`Commits`], before the thread runs.
pub(super) struct Requests(Receiver<Request>);

pub(super) fn channel() -> (Commits, Requests) {
    let (requests, receiver) = mpsc::channel();
    (Commits { requests }, Requests(receiver))
}

impl Commits {
    /// Commit without waiting for the interval.
    pub(super) fn soon(&self) {
        let _ = self.requests.send(Request::Now);
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
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start(self, requests: Requests) -> anyhow::Result<JoinHandle<()>> {
        let thread = std::thread::Builder::new().name("kafka-commit".into());
        thread.spawn(move || self.run(&requests.0)).context("start the commit thread")
    }

    fn run(self, requests: &Receiver<Request>) {
        let (mut due, mut repeated, mut warned) = (Instant::now() + self.interval, Instant::now(), None);
        loop {
            match requests.recv_timeout(due.saturating_duration_since(Instant::now())) {
                // Later than that the partition may have a new owner, and a broker accepts a commit that sets it back.
                Ok(Request::Close { until, .. }) if Instant::now() > until => continue,
                Ok(Request::Close { commits, reply, .. }) => {
                    let _ = reply.send(self.commit(&commits, &mut warned));
                    continue;
                }
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Request::Now) | Err(RecvTimeoutError::Timeout) => {}
            }
            let repeat = repeated.elapsed() >= REPEAT_AFTER;
            let commits = self.intake.commits(repeat);
            if self.commit(&commits, &mut warned) && repeat {
                repeated = Instant::now();
            }
            due = Instant::now() + self.interval;
        }
    }

    /// One commit; true: acknowledged, or there was nothing to say.
    fn commit(&self, commits: &[Commit], warned: &mut Option<Instant>) -> bool {
        if commits.is_empty() {
            return true;
        }
        let started = Instant::now();
        let result = self.list(commits).and_then(|list| self.client.commit(&list, CommitMode::Sync));
        let took = started.elapsed();
        match result {
            Ok(()) => {
                self.intake.committed(commits);
                self.metrics.commit(took, None);
                debug!(partitions = commits.len(), ?took, "committed");
                true
            }
            Err(error) => {
                self.metrics.commit(took, Some("refused"));
                if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                    *warned = Some(Instant::now());
                    warn!(%error, partitions = commits.len(), ?took, "a commit was not acknowledged; it will be made again");
                }
                false
            }
        }
    }

    fn list(&self, commits: &[Commit]) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for commit in commits {
            list.add_partition_offset(&self.topic, commit.partition, Offset::Offset(commit.next_offset))?;
        }
        Ok(list)
    }
}
