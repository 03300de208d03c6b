//! Kafka's numbers of the requests that tests single out.

/// A kind of request, by its number in Kafka's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Api {
    /// A record is written.
    Produce = 0,
    /// Records are read.
    Fetch = 1,
    /// A group's offset is committed.
    OffsetCommit = 8,
    /// A group's offsets are read.
    OffsetFetch = 9,
    /// A member of a classic group joins, or joins again as a rebalance wants it.
    JoinGroup = 11,
    /// A member of a classic group says that it lives.
    Heartbeat = 12,
    /// A member of a group by KIP-848 says that it lives.
    ConsumerGroupHeartbeat = 68,
}

impl Api {
    /// Its number on the wire.
    pub fn number(self) -> i16 {
        self as i16
    }
}
