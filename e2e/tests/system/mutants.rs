//! The harness proves itself: consumers that are known to be bad, each by one defect, and the verdict that names what they
//! break. The same consumer without the defect is green in the same scenario.

mod reader;
mod scenarios;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use e2e::ledger::Invariant;
use e2e::naive::Defect;
use futures_util::FutureExt as _;
use scenarios::{Scenario, Who};
use tokio::sync::Semaphore;

/// A machine runs so many sandboxes well.
static TURN: Semaphore = Semaphore::const_new(6);

/// Each defect, who has it where a victim has a successor, what brings it to light, and what it breaks.
const MUTANTS: [(Defect, Who, Scenario, &[Invariant]); Defect::ALL.len()] = {
    use Defect::*;
    use Invariant::*;
    use Who::{Heir, Victim};
    [
        (AutoCommit, Victim, Scenario::KilledAtTheOrigin, &[I1, I3]),
        (CommitPerRecord, Victim, Scenario::KilledAtTheOrigin, &[I1, I3]),
        (MapDropped, Victim, Scenario::KilledAtTheOrigin, &[I4]),
        (MapOffByOne, Victim, Scenario::KilledAtTheOrigin, &[I1, I3]),
        (MapOfAnotherPartition, Victim, Scenario::KilledWithTwoPartitions, &[I1, I3]),
        (MapIgnored, Heir, Scenario::KilledAtTheOrigin, &[I4]),
        (NeverCommits, Victim, Scenario::KilledAtTheOrigin, &[I4]),
        (InnocentCondemned, Heir, Scenario::KilledAtTheOrigin, &[Contract]),
        (CommitBeforeUpload, Victim, Scenario::KilledAtTheStore, &[I1, I3]),
        (ObjectsAfterOutcome, Victim, Scenario::KilledAtTheStore, &[I2]),
        (OriginFetchedAgain, Heir, Scenario::KilledBeforeTheCommit, &[I2, I5]),
        (SendFailureSwallowed, Victim, Scenario::OutcomesRefused, &[I1, I3]),
        (SendFailureBecomesError, Victim, Scenario::OutcomesRefused, &[Contract]),
        (SendTimeoutBecomesError, Victim, Scenario::SendsTimeOut, &[Contract]),
        (RejectedRecordPassed, Victim, Scenario::DeadLettersRefused, &[I1, I3]),
        (StoreFailureBecomesError, Victim, Scenario::StoreRefuses, &[Contract]),
        (ParseErrorSkipped, Victim, Scenario::Undisturbed, &[I1, I3]),
        (OutcomeSentAgain, Victim, Scenario::Undisturbed, &[I4]),
        (ThumbnailOfAnotherTask, Victim, Scenario::Undisturbed, &[I2]),
        (CommitForMovedPartition, Victim, Scenario::PartitionMoves, &[I7]),
        (CommitAfterLoss, Victim, Scenario::ThrownOut, &[I7]),
        (PublishAfterLoss, Victim, Scenario::ThrownOutMidFetch, &[I7]),
        (LowerOffsetIsDuplicate, Victim, Scenario::TopicMadeAgain, &[I1]),
    ]
};

/// Claim: whatever a consumer gets wrong, the verdict is red and names the promise that it breaks. Fault: one defect at a time,
/// in a scenario that brings it to light. Verdict: exactly the promises of the table are broken; without a defect none is, in
/// every scenario. Not seen, since nobody could: objects that come a moment after their outcome, if nobody dies in between,
/// for they carry no time that could be compared; and an outcome that a former owner publishes while its producer might hold it.
#[tokio::test(flavor = "multi_thread")]
async fn every_known_bad_consumer_is_caught() {
    let all: BTreeSet<Defect> = MUTANTS.iter().map(|(defect, ..)| *defect).collect();
    assert_eq!(all, Defect::ALL.into(), "every defect has its row");
    let controls = Scenario::ALL.iter().map(|scenario| (None, *scenario, BTreeSet::new()));
    let mutants = MUTANTS.iter().map(|(defect, who, scenario, broken)| {
        (Some((*defect, *who)), *scenario, broken.iter().copied().collect::<BTreeSet<_>>())
    });
    let mut runs: Vec<_> = mutants.chain(controls).collect();
    // The slowest first.
    runs.sort_by_key(|(_, scenario, _)| std::cmp::Reverse(*scenario));
    let (table, failures) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let runs = runs.into_iter().map(|(defect, scenario, expected)| {
        let (table, failures) = (&table, &failures);
        async move {
            let _turn = TURN.acquire().await.unwrap();
            let verdict = match AssertUnwindSafe(scenario.run(defect)).catch_unwind().await {
                Ok(verdict) => verdict,
                Err(_panic) => {
                    failures.lock().unwrap().push(format!("{defect:?} in {scenario:?} came to no verdict: see above"));
                    return;
                }
            };
            let row = (defect.map(|(defect, _)| defect), scenario, verdict.broken());
            if row.2 != expected {
                let expected = named(&expected);
                failures.lock().unwrap().push(format!("{row:?}, expected {expected}\n{verdict}"));
            }
            table.lock().unwrap().push(row);
        }
    });
    futures_util::future::join_all(runs).await;
    let mut table = table.into_inner().unwrap();
    table.sort_by_key(|(defect, scenario, _)| (*defect, *scenario));
    let mut text = format!("{:24} | {:24} | broken\n", "defect", "caught by");
    for (defect, scenario, broken) in &table {
        let defect = defect.map_or("none".to_owned(), |defect| format!("{defect:?}"));
        writeln!(text, "{defect:24} | {:24} | {}", format!("{scenario:?}"), named(broken)).unwrap();
    }
    println!("{text}");
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn named(broken: &BTreeSet<Invariant>) -> String {
    match broken.iter().map(ToString::to_string).collect::<Vec<_>>() {
        none if none.is_empty() => "none".to_owned(),
        broken => broken.join(", "),
    }
}
