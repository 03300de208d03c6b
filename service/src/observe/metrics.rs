//! What happens -> numbers. Each instrument is read by Prometheus' scrape and, where exported, by OTLP.
//!
//! Recording never waits: no I/O, no lock that is held across any.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use serde::{Deserialize, Serialize};

use super::names::{self, Metric, attribute, label};
use crate::error::{Code, Dependency};
use crate::progress::Distrust;

/// Bounds of every histogram of durations, in seconds: from a commit on a near broker to a task's deadline.
const DURATION_BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// A stage of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Stage {
    Fetch,
    Thumbnail,
    Put,
    Get,
    Send,
}

impl Stage {
    /// The name used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Fetch => "fetch",
            Stage::Thumbnail => "thumbnail",
            Stage::Put => "put",
            Stage::Get => "get",
            Stage::Send => "send",
        }
    }
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// An `Ok` outcome is acknowledged.
    Ok,
    /// An `Error` outcome, or the dead letter, is acknowledged.
    Error(Code),
    /// Given up without an outcome: the partition is lost, or the process drains. It runs again.
    Cancelled,
}

/// Values that are asked for when somebody reads the metrics. Answers at once: it runs within the scrape.
pub trait Gauges: Send + Sync {
    /// Tasks started and not finished.
    fn in_flight(&self) -> u64;
    /// Records received that have not started yet.
    fn waiting(&self) -> u64;
    /// Bytes of images held.
    fn source_bytes_held(&self) -> u64;
    /// Bytes reserved for decoding.
    fn decode_bytes_held(&self) -> u64;
    /// Unread and unfinished tasks of the assigned partitions; none while the ends of the partitions are unknown.
    fn lag(&self) -> Option<u64>;
    /// Age of the oldest record that is received and not finished.
    fn oldest_unfinished_age(&self) -> Option<Duration>;
    /// Partitions owned.
    fn partitions(&self) -> u64;
    /// Partitions that are paused because enough of their records wait.
    fn partitions_paused(&self) -> u64;
    /// Partitions of which nothing starts and nothing is published, because no commit was acknowledged for a while.
    fn partitions_unleased(&self) -> u64;
    /// The largest metadata of a partition's last commit, in UTF-16 units.
    fn metadata_units(&self) -> u64;
    /// The part of its allowance that this metadata takes, 0 to 1.
    fn metadata_share(&self) -> f64;
    /// Unclean ends in a row over the records of one partition.
    fn strikes(&self) -> u64;
}

type GaugeSource = Arc<RwLock<Option<Arc<dyn Gauges>>>>;

/// Every metric of the process; clones record into the same ones.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    provider: SdkMeterProvider,
    gauges: GaugeSource,
    /// Attributes of everything that concerns the topic of tasks. Their texts are shared, for they go along with every record.
    consumer: [KeyValue; 3],
    consumed_messages: Counter<u64>,
    process_duration: Histogram<f64>,
    operation_duration: Histogram<f64>,
    tasks_started: Counter<u64>,
    tasks_ended: Counter<u64>,
    stage_duration: Histogram<f64>,
    retries: Counter<u64>,
    infrastructure_waits: Counter<u64>,
    dead_letters: Counter<u64>,
    originals_found: Counter<u64>,
    rebalances: Counter<u64>,
    records_skipped: Counter<u64>,
    records_expired: Counter<u64>,
    metadata_distrusted: Counter<u64>,
    client_rebuilds: Counter<u64>,
}

impl Metrics {
    /// Metrics of a process that reads `topic` for `group`. `readers` are those beside Prometheus' scrape.
    ///
    /// # Errors
    /// The scrape cannot be set up.
    pub(super) fn new(
        readers: MeterProviderBuilder,
        resource: Resource,
        topic: &str,
        group: &str,
    ) -> anyhow::Result<Metrics> {
        let registry = Registry::new();
        let scrape =
            opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build()?;
        let provider = readers.with_reader(scrape).with_resource(resource).build();
        let scope = InstrumentationScope::builder(names::SERVICE).with_schema_url(names::SCHEMA_URL).build();
        let meter = provider.meter_with_scope(scope);
        let gauges = GaugeSource::default();
        register_gauges(&meter, &gauges);
        Ok(Metrics {
            inner: Arc::new(Inner {
                consumer: [
                    KeyValue::new(attribute::MESSAGING_SYSTEM, "kafka"),
                    KeyValue::new(attribute::MESSAGING_DESTINATION_NAME, shared(topic)),
                    KeyValue::new(attribute::MESSAGING_CONSUMER_GROUP_NAME, shared(group)),
                ],
                consumed_messages: counter(&meter, names::CONSUMED_MESSAGES),
                process_duration: durations(&meter, names::PROCESS_DURATION),
                operation_duration: durations(&meter, names::OPERATION_DURATION),
                tasks_started: counter(&meter, names::TASKS_STARTED),
                tasks_ended: counter(&meter, names::TASKS_ENDED),
                stage_duration: durations(&meter, names::STAGE_DURATION),
                retries: counter(&meter, names::RETRIES),
                infrastructure_waits: counter(&meter, names::INFRASTRUCTURE_WAITS),
                dead_letters: counter(&meter, names::DEAD_LETTERS),
                originals_found: counter(&meter, names::ORIGINALS_FOUND),
                rebalances: counter(&meter, names::REBALANCES),
                records_skipped: counter(&meter, names::RECORDS_SKIPPED),
                records_expired: counter(&meter, names::RECORDS_EXPIRED),
                metadata_distrusted: counter(&meter, names::METADATA_DISTRUSTED),
                client_rebuilds: counter(&meter, names::CLIENT_REBUILDS),
                registry,
                provider,
                gauges,
            }),
        })
    }

    /// Metrics that nobody exports, for a pipeline that runs without [`Telemetry`](super::Telemetry). They can be rendered.
    pub fn unexported() -> Metrics {
        Metrics::new(MeterProviderBuilder::default(), Resource::builder_empty().build(), "unexported", "unexported")
            .expect("invariant: a new registry takes its first collector")
    }

    /// So many records were received.
    pub fn records_received(&self, partition: i32, records: u64) {
        let partition = KeyValue::new(attribute::MESSAGING_DESTINATION_PARTITION_ID, partition.to_string());
        self.inner.consumed_messages.add(records, &self.inner.about_consumer("poll", [partition]));
    }

    /// A task was begun.
    pub fn task_started(&self) {
        self.inner.tasks_started.add(1, &[]);
    }

    /// A task ended `elapsed` after it was begun.
    pub fn task_ended(&self, end: End, elapsed: Duration) {
        let (outcome, code) = match end {
            End::Ok => ("ok", None),
            End::Error(code) => ("error", Some(code)),
            End::Cancelled => ("cancelled", None),
        };
        let error_type = code.map(|code| KeyValue::new(attribute::ERROR_TYPE, code.as_str()));
        let labels: Vec<_> = [KeyValue::new(label::OUTCOME, outcome)].into_iter().chain(error_type.clone()).collect();
        self.inner.tasks_ended.add(1, &labels);
        // A cancelled task was not processed, and its time would say nothing about those that were.
        if end != End::Cancelled {
            let labels = self.inner.about_consumer(names::PROCESS, error_type);
            self.inner.process_duration.record(elapsed.as_secs_f64(), &labels);
        }
    }

    /// One attempt of a stage took `elapsed`.
    pub fn stage(&self, stage: Stage, elapsed: Duration, ok: bool) {
        let labels = [
            KeyValue::new(label::STAGE, stage.as_str()),
            KeyValue::new(label::OUTCOME, if ok { "ok" } else { "error" }),
        ];
        self.inner.stage_duration.record(elapsed.as_secs_f64(), &labels);
    }

    /// An attempt failed with `code` and will be made again.
    pub fn retried(&self, code: Code) {
        self.inner.retries.add(1, &[KeyValue::new(attribute::ERROR_TYPE, code.as_str())]);
    }

    /// A task waited because `dependency` failed.
    pub fn infrastructure_waited(&self, dependency: Dependency) {
        self.inner.infrastructure_waits.add(1, &[KeyValue::new(label::DEPENDENCY, dependency.as_str())]);
    }

    /// A record was written to the topic of dead letters.
    pub fn dead_letter(&self, code: Code) {
        self.inner.dead_letters.add(1, &[KeyValue::new(attribute::ERROR_TYPE, code.as_str())]);
    }

    /// An original was found under a task's key: `reused` or `replaced`.
    pub fn original_found(&self, kind: &'static str) {
        self.inner.originals_found.add(1, &[KeyValue::new(label::KIND, kind)]);
    }

    /// The broker answered a commit after `elapsed`; `error` names what it said if it refused.
    pub fn commit(&self, elapsed: Duration, error: Option<&'static str>) {
        let error = error.map(|error| KeyValue::new(attribute::ERROR_TYPE, error));
        let kind = KeyValue::new(attribute::MESSAGING_OPERATION_TYPE, "settle");
        let labels = self.inner.about_consumer("commit", [kind].into_iter().chain(error));
        self.inner.operation_duration.record(elapsed.as_secs_f64(), &labels);
    }

    /// The assignment changed: `assigned`, `revoked` or `lost`.
    pub fn rebalanced(&self, kind: &'static str) {
        self.inner.rebalances.add(1, &[KeyValue::new(label::KIND, kind)]);
    }

    /// A record was received that a predecessor had finished.
    pub fn record_skipped(&self) {
        self.inner.records_skipped.add(1, &[]);
    }

    /// Retention took unfinished records before anyone reached them.
    pub fn records_expired(&self, count: u64) {
        self.inner.records_expired.add(count, &[]);
    }

    /// The metadata of a predecessor's commit was not believed.
    pub fn metadata_distrusted(&self, cause: Distrust) {
        self.inner.metadata_distrusted.add(1, &[KeyValue::new(attribute::ERROR_TYPE, cause.as_str())]);
    }

    /// A Kafka client is made again: it `failed` for good, or is a producer that left something `undelivered`.
    pub fn client_rebuilt(&self, why: &'static str) {
        self.inner.client_rebuilds.add(1, &[KeyValue::new(label::KIND, why)]);
    }

    /// From now on the gauges ask `source`; it replaces an earlier one.
    pub fn observe(&self, source: Arc<dyn Gauges>) {
        *self.inner.gauges.write().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.inner.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics cannot be written as text");
        }
        text
    }

    pub(super) fn provider(&self) -> SdkMeterProvider {
        self.inner.provider.clone()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Inner {
    fn about_consumer(&self, operation: &'static str, more: impl IntoIterator<Item = KeyValue>) -> Vec<KeyValue> {
        let operation = KeyValue::new(attribute::MESSAGING_OPERATION_NAME, operation);
        self.consumer.iter().cloned().chain([operation]).chain(more).collect()
    }
}

fn shared(text: &str) -> Value {
    Arc::<str>::from(text).into()
}

fn counter(meter: &Meter, metric: Metric) -> Counter<u64> {
    meter.u64_counter(metric.name).with_unit(metric.unit).with_description(metric.meaning).build()
}

fn durations(meter: &Meter, metric: Metric) -> Histogram<f64> {
    meter
        .f64_histogram(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.meaning)
        .with_boundaries(DURATION_BOUNDS.to_vec())
        .build()
}

fn register_gauges(meter: &Meter, source: &GaugeSource) {
    let gauge = |metric: Metric, read: fn(&dyn Gauges) -> Option<u64>| {
        let source = Arc::clone(source);
        meter
            .u64_observable_gauge(metric.name)
            .with_unit(metric.unit)
            .with_description(metric.meaning)
            .with_callback(move |observer| {
                if let Some(value) = current(&source).and_then(|source| read(source.as_ref())) {
                    observer.observe(value, &[]);
                }
            })
            .build();
    };
    gauge(names::TASKS_IN_FLIGHT, |source| Some(source.in_flight()));
    gauge(names::TASKS_WAITING, |source| Some(source.waiting()));
    gauge(names::TASKS_LAG, |source| source.lag());
    gauge(names::PARTITIONS_ASSIGNED, |source| Some(source.partitions()));
    gauge(names::PARTITIONS_PAUSED, |source| Some(source.partitions_paused()));
    gauge(names::PARTITIONS_UNLEASED, |source| Some(source.partitions_unleased()));
    gauge(names::METADATA_UNITS, |source| Some(source.metadata_units()));
    gauge(names::STRIKES, |source| Some(source.strikes()));
    gauge(names::SOURCE_HELD, |source| Some(source.source_bytes_held()));
    gauge(names::DECODE_HELD, |source| Some(source.decode_bytes_held()));

    let gauge = |metric: Metric, read: fn(&dyn Gauges) -> Option<f64>| {
        let source = Arc::clone(source);
        meter
            .f64_observable_gauge(metric.name)
            .with_unit(metric.unit)
            .with_description(metric.meaning)
            .with_callback(move |observer| {
                if let Some(value) = current(&source).and_then(|source| read(source.as_ref())) {
                    observer.observe(value, &[]);
                }
            })
            .build();
    };
    gauge(names::OLDEST_UNFINISHED_AGE, |source| source.oldest_unfinished_age().map(|age| age.as_secs_f64()));
    gauge(names::METADATA_SHARE, |source| Some(source.metadata_share()));
}

/// The source of the gauges, without holding the lock while it answers.
fn current(source: &GaugeSource) -> Option<Arc<dyn Gauges>> {
    source.read().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests;
