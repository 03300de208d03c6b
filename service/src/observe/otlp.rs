//! `OTEL_*` variables -> exporters, as the OpenTelemetry specification has them.
//!
//! Where to and how is decided here, because an endpoint is what switches exporting on; the SDK reads the rest by itself
//! (headers, timeouts, compression, batch and sampling limits).

use std::thread;

use anyhow::{Context as _, bail};
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use tokio::runtime;
use url::Url;

/// Reads one environment variable; empty counts as not set.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where each signal goes; none: it is not exported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Targets {
    pub(super) traces: Option<Target>,
    pub(super) metrics: Option<Target>,
}

/// A collector and how to speak to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    endpoint: String,
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Grpc,
    HttpProtobuf,
}

/// The process's own environment.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Targets {
    /// # Errors
    /// The variable that cannot be read.
    pub(super) fn read(environment: Environment<'_>) -> anyhow::Result<Targets> {
        if environment("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Targets { traces: None, metrics: None });
        }
        Ok(Targets { traces: target(environment, "TRACES")?, metrics: target(environment, "METRICS")? })
    }
}

fn target(environment: Environment<'_>, signal: &str) -> anyhow::Result<Option<Target>> {
    let exporter = format!("OTEL_{signal}_EXPORTER");
    match environment(&exporter).as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => bail!("{exporter}: '{other}' is not one of otlp, none"),
    }
    let Some((endpoint_name, endpoint, general)) = signal_or_general(environment, signal, "ENDPOINT") else {
        return Ok(None);
    };
    let protocol = match signal_or_general(environment, signal, "PROTOCOL") {
        None => Protocol::HttpProtobuf,
        Some((name, text, _)) => match text.as_str() {
            "grpc" => Protocol::Grpc,
            "http/protobuf" => Protocol::HttpProtobuf,
            other => bail!("{name}: '{other}' is not one of grpc, http/protobuf"),
        },
    };
    let schemeless = protocol == Protocol::Grpc && !endpoint.contains("://");
    let is_http = |url: Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    if !schemeless && !Url::parse(&endpoint).is_ok_and(is_http) {
        bail!("{endpoint_name}: not an http or https URL, as in http://127.0.0.1:4318");
    }
    let endpoint = match (protocol, general) {
        (Protocol::HttpProtobuf, true) => format!("{}/v1/{}", endpoint.trim_end_matches('/'), signal.to_lowercase()),
        _ => endpoint,
    };
    Ok(Some(Target { endpoint, protocol }))
}

/// The variable of one signal, else the one for all: its name, its value, and whether it is the general one.
fn signal_or_general(environment: Environment<'_>, signal: &str, what: &str) -> Option<(String, String, bool)> {
    [(format!("OTEL_EXPORTER_OTLP_{signal}_{what}"), false), (format!("OTEL_EXPORTER_OTLP_{what}"), true)]
        .into_iter()
        .find_map(|(name, general)| environment(&name).map(|value| (name, value, general)))
}

impl Target {
    pub(super) fn span_exporter(&self) -> anyhow::Result<SpanExporter> {
        let exporter = match self.protocol {
            Protocol::HttpProtobuf => SpanExporter::builder().with_http().with_endpoint(&self.endpoint).build(),
            Protocol::Grpc => {
                let _runtime = exporter_runtime()?.enter();
                let exporter = SpanExporter::builder().with_tonic().with_endpoint(&self.endpoint);
                if self.is_plain() { exporter } else { exporter.with_tls_config(tls()) }.build()
            }
        };
        exporter.with_context(|| format!("set up the export of traces to {}", self.endpoint))
    }

    pub(super) fn metric_exporter(&self) -> anyhow::Result<MetricExporter> {
        let exporter = match self.protocol {
            Protocol::HttpProtobuf => MetricExporter::builder().with_http().with_endpoint(&self.endpoint).build(),
            Protocol::Grpc => {
                let _runtime = exporter_runtime()?.enter();
                let exporter = MetricExporter::builder().with_tonic().with_endpoint(&self.endpoint);
                if self.is_plain() { exporter } else { exporter.with_tls_config(tls()) }.build()
            }
        };
        exporter.with_context(|| format!("set up the export of metrics to {}", self.endpoint))
    }

    fn is_plain(&self) -> bool {
        self.endpoint.starts_with("http://")
    }
}

fn tls() -> ClientTlsConfig {
    ClientTlsConfig::new().with_enabled_roots()
}

/// gRPC needs a runtime; one of its own, on a thread of its own that ends with the process, keeps exporting and the work
/// out of each other's way.
fn exporter_runtime() -> anyhow::Result<runtime::Handle> {
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().context("start the exporter's runtime")?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("otlp".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .context("start the exporter's thread")?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Targets> {
        Targets::read(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn to(endpoint: &str, protocol: Protocol) -> Option<Target> {
        Some(Target { endpoint: endpoint.to_owned(), protocol })
    }

    #[test]
    fn an_endpoint_switches_exporting_on() {
        use Protocol::{Grpc, HttpProtobuf};
        let none = Targets { traces: None, metrics: None };
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        assert_eq!(read(&[]).expect("reads"), none);
        assert_eq!(read(&[base, ("OTEL_SDK_DISABLED", "TRUE")]).expect("reads"), none);
        let both = Targets {
            traces: to("http://collector:4318/v1/traces", HttpProtobuf),
            metrics: to("http://collector:4318/v1/metrics", HttpProtobuf),
        };
        assert_eq!(read(&[base, ("OTEL_SDK_DISABLED", "false")]).expect("reads"), both);
        let traces_only = Targets { metrics: None, ..both };
        assert_eq!(read(&[base, ("OTEL_METRICS_EXPORTER", "none")]).expect("reads"), traces_only);
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://other/push"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        ];
        let targets = read(&variables).expect("reads");
        assert_eq!(targets.traces, to("collector:4317", Grpc));
        assert_eq!(
            targets.metrics,
            to("https://other/push", HttpProtobuf),
            "the signal's own endpoint is taken as it is"
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for (variables, expected) in [
            (&[base, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")][..], "OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json'"),
            (&[base, ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp")], "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'udp'"),
            (&[base, ("OTEL_TRACES_EXPORTER", "jaeger")], "OTEL_TRACES_EXPORTER: 'jaeger'"),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")], "OTEL_EXPORTER_OTLP_ENDPOINT: not an http"),
            (&[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "ftp://x")], "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: not an http"),
        ] {
            let error = read(variables).expect_err("cannot be read").to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn exporters_are_set_up_with_and_without_tls_and_outside_of_a_runtime() {
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        for endpoint in ["http://127.0.0.1:1", "https://127.0.0.1:1"] {
            for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
                let target = to(endpoint, protocol).expect("a target");
                target.span_exporter().expect("set up");
                target.metric_exporter().expect("set up");
            }
        }
    }
}
