//! Very many empty records at once: one batch per partition, written as bytes. A client would make millions of records one by
//! one; the broker takes this for what it is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::Context as _;

use super::{ANSWER_PATIENCE, Api, Kafka, blocking};
use crate::expect::{PATIENCE, eventually, unix_ms};

/// Version of the request: the last one without tagged fields.
const PRODUCE_VERSION: i16 = 7;
const CLIENT: &str = "e2e";
/// Where the part of a batch begins that its checksum covers.
const CHECKED_FROM: usize = 21;

impl Kafka {
    /// Appends `records` records without key and payload to each of the first `partitions` partitions of the topic of tasks.
    ///
    /// # Errors
    /// The broker does not take them.
    pub async fn fill(&self, partitions: i32, records: i32) -> anyhow::Result<()> {
        let batch = Arc::new(batch(records));
        for partition in 0..partitions {
            let taken = eventually(format!("partition {partition} takes a batch"), PATIENCE, async || {
                let (brokers, topic, batch) = (self.brokers.clone(), self.names.tasks.clone(), batch.clone());
                let sent = blocking(move || append(&brokers, &request(&topic, partition, &batch))).await;
                match sent.map_err(|error| format!("{error:#}"))? {
                    0 => Ok(()),
                    // It may not know yet that it leads a new partition.
                    code => Err(format!("the broker answers {code}")),
                }
            });
            taken.or_error().await?;
        }
        Ok(())
    }
}

/// Sends it on a connection of its own; the broker's code.
fn append(brokers: &str, request: &[u8]) -> anyhow::Result<i16> {
    let mut broker = TcpStream::connect(brokers).context("connect to the broker")?;
    broker.set_read_timeout(Some(ANSWER_PATIENCE))?;
    broker.write_all(request).context("send a batch")?;
    error_code(&mut broker).context("read the broker's answer")
}

fn request(topic: &str, partition: i32, batch: &[u8]) -> Vec<u8> {
    let mut request = Bytes(Vec::new());
    request.i16(Api::Produce.number()).i16(PRODUCE_VERSION).i32(partition).text(CLIENT);
    // No transaction, every replica acknowledges, within ten seconds; one topic, one partition.
    request.i16(-1).i16(-1).i32(10_000).i32(1).text(topic).i32(1).i32(partition);
    request.i32(length(batch)).raw(batch);
    let mut whole = Bytes(Vec::new());
    whole.i32(length(&request.0)).raw(&request.0);
    whole.0
}

/// Of an answer about one partition of one topic.
fn error_code(broker: &mut TcpStream) -> anyhow::Result<i16> {
    let mut length = [0; 4];
    broker.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length))?];
    broker.read_exact(&mut answer)?;
    // Correlation id, one topic, its name, one partition, its number.
    let name = i16::from_be_bytes(answer.get(8..10).context("it is short")?.try_into()?);
    let at = 10 + usize::try_from(name)? + 4 + 4;
    Ok(i16::from_be_bytes(answer.get(at..at + 2).context("it is short")?.try_into()?))
}

/// A batch of empty records, in the format of Kafka's version 2 of records.
fn batch(records: i32) -> Vec<u8> {
    let mut body = Bytes(Vec::new());
    // Attributes, the last record's place in the batch, first and last time, no producer's id, epoch and number.
    let now_ms = unix_ms();
    body.i16(0).i32(records - 1).i64(now_ms).i64(now_ms).i64(-1).i16(-1).i32(-1).i32(records);
    for at in 0..records {
        let mut record = Bytes(vec![0, 0]);
        // Neither key nor payload, no headers.
        record.varint(at).varint(-1).varint(-1).varint(0);
        body.varint(length(&record.0)).raw(&record.0);
    }
    let mut whole = Bytes(Vec::new());
    let covered = i32::try_from(CHECKED_FROM - 12).unwrap_or(i32::MAX);
    whole.i64(0).i32(covered + length(&body.0)).i32(-1).raw(&[2]).raw(&crc32c(&body.0).to_be_bytes()).raw(&body.0);
    whole.0
}

fn length(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).expect("invariant: a request is far below 2 GiB")
}

/// CRC-32C (Castagnoli).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

/// Kafka's encoding.
struct Bytes(Vec<u8>);

impl Bytes {
    fn raw(&mut self, bytes: &[u8]) -> &mut Bytes {
        self.0.extend_from_slice(bytes);
        self
    }

    fn i16(&mut self, number: i16) -> &mut Bytes {
        self.raw(&number.to_be_bytes())
    }

    fn i32(&mut self, number: i32) -> &mut Bytes {
        self.raw(&number.to_be_bytes())
    }

    fn i64(&mut self, number: i64) -> &mut Bytes {
        self.raw(&number.to_be_bytes())
    }

    fn text(&mut self, text: &str) -> &mut Bytes {
        self.i16(i16::try_from(text.len()).expect("invariant: names are short")).raw(text.as_bytes())
    }

    /// Small numbers of either sign take few bytes: zigzag, seven bits a byte.
    fn varint(&mut self, number: i32) -> &mut Bytes {
        let mut left = ((number << 1) ^ (number >> 31)).cast_unsigned();
        while left >= 0x80 {
            self.0.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        self.0.push(left as u8);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_and_numbers_are_kafkas() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
        let mut bytes = Bytes(Vec::new());
        bytes.varint(0).varint(-1).varint(1).varint(300);
        assert_eq!(bytes.0, [0, 1, 2, 0xd8, 0x04]);
    }
}
