//! What all tests of a binary share: the run, Kafka and the object store. Started by the first test that asks.

use std::io::Write as _;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::broker::Broker;
use super::engine::{docker, on_engine};
use super::images::Images;
use super::run::{Run, kept, removal_command};
use super::store::{Disk, STORE_ACCESS, STORE_SECRET, Store, StoreKind};

/// Kafka and an object store of this run. Clones share them.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Labels, network and gateway.
    pub run: Run,
    /// What the containers are started from.
    pub images: Images,
    /// The broker.
    pub broker: Arc<Broker>,
    /// The object store.
    pub store: Arc<Store>,
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
        let (engine, kind) = (docker()?, StoreKind::chosen()?);
        let (run, images) = on_engine(async move {
            let images = Images::ready(&engine).await?;
            anyhow::Ok((Run::start(&engine).await?, images))
        })
        .await?;
        let (broker, store) = tokio::try_join!(
            Broker::start(&run, &images, "kafka", &[]),
            Store::start(&run, &images, "store", kind, Disk::Volume)
        )?;
        let stack = Stack { run, images, broker: Arc::new(broker), store: Arc::new(store) };
        if kept() {
            // Not by a macro: what those print is shown of failed tests alone.
            writeln!(std::io::stderr(), "{}", stack.how_to_reach_it())?;
        }
        Ok(stack)
    }

    /// The same with another broker, called `name`, which has these settings besides those that every one has.
    ///
    /// # Errors
    /// It can't be started.
    pub async fn with_broker(&self, name: &str, settings: &[(&str, &str)]) -> anyhow::Result<Stack> {
        let broker = Arc::new(Broker::start(&self.run, &self.images, name, settings).await?);
        Ok(Stack { broker, ..self.clone() })
    }

    /// The same with another store, called `name`, on a disk of its own.
    ///
    /// # Errors
    /// It can't be started.
    pub async fn with_store(&self, name: &str, kind: StoreKind, disk: Disk) -> anyhow::Result<Stack> {
        let store = Arc::new(Store::start(&self.run, &self.images, name, kind, disk).await?);
        Ok(Stack { store, ..self.clone() })
    }

    fn how_to_reach_it(&self) -> String {
        format!(
            "e2e: run {} is kept. Kafka {}, store {} ({STORE_ACCESS} / {STORE_SECRET}), network {}. To remove it:\n  {}",
            self.run.id,
            self.broker.bootstrap(),
            self.store.endpoint(),
            self.run.network,
            removal_command(&self.run.id)
        )
    }
}
