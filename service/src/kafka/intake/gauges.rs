//! What there is, in numbers: for the gauges, and for the log of an end.

use std::time::Instant;

use tracing::warn;

use super::Intake;
use super::queue::Queue;

/// Numbers for the gauges.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// Records received and not finished.
    pub unfinished: usize,
    /// Of these, records that have not started.
    pub waiting: usize,
    /// Partitions owned.
    pub partitions: usize,
    /// Of these, partitions that are paused because enough of their records wait.
    pub paused: usize,
    /// Of these, partitions without a running lease: nothing of them starts or is published.
    pub unleased: usize,
    /// The largest metadata of a partition's last commit, in UTF-16 units, and what it may take.
    pub metadata_units: (usize, usize),
    /// Unclean ends in a row over the records of one partition, the most of all.
    pub strikes: u8,
}

impl Intake {
    /// The broker said where the logs begin and end.
    pub(in crate::kafka) fn log_bounds(&self, bounds: impl Iterator<Item = (i32, i64, i64)>) {
        let mut state = self.lock();
        let mut expired = 0;
        for (partition, start, end) in bounds {
            state.log_end.insert(partition, end);
            expired += state.expired(partition, start);
        }
        drop(state);
        if expired > 0 {
            self.metrics.records_expired(expired);
            warn!(expired, "retention took records before they were worked on");
        }
    }

    /// Records unread or unfinished, as far as the broker has said where the logs end.
    pub(in crate::kafka) fn lag(&self) -> Option<u64> {
        let state = self.lock();
        let mut unread = 0;
        for partition in state.progress.partitions() {
            let end = *state.log_end.get(&partition)?;
            let next = state.progress.received_next(partition).unwrap_or(end);
            unread += state.progress.open_within(partition, next, end);
        }
        Some(unread + u64::try_from(state.progress.unfinished()).unwrap_or(u64::MAX))
    }

    /// When the oldest unfinished record was written, in Unix milliseconds.
    pub(in crate::kafka) fn oldest_written_ms(&self) -> Option<i64> {
        self.lock().progress.oldest_written_ms()
    }

    /// Numbers for the gauges.
    pub(in crate::kafka) fn sizes(&self) -> Sizes {
        let (state, now) = (self.lock(), Instant::now());
        Sizes {
            unfinished: state.progress.unfinished(),
            waiting: state.waiting.values().map(Queue::len).sum(),
            partitions: state.progress.partitions().count(),
            paused: state.paused.len(),
            unleased: state.progress.unleased(now),
            metadata_units: state.progress.metadata_units(),
            strikes: state.progress.strikes(),
        }
    }

    /// The partitions that are ours.
    pub(in crate::kafka) fn partitions(&self) -> Vec<i32> {
        self.lock().progress.partitions().collect()
    }

    /// Received and unfinished, for the log of an end that could not close everything.
    pub(in crate::kafka) fn open_records(&self) -> Vec<(i32, i64)> {
        self.lock().progress.open_records().collect()
    }
}
