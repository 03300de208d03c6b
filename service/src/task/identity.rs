//! Which record of which log, for those who compare and don't count.

/// Names a record: a text that only `kafka/` writes and nobody takes apart. It is stored with an original, so that a
/// later attempt knows whether that is its own record's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordIdentity(pub(crate) String);

impl RecordIdentity {
    /// The text, printable ASCII without spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
