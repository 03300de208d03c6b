//! What a group holds is not what its owner left there: others commit, reset, copy and delete.

use std::time::Duration;

use e2e::downloader::Downloader;
use e2e::expect::{PATIENCE, eventually};
use e2e::kafka::{GroupCommit, Member, Protocol};
use e2e::ledger::{Place, Subject, Verdict};
use e2e::sandbox::Sandbox;

/// By then an owner has said again what it holds.
const HEALED_WITHIN: Duration = Duration::from_secs(10);
const EXPIRED: &str = "downloader_records_expired_total";
const DISTRUSTED: &str = "downloader_metadata_distrusted_total";

async fn produce(sandbox: &Sandbox, numbers: std::ops::Range<usize>) {
    let urls: Vec<_> = numbers.map(|n| sandbox.origin().url(&format!("/n/{n}/grey.jpg"))).collect();
    sandbox.produce(&urls).await;
}

/// What the group holds of the only partition.
async fn held(sandbox: &Sandbox) -> GroupCommit {
    let commits = sandbox.kafka().commits().await.expect("the group's commits can be read");
    commits.into_iter().next().expect("the group has committed")
}

/// Ends it, and returns once the broker takes commits from outside: the group has no members.
async fn terminate(downloader: &Downloader) {
    assert_eq!(downloader.terminate().await, 0, "{}", downloader.logs().await);
}

/// Claim: a commit by a member that no longer owns the partition, which brokers accept, doesn't stand for long. Fault: a
/// member commits a lower offset, without metadata, for the downloader's partition. Verdict: the broker took it; within ten
/// seconds the owner has said again what it holds; nothing ran twice.
#[tokio::test]
async fn an_offset_that_a_former_owner_set_back_is_healed() {
    tokio::join!(set_back_and_healed(Protocol::Classic), set_back_and_healed(Protocol::Kip848));
}

async fn set_back_and_healed(protocol: Protocol) {
    let sandbox = Sandbox::with_partitions(&format!("set_back_{}", protocol.as_str()), 1).await;
    // The lease decides how often an owner repeats itself; this is the default one.
    let downloader = sandbox.downloader().protocol(protocol).setting("COMMIT_LEASE", "20s");
    let downloader = downloader.setting("KAFKA_PROPERTIES", "session.timeout.ms=30000").start().await;
    produce(&sandbox, 0..10).await;
    sandbox.settled().await;
    sandbox.committed().await;

    let member = Member::join(sandbox.kafka(), protocol).await.expect("a member can join");
    let back = GroupCommit { partition: 0, offset: 3, metadata: String::new() };
    sandbox.ledger().commits_itself(back.clone());
    member.commit(back.clone()).await.expect("the broker takes it");
    let (set_back, healed) = eventually("the owner says again what it holds", PATIENCE, async || {
        let commits = sandbox.ledger().commits();
        let at = commits.iter().position(|commit| commit.next_offset == Some(3) && commit.metadata.is_empty());
        let at = at.ok_or("the commit that sets it back is not written yet")?;
        let healed = commits.iter().skip(at).find(|commit| commit.next_offset == Some(10));
        healed.map(|healed| (commits[at].at_ms, healed.at_ms)).ok_or_else(|| "it stands".to_owned())
    })
    .evidence("its log", || downloader.logs())
    .await;
    let stood = Duration::from_millis((healed - set_back).unsigned_abs());
    assert!(stood <= HEALED_WITHIN + Duration::from_secs(1), "it stood for {stood:?}");
    drop(member);
    terminate(&downloader).await;
    let verdict = sandbox.verdict(0).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 10, "{verdict}");
}

/// Claim: what retention took is counted and holds nobody up; everything else finishes. Fault: the log's start moves past
/// the committed offset, once while nobody runs, once under a downloader that stands still. Verdict: only deleted records are
/// unfinished, and the downloader has counted exactly these.
#[tokio::test]
async fn what_retention_took_is_counted_and_everything_else_finishes() {
    let sandbox = Sandbox::with_partitions("retention", 1).await;
    let first = sandbox.start_downloader().await;
    produce(&sandbox, 0..5).await;
    sandbox.settled().await;
    sandbox.committed().await;
    terminate(&first).await;

    produce(&sandbox, 5..15).await;
    sandbox.delete_below(Place { partition: 0, offset: 9 }).await;
    let second = sandbox.start_downloader().await;
    sandbox.settled().await;
    assert_eq!(second.metric(EXPIRED, "").await, Some(4.0), "{}", second.logs().await);

    second.pause().await;
    produce(&sandbox, 15..25).await;
    sandbox.delete_below(Place { partition: 0, offset: 18 }).await;
    second.resume().await;
    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(0).await;
    verdict.assert_green();
    // The answer to a fetch that was under way may have held the first of the later ones.
    let taken = |from: u64| (6..=9).chain(from..=18).map(Subject::Task).collect();
    assert!(verdict.expired == taken(16) || verdict.expired == taken(17), "{verdict}");
    eventually("the lost records are counted", PATIENCE, async || match second.metric(EXPIRED, "").await {
        Some(counted) if counted == verdict.expired.len() as f64 => Ok(()),
        other => Err(format!("{other:?} of {}", verdict.expired.len())),
    })
    .evidence("its log", || second.logs())
    .await;
}

/// Claim: an offset beyond the log's end, as after a log that was cut, is not waited for. Fault: the group holds such an
/// offset. Verdict: everything in the log is worked on from its start.
#[tokio::test]
async fn an_offset_beyond_the_end_is_not_waited_for() {
    let sandbox = Sandbox::with_partitions("beyond_the_end", 1).await;
    produce(&sandbox, 0..5).await;
    sandbox.commit(GroupCommit { partition: 0, offset: 1_000, metadata: String::new() }).await;
    let downloader = sandbox.start_downloader().await;
    sandbox.settled().await;
    sandbox.committed().await;
    downloader.logs_line("beyond the log's end").await;
    let verdict = sandbox.verdict(0).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 5, "{verdict}");
}

/// Claim: a reset of the group's offsets runs again what it says, and loses nothing. Fault: a tool sets the offset to 2 with
/// empty metadata, as `--reset-offsets` does. Verdict: the records from there on are repeats, the ones below are not.
#[tokio::test]
async fn a_reset_runs_again_what_it_says() {
    let sandbox = Sandbox::with_partitions("reset", 1).await;
    let first = sandbox.start_downloader().await;
    produce(&sandbox, 0..6).await;
    sandbox.settled().await;
    sandbox.committed().await;
    terminate(&first).await;
    sandbox.commit(GroupCommit { partition: 0, offset: 2, metadata: String::new() }).await;
    let _second = sandbox.start_downloader().await;
    sandbox.committed().await;
    eventually("the records run again", PATIENCE, async || {
        let verdict = sandbox.verdict(4).await;
        if verdict.repeated.len() == 4 { Ok(()) } else { Err(verdict.to_string()) }
    })
    .await;
    let verdict = sandbox.verdict(4).await;
    verdict.assert_green();
    assert_eq!(verdict.repeated.keys().copied().collect::<Vec<_>>(), [3, 4, 5, 6].map(Subject::Task), "{verdict}");
}

/// Claim: a map copied to another offset is not believed. Fault: a mirror translates the committed offset and copies the
/// metadata as they are. Verdict: the held record, which the map would call finished there, is worked on; the mistrust is
/// counted.
#[tokio::test]
async fn a_map_at_a_shifted_offset_is_not_believed() {
    let sandbox = Sandbox::with_partitions("shifted_map", 1).await;
    let (held_url, gate) = sandbox.origin().hold("/held.jpg");
    produce(&sandbox, 0..5).await;
    sandbox.produce(&[held_url]).await;
    produce(&sandbox, 6..12).await;
    let victim = sandbox.start_downloader().await;
    gate.reached().await;
    let mapped = eventually("the map says that all but the held one are finished", PATIENCE, async || {
        let commits = sandbox.ledger().commits();
        let mapped = commits.iter().rev().find(|commit| commit.next_offset == Some(5) && commit.claims(11));
        mapped.cloned().ok_or_else(|| format!("{:?}", commits.last()))
    })
    .await;
    victim.kill().await;
    let metadata = String::from_utf8(mapped.metadata).expect("ours are text");
    eventually("the group has no members", PATIENCE, async || {
        let shifted = GroupCommit { partition: 0, offset: 2, metadata: metadata.clone() };
        sandbox.ledger().commits_itself(shifted.clone());
        sandbox.kafka().commit(shifted).await.map_err(|error| format!("{error:#}"))
    })
    .await;
    assert_eq!(held(&sandbox).await.offset, 2, "the fault is active");
    drop(gate);
    let heir = sandbox.start_downloader().await;
    sandbox.settled().await;
    sandbox.committed().await;
    assert_eq!(heir.metric(DISTRUSTED, "mismatch").await, Some(1.0), "{}", heir.logs().await);
    let verdict = sandbox.verdict(Verdict::rerun_bound(256, 1)).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 12, "{verdict}");
    let rerun: Vec<_> = (3..=12).map(Subject::Task).collect();
    assert_eq!(verdict.rerun.keys().copied().collect::<Vec<_>>(), rerun, "everything above it ran again\n{verdict}");
}
