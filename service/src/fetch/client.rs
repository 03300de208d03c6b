//! The HTTP client: everything that it would do by itself and must not is switched off here.

use anyhow::Context as _;
use reqwest::Certificate;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;

use super::clock::Timeouts;
use super::resolver::Resolver;

const USER_AGENT: &str = concat!("downloader/", env!("CARGO_PKG_VERSION"));
/// What we can decode, for origins that choose by it.
const ACCEPTED: &str = "image/jpeg, image/png, image/webp, image/gif, */*;q=0.1";
/// Unused connections kept per origin.
const UNUSED_CONNECTIONS_MAX: usize = 4;
/// The largest header of an answer: lines, and bytes of names and values. With HTTP/1 the client gives up at 0.4 MiB by
/// itself; what lies between arrives, and is refused.
pub(super) const HEADER_LINES_MAX: usize = 100;
pub(super) const HEADER_BYTES_MAX: u32 = 64 << 10;
/// What may arrive of a body that nobody reads yet, with HTTP/2: as much as the buffers hold with HTTP/1. A connection has
/// room for all that may use it at once, so that one who waits for our own limits holds nobody up.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES_MAX: u32 = 64 << 20;
/// Of a content type, which is only ever shown.
const CONTENT_TYPE_CHARS_MAX: usize = 100;

/// What a client is made of.
pub(super) struct Parts<'a> {
    /// Looks names up.
    pub(super) resolver: Resolver,
    /// When to give up.
    pub(super) timeouts: Timeouts,
    /// Whom an origin may turn to about our requests.
    pub(super) contact: Option<&'a str>,
    /// Requests to one origin at once.
    pub(super) per_host: usize,
    /// Roots of trust beside the system's.
    pub(super) roots: Vec<Certificate>,
}

/// Makes the client.
pub(super) fn build(parts: Parts<'_>) -> anyhow::Result<reqwest::Client> {
    let timeouts = parts.timeouts;
    // A second call fails because the first one holds: then there is nothing to do.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    // Compressed transfer is off. Who compresses all the same is taken at his bytes, which are then no picture.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    reqwest::Client::builder()
        .dns_resolver(parts.resolver)
        // A proxy would be asked for the name, and connect to whatever it resolves to there.
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .user_agent(user_agent(parts.contact))
        .default_headers(headers)
        .connect_timeout(timeouts.connect)
        .tcp_nodelay(true)
        .http1_max_headers(HEADER_LINES_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(connection_window(parts.per_host))
        .pool_max_idle_per_host(UNUSED_CONNECTIONS_MAX)
        .pool_idle_timeout(timeouts.unused)
        .tls_certs_merge(parts.roots)
        .build()
        .context(
            "cannot make the HTTP client; if the system has no CA certificates, install the package ca-certificates \
             or name a file of them with SSL_CERT_FILE",
        )
}

fn user_agent(contact: Option<&str>) -> String {
    format!("{USER_AGENT} ({})", contact.map_or_else(|| "image-pipeline".to_owned(), |contact| format!("+{contact}")))
}

fn connection_window(per_host: usize) -> u32 {
    let streams = u32::try_from(per_host).unwrap_or(u32::MAX);
    STREAM_WINDOW_BYTES.saturating_mul(streams).min(CONNECTION_WINDOW_BYTES_MAX)
}

/// Whether a header is larger than we take.
pub(super) fn is_too_large(headers: &HeaderMap) -> bool {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    u32::try_from(bytes).map_or(true, |bytes| bytes > HEADER_BYTES_MAX)
}

/// The declared type, as it may be shown: bounded, in plain characters. Nothing is decided by it.
pub(super) fn declared_type(headers: &HeaderMap) -> Option<String> {
    let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
    headers.get(CONTENT_TYPE).map(|value| value.as_bytes().iter().take(CONTENT_TYPE_CHARS_MAX).map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_type_is_shown_within_bounds_and_without_what_a_terminal_would_act_on() {
        let shown = |bytes: &[u8]| {
            declared_type(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_bytes(bytes).expect("a value"))]))
        };
        assert_eq!(shown(b"image/png; charset=x").as_deref(), Some("image/png; charset=x"));
        assert_eq!(shown(b"image/\xffpng\t").as_deref(), Some("image/?png?"));
        assert_eq!(shown(&[b'x'; 5000]).expect("shown").len(), CONTENT_TYPE_CHARS_MAX);
        assert_eq!(declared_type(&HeaderMap::new()), None);
    }

    #[test]
    fn a_connection_has_room_for_all_of_a_hosts_requests() {
        assert_eq!(connection_window(1), STREAM_WINDOW_BYTES);
        assert_eq!(connection_window(8), 8 * STREAM_WINDOW_BYTES);
        assert_eq!(connection_window(10_000), CONNECTION_WINDOW_BYTES_MAX);
    }
}
