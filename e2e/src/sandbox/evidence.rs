//! What a failed test leaves in `target/e2e/NAME/`, and with `E2E_KEEP=1` any: `timeline.html` to begin with, logs from their
//! start, spans, records, offsets, decoded commits, the schedule of faults, the bucket's listing.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Sandbox;
use super::timeline::{self, Process, Recorded};
use crate::bucket::Bucket;
use crate::containers::Container;
use crate::containers::images::repository;
use crate::expect::unix_ms;
use crate::fault_book::FaultEntry;
use crate::kafka::{CommitRecord, Kafka};

const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// How long the store may take to hand everything out.
const READ_BACK_PATIENCE: Duration = Duration::from_secs(20);
const TIMELINE: &str = "timeline.html";

/// Where the test `name` leaves what it has to show.
pub fn folder(name: &str) -> PathBuf {
    repository().join("target/e2e").join(name)
}

/// Notes how long a sandbox lived, for who looks for the slowest: seconds and name, a line each, in `target/e2e/times.txt`.
pub(super) fn note_time(name: &str, lived: Duration) {
    let folder = repository().join("target/e2e");
    let line = format!("{:7.1} s  {name}\n", lived.as_secs_f64());
    let opened = fs::create_dir_all(&folder)
        .and_then(|()| fs::OpenOptions::new().create(true).append(true).open(folder.join("times.txt")));
    // In one piece: other tests write too.
    let _ = opened.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()));
}

/// Takes away what an earlier run of the test left.
pub(super) fn clear(name: &str) -> anyhow::Result<()> {
    let folder = folder(name);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Writes everything that can be had; what can't is said in its place. Blocks, and never panics.
pub(super) fn write(sandbox: &Sandbox, containers: &[Container]) {
    let folder = folder(&sandbox.name);
    if let Err(error) = fs::create_dir_all(&folder) {
        eprintln!("e2e: no evidence, {} can't be made: {error}", folder.display());
        return;
    }
    // Of this thread; the others that help do not know.
    let failed = std::thread::panicking();
    let write = |name: String, text: String| {
        if let Err(error) = fs::write(folder.join(&name), text) {
            eprintln!("e2e: {name} of the evidence can't be written: {error}");
        }
    };
    // At once: other scenarios of the same test may have to wait for the end of this.
    let processes = std::thread::scope(|scope| {
        let (write, shared) = (&write, [&sandbox.stack.broker.container, &sandbox.stack.store.container]);
        for container in shared {
            scope.spawn(move || write(format!("{}.log", container.name()), container.logs_blocking()));
        }
        scope.spawn(|| write("topics.txt".to_owned(), or_why(topics(&sandbox.kafka))));
        scope.spawn(|| {
            let (offsets, bucket) = read_back(sandbox, failed);
            write("offsets.txt".to_owned(), offsets);
            write("bucket.txt".to_owned(), bucket);
        });
        let process = |container: &Container| {
            let log = container.logs_blocking();
            let process = process(sandbox, container, &log);
            write(format!("{}.log", container.name()), log);
            process
        };
        let processes: Vec<_> = containers.iter().map(|container| scope.spawn(move || process(container))).collect();
        processes.into_iter().filter_map(|process| process.join().ok()).collect::<Vec<_>>()
    });
    write("spans.txt".to_owned(), sandbox.traces.all().iter().map(|trace| format!("{trace}\n")).collect());
    write("origin.txt".to_owned(), requests(sandbox));
    let verdict = sandbox.ledger.verdict(None);
    write("ledger.txt".to_owned(), format!("{verdict}\n"));
    let faults = faults(sandbox);
    let first_ms = first_ms(sandbox, &faults);
    write("schedule.txt".to_owned(), schedule(&faults, first_ms));
    write("commits.txt".to_owned(), commits(&sandbox.ledger.commits(), first_ms));
    let recorded = Recorded {
        name: &sandbox.name,
        failed,
        ledger: &sandbox.ledger,
        verdict: &verdict,
        spans: &sandbox.traces.spans(),
        faults: &faults,
        processes: &processes,
        requests: &sandbox.origin.request_times(),
        now_ms: unix_ms(),
    };
    write(TIMELINE.to_owned(), or_why(timeline::html(&recorded)));
    // Not by a macro: what those print is shown of failed tests alone.
    let page = folder.join(TIMELINE);
    let _nobody_reads = writeln!(std::io::stderr(), "e2e: what {} left: {}", sandbox.name, page.display());
}

/// The container in short, with what its log says of it.
fn process(sandbox: &Sandbox, container: &Container, log: &str) -> Process {
    // The downloader's first line.
    let run_id = log.split_once("\"run_id\":\"").and_then(|(_, rest)| rest.split_once('"'));
    let run_id = run_id.map(|(run_id, _)| run_id.to_owned());
    Process { name: short(sandbox, container.name()), run_id, life: container.life_blocking() }
}

/// Without what all of the sandbox's containers have in common.
fn short(sandbox: &Sandbox, text: &str) -> String {
    let run = format!("e2e-{}-", sandbox.stack.run.id);
    text.replace(&sandbox.container_prefix(), "").replace(&run, "")
}

fn faults(sandbox: &Sandbox) -> Vec<FaultEntry> {
    let entries = sandbox.faults.entries().into_iter();
    entries.map(|entry| FaultEntry { what: short(sandbox, &entry.what), ..entry }).collect()
}

/// When the first record was produced; where there is none, the first fault.
fn first_ms(sandbox: &Sandbox, faults: &[FaultEntry]) -> i64 {
    let entries = sandbox.ledger.entries();
    let produced = entries.iter().filter_map(|entry| sandbox.ledger.produced_ms(entry.subject)).min();
    produced.or(faults.first().map(|fault| fault.began_ms)).unwrap_or_else(unix_ms)
}

/// In seconds since the first record.
fn seconds(first_ms: i64, at_ms: i64) -> String {
    format!("{:9.3}", (at_ms - first_ms) as f64 / 1000.0)
}

fn schedule(faults: &[FaultEntry], first_ms: i64) -> String {
    let mut text = "seconds since the first record: begin, end, what\n".to_owned();
    for fault in faults {
        let end = match fault.ended_ms {
            Some(_) if fault.is_moment() => format!("{:>9}", ""),
            Some(at_ms) => seconds(first_ms, at_ms),
            None => format!("{:>9}", "lasts"),
        };
        text += &format!("{} {end}  {}\n", seconds(first_ms, fault.began_ms), fault.what);
    }
    text
}

fn commits(commits: &[CommitRecord], first_ms: i64) -> String {
    let mut text =
        "seconds since the first record, partition, offset, writer, open or closed, end of the map, unfinished, strikes\n"
            .to_owned();
    for commit in commits {
        let offset = commit.next_offset.map_or("removed".to_owned(), |offset| offset.to_string());
        let note = match &commit.note {
            Ok(Some(note)) => {
                let open = if note.open { "open" } else { "closed" };
                let (end, strikes) = (note.end, note.strikes);
                format!("{:016x} {open:6} end {end} unfinished {:?} strikes {strikes}", note.run_id, note.unfinished)
            }
            Ok(None) => "without a note".to_owned(),
            Err(distrust) => format!("with a note that is not believed: {}", distrust.as_str()),
        };
        text += &format!("{} {:3} {offset:>8}  {note}\n", seconds(first_ms, commit.at_ms), commit.partition);
    }
    text
}

fn or_why(text: anyhow::Result<String>) -> String {
    text.unwrap_or_else(|error| format!("can't be read: {error:#}\n"))
}

fn requests(sandbox: &Sandbox) -> String {
    let counts = sandbox.origin.request_counts();
    let lines = counts.iter().map(|(path, count)| format!("{count} {path}\n"));
    format!("{} connections\n{}", sandbox.origin.connections(), lines.collect::<String>())
}

/// On a runtime and with clients of its own: the test's may be what has failed.
fn read_back(sandbox: &Sandbox, failed: bool) -> (String, String) {
    let read = async {
        let bucket = async {
            let bucket = Bucket::open(&sandbox.bucket_place)?;
            // A test that failed early has not read what the verdict needs.
            if failed {
                let objects = tokio::time::timeout(READ_BACK_PATIENCE, sandbox.ledger.read_objects(&bucket));
                objects.await.context("read the objects back")??;
            }
            let listed = bucket.list().await?;
            anyhow::Ok(listed.iter().map(|(key, bytes)| format!("{bytes:>10} {key}\n")).collect())
        };
        sandbox.ledger.saw_requests(sandbox.origin.request_counts());
        sandbox.ledger.saw_request_times(sandbox.origin.request_times());
        (sandbox.offsets_as_text().await, or_why(bucket.await))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    std::thread::scope(|scope| match runtime {
        Ok(runtime) => scope.spawn(move || runtime.block_on(read)).join().unwrap_or_default(),
        Err(error) => (error.to_string(), error.to_string()),
    })
}

/// Every record of the three topics, one line each.
fn topics(kafka: &Kafka) -> anyhow::Result<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .set("group.id", "e2e.evidence")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        // Nobody writes any more.
        .set("fetch.wait.max.ms", "20")
        .create()?;
    let names = kafka.names();
    let mut list = TopicPartitionList::new();
    let mut open = 0;
    for topic in [&names.tasks, &names.outcomes, &names.dead] {
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_PATIENCE)?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
            open += 1;
        }
    }
    consumer.assign(&list)?;
    let mut text = String::new();
    // An error is the end of a partition, which is what we wait for, or a broker that is away.
    while open > 0 {
        match consumer.poll(ANSWER_PATIENCE) {
            Some(Ok(record)) => describe(&mut text, &record)?,
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => {
                writeln!(text, "… {error}")?;
                break;
            }
            None => {
                writeln!(text, "… the broker doesn't answer")?;
                break;
            }
        }
    }
    Ok(text)
}

fn describe(text: &mut String, record: &impl rdkafka::Message) -> anyhow::Result<()> {
    let bytes = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let key = record.key().map_or_else(|| "null".to_owned(), bytes);
    let payload = record.payload().map_or_else(|| "null".to_owned(), bytes);
    writeln!(text, "{} {}@{} key {key}\n  {payload}", record.topic(), record.partition(), record.offset())?;
    for header in record.headers().iter().flat_map(|headers| headers.iter()) {
        writeln!(text, "  {}: {}", header.key, header.value.map_or_else(|| "null".to_owned(), bytes))?;
    }
    Ok(())
}
