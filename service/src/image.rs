//! Pictures: the bytes of a source -> its thumbnail, whatever the bytes are.
//!
//! The header is judged before anything is decoded, and the memory that decoding takes is reserved before it is used.
//! Nothing here knows where the bytes come from, or what becomes of the thumbnail.

mod color;
#[cfg(feature = "failpoints")]
mod deadly;
mod decode;
mod error;
mod header;
mod lanczos;
mod pool;
mod shrink;
mod size;
mod thumbnail;

use std::num::NonZero;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::config::Settings;
use crate::failpoint::{self, Point};
use crate::flow::limits::ByteBudget;
use header::{Header, Way};
use pool::{Panicked, Workers};

pub use error::ImageError;
pub use header::Format;
pub use pool::THREAD_NAME;

/// Makes thumbnails, one at a time on each of its threads. Clones share the threads.
#[derive(Clone, Debug)]
pub struct Pool {
    workers: Workers,
    budget: ByteBudget,
    pixels_max: u64,
    form: Form,
}

/// What a thumbnail is to be.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// Its longest edge, in pixels.
    edge: u32,
    /// Of a JPEG, 1..=100.
    quality: u8,
}

/// A thumbnail, and what was found out about its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// A JPEG, or a PNG where anything shines through.
    pub bytes: Bytes,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// Their media type.
    pub content_type: &'static str,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The source's media type, judged by its bytes.
    pub source_content_type: &'static str,
    /// The source's width as it is shown, in pixels.
    pub source_width: u32,
    /// The source's height as it is shown, in pixels.
    pub source_height: u32,
}

impl Pool {
    /// A pool by `SOURCE_PIXELS_MAX`, `THUMBNAIL_EDGE_PX` and `THUMBNAIL_QUALITY`, with a thread for each processor.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new(settings: &Settings, decode_budget: ByteBudget) -> anyhow::Result<Pool> {
        let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Pool::with_threads(settings, decode_budget, threads)
    }

    /// The same with so many threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn with_threads(
        settings: &Settings,
        decode_budget: ByteBudget,
        threads: NonZero<usize>,
    ) -> anyhow::Result<Pool> {
        Ok(Pool {
            workers: Workers::start(threads.get())?,
            budget: decode_budget,
            pixels_max: settings.source_pixels_max,
            form: Form { edge: settings.thumbnail_edge_px, quality: settings.thumbnail_quality },
        })
    }

    /// How long the decoder that has worked longest has been at it.
    pub fn longest_work(&self) -> Duration {
        self.workers.longest()
    }

    /// Makes the thumbnail of `source`.
    ///
    /// # Errors
    /// Why there is none; trying again cannot help.
    ///
    /// # Cancel safety
    /// Safe: work that has begun is finished on its thread, with its reservation, and dropped.
    pub async fn thumbnail(&self, source: Bytes) -> Result<Thumbnail, ImageError> {
        let (pixels_max, form) = (self.pixels_max, self.form);
        let judged = source.clone();
        let header = self.run(move || header::read(&judged, pixels_max, form.edge)).await?;
        let (needed, budget) = (header.decode_bytes, self.budget.total());
        if needed > budget {
            return Err(ImageError::MemoryLimit { needed, budget });
        }
        let reservation = self.budget.reserve(needed).await;
        failpoint::reach(Point::BeforeDecode).await;
        self.run(move || {
            let _held = reservation;
            make(&source, header, form)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, ImageError> {
        self.workers.run(work).await.unwrap_or_else(|Panicked| Err(ImageError::Panicked))
    }
}

fn make(source: &[u8], header: Header, form: Form) -> Result<Thumbnail, ImageError> {
    #[cfg(feature = "failpoints")]
    deadly::obey(source);
    let (orientation, encoded) = match header.way {
        Way::Whole => {
            let decoded = decode::decode(source, header)?;
            failpoint::reach_blocking(Point::MidDecode);
            (decoded.orientation, thumbnail::make(decoded, form)?)
        }
        Way::Shrunk(scale) => {
            let planes = shrink::planes(source, header, scale, form.edge)?;
            failpoint::reach_blocking(Point::MidDecode);
            (planes.orientation, thumbnail::of_planes(planes, form.quality)?)
        }
    };
    let (source_width, source_height) = thumbnail::shown(header.width, header.height, orientation);
    Ok(Thumbnail {
        sha256: Sha256::digest(&encoded.bytes).into(),
        bytes: encoded.bytes,
        content_type: encoded.format.content_type(),
        width: encoded.width,
        height: encoded.height,
        source_content_type: header.format.content_type(),
        source_width,
        source_height,
    })
}

/// For the fuzzer: any bytes, without the threads and the budget, and so without a net for panics.
///
/// # Errors
/// As [`Pool::thumbnail`].
#[cfg(fuzzing)]
pub fn fuzz_thumbnail(source: &[u8], pixels_max: u64, edge: u32) -> Result<Thumbnail, ImageError> {
    make(source, header::read(source, pixels_max, edge)?, Form { edge, quality: 80 })
}

#[cfg(test)]
mod tests;
