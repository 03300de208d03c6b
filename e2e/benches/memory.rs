//! What the downloader's process holds: idle, and for each record that waits to start, each task that waits for its host,
//! each that fetches. Resident memory of the real process, by the system's count; nothing is asserted.
//!
//! `cargo bench --workspace --bench memory [-- --quick]`

use std::time::Duration;

use ::downloader::task::Task;
use anyhow::Context as _;
use e2e::embedded::{Child, PARTITIONS, Stack, downloader};
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
    println!("state                                      | records | process, KiB | each beyond its payload, bytes");
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
        let process = median(measured.iter().map(|(process, _)| *process).collect());
        let each = match state.records {
            0 => "-".to_owned(),
            _ => format!("{:.0}", median(measured.iter().map(|(_, each)| *each).collect())),
        };
        println!("{:42} | {:7} | {:12.0} | {each:>10}", state.name, state.records, process / 1024.0);
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
    /// Bytes of the process, and of each record beyond its payload.
    async fn measure(&self) -> anyhow::Result<(f64, f64)> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let stack = Stack::start(folder.path()).await?;
        let (url, gate) = stack.origin.hold("/held.jpg");
        let child = Child::start(&std::env::current_exe()?, &stack, self.settings)?;
        child.ready().await?;
        let before = settled(&child).await?;
        if self.records == 0 {
            return Ok((before, 0.0));
        }
        let payload_bytes = produce(&stack, url.as_str(), self.produced).await? as f64 / self.produced as f64;
        let reached = eventually("they are all there", PATIENCE * 4, async || {
            let (_, text) = child.ask("/metrics").await.map_err(|error| format!("{error:#}"))?;
            let line = text.lines().find(|line| line.starts_with(self.gauge)).ok_or("no such gauge")?;
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok());
            if count == Some(self.records as f64) { Ok(()) } else { Err(line.to_owned()) }
        });
        reached.evidence("downloader", || async { child.log_tail() }).or_error().await?;
        if self.records == 256 {
            gate.reached_by(self.records).await;
        }
        let after = settled(&child).await?;
        Ok((after, (after - before) / self.records as f64 - payload_bytes))
    }
}

/// Resident bytes, once what was needed for a moment is given back.
async fn settled(child: &Child) -> anyhow::Result<f64> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(child.resident_bytes()? as f64)
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
