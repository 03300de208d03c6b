//! A downloader dies.

use e2e::sandbox::Sandbox;

/// Claim: SIGKILL in the middle of a fetch loses nothing. Fault: the origin holds the answer open, so the kill lands
/// there by construction. Verdict: each task has an outcome and both objects; of the reruns only the held ones.
#[tokio::test]
async fn killed_mid_fetch_redelivers_the_task() {
    let sandbox = Sandbox::start("killed_mid_fetch").await;
    let (held, gate) = sandbox.origin().hold("/held.jpg");
    let before: Vec<_> = (0..10).map(|n| sandbox.origin().url(&format!("/n/{n}/grey.jpg"))).collect();
    let ledger = sandbox.produce(&before).await;
    let victim = sandbox.start_downloader().await;
    sandbox.settled().await;
    sandbox.committed().await;
    sandbox.produce(&[held]).await;
    gate.reached().await;
    assert!(ledger.settled().is_err(), "the fault is active: one task is open");
    victim.kill().await;

    let _heir = sandbox.start_downloader().await;
    gate.reached_by(2).await;
    gate.open();
    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(1).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 11, "{verdict}");
    assert_eq!(sandbox.origin().requests("/held.jpg").len(), 2, "the held task was fetched again");
}

/// Claim: the control of `killed_mid_fetch_redelivers_the_task`: without the kill nothing is fetched twice. Fault: none.
/// Verdict: as there, with no rerun.
#[tokio::test]
async fn not_killed_mid_fetch_nothing_runs_again() {
    let sandbox = Sandbox::start("not_killed_mid_fetch").await;
    let (held, gate) = sandbox.origin().hold("/held.jpg");
    sandbox.produce(&[held]).await;
    let _downloader = sandbox.start_downloader().await;
    gate.reached().await;
    gate.open();
    sandbox.settled().await;
    sandbox.committed().await;
    sandbox.verdict(0).await.assert_green();
    assert_eq!(sandbox.origin().requests("/held.jpg").len(), 1);
}
