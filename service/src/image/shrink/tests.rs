//! What is left out of a picture is not missed in its thumbnail: measured against all of its samples, resized the same
//! way.

use std::path::PathBuf;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::*;
use crate::image::header::{self, Way};

fn fixture(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/images").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn judged(source: &[u8], edge: u32) -> (Header, Scale) {
    let header = header::read(source, 200_000_000, edge).expect("a header");
    let Way::Shrunk(scale) = header.way else { panic!("it is decoded whole") };
    (header, scale)
}

fn luma(planes: Planes) -> GrayImage {
    match planes.colors {
        Colors::Grey(luma) | Colors::YCbCr([luma, ..]) => luma,
        Colors::Rgb(_) => panic!("it has no luma"),
    }
}

/// Luma of the whole picture by another decoder, resized by the same resizer.
fn reference(source: &[u8], width: u32, height: u32) -> GrayImage {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(source), DecoderOptions::default());
    decoder.decode_headers().expect("a header");
    let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let space = if is_grey { ColorSpace::Luma } else { ColorSpace::YCbCr };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(space));
    let all = decoder.decode().expect("decoded");
    let (across, down) = decoder.dimensions().expect("decoded");
    let channels = all.len() / across / down;
    let luma = all.into_iter().step_by(channels).collect();
    let side = |side| u32::try_from(side).expect("small");
    let whole = Image::from_vec_u8(side(across), side(down), luma, PixelType::U8).expect("an image");
    let mut small = Image::new(width, height, PixelType::U8);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize(&whole, &mut small, &options).expect("resized");
    GrayImage::from_raw(width, height, small.into_vec()).expect("as many samples")
}

/// Structural similarity, by windows of 7 x 7, and peak signal to noise in decibel.
fn likeness(one: &GrayImage, other: &GrayImage) -> (f64, f64) {
    assert_eq!(one.dimensions(), other.dimensions());
    let noise: f64 = one.iter().zip(other.iter()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let peak = 10.0 * (255.0_f64.powi(2) * f64::from(one.width() * one.height()) / noise.max(1e-9)).log10();
    let (mut sum, mut windows) = (0.0, 0.0);
    for top in 0..one.height().saturating_sub(6) {
        for left in 0..one.width().saturating_sub(6) {
            let values = |picture: &GrayImage| -> Vec<f64> {
                (0..49).map(|at| picture.get_pixel(left + at % 7, top + at / 7).0[0].into()).collect()
            };
            let (a, b) = (values(one), values(other));
            let mean = |values: &[f64]| values.iter().sum::<f64>() / 49.0;
            let (mean_a, mean_b) = (mean(&a), mean(&b));
            let spread = |x: &[f64], mean_x: f64, y: &[f64], mean_y: f64| {
                x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / 48.0
            };
            let (aa, bb, ab) =
                (spread(&a, mean_a, &a, mean_a), spread(&b, mean_b, &b, mean_b), spread(&a, mean_a, &b, mean_b));
            let (small, large) = ((0.01_f64 * 255.0).powi(2), (0.03_f64 * 255.0).powi(2));
            sum += (2.0 * mean_a * mean_b + small) * (2.0 * ab + large)
                / ((mean_a.powi(2) + mean_b.powi(2) + small) * (aa + bb + large));
            windows += 1.0;
        }
    }
    (sum / windows, peak)
}

#[test]
fn luma_is_like_that_of_the_whole_picture() {
    // File, edge, the scale at which it is decoded.
    let cases = [
        ("seeding.jpg", 128, Scale::Quarter),
        ("seeding.jpg", 100, Scale::Eighth),
        ("seeding.jpg", 400, Scale::Half),
        ("seeding.jpg", 409, Scale::Half),
        ("seeding.jpg", 512, Scale::Half),
        ("seeding.jpg", 533, Scale::Half),
        ("seeding.jpg", 534, Scale::Full),
        ("progressive.jpg", 50, Scale::Eighth),
        ("grey.jpg", 80, Scale::Half),
        ("grey.jpg", 106, Scale::Half),
        ("grey.jpg", 128, Scale::Full),
        ("sampling_422.jpg", 40, Scale::Quarter),
        ("sampling_444.jpg", 80, Scale::Half),
        ("sampling_444.jpg", 106, Scale::Half),
        ("sampling_422.jpg", 106, Scale::Half),
        ("restart_markers.jpg", 106, Scale::Half),
        ("restart_markers.jpg", 128, Scale::Full),
        ("odd_size.jpg", 32, Scale::Full),
    ];
    for (file, edge, expected) in cases {
        let source = fixture(file);
        let (header, scale) = judged(&source, edge);
        assert_eq!(scale, expected, "{file} to {edge}");
        let ours = luma(planes(&source, header, scale, edge).expect("planes"));
        let (similarity, peak) = likeness(&ours, &reference(&source, ours.width(), ours.height()));
        println!("{file} to {edge} at {scale:?}: SSIM {similarity:.4}, PSNR {peak:.1} dB");
        assert!(similarity >= 0.997 && peak >= 43.0, "{file} to {edge}: SSIM {similarity:.4}, PSNR {peak:.1} dB");
    }
}

/// The last sample of a row shows the picture in part: whoever takes it whole shifts the thumbnail.
#[test]
fn a_picture_that_fills_its_last_samples_in_part_is_not_shifted() {
    let source = fixture("seeding.jpg");
    let whole = image::load_from_memory(&source).expect("decoded").to_luma8();
    for (width, height) in [(1587, 893), (1561, 889), (1599, 801), (1553, 899)] {
        let part = image::imageops::crop_imm(&whole, 0, 0, width, height).to_image();
        let mut bytes = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, 92);
        let side = |side| u16::try_from(side).expect("small");
        encoder.encode(&part, side(width), side(height), jpeg_encoder::ColorType::Luma).expect("encoded");
        let (header, scale) = judged(&bytes, 96);
        assert_eq!(scale, Scale::Eighth);
        let ours = luma(planes(&bytes, header, scale, 96).expect("planes"));
        let (similarity, peak) = likeness(&ours, &reference(&bytes, ours.width(), ours.height()));
        assert!(similarity >= 0.997 && peak >= 43.0, "{width}x{height}: SSIM {similarity:.4}, PSNR {peak:.1} dB");
    }
}

#[test]
fn chroma_has_half_of_every_even_side() {
    let source = fixture("seeding.jpg");
    for (edge, half) in [(128, (64, 36)), (129, (129, 73)), (130, (65, 73)), (100, (50, 28))] {
        let (header, scale) = judged(&source, edge);
        let Colors::YCbCr([luma, cb, cr]) = planes(&source, header, scale, edge).expect("planes").colors else {
            panic!("it has chroma")
        };
        assert_eq!(luma.dimensions(), fit(1600, 900, edge));
        assert_eq!((cb.dimensions(), cr.dimensions()), (half, half), "{edge}");
    }
}

#[test]
fn no_thread_keeps_more_than_it_may() {
    let source = fixture("seeding.jpg");
    let (header, _) = judged(&source, 128);
    planes(&source, header, Scale::Full, 128).expect("planes");
    TOOLS.with_borrow(|tools| {
        assert_eq!(tools.decoder.kept_bytes(), 0);
        assert!(tools.resizer.size_of_internal_buffers() <= KEPT_BYTES_MAX);
    });
    planes(&source, header, Scale::Eighth, 128).expect("planes");
    TOOLS.with_borrow(|tools| assert!(tools.decoder.kept_bytes() > 0, "small pictures use the same memory again"));
}
