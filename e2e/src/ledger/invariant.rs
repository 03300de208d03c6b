//! What a run can break, by the names that the design gives its promises.

use std::fmt;

/// A promise of the pipeline that a ledger can see broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// No loss: every record is finished.
    I1,
    /// Durable first: an `Ok` outcome has both objects, complete and made from the same bytes.
    I2,
    /// Honest commit: what a commit calls finished is finished.
    I3,
    /// Bounded reruns: after an unclean end only what the last commit left open runs again.
    I4,
    /// Harmless repeats: a repeat leaves the same bytes.
    I5,
    /// No zombie: who has lost a partition publishes and commits nothing more for it.
    I7,
    /// The wire contract: each record comes to the outcome or dead letter that it should, and to nothing else.
    Contract,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Invariant::I1 => "I1",
            Invariant::I2 => "I2",
            Invariant::I3 => "I3",
            Invariant::I4 => "I4",
            Invariant::I5 => "I5",
            Invariant::I7 => "I7",
            Invariant::Contract => "contract",
        })
    }
}

/// What is wrong with a record that is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The promise it breaks.
    pub breaks: Invariant,
    /// In words.
    pub what: String,
}

impl Problem {
    pub(super) fn new(breaks: Invariant, what: impl Into<String>) -> Problem {
        Problem { breaks, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
