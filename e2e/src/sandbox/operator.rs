//! What operators, their tools and retention do to topics, groups and disks.

use super::{PARTITIONS, Sandbox, topics};
use crate::containers::store::Disk;
use crate::kafka::GroupCommit;
use crate::ledger::Place;

/// What fills a store's disk.
const FILLER: &str = "/data/filler";

impl Sandbox {
    /// Deletes everything below `place` from its partition, as retention does; nobody has to finish it any more.
    ///
    /// # Panics
    /// The broker refuses.
    pub async fn delete_below(&self, place: Place) {
        let deleted = topics::delete_below(&self.kafka, place).await;
        deleted.unwrap_or_else(|error| panic!("delete the records below {place}: {error:#}"));
        self.faults.moment(format!("records below {place} deleted, as by retention"));
        self.ledger.deleted_below(place);
    }

    /// Deletes the topic of tasks and makes one of the same name; what was not finished never has to be.
    ///
    /// # Panics
    /// The broker refuses.
    pub async fn recreate_topic(&self) {
        let deleted = topics::delete_tasks(&self.kafka).await;
        deleted.unwrap_or_else(|error| panic!("delete the topic of tasks: {error:#}"));
        self.ledger.topic_deleted();
        self.faults.moment("the topic of tasks deleted and made again");
        let made = topics::create_tasks(&self.kafka).await;
        made.unwrap_or_else(|error| panic!("make the topic of tasks again: {error:#}"));
    }

    /// Waits until the broker leads the topic of tasks again, after it stood still, and goes on to.
    ///
    /// # Panics
    /// It doesn't.
    pub async fn led_for_good(&self) {
        let led = topics::led_for_good(&self.kafka, PARTITIONS).await;
        led.unwrap_or_else(|error| panic!("wait for the broker: {error:#}"));
    }

    /// From about now on the broker refuses what is written to `topic`, as too large.
    ///
    /// # Panics
    /// The broker doesn't take the setting.
    pub async fn refuse_writes(&self, topic: &str) {
        let refused = topics::refuse_writes(&self.kafka, topic).await;
        refused.unwrap_or_else(|error| panic!("let {topic} not be written to: {error:#}"));
    }

    /// From about now on the broker takes what is written to `topic`, which it refused.
    ///
    /// # Panics
    /// The broker doesn't take the setting.
    pub async fn take_writes(&self, topic: &str) {
        let taken = topics::take_writes(&self.kafka, topic).await;
        taken.unwrap_or_else(|error| panic!("let {topic} be written to: {error:#}"));
    }

    /// Fills the store's disk with a file of somebody else's, to the last byte.
    ///
    /// # Panics
    /// It is not the small disk of a store of the sandbox's own, or does not get full.
    pub async fn fill_store(&self) {
        let store = &self.stack.store;
        assert_eq!(store.disk, Disk::Small, "no other disk may be filled");
        let target = format!("of={FILLER}");
        let code = store.container.execute(&["dd", "if=/dev/zero", &target, "bs=4k"]).await;
        assert_eq!(code, 1, "dd ends with an error where there is no room");
        self.faults.moment("the store's disk is full");
    }

    /// Removes what [`Sandbox::fill_store`] has written.
    ///
    /// # Panics
    /// It can't be removed.
    pub async fn empty_store(&self) {
        assert_eq!(self.stack.store.container.execute(&["rm", FILLER]).await, 0);
        self.faults.moment("the store's disk has room again");
    }

    /// Commits for the group as a tool would, with nobody to blame for what it says. Brokers take it while the group has no
    /// members.
    ///
    /// # Panics
    /// The broker refuses.
    pub async fn commit(&self, commit: GroupCommit) {
        self.ledger.commits_itself(commit.clone());
        self.faults.moment(format!("a tool commits {} of partition {}", commit.offset, commit.partition));
        self.kafka.commit(commit).await.unwrap_or_else(|error| panic!("commit for the group: {error:#}"));
    }
}
