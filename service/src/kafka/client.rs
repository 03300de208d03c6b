//! Client configuration: ours, then the user's, each property to the client that knows it.

use rdkafka::config::ClientConfig;

use crate::config::{GroupProtocol, Properties, Settings};

/// Properties the downloader's promises rest on; a user's value would break them.
const REFUSED: &[&str] = &[
    "acks",
    "bootstrap.servers",
    "enable.idempotence",
    "group.id",
    "group.protocol",
    "request.required.acks",
    "transactional.id",
];
const REFUSED_PREFIX: &str = "enable.auto.";

/// Properties that only consumers know (librdkafka 2.12, CONFIGURATION.md).
const CONSUMER_ONLY: &[&str] = &[
    "allow.auto.create.topics",
    "auto.offset.reset",
    "check.crcs",
    "coordinator.query.interval.ms",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.instance.id",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
];
/// Consumer properties that only one group protocol allows.
const CLASSIC_ONLY: &[&str] =
    &["group.protocol.type", "heartbeat.interval.ms", "partition.assignment.strategy", "session.timeout.ms"];
const KIP848_ONLY: &[&str] = &["group.remote.assignor"];
/// Properties that only producers know.
const PRODUCER_ONLY: &[&str] = &[
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
];

/// The keys among `properties` that a user may not set.
pub(crate) fn refused(properties: &Properties) -> Vec<&str> {
    let keys = properties.0.iter().map(|(key, _)| key.as_str());
    keys.filter(|key| REFUSED.contains(key) || key.starts_with(REFUSED_PREFIX)).collect()
}

/// An empty configuration. Making one asks which lines are logged, and tracing-subscriber (0.3.23) takes the answer for that
/// of the thread's next span, which then may be missing from its trace. So it is asked on a thread that has no spans.
fn empty() -> ClientConfig {
    std::thread::scope(|aside| aside.spawn(ClientConfig::new).join()).unwrap_or_else(|_panicked| ClientConfig::new())
}

/// What every client has in common.
fn common(settings: &Settings) -> ClientConfig {
    let mut config = empty();
    config
        .set("bootstrap.servers", &settings.kafka_brokers)
        .set("client.id", "downloader")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        // What was sent into a network that was cut is given up soon, or work would resume a minute after it healed (I6);
        // likewise connections that were begun meanwhile.
        .set("socket.timeout.ms", "6000")
        .set("socket.connection.setup.timeout.ms", "6000")
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Warning);
    config
}

fn add(config: &mut ClientConfig, properties: &Properties, elsewhere: &[&[&str]]) {
    for (key, value) in &properties.0 {
        if !elsewhere.iter().any(|names| names.contains(&key.as_str())) {
            config.set(key, value);
        }
    }
}

/// The consumer: reads everything from the start, prefetches little, commits only what we tell it to.
pub(super) fn consumer(settings: &Settings) -> ClientConfig {
    let mut config = common(settings);
    config
        .set("group.id", &settings.kafka_consumer_group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        .set("auto.offset.reset", "earliest")
        // A small queue: what is prefetched is memory, and the backlog holds what can start soon.
        .set("queued.min.messages", "200")
        .set("queued.max.messages.kbytes", "2048")
        .set("fetch.message.max.bytes", "262144")
        // The default of one second would make a small queue run dry.
        .set("fetch.queue.backoff.ms", "20")
        // A partition that resumes waits for the broker's answer about the others, for so long where these have nothing new.
        .set("fetch.wait.max.ms", "100")
        .set("statistics.interval.ms", "2000");
    let foreign: &[&str] = match settings.kafka_group_protocol {
        GroupProtocol::Classic => {
            config.set("partition.assignment.strategy", "cooperative-sticky");
            KIP848_ONLY
        }
        GroupProtocol::Consumer => {
            config.set("group.protocol", "consumer");
            CLASSIC_ONLY
        }
    };
    add(&mut config, &settings.kafka_properties, &[PRODUCER_ONLY, foreign]);
    config
}

/// A consumer that reads a topic from end to end, outside of any group: it has the group's name, because the client wants
/// one, and never joins.
pub(super) fn reader(settings: &Settings) -> ClientConfig {
    let mut config = common(settings);
    add(&mut config, &settings.kafka_properties, &[PRODUCER_ONLY, CLASSIC_ONLY, KIP848_ONLY]);
    config
        .set("group.id", &settings.kafka_consumer_group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "20");
    config
}

/// The producer: idempotent, every in-sync replica acknowledges, and gives up well before a drain must end.
pub(super) fn producer(settings: &Settings) -> ClientConfig {
    let mut config = common(settings);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", "10000")
        .set("linger.ms", "5")
        // Where Java's producer would put the same key.
        .set("partitioner", "murmur2_random")
        // Above any input's limit: a dead letter carries the record and a little more.
        .set("message.max.bytes", "67108864");
    add(&mut config, &settings.kafka_properties, &[CONSUMER_ONLY, CLASSIC_ONLY, KIP848_ONLY]);
    config
}

/// The client that makes topics.
pub(super) fn admin(settings: &Settings) -> ClientConfig {
    let mut config = common(settings);
    add(&mut config, &settings.kafka_properties, &[CONSUMER_ONLY, CLASSIC_ONLY, KIP848_ONLY, PRODUCER_ONLY]);
    config
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn settings(properties: &str, protocol: &str) -> Settings {
        let environment =
            [("KAFKA_PROPERTIES", properties), ("KAFKA_GROUP_PROTOCOL", protocol), ("COMMIT_LEASE", "4s")];
        Settings::load(environment.map(|(name, value)| (name.into(), value.into())), &HashMap::new()).expect("reads")
    }

    #[test]
    fn a_property_goes_to_the_client_and_protocol_that_knows_it() {
        let text = "session.timeout.ms=6000;linger.ms=50;security.protocol=SSL;auto.offset.reset=latest";
        let classic = settings(text, "classic");
        assert_eq!(consumer(&classic).get("session.timeout.ms"), Some("6000"));
        assert_eq!(consumer(&classic).get("auto.offset.reset"), Some("latest"), "a default may be overridden");
        assert_eq!(consumer(&classic).get("linger.ms"), None);
        assert_eq!(producer(&classic).get("linger.ms"), Some("50"));
        assert_eq!(producer(&classic).get("session.timeout.ms"), None);
        let kip848 = settings(text, "consumer");
        assert_eq!(consumer(&kip848).get("session.timeout.ms"), None, "the broker decides it in KIP-848");
        for config in [consumer(&kip848), producer(&kip848), admin(&kip848)] {
            assert_eq!(config.get("security.protocol"), Some("SSL"));
        }
    }

    #[test]
    fn librdkafka_takes_every_configuration_we_make() {
        use rdkafka::consumer::BaseConsumer;
        use rdkafka::producer::BaseProducer;
        for protocol in ["classic", "consumer"] {
            let settings = settings("", protocol);
            consumer(&settings).create::<BaseConsumer>().expect("a consumer");
            reader(&settings).create::<BaseConsumer>().expect("a reader");
            producer(&settings).create::<BaseProducer>().expect("a producer");
        }
    }
}
