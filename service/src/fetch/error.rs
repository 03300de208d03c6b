//! What can go wrong with a fetch, and how the HTTP client's errors are read: by type, never by text.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::address::Forbidden;
use super::hop::{RedirectProblem, UrlProblem};
use super::resolver::ResolveError;
use crate::error::{Class, Classified, Code};

/// Why there is no source. Neither a query string nor a credential appears in any text.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL given breaks a rule.
    #[error(transparent)]
    Url(#[from] UrlProblem),
    /// The address connected to, or one that the name resolves to, is not public.
    #[error(transparent)]
    Address(#[from] Forbidden),
    /// The name has no address.
    #[error("the host's name does not exist or has no address")]
    DnsNotFound,
    /// No answer about the name, or none in time.
    #[error("the host's name could not be looked up")]
    DnsFailed,
    /// Refused, unreachable, or closed before the answer began.
    #[error("the connection failed")]
    Connect(#[source] reqwest::Error),
    /// Look-up, connection and TLS handshake together took too long.
    #[error("no connection was made within {0:?}")]
    ConnectTimeout(Duration),
    /// The other side could not be trusted, or speaks no TLS of ours.
    #[error("the TLS handshake failed")]
    Tls(#[source] rustls::Error),
    /// No status line.
    #[error("no answer began within {0:?}")]
    FirstByteTimeout(Duration),
    /// The body stood still.
    #[error("the answer stood still for {0:?}")]
    IdleTimeout(Duration),
    /// The body trickled: so many bytes or fewer in so much time.
    #[error("the answer came slower than {least} bytes in {window:?}")]
    TooSlow {
        /// Bytes that had to arrive at least.
        least: u64,
        /// The time they had.
        window: Duration,
    },
    /// All hops together, without the time we waited for our own limits.
    #[error("the fetch took longer than {0:?} (FETCH_TIMEOUT)")]
    TotalTimeout(Duration),
    /// A status that waiting does not change.
    #[error("the origin answered with status {0}")]
    StatusPermanent(u16),
    /// 408, 425, 429 or 5xx.
    #[error("the origin answered with status {status}")]
    StatusTransient {
        /// The status.
        status: u16,
        /// How long the origin asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The header is larger than we take.
    #[error("the answer's header is too large")]
    HeaderTooLarge,
    /// What arrived is not HTTP.
    #[error("the answer is not valid HTTP")]
    Protocol(#[source] reqwest::Error),
    /// More redirects than we follow.
    #[error("the origin redirected more than {0} times")]
    RedirectLimit(usize),
    /// A redirect we do not follow.
    #[error("the origin's redirect is refused: {0}")]
    RedirectRefused(RedirectProblem),
    /// Larger than allowed, as declared or as counted.
    #[error("the body is larger than {0} bytes (SOURCE_BYTES_MAX)")]
    BodyTooLarge(u64),
    /// The connection ended within the body.
    #[error("the body ended after {received} bytes{}", .declared.map_or(String::new(), |declared| format!(" of {declared}")))]
    BodyTruncated {
        /// Bytes that arrived.
        received: u64,
        /// Bytes that were announced.
        declared: Option<u64>,
    },
    /// No bytes.
    #[error("the body is empty")]
    BodyEmpty,
}

impl Classified for FetchError {
    fn class(&self) -> Class {
        match self {
            FetchError::Url(_)
            | FetchError::Address(_)
            | FetchError::Tls(_)
            | FetchError::StatusPermanent(_)
            | FetchError::RedirectLimit(_)
            | FetchError::RedirectRefused(_)
            | FetchError::BodyTooLarge(_)
            | FetchError::BodyEmpty => Class::Permanent,
            FetchError::DnsNotFound
            | FetchError::DnsFailed
            | FetchError::Connect(_)
            | FetchError::ConnectTimeout(_)
            | FetchError::FirstByteTimeout(_)
            | FetchError::IdleTimeout(_)
            | FetchError::TooSlow { .. }
            | FetchError::TotalTimeout(_)
            | FetchError::HeaderTooLarge
            | FetchError::Protocol(_)
            | FetchError::BodyTruncated { .. } => Class::Transient { retry_after: None },
            FetchError::StatusTransient { retry_after, .. } => Class::Transient { retry_after: *retry_after },
        }
    }

    fn code(&self) -> Code {
        match self {
            FetchError::Url(problem) => url_code(problem),
            FetchError::Address(_) | FetchError::RedirectRefused(RedirectProblem::Url(UrlProblem::Address(_))) => {
                Code::AddressForbidden
            }
            FetchError::DnsNotFound => Code::DnsNotFound,
            FetchError::DnsFailed => Code::DnsFailed,
            FetchError::Connect(_) => Code::ConnectFailed,
            FetchError::ConnectTimeout(_) => Code::ConnectTimeout,
            FetchError::Tls(_) => Code::TlsFailed,
            FetchError::FirstByteTimeout(_) => Code::FirstByteTimeout,
            // A body that all but stands still is told no apart from one that does.
            FetchError::IdleTimeout(_) | FetchError::TooSlow { .. } => Code::IdleTimeout,
            FetchError::TotalTimeout(_) => Code::TotalTimeout,
            FetchError::StatusPermanent(_) => Code::HttpStatusPermanent,
            FetchError::StatusTransient { .. } => Code::HttpStatusTransient,
            FetchError::HeaderTooLarge | FetchError::Protocol(_) => Code::HttpProtocol,
            FetchError::RedirectLimit(_) => Code::RedirectLimit,
            FetchError::RedirectRefused(_) => Code::RedirectRefused,
            FetchError::BodyTooLarge(_) => Code::BodyTooLarge,
            FetchError::BodyTruncated { .. } => Code::BodyTruncated,
            FetchError::BodyEmpty => Code::BodyEmpty,
        }
    }
}

fn url_code(problem: &UrlProblem) -> Code {
    match problem {
        UrlProblem::Scheme(_) => Code::UrlSchemeRefused,
        UrlProblem::NoHost | UrlProblem::NotHttp => Code::UrlInvalid,
        UrlProblem::Credentials => Code::UrlCredentialsRefused,
        UrlProblem::Port(_) => Code::UrlPortRefused,
        UrlProblem::Address(_) => Code::AddressForbidden,
    }
}

impl FetchError {
    /// Reads why a request got no answer.
    pub(super) fn of_send(error: reqwest::Error, connect_timeout: Duration) -> FetchError {
        let error = error.without_url();
        if let Some(problem) = cause::<ResolveError>(&error) {
            return match problem {
                ResolveError::NotFound => FetchError::DnsNotFound,
                ResolveError::Failed | ResolveError::Timeout => FetchError::DnsFailed,
                ResolveError::Forbidden(forbidden) => FetchError::Address(*forbidden),
            };
        }
        if let Some(problem) = cause::<rustls::Error>(&error) {
            return FetchError::Tls(problem.clone());
        }
        if error.is_builder() {
            return FetchError::Url(UrlProblem::NotHttp);
        }
        if error.is_timeout() {
            return FetchError::ConnectTimeout(connect_timeout);
        }
        if spoke_out_of_turn(&error) {
            return FetchError::Protocol(error);
        }
        if error.is_connect() || was_closed(&error) {
            return FetchError::Connect(error);
        }
        FetchError::Protocol(error)
    }
}

/// The connection ended before the answer began. A server may close an idle connection at the moment we use it again.
pub(super) fn was_closed(error: &reqwest::Error) -> bool {
    if error.is_connect() || error.is_timeout() {
        return false;
    }
    let by_client = cause::<hyper::Error>(error)
        .is_some_and(|error| error.is_incomplete_message() || error.is_canceled() || error.is_closed());
    let by_system = cause::<io::Error>(error).is_some_and(|error| {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
        matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected | UnexpectedEof)
    });
    by_client || by_system
}

/// The request was cancelled because of what came before it could be sent, and not because of an end of the connection.
fn spoke_out_of_turn(error: &reqwest::Error) -> bool {
    let reasons = || causes::<hyper::Error>(error);
    let is_an_end = |error: &hyper::Error| error.is_incomplete_message() || error.is_closed();
    let deepest = reasons().last();
    reasons().any(hyper::Error::is_canceled)
        && cause::<io::Error>(error).is_none()
        && deepest.is_some_and(|deepest| !deepest.is_canceled() && !is_an_end(deepest))
}

/// The first error of type `T` below `error`.
fn cause<T: StdError + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).next()
}

/// Every error of type `T` below `error`.
fn causes<T: StdError + 'static>(error: &reqwest::Error) -> impl Iterator<Item = &T> {
    std::iter::successors(error.source(), |current| below(*current)).filter_map(|current| current.downcast_ref::<T>())
}

/// The error that `error` was made from. An `io::Error` hides it: it is looked into.
fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
