//! The whole of this module against a naive model: a log, a broker that keeps one commit, owners that come and go.
//!
//! `PROPTEST_CASES=100000 cargo test --workspace --lib progress::tests` is the long mode; a failing schedule is shrunk and
//! its seed kept by proptest, which replays it first from then on.

mod another_log;
mod openings;
mod pace;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use steps::{Answer, step};

const PARTITION: i32 = 3;
const LEASE: Duration = Duration::from_secs(20);
const PARALLEL: usize = 8;

#[derive(Debug)]
struct Owner {
    progress: Progress,
    epoch: Epoch,
    /// The log it reads, as far as it goes by what it receives.
    log_id: u64,
    next: i64,
    waiting: BTreeSet<i64>,
    running: BTreeMap<i64, Care>,
    /// Child processes that a record killed before this owner's eyes.
    deaths: BTreeMap<i64, u32>,
    finished: BTreeSet<i64>,
    /// Left open by the commit that this owner took over.
    inherited_open: Box<Known>,
    heard: bool,
    under_way: Vec<(Commit, Instant)>,
}

/// What a commit that is believed says.
#[derive(Clone, Debug, Default)]
struct Known {
    next: i64,
    end: i64,
    unfinished: BTreeSet<i64>,
    limit: i64,
}

impl Known {
    fn is_open(&self, offset: i64) -> bool {
        offset >= self.next && (offset >= self.end || self.unfinished.contains(&offset))
    }
}

struct World {
    now: Instant,
    /// Every record there is: when it was written and whether it kills.
    log: BTreeMap<i64, (i64, bool)>,
    log_start: i64,
    log_end: i64,
    log_id: u64,
    /// The broker knows ids of topics.
    identifies: bool,
    finished: BTreeSet<i64>,
    condemned: BTreeSet<i64>,
    killed: BTreeMap<i64, u32>,
    commit: Option<(i64, String)>,
    owner: Option<Owner>,
    stale: Option<Commit>,
    /// Metadata was taken away or set back, so that strikes and maps may be forgotten: counted, not promised.
    disturbed: u32,
    owners: u64,
    clock_ms: i64,
}

fn place() -> Place {
    Place { group: "g".into(), topic: "t".into(), partition: PARTITION }
}

impl World {
    fn new(identifies: bool) -> World {
        World {
            now: Instant::now(),
            log: BTreeMap::new(),
            log_start: 0,
            log_end: 0,
            log_id: 1,
            identifies,
            finished: BTreeSet::new(),
            condemned: BTreeSet::new(),
            killed: BTreeMap::new(),
            commit: None,
            owner: None,
            stale: None,
            disturbed: 0,
            owners: 0,
            clock_ms: 1_000,
        }
    }

    /// What the broker's commit says to one who believes it.
    fn known(&self) -> Known {
        let Some((next, metadata)) = &self.commit else { return Known::default() };
        match Note::read(metadata.as_bytes(), &place(), *next) {
            Ok(Some(_)) if self.commit_is_of_another_log() => Known::default(),
            Ok(Some(note)) => Known {
                next: *next,
                end: note.end,
                unfinished: note.unfinished.into_iter().collect(),
                limit: note.limit,
            },
            _ => Known { next: *next, end: *next, ..Known::default() },
        }
    }

    fn commit_is_of_another_log(&self) -> bool {
        let Some((next, metadata)) = &self.commit else { return false };
        let note = Note::read(metadata.as_bytes(), &place(), *next).ok().flatten();
        note.and_then(|note| note.log_id).is_some_and(|id| id != LogId(self.log_id))
    }

    /// I3: below the offset and in the map everything is finished or does not exist.
    fn commit_is_honest(&self) {
        let known = self.known();
        for offset in self.log.keys() {
            assert!(
                known.is_open(*offset) || self.finished.contains(offset),
                "I3: {offset} is not finished: {known:?}"
            );
        }
    }

    fn broker_keeps(&mut self, commit: &Commit) {
        assert!(commit.metadata.encode_utf16().count() <= METADATA_UNITS_MAX);
        self.commit = Some((commit.next_offset, commit.metadata.clone()));
        self.commit_is_honest();
    }

    fn owner(&mut self) -> &mut Owner {
        if self.owner.is_none() {
            self.owners += 1;
            let mut progress = Progress::new("g", "t", self.owners, LEASE);
            let epoch = progress.assigned(PARTITION);
            let (committed, metadata) = self.commit.clone().unzip();
            let found = Found {
                committed,
                metadata: metadata.unwrap_or_default().into_bytes(),
                log_start: self.log_start,
                log_end: self.log_end,
                log_id: self.identifies.then_some(LogId(self.log_id)),
            };
            assert_eq!(progress.received(PARTITION, 0, None), None, "nothing arrives before it is open");
            let opened = progress.open(PARTITION, epoch, &found, self.now).expect("its own epoch");
            assert!(opened.start >= self.log_start);
            let lost = self.log.range(..opened.start).find(|(offset, _)| !self.finished.contains(offset));
            assert_eq!(lost, None, "I1: reading starts above an unfinished record");
            let inherited = match (opened.beyond_end, opened.distrust) {
                (true, _) => Known::default(),
                (false, Some(_)) => Known { end: 0, unfinished: BTreeSet::new(), ..self.known() },
                (false, None) => self.known(),
            };
            self.owner = Some(Owner {
                progress,
                epoch,
                log_id: self.log_id,
                next: opened.start,
                waiting: BTreeSet::new(),
                running: BTreeMap::new(),
                deaths: BTreeMap::new(),
                finished: BTreeSet::new(),
                inherited_open: Box::new(inherited),
                heard: false,
                under_way: Vec::new(),
            });
        }
        self.owner.as_mut().expect("made above")
    }

    fn receive(&mut self) {
        let next = self.owner().next;
        let Some((&offset, &(written_ms, _))) = self.log.range(next..).next() else { return };
        let (finished, log_id) = (self.finished.contains(&offset), self.log_id);
        let owner = self.owner();
        let mut received = owner.progress.received(PARTITION, offset, Some(written_ms)).expect("open");
        if received.is_err() {
            *owner.inherited_open = Known::default();
            received = owner.progress.received(PARTITION, offset, Some(written_ms)).expect("open");
        }
        match received.expect("said once") {
            (_, Received::New) => assert!(owner.waiting.insert(offset)),
            // Passed over for now by one that does not know yet that this is another log.
            (_, Received::Done) => assert!(finished || owner.log_id != log_id, "I1: {offset} is passed over"),
            (_, Received::AnotherLog) => panic!("{offset} after {next}"),
        }
        owner.next = offset + 1;
    }

    fn start(&mut self, pick: usize) {
        let (now, known) = (self.now, self.known());
        let owner = self.owner();
        if owner.waiting.is_empty() || owner.running.len() == PARALLEL {
            return;
        }
        let offset = *owner.waiting.iter().nth(pick % owner.waiting.len()).expect("one of them");
        let Some(Ok(care)) = owner.progress.may_start(PARTITION, offset, now) else { return };
        assert!(owner.heard, "nothing starts before a commit is acknowledged");
        assert!(owner.inherited_open.is_open(offset), "I4: {offset} runs again although a commit said it is finished");
        assert!(owner.progress.finished_uncommitted() < START_NOTHING_AT);
        owner.progress.started(PARTITION, offset);
        owner.waiting.remove(&offset);
        owner.running.insert(offset, care);
        if self.disturbed == 0 {
            assert!(offset < known.limit, "I4: {offset} starts above what the broker knows: {known:?}");
        }
    }

    fn finish(&mut self, pick: usize) {
        let now = self.now;
        let owner = self.owner();
        if owner.running.is_empty() {
            return;
        }
        let (&offset, &care) = owner.running.iter().nth(pick % owner.running.len()).expect("one of them");
        let kills = self.log.get(&offset).is_some_and(|(_, kills)| *kills);
        let owner = self.owner();
        if kills && care == Care::None {
            *self.killed.entry(offset).or_default() += 1;
            let deaths = self.killed[&offset];
            assert!(deaths <= u32::from(CAREFUL_AT) + 2 * self.disturbed, "{offset} killed {deaths} processes");
            return self.crash();
        }
        if kills {
            let deaths = owner.deaths.entry(offset).or_default();
            *deaths += u32::from(care == Care::Trial);
            if *deaths < 2 {
                // It runs again, with the care that is due now.
                if let Some(Ok(care)) = owner.progress.may_start(PARTITION, offset, now) {
                    owner.running.insert(offset, care);
                }
                return;
            }
        }
        if !owner.progress.may_publish(PARTITION, owner.epoch, now) {
            return;
        }
        owner.running.remove(&offset);
        let epoch = owner.epoch;
        assert!(owner.progress.finished(PARTITION, epoch, offset).counted);
        owner.finished.insert(offset);
        self.finished.insert(offset);
        if kills {
            self.condemned.insert(offset);
        }
    }

    fn commit(&mut self, all: bool) {
        let now = self.now;
        let owner = self.owner();
        if owner.under_way.is_empty() {
            let commits = owner.progress.commits(all || !owner.heard, now);
            owner.under_way = commits.into_iter().map(|commit| (commit, now)).collect();
        }
    }

    fn answer(&mut self, answer: Answer) {
        for (commit, sent_at) in std::mem::take(&mut self.owner().under_way) {
            match answer {
                Answer::Acknowledged => {
                    self.broker_keeps(&commit);
                    let owner = self.owner();
                    owner.progress.committed(&commit, sent_at);
                    owner.heard |= commit.epoch == owner.epoch;
                    self.nothing_more_would_run_again();
                }
                Answer::Unheard => self.broker_keeps(&commit),
                Answer::Refused => {}
                Answer::TooLarge => {
                    self.owner().progress.metadata_refused(&commit);
                }
            }
        }
    }

    /// I4: what is finished and open at the broker is what this owner counts. Except for one that does not know yet that the
    /// topic was made anew.
    fn nothing_more_would_run_again(&mut self) {
        let (known, log_id) = (self.known(), self.log_id);
        let owner = self.owner();
        if owner.log_id != log_id {
            return;
        }
        let open = owner.finished.iter().filter(|offset| known.is_open(**offset)).count();
        let counted = owner.progress.finished_uncommitted();
        assert!(open <= counted, "I4: {open} would run again, {counted} are counted");
    }

    fn count_is_right(&self) {
        let Some(Owner { progress, .. }) = &self.owner else { return };
        let counted: usize = progress.opened().map(|owned| owned.offsets.finished_uncommitted()).sum();
        assert_eq!(progress.finished_uncommitted(), counted);
    }

    fn crash(&mut self) {
        self.owner = None;
    }

    fn unassign(&mut self) -> Option<Commit> {
        let mut owner = self.owner.take()?;
        let closing = owner.progress.unassigned(PARTITION);
        for offset in owner.running.keys() {
            assert!(!owner.progress.finished(PARTITION, owner.epoch, *offset).counted, "I7: finished after the end");
        }
        assert!(!owner.progress.may_publish(PARTITION, owner.epoch, self.now), "I7: published after the end");
        closing
    }

    /// An owner of another log opens the partition again, as the commit thread does.
    fn identify(&mut self) {
        if self.identifies
            && self.owner.as_ref().is_some_and(|owner| !owner.progress.of_another_log(LogId(self.log_id)).is_empty())
        {
            self.crash();
        }
    }

    /// Faults are over: everything that the log holds must finish.
    fn settle(&mut self) {
        self.identify();
        let first = 0;
        for _ in 0..20 * (self.log.len() + 10) {
            if self.log.keys().all(|offset| self.finished.contains(offset)) {
                return;
            }
            self.now += Duration::from_secs(1);
            self.commit(true);
            self.answer(Answer::Acknowledged);
            self.receive();
            self.start(first);
            self.finish(first);
        }
        let left: Vec<_> = self.log.keys().filter(|offset| !self.finished.contains(offset)).collect();
        panic!("I1: stuck with {left:?}: {:?}", self.owner);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_and_every_commit_is_true(steps in prop::collection::vec(step(), 0..250), identifies: bool) {
        let mut world = World::new(identifies);
        for step in steps {
            world.take(step);
            world.count_is_right();
        }
        world.settle();
        let innocent = world.condemned.iter().find(|offset| world.log.get(offset).is_some_and(|(_, kills)| !kills));
        prop_assert!(world.disturbed > 0 || innocent.is_none(), "condemned although it kills nobody: {innocent:?}");
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000)
}
