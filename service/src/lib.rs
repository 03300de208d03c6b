//! Reads tasks from Kafka, fetches the pictures they name, makes thumbnails, puts both into S3, reports the outcomes,
//! and only then commits: at-least-once, whatever dies when.
//!
//! The way of the data, one module an arrow:
//!
//! ```text
//! kafka ── Delivery ──> pipeline: task ─> fetch ─> image ─> store ─> kafka (outcome) ── AckedOutcome ──> progress ─> commit
//! ```
//!
//! `progress` decides what may be committed and knows no client; `kafka` is the only module that does; `flow` holds
//! every budget and every patience; `observe` is what the outside may see. An offset reaches the commit only with an
//! acknowledged outcome in hand, which the type [`kafka::AckedOutcome`] enforces.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap
    )
)]

pub mod cli;
pub mod config;
pub mod dispatch;
pub mod drain;
pub mod error;
pub mod fetch;
pub mod flow;
pub mod image;
pub mod kafka;
pub mod observe;
pub mod progress;
pub mod replay;
pub mod store;
pub mod task;
pub mod trial;

mod cgroup;
mod failpoint;
mod pipeline;
mod service;

pub use service::run;
