//! WebP: a RIFF of chunks. The bitstreams inside repeat the size, and must not contradict it.

use super::reader::Reader;
use super::{Fault, Found, Need};

/// `RIFF`, a length, `WEBP`.
const SIGNATURE: usize = 12;
/// RGBA twice (canvas and frame, or picture and its product with alpha), planes of the lossy decoder and alpha.
const BYTES_PER_PIXEL: u64 = 4 + 4 + 3;
/// What stands before a frame's own chunks: its place, its size, its duration, flags.
const FRAME_PLACE: usize = 6;
const FRAME_DURATION_AND_FLAGS: usize = 4;

pub(super) fn parse(source: &[u8]) -> Result<Found, Fault> {
    let mut reader = Reader::new(source);
    reader.take(SIGNATURE)?;
    let first = reader;
    let (name, _length) = (reader.array()?, reader.u32_le()?);
    let (width, height) = match &name {
        b"VP8 " | b"VP8L" => bitstream_size(name, reader)?,
        b"VP8X" => {
            reader.take(4)?;
            (reader.u24_le()? + 1, reader.u24_le()? + 1)
        }
        _ => return Err(Fault::Corrupt("its first chunk is of no known kind")),
    };
    let rest = judge_chunks(first, (width, height));
    Ok(Found { width, height, need: Need::PerPixel(BYTES_PER_PIXEL), rest })
}

/// A chunk's name and content. Its length is even, or followed by a byte of padding, which the last one may lack.
fn chunk<'a>(reader: &mut Reader<'a>) -> Result<([u8; 4], Reader<'a>), Fault> {
    let name = reader.array()?;
    let length = reader.u32_le()?;
    let body = reader.take(reader.length(length)?)?;
    if length % 2 == 1 && !reader.is_empty() {
        reader.byte()?;
    }
    Ok((name, Reader::new(body)))
}

/// Every picture up to the end of the first frame: none is larger than the canvas, or the decoder would find out only
/// after making room for it.
fn judge_chunks(mut reader: Reader<'_>, canvas: (u32, u32)) -> Result<(), Fault> {
    while reader.rest().len() >= 8 {
        let (name, mut body) = chunk(&mut reader)?;
        match &name {
            b"VP8 " | b"VP8L" => fits(bitstream_size(name, body)?, canvas)?,
            b"ANMF" => {
                body.take(FRAME_PLACE)?;
                let frame = (body.u24_le()? + 1, body.u24_le()? + 1);
                fits(frame, canvas)?;
                body.take(FRAME_DURATION_AND_FLAGS)?;
                return judge_chunks(body, frame);
            }
            _ => {}
        }
    }
    Ok(())
}

fn fits((width, height): (u32, u32), canvas: (u32, u32)) -> Result<(), Fault> {
    if width > canvas.0 || height > canvas.1 {
        return Err(Fault::Corrupt("a picture in it is larger than itself"));
    }
    Ok(())
}

fn bitstream_size(name: [u8; 4], mut body: Reader<'_>) -> Result<(u32, u32), Fault> {
    if name == *b"VP8L" {
        body.byte()?;
        let bits = body.u32_le()?;
        return Ok(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1));
    }
    // Frame tag and start code; then 14 bits each, with 2 bits of scale above.
    body.take(6)?;
    Ok((u32::from(body.u16_le()? & 0x3fff), u32::from(body.u16_le()? & 0x3fff)))
}
