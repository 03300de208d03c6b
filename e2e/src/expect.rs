//! Waiting for something that must become true: the only place of the harness that sleeps to poll.
//!
//! A check answers with a value or with the reason why not yet. When patience ends, the last reason is shown together
//! with whatever evidence was attached: log tails, offsets, the ledger.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

/// How long the harness waits for what a healthy system does within a second or two, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

const POLL_FIRST: Duration = Duration::from_millis(10);
const POLL_LONGEST: Duration = Duration::from_millis(250);

type Evidence<'a> = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = String> + 'a>> + 'a>;

/// Checks again and again until `check` succeeds. Awaiting it panics when `patience` ends; [`Eventually::or_error`]
/// returns the error instead.
///
/// ```
/// # use e2e::expect::{PATIENCE, eventually};
/// # async fn example(ready: impl Fn() -> bool) {
/// eventually("the lamp is on", PATIENCE, async || if ready() { Ok(()) } else { Err("it is dark".to_owned()) }).await;
/// # }
/// ```
#[track_caller]
pub fn eventually<'a, T, C>(what: impl Into<String>, patience: Duration, check: C) -> Eventually<'a, C>
where
    C: AsyncFnMut() -> Result<T, String> + 'a,
{
    Eventually { what: what.into(), patience, check, evidence: Vec::new(), caller: Location::caller() }
}

/// A check that is under way; see [`eventually`].
#[must_use = "nothing is checked until it is awaited"]
pub struct Eventually<'a, C> {
    what: String,
    patience: Duration,
    check: C,
    evidence: Vec<(String, Evidence<'a>)>,
    caller: &'static Location<'static>,
}

impl<'a, C> Eventually<'a, C> {
    /// Shows `source` under `title` if patience ends.
    pub fn evidence<F>(mut self, title: impl Into<String>, source: impl FnOnce() -> F + 'a) -> Self
    where
        F: Future<Output = String> + 'a,
    {
        self.evidence.push((title.into(), Box::new(move || Box::pin(source()))));
        self
    }

    /// The value of the first check that succeeds.
    ///
    /// # Errors
    /// Patience ended: the last reason, and the evidence.
    pub async fn or_error<T>(mut self) -> Result<T, Unmet>
    where
        C: AsyncFnMut() -> Result<T, String>,
    {
        let deadline = Instant::now() + self.patience;
        let (mut wait, mut reason) = (POLL_FIRST, "the check did not answer".to_owned());
        loop {
            match tokio::time::timeout_at(deadline, (self.check)()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(not_yet)) => reason = not_yet,
                Err(_late) => reason = format!("{reason} (and the check hangs since)"),
            }
            if Instant::now() + wait > deadline {
                break;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 3 / 2).min(POLL_LONGEST);
        }
        let mut evidence = Vec::new();
        for (title, source) in self.evidence {
            evidence.push((title, source().await));
        }
        Err(Unmet { what: self.what, patience: self.patience, reason, evidence })
    }
}

impl<'a, T, C> IntoFuture for Eventually<'a, C>
where
    T: 'a,
    C: AsyncFnMut() -> Result<T, String> + 'a,
{
    type Output = T;
    type IntoFuture = Pin<Box<dyn Future<Output = T> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let caller = self.caller;
        Box::pin(async move {
            match self.or_error().await {
                Ok(value) => value,
                Err(unmet) => panic!("{unmet}\nwaited for at {caller}"),
            }
        })
    }
}

/// What did not become true in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// What was waited for.
    pub what: String,
    /// For how long.
    pub patience: Duration,
    /// Why the last check failed.
    pub reason: String,
    /// What was attached: title and text.
    pub evidence: Vec<(String, String)>,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not within {:?}: {}\nlast reason: {}", self.patience, self.what, self.reason)?;
        self.evidence.iter().try_for_each(|(title, text)| write!(f, "\n--- {title}\n{}", text.trim_end()))
    }
}

impl std::error::Error for Unmet {}

/// The time of this machine, its containers included, in Unix milliseconds.
pub fn unix_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(60);

    #[tokio::test]
    async fn it_ends_at_the_first_success() {
        let mut calls = 0;
        let value = eventually("three calls", PATIENCE, async || {
            calls += 1;
            if calls == 3 { Ok(calls) } else { Err(format!("call {calls}")) }
        })
        .await;
        assert_eq!((value, calls), (3, 3));
    }

    #[tokio::test]
    async fn it_fails_with_the_last_reason_and_the_evidence() {
        let mut calls = 0;
        let unmet = eventually("the impossible", SHORT, async || {
            calls += 1;
            Err::<(), _>(format!("reason {calls}"))
        })
        .evidence("logs", || async { "last line of the log".to_owned() })
        .or_error()
        .await
        .expect_err("it never comes true");
        assert!(calls > 1, "it was checked again");
        assert_eq!(unmet.reason, format!("reason {calls}"));
        let shown = unmet.to_string();
        for part in ["the impossible", "last line of the log", "--- logs"] {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[tokio::test]
    async fn a_check_that_hangs_does_not_hang_the_test() {
        let unmet = eventually("an answer", SHORT, async || std::future::pending::<Result<(), String>>().await)
            .or_error()
            .await
            .expect_err("it never answers");
        assert!(unmet.reason.contains("hangs"), "{unmet}");
    }

    #[tokio::test]
    #[should_panic(expected = "last reason: it is dark")]
    async fn awaiting_it_panics() {
        eventually("light", SHORT, async || Err::<(), _>("it is dark".to_owned())).await;
    }
}
