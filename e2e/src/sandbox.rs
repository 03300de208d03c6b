//! One test's own world on the shared stack: topics, group, bucket, origin, trace receiver, ledger, and the containers
//! it starts.
//!
//! When the test ends the sandbox removes its containers; when it ends by a panic, or with `E2E_KEEP=1`, it first writes what
//! it knows to `target/e2e/NAME/`.

mod evidence;
mod operator;
mod place;
mod produce;
mod timeline;
mod topics;

pub use evidence::folder as evidence_folder;
pub use place::at_once;

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::bucket::{Bucket, BucketPlace};
use crate::containers::container::Container;
use crate::containers::spec::Spec;
use crate::containers::store::{Disk, STORE_ACCESS, STORE_REGION, STORE_SECRET, StoreKind};
use crate::containers::{Stack, run};
use crate::downloader::{Builder, Downloader};
use crate::expect::{PATIENCE, eventually};
use crate::failpoints::Failpoints;
use crate::fault_book::Faults;
use crate::kafka::{Follower, Kafka, Names};
use crate::ledger::{Ledger, Verdict};
use crate::management::Management;
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::proxy::Link;
use crate::traces::Traces;

/// One application of 270 MB at a time.
static MANAGEMENT: Semaphore = Semaphore::const_new(1);

/// After so long without a sign the broker takes a member for dead, by either protocol at the most.
pub const SESSION: Duration = Duration::from_secs(6);
/// Partitions of the topic of tasks: enough for several members.
pub const PARTITIONS: i32 = 4;
/// The thumbnails' longest edge, by default.
const THUMBNAIL_EDGE_PX: u32 = 128;

/// See the module.
pub struct Sandbox {
    name: String,
    stack: Stack,
    kafka: Kafka,
    bucket_place: BucketPlace,
    bucket: Bucket,
    origin: Origin,
    failpoints: Failpoints,
    traces: Traces,
    ledger: Ledger,
    faults: Faults,
    follower: Follower,
    next_id: AtomicU64,
    containers: Mutex<Vec<Container>>,
    /// Its containers' ways to Kafka.
    links: Mutex<Vec<Link>>,
    management: Mutex<Option<SemaphorePermit<'static>>>,
    began: Instant,
    _place: Arc<place::Place>,
}

impl Sandbox {
    /// A sandbox called `name`, which must differ from those of other tests: a few words with underscores.
    ///
    /// # Panics
    /// The stack can't be had, in one line that says what to do, or has refused something.
    pub async fn start(name: &str) -> Sandbox {
        Sandbox::with_partitions(name, PARTITIONS).await
    }

    /// The same with so many partitions of the topic of tasks.
    ///
    /// # Panics
    /// As [`Sandbox::start`].
    pub async fn with_partitions(name: &str, partitions: i32) -> Sandbox {
        let sandbox = Sandbox::on(Stack::shared().await.clone(), name, partitions, None).await;
        sandbox.unwrap_or_else(|error| panic!("start sandbox {name}: {error:#}"))
    }

    /// The same, but until [`Sandbox::take_writes`] the broker refuses whatever is written to one topic, of outcomes or of dead
    /// letters, as too large.
    ///
    /// # Panics
    /// As [`Sandbox::start`].
    pub async fn that_refuses_writes(name: &str, partitions: i32, refused: fn(&Names) -> &str) -> Sandbox {
        let sandbox = Sandbox::on(Stack::shared().await.clone(), name, partitions, Some(refused)).await;
        sandbox.unwrap_or_else(|error| panic!("start sandbox {name}: {error:#}"))
    }

    /// The same on a broker of its own with more settings.
    ///
    /// # Panics
    /// As [`Sandbox::start`].
    pub async fn on_a_broker_with(name: &str, partitions: i32, settings: &[(&str, &str)]) -> Sandbox {
        let _place = place::take().await;
        let start = async {
            let stack = Stack::shared().await.with_broker(&name.replace('_', "-"), settings).await?;
            let broker = stack.broker.container.clone();
            anyhow::Ok(Sandbox::on(stack, name, partitions, None).await?.owning(broker))
        };
        start.await.unwrap_or_else(|error| panic!("start sandbox {name}: {error:#}"))
    }

    /// The same on a store of its own.
    ///
    /// # Panics
    /// As [`Sandbox::start`].
    pub async fn on_store(name: &str, kind: StoreKind, disk: Disk) -> Sandbox {
        let _place = place::take().await;
        let start = async {
            let stack = Stack::shared().await.with_store(&name.replace('_', "-"), kind, disk).await?;
            let store = stack.store.container.clone();
            anyhow::Ok(Sandbox::on(stack, name, PARTITIONS, None).await?.owning(store))
        };
        start.await.unwrap_or_else(|error| panic!("start sandbox {name}: {error:#}"))
    }

    /// The container ends with the sandbox.
    fn owning(mut self, container: Container) -> Sandbox {
        container.notes_in(&self.faults);
        self.containers.get_mut().unwrap_or_else(PoisonError::into_inner).push(container);
        self
    }

    async fn on(
        stack: Stack,
        name: &str,
        partitions: i32,
        refused: Option<fn(&Names) -> &str>,
    ) -> anyhow::Result<Sandbox> {
        let place = place::take().await;
        evidence::clear(name)?;
        let kafka = Kafka::connect(&stack.broker.bootstrap(), Names::of(name))?;
        topics::create(&kafka, partitions, refused.map(|refused| refused(kafka.names())))
            .await
            .context("create the topics")?;
        let bucket_place = BucketPlace {
            endpoint: stack.store.endpoint(),
            region: STORE_REGION.to_owned(),
            name: name.replace('_', "-"),
            access: STORE_ACCESS.to_owned(),
            secret: STORE_SECRET.to_owned(),
        };
        let bucket = Bucket::open(&bucket_place)?;
        bucket.create().await?;
        let (ledger, faults) = (Ledger::new(Some(THUMBNAIL_EDGE_PX)), Faults::default());
        let origin = Origin::start(SocketAddr::new(stack.run.gateway, 0)).await?;
        let failpoints = Failpoints::start(stack.run.gateway).await?;
        origin.notes_in(&faults);
        failpoints.notes_in(&faults);
        let traces = Traces::listen(stack.run.gateway).await?;
        traces.notes_in(&faults);
        Ok(Sandbox {
            name: name.to_owned(),
            follower: kafka.follow_with_commits(&ledger).await?,
            origin,
            failpoints,
            traces,
            next_id: AtomicU64::new(1),
            containers: Mutex::default(),
            links: Mutex::default(),
            management: Mutex::default(),
            began: Instant::now(),
            _place: place,
            stack,
            kafka,
            bucket_place,
            bucket,
            ledger,
            faults,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it shares with the other tests.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The test's own clients of its topics.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// The test's own client of its bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The name of its bucket.
    pub fn bucket_name(&self) -> &str {
        &self.bucket_place.name
    }

    /// Where its bucket is.
    pub(crate) fn bucket_place(&self) -> &BucketPlace {
        &self.bucket_place
    }

    /// The server of pictures, in this process.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Where its downloaders with failpoints ask whether they may go on.
    pub fn failpoints(&self) -> &Failpoints {
        &self.failpoints
    }

    /// What its containers have reported so far.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// The book of what was produced and what came of it.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The book of what the test does to the system. Kills, pauses, cuts, holds and the like note themselves.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// A downloader to be started with settings of its own.
    pub fn downloader(&self) -> Builder<'_> {
        Builder::new(self)
    }

    /// Starts a downloader. It may not have joined the group yet: [`Downloader::wait_ready`].
    ///
    /// # Panics
    /// The container can't be started.
    pub async fn start_downloader(&self) -> Downloader {
        self.downloader().start().await
    }

    /// Starts management, ready when this returns. Waits while another test has one.
    ///
    /// # Panics
    /// The container can't be started, or doesn't get ready.
    pub async fn start_management(&self) -> Management {
        let permit = MANAGEMENT.acquire().await.expect("invariant: the semaphore is never closed");
        *self.management.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        Management::start(self).await
    }

    /// Starts a name server for [`Builder::name_server`].
    ///
    /// # Panics
    /// The container can't be started.
    pub async fn start_name_server(&self) -> NameServer {
        NameServer::start(self).await
    }

    /// Waits until every produced record is finished.
    ///
    /// # Panics
    /// One isn't within [`PATIENCE`].
    pub async fn settled(&self) {
        eventually("every record is finished", PATIENCE, async || self.ledger.settled())
            .evidence("offsets of the topic of tasks", || self.offsets_as_text())
            .await;
    }

    /// Waits until the group's commits have reached the end of the topic of tasks.
    ///
    /// # Panics
    /// They haven't within [`PATIENCE`].
    pub async fn committed(&self) {
        eventually("every offset is committed", PATIENCE, async || {
            let offsets = self.kafka.offsets().await.map_err(|error| format!("{error:#}"))?;
            let open: Vec<_> = offsets.iter().filter(|o| o.high > o.low && o.committed != Some(o.high)).collect();
            if open.is_empty() { Ok(()) } else { Err(format!("{open:?}")) }
        })
        .await;
    }

    /// Reads back whatever there is, and judges it. At most `bound` records may have been rerun or repeated.
    ///
    /// # Panics
    /// Something can't be read back.
    pub async fn verdict(&self, bound: usize) -> Verdict {
        eventually("every outcome is read", PATIENCE, async || {
            self.follower.caught_up().await.map_err(|error| format!("{error:#}"))
        })
        .await;
        self.read_back().await.unwrap_or_else(|error| panic!("read back what the pipeline left: {error:#}"));
        self.ledger.verdict(Some(bound))
    }

    /// The verdict of two sessions later: whatever somebody had still in hand has come by then.
    ///
    /// # Panics
    /// As for [`Sandbox::verdict`].
    pub async fn verdict_of_later(&self, bound: usize) -> Verdict {
        tokio::time::sleep(2 * SESSION).await;
        self.verdict(bound).await
    }

    async fn read_back(&self) -> anyhow::Result<()> {
        self.ledger.read_objects(&self.bucket).await?;
        self.ledger.saw_requests(self.origin.request_counts());
        self.ledger.saw_request_times(self.origin.request_times());
        self.ledger.saw_offsets(self.kafka.offsets().await?);
        Ok(())
    }

    async fn offsets_as_text(&self) -> String {
        match self.kafka.offsets().await {
            Ok(offsets) => offsets.iter().map(|partition| format!("{partition:?}\n")).collect(),
            Err(error) => format!("they can't be read: {error:#}"),
        }
    }

    /// A name for a container of this sandbox: at most 63 characters, since it is a host name too.
    pub(crate) fn container_name(&self, what: &str) -> String {
        let number = self.containers.lock().unwrap_or_else(PoisonError::into_inner).len() + 1;
        format!("{}{what}-{number}", self.container_prefix())
    }

    /// With what the names of its containers begin.
    fn container_prefix(&self) -> String {
        let name: String = self.name.replace('_', "-").chars().take(30).collect();
        format!("e2e-{}-{name}-", self.stack.run.id)
    }

    /// Starts a container that is removed with the sandbox.
    pub(crate) async fn start_container(&self, spec: Spec) -> Container {
        let container = Container::start(&self.stack.run, spec).await;
        let container = container.unwrap_or_else(|error| panic!("{error:#}"));
        container.notes_in(&self.faults);
        self.containers.lock().unwrap_or_else(PoisonError::into_inner).push(container.clone());
        container
    }

    /// The container's way to Kafka, until the sandbox ends.
    pub(crate) async fn link_of(&self, container: &Container) -> Link {
        let link = self.stack.broker.proxy.link(container.address().await);
        link.notes_in(&self.faults, container.name());
        self.links.lock().unwrap_or_else(PoisonError::into_inner).push(link.clone());
        link
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        evidence::note_time(&self.name, self.began.elapsed());
        let containers = std::mem::take(self.containers.get_mut().unwrap_or_else(PoisonError::into_inner));
        if std::thread::panicking() || run::kept() {
            evidence::write(self, &containers);
        }
        for link in self.links.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.stack.broker.proxy.forget(&link);
        }
        if !run::kept() {
            std::thread::scope(|scope| {
                for container in &containers {
                    scope.spawn(|| container.remove_blocking());
                }
            });
        }
    }
}
