//! The verdict over a run, and how a person reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use super::{Invariant, Problem, Subject};
use crate::kafka::PartitionOffsets;

/// Most subjects that a line of the report names.
const NAMED_MAX: usize = 20;

/// A commit that said of records what was not true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lie {
    /// The partition.
    pub partition: i32,
    /// The committed offset.
    pub next_offset: i64,
    /// Which process made it, where it says so.
    pub writer: Option<u64>,
    /// When the broker wrote it down, in Unix milliseconds.
    pub at_ms: i64,
    /// Records that it called finished, and which were not.
    pub subjects: BTreeSet<Subject>,
}

/// What a run came to. Sets name who; the report prints them.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Records that are not finished (I1).
    pub lost: BTreeSet<Subject>,
    /// Of the lost ones, those that the group's commits have passed: nobody will look at them again (I3).
    pub committed_over: BTreeSet<Subject>,
    /// Not finished, and nobody's fault: retention took them first, or their topic is gone.
    pub expired: BTreeSet<Subject>,
    /// Commits that were not true when they were made (I3).
    pub lies: Vec<Lie>,
    /// Fetched again by a successor although the commit that it found called them finished (I4, by sets).
    pub rerun_recorded: BTreeSet<Subject>,
    /// Records of which a process that had long lost their partition published an outcome (I7).
    pub late: BTreeSet<Subject>,
    /// Records that a former owner's commit opened again, though its successor's had closed them (I7).
    pub set_back: BTreeSet<Subject>,
    /// How many commits were judged, and how many processes made them.
    pub commits_seen: usize,
    /// See [`Verdict::commits_seen`].
    pub writers: usize,
    /// Finished, but not as they should, and why.
    pub wrong: BTreeMap<Subject, Vec<Problem>>,
    /// Finished more than once, and how often.
    pub repeated: BTreeMap<Subject, usize>,
    /// Fetched again after they were begun by somebody who died, with the number of requests.
    pub rerun: BTreeMap<Subject, usize>,
    /// The most records that may be rerun, and the most outcomes beyond each record's first (I4); none: not bounded here.
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

    /// Which promises are broken.
    pub fn broken(&self) -> BTreeSet<Invariant> {
        let within = |n: usize| self.bound.is_none_or(|bound| n <= bound);
        let broken = [
            (Invariant::I1, !self.lost.is_empty()),
            (Invariant::I3, !self.lies.is_empty() || !self.committed_over.is_empty()),
            (
                Invariant::I4,
                !self.rerun_recorded.is_empty() || !within(self.rerun.len()) || !within(self.extra_outcomes()),
            ),
            (Invariant::I7, !self.late.is_empty() || !self.set_back.is_empty()),
            (Invariant::Contract, !self.strays.is_empty()),
        ];
        let broken = broken.into_iter().filter(|(_, broken)| *broken).map(|(invariant, _)| invariant);
        broken.chain(self.wrong.values().flatten().map(|problem| problem.breaks)).collect()
    }

    /// Nothing lost, nothing wrong, nothing stray, every commit true, nothing late, and no more rerun or repeated than allowed.
    pub fn is_green(&self) -> bool {
        self.broken().is_empty()
    }

    /// Outcomes beyond the first of each record. A record that is reported a thousand times is one record.
    fn extra_outcomes(&self) -> usize {
        self.repeated.values().map(|times| times.saturating_sub(1)).sum()
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
        let all = self.ok + errors + self.dead_only + self.lost.len() + self.expired.len();
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
        if !self.expired.is_empty() {
            writeln!(f, "  expired   {}{}", self.expired.len(), named(self.expired.iter()))?;
        }
        for lie in &self.lies {
            let writer = lie.writer.map_or("nobody".to_owned(), |run_id| format!("{run_id:016x}"));
            let (partition, next_offset) = (lie.partition, lie.next_offset);
            writeln!(
                f,
                "  I3 broken: {writer} committed {next_offset} of partition {partition}, unfinished{}",
                named(lie.subjects.iter())
            )?;
        }
        if !self.rerun_recorded.is_empty() {
            let named = named(self.rerun_recorded.iter());
            writeln!(f, "  I4 broken: {} run again though recorded{named}", self.rerun_recorded.len())?;
        }
        if !self.late.is_empty() {
            writeln!(f, "  I7 broken: {} published by a former owner{}", self.late.len(), named(self.late.iter()))?;
        }
        if !self.set_back.is_empty() {
            let named = named(self.set_back.iter());
            writeln!(f, "  I7 broken: {} opened again by a former owner's commit{named}", self.set_back.len())?;
        }
        writeln!(f, "  wrong     {}", self.wrong.len())?;
        for (subject, problems) in &self.wrong {
            writeln!(f, "    {subject}: {}", joined(problems, "; "))?;
        }
        let bound = self.bound.map_or_else(String::new, |bound| format!(" of at most {bound}"));
        writeln!(f, "  repeated  {}{bound}{}", self.repeated.len(), named(self.repeated.keys()))?;
        if self.extra_outcomes() > self.repeated.len() {
            writeln!(f, "    outcomes beyond the first {}{bound}", self.extra_outcomes())?;
        }
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
        if self.commits_seen > 0 {
            writeln!(f, "  commits   {} by {} processes", self.commits_seen, self.writers)?;
        }
        match self.broken() {
            none if none.is_empty() => write!(f, "verdict: green"),
            broken => write!(f, "verdict: RED ({})", joined(&broken, ", ")),
        }
    }
}

fn joined<T: Display>(parts: impl IntoIterator<Item = T>, between: &str) -> String {
    parts.into_iter().map(|part| part.to_string()).collect::<Vec<_>>().join(between)
}

fn named<T: Display>(subjects: impl ExactSizeIterator<Item = T>) -> String {
    let (count, mut text) = (subjects.len(), String::new());
    for (index, subject) in subjects.take(NAMED_MAX).enumerate() {
        text += &format!("{}{subject}", if index == 0 { ": " } else { " " });
    }
    if count > NAMED_MAX { text + " …" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_names_what_is_broken() {
        let set = |subject: u64| [Subject::Task(subject)].into();
        let lie = Lie { partition: 0, next_offset: 1, writer: None, at_ms: 0, subjects: set(1) };
        let wrong = |breaks| [(Subject::Task(1), vec![Problem::new(breaks, "it is")])].into();
        let bound = Some(1);
        let cases = [
            (Verdict { lost: set(1), ..Verdict::default() }, "I1"),
            (Verdict { wrong: wrong(Invariant::I2), ..Verdict::default() }, "I2"),
            (Verdict { lies: vec![lie], ..Verdict::default() }, "I3"),
            (Verdict { lost: set(1), committed_over: set(1), ..Verdict::default() }, "I1, I3"),
            (Verdict { rerun_recorded: set(1), ..Verdict::default() }, "I4"),
            (Verdict { bound, rerun: [1, 2].map(|id| (Subject::Task(id), 2)).into(), ..Verdict::default() }, "I4"),
            (Verdict { bound, repeated: [(Subject::Task(1), 3)].into(), ..Verdict::default() }, "I4"),
            (Verdict { wrong: wrong(Invariant::I5), ..Verdict::default() }, "I5"),
            (Verdict { late: set(1), ..Verdict::default() }, "I7"),
            (Verdict { set_back: set(1), ..Verdict::default() }, "I7"),
            (Verdict { strays: vec!["it".into()], ..Verdict::default() }, "contract"),
            (Verdict { wrong: wrong(Invariant::Contract), ..Verdict::default() }, "contract"),
        ];
        for (verdict, broken) in cases {
            assert!(
                !verdict.is_green() && verdict.to_string().ends_with(&format!("verdict: RED ({broken})")),
                "{verdict}"
            );
        }
        let expired =
            Verdict { expired: set(1), bound, repeated: [(Subject::Task(2), 2)].into(), ..Verdict::default() };
        assert!(expired.broken().is_empty() && expired.to_string().ends_with("verdict: green"), "{expired}");
    }
}
