//! An HTTP server of pictures that can be held, broken and counted, on raw TCP so that it can misbehave.
//!
//! A path serves what was registered for it, else the fixture of that name; `/n/17/seeding.jpg` is `/seeding.jpg` again
//! under a path of its own. A path that was given a fault and has no body of its own serves the photograph.

mod fault;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

pub use crate::gate::Gate;
pub use fault::{Fault, Held};

use crate::expect::unix_ms;
use crate::fault_book::{Faults, Notes, Ongoing};
use crate::fixtures;

/// Longest request header that is read.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What a path without a body of its own serves once it was given a fault.
const PHOTOGRAPH: &str = "seeding.jpg";

/// A running origin; it ends when dropped.
#[derive(Debug)]
pub struct Origin {
    shared: Arc<Shared>,
    address: SocketAddr,
    authority: String,
    accepting: JoinHandle<()>,
}

/// A request that the origin received.
#[derive(Clone, Debug)]
pub struct Request {
    /// When its header was complete.
    pub at: Instant,
    /// Who asked.
    pub peer: SocketAddr,
    /// Path and query, as they came.
    pub target: String,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    notes: Notes,
}

#[derive(Debug, Default)]
struct Book {
    bodies: BTreeMap<String, Bytes>,
    faults: BTreeMap<String, Standing>,
    requests: BTreeMap<String, Vec<Request>>,
    connections: usize,
}

/// A fault, and for how many more requests it stands.
#[derive(Debug)]
struct Standing {
    fault: Fault,
    left: Option<usize>,
    noted: Option<Ongoing>,
}

impl Origin {
    /// Listens on `listen`; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn start(listen: SocketAddr) -> anyhow::Result<Origin> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen} for the origin"))?;
        let address = listener.local_addr().context("ask for the origin's address")?;
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Origin { shared, address, authority: address.to_string(), accepting })
    }

    /// Names the origin `authority` (`host:port`) in its URLs: what a client in another network calls it.
    pub fn called(mut self, authority: impl Into<String>) -> Origin {
        self.authority = authority.into();
        self
    }

    /// What a test makes of it is noted there.
    pub(crate) fn notes_in(&self, faults: &Faults) {
        self.shared.notes.go_to(faults, "origin");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> Url {
        let text = format!("http://{}{path}", self.authority);
        Url::parse(&text).unwrap_or_else(|error| panic!("'{text}' is no URL: {error}"))
    }

    /// Serves `body` under `path`, in place of what was there.
    pub fn serve(&self, path: &str, body: impl Into<Bytes>) -> Url {
        self.shared.lock().bodies.insert(path.to_owned(), body.into());
        self.url(path)
    }

    /// Holds every request for `path` before the answer begins.
    pub fn hold(&self, path: &str) -> (Url, Gate) {
        self.hold_at(path, None)
    }

    /// Holds every request for `path` after `bytes` of the body.
    pub fn hold_after(&self, path: &str, bytes: usize) -> (Url, Gate) {
        self.hold_at(path, Some(bytes))
    }

    fn hold_at(&self, path: &str, after: Option<usize>) -> (Url, Gate) {
        let (gate, barrier) = Gate::new(path);
        let fault = Fault::Hold { after, barrier: Held(barrier) };
        let gate = gate.noted(self.shared.notes.began_at(&format!("{path} {fault}"), path));
        (self.fault(path, fault), gate)
    }

    /// Answers `path` with an error status.
    pub fn fail(&self, path: &str, status: u16, retry_after: Option<Duration>) -> Url {
        self.fault(path, Fault::Status { status, retry_after })
    }

    /// Ends the connection after `after` bytes of the body.
    pub fn truncate(&self, path: &str, after: usize) -> Url {
        self.fault(path, Fault::Truncate { after })
    }

    /// Resets the connection after `after` bytes of the body.
    pub fn reset(&self, path: &str, after: usize) -> Url {
        self.fault(path, Fault::Reset { after })
    }

    /// Sends the body `piece` bytes at a time.
    pub fn drip(&self, path: &str, piece: usize, every: Duration) -> Url {
        self.fault(path, Fault::Drip { piece, every })
    }

    /// Redirects `path` to `to`.
    pub fn redirect(&self, path: &str, to: impl Into<String>) -> Url {
        self.fault(path, Fault::Redirect { to: to.into() })
    }

    /// Gives `path` a fault, in place of the one it had, until [`Origin::heal`].
    pub fn fault(&self, path: &str, fault: Fault) -> Url {
        self.stand(path, fault, None)
    }

    /// Gives `path` a fault for the next `requests`; after them it serves its picture.
    pub fn fault_times(&self, path: &str, fault: Fault, requests: usize) -> Url {
        self.stand(path, fault, Some(requests))
    }

    fn stand(&self, path: &str, fault: Fault, left: Option<usize>) -> Url {
        let mut book = self.shared.lock();
        if book.body(path).is_none() {
            let photograph = fixtures::image_bytes(PHOTOGRAPH);
            book.bodies
                .insert(path.to_owned(), photograph.unwrap_or_else(|| panic!("fixture {PHOTOGRAPH} is missing")));
        }
        let noted = match &fault {
            // Its gate knows when it ends.
            Fault::Hold { .. } => None,
            fault => self.shared.notes.began_at(&format!("{path} {fault}"), path),
        };
        book.faults.insert(path.to_owned(), Standing { fault, left, noted });
        self.url(path)
    }

    /// Takes the fault of `path` away.
    pub fn heal(&self, path: &str) {
        self.shared.lock().faults.remove(path);
    }

    /// The requests for `path`, oldest first.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        self.shared.lock().requests.get(path).cloned().unwrap_or_default()
    }

    /// How many requests each path received.
    pub fn request_counts(&self) -> BTreeMap<String, usize> {
        self.shared.lock().requests.iter().map(|(path, requests)| (path.clone(), requests.len())).collect()
    }

    /// When each path was asked for, oldest first, in Unix milliseconds.
    pub fn request_times(&self) -> BTreeMap<String, Vec<i64>> {
        let now_ms = unix_ms();
        let at = |request: &Request| now_ms - i64::try_from(request.at.elapsed().as_millis()).unwrap_or(i64::MAX);
        let book = self.shared.lock();
        book.requests.iter().map(|(path, requests)| (path.clone(), requests.iter().map(at).collect())).collect()
    }

    /// How many connections were accepted, with or without a request.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// What `path` serves while nothing is wrong with it.
    pub fn body(&self, path: &str) -> Option<Bytes> {
        self.shared.lock().body(path)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn body(&self, path: &str) -> Option<Bytes> {
        if let Some(body) = self.bodies.get(path) {
            return Some(body.clone());
        }
        let name = path.strip_prefix('/')?;
        let copied = name.strip_prefix("n/").and_then(|rest| rest.split_once('/')).map(|(_, name)| name);
        fixtures::image_bytes(copied.unwrap_or(name))
    }

    /// The fault that stands for this request, used up by it.
    fn fault(&mut self, path: &str) -> Option<Fault> {
        let standing = self.faults.get_mut(path)?;
        match &mut standing.left {
            None => Some(standing.fault.clone()),
            Some(0) => None,
            Some(left) => {
                *left -= 1;
                if *left == 0 {
                    standing.noted = None;
                }
                Some(standing.fault.clone())
            }
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, peer)) = accepted else { continue };
                shared.lock().connections += 1;
                let shared = shared.clone();
                // A client that goes away is its own affair.
                connections.spawn(async move { drop(serve(stream, peer, &shared).await) });
            }
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, peer: SocketAddr, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, peer, &mut unread).await? {
        let path = request.target.split(['?', '#']).next().unwrap_or_default().to_owned();
        let is_last = request.headers.iter().any(|(name, value)| name == "connection" && value == "close");
        let (body, fault) = {
            let mut book = shared.lock();
            book.requests.entry(path.clone()).or_default().push(request);
            (book.body(&path), book.fault(&path))
        };
        if !fault::answer(&mut stream, body, fault.as_ref()).await? || is_last {
            return Ok(());
        }
    }
    Ok(())
}

/// The next request's header; `None` once the client has closed.
async fn read_request(
    stream: &mut TcpStream,
    peer: SocketAddr,
    unread: &mut Vec<u8>,
) -> std::io::Result<Option<Request>> {
    let end = loop {
        if let Some(start) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break start + 4;
        }
        if unread.len() > HEAD_BYTES_MAX || stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = unread.drain(..end).collect();
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("/").to_owned();
    let fields = lines.filter_map(|line| line.split_once(':'));
    let headers = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Ok(Some(Request { at: Instant::now(), peer, target, headers }))
}
