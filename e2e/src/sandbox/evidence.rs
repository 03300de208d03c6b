//! What a failed test leaves in `target/e2e/NAME/`: logs, spans, records, offsets, the bucket's listing.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Sandbox;
use crate::bucket::Bucket;
use crate::containers::Container;
use crate::containers::images::repository;
use crate::kafka::Kafka;

const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// Where the test `name` leaves what it has to show.
pub fn folder(name: &str) -> PathBuf {
    repository().join("target/e2e").join(name)
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
    let write = |name: String, text: String| {
        if let Err(error) = fs::write(folder.join(&name), text) {
            eprintln!("e2e: {name} of the evidence can't be written: {error}");
        }
    };
    for container in containers.iter().chain([&sandbox.stack.broker.container, &sandbox.stack.store.container]) {
        write(format!("{}.log", container.name()), container.logs_blocking());
    }
    write("spans.txt".to_owned(), sandbox.traces.all().iter().map(|trace| format!("{trace}\n")).collect());
    write("origin.txt".to_owned(), requests(sandbox));
    write("ledger.txt".to_owned(), format!("{}\n", sandbox.ledger.verdict(None)));
    write("topics.txt".to_owned(), or_why(topics(&sandbox.kafka)));
    let (offsets, bucket) = read_back(sandbox);
    write("offsets.txt".to_owned(), offsets);
    write("bucket.txt".to_owned(), bucket);
    eprintln!("e2e: logs, spans, records, offsets and objects of {} are in {}", sandbox.name, folder.display());
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
fn read_back(sandbox: &Sandbox) -> (String, String) {
    let read = async {
        let bucket = async {
            let listed = Bucket::open(&sandbox.bucket_place)?.list().await?;
            anyhow::Ok(listed.iter().map(|(key, bytes)| format!("{bytes:>10} {key}\n")).collect())
        };
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
