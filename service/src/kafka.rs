//! The only place that knows the Kafka client: records in, outcomes and dead letters out, positions committed.
//!
//! The poll thread receives, the intake decides what may start, the commit thread says what is finished. A record is
//! finished only by an acknowledged outcome, so a kill at any point leaves its offset uncommitted and it comes again.

mod client;
mod commit;
mod committed;
mod consumer;
mod dead_letters;
mod dead_log;
mod headers;
mod intake;
mod log_bounds;
mod log_id;
mod producer;
mod rebalance;
pub mod setup;

pub(crate) use client::refused;
pub use consumer::{Consumer, Drained};
#[cfg(fuzzing)]
pub use dead_letters::fuzz_headers;
pub use dead_log::{DeadLog, Inscription, Letter, Place, Source, Unreadable};
pub use intake::{Delivery, Sizes};
pub use producer::{AckedOutcome, ProduceError, Producer};
