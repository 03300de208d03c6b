//! A child's last word and its end -> what that proves about the record. Pure.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::Signal;

use crate::pipeline::Decision;

/// Signals that a process gets for what it does itself.
const KILLERS: [(Signal, &str); 5] = [
    (Signal::ABORT, "SIGABRT"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::BUS, "SIGBUS"),
    (Signal::ILL, "SIGILL"),
    (Signal::FPE, "SIGFPE"),
];
const OUT_OF_MEMORY: &str = "SIGKILL for want of memory";

/// What the end of a child proves about its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The child came to a decision; how it ended after that does not matter.
    Decided(Decision),
    /// The record ended the child.
    Killer {
        /// By which signal.
        cause: &'static str,
    },
    /// Nothing: the child was killed from outside, or ended by itself.
    None {
        /// What happened, for the log.
        why: String,
    },
}

/// `oom_killed`: the kernel killed somebody in our control group for want of memory since the child began. Children are
/// the first it takes.
pub(super) fn judge(decision: Option<Decision>, ended: io::Result<ExitStatus>, oom_killed: bool) -> Evidence {
    if let Some(decision) = decision {
        return Evidence::Decided(decision);
    }
    let status = match ended {
        Ok(status) => status,
        Err(error) => return Evidence::None { why: format!("nobody knows how the child ended: {error}") },
    };
    let Some(signal) = status.signal() else {
        return Evidence::None { why: format!("the child ended without a decision, with {status}") };
    };
    let killer = KILLERS.iter().find(|(killer, _)| killer.as_raw() == signal).map(|(_, name)| *name);
    let killer = killer.or((signal == Signal::KILL.as_raw() && oom_killed).then_some(OUT_OF_MEMORY));
    match killer {
        Some(cause) => Evidence::Killer { cause },
        None => Evidence::None { why: format!("the child was killed from outside, by {status}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::observe::metrics::End;
    use crate::task::Outcome;

    /// As the system encodes a death by `signal`.
    fn killed_by(signal: i32) -> ExitStatus {
        ExitStatus::from_raw(signal)
    }

    fn exited_with(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn every_signal_and_exit_code_proves_what_the_table_says() {
        let killers = [6, 11, 7, 4, 8];
        for oom_killed in [false, true] {
            for signal in 1..=64 {
                let proves = judge(None, Ok(killed_by(signal)), oom_killed);
                let expected = killers.contains(&signal) || (signal == 9 && oom_killed);
                assert_eq!(matches!(proves, Evidence::Killer { .. }), expected, "{signal}, {oom_killed}: {proves:?}");
                assert_eq!(matches!(proves, Evidence::None { .. }), !expected, "{signal}, {oom_killed}: {proves:?}");
            }
            for code in 0..=255 {
                let proves = judge(None, Ok(exited_with(code)), oom_killed);
                assert!(matches!(proves, Evidence::None { .. }), "{code}, {oom_killed}: {proves:?}");
            }
            let unknown = judge(None, Err(io::ErrorKind::NotFound.into()), oom_killed);
            assert!(matches!(unknown, Evidence::None { .. }), "{unknown:?}");
        }
    }

    #[test]
    fn a_core_dump_changes_nothing_and_the_log_names_the_signal() {
        for (signal, name) in [(6, "SIGABRT"), (11, "SIGSEGV"), (7, "SIGBUS"), (4, "SIGILL"), (8, "SIGFPE")] {
            for status in [killed_by(signal), killed_by(signal | 0x80)] {
                assert_eq!(judge(None, Ok(status), false), Evidence::Killer { cause: name });
            }
        }
    }

    #[test]
    fn a_decision_stands_however_the_child_ended() {
        let code = Code::ImageCorrupt;
        let decision = Decision::Outcome(Outcome::error(1, 1, code, true), End::Error(code));
        for ended in [exited_with(0), exited_with(101), killed_by(6), killed_by(9)] {
            assert_eq!(judge(Some(decision.clone()), Ok(ended), true), Evidence::Decided(decision.clone()));
        }
    }
}
