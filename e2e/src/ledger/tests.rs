//! A clean run is green, and each kind of badness turns it red and is named.

use downloader::error::Code;
use downloader::task::Picture;

use super::*;
use crate::fixtures;
use crate::kafka::Headers;

const PLACE: Place = Place { partition: 3, offset: 40 };

/// A ledger of one task that ended well, before something is done to it.
struct Run {
    ledger: Ledger,
    original: Vec<u8>,
    thumbnail: Vec<u8>,
}

fn task(id: u64) -> Task {
    Task {
        correlation_id: id,
        url: format!("http://127.0.0.1:1/n/{id}/seeding.jpg"),
        target_path: format!("originals/{id}"),
        target_thumbnail_path: format!("thumbnails/{id}"),
    }
}

fn run() -> Run {
    // Any two pictures will do: one stands for an original of 320x180, the other for its thumbnail.
    let original = fixtures::image_bytes("grey.jpg").unwrap().to_vec();
    let decoded = image::load_from_memory(&original).unwrap();
    let mut thumbnail = Vec::new();
    let small = decoded.thumbnail(128, 128);
    small.write_to(&mut std::io::Cursor::new(&mut thumbnail), image::ImageFormat::Png).unwrap();
    let ledger = Ledger::new(Some(128));
    let source = Source { size: Some((320, 180)), ..Source::of_bytes(&original) };
    ledger.produced_task(task(7), Some(PLACE), Expected::Ok(source));
    Run { ledger, original, thumbnail }
}

impl Run {
    fn outcome(&self) -> Outcome {
        let picture = Picture {
            source_bytes: self.original.len() as u64,
            source_sha256: sha256(&self.original),
            width: 320,
            height: 180,
            content_type: "image/jpeg".into(),
            thumbnail_bytes: self.thumbnail.len() as u64,
            thumbnail_sha256: sha256(&self.thumbnail),
            thumbnail_width: 128,
            thumbnail_height: 72,
        };
        Outcome::ok(7, 1, picture)
    }

    fn put(&self, original: Option<&[u8]>, thumbnail: Option<&[u8]>) {
        let object = |bytes: &[u8], content_type: &str| Object {
            bytes: bytes.to_vec().into(),
            content_type: Some(content_type.into()),
            metadata: [("source-sha256".to_owned(), sha256(&self.original))].into(),
        };
        self.ledger.saw_object("originals/7", original.map(|bytes| object(bytes, "image/jpeg")));
        self.ledger.saw_object("thumbnails/7", thumbnail.map(|bytes| object(bytes, "image/png")));
    }

    fn put_both(&self) {
        self.put(Some(&self.original), Some(&self.thumbnail));
    }

    fn end(&self, outcome: Outcome) {
        self.ledger.saw_outcome(record(outcome, PLACE));
    }

    fn requests(&self, count: usize) {
        self.ledger.saw_requests([("/n/7/seeding.jpg".to_owned(), count)].into());
    }

    fn wrong(&self) -> String {
        let verdict = self.ledger.verdict(None);
        assert!(!verdict.is_green(), "{verdict}");
        verdict.wrong[&Subject::Task(7)].iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

fn record(outcome: Outcome, source: Place) -> OutcomeRecord {
    let text = |name: &str, value: i64| (name.to_owned(), Some(value.to_string().into_bytes()));
    let headers: Headers =
        vec![text("source.partition", i64::from(source.partition)), text("source.offset", source.offset)];
    OutcomeRecord { outcome, key: None, headers, place: Place { partition: 0, offset: 0 }, at_ms: None }
}

fn error(code: Code) -> Outcome {
    Outcome::error(7, 1, code, true)
}

fn committed(next_offset: i64) -> Vec<PartitionOffsets> {
    vec![PartitionOffsets { partition: PLACE.partition, committed: Some(next_offset), low: 0, high: 41 }]
}

#[test]
fn a_clean_run_is_green() {
    let run = run();
    run.put_both();
    run.end(run.outcome());
    run.requests(1);
    run.ledger.saw_offsets(committed(41));
    let verdict = run.ledger.verdict(Some(0));
    verdict.assert_green();
    assert!(verdict.all_committed() && verdict.ok == 1, "{verdict}");
    assert_eq!(run.ledger.settled(), Ok(()));
}

#[test]
fn a_task_without_an_outcome_is_lost() {
    let run = run();
    run.put_both();
    assert!(run.ledger.settled().unwrap_err().contains("1 of 1 records are not finished: 7"));
    let verdict = run.ledger.verdict(None);
    assert!(!verdict.is_green() && verdict.lost == [Subject::Task(7)].into(), "{verdict}");
    assert!(verdict.committed_over.is_empty());
    run.ledger.saw_offsets(committed(41));
    let verdict = run.ledger.verdict(None);
    assert_eq!(verdict.committed_over, [Subject::Task(7)].into(), "41 says that 40 is finished");
    run.ledger.saw_offsets(committed(40));
    assert!(run.ledger.verdict(None).committed_over.is_empty(), "40 says that 40 is next");
}

/// The thumbnail's metadata, the original's metadata and bytes, and the outcome name one and the same hash.
#[test]
fn a_pair_that_does_not_belong_together_is_wrong() {
    let run = run();
    run.end(run.outcome());
    let (other, own) = (sha256(b"other"), sha256(&run.original));
    let put = |key: &str, bytes: &[u8], content_type: &str, made_from: Option<&String>| {
        let metadata = made_from.map(|made_from| ("source-sha256".to_owned(), made_from.clone()));
        let object = Object {
            bytes: bytes.to_vec().into(),
            content_type: Some(content_type.into()),
            metadata: metadata.into_iter().collect(),
        };
        run.ledger.saw_object(key, Some(object));
    };
    let original = |made_from| put("originals/7", &run.original, "image/jpeg", made_from);
    let thumbnail = |made_from| put("thumbnails/7", &run.thumbnail, "image/png", made_from);
    original(Some(&own));
    thumbnail(Some(&own));
    run.ledger.verdict(Some(0)).assert_green();
    for made_from in [Some(&other), None] {
        thumbnail(made_from);
        assert!(run.wrong().contains("mixed pair"), "{}", run.wrong());
    }
    thumbnail(Some(&own));
    for made_from in [Some(&other), None] {
        original(made_from);
        assert!(run.wrong().contains("the original's metadata"), "{}", run.wrong());
    }
    let run = self::run();
    run.put_both();
    run.end(Outcome { source_sha256: Some(other.clone()), ..run.outcome() });
    assert!(run.wrong().contains("the original has another SHA-256"), "{}", run.wrong());
}

#[test]
fn an_error_where_ok_is_expected_is_wrong() {
    let run = run();
    run.end(error(Code::ImageCorrupt));
    assert_eq!(run.wrong(), "Error image_corrupt where Ok is expected");
}

#[test]
fn an_ok_without_both_objects_is_wrong() {
    let run = run();
    run.end(run.outcome());
    run.put(Some(&run.original), None);
    assert_eq!(run.wrong(), "the thumbnail is missing");
    run.put(None, Some(&run.thumbnail));
    assert_eq!(run.wrong(), "the original is missing");
}

#[test]
fn objects_that_are_not_what_the_outcome_says_are_wrong() {
    let run = run();
    run.end(run.outcome());
    let mut turned = run.original.clone();
    *turned.last_mut().unwrap() ^= 1;
    run.put(Some(&turned), Some(&run.thumbnail));
    assert!(run.wrong().contains("the original has another SHA-256"), "{}", run.wrong());
    assert!(run.wrong().contains("mixed pair"), "{}", run.wrong());
    run.put(Some(&run.original), Some(b"not a picture"));
    for part in ["has 13 bytes", "the thumbnail has another SHA-256", "cannot be decoded"] {
        assert!(run.wrong().contains(part), "{}", run.wrong());
    }
}

/// Hashes and metadata are all as they should be: only who looks at the picture sees it.
#[test]
fn a_thumbnail_of_another_picture_is_wrong() {
    let run = run();
    let other = image::RgbImage::from_pixel(128, 72, image::Rgb([200, 30, 30]));
    let mut thumbnail = std::io::Cursor::new(Vec::new());
    other.write_to(&mut thumbnail, image::ImageFormat::Png).unwrap();
    let run = Run { thumbnail: thumbnail.into_inner(), ..run };
    run.put_both();
    run.end(run.outcome());
    assert_eq!(run.wrong(), "the thumbnail shows another picture than the original");
}

#[test]
fn wrong_sizes_are_wrong() {
    let run = run();
    run.put_both();
    run.end(Outcome { thumbnail_width: Some(127), ..run.outcome() });
    assert!(run.wrong().contains("the thumbnail is 128x72, not 127x72"), "{}", run.wrong());

    let turned = self::run();
    turned.put_both();
    turned.end(Outcome { width: Some(180), height: Some(320), ..turned.outcome() });
    for part in ["the picture's size is 180x320, not 320x180", "does not show 180x320 within 128"] {
        assert!(turned.wrong().contains(part), "{}", turned.wrong());
    }
}

#[test]
fn another_original_than_the_origin_serves_is_wrong() {
    let run = run();
    let other = Run { original: b"something else".to_vec(), ..self::run() };
    run.end(other.outcome());
    let problems = run.wrong();
    assert!(problems.contains("the source's SHA-256 is"), "{problems}");
}

#[test]
fn an_expected_error_is_green_and_another_code_or_an_ok_is_wrong() {
    let ledger = || {
        let ledger = Ledger::new(None);
        ledger.produced_task(task(7), Some(PLACE), Expected::Error("image_corrupt".into()));
        ledger
    };
    let right = ledger();
    right.saw_outcome(record(error(Code::ImageCorrupt), PLACE));
    right.verdict(Some(0)).assert_green();
    let other = ledger();
    other.saw_outcome(record(error(Code::ImageUnsupported), PLACE));
    assert!(!other.verdict(None).is_green());
    let ok = ledger();
    ok.saw_outcome(record(run().outcome(), PLACE));
    assert!(ok.verdict(None).to_string().contains("Ok where Error image_corrupt is expected"));
}

#[test]
fn repeats_and_reruns_are_named_and_red_above_the_bound() {
    let run = run();
    run.put_both();
    run.end(run.outcome());
    run.end(run.outcome());
    run.requests(2);
    let verdict = run.ledger.verdict(Some(1));
    verdict.assert_green();
    assert_eq!((verdict.repeated[&Subject::Task(7)], verdict.rerun[&Subject::Task(7)]), (2, 2));
    assert!(!run.ledger.verdict(Some(0)).is_green());
    run.end(Outcome { attempts: Some(2), ..error(Code::HttpStatusTransient) });
    assert!(run.ledger.verdict(Some(2)).is_green(), "an Error after an Ok changes nothing for a reader");
    let verdict = run.ledger.verdict(Some(1));
    assert_eq!(verdict.broken(), [Invariant::I4].into(), "one record, and two outcomes too many\n{verdict}");
    assert!(verdict.to_string().ends_with("verdict: RED (I4)"), "{verdict}");
}

#[test]
fn retries_are_no_rerun() {
    let run = run();
    run.put_both();
    run.end(Outcome { attempts: Some(3), ..run.outcome() });
    run.requests(3);
    assert!(run.ledger.verdict(Some(0)).rerun.is_empty());
    run.requests(4);
    assert!(!run.ledger.verdict(Some(0)).is_green());
}

#[test]
fn repeats_that_name_other_bytes_are_wrong() {
    let run = run();
    run.put_both();
    run.end(run.outcome());
    run.end(Outcome { thumbnail_sha256: Some(sha256(b"other")), ..run.outcome() });
    assert!(run.wrong().contains("different bytes"), "{}", run.wrong());
}

#[test]
fn an_error_of_our_own_infrastructure_is_wrong_though_an_ok_stands() {
    let run = run();
    run.put_both();
    run.end(error(Code::BrokerUnavailable));
    run.end(run.outcome());
    assert!(run.wrong().contains("blames the task for broker_unavailable"), "{}", run.wrong());
}

#[test]
fn the_readers_rule_decides_which_outcome_stands() {
    let run = run();
    run.put_both();
    run.end(error(Code::ConnectFailed));
    run.end(run.outcome());
    run.end(error(Code::ConnectFailed));
    assert_eq!(run.ledger.outcome(7).unwrap().res, downloader::task::Res::Ok);
    run.ledger.verdict(None).assert_green();
}

#[test]
fn outcomes_of_unknown_tasks_and_unreadable_ones_are_red() {
    let run = run();
    run.put_both();
    run.end(run.outcome());
    let stranger = Outcome { correlation_id: 8, ..run.outcome() };
    run.ledger.saw_outcome(OutcomeRecord { headers: Vec::new(), ..record(stranger, PLACE) });
    let verdict = run.ledger.verdict(None);
    assert!(!verdict.is_green() && verdict.to_string().contains("an outcome of 8"), "{verdict}");
}

#[test]
fn objects_of_failed_tasks_are_orphans() {
    let run = run();
    run.end(error(Code::ImageCorrupt));
    run.ledger.saw_keys(["originals/7".to_owned(), "other".to_owned()]);
    assert_eq!(run.ledger.verdict(None).orphans, ["originals/7".to_owned()].into());
}

#[test]
fn dead_letters_are_compared_byte_for_byte() {
    let place = Place { partition: 0, offset: 5 };
    let headers: Headers = vec![("x".into(), Some(b"1".to_vec())), ("null".into(), None)];
    let added: Headers = [("dead.partition", "0"), ("dead.offset", "5"), ("dead.code", "not_json")]
        .map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec())))
        .to_vec();
    let judged = |change: fn(&mut DeadLetter), found: bool| {
        let ledger = Ledger::new(None);
        let expected = Expected::DeadLetter {
            code: "not_json".into(),
            payload: Some(b"{".to_vec()),
            key: None,
            headers: headers.clone(),
            correlation_id: None,
        };
        ledger.produced(Entry { subject: Subject::Record(place), place: Some(place), task: None, expected });
        let all = headers.iter().chain(&added).cloned().collect();
        let mut letter = DeadLetter { payload: Some(b"{".to_vec()), key: None, headers: all, place, at_ms: None };
        change(&mut letter);
        if found {
            ledger.saw_dead_letter(letter);
        }
        ledger.verdict(Some(0))
    };
    judged(|_| {}, true).assert_green();
    assert_eq!(judged(|_| {}, false).lost, [Subject::Record(place)].into());
    let changes: [fn(&mut DeadLetter); 5] = [
        |letter| letter.payload = Some(b"{ ".to_vec()),
        |letter| letter.payload = None,
        |letter| letter.key = Some(Vec::new()),
        |letter| drop(letter.headers.remove(1)),
        |letter| letter.headers.last_mut().unwrap().1 = Some(b"no_payload".to_vec()),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert_eq!(judged(change, true).wrong.len(), 1, "change {index}");
    }
}

#[test]
fn a_golden_id_twice_is_told_apart_by_place() {
    let ledger = Ledger::new(None);
    let places = [Place { partition: 0, offset: 1 }, Place { partition: 0, offset: 2 }];
    ledger.saw_outcome(record(error(Code::UrlInvalid), places[0]));
    for place in places {
        let expected = Expected::Error("url_invalid".into());
        ledger.produced(Entry { subject: Subject::Record(place), place: Some(place), task: Some(task(7)), expected });
    }
    assert_eq!(ledger.progress(), (1, 2));
    ledger.saw_outcome(record(error(Code::UrlInvalid), places[1]));
    ledger.verdict(Some(0)).assert_green();
}
