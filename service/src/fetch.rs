//! Fetching: a URL that a stranger named -> the bytes behind it, within every limit.
//!
//! Redirects are followed by hand, so that each hop is judged before anything is sent and holds its origin's share only
//! while it lasts. Nothing is left behind if we are killed here. What the bytes are is none of this module's business.

pub mod address;
mod client;
mod clock;
mod error;
mod hop;
mod resolver;

use std::time::SystemTime;

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::Response;
use sha2::{Digest, Sha256};
use tracing::{Span, debug};
use url::Url;

use crate::config::Settings;
use crate::flow::hosts::Hosts;
use crate::flow::limits::{ByteBudget, Fetches, Reservation};
use crate::observe::spans::{self, Answered};
use address::Networks;
use client::Parts;
use clock::{Clock, Elapsed, Pace, Timeouts};
use hop::{Answer, Rules};
use resolver::Resolver;

pub use error::FetchError;
pub use hop::{RedirectProblem, UrlProblem};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 3;

/// Fetches what URLs name. Clones share connections and limits.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    hosts: Hosts,
    fetches: Fetches,
    budget: ByteBudget,
    rules: Rules,
    timeouts: Timeouts,
    bytes_max: u64,
}

/// The bytes behind a URL; they count against the budget of source bytes until this is dropped.
#[derive(Debug)]
pub struct Source {
    bytes: Bytes,
    sha256: [u8; 32],
    _reservation: Reservation,
}

impl Source {
    /// The bytes of an original that is stored already, within their reservation.
    pub fn stored(bytes: Bytes, sha256: [u8; 32], reservation: Reservation) -> Source {
        Source { bytes, sha256, _reservation: reservation }
    }

    /// The bytes as they arrived; at least one.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

impl Fetcher {
    /// A fetcher by the `FETCH_*` and `SOURCE_BYTES_MAX` settings. Needs no network.
    ///
    /// # Errors
    /// The system has no roots of trust for TLS.
    pub fn new(settings: &Settings, hosts: Hosts, source_budget: ByteBudget) -> anyhow::Result<Fetcher> {
        Fetcher::with(settings, hosts, source_budget, |parts| parts)
    }

    /// As [`Fetcher::new`]; `change` makes of the client's parts what a test needs.
    fn with(
        settings: &Settings,
        hosts: Hosts,
        budget: ByteBudget,
        change: impl for<'a> FnOnce(Parts<'a>) -> Parts<'a>,
    ) -> anyhow::Result<Fetcher> {
        let networks =
            Networks { allowed: settings.fetch_allow_cidrs.clone(), nat64: settings.fetch_nat64_prefixes.clone() };
        let timeouts = Timeouts::with_total(settings.fetch_timeout);
        let parts = change(Parts {
            resolver: Resolver::new(networks.clone(), timeouts.resolve),
            timeouts,
            contact: settings.fetch_user_agent_contact.as_deref(),
            per_host: settings.fetch_per_host_max,
            roots: Vec::new(),
        });
        let timeouts = parts.timeouts;
        let client = client::build(parts).context("prepare to fetch")?;
        let rules = Rules { networks, ports: settings.fetch_allow_ports.clone() };
        let fetches = Fetches::default();
        Ok(Fetcher { client, hosts, fetches, budget, rules, timeouts, bytes_max: settings.source_bytes_max })
    }

    /// Fetches what `url` names.
    ///
    /// # Errors
    /// Why there is nothing, with its class.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed and every share and reservation given back.
    pub async fn fetch(&self, url: &Url) -> Result<Source, FetchError> {
        let mut answered = None;
        let fetched = self.follow(url, &mut answered).await;
        if let Some(answered) = &answered {
            spans::answered(&Span::current(), answered);
        }
        if let Ok(source) = &fetched {
            spans::received(&Span::current(), length(source.bytes()));
        }
        fetched
    }

    /// Asks at each hop in turn. What answered last is left in `answered`.
    async fn follow(&self, url: &Url, answered: &mut Option<Answered>) -> Result<Source, FetchError> {
        self.rules.judge(url)?;
        let mut clock = Clock::new(self.timeouts.total);
        let mut url = url.clone();
        for redirects_left in (0..=REDIRECTS_MAX).rev() {
            let _at_host = self.hosts.enter(&url).await;
            let _place = self.fetches.enter().await;
            // What a request takes is large, and most of the tasks that are taken wait: so it is taken from here on only.
            let response = Box::pin(self.get(&url, &mut clock)).await?;
            let status = response.status();
            let declared_type = client::declared_type(response.headers());
            debug!(url = %shown(&url), status = status.as_u16(), declared_type, "answered");
            let peer = response.remote_addr().map(|peer| peer.ip());
            *answered = Some(Answered { status: status.as_u16(), peer, declared_type });
            if client::is_too_large(response.headers()) {
                return Err(FetchError::HeaderTooLarge);
            }
            match hop::answer(status) {
                Answer::Picture => return Box::pin(self.read(response, &mut clock)).await,
                Answer::Redirect if redirects_left == 0 => break,
                Answer::Redirect => {
                    url = self.rules.redirect(&url, response.headers()).map_err(FetchError::RedirectRefused)?;
                }
                Answer::Nothing => return Err(FetchError::BodyEmpty),
                Answer::Permanent => return Err(FetchError::StatusPermanent(status.as_u16())),
                Answer::Transient => {
                    let retry_after = hop::retry_after(response.headers(), SystemTime::now());
                    return Err(FetchError::StatusTransient { status: status.as_u16(), retry_after });
                }
            }
        }
        Err(FetchError::RedirectLimit(REDIRECTS_MAX))
    }

    /// One request, up to the end of the answer's header.
    async fn get(&self, url: &Url, clock: &mut Clock) -> Result<Response, FetchError> {
        let mut answer = self.send(url, clock).await?;
        if answer.as_ref().is_err_and(error::was_closed) {
            debug!(url = %shown(url), "the connection was closed before an answer: once more");
            answer = self.send(url, clock).await?;
        }
        let response = answer.map_err(|error| FetchError::of_send(error, self.timeouts.connect))?;
        // Every address was judged before it was connected to. This asks the connection itself.
        if let Some(peer) = response.remote_addr() {
            self.rules.networks.judge(peer.ip())?;
        }
        Ok(response)
    }

    async fn send(&self, url: &Url, clock: &mut Clock) -> Result<reqwest::Result<Response>, FetchError> {
        let limit = self.timeouts.first_byte;
        clock.wait(limit, self.client.get(url.clone()).send()).await.map_err(|elapsed| match elapsed {
            Elapsed::Step => FetchError::FirstByteTimeout(limit),
            Elapsed::Total => FetchError::TotalTimeout(self.timeouts.total),
        })
    }

    /// The body, counted as it arrives; its bytes are reserved before the first of them is read.
    async fn read(&self, mut response: Response, clock: &mut Clock) -> Result<Source, FetchError> {
        let too_large = || FetchError::BodyTooLarge(self.bytes_max);
        let declared = response.content_length();
        let expected = declared.unwrap_or(self.bytes_max);
        if expected > self.bytes_max {
            return Err(too_large());
        }
        let mut reservation = self.budget.reserve(expected).await;
        let bytes_max = usize::try_from(expected).map_err(|_| too_large())?;
        let mut body = Vec::with_capacity(if declared.is_some() { bytes_max } else { 0 });
        let mut hash = Sha256::new();
        let mut pace = Pace::new(&self.timeouts);
        let limit = self.timeouts.idle;
        loop {
            let left = clock.left();
            let step = clock.wait(limit, response.chunk()).await.map_err(|elapsed| match elapsed {
                Elapsed::Step => FetchError::IdleTimeout(limit),
                Elapsed::Total => FetchError::TotalTimeout(self.timeouts.total),
            })?;
            let Ok(piece) = step else {
                return Err(FetchError::BodyTruncated { received: length(&body), declared });
            };
            let Some(piece) = piece else { break };
            if length(&body).saturating_add(length(&piece)) > self.bytes_max {
                return Err(too_large());
            }
            if !pace.arrived(length(&piece), left.saturating_sub(clock.left())) {
                return Err(FetchError::TooSlow { least: self.timeouts.pace_bytes, window: self.timeouts.pace });
            }
            hash.update(&piece);
            append(&mut body, &piece, bytes_max);
        }
        // With HTTP/2 the client takes a stream that was reset without an error for one that ended.
        if declared.is_some_and(|declared| declared != length(&body)) {
            return Err(FetchError::BodyTruncated { received: length(&body), declared });
        }
        if body.is_empty() {
            return Err(FetchError::BodyEmpty);
        }
        body.shrink_to_fit();
        reservation.shrink(length(&body));
        Ok(Source { bytes: body.into(), sha256: hash.finalize().into(), _reservation: reservation })
    }
}

/// Doubles the room where it is too small, but never beyond the `most` bytes that were reserved.
fn append(body: &mut Vec<u8>, piece: &[u8], most: usize) {
    let needed = body.len().saturating_add(piece.len());
    if needed > body.capacity() {
        let room = body.capacity().saturating_mul(2).min(most).max(needed);
        body.reserve_exact(room.saturating_sub(body.len()));
    }
    body.extend_from_slice(piece);
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A URL as it may be logged: a query can hold a secret, and so can what precedes the host.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests;
