//! What is not a task, what may not be fetched, and settings that cannot be used.

use downloader::task::{Outcome, Res, Task};
use e2e::expect::PATIENCE;
use e2e::fixtures;
use e2e::kafka::{Headers, header};
use e2e::ledger::{Entry, Expected, Place, Subject};
use e2e::origin::Origin;

use crate::{World, downloader, produce, world};

fn headers() -> Headers {
    vec![
        ("x-plain".into(), Some(b"text".to_vec())),
        ("x-bytes".into(), Some(vec![0, 255, 10])),
        ("x-empty".into(), Some(Vec::new())),
        ("x-null".into(), None),
        ("x-twice".into(), Some(b"1".to_vec())),
        ("x-twice".into(), Some(b"2".to_vec())),
    ]
}

/// Writes a golden record and enters it under its place: golden ids are not unique.
async fn produce_golden(world: &World, case: &fixtures::TaskCase, key: Option<&[u8]>) -> Place {
    let (payload, headers) = (case.payload().unwrap(), headers());
    let place = world.kafka.produce(key, payload.as_deref(), &headers).await.unwrap();
    let (task, expected) = match (&case.refused, &case.code) {
        (Some(code), _) => {
            (serde_json::from_slice::<Task>(payload.as_deref().unwrap()).ok(), Expected::Error(code.clone()))
        }
        (None, Some(code)) => {
            let (code, key, correlation_id) = (code.clone(), key.map(<[u8]>::to_vec), case.correlation_id);
            (None, Expected::DeadLetter { code, payload, key, headers, correlation_id })
        }
        (None, None) => panic!("{:?} is an ordinary task", case.file),
    };
    world.ledger.produced(Entry { subject: Subject::Record(place), place: Some(place), task, expected });
    place
}

/// Claim: a record that is no task goes whole to the dead letters, gets an `Error` where its id can be read, and stops
/// nobody. Fault: every golden record that does not read, between ordinary tasks. Verdict: payload, key and headers
/// byte for byte, the stated code, ordinary tasks `Ok`, everything committed.
#[tokio::test]
async fn an_unreadable_record_goes_whole_to_the_dead_letters_and_stops_nobody() {
    let world = world().await;
    let child = downloader(&world, &[]);
    produce(&world, 1001..1011).await;
    let mut golden = Vec::new();
    for (index, case) in fixtures::task_cases().unwrap().into_iter().filter(|case| !case.reads).enumerate() {
        let key = format!("key {index}");
        // Kafka tells an absent key from an empty one.
        let key = [Some(key.as_bytes()), None, Some(&b""[..])][index % 3];
        golden.push((produce_golden(&world, &case, key).await, case));
    }
    assert!(golden.len() > 30, "{} golden records", golden.len());
    produce(&world, 1011..1021).await;
    world.settled(|| child.log_tail()).await;
    world.all_committed().await;
    let verdict = world.verdict(Some(0)).await.unwrap();
    let named = |subject: &Subject| {
        golden.iter().find(|(place, _)| Subject::Record(*place) == *subject).map(|(_, case)| &case.why)
    };
    let wrong: Vec<_> = verdict.wrong.iter().map(|(subject, problems)| (named(subject), problems)).collect();
    assert!(verdict.is_green(), "{verdict}\n{wrong:?}");
    assert_eq!(verdict.ok, 20, "{verdict}");
    for (place, case) in &golden {
        let letters = world.ledger.dead_letters(*place);
        let [letter] = letters.as_slice() else { panic!("one dead letter, not {}: {}", letters.len(), case.why) };
        assert_eq!(header(&letter.headers, "dead.topic"), Some(&*world.kafka.names().tasks), "{}", case.why);
        assert_eq!(header(&letter.headers, "dead.attempts"), Some("1"), "{}", case.why);
        let written: i64 = header(&letter.headers, "dead.timestamp").unwrap().parse().unwrap();
        assert!(written > 1_500_000_000_000, "{written} is no time in milliseconds: {}", case.why);
        let outcomes = world.ledger.outcome_records(Subject::Record(*place));
        assert_eq!(outcomes.first().map(|record| record.outcome.correlation_id), case.correlation_id, "{}", case.why);
    }
}

/// Claim: a task whose URL or keys are refused ends in an `Error` with its code: no dead letter, no object. Fault:
/// every golden task that is refused.
#[tokio::test]
async fn a_refused_url_or_key_ends_in_an_error_outcome_alone() {
    let world = world().await;
    let child = downloader(&world, &[]);
    let mut golden = Vec::new();
    for case in fixtures::task_cases().unwrap().into_iter().filter(|case| case.refused.is_some()) {
        golden.push((produce_golden(&world, &case, None).await, case));
    }
    assert!(golden.len() > 20, "{} golden tasks", golden.len());
    world.settled(|| child.log_tail()).await;
    let verdict = world.verdict(Some(0)).await.unwrap();
    let named = |subject: &Subject| {
        golden.iter().find(|(place, _)| Subject::Record(*place) == *subject).map(|(_, case)| &case.why)
    };
    let wrong: Vec<_> = verdict.wrong.iter().map(|(subject, problems)| (named(subject), problems)).collect();
    assert!(verdict.is_green(), "{verdict}\n{wrong:?}");
    assert_eq!(world.bucket.list().await.unwrap(), [].into(), "nothing may be stored");
    for (place, case) in &golden {
        assert!(world.ledger.dead_letters(*place).is_empty(), "{}", case.why);
        let Outcome { res, permanent, .. } = world.ledger.outcome_records(Subject::Record(*place))[0].outcome.clone();
        assert_eq!((res, permanent), (Res::Error, Some(true)), "{}", case.why);
    }
}

/// Claim: addresses that are not public are never connected to, however they are written or reached. Fault: tasks name
/// a service next door as literals and by a redirect. Verdict: `Error`, and the service saw no connection.
#[tokio::test]
async fn a_forbidden_address_is_never_connected_to() {
    let world = world().await;
    // Next to the allowed origin, which is 127.0.0.1/32.
    let victim = Origin::start("127.0.0.2:0".parse().unwrap()).await.unwrap();
    let port = victim.address().port();
    let ports = format!("80,443,{},{port}", world.origin.address().port());
    let child = downloader(&world, &[("FETCH_ALLOW_PORTS", &ports)]);
    let hosts = [
        "127.0.0.2",
        "127.2",
        "0x7f000002",
        "2130706434",
        "0177.0.0.2",
        "[::ffff:127.0.0.2]",
        "[::ffff:7f00:2]",
        "[64:ff9b::7f00:2]",
    ];
    for (id, host) in (1..).zip(hosts) {
        let url = format!("http://{host}:{port}/grey.jpg");
        world.produce(id, url, Expected::Error("address_forbidden".into())).await.unwrap();
    }
    let url = world.origin.redirect("/n/100/moved.jpg", format!("http://127.0.0.2:{port}/grey.jpg"));
    world.produce(100, url, Expected::Error("address_forbidden".into())).await.unwrap();
    produce(&world, 200..203).await;
    world.settled(|| child.log_tail()).await;
    world.verdict(Some(0)).await.unwrap().assert_green();
    assert_eq!(world.origin.requests("/n/100/moved.jpg").len(), 1, "the redirect was followed to its end");
    assert_eq!(victim.connections(), 0);
}

/// Claim: without an exception the machine's own addresses are forbidden, by name too. Verdict: as above.
#[tokio::test]
async fn this_machine_is_forbidden_by_default_by_name_too() {
    let world = world().await;
    let (port, ports) = (world.origin.address().port(), format!("80,443,{}", world.origin.address().port()));
    let child = downloader(&world, &[("FETCH_ALLOW_CIDRS", ""), ("FETCH_ALLOW_PORTS", &ports)]);
    for (id, host) in (1..).zip(["127.0.0.1", "localhost", "[::1]", "0.0.0.0"]) {
        let url = format!("http://{host}:{port}/grey.jpg");
        world.produce(id, url, Expected::Error("address_forbidden".into())).await.unwrap();
    }
    world.settled(|| child.log_tail()).await;
    world.verdict(Some(0)).await.unwrap().assert_green();
    assert_eq!(world.origin.connections(), 0);
}

/// Claim: settings that cannot be used end the process at once with code 2 and a line for each.
#[tokio::test]
async fn settings_that_cannot_be_used_are_all_named_and_end_the_process() {
    let world = world().await;
    let changes = [("PARALLEL_OPERATIONS", "many"), ("DRAIN_TIMEOUT", "5"), ("S3_SECRET", "")];
    let mut child = downloader(&world, &changes);
    let status = tokio::time::timeout(PATIENCE, child.ended()).await.unwrap().unwrap();
    let log = child.log().join("\n");
    assert_eq!(status.code(), Some(2), "{log}");
    for name in ["PARALLEL_OPERATIONS", "DRAIN_TIMEOUT"] {
        assert!(log.contains(name), "{log}");
    }
    assert!(!log.contains("panicked"), "{log}");
    let mut contradiction = downloader(&world, &[("S3_SECRET", "")]);
    let status = tokio::time::timeout(PATIENCE, contradiction.ended()).await.unwrap().unwrap();
    let log = contradiction.log().join("\n");
    assert!(status.code() == Some(2) && log.contains("S3_SECRET"), "{log}");
}
