//! What an owner begins with, and what an ended assignment may still say: one case each.

use super::*;

#[test]
fn a_commit_or_a_completion_of_an_ended_assignment_is_not_recorded() {
    let (mut progress, now) = (Progress::new("g", "t", 1, LEASE), Instant::now());
    let found = Found { committed: Some(5), log_end: 6, ..Found::default() };
    let first = progress.assigned(0);
    progress.open(0, first, &found, now);
    let late = progress.commits(true, now);
    let second = progress.assigned(0);
    assert_eq!(progress.open(0, first, &found, now), None, "an answer to the ended one");
    progress.open(0, second, &found, now);
    late.iter().for_each(|commit| progress.committed(commit, now));
    assert!(!progress.may_publish(0, second, now), "the old answer leases nothing");
    assert_eq!(progress.open(0, second, &found, now), None, "it is open already");
    progress.received(0, 5, None);
    assert!(!progress.finished(0, first, 5).counted, "the same offset, another assignment");
    assert!(progress.finished(0, second, 5).counted);
}

/// A broker that forgot a topic and a group that did not: the offset is true by chance, the map is not.
#[test]
fn a_map_above_another_record_is_forgotten() {
    let (mut progress, now) = (Progress::new("g", "t", 1, LEASE), Instant::now());
    let found = Found { committed: Some(0), log_end: 9, ..Found::default() };
    let epoch = progress.assigned(0);
    progress.open(0, epoch, &found, now);
    for offset in 0..3 {
        progress.received(0, offset, Some(100 + offset));
    }
    progress.finished(0, epoch, 1);
    let metadata = progress.commits(true, now).remove(0).metadata.into_bytes();

    let mut heir = Progress::new("g", "t", 2, LEASE);
    let epoch = heir.assigned(0);
    let opened = heir.open(0, epoch, &Found { metadata, ..found }, now).expect("assigned");
    assert_eq!(opened.known_done, 1);
    let mut same = |written_ms| heir.received(0, 0, Some(written_ms)).expect("open");
    assert_eq!(same(999), Err(Distrust::AnotherLog));
    assert_eq!(same(999), Ok((epoch, Received::New)), "told again");
    assert_eq!(heir.received(0, 1, Some(1_000)), Some(Ok((epoch, Received::New))));
}

#[test]
fn records_that_retention_took_unfinished_are_counted() {
    let (mut progress, now) = (Progress::new("g", "t", 1, LEASE), Instant::now());
    let found = Found { committed: Some(10), log_start: 50, log_end: 60, ..Found::default() };
    let epoch = progress.assigned(0);
    let opened = progress.open(0, epoch, &found, now).expect("assigned");
    assert_eq!((opened.start, opened.expired), (50, 40));
    assert_eq!(progress.commits(true, now).first().map(|commit| commit.next_offset), Some(50));
}

/// A commit of a former owner, made before it knew that the topic was deleted and made again; the new log is longer.
#[test]
fn a_commit_of_another_log_of_that_name_is_not_believed() {
    let (mut progress, now) = (Progress::new("g", "t", 1, LEASE), Instant::now());
    let found = Found { log_end: 9, log_id: Some(LogId(1)), ..Found::default() };
    let epoch = progress.assigned(0);
    progress.open(0, epoch, &found, now);
    for offset in 0..3 {
        progress.received(0, offset, Some(100 + offset));
        progress.finished(0, epoch, offset);
    }
    let commit = progress.commits(true, now).remove(0);
    assert_eq!(progress.of_another_log(LogId(1)), []);
    assert_eq!(progress.of_another_log(LogId(2)), [(0, epoch)]);

    let open = |log_id| {
        let mut heir = Progress::new("g", "t", 2, LEASE);
        let epoch = heir.assigned(0);
        let metadata = commit.metadata.clone().into_bytes();
        let found = Found { committed: Some(commit.next_offset), metadata, log_id, ..found };
        let opened = heir.open(0, epoch, &found, now).expect("assigned");
        (opened.start, opened.distrust)
    };
    assert_eq!(open(Some(LogId(1))), (3, None));
    assert_eq!(open(None), (3, None), "a broker without ids");
    assert_eq!(open(Some(LogId(2))), (0, Some(Distrust::AnotherLog)));
}

/// A log that lost its last records: what the map calls finished there are other records now, or will be.
#[test]
fn a_map_above_the_logs_end_is_not_believed() {
    let (mut progress, now) = (Progress::new("g", "t", 1, LEASE), Instant::now());
    let epoch = progress.assigned(0);
    progress.open(0, epoch, &Found { log_end: 9, ..Found::default() }, now);
    for offset in 0..6 {
        progress.received(0, offset, Some(100 + offset));
    }
    (1..6).for_each(|offset| assert!(progress.finished(0, epoch, offset).counted));
    let metadata = progress.commits(true, now).remove(0).metadata.into_bytes();
    for (log_end, known_done, distrust) in [(6, 5, None), (5, 0, Some(Distrust::AnotherLog))] {
        let mut heir = Progress::new("g", "t", 2, LEASE);
        let epoch = heir.assigned(0);
        let found = Found { committed: Some(0), metadata: metadata.clone(), log_end, ..Found::default() };
        let opened = heir.open(0, epoch, &found, now).expect("assigned");
        assert_eq!((opened.known_done, opened.distrust), (known_done, distrust), "the log ends at {log_end}");
    }
}

#[test]
fn an_offset_beyond_the_end_is_not_waited_for() {
    let (mut progress, now) = (Progress::new("g", "t", 1, LEASE), Instant::now());
    let epoch = progress.assigned(0);
    let found = Found { committed: Some(50), log_start: 2, log_end: 49, ..Found::default() };
    let opened = progress.open(0, epoch, &found, now).expect("assigned");
    assert_eq!((opened.start, opened.beyond_end), (2, true));
}
