//! The object store in a container: MinIO, or another S3 server in its place.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, anyhow};

use super::container::{Container, free_ports};
use super::http::{ask, client};
use super::images::Images;
use super::run::Run;
use super::spec::Spec;
use crate::expect::{PATIENCE, eventually};

/// The store's credentials, for whoever needs them.
pub const STORE_ACCESS: &str = "e2e-access";
/// See [`STORE_ACCESS`].
pub const STORE_SECRET: &str = "e2e-secret";
/// Its region. Not `us-east-1`: the test's client names the region where it makes a bucket, and of all regions S3 takes only
/// that one for an error there.
pub const STORE_REGION: &str = "eu-central-1";
/// Where both images keep objects.
const DATA: &str = "/data";
/// Names the store that every test without a choice of its own runs on.
const CHOICE: &str = "E2E_STORE";

/// Which S3 server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// MinIO, as in the demo.
    Minio,
    /// versitygw, which keeps objects as files.
    Versitygw,
}

impl StoreKind {
    /// The user's choice: `E2E_STORE=minio` or `versitygw`; MinIO if there is none.
    ///
    /// # Errors
    /// It is no known store.
    pub fn chosen() -> anyhow::Result<StoreKind> {
        let choice = std::env::var(CHOICE).unwrap_or_default();
        StoreKind::of(&choice).ok_or_else(|| anyhow!("{CHOICE}={choice} is neither minio nor versitygw"))
    }

    fn of(choice: &str) -> Option<StoreKind> {
        match choice {
            "" | "minio" => Some(StoreKind::Minio),
            "versitygw" => Some(StoreKind::Versitygw),
            _ => None,
        }
    }

    /// Where a running one answers with 200.
    pub fn health_path(self) -> &'static str {
        match self {
            StoreKind::Minio => "/minio/health/ready",
            StoreKind::Versitygw => "/health",
        }
    }

    /// The port it listens on.
    pub fn port(self) -> u16 {
        match self {
            StoreKind::Minio => 9000,
            StoreKind::Versitygw => 7070,
        }
    }

    fn spec(self, images: &Images, disk: Disk) -> Spec {
        let (image, command, settings): (_, &[&str], &[(&str, &str)]) = match self {
            StoreKind::Minio => (
                &images.minio,
                &["server", DATA],
                &[
                    ("MINIO_ROOT_USER", STORE_ACCESS),
                    ("MINIO_ROOT_PASSWORD", STORE_SECRET),
                    ("MINIO_BROWSER", "off"),
                    ("MINIO_SITE_REGION", STORE_REGION),
                    ("GOMEMLIMIT", "384MiB"),
                ],
            ),
            StoreKind::Versitygw => (
                &images.versitygw,
                &["--health", "/health", "posix", DATA],
                &[
                    ("ROOT_ACCESS_KEY", STORE_ACCESS),
                    ("ROOT_SECRET_KEY", STORE_SECRET),
                    ("VGW_REGION", STORE_REGION),
                    ("GOMEMLIMIT", "384MiB"),
                ],
            ),
        };
        Spec {
            image: image.clone(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            environment: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            memory_mib: 512,
            tmpfs: [("/tmp", "mode=1777")].into_iter().chain(disk.in_memory()).collect(),
            ..Spec::default()
        }
    }
}

/// What a store keeps its objects on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// A volume of the engine's.
    Volume,
    /// A few MiB of memory, which can be filled without harm to this machine. They are gone when the store ends.
    Small,
}

impl Disk {
    fn in_memory(self) -> Option<(&'static str, &'static str)> {
        (self == Disk::Small).then_some((DATA, "uid=1000,gid=1000,mode=0755,size=64m"))
    }
}

/// A store. Its container is the run's, or a sandbox's.
#[derive(Debug)]
pub struct Store {
    /// The server.
    pub container: Container,
    /// Which one it is.
    pub kind: StoreKind,
    /// What it keeps its objects on.
    pub disk: Disk,
    host_port: u16,
}

impl Store {
    /// Starts the store called `name` in `run`, and waits until it answers.
    ///
    /// # Errors
    /// The container can't be started, or doesn't answer.
    pub async fn start(run: &Run, images: &Images, name: &str, kind: StoreKind, disk: Disk) -> anyhow::Result<Store> {
        let [host_port] = free_ports().context("find a free port")?;
        let name = format!("e2e-{}-{name}", run.id);
        let spec = Spec { name, ports: vec![(kind.port(), host_port)], ..kind.spec(images, disk) };
        let store = Store { container: Container::start(run, spec).await?, kind, disk, host_port };
        store.answers().await?;
        Ok(store)
    }

    /// Starts it again after its end, and waits until it answers. It still has what it had.
    ///
    /// # Panics
    /// It does not answer.
    pub async fn start_again(&self) {
        self.container.start_again().await;
        self.answers().await.unwrap_or_else(|error| panic!("the store does not answer again: {error:#}"));
    }

    /// Asked at the published address: testcontainers' own wait would go by the bridge's gateway on a machine that looks
    /// like a container, and nothing is published there.
    async fn answers(&self) -> anyhow::Result<()> {
        let url = format!("{}{}", self.endpoint(), self.kind.health_path());
        let ready = eventually("the store is ready", PATIENCE, async || match ask(client().get(&url)).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("{url} answers {}", answer.status)),
            Err(error) => Err(format!("{url}: {error:#}")),
        });
        Ok(ready.evidence("its log", || self.container.logs()).or_error().await?)
    }

    /// Its endpoint for this process.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Its address for this process.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.host_port))
    }

    /// Its endpoint for the run's containers.
    pub fn endpoint_inside(&self) -> String {
        format!("http://{}:{}", self.container.name(), self.kind.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_store_is_refused() {
        assert_eq!(StoreKind::of(""), Some(StoreKind::Minio));
        assert_eq!(StoreKind::of("versitygw"), Some(StoreKind::Versitygw));
        assert_eq!(StoreKind::of("minnio"), None);
    }
}
