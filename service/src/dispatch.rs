//! Records that may start -> tasks that run: as many at once as there are permits, each as a task of its own.
//!
//! Killed here: what was taken and not finished is read again. What a task does is the caller's business.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use crate::kafka::{Consumer, Delivery};

/// Records taken at once.
const TAKEN_MAX: usize = 64;

/// What runs. Dropping it ends it.
pub struct Dispatch {
    permits: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

impl Dispatch {
    /// At most `parallel` tasks run at once.
    pub fn new(parallel: usize) -> Dispatch {
        Dispatch { permits: Arc::new(Semaphore::new(parallel)), tasks: JoinSet::new() }
    }

    /// Starts `work` for every record that the consumer hands out, until one panics, and then returns the panic.
    ///
    /// # Cancel safety
    /// Safe: no record is lost, and what runs goes on.
    pub async fn run<F>(&mut self, consumer: &Consumer, work: impl Fn(Delivery) -> F) -> JoinError
    where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Err(panic) = ended {
                        return panic;
                    }
                }
                (records, mut permits) = take(consumer, &self.permits) => {
                    for record in records {
                        // Boxed, for the runtime moves what a task is made of several times.
                        let (permit, work) = (permits.split(1), Box::pin(work(record)));
                        self.tasks.spawn(async move {
                            work.await;
                            drop(permit);
                        });
                    }
                }
            }
        }
    }

    /// The tasks that run.
    pub fn tasks(&mut self) -> &mut JoinSet<()> {
        &mut self.tasks
    }
}

/// Records, and permits for at least as many.
async fn take(consumer: &Consumer, permits: &Arc<Semaphore>) -> (Vec<Delivery>, OwnedSemaphorePermit) {
    let taken = async {
        let mut permit = permits.clone().acquire_owned().await.ok()?;
        let more = u32::try_from(permits.available_permits().min(TAKEN_MAX - 1)).unwrap_or_default();
        if let Ok(more) = permits.clone().try_acquire_many_owned(more) {
            permit.merge(more);
        }
        Some((consumer.next(permit.num_permits()).await?, permit))
    };
    match taken.await {
        Some(taken) => taken,
        // Closed: nothing starts any more.
        None => std::future::pending().await,
    }
}
