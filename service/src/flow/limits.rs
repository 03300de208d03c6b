//! Every budget of the process, and the order in which they are taken.
//!
//! Order: task, host, fetch, source bytes, decode bytes. Whoever holds one waits only for later ones, so nothing
//! deadlocks. A host's share and the fetch are given back before the next hop is asked for; bytes are held until both objects are stored. They are
//! counted once: decoder and store share them, without a copy. Where a stored original is read back, what was fetched is
//! given back before the stored bytes are reserved, so that nobody holds source bytes and waits for more of them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in whole KiB: a semaphore hands out at most 2^32 permits at once.
const UNIT: u64 = 1024;

/// Requests under way at once, over all hosts: a connection takes up to 0.4 MiB for what has arrived and was not read, and
/// more with TLS, whatever an origin declares. With more tasks than that the others wait, which costs little.
pub(crate) const FETCHES_MAX: usize = 256;

/// Places for requests, from the connection to the last byte of the body.
#[derive(Clone, Debug)]
pub struct Fetches {
    places: Arc<Semaphore>,
}

/// One request's place; dropping it lets the next one begin.
#[derive(Debug)]
pub struct FetchPlace {
    _permit: OwnedSemaphorePermit,
}

impl Default for Fetches {
    fn default() -> Fetches {
        Fetches { places: Arc::new(Semaphore::new(FETCHES_MAX)) }
    }
}

impl Fetches {
    /// Waits for a place. First come, first served.
    ///
    /// # Cancel safety
    /// Safe: no place is taken until it returns; the turn in the queue is lost.
    pub async fn enter(&self) -> FetchPlace {
        match self.places.clone().acquire_owned().await {
            Ok(permit) => FetchPlace { _permit: permit },
            Err(_closed) => std::future::pending().await,
        }
    }

    /// Requests under way.
    pub fn held(&self) -> usize {
        FETCHES_MAX - self.places.available_permits().min(FETCHES_MAX)
    }
}

/// A budget in bytes that many tasks share.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    permits: Arc<Semaphore>,
    total: u64,
}

/// A part of a [`ByteBudget`]; dropping it gives the bytes back.
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
}

impl ByteBudget {
    /// A budget of `total` bytes, rounded down to whole KiB.
    pub fn new(total: u64) -> ByteBudget {
        let units = usize::try_from(total / UNIT).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        ByteBudget { permits: Arc::new(Semaphore::new(units)), total }
    }

    /// The whole budget, in bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes that are held now.
    pub fn held(&self) -> u64 {
        let free = u64::try_from(self.permits.available_permits()).unwrap_or(u64::MAX);
        (self.total / UNIT).saturating_sub(free) * UNIT
    }

    /// Waits until `bytes` are free and takes them. More than the whole budget is cut to the whole budget, so that a
    /// single oversized request waits for everybody else and not for ever. First come, first served.
    ///
    /// # Cancel safety
    /// Safe: nothing is taken until it returns; the place in the queue is lost.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        let units = units(bytes).min(units(self.total)).max(1);
        match self.permits.clone().acquire_many_owned(units).await {
            Ok(permit) => Reservation { permit },
            Err(_closed) => std::future::pending().await,
        }
    }
}

impl Reservation {
    /// Gives back what is above `bytes`, once the real size is known.
    pub fn shrink(&mut self, bytes: u64) {
        let surplus = self.permit.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.permit.split(surplus));
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.permit.num_permits() as u64 * UNIT
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn so_many_requests_are_under_way_and_no_more() {
        let fetches = Fetches::default();
        let mut held: Vec<FetchPlace> = Vec::new();
        while held.len() < FETCHES_MAX {
            held.push(fetches.enter().await);
        }
        assert_eq!(fetches.held(), FETCHES_MAX);
        tokio::task::yield_now().await;
        let mut next = Box::pin(fetches.enter());
        assert!(futures_util::poll!(&mut next).is_pending());
        held.pop();
        assert!(futures_util::poll!(&mut next).is_ready());
    }

    #[tokio::test]
    async fn bytes_come_back_when_a_reservation_shrinks_or_ends() {
        let budget = ByteBudget::new(10 * UNIT);
        let mut first = budget.reserve(8 * UNIT).await;
        assert!(budget.reserve(4 * UNIT).now_or_never().is_none(), "8 of 10 are taken");
        first.shrink(UNIT + 1);
        assert_eq!(first.bytes(), 2 * UNIT);
        let second = budget.reserve(8 * UNIT).now_or_never().expect("6 came back");
        drop((first, second));
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn a_request_above_the_whole_budget_waits_for_all_of_it() {
        let budget = ByteBudget::new(4 * UNIT);
        let small = budget.reserve(1).await;
        assert!(budget.reserve(u64::MAX).now_or_never().is_none());
        drop(small);
        assert_eq!(budget.reserve(u64::MAX).now_or_never().expect("all of it").bytes(), 4 * UNIT);
    }
}
