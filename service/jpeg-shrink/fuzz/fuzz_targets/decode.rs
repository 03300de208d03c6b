//! Any bytes: no panic, no more memory than was said, the same answer twice; and where the other decoder finds nothing
//! wrong either, much the same luma.
#![no_main]

use std::cell::RefCell;

use jpeg_shrink::{Color, Decoder, Jpeg, Scale};
use libfuzzer_sys::fuzz_target;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Larger ones only cost time.
const PIXELS_MAX: u32 = 1 << 16;
/// Mean difference of a sample. Scaled pictures are compared by their mean, at which clamping and blocks that reach over
/// the edge are felt.
const MEAN_DIFFERENCE_MAX: f64 = 3.0;

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new());
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(jpeg) = Jpeg::parse(bytes) else { return };
    assert!(jpeg.icc_profile().is_none_or(|profile| profile.len() <= bytes.len()));
    if u32::from(jpeg.width()) * u32::from(jpeg.height()) > PIXELS_MAX {
        return;
    }
    DECODER.with_borrow_mut(|decoder| {
        for scale in Scale::ALL {
            decoder.keep_at_most(0);
            let is_decoded = decoder.decode(&jpeg, scale).is_ok();
            assert!(!is_decoded || decoder.kept_bytes() as u64 <= jpeg.memory(scale));
        }
        // A new decoder takes longer than most files.
        if bytes.len() % 16 == 0 {
            same(&jpeg, decoder);
        }
        compare(bytes, &jpeg, decoder);
    });
});

/// Nothing of what was decoded before shows.
fn same(jpeg: &Jpeg<'_>, used: &mut Decoder) {
    let mut fresh = Decoder::new();
    for scale in Scale::ALL {
        match (fresh.decode(jpeg, scale), used.decode(jpeg, scale)) {
            (Ok(one), Ok(other)) => {
                assert_eq!(one.damage(), other.damage());
                for (one, other) in one.planes().iter().zip(other.planes()) {
                    assert!(one.samples() == other.samples());
                }
            }
            (one, other) => assert_eq!(one.err(), other.err()),
        }
    }
}

fn compare(bytes: &[u8], jpeg: &Jpeg<'_>, decoder: &mut Decoder) {
    // Of baseline files with a scan for each component, and of those with other factors than one and two, zune-jpeg
    // 0.5.15 makes something else.
    let scans = bytes.windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
    let is_common = jpeg.components().iter().all(|component| component.horizontal <= 2 && component.vertical <= 2);
    if jpeg.is_progressive() || scans != 1 || !is_common || jpeg.color() == Color::Rgb {
        return;
    }
    let Ok(picture) = decoder.decode(jpeg, Scale::Full) else { return };
    if picture.damage().is_some() {
        return;
    }
    let space = if jpeg.color() == Color::Grey { ColorSpace::Luma } else { ColorSpace::YCbCr };
    let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(space);
    let mut other = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let Ok(samples) = other.decode() else { return };
    if other.dimensions() != Some((jpeg.width().into(), jpeg.height().into())) {
        return;
    }
    let luma = picture.planes()[0];
    // Coefficients that no encoder writes are cut off at different places, but all of them leave many samples at the ends.
    let ends = (0..luma.height()).flat_map(|y| luma.row(y)).filter(|sample| matches!(sample, 0 | 255)).count();
    if ends > samples.len() / space.num_components() / 16 {
        return;
    }
    let mut theirs = samples.iter().step_by(space.num_components());
    let mut sum = 0.0;
    for y in 0..luma.height() {
        for (ours, theirs) in luma.row(y).iter().zip(&mut theirs) {
            sum += f64::from(ours.abs_diff(*theirs));
        }
    }
    let mean = sum / f64::from(luma.width() * luma.height());
    assert!(mean <= MEAN_DIFFERENCE_MAX, "the other decoder's luma is {mean} away");
}
