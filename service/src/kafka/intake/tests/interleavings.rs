//! The intake between its threads, in thousands of orders: poll thread, commit thread and two workers meet at its lock.
//!
//! `cargo test --workspace --features downloader/shuttle --lib interleavings`: shuttle schedules the threads itself and prints what
//! replays a failing order. Its lock works only under its scheduler, so with this feature no other test of the intake runs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use shuttle::sync::Mutex as Shared;
use shuttle::thread;

use super::super::*;
use crate::kafka::commit;
use crate::progress::{Note, Place};

const RECORDS: i64 = 5;
const TURNS: usize = 12;
const ORDERS: usize = 2_000;
/// Records finished in all orders together: a test in which nothing is worked on proves nothing.
static WORKED: AtomicUsize = AtomicUsize::new(0);

/// A group's commit and what is finished in truth.
#[derive(Default)]
struct Broker {
    commit: Option<(i64, String)>,
    finished: BTreeSet<i64>,
    /// Where the client was told to begin; it delivers nothing before.
    reading_from: Option<i64>,
}

impl Broker {
    fn place() -> Place {
        Place { group: "g".into(), topic: "t".into(), partition: 0 }
    }

    fn found(&self) -> Found {
        let (committed, metadata) = self.commit.clone().unzip();
        Found {
            committed,
            metadata: metadata.unwrap_or_default().into_bytes(),
            log_start: 0,
            log_end: RECORDS,
            log_id: None,
        }
    }

    fn open(&self) -> BTreeSet<i64> {
        let Some((next, metadata)) = &self.commit else { return (0..RECORDS).collect() };
        let note = Note::read(metadata.as_bytes(), &Broker::place(), *next).expect("ours").expect("there");
        (*next..RECORDS).filter(|offset| *offset >= note.end || note.unfinished.contains(offset)).collect()
    }

    /// I3 at every commit.
    fn keep(&mut self, commit: &Commit) {
        self.commit = Some((commit.next_offset, commit.metadata.clone()));
        let open = self.open();
        for offset in (0..RECORDS).filter(|offset| !open.contains(offset)) {
            assert!(self.finished.contains(&offset), "I3: {offset} is not finished: {:?}", self.commit);
        }
    }
}

fn intake() -> Arc<Intake> {
    let progress = Progress::new("g", "t", 1, Duration::from_secs(3_600));
    let (commits, requests) = commit::channel();
    std::mem::forget(requests);
    Arc::new(Intake::new(progress, 8, commits, Metrics::unexported()))
}

/// What the commit thread does, once around.
fn commit_once(intake: &Intake, broker: &Shared<Broker>) {
    for (partition, epoch) in intake.opening() {
        let found = broker.lock().unwrap().found();
        let start = intake.opened(partition, epoch, &found);
        broker.lock().unwrap().reading_from = start;
    }
    let sent_at = Instant::now();
    let commits = intake.commits(false);
    for commit in &commits {
        broker.lock().unwrap().keep(commit);
    }
    intake.committed(&commits, sent_at);
}

fn record(offset: i64) -> Delivery {
    Delivery::new(Some(b"{}".to_vec()), None, None, Some(offset), (0, offset))
}

/// Works on whatever may start; the outcome is acknowledged before the record is finished.
fn work(intake: &Arc<Intake>, broker: &Shared<Broker>) {
    for _ in 0..TURNS {
        let Some(delivery) = intake.next(1).now_or_never().flatten().and_then(|mut taken| taken.pop()) else {
            thread::yield_now();
            continue;
        };
        if delivery.leased().now_or_never().is_some() {
            broker.lock().unwrap().finished.insert(delivery.ticket.offset);
            intake.finished(delivery);
            WORKED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One life of a partition: assigned, read, worked on, and revoked in the middle of it.
fn one_owner(broker: &Arc<Shared<Broker>>) {
    let intake = intake();
    intake.assigned(&[0]);
    let others: Vec<_> = (0..3)
        .map(|role| {
            let (intake, broker) = (intake.clone(), broker.clone());
            thread::spawn(move || match role {
                0 => (0..TURNS).for_each(|_| {
                    commit_once(&intake, &broker);
                    thread::yield_now();
                }),
                _ => work(&intake, &broker),
            })
        })
        .collect();
    let start = loop {
        match broker.lock().unwrap().reading_from.take() {
            Some(start) => break start,
            None => thread::yield_now(),
        }
    };
    (start..RECORDS).for_each(|offset| assert!(intake.received(record(offset))));
    (0..TURNS).for_each(|_| thread::yield_now());
    let closing = intake.revoked(&[0]);
    for other in others {
        other.join().expect("no panic");
    }
    assert!(intake.commits(true).is_empty(), "nothing is said of what is no longer ours");
    for commit in closing {
        broker.lock().unwrap().keep(&commit);
    }
}

#[test]
fn every_commit_is_true_in_whatever_order_the_threads_meet() {
    let run = || {
        let broker = Arc::new(Shared::new(Broker::default()));
        one_owner(&broker);
        let open = broker.lock().unwrap().open();
        let before = std::mem::take(&mut broker.lock().unwrap().finished);
        // What the first owner's commits call finished must stay so in truth while a second one works on the rest.
        broker.lock().unwrap().finished.extend(before.iter().filter(|offset| !open.contains(offset)));
        one_owner(&broker);
    };
    shuttle::check_random(run, ORDERS);
    shuttle::check_pct(run, ORDERS, 3);
    assert!(WORKED.load(Ordering::Relaxed) > 2 * ORDERS, "{WORKED:?} records were worked on");
}
