//! A JPEG -> planes in the size of its thumbnail: decoded no larger than that takes, and never made RGB.
//!
//! Every thread keeps a decoder and a resizer, so that tables and memory serve for the next picture.

use std::cell::RefCell;
use std::rc::Rc;

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{ResizeAlg, ResizeOptions, Resizer};
use image::GrayImage;
use image::metadata::Orientation;
use jpeg_shrink::{Color, Decoder, Error, Jpeg, Plane, Scale};

use super::color::ToSrgb;
use super::decode::{corrupt, disagrees, unsupported};
use super::error::ImageError;
use super::header::Header;
use super::lanczos::lanczos3;
use super::size::fit;

/// Memory that a thread keeps for planes, and as much for the resizer: what most pictures need.
const KEPT_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static TOOLS: RefCell<Tools> = RefCell::new(Tools { decoder: Decoder::new(), resizer: Resizer::new() });
}

struct Tools {
    decoder: Decoder,
    resizer: Resizer,
}

/// A picture as it is stored, and how to turn it to be shown.
pub(super) struct Planes {
    pub(super) colors: Colors,
    pub(super) orientation: Orientation,
    /// What its numbers mean as colours; none: sRGB.
    pub(super) to_srgb: Option<Rc<ToSrgb>>,
}

/// Planes of a thumbnail.
pub(super) enum Colors {
    Grey(GrayImage),
    /// Chroma has half of each side that is even, and all of one that is odd; all of both where colours are converted.
    YCbCr([GrayImage; 3]),
    Rgb([GrayImage; 3]),
}

/// Decodes `source` at `scale` and resizes it to fit a square of `edge`.
pub(super) fn planes(source: &[u8], header: Header, scale: Scale, edge: u32) -> Result<Planes, ImageError> {
    TOOLS.with_borrow_mut(|tools| {
        let planes = tools.planes(source, header, scale, edge);
        tools.decoder.keep_at_most(KEPT_BYTES_MAX);
        if tools.resizer.size_of_internal_buffers() > KEPT_BYTES_MAX {
            tools.resizer.reset_internal_buffers();
        }
        planes
    })
}

impl Tools {
    fn planes(&mut self, source: &[u8], header: Header, scale: Scale, edge: u32) -> Result<Planes, ImageError> {
        let explain = |error| match error {
            Error::Unsupported(what) => unsupported(header, &what),
            Error::Corrupt(why) => corrupt(header, &why),
        };
        let jpeg = Jpeg::parse(source).map_err(explain)?;
        if (u32::from(jpeg.width()), u32::from(jpeg.height())) != (header.width, header.height) {
            return Err(disagrees(header));
        }
        let orientation = jpeg.exif().and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
        let picture = self.decoder.decode(&jpeg, scale).map_err(explain)?;
        // Grey where nothing was is no picture of what was asked for.
        if let Some(damage) = picture.damage() {
            return Err(corrupt(header, &damage));
        }
        let is_grey = !matches!(picture.color(), Color::YCbCr | Color::Rgb);
        let to_srgb = jpeg.icc_profile().and_then(|profile| ToSrgb::of(&profile, is_grey));
        let size = fit(header.width, header.height, edge);
        let half = |side: u32| if side.is_multiple_of(2) && to_srgb.is_none() { side / 2 } else { side };
        let mut resize = |plane: &Plane<'_>, size| resize(&mut self.resizer, plane, size);
        let colors = match (picture.color(), picture.planes()) {
            (Color::YCbCr, [luma, cb, cr]) => {
                let half = (half(size.0), half(size.1));
                Colors::YCbCr([resize(luma, size)?, resize(cb, half)?, resize(cr, half)?])
            }
            (Color::Rgb, [red, green, blue]) => {
                Colors::Rgb([resize(red, size)?, resize(green, size)?, resize(blue, size)?])
            }
            (_, [luma, ..]) => Colors::Grey(resize(luma, size)?),
            (_, []) => return Err(disagrees(header)),
        };
        Ok(Planes { colors, orientation, to_srgb })
    }
}

/// Resizes what a plane shows of the picture, to the fraction of a sample.
fn resize(resizer: &mut Resizer, plane: &Plane<'_>, (width, height): (u32, u32)) -> Result<GrayImage, ImageError> {
    let unfinished = |error: &dyn std::error::Error| ImageError::Unfinished(error.to_string());
    let all = TypedImageRef::<U8>::from_buffer(plane.stride(), plane.rows(), plane.samples());
    let all = all.map_err(|error| unfinished(&error))?;
    let shown = TypedCroppedImage::from_ref(&all, 0, 0, plane.width(), plane.height());
    let shown = shown.map_err(|error| unfinished(&error))?;
    let mut small = GrayImage::new(width, height);
    let mut target = TypedImage::<U8>::from_buffer(width, height, &mut small).map_err(|error| unfinished(&error))?;
    let (across, down) = plane.extent();
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(lanczos3())).crop(0.0, 0.0, across, down);
    resizer.resize_typed(&shown, &mut target, &options).map_err(|error| unfinished(&error))?;
    Ok(small)
}

#[cfg(test)]
mod tests;
