//! What a group holds for partitions, and which logs they are: where they begin and end, and the topic's id.
//!
//! The metadata of a commit is bytes from outside: the client's own accessor panics where they are not UTF-8, so they are
//! read through the C list.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::log_bounds;
use super::log_id::LogIds;
use super::rebalance::Callbacks;
use crate::progress::Found;

/// Asks the group and the log of each of `partitions`, within `patience` altogether. Blocks. What is missing is not known;
/// the error says why, for one of those.
pub(super) fn find(
    client: &BaseConsumer<Callbacks>,
    log_ids: &mut LogIds,
    topic: &str,
    partitions: &[i32],
    patience: Duration,
) -> (BTreeMap<i32, Found>, Option<anyhow::Error>) {
    let deadline = Instant::now() + patience;
    let left = || deadline.saturating_duration_since(Instant::now());
    // The id before the offsets: of a topic that is made anew in between, the offsets are the new one's, and the next look
    // at the id opens it again.
    let asked = log_ids.find(left()).and_then(|log_id| Ok((log_id, of_group(client, topic, partitions, left())?)));
    let (log_id, (of_group, refused)) = match asked {
        Ok(asked) => asked,
        Err(error) => return (BTreeMap::new(), Some(error)),
    };
    let partitions: Vec<i32> = of_group.keys().copied().collect();
    let (bounds, silent) = log_bounds::find(client, topic, &partitions, left());
    let known = of_group.into_iter().filter_map(|(partition, (committed, metadata))| {
        let log_bounds::Bounds { start: log_start, end: log_end } = *bounds.get(&partition)?;
        Some((partition, Found { committed, metadata, log_start, log_end, log_id }))
    });
    (known.collect(), refused.or(silent))
}

/// The group's offset of a partition, if it has one, and its metadata.
type OfGroup = (Option<i64>, Vec<u8>);

/// What the group holds for each of `partitions`, and why something is missing.
///
/// # Errors
/// No coordinator answered in time, or it refused.
fn of_group(
    client: &BaseConsumer<Callbacks>,
    topic: &str,
    partitions: &[i32],
    patience: Duration,
) -> anyhow::Result<(BTreeMap<i32, OfGroup>, Option<anyhow::Error>)> {
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        asked.add_partition(topic, *partition);
    }
    let list = client.committed_offsets(asked, patience).context("read the group's offsets")?;
    let (mut found, mut failure) = (BTreeMap::new(), None);
    for (element, metadata) in list.elements().iter().zip(metadata(&list)) {
        let partition = element.partition();
        match (element.error(), element.offset()) {
            (Err(error), _) => {
                failure = Some(
                    anyhow::Error::new(error).context(format!("read the group's offset of partition {partition}")),
                );
            }
            (Ok(()), Offset::Offset(offset)) => drop(found.insert(partition, (Some(offset), metadata))),
            (Ok(()), _) => drop(found.insert(partition, (None, metadata))),
        }
    }
    Ok((found, failure))
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
