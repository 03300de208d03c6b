//! Colours as a source's profile means them -> sRGB, which is what a picture without a profile is taken for.
//!
//! What displays and cameras have is heeded: three primaries with a curve each, or one curve for grey. Tables, as printers
//! have them, are not, nor is what cannot be read or is as long as no such profile: there the numbers count as sRGB.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use image::{DynamicImage, ImageBuffer, Pixel};
use moxcms::{CmsError, ColorProfile, Layout, ParsingOptions, TransformExecutor, TransformOptions};

/// Honest ones that are heeded have a few hundred bytes, or some thousand where their curves are lists.
pub(super) const PROFILE_BYTES_MAX: usize = 64 << 10;
/// Entries of a curve that is a list; as many as there are values of 16 bits say nothing that these do not.
const CURVE_ENTRIES_MAX: usize = 1 << 13;
/// Values that nobody would see a difference in.
const SAME: u8 = 1;

thread_local! {
    /// Pictures that follow each other mostly have the same profile.
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// A profile, whether it is of a grey picture, and what it asks for.
type Last = (Vec<u8>, bool, Option<Rc<ToSrgb>>);
type Transform<S> = Arc<dyn TransformExecutor<S> + Send + Sync>;

/// The way from one profile's colours to sRGB.
pub(super) struct ToSrgb {
    from: ColorProfile,
    to: ColorProfile,
    /// Of pictures without alpha and 8 bits a sample.
    plain: Transform<u8>,
}

impl ToSrgb {
    /// What `profile` asks for in a picture that is grey or is not; none: its numbers are sRGB, or count as that.
    pub(super) fn of(profile: &[u8], is_grey: bool) -> Option<Rc<ToSrgb>> {
        if profile.len() > PROFILE_BYTES_MAX {
            return None;
        }
        LAST.with_borrow_mut(|last| match last {
            Some((known, of_grey, asked)) if known == profile && *of_grey == is_grey => asked.clone(),
            _ => {
                let asked = ToSrgb::read(profile, is_grey).map(Rc::new);
                *last = Some((profile.to_owned(), is_grey, asked.clone()));
                asked
            }
        })
    }

    fn read(profile: &[u8], is_grey: bool) -> Option<ToSrgb> {
        let options = ParsingOptions {
            max_profile_size: PROFILE_BYTES_MAX + 1,
            max_allowed_clut_size: PROFILE_BYTES_MAX,
            max_allowed_trc_size: CURVE_ENTRIES_MAX,
        };
        let mut from = ColorProfile::new_from_slice_with_options(profile, options).ok()?;
        for tables in [
            &mut from.lut_a_to_b_perceptual,
            &mut from.lut_a_to_b_colorimetric,
            &mut from.lut_a_to_b_saturation,
            &mut from.lut_b_to_a_perceptual,
            &mut from.lut_b_to_a_colorimetric,
            &mut from.lut_b_to_a_saturation,
        ] {
            *tables = None;
        }
        let (to, layout) = if is_grey { (grey(), Layout::Gray) } else { (ColorProfile::new_srgb(), Layout::Rgb) };
        let plain = from.create_transform_8bit(layout, &to, layout, TransformOptions::default()).ok()?;
        (!changes_nothing(&plain, is_grey)).then_some(ToSrgb { from, to, plain })
    }

    /// The picture in sRGB.
    pub(super) fn convert(&self, picture: DynamicImage) -> DynamicImage {
        let eight = |layout| match layout {
            Layout::Rgb | Layout::Gray => Ok(self.plain.clone()),
            _ => self.from.create_transform_8bit(layout, &self.to, layout, TransformOptions::default()),
        };
        let sixteen = |layout| self.from.create_transform_16bit(layout, &self.to, layout, TransformOptions::default());
        match picture {
            DynamicImage::ImageLuma8(pixels) => converted(pixels, Layout::Gray, eight).into(),
            DynamicImage::ImageLumaA8(pixels) => converted(pixels, Layout::GrayAlpha, eight).into(),
            DynamicImage::ImageLuma16(pixels) => converted(pixels, Layout::Gray, sixteen).into(),
            DynamicImage::ImageLumaA16(pixels) => converted(pixels, Layout::GrayAlpha, sixteen).into(),
            DynamicImage::ImageRgb8(pixels) => converted(pixels, Layout::Rgb, eight).into(),
            DynamicImage::ImageRgba8(pixels) => converted(pixels, Layout::Rgba, eight).into(),
            DynamicImage::ImageRgb16(pixels) => converted(pixels, Layout::Rgb, sixteen).into(),
            DynamicImage::ImageRgba16(pixels) => converted(pixels, Layout::Rgba, sixteen).into(),
            other => other,
        }
    }
}

/// Grey with sRGB's curve.
fn grey() -> ColorProfile {
    let mut grey = ColorProfile::new_gray_with_gamma(1.0);
    grey.gray_trc = ColorProfile::new_srgb().red_trc;
    grey
}

/// Whether dark, middle and light stay what they are, in every mixture.
fn changes_nothing(transform: &Transform<u8>, is_grey: bool) -> bool {
    const LEVELS: [u8; 5] = [0, 48, 120, 190, 255];
    let before: Vec<u8> = match is_grey {
        true => LEVELS.to_vec(),
        false => LEVELS
            .iter()
            .flat_map(|red| {
                LEVELS.iter().flat_map(move |green| LEVELS.iter().flat_map(move |blue| [*red, *green, *blue]))
            })
            .collect(),
    };
    let mut after = vec![0; before.len()];
    transform.transform(&before, &mut after).is_ok()
        && before.iter().zip(&after).all(|(before, after)| before.abs_diff(*after) <= SAME)
}

fn converted<P: Pixel>(
    pixels: ImageBuffer<P, Vec<P::Subpixel>>,
    layout: Layout,
    transform: impl FnOnce(Layout) -> Result<Transform<P::Subpixel>, CmsError>,
) -> ImageBuffer<P, Vec<P::Subpixel>>
where
    P::Subpixel: Default,
{
    let mut converted = ImageBuffer::new(pixels.width(), pixels.height());
    let done = transform(layout).and_then(|transform| transform.transform(&pixels, &mut converted));
    if done.is_ok() { converted } else { pixels }
}

#[cfg(test)]
mod tests;
