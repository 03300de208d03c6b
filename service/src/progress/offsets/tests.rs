use super::*;

fn finished(offsets: &mut Offsets, all: impl IntoIterator<Item = i64>) {
    for offset in all {
        assert!(offsets.finished(offset), "{offset} was open");
    }
}

#[test]
fn a_lower_offset_is_another_log_and_not_a_repeat() {
    let mut offsets = Offsets::from(90);
    assert_eq!(offsets.received(99, None), Received::New);
    assert_eq!(offsets.received(0, None), Received::AnotherLog);
    assert_eq!(offsets.received(99, None), Received::AnotherLog);
    assert_eq!(offsets.received(150, None), Received::New, "gaps are normal");
}

#[test]
fn the_map_names_what_is_unfinished_below_the_highest_finished() {
    let mut offsets = Offsets::from(10);
    (10..20).for_each(|offset| assert_eq!(offsets.received(offset, Some(offset * 7)), Received::New));
    finished(&mut offsets, [10, 12, 13, 16]);
    assert_eq!(offsets.next_offset(), 11);
    assert_eq!(offsets.next_written_ms(), Some(77));
    let (end, unfinished, _) = offsets.map();
    assert_eq!((end, unfinished), (17, vec![11, 14, 15]));
    finished(&mut offsets, [11]);
    assert_eq!(offsets.next_offset(), 14);
}

#[test]
fn what_the_predecessor_finished_is_not_worked_again() {
    let mut offsets = Offsets::recovered(11, &[11, 14, 15], 17, Some(77));
    assert_eq!(offsets.known_done(), 3);
    assert_eq!((offsets.next_offset(), offsets.next_written_ms()), (11, Some(77)));
    let received: Vec<Received> = (11..19).map(|offset| offsets.received(offset, None)).collect();
    use Received::{Done, New};
    assert_eq!(received, [New, Done, Done, New, New, Done, New, New]);
    finished(&mut offsets, [11, 15]);
    let (end, unfinished, _) = offsets.map();
    assert_eq!((offsets.next_offset(), end, unfinished), (14, 17, vec![14]));
    finished(&mut offsets, [14]);
    assert_eq!(offsets.next_offset(), 17);
}

#[test]
fn what_never_appears_counts_as_finished() {
    let mut offsets = Offsets::recovered(10, &[10, 12, 14], 20, None);
    assert_eq!(offsets.next_offset(), 10);
    assert_eq!(offsets.received(13, None), Received::Done);
    assert_eq!(offsets.next_offset(), 14, "10 and 12 were compacted away");
    assert_eq!(offsets.received(30, None), Received::New);
    assert_eq!(offsets.next_offset(), 30);
}

#[test]
fn only_a_list_that_was_taken_is_covered_by_its_answer() {
    let mut offsets = Offsets::from(0);
    (0..5).for_each(|offset| assert_eq!(offsets.received(offset, None), Received::New));
    finished(&mut offsets, [1, 3]);
    offsets.taken();
    finished(&mut offsets, [2]);
    offsets.committed(0, 4);
    assert_eq!(offsets.finished_uncommitted(), 1, "2 finished after the list was taken");
    offsets.taken();
    assert!(offsets.is_dirty(), "no answer came yet");
    offsets.committed(0, 2);
    assert_eq!(offsets.finished_uncommitted(), 1, "a map that ended at 2 did not say so");
    offsets.committed(0, 4);
    assert!(!offsets.is_dirty());
}

#[test]
fn retention_takes_what_was_unfinished_only() {
    let mut offsets = Offsets::recovered(10, &[10, 12, 40], 50, None);
    assert_eq!(offsets.open_within(10, 30), 2);
    assert_eq!(offsets.open_within(10, 60), 3 + 10, "above the map everything is unfinished");
    offsets.reach(30);
    assert_eq!((offsets.next_offset(), offsets.received_next()), (40, 30));
}

#[test]
fn a_record_starts_only_if_the_map_would_still_fit() {
    let mut offsets = Offsets::from(0);
    let (units, mut started, mut random) = (80, 0, 1_u64);
    for offset in 0..100_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        assert_eq!(offsets.received(offset, None), Received::New);
        if !offsets.would_fit(offset, units) {
            break;
        }
        offsets.started(offset);
        started = offset;
        // Two of three finish, so that gaps remain.
        if offset > 0 && random >> 33 & 3 > 0 {
            finished(&mut offsets, [offset]);
        }
    }
    assert!((200..20_000).contains(&started), "{started}");
    assert!(offsets.would_fit(started, units), "what has started is counted already");
    let naive = |offsets: &Offsets| {
        let open: Vec<i64> = offsets.open().filter(|offset| *offset <= started).collect();
        let mut tally = Tally::default();
        open.windows(2).for_each(|pair| tally.append(Some(pair[0]), pair[1]));
        tally.best()
    };
    assert_eq!(offsets.tally.best(), naive(&offsets));
    let open: Vec<i64> = offsets.open().filter(|offset| offset % 3 == 0 && *offset <= started).collect();
    finished(&mut offsets, open);
    assert_eq!(offsets.tally.best(), naive(&offsets), "kept up to date when records in between finish");
    assert!(offsets.would_fit(started + 1, units), "there is room again");
}
