//! Every span, attribute and metric name, written once.
//!
//! Names are those of the OpenTelemetry semantic conventions 1.42.0 where these have one; a test compares them with the
//! published list. The rest begins with `downloader.` (metrics) or is a plain word (their attributes).

/// The conventions these names belong to; sent along with every span and metric.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";
/// Instrumentation scope of our spans and metrics, and the default of `service.name`.
pub const SERVICE: &str = "downloader";

// Span names. `process` and `send` are followed by the topic.

/// One record, from its receipt to its acknowledged outcome.
pub const PROCESS: &str = "process";
/// One produced record.
pub const SEND: &str = "send";
/// One suspect record in a process of its own.
pub const TRIAL: &str = "trial";
/// One request to an origin.
pub const GET: &str = "GET";
/// Decoding and scaling.
pub const THUMBNAIL: &str = "thumbnail";
/// The original, into the bucket.
pub const PUT_ORIGINAL: &str = "put original";
/// The thumbnail, into the bucket.
pub const PUT_THUMBNAIL: &str = "put thumbnail";
/// An original that was stored before, out of the bucket.
pub const GET_ORIGINAL: &str = "get original";

/// Attributes of spans and metrics, from the conventions.
pub mod attribute {
    #![allow(missing_docs, reason = "the conventions document them")]

    pub const AWS_S3_BUCKET: &str = "aws.s3.bucket";
    pub const AWS_S3_KEY: &str = "aws.s3.key";
    pub const ERROR_TYPE: &str = "error.type";
    pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
    pub const HTTP_RESPONSE_BODY_SIZE: &str = "http.response.body.size";
    /// That of one header, `content-type`.
    pub const HTTP_RESPONSE_HEADER_CONTENT_TYPE: &str = "http.response.header.content-type";
    pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
    pub const MESSAGING_CONSUMER_GROUP_NAME: &str = "messaging.consumer.group.name";
    pub const MESSAGING_DESTINATION_NAME: &str = "messaging.destination.name";
    pub const MESSAGING_DESTINATION_PARTITION_ID: &str = "messaging.destination.partition.id";
    pub const MESSAGING_KAFKA_OFFSET: &str = "messaging.kafka.offset";
    pub const MESSAGING_MESSAGE_CONVERSATION_ID: &str = "messaging.message.conversation_id";
    pub const MESSAGING_OPERATION_NAME: &str = "messaging.operation.name";
    pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
    pub const MESSAGING_SYSTEM: &str = "messaging.system";
    pub const NETWORK_PEER_ADDRESS: &str = "network.peer.address";
    pub const RPC_METHOD: &str = "rpc.method";
    pub const RPC_SYSTEM: &str = "rpc.system";
    pub const SERVER_ADDRESS: &str = "server.address";
    pub const SERVER_PORT: &str = "server.port";
    pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
    pub const SERVICE_NAME: &str = "service.name";
    pub const SERVICE_VERSION: &str = "service.version";
    pub const URL_FULL: &str = "url.full";
}

/// Attributes of our own metrics.
pub mod label {
    /// `ok`, `error` or `cancelled`.
    pub const OUTCOME: &str = "outcome";
    /// `fetch`, `thumbnail`, `put`, `get` or `send`.
    pub const STAGE: &str = "stage";
    /// `kafka` or `store`.
    pub const DEPENDENCY: &str = "dependency";
    /// Of a rebalance `assigned`, `revoked` or `lost`; of an original `reused` or `replaced`.
    pub const KIND: &str = "kind";
}

/// Fields that the bridge from `tracing` to OpenTelemetry reads instead of passing them on.
pub mod bridge {
    /// The span's name.
    pub const NAME: &str = "otel.name";
    /// The span's kind.
    pub const KIND: &str = "otel.kind";
    /// Marks the span as failed, with a description.
    pub const STATUS_DESCRIPTION: &str = "otel.status_description";
}

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// Only grows.
    Counter,
    /// A value now.
    Gauge,
    /// A distribution of values.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As OpenTelemetry has it.
    pub name: &'static str,
    /// How it counts.
    pub instrument: Instrument,
    /// UCUM unit, `{thing}` for a count of things.
    pub unit: &'static str,
    /// Its attributes.
    pub attributes: &'static [&'static str],
    /// One line for `/metrics` and the README.
    pub meaning: &'static str,
}

impl Metric {
    /// The name in `/metrics`: underscores for dots, then the unit, then `_total` for a counter.
    pub fn prometheus_name(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            "1" => "_ratio",
            _ => "",
        };
        let total = if self.instrument == Instrument::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }
}

macro_rules! metrics {
    ($($constant:ident = $instrument:ident $name:literal $unit:literal [$($attribute:expr),*] $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $constant: Metric = Metric {
                name: $name,
                instrument: Instrument::$instrument,
                unit: $unit,
                attributes: &[$($attribute),*],
                meaning: $meaning,
            };
        )*
        /// All metrics, in the order of the README's table.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    CONSUMED_MESSAGES = Counter "messaging.client.consumed.messages" "{message}"
        [attribute::MESSAGING_DESTINATION_PARTITION_ID] "Records received from the topic of tasks.";
    PROCESS_DURATION = Histogram "messaging.process.duration" "s"
        [attribute::ERROR_TYPE] "Time from a task's start to its acknowledged outcome, retries and waits included.";
    OPERATION_DURATION = Histogram "messaging.client.operation.duration" "s"
        [attribute::MESSAGING_OPERATION_NAME, attribute::ERROR_TYPE] "Time from asking for a commit to the broker's answer.";
    TASKS_STARTED = Counter "downloader.tasks.started" "{task}" [] "Tasks begun, reruns included.";
    TASKS_ENDED = Counter "downloader.tasks.ended" "{task}"
        [label::OUTCOME, attribute::ERROR_TYPE] "Tasks by what became of them; cancelled ones run again elsewhere.";
    TASKS_IN_FLIGHT = Gauge "downloader.tasks.in_flight" "{task}" [] "Tasks started and not finished.";
    TASKS_WAITING = Gauge "downloader.tasks.waiting" "{task}" [] "Records received that have not started yet.";
    TASKS_LAG = Gauge "downloader.tasks.lag" "{task}" [] "Tasks of the assigned partitions that are unread or unfinished.";
    OLDEST_UNFINISHED_AGE = Gauge "downloader.tasks.oldest_unfinished.age" "s" [] "Age of the oldest record received and not finished.";
    STAGE_DURATION = Histogram "downloader.stage.duration" "s"
        [label::STAGE, label::OUTCOME] "Time one attempt of one stage took.";
    RETRIES = Counter "downloader.retries" "{retry}" [attribute::ERROR_TYPE] "Attempts that failed and are made again.";
    INFRASTRUCTURE_WAITS = Counter "downloader.infrastructure.waits" "{wait}"
        [label::DEPENDENCY] "Times a task waited because a dependency of ours failed.";
    DEAD_LETTERS = Counter "downloader.dead_letters" "{record}" [attribute::ERROR_TYPE] "Records written to the topic of dead letters.";
    ORIGINALS_FOUND = Counter "downloader.originals.found" "{object}" [label::KIND]
        "Originals stored before under a task's key: reused, or replaced because they are not of the same record.";
    REBALANCES = Counter "downloader.rebalances" "{rebalance}" [label::KIND] "Changes of the assignment.";
    PARTITIONS_ASSIGNED = Gauge "downloader.partitions.assigned" "{partition}" [] "Partitions this process owns.";
    PARTITIONS_PAUSED = Gauge "downloader.partitions.paused" "{partition}"
        [] "Partitions that wait because enough of their records were received.";
    PARTITIONS_UNLEASED = Gauge "downloader.partitions.unleased" "{partition}"
        [] "Partitions of which nothing starts or is published, because no commit was acknowledged for COMMIT_LEASE.";
    RECORDS_SKIPPED = Counter "downloader.records.skipped" "{record}"
        [] "Records that were received and that a former owner's commit names as finished.";
    RECORDS_EXPIRED = Counter "downloader.records.expired" "{record}"
        [] "Records that the topic's retention took before they were finished: lost.";
    METADATA_DISTRUSTED = Counter "downloader.metadata.distrusted" "{commit}"
        [attribute::ERROR_TYPE] "Commits of a former owner whose metadata was not believed, so that finished work ran again.";
    METADATA_UNITS = Gauge "downloader.metadata.units" "{unit}"
        [] "Largest metadata of a partition's last commit, in UTF-16 units; Kafka takes 4096 by default.";
    METADATA_SHARE = Gauge "downloader.metadata.share" "1"
        [] "Part of its allowance that this metadata takes; at 1 records wait for older ones to finish.";
    STRIKES = Gauge "downloader.strikes" "{end}"
        [] "Unclean ends in a row over the same records, the most of any partition; from 2 on they run in child processes.";
    CLIENT_REBUILDS = Counter "downloader.kafka.client.rebuilds" "{rebuild}"
        [label::KIND] "Times Kafka clients were made again: both, since one failed or lost every broker, or the producer, since it left something undelivered.";
    SOURCE_HELD = Gauge "downloader.source.held" "By" [] "Bytes of images held at once.";
    DECODE_HELD = Gauge "downloader.decode.held" "By" [] "Bytes reserved for decoders at once.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_semantic_conventions as published;

    macro_rules! as_published {
        ($($constant:ident)*) => {{ $(assert_eq!(attribute::$constant, published::attribute::$constant);)* }};
    }

    #[test]
    #[allow(deprecated, reason = "the conventions for S3 still ask for rpc.system")]
    fn names_are_those_of_the_published_conventions() {
        assert_eq!(SCHEMA_URL, published::SCHEMA_URL);
        as_published! {
            AWS_S3_BUCKET AWS_S3_KEY ERROR_TYPE HTTP_REQUEST_METHOD HTTP_RESPONSE_BODY_SIZE HTTP_RESPONSE_STATUS_CODE
            MESSAGING_CONSUMER_GROUP_NAME MESSAGING_DESTINATION_NAME MESSAGING_DESTINATION_PARTITION_ID
            MESSAGING_KAFKA_OFFSET MESSAGING_MESSAGE_CONVERSATION_ID MESSAGING_OPERATION_NAME MESSAGING_OPERATION_TYPE
            MESSAGING_SYSTEM NETWORK_PEER_ADDRESS RPC_METHOD RPC_SYSTEM SERVER_ADDRESS SERVER_PORT SERVICE_INSTANCE_ID
            SERVICE_NAME SERVICE_VERSION URL_FULL
        }
        let of_header = format!("{}.content-type", published::attribute::HTTP_RESPONSE_HEADER);
        assert_eq!(attribute::HTTP_RESPONSE_HEADER_CONTENT_TYPE, of_header);
        assert_eq!(CONSUMED_MESSAGES.name, published::metric::MESSAGING_CLIENT_CONSUMED_MESSAGES);
        assert_eq!(PROCESS_DURATION.name, published::metric::MESSAGING_PROCESS_DURATION);
        assert_eq!(OPERATION_DURATION.name, published::metric::MESSAGING_CLIENT_OPERATION_DURATION);
    }

    #[test]
    fn metrics_of_our_own_carry_our_name_and_no_name_appears_twice() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert!(
            names.iter().all(|name| name.starts_with("downloader.") || name.starts_with("messaging.")),
            "{names:?}"
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }
}
