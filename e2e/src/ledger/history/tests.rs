//! Each kind of dishonest commit, unjustified rerun and late outcome is red and named; the honest ones are green.

use downloader::error::Code;
use downloader::progress::{LogId, Note};
use downloader::task::{Outcome, Task};

use crate::expect::unix_ms;
use crate::kafka::{CommitRecord, GroupCommit, OutcomeRecord, PartitionOffsets};
use crate::ledger::{Expected, Invariant, Ledger, Place, Subject, Verdict};

const PARTITION: i32 = 2;
const LAST: i64 = 4;
const VICTIM: u64 = 0xa;
const HEIR: u64 = 0xb;

/// Five records at offsets 0 to 4 with ids 10 to 14; time is counted in milliseconds since they were produced.
struct Run {
    ledger: Ledger,
    start_ms: i64,
}

fn run() -> Run {
    let ledger = Ledger::new(None);
    for offset in 0..=LAST {
        let correlation_id = 10 + offset.unsigned_abs();
        let task = Task {
            correlation_id,
            url: format!("http://127.0.0.1:1/{correlation_id}"),
            target_path: format!("originals/{correlation_id}"),
            target_thumbnail_path: format!("thumbnails/{correlation_id}"),
        };
        ledger.produced_task(
            task,
            Some(Place { partition: PARTITION, offset }),
            Expected::Error("total_timeout".into()),
        );
    }
    ledger.saw_offsets(vec![PartitionOffsets { partition: PARTITION, committed: None, low: 0, high: LAST + 1 }]);
    Run { ledger, start_ms: unix_ms() }
}

impl Run {
    /// The process `run` publishes the outcome of the record at `offset`.
    fn outcome(&self, run: u64, offset: i64, at_ms: i64) {
        let text = |name: &str, value: String| (name.to_owned(), Some(value.into_bytes()));
        self.ledger.saw_outcome(OutcomeRecord {
            outcome: Outcome::error(10 + offset.unsigned_abs(), 1, Code::TotalTimeout, false),
            key: None,
            headers: vec![
                text("source.partition", PARTITION.to_string()),
                text("source.offset", offset.to_string()),
                text("source.run_id", format!("{run:016x}")),
            ],
            place: Place { partition: 0, offset: 0 },
            at_ms: Some(self.start_ms + at_ms),
        });
    }

    /// The process `run` commits that of `next_offset..end` only `unfinished` is left.
    fn commit(&self, run_id: u64, next_offset: i64, unfinished: &[i64], end: i64, at_ms: i64) {
        self.commit_of(None, run_id, (next_offset, unfinished, end), at_ms);
    }

    /// The same of the log with this id.
    fn commit_of(&self, log: Option<u64>, run_id: u64, (next_offset, unfinished, end): (i64, &[i64], i64), at_ms: i64) {
        let (fence, limit, unfinished) = (next_offset, next_offset + 9, unfinished.to_vec());
        let log_id = log.map(LogId);
        let note = Note { run_id, open: true, strikes: 0, fence, limit, anchor_ms: None, end, unfinished, log_id };
        self.record(Some(next_offset), Ok(Some(note)), at_ms);
    }

    fn record(&self, next_offset: Option<i64>, note: Result<Option<Note>, downloader::progress::Distrust>, at_ms: i64) {
        let (metadata, at_ms) = (Vec::new(), self.start_ms + at_ms);
        self.ledger.saw_commit(CommitRecord { partition: PARTITION, next_offset, metadata, note, at_ms });
    }

    fn fetched(&self, offset: i64, at_ms: &[i64]) {
        let times = at_ms.iter().map(|at_ms| self.start_ms + at_ms).collect();
        self.ledger.saw_request_times([(format!("/{}", 10 + offset), times)].into());
    }

    fn finish_all(&self, at_ms: i64) {
        (0..=LAST).for_each(|offset| self.outcome(VICTIM, offset, at_ms));
    }

    fn verdict(&self) -> Verdict {
        self.ledger.verdict(None)
    }

    #[track_caller]
    fn lies(&self, expected: &[u64]) {
        let verdict = self.verdict();
        let named: Vec<_> = verdict.lies.iter().flat_map(|lie| lie.subjects.iter().copied()).collect();
        assert_eq!(named, expected.iter().map(|id| Subject::Task(*id)).collect::<Vec<_>>(), "{verdict}");
        assert!(
            !verdict.is_green() && verdict.to_string().contains("I3 broken: 000000000000000a committed"),
            "{verdict}"
        );
    }
}

#[test]
fn commits_that_say_what_is_true_are_green() {
    let run = run();
    run.commit(VICTIM, 0, &[], 0, 1);
    run.outcome(VICTIM, 0, 10);
    run.outcome(VICTIM, 2, 10);
    run.commit(VICTIM, 1, &[1], 3, 10);
    for offset in [1, 3, 4] {
        run.outcome(VICTIM, offset, 20);
    }
    run.commit(VICTIM, 5, &[], 5, 21);
    let verdict = run.verdict();
    verdict.assert_green();
    assert_eq!((verdict.commits_seen, verdict.writers), (3, 1), "{verdict}");
}

#[test]
fn a_commit_before_the_outcome_is_a_lie_though_the_outcome_comes() {
    let run = run();
    run.commit(VICTIM, 2, &[], 2, 10);
    run.outcome(VICTIM, 0, 9);
    run.outcome(VICTIM, 1, 11);
    run.lies(&[11]);
}

#[test]
fn a_map_that_is_off_by_one_is_a_lie() {
    let run = run();
    run.outcome(VICTIM, 2, 5);
    run.commit(VICTIM, 0, &[0, 2], 4, 10);
    run.lies(&[11, 13]);
}

#[test]
fn a_record_that_came_after_the_commit_was_not_lied_about() {
    let run = run();
    run.commit(VICTIM, 5, &[], 5, -1_000);
    assert!(run.verdict().lies.is_empty(), "{}", run.verdict());
}

#[test]
fn what_a_tool_commits_is_nobodys_lie() {
    let run = run();
    run.ledger.commits_itself(GroupCommit { partition: PARTITION, offset: 3, metadata: String::new() });
    run.record(Some(3), Ok(None), 5);
    assert!(run.verdict().lies.is_empty(), "{}", run.verdict());
    run.record(Some(2), Ok(None), 6);
    let verdict = run.verdict();
    assert_eq!(verdict.lies.len(), 1, "{verdict}");
    assert_eq!((verdict.lies[0].writer, verdict.lies[0].next_offset), (None, 2), "{verdict}");
}

#[test]
fn what_was_deleted_first_is_expired_and_not_lost() {
    let run = run();
    run.ledger.deleted_below(Place { partition: PARTITION, offset: 2 });
    run.commit(VICTIM, 2, &[], 2, 10_000);
    for offset in 2..=LAST {
        run.outcome(VICTIM, offset, 5);
    }
    let verdict = run.verdict();
    verdict.assert_green();
    assert_eq!(verdict.expired, [Subject::Task(10), Subject::Task(11)].into(), "{verdict}");
    assert_eq!(run.ledger.settled(), Ok(()), "nobody waits for them");
}

#[test]
fn a_commit_after_the_topic_was_made_again_lies_unless_it_names_the_old_log() {
    for (named, lies) in [(Some(1), false), (Some(2), true), (None, true)] {
        let run = run();
        run.commit_of(Some(1), VICTIM, (0, &[], 0), -10);
        run.ledger.topic_deleted();
        let task = Task {
            correlation_id: 99,
            url: "http://127.0.0.1:1/99".into(),
            target_path: "originals/99".into(),
            target_thumbnail_path: "thumbnails/99".into(),
        };
        let place = Place { partition: PARTITION, offset: 0 };
        run.ledger.produced_task(task, Some(place), Expected::Error("total_timeout".into()));
        run.commit_of(named, VICTIM, (4, &[], 4), 10_000);
        if lies {
            run.lies(&[99]);
        } else {
            assert!(run.verdict().lies.is_empty(), "nobody would believe it\n{}", run.verdict());
        }
    }
}

#[test]
fn outcomes_of_the_old_log_stay_with_its_records() {
    let run = run();
    run.finish_all(5);
    run.ledger.topic_deleted();
    let task = Task {
        correlation_id: 99,
        url: "http://127.0.0.1:1/99".into(),
        target_path: "originals/99".into(),
        target_thumbnail_path: "thumbnails/99".into(),
    };
    let place = Place { partition: PARTITION, offset: 0 };
    run.ledger.produced_task(task, Some(place), Expected::Error("total_timeout".into()));
    let verdict = run.verdict();
    assert_eq!((verdict.lost, verdict.expired), ([Subject::Task(99)].into(), [].into()));
}

#[test]
fn a_successor_may_run_what_the_last_commit_left_open() {
    let run = run();
    run.finish_all(10);
    run.commit(VICTIM, 1, &[1], 3, 20);
    run.fetched(3, &[5, 40]);
    run.commit(HEIR, 1, &[1], 3, 30);
    run.verdict().assert_green();
}

#[test]
fn a_successor_may_not_run_what_the_last_commit_closed() {
    for offset in [0, 2] {
        let run = run();
        run.finish_all(10);
        run.commit(VICTIM, 1, &[1], 3, 20);
        run.fetched(offset, &[5, 40]);
        run.commit(HEIR, 1, &[1], 3, 30);
        let verdict = run.verdict();
        assert_eq!(verdict.rerun_recorded, [Subject::Task(10 + offset.unsigned_abs())].into(), "{verdict}");
        assert!(!verdict.is_green() && verdict.to_string().contains("I4 broken: 1 run again"), "{verdict}");
    }
}

#[test]
fn a_retry_by_the_same_owner_is_no_rerun() {
    let run = run();
    run.finish_all(10);
    run.commit(VICTIM, 0, &[], 0, 4);
    run.fetched(0, &[5, 6]);
    run.commit(VICTIM, 5, &[], 5, 20);
    run.verdict().assert_green();
}

#[test]
fn a_reset_opens_everything_again() {
    for reset in [Some(0), None, Some(LAST + 9)] {
        let run = run();
        run.finish_all(10);
        run.commit(VICTIM, 5, &[], 5, 20);
        if let Some(offset) = reset {
            run.ledger.commits_itself(GroupCommit { partition: PARTITION, offset, metadata: String::new() });
        }
        run.record(reset, Ok(None), 25);
        run.fetched(0, &[5, 40]);
        run.commit(HEIR, 0, &[], 0, 30);
        run.verdict().assert_green();
    }
}

#[test]
fn a_former_owner_may_publish_what_its_producer_held_and_no_more() {
    for (at_ms, late) in [(14_000, false), (16_000, true)] {
        let run = run();
        run.commit(VICTIM, 0, &[], 0, 0);
        run.commit(HEIR, 0, &[], 0, 1);
        run.finish_all(at_ms);
        let verdict = run.verdict();
        assert_eq!(verdict.late.len(), if late { 5 } else { 0 }, "{verdict}");
        assert_eq!(verdict.is_green(), !late, "{verdict}");
    }
}

#[test]
fn an_owner_that_got_the_partition_back_may_publish() {
    let run = run();
    run.commit(VICTIM, 0, &[], 0, 0);
    run.commit(HEIR, 0, &[], 0, 1);
    run.commit(VICTIM, 0, &[], 0, 15_000);
    run.finish_all(16_500);
    run.verdict().assert_green();
}

/// The first owner commits what `said` says after its successor has finished and committed everything.
fn said_by_a_former_owner(said: (i64, &[i64], i64)) -> Verdict {
    let run = run();
    run.commit(VICTIM, 0, &[], 0, 0);
    run.finish_all(1);
    run.commit(HEIR, 0, &[], 0, 2);
    run.commit(HEIR, LAST + 1, &[], LAST + 1, 3);
    run.commit(VICTIM, said.0, said.1, said.2, 4);
    run.verdict()
}

#[test]
fn a_former_owners_commit_may_not_open_what_its_successor_closed() {
    let verdict = said_by_a_former_owner((2, &[2, 4], 5));
    assert_eq!(verdict.set_back, [Subject::Task(12), Subject::Task(14)].into(), "{verdict}");
    assert_eq!(verdict.broken(), [Invariant::I7].into(), "{verdict}");
    assert!(verdict.to_string().contains("I7 broken: 2 opened again by a former owner's commit: 12 14"), "{verdict}");
}

#[test]
fn an_owner_that_goes_on_from_what_it_found_sets_nothing_back() {
    said_by_a_former_owner((LAST + 1, &[], LAST + 1)).assert_green();
}

#[test]
fn a_newcomer_that_believes_nothing_and_an_owner_that_repeats_itself_set_nothing_back() {
    let run = run();
    run.finish_all(1);
    run.commit(VICTIM, 5, &[], 5, 2);
    run.commit(HEIR, 0, &[], 0, 3);
    run.commit(HEIR, 3, &[], 3, 4);
    run.commit(HEIR, 1, &[], 1, 5);
    assert!(run.verdict().set_back.is_empty(), "{}", run.verdict());
}

#[test]
fn what_a_tool_said_may_be_said_again_otherwise() {
    let run = run();
    run.finish_all(1);
    run.commit(VICTIM, 1, &[], 1, 2);
    run.ledger.commits_itself(GroupCommit { partition: PARTITION, offset: 3, metadata: String::new() });
    run.commit(HEIR, 3, &[], 3, 3);
    run.commit(VICTIM, 1, &[], 1, 4);
    assert!(run.verdict().set_back.is_empty(), "{}", run.verdict());
}
