//! Lanczos' window with three lobes, as a filter of the resizer.
//!
//! The resizer's own asks for two sines a weight, which is a tenth of the time that a small picture takes. One is enough,
//! since the sine of three times an angle is a polynomial of the angle's, and the weights are rounded to 16 bits anyhow.

use std::f64::consts::{FRAC_PI_2, PI};

use fast_image_resize::{Filter, FilterType};

const LOBES: f64 = 3.0;
/// Nearer than this to the middle, where both sines vanish, the first term of the series is exact to 1e-7.
const MIDDLE: f64 = 1.0 / 64.0;

/// The filter.
pub(super) fn lanczos3() -> FilterType {
    Filter::new("Lanczos3", weight, LOBES).map_or(FilterType::Lanczos3, FilterType::Custom)
}

/// `sinc(x) * sinc(x / 3)`, to 1e-6.
fn weight(x: f64) -> f64 {
    let x = x.abs();
    if x >= LOBES {
        return 0.0;
    }
    let angle = PI * x;
    if x < MIDDLE {
        return 1.0 - angle * angle * (1.0 + 1.0 / (LOBES * LOBES)) / 6.0;
    }
    let sine = sine(angle / LOBES);
    LOBES * sine * sine * (3.0 - 4.0 * sine * sine) / (angle * angle)
}

/// The sine of an angle from 0 to pi, to 1e-10: the series of the cosine of its distance from the right angle.
fn sine(angle: f64) -> f64 {
    let square = (angle - FRAC_PI_2) * (angle - FRAC_PI_2);
    // The divisors of neighbouring terms: 1 * 2, 3 * 4, and so on.
    let divisors = [182.0, 132.0, 90.0, 56.0, 30.0, 12.0, 2.0];
    divisors.into_iter().fold(1.0, |sum, divisor| 1.0 - square / divisor * sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fast_image_resize::images::Image;
    use fast_image_resize::{PixelType, ResizeAlg, ResizeOptions, Resizer};

    #[test]
    fn weights_are_those_of_the_definition() {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        for step in -40_000..=40_000 {
            let x = f64::from(step) / 10_000.0;
            let exact = if x.abs() < LOBES { sinc(x) * sinc(x / LOBES) } else { 0.0 };
            assert!((weight(x) - exact).abs() < 1e-6, "{x}: {} for {exact}", weight(x));
        }
    }

    #[test]
    fn samples_are_those_of_the_resizers_own_filter() {
        let mut random = fastrand::Rng::with_seed(7);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(331 * 207).collect();
        let noise = Image::from_vec_u8(331, 207, noise, PixelType::U8).expect("an image");
        let by = |filter| {
            let mut small = Image::new(97, 64, PixelType::U8);
            let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
            Resizer::new().resize(&noise, &mut small, &options).expect("resized");
            small.into_vec()
        };
        let (ours, theirs) = (by(lanczos3()), by(FilterType::Lanczos3));
        let furthest = ours.iter().zip(&theirs).map(|(one, other)| one.abs_diff(*other)).max();
        assert!(furthest <= Some(1), "{furthest:?}");
    }
}
