//! When a task is tried again: exponential backoff with full jitter, bounded in number and in time. Pure.

use std::time::Duration;

/// How often and how patiently a transient failure is retried.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts_max: u32,
    /// Upper bound of the first wait; doubles with each attempt.
    pub base: Duration,
    /// Upper bound of any wait of ours.
    pub cap: Duration,
    /// The longest wait an origin may ask for.
    pub retry_after_max: Duration,
    /// From the first attempt to the last one's start.
    pub deadline: Duration,
}

/// What follows a transient failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after this long.
    RetryAfter(Duration),
    /// It was tried as often as allowed.
    OutOfAttempts,
    /// There is no time left to try again.
    OutOfTime,
}

impl RetryPolicy {
    /// The policy for tasks with this deadline.
    pub fn for_tasks(deadline: Duration) -> RetryPolicy {
        RetryPolicy {
            attempts_max: 5,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(60),
            deadline,
        }
    }

    /// Decides after attempt number `attempt` (1 for the first) failed, `elapsed` after the first began.
    /// `jitter` is uniform in 0..=1. What the origin asked for is a lower bound, up to the policy's limit.
    pub fn next(&self, attempt: u32, elapsed: Duration, retry_after: Option<Duration>, jitter: f64) -> Next {
        if attempt >= self.attempts_max {
            return Next::OutOfAttempts;
        }
        let asked = retry_after.unwrap_or_default().min(self.retry_after_max);
        let wait = asked + self.backoff(attempt).mul_f64(jitter.clamp(0.0, 1.0));
        if elapsed + wait > self.deadline { Next::OutOfTime } else { Next::RetryAfter(wait) }
    }

    /// The bound of the wait after `attempt` failed attempts.
    pub fn backoff(&self, attempt: u32) -> Duration {
        let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(doubled).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts_max: 5,
        base: Duration::from_millis(500),
        cap: Duration::from_secs(30),
        retry_after_max: Duration::from_secs(60),
        deadline: Duration::from_secs(300),
    };

    #[test]
    fn the_last_attempt_is_the_last() {
        assert_eq!(POLICY.next(5, Duration::ZERO, None, 0.5), Next::OutOfAttempts);
    }

    #[test]
    fn an_origin_that_asks_for_a_day_gets_the_limit() {
        let next = POLICY.next(1, Duration::ZERO, Some(Duration::from_secs(86_400)), 0.0);
        assert_eq!(next, Next::RetryAfter(Duration::from_secs(60)));
    }

    proptest! {
        #[test]
        fn a_retry_never_starts_past_the_deadline(
            attempt in 1u32..100, elapsed_ms in 0u64..400_000, asked_s in prop::option::of(0u64..1000), jitter in 0.0f64..=1.0,
        ) {
            let elapsed = Duration::from_millis(elapsed_ms);
            if let Next::RetryAfter(wait) = POLICY.next(attempt, elapsed, asked_s.map(Duration::from_secs), jitter) {
                prop_assert!(attempt < POLICY.attempts_max);
                prop_assert!(elapsed + wait <= POLICY.deadline);
                prop_assert!(wait <= POLICY.retry_after_max + POLICY.cap);
            }
        }

        #[test]
        fn backoff_grows_up_to_the_cap(attempt in 1u32..200) {
            prop_assert!(POLICY.backoff(attempt) <= POLICY.backoff(attempt + 1));
            prop_assert!(POLICY.backoff(attempt) <= POLICY.cap);
        }
    }
}
