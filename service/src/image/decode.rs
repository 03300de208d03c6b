//! A judged picture -> its pixels, by one decoder for each format. None of them is C.
//!
//! JPEG goes to its decoder directly: through `image` it would be decoded leniently, and a damaged picture come out grey.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, Limits, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::error::ImageError;
use super::header::{Format, Header};

/// Longest text that is taken over from a decoder.
const REASON_CHARS_MAX: usize = 200;

/// What the PNG decoder may take beside the picture: rows, and a colour profile, which is inflated and can be a bomb.
/// It grows by doubling, so a third of what the header's judgement sets aside.
const PNG_BYTES: u64 = 256 << 10;
const PNG_BYTES_PER_WIDTH: u64 = 32;

/// Pixels as stored, and how to turn them to be shown.
pub(super) struct Decoded {
    pub(super) picture: DynamicImage,
    pub(super) orientation: Orientation,
}

/// Decodes the first frame of `source`.
pub(super) fn decode(source: &[u8], header: Header) -> Result<Decoded, ImageError> {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(header.width);
    limits.max_image_height = Some(header.height);
    limits.max_alloc = Some(header.decode_bytes);
    let source_at_start = Cursor::new(source);
    let decoded = match header.format {
        Format::Jpeg => return decode_jpeg(source, header),
        Format::Png => {
            let mut inner = limits.clone();
            inner.max_alloc = Some(PNG_BYTES + PNG_BYTES_PER_WIDTH * u64::from(header.width));
            PngDecoder::with_limits(source_at_start, inner).and_then(|png| read(png, limits))
        }
        Format::Gif => GifDecoder::new(source_at_start).and_then(|gif| read(gif, limits)),
        Format::WebP => WebPDecoder::new(source_at_start).and_then(|webp| read(webp, limits)),
    };
    let decoded = decoded.map_err(|error| explain(&error, header))?;
    same_size(header, decoded.picture.width(), decoded.picture.height())?;
    Ok(decoded)
}

fn read(mut decoder: impl ImageDecoder, limits: Limits) -> image::ImageResult<Decoded> {
    decoder.set_limits(limits)?;
    // Metadata that cannot be read turns nothing, and spoils nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok(Decoded { picture: DynamicImage::from_decoder(decoder)?, orientation })
}

fn decode_jpeg(source: &[u8], header: Header) -> Result<Decoded, ImageError> {
    let explain = |error| explain_jpeg(&error, header);
    let limit = |side| usize::try_from(side).unwrap_or(usize::MAX);
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(limit(header.width))
        .set_max_height(limit(header.height));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(source), options);
    decoder.decode_headers().map_err(explain)?;
    let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (space, channels) = if is_grey { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(space));
    let orientation =
        decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms);
    let (width, height) = decoder.dimensions().unwrap_or_default();
    if (width, height) != (limit(header.width), limit(header.height)) {
        return Err(disagrees(header));
    }
    let mut pixels = vec![0; width.saturating_mul(height).saturating_mul(channels)];
    decoder.decode_into(&mut pixels).map_err(explain)?;
    let picture = if is_grey {
        GrayImage::from_raw(header.width, header.height, pixels).map(DynamicImage::from)
    } else {
        RgbImage::from_raw(header.width, header.height, pixels).map(DynamicImage::from)
    };
    Ok(Decoded { picture: picture.ok_or_else(|| disagrees(header))?, orientation })
}

fn same_size(header: Header, width: u32, height: u32) -> Result<(), ImageError> {
    if (width, height) == (header.width, header.height) { Ok(()) } else { Err(disagrees(header)) }
}

fn disagrees(header: Header) -> ImageError {
    ImageError::Corrupt { format: header.format, reason: "its headers disagree about its size".to_owned() }
}

fn explain(error: &image::ImageError, header: Header) -> ImageError {
    let format = header.format;
    match error {
        image::ImageError::Unsupported(_) => ImageError::Unsupported { format, reason: reason(error) },
        image::ImageError::Limits(_) => {
            ImageError::MemoryLimit { needed: header.decode_bytes, budget: header.decode_bytes }
        }
        image::ImageError::Decoding(_)
        | image::ImageError::Encoding(_)
        | image::ImageError::Parameter(_)
        | image::ImageError::IoError(_) => ImageError::Corrupt { format, reason: reason(error) },
    }
}

fn explain_jpeg(error: &DecodeErrors, header: Header) -> ImageError {
    let format = header.format;
    match error {
        DecodeErrors::Unsupported(_) => ImageError::Unsupported { format, reason: reason(error) },
        _ => ImageError::Corrupt { format, reason: reason(error) },
    }
}

fn reason(error: &impl std::fmt::Display) -> String {
    error.to_string().chars().filter(|char| !char.is_control()).take(REASON_CHARS_MAX).collect()
}
