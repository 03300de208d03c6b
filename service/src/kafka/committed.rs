//! What a group holds for partitions, and which logs they are: where they begin and end, and the topic's id.
//!
//! The metadata of a commit is bytes from outside: the client's own accessor panics where they are not UTF-8, so they are
//! read through the C list.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::log_id::LogIds;
use super::rebalance::Callbacks;
use crate::progress::Found;

/// Asks the group and the log of each of `partitions`, within `patience` altogether. Blocks.
///
/// # Errors
/// The broker did not answer in time, or refused; nothing is known then.
pub(super) fn find(
    client: &BaseConsumer<Callbacks>,
    log_ids: &mut LogIds,
    topic: &str,
    partitions: &[i32],
    patience: Duration,
) -> anyhow::Result<Vec<(i32, Found)>> {
    let deadline = Instant::now() + patience;
    let left = || deadline.saturating_duration_since(Instant::now());
    // Before the offsets: of a topic that is made anew in between, the offsets are the new one's, and the next look at the
    // id opens it again.
    let log_id = log_ids.find(left())?;
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        asked.add_partition(topic, *partition);
    }
    let list = client.committed_offsets(asked, left()).context("read the group's offsets")?;
    let mut found = Vec::with_capacity(partitions.len());
    for (element, metadata) in list.elements().iter().zip(metadata(&list)) {
        element.error().with_context(|| format!("read the group's offset of partition {}", element.partition()))?;
        if left().is_zero() {
            bail!("the broker took longer than {patience:?}");
        }
        let (log_start, log_end) = client
            .fetch_watermarks(topic, element.partition(), left())
            .with_context(|| format!("ask where the log of partition {} begins and ends", element.partition()))?;
        let committed = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        found.push((element.partition(), Found { committed, metadata, log_start, log_end, log_id }));
    }
    Ok(found)
}

/// The metadata of each element, as it came.
fn metadata(list: &TopicPartitionList) -> Vec<Vec<u8>> {
    let copy = |at: usize| {
        // SAFETY: the list lives as long as this call and holds `cnt` elements; the client wrote an element's metadata as
        // `metadata_size` bytes, or as a null pointer.
        unsafe {
            let elements = (*list.ptr()).elems;
            let element = &*elements.add(at);
            if element.metadata.is_null() || element.metadata_size == 0 {
                return Vec::new();
            }
            std::slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size).to_vec()
        }
    };
    (0..list.count()).map(copy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_any_bytes_is_read() {
        let mut list = TopicPartitionList::new();
        for (partition, text) in [(0, "dl1b"), (1, ""), (2, "цифры")] {
            list.add_partition("t", partition).set_metadata(text);
        }
        let mut read = metadata(&list);
        assert_eq!(read.remove(0), b"dl1b");
        assert_eq!(read.remove(0), b"");
        assert_eq!(read.remove(0), "цифры".as_bytes());
    }
}
