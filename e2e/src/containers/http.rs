//! Asks a container's published port over HTTP.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder};

const PATIENCE: Duration = Duration::from_secs(10);

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

impl Answer {
    /// A header field as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Whoever makes an HTTP client of this process needs a choice of cryptography, the waits of testcontainers included.
pub(crate) fn choose_cryptography() {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client that follows no redirect and no proxy setting: an answer is the container's own.
pub(crate) fn client() -> Client {
    choose_cryptography();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .expect("invariant: the client's settings are constant")
}

/// Sends a request and reads the answer to its end.
pub(crate) async fn ask(request: RequestBuilder) -> anyhow::Result<Answer> {
    let response = request.send().await.context("send the request")?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, body: response.bytes().await.context("read the answer")? })
}
