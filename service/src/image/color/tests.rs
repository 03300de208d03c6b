//! Colours are what the profile says; what it says of these was worked out by hand from P3's primaries and a gamma of 2.2.

use image::{GrayImage, ImageDecoder, ImageReader, Luma, LumaA, Rgb, RgbImage, Rgba};
use jpeg_encoder::{ColorType, Encoder};

use super::*;
use crate::image::{Form, Thumbnail, header, make};

/// A colour in P3, and the same in sRGB.
const P3: [[u8; 3]; 3] = [[200, 100, 50], [90, 160, 140], [128, 128, 128]];
const SRGB: [[u8; 3]; 3] = [[216, 93, 24], [59, 164, 140], [129, 129, 129]];
/// Rounding, and for a JPEG quantisation twice.
const NEAR: u8 = 3;

fn wide_gamut() -> Vec<u8> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/images/wide_gamut.jpg");
    let mut decoder = ImageReader::open(file).expect("a fixture").into_decoder().expect("a JPEG");
    decoder.icc_profile().expect("read").expect("it has a profile")
}

fn made(source: &[u8]) -> Thumbnail {
    let form = Form { edge: 64, quality: 95 };
    make(source, header::read(source, 1_000_000, form.edge).expect("a header"), form).expect("a thumbnail")
}

/// The middle of the thumbnail.
fn shown(thumbnail: &Thumbnail) -> [u8; 4] {
    let picture = image::load_from_memory(&thumbnail.bytes).expect("a picture").to_rgba8();
    picture.get_pixel(picture.width() / 2, picture.height() / 2).0
}

fn png(picture: &DynamicImage, profile: &[u8]) -> Vec<u8> {
    let mut info = png::Info::with_size(picture.width(), picture.height());
    info.icc_profile = Some(profile.to_owned().into());
    let color = picture.color();
    info.color_type = match color.channel_count() {
        1 => png::ColorType::Grayscale,
        2 => png::ColorType::GrayscaleAlpha,
        3 => png::ColorType::Rgb,
        _ => png::ColorType::Rgba,
    };
    let is_wide = color.bytes_per_pixel() / color.channel_count() == 2;
    info.bit_depth = if is_wide { png::BitDepth::Sixteen } else { png::BitDepth::Eight };
    let mut samples = picture.as_bytes().to_vec();
    if is_wide {
        samples = samples.as_chunks().0.iter().flat_map(|bytes| u16::from_ne_bytes(*bytes).to_be_bytes()).collect();
    }
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::with_info(&mut bytes, info).expect("an encoder").write_header().expect("written");
    writer.write_image_data(&samples).expect("written");
    writer.finish().expect("written");
    bytes
}

fn jpeg(samples: &[u8], color: ColorType, profile: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 100);
    encoder.add_icc_profile(profile).expect("it fits");
    encoder.encode(samples, 200, 200, color).expect("encoded");
    bytes
}

fn near(shown: &[u8], expected: &[u8]) {
    assert!(shown.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= NEAR), "{shown:?} is not {expected:?}");
}

#[test]
fn a_picture_in_a_wide_gamut_comes_out_in_srgb() {
    let profile = wide_gamut();
    for (color, expected) in P3.into_iter().zip(SRGB) {
        let rgb = RgbImage::from_pixel(200, 200, Rgb(color));
        near(&shown(&made(&jpeg(&rgb, ColorType::Rgb, &profile))), &expected);
        near(&shown(&made(&png(&rgb.into(), &profile))), &expected);
        let wide = ImageBuffer::from_pixel(200, 200, Rgb(color.map(|value| u16::from(value) * 257)));
        near(&shown(&made(&png(&DynamicImage::ImageRgb16(wide), &profile))), &expected);
        let [red, green, blue] = color;
        let faint = ImageBuffer::from_pixel(200, 200, Rgba([red, green, blue, 77]));
        let faint = shown(&made(&png(&DynamicImage::ImageRgba8(faint), &profile)));
        near(&faint, &expected);
        assert_eq!(faint[3], 77, "what shines through is no colour");
    }
}

#[test]
fn grey_in_another_curve_comes_out_in_srgb() {
    let profile = ColorProfile::new_gray_with_gamma(1.0).encode().expect("encoded");
    for (grey, expected) in [(64, 137), (128, 188), (200, 229)] {
        let luma = GrayImage::from_pixel(200, 200, Luma([grey]));
        let from_jpeg = made(&jpeg(&luma, ColorType::Luma, &profile));
        near(&shown(&from_jpeg), &[expected; 3]);
        let is_grey = image::load_from_memory(&from_jpeg.bytes).expect("a picture");
        assert!(!is_grey.color().has_color(), "grey stays grey");
        near(&shown(&made(&png(&luma.into(), &profile))), &[expected; 3]);
        let faint = ImageBuffer::from_pixel(200, 200, LumaA([u16::from(grey) * 257, 30_000]));
        let faint = shown(&made(&png(&DynamicImage::ImageLumaA16(faint), &profile)));
        near(&faint, &[expected, expected, expected, 117]);
    }
}

#[test]
fn what_says_nothing_changes_nothing() {
    let rgb = RgbImage::from_fn(200, 200, |x, y| Rgb([x as u8, y as u8, 90]));
    let plain = made(&jpeg(&rgb, ColorType::Rgb, b"no profile at all"));
    let srgb = ColorProfile::new_srgb().encode().expect("encoded");
    let grey = ColorProfile::new_gray_with_gamma(1.0).encode().expect("encoded");
    let mut long = wide_gamut();
    long.resize(PROFILE_BYTES_MAX + 1, 0);
    for (profile, what) in [(srgb, "sRGB"), (grey, "of another colour space"), (long, "too long")] {
        assert_eq!(made(&jpeg(&rgb, ColorType::Rgb, &profile)), plain, "{what}");
    }
    assert_ne!(made(&jpeg(&rgb, ColorType::Rgb, &wide_gamut())), plain);
}

#[test]
fn a_damaged_profile_spoils_no_picture() {
    let mut random = fastrand::Rng::with_seed(5);
    let rgb = RgbImage::from_pixel(64, 64, Rgb([200, 100, 50]));
    let profile = wide_gamut();
    let mut heeded = 0;
    for _ in 0..500 {
        let mut damaged = profile.clone();
        for _ in 0..random.usize(1..6) {
            let place = random.usize(..damaged.len());
            damaged[place] = random.u8(..);
        }
        if random.u8(..) < 64 {
            damaged.truncate(random.usize(1..damaged.len()));
        }
        heeded += usize::from(ToSrgb::of(&damaged, false).is_some());
        let thumbnail = made(&png(&rgb.clone().into(), &damaged));
        assert_eq!((thumbnail.width, thumbnail.height), (64, 64));
    }
    assert!((50..450).contains(&heeded), "{heeded} of 500 were heeded");
}
