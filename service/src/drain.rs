//! The end of the process: the first signal drains within a bound, the second ends it now (I8).

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The part of the drain's time kept for the last commit, leaving the group and the telemetry's flush.
const FAREWELL: Duration = Duration::from_secs(8);

/// The part of the farewell in which telemetry is flushed.
pub const FLUSH_MAX: Duration = Duration::from_secs(3);
/// Leaving the runtime and the process.
const EXIT: Duration = Duration::from_millis(200);

/// How the process ended, as its exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: drained, and every partition's last commit was acknowledged.
    Drained,
    /// 75: drained, but some partition's last commit was not acknowledged.
    Unacknowledged,
    /// 70: the Kafka client failed.
    ClientFailed,
    /// 1: anything else.
    Failed,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> i32 {
        match self {
            Exit::Drained => 0,
            Exit::Unacknowledged => 75,
            Exit::ClientFailed => 70,
            Exit::Failed => 1,
        }
    }
}

/// How a run ended, and what is left of the time that its drain may take.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Its exit code, by name.
    pub exit: Exit,
    /// The bounds of the drain.
    pub deadlines: Deadlines,
}

/// The bounds of a drain that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    end: Instant,
    tasks: Instant,
}

impl Deadlines {
    /// A drain that begins now and may take `budget`.
    pub fn begin(budget: Duration) -> Deadlines {
        let now = Instant::now();
        let end = now + budget;
        Deadlines { end, tasks: now + budget.saturating_sub(FAREWELL).max(budget / 2) }
    }

    /// Until when running tasks may finish.
    pub fn tasks(self) -> Instant {
        self.tasks
    }

    /// Time left until the process must be gone.
    pub fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Time left for telemetry's last flush.
    pub fn flush(self) -> Duration {
        self.left().saturating_sub(EXIT).min(FLUSH_MAX)
    }
}

/// A token that fires at SIGTERM or SIGINT. A second signal ends the process at once.
///
/// # Errors
/// The system refuses a signal handler.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let fired = token.clone();
    tokio::spawn(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        info!(signal = name, "draining; a second signal ends the process now");
        fired.cancel();
        let name = either(&mut terminate, &mut interrupt).await;
        warn!(signal = name, "ending now; what is unfinished will run again");
        std::process::exit(Exit::Failed.code());
    });
    Ok(token)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tasks_leave_time_for_the_farewell() {
        for seconds in [1, 10, 25, 600] {
            let budget = Duration::from_secs(seconds);
            let deadlines = Deadlines::begin(budget);
            let for_tasks = deadlines.tasks() - Instant::now();
            assert!(for_tasks >= budget / 2 && for_tasks < budget, "{for_tasks:?} of {budget:?}");
            assert_eq!(deadlines.left(), budget);
            tokio::time::advance(budget - Duration::from_secs(1) / 2).await;
            assert!(deadlines.flush() < deadlines.left(), "the flush ends before the process must");
            tokio::time::advance(budget).await;
            assert_eq!(deadlines.flush(), Duration::ZERO);
        }
    }
}
