//! Names -> addresses that may be fetched from. The connection is made to exactly these, so no second answer can differ.
//!
//! One forbidden address among the answers refuses the name: who mixes them is testing which one we take.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::address::{Forbidden, Networks};

/// Look-ups at once. Each occupies a thread of the runtime's blocking pool until the system's resolver gives up, which a
/// hostile name server can delay; the rest of the pool (512 threads) stays free.
const LOOKUPS_MAX: usize = 64;

/// Why a name has no address for us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("the name does not exist or has no address")]
    NotFound,
    #[error("the name could not be looked up")]
    Failed,
    #[error("the name was not looked up in time")]
    Timeout,
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// A look-up, which may block.
type LookUp = Arc<dyn Fn(&str) -> Result<Vec<IpAddr>, ResolveError> + Send + Sync>;

/// Looks names up with the system's resolver and judges the answers.
#[derive(Clone)]
pub(super) struct Resolver {
    networks: Arc<Networks>,
    look_up: LookUp,
    lookups: Arc<Semaphore>,
    timeout: Duration,
}

impl Resolver {
    pub(super) fn new(networks: Networks, timeout: Duration) -> Resolver {
        Resolver {
            networks: Arc::new(networks),
            look_up: Arc::new(system_addresses),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            timeout,
        }
    }

    /// The same, with the answers of a test's own name server.
    #[cfg(test)]
    pub(super) fn answered_by(
        self,
        look_up: impl Fn(&str) -> Result<Vec<IpAddr>, ResolveError> + Send + Sync + 'static,
    ) -> Resolver {
        Resolver { look_up: Arc::new(look_up), ..self }
    }

    async fn addresses(&self, name: String) -> Result<Vec<IpAddr>, ResolveError> {
        let addresses =
            tokio::time::timeout(self.timeout, self.look_up(name)).await.map_err(|_| ResolveError::Timeout)??;
        judge_all(&addresses, &self.networks)?;
        Ok(addresses)
    }

    async fn look_up(&self, name: String) -> Result<Vec<IpAddr>, ResolveError> {
        let permit = self.lookups.clone().acquire_owned().await.map_err(|_closed| ResolveError::Failed)?;
        // The permit stays with the thread, which goes on when we have stopped waiting.
        let look_up = Arc::clone(&self.look_up);
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            look_up(&name)
        });
        answer.await.unwrap_or(Err(ResolveError::Failed))
    }
}

/// The system's answer. Blocks until it comes, which its own settings bound.
fn system_addresses(name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let answers = dns_lookup::getaddrinfo(Some(name), None, Some(hints)).map_err(|error| match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData => ResolveError::NotFound,
        _ => ResolveError::Failed,
    })?;
    answers.map(|answer| answer.map(|info| info.sockaddr.ip()).map_err(|_| ResolveError::Failed)).collect()
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str().to_owned()).await?;
            // Port 0: the client puts the URL's port in its place.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// Judges every answer for a name.
fn judge_all(addresses: &[IpAddr], networks: &Networks) -> Result<(), ResolveError> {
    if addresses.is_empty() {
        return Err(ResolveError::NotFound);
    }
    for address in addresses {
        networks.judge(*address)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn one_forbidden_answer_among_good_ones_refuses_the_name() {
        let public = Networks::default();
        assert_eq!(judge_all(&addresses(&["1.1.1.1", "2606:4700::1111"]), &public), Ok(()));
        for mixed in [["1.1.1.1", "10.0.0.1"], ["::1", "1.1.1.1"], ["1.1.1.1", "::ffff:127.0.0.1"]] {
            assert!(matches!(judge_all(&addresses(&mixed), &public), Err(ResolveError::Forbidden(_))), "{mixed:?}");
        }
        assert_eq!(judge_all(&[], &public), Err(ResolveError::NotFound));
    }

    #[tokio::test]
    async fn names_of_this_machine_resolve_and_are_refused_unless_allowed() {
        let strict = Resolver::new(Networks::default(), Duration::from_secs(5));
        let error = strict.addresses("localhost".into()).await.expect_err("loopback");
        assert!(matches!(error, ResolveError::Forbidden(_)), "{error:?}");
        let allowed = ["127.0.0.0/8", "::1/128"].map(|text| text.parse().expect("a network")).into();
        let open = Resolver::new(Networks { allowed, ..Networks::default() }, Duration::from_secs(5));
        assert!(open.addresses("localhost".into()).await.expect("allowed").iter().all(IpAddr::is_loopback));
    }

    #[tokio::test]
    async fn a_look_up_that_takes_too_long_is_given_up() {
        let resolver = Resolver::new(Networks::default(), Duration::from_millis(20));
        let _all = resolver.lookups.clone().acquire_many_owned(64).await.expect("all of them");
        assert_eq!(resolver.addresses("localhost".into()).await, Err(ResolveError::Timeout));
    }
}
