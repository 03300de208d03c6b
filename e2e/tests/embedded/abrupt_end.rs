//! SIGKILL from outside, and what the next process finds. The ring's longest test is here, and begins first: by its name.

use std::time::Duration;

use e2e::expect::{PATIENCE, eventually};
use e2e::ledger::{Subject, Verdict};
use e2e::origin::Fault;

use crate::{MEMORY_MAX, downloader, ok, produce, world};

/// Claim: SIGKILL in the middle of a fetch loses nothing. Fault: the origin holds the answer open, before it begins and
/// in its body, so the kill lands there by construction. Verdict: the heir finishes everything; the held tasks are
/// rerun, and no more than the bound.
#[tokio::test]
async fn killed_mid_fetch_the_heir_finishes_everything() {
    let world = world().await;
    let mut victim = downloader(&world, &[]);
    let (first, before) = world.origin.hold("/before.jpg");
    let (second, inside) = world.origin.hold_after("/inside.jpg", 1000);
    world.produce(1, first, ok(&world, "/before.jpg")).await.unwrap();
    world.produce(2, second, ok(&world, "/inside.jpg")).await.unwrap();
    produce(&world, 3..23).await;
    before.reached().await;
    inside.reached().await;
    eventually("some outcomes are written", PATIENCE, async || match world.ledger.progress().0 {
        10.. => Ok(()),
        few => Err(format!("{few}")),
    })
    .await;
    let status = victim.kill().await.unwrap();
    assert_eq!(status.code(), None, "it was to die of a signal");
    drop((before, inside));
    let heir = downloader(&world, &[]);
    world.settled(|| heir.log_tail()).await;
    world.all_committed().await;
    let verdict = world.verdict(Some(Verdict::rerun_bound(256, 1))).await.unwrap();
    verdict.assert_green();
    for id in [1, 2] {
        assert!(
            verdict.rerun.contains_key(&Subject::Task(id)),
            "the kill did not land in the fetch of {id}: {verdict}"
        );
    }
}

/// Kills the downloader from outside every two seconds for so long, while each task takes four.
async fn killed_from_outside(kills: usize) {
    let world = world().await;
    for id in 1..31 {
        let path = format!("/n/{id}/grey.jpg");
        let bytes = world.origin.body(&path).unwrap().len();
        let every = Duration::from_secs(4) / 4;
        let url = world.origin.fault(&path, Fault::Drip { piece: bytes.div_ceil(4), every });
        world.produce(id, url, ok(&world, &path)).await.unwrap();
    }
    // All of them at once, or the last downloader would need many times four seconds.
    let at_once = [("FETCH_PER_HOST_MAX", "32")];
    for _ in 0..kills {
        let mut child = downloader(&world, &at_once);
        child.limit_memory(MEMORY_MAX).unwrap();
        let age = std::time::Instant::now();
        eventually("two seconds of life", PATIENCE, async || match age.elapsed() {
            lived if lived >= Duration::from_secs(2) => Ok(()),
            lived => Err(format!("{lived:?}")),
        })
        .await;
        assert!(child.has_ended().is_none(), "it ended by itself\n{}", child.log_tail());
        child.kill().await.unwrap();
    }
    let child = downloader(&world, &at_once);
    eventually("every record is finished", 20 * PATIENCE, async || world.ledger.settled())
        .evidence("downloader", || async { child.log_tail() })
        .await;
    let verdict = world.verdict(Some(Verdict::rerun_bound(256, kills))).await.unwrap();
    verdict.assert_green();
    assert_eq!((verdict.ok, verdict.errors.len()), (30, 0), "{verdict}");
}

/// Claim: kills from outside condemn nobody. Fault: SIGKILL every two seconds, tasks take four. Verdict: once it stops,
/// everything settles, and everything is `Ok`.
#[tokio::test(flavor = "multi_thread")]
async fn kills_from_outside_condemn_nobody() {
    killed_from_outside(8).await;
}

/// As above, for two minutes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long mode: takes two minutes and more"]
async fn kills_from_outside_for_two_minutes_condemn_nobody() {
    killed_from_outside(60).await;
}
