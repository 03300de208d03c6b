//! Outcomes out. What comes back from a send is the broker's acknowledgement, and only that can finish a record.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tokio::sync::watch;
use tracing::{Span, error, warn};

use super::headers;
use crate::config::Settings;
use crate::error::{Class, Classified, Code, Dependency};
use crate::kafka::Delivery;
use crate::observe::metrics::Metrics;
use crate::task::Outcome;

/// How long a send waits for room in the client's queue before it counts as the broker's failure.
const QUEUE_PATIENCE: Duration = Duration::from_secs(1);
const QUEUE_POLL: Duration = Duration::from_millis(20);
/// Room for most outcomes.
const OUTCOME_BYTES: usize = 512;
/// A client that delivers nothing is replaced at most this often: while the broker is away a new one helps no more.
const RENEWED_EVERY: Duration = Duration::from_secs(10);

/// Proof that the broker (all in-sync replicas) holds what finishes a record: its outcome, or, where no id can be
/// read, its dead letter. Only this module's sends make one.
#[derive(Debug)]
pub struct AckedOutcome(());

/// The broker did not acknowledge.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The topic does not exist.
    #[error("topic '{topic}' does not exist; create it, or run 'downloader setup'")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// The broker refuses a record of this size.
    #[error("the broker refuses a record of this size on '{topic}'")]
    TooLarge {
        /// The topic's name.
        topic: String,
    },
    /// Anything else; the record may or may not have been written.
    #[error("cannot send to '{topic}': {source}")]
    Failed {
        /// The topic's name.
        topic: String,
        /// The client's error.
        #[source]
        source: KafkaError,
    },
}

impl Classified for ProduceError {
    fn class(&self) -> Class {
        match self {
            ProduceError::UnknownTopic { .. } | ProduceError::TooLarge { .. } | ProduceError::Failed { .. } => {
                Class::Infrastructure(Dependency::Kafka)
            }
        }
    }

    fn code(&self) -> Code {
        match self {
            ProduceError::UnknownTopic { .. } | ProduceError::TooLarge { .. } | ProduceError::Failed { .. } => {
                Code::BrokerUnavailable
            }
        }
    }
}

type Client = FutureProducer<Watcher>;

/// Hears when the client fails for good.
struct Watcher {
    failure: watch::Sender<Option<String>>,
}

impl ClientContext for Watcher {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.failure.send_replace(Some(reason.to_owned()));
        }
    }
}

/// The client in use.
struct Current {
    client: Client,
    /// How many came before it.
    generation: u64,
    since: Instant,
}

/// The process's one producer. Clones share it.
#[derive(Clone)]
pub struct Producer {
    config: ClientConfig,
    metrics: Metrics,
    current: Arc<RwLock<Current>>,
    failure: watch::Sender<Option<String>>,
    pub(super) input_topic: String,
    pub(super) output_topic: String,
    pub(super) dead_topic: String,
    pub(super) run_id: String,
}

impl Producer {
    /// A producer; it connects when it is first used.
    ///
    /// # Errors
    /// The client refuses a property, which it names.
    pub fn new(settings: &Settings, run_id: &str, metrics: Metrics) -> anyhow::Result<Producer> {
        let (config, failure) = (super::client::producer(settings), watch::Sender::new(None));
        let current = Current { client: client(&config, &failure)?, generation: 0, since: Instant::now() };
        Ok(Producer {
            config,
            metrics,
            current: Arc::new(RwLock::new(current)),
            failure,
            input_topic: settings.kafka_input_topic.clone(),
            output_topic: settings.kafka_output_topic.clone(),
            dead_topic: settings.kafka_dead_topic.clone(),
            run_id: run_id.to_owned(),
        })
    }

    /// Makes the client again, after it has failed for good. What the old one held and did not send is dropped: nobody
    /// waits for it any more.
    ///
    /// # Errors
    /// As for [`Producer::new`].
    pub fn rebuild(&self) -> anyhow::Result<()> {
        self.replace(&mut self.current.write().unwrap_or_else(PoisonError::into_inner))?;
        self.failure.send_replace(None);
        Ok(())
    }

    fn replace(&self, current: &mut Current) -> anyhow::Result<()> {
        let new = client(&self.config, &self.failure)?;
        let generation = current.generation + 1;
        let old = std::mem::replace(current, Current { client: new, generation, since: Instant::now() }).client;
        // Its end waits for what is in flight, so it ends on a thread of its own.
        std::thread::spawn(move || {
            old.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
            drop(old);
        });
        Ok(())
    }

    /// The client of this generation did not get rid of a record in time. Either the broker is away, or the client has
    /// stopped to look for a partition's leader: it can, for good, once it has heard that there is none (librdkafka's issue
    /// 5430), as of a broker that stood still for a while. A new one looks.
    fn renew(&self, generation: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.generation != generation || current.since.elapsed() < RENEWED_EVERY {
            return;
        }
        match self.replace(&mut current) {
            Ok(()) => {
                self.metrics.client_rebuilt("undelivered");
                warn!("the Kafka producer delivered nothing in time and is made anew; what it held is sent again");
            }
            Err(error) => error!("the Kafka producer cannot be made anew: {error:#}"),
        }
    }

    /// Waits until the client fails for good, and says why.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        let cause = failure.wait_for(Option::is_some).await.ok().and_then(|cause| cause.clone());
        match cause {
            Some(cause) => cause,
            None => std::future::pending().await,
        }
    }

    /// The topic outcomes go to.
    pub fn output_topic(&self) -> &str {
        &self.output_topic
    }

    /// Publishes the outcome of a record and waits for the acknowledgement. It waits first until the lease of the record's
    /// partition runs.
    ///
    /// # Errors
    /// It was not acknowledged; it may have been written all the same, so it is sent again and readers take repeats.
    ///
    /// # Cancel safety
    /// Not cancellable: once called, the client may write the record even if the future is dropped (I7).
    pub async fn send(&self, delivery: &Delivery, outcome: &Outcome, span: Span) -> Result<AckedOutcome, ProduceError> {
        let ticket = delivery.ticket;
        let key = outcome.correlation_id.to_string();
        let mut payload = Vec::with_capacity(OUTCOME_BYTES);
        let _infallible = serde_json::to_writer(&mut payload, outcome);
        let source = headers::source(&self.input_topic, ticket, outcome.attempts.unwrap_or_default(), &self.run_id);
        let headers = headers::with_trace(source, &span, &delivery.trace());
        delivery.leased().await;
        let handed_over = self.hand_over(&self.output_topic, Some(key.as_bytes()), Some(&payload), headers).await?;
        drop((key, payload));
        self.acknowledged(&self.output_topic, handed_over).await
    }

    pub(super) async fn produce(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: OwnedHeaders,
    ) -> Result<AckedOutcome, ProduceError> {
        let handed_over = self.hand_over(topic, key, payload, headers).await?;
        self.acknowledged(topic, handed_over).await
    }

    async fn acknowledged(&self, topic: &str, handed_over: HandedOver) -> Result<AckedOutcome, ProduceError> {
        let HandedOver { acknowledgement, generation } = handed_over;
        match acknowledgement.await {
            Ok(Ok(_delivery)) => Ok(AckedOutcome(())),
            Ok(Err((error, _record))) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut) {
                    self.renew(generation);
                }
                Err(told_apart(topic, error))
            }
            // The client is gone, and so is what it held.
            Err(_canceled) => Err(told_apart(topic, KafkaError::Canceled)),
        }
    }

    /// Hands a record to the client, which copies it.
    async fn hand_over(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: OwnedHeaders,
    ) -> Result<HandedOver, ProduceError> {
        let record = FutureRecord { topic, partition: None, payload, key, timestamp: None, headers: Some(headers) };
        let (client, generation) = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            (current.client.clone(), current.generation)
        };
        let handed = match client.send_result(record) {
            Err((error, record)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                Box::pin(wait_for_room(&client, record)).await
            }
            handed => handed.map_err(|(error, _record)| error),
        };
        match handed {
            Ok(acknowledgement) => Ok(HandedOver { acknowledgement, generation }),
            Err(error) => Err(told_apart(topic, error)),
        }
    }
}

/// Tries again until there is room in the client's queue, or patience ends.
async fn wait_for_room(
    client: &Client,
    mut record: FutureRecord<'_, [u8], [u8]>,
) -> Result<DeliveryFuture, KafkaError> {
    let deadline = Instant::now() + QUEUE_PATIENCE;
    loop {
        tokio::time::sleep(QUEUE_POLL).await;
        match client.send_result(record) {
            Err((error, again))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) && Instant::now() < deadline =>
            {
                record = again;
            }
            handed => return handed.map_err(|(error, _record)| error),
        }
    }
}

/// A record that the client has. A task that waits for its acknowledgement holds nothing else of it.
struct HandedOver {
    acknowledgement: DeliveryFuture,
    /// The client's.
    generation: u64,
}

fn client(config: &ClientConfig, failure: &watch::Sender<Option<String>>) -> anyhow::Result<Client> {
    use anyhow::Context as _;
    let watcher = Watcher { failure: failure.clone() };
    config.create_with_context(watcher).context("make the Kafka producer (see KAFKA_PROPERTIES)")
}

fn told_apart(topic: &str, source: KafkaError) -> ProduceError {
    let topic = topic.to_owned();
    match source.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition,
        ) => ProduceError::UnknownTopic { topic },
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => ProduceError::TooLarge { topic },
        _ => ProduceError::Failed { topic, source },
    }
}
