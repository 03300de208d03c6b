//! Random schedules of work and faults, each from a seed that replays it.
//!
//! A schedule is judged like every test: by the ledger, once all faults are healed and whoever stood still has gone on. One
//! in which no fault bit is a failure too.

mod main;
mod run;
mod schedule;

pub use main::main;
pub use run::{Report, run};
pub use schedule::{Schedule, Step, Work, of_seed, tree_of_seed};

/// The seed that a user names: `E2E_SEED=…`, decimal or `0x…`; else a new one.
///
/// # Panics
/// It is no number.
pub fn seed() -> u64 {
    match std::env::var("E2E_SEED") {
        Err(_) => fastrand::u64(..),
        Ok(text) => {
            let parsed = match text.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16),
                None => text.parse(),
            };
            parsed.unwrap_or_else(|error| panic!("E2E_SEED={text} is no seed: {error}"))
        }
    }
}
