//! Makes the topics that are missing. Existing ones are left as they are.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use tracing::info;

use crate::config::Settings;

/// Partitions of a new topic unless told otherwise: the most downloaders that can share its work.
pub const PARTITIONS_DEFAULT: i32 = 12;
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// Creates the three topics with `partitions` each and the broker's own replication factor, waiting for the broker.
///
/// # Errors
/// The client refuses a property, or the broker refuses a topic and says why.
pub async fn create_topics(settings: &Settings, partitions: i32) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        super::client::admin(settings).create().context("make the Kafka admin client (see KAFKA_PROPERTIES)")?;
    let names = [&settings.kafka_input_topic, &settings.kafka_output_topic, &settings.kafka_dead_topic];
    let topics: Vec<NewTopic<'_>> =
        names.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(-1))).collect();
    let options = AdminOptions::new().request_timeout(Some(ANSWER_PATIENCE));
    let results = loop {
        match admin.create_topics(&topics, &options).await {
            Ok(results) => break results,
            Err(error) => {
                info!(brokers = settings.kafka_brokers, %error, "waiting for the broker");
                tokio::time::sleep(RETRY_EVERY).await;
            }
        }
    };
    for result in results {
        match result {
            Ok(topic) => info!(topic, partitions, "topic created"),
            Err((topic, RDKafkaErrorCode::TopicAlreadyExists)) => info!(topic, "topic exists"),
            Err((topic, code)) => bail!("the broker refuses to create topic '{topic}': {code}"),
        }
    }
    Ok(())
}
