//! A record that kills every process that works on it.

use downloader::task::Task;
use e2e::embedded::Child;
use e2e::expect::{PATIENCE, eventually};
use e2e::fixtures;
use e2e::kafka::Headers;
use e2e::ledger::{Expected, Verdict};

use crate::{MEMORY_MAX, World, downloader, produce, world};

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
