//! What the downloader's process holds: idle, and for each record that waits to start, each task that waits for its host,
//! each that fetches. Resident memory of the real process, by the system's count; of it "own" is what no file stands behind:
//! the rest is code, and this executable's, which is larger than the downloader's. Nothing is asserted.
//!
//! `cargo bench --workspace --bench memory [-- --quick]`

use std::time::Duration;

use ::downloader::task::Task;
use anyhow::Context as _;
use e2e::embedded::downloader::{self, Resident};
use e2e::embedded::{Child, PARTITIONS, Stack};
use e2e::expect::{PATIENCE, eventually};
use e2e::kafka::Headers;
use tokio::task::JoinSet;

/// What one partition lets wait.
const WAITING_MAX: usize = 2048;
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn main() -> anyhow::Result<()> {
    downloader::become_downloader();
    let quick = std::env::args().any(|argument| argument == "--quick");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(all(quick))
}

async fn all(quick: bool) -> anyhow::Result<()> {
    let (repetitions, tasks) = if quick { (1, 1_000) } else { (5, 10_000) };
    println!("resident memory of the downloader's process; medians of {repetitions} runs");
    println!(
        "state                                      | records | process, KiB | own, KiB | each beyond its payload, bytes"
    );
    let waiting = WAITING_MAX * PARTITIONS as usize;
    let states = [
        State { name: "idle, joined", records: 0, produced: 0, gauge: "", settings: &[] },
        State {
            name: "received, not started",
            records: waiting,
            // Keys spread them unevenly.
            produced: waiting * 5 / 4,
            gauge: "downloader_tasks_waiting",
            settings: &[("PARALLEL_OPERATIONS", "1")],
        },
        State {
            name: "started, waiting for its host",
            records: tasks,
            produced: tasks,
            gauge: "downloader_tasks_in_flight",
            settings: &[("PARALLEL_OPERATIONS", "25000"), ("FETCH_PER_HOST_MAX", "1")],
        },
        State {
            name: "fetching, before the first byte",
            records: 256,
            produced: 256,
            gauge: "downloader_tasks_in_flight",
            settings: &[("PARALLEL_OPERATIONS", "1000"), ("FETCH_PER_HOST_MAX", "256")],
        },
    ];
    for state in &states {
        let mut measured = Vec::new();
        for _ in 0..repetitions {
            measured.push(state.measure().await.context(state.name)?);
        }
        let [process, own, each] = [0, 1, 2].map(|at| median(measured.iter().map(|of| of[at]).collect()));
        let each = if state.records == 0 { "-".to_owned() } else { format!("{each:.0}") };
        let (process, own) = (process / 1024.0, own / 1024.0);
        println!("{:42} | {:7} | {process:12.0} | {own:8.0} | {each:>10}", state.name, state.records);
    }
    Ok(())
}

struct State {
    name: &'static str,
    records: usize,
    produced: usize,
    /// Says when they are all there.
    gauge: &'static str,
    settings: &'static [(&'static str, &'static str)],
}

impl State {
    /// Bytes of the process, of these its own, and its own of each record beyond the payload.
    async fn measure(&self) -> anyhow::Result<[f64; 3]> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let stack = Stack::start(folder.path()).await?;
        let (url, gate) = stack.origin.hold("/held.jpg");
        let child = Child::start(&std::env::current_exe()?, &stack, self.settings)?;
        child.ready().await?;
        let before = settled(&child).await?;
        if self.records == 0 {
            return Ok([before.bytes as f64, before.own_bytes as f64, 0.0]);
        }
        let payload_bytes = produce(&stack, url.as_str(), self.produced).await? as f64 / self.produced as f64;
        let reached = eventually("they are all there", PATIENCE * 4, async || {
            let (_, text) = child.ask("/metrics").await.map_err(|error| format!("{error:#}"))?;
            let line = text.lines().find(|line| line.starts_with(self.gauge)).ok_or("no such gauge")?;
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok());
            // A partition takes what has come with one turn of the poll before it pauses, so there may be a few more.
            count.filter(|count| *count >= self.records as f64).ok_or_else(|| line.to_owned())
        });
        let records = reached.evidence("downloader", || async { child.log_tail() }).or_error().await?;
        if self.records == 256 {
            gate.reached_by(self.records).await;
        }
        let after = settled(&child).await?;
        let grown = after.own_bytes as f64 - before.own_bytes as f64;
        Ok([after.bytes as f64, after.own_bytes as f64, grown / records - payload_bytes])
    }
}

/// Resident memory, once what was needed for a moment is given back.
async fn settled(child: &Child) -> anyhow::Result<Resident> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    child.resident()
}

/// Writes so many tasks; returns the bytes of their payloads.
async fn produce(stack: &Stack, url: &str, records: usize) -> anyhow::Result<usize> {
    let (mut sent, mut bytes) = (JoinSet::new(), 0);
    for id in 0..records as u64 {
        let task = Task {
            correlation_id: id,
            url: url.to_owned(),
            target_path: format!("originals/{id}"),
            target_thumbnail_path: format!("thumbnails/{id}"),
        };
        bytes += serde_json::to_vec(&task)?.len();
        let kafka = stack.kafka.clone();
        let headers: Headers = vec![("traceparent".into(), Some(TRACE.into()))];
        sent.spawn(async move { kafka.produce_task(&task, &headers).await });
    }
    while let Some(sent) = sent.join_next().await {
        sent?.context("write a task")?;
    }
    Ok(bytes)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
