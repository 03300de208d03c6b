//! The size of a thumbnail. Pure.

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
