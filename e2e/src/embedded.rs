//! The pipeline without containers: librdkafka's mock cluster, an S3 server and an origin in this process, and the real
//! downloader as a child process, which can be killed, or as a task.

pub mod broker;
pub mod downloader;
pub mod store;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ::downloader::task::Task;
use anyhow::Context as _;

pub use broker::Broker;
pub use downloader::{Child, InProcess};
pub use store::Store;

use crate::bucket::Bucket;
use crate::expect::{PATIENCE, eventually};
use crate::kafka::{Follower, Headers, Kafka, Names};
use crate::ledger::{Expected, Ledger, Place, Verdict};
use crate::origin::Origin;

const ANY_PORT: &str = "127.0.0.1:0";
/// Partitions of each topic: enough to see them served in turn, few enough to reason about.
pub const PARTITIONS: i32 = 3;
/// As in the downloader's default settings.
pub const THUMBNAIL_EDGE_PX: u32 = 128;

/// Everything around the downloader. What it holds ends when it is dropped.
pub struct Stack {
    /// The broker, and its faults.
    pub broker: Broker,
    /// The object store, and its faults.
    pub store: Store,
    /// Where pictures come from.
    pub origin: Origin,
    /// Writes tasks and reads offsets.
    pub kafka: Kafka,
    /// Reads objects back.
    pub bucket: Bucket,
    /// What was produced and what came of it.
    pub ledger: Ledger,
    follower: Follower,
}

impl Stack {
    /// Starts all of it, with the objects below `folder`.
    ///
    /// # Errors
    /// A part cannot be started.
    pub async fn start(folder: &Path) -> anyhow::Result<Stack> {
        let broker = Broker::start()?;
        let names = Names {
            tasks: "urls_new".into(),
            outcomes: "urls_done".into(),
            dead: "urls_dead".into(),
            group: "downloader".into(),
        };
        for topic in [&names.tasks, &names.outcomes, &names.dead] {
            broker.create_topic(topic, PARTITIONS)?;
        }
        let store = Store::start(folder).await?;
        let bucket = Bucket::open(&store.place())?;
        bucket.create().await?;
        let kafka = Kafka::connect(&broker.bootstrap_servers(), names)?;
        let ledger = Ledger::new(Some(THUMBNAIL_EDGE_PX));
        let follower = kafka.follow(&ledger).await?;
        let origin = Origin::start(any_port()).await?;
        Ok(Stack { broker, store, origin, kafka, bucket, ledger, follower })
    }

    /// Settings with which a downloader works on this stack, as environment variables.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let (names, place) = (self.kafka.names(), self.store.place());
        let mut settings = vec![
            ("KAFKA_BROKERS", self.kafka.brokers().to_owned()),
            ("KAFKA_INPUT_TOPIC", names.tasks.clone()),
            ("KAFKA_OUTPUT_TOPIC", names.outcomes.clone()),
            ("KAFKA_DEAD_TOPIC", names.dead.clone()),
            ("KAFKA_CONSUMER_GROUP", names.group.clone()),
            // A member that was killed is missed soon.
            (
                "KAFKA_PROPERTIES",
                "session.timeout.ms=3000;heartbeat.interval.ms=200;reconnect.backoff.max.ms=500".into(),
            ),
            ("COMMIT_LEASE", "2s".into()),
            ("COMMIT_INTERVAL", "100ms".into()),
            ("S3_ENDPOINT", place.endpoint),
            ("S3_REGION_NAME", place.region),
            ("S3_BUCKET_NAME", place.name),
            ("S3_ACCESS", place.access),
            ("S3_SECRET", place.secret),
        ];
        settings.extend(self.origin_settings());
        settings
    }

    /// Settings that let a downloader fetch from the origin of this stack, beside the public internet.
    pub fn origin_settings(&self) -> [(&'static str, String); 2] {
        let address = self.origin.address();
        [
            ("FETCH_ALLOW_CIDRS", format!("{}/32", address.ip())),
            ("FETCH_ALLOW_PORTS", format!("80,443,{}", address.port())),
        ]
    }

    /// Writes the task `id` for `url`, with keys of its own, and enters it into the ledger.
    ///
    /// # Errors
    /// The broker did not acknowledge it.
    pub async fn produce(&self, id: u64, url: impl Into<String>, expected: Expected) -> anyhow::Result<Place> {
        let task = Task {
            correlation_id: id,
            url: url.into(),
            target_path: format!("originals/{id}"),
            target_thumbnail_path: format!("thumbnails/{id}"),
        };
        let place = self.kafka.produce_task(&task, &Headers::new()).await?;
        self.ledger.produced_task(task, Some(place), expected);
        Ok(place)
    }

    /// Waits until every record is finished.
    ///
    /// # Panics
    /// Some are not within [`PATIENCE`]; `logs` is shown then.
    #[track_caller]
    pub fn settled<'a>(&'a self, logs: impl FnOnce() -> String + 'a) -> impl Future<Output = ()> + 'a {
        eventually("every record is finished", PATIENCE, async || self.ledger.settled())
            .evidence("downloader", || async move { logs() })
            .evidence("offsets", || async { format!("{:?}", self.kafka.offsets().await) })
            .into_future()
    }

    /// Reads back everything there is to read and judges it.
    ///
    /// # Errors
    /// A part does not answer.
    pub async fn verdict(&self, bound: Option<usize>) -> anyhow::Result<Verdict> {
        let caught_up = async || self.follower.caught_up().await.map_err(|error| format!("{error:#}"));
        eventually("every outcome is read", PATIENCE, caught_up).or_error().await.context("follow the outcomes")?;
        self.ledger.saw_requests(self.origin.request_counts());
        self.ledger.saw_offsets(self.kafka.offsets().await?);
        self.ledger.read_objects(&self.bucket).await?;
        Ok(self.ledger.verdict(bound))
    }

    /// Waits until the group has committed the end of every partition.
    ///
    /// # Panics
    /// It has not within [`PATIENCE`].
    #[track_caller]
    pub fn all_committed(&self) -> impl Future<Output = ()> + '_ {
        eventually("every partition is committed to its end", PATIENCE, async || {
            let offsets = self.kafka.offsets().await.map_err(|error| format!("{error:#}"))?;
            let open = |o: &&crate::kafka::PartitionOffsets| o.high > o.low && o.committed != Some(o.high);
            offsets.iter().find(open).map_or(Ok(()), |open| Err(format!("{open:?}")))
        })
        .into_future()
    }
}

/// A port of the loopback interface that nobody uses, outside the range from which the system takes ports for outgoing
/// connections, so that nobody will before the caller does.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    const RANGE: std::ops::Range<u16> = 20_000..32_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(start.wrapping_mul(37));
        let port = RANGE.start + step % (RANGE.end - RANGE.start);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// How long a downloader may take to join the group, on a machine that is busy.
pub(crate) const READY_PATIENCE: Duration = PATIENCE;

fn any_port() -> SocketAddr {
    ANY_PORT.parse().expect("invariant: an address")
}
