//! Settings and `OTEL_*` variables -> log lines, exported traces and metrics; and their last flush.
//!
//! Exporting happens on threads of its own, from queues that drop what does not fit: a collector that is slow or gone
//! costs spans, never time. If we are killed, at most the last few seconds of spans are missing.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;
use std::panic;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::MeterProviderBuilder;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use super::otlp::{self, Environment};
use super::{Metrics, lines, names};
use crate::config::Settings;

/// What was set up for this process. Dropping it without [`Telemetry::shutdown`] may lose the last spans.
#[derive(Debug)]
pub struct Telemetry {
    run_id: String,
    metrics: Metrics,
    traces: Option<SdkTracerProvider>,
}

/// Sets up logging, tracing, metrics and the log line of a panic, for the whole process.
///
/// # Errors
/// `LOG_LEVEL` or an `OTEL_*` variable cannot be read, or it was called before.
pub fn init(settings: &Settings) -> anyhow::Result<Telemetry> {
    let (telemetry, dispatch) = Telemetry::build(settings, &otlp::environment)?;
    tracing::dispatcher::set_global_default(dispatch).context("set up logging, which this process has done already")?;
    log_panics();
    Ok(telemetry)
}

impl Telemetry {
    /// Tells runs of the process apart: 16 hexadecimal digits.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The process's metrics.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Sends what is left, and returns after `within` at the latest. From here on nothing is exported.
    ///
    /// # Cancel safety
    /// Safe: the flush goes on by itself until the process ends.
    pub async fn shutdown(self, within: Duration) {
        let metrics = self.metrics.provider();
        let traces = self.traces;
        let flush = futures_util::future::join(
            aside("traces", move || traces.map_or(Ok(()), |traces| traces.shutdown_with_timeout(within))),
            aside("metrics", move || metrics.shutdown_with_timeout(within)),
        );
        if tokio::time::timeout(within, flush).await.is_err() {
            tracing::warn!(?within, "the last spans and metrics could not be exported in time");
        }
    }

    fn build(settings: &Settings, environment: Environment<'_>) -> anyhow::Result<(Telemetry, Dispatch)> {
        // The exporters' TLS needs a provider; whoever installs one first wins, and all of us install this one.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let terminal = std::io::stderr().is_terminal();
        let lines = lines::layer(&settings.log_level, settings.log_format, std::io::stderr, terminal)?;
        let run_id = format!("{:016x}", fastrand::u64(..));
        let resource = resource(&run_id, environment);
        let targets = otlp::Targets::read(environment)?;
        let traces = match targets.traces {
            Some(target) => {
                let exporter = target.span_exporter()?;
                let provider = SdkTracerProvider::builder().with_batch_exporter(exporter);
                Some(provider.with_resource(resource.clone()).build())
            }
            None => None,
        };
        let mut readers = MeterProviderBuilder::default();
        if let Some(target) = targets.metrics {
            readers = readers.with_periodic_exporter(target.metric_exporter()?);
        }
        let metrics = Metrics::new(readers, resource, &settings.kafka_input_topic, &settings.kafka_consumer_group)
            .context("set up metrics")?;
        let lines = Registry::default().with(lines);
        // Without a provider there is no bridge: it would keep every attribute of every span for nobody. (Nor is it a layer
        // that is `None`: beside one, the filter of the lines loses lines.)
        let dispatch = match &traces {
            Some(provider) => Dispatch::new(lines.with(span_layer(provider))),
            None => Dispatch::new(lines),
        };
        Ok((Telemetry { run_id, metrics, traces }, dispatch))
    }
}

/// The bridge from `tracing` to OpenTelemetry, for our own spans and the events in them.
pub(super) fn span_layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), LevelFilter::INFO);
    let bridge = tracing_opentelemetry::layer()
        .with_context_activation(false)
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    let scope = InstrumentationScope::builder(names::SERVICE).with_schema_url(names::SCHEMA_URL).build();
    bridge.with_tracer(provider.tracer_with_scope(scope)).with_filter(ours)
}

/// Who we are. What `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say comes last and wins.
fn resource(run_id: &str, environment: Environment<'_>) -> Resource {
    let ours = [
        KeyValue::new(names::attribute::SERVICE_NAME, names::SERVICE),
        KeyValue::new(names::attribute::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(names::attribute::SERVICE_INSTANCE_ID, run_id.to_owned()),
    ];
    let builder = Resource::builder_empty()
        .with_attributes(ours)
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match environment("OTEL_SERVICE_NAME") {
        Some(name) => builder.with_service_name(name).build(),
        None => builder.build(),
    }
}

/// Runs a blocking `flush` on a thread of its own, so that it holds up neither the runtime nor the process's end.
async fn aside(signal: &'static str, flush: impl FnOnce() -> OTelSdkResult + Send + 'static) {
    let (done, finished) = oneshot::channel();
    let flusher = thread::Builder::new().name(format!("flush-{signal}")).spawn(move || {
        // Nobody listens any more once the time is up.
        let _listening = done.send(flush());
    });
    let outcome = match flusher {
        Ok(_detached) => finished.await.map_err(|_| "the flush panicked".to_owned()),
        Err(error) => Err(format!("no thread: {error}")),
    };
    if let Err(error) = outcome.and_then(|flushed| flushed.map_err(|error| error.to_string())) {
        tracing::warn!(signal, error, "the last of a signal could not be exported");
    }
}

/// A panic becomes a log line like any other; what happens next is the business of whoever catches it.
fn log_panics() {
    panic::set_hook(Box::new(|panicked| {
        let message = panicked.payload_as_str().unwrap_or("no message");
        let location = panicked.location().map(ToString::to_string);
        let thread = thread::current();
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(location, thread = thread.name(), backtrace, "panicked: {message}");
    }));
}

#[cfg(test)]
mod tests;
