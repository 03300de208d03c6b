//! A topic as it stands, read once from start to end.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use rdkafka::consumer::Consumer as _;
use rdkafka::message::Message as _;

use super::{ANSWER_PATIENCE, Kafka, Record, consumer, detach, partitions};
use crate::ledger::Place;

/// Works for topics whose every offset holds a record: not compacted, no transactions.
pub(super) fn read(kafka: &Kafka, topic: &str) -> anyhow::Result<Vec<Record>> {
    let client = consumer(kafka.brokers(), &format!("{}.reader", kafka.names().group))?;
    let list = partitions(&client, topic)?;
    let mut missing = 0;
    for element in list.elements() {
        let (low, high) = client.fetch_watermarks(topic, element.partition(), ANSWER_PATIENCE)?;
        missing += high - low;
    }
    client.assign(&list).with_context(|| format!("read '{topic}'"))?;
    let (mut records, deadline) = (Vec::new(), Instant::now() + ANSWER_PATIENCE);
    while missing > 0 {
        ensure!(Instant::now() < deadline, "{missing} records of '{topic}' did not come");
        let Some(Ok(record)) = client.poll(std::time::Duration::from_millis(50)) else { continue };
        records.push(Record {
            payload: record.payload().map(<[u8]>::to_vec),
            key: record.key().map(<[u8]>::to_vec),
            headers: detach(record.headers()),
            place: Place { partition: record.partition(), offset: record.offset() },
        });
        missing -= 1;
    }
    records.sort_by_key(|record| record.place);
    Ok(records)
}
