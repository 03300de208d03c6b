//! What a schedule is, and how one is made of a seed.

use std::fmt;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::fault::Fault;
use crate::kafka::Protocol;
use crate::store_proxy::StoreFault;
use crate::traces::CollectorFault;

/// Work and faults, one step after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What it was made of.
    pub seed: u64,
    /// How the group's members find together.
    pub protocol: Protocol,
    /// How many there are.
    pub members: usize,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Tasks are written, then a fault bites for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// A task each.
    pub tasks: Vec<Work>,
    /// The fault.
    pub fault: Fault,
    /// How long it bites.
    pub lasts: Duration,
    /// Healed only when the next one bites.
    pub overlaps: bool,
}

/// How the origin serves a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// At once.
    Prompt,
    /// So many milliseconds late.
    Late(u64),
    /// With this status at first, then as it should.
    RefusedOnce(u16),
    /// Cut off in the middle at first, then whole.
    TruncatedOnce,
    /// Reset in the middle at first, then whole.
    ResetOnce,
    /// Never: there is none.
    Missing,
    /// As bytes that are no picture.
    NoPicture,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {:#018x}, {}, {} members", self.seed, self.protocol.as_str(), self.members)?;
        for step in &self.steps {
            let (tasks, lasts) = (step.tasks.len(), step.lasts.as_millis());
            let overlaps = if step.overlaps { ", into the next" } else { "" };
            write!(f, "; {tasks} tasks, {} for {lasts} ms{overlaps}", step.fault)?;
        }
        Ok(())
    }
}

/// The schedule of `seed`, always the same for one version of this program.
pub fn of_seed(seed: u64) -> Schedule {
    tree_of_seed(seed).current()
}

/// The same, and the simpler ones that it can be shrunk to.
pub fn tree_of_seed(seed: u64) -> impl ValueTree<Value = Schedule> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tree = schedules(seed).new_tree(&mut runner);
    tree.unwrap_or_else(|reason| panic!("no schedule of seed {seed:#x}: {reason}"))
}

fn schedules(seed: u64) -> impl Strategy<Value = Schedule> {
    let protocols = prop_oneof![Just(Protocol::Classic), Just(Protocol::Kip848)];
    (protocols, 1..=3_usize, prop::collection::vec(steps(), 1..=4))
        .prop_map(move |(protocol, members, steps)| Schedule { seed, protocol, members, steps })
}

fn steps() -> impl Strategy<Value = Step> {
    let lasts = (0..=9_000_u64).prop_map(Duration::from_millis);
    (prop::collection::vec(work(), 2..=24), faults(), lasts, prop::bool::ANY)
        .prop_map(|(tasks, fault, lasts, overlaps)| Step { tasks, fault, lasts, overlaps })
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        4 => Just(Work::Prompt),
        4 => (1..=1_000_u64).prop_map(Work::Late),
        1 => prop_oneof![Just(429), Just(500), Just(503)].prop_map(Work::RefusedOnce),
        1 => Just(Work::TruncatedOnce),
        1 => Just(Work::ResetOnce),
        1 => Just(Work::Missing),
        1 => Just(Work::NoPicture),
    ]
}

/// Only such as meet nobody outside of the sandbox.
fn faults() -> impl Strategy<Value = Fault> {
    let member = 0..3_usize;
    prop_oneof![
        3 => member.clone().prop_map(Fault::Killed),
        3 => member.clone().prop_map(Fault::Stopped),
        2 => member.clone().prop_map(Fault::CutOff),
        1 => member.clone().prop_map(Fault::Forgotten),
        1 => member.clone().prop_map(Fault::Drained),
        1 => Just(Fault::RollingRestart),
        1 => Just(Fault::OutcomesRefused),
        1 => prop_oneof![Just(CollectorFault::Refuses), Just(CollectorFault::Silent)].prop_map(Fault::CollectorFails),
        1 => (member.clone(), 5..=200_u64).prop_map(|(member, millis)| Fault::SlowKafka(member, millis)),
        2 => (member, store_faults()).prop_map(|(member, fault)| Fault::StoreFails(member, fault)),
    ]
}

fn store_faults() -> impl Strategy<Value = StoreFault> {
    prop_oneof![
        // The last is what wrong credentials get.
        prop_oneof![Just(503), Just(500), Just(403)].prop_map(StoreFault::Status),
        (50..=1_500_u64).prop_map(|millis| StoreFault::Slow(Duration::from_millis(millis))),
        (0..=2_000_usize).prop_map(StoreFault::ResetMidUpload),
        Just(StoreFault::Silent),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_always_the_same_schedule_and_others_differ() {
        assert_eq!(of_seed(7), of_seed(7));
        assert_ne!(of_seed(7), of_seed(8));
    }

    #[test]
    fn every_schedule_has_work_and_a_fault_and_all_kinds_occur() {
        let schedules: Vec<_> = (0..400).map(of_seed).collect();
        assert!(schedules.iter().all(|schedule| schedule.steps.iter().all(|step| step.tasks.len() >= 2)));
        let kinds: BTreeSet<_> =
            schedules.iter().flat_map(|of| of.steps.iter().map(|step| step.fault.kind())).collect();
        assert_eq!(kinds.len(), 14, "{kinds:?}");
    }

    #[test]
    fn a_schedule_shrinks_to_simpler_ones() {
        let mut tree = tree_of_seed(3);
        let whole = tree.current();
        let mut simplest = whole.clone();
        // As if everything simpler failed too.
        while tree.simplify() {
            simplest = tree.current();
        }
        assert!(simplest.steps.len() <= whole.steps.len() && simplest != whole, "{simplest}");
        assert_eq!(simplest.seed, whole.seed);
    }
}
