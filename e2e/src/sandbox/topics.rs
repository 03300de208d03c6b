//! The topics of one sandbox.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use crate::kafka::Kafka;

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(15);

/// Creates the three topics, each with several partitions on the one broker.
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
    Ok(())
}
