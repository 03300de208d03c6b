//! How long the map of a set of offsets would be, kept up to date for every parameter of the code at once.

use super::map::{K_MAX, gap_bits};

const PARAMETERS: usize = K_MAX as usize + 1;

/// Bits of the gaps between neighbours of a set, for each parameter.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    bits: [u64; PARAMETERS],
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { bits: [0; PARAMETERS] }
    }
}

impl Tally {
    /// `offset` joins above `last`, the highest so far.
    pub(super) fn append(&mut self, last: Option<i64>, offset: i64) {
        if let Some(last) = last {
            self.change(last, offset, u64::saturating_add);
        }
    }

    /// `offset` leaves from between its neighbours.
    pub(super) fn remove(&mut self, below: Option<i64>, offset: i64, above: Option<i64>) {
        if let Some(below) = below {
            self.change(below, offset, u64::saturating_sub);
        }
        if let Some(above) = above {
            self.change(offset, above, u64::saturating_sub);
        }
        if let (Some(below), Some(above)) = (below, above) {
            self.change(below, above, u64::saturating_add);
        }
    }

    fn change(&mut self, low: i64, high: i64, by: fn(u64, u64) -> u64) {
        let gap = high.abs_diff(low);
        for (bits, k) in self.bits.iter_mut().zip(0..) {
            *bits = by(*bits, gap_bits(gap, k));
        }
    }

    /// The best parameter, and the bytes of its code.
    pub(super) fn best(&self) -> (u32, u64) {
        let best = self.bits.iter().zip(0..).min_by_key(|(bits, _)| **bits);
        best.map_or((0, 0), |(bits, k)| (k, bits.div_ceil(8)))
    }

    /// The bytes of the best code if `offset` joined above `last`.
    pub(super) fn bytes_with(&self, last: Option<i64>, offset: i64) -> u64 {
        let gap = last.map(|last| offset.abs_diff(last));
        let with = |(bits, k): (&u64, u32)| bits.saturating_add(gap.map_or(0, |gap| gap_bits(gap, k)));
        self.bits.iter().zip(0..).map(with).min().unwrap_or(0).div_ceil(8)
    }
}
