//! The bytes of a picture, in any format: a thumbnail of the size that its header asks for, the same twice, or an error.
#![no_main]

use downloader::image::fuzz_thumbnail;
use libfuzzer_sys::fuzz_target;

/// Larger ones only cost time.
const PIXELS_MAX: u64 = 1 << 16;
const EDGE: u32 = 24;

fuzz_target!(|source: &[u8]| {
    let first = fuzz_thumbnail(source, PIXELS_MAX, EDGE);
    if let Ok(thumbnail) = &first {
        assert!((1..=EDGE).contains(&thumbnail.width) && (1..=EDGE).contains(&thumbnail.height));
        assert!(thumbnail.width <= thumbnail.source_width && thumbnail.height <= thumbnail.source_height);
        let [long, short] = [thumbnail.source_width, thumbnail.source_height];
        assert!(u64::from(long) * u64::from(short) <= PIXELS_MAX);
    }
    // What one picture leaves in a thread's tools must not show in the next.
    if source.len() % 8 == 0 {
        assert!(first.ok() == fuzz_thumbnail(source, PIXELS_MAX, EDGE).ok());
    }
});
