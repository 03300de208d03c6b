//! One owned partition: its offsets, its quarantine, its lease, and the commits that state them.

use std::time::{Duration, Instant};

use super::map::{Distrust, LogId, METADATA_UNITS_MAX, Note, Place};
use super::offsets::{Offsets, Received};
use super::quarantine::{Care, Quarantine, START_AHEAD};
use super::{Commit, Epoch, Finished};

/// A broker that refuses more than this much metadata is configured so that no map can be kept at all.
const METADATA_UNITS_MIN: usize = 64;
/// Metadata bytes (UTF-8) a second that one partition may write: a large map is committed less often. More are written only
/// where records would wait: then a map is paid for by half of [`START_AHEAD`] records that started, or by its part of half
/// of [`COMMIT_EARLY_AT`](super::COMMIT_EARLY_AT) that finished.
const METADATA_BYTES_PER_SECOND: u32 = 8 << 10;

/// What a group holds for a partition, and where its log begins and ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The committed offset; `None`: there is none.
    pub committed: Option<i64>,
    /// The commit's metadata, as it came.
    pub metadata: Vec<u8>,
    /// The log's first offset.
    pub log_start: i64,
    /// The offset after the log's last record.
    pub log_end: i64,
    /// Which log it is; `None`: the broker knows no ids of topics.
    pub log_id: Option<LogId>,
}

/// How an owner begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where to read from.
    pub start: i64,
    /// Unfinished records that retention took before anyone reached them.
    pub expired: u64,
    /// The predecessor's metadata was not believed.
    pub distrust: Option<Distrust>,
    /// The group's offset lay above the log's end, so the log has lost records or is another.
    pub beyond_end: bool,
    /// Records that the map names as finished above the start.
    pub known_done: u64,
    /// Unclean ends in a row over these records.
    pub strikes: u8,
}

/// Why a record may not start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// No commit was acknowledged for as long as the lease lasts.
    Lease,
    /// It lies at or above what the last acknowledged commit announced.
    Limit,
    /// The map of what is unfinished would no longer fit into the commit's metadata.
    Map,
}

#[derive(Debug)]
pub(super) struct Owned {
    pub(super) epoch: Epoch,
    pub(super) offsets: Offsets,
    pub(super) quarantine: Quarantine,
    pub(super) log_id: Option<LogId>,
    place: Place,
    run_id: u64,
    /// The record that the predecessor's map was made above: offset and time.
    anchor: Option<(i64, i64)>,
    began: Instant,
    /// Acknowledged: nothing at or above it starts.
    limit: i64,
    /// Acknowledged position and what was said with it.
    acknowledged: Option<(i64, i64)>,
    leased_until: Option<Instant>,
    units: usize,
    /// When a commit may be made again, for the size of the last one.
    rested_at: Option<Instant>,
    last_units: usize,
}

impl Owned {
    /// Begins at what the group holds.
    pub(super) fn open(epoch: Epoch, place: Place, run_id: u64, found: &Found, now: Instant) -> (Owned, Opened) {
        let mut opened =
            Opened { start: found.log_start, expired: 0, distrust: None, beyond_end: false, known_done: 0, strikes: 0 };
        let mut owned = Owned {
            epoch,
            offsets: Offsets::from(found.log_start),
            quarantine: Quarantine::none(found.log_start),
            log_id: found.log_id,
            place,
            run_id,
            anchor: None,
            began: now,
            limit: found.log_start,
            acknowledged: None,
            leased_until: None,
            units: METADATA_UNITS_MAX,
            rested_at: None,
            last_units: 0,
        };
        let Some(committed) = found.committed else { return (owned, opened) };
        let note = Note::read(&found.metadata, &owned.place, committed);
        let stated = note.as_ref().ok().and_then(Option::as_ref).and_then(|note| note.log_id);
        // A commit of a former owner, made before it knew that the topic was made anew: not even its offset is of this log.
        if stated.is_some() && found.log_id.is_some() && stated != found.log_id {
            opened.distrust = Some(Distrust::AnotherLog);
            return (owned, opened);
        }
        if committed > found.log_end {
            opened.beyond_end = true;
            return (owned, opened);
        }
        opened.start = committed.max(found.log_start);
        owned.offsets = Offsets::from(committed);
        match note {
            Err(distrust) => opened.distrust = Some(distrust),
            Ok(None) => owned.quarantine = Quarantine::none(opened.start),
            // The log is shorter than what was finished in it: what it holds there now are other records.
            Ok(Some(note)) if note.end > found.log_end => {
                opened.distrust = Some(Distrust::AnotherLog);
                owned.quarantine = Quarantine::taken_over(&note, opened.start, found.log_end);
            }
            Ok(Some(note)) => {
                owned.offsets = Offsets::recovered(committed, &note.unfinished, note.end, note.anchor_ms);
                owned.anchor = note.anchor_ms.map(|written_ms| (committed, written_ms));
                owned.quarantine = Quarantine::taken_over(&note, opened.start, found.log_end);
            }
        }
        opened.expired = owned.offsets.open_within(committed, found.log_start);
        owned.offsets.reach(opened.start);
        opened.known_done = owned.offsets.known_done();
        opened.strikes = owned.quarantine.strikes();
        owned.limit = opened.start;
        (owned, opened)
    }

    pub(super) fn partition(&self) -> i32 {
        self.place.partition
    }

    /// Another log begins at `offset`, under the same assignment.
    pub(super) fn restart(&mut self, epoch: Epoch, offset: i64) {
        self.epoch = epoch;
        self.offsets = Offsets::from(offset);
        self.quarantine = Quarantine::none(offset);
        self.anchor = None;
        self.limit = offset;
        self.acknowledged = None;
        self.leased_until = None;
    }

    /// A record arrived. An error: the map that was taken over is not of this log and is forgotten; ask again.
    pub(super) fn received(&mut self, offset: i64, written_ms: Option<i64>) -> Result<Received, Distrust> {
        if let Some((anchor, stated)) = self.anchor.take()
            && anchor == offset
            && written_ms.is_some_and(|written_ms| written_ms != stated)
        {
            self.offsets = Offsets::from(offset);
            return Err(Distrust::AnotherLog);
        }
        let received = self.offsets.received(offset, written_ms);
        self.quarantine.progressed(self.offsets.next_offset());
        Ok(received)
    }

    pub(super) fn may_start(&self, offset: i64, now: Instant) -> Result<Care, Hold> {
        if !self.is_leased(now) {
            return Err(Hold::Lease);
        }
        if offset >= self.limit {
            return Err(Hold::Limit);
        }
        if !self.offsets.would_fit(offset, self.units) {
            return Err(Hold::Map);
        }
        Ok(self.care(now))
    }

    pub(super) fn care(&self, now: Instant) -> Care {
        self.quarantine.care(now.saturating_duration_since(self.began))
    }

    pub(super) fn finished(&mut self, offset: i64) -> Finished {
        let counted = self.offsets.finished(offset);
        Finished { counted, streak_over: self.quarantine.progressed(self.offsets.next_offset()) }
    }

    pub(super) fn is_leased(&self, now: Instant) -> bool {
        self.leased_until.is_some_and(|until| now < until)
    }

    /// Whether a commit is wanted before its time: half of what may start has started.
    pub(super) fn limit_is_near(&self) -> bool {
        self.limit_wanted() > self.limit
    }

    /// Whether there is something new to say.
    pub(super) fn is_dirty(&self) -> bool {
        let position = (self.offsets.next_offset(), self.limit_wanted());
        self.offsets.is_dirty() || self.acknowledged != Some(position)
    }

    /// Whether the last commit was so large that the next one waits, if no record waits for it.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rested_at.is_some_and(|at| now < at)
    }

    /// In steps, so that a steady flow doesn't change it, and so the commit, with every record.
    fn limit_wanted(&self) -> i64 {
        let next = self.offsets.next_offset();
        let reached = self.offsets.highest_started().map_or(next, |started| next.max(started + 1));
        if reached + START_AHEAD / 2 < self.limit { self.limit } else { reached.saturating_add(START_AHEAD) }
    }

    /// The commit to make now.
    pub(super) fn take(&mut self) -> Commit {
        self.offsets.taken();
        self.state(true, self.limit_wanted())
    }

    /// The last commit of this owner.
    pub(super) fn close(mut self) -> Commit {
        self.offsets.taken();
        let limit = self.offsets.highest_started().map_or(self.offsets.next_offset(), |started| started + 1);
        self.state(false, limit.max(self.offsets.next_offset()))
    }

    fn state(&self, open: bool, limit: i64) -> Commit {
        let next_offset = self.offsets.next_offset();
        let (end, unfinished, k) = self.offsets.map();
        let inherited = self.anchor.filter(|(offset, _)| *offset == next_offset).map(|(_, written_ms)| written_ms);
        let note = Note {
            run_id: self.run_id,
            open,
            strikes: self.quarantine.strikes(),
            fence: self.quarantine.fence(),
            limit,
            anchor_ms: inherited.or(self.offsets.next_written_ms()),
            end,
            unfinished,
            log_id: self.log_id,
        };
        let (metadata, covered_end) =
            note.write(&self.place, next_offset, self.units, k).unwrap_or((String::new(), i64::MIN));
        Commit { partition: self.place.partition, epoch: self.epoch, next_offset, metadata, covered_end, limit }
    }

    /// The broker holds `commit`, which was handed to it at `sent_at`.
    pub(super) fn committed(&mut self, commit: &Commit, sent_at: Instant, lease: Duration) {
        self.offsets.committed(commit.next_offset, commit.covered_end);
        self.limit = self.limit.max(commit.limit);
        self.acknowledged = Some((commit.next_offset, self.limit));
        self.leased_until = Some(sent_at + lease);
        self.last_units = commit.metadata.chars().count();
        let bytes = u32::try_from(commit.metadata.len()).unwrap_or(u32::MAX);
        self.rested_at = Some(sent_at + Duration::from_secs(1) * bytes / METADATA_BYTES_PER_SECOND);
    }

    /// The broker refuses metadata of this size. False: it cannot be made smaller.
    pub(super) fn halve_metadata(&mut self) -> bool {
        let smaller = self.units / 2;
        let can = smaller >= METADATA_UNITS_MIN;
        if can {
            self.units = smaller;
        }
        can
    }

    /// Units of metadata that the last acknowledged commit took, and the most that it may.
    pub(super) fn metadata_units(&self) -> (usize, usize) {
        (self.last_units, self.units)
    }
}
