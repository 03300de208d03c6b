//! A trace collector in the test process: takes spans by OTLP, `http/protobuf` and `grpc` on one port, and shows a trace
//! as edges for a verdict and as a tree for a reader.

mod receiver;
mod trace;

pub use receiver::{CollectorFault, Traces};
pub use trace::{Span, Trace};
