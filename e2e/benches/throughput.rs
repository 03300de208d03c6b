//! Records per second through the real consumer and producer (poll thread, intake, commit thread, acknowledged outcomes),
//! with the work between them replaced by a sleep, beside two peers in the same run, in turn. Nothing is asserted.
//!
//! * bare: an rdkafka loop as one would write it: receive, spawn, sleep, acknowledged send of the same outcome without
//!   headers, and once a second a commit of the lowest unfinished offset. It forgets what is finished above that.
//! * 2020: one consumer for each parallel task: receive, sleep, acknowledged send, commit. Each has its partition without
//!   joining a group, which flatters it. A consumer has threads and connections of its own, so it is run with 100.
//!
//! The broker is librdkafka's mock cluster in a process of its own. The clock runs from the first record received to the
//! last outcome acknowledged.
//!
//! `cargo bench --workspace --bench throughput [-- --quick] [--work MS] [--cap N]`

#[path = "throughput/peers.rs"]
mod peers;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use downloader::config::Settings;
use downloader::dispatch::Dispatch;
use downloader::kafka::{Consumer, Delivery, Producer};
use downloader::observe::health::Health;
use downloader::observe::metrics::Metrics;
use downloader::task::{Outcome, Picture, Task};
use e2e::embedded::Broker;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::Span;

use peers::{bare, singles};

const PARTITIONS: i32 = 12;
/// Consumers of the form of 2020.
const CONSUMERS: i32 = 100;
const HOSTS: usize = 97;
const TASKS: &str = "urls_new";
const SINGLES: &str = "singles";
const OUTCOMES: &str = "urls_done";
/// Set in the process that is the broker.
const AS_BROKER: &str = "BENCH_AS_BROKER";
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> anyhow::Result<()> {
    if std::env::var_os(AS_BROKER).is_some() {
        return be_broker();
    }
    let arguments: Vec<String> = std::env::args().collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<usize>().ok()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    // A task of the runtime, as the downloader is one: for both loops.
    let (work, cap) = (number("--work"), number("--cap"));
    runtime.block_on(async move { tokio::spawn(all(quick, work, cap)).await? })
}

/// Serves until the parent is gone.
fn be_broker() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    broker.create_topic(TASKS, PARTITIONS)?;
    broker.create_topic(OUTCOMES, PARTITIONS)?;
    broker.create_topic(SINGLES, CONSUMERS)?;
    println!("{}", broker.bootstrap_servers());
    std::io::stdout().flush().context("say where")?;
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}

/// The broker's process; it ends with this value.
struct Elsewhere(Child, String);

impl Elsewhere {
    fn start() -> anyhow::Result<Elsewhere> {
        let mut process = Command::new(std::env::current_exe()?)
            .env(AS_BROKER, "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the broker's process")?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().context("read its output")?).read_line(&mut address)?;
        Ok(Elsewhere(process, address.trim().to_owned()))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn all(quick: bool, only_work: Option<usize>, only_cap: Option<usize>) -> anyhow::Result<()> {
    let repetitions = if quick { 1 } else { 5 };
    let broker = Elsewhere::start()?;
    let most = if quick { 4_000 } else { 60_000 };
    fill(&broker.1, TASKS, PARTITIONS, most).await?;
    fill(&broker.1, SINGLES, CONSUMERS, most / 4).await?;
    println!(
        "records a second; medians of {repetitions} alternating runs; the ratio is the median of the runs' ratios\n\
         CPU: microseconds of this process a record, the broker's not included; other programs hardly change them"
    );
    println!(
        "work ms |    cap | records | downloader |   bare | downloader / bare | CPU, downloader | CPU, bare | 2020, \
         {CONSUMERS} consumers"
    );
    for work in [0, 1, 10, 100].into_iter().filter(|work| only_work.is_none_or(|only| only == *work)) {
        for cap in [100, 1_000, 10_000].into_iter().filter(|cap| only_cap.is_none_or(|only| only == *cap)) {
            // Two to three seconds, and no less than three times what runs at once.
            let by_time = (cap * 2_500).checked_div(work).unwrap_or(usize::MAX);
            let records = by_time.min(most).max(most.min(cap * 3));
            let run = Run { brokers: broker.1.clone(), work: Duration::from_millis(work as u64), cap, records };
            let mut rates: [Vec<Rate>; 3] = Default::default();
            for repetition in 0..repetitions {
                for turn in 0..2 {
                    match (repetition + turn) % 2 {
                        0 => rates[0].push(downloader(&run).await.context("the downloader")?),
                        _ => rates[1].push(bare(&run).await.context("the bare loop")?),
                    }
                }
                // Once: to start and end a hundred consumers takes longer than the work.
                if cap == CONSUMERS as usize && repetition == 0 {
                    rates[2].push(singles(&run, most / 4).await.context("one consumer a task")?);
                }
            }
            let pairs = rates[0].iter().zip(&rates[1]);
            let ratio = median(pairs.map(|(ours, bare)| ours.records_a_second / bare.records_a_second).collect());
            let cpu = |rates: &[Rate]| median(rates.iter().map(|rate| rate.cpu_micros).collect());
            let [our_cpu, bare_cpu, _] = [0, 1, 2].map(|at| cpu(&rates[at]));
            let [ours, bare, singles] =
                rates.map(|rates| median(rates.iter().map(|rate| rate.records_a_second).collect()));
            let singles = if singles.is_nan() { "-".to_owned() } else { format!("{singles:.0}") };
            println!(
                "{work:7} | {cap:6} | {records:7} | {ours:10.0} | {bare:6.0} | {ratio:17.2} | {our_cpu:15.1} | \
                 {bare_cpu:9.1} | {singles:>10}",
                work = run.work.as_millis(),
            );
        }
    }
    Ok(())
}

/// What is measured.
#[derive(Clone)]
struct Run {
    brokers: String,
    work: Duration,
    cap: usize,
    records: usize,
}

impl Run {
    fn settings(&self) -> anyhow::Result<Settings> {
        let settings = [
            ("KAFKA_BROKERS", self.brokers.clone()),
            ("KAFKA_CONSUMER_GROUP", group()),
            ("PARALLEL_OPERATIONS", self.cap.to_string()),
        ];
        let settings = settings.map(|(name, value)| (name.into(), value.into()));
        Settings::load(settings, &HashMap::new()).context("read the settings")
    }

    async fn work(&self) {
        if !self.work.is_zero() {
            tokio::time::sleep(self.work).await;
        }
    }
}

/// What came of a run.
struct Rate {
    records_a_second: f64,
    cpu_micros: f64,
}

/// Begins with the first record.
struct Clock {
    began: Instant,
    cpu: Duration,
}

impl Clock {
    fn start() -> Clock {
        Clock { began: Instant::now(), cpu: cpu_time() }
    }

    fn stop(&self, records: usize) -> Rate {
        let (spent, cpu) = (self.began.elapsed(), cpu_time().saturating_sub(self.cpu));
        let records = records as f64;
        Rate { records_a_second: records / spent.as_secs_f64(), cpu_micros: cpu.as_secs_f64() * 1e6 / records }
    }
}

/// What this process has used of all processors, in steps of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, which ends with the last bracket, may hold anything. Then follow the state and ten fields more.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn group() -> String {
    format!("group-{:016x}", fastrand::u64(..))
}

fn outcome(payload: Option<&[u8]>) -> Outcome {
    let id = Task::read(payload).map_or(0, |task| task.correlation_id);
    let picture = Picture {
        source_bytes: 100_000,
        source_sha256: "0".repeat(64),
        width: 1_000,
        height: 800,
        content_type: "image/jpeg".into(),
        thumbnail_bytes: 5_000,
        thumbnail_sha256: "0".repeat(64),
        thumbnail_width: 128,
        thumbnail_height: 102,
    };
    Outcome::ok(id, 1, picture)
}

async fn fill(brokers: &str, topic: &str, partitions: i32, records: usize) -> anyhow::Result<()> {
    let producer = sender(brokers)?;
    let mut sent = JoinSet::new();
    for id in 0..records {
        let task = Task {
            correlation_id: id as u64,
            url: format!("http://host-{}.example/pictures/{id}.jpg", id % HOSTS),
            target_path: format!("originals/{id}"),
            target_thumbnail_path: format!("thumbnails/{id}"),
        };
        let (producer, topic, payload) = (producer.clone(), topic.to_owned(), serde_json::to_vec(&task)?);
        sent.spawn(async move {
            let record = FutureRecord::<(), _>::to(&topic).payload(&payload).partition(id as i32 % partitions);
            producer.send(record, PATIENCE).await.map(|_| ()).map_err(|(error, _)| error)
        });
    }
    while let Some(sent) = sent.join_next().await {
        sent?.context("write a task")?;
    }
    Ok(())
}

/// A producer with the downloader's settings.
fn sender(brokers: &str) -> anyhow::Result<FutureProducer> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", "10000")
        .set("linger.ms", "5")
        .set("partitioner", "murmur2_random")
        .create()
        .context("make a producer")
}

async fn send(producer: &FutureProducer, payload: Option<&[u8]>) -> anyhow::Result<()> {
    let outcome = outcome(payload);
    let (key, payload) = (outcome.correlation_id.to_string(), serde_json::to_vec(&outcome)?);
    let record = FutureRecord::to(OUTCOMES).key(&key).payload(&payload);
    producer.send(record, PATIENCE).await.map_err(|(error, _)| error).context("send an outcome")?;
    Ok(())
}

/// As `service::run` does it, with a sleep for the pipeline.
async fn downloader(run: &Run) -> anyhow::Result<Rate> {
    let settings = run.settings()?;
    let producer = Producer::new(&settings, "1", Metrics::unexported())?;
    let consumer = Arc::new(Consumer::start(&settings, "1", Health::default(), Metrics::unexported())?);
    let (mut running, began) = (Dispatch::new(run.cap), OnceLock::new());
    let (finished, shared) = (Arc::new(Finished::of(run.records)), Arc::new((run.clone(), producer)));
    let rate = tokio::select! {
        panic = running.run(&consumer, |record| {
            began.get_or_init(Clock::start);
            work(shared.clone(), consumer.clone(), record, finished.clone())
        }) => return Err(panic).context("a task panicked"),
        () = finished.all.notified() => began.get().context("nothing was received")?.stop(run.records),
    };
    running.tasks().shutdown().await;
    tokio::task::spawn_blocking(move || consumer.drain(PATIENCE)).await.context("drain")?;
    Ok(rate)
}

/// How many are to be finished yet.
struct Finished {
    left: AtomicUsize,
    all: Notify,
}

impl Finished {
    fn of(records: usize) -> Finished {
        Finished { left: AtomicUsize::new(records), all: Notify::new() }
    }

    fn one(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all.notify_one();
        }
    }
}

async fn work(shared: Arc<(Run, Producer)>, consumer: Arc<Consumer>, record: Delivery, finished: Arc<Finished>) {
    let (run, producer) = &*shared;
    run.work().await;
    let outcome = outcome(record.payload.as_deref());
    let acked = producer.send(&record, &outcome, Span::none()).await.expect("the broker answers");
    consumer.complete(record, acked);
    finished.one();
}

/// NaN of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
