//! Files that are cut, changed or made to harm: what is there, or an error; never a panic, never more work or memory
//! than was said.

mod common;

use std::sync::LazyLock;

use common::{Codes, Order, Plan, parse, waves};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use jpeg_shrink::{Corrupt, Damage, Decoder, Error, Jpeg, Scale};
use proptest::prelude::*;

fn encoded(width: u16, height: u16, interval: u16, scans: Option<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 85);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    if let Some(scans) = scans {
        encoder.set_progressive_scans(scans);
    }
    if interval > 0 {
        encoder.set_restart_interval(interval);
    }
    encoder.encode(&waves(width, height, 8), width, height, ColorType::Rgb).expect("encoded");
    bytes
}

fn find(bytes: &[u8], marker: u8) -> usize {
    bytes.windows(2).position(|pair| pair == [0xff, marker]).expect("the marker")
}

/// Luma at 1/8, by rows, and what was wrong.
fn luma(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<Damage>) {
    let mut decoder = Decoder::new();
    let picture = decoder.decode(&parse(bytes), Scale::Eighth).expect("decoded");
    let plane = picture.planes()[0];
    ((0..plane.height()).map(|y| plane.row(y).to_vec()).collect(), picture.damage())
}

#[test]
fn a_file_that_is_cut_gives_what_is_there_and_says_so() {
    let whole = encoded(160, 160, 0, None);
    let (rows, damage) = luma(&whole);
    assert_eq!(damage, None);
    let first = find(&whole, 0xda) + 14;
    let mut grey_before = usize::MAX;
    for cut in (first..whole.len() - 3).step_by(37) {
        let (left, damage) = luma(&whole[..cut]);
        assert_eq!(damage, Some(Damage::EndsEarly), "cut at {cut}");
        let grey = left.iter().rev().take_while(|row| row.iter().all(|sample| *sample == 128)).count();
        // Blocks lie in units of two rows; the one where the data end is neither whole nor grey.
        let sound = (left.len() - grey).saturating_sub(2) / 2 * 2;
        assert_eq!(left[..sound], rows[..sound], "cut at {cut}");
        assert!(grey <= grey_before, "more data, less picture");
        grey_before = grey;
    }
    assert!(grey_before <= 2, "{grey_before} rows grey with nearly all data");
    // Without its end marker the picture is whole.
    assert_eq!(luma(&whole[..whole.len() - 2]), (rows, None));
}

#[test]
fn a_progressive_file_needs_its_dc_scans_and_no_more() {
    let plan = Plan {
        width: 100,
        height: 60,
        samplings: vec![(2, 2), (1, 1), (1, 1)],
        interval: 0,
        order: Order::Progressive,
        codes: Codes::Standard,
        density: 30,
        seed: 9,
    };
    let whole = plan.file().bytes;
    let (rows, damage) = luma(&whole);
    assert_eq!(damage, None);
    let scans: Vec<usize> =
        whole.windows(2).enumerate().filter(|(_, pair)| *pair == [0xff, 0xda]).map(|pair| pair.0).collect();
    assert_eq!(scans.len(), 5);
    // The last scan has the last bit of each DC coefficient.
    let (almost, damage) = luma(&whole[..scans[4]]);
    assert_eq!(damage, Some(Damage::EndsEarly));
    let worst = rows.concat().iter().zip(almost.concat()).map(|(a, b)| a.abs_diff(b)).max();
    assert!(worst <= Some(2), "one step of quantisation is {worst:?}");
    // Where the AC scans make no sense nobody notices.
    let mut scrambled = whole.clone();
    scrambled[scans[2] + 40..scans[2] + 60].fill(0x55);
    assert_eq!(luma(&scrambled), (rows, None));
}

#[test]
fn a_lost_interval_is_grey_and_the_next_is_where_it_belongs() {
    // A row of units for each interval.
    let whole = encoded(160, 160, 10, None);
    let (rows, _) = luma(&whole);
    let marker = find(&whole, 0xd3);
    let end = find(&whole, 0xd4);
    let lost = [&whole[..marker], &whole[end..]].concat();
    let (left, damage) = luma(&lost);
    assert_eq!(damage, Some(Damage::Restart));
    assert_eq!(left[..8], rows[..8]);
    assert!(left[8..10].iter().flatten().all(|sample| *sample == 128));
    assert_eq!(left[10..], rows[10..]);
    let mut again = whole.clone();
    again.splice(end..end, whole[marker..end].to_vec());
    let (left, damage) = luma(&again);
    assert_eq!((left == rows, damage), (true, Some(Damage::Restart)), "one that comes twice is passed over");
}

#[test]
fn bits_that_are_no_code_are_noticed() {
    let whole = encoded(160, 160, 0, None);
    let start = find(&whole, 0xda) + 14;
    let mut wrong = whole.clone();
    // 16 ones are no code of the standard's tables.
    wrong.splice(start + 200..start + 200, [0xff, 0].repeat(8));
    assert_eq!(luma(&wrong).1, Some(Damage::BadCode));
}

/// `count` times the same segment or scan, before the end.
fn repeated(whole: &[u8], part: &[u8], at: usize, count: usize) -> Vec<u8> {
    [&whole[..at], &part.repeat(count), &whole[at..]].concat()
}

#[test]
fn a_scan_that_comes_again_ends_the_decoding() {
    let whole = encoded(160, 160, 0, None);
    let (scan, end) = (find(&whole, 0xda), whole.len() - 2);
    // The first tells everything, so nobody looks at the others.
    let again = repeated(&whole, &whole[scan..end], end, 1000);
    assert_eq!(luma(&again), luma(&whole));
    // Of one component again and again, while the others are awaited.
    let plan = Plan {
        width: 160,
        height: 160,
        samplings: vec![(1, 1); 3],
        interval: 0,
        order: Order::Separate,
        codes: Codes::Standard,
        density: 10,
        seed: 10,
    };
    let whole = plan.file().bytes;
    let scan = find(&whole, 0xda);
    let second = scan + 2 + find(&whole[scan + 2..], 0xda);
    let again = repeated(&whole[..second], &whole[scan..second], second, 1000);
    assert_eq!(luma(&again).1, Some(Damage::Segment));
    let progressive = Plan { order: Order::ProgressiveSeparate, ..plan }.file().bytes;
    let scan = find(&progressive, 0xda);
    let second = scan + 2 + find(&progressive[scan + 2..], 0xda);
    let again = repeated(&progressive[..second], &progressive[scan..second], second, 1000);
    assert_eq!(luma(&again).1, Some(Damage::Segment));
}

#[test]
fn nothing_before_the_first_sample_is_an_error() {
    let whole = encoded(64, 64, 0, None);
    let scan = find(&whole, 0xda);
    let mut decoder = Decoder::new();
    let mut error = |bytes: &[u8]| {
        let outcome = Jpeg::parse(bytes).and_then(|jpeg| decoder.decode(&jpeg, Scale::Half).map(drop));
        outcome.expect_err("no sample")
    };
    let mut unknown = whole.clone();
    unknown[scan + 5] = 77;
    assert_eq!(error(&unknown), Error::Corrupt(Corrupt::Scan));
    let mut no_prefix = whole.clone();
    let table = find(&whole, 0xc4);
    no_prefix[table + 5] = 3;
    assert!(matches!(error(&no_prefix), Error::Corrupt(_)));
    let quantisation = find(&whole, 0xdb);
    let length = 2 + usize::from(whole[quantisation + 3]) + 256 * usize::from(whole[quantisation + 2]);
    let without = [&whole[..quantisation], &whole[quantisation + length..]].concat();
    assert_eq!(error(&without), Error::Corrupt(Corrupt::Quantisation));
    let no_scan = [&whole[..scan], &[0xff, 0xd9]].concat();
    assert_eq!(Jpeg::parse(&no_scan).map(drop), Err(Error::Corrupt(Corrupt::Frame)));
}

/// Decodes at every scale: nothing but an answer is asked, and that memory stays within what was said.
fn survive(decoder: &mut Decoder, bytes: &[u8]) -> bool {
    let Ok(jpeg) = Jpeg::parse(bytes) else { return false };
    let _profile = jpeg.icc_profile();
    // A side can become anything.
    if u32::from(jpeg.width()) * u32::from(jpeg.height()) > 1 << 22 {
        return false;
    }
    let mut is_decoded = false;
    for scale in Scale::ALL {
        decoder.keep_at_most(0);
        is_decoded |= decoder.decode(&jpeg, scale).is_ok_and(|picture| !picture.planes().is_empty());
        let kept = u64::try_from(decoder.kept_bytes()).expect("64 bits");
        assert!(kept <= jpeg.memory(scale));
    }
    is_decoded
}

static SPECIMENS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(specimens);

fn specimens() -> Vec<Vec<u8>> {
    let plan = |order, samplings: &[(u8, u8)], interval| Plan {
        width: 37,
        height: 29,
        samplings: samplings.to_vec(),
        interval,
        order,
        codes: Codes::Standard,
        density: 30,
        seed: 11,
    };
    vec![
        encoded(61, 43, 0, None),
        encoded(61, 43, 2, None),
        encoded(61, 43, 0, Some(5)),
        plan(Order::Separate, &[(2, 2), (1, 1), (1, 1)], 3).file().bytes,
        plan(Order::Progressive, &[(4, 1), (1, 1), (1, 1)], 1).file().bytes,
        plan(Order::ProgressiveSeparate, &[(3, 2), (2, 1), (1, 1)], 0).file().bytes,
        plan(Order::Interleaved, &[(1, 1)], 0).file().bytes,
    ]
}

#[test]
fn a_file_cut_anywhere_is_survived() {
    let mut decoder = Decoder::new();
    for whole in &*SPECIMENS {
        for cut in 0..whole.len() {
            survive(&mut decoder, &whole[..cut]);
        }
        assert!(survive(&mut decoder, whole));
    }
}

#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Copy(usize, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<usize>();
    prop_oneof![
        4 => (place, any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (place, prop::sample::select(vec![0xffd0_u16, 0xffd3, 0xffd9, 0xffda, 0xffff, 0xff00, 0xffc4, 0xffdd]))
            .prop_map(|(at, marker)| Change::Insert(at, marker.to_be_bytes().to_vec())),
        1 => (place, prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (place, 1..200_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (place, any::<usize>(), 1..400_usize).prop_map(|(from, to, count)| Change::Copy(from, to, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: Change) {
    let length = bytes.len();
    match change {
        Change::Set(at, byte) => bytes[at % length] = byte,
        Change::Insert(at, more) => drop(bytes.splice(at % length..at % length, more)),
        Change::Remove(at, count) if count < length => {
            let at = at % (length - count);
            bytes.drain(at..at + count);
        }
        Change::Copy(from, to, count) if count < length => {
            let from = from % (length - count);
            let part = bytes[from..from + count].to_vec();
            bytes.splice(to % length..to % length, part);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn changed_files_are_survived(which in 0..7_usize, changes in prop::collection::vec(change(), 1..8)) {
        let mut bytes = SPECIMENS[which].clone();
        for change in changes {
            apply(&mut bytes, change);
        }
        survive(&mut Decoder::new(), &bytes);
    }

    #[test]
    fn any_data_behind_a_sound_header_are_survived(which in 0..7_usize, data in prop::collection::vec(any::<u8>(), 0..2000)) {
        let whole = &SPECIMENS[which];
        let start = find(whole, 0xda) + 8;
        survive(&mut Decoder::new(), &[&whole[..start], &data].concat());
    }
}
