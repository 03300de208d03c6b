//! What parent and child say to each other, private to them: frames, each a length (4 bytes, big endian) and as many
//! bytes. Down go the order (JSON) and the record's bytes as they are; up come reports (JSON). Pure.

use std::collections::HashMap;
use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::pipeline::Decision;
use crate::task::RecordIdentity;

const LENGTH_BYTES: usize = 4;
/// More than any report needs: a child that says more is none of ours.
pub(super) const REPORT_BYTES_MAX: usize = 1 << 20;

/// What a child is to do. Secrets are in it, so it goes through a pipe only.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// The parent's process id, to notice that it has died already.
    pub(super) parent: u32,
    /// The parent's settings, by variable.
    pub(super) settings: Vec<(String, String)>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) identity: RecordIdentity,
    pub(super) trace: HashMap<String, String>,
    /// Whether a frame with the payload follows; without one it is null.
    pub(super) has_payload: bool,
}

/// What a child says.
#[derive(Serialize, Deserialize)]
pub(super) enum Report {
    /// The record's id; said before anything else is done with the record.
    Id(u64),
    /// The last word.
    Decided(Box<Decision>),
}

/// All that goes to a child.
pub(super) fn order(order: &Order, payload: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let mut frames = frame(&serde_json::to_vec(order)?)?;
    if let Some(payload) = payload {
        frames.append(&mut frame(payload)?);
    }
    Ok(frames)
}

/// The order and the payload out of all that came from the parent.
pub(super) fn read_order(frames: Vec<u8>) -> io::Result<(Order, Option<Bytes>)> {
    let mut frames = BytesMut::from(Bytes::from(frames));
    let mut take = || next(&mut frames)?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof));
    let order: Order = serde_json::from_slice(&take()?)?;
    let payload = if order.has_payload { Some(take()?) } else { None };
    Ok((order, payload))
}

/// A report as the child writes it.
pub(super) fn report(report: &Report) -> io::Result<Vec<u8>> {
    frame(&serde_json::to_vec(report)?)
}

/// Takes the first frame off `stream`; `None` while it is incomplete.
pub(super) fn next(stream: &mut BytesMut) -> io::Result<Option<Bytes>> {
    let Some((length, rest)) = stream.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(io::Error::other)?;
    if rest.len() < length {
        return Ok(None);
    }
    stream.advance(LENGTH_BYTES);
    Ok(Some(stream.split_to(length).freeze()))
}

fn frame(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::observe::metrics::End;
    use crate::task::{Outcome, RecordError};

    fn an_order(has_payload: bool) -> Order {
        Order {
            parent: 7,
            settings: vec![("S3_SECRET".into(), "line\nline \u{1F980}".into())],
            partition: 3,
            offset: i64::MAX,
            identity: RecordIdentity::of("urls_new", 3, i64::MAX, Some(1)),
            trace: HashMap::from([("traceparent".into(), "00-11-22-01".into())]),
            has_payload,
        }
    }

    #[test]
    fn an_order_arrives_with_its_payload_byte_for_byte_and_null_stays_null() {
        for payload in [None, Some(&b""[..]), Some(b"\0\xff{"), Some(&[0xa5; 3 << 20])] {
            let bytes = order(&an_order(payload.is_some()), payload).expect("written");
            let (read, arrived) = read_order(bytes).expect("read");
            assert_eq!(arrived.as_deref(), payload);
            assert_eq!(read.settings, an_order(false).settings);
            assert_eq!((read.partition, read.offset, read.parent), (3, i64::MAX, 7));
        }
    }

    #[test]
    fn an_order_that_was_cut_is_refused() {
        let whole = order(&an_order(true), Some(b"payload")).expect("written");
        for length in 0..whole.len() {
            assert!(read_order(whole[..length].to_vec()).is_err(), "{length} of {} bytes", whole.len());
        }
    }

    #[test]
    fn every_decision_arrives_as_it_was_made() {
        let failed = RecordError { code: Code::FieldType, reason: "no \"text\"".into(), correlation_id: Some(9) };
        let errors = Code::ALL
            .iter()
            .map(|code| Decision::Outcome(Outcome::error(u64::MAX >> 1, 5, *code, false), End::Error(*code)));
        for decision in errors.chain([Decision::DeadLetter(failed)]) {
            let mut stream = BytesMut::new();
            for byte in report(&Report::Decided(decision.clone().into())).expect("written") {
                assert!(next(&mut stream).expect("well formed").is_none(), "not complete yet");
                stream.extend_from_slice(&[byte]);
            }
            let frame = next(&mut stream).expect("well formed").expect("complete");
            let Ok(Report::Decided(read)) = serde_json::from_slice(&frame) else { panic!("{frame:?}") };
            assert_eq!(*read, decision);
        }
    }
}
