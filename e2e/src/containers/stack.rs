//! What all tests of a binary share: the run, Kafka and the object store. Started by the first test that asks.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context as _;
use testcontainers::core::WaitFor;
use tokio::sync::OnceCell;

use super::container::{Container, Spec};
use super::engine::{docker, on_engine};
use super::http::{ask, client};
use super::images::Images;
use super::run::{Run, kept, removal_command};
use crate::expect::{PATIENCE, eventually};

/// Kafka's listener for the run's containers.
pub const KAFKA_PORT: u16 = 19092;
/// Kafka's listener for this machine.
const KAFKA_HOST_LISTENER: u16 = 9092;
/// The store's port.
pub const STORE_PORT: u16 = 9000;
/// The store's credentials, for whoever needs them.
pub const STORE_ACCESS: &str = "e2e-access";
/// See [`STORE_ACCESS`].
pub const STORE_SECRET: &str = "e2e-secret";
/// Its region.
pub const STORE_REGION: &str = "us-east-1";

/// Kafka and the object store of this run.
#[derive(Debug)]
pub struct Stack {
    /// Labels, network and gateway.
    pub run: Run,
    /// What the containers are started from.
    pub images: Images,
    /// The broker.
    pub kafka: Container,
    /// The object store.
    pub store: Container,
    kafka_port: u16,
    store_port: u16,
}

impl Stack {
    /// The stack of this process.
    ///
    /// # Panics
    /// In one line where something is missing or stale: that is not this test's failure, but it must not pass either.
    pub async fn shared() -> &'static Stack {
        static STACK: OnceCell<Result<Stack, String>> = OnceCell::const_new();
        let start = || async { Stack::start().await.map_err(|error| format!("{error:#}")) };
        match STACK.get_or_init(start).await {
            Ok(stack) => stack,
            Err(error) => panic!("{error}"),
        }
    }

    async fn start() -> anyhow::Result<Stack> {
        let engine = docker()?;
        let (run, images) = on_engine(async move {
            let images = Images::ready(&engine).await?;
            anyhow::Ok((Run::start(&engine).await?, images))
        })
        .await?;
        let (kafka_port, store_port) = free_ports().context("find free ports")?;
        let (kafka, store) = tokio::try_join!(
            Container::start(&run, kafka(&run, &images, kafka_port)),
            Container::start(&run, store(&run, &images, store_port)),
        )?;
        let stack = Stack { run, images, kafka, store, kafka_port, store_port };
        stack.store_answers().await?;
        if kept() {
            // Not by a macro: what those print is shown of failed tests alone.
            writeln!(std::io::stderr(), "{}", stack.how_to_reach_it())?;
        }
        Ok(stack)
    }

    /// Waits for the store. Asked at the published address: testcontainers' own wait would go by the bridge's gateway on a machine that looks
    /// like a container, and nothing is published there.
    async fn store_answers(&self) -> anyhow::Result<()> {
        let url = format!("{}/minio/health/ready", self.store_endpoint());
        let ready = eventually("the store is ready", PATIENCE, async || match ask(client().get(&url)).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("{url} answers {}", answer.status)),
            Err(error) => Err(format!("{url}: {error:#}")),
        });
        Ok(ready.or_error().await?)
    }

    /// Bootstrap servers for this process.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.kafka_port)
    }

    /// Bootstrap servers for the run's containers.
    pub fn brokers_inside(&self) -> String {
        format!("{}:{KAFKA_PORT}", self.kafka.name())
    }

    /// The store's endpoint for this process.
    pub fn store_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.store_port)
    }

    /// The store's endpoint for the run's containers.
    pub fn store_endpoint_inside(&self) -> String {
        format!("http://{}:{STORE_PORT}", self.store.name())
    }

    fn how_to_reach_it(&self) -> String {
        format!(
            "e2e: run {} is kept. Kafka {}, store {} ({STORE_ACCESS} / {STORE_SECRET}), network {}. To remove it:\n  {}",
            self.run.id,
            self.brokers(),
            self.store_endpoint(),
            self.run.network,
            removal_command(&self.run.id)
        )
    }
}

/// Fixed for the whole run: a broker that is killed and started again must be where it said it was. Asked for together,
/// so that they differ.
fn free_ports() -> std::io::Result<(u16, u16)> {
    let (one, other) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

fn kafka(run: &Run, images: &Images, host_port: u16) -> Spec {
    let name = format!("e2e-{}-kafka", run.id);
    let advertised = format!("INTERNAL://{name}:{KAFKA_PORT},HOST://127.0.0.1:{host_port}");
    let listeners = format!("INTERNAL://:{KAFKA_PORT},HOST://:{KAFKA_HOST_LISTENER},CONTROLLER://localhost:9093");
    let settings = [
        ("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw"),
        ("KAFKA_NODE_ID", "1"),
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("KAFKA_LISTENERS", &listeners),
        ("KAFKA_ADVERTISED_LISTENERS", &advertised),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "INTERNAL:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("KAFKA_INTER_BROKER_LISTENER_NAME", "INTERNAL"),
        ("KAFKA_LOG_DIRS", "/var/lib/kafka/data"),
        ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
        // One broker: a single copy of everything, and few partitions of Kafka's own topics.
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "3"),
        ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
        ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
        ("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "3"),
        ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR", "1"),
        // A dead member is missed in seconds, by either protocol of groups, and nobody waits for members to gather.
        ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        ("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "500"),
        ("KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS", "500"),
        ("KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS", "3000"),
        ("KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS", "100"),
        ("KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS", "500"),
        // A killed broker is back once its former self has lapsed: after 2 s instead of 9 s.
        ("KAFKA_BROKER_SESSION_TIMEOUT_MS", "2000"),
        ("KAFKA_BROKER_HEARTBEAT_INTERVAL_MS", "400"),
        // Saves 130 MB: the buffer for compacting topics, of which there is only Kafka's own.
        ("KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE", "2097152"),
        ("KAFKA_HEAP_OPTS", "-Xmx256m -Xms64m"),
        ("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"),
    ];
    Spec {
        name,
        image: images.kafka.clone(),
        environment: owned(&settings),
        memory_mib: 640,
        tmpfs: vec![
            ("/tmp", "mode=1777"),
            ("/opt/kafka/config", "uid=1000,gid=1000"),
            ("/opt/kafka/logs", "uid=1000,gid=1000"),
        ],
        ports: vec![(KAFKA_HOST_LISTENER, host_port)],
        ready: vec![WaitFor::message_on_stdout("Kafka Server started")],
        ..Spec::default()
    }
}

fn store(run: &Run, images: &Images, host_port: u16) -> Spec {
    let settings = [
        ("MINIO_ROOT_USER", STORE_ACCESS),
        ("MINIO_ROOT_PASSWORD", STORE_SECRET),
        ("MINIO_BROWSER", "off"),
        ("GOMEMLIMIT", "384MiB"),
    ];
    Spec {
        name: format!("e2e-{}-store", run.id),
        image: images.store.clone(),
        command: vec!["server".to_owned(), "/data".to_owned()],
        environment: owned(&settings),
        memory_mib: 512,
        tmpfs: vec![("/tmp", "mode=1777")],
        ports: vec![(STORE_PORT, host_port)],
        ..Spec::default()
    }
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
