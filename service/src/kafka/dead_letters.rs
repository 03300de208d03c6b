//! What is not a task goes here whole: bytes, key and headers as they came, and where it came from.

use rdkafka::message::{Headers, OwnedHeaders};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::headers::with_text;
use super::intake::Delivery;
use super::producer::{AckedOutcome, ProduceError, Producer};
use crate::error::Code;
use crate::store::hex;

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
        let own = self.own_headers(delivery, code);
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

    /// Where the record came from, and why it is here.
    fn own_headers(&self, delivery: &Delivery, code: Code) -> [(&'static str, String); 6] {
        let ticket = delivery.ticket;
        [
            ("dead.topic", self.input_topic.clone()),
            ("dead.partition", ticket.partition.to_string()),
            ("dead.offset", ticket.offset.to_string()),
            ("dead.timestamp", delivery.timestamp_ms.map_or_else(String::new, |ms| ms.to_string())),
            ("dead.code", code.as_str().to_owned()),
            ("dead.attempts", "1".to_owned()),
        ]
    }
}

/// The record's own headers, in their order.
fn foreign(delivery: &Delivery) -> OwnedHeaders {
    delivery.headers.iter().flat_map(Headers::iter).fold(OwnedHeaders::new(), OwnedHeaders::insert)
}

fn with_all(headers: OwnedHeaders, texts: &[(&'static str, String)]) -> OwnedHeaders {
    texts.iter().fold(headers, |headers, (key, value)| with_text(headers, key, value))
}
