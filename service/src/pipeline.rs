//! One record from its bytes to its acknowledged outcome:
//! `payload -> Task -> Source -> Thumbnail -> stored -> Outcome -> AckedOutcome`.
//!
//! Killed here: nothing was acknowledged, so the record comes again and does the same once more. An `Ok` is published
//! only after both objects are stored (I2). Only this module turns an error's class into an action, and only here a
//! task's failure is logged.

use std::future::Future;
use std::time::Instant;

use tracing::{Instrument as _, Span, info, warn};

use crate::error::{Class, Classified, Code, Dependency};
use crate::fetch::{Fetcher, Source};
use crate::flow::limits::ByteBudget;
use crate::flow::outage::Breaker;
use crate::flow::retry::{Next, RetryPolicy};
use crate::image::{ImageError, Pool, Thumbnail};
use crate::kafka::{AckedOutcome, Delivery, Producer};
use crate::observe::metrics::{End, Metrics, Stage};
use crate::observe::spans::{self, Place};
use crate::store::{Claim, Object, Original, Store, StoreError, hex};
use crate::task::{ObjectKey, Outcome, Picture, RecordError, RecordIdentity, Task, VettedTask};

/// The stages and what they share.
pub(crate) struct Pipeline {
    pub(crate) fetcher: Fetcher,
    pub(crate) pool: Pool,
    pub(crate) store: Store,
    /// The fetcher's, for originals that are read back.
    pub(crate) source_budget: ByteBudget,
    pub(crate) producer: Producer,
    pub(crate) broker_breaker: Breaker,
    pub(crate) store_breaker: Breaker,
    pub(crate) retry: RetryPolicy,
    pub(crate) metrics: Metrics,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) bucket: String,
}

/// Why an attempt failed, whatever the stage.
struct Failure {
    class: Class,
    code: Code,
    description: String,
}

impl<E: Classified> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure { class: error.class(), code: error.code(), description: error.to_string() }
    }
}

impl Pipeline {
    /// Works a record until it is finished. `None`: it stopped being ours first, and nothing more is published for it.
    pub(crate) async fn run_task(&self, delivery: &Delivery) -> Option<AckedOutcome> {
        let task = Task::read(delivery.payload.as_deref());
        let id = task.as_ref().map_or_else(|error| error.correlation_id, |task| Some(task.correlation_id));
        let place = Place {
            topic: &self.topic,
            group: &self.group,
            partition: delivery.ticket.partition,
            offset: delivery.ticket.offset,
        };
        let span = spans::process_span(place, id, &delivery.trace());
        let began = Instant::now();
        self.metrics.task_started();
        let work = async {
            match task {
                Ok(task) => self.settle(delivery, &task).await,
                Err(error) => self.bury(delivery, &error).await,
            }
        };
        let ended = tokio::select! {
            biased;
            () = delivery.ended.cancelled() => None,
            done = work.instrument(span) => Some(done),
        };
        self.metrics.task_ended(ended.as_ref().map_or(End::Cancelled, |(end, _)| *end), began.elapsed());
        ended.map(|(_, acked)| acked)
    }

    /// A task: as many attempts as it takes, then its outcome.
    async fn settle(&self, delivery: &Delivery, task: &Task) -> (End, AckedOutcome) {
        let (outcome, end) = match task.vet() {
            Ok(vetted) => self.attempts(&delivery.identity(&self.topic), &vetted).await,
            Err(error) => self.give_up(task.correlation_id, 1, &error.into()),
        };
        (end, self.publish(delivery, &outcome).await)
    }

    async fn attempts(&self, record: &RecordIdentity, task: &VettedTask) -> (Outcome, End) {
        let began = Instant::now();
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(record, task).await {
                Ok(picture) => return (Outcome::ok(task.correlation_id, attempt, picture), End::Ok),
                Err(failure) => failure,
            };
            let next = match failure.class {
                Class::Permanent => Next::OutOfAttempts,
                Class::Transient { retry_after } => {
                    self.retry.next(attempt, began.elapsed(), retry_after, fastrand::f64())
                }
                // Waited for inside the stage; one that surfaces all the same is not the task's fault either.
                Class::Infrastructure(_) => Next::RetryAfter(self.retry.cap),
            };
            match next {
                Next::RetryAfter(wait) => {
                    self.metrics.retried(failure.code);
                    tracing::debug!(attempt, code = %failure.code, cause = failure.description, ?wait, "trying again");
                    tokio::time::sleep(wait).await;
                    if !matches!(failure.class, Class::Infrastructure(_)) {
                        attempt += 1;
                    }
                }
                Next::OutOfAttempts => return self.give_up(task.correlation_id, attempt, &failure),
                Next::OutOfTime => {
                    let failure = Failure {
                        code: Code::DeadlineExceeded,
                        description: format!("no time left to try again; last: {}", failure.description),
                        ..failure
                    };
                    return self.give_up(task.correlation_id, attempt, &failure);
                }
            }
        }
    }

    /// All stages once, in order. An original that the same record has stored before decides: then thumbnail and outcome
    /// are made from its bytes, whatever the origin serves now.
    async fn attempt(&self, record: &RecordIdentity, task: &VettedTask) -> Result<Picture, Failure> {
        let mut unusable = None;
        let (source, thumbnail) = loop {
            let fetch = self.fetcher.fetch(&task.url);
            let source = self.staged(Stage::Fetch, spans::fetch_span(&task.url), fetch).await?;
            let thumbnail = self.thumbnail(&source).await?;
            let original = Object {
                bytes: source.bytes(),
                sha256: source.sha256(),
                content_type: thumbnail.source_content_type,
                source_sha256: source.sha256(),
            };
            let key = &task.original_key;
            let put = || self.store.put_original(key, original, record, unusable.as_ref());
            match self.put(spans::Object::Original, key, put).await? {
                Claim::Stored => break (source, thumbnail),
                Claim::Replaced => {
                    self.metrics.original_found("replaced");
                    break (source, thumbnail);
                }
                Claim::Decided(stored) => {
                    let fetched_sha256 = *source.sha256();
                    // Its bytes are given back before those of the stored original are reserved.
                    drop(source);
                    if let Some(pair) = self.reuse(key, &stored, fetched_sha256, thumbnail).await? {
                        self.metrics.original_found("reused");
                        break pair;
                    }
                    // One that was unusable before and is so again in another version has somebody behind it.
                    if unusable.replace(stored).is_some() {
                        return Err(StoreError::Contested.into());
                    }
                }
            }
        };
        let made = Object {
            bytes: &thumbnail.bytes,
            sha256: &thumbnail.sha256,
            content_type: thumbnail.content_type,
            source_sha256: source.sha256(),
        };
        let key = &task.thumbnail_key;
        self.put(spans::Object::Thumbnail, key, || self.store.put(key, made)).await?;
        Ok(picture(&source, &thumbnail))
    }

    /// The stored original and its thumbnail, which is `made` if that was made from the same bytes. `None`: it is damaged,
    /// or no picture any more, and cannot be an original.
    async fn reuse(
        &self,
        key: &ObjectKey,
        stored: &Original,
        fetched_sha256: [u8; 32],
        made: Thumbnail,
    ) -> Result<Option<(Source, Thumbnail)>, Failure> {
        let reservation = self.source_budget.reserve(stored.bytes()).await;
        let get = || {
            let span = spans::get_span(&self.bucket, key.as_str());
            self.staged(Stage::Get, span, self.waits(Dependency::Store, self.store.get_original(key, stored)))
        };
        let Some((bytes, sha256)) = self.store_breaker.until_up(get).await? else { return Ok(None) };
        let source = Source::stored(bytes, sha256, reservation);
        if sha256 == fetched_sha256 {
            return Ok(Some((source, made)));
        }
        info!("the origin serves other bytes than before; the stored original decides");
        Ok(self.thumbnail(&source).await.ok().map(|thumbnail| (source, thumbnail)))
    }

    async fn thumbnail(&self, source: &Source) -> Result<Thumbnail, ImageError> {
        self.staged(Stage::Thumbnail, spans::thumbnail_span(), self.pool.thumbnail(source.bytes().clone())).await
    }

    /// Stores one object; while the store is out of reach the work waits.
    async fn put<T, F>(&self, which: spans::Object, key: &ObjectKey, put: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let put = || {
            let span = spans::put_span(which, &self.bucket, key.as_str());
            self.staged(Stage::Put, span, self.waits(Dependency::Store, put()))
        };
        self.store_breaker.until_up(put).await
    }

    /// Publishes until the broker acknowledges.
    async fn publish(&self, delivery: &Delivery, outcome: &Outcome) -> AckedOutcome {
        let send = || {
            let span = spans::send_span(self.producer.output_topic());
            let send = self.producer.send(delivery, outcome, span.clone());
            self.staged(Stage::Send, span, self.waits(Dependency::Kafka, send))
        };
        self.broker_breaker.until_ok(send).await
    }

    /// What is not a task: the dead letter first, then, where an id can be read, its `Error` outcome.
    async fn bury(&self, delivery: &Delivery, error: &RecordError) -> (End, AckedOutcome) {
        warn!(code = %error.code, id = error.correlation_id, reason = error.reason, "a record is not a task");
        spans::fail(&Span::current(), error.code.as_str(), &error.code.meaning());
        let send = || self.waits(Dependency::Kafka, self.producer.send_dead_letter(delivery, error.code));
        let acked = self.broker_breaker.until_ok(send).await;
        self.metrics.dead_letter(error.code);
        let end = End::Error(error.code);
        match error.correlation_id {
            Some(id) => {
                let outcome = Outcome::error(id, 1, error.code, true);
                (end, self.publish(delivery, &outcome).await)
            }
            None => (end, acked),
        }
    }

    fn give_up(&self, correlation_id: u64, attempts: u32, failure: &Failure) -> (Outcome, End) {
        let permanent = failure.class == Class::Permanent;
        warn!(
            id = correlation_id,
            code = %failure.code,
            permanent,
            attempts,
            cause = failure.description,
            "a task failed"
        );
        spans::fail(&Span::current(), failure.code.as_str(), &failure.code.meaning());
        (Outcome::error(correlation_id, attempts, failure.code, permanent), End::Error(failure.code))
    }

    /// A stage with its span and its time.
    async fn staged<T, E: Classified>(
        &self,
        stage: Stage,
        span: Span,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let result = work.instrument(span.clone()).await;
        self.metrics.stage(stage, began.elapsed(), result.is_ok());
        if let Err(error) = &result {
            spans::fail(&span, error.code().as_str(), &error.code().meaning());
        }
        result
    }

    /// Counts a wait for a dependency of ours.
    async fn waits<T, E: Classified>(
        &self,
        dependency: Dependency,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let result = work.await;
        if result.as_ref().is_err_and(|error| error.class() == Class::Infrastructure(dependency)) {
            self.metrics.infrastructure_waited(dependency);
        }
        result
    }
}

fn picture(source: &Source, thumbnail: &Thumbnail) -> Picture {
    Picture {
        source_bytes: u64::try_from(source.bytes().len()).unwrap_or(u64::MAX),
        source_sha256: hex(source.sha256()),
        width: thumbnail.source_width,
        height: thumbnail.source_height,
        content_type: thumbnail.source_content_type.to_owned(),
        thumbnail_bytes: u64::try_from(thumbnail.bytes.len()).unwrap_or(u64::MAX),
        thumbnail_sha256: hex(&thumbnail.sha256),
        thumbnail_width: thumbnail.width,
        thumbnail_height: thumbnail.height,
    }
}
