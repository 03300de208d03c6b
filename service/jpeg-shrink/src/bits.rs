//! Coded data as bits: a window of the file without its stuffing, filled as it is read.
//!
//! Only the window is copied, never the file. Whether data are left is asked once for each unit; within a unit bits can
//! be taken freely, because the window always holds as many as the longest unit, or zeros behind the last.

use memchr::memchr;

use crate::error::Damage;
use crate::huffman::index;
use crate::segment;

/// Bytes of the window, but for a tail that lets eight be read at once anywhere.
const WINDOW: usize = 1 << 15;
/// The most bytes of a unit: ten blocks of 64 coefficients, each of 16 bits of code and 15 of value; and what is read
/// ahead.
const UNIT_BYTES_MAX: usize = 10 * 64 * 31 / 8 + 16;

/// The memory of the window.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    bytes: Box<[u8; WINDOW + 8]>,
}

impl Window {
    pub(crate) const BYTES: usize = WINDOW + 8;

    pub(crate) fn new() -> Window {
        Window { bytes: Box::new([0; Window::BYTES]) }
    }

    #[inline(always)]
    fn word(&self, at: usize) -> u64 {
        let word = self.bytes.get(at & (WINDOW - 1)..).and_then(<[u8]>::first_chunk::<8>);
        word.map_or(0, |word| u64::from_be_bytes(*word))
    }
}

/// The next bits, at the top of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    word: u64,
    /// How many are good.
    count: u32,
    /// The place in the window of what follows them.
    next: usize,
}

impl Bits {
    /// Makes sure of at least 56.
    #[inline(always)]
    pub(crate) fn refill(&mut self, window: &Window) {
        self.word |= window.word(self.next) >> self.count;
        self.next += index((63 - self.count) >> 3);
        self.count |= 56;
    }

    /// Whether a code of 16 bits and a value of 15 are there without [`Bits::refill`].
    #[inline(always)]
    pub(crate) fn has_symbol(&self) -> bool {
        self.count > 31
    }

    /// The next `count`, 1 to 16.
    #[inline(always)]
    pub(crate) fn peek(&self, count: u32) -> u32 {
        u32::try_from(self.word >> (64 - count)).unwrap_or(0)
    }

    /// Goes on by `count`, which is at most what is good.
    #[inline(always)]
    pub(crate) fn drop(&mut self, count: u32) {
        self.word <<= count;
        self.count -= count;
    }

    /// The next `count`, 0 to 16.
    #[inline(always)]
    pub(crate) fn take(&mut self, count: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        let taken = self.peek(count);
        self.drop(count);
        taken
    }
}

/// What is known at a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// Data follow.
    Begun(Bits),
    /// The marker of a later interval follows, so this one is lost.
    Lost,
    /// Nothing follows.
    Over,
}

/// The coded data of a scan.
#[derive(Debug)]
pub(crate) struct Coded<'a> {
    bytes: &'a [u8],
    /// The first byte that is not in the window.
    at: usize,
    window: &'a mut Window,
    filled: usize,
    /// Where in the window a unit may no longer begin without asking.
    limit: usize,
    /// A marker or the end of the file follows what is in the window.
    is_last: bool,
}

impl<'a> Coded<'a> {
    /// The data of `bytes` that begin at `at`.
    pub(crate) fn new(bytes: &'a [u8], at: usize, window: &'a mut Window) -> Coded<'a> {
        Coded { bytes, at, window, filled: 0, limit: 0, is_last: false }
    }

    pub(crate) fn window(&self) -> &Window {
        self.window
    }

    /// The first bits of an interval.
    pub(crate) fn begin(&mut self) -> Bits {
        (self.filled, self.is_last) = (0, false);
        self.fill();
        let mut bits = Bits { word: 0, count: 0, next: 0 };
        bits.refill(self.window);
        bits
    }

    /// Whether a unit can be read, or [`Coded::more`] has to be asked.
    #[inline(always)]
    pub(crate) fn has_unit(&self, bits: &Bits) -> bool {
        bits.next < self.limit
    }

    /// Brings more into the window. None if the data have ended.
    #[inline(never)]
    pub(crate) fn more(&mut self, mut bits: Bits) -> Option<Bits> {
        if !self.is_last {
            let passed = bits.next.min(self.filled);
            self.window.bytes.copy_within(passed..self.filled, 0);
            self.filled -= passed;
            bits.next -= passed;
            self.fill();
        }
        // The bits of the last byte may all be used up; then there is another unit only if it takes none.
        (!self.is_last || !self.is_overrun(&bits)).then_some(bits)
    }

    /// Whether more bits were taken than there were.
    pub(crate) fn is_overrun(&self, bits: &Bits) -> bool {
        self.is_last && 8 * bits.next > 8 * self.filled + index(bits.count)
    }

    fn fill(&mut self) {
        // Zeros for one unit have to fit behind the last byte.
        while self.filled < WINDOW - 2 * UNIT_BYTES_MAX && !self.is_last {
            let room = WINDOW - UNIT_BYTES_MAX - self.filled;
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let seen = rest.get(..room).unwrap_or(rest);
            let Some(plain) = memchr(0xff, seen) else {
                self.push(seen);
                self.is_last = seen.len() == rest.len();
                continue;
            };
            self.push(seen.get(..plain).unwrap_or_default());
            match rest.get(plain + 1) {
                Some(0) => {
                    self.push(&[0xff]);
                    self.at += 1;
                }
                // Of several, only the last can begin something.
                Some(0xff) => self.at += 1,
                _ => self.is_last = true,
            }
        }
        self.limit = if self.is_last {
            if let Some(tail) = self.window.bytes.get_mut(self.filled..self.filled + UNIT_BYTES_MAX) {
                tail.fill(0);
            }
            self.filled
        } else {
            self.filled - UNIT_BYTES_MAX
        };
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.window.bytes.get_mut(self.filled..self.filled + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.filled += bytes.len();
        self.at += bytes.len();
    }

    /// Goes to the interval that begins with restart marker `expected`, 0 to 7, by the rules of libjpeg: one of the two
    /// before it is passed over, one of the two after it means that this interval is lost, any other is taken for it.
    pub(crate) fn restart(&mut self, expected: u8, damage: &mut Option<Damage>) -> Restart {
        loop {
            let Some((marker, end)) = segment::marker(self.bytes, self.at) else { return Restart::Over };
            if !matches!(marker, 0xd0..=0xd7) {
                return Restart::Over;
            }
            let ahead = (marker - 0xd0).wrapping_sub(expected) & 7;
            if ahead != 0 {
                damage.get_or_insert(Damage::Restart);
            }
            match ahead {
                1 | 2 => return Restart::Lost,
                6 | 7 => self.at = end,
                _ => {
                    self.at = end;
                    return Restart::Begun(self.begin());
                }
            }
        }
    }

    /// A place at or before the marker that follows the scan.
    pub(crate) fn at(&self) -> usize {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> (Vec<u8>, usize) {
        let mut window = Window::new();
        let mut coded = Coded::new(bytes, 0, &mut window);
        let mut bits = coded.begin();
        let mut found = Vec::new();
        loop {
            if !coded.has_unit(&bits) {
                match coded.more(bits) {
                    Some(more) => bits = more,
                    None => break,
                }
            }
            bits.refill(coded.window());
            let byte = u8::try_from(bits.take(8)).expect("8 bits");
            if coded.is_overrun(&bits) {
                break;
            }
            found.push(byte);
        }
        (found, coded.at())
    }

    #[test]
    fn stuffing_goes_and_a_marker_ends_the_data() {
        assert_eq!(all(&[1, 0xff, 0, 2, 0xff, 0xff, 0, 3, 0xff, 0xd0, 4]), (vec![1, 0xff, 2, 0xff, 3], 8));
        assert_eq!(all(&[]), (vec![], 0));
        assert_eq!(all(&[0xff]), (vec![], 0));
        assert_eq!(all(&[7, 0xff]), (vec![7], 1));
    }

    #[test]
    fn data_of_any_length_come_through_the_window() {
        let mut random = fastrand::Rng::with_seed(1);
        for length in [WINDOW - 1, WINDOW, WINDOW + 9, 3 * WINDOW, WINDOW - UNIT_BYTES_MAX, WINDOW - 2 * UNIT_BYTES_MAX]
        {
            let plain: Vec<u8> = (0..length).map(|_| if random.u8(..8) == 0 { 0xff } else { random.u8(..) }).collect();
            let stuffed: Vec<u8> =
                plain.iter().flat_map(|byte| [*byte, 0].into_iter().take(if *byte == 0xff { 2 } else { 1 })).collect();
            assert_eq!(all(&stuffed), (plain, stuffed.len()), "{length}");
        }
    }

    #[test]
    fn restart_markers_are_awaited_as_libjpeg_awaits_them() {
        let next = |marker: u8, expected| {
            let bytes = [9, 9, 0xff, marker, 1, 0xff, 0xd5, 2];
            let mut window = Window::new();
            let mut coded = Coded::new(&bytes, 0, &mut window);
            let mut damage = None;
            let outcome = match coded.restart(expected, &mut damage) {
                Restart::Begun(bits) => Some(bits.peek(8)),
                Restart::Lost => None,
                Restart::Over => Some(0),
            };
            (outcome, damage)
        };
        let wrong = Some(Damage::Restart);
        assert_eq!(next(0xd3, 3), (Some(1), None), "the one");
        assert_eq!(next(0xd4, 3), (None, wrong), "the next");
        assert_eq!(next(0xd0, 6), (None, wrong), "the next but one");
        assert_eq!(next(0xd4, 5), (Some(2), wrong), "the one before");
        assert_eq!(next(0xd0, 4), (Some(1), wrong), "another");
        assert_eq!(next(0xd9, 3), (Some(0), None), "the end");
    }
}
