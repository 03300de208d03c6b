//! PNG, by its decoder directly: through `image` it would inflate comments and colour profiles, which can be bombs, and
//! refuse a picture for having long ones.

use std::io::{Cursor, Read as _};

use flate2::read::ZlibDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, RgbImage, RgbaImage};
use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Limits, Transformations};

use super::{Decoded, corrupt, disagrees, too_much, unsupported};
use crate::image::color::{PROFILE_BYTES_MAX, ToSrgb};
use crate::image::error::ImageError;
use crate::image::header::Header;

/// What the decoder may take beside the picture, for rows and chunks; far below what the header's judgement sets aside.
const BYTES: usize = 256 << 10;
const SIGNATURE_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
const BYTES_PER_WIDTH: usize = 32;

pub(super) fn decode(source: &[u8], header: Header) -> Result<Decoded, ImageError> {
    let explain = |error| match error {
        DecodingError::LimitsExceeded => too_much(header),
        DecodingError::IoError(_) | DecodingError::Format(_) | DecodingError::Parameter(_) => corrupt(header, &error),
    };
    let mut options = DecodeOptions::default();
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = Decoder::new_with_options(Cursor::new(source), options);
    let width = usize::try_from(header.width).unwrap_or(usize::MAX);
    decoder.set_limits(Limits { bytes: BYTES.saturating_add(width.saturating_mul(BYTES_PER_WIDTH)) });
    // Palettes, shades of less than 8 bits and transparent colours become channels; 16 bits stay.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(explain)?;
    if reader.info().size() != (header.width, header.height) {
        return Err(disagrees(header));
    }
    let size = reader.output_buffer_size().ok_or_else(|| too_much(header))?;
    let mut pixels = vec![0; size];
    reader.next_frame(&mut pixels).map_err(explain)?;
    // What follows the picture may turn it, but no longer spoil it.
    let _tail = reader.finish();
    let exif = reader.info().exif_metadata.as_deref();
    let orientation = exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let picture = picture(reader.output_color_type(), header, pixels)?;
    let to_srgb = profile(source).and_then(|profile| ToSrgb::of(&profile, !picture.color().has_color()));
    Ok(Decoded { picture, orientation, to_srgb })
}

fn picture(colour: (ColorType, BitDepth), header: Header, pixels: Vec<u8>) -> Result<DynamicImage, ImageError> {
    let (width, height) = (header.width, header.height);
    let picture = match colour {
        (ColorType::Grayscale, BitDepth::Eight) => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => {
            GrayAlphaImage::from_raw(width, height, pixels).map(DynamicImage::from)
        }
        (ColorType::Rgb, BitDepth::Eight) => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        (ColorType::Rgba, BitDepth::Eight) => RgbaImage::from_raw(width, height, pixels).map(DynamicImage::from),
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            ImageBuffer::from_raw(width, height, wide(&pixels)).map(DynamicImage::ImageLuma16)
        }
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            ImageBuffer::from_raw(width, height, wide(&pixels)).map(DynamicImage::ImageLumaA16)
        }
        (ColorType::Rgb, BitDepth::Sixteen) => {
            ImageBuffer::from_raw(width, height, wide(&pixels)).map(DynamicImage::ImageRgb16)
        }
        (ColorType::Rgba, BitDepth::Sixteen) => {
            ImageBuffer::from_raw(width, height, wide(&pixels)).map(DynamicImage::ImageRgba16)
        }
        (ColorType::Indexed, _) | (_, BitDepth::One | BitDepth::Two | BitDepth::Four) => {
            return Err(unsupported(header, &"its palette cannot be expanded"));
        }
    };
    picture.ok_or_else(|| disagrees(header))
}

/// The colour profile, inflated as far as one is heeded.
fn profile(source: &[u8]) -> Option<Vec<u8>> {
    let mut rest = source.get(SIGNATURE_BYTES..)?;
    loop {
        let (length, after) = rest.split_first_chunk()?;
        let (name, after) = after.split_first_chunk()?;
        let (content, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        match name {
            b"iCCP" => {
                // A name, a zero, and the method, of which there is one.
                let [0, deflated @ ..] = content.splitn(2, |byte| *byte == 0).nth(1)? else { return None };
                let mut profile = Vec::new();
                let most = u64::try_from(PROFILE_BYTES_MAX + 1).unwrap_or(u64::MAX);
                ZlibDecoder::new(deflated).take(most).read_to_end(&mut profile).ok()?;
                return Some(profile);
            }
            // What says sRGB says more than numbers could; a profile comes before the picture.
            b"sRGB" | b"IDAT" => return None,
            _ => rest = after.get(CHECKSUM_BYTES..)?,
        }
    }
}

/// Samples of 16 bits, high byte first.
fn wide(pixels: &[u8]) -> Vec<u16> {
    pixels.as_chunks().0.iter().map(|sample| u16::from_be_bytes(*sample)).collect()
}
