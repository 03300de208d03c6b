//! Faults as values: applied and healed by one interface. One that was applied has been seen to bite, and one that was
//! healed has been seen to be gone, or the test ends there: a fault that never was proves nothing. What was done to a run
//! stands in `fault_book`.

use std::fmt;
use std::time::Duration;

use crate::containers::Container;
use crate::expect::{PATIENCE, eventually};
use crate::fleet::{DRAIN, Fleet};
use crate::ledger::Verdict;
use crate::store_proxy::StoreFault;
use crate::traces::CollectorFault;

/// How long some work may take to meet a member's store; then there is more work.
const MEET: Duration = Duration::from_secs(1);

/// What goes wrong. Numbers are those of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; healed by another that takes its place.
    Killed(usize),
    /// SIGTERM, and it drains; healed by another that takes its place.
    Drained(usize),
    /// SIGSTOP; healed by SIGCONT.
    Stopped(usize),
    /// Nothing gets from it to Kafka or back; healed, what was swallowed arrives.
    CutOff(usize),
    /// The same; healed for new connections alone.
    Forgotten(usize),
    /// Each frame to and from Kafka comes later by so many milliseconds.
    SlowKafka(usize, u64),
    /// The store misbehaves towards it.
    StoreFails(usize, StoreFault),
    /// The broker refuses every outcome.
    OutcomesRefused,
    /// The trace collector fails everybody.
    CollectorFails(CollectorFault),
    /// Every member is drained and replaced, one after the other.
    RollingRestart,
    /// The broker is killed; healed by its restart.
    BrokerKilled,
    /// The broker stands still; healed by SIGCONT.
    BrokerStopped,
    /// The store is killed; healed by its restart.
    StoreKilled,
    /// The store stands still; healed by SIGCONT.
    StoreStopped,
    /// The store's disk is full; healed by the removal of what filled it. For a store on [`Disk::Small`] alone.
    ///
    /// [`Disk::Small`]: crate::containers::store::Disk::Small
    StoreFull,
}

/// One that bites.
#[derive(Debug)]
#[must_use = "it stands until it is healed"]
pub struct Standing(Fault);

impl Fault {
    /// What kind it is, for tallies.
    pub fn kind(self) -> &'static str {
        match self {
            Fault::Killed(_) => "killed",
            Fault::Drained(_) => "drained",
            Fault::Stopped(_) => "stopped",
            Fault::CutOff(_) => "cut off",
            Fault::Forgotten(_) => "forgotten",
            Fault::SlowKafka(..) => "slow Kafka",
            Fault::StoreFails(_, StoreFault::Status(_)) => "store refuses",
            Fault::StoreFails(_, StoreFault::Slow(_)) => "store slow",
            Fault::StoreFails(_, StoreFault::ResetMidUpload(_)) => "store resets",
            Fault::StoreFails(_, StoreFault::Silent) => "store silent",
            Fault::OutcomesRefused => "outcomes refused",
            Fault::CollectorFails(CollectorFault::Refuses) => "collector refuses",
            Fault::CollectorFails(CollectorFault::Silent) => "collector silent",
            Fault::RollingRestart => "rolling restart",
            Fault::BrokerKilled => "broker killed",
            Fault::BrokerStopped => "broker stopped",
            Fault::StoreKilled => "store killed",
            Fault::StoreStopped => "store stopped",
            Fault::StoreFull => "store full",
        }
    }

    /// Whom it meets; none: more than one member.
    pub fn member(mut self) -> Option<usize> {
        self.member_mut().copied()
    }

    /// The same at another member.
    #[must_use]
    pub fn at(mut self, member: usize) -> Fault {
        if let Some(number) = self.member_mut() {
            *number = member;
        }
        self
    }

    fn member_mut(&mut self) -> Option<&mut usize> {
        match self {
            Fault::Killed(number)
            | Fault::Drained(number)
            | Fault::Stopped(number)
            | Fault::CutOff(number)
            | Fault::Forgotten(number)
            | Fault::SlowKafka(number, _)
            | Fault::StoreFails(number, _) => Some(number),
            _ => None,
        }
    }

    /// The most records that may run again for it in a fleet of so many members, each with `parallel` at once (I4): what was
    /// not committed by who ended uncleanly, and what ran where partitions changed hands.
    pub fn rerun_bound(self, members: usize, parallel: usize) -> usize {
        let (unclean_ends, rebalances) = match self {
            Fault::SlowKafka(..)
            | Fault::StoreFails(..)
            | Fault::OutcomesRefused
            | Fault::CollectorFails(_)
            | Fault::StoreKilled
            | Fault::StoreStopped
            | Fault::StoreFull => (0, 0),
            Fault::Drained(_) => (0, 2),
            Fault::RollingRestart => (0, 2 * members),
            Fault::Killed(_) | Fault::Stopped(_) | Fault::CutOff(_) | Fault::Forgotten(_) => (1, 2),
            Fault::BrokerKilled | Fault::BrokerStopped => (members, 2),
        };
        Verdict::rerun_bound(parallel, unclean_ends) + rebalances * members * parallel
    }

    /// Applies it, and returns once it bites. `work` makes tasks that every member has to do with; it is called until one has
    /// met the fault.
    ///
    /// # Panics
    /// It does not bite.
    pub async fn apply(self, fleet: &mut Fleet<'_>, work: impl AsyncFn()) -> Standing {
        let stack = fleet.sandbox().stack().clone();
        match self {
            Fault::Killed(number) => {
                let member = fleet.member(number);
                member.kill().await;
                assert_eq!(member.container().exit_code().await, Some(137), "it was killed");
            }
            Fault::Drained(number) => drain(fleet, number).await,
            Fault::RollingRestart => {
                for number in 0..fleet.size() {
                    drain(fleet, number).await;
                    fleet.replace(number).await;
                }
            }
            Fault::Stopped(number) => stop(fleet.member(number).container()).await,
            Fault::CutOff(number) | Fault::Forgotten(number) => {
                let link = fleet.member(number).link();
                link.cut();
                link.bites().await;
            }
            Fault::SlowKafka(number, millis) => {
                let link = fleet.member(number).link();
                link.delay(Duration::from_millis(millis));
                link.passes().await;
            }
            Fault::StoreFails(number, fault) => {
                let proxy = fleet.member(number).store_proxy();
                proxy.break_by(fault);
                // It may have no partition just now.
                eventually("a member meets its store's fault", 2 * PATIENCE, async || {
                    work().await;
                    proxy.bites(MEET).await
                })
                .evidence("its log", || fleet.member(number).logs())
                .await;
            }
            Fault::OutcomesRefused => {
                let sandbox = fleet.sandbox();
                sandbox.refuse_writes(&sandbox.kafka().names().outcomes).await;
                // The setting takes effect some time after it was taken.
                blamed(fleet, "broker", work).await;
            }
            Fault::StoreFull => {
                fleet.sandbox().fill_store().await;
                blamed(fleet, "store", work).await;
            }
            Fault::CollectorFails(fault) => {
                let traces = fleet.sandbox().traces();
                traces.break_by(fault);
                work().await;
                traces.bites().await;
            }
            Fault::BrokerKilled => stack.broker.container.kill().await,
            Fault::BrokerStopped => stop(&stack.broker.container).await,
            Fault::StoreKilled => stack.store.container.kill().await,
            Fault::StoreStopped => stop(&stack.store.container).await,
        }
        Standing(self)
    }
}

impl Standing {
    /// Which one it is.
    pub fn fault(&self) -> Fault {
        self.0
    }

    /// Heals it, and returns once it is gone.
    ///
    /// # Panics
    /// It stays.
    pub async fn heal(self, fleet: &mut Fleet<'_>, work: impl AsyncFn()) {
        let stack = fleet.sandbox().stack().clone();
        match self.0 {
            Fault::Killed(number) | Fault::Drained(number) => fleet.replace(number).await,
            Fault::RollingRestart => {}
            Fault::Stopped(number) => go_on(fleet.member(number).container()).await,
            Fault::CutOff(number) | Fault::SlowKafka(number, _) => {
                let link = fleet.member(number).link();
                link.restore();
                link.passes().await;
            }
            Fault::Forgotten(number) => {
                let link = fleet.member(number).link();
                link.restore_for_new_connections();
                link.passes().await;
            }
            Fault::StoreFails(number, _) => {
                let proxy = fleet.member(number).store_proxy();
                proxy.heal();
                eventually("the store answers a member again", 2 * PATIENCE, async || {
                    work().await;
                    proxy.passes(MEET).await
                })
                .evidence("its log", || fleet.member(number).logs())
                .await;
            }
            Fault::OutcomesRefused => {
                let sandbox = fleet.sandbox();
                let before = sandbox.ledger().progress().0;
                sandbox.take_writes(&sandbox.kafka().names().outcomes).await;
                more_finished(fleet, before, work).await;
            }
            Fault::StoreFull => {
                let before = fleet.sandbox().ledger().progress().0;
                fleet.sandbox().empty_store().await;
                more_finished(fleet, before, work).await;
            }
            Fault::CollectorFails(_) => {
                let traces = fleet.sandbox().traces();
                traces.heal();
                work().await;
                traces.takes().await;
            }
            Fault::BrokerKilled => stack.broker.start_again().await,
            Fault::BrokerStopped => {
                go_on(&stack.broker.container).await;
                fleet.sandbox().led_for_good().await;
            }
            Fault::StoreKilled => stack.store.start_again().await,
            Fault::StoreStopped => go_on(&stack.store.container).await,
        }
    }
}

/// Waits until a member is not ready because of this `part`.
async fn blamed(fleet: &Fleet<'_>, part: &str, work: impl AsyncFn()) {
    eventually(format!("a member says that the {part} is at fault"), 2 * PATIENCE, async || {
        work().await;
        let mut said = Vec::new();
        for number in 0..fleet.size() {
            match fleet.member(number).readiness().await {
                Err(why) if why.contains(part) => return Ok(()),
                other => said.push(other),
            }
        }
        Err(format!("{said:?}"))
    })
    .evidence("its log", || fleet.member(0).logs())
    .await;
}

/// Waits until more than `before` records are finished.
async fn more_finished(fleet: &Fleet<'_>, before: usize, work: impl AsyncFn()) {
    eventually("an outcome is written again", 2 * PATIENCE, async || {
        work().await;
        if fleet.sandbox().ledger().progress().0 > before { Ok(()) } else { Err("none is".to_owned()) }
    })
    .evidence("its log", || fleet.member(0).logs())
    .await;
}

async fn drain(fleet: &Fleet<'_>, number: usize) {
    let member = fleet.member(number);
    let ended = tokio::time::timeout(DRAIN + Duration::from_secs(5), member.terminate()).await;
    let code = ended.unwrap_or_else(|_| panic!("{} does not end", member.container().name()));
    assert!([0, 75].contains(&code), "exit code {code} after SIGTERM");
}

async fn stop(container: &Container) {
    container.pause().await;
    eventually(format!("{} stands still", container.name()), PATIENCE, async || {
        if container.is_stopped().await { Ok(()) } else { Err("it runs".to_owned()) }
    })
    .await;
}

async fn go_on(container: &Container) {
    container.resume().await;
    eventually(format!("{} goes on", container.name()), PATIENCE, async || {
        if container.is_stopped().await { Err("it stands still".to_owned()) } else { Ok(()) }
    })
    .await;
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::SlowKafka(number, millis) => write!(f, "{} by {millis} ms ({number})", self.kind()),
            Fault::StoreFails(number, StoreFault::Status(code)) => write!(f, "{} with {code} ({number})", self.kind()),
            _ => match self.member() {
                Some(number) => write!(f, "{} ({number})", self.kind()),
                None => f.write_str(self.kind()),
            },
        }
    }
}
