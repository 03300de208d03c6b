//! Record headers: the trace context in and out, where an outcome comes from, and those of strangers as they are.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::ptr;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector};
use rdkafka::bindings as c;
use rdkafka::message::{Header, Headers, OwnedHeaders};
use tracing::Span;

use crate::observe::spans;
use crate::task::Ticket;

/// Reads trace headers. Kafka allows a name twice: the last one counts. A value that is not UTF-8 counts as absent.
struct TraceHeaders<'a>(&'a OwnedHeaders);

impl Extractor for TraceHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = all(self.0).filter(|(name, _)| name.eq_ignore_ascii_case(key.as_bytes())).last()?;
        std::str::from_utf8(value?).ok()
    }

    fn keys(&self) -> Vec<&str> {
        all(self.0).filter_map(|(name, _)| std::str::from_utf8(name).ok()).collect()
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

/// `headers`, and `span` as the one to continue, or else the trace that `came_in`.
pub(super) fn with_trace(headers: OwnedHeaders, span: &Span, came_in: &Context) -> OwnedHeaders {
    let mut headers = NewHeaders(headers);
    spans::inject(span, came_in, &mut headers);
    headers.0
}

/// One more header with a text. rdkafka's own insertion copies the name once more, and there are five with every outcome.
pub(super) fn with_text(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    add(&headers, key.as_bytes(), Some(value.as_bytes()));
    headers
}

/// `headers` must be the caller's alone. What is too long for the library is left out.
fn add(headers: &OwnedHeaders, name: &[u8], value: Option<&[u8]>) {
    let (data, size) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
    let (Ok(length), Ok(size)) = (isize::try_from(name.len()), isize::try_from(size)) else { return };
    // SAFETY: the list is valid and nobody reads it meanwhile; name and value are copied within the call.
    unsafe { c::rd_kafka_header_add(native(headers).cast_mut(), name.as_ptr().cast(), length, data.cast(), size) };
}

/// Every header as it is, in order. rdkafka's own iterator panics where a name is not UTF-8, and anybody who may write a
/// record chooses its names.
pub(super) fn all(headers: &OwnedHeaders) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    (0..headers.count()).map_while(|index| {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the list lives as long as its borrow; the three places outlive the call.
        let result = unsafe { c::rd_kafka_header_get_all(native(headers), index, &mut name, &mut value, &mut size) };
        if result != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka ends every name with a zero byte, and both name and value belong to the list.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        // SAFETY: as above; a value that is not null has this size.
        let value = (!value.is_null()).then(|| unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) });
        Some((name, value))
    })
}

/// The last text under this name; `None` also where its value is null or not UTF-8.
pub(super) fn text<'a>(headers: &'a OwnedHeaders, name: &str) -> Option<&'a str> {
    let (_, value) = all(headers).filter(|(found, _)| *found == name.as_bytes()).last()?;
    std::str::from_utf8(value?).ok()
}

/// `headers` without those whose names begin with one of `prefixes`; the others byte for byte and in their order.
pub(super) fn without(headers: &OwnedHeaders, prefixes: &[&str]) -> OwnedHeaders {
    let rest = headers.clone();
    for (name, _) in all(headers).filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix.as_bytes())))
    {
        // A name that is there twice goes with the first call, so that the second finds nothing.
        let Ok(name) = std::ffi::CString::new(name) else { continue };
        // SAFETY: `rest` is ours alone; the name is read within the call.
        unsafe { c::rd_kafka_header_remove(native(&rest).cast_mut(), name.as_ptr()) };
    }
    rest
}

/// librdkafka's own list: rdkafka's borrowed form is that list under another type.
fn native(headers: &OwnedHeaders) -> *const c::rd_kafka_headers_t {
    ptr::from_ref(headers.as_borrowed()).cast()
}

/// For the fuzzer: headers with names and values of any bytes; a name ends at its first zero byte.
#[cfg(fuzzing)]
pub(super) fn of_bytes(pairs: &[(Vec<u8>, Option<Vec<u8>>)]) -> OwnedHeaders {
    let headers = OwnedHeaders::new();
    for (name, value) in pairs {
        add(&headers, name, value.as_deref());
    }
    headers
}

/// Which record an outcome answers, in which attempt, and who worked on it.
pub(super) fn source(topic: &str, ticket: Ticket, attempt: u32, run_id: &str) -> OwnedHeaders {
    let mut digits = String::with_capacity(20);
    let mut headers = with_text(OwnedHeaders::new(), "source.topic", topic);
    let numbers = [
        ("source.partition", i64::from(ticket.partition)),
        ("source.offset", ticket.offset),
        ("source.attempt", i64::from(attempt)),
    ];
    for (key, number) in numbers {
        digits.clear();
        let _infallible = write!(digits, "{number}");
        headers = with_text(headers, key, &digits);
    }
    with_text(headers, "source.run_id", run_id)
}

#[cfg(test)]
pub(super) mod tests;
