//! Coefficients -> samples, of as many coefficients as the scale needs.
//!
//! At 1/4 and 1/2 the lowest 2 x 2 and 4 x 4 coefficients are those of a smaller transform: that is the sharpest picture
//! of such a size without aliasing. A sample is the exact value, rounded; 1/2 and the full size compute in `f32`, which
//! any processor does several at a time, and which holds whatever a dishonest file multiplies.

/// Largest coefficient in integers, either way; honest ones are less than 2^12.
pub(crate) const COEFFICIENT_MAX: i32 = (1 << 14) - 1;

/// The natural place of each coefficient of a block, in the order in which they are coded.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Where the coefficients go, in coded order, in a block of `N` x `N`: by columns, and behind its end those that it does
/// not hold.
#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
pub(crate) const fn places<const N: usize>() -> [u8; 64] {
    let mut places = [(N * N) as u8; 64];
    let mut k = 0;
    while k < 64 {
        let (row, column) = (ZIGZAG[k] as usize / 8, ZIGZAG[k] as usize % 8);
        if row < N && column < N {
            places[k] = (column * N + row) as u8;
        }
        k += 1;
    }
    places
}

/// The last coefficient in coded order that a block of `N` x `N` holds.
pub(crate) const fn last<const N: usize>() -> u32 {
    match N {
        1 => 0,
        2 => 4,
        4 => 24,
        _ => 63,
    }
}

/// What a coefficient of a block of `N` x `N` is multiplied by before [`four`] or [`eight`], in coded order.
pub(crate) fn factors<const N: usize>(quantisation: &[i32; 64]) -> [f32; 64] {
    let mut factors = [0.0; 64];
    for ((factor, step), place) in factors.iter_mut().zip(quantisation).zip(ZIGZAG) {
        let scale = |k: u8| wave_scale::<N>(usize::from(k));
        // At most 16 bits, so nothing is lost.
        let step = u16::try_from(*step).map_or(0.0, f32::from);
        *factor = step * scale(place / 8) * scale(place % 8);
    }
    factors
}

/// The factor of wave `k` that [`four_once`] and [`eight_once`] leave to their caller, with the size of the transform.
fn wave_scale<const N: usize>(k: usize) -> f32 {
    use std::f32::consts::{FRAC_1_SQRT_2, PI};
    match (N, k) {
        (4, _) => 0.5 * FRAC_1_SQRT_2,
        (_, 0) => 0.5 * FRAC_1_SQRT_2,
        (_, k) => 0.5 * (PI * u8::try_from(k).map_or(0.0, f32::from) / 16.0).cos(),
    }
}

/// The sample of a block that is all the same.
#[inline(always)]
pub(crate) fn flat(dc: i32) -> u8 {
    u8::try_from((((dc + 4) >> 3) + 128).clamp(0, 255)).unwrap_or(0)
}

/// The samples of a block of 2 x 2, by rows.
#[inline(always)]
pub(crate) fn two(&[dc, down, right, both]: &[i32; 4]) -> [[u8; 2]; 2] {
    let (above, below) = (dc + down, dc - down);
    let (slope_above, slope_below) = (right + both, right - both);
    [[flat(above + slope_above), flat(above - slope_above)], [flat(below + slope_below), flat(below - slope_below)]]
}

/// The samples of a block of 4 x 4, by rows.
#[inline(always)]
pub(crate) fn four(block: &[f32; 16]) -> [[u8; 4]; 4] {
    both_ways(lines(block), four_once)
}

/// The samples of a block, by rows.
#[inline(always)]
pub(crate) fn eight(block: &[f32; 64]) -> [[u8; 8]; 8] {
    both_ways(lines(block), eight_once)
}

#[inline(always)]
fn lines<const N: usize>(block: &[f32]) -> [[f32; N]; N] {
    let mut lines = [[0.0; N]; N];
    for (line, values) in lines.iter_mut().zip(block.chunks_exact(N)) {
        line.copy_from_slice(values);
    }
    lines
}

/// Each of `waves` is a column of coefficients. One pass takes all columns of its square at once.
#[inline(always)]
fn both_ways<const N: usize>(waves: [[f32; N]; N], once: impl Fn([f32; N]) -> [f32; N]) -> [[u8; N]; N] {
    let across = transpose(&pass(&waves, &once));
    pass(&across, &once).map(|row| row.map(sample))
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "the places are less than the length")]
fn pass<const N: usize>(square: &[[f32; N]; N], once: &impl Fn([f32; N]) -> [f32; N]) -> [[f32; N]; N] {
    let mut out = [[0.0; N]; N];
    for column in 0..N {
        let mut values = [0.0; N];
        for row in 0..N {
            values[row] = square[row][column];
        }
        let values = once(values);
        for row in 0..N {
            out[row][column] = values[row];
        }
    }
    out
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "the places are less than the length")]
fn transpose<const N: usize>(square: &[[f32; N]; N]) -> [[f32; N]; N] {
    let mut out = [[0.0; N]; N];
    for row in 0..N {
        for column in 0..N {
            out[row][column] = square[column][row];
        }
    }
    out
}

/// A value around 0 -> a sample, rounded.
#[inline(always)]
fn sample(value: f32) -> u8 {
    let value = value + 128.0;
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < 255.0 { value } else { 255.0 };
    // At this size the last bit of the mantissa is the one of the units.
    const UNITS: f32 = 8_388_608.0;
    u8::try_from((value + UNITS).to_bits() & 0xff).unwrap_or(0)
}

/// One dimension of four.
#[inline(always)]
fn four_once([a, b, c, d]: [f32; 4]) -> [f32; 4] {
    // Root of two times the cosine and the sine of pi/8.
    const COS: f32 = 1.306_563;
    const SIN: f32 = 0.541_196_1;
    let (even, odd) = (a + c, a - c);
    let (outer, inner) = (b * COS + d * SIN, b * SIN - d * COS);
    [even + outer, odd + inner, odd - inner, even - outer]
}

/// One dimension of eight, by Arai, Agui and Nakajima.
///
/// Source: jidctflt.c of the Independent JPEG Group.
#[inline(always)]
fn eight_once([c0, c1, c2, c3, c4, c5, c6, c7]: [f32; 8]) -> [f32; 8] {
    use std::f32::consts::SQRT_2;
    // Twice the cosine of pi/8; twice the difference and the sum of it and that of 3 pi/8.
    const COS_TWICE: f32 = 1.847_759;
    const DIFFERENCE: f32 = 1.082_392_2;
    const SUM: f32 = 2.613_125_9;

    let (sum, difference) = (c0 + c4, c0 - c4);
    let both = c2 + c6;
    let turned = (c2 - c6) * SQRT_2 - both;
    let even = [sum + both, difference + turned, difference - turned, sum - both];

    let (inner_sum, inner) = (c5 + c3, c5 - c3);
    let (outer_sum, outer) = (c1 + c7, c1 - c7);
    let first = outer_sum + inner_sum;
    let middle = (outer_sum - inner_sum) * SQRT_2;
    let rotated = (inner + outer) * COS_TWICE;
    let second = rotated - inner * SUM - first;
    let third = middle - second;
    let fourth = rotated - outer * DIFFERENCE - third;
    [
        even[0] + first,
        even[1] + second,
        even[2] + third,
        even[3] + fourth,
        even[3] - fourth,
        even[2] - third,
        even[1] - second,
        even[0] - first,
    ]
}

#[cfg(test)]
mod tests;
