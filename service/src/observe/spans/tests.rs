//! What an exporter gets of a picture, and what its outcome carries on.

use super::*;
use crate::config::{LogFormat, Settings};
use crate::kafka::Producer;
use crate::observe::metrics::Metrics;
use crate::observe::telemetry::span_layer;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use std::collections::BTreeSet;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

fn sent() -> HashMap<String, String> {
    HashMap::from([("traceparent".to_owned(), TRACEPARENT.to_owned())])
}

fn process(headers: &HashMap<String, String>) -> Span {
    let place = Place { topic: "urls_new", group: "downloader", partition: 3, offset: 42 };
    process_span(place, Some(7), &extract(headers))
}

/// The spans that `work` leaves at an exporter.
fn exported(work: impl FnOnce()) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    tracing::subscriber::with_default(Registry::default().with(span_layer(&provider)), work);
    exporter.get_finished_spans().expect("exported")
}

fn attribute_of(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|pair| pair.key.as_str() == name).map(|pair| pair.value.to_string())
}

#[test]
fn one_picture_is_one_trace_below_the_span_that_sent_it() {
    let url = "https://who:pass@example.com/cat.jpg?token=secret#part".parse().expect("a URL");
    let spans = exported(|| {
        process(&sent()).in_scope(|| {
            fetch_span(&url).in_scope(|| ());
            thumbnail_span().in_scope(|| ());
            put_span(Object::Original, "images", "7/original").in_scope(|| ());
            get_span("images", "7/original").in_scope(|| ());
            put_span(Object::Thumbnail, "images", "7/thumbnail").in_scope(|| ());
            send_span("urls_done").in_scope(|| ());
        });
    });
    let shape: Vec<_> = spans.iter().map(|span| (span.name.as_ref(), span.span_kind.clone())).collect();
    let expected = [
        ("GET", SpanKind::Client),
        ("thumbnail", SpanKind::Internal),
        ("put original", SpanKind::Client),
        ("get original", SpanKind::Client),
        ("put thumbnail", SpanKind::Client),
        ("send urls_done", SpanKind::Producer),
        ("process urls_new", SpanKind::Consumer),
    ];
    assert_eq!(shape, expected);

    let (process, below) = spans.split_last().expect("seven spans");
    assert_eq!(process.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(process.parent_span_id.to_string(), "b7ad6b7169203331");
    assert!(process.parent_span_is_remote);
    let links: Vec<_> = process.links.iter().map(|link| link.span_context.span_id().to_string()).collect();
    assert_eq!(links, ["b7ad6b7169203331"]);
    for span in below {
        assert_eq!(span.parent_span_id, process.span_context.span_id(), "{}", span.name);
        assert_eq!(span.span_context.trace_id(), process.span_context.trace_id(), "{}", span.name);
    }
    assert_eq!(attribute_of(process, attribute::MESSAGING_KAFKA_OFFSET).as_deref(), Some("42"));
    assert_eq!(attribute_of(process, attribute::MESSAGING_DESTINATION_PARTITION_ID).as_deref(), Some("3"));
    assert_eq!(attribute_of(process, attribute::MESSAGING_MESSAGE_CONVERSATION_ID).as_deref(), Some("7"));
    let fetch = below.first().expect("GET");
    assert_eq!(attribute_of(fetch, attribute::URL_FULL).as_deref(), Some("https://example.com/cat.jpg"));
    assert_eq!(attribute_of(fetch, attribute::SERVER_PORT).as_deref(), Some("443"));

    let keys: BTreeSet<_> = spans.iter().flat_map(|span| &span.attributes).map(|pair| pair.key.as_str()).collect();
    assert!(keys.iter().all(|key| key.contains('.')), "an attribute without a namespace: {keys:?}");
    assert!(!keys.iter().any(|key| key.starts_with("otel.") || key.starts_with("thread")), "{keys:?}");
}

#[test]
fn what_is_recorded_later_arrives_and_a_failed_span_says_why() {
    let url = "http://example.com/".parse().expect("a URL");
    let spans = exported(|| {
        let span = fetch_span(&url);
        let peer = Some("192.0.2.1".parse().expect("an address"));
        answered(&span, &Answered { status: 404, peer, declared_type: Some("text/html".into()) });
        received(&span, 0);
        fail(&span, "http_status_permanent", &"answered 404");
    });
    let span = spans.first().expect("one span");
    assert_eq!(span.status, Status::error("answered 404"));
    assert_eq!(attribute_of(span, attribute::ERROR_TYPE).as_deref(), Some("http_status_permanent"));
    assert_eq!(attribute_of(span, attribute::HTTP_RESPONSE_STATUS_CODE).as_deref(), Some("404"));
    assert_eq!(attribute_of(span, attribute::HTTP_RESPONSE_BODY_SIZE).as_deref(), Some("0"));
    let declared_type = attribute_of(span, attribute::HTTP_RESPONSE_HEADER_CONTENT_TYPE);
    assert_eq!(declared_type.as_deref(), Some("text/html"));
    assert_eq!(attribute_of(span, attribute::NETWORK_PEER_ADDRESS).as_deref(), Some("192.0.2.1"));
}

#[test]
fn every_kind_of_span_can_fail() {
    let url = "http://example.com/".parse().expect("a URL");
    let spans = exported(|| {
        for span in [
            process(&HashMap::new()),
            fetch_span(&url),
            thumbnail_span(),
            put_span(Object::Original, "images", "key"),
            get_span("images", "key"),
            send_span("urls_done"),
        ] {
            fail(&span, "cause", &"why");
        }
    });
    assert_eq!(spans.len(), 6);
    for span in &spans {
        assert_eq!(span.status, Status::error("why"), "{}", span.name);
        assert_eq!(attribute_of(span, attribute::ERROR_TYPE).as_deref(), Some("cause"), "{}", span.name);
    }
}

#[test]
fn the_outcome_continues_the_trace_from_the_span_that_sends_it() {
    let mut headers = HashMap::new();
    let spans = exported(|| {
        process(&sent()).in_scope(|| inject(&send_span("urls_done"), &extract(&sent()), &mut headers));
    });
    let send = spans.iter().find(|span| span.name == "send urls_done").expect("exported");
    let [_, trace, parent, _] = headers["traceparent"].split('-').collect::<Vec<_>>()[..] else {
        panic!("{headers:?}");
    };
    assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(parent, send.span_context.span_id().to_string());
}

#[test]
fn a_record_without_a_usable_header_begins_a_trace_of_its_own() {
    for traceparent in [None, Some(""), Some("00-zz"), Some("00-00000000000000000000000000000000-0000000000000000-01")]
    {
        let headers = traceparent.map(|text| ("traceparent".to_owned(), text.to_owned())).into_iter().collect();
        let spans = exported(|| drop(process(&headers)));
        let span = spans.first().expect("one span");
        assert!(span.links.is_empty() && span.span_context.is_valid(), "{traceparent:?}");
        assert_eq!(span.parent_span_id, opentelemetry::SpanId::INVALID, "{traceparent:?}");
    }
}

#[test]
fn making_a_client_costs_no_span() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let lines = crate::observe::lines::layer("debug", LogFormat::Text, std::io::sink, false).expect("a good level");
    let settings = Settings::load([("KAFKA_BROKERS".into(), "127.0.0.1:1".into())], &HashMap::new());
    tracing::subscriber::with_default(Registry::default().with(lines).with(span_layer(&provider)), || {
        let client = Producer::new(&settings.expect("good settings"), "run", Metrics::unexported()).expect("a client");
        process(&sent()).in_scope(|| send_span("urls_done"));
        drop(client);
    });
    let spans = exporter.get_finished_spans().expect("exported");
    let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["send urls_done", "process urls_new"]);
}

#[test]
fn without_an_exporter_the_trace_that_came_in_is_passed_on() {
    let mut headers = HashMap::new();
    tracing::subscriber::with_default(Registry::default(), || {
        process(&sent()).in_scope(|| inject(&send_span("urls_done"), &extract(&sent()), &mut headers));
    });
    // The flags may lose what this side does not know; the ids and "sampled" stay.
    let ids = TRACEPARENT.rsplit_once('-').expect("four parts").0;
    assert_eq!(headers["traceparent"], format!("{ids}-01"));
}
