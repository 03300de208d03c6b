//! librdkafka's mock cluster as a fake broker: real protocol, in this process, with faults.
//!
//! rdkafka's own wrapper hides the cluster's pointer, and without it every first member of a group waits three seconds
//! for others to join. So the cluster is made here, through the same C functions.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rdkafka::bindings as c;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};

pub use crate::kafka::Api;

/// A cluster of one broker; it ends when the last clone is dropped.
#[derive(Clone)]
pub struct Broker(Arc<Cluster>);

struct Cluster {
    pointer: *mut c::rd_kafka_mock_cluster_t,
    /// The client in whose threads the cluster runs: dropped after it.
    _owner: BaseProducer,
}

// SAFETY: the cluster runs on a thread of librdkafka's own; its functions hand work to that thread or take its lock.
unsafe impl Send for Cluster {}
// SAFETY: as above.
unsafe impl Sync for Cluster {}

impl Broker {
    /// Starts a cluster in which groups are joined without a delay.
    ///
    /// # Errors
    /// librdkafka cannot start it.
    pub fn start() -> anyhow::Result<Broker> {
        let owner: BaseProducer = ClientConfig::new().create().context("make the client that carries the broker")?;
        // SAFETY: the client outlives the cluster, which the struct's drop destroys before its fields are dropped.
        let pointer = unsafe { c::rd_kafka_mock_cluster_new(owner.client().native_ptr(), 1) };
        ensure!(!pointer.is_null(), "librdkafka cannot start its mock cluster");
        let cluster = Cluster { pointer, _owner: owner };
        // SAFETY: the pointer is valid as long as the cluster.
        unsafe { c::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster.pointer, 0) };
        Ok(Broker(Arc::new(cluster)))
    }

    /// Where clients find it.
    pub fn bootstrap_servers(&self) -> String {
        // SAFETY: the text is owned by the cluster, does not change, and is copied here.
        let text = unsafe { CStr::from_ptr(c::rd_kafka_mock_cluster_bootstraps(self.0.pointer)) };
        text.to_string_lossy().into_owned()
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// It exists, or its name cannot be used.
    pub fn create_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let text = CString::new(name).context("use the topic's name")?;
        // SAFETY: the pointer is valid as long as the cluster, the text for this call.
        let result = unsafe { c::rd_kafka_mock_topic_create(self.0.pointer, text.as_ptr(), partitions, 1) };
        ensure!(result == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, "cannot make topic '{name}': {result:?}");
        Ok(())
    }

    /// Takes the broker down: connections break, and new ones are refused.
    pub fn down(&self) {
        // SAFETY: the pointer is valid as long as the cluster; -1 is every broker.
        unsafe { c::rd_kafka_mock_broker_set_down(self.0.pointer, -1) };
    }

    /// Brings the broker back. What it held is still there.
    pub fn up(&self) {
        // SAFETY: as above.
        unsafe { c::rd_kafka_mock_broker_set_up(self.0.pointer, -1) };
    }

    /// Lets the next requests of this kind fail with these errors, one each.
    pub fn fail_next(&self, api: Api, errors: &[c::rd_kafka_resp_err_t]) {
        // SAFETY: the array is read within this call.
        unsafe {
            c::rd_kafka_mock_push_request_errors_array(self.0.pointer, api.number(), errors.len(), errors.as_ptr());
        }
    }

    /// Takes back what [`Broker::fail_next`] asked for and has not happened.
    pub fn fail_no_more(&self, api: Api) {
        // SAFETY: the pointer is valid as long as the cluster.
        unsafe { c::rd_kafka_mock_clear_request_errors(self.0.pointer, api.number()) };
    }

    /// Answers every request later by this much.
    pub fn delay(&self, by: Duration) {
        let millis = i32::try_from(by.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the pointer is valid as long as the cluster; -1 is every broker.
        unsafe { c::rd_kafka_mock_broker_set_rtt(self.0.pointer, -1, millis) };
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_mock_cluster_new`, destroyed once; nobody else holds the pointer.
        unsafe { c::rd_kafka_mock_cluster_destroy(self.pointer) };
    }
}
