//! Claim: making a thumbnail never holds more memory than was reserved for it. A process of its own, since it counts
//! every allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use downloader::config::Settings;
use downloader::flow::limits::ByteBudget;
use downloader::image::{ImageError, Pool};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged; only numbers are kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::SeqCst) + layout.size();
        PEAK.fetch_max(held, Ordering::SeqCst);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn pool(decode_bytes_max: &str, edge: &str) -> Pool {
    let environment = [("DECODE_BYTES_MAX".into(), decode_bytes_max.into()), ("THUMBNAIL_EDGE_PX".into(), edge.into())];
    let settings = Settings::load(environment, &HashMap::new()).expect("settings");
    Pool::new(&settings, ByteBudget::new(settings.decode_bytes_max)).expect("threads")
}

#[tokio::test]
async fn decoding_holds_no_more_than_was_reserved() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/images");
    let list = std::fs::read(folder.join("images.json")).expect("the list of fixtures");
    let list: Vec<serde_json::Value> = serde_json::from_slice(&list).expect("JSON");
    let pools = ["128", "600"].map(|edge| (pool("1MiB", edge), pool("128MiB", edge)));
    let files = list.iter().filter(|row| row["valid"] == true).map(|row| row["file"].as_str().expect("a name"));
    for (file, (small, large)) in files.flat_map(|file| pools.each_ref().map(|pools| (file, pools))) {
        let source = bytes::Bytes::from(std::fs::read(folder.join(file)).expect(file));
        // Every prediction is above 1 MiB, so a pool that has no more says what it would reserve.
        let refusal = small.thumbnail(source.clone()).await.expect_err(file);
        let ImageError::MemoryLimit { needed, .. } = refusal else { panic!("{file}: {refusal}") };
        let before = HELD.load(Ordering::SeqCst);
        PEAK.store(before, Ordering::SeqCst);
        large.thumbnail(source).await.expect(file);
        let used = PEAK.load(Ordering::SeqCst) - before;
        assert!(u64::try_from(used).expect("fits") <= needed, "{file} used {used} of {needed} bytes");
    }
}
