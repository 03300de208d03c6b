//! GIF: the screen, and the first frame, which can be larger than the screen.

use super::reader::Reader;
use super::{Fault, Found, Need};

/// `GIF89a`.
const SIGNATURE: usize = 6;
/// RGBA of the screen, RGBA of a frame that differs from it or of the picture multiplied by its alpha.
const BYTES_PER_PIXEL: u64 = 4 + 4;

pub(super) fn parse(source: &[u8]) -> Result<Found, Fault> {
    let mut reader = Reader::new(source);
    reader.take(SIGNATURE)?;
    let (width, height) = (reader.u16_le()?, reader.u16_le()?);
    let [flags, _background, _aspect] = reader.array()?;
    let rest = first_frame(reader, flags, (width, height));
    Ok(Found { width: width.into(), height: height.into(), need: Need::PerPixel(BYTES_PER_PIXEL), rest })
}

/// A frame larger than the screen would be decoded whole before it is cut, so it must not be.
fn first_frame(mut reader: Reader<'_>, flags: u8, (width, height): (u16, u16)) -> Result<(), Fault> {
    skip_palette(&mut reader, flags)?;
    loop {
        match reader.byte()? {
            0x21 => {
                reader.byte()?;
                skip_blocks(&mut reader)?;
            }
            0x2c => break,
            0x3b => return Err(Fault::Corrupt("it has no frame")),
            _ => return Err(Fault::Corrupt("a block is of no known kind")),
        }
    }
    let [left, top, frame_width, frame_height] =
        [reader.u16_le()?, reader.u16_le()?, reader.u16_le()?, reader.u16_le()?];
    let reaches = |start: u16, length: u16| u32::from(start) + u32::from(length);
    if reaches(left, frame_width) > u32::from(width) || reaches(top, frame_height) > u32::from(height) {
        return Err(Fault::Corrupt("the first frame does not fit the screen"));
    }
    Ok(())
}

fn skip_palette(reader: &mut Reader<'_>, flags: u8) -> Result<(), Fault> {
    if flags & 0x80 != 0 {
        reader.take(3 << ((flags & 7) + 1))?;
    }
    Ok(())
}

/// Blocks of up to 255 bytes; one of none ends them.
fn skip_blocks(reader: &mut Reader<'_>) -> Result<(), Fault> {
    loop {
        match reader.byte()? {
            0 => return Ok(()),
            length => reader.take(length.into())?,
        };
    }
}
