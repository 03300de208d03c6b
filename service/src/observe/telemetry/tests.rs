//! Telemetry against collectors of every kind: one that works, over both protocols, one that never answers, none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use tokio::net::TcpListener;

use super::*;
use crate::observe::spans::{Place, process_span};

/// What a collector was sent, by path.
type Received = Arc<Mutex<HashMap<String, Vec<u8>>>>;

fn build(variables: &[(&str, String)]) -> anyhow::Result<(Telemetry, Dispatch)> {
    let settings = Settings::load([], &HashMap::new()).expect("the defaults work");
    Telemetry::build(&settings, &|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    })
}

/// Leaves `count` spans and one metric.
fn work(telemetry: &Telemetry, dispatch: &Dispatch, count: i64) {
    tracing::dispatcher::with_default(dispatch, || {
        for offset in 0..count {
            let place = Place { topic: "urls_new", group: "downloader", partition: 3, offset };
            drop(process_span(place, None, &opentelemetry::Context::new()));
        }
    });
    telemetry.metrics().task_started();
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A collector over HTTP, and what it was sent.
async fn http_collector() -> (String, Received) {
    let received = Received::default();
    let seen = Arc::clone(&received);
    let router = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        seen.lock().expect("not poisoned").entry(uri.path().to_owned()).or_default().extend(&body);
        std::future::ready(StatusCode::OK)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async { axum::serve(listener, router).await });
    (format!("http://{address}"), received)
}

/// A collector over gRPC, just enough of it: each call is answered with an empty message and status 0.
async fn grpc_collector() -> (String, Received) {
    let received = Received::default();
    let seen = Arc::clone(&received);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let seen = Arc::clone(&seen);
                    tokio::spawn(async move {
                        let (head, mut body) = request.into_parts();
                        while let Some(Ok(data)) = body.data().await {
                            let _released = body.flow_control().release_capacity(data.len());
                            let mut seen = seen.lock().expect("not poisoned");
                            seen.entry(head.uri.path().to_owned()).or_default().extend(&data);
                        }
                        let head =
                            Response::builder().header("content-type", "application/grpc").body(()).expect("valid");
                        let mut answer = respond.send_response(head, false).expect("still open");
                        answer.send_data(Bytes::from_static(&[0; 5]), false).expect("still open");
                        let status = HeaderMap::from_iter([(
                            "grpc-status".parse().expect("valid"),
                            "0".parse().expect("valid"),
                        )]);
                        answer.send_trailers(status).expect("still open");
                    });
                }
            });
        }
    });
    (format!("http://{address}"), received)
}

/// A collector that takes connections and says nothing.
async fn silent_collector() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.push(stream);
        }
    });
    (format!("http://{address}"), held)
}

#[tokio::test]
async fn spans_and_metrics_arrive_over_both_protocols() {
    let http = http_collector().await;
    let grpc = grpc_collector().await;
    for ((endpoint, received), protocol, traces, metrics) in [
        (http, "http/protobuf", "/v1/traces", "/v1/metrics"),
        (
            grpc,
            "grpc",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        ),
    ] {
        let variables =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned())];
        let (telemetry, dispatch) = build(&variables).expect("set up");
        let run_id = telemetry.run_id().to_owned();
        work(&telemetry, &dispatch, 1);
        telemetry.shutdown(Duration::from_secs(5)).await;
        let received = received.lock().expect("not poisoned");
        for (path, what) in [(traces, "process urls_new"), (metrics, "downloader.tasks.started")] {
            let bytes =
                received.get(path).unwrap_or_else(|| panic!("{protocol}: nothing at {path}: {:?}", received.keys()));
            for text in [what, names::SCHEMA_URL, "service.instance.id", &run_id] {
                assert!(holds(bytes, text), "{protocol}: {path} has no {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_no_time() {
    for protocol in ["http/protobuf", "grpc"] {
        let (endpoint, collector) = silent_collector().await;
        let variables =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned())];
        let (telemetry, dispatch) = build(&variables).expect("set up");
        let began = Instant::now();
        work(&telemetry, &dispatch, 10_000);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{protocol}: {:?} for spans that nobody takes",
            began.elapsed()
        );
        let within = Duration::from_millis(300);
        let began = Instant::now();
        telemetry.shutdown(within).await;
        let took = began.elapsed();
        assert!(took >= within / 2 && took < within + Duration::from_secs(1), "{protocol}: {took:?}");
        collector.abort();
    }
}

#[tokio::test]
async fn without_an_endpoint_there_is_nothing_to_flush() {
    let (telemetry, dispatch) = build(&[]).expect("set up");
    work(&telemetry, &dispatch, 10);
    assert!(telemetry.metrics().render().contains("downloader_tasks_started_total 1"));
    let began = Instant::now();
    telemetry.shutdown(Duration::from_secs(5)).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn each_run_has_an_id_of_its_own_and_the_operator_has_the_last_word_on_the_name() {
    let (one, _) = build(&[]).expect("set up");
    let (other, _) = build(&[("OTEL_SERVICE_NAME", "downloader-eu".to_owned())]).expect("set up");
    assert_ne!(one.run_id(), other.run_id());
    assert!(one.run_id().len() == 16 && one.run_id().bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", one.run_id());
    assert!(one.metrics().render().contains("service_name=\"downloader\""));
    assert!(other.metrics().render().contains("service_name=\"downloader-eu\""));
}

#[test]
fn a_level_or_an_endpoint_that_cannot_be_read_stops_the_start() {
    let mut settings = Settings::load([], &HashMap::new()).expect("the defaults work");
    settings.log_level = "verbose".to_owned();
    let error = Telemetry::build(&settings, &|_| None).expect_err("no such level").to_string();
    assert!(error.starts_with("LOG_LEVEL: 'verbose' is not a level (off, error, warn, info, debug, trace)"), "{error}");
    let error = build(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense".to_owned())]).expect_err("no URL").to_string();
    assert!(error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: "), "{error}");
}

#[test]
fn a_panic_is_one_log_line() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let writer = Arc::new(file.reopen().expect("reopened"));
    let lines = lines::layer("info", crate::config::LogFormat::Json, writer, false).expect("a good level");
    let dispatch = Dispatch::new(Registry::default().with(lines));
    let before = panic::take_hook();
    log_panics();
    let worker = thread::Builder::new().name("worker".to_owned());
    let panicked = worker.spawn(move || {
        tracing::dispatcher::with_default(&dispatch, || {
            let two_lines = "first\nsecond";
            panic!("{two_lines}")
        })
    });
    panicked.expect("started").join().expect_err("panicked");
    panic::set_hook(before);
    let text = std::fs::read_to_string(file.path()).expect("UTF-8");
    let line: serde_json::Value = serde_json::from_str(&text).expect("one line");
    assert_eq!(line["message"], "panicked: first\nsecond");
    assert_eq!((line["level"].as_str(), line["thread"].as_str()), (Some("ERROR"), Some("worker")));
    assert!(line["location"].as_str().expect("known").contains("tests.rs:"), "{line}");
}
