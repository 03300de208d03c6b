//! Scans whose blocks are complete: baseline and extended.

use crate::bits::{Bits, Window};
use crate::huffman::{AcTable, DcTable, END, at_index};
use crate::idct::{self, COEFFICIENT_MAX};
use crate::scan::Unit;

/// A component in a scan, at `N` x `N` samples for each block.
pub(crate) struct Blocks<'a> {
    pub(crate) samples: &'a mut [u8],
    pub(crate) stride: usize,
    /// Blocks in a unit.
    pub(crate) across: usize,
    pub(crate) down: usize,
    pub(crate) dc: &'a DcTable,
    pub(crate) ac: &'a AcTable,
    /// In coded order; and what it becomes for the scales that compute in `f32`.
    pub(crate) quantisation: [i32; 64],
    pub(crate) factors: [f32; 64],
    /// The DC coefficient of the block before.
    pub(crate) before: i32,
}

/// The units of a scan. `L` is the length of a block's array: a power of two that is larger than `N` x `N`, or 64.
pub(crate) struct Sequential<'a, 'b, const N: usize, const L: usize> {
    pub(crate) parts: &'b mut [Blocks<'a>],
}

impl<const N: usize, const L: usize> Unit for Sequential<'_, '_, N, L> {
    #[inline(always)]
    fn read(&mut self, x: usize, y: usize, bits: &mut Bits, window: &Window) -> bool {
        let mut is_sound = true;
        for part in self.parts.iter_mut() {
            let mut place = (y * part.down * part.stride + x * part.across) * N;
            for _ in 0..part.down {
                for column in 0..part.across {
                    is_sound &= part.block::<N, L>(place + column * N, bits, window);
                }
                place += part.stride * N;
            }
        }
        is_sound
    }

    fn restart(&mut self) {
        for part in self.parts.iter_mut() {
            part.before = 0;
        }
    }
}

impl Blocks<'_> {
    #[inline(always)]
    fn block<const N: usize, const L: usize>(&mut self, place: usize, bits: &mut Bits, window: &Window) -> bool {
        bits.refill(window);
        let (difference, is_code) = self.dc.read(bits);
        // Honest coefficients have eleven bits and a sign; others must not overflow.
        self.before = (self.before + difference).clamp(-COEFFICIENT_MAX, COEFFICIENT_MAX);
        let dc = (self.before * at_index(&self.quantisation, 0)).clamp(-COEFFICIENT_MAX, COEFFICIENT_MAX);
        if N == 1 {
            if let Some(sample) = self.samples.get_mut(place) {
                *sample = idct::flat(dc);
            }
            return self.ac.skip(bits, window, 1) & is_code;
        }
        if N == 2 {
            let mut block = [0; L];
            let (_, is_block) = self.coefficients::<N>(bits, window, |k, place, value| {
                put(
                    &mut block,
                    place,
                    (value * at_index(&self.quantisation, k)).clamp(-COEFFICIENT_MAX, COEFFICIENT_MAX),
                );
            });
            if let Some([first, ..]) = block.first_chunk_mut::<4>() {
                *first = dc;
            }
            if let Some(block) = block.first_chunk() {
                write(self.samples, place, self.stride, idct::two(block));
            }
            return is_code & is_block;
        }
        let mut block = [0.0; L];
        let (is_flat, is_block) = self.coefficients::<N>(bits, window, |k, place, value| {
            put(&mut block, place, i16::try_from(value).map_or(0.0, f32::from) * at_index(&self.factors, k));
        });
        if let Some(first) = block.first_mut() {
            *first = i16::try_from(self.before).map_or(0.0, f32::from) * at_index(&self.factors, 0);
        }
        if is_flat {
            write(self.samples, place, self.stride, [[idct::flat(dc); N]; N]);
        } else if N == 4
            && let Some(block) = block.first_chunk()
        {
            write(self.samples, place, self.stride, idct::four(block));
        } else if let Some(block) = block.first_chunk() {
            write(self.samples, place, self.stride, idct::eight(block));
        }
        is_code & is_block
    }

    /// Reads the coefficients that are needed, and passes over the others. Whether there are none; whether it is a block.
    #[inline(always)]
    fn coefficients<const N: usize>(
        &self,
        bits: &mut Bits,
        window: &Window,
        mut put: impl FnMut(u32, u8, i32),
    ) -> (bool, bool) {
        let places = const { idct::places::<N>() };
        let mut k = 1;
        while k <= idct::last::<N>() {
            if !bits.has_symbol() {
                bits.refill(window);
            }
            let Some((value, advance)) = self.ac.read(bits) else { return (k == 1, false) };
            let is_first = k == 1;
            k += advance;
            if k > END {
                return (is_first, advance == END);
            }
            put(k - 1, at_index(&places, k - 1), value);
        }
        (false, k >= END || self.ac.skip(bits, window, k))
    }
}

/// Places behind the end wrap to one that is not used.
#[inline(always)]
fn put<T, const L: usize>(block: &mut [T; L], place: u8, value: T) {
    if let Some(coefficient) = block.get_mut(usize::from(place) & (L - 1)) {
        *coefficient = value;
    }
}

#[inline(always)]
fn write<const N: usize>(samples: &mut [u8], place: usize, stride: usize, rows: [[u8; N]; N]) {
    if let Some(samples) = samples.get_mut(place..) {
        for (out, row) in samples.chunks_mut(stride).zip(rows) {
            if let Some(out) = out.first_chunk_mut() {
                *out = row;
            }
        }
    }
}
