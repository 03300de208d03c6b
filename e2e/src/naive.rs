//! A small consumer, as one would write it by hand: correct, or with one [`Defect`]. The ledger's verdict has to be green for
//! the one and red for the others; that is all it is for.
//!
//! It runs in the test's own process, as tasks. It works on several records at once, remembers per partition what is finished,
//! and commits the lowest unfinished offset with a map of what is finished above it, in the downloader's own words.
//! [`Naive::kill`] is its death: whatever it was at is dropped, and nothing more is committed.

mod clients;
mod consumer;
mod defect;
mod partitions;
mod work;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use defect::Defect;

use crate::expect::{PATIENCE, eventually};
use crate::sandbox::Sandbox;
use clients::Clients;
use partitions::Partitions;

/// After so long without a poll a consumer is thrown out of its group, where it is to be impatient.
const IMPATIENT: Duration = Duration::from_secs(3);
const PATIENT: Duration = Duration::from_secs(60);

/// A consumer that is about to be started.
#[must_use = "nothing runs until it is started"]
pub struct Builder<'a> {
    sandbox: &'a Sandbox,
    defect: Option<Defect>,
    store: Option<String>,
    poll_interval_max: Duration,
    commits: bool,
}

/// A consumer that runs; it ends without a last commit when it is dropped.
#[derive(Debug)]
pub struct Naive {
    shared: Arc<Shared>,
    stop: CancellationToken,
    stalled: watch::Sender<bool>,
    running: Option<JoinHandle<()>>,
}

/// What its loop, its tasks and the client's callbacks share.
#[derive(Debug)]
struct Shared {
    run_id: u64,
    defect: Option<Defect>,
    /// None are made where the test wants it to die before the first.
    commits: bool,
    partitions: Mutex<Partitions>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    received: AtomicUsize,
    in_flight: AtomicUsize,
    failed_sends: AtomicUsize,
    store_failures: AtomicUsize,
    losses: AtomicUsize,
}

impl Shared {
    fn partitions(&self) -> MutexGuard<'_, Partitions> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }
}

impl<'a> Builder<'a> {
    /// Reaches the store at this endpoint.
    pub fn by_store(mut self, endpoint: String) -> Self {
        self.store = Some(endpoint);
        self
    }

    /// Is thrown out of the group when it stands still for three seconds.
    pub fn impatient(mut self) -> Self {
        self.poll_interval_max = IMPATIENT;
        self
    }

    /// Does not come to commit.
    pub fn without_commits(mut self) -> Self {
        self.commits = false;
        self
    }

    /// Starts it. It joins the group by itself.
    ///
    /// # Panics
    /// A client can't be made.
    pub fn start(self) -> Naive {
        let shared = Arc::new(Shared {
            run_id: fastrand::u64(1..),
            defect: self.defect,
            commits: self.commits,
            partitions: Mutex::new(Partitions::of(self.sandbox.kafka().names())),
            counts: Counts::default(),
        });
        let (stop, stalled) = (CancellationToken::new(), watch::Sender::new(false));
        let clients = Clients::new(self.sandbox, self.store.as_deref(), self.poll_interval_max, &shared);
        let clients = clients.unwrap_or_else(|error| panic!("start a consumer: {error:#}"));
        let running = tokio::spawn(consumer::run(clients, shared.clone(), stop.clone(), stalled.subscribe()));
        Naive { shared, stop, stalled, running: Some(running) }
    }
}

impl Naive {
    /// A consumer for `sandbox`, in its group, with this defect or none.
    pub fn with(sandbox: &Sandbox, defect: Option<Defect>) -> Builder<'_> {
        Builder { sandbox, defect, store: None, poll_interval_max: PATIENT, commits: true }
    }

    /// Its name in commits and outcomes.
    pub fn run_id(&self) -> u64 {
        self.shared.run_id
    }

    /// Its death, as far as a part of a process can die: its tasks are dropped where they stand, nothing more is committed. It
    /// does leave the group, so that nobody has to wait for its session to end.
    ///
    /// # Panics
    /// Its loop panicked.
    pub async fn kill(mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap_or_else(|panic| panic!("a consumer has failed: {panic}"));
        }
    }

    /// Stops polling, while what runs goes on.
    pub fn stall(&self) {
        self.stalled.send_replace(true);
    }

    /// Polls again.
    pub fn resume(&self) {
        self.stalled.send_replace(false);
    }

    /// Waits until it has received so many records, and has nothing to say that it has not committed.
    ///
    /// # Panics
    /// It has not within [`PATIENCE`].
    pub async fn quiet_after(&self, records: usize) {
        self.until("it is quiet", |shared| {
            shared.counts.received.load(Ordering::SeqCst) >= records && shared.partitions().is_quiet()
        })
        .await;
    }

    /// Waits until nothing is under way.
    ///
    /// # Panics
    /// As [`Naive::quiet_after`].
    pub async fn idle(&self) {
        self.until("nothing is under way", |shared| shared.counts.in_flight.load(Ordering::SeqCst) == 0).await;
    }

    /// Waits until so many sends have failed.
    ///
    /// # Panics
    /// As [`Naive::quiet_after`].
    pub async fn sends_failed(&self, sends: usize) {
        self.until("sends fail", |shared| shared.counts.failed_sends.load(Ordering::SeqCst) >= sends).await;
    }

    /// Waits until the store has failed it so often.
    ///
    /// # Panics
    /// As [`Naive::quiet_after`].
    pub async fn store_failed(&self, times: usize) {
        self.until("the store fails", |shared| shared.counts.store_failures.load(Ordering::SeqCst) >= times).await;
    }

    /// Waits until it has learnt that it lost its partitions.
    ///
    /// # Panics
    /// As [`Naive::quiet_after`].
    pub async fn has_lost(&self) {
        self.until("it has lost its partitions", |shared| shared.counts.losses.load(Ordering::SeqCst) > 0).await;
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Shared) -> bool) {
        eventually(format!("{what}, with {:?}", self.shared.defect), PATIENCE, async || {
            if is_so(&self.shared) { Ok(()) } else { Err(format!("{:?}", self.shared)) }
        })
        .await;
    }
}

impl Drop for Naive {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
