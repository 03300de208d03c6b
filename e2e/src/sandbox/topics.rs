//! The topics of one sandbox.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use crate::expect::eventually;
use crate::kafka::Kafka;

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(15);

/// Creates the three topics, each with several partitions on the one broker, and waits until it leads them all: a broker
/// acknowledges a topic before it knows of it.
///
/// # Errors
/// The broker refused: for instance since another test has the same name.
pub(super) async fn create(kafka: &Kafka) -> anyhow::Result<()> {
    let mut config = ClientConfig::new();
    let admin: AdminClient<DefaultClientContext> =
        config.set("bootstrap.servers", kafka.brokers()).create().context("make the admin client")?;
    let names = kafka.names();
    let topics = [&names.tasks, &names.outcomes, &names.dead]
        .map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    for result in admin.create_topics(&topics, &options).await.context("ask for the topics")? {
        result.map_err(|(topic, error)| anyhow!("topic {topic}: {error}"))?;
    }
    let admin = Arc::new(admin);
    for topic in [&names.tasks, &names.outcomes, &names.dead] {
        let (admin, topic) = (admin.clone(), topic.clone());
        let led = eventually(format!("topic {topic} is led"), PATIENCE, async || {
            let (admin, topic) = (admin.clone(), topic.clone());
            let asked = tokio::task::spawn_blocking(move || is_led(&admin, &topic)).await;
            asked.unwrap_or_else(|panic| Err(panic.to_string()))
        });
        led.or_error().await?;
    }
    Ok(())
}

fn is_led(admin: &AdminClient<DefaultClientContext>, topic: &str) -> Result<(), String> {
    let metadata = admin.inner().fetch_metadata(Some(topic), PATIENCE).map_err(|error| error.to_string())?;
    let partitions =
        metadata.topics().iter().filter(|found| found.name() == topic).flat_map(|found| found.partitions());
    let led = partitions.filter(|partition| partition.leader() >= 0).count();
    if i32::try_from(led) == Ok(PARTITIONS) { Ok(()) } else { Err(format!("{led} of {PARTITIONS} partitions are led")) }
}
