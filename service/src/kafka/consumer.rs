//! The one consumer of the process: a poll thread that never stops polling, whatever waits behind it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::commit::{self, Commits, Committer};
use super::intake::{Delivery, Intake, Sizes};
use super::producer::AckedOutcome;
use super::rebalance::Callbacks;
use crate::config::Settings;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::progress::Progress;

/// The longest the poll thread sleeps: the latency of pausing, resuming and stopping.
const POLL_PATIENCE: Duration = Duration::from_millis(50);
/// Records taken at most before there is time for all else; those that are there cost no more than themselves.
const BURST_MAX: usize = 64;
/// The same error is logged at most this often.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// A last commit that was refused is made again after this long.
const CLOSE_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Leaving the group takes a moment; a broker that is gone must not hold the end up.
const LEAVE_PATIENCE: Duration = Duration::from_secs(5);

/// Records in, finished records out.
pub struct Consumer {
    intake: Arc<Intake>,
    commits: Commits,
    running: Mutex<Option<Running>>,
    stop: Arc<AtomicBool>,
    failed: watch::Receiver<Option<String>>,
}

/// What ends with the drain.
struct Running {
    client: Arc<BaseConsumer<Callbacks>>,
    poll: JoinHandle<()>,
    committer: JoinHandle<()>,
}

/// How a consumer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// Partitions that were ours when the drain began and whose last commit was not acknowledged.
    pub unclosed: Vec<i32>,
    /// Records received and unfinished, by partition and offset.
    pub unfinished: Vec<(i32, i64)>,
}

impl Consumer {
    /// Joins the group and begins to receive. It does not wait for the broker.
    ///
    /// # Errors
    /// The client refuses a property, which it names, or no thread can be started.
    pub fn start(settings: &Settings, run_id: &str, health: Health, metrics: Metrics) -> anyhow::Result<Consumer> {
        let topic = settings.kafka_input_topic.clone();
        // A run id that is not ours is only a name, too.
        let run_id = u64::from_str_radix(run_id, 16).unwrap_or_default();
        let progress = Progress::new(&settings.kafka_consumer_group, &topic, run_id, settings.commit_lease);
        let (commits, requests) = commit::channel();
        let intake = Intake::new(progress, settings.parallel_operations, commits.clone(), metrics.clone());
        let intake = Arc::new(intake);
        let callbacks = Callbacks {
            intake: intake.clone(),
            commits: commits.clone(),
            health: health.clone(),
            metrics: metrics.clone(),
            topic: topic.clone(),
            broker_up: Mutex::new(None),
            without_brokers: AtomicU32::new(0),
        };
        let client: BaseConsumer<Callbacks> = super::client::consumer(settings)
            .create_with_context(callbacks)
            .context("make the Kafka consumer (see KAFKA_PROPERTIES)")?;
        let client = Arc::new(client);
        client.subscribe(&[&topic]).context("subscribe to the topic of tasks")?;
        let committer = Committer {
            client: client.clone(),
            intake: intake.clone(),
            metrics: metrics.clone(),
            topic: topic.clone(),
            interval: settings.commit_interval,
            lease: settings.commit_lease,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let (failure, failed) = watch::channel(None);
        let poller = Poller {
            client: client.clone(),
            intake: intake.clone(),
            health,
            metrics,
            topic,
            stop: stop.clone(),
            failure,
        };
        let committer = committer.start(requests)?;
        let poll = std::thread::Builder::new().name("kafka-poll".into());
        let poll = poll.spawn(move || poller.run()).context("start the poll thread")?;
        let running = Mutex::new(Some(Running { client, poll, committer }));
        Ok(Consumer { intake, commits, running, stop, failed })
    }

    /// The next records to work on, 1..=`most` of them; `None` once the consumer drains.
    ///
    /// # Cancel safety
    /// Safe: no record is lost.
    pub async fn next(&self, most: usize) -> Option<Vec<Delivery>> {
        self.intake.next(most).await
    }

    /// The record is finished, by the broker's own word. Too late for a partition that is no longer ours: ignored.
    pub fn complete(&self, record: Delivery, _proof: AckedOutcome) {
        self.intake.finished(record);
    }

    /// Waits until the client fails for good, and says why.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn failed(&self) -> String {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or_default(),
            Err(_) => "the poll thread ended".to_owned(),
        }
    }

    /// Nothing starts from now on. Polling goes on, so that the group keeps us while tasks finish.
    pub fn stop_starting(&self) {
        self.intake.close();
        if let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
            && let Ok(assignment) = running.client.assignment()
            && let Err(error) = running.client.pause(&assignment)
        {
            warn!(%error, "cannot pause; what arrives now is left to others");
        }
    }

    /// Ends at once, without a last commit: the client has failed. Its threads end on their own.
    pub fn abandon(&self) {
        self.intake.lost(&self.intake.partitions());
        self.intake.close();
        self.part();
    }

    /// The last commit and the farewell, within `patience`. Blocks.
    pub fn drain(&self, patience: Duration) -> Drained {
        let deadline = Instant::now() + patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        let unfinished = self.intake.open_records();
        let mut owed = self.intake.close_all();
        // Refused in the middle of a rebalance: once the poll thread has served that, the commit is taken, or the partition
        // is no longer ours.
        while !owed.is_empty() && !self.commits.close(owed, left()) && !left().is_zero() {
            std::thread::sleep(CLOSE_AGAIN_AFTER.min(left()));
            owed = self.intake.owed();
        }
        let unclosed = self.intake.unclosed();
        let gone = self.part();
        if gone.recv_timeout(left().min(LEAVE_PATIENCE)).is_err() {
            warn!("the group was not left in time; the broker will notice at the session timeout");
        }
        Drained { unclosed, unfinished }
    }

    /// Stops both threads and leaves the group. The receiver hears when that is done.
    fn part(&self) -> Receiver<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.commits.stop();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Leaving polls without a bound (rdkafka's drop), so it happens on a thread that may be left behind.
        let (done, gone) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            if let Some(running) = running {
                let _ = running.poll.join();
                let _ = running.committer.join();
                drop(running.client);
            }
            let _ = done.send(());
        });
        gone
    }

    /// Records unread or unfinished.
    pub fn lag(&self) -> Option<u64> {
        self.intake.lag()
    }

    /// When the oldest unfinished record was written, in Unix milliseconds.
    pub fn oldest_written_ms(&self) -> Option<i64> {
        self.intake.oldest_written_ms()
    }

    /// Numbers for the gauges.
    pub fn sizes(&self) -> Sizes {
        self.intake.sizes()
    }
}

struct Poller {
    client: Arc<BaseConsumer<Callbacks>>,
    intake: Arc<Intake>,
    health: Health,
    metrics: Metrics,
    topic: String,
    stop: Arc<AtomicBool>,
    failure: watch::Sender<Option<String>>,
}

impl Poller {
    fn run(self) {
        let (mut logged, mut received) = (VecDeque::new(), BTreeMap::new());
        while !self.stop.load(Ordering::Relaxed) {
            self.health.poll_turned();
            let mut patience = POLL_PATIENCE;
            for _ in 0..BURST_MAX {
                match self.client.poll(patience) {
                    Some(Ok(record)) => {
                        *received.entry(record.partition()).or_default() += 1;
                        self.take(&record);
                    }
                    Some(Err(error)) if self.fails(&error, &mut logged) => return,
                    Some(Err(_)) => {}
                    None => break,
                }
                patience = Duration::ZERO;
            }
            if !received.is_empty() {
                self.intake.look();
            }
            while let Some((partition, records)) = received.pop_first() {
                self.metrics.records_received(partition, records);
            }
            if self.client.context().is_stranded() {
                return self.fail("it has lost every broker and looks for none".to_owned());
            }
            self.relieve();
        }
    }

    fn take(&self, record: &BorrowedMessage<'_>) {
        let delivery = Delivery::new(
            record.payload().map(<[u8]>::to_vec),
            record.key().map(<[u8]>::to_vec),
            record.headers().map(rdkafka::message::BorrowedHeaders::detach),
            record.timestamp().to_millis(),
            (record.partition(), record.offset()),
        );
        if !self.intake.received(delivery) {
            self.change_flow(vec![record.partition()], "pause");
        }
    }

    /// Pauses partitions with a long backlog and resumes those with a short one.
    fn relieve(&self) {
        let (pause, resume) = self.intake.pressure();
        self.change_flow(pause, "pause");
        self.change_flow(resume, "resume");
    }

    fn change_flow(&self, partitions: Vec<i32>, act: &'static str) {
        if partitions.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        let result = if act == "pause" { self.client.pause(&list) } else { self.client.resume(&list) };
        if let Err(error) = result {
            warn!(%error, act, "cannot change the flow of a partition");
        }
    }

    /// Says what went wrong; true: for good.
    fn fails(&self, error: &KafkaError, logged: &mut VecDeque<(String, Instant)>) -> bool {
        if let Some((code, reason)) = self.client.client().fatal_error() {
            self.fail(format!("{code:?}: {reason}"));
            return true;
        }
        let code = error.rdkafka_error_code();
        let missing = matches!(code, Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic));
        let message = match missing {
            true => format!("topic '{}' does not exist; create it, or run 'downloader setup'", self.topic),
            false => error.to_string(),
        };
        logged.retain(|(_, at)| at.elapsed() < WARN_EVERY);
        if !logged.iter().any(|(known, _)| *known == message) {
            info!(message, "waiting for the broker");
            logged.push_back((message, Instant::now()));
        }
        false
    }

    fn fail(&self, cause: String) {
        error!(cause, "the Kafka client failed for good");
        // Whatever it still holds is no longer known to be ours (I7).
        self.intake.lost(&self.intake.partitions());
        let _ = self.failure.send(Some(cause));
    }
}
