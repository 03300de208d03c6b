//! The ring without containers: the real downloader, mostly as a child process, on librdkafka's mock cluster, an S3
//! server and an origin in this process. What needs no container is tested here, within seconds.

mod abrupt_end;
mod bad_input;
mod consumer;
mod delivery;
mod demo;
mod effects;
mod ending;
mod outage;
mod pictures;
mod quarantine;
mod replay;
mod trial;

use std::ops::Deref;
use std::path::Path;

use e2e::embedded::{Child, Stack};
use e2e::expect::{PATIENCE, eventually};
use e2e::ledger::{Expected, Source};
use tempfile::TempDir;

/// More than an honest picture needs, and enough for a child's own limit to be the lower one.
const MEMORY_MAX: u64 = 1 << 30;

/// A stack of one test's own.
struct World {
    stack: Stack,
    _folder: TempDir,
}

impl Deref for World {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

/// A folder in memory, where there is one: what a store holds here is small, and a disk would take most of the time.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

async fn world() -> World {
    let folder = folder();
    World { stack: Stack::start(folder.path()).await.unwrap(), _folder: folder }
}

/// The downloader in a process of its own: this crate's demo under another name.
fn downloader(stack: &Stack, changes: &[(&str, &str)]) -> Child {
    Child::start(Path::new(env!("CARGO_BIN_EXE_demo")), stack, changes).unwrap()
}

/// Waits until a metric, over those samples that have all of `labels`, is at least `least`.
async fn counted(child: &Child, name: &str, labels: &[&str], least: f64) {
    eventually(format!("{name} {labels:?} is at least {least}"), PATIENCE, async || {
        match child.metric(name, labels).await {
            Ok(enough) if enough >= least => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .evidence("downloader", || async { child.log_tail() })
    .await;
}

/// An `Ok` with what the origin serves under `path`.
fn ok(stack: &Stack, path: &str) -> Expected {
    Expected::Ok(Source::of_bytes(&stack.origin.body(path).unwrap()))
}

/// Writes tasks `ids`, each for a picture under a path of its own.
async fn produce(stack: &Stack, ids: std::ops::Range<u64>) {
    for id in ids {
        let path = format!("/n/{id}/grey.jpg");
        stack.produce(id, stack.origin.url(&path), ok(stack, &path)).await.unwrap();
    }
}
