//! How far the work is: a bar on a terminal, a line a second elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::embedded::Stack;
use crate::ledger::Ledger;

/// How often it is worth looking.
pub(super) const EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The display of one run.
pub(super) struct Progress {
    ledger: Ledger,
    bar: Option<ProgressBar>,
    line_at: Instant,
    /// What the last line said.
    said: usize,
}

impl Progress {
    /// Begins to show the progress of a stack's ledger.
    pub(super) fn of(stack: &Stack) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len}  {per_sec:.0}  {elapsed_precise}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Progress { ledger: stack.ledger.clone(), bar, line_at: Instant::now(), said: 0 }
    }

    /// Shows where the ledger stands.
    pub(super) fn show(&mut self) {
        let (finished, all) = self.ledger.progress();
        match &self.bar {
            Some(bar) => {
                bar.set_length(all as u64);
                bar.set_position(finished as u64);
            }
            None if finished != self.said && (self.line_at <= Instant::now() || finished == all) => {
                eprintln!("{finished} of {all} pictures finished");
                (self.said, self.line_at) = (finished, Instant::now() + LINE_EVERY);
            }
            None => {}
        }
    }

    /// Says what happens now.
    pub(super) fn say(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => bar.println(what),
            None => eprintln!("{what}"),
        }
    }

    /// The run is over.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.abandon();
        }
    }
}
