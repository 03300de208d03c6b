//! When commits are made: a large map is written seldom, but never so seldom that records wait for it.

use super::*;

const PARTITIONS: i32 = 4;
const NONE: [i32; 0] = [];

/// Partitions whose last commits have just been acknowledged, with maps for which they rest.
struct Resting {
    progress: Progress,
    now: Instant,
    epochs: Vec<Epoch>,
    /// Received and not finished, of each partition, in order.
    open: Vec<Vec<i64>>,
    next: Vec<i64>,
}

impl Resting {
    /// Of so many records of each partition every second one is finished.
    fn new(partitions: i32, records: i64) -> Resting {
        let (mut progress, now) = (Progress::new("g", "t", 1, LEASE), Instant::now());
        let (mut epochs, mut open, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for partition in 0..partitions {
            let epoch = progress.assigned(partition);
            progress.open(partition, epoch, &Found::default(), now);
            epochs.push(epoch);
            open.push(Vec::new());
            next.push(0);
        }
        let mut resting = Resting { progress, now, epochs, open, next };
        for partition in 0..partitions {
            resting.receive(partition, records);
            for offset in std::mem::take(&mut resting.open[partition as usize]) {
                match offset % 2 {
                    0 => resting.open[partition as usize].push(offset),
                    _ => assert!(
                        resting.progress.finished(partition, resting.epochs[partition as usize], offset).counted
                    ),
                }
            }
        }
        resting.acknowledge(true);
        resting
    }

    fn receive(&mut self, partition: i32, count: i64) {
        let at = partition as usize;
        for offset in self.next[at]..self.next[at] + count {
            self.progress.received(partition, offset, None);
            self.progress.started(partition, offset);
            self.open[at].push(offset);
        }
        self.next[at] += count;
    }

    fn finish(&mut self, partition: i32, pick: usize) {
        let at = partition as usize;
        let pick = pick % self.open[at].len();
        let offset = self.open[at].remove(pick);
        assert!(self.progress.finished(partition, self.epochs[at], offset).counted);
    }

    fn wants_commit(&self) -> bool {
        (0..).zip(&self.epochs).any(|(partition, _)| self.progress.wants_commit(partition))
    }

    /// Makes the commits that are due; returns their partitions.
    fn acknowledge(&mut self, all: bool) -> Vec<i32> {
        let commits = self.progress.commits(all, self.now);
        commits.iter().for_each(|commit| self.progress.committed(commit, self.now));
        commits.iter().map(|commit| commit.partition).collect()
    }
}

#[test]
fn a_large_map_rests_until_too_much_is_finished() {
    let mut resting = Resting::new(1, 40_000);
    assert!(resting.progress.metadata_units().0 > METADATA_UNITS_MAX / 2);
    (1..COMMIT_EARLY_AT).for_each(|_| resting.finish(0, 0));
    assert_eq!(resting.acknowledge(false), NONE, "nobody waits for it");
    resting.finish(0, 0);
    assert!(resting.wants_commit());
    assert_eq!(resting.acknowledge(false), [0], "or nothing could start until the next interval");
    resting.finish(0, 0);
    assert_eq!(resting.acknowledge(false), NONE);
    resting.now += Duration::from_secs(2);
    assert_eq!(resting.acknowledge(false), [0], "it has rested");
}

#[test]
fn a_large_map_does_not_rest_while_records_wait_for_a_higher_limit() {
    let mut resting = Resting::new(1, 40_000);
    resting.receive(0, START_AHEAD / 2 - 1);
    assert_eq!(resting.acknowledge(false), NONE);
    resting.receive(0, 1);
    assert_eq!(resting.acknowledge(false), [0]);
    assert!(!resting.wants_commit());
}

#[test]
fn of_large_maps_only_those_are_written_early_that_free_the_most() {
    let mut resting = Resting::new(PARTITIONS, 1_000);
    (0..100).for_each(|_| resting.finish(2, 0));
    (0..100).for_each(|_| resting.finish(1, 0));
    (0..30).for_each(|_| resting.finish(0, 0));
    (0..26).for_each(|_| resting.finish(3, 0));
    assert_eq!(resting.acknowledge(false), [1, 2]);
    assert_eq!(resting.progress.finished_uncommitted(), 56);
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Receive { partition: i32, count: i64 },
    Finish { partition: i32, pick: usize, count: usize },
    Commit,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..PARTITIONS, 1i64..250).prop_map(|(partition, count)| Act::Receive { partition, count }),
        (0..PARTITIONS, any::<usize>(), 1usize..300).prop_map(|(partition, pick, count)| Act::Finish {
            partition,
            pick,
            count
        }),
        Just(Act::Commit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 300, ..ProptestConfig::default() })]

    /// Whoever asks for a commit gets one, and then nothing waits any more; no time passes, so that all partitions rest.
    #[test]
    fn what_records_wait_for_is_committed_at_once(acts in prop::collection::vec(act(), 0..20)) {
        let mut resting = Resting::new(PARTITIONS, 100);
        for act in acts {
            match act {
                Act::Receive { partition, count } => resting.receive(partition, count),
                Act::Finish { partition, pick, count } => {
                    let count = count.min(resting.open[partition as usize].len());
                    (0..count).for_each(|_| resting.finish(partition, pick));
                }
                Act::Commit => {
                    let wanted = resting.wants_commit();
                    let made = resting.acknowledge(false);
                    prop_assert!(!wanted || !made.is_empty());
                    prop_assert!(!resting.wants_commit());
                }
            }
        }
    }
}
