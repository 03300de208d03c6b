//! Dead letters, and `downloader replay`, which puts their records back.

use std::path::Path;

use e2e::embedded::Child;
use e2e::embedded::broker::Api;
use e2e::expect::{PATIENCE, eventually};
use e2e::kafka::{Headers, Record, header};
use e2e::ledger::sha256;
use rdkafka::types::RDKafkaRespErr as E;

use crate::{World, downloader, world};

/// A payload and a key.
type Plain = (Option<&'static [u8]>, Option<&'static [u8]>);

/// Records that are no tasks and whose id cannot be read: three `not_json`, a `field_missing`, a `no_payload`.
const DEAD: [Plain; 5] = [
    (Some(b"not json"), Some(b"key")),
    (Some(b"\xff\x00\xfe"), Some(b"\xff\x00")),
    (Some(b"[1]"), Some(b"")),
    (Some(b"{}"), None),
    (None, Some(b"tombstone")),
];

fn strange_headers() -> Headers {
    vec![
        ("x-bytes".into(), Some(vec![0, 255, 10])),
        ("x-null".into(), None),
        ("x-twice".into(), Some(b"1".to_vec())),
        ("x-empty".into(), Some(Vec::new())),
        ("x-twice".into(), Some(b"2".to_vec())),
    ]
}

async fn tasks(world: &World) -> Vec<Record> {
    world.kafka.read(&world.kafka.names().tasks).await.unwrap()
}

async fn letters(world: &World) -> Vec<Record> {
    world.kafka.read(&world.kafka.names().dead).await.unwrap()
}

/// Waits until there are so many dead letters.
async fn buried(world: &World, child: &Child, count: usize) -> Vec<Record> {
    eventually(format!("{count} dead letters"), PATIENCE, async || match letters(world).await {
        letters if letters.len() == count => Ok(letters),
        letters => Err(format!("{}", letters.len())),
    })
    .evidence("downloader", || async { child.log_tail() })
    .await
}

/// Writes `records` and lets a downloader bury them, then ends it.
async fn bury(world: &World, records: &[Plain]) {
    for (payload, key) in records {
        world.kafka.produce(*key, *payload, &strange_headers()).await.unwrap();
    }
    let mut child = downloader(world, &[]);
    buried(world, &child, records.len()).await;
    world.all_committed().await;
    child.terminate().unwrap();
    assert_eq!(child.ended().await.unwrap().code(), Some(0), "{}", child.log_tail());
}

fn start_replay(world: &World, args: &[&str]) -> Child {
    let args: Vec<&str> = ["replay"].iter().chain(args).copied().collect();
    Child::start_with(Path::new(env!("CARGO_BIN_EXE_demo")), world, &args, &[]).unwrap()
}

/// Runs `downloader replay` to its end: its exit code, and what it said.
async fn replay(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let mut run = start_replay(world, args);
    let status = tokio::time::timeout(PATIENCE, run.ended()).await.unwrap().unwrap();
    (status.code(), run.log().join("\n"))
}

/// The number in the summary's line that begins with `name`.
fn counted(text: &str, name: &str) -> usize {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn without_ours(headers: &Headers) -> Headers {
    let ours = |name: &str| name.starts_with("dead.") || name.starts_with("replay.");
    headers.iter().filter(|(name, _)| !ours(name)).cloned().collect()
}

type Bytes = Option<Vec<u8>>;

/// What a record is, whatever its place: key, payload, headers of its writer.
fn contents(records: &[Record]) -> Vec<(Bytes, Bytes, Headers)> {
    let content = |record: &Record| (record.key.clone(), record.payload.clone(), without_ours(&record.headers));
    let mut contents: Vec<_> = records.iter().map(content).collect();
    contents.sort();
    contents
}

/// Claim: `replay` puts back what it is asked for, as it was, and nothing else; a record that dies again is still the
/// same record. Fault: records that are no tasks. Verdict: `--dry-run` writes nothing and says the same numbers; key,
/// payload and headers are back byte for byte; the second letter counts two deaths, and a second run puts each record
/// back once, not once a letter.
#[tokio::test]
async fn a_replay_puts_back_what_matches_and_a_second_death_is_the_same_record() {
    let world = world().await;
    bury(&world, &DEAD).await;
    let before = tasks(&world).await;

    let (code, text) = replay(&world, &["--dry-run", "--code", "not_json", "--code", "no_payload"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!([counted(&text, "read"), counted(&text, "matching"), counted(&text, "to replay")], [5, 4, 4], "{text}");
    assert!(!text.contains("ERROR") && !text.contains("WARN"), "{text}");
    assert_eq!(tasks(&world).await, before, "a dry run writes nothing");

    let (code, text) = replay(&world, &["--code", "not_json", "--code", "no_payload"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!([counted(&text, "matching"), counted(&text, "replayed"), counted(&text, "left")], [4, 4, 0], "{text}");
    let after = tasks(&world).await;
    let back: Vec<Record> = after.iter().filter(|record| !before.contains(record)).cloned().collect();
    let asked: Vec<Record> = before.iter().filter(|record| record.payload.as_deref() != Some(b"{}")).cloned().collect();
    assert_eq!(contents(&back), contents(&asked));
    for record in &back {
        let number = |name| header(&record.headers, name).and_then(|text| text.parse::<i64>().ok());
        let source = before.iter().find(|source| {
            let place = source.place;
            (number("replay.partition"), number("replay.offset")) == (Some(place.partition.into()), Some(place.offset))
        });
        assert_eq!(source.map(|source| &source.key), Some(&record.key), "{:?}", record.headers);
        assert_eq!(header(&record.headers, "replay.attempts"), Some("1"));
        assert!(!record.headers.iter().any(|(name, _)| name.starts_with("dead.")), "{:?}", record.headers);
    }

    let child = downloader(&world, &[]);
    let all = buried(&world, &child, 9).await;
    let again = all.iter().filter(|letter| header(&letter.headers, "dead.attempts") == Some("2"));
    assert_eq!(contents(&again.cloned().collect::<Vec<_>>()), contents(&asked));
    world.all_committed().await;
    let (code, text) = replay(&world, &[]).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(
        [counted(&text, "read"), counted(&text, "matching"), counted(&text, "replayed"), counted(&text, "duplicates")],
        [9, 5, 5, 4],
        "{text}"
    );
    let attempts = |letters: &[Record]| {
        let mut attempts: Vec<_> =
            letters.iter().filter_map(|letter| header(&letter.headers, "dead.attempts")).map(str::to_owned).collect();
        attempts.sort();
        attempts.concat()
    };
    assert_eq!(attempts(&buried(&world, &child, 14).await), "11111222223333");
}

/// Claim: a letter too large for the broker goes as length and hash and stops nobody; `replay` names it and leaves it.
/// Fault: the broker refuses the letter once, then (of another record) twice.
#[tokio::test]
async fn a_letter_that_is_too_large_goes_as_length_and_hash_and_is_left_by_a_replay() {
    let world = world().await;
    let payload = vec![b'x'; 70_000];
    let mut places = Vec::new();
    for refusals in [1, 2] {
        places.push(world.kafka.produce(Some(b"key"), Some(&payload), &strange_headers()).await.unwrap());
        world.broker.fail_next(Api::Produce, &vec![E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; refusals]);
        let mut child = downloader(&world, &[]);
        let all = buried(&world, &child, refusals).await;
        world.all_committed().await;
        child.terminate().unwrap();
        child.ended().await.unwrap();
        let place = *places.last().unwrap();
        let letter = all.iter().find(|letter| {
            let said = |name| header(&letter.headers, name).and_then(|text| text.parse::<i64>().ok());
            (said("dead.partition"), said("dead.offset")) == (Some(place.partition.into()), Some(place.offset))
        });
        let Record { payload: left, key, headers, .. } = letter.unwrap().clone();
        assert_eq!(left, None, "the payload stays behind");
        let whole = refusals == 1;
        assert_eq!(key.as_deref(), whole.then_some(&b"key"[..]));
        assert_eq!(without_ours(&headers), if whole { strange_headers() } else { Headers::new() });
        let ours: Vec<_> = headers.iter().filter(|(name, _)| name.starts_with("dead.")).collect();
        let text = |name: &str| header(&headers, name).unwrap_or_default().to_owned();
        assert_eq!(ours.len(), 8, "{ours:?}");
        assert_eq!([text("dead.topic"), text("dead.code"), text("dead.attempts")], ["urls_new", "not_json", "1"]);
        assert_eq!(text("dead.payload.bytes"), "70000");
        assert_eq!(text("dead.payload.sha256"), sha256(&payload));
    }
    bury_one_more(&world).await;
    let before = tasks(&world).await;
    let (code, text) = replay(&world, &[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert_eq!([counted(&text, "matching"), counted(&text, "replayed"), counted(&text, "left")], [3, 1, 2], "{text}");
    assert_eq!(text.matches("not_json: its payload of 70000 bytes was too large").count(), 2, "{text}");
    assert_eq!(tasks(&world).await.len(), before.len() + 1);
}

async fn bury_one_more(world: &World) {
    let letters = letters(world).await.len();
    world.kafka.produce(None, Some(b"small"), &Headers::new()).await.unwrap();
    let child = downloader(world, &[]);
    buried(world, &child, letters + 1).await;
    world.all_committed().await;
}

/// Claim: a record is not finished before its dead letter is acknowledged. Fault: the broker refuses to write. Verdict:
/// its offset is not committed meanwhile; afterwards there is one letter, and it is.
#[tokio::test]
async fn a_dead_letter_that_cannot_be_written_holds_the_offset() {
    let world = world().await;
    let place = world.kafka.produce(None, Some(b"not json"), &Headers::new()).await.unwrap();
    world.broker.fail_next(Api::Produce, &[E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 1000]);
    let child = downloader(&world, &[]);
    // The letter was refused three times.
    crate::counted(&child, "downloader_infrastructure_waits_total", &["kafka"], 3.0).await;
    let offsets = world.kafka.offsets().await.unwrap();
    let here = offsets.iter().find(|offsets| offsets.partition == place.partition).unwrap();
    assert!(here.committed.is_none_or(|next_offset| next_offset <= place.offset), "{here:?}");
    assert_eq!(letters(&world).await, []);
    world.broker.fail_no_more(Api::Produce);
    buried(&world, &child, 1).await;
    world.all_committed().await;
}

/// Claim: SIGTERM ends a replay with what was acknowledged counted, and the letters where they were. Fault: SIGTERM
/// when some records are back and, at one a second, most are not.
#[tokio::test]
async fn a_replay_that_is_stopped_says_how_far_it_came() {
    let world = world().await;
    bury(&world, &DEAD.repeat(6)).await;
    let (before, dead) = (tasks(&world).await.len(), letters(&world).await);
    let mut run = start_replay(&world, &["--rate", "1"]);
    eventually("some records are back", PATIENCE, async || match tasks(&world).await.len() - before {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    })
    .evidence("replay", || async { run.log_tail() })
    .await;
    run.terminate().unwrap();
    let status = tokio::time::timeout(PATIENCE, run.ended()).await.unwrap().unwrap();
    let text = run.log().join("\n");
    assert_eq!(status.code(), Some(1), "{text}");
    let back = tasks(&world).await.len() - before;
    assert!((1..30).contains(&back), "{back} records back");
    assert_eq!(counted(&text, "replayed"), back, "{text}");
    assert!(text.contains(&format!("by a signal, with {back} of 30 records put back")), "{text}");
    assert_eq!(letters(&world).await, dead);
}

/// Claim: a replay waits for a broker that is away, and a write that is refused is made again. Verdict: 0, all back.
#[tokio::test]
async fn a_replay_waits_for_the_broker_and_writes_again_what_was_refused() {
    let world = world().await;
    bury(&world, &DEAD).await;
    let before = tasks(&world).await.len();
    world.broker.fail_next(Api::Produce, &[E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 1]);
    world.broker.down();
    let mut run = start_replay(&world, &[]);
    eventually("it says that it waits", PATIENCE, async || match run.log_tail() {
        log if log.contains("waiting for the broker") => Ok(()),
        log => Err(log),
    })
    .await;
    world.broker.up();
    let status = tokio::time::timeout(PATIENCE, run.ended()).await.unwrap().unwrap();
    let text = run.log().join("\n");
    assert_eq!((status.code(), counted(&text, "replayed")), (Some(0), 5), "{text}");
    assert!(text.contains("writing again"), "{text}");
    assert_eq!(tasks(&world).await.len() - before, 5);
}

/// Claim: a topic of dead letters that does not exist is named, with what to do.
#[tokio::test]
async fn a_replay_without_a_topic_names_it() {
    let world = world().await;
    let changes = [("KAFKA_DEAD_TOPIC", "elsewhere")];
    let mut run = Child::start_with(Path::new(env!("CARGO_BIN_EXE_demo")), &world, &["replay"], &changes).unwrap();
    let status = tokio::time::timeout(PATIENCE, run.ended()).await.unwrap().unwrap();
    let text = run.log().join("\n");
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("topic 'elsewhere' does not exist (KAFKA_DEAD_TOPIC)"), "{text}");
}
