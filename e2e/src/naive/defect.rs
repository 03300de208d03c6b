//! The defects: what people write, what the system of 2020 did, and what tracking several records at once invites.

/// One deliberate mistake, each made at one place of the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    /// The client commits by itself what it has handed out.
    AutoCommit,
    /// Each record commits its own offset when it is done, as in 2020: a later one also speaks for an earlier that still runs.
    CommitPerRecord,
    /// A record is finished once its picture is there, before it is stored.
    CommitBeforeUpload,
    /// An outcome that could not be sent is not sent, and its record is finished.
    SendFailureSwallowed,
    /// A record whose dead letter could not be written is let go, and a later commit passes it.
    RejectedRecordPassed,
    /// A record that cannot be read is finished.
    ParseErrorSkipped,
    /// Only the offset is committed, without the map.
    MapDropped,
    /// The map names the offset after the one that is unfinished.
    MapOffByOne,
    /// The map is that of another partition, under the right name.
    MapOfAnotherPartition,
    /// What a predecessor's map calls finished is worked on again.
    MapIgnored,
    /// It never commits.
    NeverCommits,
    /// An outcome is sent twenty times.
    OutcomeSentAgain,
    /// It commits for partitions of which it was told that they are lost.
    CommitAfterLoss,
    /// It commits for partitions that it has given back.
    CommitForMovedPartition,
    /// What runs goes on when its partition is lost, and reports.
    PublishAfterLoss,
    /// Thumbnails get mixed up between tasks.
    ThumbnailOfAnotherTask,
    /// The outcome is sent before the objects are put.
    ObjectsAfterOutcome,
    /// A repeat fetches again and replaces what is stored.
    OriginFetchedAgain,
    /// An offset below the highest one seen is taken for a repeat and dropped.
    LowerOffsetIsDuplicate,
    /// A send that the broker refuses ends the task in an `Error`.
    SendFailureBecomesError,
    /// A send of which nothing is heard, and which may arrive all the same, ends the task in an `Error`.
    SendTimeoutBecomesError,
    /// A store that does not answer ends the task in an `Error`.
    StoreFailureBecomesError,
    /// What ran when the predecessor died is taken for its killer.
    InnocentCondemned,
}

impl Defect {
    /// All of them.
    pub const ALL: [Defect; 23] = [
        Defect::AutoCommit,
        Defect::CommitPerRecord,
        Defect::CommitBeforeUpload,
        Defect::SendFailureSwallowed,
        Defect::RejectedRecordPassed,
        Defect::ParseErrorSkipped,
        Defect::MapDropped,
        Defect::MapOffByOne,
        Defect::MapOfAnotherPartition,
        Defect::MapIgnored,
        Defect::NeverCommits,
        Defect::OutcomeSentAgain,
        Defect::CommitAfterLoss,
        Defect::CommitForMovedPartition,
        Defect::PublishAfterLoss,
        Defect::ThumbnailOfAnotherTask,
        Defect::ObjectsAfterOutcome,
        Defect::OriginFetchedAgain,
        Defect::LowerOffsetIsDuplicate,
        Defect::SendFailureBecomesError,
        Defect::SendTimeoutBecomesError,
        Defect::StoreFailureBecomesError,
        Defect::InnocentCondemned,
    ];
}
