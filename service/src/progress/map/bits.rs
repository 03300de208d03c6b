//! Bits, whole numbers and Golomb-Rice gaps into bytes and back.
//!
//! Rice code of a gap g >= 1 with parameter k: (g - 1) >> k zeros, a one, then the low k bits of g - 1. With k = 0 that
//! is a bitmap. Source: R. F. Rice, "Some practical universal noiseless coding techniques", JPL 79-22, 1979.

/// The largest parameter: gaps of 2^32 still take a few bytes.
pub(crate) const K_MAX: u32 = 32;

/// Bits that `gap` takes with parameter `k`.
pub(crate) fn gap_bits(gap: u64, k: u32) -> u64 {
    (gap.saturating_sub(1) >> k) + 1 + u64::from(k)
}

#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// Bits of the last byte that are in use; 0: none is begun.
    used: u32,
}

impl Writer {
    pub(super) fn bit(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (7 - self.used);
        }
        self.used = (self.used + 1) % 8;
    }

    pub(super) fn gap(&mut self, gap: u64, k: u32) {
        let rest = gap.saturating_sub(1);
        for _ in 0..rest >> k {
            self.bit(false);
        }
        self.bit(true);
        for place in (0..k).rev() {
            self.bit(rest >> place & 1 == 1);
        }
    }

    /// A number, seven bits a byte, low ones first. Begins at a whole byte.
    pub(super) fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = (number & 0x7f).to_le_bytes();
            number >>= 7;
            self.raw(&[if number == 0 { low } else { low | 0x80 }]);
            if number == 0 {
                return;
            }
        }
    }

    /// Whole bytes, from the next whole byte on.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.used = 0;
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads what a [`Writer`] wrote; `None` where the bytes end or make no sense.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    used: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, used: 0 }
    }

    fn bit(&mut self) -> Option<bool> {
        let (first, rest) = self.bytes.split_first()?;
        let bit = first >> (7 - self.used) & 1 == 1;
        self.used += 1;
        if self.used == 8 {
            (self.bytes, self.used) = (rest, 0);
        }
        Some(bit)
    }

    pub(super) fn gap(&mut self, k: u32) -> Option<u64> {
        let mut high: u64 = 0;
        while !self.bit()? {
            high += 1;
        }
        let mut rest = high.checked_shl(k).filter(|shifted| shifted >> k == high)?;
        for place in (0..k).rev() {
            rest |= u64::from(self.bit()?) << place;
        }
        rest.checked_add(1)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let &[byte] = self.raw(1)? else { return None };
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        if self.used > 0 {
            (self.bytes, self.used) = (self.bytes.get(1..)?, 0);
        }
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    /// Whole bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gaps_and_numbers_come_back_and_cost_what_is_said(
            gaps in prop::collection::vec(1u64..5000, 0..50), k in 0..=K_MAX, number in any::<u64>(),
        ) {
            let mut writer = Writer::default();
            gaps.iter().for_each(|gap| writer.gap(*gap, k));
            let bits: u64 = gaps.iter().map(|gap| gap_bits(*gap, k)).sum();
            writer.number(number);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            for gap in &gaps {
                prop_assert_eq!(reader.gap(k), Some(*gap));
            }
            prop_assert_eq!(bytes.len() - reader.left(), usize::try_from(bits / 8).unwrap(), "a byte in use counts as left");
            prop_assert_eq!(reader.number(), Some(number));
            prop_assert_eq!(reader.left(), 0);
        }
    }
}
