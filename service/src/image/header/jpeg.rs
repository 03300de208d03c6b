//! JPEG: the frame header, and whether the file goes on to its end.
//!
//! A file without its end marker has lost a part on the way, whatever a decoder makes of the rest.

use jpeg_shrink::Jpeg;
use memchr::memchr;

use super::reader::Reader;
use super::{Fault, Found, Need};
use crate::image::size;

/// Scans of an honest progressive file are about ten; each one more costs a pass over all coefficients.
const SCANS_MAX: u32 = 100;
/// RGB, which is what everything but grey becomes.
const BYTES_DECODED: u64 = 3;
/// Of each component's coefficient; all of them are kept unless every scan is complete in itself.
const BYTES_PER_COEFFICIENT: u64 = 2;

/// A frame header.
#[derive(Clone, Copy)]
struct Frame {
    width: u16,
    height: u16,
    components: u8,
    is_progressive: bool,
    is_subsampled: bool,
    /// Samples for each pixel, all components together, rounded up.
    samples_per_pixel: u64,
}

pub(super) fn parse(source: &[u8], edge: u32) -> Result<Found, Fault> {
    let mut reader = Reader::new(source);
    reader.take(2)?;
    let (frame, first_scan) = loop {
        match marker(&mut reader)? {
            kind @ 0xc0..=0xc2 => break (frame(segment(&mut reader)?, kind == 0xc2)?, reader),
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(Fault::Unsupported("lossless, hierarchical or arithmetic coding"));
            }
            0xd9 | 0xda => return Err(Fault::Corrupt("its data come before its frame header")),
            0x01 | 0xd0..=0xd8 => {}
            _ => drop(segment(&mut reader)?),
        }
    };
    let scans = scans(first_scan);
    let need = planes(source, frame, edge);
    let is_split = scans.as_ref().is_ok_and(|scans| scans.components_of_first < frame.components);
    let keeps_coefficients = frame.is_progressive || is_split;
    let coefficients = if keeps_coefficients { frame.samples_per_pixel * BYTES_PER_COEFFICIENT } else { 0 };
    // zune-jpeg 0.5.15 gives such pictures false colours and says nothing, or panics.
    let is_misread = is_split && frame.is_subsampled && !frame.is_progressive && need.is_none();
    let rest = if is_misread {
        Err(Fault::Unsupported("subsampled components in scans of their own"))
    } else {
        scans.map(drop)
    };
    Ok(Found {
        width: frame.width.into(),
        height: frame.height.into(),
        need: need.unwrap_or(Need::PerPixel(BYTES_DECODED + coefficients)),
        rest,
    })
}

/// What its planes take in the size that its thumbnail needs; none for a file that the general decoder is left with.
fn planes(source: &[u8], frame: Frame, edge: u32) -> Option<Need> {
    let jpeg = Jpeg::parse(source).ok()?;
    let is_same = (jpeg.width(), jpeg.height()) == (frame.width, frame.height);
    let scale = size::scale(frame.width.into(), frame.height.into(), edge);
    (is_same && jpeg.check(scale).is_ok()).then(|| Need::Planes(scale, jpeg.memory(scale)))
}

/// What follows the frame header.
struct Scans {
    components_of_first: u8,
}

/// Walks over the scans to the end marker.
fn scans(mut reader: Reader<'_>) -> Result<Scans, Fault> {
    let mut found = None;
    let mut count = 0;
    loop {
        match marker(&mut reader)? {
            0xd9 => return found.ok_or(Fault::Corrupt("it has no data")),
            0x01 | 0xd0..=0xd8 => {}
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(Fault::Corrupt("it has two frame headers"));
            }
            0xda => {
                count += 1;
                if count > SCANS_MAX {
                    return Err(Fault::Corrupt("it has more scans than any honest file"));
                }
                let components_of_first = segment(&mut reader)?.byte()?;
                found.get_or_insert(Scans { components_of_first });
            }
            _ => drop(segment(&mut reader)?),
        }
    }
}

/// The next marker, over coded data, stuffing and fill bytes.
fn marker(reader: &mut Reader<'_>) -> Result<u8, Fault> {
    loop {
        let skipped = memchr(0xff, reader.rest()).ok_or(Fault::Corrupt("it ends early"))?;
        reader.take(skipped + 1)?;
        let mut kind = 0xff;
        while kind == 0xff {
            kind = reader.byte()?;
        }
        if kind != 0 {
            return Ok(kind);
        }
    }
}

/// The content of a segment; its length counts itself.
fn segment<'a>(reader: &mut Reader<'a>) -> Result<Reader<'a>, Fault> {
    let length = reader.u16_be()?.checked_sub(2).ok_or(Fault::Corrupt("a segment has no length"))?;
    reader.take(length.into()).map(Reader::new)
}

fn frame(mut fields: Reader<'_>, is_progressive: bool) -> Result<Frame, Fault> {
    let precision = fields.byte()?;
    let (height, width) = (fields.u16_be()?, fields.u16_be()?);
    if precision != 8 {
        return Err(Fault::Unsupported("more than 8 bits a sample"));
    }
    if height == 0 {
        return Err(Fault::Unsupported("a height that is told after the data"));
    }
    let components = fields.byte()?;
    let (mut samples, mut across_max, mut down_max) = (0, 1, 1);
    for _ in 0..components {
        let [_id, sampling, _table] = fields.array()?;
        let (across, down) = (u64::from(sampling >> 4), u64::from(sampling & 0xf));
        samples += across * down;
        across_max = across_max.max(across);
        down_max = down_max.max(down);
    }
    let blocks = across_max * down_max;
    let is_subsampled = samples < blocks * u64::from(components);
    Ok(Frame { width, height, components, is_progressive, is_subsampled, samples_per_pixel: samples.div_ceil(blocks) })
}
