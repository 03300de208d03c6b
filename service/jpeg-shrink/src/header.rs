//! What a file says of itself before its first scan.

use std::borrow::Cow;

use crate::decoder::SCRATCH_BYTES;
use crate::error::{Corrupt, Error, Unsupported};
use crate::frame::{self, Component, Frame, Scale};
use crate::scan::Scan;
use crate::segment::{self, EOI, SOI, SOS, Segment};

const EXIF: &[u8] = b"Exif\0\0";
const ICC: &[u8] = b"ICC_PROFILE\0";
const JFIF: &[u8] = b"JFIF\0";
const ADOBE: &[u8] = b"Adobe";

/// What the components mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// One: grey.
    Grey,
    /// Luma and two of chroma, by ITU-R BT.601 over the full range, as JFIF says.
    YCbCr,
    /// Red, green, blue.
    Rgb,
}

/// A JPEG whose header has been read and found decodable.
///
/// It borrows the file; nothing is allocated.
#[derive(Clone, Copy, Debug)]
pub struct Jpeg<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) frame: Frame,
    color: Color,
    exif: Option<&'a [u8]>,
    /// Where its first scan begins.
    scan: usize,
}

impl<'a> Jpeg<'a> {
    /// Reads everything before the first scan of a whole file.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what a general decoder may know, [`Error::Corrupt`] for what none can.
    pub fn parse(bytes: &'a [u8]) -> Result<Jpeg<'a>, Error> {
        if !bytes.starts_with(&[0xff, SOI, 0xff]) {
            return Err(Error::Corrupt(Corrupt::NotJpeg));
        }
        let (mut frame, mut exif, mut is_jfif, mut transform) = (None::<Frame>, None, false, None);
        let mut at = 2;
        let (frame, scan) = loop {
            let Segment { marker, content, end } = segment::next(bytes, at)?;
            match marker {
                SOS => {
                    let frame = frame.ok_or(Error::Corrupt(Corrupt::Frame))?;
                    Scan::read(content, &frame)?;
                    break (frame, at);
                }
                EOI => return Err(Error::Corrupt(Corrupt::Frame)),
                0xe0 => is_jfif |= content.starts_with(JFIF),
                0xe1 => exif = exif.or_else(|| content.strip_prefix(EXIF)),
                0xee if content.starts_with(ADOBE) => transform = content.get(11).copied().or(transform),
                _ => match frame::kind(marker) {
                    None => {}
                    Some(_) if frame.is_some() => return Err(Error::Corrupt(Corrupt::Frame)),
                    Some(kind) => frame = Some(kind.and_then(|()| Frame::read(marker, content))?),
                },
            }
            at = end;
        };
        let color = color(frame.components(), is_jfif, transform);
        Ok(Jpeg { bytes, frame, color, exif, scan })
    }

    /// In pixels, as stored: before orientation.
    pub fn width(&self) -> u16 {
        self.frame.width
    }

    /// In pixels, as stored: before orientation.
    pub fn height(&self) -> u16 {
        self.frame.height
    }

    /// What the components mean.
    pub fn color(&self) -> Color {
        self.color
    }

    /// The one or three components, in the order of their planes.
    pub fn components(&self) -> &[Component] {
        self.frame.components()
    }

    /// Whether the file is progressive: then only [`Scale::Eighth`] is decoded.
    pub fn is_progressive(&self) -> bool {
        self.frame.is_progressive
    }

    /// The content of the first EXIF segment: a TIFF header and what follows it.
    pub fn exif(&self) -> Option<&'a [u8]> {
        self.exif
    }

    /// The ICC profile, put together if it comes in parts; none if a part is missing or comes twice.
    ///
    /// Never longer than the file.
    pub fn icc_profile(&self) -> Option<Cow<'a, [u8]>> {
        let mut parts = [None; 255];
        let (mut at, mut total) = (2, None);
        while at < self.scan {
            let Ok(Segment { marker, content, end }) = segment::next(self.bytes, at) else { break };
            at = end;
            let Some([number, count, part @ ..]) = content.strip_prefix(ICC).filter(|_| marker == 0xe2) else {
                continue;
            };
            if *total.get_or_insert(*count) != *count || number > count {
                return None;
            }
            let place = parts.get_mut(usize::from(number.checked_sub(1)?))?;
            if place.replace(part).is_some() {
                return None;
            }
        }
        let parts = parts.get(..usize::from(total?))?;
        if let [Some(alone)] = parts {
            return Some(Cow::Borrowed(alone));
        }
        let parts: Option<Vec<&[u8]>> = parts.iter().copied().collect();
        parts.map(|parts| Cow::Owned(parts.concat()))
    }

    /// The most bytes that a [`Decoder`](crate::Decoder) holds to decode this file at `scale`, besides the file.
    pub fn memory(&self, scale: Scale) -> u64 {
        let coefficients = if self.frame.is_progressive { 2 } else { 0 };
        let component = |component| {
            let blocks = self.frame.geometry(component, Scale::Eighth).samples();
            self.frame.geometry(component, scale).samples() + blocks * coefficients
        };
        SCRATCH_BYTES + self.components().iter().map(component).sum::<u64>()
    }

    /// Whether [`Decoder::decode`](crate::Decoder::decode) will know this file at `scale`, as far as its header tells.
    ///
    /// # Errors
    /// [`Unsupported::ProgressiveScale`].
    pub fn check(&self, scale: Scale) -> Result<(), Error> {
        if self.frame.is_progressive && scale != Scale::Eighth {
            return Err(Error::Unsupported(Unsupported::ProgressiveScale));
        }
        Ok(())
    }
}

/// By the rules of libjpeg.
fn color(components: &[Component], is_jfif: bool, transform: Option<u8>) -> Color {
    let [a, b, c] = components else { return Color::Grey };
    match transform {
        _ if is_jfif => Color::YCbCr,
        Some(0) => Color::Rgb,
        Some(_) => Color::YCbCr,
        None if [a.id, b.id, c.id] == *b"RGB" => Color::Rgb,
        None => Color::YCbCr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = &[0xff, 0xc0, 0, 17, 8, 0, 9, 0, 17, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0];
    const SCAN: &[u8] = &[0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0];

    fn file(parts: &[&[u8]]) -> Vec<u8> {
        [&[0xff, 0xd8][..], &parts.concat()].concat()
    }

    fn segment(marker: u8, content: &[&[u8]]) -> Vec<u8> {
        let content = content.concat();
        let length = u16::try_from(content.len() + 2).expect("short").to_be_bytes();
        [&[0xff, marker], &length[..], &content].concat()
    }

    fn color_of(more: &[u8], ids: [u8; 3]) -> Color {
        let (mut frame, mut scan) = (FRAME.to_vec(), SCAN.to_vec());
        (frame[10], frame[13], frame[16]) = ids.into();
        (scan[5], scan[7], scan[9]) = ids.into();
        Jpeg::parse(&file(&[more, &frame, &scan])).expect("a header").color()
    }

    #[test]
    fn colours_are_told_as_libjpeg_tells_them() {
        let adobe = |transform| segment(0xee, &[b"Adobe", &[0, 100, 0, 0, 0, 0, transform]]);
        let jfif = segment(0xe0, &[b"JFIF\0", &[1, 1, 0, 0, 1, 0, 1, 0, 0]]);
        assert_eq!(color_of(&[], [1, 2, 3]), Color::YCbCr);
        assert_eq!(color_of(&[], *b"RGB"), Color::Rgb);
        assert_eq!(color_of(&[], [0, 1, 2]), Color::YCbCr);
        assert_eq!(color_of(&adobe(0), [1, 2, 3]), Color::Rgb);
        assert_eq!(color_of(&adobe(1), *b"RGB"), Color::YCbCr);
        assert_eq!(color_of(&[jfif, adobe(0)].concat(), [1, 2, 3]), Color::YCbCr);
    }

    #[test]
    fn metadata_are_passed_on() {
        let exif = segment(0xe1, &[EXIF, b"II*\0rest"]);
        let second = segment(0xe1, &[EXIF, b"other"]);
        let part = |number, data: &[u8]| segment(0xe2, &[ICC, &[number, 2], data]);
        let bytes = file(&[&exif, &part(2, b"two"), &second, &part(1, b"one, "), FRAME, SCAN]);
        let jpeg = Jpeg::parse(&bytes).expect("a header");
        assert_eq!((jpeg.width(), jpeg.height(), jpeg.components().len()), (17, 9, 3));
        assert_eq!(jpeg.exif(), Some(&b"II*\0rest"[..]));
        assert_eq!(jpeg.icc_profile().as_deref(), Some(&b"one, two"[..]));
        let half = file(&[&part(2, b"two"), FRAME, SCAN]);
        assert_eq!(Jpeg::parse(&half).expect("a header").icc_profile(), None);
        let twice = file(&[&part(2, b"two"), &part(2, b"two"), FRAME, SCAN]);
        assert_eq!(Jpeg::parse(&twice).expect("a header").icc_profile(), None);
        let alone = file(&[&segment(0xe2, &[ICC, &[1, 1], b"all"]), FRAME, SCAN]);
        assert!(matches!(Jpeg::parse(&alone).expect("a header").icc_profile(), Some(Cow::Borrowed(b"all"))));
    }

    #[test]
    fn headers_without_sense_are_refused() {
        let corrupt = |bytes: &[u8], why| assert_eq!(Jpeg::parse(bytes).map(drop), Err(Error::Corrupt(why)));
        corrupt(b"", Corrupt::NotJpeg);
        corrupt(b"\x89PNG", Corrupt::NotJpeg);
        corrupt(&file(&[FRAME]), Corrupt::EndsEarly);
        corrupt(&file(&[FRAME, &[0xff, EOI]]), Corrupt::Frame);
        corrupt(&file(&[SCAN]), Corrupt::Frame);
        corrupt(&file(&[FRAME, FRAME, SCAN]), Corrupt::Frame);
        corrupt(&file(&[FRAME, &SCAN[..7]]), Corrupt::EndsEarly);
        let mut unknown = SCAN.to_vec();
        unknown[7] = 9;
        corrupt(&file(&[FRAME, &unknown]), Corrupt::Scan);
        let mut arithmetic = FRAME.to_vec();
        arithmetic[1] = 0xc9;
        let error = Jpeg::parse(&file(&[&arithmetic, SCAN])).map(drop);
        assert_eq!(error, Err(Error::Unsupported(Unsupported::Arithmetic)));
    }

    #[test]
    fn memory_is_planes_and_for_progressive_files_a_coefficient_for_each_block() {
        let mut bytes = file(&[FRAME, SCAN]);
        let jpeg = Jpeg::parse(&bytes).expect("a header");
        // Two units of 16 x 16: 8 blocks of luma, 2 and 2 of chroma.
        assert_eq!(jpeg.memory(Scale::Eighth) - SCRATCH_BYTES, 12);
        assert_eq!(jpeg.memory(Scale::Full) - SCRATCH_BYTES, 12 * 64);
        bytes[3] = 0xc2;
        let jpeg = Jpeg::parse(&bytes).expect("a header");
        assert_eq!(jpeg.memory(Scale::Eighth) - SCRATCH_BYTES, 12 + 2 * 12);
        assert_eq!(jpeg.check(Scale::Quarter), Err(Error::Unsupported(Unsupported::ProgressiveScale)));
    }
}
