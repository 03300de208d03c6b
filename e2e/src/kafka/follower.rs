//! A thread that copies outcomes, dead letters and the group's commits into a ledger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};

use rdkafka::topic_partition_list::Offset;

use super::{
    ANSWER_PATIENCE, DeadLetter, Kafka, Names, OutcomeRecord, blocking, consumer, detach, history, partitions,
};
use crate::ledger::{Ledger, Place};

const POLL_PATIENCE: Duration = Duration::from_millis(50);

/// Follows its topics; it ends when dropped.
pub struct Follower {
    client: Arc<BaseConsumer>,
    read: Arc<Mutex<BTreeMap<(String, i32), i64>>>,
    partitions: Vec<(String, i32)>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    pub(super) fn start(kafka: &Kafka, ledger: Ledger, commits_from: &[(i32, i64)]) -> anyhow::Result<Follower> {
        // It assigns by hand and commits nothing, so the name of its group only has to differ from the downloader's.
        let client = consumer(kafka.brokers(), &format!("{}.follower", kafka.names().group))?;
        let mut list = partitions(&client, &kafka.names().outcomes)?;
        for element in partitions(&client, &kafka.names().dead)?.elements() {
            list.add_partition_offset(element.topic(), element.partition(), element.offset())
                .context("list partitions")?;
        }
        let mut read = BTreeMap::new();
        for (partition, next) in commits_from {
            list.add_partition_offset(history::TOPIC, *partition, Offset::Offset(*next)).context("list partitions")?;
            read.insert((history::TOPIC.to_owned(), *partition), *next);
        }
        client.assign(&list).context("follow outcomes, dead letters and commits")?;
        let partitions =
            list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect();
        let (client, read, stop) = (Arc::new(client), Arc::new(Mutex::new(read)), Arc::new(AtomicBool::new(false)));
        let reading = Reading {
            client: client.clone(),
            read: Arc::clone(&read),
            stop: stop.clone(),
            names: kafka.names().clone(),
            ledger,
        };
        let thread = std::thread::Builder::new().name("follower".into()).spawn(move || reading.run());
        let thread = Some(thread.context("start the follower's thread")?);
        Ok(Follower { client, read, partitions, stop, thread })
    }

    /// Whether everything that the broker held when this was called has reached the ledger; if not, what is missing.
    ///
    /// # Errors
    /// The broker does not answer, or records are still unread.
    pub async fn caught_up(&self) -> anyhow::Result<()> {
        let (client, partitions) = (self.client.clone(), self.partitions.clone());
        let ends = blocking(move || {
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

struct Reading {
    client: Arc<BaseConsumer>,
    read: Arc<Mutex<BTreeMap<(String, i32), i64>>>,
    stop: Arc<AtomicBool>,
    names: Names,
    ledger: Ledger,
}

impl Reading {
    fn run(self) {
        while !self.stop.load(Ordering::Relaxed) {
            // Errors are a broker that is away; records come when it is back.
            if let Some(Ok(record)) = self.client.poll(POLL_PATIENCE) {
                self.take(&record);
                let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
                read.insert((record.topic().to_owned(), record.partition()), record.offset() + 1);
            }
        }
    }

    fn take(&self, record: &BorrowedMessage<'_>) {
        let (place, at_ms) =
            (Place { partition: record.partition(), offset: record.offset() }, record.timestamp().to_millis());
        if record.topic() == history::TOPIC {
            let key = record.key().unwrap_or_default();
            return match history::read(&self.names, key, record.payload(), at_ms.unwrap_or_default()) {
                Ok(commit) => commit.into_iter().for_each(|commit| self.ledger.saw_commit(commit)),
                Err(error) => self.ledger.saw_stray(format!("the commit at {place} cannot be read: {error:#}")),
            };
        }
        let (key, headers) = (record.key().map(<[u8]>::to_vec), detach(record.headers()));
        if record.topic() != self.names.outcomes {
            let payload = record.payload().map(<[u8]>::to_vec);
            return self.ledger.saw_dead_letter(DeadLetter { payload, key, headers, place, at_ms });
        }
        match serde_json::from_slice(record.payload().unwrap_or_default()) {
            Ok(outcome) => self.ledger.saw_outcome(OutcomeRecord { outcome, key, headers, place, at_ms }),
            Err(error) => self.ledger.saw_stray(format!("the outcome at {place} cannot be read: {error}")),
        }
    }
}
