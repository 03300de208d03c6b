//! The harness: it starts the pipeline, breaks it at chosen places, and decides from a ledger whether anything was
//! lost, repeated or wrong.
//!
//! Two rings use it. `embedded` runs the real downloader against librdkafka's mock cluster and an S3 server in this
//! process; `sandbox` runs the real images in containers. Both share the origin, the ledger and the clients that read
//! back what the pipeline left. A double here is a fake that works, and every helper has a test in which it fails.

#![allow(clippy::result_large_err, reason = "errors of a harness are read by people, once")]

pub mod bucket;
pub mod demo;
pub mod embedded;
pub mod expect;
pub mod fault_book;
pub mod fixtures;
pub mod gate;
pub mod kafka;
pub mod ledger;
pub mod origin;
pub mod scrape;

// The real stack in containers.
#[cfg(feature = "containers")]
pub mod browser;
#[cfg(feature = "containers")]
pub mod chaos;
#[cfg(feature = "containers")]
pub mod containers;
#[cfg(feature = "containers")]
pub mod downloader;
#[cfg(feature = "containers")]
pub mod failpoints;
#[cfg(feature = "containers")]
pub mod fault;
#[cfg(feature = "containers")]
pub mod fleet;
#[cfg(feature = "containers")]
pub mod management;
#[cfg(feature = "containers")]
pub mod naive;
#[cfg(feature = "containers")]
pub mod name_server;
#[cfg(feature = "containers")]
pub mod proxy;
#[cfg(feature = "containers")]
pub mod sandbox;
#[cfg(feature = "containers")]
pub mod store_proxy;
#[cfg(feature = "containers")]
pub mod traces;
