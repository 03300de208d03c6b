//! Headers of strangers, and what is made of them.

use opentelemetry::trace::TraceContextExt;

use super::*;

const FIRST: &str = "00-11111111111111111111111111111111-1111111111111111-01";
const SECOND: &str = "00-22222222222222222222222222222222-2222222222222222-03";

/// Adds a header whose name is not UTF-8, as any client but rdkafka's can write it.
pub(in crate::kafka) fn with_bytes_as_name(headers: OwnedHeaders, name: &CStr, value: &[u8]) -> OwnedHeaders {
    let size = isize::try_from(value.len()).expect("small");
    // SAFETY: the list is ours; name and value are copied within the call.
    let result =
        unsafe { c::rd_kafka_header_add(native(&headers).cast_mut(), name.as_ptr(), -1, value.as_ptr().cast(), size) };
    assert_eq!(result, c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    headers
}

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

#[test]
fn a_name_that_is_not_utf_8_stops_nobody() {
    let headers = OwnedHeaders::new().insert(header("traceparent", Some(FIRST.as_bytes())));
    let headers = with_bytes_as_name(headers, c"\xff\xfe", b"\x00\xff");
    assert!(trace_context(Some(&headers)).span().span_context().is_valid());
    let kept = without(&headers, &["trace"]);
    assert_eq!(all(&kept).collect::<Vec<_>>(), [(&b"\xff\xfe"[..], Some(&b"\x00\xff"[..]))]);
}

#[test]
fn without_a_prefix_the_others_stay_in_their_order() {
    let names = ["a", "ours.x", "b", "a", "ours.x", "ours", "ours.y"];
    let headers = names.iter().fold(OwnedHeaders::new(), |all, name| all.insert(header(name, None)));
    let kept = without(&headers, &["ours."]);
    let kept: Vec<_> = all(&kept).map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value)).collect();
    assert_eq!(kept, ["a", "b", "a", "ours"].map(|name| (name.to_owned(), None)));
}
