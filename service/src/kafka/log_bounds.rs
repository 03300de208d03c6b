//! Where the logs of partitions begin and end, asked of all of them at once.
//!
//! The client's wrapper asks for one partition after the other, and over a slow network that takes longer than a group
//! waits. Each partition is a request of its own here, so that one without a leader costs the others nothing.

use std::collections::BTreeMap;
use std::ptr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rdkafka::bindings as c;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::rebalance::Callbacks;

/// The offset of the first record that is kept, and the one that the next record gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Asks for each of `partitions`, and waits up to `patience` for all answers. Blocks. What is missing was not answered; the
/// error says why, for one of those.
pub(super) fn find(
    client: &BaseConsumer<Callbacks>,
    topic: &str,
    partitions: &[i32],
    patience: Duration,
) -> (BTreeMap<i32, Bounds>, Option<anyhow::Error>) {
    let deadline = Instant::now() + patience;
    let asked = [Offset::Beginning, Offset::End].map(|end| Asked::of(client, topic, partitions, end, patience));
    let [(starts, no_start), (ends, no_end)] = asked.map(|asked| match asked {
        Ok(asked) => asked.answers(partitions.len(), deadline),
        Err(error) => (BTreeMap::new(), Some(error)),
    });
    let both = starts.into_iter().filter_map(|(partition, start)| {
        let end = *ends.get(&partition)?;
        Some((partition, Bounds { start, end }))
    });
    (both.collect(), no_start.or(no_end))
}

/// Questions under way, and where their answers arrive.
struct Asked(*mut c::rd_kafka_queue_t);

impl Asked {
    fn of(
        client: &BaseConsumer<Callbacks>,
        topic: &str,
        partitions: &[i32],
        end: Offset,
        patience: Duration,
    ) -> anyhow::Result<Asked> {
        let client = client.client().native_ptr();
        // SAFETY: the caller's client lives as long as this queue, which does not leave `find`.
        let asked = Asked(unsafe { c::rd_kafka_queue_new(client) });
        let mut error = [0; 128];
        for partition in partitions {
            let mut question = TopicPartitionList::with_capacity(1);
            question.add_partition_offset(topic, *partition, end).context("ask where a log begins and ends")?;
            // SAFETY: list and options are copied by the request; the options are destroyed here, once; the error's text is
            // written within its size. A timeout out of range leaves the client's own, which serves too.
            unsafe {
                let options =
                    c::rd_kafka_AdminOptions_new(client, c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS);
                let millis = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
                c::rd_kafka_AdminOptions_set_request_timeout(options, millis, error.as_mut_ptr(), error.len());
                c::rd_kafka_ListOffsets(client, question.ptr(), options, asked.0);
                c::rd_kafka_AdminOptions_destroy(options);
            }
        }
        Ok(asked)
    }

    /// Up to `count` answers, and the last reason for one that is missing.
    fn answers(&self, count: usize, deadline: Instant) -> (BTreeMap<i32, i64>, Option<anyhow::Error>) {
        let (mut offsets, mut failure) = (BTreeMap::new(), None);
        for _ in 0..count {
            match self.answer(deadline.saturating_duration_since(Instant::now())) {
                Some(Ok((partition, offset))) => drop(offsets.insert(partition, offset)),
                Some(Err(error)) => failure = Some(error),
                None => {
                    failure = Some(anyhow::anyhow!("the broker took too long to say where logs begin and end"));
                    break;
                }
            }
        }
        (offsets, failure)
    }

    fn answer(&self, patience: Duration) -> Option<anyhow::Result<(i32, i64)>> {
        let millis = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue lives as long as `self`; the event is destroyed below, once, after its last use.
        let event = unsafe { c::rd_kafka_queue_poll(self.0, millis) };
        if event.is_null() {
            return None;
        }
        // SAFETY: the event is valid.
        let answer = unsafe { read(event) };
        // SAFETY: it is ours, and nobody refers to it any more.
        unsafe { c::rd_kafka_event_destroy(event) };
        Some(answer)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // SAFETY: made in `of`, destroyed once; what is still under way answers into nothing.
        unsafe { c::rd_kafka_queue_destroy(self.0) };
    }
}

/// # Safety
/// `event` is a valid event.
unsafe fn read(event: *mut c::rd_kafka_event_t) -> anyhow::Result<(i32, i64)> {
    // SAFETY: by the caller's word. Whatever is read belongs to the event and is copied.
    unsafe {
        match c::rd_kafka_event_error(event) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            error => bail!("ask where a log begins and ends: {error:?}"),
        }
        let result = c::rd_kafka_event_ListOffsets_result(event);
        ensure!(!result.is_null(), "ask where a log begins and ends: another answer came");
        let mut count = 0;
        let infos = c::rd_kafka_ListOffsets_result_infos(result, ptr::from_mut(&mut count));
        ensure!(count == 1 && !infos.is_null(), "ask where a log begins and ends: {count} partitions were answered");
        let answered = &*c::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos);
        match answered.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok((answered.partition, answered.offset)),
            error => bail!("ask where the log of partition {} begins and ends: {error:?}", answered.partition),
        }
    }
}
