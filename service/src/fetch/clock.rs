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
    /// In which `pace_bytes` of the body have to arrive, again and again. Below that a body stands still, if not quite.
    pub(super) pace: Duration,
    /// See `pace`.
    pub(super) pace_bytes: u64,
    /// All hops together.
    pub(super) total: Duration,
    /// An unused connection is kept for so long: shorter than most servers do.
    pub(super) unused: Duration,
}

impl Timeouts {
    /// Those that are not settings.
    pub(super) fn with_total(total: Duration) -> Timeouts {
        Timeouts {
            resolve: Duration::from_secs(4),
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            pace: Duration::from_secs(10),
            pace_bytes: 10 << 10,
            total,
            unused: Duration::from_secs(15),
        }
    }
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

    /// What is left of the whole.
    pub(super) fn left(&self) -> Duration {
        self.left
    }
}

/// The pace of a body: so many bytes at least in each window of time that was waited for them. The windows follow each
/// other; the last one may end early, so that a small body is never too slow.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    least: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(timeouts: &Timeouts) -> Pace {
        Pace { window: timeouts.pace, least: timeouts.pace_bytes, waited: Duration::ZERO, bytes: 0 }
    }

    /// Notes `bytes` that arrived after `waited`. Whether that is fast enough so far.
    pub(super) fn arrived(&mut self, bytes: u64, waited: Duration) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);
        if self.waited < self.window {
            return true;
        }
        let is_enough = self.bytes >= self.least;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        is_enough
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
        assert_eq!(clock.left(), Duration::ZERO);
    }

    fn pace() -> Pace {
        Pace::new(&Timeouts { pace: 10 * SECOND, pace_bytes: 100, ..Timeouts::with_total(SECOND) })
    }

    #[test]
    fn a_body_below_the_pace_in_any_window_is_too_slow() {
        let mut trickle = pace();
        assert!((0..9).all(|_| trickle.arrived(9, SECOND)), "the first window has not ended");
        assert!(!trickle.arrived(9, SECOND), "90 of 100 in ten seconds");
        let mut slowing_down = pace();
        assert!(slowing_down.arrived(1_000_000, SECOND));
        assert!(slowing_down.arrived(0, 9 * SECOND), "the first window had plenty");
        assert!(!slowing_down.arrived(99, 10 * SECOND), "but lends nothing to the second");
    }

    #[test]
    fn a_body_at_the_pace_and_one_that_ends_within_the_first_window_are_not() {
        let mut steady = pace();
        assert!((0..100).all(|_| steady.arrived(10, SECOND)));
        assert!(pace().arrived(1, 9 * SECOND));
    }
}
