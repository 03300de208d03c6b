//! The verdict over a run, and how a person reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use super::Subject;
use crate::kafka::PartitionOffsets;

/// Most subjects that a line of the report names.
const NAMED_MAX: usize = 20;

/// What a run came to. Sets name who; the report prints them.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Records that are not finished (I1).
    pub lost: BTreeSet<Subject>,
    /// Of the lost ones, those that the group's commits have passed: nobody will look at them again (I3).
    pub committed_over: BTreeSet<Subject>,
    /// Finished, but not as they should, and why (I2, I5).
    pub wrong: BTreeMap<Subject, Vec<String>>,
    /// Finished more than once, and how often.
    pub repeated: BTreeMap<Subject, usize>,
    /// Fetched again after they were begun by somebody who died, with the number of requests.
    pub rerun: BTreeMap<Subject, usize>,
    /// The most records that may be rerun or repeated (I4); none: not bounded here.
    pub bound: Option<usize>,
    /// What nobody should have written.
    pub strays: Vec<String>,
    /// Objects of tasks that ended in an `Error`. No fault by itself.
    pub orphans: BTreeSet<String>,
    /// Tasks that ended in an `Ok`.
    pub ok: usize,
    /// Tasks that ended in an `Error`, by code.
    pub errors: BTreeMap<String, usize>,
    /// Records that ended in a dead letter alone.
    pub dead_only: usize,
    /// Where the group stands.
    pub commits: Vec<PartitionOffsets>,
}

impl Verdict {
    /// The rerun bound of I4 for `unclean_ends` ends of processes with so many parallel operations.
    pub fn rerun_bound(parallel_operations: usize, unclean_ends: usize) -> usize {
        (parallel_operations + 512) * unclean_ends
    }

    /// Nothing lost, nothing wrong, nothing stray, and no more rerun or repeated than allowed.
    pub fn is_green(&self) -> bool {
        let within = |n: usize| self.bound.is_none_or(|bound| n <= bound);
        self.lost.is_empty()
            && self.wrong.is_empty()
            && self.strays.is_empty()
            && within(self.rerun.len())
            && within(self.repeated.len())
    }

    /// Every committed offset stands at the end of its log.
    pub fn all_committed(&self) -> bool {
        !self.commits.is_empty()
            && self.commits.iter().all(|offsets| offsets.high == offsets.low || offsets.committed == Some(offsets.high))
    }

    /// # Panics
    /// It is red.
    #[track_caller]
    pub fn assert_green(&self) {
        assert!(self.is_green(), "{self}");
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors: usize = self.errors.values().sum();
        let all = self.ok + errors + self.dead_only + self.lost.len();
        writeln!(f, "ledger: {all} records")?;
        writeln!(f, "  Ok        {}", self.ok)?;
        let by_code = self.errors.iter().map(|(code, n)| format!("{code} {n}")).collect::<Vec<_>>().join(", ");
        writeln!(f, "  Error     {errors}{}", if errors > 0 { format!(" ({by_code})") } else { String::new() })?;
        if self.dead_only > 0 {
            writeln!(f, "  no task   {} (dead letter only)", self.dead_only)?;
        }
        writeln!(f, "  lost      {}{}", self.lost.len(), named(self.lost.iter()))?;
        if !self.committed_over.is_empty() {
            writeln!(f, "    committed over{}", named(self.committed_over.iter()))?;
        }
        writeln!(f, "  wrong     {}", self.wrong.len())?;
        for (subject, problems) in &self.wrong {
            writeln!(f, "    {subject}: {}", problems.join("; "))?;
        }
        let bound = self.bound.map_or_else(String::new, |bound| format!(" of at most {bound}"));
        writeln!(f, "  repeated  {}{bound}{}", self.repeated.len(), named(self.repeated.keys()))?;
        writeln!(f, "  rerun     {}{bound}{}", self.rerun.len(), named(self.rerun.keys()))?;
        self.strays.iter().try_for_each(|stray| writeln!(f, "  stray     {stray}"))?;
        if !self.orphans.is_empty() {
            writeln!(f, "  orphans   {}{}", self.orphans.len(), named(self.orphans.iter()))?;
        }
        if !self.commits.is_empty() {
            let place = |offsets: &PartitionOffsets| {
                let committed = offsets.committed.map_or("none".to_owned(), |next_offset| next_offset.to_string());
                format!("{committed}/{}", offsets.high)
            };
            let places = self.commits.iter().map(place).collect::<Vec<_>>().join(" ");
            writeln!(f, "  committed {places} (of each partition's end)")?;
        }
        write!(f, "verdict: {}", if self.is_green() { "green" } else { "RED" })
    }
}

fn named<T: Display>(subjects: impl ExactSizeIterator<Item = T>) -> String {
    let (count, mut text) = (subjects.len(), String::new());
    for (index, subject) in subjects.take(NAMED_MAX).enumerate() {
        text += &format!("{}{subject}", if index == 0 { ": " } else { " " });
    }
    if count > NAMED_MAX { text + " …" } else { text }
}
