//! A downloader in a container: the image that is released, confined as it is deployed, and a handle to break it.

use std::collections::BTreeMap;

use crate::containers::container::{Container, Spec};
use crate::containers::http::{ask, client};
use crate::containers::stack::{STORE_ACCESS, STORE_REGION, STORE_SECRET};
use crate::expect::{PATIENCE, eventually};
use crate::sandbox::Sandbox;

/// The port of `/livez`, `/readyz` and `/metrics` inside the container.
pub const HEALTH_PORT: u16 = 8081;
const MEMORY_MIB: i64 = 256;

/// A downloader that is about to be started; see [`Sandbox::downloader`].
#[must_use = "nothing runs until it is started"]
pub struct Builder<'a> {
    sandbox: &'a Sandbox,
    settings: BTreeMap<String, String>,
}

impl<'a> Builder<'a> {
    /// Settings for `sandbox`, quick to notice a dead member, and with the test process as collector and origin.
    pub(crate) fn new(sandbox: &'a Sandbox) -> Builder<'a> {
        let (stack, names) = (sandbox.stack(), sandbox.kafka().names());
        let origin = sandbox.origin().address();
        let settings = [
            ("KAFKA_BROKERS", stack.brokers_inside()),
            ("KAFKA_INPUT_TOPIC", names.tasks.clone()),
            ("KAFKA_OUTPUT_TOPIC", names.outcomes.clone()),
            ("KAFKA_DEAD_TOPIC", names.dead.clone()),
            ("KAFKA_CONSUMER_GROUP", names.group.clone()),
            ("KAFKA_PROPERTIES", "session.timeout.ms=6000;heartbeat.interval.ms=500".to_owned()),
            ("S3_ENDPOINT", stack.store_endpoint_inside()),
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
        Builder { sandbox, settings: settings.map(|(name, value)| (name.to_owned(), value)).into() }
    }

    /// Another value, or another setting.
    pub fn setting(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// Joins groups by KIP-848, where the broker decides when a member is dead: after 3 s here.
    pub fn group_protocol_consumer(self) -> Self {
        self.setting("KAFKA_GROUP_PROTOCOL", "consumer").setting("COMMIT_LEASE", "2s")
    }

    /// Starts it. It may not have joined the group yet: [`Downloader::wait_ready`].
    ///
    /// # Panics
    /// The container can't be started.
    pub async fn start(self) -> Downloader {
        let spec = Spec {
            name: self.sandbox.container_name("downloader"),
            image: self.sandbox.stack().images.downloader.clone(),
            environment: self.settings.into_iter().collect(),
            memory_mib: MEMORY_MIB,
            ports: vec![(HEALTH_PORT, 0)],
            ..Spec::default()
        };
        Downloader { container: self.sandbox.start_container(spec).await }
    }
}

/// A downloader that was started. Dropping the handle does nothing to it; the sandbox removes it at its own end.
#[derive(Clone, Debug)]
pub struct Downloader {
    container: Container,
}

impl Downloader {
    /// The container, for what has no word here.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// SIGKILL; returns when it is dead.
    pub async fn kill(&self) {
        self.container.kill().await;
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
        let port = self.container.host_port(HEALTH_PORT).await;
        let request = client().get(format!("http://127.0.0.1:{port}/readyz"));
        match ask(request).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("/readyz answers {}: {}", answer.status, answer.text().trim())),
            Err(error) => Err(format!("/readyz: {error:#}")),
        }
    }
}
