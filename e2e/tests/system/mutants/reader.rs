//! A known-bad reader of outcomes, beside the real one.

use std::collections::BTreeMap;

use downloader::error::Code;
use downloader::task::{Outcome, Picture, Res};
use e2e::kafka::Record;
use e2e::management::Management;
use e2e::sandbox::Sandbox;

/// What a reader holds of each task: its result and, of an `Error`, its code.
type Held = BTreeMap<u64, (String, Option<String>)>;

/// Reads outcomes in their order as one would without the reader's rule: the last one wins.
fn last_one_wins(outcomes: &[Outcome]) -> Held {
    outcomes.iter().map(held).collect()
}

/// The reader's rule.
fn by_the_rule(outcomes: &[Outcome]) -> Held {
    let mut standing = BTreeMap::<u64, &Outcome>::new();
    for outcome in outcomes {
        let held = standing.entry(outcome.correlation_id).or_insert(outcome);
        if outcome.replaces(held) {
            *held = outcome;
        }
    }
    standing.into_values().map(held).collect()
}

fn held(outcome: &Outcome) -> (u64, (String, Option<String>)) {
    let res = match outcome.res {
        Res::Ok => "Ok",
        Res::Error => "Error",
    };
    (outcome.correlation_id, (res.to_owned(), outcome.code.clone()))
}

/// What management shows of these tasks.
async fn shown(management: &Management, ids: &[u64]) -> Held {
    let mut shown = Held::new();
    for id in ids {
        let outcome = management.task(*id).await.outcome.unwrap_or_else(|| panic!("task {id} has no outcome"));
        shown.insert(*id, (outcome.res, outcome.code));
    }
    shown
}

fn ok(id: u64) -> Outcome {
    let picture = Picture {
        source_bytes: 1,
        source_sha256: "0".repeat(64),
        width: 1,
        height: 1,
        content_type: "image/png".into(),
        thumbnail_bytes: 1,
        thumbnail_sha256: "1".repeat(64),
        thumbnail_width: 1,
        thumbnail_height: 1,
    };
    Outcome::ok(id, 1, picture)
}

fn error(id: u64, code: Code) -> Outcome {
    Outcome::error(id, 1, code, false)
}

/// Claim: a reader for whom the last outcome wins is found out, and management is none. Fault: an `Ok` is followed by an
/// `Error` of the same task, an `Error` by an `Ok`, an `Error` by another. Verdict: management shows what the reader's rule
/// says of the outcomes in the topic, the `Ok`s and the first `Error`; the naive reader holds something else of two tasks.
#[tokio::test]
async fn a_reader_for_whom_the_last_outcome_wins_is_caught() {
    let sandbox = Sandbox::start("mutant_reader").await;
    let management = sandbox.start_management().await;
    let url = sandbox.origin().url("/seeding.jpg");
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(management.submit(&url).await);
    }
    let [flipped, mended, failed, last] = ids[..] else { unreachable!("four were submitted") };
    let written = [
        ok(flipped),
        error(flipped, Code::TotalTimeout),
        error(mended, Code::TotalTimeout),
        ok(mended),
        error(failed, Code::ConnectFailed),
        error(failed, Code::TotalTimeout),
        ok(last),
    ];
    for outcome in &written {
        // All to one partition, so that they are read in this order.
        sandbox.kafka().produce_outcome_to(0, outcome).await.expect("the broker takes it");
    }
    management.reached(last, "ok").await;
    let records = sandbox.kafka().read(&sandbox.kafka().names().outcomes).await.expect("the topic can be read");
    let read = |record: &Record| serde_json::from_slice(record.payload.as_deref()?).ok();
    let outcomes: Vec<Outcome> = records.iter().filter_map(read).collect();
    assert_eq!(outcomes, written);
    let shown = shown(&management, &ids).await;
    assert_eq!(shown[&flipped], ("Ok".to_owned(), None), "an Ok is final");
    assert_eq!(shown, by_the_rule(&outcomes));
    let naive = last_one_wins(&outcomes);
    let differs: Vec<_> = ids.iter().filter(|id| naive[id] != shown[id]).copied().collect();
    assert_eq!(differs, [flipped, failed], "of these the naive reader holds {naive:?}");
}
