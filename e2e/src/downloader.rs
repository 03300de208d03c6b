//! A downloader in a container: the image that is released, confined as it is deployed, and a handle to break it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::containers::broker::KAFKA_LINK_HOST;
use crate::containers::container::Container;
use crate::containers::http::{Answer, ask, client};
use crate::containers::spec::Spec;
use crate::containers::store::{STORE_ACCESS, STORE_REGION, STORE_SECRET};
use crate::expect::{PATIENCE, eventually};
use crate::kafka::Protocol;
use crate::name_server::NameServer;
use crate::proxy::Link;
use crate::sandbox::Sandbox;
use crate::scrape;
use crate::store_proxy::StoreProxy;

/// The port of `/livez`, `/readyz` and `/metrics` inside the container.
pub const HEALTH_PORT: u16 = 8081;
const MEMORY_MIB: i64 = 256;

/// A downloader that is about to be started; see [`Sandbox::downloader`].
#[must_use = "nothing runs until it is started"]
pub struct Builder<'a> {
    sandbox: &'a Sandbox,
    settings: BTreeMap<String, String>,
    memory_mib: i64,
    by_link: bool,
    by_store_proxy: bool,
    with_failpoints: bool,
    dns: Option<IpAddr>,
}

impl<'a> Builder<'a> {
    /// Settings for `sandbox`, quick to notice a dead member, and with the test process as collector and origin.
    pub(crate) fn new(sandbox: &'a Sandbox) -> Builder<'a> {
        let (stack, names) = (sandbox.stack(), sandbox.kafka().names());
        let origin = sandbox.origin().address();
        let settings = [
            ("KAFKA_BROKERS", stack.broker.bootstrap_inside()),
            ("KAFKA_INPUT_TOPIC", names.tasks.clone()),
            ("KAFKA_OUTPUT_TOPIC", names.outcomes.clone()),
            ("KAFKA_DEAD_TOPIC", names.dead.clone()),
            ("KAFKA_CONSUMER_GROUP", names.group.clone()),
            ("KAFKA_PROPERTIES", "session.timeout.ms=6000;heartbeat.interval.ms=500".to_owned()),
            ("S3_ENDPOINT", stack.store.endpoint_inside()),
            ("S3_REGION_NAME", STORE_REGION.to_owned()),
            ("S3_BUCKET_NAME", sandbox.bucket_name().to_owned()),
            ("S3_ACCESS", STORE_ACCESS.to_owned()),
            ("S3_SECRET", STORE_SECRET.to_owned()),
            ("COMMIT_INTERVAL", "200ms".to_owned()),
            ("COMMIT_LEASE", "4s".to_owned()),
            // This machine as the container sees it, and nothing beside it.
            ("FETCH_ALLOW_CIDRS", format!("{}/32", origin.ip())),
            ("FETCH_ALLOW_PORTS", format!("80,443,{}", origin.port())),
            ("LOG_LEVEL", "info,downloader=debug".to_owned()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", sandbox.traces().endpoint()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY", "200".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
        Builder {
            sandbox,
            settings,
            memory_mib: MEMORY_MIB,
            by_link: false,
            by_store_proxy: false,
            with_failpoints: false,
            dns: None,
        }
    }

    /// Another value, or another setting.
    pub fn setting(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// Joins groups in this way. By KIP-848 the broker decides when a member is dead: after 3 s here.
    pub fn protocol(self, protocol: Protocol) -> Self {
        match protocol {
            Protocol::Classic => self,
            Protocol::Kip848 => self.setting("KAFKA_GROUP_PROTOCOL", "consumer").setting("COMMIT_LEASE", "2s"),
        }
    }

    /// Reaches Kafka by a way of its own, which the test can break: [`Downloader::link`].
    pub fn by_link(mut self) -> Self {
        self.by_link = true;
        let brokers = self.sandbox.stack().broker.bootstrap_by_link();
        self.setting("KAFKA_BROKERS", brokers)
    }

    /// Reaches the store by a way of its own, which the test can break: [`Downloader::store_proxy`].
    pub fn by_store_proxy(mut self) -> Self {
        self.by_store_proxy = true;
        self
    }

    /// From the image for tests: it holds where [`Sandbox::failpoints`] says so.
    pub fn with_failpoints(mut self) -> Self {
        self.with_failpoints = true;
        let gate = self.sandbox.failpoints().address().to_string();
        self.setting("FAILPOINT_GATE", gate)
    }

    /// Looks names up there.
    pub fn name_server(mut self, name_server: &NameServer) -> Self {
        self.dns = Some(name_server.address());
        self
    }

    /// Memory that it may use.
    pub fn memory_mib(mut self, memory_mib: i64) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Starts it. It may not have joined the group yet: [`Downloader::wait_ready`].
    ///
    /// # Panics
    /// The container can't be started.
    pub async fn start(mut self) -> Downloader {
        let stack = self.sandbox.stack();
        let store_proxy = match self.by_store_proxy {
            true => {
                let proxy = StoreProxy::start(stack.run.gateway, stack.store.address()).await;
                let proxy = proxy.unwrap_or_else(|error| panic!("{error:#}"));
                self = self.setting("S3_ENDPOINT", proxy.endpoint());
                Some(proxy)
            }
            false => None,
        };
        let images = &stack.images;
        let image = if self.with_failpoints { &images.failpoints } else { &images.downloader };
        let spec = Spec {
            name: self.sandbox.container_name("downloader"),
            image: image.clone(),
            environment: self.settings.into_iter().collect(),
            memory_mib: self.memory_mib,
            dns: self.dns,
            hosts: vec![(KAFKA_LINK_HOST.to_owned(), stack.run.gateway)],
            ports: vec![(HEALTH_PORT, 0)],
            ..Spec::default()
        };
        let container = self.sandbox.start_container(spec).await;
        if let Some(proxy) = &store_proxy {
            proxy.notes_in(self.sandbox.faults(), container.name());
        }
        let link = if self.by_link { Some(self.sandbox.link_of(&container).await) } else { None };
        Downloader { container, link, store_proxy }
    }
}

/// A downloader that was started. Dropping the handle does nothing to it; the sandbox removes it at its own end.
#[derive(Clone, Debug)]
pub struct Downloader {
    container: Container,
    link: Option<Link>,
    store_proxy: Option<StoreProxy>,
}

impl Downloader {
    /// The container, for what has no word here.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Its way to Kafka.
    ///
    /// # Panics
    /// It was not started [`Builder::by_link`].
    pub fn link(&self) -> &Link {
        self.link.as_ref().unwrap_or_else(|| panic!("{} has no link of its own", self.container.name()))
    }

    /// Its way to the store.
    ///
    /// # Panics
    /// It was not started [`Builder::by_store_proxy`].
    pub fn store_proxy(&self) -> &StoreProxy {
        let proxy = self.store_proxy.as_ref();
        proxy.unwrap_or_else(|| panic!("{} has no way to the store of its own", self.container.name()))
    }

    /// SIGKILL; returns when it is dead.
    pub async fn kill(&self) {
        self.container.kill().await;
        // What it had sent and a fault still holds dies with it.
        if let Some(link) = &self.link {
            link.end_connections();
        }
        if let Some(proxy) = &self.store_proxy {
            proxy.end_connections();
        }
    }

    /// SIGTERM; returns its exit code once it has ended.
    pub async fn terminate(&self) -> i64 {
        self.container.terminate().await
    }

    /// Stops it where it stands, as SIGSTOP does.
    pub async fn pause(&self) {
        self.container.pause().await;
    }

    /// Lets it go on after a pause.
    pub async fn resume(&self) {
        self.container.resume().await;
    }

    /// All it has logged.
    pub async fn logs(&self) -> String {
        self.container.logs().await
    }

    /// The sum of a metric over its labels, those that contain `label` alone; none: it has not been counted yet, or the process
    /// doesn't answer.
    pub async fn metric(&self, name: &str, label: &str) -> Option<f64> {
        scrape::sum(&self.ask("/metrics").await.ok()?.text(), name, &[label])
    }

    /// Waits until it has logged a line with `text`.
    ///
    /// # Panics
    /// It has not within [`PATIENCE`].
    pub async fn logs_line(&self, text: &str) {
        eventually(format!("{} logs '{text}'", self.container.name()), PATIENCE, async || {
            if self.logs().await.contains(text) { Ok(()) } else { Err("it has not".to_owned()) }
        })
        .evidence("its log", || self.logs())
        .await;
    }

    async fn ask(&self, path: &str) -> Result<Answer, String> {
        let port = self.container.host_port(HEALTH_PORT).await;
        let request = client().get(format!("http://127.0.0.1:{port}{path}"));
        ask(request).await.map_err(|error| format!("{path}: {error:#}"))
    }

    /// Waits until it has joined the group and reaches Kafka and the store.
    ///
    /// # Panics
    /// It didn't within [`PATIENCE`], or it ended: with its log.
    pub async fn wait_ready(&self) {
        eventually(format!("{} is ready", self.container.name()), PATIENCE, async || self.readiness().await)
            .evidence("its log", || self.logs())
            .await;
    }

    /// Whether it is ready now; if not, what it says.
    ///
    /// # Errors
    /// The answer of `/readyz`, or why there is none.
    pub async fn readiness(&self) -> Result<(), String> {
        if let Some(code) = self.container.exit_code().await {
            return Err(format!("it has ended with exit code {code}"));
        }
        match self.ask("/readyz").await? {
            answer if answer.status == 200 => Ok(()),
            answer => Err(format!("/readyz answers {}: {}", answer.status, answer.text().trim())),
        }
    }
}
