//! One partition's unfinished offsets, and the position they allow.

use std::collections::BTreeSet;

/// Which offsets of a partition are unfinished. The position that may be committed is the lowest of them.
///
/// Offsets that never appear (transaction markers, compaction) count as finished.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    unfinished: BTreeSet<i64>,
    /// Finished offsets at or above the acknowledged position.
    finished_uncommitted: BTreeSet<i64>,
    received_next: Option<i64>,
    committed: Option<i64>,
}

/// What an arriving offset means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The next record of the log.
    New,
    /// At or below one already received: the topic was recreated or truncated, and this is another log. Taking it for
    /// a repeat would lose every record up to the old position.
    AnotherLog,
}

impl Offsets {
    /// A record arrived.
    pub fn received(&mut self, offset: i64) -> Received {
        if self.received_next.is_some_and(|next| offset < next) {
            return Received::AnotherLog;
        }
        self.received_next = Some(offset + 1);
        self.unfinished.insert(offset);
        Received::New
    }

    /// A record is finished. False if it was not open.
    pub fn finished(&mut self, offset: i64) -> bool {
        let open = self.unfinished.remove(&offset);
        if open {
            self.finished_uncommitted.insert(offset);
        }
        open
    }

    /// The position that may be committed; `None` before anything arrived.
    pub fn next_offset(&self) -> Option<i64> {
        self.unfinished.first().copied().or(self.received_next)
    }

    /// The broker holds `next_offset` now.
    pub fn committed(&mut self, next_offset: i64) {
        self.committed = Some(next_offset);
        self.finished_uncommitted = self.finished_uncommitted.split_off(&next_offset);
    }

    /// Whether there is something to say that the broker has not acknowledged.
    pub fn is_dirty(&self) -> bool {
        self.next_offset() != self.committed
    }

    /// Records received and not finished.
    pub fn unfinished(&self) -> usize {
        self.unfinished.len()
    }

    /// Records finished at or above the acknowledged position.
    pub fn finished_uncommitted(&self) -> usize {
        self.finished_uncommitted.len()
    }

    /// The offset after the highest one received.
    pub fn received_next(&self) -> Option<i64> {
        self.received_next
    }

    /// The lowest unfinished offset.
    pub fn oldest_unfinished(&self) -> Option<i64> {
        self.unfinished.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_lower_offset_is_another_log_and_not_a_repeat() {
        let mut offsets = Offsets::default();
        assert_eq!(offsets.received(99), Received::New);
        assert_eq!(offsets.received(0), Received::AnotherLog);
        assert_eq!(offsets.received(99), Received::AnotherLog);
        assert_eq!(offsets.received(150), Received::New, "gaps are normal");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Receive { gap: i64 },
        Finish { pick: prop::sample::Index },
        Commit,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0i64..4).prop_map(|gap| Step::Receive { gap }),
            3 => any::<prop::sample::Index>().prop_map(|pick| Step::Finish { pick }),
            1 => Just(Step::Commit),
        ]
    }

    proptest! {
        /// I3 against a naive model: below the position everything received is finished, and it is the highest such position.
        #[test]
        fn the_position_is_honest_and_as_high_as_it_can_be(start in 0i64..1000, steps in prop::collection::vec(step(), 0..200)) {
            let mut offsets = Offsets::default();
            let mut model: Vec<(i64, bool)> = Vec::new();
            let mut next = start;
            let mut committed = None;
            for step in steps {
                match step {
                    Step::Receive { gap } => {
                        let offset = next + gap;
                        prop_assert_eq!(offsets.received(offset), Received::New);
                        model.push((offset, false));
                        next = offset + 1;
                    }
                    Step::Finish { pick } if !model.is_empty() => {
                        let entry = pick.index(model.len());
                        let open = !model[entry].1;
                        prop_assert_eq!(offsets.finished(model[entry].0), open);
                        model[entry].1 = true;
                    }
                    Step::Finish { .. } => {}
                    Step::Commit => {
                        if let Some(position) = offsets.next_offset() {
                            offsets.committed(position);
                            committed = Some(position);
                        }
                    }
                }
                let expected = model.iter().find(|(_, done)| !done).map(|(offset, _)| *offset)
                    .or(model.last().map(|(offset, _)| offset + 1));
                prop_assert_eq!(offsets.next_offset(), expected);
                prop_assert_eq!(offsets.is_dirty(), expected != committed);
                let uncommitted = model.iter().filter(|(offset, done)| *done && committed.is_none_or(|c| *offset >= c)).count();
                prop_assert_eq!(offsets.finished_uncommitted(), uncommitted);
            }
        }
    }
}
