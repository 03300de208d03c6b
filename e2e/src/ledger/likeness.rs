//! Whether a thumbnail shows its original: both are looked at, whatever their metadata say.
//!
//! Each picture is shrunk to a few cells of colour, and these are compared. Pictures come again and again under many keys, so
//! what was seen once is kept for as long as one verdict is made.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Cursor;

use image::{DynamicImage, ImageDecoder as _, ImageReader};

use super::sha256;

/// Cells along each side.
const CELLS: u32 = 12;
/// Mean distance of a channel, of 255, above which two pictures are not the same. Decoders, scaling and JPEG's quality of 80
/// come to 7 at most with the committed pictures, a picture without its colours to 16.
const DISTANCE_MAX: f64 = 12.0;
/// What shines through is compared on this grey.
const BACKGROUND: f64 = 128.0;

/// A picture's cells, row by row, three channels each.
type Cells = Vec<f64>;

/// What was looked at already, by SHA-256.
#[derive(Default)]
pub(super) struct Likeness(RefCell<BTreeMap<String, Option<Cells>>>);

impl Likeness {
    /// How far apart they are; none: one of them cannot be looked at.
    pub(super) fn distance(&self, one: &[u8], other: &[u8]) -> Option<f64> {
        let (one, other) = (self.cells(one)?, self.cells(other)?);
        let sum: f64 = one.iter().zip(&other).map(|(one, other)| (one - other).abs()).sum();
        Some(sum / one.len() as f64)
    }

    /// Whether `thumbnail` shows something else than `original`.
    pub(super) fn differ(&self, original: &[u8], thumbnail: &[u8]) -> bool {
        self.distance(original, thumbnail).is_some_and(|distance| distance > DISTANCE_MAX)
    }

    fn cells(&self, bytes: &[u8]) -> Option<Cells> {
        self.0.borrow_mut().entry(sha256(bytes)).or_insert_with(|| cells(bytes)).clone()
    }
}

fn cells(bytes: &[u8]) -> Option<Cells> {
    let mut decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?.into_decoder().ok()?;
    let orientation = decoder.orientation().ok()?;
    let mut picture = DynamicImage::from_decoder(decoder).ok()?;
    picture.apply_orientation(orientation);
    let small = DynamicImage::from(picture.to_rgba8()).thumbnail_exact(CELLS, CELLS).to_rgba8();
    let channel = |colour: u8, alpha: u8| {
        let alpha = f64::from(alpha) / 255.0;
        f64::from(colour) * alpha + BACKGROUND * (1.0 - alpha)
    };
    Some(small.pixels().flat_map(|pixel| [0, 1, 2].map(|at| channel(pixel.0[at], pixel.0[3]))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn picture(name: &str) -> Vec<u8> {
        fixtures::image_bytes(name).unwrap().to_vec()
    }

    fn thumbnail(bytes: &[u8]) -> Vec<u8> {
        let mut small = Vec::new();
        let decoded = image::load_from_memory(bytes).unwrap().thumbnail(128, 128);
        decoded.write_to(&mut Cursor::new(&mut small), image::ImageFormat::Png).unwrap();
        small
    }

    #[test]
    fn a_picture_is_like_its_thumbnail_and_unlike_another_of_its_size() {
        let likeness = Likeness::default();
        let (one, other) = (picture("grey.jpg"), picture("rgb8.png"));
        for bytes in [&one, &other, &picture("alpha.png"), &picture("lossy.webp")] {
            assert!(!likeness.differ(bytes, &thumbnail(bytes)), "{:?}", likeness.distance(bytes, &thumbnail(bytes)));
        }
        assert!(likeness.differ(&one, &thumbnail(&other)), "{:?}", likeness.distance(&one, &thumbnail(&other)));
    }

    #[test]
    fn what_stands_on_its_head_is_another_picture() {
        let likeness = Likeness::default();
        let turned = thumbnail(&picture("exif_orientation_3.jpg"));
        assert!(
            likeness.differ(&picture("exif_orientation_3.jpg"), &turned),
            "made without looking at its orientation"
        );
        assert!(!likeness.differ(&picture("exif_orientation_1.jpg"), &picture("exif_orientation_3.jpg")));
    }

    #[test]
    fn what_cannot_be_decoded_is_not_judged() {
        assert_eq!(Likeness::default().distance(b"no picture", &picture("grey.jpg")), None);
    }
}
