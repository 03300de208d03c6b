//! The time of one fetch: a limit for each wait, and one for all of them together.
//!
//! Only what is waited for through the clock counts, so that waiting for a limit of ours never fails an origin.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// Limits of a fetch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// A look-up.
    pub(super) resolve: Duration,
    /// Look-up, connection and TLS handshake.
    pub(super) connect: Duration,
    /// From the start of a hop to the end of its header.
    pub(super) first_byte: Duration,
    /// Between two pieces of the body.
    pub(super) idle: Duration,
    /// All hops together.
    pub(super) total: Duration,
}

impl Timeouts {
    pub(super) const RESOLVE: Duration = Duration::from_secs(4);
    pub(super) const CONNECT: Duration = Duration::from_secs(5);
    pub(super) const FIRST_BYTE: Duration = Duration::from_secs(10);
    pub(super) const IDLE: Duration = Duration::from_secs(10);
}

/// Which limit ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elapsed {
    /// That of this wait.
    Step,
    /// That of the whole fetch.
    Total,
}

/// The time that a fetch has left.
#[derive(Debug)]
pub(super) struct Clock {
    left: Duration,
}

impl Clock {
    pub(super) fn new(total: Duration) -> Clock {
        Clock { left: total }
    }

    /// Waits for `step` within its own limit and the whole.
    pub(super) async fn wait<T>(&mut self, limit: Duration, step: impl Future<Output = T>) -> Result<T, Elapsed> {
        let started = Instant::now();
        let answer = timeout(limit.min(self.left), step).await;
        let is_total = self.left <= limit;
        self.left = self.left.saturating_sub(started.elapsed());
        answer.map_err(|_| if is_total { Elapsed::Total } else { Elapsed::Step })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_limit_that_ran_out_is_named_and_waits_of_our_own_do_not_count() {
        let mut clock = Clock::new(5 * SECOND);
        assert_eq!(clock.wait(2 * SECOND, std::future::pending::<()>()).await, Err(Elapsed::Step));
        assert_eq!(clock.wait(2 * SECOND, async { sleep(SECOND).await }).await, Ok(()));
        sleep(60 * SECOND).await;
        assert_eq!(clock.wait(9 * SECOND, std::future::pending::<()>()).await, Err(Elapsed::Total));
        assert_eq!(clock.wait(9 * SECOND, std::future::pending::<()>()).await, Err(Elapsed::Total));
    }
}
