//! Headers, judged before anything is decoded: bytes -> format, size, and the memory that a decoder will need. Pure.
//!
//! The format is what the bytes say, whatever the origin called them. Nothing here allocates by a number it has read.

mod gif;
mod jpeg;
mod png;
mod reader;
mod webp;

use std::fmt;

use super::error::ImageError;

/// The longest side of any picture: what JPEG's 16 bits hold, with the margin that its decoders want.
const SIDE_MAX: u32 = 65_500;
/// What a decoder and the resizer need besides whole pictures: tables, the thumbnail; rows of blocks, for each pixel of
/// width; columns already resized, for each pixel of height and of the thumbnail's width.
const OVERHEAD_BYTES: u64 = 1 << 20;
const ROWS_BYTES_PER_WIDTH: u64 = 256;
const COLUMNS_BYTES_PER_PIXEL: u64 = 8;

/// A format that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
}

impl Format {
    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Png => "image/png",
            Format::Gif => "image/gif",
            Format::WebP => "image/webp",
        }
    }

    /// The format that `bytes` begin like.
    fn of(bytes: &[u8]) -> Option<Format> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Format::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::Gif => "GIF",
            Format::WebP => "WebP",
        })
    }
}

/// What a picture says of itself, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) format: Format,
    /// As stored: before orientation.
    pub(super) width: u32,
    pub(super) height: u32,
    /// Most that decoding and resizing hold at once.
    pub(super) decode_bytes: u64,
}

/// What the parser of one format finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    width: u32,
    height: u32,
    /// Bytes that decoding and resizing need, for each pixel.
    bytes_per_pixel: u64,
    /// Whether what follows the header makes sense; said after the size has been judged.
    rest: Result<(), Fault>,
}

/// Why a parser gave up; the format is added by [`read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Corrupt(&'static str),
    Unsupported(&'static str),
}

/// Reads and judges the header of `source`, of which a thumbnail with sides of at most `edge` will be made.
pub(super) fn read(source: &[u8], pixels_max: u64, edge: u32) -> Result<Header, ImageError> {
    let format = Format::of(source).ok_or(ImageError::NotAnImage)?;
    let refuse = |fault| match fault {
        Fault::Corrupt(reason) => ImageError::Corrupt { format, reason: reason.to_owned() },
        Fault::Unsupported(reason) => ImageError::Unsupported { format, reason: reason.to_owned() },
    };
    let found = match format {
        Format::Jpeg => jpeg::parse(source),
        Format::Png => png::parse(source),
        Format::Gif => gif::parse(source),
        Format::WebP => webp::parse(source),
    };
    let Found { width, height, bytes_per_pixel, rest } = found.map_err(refuse)?;
    if width == 0 || height == 0 {
        return Err(refuse(Fault::Corrupt("a side has no pixels")));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > pixels_max {
        return Err(ImageError::TooManyPixels { width, height, pixels_max });
    }
    if width.max(height) > SIDE_MAX {
        return Err(ImageError::SideTooLong { width, height, side_max: SIDE_MAX });
    }
    rest.map_err(refuse)?;
    let decode_bytes = [
        pixels.saturating_mul(bytes_per_pixel),
        u64::from(width) * ROWS_BYTES_PER_WIDTH,
        u64::from(height) * u64::from(width.min(edge)) * COLUMNS_BYTES_PER_PIXEL,
        OVERHEAD_BYTES,
    ];
    Ok(Header { format, width, height, decode_bytes: decode_bytes.into_iter().fold(0, u64::saturating_add) })
}

#[cfg(test)]
mod tests;
