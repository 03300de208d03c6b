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
mod tests;
