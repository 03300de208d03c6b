//! The HTTP client: everything that it would do by itself and must not is switched off here.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;

use super::clock::Timeouts;
use super::resolver::Resolver;

const USER_AGENT: &str = concat!("downloader/", env!("CARGO_PKG_VERSION"), " (+image-pipeline)");
/// What we can decode, for origins that choose by it.
const ACCEPTED: &str = "image/jpeg, image/png, image/webp, image/gif, */*;q=0.1";
/// Idle connections kept per origin, and for how long: shorter than most servers keep them.
const IDLE_CONNECTIONS_MAX: usize = 4;
const IDLE_CONNECTION: Duration = Duration::from_secs(15);

/// Makes the client. Roots of trust are the system's.
pub(super) fn build(resolver: Resolver, timeouts: &Timeouts) -> anyhow::Result<reqwest::Client> {
    // A second call fails because the first one holds: then there is nothing to do.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    // Compressed transfer is off. Who compresses all the same is taken at his bytes, which are then no picture.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    reqwest::Client::builder()
        .dns_resolver(resolver)
        // A proxy would be asked for the name, and connect to whatever it resolves to there.
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .user_agent(USER_AGENT)
        .default_headers(headers)
        .connect_timeout(timeouts.connect)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_CONNECTION)
        .build()
        .context(
            "cannot make the HTTP client; if the system has no CA certificates, install the package ca-certificates \
             or name a file of them with SSL_CERT_FILE",
        )
}
