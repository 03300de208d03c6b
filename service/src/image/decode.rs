//! A judged picture -> its pixels, by one decoder for each format. None of them is C.

mod jpeg;
mod png;

use std::fmt::Display;
use std::io::Cursor;
use std::rc::Rc;

use image::codecs::gif::GifDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, Limits};

use super::color::ToSrgb;
use super::error::ImageError;
use super::header::{Format, Header};

/// Longest text that is taken over from a decoder.
const REASON_CHARS_MAX: usize = 200;

/// Pixels as stored, and how to turn them to be shown.
pub(super) struct Decoded {
    pub(super) picture: DynamicImage,
    pub(super) orientation: Orientation,
    /// What its numbers mean as colours; none: sRGB.
    pub(super) to_srgb: Option<Rc<ToSrgb>>,
}

/// Decodes the first frame of `source`.
pub(super) fn decode(source: &[u8], header: Header) -> Result<Decoded, ImageError> {
    let by_image = |error: image::ImageError| explain(&error, header);
    match header.format {
        Format::Jpeg => jpeg::decode(source, header),
        Format::Png => png::decode(source, header),
        Format::Gif => GifDecoder::new(Cursor::new(source)).map_err(by_image).and_then(|gif| read(gif, header)),
        Format::WebP => WebPDecoder::new(Cursor::new(source)).map_err(by_image).and_then(|webp| read(webp, header)),
    }
}

fn read(mut decoder: impl ImageDecoder, header: Header) -> Result<Decoded, ImageError> {
    if decoder.dimensions() != (header.width, header.height) {
        return Err(disagrees(header));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(header.decode_bytes);
    // Metadata that cannot be read turns and colours nothing, and spoils nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().unwrap_or_default();
    let is_grey = !decoder.color_type().has_color();
    let to_srgb = profile.and_then(|profile| ToSrgb::of(&profile, is_grey));
    let picture = decoder.set_limits(limits).and_then(|()| DynamicImage::from_decoder(decoder));
    Ok(Decoded { picture: picture.map_err(|error| explain(&error, header))?, orientation, to_srgb })
}

fn explain(error: &image::ImageError, header: Header) -> ImageError {
    match error {
        image::ImageError::Unsupported(_) => unsupported(header, error),
        image::ImageError::Limits(_) => too_much(header),
        image::ImageError::Decoding(_)
        | image::ImageError::Encoding(_)
        | image::ImageError::Parameter(_)
        | image::ImageError::IoError(_) => corrupt(header, error),
    }
}

pub(super) fn disagrees(header: Header) -> ImageError {
    corrupt(header, &"its headers disagree about its size")
}

pub(super) fn corrupt(header: Header, reason: &impl Display) -> ImageError {
    ImageError::Corrupt { format: header.format, reason: shortened(reason) }
}

pub(super) fn unsupported(header: Header, reason: &impl Display) -> ImageError {
    ImageError::Unsupported { format: header.format, reason: shortened(reason) }
}

/// The decoder wanted more than was predicted for it.
fn too_much(header: Header) -> ImageError {
    ImageError::MemoryLimit { needed: header.decode_bytes, budget: header.decode_bytes }
}

fn shortened(reason: &impl Display) -> String {
    reason.to_string().chars().filter(|char| !char.is_control()).take(REASON_CHARS_MAX).collect()
}
