//! What is not a task goes here whole: bytes, key and headers as they came, and where it came from. And the way back.
//!
//! Both ways end with the broker's acknowledgement. If we are killed before it, the record's offset is uncommitted and it
//! is buried again (the letters name the same record), or the letter is still in its topic.

use rdkafka::message::OwnedHeaders;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::dead_log::{Letter, Source};
use super::headers::{text, with_text, without};
use super::intake::Delivery;
use super::producer::{AckedOutcome, ProduceError, Producer};
use crate::error::Code;
use crate::store::hex;

/// Headers of these names are ours: a stranger's are left out, so that nobody speaks for us.
pub(super) const RESERVED: &str = "dead.";
/// Headers with which a letter went back to its topic. If it dies again they stay with it and say so.
pub(super) const RESERVED_BACK: &str = "replay.";

impl Producer {
    /// Publishes the record itself to the topic of dead letters and waits for the acknowledgement. What is too large for
    /// the broker goes without its payload, and if it must be without key and foreign headers too; length and SHA-256 of
    /// the payload are added then.
    ///
    /// # Errors
    /// It was not acknowledged; it may have been written all the same.
    ///
    /// # Cancel safety
    /// As for [`Producer::send`].
    pub async fn send_dead_letter(&self, delivery: &Delivery, code: Code) -> Result<AckedOutcome, ProduceError> {
        delivery.leased().await;
        let payload = delivery.payload.as_deref();
        let key = delivery.key.as_deref();
        let own = own_headers(&self.input_topic, delivery, code);
        let whole = with_all(foreign(delivery), &own);
        match self.produce(&self.dead_topic, key, payload, whole.clone()).await {
            Err(ProduceError::TooLarge { .. }) => {}
            result => return result,
        }
        let bytes = payload.unwrap_or_default();
        warn!(bytes = bytes.len(), "a dead letter is too large for the broker; it goes as length and hash");
        let stand_in = [
            ("dead.payload.bytes", bytes.len().to_string()),
            ("dead.payload.sha256", hex(&Sha256::digest(bytes).into())),
        ];
        match self.produce(&self.dead_topic, key, None, with_all(whole, &stand_in)).await {
            Err(ProduceError::TooLarge { .. }) => {}
            result => return result,
        }
        let least = with_all(with_all(OwnedHeaders::new(), &own), &stand_in);
        self.produce(&self.dead_topic, None, None, least).await
    }

    /// Writes the record of a dead letter to the topic of tasks again, for the record `source` that has died `deaths`
    /// times, and waits for the acknowledgement.
    ///
    /// # Errors
    /// It was not acknowledged; it may have been written all the same.
    ///
    /// # Cancel safety
    /// As for [`Producer::send`].
    pub async fn put_back(&self, letter: &Letter, source: Source, deaths: u32) -> Result<(), ProduceError> {
        let headers = restored(&letter.headers, source, deaths);
        self.produce(&self.input_topic, letter.key.as_deref(), letter.payload.as_deref(), headers).await.map(drop)
    }
}

/// Where the record came from, and why it is here.
fn own_headers(topic: &str, delivery: &Delivery, code: Code) -> [(&'static str, String); 6] {
    let ticket = delivery.ticket;
    [
        ("dead.topic", topic.to_owned()),
        ("dead.partition", ticket.partition.to_string()),
        ("dead.offset", ticket.offset.to_string()),
        ("dead.timestamp", time(delivery.timestamp_ms)),
        ("dead.code", code.as_str().to_owned()),
        ("dead.attempts", deaths_before(delivery).saturating_add(1).to_string()),
    ]
}

/// How often the record had died when `downloader replay` put it back.
fn deaths_before(delivery: &Delivery) -> u32 {
    let said = delivery.headers.as_ref().and_then(|headers| text(headers, "replay.attempts"));
    said.and_then(|said| said.parse().ok()).unwrap_or(0)
}

/// The record's own headers, in their order.
fn foreign(delivery: &Delivery) -> OwnedHeaders {
    delivery.headers.as_ref().map_or_else(OwnedHeaders::new, |headers| without(headers, &[RESERVED]))
}

/// The headers of a letter's record, and which record it is: the first, however often it went back since.
fn restored(letter: &OwnedHeaders, source: Source, deaths: u32) -> OwnedHeaders {
    let back = [
        ("replay.partition", source.partition.to_string()),
        ("replay.offset", source.offset.to_string()),
        ("replay.timestamp", time(source.timestamp_ms)),
        ("replay.attempts", deaths.to_string()),
    ];
    with_all(without(letter, &[RESERVED, RESERVED_BACK]), &back)
}

/// For the fuzzer: a record with these headers is read, buried, read as a letter and put back.
#[cfg(fuzzing)]
pub fn fuzz_headers(headers: &[(Vec<u8>, Option<Vec<u8>>)]) {
    use super::dead_log::Place;
    let record = super::headers::of_bytes(headers);
    let delivery = Delivery::new(None, None, Some(record.clone()), Some(1), (2, 3));
    let _trace = delivery.trace();
    let buried = with_all(foreign(&delivery), &own_headers("urls_new", &delivery, Code::NotJson));
    let place = Place { partition: 0, offset: 0 };
    let letter = Letter { place, written_ms: None, payload: None, key: None, headers: buried };
    let inscription = letter.inscription().expect("invariant: what we write we read");
    assert_eq!(inscription.code, Code::NotJson.as_str());
    let back = restored(&letter.headers, inscription.source, 1);
    let strangers = |headers: &OwnedHeaders| -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let reserved = |name: &[u8]| [RESERVED, RESERVED_BACK].iter().any(|prefix| name.starts_with(prefix.as_bytes()));
        let all = super::headers::all(headers).filter(|(name, _)| !reserved(name));
        all.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect()
    };
    assert_eq!(strangers(&back), strangers(&record), "the record's own headers come back as they were");
}

fn time(ms: Option<i64>) -> String {
    ms.map_or_else(String::new, |ms| ms.to_string())
}

fn with_all(headers: OwnedHeaders, texts: &[(&'static str, String)]) -> OwnedHeaders {
    texts.iter().fold(headers, |headers, (key, value)| with_text(headers, key, value))
}

#[cfg(test)]
mod tests;
