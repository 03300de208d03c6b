//! Threads for work that takes a processor for long, apart from those that drive the tasks.
//!
//! A panic in a piece of work ends that piece alone. Work whose asker has gone away is not begun.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

/// Name of every thread; a panic hook knows by it that the panic is caught.
pub const THREAD_NAME: &str = "image";

type Work = Box<dyn FnOnce() + Send>;

/// The threads. They end when the last clone is gone and what was handed in is done.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    queue: mpsc::Sender<Work>,
    /// When each thread began what it does now.
    began: Arc<Mutex<Vec<Option<Instant>>>>,
}

/// The work panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panicked;

impl Workers {
    /// Starts `count` threads.
    pub(super) fn start(count: usize) -> anyhow::Result<Workers> {
        // What waits in the queue holds its reservation, so that few places are enough to keep every thread busy.
        let (queue, work) = mpsc::channel::<Work>(count.max(1));
        let work = Arc::new(Mutex::new(work));
        let began = Arc::new(Mutex::new(vec![None; count.max(1)]));
        for thread in 0..count.max(1) {
            let (work, began) = (Arc::clone(&work), Arc::clone(&began));
            let run = move || {
                while let Some(next) = next(&work) {
                    note(&began, thread, Some(Instant::now()));
                    next();
                    note(&began, thread, None);
                }
            };
            thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(run).context("start a thread for pictures")?;
        }
        Ok(Workers { queue, began })
    }

    /// How long the longest piece of work has been under way.
    pub(super) fn longest(&self) -> Duration {
        let began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.iter().flatten().map(Instant::elapsed).max().unwrap_or_default()
    }

    /// Has `work` done by the next free thread.
    ///
    /// # Cancel safety
    /// What has begun is finished, and its answer dropped; what has not is never begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let (asker, answer) = oneshot::channel();
        let piece = Box::new(move || {
            if asker.is_closed() {
                return;
            }
            // What the work has touched is dropped with it.
            if let Ok(done) = catch_unwind(AssertUnwindSafe(work)) {
                let _gone = asker.send(done);
            }
        });
        self.queue.send(piece).await.map_err(|_closed| Panicked)?;
        answer.await.map_err(|_dropped| Panicked)
    }
}

fn note(began: &Mutex<Vec<Option<Instant>>>, thread: usize, at: Option<Instant>) {
    if let Some(noted) = began.lock().unwrap_or_else(PoisonError::into_inner).get_mut(thread) {
        *noted = at;
    }
}

/// One thread waits for work at a time, the others for their turn to wait.
fn next(work: &Mutex<mpsc::Receiver<Work>>) -> Option<Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc as std_mpsc;

    #[tokio::test]
    async fn a_panic_ends_one_piece_of_work_and_no_thread() {
        let workers = Workers::start(1).expect("threads");
        for _ in 0..3 {
            assert_eq!(workers.run(|| panic!("on purpose")).await, Err::<(), _>(Panicked));
        }
        assert_eq!(workers.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn work_runs_on_a_thread_of_its_own() {
        let workers = Workers::start(2).expect("threads");
        let name = workers.run(|| thread::current().name().map(str::to_owned)).await.expect("done");
        assert_eq!(name.as_deref(), Some(THREAD_NAME));
    }

    #[tokio::test]
    async fn work_that_does_not_end_is_noticed() {
        let workers = Workers::start(2).expect("threads");
        assert_eq!(workers.longest(), Duration::ZERO);
        let (release, held) = std_mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let stuck = tokio::spawn({
            let workers = workers.clone();
            async move { workers.run(move || begin.send(()).is_ok() && held.recv().is_ok()).await }
        });
        begun.await.expect("a thread is busy");
        assert!(workers.longest() > Duration::ZERO);
        release.send(()).expect("somebody waits");
        assert_eq!(stuck.await.expect("no panic"), Ok(true));
        // The answer comes a moment before the thread says that it is free.
        while workers.longest() > Duration::ZERO {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_whose_asker_is_gone_is_never_begun() {
        let workers = Workers::start(1).expect("threads");
        let (release, held) = std_mpsc::channel::<()>();
        let (begin, begun_first) = oneshot::channel();
        let busy = tokio::spawn({
            let workers = workers.clone();
            async move { workers.run(move || begin.send(()).is_ok() && held.recv().is_ok()).await }
        });
        begun_first.await.expect("the only thread is busy");
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let mut cancelled = Box::pin(workers.run(move || count.fetch_add(1, Ordering::SeqCst)));
        // Polled once it is in the queue, behind the one that waits for us.
        assert!(futures_util::poll!(&mut cancelled).is_pending());
        drop(cancelled);
        release.send(()).expect("somebody waits");
        assert_eq!(busy.await.expect("no panic"), Ok(true));
        assert_eq!(workers.run(|| ()).await, Ok(()), "all before it is done");
        assert_eq!(begun.load(Ordering::SeqCst), 0);
    }
}
