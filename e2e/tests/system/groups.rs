//! Several downloaders share the work.

use e2e::sandbox::Sandbox;

/// Claim: the protocol of classic groups delivers with two members, one of which leaves. Fault: a SIGTERM while work is
/// waiting. Verdict: everything finished, nothing twice, all of it committed.
#[tokio::test]
async fn a_classic_group_delivers() {
    let sandbox = Sandbox::start("classic_group").await;
    delivers(&sandbox, async || sandbox.start_downloader().await).await;
}

/// Claim, fault and verdict of `a_classic_group_delivers`, by the protocol of KIP-848.
#[tokio::test]
async fn a_group_of_kip_848_delivers() {
    let sandbox = Sandbox::start("kip_848_group").await;
    delivers(&sandbox, async || sandbox.downloader().group_protocol_consumer().start().await).await;
}

async fn delivers(sandbox: &Sandbox, start: impl AsyncFn() -> e2e::downloader::Downloader) {
    let batch =
        |name: &str| (0..20).map(|n| sandbox.origin().url(&format!("/n/{name}{n}/grey.jpg"))).collect::<Vec<_>>();
    let (one, other) = (start().await, start().await);
    one.wait_ready().await;
    other.wait_ready().await;
    sandbox.produce(&batch("both")).await;
    sandbox.settled().await;
    let second = batch("leaving");
    let (exit_code, _ledger) = tokio::join!(one.terminate(), sandbox.produce(&second));
    assert_eq!(exit_code, 0);
    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(0).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 40, "{verdict}");
}
