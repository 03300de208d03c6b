//! Our own infrastructure is never the task's fault: the work waits, says why, and goes on.

use e2e::embedded::Child;
use e2e::embedded::broker::Api;
use e2e::expect::{PATIENCE, eventually};
use e2e::kafka::{Headers, Kafka, Names};
use e2e::ledger::Verdict;
use rdkafka::types::RDKafkaRespErr as E;

use crate::{World, counted, downloader, ok, produce, world};

/// Waits until `/readyz` says 503 and names `part`.
pub(crate) async fn not_ready(child: &Child, part: &str) {
    let named = async || match child.ask("/readyz").await {
        Ok((503, text)) if text.contains(part) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(format!("/readyz is 503 and names '{part}'"), PATIENCE, named)
        .evidence("downloader", || async { child.log_tail() })
        .await;
}

/// Waits until a task has met the outage of `dependency` and waits for its end.
async fn work_waits(child: &Child, dependency: &str) {
    counted(child, "downloader_infrastructure_waits_total", &[dependency], 1.0).await;
}

/// No outcome yet, and the process is alive.
async fn nothing_is_decided(world: &World, child: &Child) {
    assert_eq!(world.ledger.progress().0, 0, "{}", child.log_tail());
    assert_eq!(child.ask("/livez").await.unwrap().0, 200);
}

/// Claim: a store that is down makes the work wait, at the start and later. Fault: it is down before the downloader
/// starts, back, and down again under load. Verdict: not ready with the setting's name; every task `Ok`, none `Error`.
#[tokio::test]
async fn a_store_that_is_down_makes_the_work_wait() {
    let world = world().await;
    world.store.down();
    let child = downloader(&world, &[]);
    produce(&world, 1..11).await;
    not_ready(&child, "S3_ENDPOINT").await;
    work_waits(&child, "store").await;
    nothing_is_decided(&world, &child).await;
    world.store.up().await.unwrap();
    world.settled(|| child.log_tail()).await;
    child.ready().await.unwrap();

    world.store.down();
    produce(&world, 11..31).await;
    not_ready(&child, "S3_ENDPOINT").await;
    assert_eq!(world.ledger.progress(), (10, 30));
    world.store.up().await.unwrap();
    world.settled(|| child.log_tail()).await;
    let verdict = world.verdict(Some(0)).await.unwrap();
    verdict.assert_green();
    assert_eq!(verdict.ok, 30, "{verdict}");
}

/// Claim: wrong credentials are ours to mend, not the task's fault. Fault: another secret. Verdict: not ready, naming
/// the settings and not the secret; a downloader with the right ones finishes everything.
#[tokio::test]
async fn wrong_credentials_make_the_work_wait_and_are_named() {
    let world = world().await;
    let mut child = downloader(&world, &[("S3_SECRET", "hunter2-of-another-store"), ("DRAIN_TIMEOUT", "2s")]);
    produce(&world, 1..6).await;
    not_ready(&child, "S3_ACCESS, S3_SECRET").await;
    let (_, text) = child.ask("/readyz").await.unwrap();
    work_waits(&child, "store").await;
    nothing_is_decided(&world, &child).await;
    child.terminate().unwrap();
    child.ended().await.unwrap();
    for shown in [text, child.log().join("\n")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let right = downloader(&world, &[]);
    world.settled(|| right.log_tail()).await;
    world.verdict(Some(Verdict::rerun_bound(256, 1))).await.unwrap().assert_green();
}

/// Claim: a missing bucket is named, with what to do.
#[tokio::test]
async fn a_missing_bucket_is_named() {
    let world = world().await;
    let child = downloader(&world, &[("S3_BUCKET_NAME", "elsewhere")]);
    not_ready(&child, "the bucket 'elsewhere' does not exist (S3_BUCKET_NAME)").await;
}

/// Claim: a broker that is down loses nothing. Fault: it goes while fetches are under way and outcomes are not written.
/// Verdict: not ready; once it is back everything finishes, reruns within the bound.
#[tokio::test]
async fn a_broker_that_goes_away_loses_nothing() {
    let world = world().await;
    let child = downloader(&world, &[]);
    let gates: Vec<_> = (1..7).map(|id| world.origin.hold(&format!("/n/{id}/grey.jpg")).1).collect();
    produce(&world, 1..13).await;
    for gate in &gates {
        gate.reached().await;
    }
    world.broker.down();
    drop(gates);
    not_ready(&child, "the Kafka broker").await;
    world.broker.up();
    world.settled(|| child.log_tail()).await;
    world.all_committed().await;
    child.ready().await.unwrap();
    world.verdict(Some(Verdict::rerun_bound(256, 1))).await.unwrap().assert_green();
}

/// Claim: a broker that is not there at the start is waited for, and that is said. Verdict: alive, not ready; then `Ok`.
#[tokio::test]
async fn a_broker_that_is_not_there_at_the_start_is_waited_for() {
    let world = world().await;
    produce(&world, 1..4).await;
    world.broker.down();
    let child = downloader(&world, &[]);
    not_ready(&child, "has not joined its group").await;
    eventually("the log says what is waited for", PATIENCE, async || {
        match child.log().iter().any(|line| line.contains("waiting for the broker")) {
            true => Ok(()),
            false => Err(child.log_tail()),
        }
    })
    .await;
    nothing_is_decided(&world, &child).await;
    world.broker.up();
    world.settled(|| child.log_tail()).await;
    world.verdict(Some(0)).await.unwrap().assert_green();
}

/// Claim: a topic that does not exist is named and waited for. Fault: it is made only after the downloader started.
#[tokio::test]
async fn a_missing_topic_is_named_and_waited_for() {
    let world = world().await;
    let child = downloader(
        &world,
        &[("KAFKA_INPUT_TOPIC", "made_later"), ("KAFKA_PROPERTIES", "topic.metadata.refresh.interval.ms=500")],
    );
    let message = "topic 'made_later' does not exist; create it, or run 'downloader setup'";
    eventually("the log names the topic", PATIENCE, async || {
        match child.log().iter().any(|line| line.contains(message)) {
            true => Ok(()),
            false => Err(child.log_tail()),
        }
    })
    .await;
    world.broker.create_topic("made_later", 1).unwrap();
    let names = Names { tasks: "made_later".into(), ..world.kafka.names().clone() };
    let kafka = Kafka::connect(world.kafka.brokers(), names).unwrap();
    let task = downloader::task::Task {
        correlation_id: 1,
        url: world.origin.url("/grey.jpg").into(),
        target_path: "originals/1".into(),
        target_thumbnail_path: "thumbnails/1".into(),
    };
    let place = kafka.produce_task(&task, &Headers::new()).await.unwrap();
    world.ledger.produced_task(task, Some(place), ok(&world, "/grey.jpg"));
    world.settled(|| child.log_tail()).await;
}

/// Claim: a commit that is refused is made again. Fault: the broker refuses the next commits. Verdict: every partition
/// is committed to its end, nothing is worked twice.
#[tokio::test]
async fn a_refused_commit_is_made_again() {
    let world = world().await;
    let mut child = downloader(&world, &[]);
    child.ready().await.unwrap();
    world.broker.fail_next(Api::OffsetCommit, &[E::RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE; 3]);
    produce(&world, 1..11).await;
    world.settled(|| child.log_tail()).await;
    world.all_committed().await;
    let log = child.log().join("\n");
    assert!(log.contains("a commit was not acknowledged"), "the fault did not bite: {log}");
    child.terminate().unwrap();
    assert_eq!(child.ended().await.unwrap().code(), Some(0), "{}", child.log_tail());
    world.verdict(Some(0)).await.unwrap().assert_green();
}

/// Claim: a producer that delivers nothing in time is made anew, and what it held is sent again (I6): the client's library can
/// stop for good to look for a leader. Fault: the broker answers every write with an error after which the client waits and
/// tries again, for longer than a record may wait. Verdict: it is replaced; once writes are taken everything is finished, and
/// no task fails for it.
#[tokio::test]
async fn a_producer_that_delivers_nothing_is_made_anew() {
    let world = world().await;
    let child = downloader(&world, &[]);
    produce(&world, 1..4).await;
    world.settled(|| child.log_tail()).await;
    let mut gates = Vec::new();
    for id in 4..11 {
        let path = format!("/n/{id}/grey.jpg");
        let (url, gate) = world.origin.hold(&path);
        world.produce(id, url, ok(&world, &path)).await.unwrap();
        gate.reached().await;
        gates.push(gate);
    }
    world.broker.fail_next(Api::Produce, &[E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 10_000]);
    drop(gates);
    counted(&child, "downloader_kafka_client_rebuilds_total", &["undelivered"], 1.0).await;
    work_waits(&child, "kafka").await;
    world.broker.fail_no_more(Api::Produce);
    world.settled(|| child.log_tail()).await;
    let verdict = world.verdict(Some(0)).await.unwrap();
    verdict.assert_green();
    assert_eq!(verdict.ok, 10, "{verdict}");
}

/// Claim: an outcome that the broker refuses for now is sent again. Fault: it refuses the next writes with an error
/// that the client does not retry by itself. Verdict: green; no task fails for it.
#[tokio::test]
async fn a_refused_outcome_is_sent_again() {
    let world = world().await;
    let child = downloader(&world, &[]);
    child.ready().await.unwrap();
    let (url, gate) = world.origin.hold("/n/1/grey.jpg");
    world.produce(1, url, ok(&world, "/n/1/grey.jpg")).await.unwrap();
    gate.reached().await;
    world.broker.fail_next(Api::Produce, &[E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 2]);
    gate.open();
    world.settled(|| child.log_tail()).await;
    // The fault did bite.
    work_waits(&child, "kafka").await;
    let verdict = world.verdict(Some(0)).await.unwrap();
    verdict.assert_green();
}
