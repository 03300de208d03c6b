//! The topic of dead letters, read from its start to the end it had when it was opened. No group is joined and nothing is
//! committed, so a kill here changes nothing: whoever reads next finds the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _, OwnedHeaders};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info};

use super::headers::text;
use crate::config::Settings;

/// A broker that says nothing for this long ends the reading.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// Where a letter stands in the topic of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The letter's own offset.
    pub offset: i64,
}

/// The record that died. The time belongs to it because a topic that is made anew counts its offsets anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The partition.
    pub partition: i32,
    /// The record's own offset.
    pub offset: i64,
    /// When it was written, in Unix milliseconds.
    pub timestamp_ms: Option<i64>,
}

/// A dead letter.
#[derive(Debug)]
pub struct Letter {
    /// Where it stands.
    pub place: Place,
    /// When it was written, in Unix milliseconds.
    pub written_ms: Option<i64>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: OwnedHeaders,
}

/// What a letter says of the record it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inscription {
    /// The record's topic.
    pub topic: String,
    /// The record; where it was put back and died again, the one that died first.
    pub source: Source,
    /// Why it died.
    pub code: String,
    /// How often it has died.
    pub deaths: u32,
    /// The payload's length, where the payload was too large to come along.
    pub left_out_bytes: Option<u64>,
}

/// This header of a letter is missing or cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its header {0} is missing or cannot be read")]
pub struct Unreadable(&'static str);

impl Letter {
    fn of(record: &BorrowedMessage<'_>) -> Letter {
        Letter {
            place: Place { partition: record.partition(), offset: record.offset() },
            written_ms: record.timestamp().to_millis(),
            payload: record.payload().map(<[u8]>::to_vec),
            key: record.key().map(<[u8]>::to_vec),
            headers: record.headers().map(rdkafka::message::BorrowedHeaders::detach).unwrap_or_default(),
        }
    }

    /// What it says of its record.
    ///
    /// # Errors
    /// A header that every dead letter has is missing or cannot be read: it was written by somebody else.
    pub fn inscription(&self) -> Result<Inscription, Unreadable> {
        let said = |name: &'static str| text(&self.headers, name).ok_or(Unreadable(name));
        let died = source(said, "dead.partition", "dead.offset", "dead.timestamp")?;
        let left_out_bytes = match text(&self.headers, "dead.payload.bytes") {
            Some(bytes) => Some(number(bytes, "dead.payload.bytes")?),
            None => None,
        };
        Ok(Inscription {
            topic: said("dead.topic")?.to_owned(),
            source: source(said, "replay.partition", "replay.offset", "replay.timestamp").unwrap_or(died),
            code: said("dead.code")?.to_owned(),
            deaths: number(said("dead.attempts")?, "dead.attempts")?,
            left_out_bytes,
        })
    }
}

fn source<'a>(
    said: impl Fn(&'static str) -> Result<&'a str, Unreadable>,
    partition: &'static str,
    offset: &'static str,
    timestamp: &'static str,
) -> Result<Source, Unreadable> {
    let timestamp_ms = match said(timestamp)? {
        "" => None,
        ms => Some(number(ms, timestamp)?),
    };
    Ok(Source { partition: number(said(partition)?, partition)?, offset: number(said(offset)?, offset)?, timestamp_ms })
}

fn number<T: std::str::FromStr>(text: &str, name: &'static str) -> Result<T, Unreadable> {
    text.parse().map_err(|_| Unreadable(name))
}

/// The client calls the end of a partition an error, and would log it as one. What matters comes from receiving too.
struct Callbacks;

impl ClientContext for Callbacks {
    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "the Kafka client reports an error");
    }
}

impl ConsumerContext for Callbacks {}

/// The topic of dead letters as it was when it was opened.
pub struct DeadLog {
    client: Arc<StreamConsumer<Callbacks>>,
    topic: String,
    /// First and next offset of each partition.
    bounds: BTreeMap<i32, (i64, i64)>,
    /// The partitions that are not read to their end, and that end.
    unread: BTreeMap<i32, i64>,
    waiting_since: Option<Instant>,
}

impl DeadLog {
    /// Finds the topic and its bounds, waiting for the broker for a while.
    ///
    /// # Errors
    /// The client refuses a property, the topic does not exist, or the broker does not answer.
    pub async fn open(settings: &Settings) -> anyhow::Result<DeadLog> {
        let client = super::client::reader(settings).create_with_context(Callbacks);
        let client: Arc<StreamConsumer<Callbacks>> =
            Arc::new(client.context("make the Kafka consumer (see KAFKA_PROPERTIES)")?);
        let topic = settings.kafka_dead_topic.clone();
        let began = Instant::now();
        let bounds = loop {
            let (asked, name) = (client.clone(), topic.clone());
            match tokio::task::spawn_blocking(move || bounds(&asked, &name)).await.context("ask the broker")? {
                Ok(bounds) => break bounds,
                Err(error) if began.elapsed() > SILENCE_MAX => {
                    return Err(error).with_context(|| format!("find topic '{topic}' (KAFKA_DEAD_TOPIC)"));
                }
                Err(error) => {
                    info!(brokers = settings.kafka_brokers, %error, "waiting for the broker");
                    tokio::time::sleep(RETRY_EVERY).await;
                }
            }
        };
        ensure!(
            !bounds.is_empty(),
            "topic '{topic}' does not exist (KAFKA_DEAD_TOPIC); create it, or run 'downloader setup'"
        );
        Ok(DeadLog { client, topic, bounds, unread: BTreeMap::new(), waiting_since: None })
    }

    /// Offsets between the bounds of all partitions: the most letters there can be.
    pub fn letters_max(&self) -> u64 {
        self.bounds.values().map(|(low, high)| u64::try_from(high - low).unwrap_or(0)).sum()
    }

    /// From here on [`DeadLog::next`] reads from the start again.
    ///
    /// # Errors
    /// The client refuses.
    pub fn rewind(&mut self) -> anyhow::Result<()> {
        self.unread =
            self.bounds.iter().filter(|(_, (low, high))| high > low).map(|(p, (_, high))| (*p, *high)).collect();
        self.waiting_since = None;
        let mut list = TopicPartitionList::new();
        for partition in self.unread.keys() {
            let low = self.bounds.get(partition).map_or(0, |(low, _)| *low);
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(low)).context("list partitions")?;
        }
        self.client.assign(&list).with_context(|| format!("read '{}'", self.topic))
    }

    /// The next letter, in order within its partition; `None` at the end.
    ///
    /// # Errors
    /// The broker has said nothing for too long.
    ///
    /// # Cancel safety
    /// Safe: no letter is lost.
    pub async fn next(&mut self) -> anyhow::Result<Option<Letter>> {
        while !self.unread.is_empty() {
            let deadline = *self.waiting_since.get_or_insert_with(Instant::now) + SILENCE_MAX;
            let received = timeout_at(deadline, self.client.recv()).await;
            match received {
                Ok(Ok(record)) => {
                    self.waiting_since = None;
                    let (partition, offset) = (record.partition(), record.offset());
                    let Some(end) = self.unread.get(&partition).copied() else { continue };
                    if offset + 1 >= end {
                        self.unread.remove(&partition);
                    }
                    if offset < end {
                        return Ok(Some(Letter::of(&record)));
                    }
                }
                // The last offsets may hold nothing: compacted, or a transaction's marker.
                Ok(Err(KafkaError::PartitionEOF(partition))) => {
                    self.waiting_since = None;
                    self.unread.remove(&partition);
                }
                Ok(Err(error)) if Instant::now() < deadline => info!(%error, "waiting for the broker"),
                Ok(Err(error)) => return Err(error).with_context(|| format!("read '{}'", self.topic)),
                Err(_elapsed) => bail!("the broker has sent nothing of '{}' for {SILENCE_MAX:?}", self.topic),
            }
        }
        Ok(None)
    }
}

/// First and next offset of each partition; none: there is no such topic.
fn bounds(client: &StreamConsumer<Callbacks>, topic: &str) -> Result<BTreeMap<i32, (i64, i64)>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), ANSWER_PATIENCE)?;
    let partitions =
        metadata.topics().iter().filter(|found| found.name() == topic).flat_map(|found| found.partitions());
    let bounds = |partition: i32| Ok((partition, client.fetch_watermarks(topic, partition, ANSWER_PATIENCE)?));
    partitions.map(|partition| bounds(partition.id())).collect()
}
