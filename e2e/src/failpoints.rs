//! The gate of failpoints: a downloader built for tests asks it at each named place whether it may go on.
//!
//! The places are those of the downloader's `failpoint.rs`; one that it does not have is never reached, which the test that
//! waits for it says.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::fault_book::{Faults, Notes};
use crate::gate::{Barrier, Gate};

/// The gate; it ends when dropped, and whoever stands there goes on.
#[derive(Debug)]
pub struct Failpoints {
    address: SocketAddr,
    held: Held,
    notes: Notes,
    _accepting: AbortOnDropHandle<()>,
}

type Held = Arc<Mutex<BTreeMap<String, Barrier>>>;

impl Failpoints {
    /// Listens on a free port of `host`.
    ///
    /// # Errors
    /// There is none.
    pub async fn start(host: IpAddr) -> anyhow::Result<Failpoints> {
        let listener = TcpListener::bind((host, 0)).await.context("listen for failpoints")?;
        let address = listener.local_addr().context("ask for the address of the gate of failpoints")?;
        let held = Held::default();
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, held.clone())));
        Ok(Failpoints { address, held, notes: Notes::default(), _accepting: accepting })
    }

    /// What is held here is noted there.
    pub(crate) fn notes_in(&self, faults: &Faults) {
        self.notes.go_to(faults, "failpoints");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds everybody who comes to `place` from now on.
    pub fn hold(&self, place: &str) -> Gate {
        let (gate, barrier) = Gate::new(place);
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(place.to_owned(), barrier);
        gate.noted(self.notes.began(&format!("hold at {place}")))
    }
}

async fn accept(listener: TcpListener, held: Held) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _peer)) = accepted else { continue };
                connections.spawn(ask(stream, held.clone()));
            }
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// The end of the connection is the answer.
async fn ask(stream: TcpStream, held: Held) {
    let mut place = String::new();
    let mut stream = BufReader::new(stream);
    if stream.read_line(&mut place).await.is_err() {
        return;
    }
    let barrier = held.lock().unwrap_or_else(PoisonError::into_inner).get(place.trim_end()).cloned();
    if let Some(barrier) = barrier {
        barrier.pass().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    async fn come_to(place: &'static str, address: SocketAddr) {
        let asked = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address)?;
            writeln!(stream, "{place}")?;
            stream.read_to_end(&mut Vec::new())
        });
        asked.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_comes_to_a_held_place_waits_and_others_do_not() {
        let failpoints = Failpoints::start([127, 0, 0, 1].into()).await.unwrap();
        let gate = failpoints.hold("here");
        let mut waiting = tokio::spawn(come_to("here", failpoints.address()));
        gate.reached().await;
        come_to("elsewhere", failpoints.address()).await;
        assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none(), "it waits");
        gate.open();
        waiting.await.unwrap();
    }
}
