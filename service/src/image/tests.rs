//! Every fixture, and pictures made here; what `fixtures/images/images.json` says of each is the measure.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::PathBuf;

use image::codecs::jpeg::JpegDecoder;
use image::{DynamicImage, GenericImageView, ImageDecoder, ImageFormat, RgbImage, RgbaImage};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::error::{Class, Classified};

#[derive(Debug, Deserialize)]
struct Fixture {
    file: String,
    valid: bool,
    content_type: Option<&'static str>,
    width: Option<u32>,
    height: Option<u32>,
    alpha: Option<bool>,
    shows: Option<&'static str>,
    code: Option<&'static str>,
}

fn fixtures() -> Vec<Fixture> {
    serde_json::from_str(include_str!("../../../fixtures/images/images.json")).expect("the list of fixtures")
}

fn fixture(file: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/images").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

fn pool(more: &[(&str, &str)]) -> Pool {
    let environment = more.iter().map(|(name, value)| (name.into(), value.into()));
    let settings = Settings::load(environment, &HashMap::new()).expect("settings");
    let budget = ByteBudget::new(settings.decode_bytes_max);
    Pool::new(&settings, budget).expect("threads")
}

fn decoded(thumbnail: &Thumbnail) -> DynamicImage {
    image::load_from_memory(&thumbnail.bytes).expect("a thumbnail that can be decoded")
}

/// Mean difference of two pictures in the colours of their opaque parts, from 0 to 255.
fn difference(one: &DynamicImage, other: &DynamicImage) -> f64 {
    assert_eq!(one.dimensions(), other.dimensions());
    let (one, other) = (one.to_rgba8(), other.to_rgba8());
    let mut sum = (0.0, 0.0);
    for (a, b) in one.pixels().zip(other.pixels()) {
        let weight = f64::from(a.0[3].min(b.0[3]));
        let distance: i32 = (0..3).map(|channel| i32::from(a.0[channel].abs_diff(b.0[channel]))).sum();
        sum = (sum.0 + weight * f64::from(distance) / 3.0, sum.1 + weight);
    }
    sum.0 / sum.1
}

#[tokio::test]
async fn every_valid_fixture_has_the_thumbnail_that_its_picture_should_have() {
    let pool = pool(&[]);
    let whole = image::load_from_memory(&fixture("rgb8.png")).expect("the photograph");
    for row in fixtures().into_iter().filter(|row| row.valid) {
        let file = &row.file;
        let thumbnail = pool.thumbnail(fixture(file)).await.unwrap_or_else(|error| panic!("{file}: {error}"));
        let source = (thumbnail.source_width, thumbnail.source_height);
        assert_eq!(Some(thumbnail.source_content_type), row.content_type, "{file}");
        assert_eq!((Some(source.0), Some(source.1)), (row.width, row.height), "{file}");
        let expected = if row.alpha == Some(true) { "image/png" } else { "image/jpeg" };
        assert_eq!(thumbnail.content_type, expected, "{file}");
        assert_eq!(thumbnail.sha256[..], Sha256::digest(&thumbnail.bytes)[..], "{file}");
        assert_eq!((thumbnail.width, thumbnail.height), size::fit(source.0, source.1, 128), "{file}");
        let picture = decoded(&thumbnail);
        assert_eq!(picture.dimensions(), (thumbnail.width, thumbnail.height), "{file}");
        assert_eq!(picture.color().has_alpha(), row.alpha == Some(true), "{file}");
        match row.shows {
            Some("seeding") => {
                let filter = image::imageops::FilterType::Lanczos3;
                let reference = whole.resize_exact(thumbnail.width, thumbnail.height, filter);
                let difference = difference(&picture, &reference);
                assert!(difference < 8.0, "{file} differs by {difference}");
            }
            Some("seeding_grey") => {
                let filter = image::imageops::FilterType::Lanczos3;
                let reference = whole.resize_exact(thumbnail.width, thumbnail.height, filter).grayscale();
                assert!(!picture.color().has_color(), "{file} was grey");
                let difference = difference(&picture, &reference);
                assert!(difference < 8.0, "{file} differs by {difference}");
            }
            Some("corners") => upright(file, &picture),
            _ => {}
        }
    }
}

/// Red and green above blue and white.
fn upright(file: &str, picture: &DynamicImage) {
    let (right, low) = (picture.width() * 3 / 4, picture.height() * 3 / 4);
    let (left, high) = (picture.width() / 4, picture.height() / 4);
    for (x, y, colour) in
        [(left, high, [230, 20, 20]), (right, high, [20, 180, 20]), (left, low, [20, 20, 230]), (right, low, [245; 3])]
    {
        let pixel = picture.get_pixel(x, y).0;
        let off = (0..3).map(|channel| pixel[channel].abs_diff(colour[channel])).max();
        assert!(off < Some(25), "{file}: {pixel:?} at {x},{y} is not {colour:?}");
    }
}

#[tokio::test]
async fn every_invalid_fixture_is_refused_with_its_code() {
    let pool = pool(&[]);
    let mut seen = 0;
    for row in fixtures().into_iter().filter(|row| !row.valid && row.code != Some("body_empty")) {
        let error = pool.thumbnail(fixture(&row.file)).await.expect_err(&row.file);
        assert_eq!(Some(error.code().as_str()), row.code, "{}: {error}", row.file);
        assert_eq!(error.class(), Class::Permanent);
        seen += 1;
    }
    assert!(seen > 10, "only {seen} fixtures are invalid");
    assert_eq!(pool.budget.held(), 0);
}

#[tokio::test]
async fn the_same_bytes_come_out_every_time() {
    let pool = pool(&[]);
    for file in ["progressive.jpg", "alpha.png", "lossy.webp", "rgb16.png"] {
        let first = pool.thumbnail(fixture(file)).await.expect(file);
        for _ in 0..3 {
            assert_eq!(pool.thumbnail(fixture(file)).await.expect(file), first, "{file}");
        }
    }
}

#[tokio::test]
async fn no_metadata_of_the_source_is_left() {
    let pool = pool(&[]);
    for file in ["exif_orientation_6.jpg", "wide_gamut.jpg"] {
        let thumbnail = pool.thumbnail(fixture(file)).await.expect(file);
        let mut decoder = JpegDecoder::new(Cursor::new(&thumbnail.bytes)).expect("a JPEG");
        assert_eq!(decoder.exif_metadata().expect("read"), None, "{file}");
        assert_eq!(decoder.icc_profile().expect("read"), None, "{file}");
        assert_eq!(decoder.xmp_metadata().expect("read"), None, "{file}");
    }
}

#[tokio::test]
async fn what_shines_through_stays_so_and_its_hidden_colours_stay_hidden() {
    // Left half: opaque red. Right half: transparent, with a green that nobody is to see.
    let picture =
        RgbaImage::from_fn(400, 200, |x, _| image::Rgba(if x < 200 { [255, 0, 0, 255] } else { [0, 255, 0, 0] }));
    let thumbnail = pool(&[]).thumbnail(png_of(&picture.into())).await.expect("a thumbnail");
    let shown = decoded(&thumbnail).to_rgba8();
    assert_eq!(thumbnail.content_type, "image/png");
    assert_eq!(shown.get_pixel(10, 30).0, [255, 0, 0, 255]);
    assert_eq!(shown.get_pixel(118, 30).0[3], 0);
    for pixel in shown.pixels().filter(|pixel| pixel.0[3] > 0) {
        assert!(pixel.0[1] < 8, "green has bled into {pixel:?}");
    }
}

#[tokio::test]
async fn a_picture_with_an_alpha_channel_that_hides_nothing_becomes_a_jpeg() {
    let opaque = RgbaImage::from_pixel(300, 200, image::Rgba([10, 200, 30, 255]));
    let thumbnail = pool(&[]).thumbnail(png_of(&opaque.into())).await.expect("a thumbnail");
    assert_eq!(thumbnail.content_type, "image/jpeg");
    let pixel = decoded(&thumbnail).get_pixel(60, 40).0;
    assert!([10, 200, 30].iter().zip(pixel).all(|(wanted, got)| got.abs_diff(*wanted) < 4), "{pixel:?}");
}

/// Editors leave their whole history there.
#[tokio::test]
async fn a_png_is_not_refused_for_a_long_comment() {
    let picture = fixture("rgb8.png");
    let comment = vec![b'x'; 4 << 20];
    let mut chunk = u32::try_from(comment.len()).expect("fits").to_be_bytes().to_vec();
    chunk.extend(b"tEXt");
    chunk.extend(comment);
    // CRC-32 of the name and the content.
    let mut crc = u32::MAX;
    for byte in &chunk[4..] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    chunk.extend((!crc).to_be_bytes());
    let end_of_header = 8 + 25;
    let commented = [&picture[..end_of_header], &chunk, &picture[end_of_header..]].concat();
    let pool = pool(&[]);
    let expected = pool.thumbnail(picture).await.expect("a thumbnail");
    assert_eq!(pool.thumbnail(commented.into()).await, Ok(expected));
}

#[tokio::test]
async fn limits_are_those_of_the_settings() {
    let code = async |more: &[(&str, &str)], file: &str| {
        pool(more).thumbnail(fixture(file)).await.map_err(|error| error.code().as_str())
    };
    let pixels = (1600 * 900_u32).to_string();
    assert!(code(&[("SOURCE_PIXELS_MAX", &pixels)], "seeding.jpg").await.is_ok());
    let one_less = (1600 * 900 - 1_u32).to_string();
    assert_eq!(code(&[("SOURCE_PIXELS_MAX", &one_less)], "seeding.jpg").await, Err("image_too_many_pixels"));
    assert_eq!(code(&[("DECODE_BYTES_MAX", "1MiB")], "seeding.jpg").await, Err("image_memory_limit"));
    assert!(code(&[("DECODE_BYTES_MAX", "2MiB")], "seeding.jpg").await.is_ok(), "it is decoded at a quarter");
    let wide = pool(&[("THUMBNAIL_EDGE_PX", "512")]).thumbnail(fixture("seeding.jpg")).await.expect("a thumbnail");
    assert_eq!((wide.width, wide.height), (512, 288));
    let strip = png_of(&RgbImage::new(65_501, 1).into());
    let error = pool(&[]).thumbnail(strip).await.expect_err("too wide");
    assert!(matches!(error, ImageError::SideTooLong { .. }), "{error}");
    let strip = png_of(&RgbImage::new(65_500, 1).into());
    let thumbnail = pool(&[]).thumbnail(strip).await.expect("as wide as allowed");
    assert_eq!((thumbnail.width, thumbnail.height), (128, 1));
}

#[tokio::test]
async fn pictures_wait_for_the_memory_that_others_hold() {
    let pool = pool(&[]);
    let held = pool.budget.reserve(pool.budget.total()).await;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.thumbnail(fixture("grey.jpg")).await.map(drop) }
    });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "no memory is free");
    drop(held);
    waiting.await.expect("no panic").expect("a thumbnail");
    assert_eq!(pool.budget.held(), 0);
}

#[tokio::test]
async fn any_number_of_pictures_at_once_stays_within_the_budget() {
    let pool = pool(&[("DECODE_BYTES_MAX", "4MiB")]);
    let all = (0..20).map(|_| pool.thumbnail(fixture("sampling_420.jpg")));
    let thumbnails = futures_util::future::join_all(all).await;
    assert!(thumbnails.iter().all(Result::is_ok));
    assert_eq!(pool.budget.held(), 0);
}

fn png_of(picture: &DynamicImage) -> Bytes {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).expect("encoded");
    bytes.into_inner().into()
}

fn thumbnail_now(source: &[u8]) -> Result<Thumbnail, ImageError> {
    let header = header::read(source, 1_000_000, 128)?;
    make(source, header, Form { edge: 128, quality: 80 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_picture_of_any_size_has_a_thumbnail_of_the_right_size(width in 1..=300_u32, height in 1..=300_u32) {
        let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 99]));
        let thumbnail = thumbnail_now(&png_of(&picture.into())).expect("a thumbnail");
        prop_assert_eq!((thumbnail.width, thumbnail.height), size::fit(width, height, 128));
        prop_assert_eq!((thumbnail.source_width, thumbnail.source_height), (width, height));
        prop_assert_eq!(decoded(&thumbnail).dimensions(), (thumbnail.width, thumbnail.height));
    }
}

/// Fixtures cut short or with bytes turned over give a thumbnail or an error, and never a panic.
#[test]
fn damaged_pictures_end_in_a_thumbnail_or_an_error() {
    let mut random = fastrand::Rng::with_seed(3);
    let files = ["odd_size.jpg", "one_pixel.jpg", "cmyk.jpg", "interlaced.png", "palette_alpha.png", "small_frame.gif"];
    let more = ["transparent.gif", "alpha.webp", "lossless.webp", "animated.webp", "exif_orientation_5.jpg"];
    let mut refused = 0;
    for file in files.into_iter().chain(more) {
        let whole = fixture(file);
        for _ in 0..40 {
            let mut bytes = whole.to_vec();
            for _ in 0..random.usize(1..4) {
                let place = random.usize(..bytes.len());
                bytes[place] = random.u8(..);
            }
            if random.bool() {
                bytes.truncate(random.usize(..bytes.len()));
            }
            refused += usize::from(thumbnail_now(&bytes).is_err());
        }
    }
    assert!(refused > 100, "only {refused} of 440 were refused");
}
