//! The metadata of a commit. What is believed must be in order and say the same when it is written again. The checksum
//! would keep the fuzzer out, so the first byte chooses whether it is put right before.
#![no_main]

use downloader::progress::{METADATA_UNITS_MAX, Note, Place};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, i64, &[u8])| {
    let (sealed, offset, bytes) = input;
    // A broker knows no offset below zero.
    let offset = offset & i64::MAX;
    let place = Place { group: "downloader".into(), topic: "urls_new".into(), partition: 7 };
    let read = if sealed { Note::fuzzed(bytes, offset) } else { Note::read(bytes, &place, offset).ok().flatten() };
    let Some(note) = read else { return };
    assert!(note.fence >= offset && note.limit >= offset && note.end >= offset);
    assert!(note.unfinished.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(note.unfinished.first().is_none_or(|first| *first == offset));
    assert!(note.unfinished.last().is_none_or(|last| *last < note.end));
    let (text, end) = note.write(&place, offset, METADATA_UNITS_MAX, 0).expect("a note without a map always fits");
    assert!(text.encode_utf16().count() <= METADATA_UNITS_MAX);
    let again = Note::read(text.as_bytes(), &place, offset).expect("what we write we read").expect("it is there");
    if end == note.end && note.end > offset {
        assert_eq!(again, note);
    } else {
        assert!(again.unfinished.len() <= note.unfinished.len());
    }
});
