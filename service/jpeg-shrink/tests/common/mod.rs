//! Files written from coefficients that the test knows, and the samples that they stand for, both in the plainest way.
#![allow(dead_code, reason = "each test uses its part")]

mod writer;

use std::f64::consts::PI;

use jpeg_shrink::{Jpeg, Picture, Scale};
use writer::Writer;

pub(crate) const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// How the blocks lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Interleaved,
    /// A scan for each component.
    Separate,
    /// DC in two steps, AC between them.
    Progressive,
    /// The same with all DC of each component in a scan of its own, in three steps.
    ProgressiveSeparate,
}

/// Which codes the symbols have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codes {
    /// The standard's.
    Standard,
    /// The standard's, not stated in the file.
    Unstated,
    /// Most of 16 bits.
    Long,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// Factors of each component, across and down.
    pub(crate) samplings: Vec<(u8, u8)>,
    pub(crate) interval: u16,
    pub(crate) order: Order,
    pub(crate) codes: Codes,
    /// Of 100 coefficients, so many are not zero.
    pub(crate) density: u32,
    pub(crate) seed: u64,
}

/// Coefficients of a component, in natural order, for whole units.
pub(crate) struct Component {
    pub(crate) across: usize,
    pub(crate) down: usize,
    /// Blocks that show something of the picture.
    pub(crate) seen: (usize, usize),
    pub(crate) blocks: Vec<[i32; 64]>,
    pub(crate) size: (usize, usize),
}

pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) components: Vec<Component>,
    pub(crate) quantisation: [i32; 64],
}

impl Plan {
    pub(crate) fn has_wide_units(&self) -> bool {
        self.samplings.len() > 1 && self.samplings.iter().map(|(h, v)| h * v).sum::<u8>() > 10
    }

    /// The coefficients, and the file that tells them.
    pub(crate) fn file(&self) -> File {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let quantisation: [i32; 64] = std::array::from_fn(|_| random.i32(1..12));
        let most = |which: fn(&(u8, u8)) -> u8| usize::from(self.samplings.iter().map(which).max().expect("some"));
        let is_alone = self.samplings.len() == 1;
        let (h_max, v_max) = if is_alone { (1, 1) } else { (most(|s| s.0), most(|s| s.1)) };
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let units = (width.div_ceil(8 * h_max), height.div_ceil(8 * v_max));
        let components: Vec<Component> = self
            .samplings
            .iter()
            .map(|(h, v)| {
                let (h, v) = if is_alone { (1, 1) } else { (usize::from(*h), usize::from(*v)) };
                let size = ((width * h).div_ceil(h_max), (height * v).div_ceil(v_max));
                let (across, down) = (units.0 * h, units.1 * v);
                let blocks = (0..across * down).map(|_| self.block(&quantisation, &mut random)).collect();
                Component { across, down, seen: (size.0.div_ceil(8), size.1.div_ceil(8)), blocks, size }
            })
            .collect();
        let mut writer = Writer::new(self, &quantisation);
        writer.scans(&components, units);
        File { bytes: writer.finish(), components, quantisation }
    }

    fn block(&self, quantisation: &[i32; 64], random: &mut fastrand::Rng) -> [i32; 64] {
        let mut block = [0; 64];
        block[0] = random.i32(-900..900) / quantisation[0];
        for (at, coefficient) in block.iter_mut().enumerate().skip(1) {
            if random.u32(..100) < self.density {
                let range = if random.u8(..40) == 0 { 1023 } else { 200 / (1 + i32::try_from(at).expect("small")) + 1 };
                *coefficient = random.i32(-range..=range);
            }
        }
        block
    }
}

/// The samples of a component at `n` for each side of a block: the lowest coefficients, transformed by the textbook.
pub(crate) fn samples(component: &Component, quantisation: &[i32; 64], n: usize) -> Vec<Vec<f64>> {
    let wave = |at: usize, k: usize| {
        let scale = if k == 0 { (1.0 / n as f64).sqrt() } else { (2.0 / n as f64).sqrt() };
        scale * (PI * (2 * at + 1) as f64 * k as f64 / (2 * n) as f64).cos()
    };
    let waves: Vec<Vec<f64>> = (0..n).map(|at| (0..n).map(|k| wave(at, k)).collect()).collect();
    let mut rows = vec![vec![0.0; component.across * n]; component.down * n];
    for (at, block) in component.blocks.iter().enumerate() {
        let (left, top) = (at % component.across * n, at / component.across * n);
        for y in 0..n {
            for x in 0..n {
                let mut sum = 0.0;
                for v in 0..n {
                    for u in 0..n {
                        let dequantised = block[8 * v + u] * quantisation[8 * v + u];
                        sum += f64::from(dequantised) * waves[x][u] * waves[y][v];
                    }
                }
                rows[top + y][left + x] = (sum * n as f64 / 8.0 + 128.0).clamp(0.0, 255.0);
            }
        }
    }
    rows
}

/// Fails unless every sample of the picture is the exact value, rounded.
pub(crate) fn is_exact(picture: &Picture<'_>, file: &File, scale: Scale, what: &dyn std::fmt::Debug) {
    let n = usize::try_from(scale.eighths()).expect("small");
    assert_eq!(picture.planes().len(), file.components.len());
    for (at, (plane, component)) in picture.planes().iter().zip(&file.components).enumerate() {
        let exact = samples(component, &file.quantisation, n);
        let size = ((component.size.0 * n).div_ceil(8), (component.size.1 * n).div_ceil(8));
        assert_eq!(
            (usize::try_from(plane.width()), usize::try_from(plane.height())),
            (Ok(size.0), Ok(size.1)),
            "{what:?}"
        );
        for (y, exact) in (0..plane.height()).zip(exact) {
            let row = plane.row(y);
            assert_eq!(row.len(), size.0);
            for (x, (sample, exact)) in row.iter().zip(exact).enumerate() {
                let off = (f64::from(*sample) - exact).abs();
                assert!(off < 0.502, "{what:?} {scale:?}: {sample} at {x},{y} of plane {at} is {exact}");
            }
        }
    }
}

/// A picture of gentle waves and some noise, as RGB.
pub(crate) fn waves(width: u16, height: u16, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for channel in [0.07, 0.11, 0.05] {
                let wave = (f64::from(x) * channel).sin() + (f64::from(y) * channel * 1.3).cos();
                pixels.push((128.0 + 35.0 * wave) as u8 + random.u8(..12));
            }
        }
    }
    pixels
}

/// The header of a file that has one.
pub(crate) fn parse(bytes: &[u8]) -> Jpeg<'_> {
    Jpeg::parse(bytes).expect("a header")
}
