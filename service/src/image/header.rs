//! Headers, judged before anything is decoded: bytes -> format, size, and the memory that a decoder will need. Pure.
//!
//! The format is what the bytes say, whatever the origin called them. Nothing here allocates by a number it has read.

mod gif;
mod jpeg;
mod png;
mod reader;
mod webp;

use std::fmt;

use jpeg_shrink::Scale;

use super::error::ImageError;
use super::size;

/// The longest side of any picture: what JPEG's 16 bits hold, with the margin that its decoders want.
const SIDE_MAX: u32 = 65_500;
/// What a decoder and the resizer need besides whole pictures: tables, the thumbnail; rows of blocks, for each pixel of
/// width; columns already resized, for each pixel of height and of the thumbnail's width.
const OVERHEAD_BYTES: u64 = 1 << 20;
const ROWS_BYTES_PER_WIDTH: u64 = 256;
const COLUMNS_BYTES_PER_PIXEL: u64 = 8;
/// Of a thumbnail made of planes: they, they turned, their pixels before and after a conversion of colours, and its bytes.
const THUMBNAIL_BYTES_PER_PIXEL: u64 = 15;
/// What the resizer weighs samples by, for each of a side.
const WEIGHTS_BYTES_PER_SAMPLE: u64 = 64;

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

/// How a picture is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All of its pixels.
    Whole,
    /// Planes no larger than the thumbnail needs.
    Shrunk(Scale),
}

/// What a picture says of itself, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) format: Format,
    /// As stored: before orientation.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) way: Way,
    /// Most that decoding and resizing hold at once.
    pub(super) decode_bytes: u64,
}

/// What the parser of one format finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    width: u32,
    height: u32,
    need: Need,
    /// Whether what follows the header makes sense; said after the size has been judged.
    rest: Result<(), Fault>,
}

/// How the picture can be decoded, and what that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Whole: so many bytes for each pixel, with the resizer's.
    PerPixel(u64),
    /// Shrunk: so many bytes for its planes.
    Planes(Scale, u64),
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
        Format::Jpeg => jpeg::parse(source, edge),
        Format::Png => png::parse(source),
        Format::Gif => gif::parse(source),
        Format::WebP => webp::parse(source),
    };
    let Found { width, height, need, rest } = found.map_err(refuse)?;
    if width == 0 || height == 0 {
        return Err(refuse(Fault::Corrupt("a side has no pixels")));
    }
    if u64::from(width) * u64::from(height) > pixels_max {
        return Err(ImageError::TooManyPixels { width, height, pixels_max });
    }
    if width.max(height) > SIDE_MAX {
        return Err(ImageError::SideTooLong { width, height, side_max: SIDE_MAX });
    }
    rest.map_err(refuse)?;
    let (way, bytes) = match need {
        Need::PerPixel(bytes_per_pixel) => (Way::Whole, whole(width, height, edge, bytes_per_pixel)),
        Need::Planes(scale, bytes) => (Way::Shrunk(scale), shrunk(width, height, edge, scale, bytes)),
    };
    Ok(Header { format, width, height, way, decode_bytes: bytes.saturating_add(OVERHEAD_BYTES) })
}

/// What a picture takes that is decoded whole.
fn whole(width: u32, height: u32, edge: u32, bytes_per_pixel: u64) -> u64 {
    let (width, height) = (u64::from(width), u64::from(height));
    [
        (width * height).saturating_mul(bytes_per_pixel),
        width * ROWS_BYTES_PER_WIDTH,
        height * width.min(edge.into()) * COLUMNS_BYTES_PER_PIXEL,
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

/// What a picture takes of which planes at `scale` are decoded.
fn shrunk(width: u32, height: u32, edge: u32, scale: Scale, planes: u64) -> u64 {
    let (small_width, small_height) = size::fit(width, height, edge);
    let decoded = |side: u32| (u64::from(side) * u64::from(scale.eighths())).div_ceil(8);
    [
        planes,
        u64::from(small_width) * u64::from(small_height) * THUMBNAIL_BYTES_PER_PIXEL,
        // One plane at a time is resized, first its rows.
        decoded(height) * u64::from(small_width),
        (decoded(width) + decoded(height)) * WEIGHTS_BYTES_PER_SAMPLE,
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
