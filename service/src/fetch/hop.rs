//! One hop of a fetch, judged before a connection is made: the URL as given, and where a redirect leads. Pure.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use url::{Host, Url};

use super::address::{Forbidden, Networks};

/// What an origin's URL may be.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// What is let in beyond the public internet.
    pub(super) networks: Networks,
    /// The ports an origin may use.
    pub(super) ports: Vec<u16>,
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// Neither http nor https.
    #[error("the URL's scheme is '{0}'; only http and https are fetched")]
    Scheme(String),
    /// No host.
    #[error("the URL has no host")]
    NoHost,
    /// A user name or a password.
    #[error("the URL carries a user name or a password")]
    Credentials,
    /// A port that is not among the allowed ones.
    #[error("port {0} is not among the allowed ones (FETCH_ALLOW_PORTS)")]
    Port(u16),
    /// Valid as a URL, but nothing that HTTP can ask for.
    #[error("the URL cannot be asked for by HTTP")]
    NotHttp,
    /// The host is an address, and a forbidden one.
    #[error(transparent)]
    Address(#[from] Forbidden),
}

/// Why a redirect is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectProblem {
    /// It names no place to go to.
    #[error("it has no Location that can be read")]
    NoLocation,
    /// The place is no URL.
    #[error("its Location is not a URL")]
    NotAUrl,
    /// From https to http.
    #[error("it leads from https to http")]
    Downgrade,
    /// The URL breaks a rule that every hop keeps.
    #[error("{0}")]
    Url(UrlProblem),
}

impl Rules {
    /// Judges a hop's URL. A name is judged later, by the addresses it resolves to.
    pub(super) fn judge(&self, url: &Url) -> Result<(), UrlProblem> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlProblem::Scheme(url.scheme().chars().take(32).collect()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::Credentials);
        }
        // The parser has turned every spelling of an IPv4 address (decimal, octal, hex, short) into the address.
        match url.host() {
            Some(Host::Ipv4(address)) => self.networks.judge(IpAddr::V4(address))?,
            Some(Host::Ipv6(address)) => self.networks.judge(IpAddr::V6(address))?,
            Some(Host::Domain(name)) if !name.is_empty() => {}
            Some(Host::Domain(_)) | None => return Err(UrlProblem::NoHost),
        }
        match url.port_or_known_default() {
            Some(port) if self.ports.contains(&port) => Ok(()),
            port => Err(UrlProblem::Port(port.unwrap_or_default())),
        }
    }

    /// Where the redirect that answered `from` leads.
    pub(super) fn redirect(&self, from: &Url, headers: &HeaderMap) -> Result<Url, RedirectProblem> {
        let location = headers.get(LOCATION).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        let to = from.join(location.ok_or(RedirectProblem::NoLocation)?).map_err(|_| RedirectProblem::NotAUrl)?;
        if from.scheme() == "https" && to.scheme() == "http" {
            return Err(RedirectProblem::Downgrade);
        }
        self.judge(&to).map_err(RedirectProblem::Url)?;
        Ok(to)
    }
}

/// What a status means for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A whole picture follows.
    Picture,
    /// The picture is elsewhere.
    Redirect,
    /// Nothing follows.
    Nothing,
    /// Another try may succeed.
    Transient,
    /// Another try won't.
    Permanent,
}

/// Reads a status. Partial content was not asked for, and what was created or accepted is not the picture: both refused.
pub(super) fn answer(status: StatusCode) -> Answer {
    match status.as_u16() {
        200 | 203 => Answer::Picture,
        204 | 205 => Answer::Nothing,
        301 | 302 | 303 | 307 | 308 => Answer::Redirect,
        408 | 425 | 429 | 500..=599 => Answer::Transient,
        _ => Answer::Permanent,
    }
}

/// How long the origin asks us to wait: a number of seconds or a date; a date gone by is no time at all.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests;
