//! Access to the Docker engine, from any test and from `Drop`.
//!
//! Each `#[tokio::test]` has a runtime of its own, but the engine's client keeps connections that belong to the runtime
//! they were made in. So all talk with the engine happens on one runtime that lives as long as the process.

use std::future::Future;
use std::sync::LazyLock;

use anyhow::Context as _;
use bollard::Docker;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("docker")
        .enable_all()
        .build()
        .expect("invariant: a thread can be started")
});

/// A client of the engine that `DOCKER_HOST` names, or the local one.
///
/// # Errors
/// There is nothing to connect to.
pub fn docker() -> anyhow::Result<Docker> {
    Docker::connect_with_local_defaults().context("connect to the Docker engine")
}

/// Runs engine work where its connections live. A panic in there goes on here.
pub async fn on_engine<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match RUNTIME.spawn(work).await {
        Ok(done) => done,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

/// The same from code that can't wait asynchronously, as in `Drop`: blocks this thread.
pub fn on_engine_blocking<T: Send>(work: impl Future<Output = T> + Send) -> T {
    // A thread of its own, since the calling one may be driving a runtime already.
    std::thread::scope(|scope| match scope.spawn(|| RUNTIME.block_on(work)).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
