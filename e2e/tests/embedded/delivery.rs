//! What every task may count on while nothing is broken.

use std::time::Duration;

use downloader::drain::Exit;
use downloader::task::{Res, Task};
use e2e::embedded::InProcess;
use e2e::expect::{PATIENCE, eventually};
use e2e::kafka::header;
use e2e::ledger::Subject;
use e2e::origin::Fault;

use crate::{downloader, ok, produce, world};

/// Claim: tasks end with an `Ok` outcome and two stored objects, and a drain commits all of it. Fault: none; this is
/// the control run of the others. Verdict: green without a repeat, every partition committed to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_ends_with_an_ok_and_both_objects() {
    let world = world().await;
    let running = InProcess::start(&world, &[]).unwrap();
    produce(&world, 1..21).await;
    world.settled(|| "in this process".into()).await;
    assert_eq!(running.drain(PATIENCE).await.unwrap(), Exit::Drained);
    let verdict = world.verdict(Some(0)).await.unwrap();
    verdict.assert_green();
    assert!(verdict.ok == 20 && verdict.all_committed(), "{verdict}");
}

/// Claim: an outcome names its task by key, its record and the process by headers, and continues the record's trace.
#[tokio::test]
async fn an_outcome_says_what_it_answers_and_continues_the_trace() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let world = world().await;
    let child = downloader(&world, &[]);
    let task = Task {
        correlation_id: 77,
        url: world.origin.url("/grey.jpg").into(),
        target_path: "pictures/77".into(),
        target_thumbnail_path: "thumbnails/77".into(),
    };
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-03");
    let headers = vec![
        ("traceparent".to_owned(), Some(traceparent.into_bytes())),
        ("tracestate".to_owned(), Some(b"vendor=1".to_vec())),
    ];
    let place = world.kafka.produce_task(&task, &headers).await.unwrap();
    world.ledger.produced_task(task, Some(place), ok(&world, "/grey.jpg"));
    world.settled(|| child.log_tail()).await;
    world.verdict(Some(0)).await.unwrap().assert_green();

    let records = world.ledger.outcome_records(Subject::Task(77));
    let [record] = records.as_slice() else { panic!("one outcome, not {}", records.len()) };
    assert_eq!(record.key.as_deref(), Some(&b"77"[..]));
    let said =
        |name| header(&record.headers, name).unwrap_or_else(|| panic!("no header {name} in {:?}", record.headers));
    assert_eq!(said("source.topic"), world.kafka.names().tasks);
    assert_eq!(
        (said("source.partition"), said("source.offset")),
        (&*place.partition.to_string(), &*place.offset.to_string())
    );
    assert_eq!(said("source.attempt"), "1");
    assert_eq!(said("source.run_id").len(), 16);
    assert_eq!(said("traceparent").split('-').nth(1), Some(TRACE));
    assert_eq!(record.outcome.description, "");
    assert_eq!(record.outcome.content_type.as_deref(), Some("image/jpeg"));
}

/// Claim: a failure that may pass is tried again. Fault: the origin answers 503 once. Verdict: `Ok` in two attempts.
#[tokio::test]
async fn a_transient_failure_is_tried_again() {
    let world = world().await;
    let child = downloader(&world, &[]);
    let faults = [
        ("/n/1/grey.jpg", Fault::Status { status: 503, retry_after: None }),
        ("/n/2/grey.jpg", Fault::Reset { after: 100 }),
        ("/n/3/grey.jpg", Fault::Truncate { after: 100 }),
    ];
    for (id, (path, fault)) in (1..).zip(faults) {
        let url = world.origin.fault_times(path, fault, 1);
        world.produce(id, url, ok(&world, path)).await.unwrap();
    }
    world.settled(|| child.log_tail()).await;
    world.verdict(Some(0)).await.unwrap().assert_green();
    for id in 1..4 {
        let outcome = world.ledger.outcome(id).unwrap();
        assert_eq!((outcome.res, outcome.attempts), (Res::Ok, Some(2)), "task {id}");
        assert_eq!(world.origin.requests(&format!("/n/{id}/grey.jpg")).len(), 2, "task {id}");
    }
}

/// Claim: a slow origin holds nobody up. Fault: one request is held open in each partition's way. Verdict: every other
/// task finishes while it is held, and the group's offset does not pass the held one.
#[tokio::test]
async fn a_slow_origin_holds_nobody_up() {
    let world = world().await;
    let child = downloader(&world, &[]);
    let (url, gate) = world.origin.hold("/slow.jpg");
    let slow = world.produce(1000, url, ok(&world, "/slow.jpg")).await.unwrap();
    gate.reached().await;
    produce(&world, 1..61).await;
    eventually("all but the slow one are finished", PATIENCE, async || match world.ledger.progress() {
        (60, 61) => Ok(()),
        (finished, all) => Err(format!("{finished} of {all}")),
    })
    .evidence("downloader", || async { child.log_tail() })
    .await;
    eventually("the other partitions are committed", PATIENCE, async || {
        let offsets = world.kafka.offsets().await.map_err(|error| format!("{error:#}"))?;
        let others = offsets.iter().filter(|offsets| offsets.partition != slow.partition);
        let open: Vec<_> = others.filter(|offsets| offsets.committed != Some(offsets.high)).collect();
        if open.is_empty() { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
    let held = world.verdict(Some(0)).await.unwrap();
    assert_eq!(held.lost, [Subject::Task(1000)].into(), "{held}");
    assert!(held.committed_over.is_empty(), "{held}");
    gate.open();
    world.settled(|| child.log_tail()).await;
    world.all_committed().await;
    world.verdict(Some(0)).await.unwrap().assert_green();
}

/// Claim: a host gets at most its share of requests at once, and the rest of its tasks wait. Fault: the origin holds
/// everything. Verdict: exactly the share arrives; once it opens, everything finishes.
#[tokio::test]
async fn a_host_gets_no_more_requests_at_once_than_its_share() {
    let world = world().await;
    let child = downloader(&world, &[("FETCH_PER_HOST_MAX", "3")]);
    let gates: Vec<_> = (1..11).map(|id| world.origin.hold(&format!("/n/{id}/grey.jpg")).1).collect();
    produce(&world, 1..11).await;
    let arrived = || gates.iter().filter(|gate| gate.count() > 0).count();
    eventually(
        "three requests arrive",
        PATIENCE,
        async || if arrived() == 3 { Ok(()) } else { Err(format!("{}", arrived())) },
    )
    .evidence("downloader", || async { child.log_tail() })
    .await;
    // Long enough for a fourth that is not held back: the first three came within milliseconds.
    let fourth =
        eventually(
            "a fourth",
            Duration::from_millis(500),
            async || if arrived() > 3 { Ok(()) } else { Err(String::new()) },
        );
    assert!(fourth.or_error().await.is_err(), "{} requests at once", arrived());
    drop(gates);
    world.settled(|| child.log_tail()).await;
    world.verdict(Some(0)).await.unwrap().assert_green();
}
