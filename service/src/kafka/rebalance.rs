//! The client's callbacks: partitions come and go, the broker's statistics arrive. They run on the poll thread.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::{debug, info, warn};

use super::commit::Commits;
use super::intake::Intake;
use crate::error::Dependency;
use crate::failpoint::{self, Point};
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;

/// How long a revocation waits for the closing commit; the group waits meanwhile.
const CLOSING_COMMIT_PATIENCE: Duration = Duration::from_secs(2);
/// Statistics in a row without any broker that show a client to have lost them all: one that begins anew has some at once.
const STRANDED_AFTER: u32 = 2;

/// What the callbacks need.
pub(super) struct Callbacks {
    pub(super) intake: Arc<Intake>,
    pub(super) commits: Commits,
    pub(super) health: Health,
    pub(super) metrics: Metrics,
    pub(super) topic: String,
    /// What was last said of the broker.
    pub(super) broker_up: Mutex<Option<bool>>,
    /// Statistics in a row that named no broker.
    pub(super) without_brokers: AtomicU32,
}

impl Callbacks {
    fn broker_is_up(&self, up: bool) {
        if self.broker_up.lock().unwrap_or_else(PoisonError::into_inner).replace(up) != Some(up) {
            let state = if up { Ok(()) } else { Err("no broker of KAFKA_BROKERS answers".to_owned()) };
            self.health.dependency(Dependency::Kafka, state);
        }
    }

    /// Whether the client has no broker left and looks for none. It forgets those that the cluster does not name; a lone broker
    /// that stood still names none for a moment afterwards, and then the client, which should begin anew with those of its
    /// settings, may never do so (librdkafka's issue 5301).
    pub(super) fn is_stranded(&self) -> bool {
        self.without_brokers.load(Ordering::Relaxed) >= STRANDED_AFTER
    }
}

/// Whether the client has a broker that it can ask, be it up or down.
fn knows_a_broker(statistics: &Statistics) -> bool {
    statistics.brokers.values().any(|broker| matches!(broker.source.as_str(), "configured" | "learned"))
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
}

impl ClientContext for Callbacks {
    fn stats(&self, statistics: Statistics) {
        let sizes = self.intake.sizes();
        self.health.unleased(sizes.unleased);
        self.health.unclean_ends(sizes.strikes);
        self.broker_is_up(statistics.brokers.values().any(|broker| broker.state == "UP"));
        if knows_a_broker(&statistics) {
            self.without_brokers.store(0, Ordering::Relaxed);
        } else {
            self.without_brokers.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(topic) = statistics.topics.get(&self.topic) {
            let known =
                topic.partitions.values().filter(|partition| partition.hi_offset >= 0 && partition.lo_offset >= 0);
            let bounds = known.map(|partition| (partition.partition, partition.lo_offset, partition.hi_offset));
            self.intake.log_bounds(bounds);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "the Kafka client reports an error");
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, client: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let partitions = partitions(list);
                if !partitions.is_empty() {
                    info!(?partitions, "partitions assigned");
                }
                // The client's own way to the group's offsets can end without an answer, and then reading never begins.
                // The commit thread asks for them; until it has, nothing is read, and if that failed, nothing is missed.
                for mut element in list.elements() {
                    if let Err(error) = element.set_offset(Offset::Beginning) {
                        warn!(%error, "cannot set where an assigned partition begins");
                    }
                }
                self.metrics.rebalanced("assigned");
            }
            Rebalance::Revoke(list) => {
                failpoint::reach_blocking(Point::Revoking);
                let partitions = partitions(list);
                if client.assignment_lost() {
                    self.intake.lost(&partitions);
                    // Until the next assignment, an empty one included.
                    self.health.joined(false);
                    warn!(?partitions, "partitions lost; somebody else may own them already");
                    self.metrics.rebalanced("lost");
                } else {
                    let closing = self.intake.revoked(&partitions);
                    let open = closing.len();
                    let acknowledged = self.commits.close(closing, CLOSING_COMMIT_PATIENCE);
                    // What was not acknowledged by now must not be said later.
                    self.intake.lost(&partitions);
                    info!(?partitions, open, acknowledged, "partitions revoked");
                    self.metrics.rebalanced("revoked");
                }
            }
            Rebalance::Error(error) => warn!(%error, "the group cannot rebalance"),
        }
    }

    fn post_rebalance(&self, client: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            // Reading begins where the commit thread says, once it knows what the group holds.
            if let Err(error) = client.pause(list) {
                warn!(%error, "cannot pause what was assigned");
            }
            self.intake.assigned(&partitions(list));
            self.health.joined(true);
            // An assignment is a broker's answer.
            self.broker_is_up(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_has_only_logical_brokers_has_none() {
        let mut statistics = Statistics::default();
        for (source, known) in [("internal", false), ("logical", false), ("learned", true)] {
            let broker =
                rdkafka::statistics::Broker { source: source.into(), state: "DOWN".into(), ..Default::default() };
            statistics.brokers.insert(source.into(), broker);
            assert_eq!(knows_a_broker(&statistics), known, "{source}");
        }
    }
}
