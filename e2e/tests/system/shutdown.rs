//! A downloader is asked to end.

use e2e::expect::{PATIENCE, eventually};
use e2e::sandbox::Sandbox;

/// Claim: SIGTERM lets running tasks finish, commits them, and ends with 0. Fault: the origin holds one answer until the
/// downloader has stopped taking tasks. Verdict: the exit code; every commit is at the end of its log before any successor
/// runs; and a successor finds nothing to do.
#[tokio::test]
async fn a_terminated_downloader_drains_and_exits_0() {
    let sandbox = Sandbox::start("terminated").await;
    let (held, gate) = sandbox.origin().hold("/held.jpg");
    let mut urls: Vec<_> = (0..10).map(|n| sandbox.origin().url(&format!("/n/{n}/grey.jpg"))).collect();
    urls.push(held);
    sandbox.produce(&urls).await;
    let downloader = sandbox.start_downloader().await;
    gate.reached().await;
    downloader.wait_ready().await;

    let (exit_code, ()) = tokio::join!(downloader.terminate(), async {
        let stopping = eventually("it takes no more tasks", PATIENCE, async || match downloader.readiness().await {
            Ok(()) => Err("it is still ready".to_owned()),
            Err(_) => Ok(()),
        });
        stopping.await;
        assert_eq!(downloader.container().exit_code().await, None, "it waits for the held task");
        gate.open();
    });
    assert_eq!(exit_code, 0, "drained");
    sandbox.settled().await;
    let offsets = sandbox.kafka().offsets().await.expect("the offsets can be read");
    assert!(offsets.iter().all(|p| p.high == p.low || p.committed == Some(p.high)), "{offsets:?}");

    let heir = sandbox.start_downloader().await;
    heir.wait_ready().await;
    sandbox.produce(&[sandbox.origin().url("/n/last/grey.jpg")]).await;
    sandbox.settled().await;
    let verdict = sandbox.verdict(0).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 12, "{verdict}");
}
