//! The broker and the store die, stand still or refuse, under load; management dies, and a collector fails.

use std::time::{Duration, Instant};

use e2e::containers::store::{Disk, StoreKind};
use e2e::expect::{PATIENCE, eventually};
use e2e::fault::Fault;
use e2e::fleet::{Fleet, PARALLEL};
use e2e::gate::Gate;
use e2e::kafka::Protocol;
use e2e::ledger::Verdict;
use e2e::sandbox::{PARTITIONS, SESSION, Sandbox};
use e2e::traces::CollectorFault;

/// After a fault has healed progress goes on within this time (I6), and a session later where members were given up.
const RECOVERY: Duration = Duration::from_secs(15);
/// Tasks under way when it happens.
const UNDER_WAY: usize = 12;

/// Claim: a broker that is killed, or stands still past every session, loses nothing, and work goes on by itself once it is
/// back. Fault: with fetches under way, on a broker of the test's own. Verdict: the members say that they are not ready and
/// live on; what was under way and what came later is finished in time; every commit is true.
#[tokio::test]
async fn a_broker_that_fails_loses_nothing() {
    let [killed, stopped] = ["broker_killed", "broker_stopped"].map(|name| Sandbox::on_a_broker_with(name, 4, &[]));
    let (killed, stopped) = tokio::join!(killed, stopped);
    tokio::join!(
        server_fails(&killed, Fault::BrokerKilled, Protocol::Classic, "broker"),
        server_fails(&stopped, Fault::BrokerStopped, Protocol::Kip848, "broker"),
    );
}

/// Claim: a store that is killed, or stands still, makes the work wait, and no task fails for it. Fault and verdict: as above.
#[tokio::test]
async fn a_store_that_fails_fails_no_task() {
    let kind = StoreKind::chosen().unwrap();
    let [killed, stopped] = ["store_killed", "store_stopped"].map(|name| Sandbox::on_store(name, kind, Disk::Volume));
    let (killed, stopped) = tokio::join!(killed, stopped);
    tokio::join!(
        server_fails(&killed, Fault::StoreKilled, Protocol::Kip848, "store"),
        server_fails(&stopped, Fault::StoreStopped, Protocol::Classic, "store"),
    );
}

/// Claim: a store without room makes the work wait, and no task fails for it. Fault: its disk is filled to the brim, on a store
/// of the test's own. Verdict: a member says that it is not ready and lives on; everything is finished once there is room, and
/// nothing is fetched twice.
#[tokio::test]
async fn a_store_that_is_full_fails_no_task() {
    let sandbox = Sandbox::on_store("store_full", StoreKind::chosen().unwrap(), Disk::Small).await;
    let verdict = a_while_with(&sandbox, Fault::StoreFull, Protocol::Classic).await;
    assert!(verdict.rerun.is_empty() && verdict.repeated.is_empty(), "{verdict}");
}

/// Claim: a broker that refuses outcomes makes the work wait, and no task fails for it. Fault: it refuses each, as too large.
/// Verdict: a member says that it is not ready and lives on; everything is finished once outcomes are taken, and nothing is
/// fetched twice.
#[tokio::test]
async fn a_broker_that_refuses_outcomes_fails_no_task() {
    let sandbox = Sandbox::start("outcomes_refused").await;
    let verdict = a_while_with(&sandbox, Fault::OutcomesRefused, Protocol::Kip848).await;
    assert!(verdict.rerun.is_empty() && verdict.repeated.is_empty(), "{verdict}");
}

/// Claim: a collector that fails costs its spans, and nothing else. Fault: it answers every export with 503, or none. Verdict:
/// meanwhile every task is finished, and who works on them is ready.
#[tokio::test]
async fn a_collector_that_fails_holds_up_nobody() {
    let [refuses, silent] = ["collector_refuses", "collector_silent"].map(Sandbox::start);
    let (refuses, silent) = tokio::join!(refuses, silent);
    tokio::join!(
        a_while_with(&refuses, Fault::CollectorFails(CollectorFault::Refuses), Protocol::Classic),
        a_while_with(&silent, Fault::CollectorFails(CollectorFault::Silent), Protocol::Kip848),
    );
}

/// Claim: whatever management has accepted is done and shown, though it dies. Fault: SIGKILL while pictures are fetched, and a
/// moment after it has accepted some; their outcomes come while it is down. Verdict: once it is back, each is "ok", and its
/// thumbnail served.
#[tokio::test]
async fn a_management_that_is_killed_forgets_nothing() {
    const HELD: usize = 3;
    let sandbox = Sandbox::start("management_killed").await;
    let mut management = sandbox.start_management().await;
    let downloader = sandbox.downloader().setting("FETCH_PER_HOST_MAX", "16").start().await;
    downloader.wait_ready().await;
    let before = management.submit(&sandbox.origin().url("/n/before/grey.jpg")).await;
    management.reached(before, "ok").await;
    let mut ids = vec![before];
    let mut gates = Vec::new();
    for n in 0..HELD {
        let (url, gate) = sandbox.origin().hold(&format!("/n/held-{n}/grey.jpg"));
        ids.push(management.submit(&url).await);
        gates.push(gate);
    }
    for gate in &gates {
        gate.reached().await;
    }
    for n in 0..HELD {
        ids.push(management.submit(&sandbox.origin().url(&format!("/n/accepted-{n}/grey.jpg"))).await);
    }
    management.container().kill().await;
    gates.iter().for_each(Gate::open);
    // Whatever was sent is finished before anybody may read of it.
    sandbox.committed().await;
    management.start_again().await;
    for id in ids {
        let task = management.reached(id, "ok").await;
        let thumbnail = management.get(&task.links.thumbnail.expect("a finished task has one")).await;
        assert_eq!(thumbnail.status, 200, "task {id}: {}", thumbnail.text());
    }
}

/// Two members work before, during and after a fault that no task may feel but by waiting.
async fn a_while_with(sandbox: &Sandbox, fault: Fault, protocol: Protocol) -> Verdict {
    let mut fleet = Fleet::start(sandbox, protocol, 2).await;
    sandbox.produce_copies("before", 8).await;
    sandbox.settled().await;
    let everywhere = async || {
        for partition in 0..PARTITIONS {
            let url = sandbox.origin().url(&format!("/n/{}/grey.jpg", sandbox.ledger().progress().1));
            sandbox.produce_to(partition, url.as_str(), sandbox.picture(&url)).await;
        }
    };
    let standing = fault.apply(&mut fleet, everywhere).await;
    sandbox.produce_copies("meanwhile", 16).await;
    if let Fault::CollectorFails(_) = fault {
        sandbox.settled().await;
        for number in 0..fleet.size() {
            assert_eq!(fleet.member(number).readiness().await, Ok(()), "{fault}");
        }
    }
    standing.heal(&mut fleet, everywhere).await;
    sandbox.produce_copies("after", 8).await;
    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(fault.rerun_bound(fleet.size(), PARALLEL)).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, sandbox.ledger().progress().1, "{verdict}");
    verdict
}

async fn server_fails(sandbox: &Sandbox, fault: Fault, protocol: Protocol, part: &str) {
    let mut fleet = Fleet::start(sandbox, protocol, 2).await;
    sandbox.produce_copies("before", 8).await;
    sandbox.settled().await;
    let (held, gate) = sandbox.origin().hold("/held.jpg");
    sandbox.produce(&[held]).await;
    sandbox.produce_copies("under_way", UNDER_WAY - 1).await;
    gate.reached().await;

    let standing = fault.apply(&mut fleet, async || {}).await;
    gate.open();
    for number in 0..fleet.size() {
        let member = fleet.member(number);
        let what = format!("{}: {} is not ready and names the {part}", fault.kind(), member.container().name());
        eventually(what, 2 * PATIENCE, async || match member.readiness().await {
            Err(why) if why.contains(part) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .evidence("its log", || member.logs())
        .await;
    }
    standing.heal(&mut fleet, async || {}).await;
    let healed = Instant::now();
    sandbox.produce_copies("after", 8).await;
    sandbox.settled().await;
    let took = healed.elapsed();
    assert!(took <= RECOVERY + SESSION, "{}: it took {took:?}\n{}", fault.kind(), fleet.member(0).logs().await);
    sandbox.committed().await;
    let verdict = sandbox.verdict(fault.rerun_bound(fleet.size(), PARALLEL)).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 16 + UNDER_WAY, "{verdict}");
    for number in 0..fleet.size() {
        assert_eq!(fleet.member(number).container().exit_code().await, None, "{}: it lives", fault.kind());
    }
}
