//! An allocator that counts: what this process holds, and the most that it held since a moment.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Hands everything on to the system. What grows counts twice for a moment, since it may have to be copied; with
/// `GROWS_IN_PLACE` it doesn't, for the system moves what is large by pages.
pub(crate) struct Counting<const GROWS_IN_PLACE: bool>;

fn more(bytes: usize) {
    PEAK.fetch_max(HELD.fetch_add(bytes, SeqCst) + bytes, SeqCst);
}

fn less(bytes: usize) {
    HELD.fetch_sub(bytes, SeqCst);
}

// SAFETY: every call is handed on to the system's allocator unchanged; only numbers are kept.
unsafe impl<const GROWS_IN_PLACE: bool> GlobalAlloc for Counting<GROWS_IN_PLACE> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    // Zeros that nobody has touched cost no time, and are to be asked for as what they are.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if GROWS_IN_PLACE {
            less(layout.size());
            more(size);
        } else {
            more(size);
            less(layout.size());
        }
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        less(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

/// From a moment on.
pub(crate) struct Since(usize);

impl Since {
    /// From now on.
    pub(crate) fn now() -> Since {
        let held = HELD.load(SeqCst);
        PEAK.store(held, SeqCst);
        Since(held)
    }

    /// The most that was held since then, beyond what was held then, in bytes.
    pub(crate) fn peak(&self) -> usize {
        PEAK.load(SeqCst).saturating_sub(self.0)
    }
}
