//! The topics of one sandbox: made, cut short, and made again under the same name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::expect::eventually;
use crate::kafka::Kafka;
use crate::ledger::Place;

const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than a controller takes to give up a broker that has not reported, once both go on.
const STEADY: Duration = Duration::from_secs(3);
/// Most bytes that a record of a topic may have.
const RECORD_MAX: &str = "max.message.bytes";

type Admin = Arc<AdminClient<DefaultClientContext>>;

/// Partitions of outcomes and of dead letters.
const OUTCOME_PARTITIONS: i32 = 4;

/// Creates the three topics on the one broker, that of the tasks with so many partitions. What is written to `refused` is too
/// large for it from the first record on: a setting that is made later takes effect some time after it was taken.
///
/// # Errors
/// The broker refused: for instance since another test has the same name.
pub(super) async fn create(kafka: &Kafka, partitions: i32, refused: Option<&str>) -> anyhow::Result<()> {
    let names = kafka.names();
    let tasks = NewTopic::new(&names.tasks, partitions, TopicReplication::Fixed(1));
    // By the broker's clock, so that an outcome and a commit can be told apart by time.
    let [outcomes, dead] = [&names.outcomes, &names.dead].map(|name| {
        let topic = NewTopic::new(name, OUTCOME_PARTITIONS, TopicReplication::Fixed(1));
        let topic = topic.set("message.timestamp.type", "LogAppendTime");
        if refused == Some(name.as_str()) { topic.set(RECORD_MAX, "1") } else { topic }
    });
    make(kafka, &[tasks, outcomes, dead]).await
}

/// Deletes the topic of tasks. Returns once the broker knows of none.
///
/// # Errors
/// The broker refused.
pub(super) async fn delete_tasks(kafka: &Kafka) -> anyhow::Result<()> {
    let (admin, topic) = (admin(kafka)?, &kafka.names().tasks);
    for result in admin.delete_topics(&[topic], &options()).await.context("ask to delete it")? {
        result.map_err(|(topic, error)| anyhow!("topic {topic}: {error}"))?;
    }
    let gone = eventually(format!("topic {topic} is gone"), PATIENCE, async || match led(&admin, topic).await {
        Ok(0) => Ok(()),
        other => Err(format!("{other:?} partitions are led")),
    });
    Ok(gone.or_error().await?)
}

/// Makes the topic of tasks again, as `create` did but for one partition.
///
/// # Errors
/// The broker refused.
pub(super) async fn create_tasks(kafka: &Kafka) -> anyhow::Result<()> {
    make(kafka, &[NewTopic::new(&kafka.names().tasks, 1, TopicReplication::Fixed(1))]).await
}

/// Deletes every task below `place`.
///
/// # Errors
/// The broker refused.
pub(super) async fn delete_below(kafka: &Kafka, place: Place) -> anyhow::Result<()> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&kafka.names().tasks, place.partition, Offset::Offset(place.offset))?;
    let deleted = admin(kafka)?.delete_records(&list, &options()).await.context("ask to delete them")?;
    deleted.elements().iter().try_for_each(|element| element.error()).context("delete them")
}

/// From some time after this a topic of outcomes or dead letters refuses what is written to it, as too large.
///
/// # Errors
/// The broker refused.
pub(super) async fn refuse_writes(kafka: &Kafka, topic: &str) -> anyhow::Result<()> {
    alter(kafka, outcome_config(topic).set(RECORD_MAX, "1")).await
}

/// Takes back that a topic of outcomes or dead letters refuses what is written to it.
///
/// # Errors
/// The broker refused.
pub(super) async fn take_writes(kafka: &Kafka, topic: &str) -> anyhow::Result<()> {
    alter(kafka, outcome_config(topic)).await
}

/// What is not named goes back to its default.
fn outcome_config(topic: &str) -> AlterConfig<'_> {
    AlterConfig::new(ResourceSpecifier::Topic(topic)).set("message.timestamp.type", "LogAppendTime")
}

async fn alter(kafka: &Kafka, config: AlterConfig<'_>) -> anyhow::Result<()> {
    for altered in admin(kafka)?.alter_configs(&[config], &options()).await.context("ask for it")? {
        altered.map_err(|(what, error)| anyhow!("{what:?}: {error}"))?;
    }
    Ok(())
}

/// Makes topics and waits until the broker leads them all: it acknowledges a topic before it knows of it.
async fn make(kafka: &Kafka, topics: &[NewTopic<'_>]) -> anyhow::Result<()> {
    let admin = admin(kafka)?;
    for result in admin.create_topics(topics, &options()).await.context("ask for the topics")? {
        result.map_err(|(topic, error)| anyhow!("topic {topic}: {error}"))?;
    }
    for topic in topics {
        let led = eventually(format!("topic {} is led", topic.name), PATIENCE, async || {
            match led(&admin, topic.name).await? {
                led if led == topic.num_partitions => Ok(()),
                led => Err(format!("{led} of {} partitions are led", topic.num_partitions)),
            }
        });
        led.or_error().await?;
    }
    Ok(())
}

/// Returns once the broker has led all partitions of the topic of tasks for [`STEADY`]. One that stood still for long is given
/// up for a moment after it goes on, and a client that asks just then may never look for a leader again, or for a broker
/// (librdkafka's issues 5430 and 5301): so each asks once.
///
/// # Errors
/// It doesn't.
pub(super) async fn led_for_good(kafka: &Kafka, partitions: i32) -> anyhow::Result<()> {
    let topic = &kafka.names().tasks;
    let mut since = None;
    let steady = eventually(format!("topic {topic} is led for good"), PATIENCE, async || {
        let found = led(&admin(kafka).map_err(|error| format!("{error:#}"))?, topic).await;
        if found != Ok(partitions) {
            since = None;
            return Err(format!("{found:?} of {partitions} partitions are led"));
        }
        let begun = *since.get_or_insert_with(Instant::now);
        if begun.elapsed() >= STEADY { Ok(()) } else { Err("not for long".to_owned()) }
    });
    Ok(steady.or_error().await?)
}

/// How many partitions of `topic` are led.
async fn led(admin: &Admin, topic: &str) -> Result<i32, String> {
    let (admin, topic) = (admin.clone(), topic.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let metadata = admin.inner().fetch_metadata(Some(&topic), PATIENCE).map_err(|error| error.to_string())?;
        let found = metadata.topics().iter().filter(|found| found.name() == topic);
        let led = found.flat_map(|found| found.partitions()).filter(|partition| partition.leader() >= 0).count();
        i32::try_from(led).map_err(|error| error.to_string())
    });
    asked.await.unwrap_or_else(|panic| Err(panic.to_string()))
}

fn admin(kafka: &Kafka) -> anyhow::Result<Admin> {
    let admin = ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create();
    Ok(Arc::new(admin.context("make the admin client")?))
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}
