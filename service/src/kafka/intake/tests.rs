#[cfg(feature = "shuttle")]
mod interleavings;

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::kafka::commit;
use crate::progress::{COMMIT_EARLY_AT, START_NOTHING_AT};

const PARALLEL: usize = 8;

/// An intake that owns these partitions, claimed by an acknowledged commit.
fn owning(partitions: &[i32]) -> Arc<Intake> {
    let progress = Progress::new("g", "t", 1, Duration::from_secs(20));
    let (commits, requests) = commit::channel();
    // Nobody serves the requests here; the other end must live all the same.
    std::mem::forget(requests);
    let intake = Arc::new(Intake::new(progress, PARALLEL, commits, Metrics::unexported()));
    intake.assigned(partitions);
    for (partition, epoch) in intake.opening() {
        assert_eq!(intake.opened(partition, epoch, &Found::default()), Some(0));
    }
    acknowledge(&intake);
    intake
}

fn acknowledge(intake: &Intake) {
    intake.committed(&intake.commits(true), Instant::now());
}

fn record(partition: i32, offset: i64) -> Delivery {
    task(partition, offset, "a.example")
}

fn task(partition: i32, offset: i64, host: &str) -> Delivery {
    let payload = format!(
        r#"{{"correlation_id": 1, "url": "http://{host}/", "target_path": "o", "target_thumbnail_path": "t"}}"#
    );
    Delivery::new(Some(payload.into_bytes()), None, None, Some(offset), (partition, offset))
}

fn receive(intake: &Intake, delivery: Delivery) {
    assert!(intake.received(delivery), "of the log that was opened");
}

fn take(intake: &Arc<Intake>) -> Option<Delivery> {
    intake.next(1).now_or_never().flatten()?.pop()
}

#[test]
fn an_identity_tells_records_apart_and_a_recreated_topics_too() {
    let (one, other) = (record(3, 42), record(3, 43));
    assert_eq!(one.identity("urls_new").as_str(), "urls_new/3/42/42");
    assert_eq!(record(3, 42).identity("urls_new"), one.identity("urls_new"));
    assert_ne!(other.identity("urls_new"), one.identity("urls_new"));
    let later = Delivery { timestamp_ms: Some(1_763_856_000_000), ..record(3, 42) };
    assert_ne!(later.identity("urls_new"), one.identity("urls_new"));
    let undated = Delivery { timestamp_ms: None, ..record(3, 42) };
    assert_eq!(undated.identity("urls_new").as_str(), "urls_new/3/42/");
}

#[test]
fn nothing_starts_before_a_commit_has_claimed_the_partition() {
    let intake = owning(&[]);
    intake.assigned(&[0]);
    receive(&intake, record(0, 0));
    let (partition, epoch) = intake.opening().remove(0);
    intake.opened(partition, epoch, &Found::default());
    assert!(take(&intake).is_none(), "what came before it was open is read again");
    receive(&intake, record(0, 0));
    assert!(take(&intake).is_none(), "not claimed");
    acknowledge(&intake);
    assert_eq!(take(&intake).expect("claimed").ticket.offset, 0);
}

#[tokio::test]
async fn nothing_is_handed_to_the_producer_after_the_partition_ended() {
    let intake = owning(&[0]);
    receive(&intake, record(0, 0));
    let delivery = take(&intake).expect("waiting");
    assert!(delivery.leased().now_or_never().is_some());
    intake.revoked(&[0]);
    assert!(delivery.leased().now_or_never().is_none());
}

#[test]
fn one_partitions_backlog_does_not_starve_another() {
    let intake = owning(&[0, 1, 2]);
    (0..100).for_each(|offset| receive(&intake, record(0, offset)));
    receive(&intake, record(2, 3));
    let order: Vec<i32> = (0..3).map(|_| take(&intake).expect("waiting").ticket.partition).collect();
    assert!(order.contains(&2), "{order:?}");
}

#[test]
fn a_busy_server_holds_half_of_the_tasks_and_its_records_stand_aside() {
    let intake = owning(&[0]);
    (0..7).for_each(|offset| receive(&intake, task(0, offset, "slow.example")));
    (7..9).for_each(|offset| receive(&intake, task(0, offset, "other.example")));
    let mut running = Vec::new();
    while running.len() < PARALLEL / 2 + 3 {
        running.push(take(&intake).expect("waiting"));
        acknowledge(&intake);
    }
    let offsets: Vec<i64> = running.iter().map(|delivery| delivery.ticket.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 7, 8]);
    assert!(take(&intake).is_none(), "the rest waits for the slow server");
    running.remove(0);
    assert_eq!(take(&intake).expect("one of its tasks ended").ticket.offset, 5, "in their order");
}

#[test]
fn a_revoked_partition_cancels_its_tasks_and_finishes_nothing_more() {
    let intake = owning(&[0]);
    receive(&intake, record(0, 10));
    receive(&intake, record(0, 11));
    acknowledge(&intake);
    let started = take(&intake).expect("waiting");
    let closing = intake.revoked(&[0]);
    assert!(started.ended.is_cancelled());
    assert!(take(&intake).is_none(), "what waited is somebody else's");
    assert_eq!(closing.first().map(|commit| commit.next_offset), Some(10), "10 was not finished");
    intake.finished(started);
    assert_eq!(intake.commits(true), []);
    assert_eq!(intake.oldest_written_ms(), None);
}

#[test]
fn a_recreated_topic_is_read_from_its_start() {
    let intake = owning(&[0]);
    receive(&intake, record(0, 99));
    acknowledge(&intake);
    let old = take(&intake).expect("waiting");
    receive(&intake, record(0, 0));
    assert!(old.ended.is_cancelled());
    assert!(take(&intake).is_none(), "the new log has not been claimed");
    acknowledge(&intake);
    let new = take(&intake).expect("the first record of the new log");
    intake.finished(old);
    assert_eq!(new.ticket.offset, 0);
    assert_eq!(intake.commits(true).first().map(|commit| commit.next_offset), Some(0));
}

#[test]
fn a_recreated_topic_with_an_id_is_opened_again() {
    let intake = owning(&[]);
    intake.assigned(&[0]);
    let open = |id| {
        let (partition, epoch) = intake.opening().remove(0);
        intake.opened(partition, epoch, &Found { log_id: Some(LogId(id)), ..Found::default() });
        acknowledge(&intake);
    };
    open(1);
    receive(&intake, record(0, 99));
    acknowledge(&intake);
    let old = take(&intake).expect("waiting");
    assert_eq!(intake.of_another_log(LogId(1)), []);
    assert!(!intake.received(record(0, 0)), "to be paused");
    assert!(old.ended.is_cancelled());
    open(2);
    receive(&intake, record(0, 0));
    assert_eq!(take(&intake).expect("claimed").ticket.offset, 0);
    assert_eq!(intake.of_another_log(LogId(3)).len(), 1);
}

#[test]
fn nothing_starts_while_too_much_is_finished_and_uncommitted() {
    // As many partitions as it takes: each may start only what its last commit announced.
    let partitions: Vec<i32> = (0..).take(START_NOTHING_AT).collect();
    let intake = owning(&partitions);
    for partition in partitions {
        (0..2).for_each(|offset| receive(&intake, record(partition, offset)));
    }
    let mut finished = 0;
    while let Some(delivery) = take(&intake) {
        let partition = delivery.ticket.partition;
        intake.finished(delivery);
        finished += 1;
        assert_eq!(intake.lock().progress.wants_commit(partition), finished >= COMMIT_EARLY_AT);
    }
    assert_eq!(finished, START_NOTHING_AT);
    acknowledge(&intake);
    assert!(take(&intake).is_some(), "the commit was acknowledged");
}

#[test]
fn a_long_backlog_pauses_its_partition_and_a_short_one_resumes_it() {
    let intake = owning(&[0, 1]);
    for offset in 0..i64::try_from(WAITING_RECORDS_MAX).expect("small") {
        receive(&intake, record(0, offset));
    }
    assert_eq!(intake.pressure(), (vec![0], vec![]));
    assert_eq!(intake.pressure(), (vec![], vec![]), "said once");
    assert_eq!(intake.sizes().paused, 1);
    while let Some(delivery) = take(&intake) {
        intake.finished(delivery);
        acknowledge(&intake);
    }
    assert_eq!(intake.pressure(), (vec![], vec![0]));
}

#[test]
fn lag_counts_what_is_unread_and_what_is_unfinished() {
    let intake = owning(&[0]);
    receive(&intake, record(0, 5));
    intake.log_bounds([(0, 0, 10)].into_iter());
    assert_eq!(intake.lag(), Some(5), "four unread and one unfinished");
}

#[test]
fn a_jump_is_counted_as_loss_only_where_the_log_begins_later() {
    let intake = owning(&[0, 1]);
    let expired = || {
        let text = intake.metrics.render();
        let line = text.lines().find(|line| line.starts_with("downloader_records_expired_total ")).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    receive(&intake, record(0, 10));
    intake.log_bounds([(0, 0, 20)].into_iter());
    assert_eq!(expired(), 0, "never there: markers, or compacted away");
    receive(&intake, record(1, 10));
    intake.log_bounds([(1, 4, 20)].into_iter());
    assert_eq!(expired(), 4, "0 to 3 were there once");
    intake.log_bounds([(1, 4, 20)].into_iter());
    assert_eq!(expired(), 4, "said once");
}

#[test]
fn a_drain_owes_each_partition_a_last_commit_until_it_is_acknowledged() {
    let intake = owning(&[0, 1, 2, 3]);
    intake.close();
    let owed = intake.close_all();
    assert_eq!(owed.iter().map(|commit| commit.partition).collect::<Vec<_>>(), [0, 1, 2, 3]);
    intake.closed(&owed[..1]);
    assert_eq!(intake.owed(), owed[1..], "what was refused may be made again");
    assert_eq!(intake.revoked(&[0, 1]), owed[1..2], "the revocation's commit is the drain's");
    intake.closed(&owed[1..2]);
    intake.lost(&[1, 2]);
    assert_eq!(intake.owed(), owed[3..], "a lost partition may have another owner, and a commit would set it back");
    assert_eq!(intake.unclosed(), [2, 3]);
    intake.closed(&owed[3..]);
    assert_eq!(intake.unclosed(), [2], "and it was not closed");
}

#[test]
fn partitions_that_come_and_go_during_a_drain_are_accounted_for() {
    let intake = owning(&[0, 1]);
    intake.close();
    intake.lost(&[0]);
    assert_eq!(intake.unclosed(), [0], "the session ended before the drain did");
    assert_eq!(intake.revoked(&[1]).len(), 1);
    intake.lost(&[1]);
    assert_eq!(intake.unclosed(), [0, 1], "the revocation has waited long enough");
    intake.assigned(&[2]);
    assert!(!intake.is_opening(), "left to the next owner, unclaimed");
    assert_eq!((intake.close_all(), intake.unclosed()), (vec![], vec![0, 1]));
}

#[test]
fn a_partition_lost_before_the_drain_is_the_next_owners() {
    let intake = owning(&[0, 1]);
    intake.lost(&[0]);
    intake.close();
    assert_eq!(intake.close_all().len(), 1);
    assert_eq!(intake.unclosed(), [1]);
}
