//! Several downloaders share the work.

use e2e::expect::{PATIENCE, eventually};
use e2e::kafka::Protocol;
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
    delivers(&sandbox, async || sandbox.downloader().protocol(Protocol::Kip848).start().await).await;
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

/// How often two processes can fence each other before one of them ends.
const FENCED_MAX: usize = 6;

/// Claim: two processes with one static identity don't fight for ever: one ends with 70, which says that starting it again
/// won't help, and the other works. Fault: the same `group.instance.id` twice. Verdict: the code, and that everything is
/// finished by the one that is left.
#[tokio::test]
async fn a_static_member_that_is_fenced_for_good_ends_with_70() {
    tokio::join!(fenced_for_good(Protocol::Classic), fenced_for_good(Protocol::Kip848));
}

async fn fenced_for_good(protocol: Protocol) {
    let sandbox = Sandbox::start(&format!("fenced_{}", protocol.as_str())).await;
    let start = || {
        let properties = "session.timeout.ms=6000;heartbeat.interval.ms=500;group.instance.id=one";
        sandbox.downloader().protocol(protocol).setting("KAFKA_PROPERTIES", properties).start()
    };
    let batch =
        |name: &str| (0..10).map(|n| sandbox.origin().url(&format!("/n/{name}{n}/grey.jpg"))).collect::<Vec<_>>();
    let members = [start().await, start().await];
    sandbox.produce(&batch("both")).await;
    let (fenced, left) = eventually("one of them ends", 2 * PATIENCE, async || {
        match (members[0].container().exit_code().await, members[1].container().exit_code().await) {
            (Some(code), None) => Ok((code, &members[1])),
            (None, Some(code)) => Ok((code, &members[0])),
            other => Err(format!("{other:?}")),
        }
    })
    .evidence("the one's log", || members[0].logs())
    .evidence("the other's log", || members[1].logs())
    .await;
    assert_eq!(fenced, 70);
    sandbox.produce(&batch("one")).await;
    sandbox.settled().await;
    sandbox.committed().await;
    // Each time one was fenced, what it had not recorded ran again; the third time within a minute ends a process.
    let verdict = sandbox.verdict(10 * FENCED_MAX).await;
    verdict.assert_green();
    // How often is bounded above; which ones, here.
    assert!(verdict.rerun.len() <= 20 && verdict.repeated.len() <= 20, "{verdict}");
    assert_eq!(verdict.ok, 20, "{verdict}");
    assert_eq!(left.terminate().await, 0, "{}", left.logs().await);
}
