//! The broker and the store die, or stand still, under load.

use std::time::{Duration, Instant};

use e2e::containers::store::StoreKind;
use e2e::expect::{PATIENCE, eventually};
use e2e::fault::Fault;
use e2e::fleet::{Fleet, PARALLEL};
use e2e::kafka::Protocol;
use e2e::sandbox::{SESSION, Sandbox};

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
    let [killed, stopped] = ["store_killed", "store_stopped"].map(|name| Sandbox::on_store(name, kind));
    let (killed, stopped) = tokio::join!(killed, stopped);
    tokio::join!(
        server_fails(&killed, Fault::StoreKilled, Protocol::Kip848, "store"),
        server_fails(&stopped, Fault::StoreStopped, Protocol::Classic, "store"),
    );
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
