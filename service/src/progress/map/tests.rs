use proptest::prelude::*;

use super::*;

fn place() -> Place {
    Place { group: "downloader".into(), topic: "urls_new".into(), partition: 7 }
}

fn note(offset: i64, unfinished: Vec<i64>, end: i64) -> Note {
    Note {
        run_id: 0x0123_4567_89ab_cdef,
        open: true,
        strikes: 1,
        fence: offset + 3,
        limit: offset + 1024,
        anchor_ms: Some(1_700_000_000_000),
        end,
        unfinished,
        log_id: None,
    }
}

fn written(note: &Note, offset: i64) -> String {
    note.write(&place(), offset, METADATA_UNITS_MAX, 0).expect("fits").0
}

#[test]
fn a_note_is_a_short_text_and_stays_what_it_was() {
    // A golden text: changing it means that running and new versions no longer understand each other.
    let text = written(&note(100, vec![100, 103], 106), 100);
    assert_eq!(text, "dl1bFwcBI0VniavN7wEDgAiA0JX_vDEGAAEg8rdllw");
    assert_eq!(Note::read(text.as_bytes(), &place(), 100), Ok(Some(note(100, vec![100, 103], 106))));
    let identified = Note { log_id: Some(LogId(0xfeed)), ..note(100, vec![100, 103], 106) };
    let text = written(&identified, 100);
    assert_eq!(text, "dl1bIQcBI0VniavN7wEDgAiA0JX_vDEGAAEgAQgAAAAAAAD-7flFUJM");
    assert_eq!(Note::read(text.as_bytes(), &place(), 100), Ok(Some(identified)));
}

#[test]
fn a_copy_at_another_place_is_not_believed() {
    let text = written(&note(100, vec![100, 103], 106), 100);
    let read = |place: Place, offset| Note::read(text.as_bytes(), &place, offset);
    assert_eq!(read(place(), 101), Err(Distrust::Mismatch), "a translated offset, as MirrorMaker makes it");
    assert_eq!(read(Place { partition: 8, ..place() }, 100), Err(Distrust::Mismatch));
    assert_eq!(read(Place { topic: "urls".into(), ..place() }, 100), Err(Distrust::Mismatch));
    // Moving a letter from one name to the next must not go unnoticed either.
    let shifted = Place { group: "downloaderu".into(), topic: "rls_new".into(), ..place() };
    assert_eq!(read(shifted, 100), Err(Distrust::Mismatch));
}

#[test]
fn what_is_not_ours_is_told_apart() {
    let read = |bytes: &[u8]| Note::read(bytes, &place(), 0);
    assert_eq!(read(b""), Ok(None));
    assert_eq!(read(b"\xff\xfe"), Err(Distrust::NotText));
    assert_eq!(read("eyJmb28iOiJiYXIifQ".as_bytes()), Err(Distrust::Foreign));
    assert_eq!(read("дл1b".as_bytes()), Err(Distrust::Foreign));
    assert_eq!(read(b"dl"), Err(Distrust::Foreign));
    assert_eq!(read(b"dl2bAAAA"), Err(Distrust::Newer));
    assert_eq!(read(b"dl1"), Err(Distrust::Mismatch));
    assert_eq!(read(b"dl1x"), Err(Distrust::Mismatch));
    assert_eq!(read(&vec![b'd'; TEXT_BYTES_MAX + 1]), Err(Distrust::Foreign));
}

#[test]
fn every_cut_and_every_changed_character_is_noticed() {
    let text = written(&note(9, vec![9, 11, 50], 60), 9);
    for length in 1..text.len() {
        assert!(Note::read(&text.as_bytes()[..length], &place(), 9).is_err(), "{length}");
    }
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        // The last character may carry only zeros that fill it up.
        if let Ok(read) = Note::read(&bytes, &place(), 9) {
            assert_eq!((at, read), (text.len() - 1, Some(note(9, vec![9, 11, 50], 60))));
        }
    }
}

#[test]
fn later_extensions_are_skipped() {
    let plain = note(5, vec![5], 7);
    let bytes = plain.bytes(&place(), 5, 0);
    let mut reader = Reader::new(&bytes);
    let length = usize::try_from(reader.number().unwrap()).unwrap();
    let mut body = reader.raw(length).unwrap().to_vec();
    body.extend([200, 1, 3, 1, 2, 3]);
    let mut whole = Writer::default();
    whole.number(u64::try_from(body.len()).unwrap());
    whole.raw(&body);
    whole.raw(&checksum(&place(), 5, &body).to_be_bytes());
    assert_eq!(parse(&whole.finish(), &place(), 5), Some(plain));
}

#[test]
fn a_map_that_does_not_fit_ends_earlier() {
    let unfinished: Vec<i64> = (0..3000).map(|i| 7 + i * 5).collect();
    let whole = note(7, unfinished.clone(), 20_000);
    let (text, end) = whole.write(&place(), 7, 200, 2).expect("fits");
    assert!(text.encode_utf16().count() <= 200);
    let read = Note::read(text.as_bytes(), &place(), 7).expect("ours").expect("there");
    assert_eq!(read.end, end);
    assert!(read.unfinished.len() > 100, "{}", read.unfinished.len());
    assert_eq!(read.unfinished, unfinished[..read.unfinished.len()]);
    assert_eq!(end, unfinished[read.unfinished.len()], "what is above counts as unfinished");
    assert_eq!(whole.write(&place(), 7, 10, 2), None);
    let (text, end) = whole.write(&place(), 7, 60, 2).expect("a note without a map fits");
    assert!(end <= 7 + 5 * 200);
    assert!(Note::read(text.as_bytes(), &place(), 7).is_ok());
}

#[test]
fn ten_thousand_of_a_hundred_thousand_fit() {
    let mut random = 1_u64;
    let mut unfinished: Vec<i64> = (0..100_000)
        .filter(|offset| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *offset == 0 || (random >> 33).is_multiple_of(10)
        })
        .collect();
    unfinished.truncate(10_000);
    let (text, end) = note(0, unfinished, 100_000).write(&place(), 0, METADATA_UNITS_MAX, 3).expect("fits");
    assert_eq!(end, 100_000);
    let units = text.encode_utf16().count();
    assert!((3_000..4_096).contains(&units), "{units}");
}

fn sets() -> impl Strategy<Value = (i64, Vec<i64>, i64)> {
    (0i64..1 << 40, prop::collection::btree_set(1i64..5000, 0..300), 1i64..100).prop_map(|(offset, above, more)| {
        let unfinished: Vec<i64> = std::iter::once(offset).chain(above.iter().map(|o| offset + o)).collect();
        let end = unfinished.last().unwrap() + more;
        (offset, unfinished, end)
    })
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back(
        (offset, unfinished, end) in sets(), open: bool, strikes: u8, anchor_ms: Option<i64>, log: Option<u64>, k in 0..=K_MAX,
    ) {
        let note = Note { open, strikes, anchor_ms, log_id: log.map(LogId), ..note(offset, unfinished, end) };
        let (text, written_end) = note.write(&place(), offset, METADATA_UNITS_MAX, k).expect("fits");
        prop_assert_eq!(written_end, end);
        prop_assert!(text.encode_utf16().count() <= METADATA_UNITS_MAX);
        prop_assert!(!text.chars().any(char::is_control));
        prop_assert_eq!(Note::read(text.as_bytes(), &place(), offset), Ok(Some(note)));
    }

    /// So a record that starts only if the map would still fit never makes it too long later.
    #[test]
    fn finishing_a_record_never_lengthens_any_code((_, unfinished, _) in sets(), pick: prop::sample::Index) {
        prop_assume!(unfinished.len() > 1);
        let gaps = |set: &[i64]| set.windows(2).map(|w| above(w[1], w[0])).collect::<Vec<_>>();
        let mut fewer = unfinished.clone();
        fewer.remove(pick.index(fewer.len()));
        for k in 0..=K_MAX {
            let cost = |set: &[i64]| gaps(set).iter().map(|gap| gap_bits(*gap, k)).sum::<u64>();
            prop_assert!(cost(&fewer) <= cost(&unfinished));
        }
    }

    #[test]
    fn bytes_of_any_kind_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), wide: bool) {
        let _ = Note::read(&bytes, &place(), 3);
        let form = if wide { Form::Wide } else { Form::Base64 };
        let mut text = format!("{MAGIC}{MAJOR}{}", form.letter());
        form.write(&bytes, &mut text);
        let _ = Note::read(text.as_bytes(), &place(), 3);
        let _ = parse(&bytes, &place(), 3);
    }
}
