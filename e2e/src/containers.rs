//! The real parts, in containers: an engine that answers, images that match the working tree, a network per run, and
//! Kafka and the object store started once for all tests of a binary.
//!
//! Nothing outlives the run: every container and network carries the run's labels, a reaper removes them when the test
//! process ends in whatever way, and a run that starts sweeps what dead ones left. `E2E_KEEP=1` keeps everything and
//! prints how to reach it. The harness needs a Docker engine on this very Linux machine: origins and trace receivers
//! live in the test process, and containers reach them at the gateway of the run's network.

pub mod broker;
pub mod container;
pub mod engine;
pub mod http;
pub mod images;
pub mod run;
pub mod spec;
pub mod stack;
pub mod store;

pub use container::Container;
pub use stack::Stack;
