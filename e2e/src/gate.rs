//! A gate holds requests until the test opens it, so that a fault lands where the test wants it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::expect::PATIENCE;
use crate::fault_book::Ongoing;

/// The test's end of a gate. Dropping it opens the gate, so that a failed test leaves nobody waiting.
#[derive(Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    path: String,
    noted: Mutex<Option<Ongoing>>,
}

#[derive(Debug)]
struct Shared {
    reached: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

/// The other end of a gate, where requests wait.
#[derive(Clone, Debug)]
pub(crate) struct Barrier(Arc<Shared>);

impl Gate {
    pub(crate) fn new(path: &str) -> (Gate, Barrier) {
        let shared = Arc::new(Shared { reached: watch::Sender::new(0), open: watch::Sender::new(false) });
        (Gate { shared: shared.clone(), path: path.to_owned(), noted: Mutex::default() }, Barrier(shared))
    }

    /// This lasts until the gate is opened.
    pub(crate) fn noted(mut self, ongoing: Option<Ongoing>) -> Gate {
        self.noted = Mutex::new(ongoing);
        self
    }

    /// Waits until a request stands at the gate.
    ///
    /// # Panics
    /// None came within [`PATIENCE`].
    pub async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Waits until `requests` have come to the gate, those that have gone again included.
    ///
    /// # Panics
    /// Fewer came within [`PATIENCE`].
    pub async fn reached_by(&self, requests: usize) {
        let mut reached = self.shared.reached.subscribe();
        // What it returns is a lock: to read the count again under it would wait for a writer that waits for us.
        let has_come = tokio::time::timeout(PATIENCE, reached.wait_for(|count| *count >= requests)).await.is_ok();
        let count = self.count();
        assert!(has_come, "{count} of {requests} requests for {} reached the gate in {PATIENCE:?}", self.path);
    }

    /// How many requests have come to the gate.
    pub fn count(&self) -> usize {
        *self.shared.reached.borrow()
    }

    /// Lets through who waits, and everybody after.
    pub fn open(&self) {
        drop(self.noted.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.shared.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Barrier {
    /// Waits at the gate.
    pub(crate) async fn pass(&self) {
        self.0.reached.send_modify(|count| *count += 1);
        let mut open = self.0.open.subscribe();
        // The sender lives as long as this barrier does.
        let _ = open.wait_for(|open| *open).await;
    }
}
