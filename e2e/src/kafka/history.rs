//! What Kafka keeps of a group: every commit that was ever made, in the topic `__consumer_offsets`, and not only the last.

use anyhow::{Context as _, bail, ensure};
use downloader::progress::{Distrust, LogId, Note, Place as CommitPlace};
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::{ANSWER_PATIENCE, Names, partitions};

/// Kafka's own topic of commits.
pub(super) const TOPIC: &str = "__consumer_offsets";

/// One commit of one partition of the topic of tasks, as the broker wrote it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// The partition.
    pub partition: i32,
    /// The next offset; none: the group's offset was removed.
    pub next_offset: Option<i64>,
    /// The text beside it.
    pub metadata: Vec<u8>,
    /// What the text says, as a successor would read it.
    pub note: Result<Option<Note>, Distrust>,
    /// When the broker wrote it down, in Unix milliseconds.
    pub at_ms: i64,
}

impl CommitRecord {
    /// Which process made it, where it says so.
    pub fn run_id(&self) -> Option<u64> {
        self.note.as_ref().ok()?.as_ref().map(|note| note.run_id)
    }

    /// Which of the logs that the topic's name has stood for, where it says so.
    pub fn log_id(&self) -> Option<u64> {
        self.note.as_ref().ok()?.as_ref()?.log_id.map(|LogId(id)| id)
    }

    /// Whether its writer still owned the partition.
    pub fn is_open(&self) -> bool {
        matches!(&self.note, Ok(Some(note)) if note.open)
    }

    /// Whether it says that the record at `offset` is finished, or does not exist.
    pub fn claims(&self, offset: i64) -> bool {
        let Some(next_offset) = self.next_offset else { return false };
        if offset < next_offset {
            return true;
        }
        match &self.note {
            // A map begins at the committed offset; without one `end` says nothing.
            Ok(Some(note)) if note.unfinished.first() == Some(&next_offset) => {
                offset < note.end && note.unfinished.binary_search(&offset).is_err()
            }
            _ => false,
        }
    }
}

/// Reads a record of [`TOPIC`]. `None`: it is not a commit of this group for this topic of tasks.
///
/// # Errors
/// It is one, but written in a way that is not known here.
pub(super) fn read(
    names: &Names,
    key: &[u8],
    value: Option<&[u8]>,
    at_ms: i64,
) -> anyhow::Result<Option<CommitRecord>> {
    let mut key = Bytes(key);
    // Later versions are keys of groups and members.
    if !matches!(key.i16()?, 0 | 1) {
        return Ok(None);
    }
    let (group, topic, partition) = (key.text()?, key.text()?, key.i32()?);
    if group != names.group.as_bytes() || topic != names.tasks.as_bytes() {
        return Ok(None);
    }
    let Some(value) = value else {
        let metadata = Vec::new();
        return Ok(Some(CommitRecord { partition, next_offset: None, metadata, note: Ok(None), at_ms }));
    };
    let mut value = Bytes(value);
    let version = value.i16()?;
    let next_offset = value.i64()?;
    if version >= 3 {
        let _leader_epoch = value.i32()?;
    }
    let metadata = match version {
        0..=3 => value.text()?,
        4 => value.compact_text()?,
        _ => bail!("a commit of version {version}"),
    };
    let place = CommitPlace { group: names.group.clone(), topic: names.tasks.clone(), partition };
    let note = Note::read(metadata, &place, next_offset);
    Ok(Some(CommitRecord { partition, next_offset: Some(next_offset), metadata: metadata.to_vec(), note, at_ms }))
}

/// Where each partition of [`TOPIC`] ends now.
///
/// # Errors
/// The broker does not answer, or has not made the topic yet: it does when a group is first asked for.
pub(super) fn ends(names: &Names, client: &BaseConsumer) -> anyhow::Result<Vec<(i32, i64)>> {
    client.committed_offsets(partitions(client, &names.tasks)?, ANSWER_PATIENCE).context("ask for the group")?;
    let end = |partition| Ok((partition, client.fetch_watermarks(TOPIC, partition, ANSWER_PATIENCE)?.1));
    partitions(client, TOPIC)?.elements().iter().map(|element| end(element.partition())).collect()
}

/// What is left of a record in Kafka's encoding.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count).context("it ends early")?;
        self.0 = left;
        Ok(taken)
    }

    fn i16(&mut self) -> anyhow::Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn i32(&mut self) -> anyhow::Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn i64(&mut self) -> anyhow::Result<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }

    fn text(&mut self) -> anyhow::Result<&'a [u8]> {
        let length = self.i16()?;
        self.take(usize::try_from(length.max(0))?)
    }

    /// A length that is one too high, seven bits a byte, before the bytes.
    fn compact_text(&mut self) -> anyhow::Result<&'a [u8]> {
        let (mut length, mut shift) = (0, 0);
        loop {
            ensure!(shift < 35, "a length of more than five bytes");
            let byte = usize::from(self.take(1)?[0]);
            length |= (byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        self.take(length.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
    }

    fn key(group: &str) -> Vec<u8> {
        [&1_i16.to_be_bytes()[..], &text(group.as_bytes()), &text(b"t.urls_new"), &3_i32.to_be_bytes()].concat()
    }

    fn value(version: i16, metadata: &[u8]) -> Vec<u8> {
        let mut value = [&version.to_be_bytes()[..], &40_i64.to_be_bytes()].concat();
        if version >= 3 {
            value.extend((-1_i32).to_be_bytes());
        }
        if version == 4 {
            let length = metadata.len() + 1;
            value.extend([u8::try_from(length & 0x7f | 0x80).unwrap(), u8::try_from(length >> 7).unwrap()]);
            value.extend(metadata);
        } else {
            value.extend(text(metadata));
        }
        value.extend(1_700_000_000_000_i64.to_be_bytes());
        value
    }

    fn note() -> Note {
        let (run_id, unfinished) = (0xabc, vec![40, 43]);
        Note {
            run_id,
            open: true,
            strikes: 0,
            fence: 40,
            limit: 90,
            anchor_ms: None,
            end: 45,
            unfinished,
            log_id: None,
        }
    }

    fn written(note: &Note, offset: i64) -> Vec<u8> {
        let place = CommitPlace { group: "t.downloader".into(), topic: "t.urls_new".into(), partition: 3 };
        note.write(&place, offset, 4096, 0).unwrap().0.into_bytes()
    }

    fn read_value(value: Option<&[u8]>) -> CommitRecord {
        read(&Names::of("t"), &key("t.downloader"), value, 7).unwrap().expect("a commit of the group")
    }

    #[test]
    fn a_commit_of_each_version_names_its_writer_and_what_it_claims() {
        for version in [3, 4] {
            let commit = read_value(Some(&value(version, &written(&note(), 40))));
            assert_eq!((commit.partition, commit.next_offset, commit.at_ms), (3, Some(40), 7));
            assert_eq!((commit.run_id(), commit.is_open()), (Some(0xabc), true));
            let claimed: Vec<i64> = (38..47).filter(|offset| commit.claims(*offset)).collect();
            assert_eq!(claimed, [38, 39, 41, 42, 44], "version {version}");
        }
    }

    #[test]
    fn without_a_note_it_claims_what_is_below_it() {
        for metadata in [&b""[..], b"somebody else's"] {
            let commit = read_value(Some(&value(3, metadata)));
            assert_eq!((commit.run_id(), commit.claims(39), commit.claims(40)), (None, true, false));
        }
        let copied = read_value(Some(&value(3, &written(&note(), 41))));
        assert_eq!(copied.note, Err(Distrust::Mismatch), "bound to another offset");
    }

    #[test]
    fn a_removed_offset_claims_nothing() {
        let commit = read_value(None);
        assert_eq!((commit.next_offset, commit.claims(0)), (None, false));
    }

    #[test]
    fn what_is_not_a_commit_of_the_group_is_passed_over() {
        assert_eq!(read(&Names::of("t"), &key("another"), Some(&value(3, b"")), 7).unwrap(), None);
        assert_eq!(read(&Names::of("t"), &2_i16.to_be_bytes(), Some(b"a member"), 7).unwrap(), None);
    }

    #[test]
    fn a_commit_that_is_not_understood_is_an_error() {
        let names = Names::of("t");
        read(&names, &key("t.downloader"), Some(&value(9, b"")), 7).unwrap_err();
        read(&names, &key("t.downloader"), Some(&value(3, b"")[..9]), 7).unwrap_err();
    }
}
