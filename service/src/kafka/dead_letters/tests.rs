//! There and back again: what a record loses on the way, which is nothing.

use proptest::collection::vec;
use proptest::prelude::*;
use rdkafka::message::Header;

use super::*;
use crate::kafka::dead_log::{Inscription, Place, Unreadable};
use crate::kafka::headers::all;
use crate::kafka::headers::tests::with_bytes_as_name;

type Plain = Vec<(String, Option<Vec<u8>>)>;

fn headers(plain: &Plain) -> OwnedHeaders {
    plain.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: value.as_deref() }))
}

fn plain(headers: &OwnedHeaders) -> Plain {
    let text = |name: &[u8]| String::from_utf8(name.to_vec()).expect("UTF-8");
    all(headers).map(|(name, value)| (text(name), value.map(<[u8]>::to_vec))).collect()
}

fn delivery(headers: OwnedHeaders, offset: i64) -> Delivery {
    Delivery::new(None, None, Some(headers), Some(1_700_000_000_000), (2, offset))
}

/// The letter that is written for a record with these headers.
fn buried(record: OwnedHeaders, offset: i64) -> Letter {
    let delivery = delivery(record, offset);
    let headers = with_all(foreign(&delivery), &own_headers("urls_new", &delivery, Code::NotJson));
    Letter { place: Place { partition: 0, offset: 0 }, written_ms: None, payload: None, key: None, headers }
}

fn ours(name: &str) -> bool {
    name.starts_with(RESERVED) || name.starts_with(RESERVED_BACK)
}

fn any_headers() -> impl Strategy<Value = Plain> {
    // No zero byte: librdkafka hands names out as C strings.
    let name = prop_oneof![
        "[a-z.]{0,4}",
        "[^\0]{1,8}",
        Just("traceparent".to_owned()),
        Just("dead.offset".to_owned()),
        Just("dead.payload.bytes".to_owned()),
        Just("replay.attempts".to_owned()),
        Just("deadline".to_owned()),
    ];
    vec((name, proptest::option::of(vec(any::<u8>(), 0..12))), 0..12)
}

proptest! {
    /// A record that dies, goes back, dies again and goes back has the headers it came with, in their order and byte for
    /// byte, and each letter and each return says so in headers that nobody else can have written.
    #[test]
    fn a_record_keeps_its_headers_however_often_it_dies(record in any_headers()) {
        let strangers: Plain = record.iter().filter(|(name, _)| !ours(name)).cloned().collect();
        let first = buried(headers(&record), 40);
        // The stranger may have claimed that the record went back before; only whole claims are believed.
        let said = first.inscription().expect("readable");
        let back = restored(&first.headers, said.source, said.deaths);
        let (theirs, added): (Plain, Plain) = plain(&back).into_iter().partition(|(name, _)| !ours(name));
        prop_assert_eq!(&theirs, &strangers);
        let names: Vec<_> = added.iter().map(|(name, _)| name.as_str()).collect();
        prop_assert_eq!(names, ["replay.partition", "replay.offset", "replay.timestamp", "replay.attempts"]);

        let again = buried(back, 77);
        let later = again.inscription().expect("readable");
        prop_assert_eq!(later.source, said.source, "still the record that died first");
        prop_assert_eq!(later.deaths, said.deaths + 1);
        let back = restored(&again.headers, later.source, later.deaths);
        let (theirs, added): (Plain, Plain) = plain(&back).into_iter().partition(|(name, _)| !ours(name));
        prop_assert_eq!(theirs, strangers);
        prop_assert_eq!(added.len(), 4);
    }
}

#[test]
fn a_letter_says_where_its_record_was() {
    let letter = buried(OwnedHeaders::new(), 40);
    let expected = Inscription {
        topic: "urls_new".into(),
        source: Source { partition: 2, offset: 40, timestamp_ms: Some(1_700_000_000_000) },
        code: "not_json".into(),
        deaths: 1,
        left_out_bytes: None,
    };
    assert_eq!(letter.inscription(), Ok(expected));
}

#[test]
fn a_record_that_claims_to_be_a_letter_is_not_believed() {
    let hostile: Plain = ["dead.topic", "dead.code", "dead.payload.bytes", "dead.unheard_of"]
        .map(|name| (name.to_owned(), Some(b"9".to_vec())))
        .into();
    let letter = buried(headers(&hostile), 40);
    let said = letter.inscription().expect("readable");
    assert_eq!((said.topic.as_str(), said.code.as_str(), said.left_out_bytes), ("urls_new", "not_json", None));
    assert_eq!(plain(&letter.headers).len(), 6, "{:?}", plain(&letter.headers));
}

#[test]
fn a_count_of_deaths_that_cannot_be_read_begins_anew() {
    for (claimed, deaths) in [("1", 2), ("41", 42), ("x", 1), ("-1", 1), ("99999999999", 1), ("4294967295", u32::MAX)] {
        let record = vec![("replay.attempts".to_owned(), Some(claimed.as_bytes().to_vec()))];
        assert_eq!(buried(headers(&record), 1).inscription().expect("readable").deaths, deaths, "{claimed}");
    }
}

#[test]
fn names_that_are_not_utf_8_go_there_and_back() {
    let record = with_bytes_as_name(OwnedHeaders::new(), c"\xff\xfe", b"\x80");
    let letter = buried(record, 40);
    let back = restored(&letter.headers, letter.inscription().expect("readable").source, 1);
    assert_eq!(all(&back).next(), Some((&b"\xff\xfe"[..], Some(&b"\x80"[..]))));
}

#[test]
fn what_somebody_else_wrote_is_no_letter() {
    let whole = buried(OwnedHeaders::new(), 40);
    for name in ["dead.topic", "dead.partition", "dead.offset", "dead.timestamp", "dead.code", "dead.attempts"] {
        let letter = Letter { headers: without(&whole.headers, &[name]), ..buried(OwnedHeaders::new(), 1) };
        assert_eq!(
            letter.inscription().expect_err(name).to_string(),
            format!("its header {name} is missing or cannot be read")
        );
        let headers = with_text(without(&whole.headers, &[name]), name, "");
        let letter = Letter { headers, ..buried(OwnedHeaders::new(), 1) };
        // A record may have no time, and a topic or code is whatever it says.
        let readable = ["dead.topic", "dead.timestamp", "dead.code"].contains(&name);
        let result: Result<Inscription, Unreadable> = letter.inscription();
        assert_eq!(result.is_ok(), readable, "{name}");
    }
}
