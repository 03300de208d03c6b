//! Which letters go back, how writing ends, and what the summary says.

use std::cell::Cell;

use super::*;
use crate::kafka::{Inscription, Source};

const TOPIC: &str = "urls_new";

fn letter(offset: i64, code: &str) -> Inscription {
    Inscription {
        topic: TOPIC.into(),
        source: Source { partition: 0, offset, timestamp_ms: Some(7) },
        code: code.into(),
        deaths: 1,
        left_out_bytes: None,
    }
}

fn at(offset: i64) -> Place {
    Place { partition: 0, offset }
}

fn report() -> Report {
    Report {
        dead_topic: "urls_dead".into(),
        topic: TOPIC.into(),
        dry_run: false,
        began: SystemTime::UNIX_EPOCH,
        read: 0,
        matching: 0,
        duplicates: 0,
        replayed: 0,
        left: Left::default(),
        stopped: None,
    }
}

/// Places to read from, with the count of deaths, and the report, of letters that stand at 0, 1, 2 ... and were written
/// at 0, 10, 20 ... ms.
fn planned(request: &Request, letters: Vec<Inscription>) -> (Vec<(i64, u32)>, Report) {
    let mut survey = Survey::new(TOPIC, request);
    for (offset, said) in (0..).zip(letters) {
        survey.add(at(offset), Some(offset * 10), Ok(said));
    }
    let mut report = Report { read: survey.read, duplicates: survey.duplicates(), ..report() };
    let plan = survey.plan(&mut report);
    (plan.into_iter().map(|(place, planned)| (place.offset, planned.deaths)).collect(), report)
}

fn places(request: &Request, letters: Vec<Inscription>) -> Vec<i64> {
    planned(request, letters).0.into_iter().map(|(offset, _)| offset).collect()
}

#[test]
fn only_the_codes_and_times_asked_for_match() {
    let letters = || vec![letter(1, "not_json"), letter(2, "field_type"), letter(3, "not_json")];
    assert_eq!(places(&Request::default(), letters()), [0, 1, 2]);
    let codes = Request { codes: vec![Code::NotJson], ..Request::default() };
    assert_eq!(places(&codes, letters()), [0, 2]);
    let since = Request { since_ms: Some(10), ..codes.clone() };
    assert_eq!(places(&since, letters()), [2]);
    let two = Request { codes: vec![Code::NotJson, Code::FieldType], since_ms: Some(10), ..Request::default() };
    assert_eq!(places(&two, letters()), [1, 2]);
}

#[test]
fn a_record_with_two_letters_goes_back_once() {
    let (plan, report) =
        planned(&Request::default(), vec![letter(1, "not_json"), letter(2, "not_json"), letter(1, "not_json")]);
    assert_eq!(plan, [(0, 1), (1, 1)]);
    assert_eq!((report.read, report.matching, report.duplicates), (3, 2, 1));
}

#[test]
fn records_of_two_logs_are_not_confused() {
    let other = Source { timestamp_ms: Some(8), ..letter(1, "").source };
    let letters = vec![letter(1, "not_json"), Inscription { source: other, ..letter(1, "not_json") }];
    assert_eq!(places(&Request::default(), letters), [0, 1], "the topic was made anew, and its offsets begin anew");
}

#[test]
fn the_last_death_decides_and_counts_whatever_the_order() {
    let died_again = || Inscription { deaths: 2, ..letter(1, "field_type") };
    for letters in [vec![letter(1, "not_json"), died_again()], vec![died_again(), letter(1, "not_json")]] {
        let first = Request { codes: vec![Code::NotJson], ..Request::default() };
        assert_eq!(planned(&first, letters.clone()).0, []);
        let last = Request { codes: vec![Code::FieldType], ..Request::default() };
        assert_eq!(planned(&last, letters).0, [(0, 2)]);
    }
}

#[test]
fn a_letter_without_payload_is_left_unless_another_has_it() {
    let empty = || Inscription { deaths: 2, left_out_bytes: Some(70_000), ..letter(1, "not_json") };
    let (plan, report) = planned(&Request::default(), vec![empty(), letter(2, "not_json")]);
    assert_eq!(plan, [(1, 1)]);
    assert_eq!((report.matching, report.left.count), (2, 1));
    let text = report.to_string();
    assert!(text.contains("partition 0 offset 0 not_json: its payload of 70000 bytes was too large"), "{text}");
    assert_eq!(report.exit(), Exit::Failed);
    let (plan, report) = planned(&Request::default(), vec![letter(1, "not_json"), empty()]);
    assert_eq!((plan, report.left.count), (vec![(0, 2)], 0), "an earlier letter has the payload");
    assert_eq!(report.exit(), Exit::Drained);
}

#[test]
fn letters_of_other_topics_are_named_and_are_no_failure() {
    let other = Inscription { topic: "else\nwhere".into(), ..letter(1, "not_json") };
    let (plan, report) = planned(&Request::default(), vec![other, letter(1, "not_json")]);
    assert_eq!(plan, [(1, 1)]);
    assert_eq!(report.exit(), Exit::Drained);
    let text = report.to_string();
    assert!(text.contains("partition 0 offset 0 not_json: it belongs to topic 'else\\nwhere'"), "{text}");
}

#[test]
fn what_is_left_is_named_up_to_a_limit() {
    let letters = (0..50).map(|offset| Inscription { left_out_bytes: Some(1), ..letter(offset, "not_json") });
    let (_, report) = planned(&Request::default(), letters.collect());
    let text = report.to_string();
    assert_eq!(text.lines().filter(|line| line.contains("too large")).count(), LEFT_NAMED_MAX);
    assert!(text.contains("left        50\n") && text.contains("and 30 more"), "{text}");
}

fn failed() -> ProduceError {
    ProduceError::UnknownTopic { topic: TOPIC.into() }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_written_again_until_it_is_acknowledged() {
    let left = Cell::new(20);
    let send = async || {
        left.set(left.get() - 1);
        if left.get() == 0 { Ok(()) } else { Err(failed()) }
    };
    assert_eq!(write(send, Instant::now(), &CancellationToken::new()).await, Written::Acked);
    assert_eq!(left.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_acknowledges_ends_the_run_with_its_error() {
    let began = Instant::now();
    let end = write(async || Err(failed()), began, &CancellationToken::new()).await;
    let Written::Failed(cause) = end else { panic!("{end:?}") };
    assert!(cause.contains("acknowledged nothing") && cause.contains("'urls_new' does not exist"), "{cause}");
    assert!((WRITE_PATIENCE..WRITE_PATIENCE * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_writes_nothing_more() {
    let stop = CancellationToken::new();
    stop.cancel();
    assert_eq!(write(async || -> Result<(), _> { panic!("written") }, Instant::now(), &stop).await, Written::Not);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_and_a_pause_is_not_caught_up() {
    let mut pace = Pace::new(Some(10));
    let began = Instant::now();
    let slots: Vec<_> = (0..21).map(|_| pace.slot(began)).collect();
    assert_eq!(slots.last().map(|slot| *slot - began), Some(Duration::from_secs(2)));
    let later = began + Duration::from_secs(60);
    let slots: Vec<_> = (0..11).map(|_| pace.slot(later)).collect();
    assert_eq!(slots.last().map(|slot| *slot - later), Some(Duration::from_secs(1) - BURST));
    let mut free = Pace::new(None);
    assert_eq!([free.slot(later), free.slot(later)], [later, later]);
}
