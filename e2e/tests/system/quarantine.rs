//! A picture that takes all memory there is, in containers that have only so much.

use e2e::downloader::Downloader;
use e2e::expect::{PATIENCE, eventually};
use e2e::fixtures;
use e2e::ledger::Verdict;
use e2e::sandbox::Sandbox;

/// An owner that finds this many unclean ends works carefully, in children.
const DEATHS_MAX: usize = 2;
/// Less than the budgets allow, so that a child's own limit has to follow the container's.
const MEMORY_MIB: i64 = 192;

/// Claim: a picture for which the kernel kills whoever decodes it is put aside at the price of two processes. Fault: with the image
/// for tests, one that allocates until it is killed, among honest ones; a supervisor starts another container each time.
/// Verdict: the kernel killed for want of memory; the record is in the dead letters as quarantined, with an `Error`; everything
/// else is `Ok`, what came meanwhile included.
#[tokio::test]
async fn a_picture_that_takes_all_memory_is_condemned() {
    let sandbox = Sandbox::start("all_memory").await;
    let start = || sandbox.downloader().with_failpoints().memory_mib(MEMORY_MIB).start();
    sandbox.produce_copies("before", 8).await;
    let deadly = [&fixtures::image_bytes("grey.jpg").unwrap()[..], b"failpoint:allocate"].concat();
    let url = sandbox.origin().serve("/deadly.jpg", deadly);
    sandbox.produce_expecting_quarantine(url.as_str()).await;
    sandbox.produce_copies("behind", 8).await;

    let mut lives: Vec<Downloader> = vec![start().await];
    lives[0].logs_line("pictures alone may take all of the container's memory").await;
    let mut later = 0;
    eventually("every record is finished", 4 * PATIENCE, async || {
        let last = lives.last().expect("invariant: one was started");
        if let Some(code) = last.container().exit_code().await {
            assert_eq!(code, 137, "it was not killed\n{}", last.logs().await);
            lives.push(start().await);
            sandbox.produce_copies(&format!("later{later}"), 4).await;
            later += 1;
        }
        sandbox.ledger().settled()
    })
    .await;
    let deaths = lives.len() - 1;
    assert!((1..=DEATHS_MAX).contains(&deaths), "{deaths} deaths");
    // The engine hears of the kernel's reason by a way of its own, now and then only after the end.
    let mut reasons = Vec::new();
    for life in &lives {
        reasons.push(life.container().ran_out_of_memory().await);
    }
    assert!(reasons.contains(&true), "nobody ran out of memory");
    sandbox.committed().await;
    let verdict = sandbox.verdict(Verdict::rerun_bound(256, deaths)).await;
    verdict.assert_green();
    assert_eq!(verdict.errors.get("quarantined"), Some(&1), "{verdict}");
    assert_eq!(verdict.ok, 16 + 4 * deaths, "{verdict}");
    assert_eq!(lives.last().expect("invariant: one was started").terminate().await, 0);
}
