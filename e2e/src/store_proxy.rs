//! A way to the object store that a test can break for one downloader: requests or answers held, refused, delayed, cut off
//! in the middle.
//!
//! Every request gets a connection of its own to the store, which ends with the answer: so nothing has to be known of an
//! answer's length. The downloader's signature covers `Host`, which passes as it is.

mod exchange;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::expect::eventually;
use crate::fault_book::{Faults, Notes};
use crate::gate::{Barrier, Gate};

/// A running proxy. Clones share it; it ends with the last.
#[derive(Clone, Debug)]
pub struct StoreProxy(Arc<Running>);

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    fault: watch::Sender<Option<StoreFault>>,
    resets: watch::Sender<u64>,
    book: Mutex<Book>,
    notes: Notes,
}

/// The one kind of fault that lasts here.
const FAULT: &str = "fault";

#[derive(Debug, Default)]
struct Book {
    holds: Vec<Hold>,
    /// Requests that met the fault, and requests that were answered by the store.
    struck: usize,
    answered: usize,
}

#[derive(Clone, Debug)]
struct Hold {
    method: &'static str,
    path_part: &'static str,
    side: Side,
    barrier: Barrier,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Request,
    Answer,
}

/// How the store misbehaves, to every request until it is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// Answers with this status and nothing else.
    Status(u16),
    /// Answers as much later as this.
    Slow(Duration),
    /// Resets the connection after so many bytes of the request's body.
    ResetMidUpload(usize),
    /// Takes the request and never answers.
    Silent,
}

impl StoreProxy {
    /// Listens on a free port of `host` and forwards to `upstream`.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(host: IpAddr, upstream: SocketAddr) -> anyhow::Result<StoreProxy> {
        let listener = TcpListener::bind((host, 0)).await.context("listen for the store's proxy")?;
        let address = listener.local_addr().context("ask for the address of the store's proxy")?;
        let shared = Arc::new(Shared {
            upstream,
            fault: watch::Sender::new(None),
            resets: watch::Sender::new(0),
            book: Mutex::default(),
            notes: Notes::default(),
        });
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, shared.clone())));
        Ok(StoreProxy(Arc::new(Running { address, shared, _accepting: accepting })))
    }

    /// What a test does to it is noted there, as done to the container `name`.
    pub(crate) fn notes_in(&self, faults: &Faults, name: &str) {
        self.0.shared.notes.go_to(faults, name);
    }

    /// Its endpoint for who comes by it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Holds requests with this method whose path contains `path_part`, before the store sees them.
    pub fn hold_requests(&self, method: &'static str, path_part: &'static str) -> Gate {
        self.hold(method, path_part, Side::Request)
    }

    /// Holds the store's answers to such requests: done, but nobody knows.
    pub fn hold_answers(&self, method: &'static str, path_part: &'static str) -> Gate {
        self.hold(method, path_part, Side::Answer)
    }

    fn hold(&self, method: &'static str, path_part: &'static str, side: Side) -> Gate {
        let (gate, barrier) = Gate::new(&format!("{side:?} of {method} *{path_part}*"));
        self.0.shared.book().holds.push(Hold { method, path_part, side, barrier });
        let which = match side {
            Side::Request => "requests",
            Side::Answer => "answers",
        };
        gate.noted(self.0.shared.notes.began(&format!("{which} of {method} {path_part}… held at the store")))
    }

    /// From now on every request meets `fault`.
    pub fn break_by(&self, fault: StoreFault) {
        self.0.shared.notes.begins(FAULT, &format!("the store misbehaves, {fault:?}"));
        self.0.shared.book().struck = 0;
        self.0.shared.fault.send_replace(Some(fault));
    }

    /// From now on requests reach the store again; those that wait for an answer get none.
    pub fn heal(&self) {
        self.0.shared.notes.ends(FAULT);
        self.0.shared.book().answered = 0;
        self.0.shared.fault.send_replace(None);
    }

    /// Ends every connection: what is held on its way to the store never gets there.
    pub fn reset(&self) {
        self.0.shared.notes.moment("connections to the store reset");
        self.end_connections();
    }

    /// The same where that is no fault of its own: its downloader is dead.
    pub(crate) fn end_connections(&self) {
        self.0.shared.resets.send_modify(|resets| *resets += 1);
    }

    /// Waits until a request has met the fault: it bites.
    ///
    /// # Errors
    /// None has within `patience`.
    pub async fn bites(&self, patience: Duration) -> Result<(), String> {
        let struck = async || if self.0.shared.book().struck > 0 { Ok(()) } else { Err("none did".to_owned()) };
        let met = eventually("a request meets the store's fault", patience, struck).or_error().await;
        met.map_err(|unmet| unmet.to_string())
    }

    /// Waits until the store has answered a request since it was healed.
    ///
    /// # Errors
    /// It has not within `patience`.
    pub async fn passes(&self, patience: Duration) -> Result<(), String> {
        let answered = async || if self.0.shared.book().answered > 0 { Ok(()) } else { Err("it did not".to_owned()) };
        let answers = eventually("the store answers again", patience, answered).or_error().await;
        answers.map_err(|unmet| unmet.to_string())
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn barrier(&self, method: &str, path: &str, side: Side) -> Option<Barrier> {
        let book = self.book();
        let hold = book
            .holds
            .iter()
            .find(|hold| hold.method == method && path.contains(hold.path_part) && hold.side == side)?;
        Some(hold.barrier.clone())
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _peer)) = accepted else { continue };
                let shared = shared.clone();
                // A client that goes away is its own affair.
                let mut resets = shared.resets.subscribe();
                connections.spawn(async move {
                    tokio::select! {
                        biased;
                        // First: of what was held nothing may pass any more, though its gate opens at the same time.
                        _reset = resets.changed() => {}
                        _ended = exchange::serve(client, &shared) => {}
                    }
                });
            }
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}
