//! How a process ends that is asked to.

use std::time::{Duration, Instant};

use e2e::embedded::broker::Api;
use e2e::expect::{PATIENCE, eventually};
use e2e::ledger::{Subject, Verdict};
use rdkafka::types::RDKafkaRespErr as E;

use crate::{downloader, ok, produce, world};

/// Claim: SIGTERM lets running tasks finish and starts nothing new. Fault: SIGTERM while a fetch is held, and a task
/// written after it. Verdict: the held task is finished and committed, the process ends with 0, the later task is the
/// heir's.
#[tokio::test]
async fn sigterm_lets_running_tasks_finish_and_starts_nothing() {
    let world = world().await;
    let mut child = downloader(&world, &[]);
    let (url, gate) = world.origin.hold("/held.jpg");
    world.produce(1, url, ok(&world, "/held.jpg")).await.unwrap();
    gate.reached().await;
    child.terminate().unwrap();
    eventually("it drains", PATIENCE, async || {
        match child.log().iter().any(|line| line.contains("nothing new starts")) {
            true => Ok(()),
            false => Err(child.log_tail()),
        }
    })
    .await;
    assert_eq!(child.ask("/readyz").await.unwrap().0, 503, "a process that drains is not ready");
    assert_eq!(child.ask("/livez").await.unwrap().0, 200, "a process that drains is alive");
    produce(&world, 2..5).await;
    gate.open();
    let status = tokio::time::timeout(PATIENCE, child.ended()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0), "{}", child.log_tail());
    let verdict = world.verdict(Some(0)).await.unwrap();
    assert_eq!(verdict.lost, [2, 3, 4].map(Subject::Task).into(), "{verdict}");
    assert!(verdict.wrong.is_empty() && verdict.committed_over.is_empty(), "{verdict}");
    assert_eq!(world.origin.request_counts().len(), 1, "nothing new was fetched");

    let heir = downloader(&world, &[]);
    world.settled(|| heir.log_tail()).await;
    world.all_committed().await;
    world.verdict(Some(0)).await.unwrap().assert_green();
}

/// Claim: a drain ends within `DRAIN_TIMEOUT` whatever a task does. Fault: an origin that never answers. Verdict: in
/// time; the task is neither finished nor committed over, and the heir finishes it.
#[tokio::test]
async fn a_drain_ends_in_time_and_gives_the_task_without_end_back() {
    const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
    let world = world().await;
    let mut child = downloader(&world, &[("DRAIN_TIMEOUT", "4s")]);
    let (url, gate) = world.origin.hold("/held.jpg");
    world.produce(1, url, ok(&world, "/held.jpg")).await.unwrap();
    gate.reached().await;
    produce(&world, 2..12).await;
    eventually("the others are finished", PATIENCE, async || match world.ledger.progress() {
        (10, 11) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let asked = Instant::now();
    child.terminate().unwrap();
    let status = tokio::time::timeout(PATIENCE, child.ended()).await.unwrap().unwrap();
    assert!(asked.elapsed() < DRAIN_TIMEOUT, "{:?}\n{}", asked.elapsed(), child.log_tail());
    assert_eq!(status.code(), Some(0), "{}", child.log_tail());
    let verdict = world.verdict(Some(0)).await.unwrap();
    assert_eq!(verdict.lost, [Subject::Task(1)].into(), "{verdict}");
    assert!(verdict.committed_over.is_empty(), "{verdict}");

    drop(gate);
    let heir = downloader(&world, &[]);
    world.settled(|| heir.log_tail()).await;
    let verdict = world.verdict(Some(Verdict::rerun_bound(256, 1))).await.unwrap();
    verdict.assert_green();
    assert!(verdict.rerun.contains_key(&Subject::Task(1)), "{verdict}");
}

/// Claim: an heir does not fetch again what was finished and committed. Fault: none but the change of processes.
#[tokio::test]
async fn a_restart_fetches_nothing_again() {
    let world = world().await;
    let mut child = downloader(&world, &[]);
    produce(&world, 1..21).await;
    world.settled(|| child.log_tail()).await;
    child.terminate().unwrap();
    assert_eq!(child.ended().await.unwrap().code(), Some(0), "{}", child.log_tail());
    let heir = downloader(&world, &[]);
    produce(&world, 21..31).await;
    world.settled(|| heir.log_tail()).await;
    let verdict = world.verdict(Some(0)).await.unwrap();
    verdict.assert_green();
    assert!(
        world.origin.request_counts().values().all(|requests| *requests == 1),
        "{:?}",
        world.origin.request_counts()
    );
}

/// Claim: a drain ends within `DRAIN_TIMEOUT` also when telemetry has nowhere to go (I8). Fault: a collector that takes
/// connections and never answers, and a budget shorter than the exporter's own patience. Verdict: in time, and all is
/// committed.
#[tokio::test]
async fn a_collector_that_swallows_everything_does_not_hold_up_the_end() {
    const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
    let black_hole = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", black_hole.local_addr().unwrap());
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = black_hole.accept().await {
            held.push(connection);
        }
    });
    let world = world().await;
    let telemetry =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
    let mut child = downloader(&world, &[&telemetry[..], &[("DRAIN_TIMEOUT", "2s")]].concat());
    produce(&world, 1..11).await;
    world.settled(|| child.log_tail()).await;
    let asked = Instant::now();
    child.terminate().unwrap();
    let status = tokio::time::timeout(PATIENCE, child.ended()).await.unwrap().unwrap();
    assert!(asked.elapsed() < DRAIN_TIMEOUT, "{:?}\n{}", asked.elapsed(), child.log_tail());
    assert_eq!(status.code(), Some(0), "{}", child.log_tail());
    let log = child.log().join("\n");
    assert!(log.contains("could not be exported"), "the fault is active: {log}");
    world.all_committed().await;
    world.verdict(Some(0)).await.unwrap().assert_green();
    accepting.abort();
}

/// Claim: a last commit that is refused is made again while time is left, and who could not make it says so (75). Fault:
/// the coordinator answers a few times that it rebalances; then for as long as the drain lasts; then that the member's
/// generation is over, after which the client has lost its partitions. Verdict: exit code 0 with everything committed; exit
/// code 75, the partitions named, and nothing committed that is not finished.
#[tokio::test]
async fn a_last_commit_that_is_refused_is_made_again_while_time_is_left() {
    let (rebalancing, over) = (E::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, E::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    for (answers, code) in [(vec![rebalancing; 3], 0), (vec![rebalancing; 10_000], 75), (vec![over], 75)] {
        let world = world().await;
        // So that the first commit that is refused is the drain's.
        let rarely = [("COMMIT_INTERVAL", "30s"), ("COMMIT_LEASE", "40s"), ("KAFKA_PROPERTIES", "")];
        let mut child = downloader(&world, &[&rarely[..], &[("DRAIN_TIMEOUT", "6s")]].concat());
        produce(&world, 1..11).await;
        world.settled(|| child.log_tail()).await;
        world.broker.fail_next(Api::OffsetCommit, &answers);
        child.terminate().unwrap();
        let status = tokio::time::timeout(PATIENCE, child.ended()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(code), "{}", child.log_tail());
        world.broker.fail_no_more(Api::OffsetCommit);
        if code == 0 {
            world.all_committed().await;
        } else {
            assert!(child.log_tail().contains("of these partitions was not acknowledged"), "{}", child.log_tail());
        }
        world.verdict(Some(Verdict::rerun_bound(256, 1))).await.unwrap().assert_green();
    }
}

/// Claim: a session that ends during the drain is no clean end (75), although nothing is left that could be committed
/// (I8). Fault: the process is stopped for longer than its session in the middle of its drain, while a task is held.
/// Verdict: exit code 75; the heir does the task.
#[tokio::test]
async fn a_session_that_ends_during_the_drain_is_told_by_the_exit_code() {
    let world = world().await;
    let mut child = downloader(&world, &[("DRAIN_TIMEOUT", "30s")]);
    let (url, gate) = world.origin.hold("/held.jpg");
    world.produce(1, url, ok(&world, "/held.jpg")).await.unwrap();
    gate.reached().await;
    child.terminate().unwrap();
    eventually("it drains", PATIENCE, async || {
        let drains = child.log().iter().any(|line| line.contains("nothing new starts"));
        if drains { Ok(()) } else { Err(child.log_tail()) }
    })
    .await;
    child.pause().unwrap();
    let heir = downloader(&world, &[]);
    gate.reached_by(2).await;
    child.go_on().unwrap();
    eventually("the drain has lost its partitions", PATIENCE, async || {
        let lost =
            child.log().iter().any(|line| line.contains("partitions lost") || line.contains("partitions revoked"));
        if lost { Ok(()) } else { Err(child.log_tail()) }
    })
    .await;
    gate.open();
    let status = tokio::time::timeout(PATIENCE, child.ended()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(75), "{}", child.log_tail());
    world.settled(|| heir.log_tail()).await;
    world.all_committed().await;
    world.verdict(Some(Verdict::rerun_bound(256, 1))).await.unwrap().assert_green();
}
