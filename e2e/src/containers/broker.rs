//! Kafka in a container, and the proxy before it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use testcontainers::core::WaitFor;

use super::container::{Container, free_ports};
use super::engine::on_engine;
use super::images::Images;
use super::run::Run;
use super::spec::Spec;
use crate::expect::{PATIENCE, eventually};
use crate::proxy::Proxy;

/// Kafka's listener for the run's containers.
pub const KAFKA_PORT: u16 = 19092;
/// Kafka's listener for this machine.
const KAFKA_HOST_LISTENER: u16 = 9092;
/// Kafka's listener for whoever comes by way of the proxy.
const KAFKA_LINK_LISTENER: u16 = 29092;
/// What the proxy is called by those who come by it.
pub(crate) const KAFKA_LINK_HOST: &str = "kafka-link";

/// A broker. Its container is the run's, or a sandbox's.
#[derive(Debug)]
pub struct Broker {
    /// The broker.
    pub container: Container,
    /// The way to it that a test can break.
    pub proxy: Proxy,
    host_port: u16,
}

impl Broker {
    /// Starts the broker called `name` in `run`, with `settings` besides those that every one has.
    ///
    /// # Errors
    /// The container can't be started, or the proxy can't listen.
    pub async fn start(run: &Run, images: &Images, name: &str, settings: &[(&str, &str)]) -> anyhow::Result<Broker> {
        let [host, link] = free_ports().context("find free ports")?;
        let (listen, upstream) = (SocketAddr::new(run.gateway, 0), SocketAddr::from((Ipv4Addr::LOCALHOST, link)));
        // In the runtime that lives as long as the process: each test has one of its own.
        let proxy = on_engine(async move { Proxy::start(listen, upstream).await }).await?;
        let ports = Ports { host, link, proxy: proxy.address().port() };
        let mut spec = spec(run, images, name, ports);
        let more = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        spec.environment.extend(more);
        Ok(Broker { container: Container::start(run, spec).await?, proxy, host_port: host })
    }

    /// Starts it again after its end, and waits until it answers. It still has what it had.
    ///
    /// # Panics
    /// It does not answer.
    pub async fn start_again(&self) {
        self.container.start_again().await;
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .create()
            .unwrap_or_else(|error| panic!("make a client of Kafka: {error}"));
        let client = Arc::new(client);
        eventually("the broker answers again", 2 * PATIENCE, async || {
            let client = client.clone();
            let asked = move || client.fetch_metadata(None, Duration::from_secs(2)).map(drop);
            let answered = tokio::task::spawn_blocking(asked).await.map_err(|error| error.to_string())?;
            answered.map_err(|error| error.to_string())
        })
        .evidence("its log", || self.container.logs())
        .await;
    }

    /// Bootstrap servers for this process.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.host_port)
    }

    /// Bootstrap servers for the run's containers.
    pub fn bootstrap_inside(&self) -> String {
        format!("{}:{KAFKA_PORT}", self.container.name())
    }

    /// Bootstrap servers for a container of the run that comes by way of the proxy.
    pub fn bootstrap_by_link(&self) -> String {
        format!("{KAFKA_LINK_HOST}:{}", self.proxy.address().port())
    }
}

/// Ports of this machine that lead to Kafka.
#[derive(Clone, Copy)]
struct Ports {
    /// For this machine's programs.
    host: u16,
    /// For the proxy.
    link: u16,
    /// The proxy's own, at the gateway, which is what Kafka tells clients that come by it.
    proxy: u16,
}

fn spec(run: &Run, images: &Images, name: &str, ports: Ports) -> Spec {
    let name = format!("e2e-{}-{name}", run.id);
    let advertised = format!(
        "INTERNAL://{name}:{KAFKA_PORT},HOST://127.0.0.1:{},LINK://{KAFKA_LINK_HOST}:{}",
        ports.host, ports.proxy
    );
    let listeners = format!(
        "INTERNAL://:{KAFKA_PORT},HOST://:{KAFKA_HOST_LISTENER},LINK://:{KAFKA_LINK_LISTENER},CONTROLLER://localhost:9093"
    );
    let protocols = ["INTERNAL", "HOST", "LINK", "CONTROLLER"].map(|name| format!("{name}:PLAINTEXT")).join(",");
    let settings = [
        ("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw"),
        ("KAFKA_NODE_ID", "1"),
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("KAFKA_LISTENERS", &listeners),
        ("KAFKA_ADVERTISED_LISTENERS", &advertised),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", &protocols),
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
        // A killed broker is back once its former self has lapsed, after 9 s by default. With 2 s a busy machine was seen to fence
        // a healthy one, of which clients know nothing good to say.
        ("KAFKA_BROKER_SESSION_TIMEOUT_MS", "6000"),
        ("KAFKA_BROKER_HEARTBEAT_INTERVAL_MS", "500"),
        // Saves 130 MB: the buffer for compacting topics, of which there is only Kafka's own.
        ("KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE", "2097152"),
        ("KAFKA_HEAP_OPTS", "-Xmx256m -Xms64m"),
        ("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"),
    ];
    Spec {
        name,
        image: images.kafka.clone(),
        environment: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        memory_mib: 640,
        tmpfs: vec![
            ("/tmp", "mode=1777"),
            ("/opt/kafka/config", "uid=1000,gid=1000"),
            ("/opt/kafka/logs", "uid=1000,gid=1000"),
        ],
        ports: vec![(KAFKA_HOST_LISTENER, ports.host), (KAFKA_LINK_LISTENER, ports.link)],
        ready: vec![WaitFor::message_on_stdout("Kafka Server started")],
        ..Spec::default()
    }
}
