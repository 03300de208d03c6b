//! Which log a topic's name stands for: a topic that was deleted and made again has another id.
//!
//! The broker is asked through the C functions, because the client's wrapper knows neither the request nor the id. An
//! answer is waited for only where a partition is opened; a live owner looks for it on its way.

use std::ffi::CString;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rdkafka::bindings as c;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaRespErr;

use super::rebalance::Callbacks;
use crate::progress::LogId;

/// Asks for the id of one topic, one question at a time.
pub(super) struct LogIds {
    client: Arc<BaseConsumer<Callbacks>>,
    topic: CString,
    answers: *mut c::rd_kafka_queue_t,
    /// Who is asked: one that has answered before. The client on its own would ask the controller, which may be out of reach
    /// while everything that matters here is not.
    broker: Option<i32>,
    asked: bool,
}

// SAFETY: the queue is locked inside the library, and only its owner uses it.
unsafe impl Send for LogIds {}

impl LogIds {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// The topic's name holds a zero byte.
    pub(super) fn new(client: Arc<BaseConsumer<Callbacks>>, topic: &str) -> anyhow::Result<LogIds> {
        let topic = CString::new(topic).context("use the name of the topic of tasks")?;
        // SAFETY: the client lives as long as the queue, which the drop below destroys first.
        let answers = unsafe { c::rd_kafka_queue_new(client.client().native_ptr()) };
        Ok(LogIds { client, topic, answers, broker: None, asked: false })
    }

    /// Asks, unless an answer is still awaited. The answer is an error after `patience`. Does not block where a broker has
    /// answered before.
    ///
    /// # Errors
    /// No broker answers.
    pub(super) fn ask(&mut self, patience: Duration) -> anyhow::Result<()> {
        if self.asked {
            return Ok(());
        }
        let broker = match self.broker {
            Some(broker) => broker,
            None => self.any_broker(patience)?,
        };
        self.broker = Some(broker);
        self.asked = true;
        let patience_ms = millis(patience);
        let client = self.client.client().native_ptr();
        let mut names = [self.topic.as_ptr()];
        let mut error = [0; 128];
        // SAFETY: the client and the queue live as long as `self`; names and options are copied by the request, and
        // destroyed here, once; the error's text is written within its size.
        unsafe {
            let topics = c::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            let options =
                c::rd_kafka_AdminOptions_new(client, c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
            // What is out of range leaves the client's own, which serves too.
            c::rd_kafka_AdminOptions_set_request_timeout(options, patience_ms, error.as_mut_ptr(), error.len());
            c::rd_kafka_AdminOptions_set_broker(options, broker, error.as_mut_ptr(), error.len());
            c::rd_kafka_DescribeTopics(client, topics, options, self.answers);
            c::rd_kafka_AdminOptions_destroy(options);
            c::rd_kafka_TopicCollection_destroy(topics);
        }
        Ok(())
    }

    fn any_broker(&self, patience: Duration) -> anyhow::Result<i32> {
        let topic = self.topic.to_str().context("use the name of the topic of tasks")?;
        let metadata = self.client.fetch_metadata(Some(topic), patience).context("find a broker that answers")?;
        Ok(metadata.orig_broker_id())
    }

    /// The answer, waited for up to `patience`. `Ok(None)`: it has not come, or nothing was asked. Within: `None` is what a
    /// broker without ids of topics says, and one that does not let us ask.
    ///
    /// # Errors
    /// The broker did not say.
    pub(super) fn answer(&mut self, patience: Duration) -> anyhow::Result<Option<Option<LogId>>> {
        if !self.asked {
            return Ok(None);
        }
        // SAFETY: the queue lives as long as `self`; the event is destroyed below, once, after its last use.
        let event = unsafe { c::rd_kafka_queue_poll(self.answers, millis(patience)) };
        if event.is_null() {
            return Ok(None);
        }
        self.asked = false;
        // SAFETY: the event is valid.
        let answer = unsafe { read(event) };
        // SAFETY: it is ours, and nobody refers to it any more.
        unsafe { c::rd_kafka_event_destroy(event) };
        if answer.is_err() {
            self.broker = None;
        }
        answer.map(Some)
    }

    /// Asks and waits.
    ///
    /// # Errors
    /// The broker did not say within `patience`.
    pub(super) fn find(&mut self, patience: Duration) -> anyhow::Result<Option<LogId>> {
        let deadline = Instant::now() + patience;
        self.ask(patience)?;
        let left = deadline.saturating_duration_since(Instant::now());
        self.answer(left)?.with_context(|| format!("the broker took longer than {patience:?} to say the topic's id"))
    }
}

impl Drop for LogIds {
    fn drop(&mut self) {
        // SAFETY: made in `new`, destroyed once; what is still under way answers into nothing.
        unsafe { c::rd_kafka_queue_destroy(self.answers) };
    }
}

fn millis(patience: Duration) -> i32 {
    i32::try_from(patience.as_millis()).unwrap_or(i32::MAX)
}

/// # Safety
/// `event` is a valid event.
unsafe fn read(event: *mut c::rd_kafka_event_t) -> anyhow::Result<Option<LogId>> {
    // SAFETY: by the caller's word. Whatever is read belongs to the event and is copied.
    unsafe {
        match c::rd_kafka_event_error(event) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            error => bail!("ask for the topic's id: {error:?}"),
        }
        let result = c::rd_kafka_event_DescribeTopics_result(event);
        ensure!(!result.is_null(), "ask for the topic's id: another answer came");
        let mut count = 0;
        let topics = c::rd_kafka_DescribeTopics_result_topics(result, ptr::from_mut(&mut count));
        ensure!(count == 1 && !topics.is_null(), "ask for the topic's id: {count} topics were answered");
        let topic = *topics;
        match c::rd_kafka_error_code(c::rd_kafka_TopicDescription_error(topic)) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED => return Ok(None),
            error => bail!("ask for the topic's id: {error:?}"),
        }
        let id = c::rd_kafka_TopicDescription_topic_id(topic);
        let halves = [c::rd_kafka_Uuid_most_significant_bits(id), c::rd_kafka_Uuid_least_significant_bits(id)];
        Ok(log_id(halves))
    }
}

/// Both halves of the id are random, but for six bits; an id of zeros is none.
fn log_id([high, low]: [i64; 2]) -> Option<LogId> {
    let bits = |half: i64| u64::from_ne_bytes(half.to_ne_bytes());
    (high != 0 || low != 0).then(|| LogId(bits(high).rotate_left(32) ^ bits(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_zeros_is_none_and_others_differ() {
        assert_eq!(log_id([0, 0]), None);
        assert_ne!(log_id([1, 0]), log_id([0, 1]));
        assert!(log_id([i64::MIN, -1]).is_some());
    }
}
