//! Downloaders of one group that come and go, each reached by ways of its own, so that a fault meets one of them alone.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::downloader::Downloader;
use crate::expect::{PATIENCE, eventually};
use crate::kafka::Protocol;
use crate::sandbox::Sandbox;

/// Records that a member works on at once: few, so that a bound on reruns says something.
pub const PARALLEL: usize = 16;
/// What a member may take for its drain.
pub const DRAIN: Duration = Duration::from_secs(10);

/// The members, by their number.
pub struct Fleet<'a> {
    sandbox: &'a Sandbox,
    protocol: Protocol,
    members: Vec<Downloader>,
}

impl<'a> Fleet<'a> {
    /// Starts so many members, and waits until each has partitions of its own and is ready: what runs while they are shared
    /// out may run twice.
    ///
    /// # Panics
    /// One can't be started, gets none, or doesn't get ready.
    pub async fn start(sandbox: &'a Sandbox, protocol: Protocol, members: usize) -> Fleet<'a> {
        let mut fleet = Fleet { sandbox, protocol, members: Vec::new() };
        for _ in 0..members {
            fleet.members.push(fleet.one().await);
        }
        eventually(format!("{members} members share the partitions"), PATIENCE, async || {
            let owners = sandbox.ledger().owners();
            let distinct: BTreeSet<_> = owners.values().collect();
            if distinct.len() == members { Ok(()) } else { Err(format!("{owners:x?}")) }
        })
        .await;
        for member in &fleet.members {
            member.wait_ready().await;
        }
        fleet
    }

    /// What they work in.
    pub fn sandbox(&self) -> &'a Sandbox {
        self.sandbox
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// The member with this number, counted round and round.
    pub fn member(&self, number: usize) -> &Downloader {
        &self.members[number % self.members.len()]
    }

    /// Another one takes its place, and is a member when this returns.
    ///
    /// # Panics
    /// It can't be started, or doesn't get ready.
    pub async fn replace(&mut self, number: usize) {
        let at = number % self.members.len();
        self.members[at] = self.one().await;
        self.members[at].wait_ready().await;
    }

    async fn one(&self) -> Downloader {
        let builder = self.sandbox.downloader().protocol(self.protocol).by_link().by_store_proxy();
        let builder = builder.setting("PARALLEL_OPERATIONS", PARALLEL.to_string());
        let builder = builder.setting("FETCH_PER_HOST_MAX", PARALLEL.to_string());
        builder.setting("DRAIN_TIMEOUT", format!("{}s", DRAIN.as_secs())).start().await
    }
}
