//! The log is cut, or made again under the same name.

use super::*;

impl World {
    /// What is known of the old log is true of nothing now; a live owner does not know that yet.
    pub(super) fn recreate_unseen(&mut self, more: i64) {
        // Without ids nothing tells.
        let Some(owner) = self.owner.as_ref().filter(|_| self.identifies) else { return };
        let records = owner.next + more;
        self.new_log(records);
        if let Some(owner) = &mut self.owner {
            // Whatever it reports finished from now on was read from the old log, except for what it receives anew.
            (owner.waiting, owner.running, owner.finished) = Default::default();
        }
    }

    fn new_log(&mut self, records: i64) {
        self.log = (0..records).map(|offset| (offset, (self.clock_ms + 1 + offset, false))).collect();
        self.clock_ms += 1 + records;
        (self.log_start, self.log_end, self.log_id) = (0, records, self.log_id + 1);
        (self.commit, self.stale) = (None, None);
        self.finished.clear();
        self.killed.clear();
        self.disturbed += 1;
    }

    /// What the group holds for a log that was cut is false, and only a successor that comes before the log has grown
    /// past it again can notice. So here one comes at once, and the cut takes all that the commit calls finished or none.
    pub(super) fn truncate(&mut self, records: usize) {
        let cut: Vec<i64> = self.log.keys().rev().take(records).copied().collect();
        let Some(&end) = cut.last() else { return };
        let known = self.known();
        if known.next <= end && (known.end > end || cut.iter().any(|offset| self.finished.contains(offset))) {
            return;
        }
        for offset in cut {
            self.log.remove(&offset);
            self.finished.remove(&offset);
        }
        self.log_end = end;
        self.stale = None;
        self.disturbed += 1;
        self.crash();
        self.commit(true);
        self.answer(Answer::Acknowledged);
    }

    pub(super) fn recreate(&mut self, records: i64) {
        if self.log_end == 0 {
            return;
        }
        self.new_log(records);
        let Some(owner) = &mut self.owner else { return };
        // The first record of the new log reaches a live owner with a lower offset than the last.
        let lower = records > 0 && owner.next > 0;
        if lower
            && !owner.progress.is_identified(PARTITION)
            && matches!(owner.progress.received(PARTITION, 0, Some(self.clock_ms)), Some(Ok((_, Received::AnotherLog))))
        {
            let old = owner.epoch;
            owner.epoch = owner.progress.restarted(PARTITION, 0).expect("open");
            assert!(owner.running.keys().all(|offset| !owner.progress.finished(PARTITION, old, *offset).counted));
            (owner.running, owner.waiting, owner.deaths, owner.finished) = Default::default();
            (owner.next, owner.heard, owner.log_id) = (0, false, self.log_id);
            owner.under_way.clear();
            *owner.inherited_open = Known::default();
        } else {
            self.crash();
        }
    }
}
