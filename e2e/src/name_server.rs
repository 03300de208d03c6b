//! The hostile name server of a sandbox (`bin/name_server.rs`): a name says itself what it is answered.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use testcontainers::core::WaitFor;

use crate::containers::container::Container;
use crate::containers::spec::Spec;
use crate::sandbox::Sandbox;

/// Where the image with failpoints has it.
const PROGRAM: &str = "/usr/local/bin/name-server";

/// One answer to a name.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    Nothing,
    /// None.
    Silence,
}

impl Answer {
    /// One address.
    pub fn address(address: impl Into<IpAddr>) -> Answer {
        Answer::Addresses(vec![address.into()])
    }

    fn label(&self) -> String {
        let digits = |address: &IpAddr| match address {
            IpAddr::V4(address) => format!("{:08x}", address.to_bits()),
            IpAddr::V6(address) => format!("{:032x}", address.to_bits()),
        };
        match self {
            Answer::Addresses(addresses) => addresses.iter().map(digits).collect::<Vec<_>>().join("-"),
            Answer::Nothing => "nothing".to_owned(),
            Answer::Silence => "silence".to_owned(),
        }
    }
}

/// A running name server.
pub struct NameServer {
    container: Container,
    address: IpAddr,
    names: AtomicU64,
}

impl NameServer {
    pub(crate) async fn start(sandbox: &Sandbox) -> NameServer {
        let spec = Spec {
            name: sandbox.container_name("name-server"),
            image: sandbox.stack().images.failpoints.clone(),
            entrypoint: Some(PROGRAM.to_owned()),
            memory_mib: 16,
            ready: vec![WaitFor::message_on_stdout("answering")],
            ..Spec::default()
        };
        let container = sandbox.start_container(spec).await;
        let address = container.address().await;
        NameServer { container, address, names: AtomicU64::new(1) }
    }

    /// Where it listens, for containers of the run.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// A name that nobody has asked for. Each question for it gets the next of `answers`, and then the last one for ever.
    pub fn name(&self, answers: &[Answer]) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let labels = answers.iter().map(Answer::label).collect::<Vec<_>>().join(".");
        format!("{labels}.n{number}.test")
    }

    /// What it was asked and what it said.
    pub async fn log(&self) -> String {
        self.container.logs().await
    }
}
