//! The topic of tasks is deleted and made again under a downloader.

use e2e::expect::{PATIENCE, eventually};
use e2e::kafka::Protocol;
use e2e::sandbox::Sandbox;

const BEFORE: usize = 10;

/// Claim: a topic that was made again is another log, and is read from its start. Fault: it is made again under a downloader
/// that works, and holds fewer records than the old one did. Verdict: all of both are finished; no commit called a record of
/// the new log finished that was not.
#[tokio::test]
async fn a_topic_made_again_shorter_is_read_from_its_start() {
    tokio::join!(made_again("shorter", Protocol::Classic, 4, false), made_again("shorter", Protocol::Kip848, 4, false));
}

/// Claim: as above, when nothing but the topic's identity tells the logs apart. Fault: the downloader stands still meanwhile, and
/// the new log has grown past its old position when it wakes. Verdict: as above.
#[tokio::test]
async fn a_topic_made_again_longer_is_read_from_its_start() {
    tokio::join!(made_again("longer", Protocol::Classic, 30, true), made_again("longer", Protocol::Kip848, 30, true));
}

async fn made_again(name: &str, protocol: Protocol, count: usize, stands_still: bool) {
    let sandbox = Sandbox::with_partitions(&format!("made_again_{name}_{}", protocol.as_str()), 1).await;
    let downloader = sandbox.downloader().protocol(protocol).start().await;
    sandbox.produce_copies("old", BEFORE).await;
    sandbox.settled().await;
    sandbox.committed().await;
    if stands_still {
        downloader.pause().await;
    }
    sandbox.recreate_topic().await;
    sandbox.produce_copies("new", count).await;
    if stands_still {
        let offsets = sandbox.kafka().offsets().await.expect("the offsets can be read");
        assert!(offsets[0].high > BEFORE as i64, "the fault is active: {offsets:?}");
        downloader.resume().await;
    }
    eventually("the new log is finished", 2 * PATIENCE, async || sandbox.ledger().settled())
        .evidence("its log", || downloader.logs())
        .await;
    sandbox.committed().await;
    // What was done of the new log before its owner knew that it is one runs again.
    let verdict = sandbox.verdict(count).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, BEFORE + count, "{verdict}");
    assert_eq!(downloader.terminate().await, 0);
}
