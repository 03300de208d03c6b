//! What a group holds of the topic of tasks, metadata included: read, and written as a test wants it.

use anyhow::Context as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{ANSWER_PATIENCE, Kafka, partitions};

/// A group's commit of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCommit {
    /// The partition.
    pub partition: i32,
    /// The next offset.
    pub offset: i64,
    /// The text beside it.
    pub metadata: String,
}

impl Kafka {
    /// Every commit that the group holds for the topic of tasks.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn commits(&self) -> anyhow::Result<Vec<GroupCommit>> {
        self.ask_for_group(|names, client| {
            let mut list = partitions(client, &names.tasks)?;
            list.set_all_offsets(Offset::Invalid).context("ask for committed offsets")?;
            let held = client.committed_offsets(list, ANSWER_PATIENCE).context("read the group's commits")?;
            let commits = held.elements().into_iter().filter_map(|element| {
                let offset = element.offset().to_raw().filter(|offset| *offset >= 0)?;
                Some(GroupCommit { partition: element.partition(), offset, metadata: element.metadata().to_owned() })
            });
            Ok(commits.collect())
        })
        .await
    }

    /// Commits for the group, as a tool or a former owner would. Brokers take it while the group has no members.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn commit(&self, commit: GroupCommit) -> anyhow::Result<()> {
        self.say_for_group(list_of(&self.names.tasks, &commit)?).await
    }

    /// Whether the group has no members: only then does a broker take a commit from outside. This one is of the outcomes, which
    /// the downloader does not read.
    ///
    /// # Errors
    /// It has members, or the broker does not answer.
    pub async fn has_no_members(&self) -> anyhow::Result<()> {
        let outside = GroupCommit { partition: 0, offset: 0, metadata: String::new() };
        self.say_for_group(list_of(&self.names.outcomes, &outside)?).await
    }

    /// As [`Kafka::commit`], several partitions in one request.
    ///
    /// # Errors
    /// The broker refuses one of them, or the whole request; see there what it kept.
    pub async fn commit_at_once(&self, commits: &[GroupCommit]) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        for commit in commits {
            add(&mut list, &self.names.tasks, commit)?;
        }
        self.say_for_group(list).await
    }

    async fn say_for_group(&self, list: TopicPartitionList) -> anyhow::Result<()> {
        self.ask_for_group(move |_, client| client.commit(&list, CommitMode::Sync).context("commit for the group"))
            .await
    }
}

pub(super) fn list_of(topic: &str, commit: &GroupCommit) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    add(&mut list, topic, commit)?;
    Ok(list)
}

fn add(list: &mut TopicPartitionList, topic: &str, commit: &GroupCommit) -> anyhow::Result<()> {
    let mut element = list.add_partition(topic, commit.partition);
    element.set_offset(Offset::Offset(commit.offset)).context("name the offset")?;
    element.set_metadata(commit.metadata.as_str());
    Ok(())
}
