//! One schedule on the real stack.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::{Schedule, Work};
use crate::expect::PATIENCE;
use crate::fault::Standing;
use crate::fleet::{Fleet, PARALLEL};
use crate::ledger::{Expected, Verdict};
use crate::origin::Fault as OriginFault;
use crate::sandbox::{PARTITIONS, SESSION, Sandbox};

/// After everything has healed work goes on within this time (I6); a session more where a member died.
const RECOVERY: Duration = Duration::from_secs(15);

/// What came of a schedule that was green.
#[derive(Clone, Debug)]
pub struct Report {
    /// Faults that bit, by kind.
    pub bit: BTreeMap<&'static str, usize>,
    /// The verdict of two sessions later.
    pub verdict: Verdict,
    /// From the first record on.
    pub took: Duration,
    /// From the last healing until everything was finished.
    pub recovered: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bit: Vec<_> = self.bit.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
        let (rerun, ok) = (self.verdict.rerun.len(), self.verdict.ok);
        let (took, recovered) = (self.took.as_secs_f64(), self.recovered.as_secs_f64());
        write!(f, "{ok} Ok, {rerun} rerun, recovered in {recovered:.1} s, {took:.0} s in all; {}", bit.join(", "))
    }
}

/// Runs it in a sandbox of its own, on a thread of its own.
///
/// # Errors
/// The verdict is red, it took too long to recover, no fault bit, or the stack failed the harness: why, in words. The evidence
/// is where that of a failed test is.
pub async fn run(schedule: Schedule) -> Result<Report, String> {
    let alone = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(green(&schedule)))
    };
    match tokio::task::spawn_blocking(alone).await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(format!("its runtime can't be started: {error}")),
        Err(Ok(panic)) => Err(match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "it panicked".to_owned(), ToString::to_string),
        }),
        Err(Err(error)) => Err(error.to_string()),
    }
}

/// Panics where it is not.
async fn green(schedule: &Schedule) -> Report {
    let sandbox = Sandbox::start(&format!("chaos_{:016x}", schedule.seed)).await;
    let mut fleet = Fleet::start(&sandbox, schedule.protocol, schedule.members).await;
    let began = Instant::now();
    let (mut bit, mut bound, mut standing) = (BTreeMap::new(), 0, None::<Standing>);
    let everywhere = async || {
        for partition in 0..PARTITIONS {
            produce(&sandbox, Work::Prompt, partition).await;
        }
    };
    for step in &schedule.steps {
        for (partition, work) in (0..PARTITIONS).cycle().zip(&step.tasks) {
            produce(&sandbox, *work, partition).await;
        }
        // Who is gone or cut off already can't be met by another fault.
        if (fleet.size() == 1 || step.fault.member().is_none())
            && let Some(before) = standing.take()
        {
            before.heal(&mut fleet, everywhere).await;
        }
        let met = standing.as_ref().and_then(|standing| standing.fault().member());
        let fault = match step.fault.member().map(|member| member % fleet.size()) {
            Some(member) if Some(member) == met => step.fault.at((member + 1) % fleet.size()),
            Some(member) => step.fault.at(member),
            None => step.fault,
        };
        let active = fault.apply(&mut fleet, everywhere).await;
        *bit.entry(fault.kind()).or_default() += 1;
        bound += fault.rerun_bound(fleet.size(), PARALLEL);
        // The schedule's own time, and no wait for anything.
        tokio::time::sleep(step.lasts).await;
        if let Some(before) = standing.replace(active) {
            before.heal(&mut fleet, everywhere).await;
        }
        if !step.overlaps
            && let Some(active) = standing.take()
        {
            active.heal(&mut fleet, everywhere).await;
        }
    }
    if let Some(last) = standing {
        last.heal(&mut fleet, everywhere).await;
    }
    assert!(!bit.is_empty(), "no fault bit: {schedule}");

    let healed = Instant::now();
    everywhere().await;
    sandbox.settled().await;
    let recovered = healed.elapsed();
    assert!(recovered <= RECOVERY + SESSION, "it took {recovered:?} until all was finished: {schedule}");
    assert!(RECOVERY + SESSION < PATIENCE);
    sandbox.committed().await;
    let verdict = sandbox.verdict(bound).await;
    assert!(verdict.is_green(), "{schedule}\n{verdict}");
    let took = began.elapsed();
    let verdict = sandbox.verdict_of_later(bound).await;
    assert!(verdict.is_green(), "two sessions later: {schedule}\n{verdict}");
    Report { bit, verdict, took, recovered }
}

/// One task, to a partition, so that each member has its share.
async fn produce(sandbox: &Sandbox, work: Work, partition: i32) {
    let origin = sandbox.origin();
    let path = format!("/n/{}/grey.jpg", sandbox.ledger().progress().1);
    let once = |fault| origin.fault_times(&path, fault, 1);
    let good = origin.url(&path);
    let url = match work {
        Work::Prompt => good,
        Work::Late(millis) => {
            origin.fault(&path, OriginFault::Late { by: Duration::from_millis(millis), status: None })
        }
        Work::RefusedOnce(status) => once(OriginFault::Status { status, retry_after: Some(Duration::from_secs(1)) }),
        Work::TruncatedOnce => once(OriginFault::Truncate { after: 100 }),
        Work::ResetOnce => once(OriginFault::Reset { after: 100 }),
        Work::Missing => origin.fail(&path, 404, None),
        Work::NoPicture => origin.serve(&path, "no picture"),
    };
    let expected = match work {
        Work::Missing => Expected::Error("http_status_permanent".to_owned()),
        Work::NoPicture => Expected::Error("image_unsupported".to_owned()),
        _ => sandbox.picture(&url),
    };
    sandbox.produce_to(partition, url.as_str(), expected).await;
}
