//! Which records are suspected of killing the process, and how carefully the next one starts. Pure.
//!
//! An owner that ends uncleanly leaves its partition marked open; the successor counts a strike against the records that
//! may have run, those below the `fence`. From the second strike on they start in child processes, where one that kills
//! can be seen doing it. Many strikes in a row mean that something around us kills, and then nobody is condemned until an
//! owner has lived for a while.

use std::time::Duration;

use super::map::Note;

/// Strikes from which on records start in child processes.
pub const CAREFUL_AT: u8 = 2;
/// Strikes from which on the environment is suspected and not a record.
pub const ENVIRONMENT_AT: u8 = 6;
/// An owner that has lived this long is no longer in the middle of what killed its predecessors.
pub(super) const CALM_AFTER: Duration = Duration::from_secs(60);
/// How far above the highest started record the next ones may start before a commit says so.
pub const START_AHEAD: i64 = if cfg!(test) { 6 } else { 1024 };

/// How a record starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Care {
    /// In this process.
    None,
    /// In a child process.
    Trial,
    /// In a child process, one at a time, and whatever its end it proves nothing.
    Alone,
}

/// What is held against the records of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quarantine {
    strikes: u8,
    fence: i64,
}

impl Quarantine {
    /// Nothing is held against anyone.
    pub(super) fn none(offset: i64) -> Quarantine {
        Quarantine { strikes: 0, fence: offset }
    }

    /// As the predecessor left it. It announced more than the log held, perhaps: what is not below `log_end` has not run.
    pub(super) fn taken_over(note: &Note, offset: i64, log_end: i64) -> Quarantine {
        let mut quarantine = Quarantine { strikes: note.strikes, fence: note.fence };
        if note.open {
            quarantine.strikes = note.strikes.saturating_add(1);
            quarantine.fence = note.fence.max(note.limit.min(log_end));
        }
        quarantine.progressed(offset);
        quarantine
    }

    /// Everything below `offset` is finished. True: the suspects are all through, and the streak is over.
    pub(super) fn progressed(&mut self, offset: i64) -> bool {
        let over = self.strikes > 0 && offset >= self.fence;
        if over {
            self.strikes = 0;
        }
        over
    }

    /// How the next record starts, `lived` after the owner began.
    pub(super) fn care(self, lived: Duration) -> Care {
        match self.strikes {
            ..CAREFUL_AT => Care::None,
            ENVIRONMENT_AT.. if lived < CALM_AFTER => Care::Alone,
            _ => Care::Trial,
        }
    }

    /// Unclean ends in a row.
    pub(super) fn strikes(self) -> u8 {
        self.strikes
    }

    /// Where the suspects end.
    pub(super) fn fence(self) -> i64 {
        self.fence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(open: bool, strikes: u8, fence: i64, limit: i64) -> Note {
        Note { run_id: 0, open, strikes, fence, limit, anchor_ms: None, end: 0, unfinished: Vec::new(), log_id: None }
    }

    #[test]
    fn an_unclean_end_is_a_strike_against_all_that_may_have_run() {
        let first = Quarantine::taken_over(&note(true, 0, 100, 110), 100, 1_000);
        assert_eq!((first.strikes(), first.fence(), first.care(Duration::ZERO)), (1, 110, Care::None));
        let second = Quarantine::taken_over(&note(true, 1, 110, 105), 101, 1_000);
        assert_eq!((second.strikes(), second.fence(), second.care(Duration::ZERO)), (2, 110, Care::Trial));
    }

    #[test]
    fn what_did_not_exist_yet_is_no_suspect() {
        let idle = Quarantine::taken_over(&note(true, 1, 100, 1_124), 100, 103);
        assert_eq!((idle.strikes(), idle.fence()), (2, 103));
        let nothing_ran = Quarantine::taken_over(&note(true, 1, 100, 1_124), 100, 100);
        assert_eq!((nothing_ran.strikes(), nothing_ran.care(Duration::ZERO)), (0, Care::None));
    }

    #[test]
    fn a_clean_end_hands_the_suspicion_on_as_it_is() {
        let handed = Quarantine::taken_over(&note(false, 2, 110, 999), 100, 1_000);
        assert_eq!((handed.strikes(), handed.fence()), (2, 110));
    }

    #[test]
    fn the_streak_is_over_when_all_suspects_are_through() {
        let mut streak = Quarantine::taken_over(&note(true, 1, 100, 110), 100, 1_000);
        assert!(!streak.progressed(109));
        assert_eq!(streak.care(Duration::ZERO), Care::Trial);
        assert!(streak.progressed(110));
        assert_eq!(streak.care(Duration::ZERO), Care::None);
        assert_eq!(
            Quarantine::taken_over(&note(true, 3, 100, 110), 110, 1_000).care(Duration::ZERO),
            Care::None,
            "at the hand-over too"
        );
    }

    #[test]
    fn many_strikes_are_held_against_nobody() {
        let many = Quarantine::taken_over(&note(true, 5, 0, 110), 100, 1_000);
        assert_eq!(many.care(Duration::ZERO), Care::Alone);
        assert_eq!(many.care(CALM_AFTER), Care::Trial, "or a record that does kill would never end");
        assert_eq!(Quarantine::taken_over(&note(true, u8::MAX, 0, 110), 100, 1_000).strikes(), u8::MAX);
    }
}
