//! Everything that touches a record's bytes: `payload -> Task -> Source -> Thumbnail -> stored`, up to the decision what
//! its outcome is. It runs in the process that read the record, or for a suspect in a child (see `trial`).
//!
//! Killed here: nothing was published, so the record comes again. Nothing here knows Kafka, or publishes anything.
//!
//! A task is as large as its largest stage, and twice as large for every function that a stage is handed through. Stages
//! are boxed, so that a task that waits costs what it needs for waiting.

use std::future::Future;
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tracing::{Instrument as _, Span, info, warn};

use crate::config::Settings;
use crate::error::{Class, Classified, Code, Dependency};
use crate::fetch::{Fetcher, Source};
use crate::flow::hosts::Hosts;
use crate::flow::limits::ByteBudget;
use crate::flow::outage::Breaker;
use crate::flow::retry::{Next, RetryPolicy};
use crate::image::{ImageError, Pool, Thumbnail};
use crate::observe::health::Health;
use crate::observe::metrics::{End, Metrics, Stage};
use crate::observe::spans;
use crate::store::{Claim, Object, Original, Store, StoreError, hex};
use crate::task::{ObjectKey, Outcome, Picture, RecordError, RecordIdentity, Task, VettedTask};

/// What is to be published for a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It is a task, and this became of it.
    Outcome(Outcome, End),
    /// It goes to the dead letters; an `Error` outcome follows where its id could be read.
    DeadLetter(RecordError),
}

/// The stages up to the stored objects, and what they share.
pub(crate) struct Workshop {
    pub(crate) fetcher: Fetcher,
    pub(crate) pool: Pool,
    pub(crate) store: Store,
    /// The fetcher's, for originals that are read back.
    source_budget: ByteBudget,
    pub(crate) store_breaker: Breaker,
    pub(crate) retry: RetryPolicy,
    pub(crate) metrics: Metrics,
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

/// The id of a record that was read, where it has one.
pub(crate) fn id_of(read: &Result<Task, RecordError>) -> Option<u64> {
    read.as_ref().map_or_else(|error| error.correlation_id, |task| Some(task.correlation_id))
}

impl Workshop {
    /// A workshop by the settings. Needs no network.
    pub(crate) fn new(
        settings: &Settings,
        source_budget: ByteBudget,
        pool: Pool,
        health: &Health,
        metrics: Metrics,
    ) -> anyhow::Result<Workshop> {
        Ok(Workshop {
            fetcher: Fetcher::new(settings, Hosts::new(settings.fetch_per_host_max), source_budget.clone())
                .context("make the HTTP client")?,
            pool,
            store: Store::new(settings).context("make the S3 client")?,
            source_budget,
            store_breaker: Breaker::new(Dependency::Store, health.clone()),
            retry: RetryPolicy::for_tasks(settings.task_timeout),
            metrics,
            bucket: settings.s3_bucket_name.clone(),
        })
    }

    /// Works on a record that was read until it is decided.
    ///
    /// # Cancel safety
    /// Safe: both objects, one or none are stored, each of them whole.
    pub(crate) async fn decide(&self, record: &RecordIdentity, read: Result<Task, RecordError>) -> Decision {
        let (id, vetted) = match read {
            // Its texts are those of the vetted one.
            Ok(task) => (task.correlation_id, task.vet().map(Box::new)),
            Err(error) => return Decision::DeadLetter(error),
        };
        let (outcome, end) = match vetted {
            Ok(vetted) => self.attempts(record, &vetted).await,
            Err(error) => self.give_up(id, 1, &error.into()),
        };
        Decision::Outcome(outcome, end)
    }

    /// As many attempts as it takes.
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
        loop {
            let fetch = Box::pin(self.fetcher.fetch(&task.url));
            let source = self.staged(Stage::Fetch, spans::fetch_span(&task.url), fetch).await?;
            if let Some(picture) = Box::pin(self.keep(record, task, source, &mut unusable)).await? {
                return Ok(picture);
            }
        }
    }

    /// What follows the fetch, up to both stored objects. `None`: the origin must be asked once more, since the original that
    /// is stored is `unusable`.
    async fn keep(
        &self,
        record: &RecordIdentity,
        task: &VettedTask,
        source: Source,
        unusable: &mut Option<Box<Original>>,
    ) -> Result<Option<Picture>, Failure> {
        let thumbnail = Box::pin(self.thumbnail(&source)).await?;
        let original = Object {
            bytes: source.bytes(),
            sha256: source.sha256(),
            content_type: thumbnail.source_content_type,
            source_sha256: source.sha256(),
        };
        let key = &task.original_key;
        let put = || self.store.put_original(key, original, record, unusable.as_deref());
        let (source, thumbnail) = match Box::pin(self.put(spans::Object::Original, key, put)).await? {
            Claim::Stored => (source, thumbnail),
            Claim::Replaced => {
                self.metrics.original_found("replaced");
                (source, thumbnail)
            }
            Claim::Decided(stored) => {
                let fetched_sha256 = *source.sha256();
                // Its bytes are given back before those of the stored original are reserved.
                drop(source);
                let Some(pair) = Box::pin(self.reuse(key, &stored, fetched_sha256, thumbnail)).await? else {
                    // One that was unusable before and is so again in another version has somebody behind it.
                    return match unusable.replace(Box::new(stored)) {
                        Some(_) => Err(StoreError::Contested.into()),
                        None => Ok(None),
                    };
                };
                self.metrics.original_found("reused");
                pair
            }
        };
        let made = Object {
            bytes: &thumbnail.bytes,
            sha256: &thumbnail.sha256,
            content_type: thumbnail.content_type,
            source_sha256: source.sha256(),
        };
        let key = &task.thumbnail_key;
        Box::pin(self.put(spans::Object::Thumbnail, key, || self.store.put(key, made))).await?;
        Ok(Some(picture(&source, &thumbnail)))
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
    pub(super) async fn staged<T, E: Classified>(
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
    pub(super) async fn waits<T, E: Classified>(
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
