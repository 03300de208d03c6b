//! PNG: everything is in the first chunk.

use super::reader::Reader;
use super::{Fault, Found, Need};

/// Signature of the file, then length and name of the first chunk.
const BEFORE_FIELDS: usize = 8 + 4;

pub(super) fn parse(source: &[u8]) -> Result<Found, Fault> {
    let mut reader = Reader::new(source);
    reader.take(BEFORE_FIELDS)?;
    if reader.array()? != *b"IHDR" {
        return Err(Fault::Corrupt("the first chunk is not IHDR"));
    }
    let (width, height) = (reader.u32_be()?, reader.u32_be()?);
    let [depth, colour] = reader.array()?;
    // Palettes and shades of less than 8 bits are expanded. Where transparency is no channel, a chunk may add it.
    let channels = match colour {
        0 | 4 => 2,
        2 | 3 | 6 => 4,
        _ => return Err(Fault::Corrupt("its colour type does not exist")),
    };
    let decoded = channels * if depth == 16 { 2 } else { 1 };
    // A transparent picture is multiplied by its alpha before it is resized, into a copy.
    let bytes_per_pixel = decoded * 2;
    Ok(Found { width, height, need: Need::PerPixel(bytes_per_pixel), rest: Ok(()) })
}
