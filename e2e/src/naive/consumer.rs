//! The loop: it takes records, starts work on each, and commits what is finished.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

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
    /// What there is to commit. Whoever takes it has to commit it, or say that it couldn't.
    pub(super) fn sayable(&self) -> Vec<GroupCommit> {
        let silent = self.has(Defect::NeverCommits) || self.has(Defect::AutoCommit) || !self.commits;
        let mut partitions = self.partitions();
        let commits = if partitions.unsaid() { partitions.commits(self.run_id, self.defect) } else { Vec::new() };
        if silent { Vec::new() } else { commits }
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
    let commits = shared.sayable();
    if commits.is_empty() {
        return;
    }
    let (consumer, topic, shared) = (clients.consumer.clone(), clients.names.tasks.clone(), shared.clone());
    let said = tokio::task::spawn_blocking(move || {
        // Not a member at the moment, or in a rebalance: another time.
        if commit(&*consumer, &topic, &commits).is_err() {
            shared.partitions().say_again();
        }
    });
    said.await.unwrap_or_else(|panic| panic!("a commit fails: {panic}"));
}
