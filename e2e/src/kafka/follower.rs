//! A thread that copies outcomes, dead letters and the group's commits into a ledger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{ANSWER_PATIENCE, DeadLetter, Kafka, OutcomeRecord, consumer, detach, history, partitions};
use crate::ledger::{Ledger, Place};

const POLL_PATIENCE: Duration = Duration::from_millis(50);
/// A client is replaced at most this often: while the broker is away a new one hears at once that all are down.
const RENEWED_EVERY: Duration = Duration::from_secs(2);

/// The next offset of each partition that was read so far.
type Read = Arc<Mutex<BTreeMap<(String, i32), i64>>>;

/// Follows its topics; it ends when dropped.
pub struct Follower {
    kafka: Kafka,
    read: Read,
    partitions: Vec<(String, i32)>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    pub(super) fn start(kafka: &Kafka, ledger: Ledger, commits_from: &[(i32, i64)]) -> anyhow::Result<Follower> {
        let client = client(kafka)?;
        let mut followed = Vec::new();
        for topic in [&kafka.names().outcomes, &kafka.names().dead] {
            followed
                .extend(partitions(&client, topic)?.elements().iter().map(|found| (topic.clone(), found.partition())));
        }
        let commits = commits_from.iter().map(|(partition, next)| ((history::TOPIC.to_owned(), *partition), *next));
        let read: BTreeMap<_, _> = commits.collect();
        followed.extend(read.keys().cloned());
        let (read, stop) = (Arc::new(Mutex::new(read)), Arc::new(AtomicBool::new(false)));
        let reading = Reading {
            kafka: kafka.clone(),
            read: Arc::clone(&read),
            partitions: followed.clone(),
            stop: stop.clone(),
            ledger,
        };
        reading.assign(&client)?;
        let thread = std::thread::Builder::new().name("follower".into()).spawn(move || reading.run(client));
        let thread = Some(thread.context("start the follower's thread")?);
        Ok(Follower { kafka: kafka.clone(), read, partitions: followed, stop, thread })
    }

    /// Whether everything that the broker held when this was called has reached the ledger; if not, what is missing.
    ///
    /// # Errors
    /// The broker does not answer, or records are still unread.
    pub async fn caught_up(&self) -> anyhow::Result<()> {
        let partitions = self.partitions.clone();
        let ends = self.kafka.ask_for_group(move |_, client| {
            let end = |(topic, partition): (String, i32)| {
                let (_, high) = client.fetch_watermarks(&topic, partition, ANSWER_PATIENCE)?;
                Ok(((topic, partition), high))
            };
            partitions.into_iter().map(end).collect::<anyhow::Result<Vec<_>>>()
        });
        for ((topic, partition), high) in ends.await.context("read where the outcomes end")? {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            let next = read.get(&(topic.clone(), partition)).copied().unwrap_or(0);
            anyhow::ensure!(next >= high, "partition {partition} of '{topic}' is read up to {next} of {high}");
        }
        Ok(())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// It assigns by hand and commits nothing, so the name of its group only has to differ from the downloader's.
fn client(kafka: &Kafka) -> anyhow::Result<BaseConsumer> {
    consumer(kafka.brokers(), &format!("{}.follower", kafka.names().group))
}

struct Reading {
    kafka: Kafka,
    read: Read,
    partitions: Vec<(String, i32)>,
    stop: Arc<AtomicBool>,
    ledger: Ledger,
}

impl Reading {
    fn run(self, mut client: BaseConsumer) {
        let (mut since, mut lost) = (Instant::now(), false);
        while !self.stop.load(Ordering::Relaxed) {
            match client.poll(POLL_PATIENCE) {
                Some(Ok(record)) => {
                    self.take(&record);
                    let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
                    read.insert((record.topic().to_owned(), record.partition()), record.offset() + 1);
                }
                // A broker that is away; records come when it is back. But if it was the last, the client may never look for one
                // again (librdkafka's issue 5301).
                Some(Err(error)) => lost |= error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown),
                None => {}
            }
            if lost
                && since.elapsed() >= RENEWED_EVERY
                && let Ok(fresh) = self.anew()
            {
                let old = std::mem::replace(&mut client, fresh);
                // Its end may wait for the broker.
                std::thread::spawn(move || drop(old));
                (since, lost) = (Instant::now(), false);
            }
        }
    }

    fn anew(&self) -> anyhow::Result<BaseConsumer> {
        let client = client(&self.kafka)?;
        self.assign(&client)?;
        Ok(client)
    }

    /// Lets `client` go on where reading stands.
    fn assign(&self, client: &BaseConsumer) -> anyhow::Result<()> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = TopicPartitionList::new();
        for place in &self.partitions {
            let next = read.get(place).map_or(Offset::Beginning, |next| Offset::Offset(*next));
            list.add_partition_offset(&place.0, place.1, next).context("list partitions")?;
        }
        client.assign(&list).context("follow outcomes, dead letters and commits")
    }

    fn take(&self, record: &BorrowedMessage<'_>) {
        let (place, at_ms) =
            (Place { partition: record.partition(), offset: record.offset() }, record.timestamp().to_millis());
        if record.topic() == history::TOPIC {
            let key = record.key().unwrap_or_default();
            return match history::read(self.kafka.names(), key, record.payload(), at_ms.unwrap_or_default()) {
                Ok(commit) => commit.into_iter().for_each(|commit| self.ledger.saw_commit(commit)),
                Err(error) => self.ledger.saw_stray(format!("the commit at {place} cannot be read: {error:#}")),
            };
        }
        let (key, headers) = (record.key().map(<[u8]>::to_vec), detach(record.headers()));
        if record.topic() != self.kafka.names().outcomes {
            let payload = record.payload().map(<[u8]>::to_vec);
            return self.ledger.saw_dead_letter(DeadLetter { payload, key, headers, place, at_ms });
        }
        match serde_json::from_slice(record.payload().unwrap_or_default()) {
            Ok(outcome) => self.ledger.saw_outcome(OutcomeRecord { outcome, key, headers, place, at_ms }),
            Err(error) => self.ledger.saw_stray(format!("the outcome at {place} cannot be read: {error}")),
        }
    }
}
