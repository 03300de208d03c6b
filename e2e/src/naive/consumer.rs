//! The loop: it takes records, starts work on each, and commits what is finished.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::error::KafkaResult;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::clients::{Clients, commit};
use super::partitions::{Received, Ticket};
use super::work::{Record, Worker};
use super::{Defect, Shared};
use crate::kafka::GroupCommit;

const COMMIT_INTERVAL: Duration = Duration::from_millis(50);

impl Shared {
    /// Commits what there is to say by `commit`, and says it another time if that fails.
    pub(super) fn say(&self, commit: impl FnOnce(&[GroupCommit]) -> KafkaResult<()>) {
        let silent = self.has(Defect::NeverCommits) || self.has(Defect::AutoCommit) || !self.commits;
        let commits = {
            let mut partitions = self.partitions();
            if !partitions.unsaid() {
                return;
            }
            partitions.commits(self.run_id, self.defect)
        };
        // Not a member at the moment, or in a rebalance.
        let failed = !silent && commit(&commits).is_err();
        let mut partitions = self.partitions();
        if failed {
            partitions.say_again();
        }
        partitions.said();
    }
}

/// Runs until it is stopped.
pub(super) async fn run(
    clients: Clients,
    shared: Arc<Shared>,
    stop: CancellationToken,
    mut stalled: watch::Receiver<bool>,
) {
    let worker = Arc::new(Worker::new(clients.clone(), shared.clone()));
    let mut work = BTreeMap::<Ticket, AbortOnDropHandle<()>>::new();
    let mut tick = tokio::time::interval(COMMIT_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = until(&mut stalled, false) => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = until(&mut stalled, true) => continue,
            _ = tick.tick() => {}
            received = clients.consumer.recv() => {
                // Errors are a broker or a topic that is away.
                if let Ok(message) = received {
                    let record = Record::of(&message);
                    // Whoever is new says so before it begins anything.
                    say(&clients, &shared).await;
                    let received = shared.partitions().received(record.place, shared.defect);
                    if let Received::Work(ticket) | Received::Suspect(ticket) = received {
                        let suspect = matches!(received, Received::Suspect(_));
                        let started = tokio::spawn(worker.clone().work(record, ticket, suspect));
                        work.insert(ticket, AbortOnDropHandle::new(started));
                    }
                    shared.counts.received.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        if !shared.has(Defect::PublishAfterLoss) {
            work.retain(|ticket, _| shared.partitions().owns(*ticket));
        }
        work.retain(|_, task| !task.is_finished());
        say(&clients, &shared).await;
    }
    drop(work);
    // Leaving the group takes a moment, and blocks.
    let left = tokio::task::spawn_blocking(move || drop((clients, worker)));
    left.await.unwrap_or_else(|panic| panic!("a consumer can't leave: {panic}"));
}

async fn until(stalled: &mut watch::Receiver<bool>, wanted: bool) {
    // Whoever could change it is gone: then it is stopped, too.
    let _ = stalled.wait_for(|stalled| *stalled == wanted).await;
}

async fn say(clients: &Clients, shared: &Arc<Shared>) {
    if !shared.partitions().unsaid() {
        return;
    }
    let (consumer, topic, shared) = (clients.consumer.clone(), clients.names.tasks.clone(), shared.clone());
    let said = tokio::task::spawn_blocking(move || shared.say(|commits| commit(&*consumer, &topic, commits)));
    said.await.unwrap_or_else(|panic| panic!("a commit fails: {panic}"));
}
