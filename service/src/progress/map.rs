//! What a commit says beside its offset, as the text of the commit's metadata: which offsets above it are unfinished,
//! who wrote it, and what its quarantine stands at.
//!
//! A commit is one write at the broker, so being killed leaves the older text with the older offset. The text is bound
//! to its place: a checksum also covers group, topic, partition and offset, so that a copy elsewhere is not believed.
//!
//! `dl1` (magic and major version), a letter for the form of the text, then: length of the body, body, CRC-32. The body:
//! flags, run id (8 bytes), strikes, fence, limit, with flag 2 the timestamp of the record at the offset, with flag 4 the
//! map: its end, k, how many gaps, the gaps; then extensions (tag, length, bytes) that an older reader skips. Extension 1 is
//! the log's id.

mod bits;
mod text;

use std::fmt;

pub(super) use bits::{K_MAX, gap_bits};
use bits::{Reader, Writer};
use text::Form;

/// UTF-16 units of metadata that Kafka takes by default (`offset.metadata.max.bytes`, which counts these).
pub const METADATA_UNITS_MAX: usize = 4096;
/// A longer text is not ours, and is not even looked at.
const TEXT_BYTES_MAX: usize = 64 << 10;

const MAGIC: &str = "dl";
const MAJOR: char = '1';
const PREFIX_UNITS: usize = 4;
/// The most that everything but the gaps takes: length 3, flags 1, run id 8, eight numbers of at most 10, the log's id 10,
/// CRC 4.
const FRAME_BYTES_MAX: usize = 3 + 1 + 8 + 8 * 10 + 10 + 4;
/// Tag of the extension that holds the log's id.
const LOG_ID: u64 = 1;

const OPEN: u8 = 1;
const ANCHORED: u8 = 2;
const MAPPED: u8 = 4;

/// Where a commit is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The consumer group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// Tells a log from a later one of the same name: 64 bits made of its topic's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(pub u64);

/// The content of a commit's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which process wrote it.
    pub run_id: u64,
    /// The writer had not closed the partition: found by a successor, it ended uncleanly.
    pub open: bool,
    /// Unclean ends in a row over these records.
    pub strikes: u8,
    /// Where the suspects of these ends stop.
    pub fence: i64,
    /// Nothing at or above it has started.
    pub limit: i64,
    /// When the record at the committed offset was written, in Unix milliseconds, where that is known.
    pub anchor_ms: Option<i64>,
    /// Where the map ends: what is above is unfinished. At or below the committed offset: there is no map.
    pub end: i64,
    /// The unfinished offsets from the committed one up to `end`, ascending; the committed one is the first.
    pub unfinished: Vec<i64>,
    /// Which log all of this is about, where that is known.
    pub log_id: Option<LogId>,
}

/// Why a text is not believed. Then everything above the committed offset counts as unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distrust {
    /// Not UTF-8.
    NotText,
    /// Another program's.
    Foreign,
    /// Of a later major version.
    Newer,
    /// Cut off or damaged, or copied from another place.
    Mismatch,
    /// The topic was made anew, or the record at the committed offset is not the one the map was made above: the log is
    /// another.
    AnotherLog,
}

impl Distrust {
    /// Every cause.
    pub const ALL: [Distrust; 5] =
        [Distrust::NotText, Distrust::Foreign, Distrust::Newer, Distrust::Mismatch, Distrust::AnotherLog];

    /// One word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Distrust::NotText => "not_text",
            Distrust::Foreign => "foreign",
            Distrust::Newer => "newer",
            Distrust::Mismatch => "mismatch",
            Distrust::AnotherLog => "another_log",
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Distrust::NotText => "the metadata is not UTF-8",
            Distrust::Foreign => "the metadata is another program's",
            Distrust::Newer => "the metadata is of a later version",
            Distrust::Mismatch => "the metadata is damaged, or belongs to another offset, topic or group",
            Distrust::AnotherLog => "the metadata was written for another log of that name",
        })
    }
}

/// Bytes of gaps that surely fit into `units` of metadata, whatever else is said there.
pub(super) fn gap_bytes_max(units: usize) -> usize {
    let characters = units.saturating_sub(PREFIX_UNITS);
    Form::Wide.bytes_in(characters).saturating_sub(FRAME_BYTES_MAX)
}

impl Note {
    /// The text for a commit of `offset` at `place`, in at most `units` UTF-16 units, gaps coded with `k` or better. A map
    /// that would not fit ends earlier, which is as true and says less: see the returned end.
    ///
    /// `None`: not even a note without a map fits.
    pub fn write(&self, place: &Place, offset: i64, units: usize, k: u32) -> Option<(String, i64)> {
        let whole = self.clone();
        let whole_text = whole.text(place, offset, units, k);
        if let Some(text) = whole_text {
            return Some((text, self.end));
        }
        // The longest beginning that fits: the map of fewer offsets is never longer.
        let (mut fits, mut over) = (0, self.unfinished.len());
        while over - fits > 1 {
            let middle = fits.midpoint(over);
            match self.up_to(middle).text(place, offset, units, k) {
                Some(_) => fits = middle,
                None => over = middle,
            }
        }
        let shorter = self.up_to(fits);
        Some((shorter.text(place, offset, units, k)?, shorter.end))
    }

    /// The same with the first `count` unfinished offsets; none: no map.
    fn up_to(&self, count: usize) -> Note {
        let end = if count == 0 { None } else { self.unfinished.get(count).copied() };
        let unfinished = self.unfinished.get(..count).unwrap_or_default().to_vec();
        Note { end: end.unwrap_or(i64::MIN), unfinished, ..self.clone() }
    }

    fn text(&self, place: &Place, offset: i64, units: usize, k: u32) -> Option<String> {
        let bytes = self.bytes(place, offset, k);
        let characters = units.checked_sub(PREFIX_UNITS)?;
        let form = [Form::Base64, Form::Wide].into_iter().find(|form| form.bytes_in(characters) >= bytes.len())?;
        let mut text = format!("{MAGIC}{MAJOR}{}", form.letter());
        form.write(&bytes, &mut text);
        Some(text)
    }

    fn bytes(&self, place: &Place, offset: i64, k: u32) -> Vec<u8> {
        let mapped = self.end > offset && self.unfinished.first() == Some(&offset);
        let mut body = Writer::default();
        let flags = [(self.open, OPEN), (self.anchor_ms.is_some(), ANCHORED), (mapped, MAPPED)];
        body.raw(&[flags.into_iter().filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag)]);
        body.raw(&self.run_id.to_be_bytes());
        body.number(self.strikes.into());
        body.number(above(self.fence, offset));
        body.number(above(self.limit, offset));
        if let Some(written_ms) = self.anchor_ms {
            body.number(u64::from_ne_bytes(written_ms.to_ne_bytes()));
        }
        if mapped {
            let gaps: Vec<u64> = self
                .unfinished
                .iter()
                .zip(self.unfinished.iter().skip(1))
                .map(|(low, high)| above(*high, *low))
                .collect();
            let k = best(&gaps, k);
            body.number(above(self.end, offset));
            body.number(k.into());
            body.number(u64::try_from(gaps.len()).unwrap_or(u64::MAX));
            gaps.iter().for_each(|gap| body.gap(*gap, k));
        }
        if let Some(LogId(id)) = self.log_id {
            body.number(LOG_ID);
            body.number(8);
            body.raw(&id.to_be_bytes());
        }
        let body = body.finish();
        let mut whole = Writer::default();
        whole.number(u64::try_from(body.len()).unwrap_or(u64::MAX));
        whole.raw(&body);
        whole.raw(&checksum(place, offset, &body).to_be_bytes());
        whole.finish()
    }

    /// For the fuzzer: the note in a body of any bytes, as if its checksum were right.
    #[cfg(fuzzing)]
    pub fn fuzzed(body: &[u8], offset: i64) -> Option<Note> {
        let place = Place { group: String::new(), topic: String::new(), partition: 0 };
        let mut whole = Writer::default();
        whole.number(u64::try_from(body.len()).ok()?);
        whole.raw(body);
        whole.raw(&checksum(&place, offset, body).to_be_bytes());
        parse(&whole.finish(), &place, offset)
    }

    /// Reads the metadata of a commit of `offset` at `place`. `None`: there is none, as after a reset of the offsets.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn read(metadata: &[u8], place: &Place, offset: i64) -> Result<Option<Note>, Distrust> {
        if metadata.is_empty() {
            return Ok(None);
        }
        if metadata.len() > TEXT_BYTES_MAX {
            return Err(Distrust::Foreign);
        }
        let text = std::str::from_utf8(metadata).map_err(|_| Distrust::NotText)?;
        let text = text.strip_prefix(MAGIC).ok_or(Distrust::Foreign)?;
        let mut characters = text.chars();
        match characters.next() {
            Some(MAJOR) => {}
            Some('2'..='9') => return Err(Distrust::Newer),
            _ => return Err(Distrust::Foreign),
        }
        let form = characters.next().and_then(Form::of_letter).ok_or(Distrust::Mismatch)?;
        let bytes = form.read(characters.as_str()).ok_or(Distrust::Mismatch)?;
        parse(&bytes, place, offset).map(Some).ok_or(Distrust::Mismatch)
    }
}

fn parse(bytes: &[u8], place: &Place, offset: i64) -> Option<Note> {
    let mut whole = Reader::new(bytes);
    let length = whole.number()?;
    let body = whole.raw(usize::try_from(length).ok()?)?;
    let stated = whole.raw(4)?;
    if stated != checksum(place, offset, body).to_be_bytes() {
        return None;
    }
    let mut body = Reader::new(body);
    let &[flags] = body.raw(1)? else { return None };
    let run_id = u64::from_be_bytes(body.raw(8)?.try_into().ok()?);
    let strikes = u8::try_from(body.number()?).ok()?;
    let fence = offset.checked_add_unsigned(body.number()?)?;
    let limit = offset.checked_add_unsigned(body.number()?)?;
    let anchor_ms = match flags & ANCHORED {
        0 => None,
        _ => Some(i64::from_ne_bytes(body.number()?.to_ne_bytes())),
    };
    let (mut end, mut unfinished) = (offset, Vec::new());
    if flags & MAPPED != 0 {
        end = offset.checked_add_unsigned(body.number()?)?;
        let k = u32::try_from(body.number()?).ok().filter(|k| *k <= K_MAX)?;
        let mut last = offset;
        unfinished.push(last);
        for _ in 0..body.number()? {
            last = last.checked_add_unsigned(body.gap(k)?)?;
            unfinished.push(last);
        }
        if last >= end {
            return None;
        }
    }
    // Extensions of a later minor version are skipped, but they must be well-formed.
    let mut log_id = None;
    while body.left() > 1 {
        let tag = body.number()?;
        let length = body.number()?;
        let content = body.raw(usize::try_from(length).ok()?)?;
        if tag == LOG_ID {
            log_id = Some(LogId(u64::from_be_bytes(content.try_into().ok()?)));
        }
    }
    Some(Note { run_id, open: flags & OPEN != 0, strikes, fence, limit, anchor_ms, end, unfinished, log_id })
}

fn above(high: i64, low: i64) -> u64 {
    u64::try_from(high.saturating_sub(low)).unwrap_or(0)
}

/// The parameter that makes the shortest code: `k` or a better one next to it.
fn best(gaps: &[u64], k: u32) -> u32 {
    let cost = |k: u32| gaps.iter().map(|gap| gap_bits(*gap, k)).sum::<u64>();
    let (mut k, mut least) = (k.min(K_MAX), cost(k.min(K_MAX)));
    for step in [-1, 1] {
        while let Some(next) = k.checked_add_signed(step).filter(|next| *next <= K_MAX) {
            let bits = cost(next);
            if bits >= least {
                break;
            }
            (k, least) = (next, bits);
        }
    }
    k
}

/// CRC-32 (IEEE 802.3) over the body and the place it belongs to.
fn checksum(place: &Place, offset: i64, body: &[u8]) -> u32 {
    let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes();
    let parts: [&[u8]; 7] = [
        &length(&place.group),
        place.group.as_bytes(),
        &length(&place.topic),
        place.topic.as_bytes(),
        &place.partition.to_be_bytes(),
        &offset.to_be_bytes(),
        body,
    ];
    let mut crc = u32::MAX;
    for byte in parts.into_iter().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests;
