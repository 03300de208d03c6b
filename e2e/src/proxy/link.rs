//! The state of one container's way to Kafka, as the test sets it and the connections obey it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::expect::{PATIENCE, eventually};
use crate::fault_book::{Faults, Notes};
use crate::gate::{Barrier, Gate};
use crate::kafka::Api;

/// One container's way to Kafka. Clones share it.
#[derive(Clone, Debug)]
pub struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    peer: IpAddr,
    flow: watch::Sender<Flow>,
    book: Mutex<Book>,
    notes: Notes,
}

/// The kinds of faults that last here.
const CUT: &str = "cut";
const DELAY: &str = "delay";

/// What every connection watches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    /// Nothing passes, in neither direction, and nobody is told.
    pub(super) cut: bool,
    /// By how much each frame comes later.
    pub(super) delay: Duration,
    /// Connections that began under a lower number are reset.
    pub(super) resets: u64,
    /// Nothing passes on connections that began under a lower number, and nobody is told.
    pub(super) forgotten: u64,
}

impl Flow {
    /// Whether something passes on a connection that `began` under an earlier state.
    pub(super) fn passes(&self, began: Flow) -> bool {
        !self.cut && self.forgotten == began.forgotten && self.resets == began.resets
    }
}

#[derive(Debug, Default)]
struct Book {
    gates: BTreeMap<(i16, Side), Barrier>,
    /// Sizes of the requests that came, by kind, in bytes.
    requests: BTreeMap<i16, Vec<usize>>,
    /// Frames that a cut holds now, and frames that have passed.
    swallowed: usize,
    passed: usize,
}

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// To the broker.
    Request,
    /// From the broker.
    Response,
}

impl Link {
    pub(super) fn new(peer: IpAddr) -> Link {
        let (flow, book, notes) = (watch::Sender::new(Flow::default()), Mutex::default(), Notes::default());
        Link(Arc::new(Shared { peer, flow, book, notes }))
    }

    /// What a test does to it is noted there, as done to the container `name`.
    pub(crate) fn notes_in(&self, faults: &Faults, name: &str) {
        self.0.notes.go_to(faults, name);
    }

    /// A black hole: from now on nothing passes in either direction, connections stay, and new ones are never answered.
    pub fn cut(&self) {
        self.0.notes.begins(CUT, "cut off from Kafka");
        self.0.flow.send_modify(|flow| flow.cut = true);
    }

    /// Lets everything pass again, beginning with what was swallowed: that is what a network does whose ends still repeat
    /// what was not acknowledged.
    pub fn restore(&self) {
        self.0.notes.ends(CUT);
        self.0.notes.ends(DELAY);
        self.0.flow.send_modify(|flow| {
            flow.cut = false;
            flow.delay = Duration::ZERO;
        });
    }

    /// Lets new connections pass. The old ones stay black holes, as behind a firewall that has forgotten them meanwhile: who
    /// uses them has to give them up himself.
    pub fn restore_for_new_connections(&self) {
        self.0.notes.moment("connections to Kafka forgotten");
        self.0.flow.send_modify(|flow| flow.forgotten += 1);
        self.restore();
    }

    /// Each frame comes later by this much, both ways.
    pub fn delay(&self, by: Duration) {
        self.0.notes.begins(DELAY, &format!("every frame to and from Kafka {by:?} later"));
        self.0.flow.send_modify(|flow| flow.delay = by);
    }

    /// Resets every connection. What was on the way, held or swallowed, is gone; new connections are welcome.
    pub fn reset(&self) {
        self.0.notes.moment("connections to Kafka reset");
        self.end_connections();
    }

    /// The same where that is no fault of its own: its container is dead.
    pub(crate) fn end_connections(&self) {
        self.0.flow.send_modify(|flow| flow.resets += 1);
    }

    /// Holds requests of this kind, and whatever follows on their connection, before the broker sees them.
    pub fn hold_requests(&self, api: Api) -> Gate {
        self.hold(api, Side::Request)
    }

    /// Holds the broker's responses to requests of this kind: done, but nobody knows.
    pub fn hold_responses(&self, api: Api) -> Gate {
        self.hold(api, Side::Response)
    }

    fn hold(&self, api: Api, side: Side) -> Gate {
        let (gate, barrier) = Gate::new(&format!("{side:?} of {api:?} from {}", self.0.peer));
        self.book().gates.insert((api.number(), side), barrier);
        let which = match side {
            Side::Request => "requests",
            Side::Response => "responses",
        };
        gate.noted(self.0.notes.began(&format!("{api:?} {which} held")))
    }

    /// Waits until a cut has swallowed something: the fault bites.
    ///
    /// # Panics
    /// Nothing came within [`PATIENCE`].
    pub async fn bites(&self) {
        eventually(format!("the cut of {} swallows something", self.0.peer), PATIENCE, async || {
            match self.book().swallowed {
                0 => Err("nothing came".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
    }

    /// Waits until something more has passed: the fault is healed.
    ///
    /// # Panics
    /// Nothing did within [`PATIENCE`].
    pub async fn passes(&self) {
        let before = self.book().passed;
        eventually(format!("something of {} passes", self.0.peer), PATIENCE, async || {
            if self.book().passed > before { Ok(()) } else { Err("nothing did".to_owned()) }
        })
        .await;
    }

    /// The sizes in bytes of all requests of this kind that came, oldest first, whether they passed or not.
    pub fn request_bytes(&self, api: Api) -> Vec<usize> {
        self.book().requests.get(&api.number()).cloned().unwrap_or_default()
    }

    /// Whether both are handles of one link.
    pub(super) fn is(&self, other: &Link) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn flow(&self) -> watch::Receiver<Flow> {
        self.0.flow.subscribe()
    }

    pub(super) fn saw_request(&self, api: i16, bytes: usize) {
        self.book().requests.entry(api).or_default().push(bytes);
    }

    /// Waits at the gate of such a frame, if there is one, and then for as long as the link is cut: for ever on a connection
    /// that `began` before it was forgotten.
    pub(super) async fn let_pass(&self, api: Option<i16>, side: Side, flow: &mut watch::Receiver<Flow>, began: Flow) {
        let gate = api.and_then(|api| self.book().gates.get(&(api, side)).cloned());
        if let Some(gate) = gate {
            gate.pass().await;
        }
        if !flow.borrow_and_update().passes(began) {
            let _swallowed = Swallowed::one(self);
            // The sender lives as long as this link does.
            let _ = flow.wait_for(|flow| flow.passes(began)).await;
        }
        self.book().passed += 1;
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A frame that a cut holds; until it passes, or its connection is no more.
struct Swallowed<'a>(&'a Link);

impl Swallowed<'_> {
    fn one(link: &Link) -> Swallowed<'_> {
        link.book().swallowed += 1;
        Swallowed(link)
    }
}

impl Drop for Swallowed<'_> {
    fn drop(&mut self) {
        self.0.book().swallowed -= 1;
    }
}
