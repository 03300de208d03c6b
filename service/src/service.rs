//! The running service: builds the clients, starts what the intake hands out, and drains.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Settings;
use crate::dispatch::Dispatch;
use crate::drain::{Deadlines, Ended, Exit};
use crate::error::Dependency;
use crate::flow::limits::ByteBudget;
use crate::flow::outage::Breaker;
use crate::image::Pool;
use crate::kafka::{Consumer, Delivery, Producer};
use crate::observe::health::{self, Health};
use crate::observe::metrics::{Gauges, Metrics};
use crate::pipeline::{Pipeline, Workshop};
use crate::trial::Bench;

/// How often readiness asks the store.
const STORE_CHECK_EVERY: Duration = Duration::from_secs(10);
/// A decoder that has worked on one picture for longer is stuck: the largest allowed takes a few seconds.
const DECODE_MAX: Duration = Duration::from_secs(120);
/// So many final failures of a Kafka client within this time end the process: being restarted may help, or a person.
const FAILURES_MAX: usize = 3;
const FAILURES_WITHIN: Duration = Duration::from_secs(60);

/// Runs the service until `stop` fires or something fails for good; then drains within `DRAIN_TIMEOUT`.
///
/// It does not wait for the broker or the store: it starts, says what it waits for, and goes on when they are there.
///
/// # Errors
/// It could not start: a port is taken, or a client refuses a setting.
pub async fn run(
    settings: &Settings,
    metrics: Metrics,
    run_id: &str,
    stop: CancellationToken,
) -> anyhow::Result<Ended> {
    let health = Health::default();
    let listener = tokio::net::TcpListener::bind(settings.http_listen)
        .await
        .with_context(|| format!("listen on {} (HTTP_LISTEN)", settings.http_listen))?;
    let source_budget = ByteBudget::new(settings.source_bytes_in_flight_max);
    let decode_budget = ByteBudget::new(settings.decode_bytes_max);
    let pool = Pool::new(settings, decode_budget.clone()).context("start the decoders")?;
    let workshop = Workshop::new(settings, source_budget.clone(), pool, &health, metrics.clone())?;
    let pipeline = Arc::new(Pipeline {
        workshop,
        bench: Bench::new(settings),
        producer: Producer::new(settings, run_id, metrics.clone())?,
        broker_breaker: Breaker::new(Dependency::Kafka, health.clone()),
        metrics: metrics.clone(),
        topic: settings.kafka_input_topic.clone(),
        group: settings.kafka_consumer_group.clone(),
    });
    let readings = |consumer: &Arc<Consumer>| {
        let (source_budget, decode_budget) = (source_budget.clone(), decode_budget.clone());
        Arc::new(Readings { consumer: consumer.clone(), source_budget, decode_budget })
    };
    let start = || Consumer::start(settings, run_id, health.clone(), metrics.clone()).map(Arc::new);
    let mut consumer = start()?;
    metrics.observe(readings(&consumer));

    // The page of health outlives the drain, so that its state can be watched.
    let serving = CancellationToken::new();
    tokio::spawn(health::serve(listener, health.clone(), metrics.clone(), serving.clone()));
    let _ends_with_us = serving.drop_guard();
    tokio::spawn(watch(pipeline.clone(), health.clone(), stop.clone()));

    let (mut running, mut exit) = (Dispatch::new(settings.parallel_operations), Exit::Drained);
    let mut failures = Failures::default();
    loop {
        // Not a function of its own: that would keep its arguments beside what it makes of them.
        let work = |record: Delivery| {
            let (pipeline, consumer) = (pipeline.clone(), consumer.clone());
            async move {
                if let Some(acked) = pipeline.run_task(&record).await {
                    consumer.complete(record, acked);
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            cause = client_failed(&consumer, &pipeline.producer) => {
                consumer.abandon();
                health.joined(false);
                if failures.too_many() {
                    error!(cause, "the Kafka client failed {FAILURES_MAX} times within {FAILURES_WITHIN:?}; ending");
                    exit = Exit::ClientFailed;
                    break;
                }
                warn!(cause, "the Kafka client failed; what is not finished runs again, and the clients are made anew");
                running.tasks().shutdown().await;
                metrics.client_rebuilt("failed");
                pipeline.producer.rebuild()?;
                consumer = start()?;
                metrics.observe(readings(&consumer));
            }
            panic = running.run(&consumer, work) => {
                give_up(&panic);
                exit = Exit::Failed;
                break;
            }
        }
    }
    health.draining();
    let deadlines = Deadlines::begin(settings.drain_timeout);
    let tasks = running.tasks();
    info!(tasks = tasks.len(), "nothing new starts; running tasks may finish");
    consumer.stop_starting();
    if !finish(tasks, deadlines).await {
        exit = Exit::Failed;
    }
    let exit = close(consumer, deadlines, exit).await;
    Ok(Ended { exit, deadlines })
}

async fn client_failed(consumer: &Consumer, producer: &Producer) -> String {
    tokio::select! {
        cause = consumer.failed() => cause,
        cause = producer.failed() => cause,
    }
}

/// When the clients failed for good, of late.
#[derive(Default)]
struct Failures(VecDeque<Instant>);

impl Failures {
    /// Notes one more; true: too many in too short a time.
    fn too_many(&mut self) -> bool {
        let now = Instant::now();
        self.0.retain(|at| now.duration_since(*at) < FAILURES_WITHIN);
        self.0.push_back(now);
        self.0.len() >= FAILURES_MAX
    }
}

/// Waits for running tasks up to their deadline, then gives them back unfinished. False: one of them panicked.
async fn finish(tasks: &mut JoinSet<()>, deadlines: Deadlines) -> bool {
    loop {
        match tokio::time::timeout_at(deadlines.tasks(), tasks.join_next()).await {
            Ok(None) => return true,
            Ok(Some(Ok(()))) => {}
            Ok(Some(Err(panic))) => {
                give_up(&panic);
                return false;
            }
            Err(_late) => {
                warn!(tasks = tasks.len(), "no time left; these tasks run again elsewhere");
                tasks.shutdown().await;
                return true;
            }
        }
    }
}

async fn close(consumer: Arc<Consumer>, deadlines: Deadlines, exit: Exit) -> Exit {
    let patience = deadlines.left() / 2;
    let drained = match tokio::task::spawn_blocking(move || consumer.drain(patience)).await {
        Ok(drained) => drained,
        Err(panic) => {
            give_up(&panic);
            return Exit::Failed;
        }
    };
    if drained.unclosed.is_empty() {
        info!("drained; every position is committed");
        return exit;
    }
    warn!(
        partitions = ?drained.unclosed,
        unfinished = ?drained.unfinished,
        "drained, but the last commit of these partitions was not acknowledged; finished work may run again"
    );
    if exit == Exit::Drained { Exit::Unacknowledged } else { exit }
}

fn give_up(panic: &JoinError) {
    error!(%panic, "a task panicked outside the decoder; ending, so that its record is not passed over");
}

/// Readiness asks the store itself, so that a process without work knows too; and a decoder that does not come to its
/// end is what no deadline of a task can stop.
async fn watch(pipeline: Arc<Pipeline>, health: Health, stop: CancellationToken) {
    let workshop = &pipeline.workshop;
    loop {
        // While the breaker is open its probes know better.
        if workshop.store_breaker.is_closed() {
            let result = workshop.store.check().await.map_err(|error| error.to_string());
            health.dependency(Dependency::Store, result);
        }
        health.overdue_task(workshop.pool.longest_work() > DECODE_MAX);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(STORE_CHECK_EVERY) => {}
        }
    }
}

struct Readings {
    consumer: Arc<Consumer>,
    source_budget: ByteBudget,
    decode_budget: ByteBudget,
}

impl Gauges for Readings {
    fn in_flight(&self) -> u64 {
        let sizes = self.consumer.sizes();
        count(sizes.unfinished.saturating_sub(sizes.waiting))
    }

    fn waiting(&self) -> u64 {
        count(self.consumer.sizes().waiting)
    }

    fn source_bytes_held(&self) -> u64 {
        self.source_budget.held()
    }

    fn decode_bytes_held(&self) -> u64 {
        self.decode_budget.held()
    }

    fn lag(&self) -> Option<u64> {
        self.consumer.lag()
    }

    fn oldest_unfinished_age(&self) -> Option<Duration> {
        let written = Duration::from_millis(u64::try_from(self.consumer.oldest_written_ms()?).ok()?);
        Some(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.saturating_sub(written))
    }

    fn partitions(&self) -> u64 {
        count(self.consumer.sizes().partitions)
    }

    fn partitions_paused(&self) -> u64 {
        count(self.consumer.sizes().paused)
    }

    fn partitions_unleased(&self) -> u64 {
        count(self.consumer.sizes().unleased)
    }

    fn metadata_units(&self) -> u64 {
        count(self.consumer.sizes().metadata_units.0)
    }

    fn metadata_share(&self) -> f64 {
        let (units, most) = self.consumer.sizes().metadata_units;
        ratio(units) / ratio(most.max(1))
    }

    fn strikes(&self) -> u64 {
        self.consumer.sizes().strikes.into()
    }
}

fn ratio(n: usize) -> f64 {
    u32::try_from(n).unwrap_or(u32::MAX).into()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
