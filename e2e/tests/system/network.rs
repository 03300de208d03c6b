//! A member is cut off from Kafka, stands still past its session, or finds its commits unanswered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::downloader::{Builder, Downloader};
use e2e::expect::{PATIENCE, eventually};
use e2e::kafka::{Api, Protocol};
use e2e::ledger::Verdict;
use e2e::origin::Gate;
use e2e::proxy::Link;
use e2e::sandbox::Sandbox;
use tokio::time::timeout;

/// After a fault has healed, progress goes on by itself within this time (I6).
const RECOVERY: Duration = Duration::from_secs(15);
const DRAIN: Duration = Duration::from_secs(8);

/// A downloader that owns every partition, has finished some tasks, and works on one that the origin holds.
async fn owner_at_work(sandbox: &Sandbox, start: Builder<'_>) -> (Downloader, Gate) {
    let owner = start.start().await;
    sandbox.produce_copies("before", 8).await;
    sandbox.settled().await;
    sandbox.committed().await;
    let (held, gate) = sandbox.origin().hold("/held.jpg");
    sandbox.produce(&[held]).await;
    gate.reached().await;
    (owner, gate)
}

/// Waits until every partition has an owner, and each of them is as `wanted`.
async fn owned(sandbox: &Sandbox, what: &str, wanted: impl Fn(&BTreeMap<i32, u64>) -> bool) {
    eventually(what, PATIENCE, async || {
        let owners = sandbox.ledger().owners();
        if owners.len() == 4 && wanted(&owners) { Ok(()) } else { Err(format!("{owners:x?}")) }
    })
    .await;
}

/// Claim: a member that was cut off past its session publishes nothing for what it lost, commits nothing untrue, and is back at
/// work within 15 s after the network. Fault: its link to Kafka is a black hole until another member owns everything, with a
/// fetch under way that ends meanwhile. Verdict: the heir finishes everything; the former owner owns partitions again in
/// time; every commit is true, nothing recorded ran again, no outcome came late.
#[tokio::test]
async fn a_member_that_was_cut_off_comes_back() {
    tokio::join!(cut_off_and_back(Protocol::Classic), cut_off_and_back(Protocol::Kip848));
}

async fn cut_off_and_back(protocol: Protocol) {
    let sandbox = Sandbox::start(&format!("cut_off_{}", protocol.as_str())).await;
    let (victim, gate) = owner_at_work(&sandbox, sandbox.downloader().protocol(protocol).by_link()).await;
    let former = sandbox.ledger().owners();
    victim.link().cut();
    victim.link().bites().await;
    let heir = sandbox.downloader().protocol(protocol).start().await;
    owned(&sandbox, "the heir owns everything", |owners| owners.iter().all(|(p, run)| former.get(p) != Some(run)))
        .await;
    gate.open();
    sandbox.produce_copies("meanwhile", 8).await;
    sandbox.settled().await;

    victim.link().restore();
    let healed = Instant::now();
    let returned = |owners: &BTreeMap<i32, u64>| owners.values().any(|run| former.values().any(|former| former == run));
    owned(&sandbox, "the former owner is back", returned).await;
    assert!(healed.elapsed() <= RECOVERY, "it took {:?}\n{}", healed.elapsed(), victim.logs().await);
    sandbox.produce_copies("after", 8).await;
    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(Verdict::rerun_bound(256, 1)).await;
    verdict.assert_green();
    assert_eq!((verdict.ok, verdict.writers), (25, 2), "{verdict}");
    assert_eq!((victim.terminate().await, heir.terminate().await), (0, 0), "both are well");
}

/// Claim: the same of a member that is alone, with nobody to take over: work goes on within 15 s after the network is back.
/// Fault: a black hole until the broker has thrown it out. Verdict: what was written meanwhile is finished in time.
#[tokio::test]
async fn a_member_that_was_cut_off_alone_goes_on() {
    let restore = |link: &Link| link.restore();
    tokio::join!(cut_off_alone("back", Protocol::Classic, restore), cut_off_alone("back", Protocol::Kip848, restore));
}

/// Claim: the same when the network comes back for new connections alone, as behind a firewall that has forgotten the old
/// ones. Fault and verdict: as above.
#[tokio::test]
async fn a_member_whose_connections_were_forgotten_goes_on() {
    let restore = |link: &Link| link.restore_for_new_connections();
    tokio::join!(
        cut_off_alone("forgotten", Protocol::Classic, restore),
        cut_off_alone("forgotten", Protocol::Kip848, restore)
    );
}

async fn cut_off_alone(name: &str, protocol: Protocol, restore: impl FnOnce(&Link)) {
    let sandbox = Sandbox::start(&format!("cut_off_alone_{name}_{}", protocol.as_str())).await;
    let (victim, gate) = owner_at_work(&sandbox, sandbox.downloader().protocol(protocol).by_link()).await;
    victim.link().cut();
    victim.link().bites().await;
    gate.open();
    sandbox.produce_copies("meanwhile", 8).await;
    eventually("the group has no members", PATIENCE, async || {
        sandbox.kafka().has_no_members().await.map_err(|error| format!("{error:#}"))
    })
    .await;
    restore(victim.link());
    let healed = Instant::now();
    sandbox.settled().await;
    assert!(healed.elapsed() <= RECOVERY, "it took {:?}\n{}", healed.elapsed(), victim.logs().await);
    sandbox.committed().await;
    let verdict = sandbox.verdict(Verdict::rerun_bound(256, 1)).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 17, "{verdict}");
    assert_eq!(victim.terminate().await, 0);
}

/// Claim: a far broker is no reason to own partitions without reading them. Fault: every frame takes 40 ms more each way, and
/// there are a hundred partitions. Verdict: each of them is owned, and every task finished.
#[tokio::test]
async fn a_hundred_partitions_are_opened_over_a_slow_network() {
    const PARTITIONS: i32 = 100;
    let sandbox = Sandbox::with_partitions("slow_network", PARTITIONS).await;
    let far = sandbox.downloader().by_link().start().await;
    far.link().delay(Duration::from_millis(40));
    assert!(sandbox.ledger().owners().is_empty(), "it had not opened any before");
    sandbox.produce_copies("far", 200).await;
    sandbox.settled().await;
    let owned = sandbox.ledger().owners().len();
    assert_eq!(owned, PARTITIONS as usize, "{}", far.logs().await);
    sandbox.committed().await;
    sandbox.verdict(0).await.assert_green();
}

/// Claim: a member that stood still past its session does no harm when it wakes, and works on. Fault: SIGSTOP with a fetch
/// under way until another owns everything and has finished it, then SIGCONT. Verdict: as of the member that was cut off.
#[tokio::test]
async fn a_member_that_stood_still_comes_back() {
    tokio::join!(stood_still_and_back(Protocol::Classic), stood_still_and_back(Protocol::Kip848));
}

async fn stood_still_and_back(protocol: Protocol) {
    let sandbox = Sandbox::start(&format!("stood_still_{}", protocol.as_str())).await;
    let (victim, gate) = owner_at_work(&sandbox, sandbox.downloader().protocol(protocol)).await;
    let former = sandbox.ledger().owners();
    victim.pause().await;
    let heir = sandbox.downloader().protocol(protocol).start().await;
    owned(&sandbox, "the heir owns everything", |owners| owners.iter().all(|(p, run)| former.get(p) != Some(run)))
        .await;
    gate.open();
    sandbox.produce_copies("meanwhile", 8).await;
    sandbox.settled().await;

    victim.resume().await;
    let woken = Instant::now();
    let returned = |owners: &BTreeMap<i32, u64>| owners.values().any(|run| former.values().any(|former| former == run));
    owned(&sandbox, "the former owner is back", returned).await;
    assert!(woken.elapsed() <= RECOVERY, "it took {:?}\n{}", woken.elapsed(), victim.logs().await);
    sandbox.produce_copies("after", 8).await;
    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(Verdict::rerun_bound(256, 1)).await;
    verdict.assert_green();
    assert_eq!((verdict.ok, verdict.writers), (25, 2), "{verdict}");
    assert_eq!((victim.terminate().await, heir.terminate().await), (0, 0), "both are well");
}

/// Claim: a drain ends within `DRAIN_TIMEOUT` though its last commit gets no answer, and says so by exit code 75. Fault: the
/// proxy holds the commit, as request, as response, or the whole network is cut. Verdict: the code, the time, and that the heir
/// runs nothing that a commit called finished.
#[tokio::test]
async fn a_drain_whose_commit_hangs_ends_in_time_with_75() {
    tokio::join!(
        drained_unanswered("request", Protocol::Classic, |victim| Some(victim.link().hold_requests(Api::OffsetCommit))),
        drained_unanswered("response", Protocol::Kip848, |victim| Some(
            victim.link().hold_responses(Api::OffsetCommit)
        )),
        drained_unanswered("cut", Protocol::Classic, |victim| {
            victim.link().cut();
            None
        }),
    );
}

async fn drained_unanswered(name: &str, protocol: Protocol, fault: impl FnOnce(&Downloader) -> Option<Gate>) {
    let sandbox = Sandbox::start(&format!("drain_{name}_unanswered")).await;
    let start = sandbox.downloader().protocol(protocol).by_link();
    let (victim, gate) = owner_at_work(&sandbox, start.setting("DRAIN_TIMEOUT", format!("{}s", DRAIN.as_secs()))).await;
    let held = fault(&victim);
    match &held {
        Some(commits) => {
            gate.open();
            sandbox.settled().await;
            commits.reached().await;
        }
        None => victim.link().bites().await,
    }
    let asked = Instant::now();
    let code = timeout(PATIENCE, victim.terminate()).await.expect("it ends");
    // The engine's own part of it.
    let within = DRAIN + Duration::from_secs(1);
    assert!(asked.elapsed() <= within, "{name}: it took {:?}\n{}", asked.elapsed(), victim.logs().await);
    assert_eq!(code, 75, "{name}: {}", victim.logs().await);
    gate.open();
    // What it had sent dies with it.
    victim.link().reset();
    drop(held);

    let _heir = sandbox.downloader().protocol(protocol).start().await;
    sandbox.produce_copies("after", 4).await;
    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(Verdict::rerun_bound(256, 1)).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 13, "{verdict}");
}

/// Claim: a drain in the middle of a rebalance ends within `DRAIN_TIMEOUT`. Fault: another member joins, and what the drained
/// one has to say to that is held: its request to join, or the broker's answer to its heartbeat. Verdict: exit code 0 or 75 in
/// time; the other member finishes everything.
#[tokio::test]
async fn a_drain_in_the_middle_of_a_rebalance_ends_in_time() {
    tokio::join!(
        drained_in_a_rebalance(Protocol::Classic, |link| link.hold_requests(Api::JoinGroup)),
        drained_in_a_rebalance(Protocol::Kip848, |link| link.hold_responses(Api::ConsumerGroupHeartbeat)),
    );
}

async fn drained_in_a_rebalance(protocol: Protocol, hold: impl FnOnce(&Link) -> Gate) {
    let sandbox = Sandbox::start(&format!("drain_in_rebalance_{}", protocol.as_str())).await;
    let start = sandbox.downloader().protocol(protocol).by_link();
    let (victim, gate) = owner_at_work(&sandbox, start.setting("DRAIN_TIMEOUT", format!("{}s", DRAIN.as_secs()))).await;
    let rebalance = hold(victim.link());
    let _other = sandbox.downloader().protocol(protocol).start().await;
    rebalance.reached().await;
    let asked = Instant::now();
    let code = timeout(PATIENCE, victim.terminate()).await.expect("it ends");
    let within = DRAIN + Duration::from_secs(1);
    assert!(asked.elapsed() <= within, "it took {:?}\n{}", asked.elapsed(), victim.logs().await);
    assert!([0, 75].contains(&code), "exit code {code}\n{}", victim.logs().await);
    victim.link().reset();
    drop(rebalance);
    gate.open();
    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(Verdict::rerun_bound(256, 1)).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 9, "{verdict}");
}
