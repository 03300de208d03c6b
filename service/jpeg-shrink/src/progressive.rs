//! The DC scans of a progressive file: all that 1/8 needs.

use crate::bits::{Bits, Window};
use crate::huffman::DcTable;
use crate::scan::Unit;

/// A component in a scan.
pub(crate) struct Coefficients<'a> {
    pub(crate) dc: &'a mut [i16],
    pub(crate) stride: usize,
    /// Blocks in a unit.
    pub(crate) across: usize,
    pub(crate) down: usize,
    /// None if the scan refines.
    pub(crate) table: Option<&'a DcTable>,
    /// The coefficient of the block before, without the bits that are still unknown.
    pub(crate) before: i32,
}

/// The units of a scan.
pub(crate) struct Progressive<'a, 'b> {
    pub(crate) parts: &'b mut [Coefficients<'a>],
    /// Bits still unknown after the scan.
    pub(crate) low: u8,
}

impl Unit for Progressive<'_, '_> {
    #[inline(always)]
    fn read(&mut self, x: usize, y: usize, bits: &mut Bits, window: &Window) -> bool {
        let mut is_sound = true;
        for part in self.parts.iter_mut() {
            let mut place = y * part.down * part.stride + x * part.across;
            for _ in 0..part.down {
                for column in 0..part.across {
                    is_sound &= part.block(place + column, self.low, bits, window);
                }
                place += part.stride;
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

impl Coefficients<'_> {
    #[inline(always)]
    fn block(&mut self, place: usize, low: u8, bits: &mut Bits, window: &Window) -> bool {
        if !bits.has_symbol() {
            bits.refill(window);
        }
        let Some(dc) = self.dc.get_mut(place) else { return false };
        let Some(table) = self.table else {
            if bits.take(1) != 0 {
                *dc |= 1 << low;
            }
            return true;
        };
        let (difference, is_code) = table.read(bits);
        let range = i32::from(i16::MIN)..=i32::from(i16::MAX);
        self.before = (self.before + difference).clamp(*range.start(), *range.end());
        *dc = i16::try_from((self.before << low).clamp(*range.start(), *range.end())).unwrap_or(0);
        is_code
    }
}
