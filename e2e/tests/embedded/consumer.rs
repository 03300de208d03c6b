//! What the consumer remembers beyond its death, and what it makes of a group's memory that is not its own.

use std::collections::BTreeSet;
use std::time::Duration;

use downloader::progress::{METADATA_UNITS_MAX, Note, Place};
use e2e::embedded::Child;
use e2e::embedded::broker::Api;
use e2e::expect::{PATIENCE, eventually};
use e2e::kafka::GroupCommit;
use e2e::ledger::{Expected, Subject, Verdict};
use rdkafka::types::RDKafkaRespErr as E;

use crate::{World, counted, downloader, ok, produce, world};

async fn said(child: &Child, text: &str) {
    eventually(format!("the log says '{text}'"), PATIENCE, async || {
        if child.log().iter().any(|line| line.contains(text)) { Ok(()) } else { Err(child.log_tail()) }
    })
    .await;
}

fn place(world: &World, partition: i32) -> Place {
    let names = world.kafka.names();
    Place { group: names.group.clone(), topic: names.tasks.clone(), partition }
}

/// What the group's commits leave open of the tasks in the ledger.
async fn open(world: &World) -> BTreeSet<Subject> {
    let commits = world.kafka.commits().await.unwrap();
    let entries = world.ledger.entries().into_iter();
    let is_open = |entry: &e2e::ledger::Entry| {
        let at = entry.place.unwrap();
        let Some(commit) = commits.iter().find(|commit| commit.partition == at.partition) else { return true };
        let note = Note::read(commit.metadata.as_bytes(), &place(world, at.partition), commit.offset).unwrap().unwrap();
        at.offset >= commit.offset && (at.offset >= note.end || note.unfinished.contains(&at.offset))
    };
    entries.filter(is_open).map(|entry| entry.subject).collect()
}

/// Claim: what finished behind a slow record is not worked again (I4), whatever the position is. Fault: one record of each
/// partition is held, hundreds behind it finish, SIGKILL. Verdict: the successor fetches again what the last commits left
/// open, and skips the rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_finished_behind_a_slow_record_is_not_worked_again() {
    let world = world().await;
    let mut gates = Vec::new();
    for id in 1..7 {
        let path = format!("/n/{id}/grey.jpg");
        let (url, gate) = world.origin.hold(&path);
        world.produce(id, url, ok(&world, &path)).await.unwrap();
        gates.push(gate);
    }
    let mut child = downloader(&world, &[("FETCH_PER_HOST_MAX", "32")]);
    for gate in &gates {
        gate.reached().await;
    }
    // Soon done, since nothing is there to be fetched.
    for id in 7..607 {
        let url = world.origin.fail(&format!("/none/{id}"), 404, None);
        world.produce(id, url, Expected::Error("http_status_permanent".to_owned())).await.unwrap();
    }
    let slow: BTreeSet<Subject> = (1..7).map(Subject::Task).collect();
    eventually("the commits leave only the slow ones open", PATIENCE, async || match open(&world).await {
        left if left == slow => Ok(()),
        left => Err(format!("{} are open", left.len())),
    })
    .evidence("downloader", || async { child.log_tail() })
    .await;
    child.kill().await.unwrap();
    let heir = downloader(&world, &[]);
    drop(gates);
    world.settled(|| heir.log_tail()).await;
    let verdict = world.verdict(Some(slow.len())).await.unwrap();
    verdict.assert_green();
    assert_eq!(verdict.rerun.keys().copied().collect::<BTreeSet<_>>(), slow, "{verdict}");
    assert!(verdict.repeated.is_empty(), "{verdict}");
    // At least one partition has a slow record, and some hundred behind it.
    counted(&heir, "downloader_records_skipped_total", &[], 100.0).await;
}

/// Claim: metadata that is not to be believed costs reruns and nothing else, and is counted by its cause. Fault: another
/// program's, a damaged one, a later version's, one of another offset. Verdict: read from the committed offset on.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_not_to_be_believed_is_counted_and_replayed() {
    let distrusted = |metadata: Option<&'static str>, cause: &'static str| async move {
        let world = world().await;
        produce(&world, 1..31).await;
        for partition in 0..e2e::embedded::PARTITIONS {
            // A map that calls everything finished, made for an offset one higher.
            let elsewhere = Note {
                run_id: 1,
                open: false,
                strikes: 0,
                fence: 1,
                limit: 1,
                anchor_ms: None,
                end: 30,
                unfinished: vec![1],
                log_id: None,
            };
            let copied = elsewhere.write(&place(&world, partition), 1, METADATA_UNITS_MAX, 0).unwrap().0;
            let metadata = metadata.map_or(copied, str::to_owned);
            world.kafka.commit(GroupCommit { partition, offset: 0, metadata }).await.unwrap();
        }
        let child = downloader(&world, &[]);
        world.settled(|| child.log_tail()).await;
        world.verdict(Some(0)).await.unwrap().assert_green();
        counted(&child, "downloader_metadata_distrusted_total", &[cause], 3.0).await;
        said(&child, "finished work above the committed offset may run again").await;
    };
    tokio::join!(
        distrusted(Some("another program's"), "foreign"),
        distrusted(Some("dl1bAAAA"), "mismatch"),
        distrusted(Some("dl9bAAAA"), "newer"),
        distrusted(None, "mismatch"),
    );
}

/// Claim: a broker that takes less metadata gets less, and everything is committed. Fault: it refuses the next commits as
/// too large. Verdict: the log names the broker's setting; all is committed to the end.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_the_broker_refuses_is_cut() {
    let world = world().await;
    let child = downloader(&world, &[]);
    child.ready().await.unwrap();
    world.broker.fail_next(Api::OffsetCommit, &[E::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE; 4]);
    produce(&world, 1..31).await;
    world.settled(|| child.log_tail()).await;
    said(&child, "offset.metadata.max.bytes").await;
    world.all_committed().await;
    world.verdict(Some(0)).await.unwrap().assert_green();
}

/// Claim: whatever a coordinator answers to a commit, none is lost unnoticed. Fault: each error that a broker has for the
/// protocol, twice. Verdict: everything is committed to its end, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_to_a_commit_loses_it() {
    // What else the classic protocol knows no broker answers here, and the client would not recover from it.
    let classic = ("classic", "session.timeout.ms=3000;heartbeat.interval.ms=200");
    let kip848 = ("consumer", "reconnect.backoff.max.ms=500");
    tokio::join!(
        answered(classic, E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        answered(classic, E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        answered(classic, E::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS),
        answered(classic, E::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION),
        answered(classic, E::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID),
        answered(kip848, E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        answered(kip848, E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        answered(kip848, E::RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH),
    );
}

async fn answered((protocol, properties): (&str, &str), error: E) {
    let world = world().await;
    let child = downloader(&world, &[("KAFKA_GROUP_PROTOCOL", protocol), ("KAFKA_PROPERTIES", properties)]);
    child.ready().await.unwrap();
    world.broker.fail_next(Api::OffsetCommit, &[error; 2]);
    produce(&world, 1..11).await;
    world.settled(|| child.log_tail()).await;
    eventually(format!("{protocol}: all is committed after {error:?}"), PATIENCE, async || {
        let offsets = world.kafka.offsets().await.map_err(|error| format!("{error:#}"))?;
        let open = offsets.iter().find(|o| o.high > o.low && o.committed != Some(o.high));
        open.map_or(Ok(()), |open| Err(format!("{open:?}")))
    })
    .evidence("downloader", || async { child.log_tail() })
    .await;
    let verdict = world.verdict(Some(Verdict::rerun_bound(256, 1))).await.unwrap();
    verdict.assert_green();
    assert_eq!(verdict.ok, 10, "{protocol}: {error:?}: {verdict}");
}

/// Claim: reading begins whatever a coordinator first answers to the question where. Fault: each such error, more often than
/// the client repeats a question. Verdict: every task is finished.
#[tokio::test(flavor = "multi_thread")]
async fn reading_begins_whatever_a_coordinator_first_answers() {
    tokio::join!(
        begun("classic", E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        begun("classic", E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        begun("classic", E::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID),
        begun("consumer", E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        begun("consumer", E::RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH),
    );
}

async fn begun(protocol: &str, error: E) {
    let world = world().await;
    world.broker.fail_next(Api::OffsetFetch, &[error; 20]);
    let child = downloader(&world, &[("KAFKA_GROUP_PROTOCOL", protocol)]);
    produce(&world, 1..11).await;
    world.settled(|| format!("{protocol}, {error:?}\n{}", child.log_tail())).await;
    world.verdict(Some(0)).await.unwrap().assert_green();
}

/// Claim: who has heard nothing from the broker for the time of its lease publishes nothing until it hears again (I7).
/// Fault: the broker is down for longer than COMMIT_LEASE while fetches are held. Verdict: the partitions are seen without
/// a lease; once it is back, all is `Ok`.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_published_without_a_lease() {
    let world = world().await;
    let child = downloader(&world, &[("COMMIT_LEASE", "1s"), ("COMMIT_INTERVAL", "100ms")]);
    let gates: Vec<_> = (1..7).map(|id| world.origin.hold(&format!("/n/{id}/grey.jpg")).1).collect();
    produce(&world, 1..7).await;
    for gate in &gates {
        gate.reached().await;
    }
    world.broker.down();
    counted(&child, "downloader_partitions_unleased", &[], 3.0).await;
    drop(gates);
    eventually("the pictures are stored", PATIENCE, async || {
        match child.metric("downloader_stage_duration_seconds_count", &["put", "ok"]).await.unwrap() {
            12.0 => Ok(()),
            puts => Err(format!("{puts} puts")),
        }
    })
    .await;
    let sends = child.metric("downloader_stage_duration_seconds_count", &["send"]).await.unwrap();
    assert_eq!(sends, 0.0, "nothing is handed over");
    world.broker.up();
    world.settled(|| child.log_tail()).await;
    world.verdict(Some(Verdict::rerun_bound(256, 1))).await.unwrap().assert_green();
}

/// Claim: a client that fails for good is made again, and a third time within a minute ends the process. Fault: the broker
/// fences the static member. Verdict: the work goes on; then exit code 70 and the cause in the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_fails_for_good_is_made_again() {
    let world = world().await;
    let properties = "group.instance.id=one;session.timeout.ms=3000;heartbeat.interval.ms=200";
    let mut child = downloader(&world, &[("KAFKA_PROPERTIES", properties)]);
    for failure in 1..=3_u8 {
        let first = u64::from(failure) * 10;
        produce(&world, first..first + 5).await;
        world.settled(|| child.log_tail()).await;
        world.broker.fail_next(Api::Heartbeat, &[E::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID]);
        if failure < 3 {
            counted(&child, "downloader_kafka_client_rebuilds_total", &["failed"], f64::from(failure)).await;
        }
    }
    let status = tokio::time::timeout(Duration::from_secs(60), child.ended()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(70), "{}", child.log_tail());
    assert!(child.log().join("\n").contains("ending"), "{}", child.log_tail());
    let heir = downloader(&world, &[]);
    produce(&world, 50..55).await;
    world.settled(|| heir.log_tail()).await;
    world.verdict(Some(Verdict::rerun_bound(256, 3))).await.unwrap().assert_green();
}
