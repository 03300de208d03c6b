//! A record that kills every process that works on it, and kills that no record is to blame for.

use std::time::Duration;

use downloader::task::Task;
use e2e::embedded::Child;
use e2e::expect::{PATIENCE, eventually};
use e2e::fixtures;
use e2e::kafka::Headers;
use e2e::ledger::{Expected, Verdict};
use e2e::origin::Fault;

use crate::{World, downloader, ok, produce, world};

/// More than an honest picture needs, and enough for a child's own limit to be the lower one.
const MEMORY_MAX: u64 = 1 << 30;
/// An owner that finds this many unclean ends works carefully.
const DEATHS_MAX: usize = 2;

/// Writes a task whose picture ends the process that decodes it.
async fn produce_killer(world: &World, id: u64, how: &str) {
    let bytes = [&fixtures::image_bytes("grey.jpg").unwrap()[..], b"failpoint:", how.as_bytes()].concat();
    let task = Task {
        correlation_id: id,
        url: world.origin.serve(&format!("/{how}.jpg"), bytes).into(),
        target_path: format!("originals/{id}"),
        target_thumbnail_path: format!("thumbnails/{id}"),
    };
    let expected = Expected::DeadLetter {
        code: "quarantined".into(),
        correlation_id: Some(id),
        payload: Some(serde_json::to_vec(&task).unwrap()),
        key: Some(id.to_string().into_bytes()),
        headers: Headers::new(),
    };
    let place = world.kafka.produce_task(&task, &Headers::new()).await.unwrap();
    world.ledger.produced_task(task, Some(place), expected);
}

/// Restarts the downloader whenever it dies, as a supervisor does, until every record is finished; how often it died.
async fn supervised(world: &World) -> (Child, usize) {
    let start = || {
        let child = downloader(world, &[]);
        child.limit_memory(MEMORY_MAX).unwrap();
        child
    };
    let (mut child, mut deaths) = (start(), 0);
    let (mut next_id, log) = (1_000, std::sync::Mutex::new(String::new()));
    eventually("every record is finished", 3 * PATIENCE, async || {
        if let Some(status) = child.has_ended() {
            *log.lock().unwrap() += &format!("\n--- {status}\n{}", child.log_tail());
            child = start();
            deaths += 1;
            // New records keep arriving.
            produce(world, next_id..next_id + 5).await;
            next_id += 5;
        }
        world.ledger.settled().map_err(|open| format!("{open} after {deaths} deaths"))
    })
    .evidence("downloaders", || async { log.lock().unwrap().clone() })
    .await;
    (child, deaths)
}

/// Claim: a record that kills its process every time is found and put aside, at the price of two processes. Fault: three of
/// them, each killing in its own way, among honest ones; new records keep arriving. Verdict: at most two deaths; each is in
/// the dead letters with an `Error`, everything else is `Ok`.
#[tokio::test(flavor = "multi_thread")]
async fn what_kills_two_processes_is_condemned_and_nothing_else() {
    let world = world().await;
    produce(&world, 1..11).await;
    for (id, how) in [(100, "abort"), (101, "overflow"), (102, "allocate")] {
        produce_killer(&world, id, how).await;
    }
    produce(&world, 11..21).await;
    let (mut child, deaths) = supervised(&world).await;
    assert!((1..=DEATHS_MAX).contains(&deaths), "{deaths} deaths\n{}", child.log_tail());
    world.all_committed().await;
    let verdict = world.verdict(Some(Verdict::rerun_bound(256, deaths))).await.unwrap();
    verdict.assert_green();
    assert_eq!(verdict.errors.get("quarantined"), Some(&3), "{verdict}");
    assert_eq!(verdict.errors.len(), 1, "{verdict}");
    child.terminate().unwrap();
    assert_eq!(child.ended().await.unwrap().code(), Some(0), "{}", child.log_tail());
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
