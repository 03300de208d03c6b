//! A breaker per dependency: while the broker or the store is out of reach the work waits, and one caller at a time
//! asks whether it is back. Nobody gives up: our own infrastructure is never the task's fault.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::error::{Class, Classified, Dependency};
use crate::observe::health::Health;

const PROBE_FIRST: Duration = Duration::from_millis(200);
const PROBE_CAP: Duration = Duration::from_secs(5);

/// The breaker of one dependency.
#[derive(Clone, Debug)]
pub struct Breaker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dependency: Dependency,
    state: Mutex<State>,
    changed: Notify,
    health: Health,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { since: Instant, failures: u32, probe: Probe },
}

#[derive(Debug)]
enum Probe {
    At(Instant),
    Running,
}

impl Breaker {
    /// A closed breaker that tells `health` when it opens and closes.
    pub fn new(dependency: Dependency, health: Health) -> Breaker {
        Breaker {
            inner: Arc::new(Inner { dependency, state: Mutex::new(State::Closed), changed: Notify::new(), health }),
        }
    }

    /// Calls `act` until it succeeds or fails for another reason than this dependency; between the calls it waits.
    ///
    /// # Errors
    /// The first error whose class is not this dependency's outage.
    ///
    /// # Cancel safety
    /// As safe as `act`; a probe that is cancelled is left to the next caller.
    pub async fn until_up<T, E, F>(&self, mut act: impl FnMut() -> F) -> Result<T, E>
    where
        E: Classified,
        F: Future<Output = Result<T, E>>,
    {
        loop {
            let admission = self.admit().await;
            let result = act().await;
            match &result {
                Err(error) if error.class() == Class::Infrastructure(self.inner.dependency) => {
                    admission.failed(&error.to_string());
                }
                // Any other answer came from the dependency, so it is up.
                _ => {
                    admission.succeeded();
                    return result;
                }
            }
        }
    }

    /// Calls `act` until it succeeds: for calls whose every error is this dependency's.
    ///
    /// # Cancel safety
    /// As for [`Breaker::until_up`].
    pub async fn until_ok<T, E, F>(&self, mut act: impl FnMut() -> F) -> T
    where
        E: Classified,
        F: Future<Output = Result<T, E>>,
    {
        loop {
            let admission = self.admit().await;
            match act().await {
                Ok(value) => {
                    admission.succeeded();
                    return value;
                }
                Err(error) => admission.failed(&error.to_string()),
            }
        }
    }

    /// Whether callers pass without waiting.
    pub fn is_closed(&self) -> bool {
        matches!(*self.inner.lock(), State::Closed)
    }

    async fn admit(&self) -> Admission<'_> {
        loop {
            let changed = self.inner.changed.notified();
            let wait = {
                let mut state = self.inner.lock();
                match &mut *state {
                    State::Closed => return Admission { inner: &self.inner, probe: false },
                    State::Open { probe: probe @ Probe::At(_), .. } => match probe {
                        Probe::At(at) if *at <= Instant::now() => {
                            *probe = Probe::Running;
                            return Admission { inner: &self.inner, probe: true };
                        }
                        Probe::At(at) => Some(*at),
                        Probe::Running => None,
                    },
                    State::Open { .. } => None,
                }
            };
            match wait {
                Some(at) => tokio::select! { () = changed => {}, () = tokio::time::sleep_until(at) => {} },
                None => changed.await,
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to call the dependency once.
struct Admission<'a> {
    inner: &'a Inner,
    probe: bool,
}

impl Admission<'_> {
    fn succeeded(mut self) {
        let mut state = self.inner.lock();
        // A call that began before the outage says nothing about now; only a probe closes the breaker.
        if let State::Open { since, .. } = &*state
            && self.probe
        {
            info!(dependency = self.inner.dependency.as_str(), down_for = ?since.elapsed(), "dependency is back");
            *state = State::Closed;
            self.inner.health.dependency(self.inner.dependency, Ok(()));
            self.inner.changed.notify_waiters();
        }
        self.probe = false;
    }

    fn failed(mut self, cause: &str) {
        let mut state = self.inner.lock();
        match &mut *state {
            State::Closed => {
                warn!(dependency = self.inner.dependency.as_str(), cause, "dependency is out of reach; the work waits");
                *state =
                    State::Open { since: Instant::now(), failures: 1, probe: Probe::At(Instant::now() + PROBE_FIRST) };
            }
            State::Open { since, failures, probe } if self.probe => {
                *failures = failures.saturating_add(1);
                let pause = PROBE_FIRST.saturating_mul(1u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(PROBE_CAP);
                *probe = Probe::At(Instant::now() + pause);
                if *failures % 16 == 0 {
                    let down_for = since.elapsed();
                    warn!(
                        dependency = self.inner.dependency.as_str(),
                        cause,
                        ?down_for,
                        "dependency is still out of reach"
                    );
                }
            }
            State::Open { .. } => {}
        }
        self.inner.health.dependency(self.inner.dependency, Err(cause.to_owned()));
        self.probe = false;
        self.inner.changed.notify_waiters();
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.probe {
            if let State::Open { probe, .. } = &mut *self.inner.lock() {
                *probe = Probe::At(Instant::now());
            }
            self.inner.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::error::Code;

    #[derive(Debug, thiserror::Error)]
    #[error("down")]
    struct Down;

    impl Classified for Down {
        fn class(&self) -> Class {
            Class::Infrastructure(Dependency::Store)
        }
        fn code(&self) -> Code {
            Code::StoreUnavailable
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_tasks_do_not_hammer_a_dependency_that_is_down() {
        let breaker = Breaker::new(Dependency::Store, Health::default());
        let (up, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let (breaker, up, calls) = (breaker.clone(), up.clone(), calls.clone());
            tasks.spawn(async move {
                breaker
                    .until_up(|| async {
                        calls.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        if up.load(Ordering::SeqCst) { Ok(()) } else { Err(Down) }
                    })
                    .await
            });
        }
        tokio::time::advance(Duration::from_millis(1)).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let while_down = calls.load(Ordering::SeqCst);
        assert!((1010..1100).contains(&while_down), "each once, then one at a time: {while_down}");
        assert!(!breaker.is_closed());
        up.store(true, Ordering::SeqCst);
        while let Some(done) = tasks.join_next().await {
            assert!(done.expect("no panic").is_ok());
        }
        assert!(breaker.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_probe_leaves_the_probing_to_the_next() {
        let breaker = Breaker::new(Dependency::Store, Health::default());
        let first = breaker.until_up(|| async { Err::<(), _>(Down) });
        assert!(tokio::time::timeout(Duration::from_secs(3), first).await.is_err(), "it never gives up");
        let hung = breaker.until_up(std::future::pending::<Result<(), Down>>);
        assert!(tokio::time::timeout(Duration::from_secs(30), hung).await.is_err());
        let next = breaker.until_up(|| async { Ok::<_, Down>(7) });
        let answer = tokio::time::timeout(Duration::from_secs(30), next).await.expect("the probe was given back");
        assert_eq!(answer.expect("up"), 7);
    }
}
