//! How many tests have containers at once, however many threads the test runner has: where tests wait, containers work.

use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

/// Tests at once, unless [`at_once`] says otherwise: two processors run so many well.
const DEFAULT: usize = 4;

static PLACES: OnceLock<Semaphore> = OnceLock::new();

thread_local! {
    /// The place of the test that runs on this thread, which all of its sandboxes share. One that waited for a second place
    /// while it holds its first could wait for ever.
    static OWN: Arc<Mutex<Weak<Place>>> = Arc::default();
}

/// Somebody's place, until the last clone is dropped.
#[derive(Debug)]
pub(super) struct Place(#[allow(dead_code, reason = "dropping it is what it is for")] SemaphorePermit<'static>);

/// So many threads have sandboxes at once from now on. Later calls, and those after the first sandbox, change nothing.
pub fn at_once(threads: usize) {
    PLACES.get_or_init(|| Semaphore::new(threads));
}

/// Waits for a place for this thread, or shares the one that it has.
pub(super) async fn take() -> Arc<Place> {
    let own = OWN.with(Arc::clone);
    let mut own = own.lock().await;
    if let Some(place) = own.upgrade() {
        return place;
    }
    let places = PLACES.get_or_init(|| Semaphore::new(DEFAULT));
    let place = Arc::new(Place(places.acquire().await.expect("invariant: the semaphore is never closed")));
    *own = Arc::downgrade(&place);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sandboxes_of_one_thread_share_a_place() {
        let (first, second) = tokio::join!(take(), take());
        assert!(Arc::ptr_eq(&first, &second));
        let elsewhere = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(take())
        });
        assert!(!Arc::ptr_eq(&first, &elsewhere.join().unwrap()), "another test has a place of its own");
        drop((first, second));
        assert_eq!(PLACES.get().unwrap().available_permits(), DEFAULT, "all are free again");
    }
}
