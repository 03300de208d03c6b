//! The two peers: a bare loop of the Kafka client, and one consumer for each parallel task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{CONSUMERS, Clock, Rate, Run, SINGLES, TASKS, group, send, sender};

fn receiver(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", group())
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "cooperative-sticky");
    config
}

/// Unfinished offsets, and the next one to receive, of each partition.
type Open = Arc<Mutex<BTreeMap<i32, (BTreeSet<i64>, i64)>>>;

pub(super) async fn bare(run: &Run) -> anyhow::Result<Rate> {
    let producer = sender(&run.brokers)?;
    let consumer: Arc<StreamConsumer> = Arc::new(receiver(&run.brokers).create().context("make a consumer")?);
    consumer.subscribe(&[TASKS]).context("subscribe")?;
    let (permits, open) = (Arc::new(Semaphore::new(run.cap)), Open::default());
    let committing = tokio::spawn(commit_each_second(consumer.clone(), open.clone()));
    let (mut tasks, mut began, mut finished) = (JoinSet::new(), None, 0);
    while finished < run.records {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                ended.context("a task panicked")?;
                finished += 1;
            }
            (record, permit) = async {
                let permit = permits.clone().acquire_owned().await;
                (consumer.recv().await.map(|record| record.detach()), permit)
            } => {
                let (record, permit) = (record.context("receive")?, permit.context("a permit")?);
                began.get_or_insert_with(Clock::start);
                let (partition, offset) = (record.partition(), record.offset());
                let mut held = open.lock().expect("no panic");
                let held = held.entry(partition).or_default();
                held.0.insert(offset);
                held.1 = offset + 1;
                let (run, producer, open) = (run.clone(), producer.clone(), open.clone());
                tasks.spawn(async move {
                    let _permit = permit;
                    run.work().await;
                    send(&producer, record.payload()).await.expect("the broker answers");
                    let mut open = open.lock().expect("no panic");
                    open.entry(partition).or_default().0.remove(&offset);
                });
            }
        }
    }
    let rate = began.context("nothing was received")?.stop(run.records);
    tasks.shutdown().await;
    committing.abort();
    let _ = committing.await;
    tokio::task::spawn_blocking(move || drop(consumer)).await.context("leave")?;
    Ok(rate)
}

async fn commit_each_second(consumer: Arc<StreamConsumer>, open: Open) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut list = TopicPartitionList::new();
        for (partition, (unfinished, next)) in open.lock().expect("no panic").iter() {
            let lowest = unfinished.first().copied().unwrap_or(*next);
            list.add_partition_offset(TASKS, *partition, Offset::Offset(lowest)).expect("an offset");
        }
        let consumer = consumer.clone();
        let committed = tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync));
        let _ = committed.await;
    }
}

/// One consumer for each parallel task.
pub(super) async fn singles(run: &Run, most: usize) -> anyhow::Result<Rate> {
    let producer = sender(&run.brokers)?;
    let each = (run.records.min(most) / CONSUMERS as usize).max(1);
    let group = group();
    let mut consumers = Vec::new();
    for partition in 0..CONSUMERS {
        let mut config = receiver(&run.brokers);
        config.set("group.id", &group).set("fetch.message.max.bytes", "65536");
        let consumer: StreamConsumer = config.create().context("make a consumer")?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(SINGLES, partition, Offset::Beginning)?;
        consumer.assign(&list).context("assign")?;
        // Connections and the first fetch are not part of the time.
        let first = consumer.recv().await.context("receive")?.detach();
        consumers.push((Arc::new(consumer), first));
    }
    let began = Clock::start();
    let mut loops = JoinSet::new();
    for (consumer, mut record) in consumers {
        let (run, producer) = (run.clone(), producer.clone());
        loops.spawn(async move {
            for at in 1..=each {
                run.work().await;
                send(&producer, record.payload()).await.expect("the broker answers");
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(SINGLES, record.partition(), Offset::Offset(record.offset() + 1))
                    .expect("an offset");
                let committer = consumer.clone();
                let committed = tokio::task::spawn_blocking(move || committer.commit(&list, CommitMode::Sync));
                committed.await.expect("no panic").expect("committed");
                if at < each {
                    record = consumer.recv().await.expect("a record").detach();
                }
            }
            consumer
        });
    }
    let consumers = loops.join_all().await;
    let rate = began.stop(each * CONSUMERS as usize);
    tokio::task::spawn_blocking(move || drop(consumers)).await.context("leave")?;
    Ok(rate)
}
