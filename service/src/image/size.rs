//! The size of a thumbnail, and how large a picture has to be decoded for it. Pure.

use jpeg_shrink::Scale;

/// How much larger than its thumbnail a picture has to be when it is resized, by hundredths: with less, the coefficients
/// that were left out would be missed. At 1/2 they are of the finest detail alone.
const fn gap_percent(scale: Scale) -> u64 {
    match scale {
        Scale::Eighth | Scale::Quarter => 195,
        Scale::Half | Scale::Full => 150,
    }
}

/// `width` x `height` made to fit a square of `edge`: never enlarged, the ratio kept within a pixel, no side of none.
pub(super) fn fit(width: u32, height: u32, edge: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= edge {
        return (width, height);
    }
    let scale = |side: u32| {
        let (side, edge, longest) = (u64::from(side), u64::from(edge), u64::from(longest));
        // At most `edge`, so it fits; rounded to the nearest.
        u32::try_from((side * edge + longest / 2) / longest).unwrap_or(u32::MAX).max(1)
    };
    (scale(width), scale(height))
}

/// The smallest scale that leaves enough of `width` x `height` to be resized for a square of `edge`.
pub(super) fn scale(width: u32, height: u32, edge: u32) -> Scale {
    let (small_width, small_height) = fit(width, height, edge);
    let is_enough = |scale: &Scale| {
        let is_enough = |side: u32, small: u32| {
            u64::from(side) * u64::from(scale.eighths()) * 100 >= 8 * gap_percent(*scale) * u64::from(small)
        };
        is_enough(width, small_width) && is_enough(height, small_height)
    };
    Scale::ALL.into_iter().find(is_enough).unwrap_or(Scale::Full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_people_meet() {
        assert_eq!(fit(4000, 3000, 128), (128, 96));
        assert_eq!(fit(3000, 4000, 128), (96, 128));
        assert_eq!(fit(128, 128, 128), (128, 128));
        assert_eq!(fit(100, 20, 128), (100, 20));
        assert_eq!(fit(65_500, 1, 128), (128, 1));
        assert_eq!(fit(3, 2, 1), (1, 1));
    }

    #[test]
    fn what_is_left_to_resize_is_larger_than_the_thumbnail() {
        assert_eq!(scale(4000, 3000, 128), Scale::Eighth);
        assert_eq!(scale(4000, 3000, 512), Scale::Quarter);
        assert_eq!(scale(1997, 1997, 128), Scale::Eighth, "1.9502 times");
        assert_eq!(scale(1996, 1996, 128), Scale::Quarter, "1.949 times");
        assert_eq!(scale(640, 427, 128), Scale::Half);
        assert_eq!(scale(384, 216, 128), Scale::Half, "1.5 times");
        assert_eq!(scale(383, 216, 128), Scale::Full, "1.496 times");
        assert_eq!(scale(320, 180, 128), Scale::Full);
        assert_eq!(scale(65_500, 1, 128), Scale::Full, "one row has nothing to spare");
    }

    proptest! {
        #[test]
        fn a_thumbnail_fits_keeps_its_ratio_and_is_never_larger(
            width in 1..=65_500_u32, height in 1..=65_500_u32, edge in 1..=4096_u32
        ) {
            let (w, h) = fit(width, height, edge);
            prop_assert!(w >= 1 && h >= 1 && w <= width && h <= height);
            if width.max(height) > edge {
                prop_assert_eq!(w.max(h), edge);
                let scale = f64::from(edge) / f64::from(width.max(height));
                for (side, exact) in [(w, f64::from(width) * scale), (h, f64::from(height) * scale)] {
                    prop_assert!((f64::from(side) - exact).abs() <= 0.5 || (side == 1 && exact < 1.0));
                }
            } else {
                prop_assert_eq!((w, h), (width, height));
            }
        }
    }
}
