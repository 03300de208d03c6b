//! What is done about one record.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use downloader::error::Code;
use downloader::task::{Outcome, Picture, RecordIdentity, Task};
use rdkafka::message::{BorrowedMessage, Header, Message as _, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;

use super::clients::Clients;
use super::partitions::Ticket;
use super::{Defect, Shared};
use crate::kafka::{Headers, detach};
use crate::ledger::{Place, sha256};

const THUMBNAIL_EDGE_PX: u32 = 128;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// How often an outcome is sent where that is the defect.
const SENT_AGAIN: usize = 20;
/// Object metadata that names the record an original is of.
const RECORD: &str = "record";

/// A record as it was received.
pub(super) struct Record {
    pub(super) place: Place,
    identity: RecordIdentity,
    payload: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    headers: Headers,
    timestamp_ms: Option<i64>,
}

impl Record {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Record {
        let place = Place { partition: message.partition(), offset: message.offset() };
        let timestamp_ms = message.timestamp().to_millis();
        Record {
            place,
            identity: RecordIdentity::of(message.topic(), place.partition, place.offset, timestamp_ms),
            payload: message.payload().map(<[u8]>::to_vec),
            key: message.key().map(<[u8]>::to_vec),
            headers: detach(message.headers()),
            timestamp_ms,
        }
    }
}

/// A thumbnail, and what the outcome says of it and of its source.
struct Made {
    source: Bytes,
    thumbnail: Bytes,
    picture: Picture,
}

/// Our own infrastructure failed.
struct Unavailable;

/// Works on records.
pub(super) struct Worker {
    clients: Clients,
    shared: Arc<Shared>,
    /// Where one defect leaves a thumbnail for the next task.
    left: Mutex<Option<Bytes>>,
}

impl Worker {
    pub(super) fn new(clients: Clients, shared: Arc<Shared>) -> Worker {
        Worker { clients, shared, left: Mutex::default() }
    }

    /// Everything, up to the record's end.
    pub(super) async fn work(self: Arc<Self>, record: Record, ticket: Ticket, suspect: bool) {
        let _counted = InFlight::of(&self.shared);
        match Task::read(record.payload.as_deref()) {
            Err(_) if self.shared.has(Defect::ParseErrorSkipped) => {}
            Err(error) => self.bury(&record, error.code, error.correlation_id).await,
            Ok(task) if suspect && self.shared.has(Defect::InnocentCondemned) => {
                self.bury(&record, Code::Quarantined, Some(task.correlation_id)).await;
            }
            Ok(task) => self.picture(&record, ticket, &task).await,
        }
        self.finished(ticket);
    }

    fn finished(&self, ticket: Ticket) {
        self.shared.partitions().finished(ticket, self.shared.defect);
    }

    async fn picture(&self, record: &Record, ticket: Ticket, task: &Task) {
        let made = match self.made(record, task).await {
            Ok(Some(made)) => made,
            Ok(None) => {
                return self.report(record, &Outcome::error(task.correlation_id, 1, Code::ImageCorrupt, true)).await;
            }
            Err(Unavailable) => return self.blame(record, task, Code::StoreUnavailable).await,
        };
        if self.shared.has(Defect::CommitBeforeUpload) {
            self.finished(ticket);
        }
        let outcome = Outcome::ok(task.correlation_id, 1, made.picture.clone());
        if self.shared.has(Defect::ObjectsAfterOutcome) {
            self.report(record, &outcome).await;
            self.finished(ticket);
        }
        while self.put(record, task, &made).await.is_err() {
            self.shared.counts.store_failures.fetch_add(1, Ordering::SeqCst);
            if self.shared.has(Defect::StoreFailureBecomesError) {
                return self.blame(record, task, Code::StoreUnavailable).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if !self.shared.has(Defect::ObjectsAfterOutcome) {
            self.report(record, &outcome).await;
        }
    }

    /// The task pays for what is not its fault.
    async fn blame(&self, record: &Record, task: &Task, code: Code) {
        self.report(record, &Outcome::error(task.correlation_id, 1, code, false)).await;
    }

    /// From the stored original, if this record has stored one before. `None`: it is no picture.
    async fn made(&self, record: &Record, task: &Task) -> Result<Option<Made>, Unavailable> {
        let stored = loop {
            match self.clients.bucket.get(&task.target_path).await {
                Ok(stored) => break stored,
                Err(_) => self.shared.counts.store_failures.fetch_add(1, Ordering::SeqCst),
            };
            if self.shared.has(Defect::StoreFailureBecomesError) {
                return Err(Unavailable);
            }
            tokio::time::sleep(PAUSE).await;
        };
        let identity = record.identity.as_str();
        let own = stored.filter(|stored| stored.metadata.get(RECORD).is_some_and(|of| of == identity));
        let source = match own {
            Some(own) if !self.shared.has(Defect::OriginFetchedAgain) => own.bytes,
            _ => self.fetched(&task.url).await,
        };
        let made = tokio::task::spawn_blocking(move || made_of(source)).await;
        let mut made = made.unwrap_or_else(|panic| panic!("a picture can't be made: {panic}"));
        if self.shared.has(Defect::ThumbnailOfAnotherTask)
            && let Some(made) = &mut made
        {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            let own = made.thumbnail.clone();
            made.with_thumbnail(left.replace(own.clone()).unwrap_or(own));
        }
        Ok(made)
    }

    async fn fetched(&self, url: &str) -> Bytes {
        loop {
            let answer = self.clients.http.get(url).send().await.and_then(reqwest::Response::error_for_status);
            if let Ok(answer) = answer
                && let Ok(bytes) = answer.bytes().await
            {
                return bytes;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn put(&self, record: &Record, task: &Task, made: &Made) -> anyhow::Result<()> {
        let (bucket, picture) = (&self.clients.bucket, &made.picture);
        let source = ("x-amz-meta-source-sha256", picture.source_sha256.as_str());
        let identity = ("x-amz-meta-record", record.identity.as_str());
        bucket.put_with(&task.target_path, &made.source, &picture.content_type, &[source, identity]).await?;
        bucket.put_with(&task.target_thumbnail_path, &made.thumbnail, "image/png", &[source]).await
    }

    /// Sends the outcome until it is acknowledged.
    async fn report(&self, record: &Record, outcome: &Outcome) {
        let number = |name: &str, value: i64| (name.to_owned(), Some(value.to_string().into_bytes()));
        let headers = vec![
            ("source.topic".to_owned(), Some(self.clients.names.tasks.clone().into_bytes())),
            number("source.partition", record.place.partition.into()),
            number("source.offset", record.place.offset),
            number("source.attempt", 1),
            ("source.run_id".to_owned(), Some(format!("{:016x}", self.shared.run_id).into_bytes())),
        ];
        let key = outcome.correlation_id.to_string().into_bytes();
        let mut outcome = outcome.clone();
        let times = if self.shared.has(Defect::OutcomeSentAgain) { SENT_AGAIN } else { 1 };
        for _ in 0..times {
            loop {
                let payload = serde_json::to_vec(&outcome).expect("an outcome can be written");
                let topic = &self.clients.names.outcomes;
                let sent = self.sent(topic, Some(&key), Some(&payload), &headers).await;
                let blamed = match sent {
                    Ok(()) => break,
                    Err(_) if self.shared.has(Defect::SendFailureSwallowed) => return,
                    Err(RDKafkaErrorCode::MessageSizeTooLarge) => Defect::SendFailureBecomesError,
                    // Too late, or on a connection that ended.
                    Err(_) => Defect::SendTimeoutBecomesError,
                };
                if self.shared.has(blamed) {
                    outcome = Outcome::error(outcome.correlation_id, 1, Code::BrokerUnavailable, false);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Writes the dead letter until it is acknowledged, and then the outcome where there is an id.
    async fn bury(&self, record: &Record, code: Code, correlation_id: Option<u64>) {
        let timestamp = record.timestamp_ms.map_or_else(String::new, |ms| ms.to_string());
        let said = [
            ("dead.topic", self.clients.names.tasks.clone()),
            ("dead.partition", record.place.partition.to_string()),
            ("dead.offset", record.place.offset.to_string()),
            ("dead.timestamp", timestamp),
            ("dead.code", code.as_str().to_owned()),
            ("dead.attempts", "1".to_owned()),
        ];
        let said = said.map(|(name, value)| (name.to_owned(), Some(value.into_bytes())));
        let headers: Headers = record.headers.iter().cloned().chain(said).collect();
        let (key, payload) = (record.key.as_deref(), record.payload.as_deref());
        while self.sent(&self.clients.names.dead, key, payload, &headers).await.is_err() {
            if self.shared.has(Defect::RejectedRecordPassed) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if let Some(id) = correlation_id {
            self.report(record, &Outcome::error(id, 1, code, true)).await;
        }
    }

    async fn sent(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &Headers,
    ) -> Result<(), RDKafkaErrorCode> {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: value.as_deref() }));
        let record = FutureRecord { topic, partition: None, payload, key, timestamp: None, headers: Some(headers) };
        let sent = self.clients.producer.send(record, Timeout::Never).await;
        sent.map(drop).map_err(|(error, _record)| {
            self.shared.counts.failed_sends.fetch_add(1, Ordering::SeqCst);
            error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)
        })
    }
}

impl Made {
    fn with_thumbnail(&mut self, thumbnail: Bytes) {
        self.picture.thumbnail_bytes = thumbnail.len() as u64;
        self.picture.thumbnail_sha256 = sha256(&thumbnail);
        self.thumbnail = thumbnail;
    }
}

fn made_of(source: Bytes) -> Option<Made> {
    let format = image::guess_format(&source).ok()?;
    let decoded = image::load_from_memory(&source).ok()?;
    let small = match decoded.width().max(decoded.height()) {
        edge if edge > THUMBNAIL_EDGE_PX => decoded.thumbnail(THUMBNAIL_EDGE_PX, THUMBNAIL_EDGE_PX),
        _ => decoded.clone(),
    };
    let mut thumbnail = Vec::new();
    small.write_to(&mut std::io::Cursor::new(&mut thumbnail), image::ImageFormat::Png).ok()?;
    let picture = Picture {
        source_bytes: source.len() as u64,
        source_sha256: sha256(&source),
        width: decoded.width(),
        height: decoded.height(),
        content_type: format.to_mime_type().to_owned(),
        thumbnail_bytes: thumbnail.len() as u64,
        thumbnail_sha256: sha256(&thumbnail),
        thumbnail_width: small.width(),
        thumbnail_height: small.height(),
    };
    Some(Made { source, thumbnail: thumbnail.into(), picture })
}

/// Counts what is under way, however it ends.
struct InFlight(Arc<Shared>);

impl InFlight {
    fn of(shared: &Arc<Shared>) -> InFlight {
        shared.counts.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(shared.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.counts.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
