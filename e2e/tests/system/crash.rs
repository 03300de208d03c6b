//! A downloader dies, or stands still past its session and comes back, at every place where that could matter.
//!
//! The place is held by a gate, so that the signal lands there by construction: in the origin, in the way to the store, in the
//! way to Kafka, and where none of these can hold it, in the process itself, of the image for tests.

use std::fmt::Write as _;
use std::sync::Mutex;

use e2e::downloader::Downloader;
use e2e::expect::{PATIENCE, eventually};
use e2e::gate::Gate;
use e2e::kafka::{Api, Protocol};
use e2e::ledger::Verdict;
use e2e::sandbox::Sandbox;
use tokio::sync::Semaphore;

/// Where the signal lands, in the order in which a record comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Received,
    MidFetch,
    BeforeDecode,
    MidDecode,
    BetweenPuts,
    AfterPuts,
    BeforeOutcome,
    OutcomeUnacknowledged,
    OutcomeUncommitted,
    MidCommit,
    Revoking,
    Draining,
}

const PLACES: [Place; 12] = [
    Place::Received,
    Place::MidFetch,
    Place::BeforeDecode,
    Place::MidDecode,
    Place::BetweenPuts,
    Place::AfterPuts,
    Place::BeforeOutcome,
    Place::OutcomeUnacknowledged,
    Place::OutcomeUncommitted,
    Place::MidCommit,
    Place::Revoking,
    Place::Draining,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// SIGKILL.
    Kill,
    /// SIGSTOP until its successor has done everything, then SIGCONT.
    Stop,
}

impl Place {
    /// Holds whoever comes there. `Draining` and `Revoking` are then brought about by [`Place::provoke`].
    fn hold(self, sandbox: &Sandbox, victim: &Downloader) -> Gate {
        let failpoint = |place| sandbox.failpoints().hold(place);
        match self {
            Place::Received => failpoint("received"),
            Place::MidFetch => sandbox.origin().hold_after(HELD, 100).1,
            Place::BeforeDecode => failpoint("before_decode"),
            Place::MidDecode => failpoint("mid_decode"),
            Place::BetweenPuts => victim.store_proxy().hold_requests("PUT", "thumbnails/"),
            Place::AfterPuts => victim.store_proxy().hold_answers("PUT", "thumbnails/"),
            Place::BeforeOutcome => failpoint("before_outcome"),
            Place::OutcomeUnacknowledged => victim.link().hold_responses(Api::Produce),
            Place::OutcomeUncommitted => victim.link().hold_requests(Api::OffsetCommit),
            Place::MidCommit => victim.link().hold_responses(Api::OffsetCommit),
            Place::Revoking => failpoint("revoking"),
            Place::Draining => sandbox.origin().hold(HELD).1,
        }
    }
}

/// The picture of the task that is at the place.
const HELD: &str = "/n/held/grey.jpg";
/// Tasks at work at the place; more than one partition has one.
const AT_PLACE: usize = 4;
/// What may run again: what runs at the place, and what finished meanwhile.
const BOUND: usize = AT_PLACE + 8;
/// Scenarios that run at once.
const AT_ONCE: usize = 6;
/// A machine runs so many containers well.
static TURN: Semaphore = Semaphore::const_new(AT_ONCE);

/// Claim: wherever a downloader is killed nothing is lost, and its successor runs again only what no commit had recorded.
/// Fault: SIGKILL at each place. Verdict: I1 to I4 from the ledger and from every commit, right after and two sessions later.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_place() {
    at_every_place(Signal::Kill, alternating).await;
}

/// Claim: nor does one do harm that stood still past its session and goes on where it was: it publishes and commits nothing
/// for what is no longer its own (I7). Fault: SIGSTOP at each place until its successor has done everything, then SIGCONT.
/// Verdict: as above.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_at_every_place() {
    at_every_place(Signal::Stop, alternating).await;
}

/// Claim and fault: both, by each protocol of groups.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long mode: 48 scenarios, 5 minutes"]
async fn every_place_signal_and_protocol() {
    for signal in [Signal::Kill, Signal::Stop] {
        at_every_place(signal, |_, _| vec![Protocol::Classic, Protocol::Kip848]).await;
    }
}

/// Each protocol at every other place, and at those where it was not with the other signal.
fn alternating(at: usize, signal: Signal) -> Vec<Protocol> {
    let protocols = [Protocol::Classic, Protocol::Kip848];
    vec![protocols[(at + usize::from(signal == Signal::Stop)) % 2]]
}

async fn at_every_place(signal: Signal, protocols: impl Fn(usize, Signal) -> Vec<Protocol>) {
    let table = Mutex::new(Vec::new());
    let scenarios = PLACES.iter().enumerate().flat_map(|(at, place)| {
        let table = &table;
        protocols(at, signal).into_iter().map(move |protocol| async move {
            let verdict = scenario(*place, signal, protocol).await;
            table.lock().unwrap().push((at, *place, protocol, verdict));
        })
    });
    futures_util::future::join_all(scenarios).await;
    let mut table = table.into_inner().unwrap();
    table.sort_by_key(|(at, _, protocol, _)| (*at, protocol.as_str()));
    let mut text = format!("{signal:?} at each place | protocol | lost | rerun | repeated | bound\n");
    for (_, place, protocol, verdict) in &table {
        let (place, bound) = (format!("{place:?}"), verdict.bound.unwrap_or_default());
        let (lost, rerun, repeated) = (verdict.lost.len(), verdict.rerun.len(), verdict.repeated.len());
        writeln!(text, "{place:22} | {:8} | {lost:4} | {rerun:5} | {repeated:8} | {bound:5}", protocol.as_str())
            .unwrap();
    }
    println!("{text}");
}

async fn scenario(place: Place, signal: Signal, protocol: Protocol) -> Verdict {
    let name = format!("{signal:?}_{place:?}_{}", protocol.as_str()).to_lowercase();
    let turn = TURN.acquire().await.unwrap();
    let sandbox = Sandbox::start(&name).await;
    let start = || sandbox.downloader().protocol(protocol).setting("DRAIN_TIMEOUT", "10s");
    let victim = start().by_link().by_store_proxy().with_failpoints().start().await;
    sandbox.produce_copies("before", 8).await;
    sandbox.settled().await;
    sandbox.committed().await;

    let gate = place.hold(&sandbox, &victim);
    let held = sandbox.origin().url(HELD);
    sandbox.produce(&[held]).await;
    sandbox.produce_copies("at", AT_PLACE - 1).await;
    let mut heir = None;
    match place {
        // What brings it about is another member.
        Place::Revoking => heir = Some(start().start().await),
        Place::Draining => {
            gate.reached().await;
            victim.container().ask_to_terminate().await;
            victim.logs_line("draining").await;
        }
        _ => {}
    }
    gate.reached().await;
    match signal {
        Signal::Kill => victim.kill().await,
        Signal::Stop => victim.pause().await,
    }
    let _heir = match heir {
        Some(heir) => heir,
        None => start().start().await,
    };
    if matches!(place, Place::MidFetch | Place::Draining) {
        // The origin holds the successor too.
        gate.open();
    }
    sandbox.produce_copies("after", 8).await;
    sandbox.settled().await;
    if signal == Signal::Stop {
        gate.open();
        victim.resume().await;
        awake_again(&sandbox, place, &victim).await;
        sandbox.produce_copies("awake", 8).await;
        sandbox.settled().await;
    }
    sandbox.committed().await;
    sandbox.verdict(BOUND).await.assert_green();
    // Two sessions later, in which others have their turn.
    drop(turn);
    let verdict = sandbox.verdict_of_later(BOUND).await;
    assert!(verdict.is_green(), "{name}: {verdict}\n{}", victim.logs().await);
    verdict
}

/// One that was draining goes on with that; any other is a member again.
async fn awake_again(sandbox: &Sandbox, place: Place, victim: &Downloader) {
    let what = format!("{} is back after SIGCONT", victim.container().name());
    eventually(what, PATIENCE, async || match (place, victim.container().exit_code().await) {
        (Place::Draining, Some(0 | 75)) => Ok(()),
        (Place::Draining, None) => Err("it still drains".to_owned()),
        (_, Some(code)) => Err(format!("it has ended with exit code {code}")),
        (_, None) => victim.readiness().await,
    })
    .evidence("its log", || victim.logs())
    .evidence("ledger", || async { format!("{:?}", sandbox.ledger().progress()) })
    .await;
}

/// Claim: the control: without a signal nothing runs again at any place. Fault: none, though each place is reached and held
/// for a moment. Verdict: green, with no rerun.
#[tokio::test(flavor = "multi_thread")]
async fn held_at_every_place_and_let_go_nothing_runs_again() {
    let sandbox = Sandbox::start("held_at_every_place").await;
    let owner = sandbox.downloader().by_link().by_store_proxy().with_failpoints().start().await;
    sandbox.produce_copies("before", 8).await;
    sandbox.settled().await;
    for (at, place) in PLACES.into_iter().enumerate() {
        // Only an end or another member brings these about.
        if matches!(place, Place::Revoking | Place::Draining) {
            continue;
        }
        let gate = place.hold(&sandbox, &owner);
        if place == Place::MidFetch {
            sandbox.produce(&[sandbox.origin().url(HELD)]).await;
        }
        sandbox.produce_copies(&format!("at{at}"), AT_PLACE).await;
        gate.reached().await;
        gate.open();
        sandbox.settled().await;
    }
    sandbox.committed().await;
    sandbox.verdict(0).await.assert_green();
    assert_eq!(owner.terminate().await, 0);
}
