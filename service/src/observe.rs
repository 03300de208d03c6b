//! What the outside may see of the process: traces, metrics, log lines and health.
//!
//! Nothing here decides about the work, and the work goes on unchanged when a collector is slow, wrong or gone.

pub mod health;
mod lines;
pub mod metrics;
pub mod names;
mod otlp;
pub mod spans;
pub mod telemetry;

pub use health::Health;
pub use metrics::Metrics;
pub use telemetry::Telemetry;
