//! The system ring: the real images in containers. Needs what `compose/prepare` prepares, and says so where it is missing.
//!
//! One binary, so that Kafka and the object store are started once. Each test has a sandbox of its own on them, and
//! opens with what it claims, which fault it places, and what decides.

mod chaos;
mod crash;
mod delivery;
mod effects;
mod groups;
mod harness;
mod hostile;
mod limits;
mod mutants;
mod network;
mod offsets;
mod page;
mod quarantine;
mod recreated;
mod released;
mod servers;
mod shutdown;
mod traces;
