//! The consumer's clients of Kafka, the store and the origin, and what the client of the group calls back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::KafkaResult;
use rdkafka::producer::FutureProducer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Defect, Shared};
use crate::bucket::{Bucket, BucketPlace};
use crate::kafka::{GroupCommit, Names};
use crate::sandbox::Sandbox;

const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) names: Names,
    pub(super) consumer: Arc<StreamConsumer<Callbacks>>,
    pub(super) producer: FutureProducer,
    pub(super) bucket: Bucket,
    pub(super) http: reqwest::Client,
}

impl Clients {
    pub(super) fn new(
        sandbox: &Sandbox,
        store: Option<&str>,
        poll_interval_max: Duration,
        shared: &Arc<Shared>,
    ) -> anyhow::Result<Clients> {
        let (kafka, poll_ms) = (sandbox.kafka(), poll_interval_max.as_millis().to_string());
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.brokers()).set("client.id", "naive");
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let mut group = config.clone();
        group
            .set("group.id", &kafka.names().group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("auto.offset.reset", "earliest")
            .set("session.timeout.ms", "3000")
            .set("heartbeat.interval.ms", "300")
            .set("max.poll.interval.ms", poll_ms)
            .set("topic.metadata.refresh.interval.ms", "500")
            .set("fetch.wait.max.ms", "20")
            .set("enable.auto.commit", shared.has(Defect::AutoCommit).to_string())
            .set("auto.commit.interval.ms", "100");
        let callbacks = Callbacks { shared: shared.clone(), names: kafka.names().clone() };
        let consumer: StreamConsumer<Callbacks> =
            group.create_with_context(callbacks).context("make the group's client")?;
        consumer.subscribe(&[&kafka.names().tasks]).context("subscribe to the tasks")?;
        let producer = config.set("linger.ms", "1").set("message.timeout.ms", "1000").create();
        let place = sandbox.bucket_place();
        let endpoint = store.unwrap_or(&place.endpoint).to_owned();
        Ok(Clients {
            names: kafka.names().clone(),
            consumer: Arc::new(consumer),
            producer: producer.context("make the producer")?,
            bucket: Bucket::open(&BucketPlace { endpoint, ..place.clone() })?,
            // A gate may hold an answer for as long as it likes.
            http: reqwest::Client::builder().build().context("make the client of origins")?,
        })
    }
}

/// Commits, and waits for the answer.
pub(super) fn commit(consumer: &impl Consumer<Callbacks>, topic: &str, commits: &[GroupCommit]) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    for commit in commits {
        let mut element = list.add_partition(topic, commit.partition);
        element.set_offset(Offset::Offset(commit.offset))?;
        element.set_metadata(commit.metadata.as_str());
    }
    consumer.commit(&list, CommitMode::Sync)
}

/// What the group's client tells of rebalances.
pub(super) struct Callbacks {
    shared: Arc<Shared>,
    names: Names,
}

impl ClientContext for Callbacks {}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, client: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        let (shared, lost) = (&self.shared, client.assignment_lost());
        if lost {
            shared.counts.losses.fetch_add(1, Ordering::SeqCst);
        } else {
            shared.say(|commits| commit(client, &self.names.tasks, commits));
        }
        let kept = if lost { Defect::CommitAfterLoss } else { Defect::CommitForMovedPartition };
        if shared.has(kept) {
            return shared.partitions().say_again();
        }
        for element in list.elements() {
            shared.partitions().gone(element.partition());
        }
    }

    fn post_rebalance(&self, client: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(list) = rebalance else { return };
        let mut asked = TopicPartitionList::new();
        for element in list.elements() {
            asked.add_partition(element.topic(), element.partition());
        }
        let held = match client.committed_offsets(asked, ANSWER_PATIENCE) {
            Ok(held) => held,
            Err(error) => return eprintln!("naive: the group's commits can't be read: {error}"),
        };
        for element in held.elements() {
            let offset = element.offset().to_raw().filter(|offset| *offset >= 0);
            let partition = element.partition();
            let held = offset.map(|offset| GroupCommit { partition, offset, metadata: element.metadata().to_owned() });
            self.shared.partitions().assigned(partition, held.as_ref(), self.shared.defect);
        }
    }
}
