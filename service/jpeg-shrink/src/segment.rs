//! The way from marker to marker.

use memchr::memchr;

use crate::error::{Corrupt, Error};

pub(crate) const SOI: u8 = 0xd8;
pub(crate) const EOI: u8 = 0xd9;
pub(crate) const SOS: u8 = 0xda;
pub(crate) const DQT: u8 = 0xdb;
pub(crate) const DHT: u8 = 0xc4;
pub(crate) const DRI: u8 = 0xdd;

/// A marker, and the content of its segment; empty for a marker that has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) marker: u8,
    pub(crate) content: &'a [u8],
    /// Where the next one, or coded data, begin.
    pub(crate) end: usize,
}

/// The first segment at or behind `at`, over anything that is no marker.
pub(crate) fn next(bytes: &[u8], at: usize) -> Result<Segment<'_>, Error> {
    let (marker, start) = marker(bytes, at).ok_or(Error::Corrupt(Corrupt::EndsEarly))?;
    if matches!(marker, 0x01 | 0xd0..=EOI) {
        return Ok(Segment { marker, content: &[], end: start });
    }
    let mut fields = Fields::new(bytes.get(start..).unwrap_or_default());
    let ends_early = |_| Error::Corrupt(Corrupt::EndsEarly);
    let length = usize::from(fields.u16().map_err(ends_early)?);
    let length = length.checked_sub(2).ok_or(Error::Corrupt(Corrupt::Segment))?;
    let content = fields.take(length).map_err(ends_early)?;
    Ok(Segment { marker, content, end: start + 2 + length })
}

/// The first marker at or behind `at`, and the place behind it; over coded data, stuffing and fill bytes.
pub(crate) fn marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += memchr(0xff, bytes.get(at..)?)? + 1;
        let mut kind = *bytes.get(at)?;
        while kind == 0xff {
            at += 1;
            kind = *bytes.get(at)?;
        }
        at += 1;
        if kind != 0 {
            return Some((kind, at));
        }
    }
}

/// The content of a segment, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Error::Corrupt(Corrupt::Segment))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Error::Corrupt(Corrupt::Segment))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_over_data_stuffing_and_fill_bytes() {
        assert_eq!(marker(&[1, 2, 0xff, 0, 0xff, 0xff, 0xd9, 5], 0), Some((EOI, 7)));
        assert_eq!(marker(&[1, 2, 0xff, 0, 0xff, 0xff], 0), None);
        assert_eq!(marker(&[0xff, 0xd8], 2), None);
        assert_eq!(marker(&[0xff, 0xd8], 9), None);
    }

    #[test]
    fn a_segment_has_the_length_that_it_tells() {
        let bytes = [0xff, DRI, 0, 4, 0, 7, 0xff, EOI];
        let dri = next(&bytes, 0).expect("a segment");
        assert_eq!((dri.marker, dri.content, dri.end), (DRI, &[0, 7][..], 6));
        let end = next(&bytes, dri.end).expect("a marker");
        assert_eq!((end.marker, end.content, end.end), (EOI, &[][..], 8));
        assert_eq!(next(&bytes, 8).expect_err("no more"), Error::Corrupt(Corrupt::EndsEarly));
        assert_eq!(next(&[0xff, DRI, 0, 1, 0], 0).expect_err("no length"), Error::Corrupt(Corrupt::Segment));
        assert_eq!(next(&[0xff, DRI, 0, 4, 0], 0).expect_err("cut"), Error::Corrupt(Corrupt::EndsEarly));
    }
}
