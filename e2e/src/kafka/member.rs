//! A member of the downloader's group that takes none of its work: it subscribes to the outcomes. What it may do is what any
//! member may: commit for partitions that are not its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};

use super::commits::list_of;
use super::{GroupCommit, Kafka, Protocol, blocking, common};
use crate::expect::{PATIENCE, eventually};

/// See the module. It leaves the group when dropped.
pub struct Member {
    client: Arc<BaseConsumer>,
    tasks: String,
    stop: Arc<AtomicBool>,
    polling: Option<JoinHandle<()>>,
}

impl Member {
    /// Joins the group, and returns once it belongs to it.
    ///
    /// # Errors
    /// The client cannot be made, or is given nothing in time.
    pub async fn join(kafka: &Kafka, protocol: Protocol) -> anyhow::Result<Member> {
        let mut config = common(kafka.brokers());
        config.set("group.id", &kafka.names().group).set("enable.auto.commit", "false");
        match protocol {
            Protocol::Classic => {
                config.set("partition.assignment.strategy", "cooperative-sticky").set("session.timeout.ms", "6000")
            }
            Protocol::Kip848 => config.set("group.protocol", "consumer"),
        };
        let client: Arc<BaseConsumer> = Arc::new(config.create().context("make the member's consumer")?);
        client.subscribe(&[&kafka.names().outcomes]).context("subscribe to the outcomes")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (client.clone(), stop.clone());
        let polling = std::thread::Builder::new().name("member".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // What it reads is nobody's business; polling is what keeps it a member.
                drop(polled.poll(Duration::from_millis(50)));
            }
        });
        let polling = Some(polling.context("start the member's thread")?);
        let member = Member { client, tasks: kafka.names().tasks.clone(), stop, polling };
        let joined =
            eventually("the member is given partitions", PATIENCE, async || match member.client.assignment() {
                Ok(assigned) if assigned.count() > 0 => Ok(()),
                other => Err(format!("{other:?}")),
            });
        joined.or_error().await.map_err(|unmet| anyhow!(unmet))?;
        Ok(member)
    }

    /// Commits for the topic of tasks, of which it owns nothing.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn commit(&self, commit: GroupCommit) -> anyhow::Result<()> {
        let (client, list) = (self.client.clone(), list_of(&self.tasks, &commit)?);
        blocking(move || client.commit(&list, CommitMode::Sync).context("commit as a member")).await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(polling) = self.polling.take() {
            let _ = polling.join();
        }
    }
}
