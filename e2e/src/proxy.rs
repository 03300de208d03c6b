//! A way to Kafka that a test can break: cut, delay, reset, or held at one kind of request or response.
//!
//! One listening socket serves every container that was told to come this way; they are told apart by their addresses, and
//! each has a [`Link`] of its own. Kafka advertises this socket on a listener of its own, so that clients stay on the link
//! for every connection they make. Nothing here needs more rights than any program has.

mod frames;
mod link;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

pub use link::Link;

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    links: Arc<Links>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Links(Mutex<HashMap<IpAddr, Known>>);

#[derive(Debug)]
struct Known {
    link: Link,
    /// A test has it.
    given: bool,
}

impl Proxy {
    /// Listens on `listen`, port 0 taking a free one, and forwards to `upstream`. It lives in the runtime it is started in.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn start(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen} for the proxy"))?;
        let address = listener.local_addr().context("ask for the proxy's address")?;
        let links = Arc::new(Links::default());
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, upstream, links.clone())));
        Ok(Proxy { address, links, _accepting: accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link of the container that has just been started at `peer`, whether it has connected yet or not. If a former one
    /// at this address had a link, it is dead, and its link is not the new one's.
    pub fn link(&self, peer: IpAddr) -> Link {
        let mut links = self.links.lock();
        let former = links.remove(&peer);
        let link = match former {
            Some(Known { link, given: false }) => link,
            Some(Known { link: of_the_dead, given: true }) => {
                of_the_dead.end_connections();
                Link::new(peer)
            }
            None => Link::new(peer),
        };
        links.insert(peer, Known { link: link.clone(), given: true });
        link
    }

    /// The container of this link is gone.
    pub fn forget(&self, link: &Link) {
        link.end_connections();
        self.links.lock().retain(|_, known| !known.link.is(link));
    }
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, peer: IpAddr) -> Link {
        self.lock().entry(peer).or_insert_with(|| Known { link: Link::new(peer), given: false }).link.clone()
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, links: Arc<Links>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, peer)) = accepted else { continue };
                let link = links.of(peer.ip());
                connections.spawn(async move { frames::connection(client, upstream, &link).await });
            }
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}
