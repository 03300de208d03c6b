//! Record headers: the trace context in and out, and where an outcome comes from.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use tracing::Span;

use crate::observe::spans;
use crate::task::Ticket;

/// Reads trace headers. Kafka allows a name twice: the last one counts. A value that is not UTF-8 counts as absent.
struct TraceHeaders<'a>(&'a OwnedHeaders);

impl Extractor for TraceHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let last = self.0.iter().filter(|header| header.key.eq_ignore_ascii_case(key)).last()?;
        std::str::from_utf8(last.value?).ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|header| header.key).collect()
    }
}

/// Collects the headers that a propagator writes.
struct NewHeaders(OwnedHeaders);

impl Injector for NewHeaders {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0 = std::mem::take(&mut self.0).insert(Header { key, value: Some(&value) });
        }
    }
}

/// The trace a record belongs to; an empty context if it names none that can be read.
pub(super) fn trace_context(headers: Option<&OwnedHeaders>) -> Context {
    headers.map_or_else(Context::new, |headers| spans::extract(&TraceHeaders(headers)))
}

/// `headers`, and `span` as the one to continue.
pub(super) fn with_trace(headers: OwnedHeaders, span: &Span) -> OwnedHeaders {
    let mut headers = NewHeaders(headers);
    spans::inject(span, &mut headers);
    headers.0
}

/// One more header with a text.
pub(super) fn with_text(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

/// Which record an outcome answers, in which attempt, and who worked on it.
pub(super) fn source(topic: &str, ticket: Ticket, attempt: u32, run_id: &str) -> OwnedHeaders {
    let headers = with_text(OwnedHeaders::new(), "source.topic", topic);
    let headers = with_text(headers, "source.partition", &ticket.partition.to_string());
    let headers = with_text(headers, "source.offset", &ticket.offset.to_string());
    let headers = with_text(headers, "source.attempt", &attempt.to_string());
    with_text(headers, "source.run_id", run_id)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TraceContextExt;

    use super::*;

    const FIRST: &str = "00-11111111111111111111111111111111-1111111111111111-01";
    const SECOND: &str = "00-22222222222222222222222222222222-2222222222222222-03";

    fn header<'a>(key: &'a str, value: Option<&'a [u8]>) -> Header<'a, &'a [u8]> {
        Header { key, value }
    }

    #[test]
    fn the_last_traceparent_counts_and_flags_beyond_sampled_are_fine() {
        let headers = OwnedHeaders::new()
            .insert(header("traceparent", Some(FIRST.as_bytes())))
            .insert(header("Traceparent", Some(SECOND.as_bytes())));
        let context = trace_context(Some(&headers));
        assert_eq!(context.span().span_context().trace_id().to_string(), "22222222222222222222222222222222");
    }

    #[test]
    fn unreadable_trace_headers_mean_no_trace() {
        for value in [None, Some(&b"\xff\xfe"[..]), Some(b"garbage"), Some(b"")] {
            let headers = OwnedHeaders::new().insert(header("traceparent", value));
            assert!(!trace_context(Some(&headers)).span().span_context().is_valid(), "{value:?}");
        }
    }
}
