//! The spans of one picture, from the record to its acknowledged outcome, and their way through Kafka headers.
//!
//! `process urls_new` is a child of the span that sent the record, and linked to it. Below it are `GET`, `thumbnail`,
//! `put original`, `put thumbnail` and `send urls_done`, and `get original` where one was stored before. A URL appears
//! without its query, which may hold a secret.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::IpAddr;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::field::{Empty, display};
use tracing::{Span, error_span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use url::Url;

use super::names::{GET, GET_ORIGINAL, PROCESS, PUT_ORIGINAL, PUT_THUMBNAIL, SEND, THUMBNAIL, TRIAL};
use super::names::{attribute, bridge};

/// Where a record lies, and for whom it is read.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "Kafka's own terms")]
pub struct Place<'a> {
    pub topic: &'a str,
    pub group: &'a str,
    pub partition: i32,
    pub offset: i64,
}

/// Which of the two objects is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Object {
    Original,
    Thumbnail,
}

/// `process {topic}`: all that is done about one record. `parent` is what [`extract`] found in its headers.
///
/// Its level is ERROR only so that no `LOG_LEVEL` takes the task's id away from a line about it.
pub fn process_span(place: Place<'_>, correlation_id: Option<u64>, parent: &Context) -> Span {
    let span = error_span!(
        PROCESS,
        { bridge::NAME } = format!("{PROCESS} {}", place.topic),
        { bridge::KIND } = "consumer",
        { bridge::STATUS_DESCRIPTION } = Empty,
        { attribute::ERROR_TYPE } = Empty,
        { attribute::MESSAGING_SYSTEM } = "kafka",
        { attribute::MESSAGING_OPERATION_NAME } = PROCESS,
        { attribute::MESSAGING_OPERATION_TYPE } = "process",
        { attribute::MESSAGING_DESTINATION_NAME } = place.topic,
        { attribute::MESSAGING_DESTINATION_PARTITION_ID } = display(place.partition),
        { attribute::MESSAGING_KAFKA_OFFSET } = place.offset,
        { attribute::MESSAGING_CONSUMER_GROUP_NAME } = place.group,
        { attribute::MESSAGING_MESSAGE_CONVERSATION_ID } = correlation_id.map(display),
    );
    let sent = parent.span().span_context().clone();
    if sent.is_valid() {
        // Fails only without a subscriber that exports, and then there is nothing to tie together.
        let _no_exporter = span.set_parent(parent.clone());
        span.add_link(sent);
    }
    span
}

/// `trial`: what a child does about a suspect record. `parent` is what [`carried`] gave its parent's span as.
pub fn trial_span(partition: i32, offset: i64, correlation_id: Option<u64>, parent: Context) -> Span {
    let span = error_span!(
        TRIAL,
        { bridge::KIND } = "internal",
        { bridge::STATUS_DESCRIPTION } = Empty,
        { attribute::ERROR_TYPE } = Empty,
        { attribute::MESSAGING_DESTINATION_PARTITION_ID } = display(partition),
        { attribute::MESSAGING_KAFKA_OFFSET } = offset,
        { attribute::MESSAGING_MESSAGE_CONVERSATION_ID } = correlation_id.map(display),
    );
    // Fails as in `process_span`.
    let _no_exporter = span.set_parent(parent);
    span
}

/// What answered a request. Of several hops the last, whose answer decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The address that was connected to.
    pub peer: Option<IpAddr>,
    /// The content type it declared, in characters that can be shown. Nothing was decided by it.
    pub declared_type: Option<String>,
}

/// `GET`: one request to an origin; [`answered`] and [`received`] complete it.
pub fn fetch_span(url: &Url) -> Span {
    info_span!(
        "fetch",
        { bridge::NAME } = GET,
        { bridge::KIND } = "client",
        { bridge::STATUS_DESCRIPTION } = Empty,
        { attribute::ERROR_TYPE } = Empty,
        { attribute::HTTP_REQUEST_METHOD } = GET,
        { attribute::HTTP_RESPONSE_STATUS_CODE } = Empty,
        { attribute::HTTP_RESPONSE_BODY_SIZE } = Empty,
        { attribute::HTTP_RESPONSE_HEADER_CONTENT_TYPE } = Empty,
        { attribute::NETWORK_PEER_ADDRESS } = Empty,
        { attribute::SERVER_ADDRESS } = url.host_str(),
        { attribute::SERVER_PORT } = url.port_or_known_default(),
        { attribute::URL_FULL } = without_query(url),
    )
}

/// Notes on a [`fetch_span`] what answered. Once each: a value noted twice would be exported twice.
pub fn answered(span: &Span, answered: &Answered) {
    span.record(attribute::HTTP_RESPONSE_STATUS_CODE, i64::from(answered.status));
    if let Some(peer) = answered.peer {
        span.record(attribute::NETWORK_PEER_ADDRESS, display(peer));
    }
    if let Some(declared_type) = &answered.declared_type {
        span.record(attribute::HTTP_RESPONSE_HEADER_CONTENT_TYPE, declared_type.as_str());
    }
}

/// Notes on a [`fetch_span`] how many bytes of a body arrived.
pub fn received(span: &Span, bytes: u64) {
    span.record(attribute::HTTP_RESPONSE_BODY_SIZE, i64::try_from(bytes).unwrap_or(i64::MAX));
}

/// `thumbnail`: decoding and scaling.
pub fn thumbnail_span() -> Span {
    info_span!(
        THUMBNAIL,
        { bridge::KIND } = "internal",
        { bridge::STATUS_DESCRIPTION } = Empty,
        { attribute::ERROR_TYPE } = Empty,
    )
}

/// `put original` or `put thumbnail`: one object into the bucket.
pub fn put_span(object: Object, bucket: &str, key: &str) -> Span {
    info_span!(
        "put",
        { bridge::NAME } = match object {
            Object::Original => PUT_ORIGINAL,
            Object::Thumbnail => PUT_THUMBNAIL,
        },
        { bridge::KIND } = "client",
        { bridge::STATUS_DESCRIPTION } = Empty,
        { attribute::ERROR_TYPE } = Empty,
        { attribute::RPC_SYSTEM } = "aws-api",
        { attribute::RPC_METHOD } = "S3/PutObject",
        { attribute::AWS_S3_BUCKET } = bucket,
        { attribute::AWS_S3_KEY } = key,
    )
}

/// `get original`: an original that was stored before, out of the bucket.
pub fn get_span(bucket: &str, key: &str) -> Span {
    info_span!(
        "get",
        { bridge::NAME } = GET_ORIGINAL,
        { bridge::KIND } = "client",
        { bridge::STATUS_DESCRIPTION } = Empty,
        { attribute::ERROR_TYPE } = Empty,
        { attribute::RPC_SYSTEM } = "aws-api",
        { attribute::RPC_METHOD } = "S3/GetObject",
        { attribute::AWS_S3_BUCKET } = bucket,
        { attribute::AWS_S3_KEY } = key,
    )
}

/// `send {topic}`: one produced record, until the broker acknowledges it.
pub fn send_span(topic: &str) -> Span {
    info_span!(
        SEND,
        { bridge::NAME } = format!("{SEND} {topic}"),
        { bridge::KIND } = "producer",
        { bridge::STATUS_DESCRIPTION } = Empty,
        { attribute::ERROR_TYPE } = Empty,
        { attribute::MESSAGING_SYSTEM } = "kafka",
        { attribute::MESSAGING_OPERATION_NAME } = SEND,
        { attribute::MESSAGING_OPERATION_TYPE } = "send",
        { attribute::MESSAGING_DESTINATION_NAME } = topic,
        { attribute::MESSAGING_DESTINATION_PARTITION_ID } = Empty,
        { attribute::MESSAGING_KAFKA_OFFSET } = Empty,
    )
}

/// Marks a span of this module as failed. `error_type` is the error's code.
pub fn fail(span: &Span, error_type: &str, description: &dyn Display) {
    span.record(bridge::STATUS_DESCRIPTION, display(description));
    span.record(attribute::ERROR_TYPE, error_type);
}

/// The trace a record belongs to, from its `traceparent` and `tracestate` headers; empty where these are absent or wrong.
pub fn extract(headers: &impl Extractor) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), headers)
}

/// Writes `span` into the headers of a record, so that its reader continues the trace. Without an exporter of our own it
/// is the trace that `came_in`.
pub fn inject(span: &Span, came_in: &Context, headers: &mut impl Injector) {
    let ours = span.context();
    let context = if ours.span().span_context().is_valid() { &ours } else { came_in };
    TraceContextPropagator::new().inject_context(context, headers);
}

/// `span` as trace headers, to be continued in another process; as [`inject`].
pub fn carried(span: &Span, came_in: &Context) -> HashMap<String, String> {
    let mut headers = HashMap::new();
    inject(span, came_in, &mut headers);
    headers
}

/// The URL as it may be logged and traced: without query, fragment and credentials.
pub fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Both fail only for URLs that cannot have credentials.
    let _no_credentials = (shown.set_username(""), shown.set_password(None));
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogFormat, Settings};
    use crate::kafka::Producer;
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
        for traceparent in
            [None, Some(""), Some("00-zz"), Some("00-00000000000000000000000000000000-0000000000000000-01")]
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
        let lines = super::super::lines::layer("debug", LogFormat::Text, std::io::sink, false).expect("a good level");
        let settings = Settings::load([("KAFKA_BROKERS".into(), "127.0.0.1:1".into())], &HashMap::new());
        tracing::subscriber::with_default(Registry::default().with(lines).with(span_layer(&provider)), || {
            let client = Producer::new(&settings.expect("good settings"), "run").expect("a client");
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
}
