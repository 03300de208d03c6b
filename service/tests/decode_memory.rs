//! Claim: making a thumbnail never holds more memory than was reserved for it. A process of its own, since it counts
//! every allocation.

mod counting;

use std::collections::HashMap;
use std::path::Path;

use counting::{Counting, Since};
use downloader::config::Settings;
use downloader::flow::limits::ByteBudget;
use downloader::image::{ImageError, Pool};

#[global_allocator]
static ALLOCATOR: Counting<false> = Counting;

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
        let since = Since::now();
        large.thumbnail(source).await.expect(file);
        let used = since.peak();
        assert!(u64::try_from(used).expect("fits") <= needed, "{file} used {used} of {needed} bytes");
    }
}
