//! JPEG, by its decoder directly: through `image` it would be lenient, and a damaged picture come out grey.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::{Decoded, corrupt, disagrees, unsupported};
use crate::image::color::ToSrgb;
use crate::image::error::ImageError;
use crate::image::header::Header;

pub(super) fn decode(source: &[u8], header: Header) -> Result<Decoded, ImageError> {
    let explain = |error| match error {
        DecodeErrors::Unsupported(_) => unsupported(header, &error),
        _ => corrupt(header, &error),
    };
    let side = |side| usize::try_from(side).unwrap_or(usize::MAX);
    let (width, height) = (side(header.width), side(header.height));
    let options = DecoderOptions::default().set_strict_mode(true).set_max_width(width).set_max_height(height);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(source), options);
    decoder.decode_headers().map_err(explain)?;
    if decoder.dimensions() != Some((width, height)) {
        return Err(disagrees(header));
    }
    let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (space, channels) = if is_grey { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(space));
    let orientation =
        decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms);
    // Inks become red, green and blue without the help of their profile.
    let has_inks = matches!(decoder.input_colorspace(), Some(ColorSpace::CMYK | ColorSpace::YCCK));
    let profile = decoder.icc_profile().filter(|_| !has_inks);
    let to_srgb = profile.and_then(|profile| ToSrgb::of(&profile, is_grey));
    let mut pixels = vec![0; width.saturating_mul(height).saturating_mul(channels)];
    decoder.decode_into(&mut pixels).map_err(explain)?;
    let picture = if is_grey {
        GrayImage::from_raw(header.width, header.height, pixels).map(DynamicImage::from)
    } else {
        RgbImage::from_raw(header.width, header.height, pixels).map(DynamicImage::from)
    };
    Ok(Decoded { picture: picture.ok_or_else(|| disagrees(header))?, orientation, to_srgb })
}
