//! What a fetch notes on its span.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::Instrument as _;
use tracing::field::{Field, Visit};
use tracing::span::{Id, Record};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};

use super::*;
use crate::observe::names::attribute;

/// Everything that is recorded on spans, and how often.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<BTreeMap<&'static str, Vec<String>>>>);

impl Visit for Notes {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lock().expect("not poisoned").entry(field.name()).or_default().push(format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl<S: tracing::Subscriber> Layer<S> for Notes {
    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        values.record(&mut self.clone());
    }
}

/// What is noted while `url` is fetched.
async fn noted(setup: &Setup, url: &str) -> BTreeMap<&'static str, Vec<String>> {
    let notes = Notes::default();
    let _subscriber = tracing::subscriber::set_default(Registry::default().with(notes.clone()));
    let span = spans::fetch_span(&url.parse().expect("a URL"));
    drop(setup.fetch_url(url).instrument(span).await);
    notes.0.lock().expect("not poisoned").clone()
}

fn once(pairs: &[(&'static str, &str)]) -> BTreeMap<&'static str, Vec<String>> {
    pairs.iter().map(|(name, value)| (*name, vec![(*value).to_owned()])).collect()
}

#[tokio::test]
async fn a_span_tells_who_answered_and_what_was_declared_of_the_last_hop() {
    let setup = Setup::new().await;
    setup
        .origin
        .serve("/picture", answer("200 OK\r\nContent-Type: text/html; \u{e9}\r\nContent-Length: 7", b"picture"));
    let from = setup.origin.serve("/from", redirect("/picture"));
    let expected = once(&[
        (attribute::HTTP_RESPONSE_STATUS_CODE, "200"),
        (attribute::HTTP_RESPONSE_HEADER_CONTENT_TYPE, "text/html; ??"),
        (attribute::HTTP_RESPONSE_BODY_SIZE, "7"),
        (attribute::NETWORK_PEER_ADDRESS, "127.0.0.1"),
    ]);
    assert_eq!(noted(&setup, &from).await, expected);
}

#[tokio::test]
async fn a_span_of_a_failed_fetch_tells_who_answered_if_anybody_did() {
    let setup = Setup::new().await;
    let gone = setup.origin.serve("/gone", answer("404 Gone\r\nContent-Length: 0", b""));
    let expected =
        once(&[(attribute::HTTP_RESPONSE_STATUS_CODE, "404"), (attribute::NETWORK_PEER_ADDRESS, "127.0.0.1")]);
    assert_eq!(noted(&setup, &gone).await, expected);
    assert_eq!(noted(&setup, "http://10.0.0.1/").await, once(&[]));
}
