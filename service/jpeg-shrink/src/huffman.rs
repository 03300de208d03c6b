//! Huffman tables: as a file states them, and as they are looked up.
//!
//! The table for AC coefficients that nobody needs maps the next bits to *all* symbols that they hold, so that one look
//! passes over several coefficients at once.

use crate::bits::{Bits, Window};
use crate::error::{Corrupt, Error};
use crate::segment::Fields;

mod standard;

/// Bits that [`Codes::short`] looks at.
const SHORT_BITS: u32 = 9;
/// Bits of [`DcTable`].
const DC_BITS: u32 = 10;
/// Bits of [`AcTable`]'s passing over.
const SKIP_BITS: u32 = 13;
/// Bits of [`AcTable`]'s values.
const VALUE_BITS: u32 = 10;

/// Advance of an entry that ends its block, besides that of the symbols before.
pub(crate) const END: u32 = 64;
/// Advance of an entry whose first symbol is longer than what the table looks at.
const LONG: u32 = 128;

/// A table as the file states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// Codes of each length, from 1 to 16 bits.
    counts: [u8; 16],
    symbols: [u8; 256],
}

impl Spec {
    /// Reads one table of a segment: whether it is for AC, its number, itself.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<(bool, usize, Spec), Error> {
        let [place] = fields.array()?;
        let (class, number) = (place >> 4, usize::from(place & 0xf));
        let counts = fields.array::<16>()?;
        let total = counts.iter().map(|count| usize::from(*count)).sum();
        let listed = fields.take(total)?;
        let mut spec = Spec { counts, symbols: [0; 256] };
        let fits = spec.symbols.get_mut(..total).map(|symbols| symbols.copy_from_slice(listed)).is_some();
        if class > 1 || number > 3 || !fits || !spec.is_prefix_code() {
            return Err(Error::Corrupt(Corrupt::Huffman));
        }
        Ok((class == 1, number, spec))
    }

    /// The standard's table `number` for DC, if it has one.
    pub(crate) fn standard_dc(number: usize) -> Option<Spec> {
        standard::DC.get(number).copied()
    }

    /// The standard's table `number` for AC, if it has one.
    pub(crate) fn standard_ac(number: usize) -> Option<Spec> {
        standard::AC.get(number).copied()
    }

    fn is_prefix_code(&self) -> bool {
        let mut free = 1_i32;
        self.counts.iter().all(|count| {
            free = 2 * free - i32::from(*count);
            free >= 0
        })
    }
}

/// Single symbols.
#[derive(Clone, Debug)]
struct Codes {
    /// By the next bits: symbol and `length << 8`, or 0 where the code is longer.
    short: [u16; 1 << SHORT_BITS],
    /// For each length, of 16 bits: the first that are no code of this or a smaller length.
    limits: [u32; 17],
    /// For each length: what added to a code gives the place of its symbol.
    places: [i32; 17],
    symbols: [u8; 256],
}

impl Codes {
    fn empty() -> Codes {
        Codes { short: [0; 1 << SHORT_BITS], limits: [0; 17], places: [0; 17], symbols: [0; 256] }
    }

    /// `spec` is a prefix code.
    fn build(&mut self, spec: &Spec) {
        self.symbols = spec.symbols;
        self.short.fill(0);
        let (mut code, mut place) = (0_u32, 0_i32);
        for (length, count) in (1_u32..).zip(spec.counts) {
            let at = index(length);
            if let (Some(limit), Some(shift)) = (self.limits.get_mut(at), self.places.get_mut(at)) {
                *shift = place - code.cast_signed();
                if let Some(spare) = SHORT_BITS.checked_sub(length) {
                    for n in 0..u32::from(count) {
                        let symbol = u16::from(at_index(&spec.symbols, place.cast_unsigned() + n));
                        let entry = symbol | u16::try_from(length << 8).unwrap_or(0);
                        let (from, to) = (index((code + n) << spare), index((code + n + 1) << spare));
                        self.short.get_mut(from..to).unwrap_or_default().fill(entry);
                    }
                }
                code += u32::from(count);
                place += i32::from(count);
                *limit = code << (16 - length);
            }
            code <<= 1;
        }
    }

    /// The symbol at the beginning of 16 bits, and its length; none if they are no code.
    #[inline]
    fn find(&self, bits: u32) -> Option<(u32, u32)> {
        let entry = u32::from(at_index(&self.short, bits >> (16 - SHORT_BITS)));
        if entry != 0 {
            return Some((entry & 0xff, entry >> 8));
        }
        for length in SHORT_BITS + 1..=16 {
            let at = index(length);
            if bits < *self.limits.get(at)? {
                let place = self.places.get(at)? + (bits >> (16 - length)).cast_signed();
                return Some((at_index(&self.symbols, place.cast_unsigned()).into(), length));
            }
        }
        None
    }
}

/// Differences of DC coefficients.
#[derive(Clone, Debug)]
pub(crate) struct DcTable {
    /// By the next bits: how many of them, and `difference << 16`; or 0 where they do not suffice.
    values: Box<[u32; 1 << DC_BITS]>,
    codes: Box<Codes>,
}

impl DcTable {
    pub(crate) const BYTES: usize = (1 << DC_BITS) * size_of::<u32>() + size_of::<Codes>();

    pub(crate) fn empty() -> DcTable {
        DcTable { values: Box::new([0; 1 << DC_BITS]), codes: Box::new(Codes::empty()) }
    }

    /// Makes it the table of `spec`.
    pub(crate) fn build(&mut self, spec: &Spec) -> Result<(), Error> {
        let total = spec.counts.iter().map(|count| usize::from(*count)).sum();
        if spec.symbols.iter().take(total).any(|size| *size > 15) {
            return Err(Error::Corrupt(Corrupt::Huffman));
        }
        self.codes.build(spec);
        for (bits, entry) in (0..).zip(self.values.iter_mut()) {
            *entry = match self.codes.find(bits << (16 - DC_BITS)) {
                Some((size, length)) if length + size <= DC_BITS => {
                    let raw = (bits >> (DC_BITS - length - size)) & ((1 << size) - 1);
                    (length + size) | (extend(raw, size).cast_unsigned() << 16)
                }
                _ => 0,
            };
        }
        Ok(())
    }

    /// The next difference; needs 31 bits. False if the bits are no code.
    #[inline(always)]
    pub(crate) fn read(&self, bits: &mut Bits) -> (i32, bool) {
        let entry = at_index(&self.values, bits.peek(DC_BITS));
        if entry != 0 {
            bits.drop(entry & 31);
            return (entry.cast_signed() >> 16, true);
        }
        self.read_long(bits)
    }

    #[inline(never)]
    fn read_long(&self, bits: &mut Bits) -> (i32, bool) {
        match self.codes.find(bits.peek(16)) {
            Some((size, length)) => {
                bits.drop(length);
                (extend(bits.take(size), size), true)
            }
            None => {
                bits.drop(16);
                (0, false)
            }
        }
    }
}

/// AC coefficients.
#[derive(Clone, Debug)]
pub(crate) struct AcTable {
    /// By the next bits: how many of them, and `advance << 5` over coefficients.
    skips: Box<[u16; 1 << SKIP_BITS]>,
    /// By the next bits: how many of them, `advance << 5`, `coefficient << 16`; or 0 where they do not suffice.
    values: Box<[u32; 1 << VALUE_BITS]>,
    codes: Box<Codes>,
}

impl AcTable {
    pub(crate) const BYTES: usize = Self::BUILD_BYTES + (1 << VALUE_BITS) * size_of::<u32>() + size_of::<Codes>();
    pub(crate) const BUILD_BYTES: usize = (1 << SKIP_BITS) * size_of::<u16>();

    pub(crate) fn empty() -> AcTable {
        let (skips, values) = (Box::new([0; 1 << SKIP_BITS]), Box::new([0; 1 << VALUE_BITS]));
        AcTable { skips, values, codes: Box::new(Codes::empty()) }
    }

    /// Makes it the table of `spec`.
    pub(crate) fn build(&mut self, spec: &Spec) {
        self.codes.build(spec);
        // First one symbol for each entry, then as many as fit.
        for (bits, entry) in (0..).zip(self.skips.iter_mut()) {
            *entry = match self.codes.find(bits << (16 - SKIP_BITS)).map(step) {
                Some((length, advance)) if length <= SKIP_BITS => pack(length, advance),
                _ => pack(0, LONG),
            };
        }
        let single = self.skips.clone();
        for (bits, entry) in (0_u32..).zip(self.skips.iter_mut()) {
            let (mut used, mut passed) = unpack(*entry);
            while passed < END {
                let (length, advance) = unpack(at_index(&single, (bits << used) & ((1 << SKIP_BITS) - 1)));
                if advance == LONG || used + length > SKIP_BITS || passed + (advance & (END - 1)) >= END {
                    break;
                }
                (used, passed) = (used + length, passed + advance);
            }
            *entry = pack(used, passed);
        }
        for (bits, entry) in (0..).zip(self.values.iter_mut()) {
            *entry = match self.codes.find(bits << (16 - VALUE_BITS)) {
                Some((symbol, length)) if length + (symbol & 15) <= VALUE_BITS => {
                    let (total, advance) = step((symbol, length));
                    let raw = (bits >> (VALUE_BITS - total)) & ((1 << (symbol & 15)) - 1);
                    total | (advance << 5) | (extend(raw, symbol & 15).cast_unsigned() << 16)
                }
                _ => 0,
            };
        }
    }

    /// Passes over the coefficients from `k`, which is less than 64, to the end of the block. False if they are no block.
    #[inline(always)]
    pub(crate) fn skip(&self, bits: &mut Bits, window: &Window, mut k: u32) -> bool {
        loop {
            bits.refill(window);
            // Four looks take at most 52 of the 56 bits.
            for _ in 0..4 {
                let (used, advance) = unpack(at_index(&self.skips, bits.peek(SKIP_BITS)));
                let next = k + advance;
                if next < END {
                    bits.drop(used);
                    k = next;
                    continue;
                }
                // Either it ends within the block, or fills it to the last coefficient.
                if ((END..LONG).contains(&advance) && next < 2 * END) || next == END {
                    bits.drop(used);
                    return true;
                }
                // The symbols behind the block's last are not its own.
                bits.refill(window);
                let Some((_, advance)) = self.one(bits) else { return false };
                k += advance;
                if k >= END {
                    return advance == END || k == END;
                }
                break;
            }
        }
    }

    /// Takes the code and the bits of one symbol, as a value and an advance; needs 31 bits. None if they are no code.
    #[inline(never)]
    fn one(&self, bits: &mut Bits) -> Option<(i32, u32)> {
        let Some((symbol, length)) = self.codes.find(bits.peek(16)) else {
            bits.drop(16);
            return None;
        };
        bits.drop(length);
        let size = symbol & 15;
        let value = extend(bits.take(size), size);
        Some((value, step((symbol, length)).1))
    }

    /// The next coefficient and its advance, [`END`] if there is none; needs 31 bits. None if the bits are no code.
    #[inline(always)]
    pub(crate) fn read(&self, bits: &mut Bits) -> Option<(i32, u32)> {
        let entry = at_index(&self.values, bits.peek(VALUE_BITS));
        if entry != 0 {
            bits.drop(entry & 31);
            return Some((entry.cast_signed() >> 16, (entry >> 5) & 127));
        }
        self.one(bits)
    }
}

/// Bits and advance of a symbol for AC and the length of its code.
fn step((symbol, length): (u32, u32)) -> (u32, u32) {
    match (symbol >> 4, symbol & 15) {
        (15, 0) => (length, 16),
        (_, 0) => (length, END),
        (run, size) => (length + size, run + 1),
    }
}

fn pack(length: u32, advance: u32) -> u16 {
    u16::try_from(length | (advance << 5)).unwrap_or(0)
}

fn unpack(entry: u16) -> (u32, u32) {
    (u32::from(entry & 31), u32::from(entry >> 5))
}

/// The value that `size` bits stand for.
#[inline(always)]
fn extend(raw: u32, size: u32) -> i32 {
    let raw = raw.cast_signed();
    if size == 0 {
        0
    } else if raw < 1 << (size - 1) {
        raw - (1 << size) + 1
    } else {
        raw
    }
}

/// The entry of a table whose length is a power of two; the place is wrapped, so that no check is left.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "the place is less than the length")]
pub(crate) fn at_index<T: Copy, const N: usize>(table: &[T; N], place: u32) -> T {
    const { assert!(N.is_power_of_two()) };
    table[index(place) & (N - 1)]
}

#[inline(always)]
pub(crate) fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
