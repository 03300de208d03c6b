//! Random schedules of work and faults. The long mode is a program: `--bin chaos`.

use e2e::chaos::{Schedule, of_seed, run, seed};

/// Schedules in every run of the tests.
const SCHEDULES: u64 = 3;

/// Claim: whatever happens in whatever order, the ledger is green. Fault: as the schedules say, whose seed is printed first and
/// replays them (`E2E_SEED`). Verdict: I1 to I7 of each, and that work went on within I6's time.
#[tokio::test(flavor = "multi_thread")]
async fn random_schedules_lose_nothing() {
    let first = seed();
    println!("E2E_SEED={first:#x}");
    let schedules: Vec<_> = (0..SCHEDULES).map(|number| of_seed(first.wrapping_add(number))).collect();
    let running: Vec<_> = schedules.iter().map(|schedule| tokio::spawn(run(schedule.clone()))).collect();
    let mut red = Vec::new();
    for (schedule, run) in schedules.iter().zip(running) {
        match run.await {
            Ok(Ok(report)) => println!("{schedule}\n  {report}"),
            Ok(Err(why)) => red.push(format!("{schedule}\n  {why}")),
            Err(error) => red.push(format!("{schedule}\n  {error}")),
        }
    }
    assert!(red.is_empty(), "E2E_SEED={first:#x}\n{}", red.join("\n"));
}

/// Claim: a schedule in which no fault bit proves nothing, and fails. Fault: none. Verdict: an error that says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_without_a_fault_fails() {
    let nothing = Schedule { steps: Vec::new(), members: 1, ..of_seed(0) };
    let why = run(nothing).await.expect_err("no fault bit");
    assert!(why.contains("no fault bit"), "{why}");
}
