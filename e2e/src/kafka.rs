//! The test's own Kafka clients: they write tasks, follow outcomes and dead letters into a ledger, and read the group's
//! offsets. Nothing here goes through the downloader's code but the names of the wire format.

mod api;
mod bulk;
mod commits;
mod follower;
mod history;
mod member;
mod topic;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use downloader::task::{Outcome, Task};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Serialize;

pub use api::Api;
pub use commits::GroupCommit;
pub use follower::Follower;
pub use history::CommitRecord;
pub use member::Member;

use crate::expect::eventually;
use crate::ledger::{Ledger, Place};

const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// How members of a group agree on who owns what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// By the members themselves, as long as there have been groups.
    Classic,
    /// By the broker (KIP-848).
    Kip848,
}

impl Protocol {
    /// Both.
    pub const BOTH: [Protocol; 2] = [Protocol::Classic, Protocol::Kip848];

    /// One word for names of tests.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Classic => "classic",
            Protocol::Kip848 => "kip_848",
        }
    }
}

/// Header names with values; Kafka allows a null value.
pub type Headers = Vec<(String, Option<Vec<u8>>)>;

/// The topics and the group of one downloader.
#[derive(Clone, Debug)]
pub struct Names {
    /// Topic of tasks.
    pub tasks: String,
    /// Topic of outcomes.
    pub outcomes: String,
    /// Topic of dead letters.
    pub dead: String,
    /// The downloader's consumer group.
    pub group: String,
}

impl Names {
    /// Names that belong to one test: `NAME.urls_new` and so on.
    pub fn of(name: &str) -> Names {
        Names {
            tasks: format!("{name}.urls_new"),
            outcomes: format!("{name}.urls_done"),
            dead: format!("{name}.urls_dead"),
            group: format!("{name}.downloader"),
        }
    }
}

/// An outcome as it stands in the topic.
#[derive(Clone, Debug)]
pub struct OutcomeRecord {
    /// What it says.
    pub outcome: Outcome,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Headers,
    /// Where it stands.
    pub place: Place,
    /// The record's timestamp, in Unix milliseconds: when the broker wrote it, where the topic says so.
    pub at_ms: Option<i64>,
}

/// A dead letter as it stands in the topic.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The record's payload.
    pub payload: Option<Vec<u8>>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's headers, those that were added included.
    pub headers: Headers,
    /// Where it stands.
    pub place: Place,
    /// As of an [`OutcomeRecord`].
    pub at_ms: Option<i64>,
}

/// Any record as it stands in its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's payload.
    pub payload: Option<Vec<u8>>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Headers,
    /// Where it stands.
    pub place: Place,
}

/// A partition of the topic of tasks, as broker and group see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionOffsets {
    /// The partition.
    pub partition: i32,
    /// What the group has committed: its next offset.
    pub committed: Option<i64>,
    /// The first offset in the log.
    pub low: i64,
    /// The offset after the last.
    pub high: i64,
}

/// A connection to a cluster for one set of [`Names`].
#[derive(Clone)]
pub struct Kafka {
    brokers: String,
    names: Names,
    producer: FutureProducer,
    /// Asks for the group's offsets; finding the coordinator takes a while, so it is kept.
    group: Arc<Mutex<Arc<BaseConsumer>>>,
}

impl Kafka {
    /// Clients for `brokers`; they connect when they are first used.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn connect(brokers: &str, names: Names) -> anyhow::Result<Kafka> {
        let mut config = common(brokers);
        config.set("enable.idempotence", "true").set("linger.ms", "1").set("message.timeout.ms", "30000");
        let producer = config.create().context("make the test's producer")?;
        let group = Arc::new(Mutex::new(Arc::new(consumer(brokers, &names.group)?)));
        Ok(Kafka { brokers: brokers.to_owned(), names, producer, group })
    }

    /// Topics and group.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Bootstrap servers, as this process reaches them.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Writes a task as management does, with the id as key.
    ///
    /// # Errors
    /// The broker did not acknowledge it.
    pub async fn produce_task(&self, task: &Task, headers: &Headers) -> anyhow::Result<Place> {
        let payload = serde_json::to_vec(task).context("write the task as JSON")?;
        self.produce(Some(task.correlation_id.to_string().as_bytes()), Some(&payload), headers).await
    }

    /// As [`Kafka::produce_task`], to a partition of the caller's choice.
    ///
    /// # Errors
    /// The broker did not acknowledge it.
    pub async fn produce_task_to(&self, partition: i32, task: &Task) -> anyhow::Result<Place> {
        let payload = serde_json::to_vec(task).context("write the task as JSON")?;
        let key = task.correlation_id.to_string();
        self.produce_to(Some(partition), Some(key.as_bytes()), Some(&payload), &Headers::new()).await
    }

    /// Writes any record to the topic of tasks.
    ///
    /// # Errors
    /// The broker did not acknowledge it.
    pub async fn produce(
        &self,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &Headers,
    ) -> anyhow::Result<Place> {
        self.produce_to(None, key, payload, headers).await
    }

    /// Writes an outcome that nobody has worked for, to a partition of the caller's choice.
    ///
    /// # Errors
    /// The broker did not acknowledge it.
    pub async fn produce_outcome_to(&self, partition: i32, outcome: &Outcome) -> anyhow::Result<Place> {
        let payload = serde_json::to_vec(outcome).context("write the outcome as JSON")?;
        let key = outcome.correlation_id.to_string();
        let headers = Headers::new();
        self.write(&self.names.outcomes, Some(partition), Some(key.as_bytes()), Some(&payload), &headers).await
    }

    async fn produce_to(
        &self,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &Headers,
    ) -> anyhow::Result<Place> {
        self.write(&self.names.tasks, partition, key, payload, headers).await
    }

    async fn write(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &Headers,
    ) -> anyhow::Result<Place> {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: value.as_deref() }));
        let record = FutureRecord { topic, partition, payload, key, timestamp: None, headers: Some(headers) };
        let sent = self.producer.send(record, ANSWER_PATIENCE).await;
        let delivery =
            sent.map_err(|(error, _record)| anyhow!(error)).with_context(|| format!("write to '{topic}'"))?;
        Ok(Place { partition: delivery.partition, offset: delivery.offset })
    }

    /// Follows outcomes and dead letters into `ledger` from the first record on, until the follower is dropped.
    ///
    /// # Errors
    /// The topics cannot be found.
    pub async fn follow(&self, ledger: &Ledger) -> anyhow::Result<Follower> {
        let (kafka, ledger) = (self.clone(), ledger.clone());
        blocking(move || Follower::start(&kafka, ledger, &[])).await
    }

    /// As [`Kafka::follow`], and every commit of the group from now on: needs a broker that keeps them as Kafka does.
    ///
    /// # Errors
    /// The topics cannot be found.
    pub async fn follow_with_commits(&self, ledger: &Ledger) -> anyhow::Result<Follower> {
        let ends = eventually("the broker keeps commits", ANSWER_PATIENCE, async || {
            self.ask_for_group(history::ends).await.map_err(|error| format!("{error:#}"))
        });
        let (kafka, ledger, ends) = (self.clone(), ledger.clone(), ends.or_error().await?);
        blocking(move || Follower::start(&kafka, ledger, &ends)).await
    }

    /// Every record that `topic` holds now, by its place.
    ///
    /// # Errors
    /// The topic cannot be found, or the broker does not answer.
    pub async fn read(&self, topic: &str) -> anyhow::Result<Vec<Record>> {
        let (kafka, topic) = (self.clone(), topic.to_owned());
        blocking(move || topic::read(&kafka, &topic)).await
    }

    /// What the group has committed of the topic of tasks, and where its logs begin and end.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn offsets(&self) -> anyhow::Result<Vec<PartitionOffsets>> {
        self.ask_for_group(|names, consumer| {
            let mut list = partitions(consumer, &names.tasks)?;
            list.set_all_offsets(Offset::Invalid).context("ask for committed offsets")?;
            let committed =
                consumer.committed_offsets(list, ANSWER_PATIENCE).context("read the group's committed offsets")?;
            let mut offsets = Vec::new();
            for element in committed.elements() {
                let (low, high) = consumer
                    .fetch_watermarks(element.topic(), element.partition(), ANSWER_PATIENCE)
                    .context("read where the logs of the tasks end")?;
                let committed = element.offset().to_raw().filter(|offset| *offset >= 0);
                offsets.push(PartitionOffsets { partition: element.partition(), committed, low, high });
            }
            Ok(offsets)
        })
        .await
    }

    /// Asks by the group's client. One that no broker answered is made anew, for it may have lost them all, for good: so the
    /// clients of librdkafka do when a lone broker that stood still names none for a moment afterwards (its issue 5301).
    async fn ask_for_group<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Names, &BaseConsumer) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let kafka = self.clone();
        blocking(move || {
            let client = kafka.group.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = ask(&kafka.names, &client);
            if answer.as_ref().is_err_and(is_unanswered) {
                let fresh = Arc::new(consumer(&kafka.brokers, &kafka.names.group)?);
                *kafka.group.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
            }
            answer
        })
        .await
    }
}

fn is_unanswered(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<KafkaError>().and_then(KafkaError::rdkafka_error_code);
    matches!(
        code,
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::WaitingForCoordinator
        )
    )
}

/// The text of the last header called `name`.
pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().rev().find(|(key, _)| key == name)?;
    std::str::from_utf8(value.as_deref()?).ok()
}

fn consumer(brokers: &str, group: &str) -> anyhow::Result<BaseConsumer> {
    let mut config = common(brokers);
    config.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config.set("fetch.queue.backoff.ms", "20").set("allow.auto.create.topics", "false");
    config.create().context("make the test's consumer")
}

/// Every partition of `topic`.
fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<TopicPartitionList> {
    let metadata =
        consumer.fetch_metadata(Some(topic), ANSWER_PATIENCE).with_context(|| format!("ask for topic '{topic}'"))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && !found.partitions().is_empty());
    let found = found.with_context(|| format!("topic '{topic}' does not exist"))?;
    let mut list = TopicPartitionList::new();
    for partition in found.partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).context("list partitions")?;
    }
    Ok(list)
}

fn common(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", "e2e")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        // A broker that is down is what some tests are about.
        .set_log_level(RDKafkaLogLevel::Emerg);
    config
}

pub(crate) fn detach(headers: Option<&rdkafka::message::BorrowedHeaders>) -> Headers {
    let headers = headers.iter().flat_map(|headers| headers.iter());
    headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("run a blocking call")?
}
