//! What a picture costs that was made to cost much: CPU time and peak memory until it ends, and how. The hostile fixtures, and
//! bombs made here, each as large as SOURCE_BYTES_MAX and SOURCE_PIXELS_MAX let it be. Settings are the defaults, decoders one.
//! Nothing is asserted.
//!
//! `cargo bench --workspace --bench bombs`

#[path = "../../service/tests/counting/mod.rs"]
mod counting;
#[path = "bombs/made.rs"]
mod made;

use std::collections::HashMap;
use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use counting::{Counting, Since};
use downloader::config::Settings;
use downloader::error::Classified as _;
use downloader::flow::limits::ByteBudget;
use downloader::image::Pool;

#[global_allocator]
static ALLOCATOR: Counting<false> = Counting;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(all())
}

async fn all() -> anyhow::Result<()> {
    let settings = Settings::load([], &HashMap::new()).context("read the settings")?;
    let pool = Pool::with_threads(&settings, ByteBudget::new(settings.decode_bytes_max), NonZero::<usize>::MIN)?;
    println!(
        "file                        |      bytes | ends as                  | CPU, ms | peak beyond the file, KiB"
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/images/hostile");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| format!("list {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    files.sort();
    for file in files {
        let bytes = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        report(&pool, &file.file_name().unwrap_or_default().to_string_lossy(), bytes).await;
    }
    for (name, make) in made::BOMBS {
        let bytes = make().with_context(|| format!("make {name}"))?;
        anyhow::ensure!(bytes.len() as u64 <= settings.source_bytes_max, "{name} would not be fetched");
        report(&pool, name, bytes).await;
    }
    Ok(())
}

async fn report(pool: &Pool, name: &str, bytes: Vec<u8>) {
    let source = Bytes::from(bytes);
    let since = Since::now();
    let began = cpu_time();
    let ended = match pool.thumbnail(source.clone()).await {
        Ok(thumbnail) => format!("{} x {}", thumbnail.width, thumbnail.height),
        Err(error) => error.code().to_string(),
    };
    let (cpu, peak) = (cpu_time().saturating_sub(began), since.peak());
    println!("{name:27} | {:10} | {ended:24} | {:7} | {:10}", source.len(), cpu.as_millis(), peak / 1024);
}

/// What this process has used of all processors.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
