//! Pixels -> a thumbnail: resized, turned upright, encoded. The same pixels give the same bytes.
//!
//! Nothing of the source's metadata goes into it. Its colours are sRGB, whatever profile the source has.

mod planar;

use std::io::Cursor;

use bytes::Bytes;
use fast_image_resize::{ResizeAlg, ResizeOptions, Resizer};
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, GrayImage, ImageEncoder as _, RgbImage};
use jpeg_encoder::{ColorType as JpegColour, Encoder as JpegEncoder, EncodingError, SamplingFactor};

use super::Form;
use super::decode::Decoded;
use super::error::ImageError;
use super::header::Format;
use super::lanczos::lanczos3;
use super::shrink::{Colors, Planes};
use super::size::fit;
use planar::Planar;

/// An encoded thumbnail.
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    pub(super) format: Format,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The size in which a picture is shown.
pub(super) fn shown(width: u32, height: u32, orientation: Orientation) -> (u32, u32) {
    match orientation {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            (height, width)
        }
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => (width, height),
    }
}

/// Makes a thumbnail of this form.
pub(super) fn make(decoded: Decoded, form: Form) -> Result<Encoded, ImageError> {
    let Decoded { picture, orientation, to_srgb } = decoded;
    let is_transparent = is_transparent(&picture);
    let (width, height) = fit(picture.width(), picture.height(), form.edge);
    let mut small = resize(picture, width, height, is_transparent)?;
    if let Some(to_srgb) = to_srgb {
        small = to_srgb.convert(small);
    }
    small.apply_orientation(orientation);
    let (format, bytes) =
        if is_transparent { (Format::Png, png(&small)?) } else { (Format::Jpeg, jpeg(&small, form.quality)?) };
    Ok(Encoded { bytes: bytes.into(), format, width: small.width(), height: small.height() })
}

/// Makes a thumbnail of planes that have its size.
pub(super) fn of_planes(planes: Planes, quality: u8) -> Result<Encoded, ImageError> {
    let Planes { colors, orientation, to_srgb } = planes;
    let upright = |plane: GrayImage| {
        let mut plane = DynamicImage::from(plane);
        plane.apply_orientation(orientation);
        plane.into_luma8()
    };
    let picture: DynamicImage = match colors {
        Colors::YCbCr(planes) if to_srgb.is_none() => {
            let planes = planes.map(upright);
            let (width, height) = planes[0].dimensions();
            let bytes = planar_jpeg(&planes, quality)?.into();
            return Ok(Encoded { bytes, format: Format::Jpeg, width, height });
        }
        Colors::YCbCr(planes) => interleaved(planes.map(upright), rgb).into(),
        Colors::Rgb(planes) => interleaved(planes.map(upright), |pixel| pixel).into(),
        Colors::Grey(luma) => upright(luma).into(),
    };
    let picture = match to_srgb {
        Some(to_srgb) => to_srgb.convert(picture),
        None => picture,
    };
    let (width, height) = (picture.width(), picture.height());
    let bytes = jpeg(&picture, quality)?;
    Ok(Encoded { bytes: bytes.into(), format: Format::Jpeg, width, height })
}

/// Three planes of one size -> pixels, of which `color` makes red, green and blue.
fn interleaved([first, second, third]: [GrayImage; 3], color: impl Fn([u8; 3]) -> [u8; 3]) -> RgbImage {
    let mut pixels = RgbImage::new(first.width(), first.height());
    let samples = first.as_raw().iter().zip(second.as_raw()).zip(third.as_raw());
    for (pixel, ((first, second), third)) in pixels.pixels_mut().zip(samples) {
        pixel.0 = color([*first, *second, *third]);
    }
    pixels
}

/// Luma and chroma -> red, green and blue, as JFIF 1.02 defines them, in 16 bits behind the point.
fn rgb([luma, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (luma, cb, cr) = (i32::from(luma) << 16, i32::from(cb) - 128, i32::from(cr) - 128);
    let level = |sum: i32| u8::try_from(((sum + (1 << 15)) >> 16).clamp(0, 255)).unwrap_or(u8::MAX);
    [level(luma + 91_881 * cr), level(luma - 22_554 * cb - 46_802 * cr), level(luma + 116_130 * cb)]
}

/// Whether anything shines through any pixel.
fn is_transparent(picture: &DynamicImage) -> bool {
    match picture {
        DynamicImage::ImageLumaA8(pixels) => pixels.pixels().any(|pixel| pixel.0[1] < u8::MAX),
        DynamicImage::ImageRgba8(pixels) => pixels.pixels().any(|pixel| pixel.0[3] < u8::MAX),
        DynamicImage::ImageLumaA16(pixels) => pixels.pixels().any(|pixel| pixel.0[1] < u16::MAX),
        DynamicImage::ImageRgba16(pixels) => pixels.pixels().any(|pixel| pixel.0[3] < u16::MAX),
        _ => false,
    }
}

fn resize(picture: DynamicImage, width: u32, height: u32, use_alpha: bool) -> Result<DynamicImage, ImageError> {
    if (picture.width(), picture.height()) == (width, height) {
        return Ok(picture);
    }
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(lanczos3())).use_alpha(use_alpha);
    let mut small = DynamicImage::new(width, height, picture.color());
    Resizer::new().resize(&picture, &mut small, &options).map_err(|error| ImageError::Unfinished(error.to_string()))?;
    Ok(small)
}

fn jpeg(picture: &DynamicImage, quality: u8) -> Result<Vec<u8>, ImageError> {
    let (pixels, colour) = if picture.color().has_color() {
        (picture.to_rgb8().into_raw(), JpegColour::Rgb)
    } else {
        (picture.to_luma8().into_raw(), JpegColour::Luma)
    };
    let (width, height) = (side(picture.width())?, side(picture.height())?);
    let mut bytes = Vec::new();
    encoder(&mut bytes, quality).encode(&pixels, width, height, colour).map_err(unfinished)?;
    Ok(bytes)
}

fn planar_jpeg(planes: &[GrayImage; 3], quality: u8) -> Result<Vec<u8>, ImageError> {
    let (width, height) = (side(planes[0].width())?, side(planes[0].height())?);
    let mut bytes = Vec::new();
    encoder(&mut bytes, quality).encode_image(Planar { planes, width, height }).map_err(unfinished)?;
    Ok(bytes)
}

fn side(side: u32) -> Result<u16, ImageError> {
    u16::try_from(side).map_err(|_| ImageError::Unfinished("a side is too long for JPEG".to_owned()))
}

fn unfinished(error: EncodingError) -> ImageError {
    ImageError::Unfinished(error.to_string())
}

fn encoder(bytes: &mut Vec<u8>, quality: u8) -> JpegEncoder<&mut Vec<u8>> {
    let mut encoder = JpegEncoder::new(bytes, quality);
    // Standard Huffman tables: with its own the encoder writes a scan for each component, which not every decoder reads
    // right.
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder
}

fn png(picture: &DynamicImage) -> Result<Vec<u8>, ImageError> {
    let (pixels, colour) = if picture.color().has_color() {
        (picture.to_rgba8().into_raw(), ExtendedColorType::Rgba8)
    } else {
        (picture.to_luma_alpha8().into_raw(), ExtendedColorType::La8)
    };
    let mut bytes = Cursor::new(Vec::new());
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, PngFilter::Adaptive)
        .write_image(&pixels, picture.width(), picture.height(), colour)
        .map_err(|error| ImageError::Unfinished(error.to_string()))?;
    Ok(bytes.into_inner())
}
