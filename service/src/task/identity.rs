//! Which record of which log, for those who compare and don't count.

use serde::{Deserialize, Serialize};

/// Names a record: a text that only `kafka/` writes and nobody takes apart. It is stored with an original, so that a
/// later attempt knows whether that is its own record's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordIdentity(String);

impl RecordIdentity {
    /// `topic/partition/offset/timestamp`. The timestamp, in Unix milliseconds, tells a recreated topic's records apart;
    /// it is empty where the record has none.
    pub fn of(topic: &str, partition: i32, offset: i64, written_ms: Option<i64>) -> RecordIdentity {
        let written_ms = written_ms.map_or_else(String::new, |ms| ms.to_string());
        RecordIdentity(format!("{topic}/{partition}/{offset}/{written_ms}"))
    }

    /// The text, printable ASCII without spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
