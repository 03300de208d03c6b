//! The frame header, and what follows from it: how large the planes are at each scale.

use crate::error::{Corrupt, Error, Unsupported};
use crate::segment::Fields;

/// More than three components are left to a general decoder.
pub(crate) const COMPONENTS_MAX: usize = 3;

/// How much of the size is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scale {
    /// One sample for each block of 8 x 8.
    Eighth,
    /// 2 x 2 samples for each block.
    Quarter,
    /// 4 x 4 samples for each block.
    Half,
    /// All samples.
    Full,
}

impl Scale {
    /// All, from the smallest to the largest.
    pub const ALL: [Scale; 4] = [Scale::Eighth, Scale::Quarter, Scale::Half, Scale::Full];

    /// Samples for each side of a block: 1, 2, 4 or 8.
    pub fn eighths(self) -> u32 {
        match self {
            Scale::Eighth => 1,
            Scale::Quarter => 2,
            Scale::Half => 4,
            Scale::Full => 8,
        }
    }
}

/// A component as the frame header tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its number in the file.
    pub id: u8,
    /// Samples across, for each unit that holds as many of the widest component as its factor says: 1 to 4.
    pub horizontal: u8,
    /// The same from top to bottom.
    pub vertical: u8,
    /// Its quantisation table, 0 to 3.
    pub(crate) table: u8,
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) is_progressive: bool,
    components: [Component; COMPONENTS_MAX],
    count: usize,
    across_max: u8,
    down_max: u8,
}

/// The plane of a component at a scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Geometry {
    /// Samples that show something of the picture.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// How much of them, exactly.
    pub(crate) extent: (f64, f64),
    /// Samples from one row to the next: whole units.
    pub(crate) stride: u32,
    /// Rows: whole units.
    pub(crate) rows: u32,
    /// Blocks that show something of the picture: what a scan of this component alone holds.
    pub(crate) blocks: (u32, u32),
}

impl Geometry {
    pub(crate) fn samples(&self) -> u64 {
        u64::from(self.stride) * u64::from(self.rows)
    }
}

/// The kind of frame that a marker begins, or why it is not decoded here; none if it begins no frame.
pub(crate) fn kind(marker: u8) -> Option<Result<(), Error>> {
    let unsupported = |what| Some(Err(Error::Unsupported(what)));
    match marker {
        0xc0..=0xc2 => Some(Ok(())),
        0xc3 => unsupported(Unsupported::Lossless),
        0xc5..=0xc7 => unsupported(Unsupported::Hierarchical),
        0xc9..=0xcb => unsupported(Unsupported::Arithmetic),
        0xcd..=0xcf => unsupported(Unsupported::Hierarchical),
        _ => None,
    }
}

impl Frame {
    /// Reads the content of the segment that `marker` begins.
    pub(crate) fn read(marker: u8, content: &[u8]) -> Result<Frame, Error> {
        let mut fields = Fields::new(content);
        let precision = fields.byte()?;
        let (height, width) = (fields.u16()?, fields.u16()?);
        let count = fields.byte()?;
        if precision != 8 {
            return Err(Error::Unsupported(Unsupported::Precision(precision)));
        }
        if width == 0 {
            return Err(Error::Corrupt(Corrupt::NoPixels));
        }
        if height == 0 {
            return Err(Error::Unsupported(Unsupported::LateHeight));
        }
        if !matches!(count, 1 | 3) {
            return Err(Error::Unsupported(Unsupported::Components(count)));
        }
        let count = usize::from(count);
        let mut components = [Component { id: 0, horizontal: 1, vertical: 1, table: 0 }; COMPONENTS_MAX];
        for component in components.iter_mut().take(count) {
            let [id, sampling, table] = fields.array()?;
            let (horizontal, vertical) = (sampling >> 4, sampling & 0xf);
            if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) || table > 3 {
                return Err(Error::Corrupt(Corrupt::Frame));
            }
            *component = Component { id, horizontal, vertical, table };
        }
        // A component that is alone has nothing to be sampled against.
        if let ([alone, ..], 1) = (&mut components, count) {
            (alone.horizontal, alone.vertical) = (1, 1);
        }
        let (mut across_max, mut down_max) = (1, 1);
        for (index, component) in components.iter().enumerate().take(count) {
            if components.iter().take(index).any(|before| before.id == component.id) {
                return Err(Error::Corrupt(Corrupt::Frame));
            }
            across_max = across_max.max(component.horizontal);
            down_max = down_max.max(component.vertical);
        }
        Ok(Frame { width, height, is_progressive: marker == 0xc2, components, count, across_max, down_max })
    }

    pub(crate) fn components(&self) -> &[Component] {
        self.components.get(..self.count).unwrap_or_default()
    }

    /// Units in an interleaved scan, across and down.
    pub(crate) fn units(&self) -> (u32, u32) {
        let units = |side: u16, most: u8| u32::from(side).div_ceil(8 * u32::from(most));
        (units(self.width, self.across_max), units(self.height, self.down_max))
    }

    /// The plane of a component of this frame.
    pub(crate) fn geometry(&self, component: &Component, scale: Scale) -> Geometry {
        let n = scale.eighths();
        let (units_across, units_down) = self.units();
        let side = |side: u16, factor: u8, most: u8| {
            let (side, factor, most) = (u32::from(side), u32::from(factor), u32::from(most));
            let extent = f64::from(side * factor) * f64::from(n) / f64::from(8 * most);
            let samples = (side * factor).div_ceil(most);
            ((samples * n).div_ceil(8), extent, samples.div_ceil(8))
        };
        let (width, across, blocks_across) = side(self.width, component.horizontal, self.across_max);
        let (height, down, blocks_down) = side(self.height, component.vertical, self.down_max);
        Geometry {
            width,
            height,
            extent: (across, down),
            stride: units_across * u32::from(component.horizontal) * n,
            rows: units_down * u32::from(component.vertical) * n,
            blocks: (blocks_across, blocks_down),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u16, height: u16, samplings: &[u8]) -> Result<Frame, Error> {
        let mut content = vec![8];
        content.extend(height.to_be_bytes());
        content.extend(width.to_be_bytes());
        content.push(u8::try_from(samplings.len()).expect("few"));
        for (id, sampling) in (1..).zip(samplings) {
            content.extend([id, *sampling, 0]);
        }
        Frame::read(0xc0, &content)
    }

    #[test]
    fn an_extent_is_what_the_picture_covers_of_its_samples() {
        let frame = frame(427, 33, &[0x22, 0x11, 0x11]).expect("a frame");
        let [luma, chroma, _] = frame.components() else { panic!("three") };
        let luma = frame.geometry(luma, Scale::Quarter);
        assert_eq!((luma.width, luma.height, luma.extent), (107, 9, (106.75, 8.25)));
        assert_eq!((luma.stride, luma.rows, luma.blocks), (27 * 4, 3 * 4, (54, 5)));
        let chroma = frame.geometry(chroma, Scale::Quarter);
        assert_eq!((chroma.width, chroma.height, chroma.extent), (54, 5, (53.375, 4.125)));
        assert_eq!((chroma.stride, chroma.rows, chroma.blocks), (27 * 2, 3 * 2, (27, 3)));
    }

    #[test]
    fn samplings_need_not_divide_each_other() {
        let frame = frame(100, 100, &[0x33, 0x21, 0x12]).expect("a frame");
        let [_, two_thirds, _] = frame.components() else { panic!("three") };
        let plane = frame.geometry(two_thirds, Scale::Full);
        assert_eq!((plane.width, plane.height), (67, 34));
        assert!((plane.extent.0 - 200.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn one_component_has_no_sampling() {
        let alone = frame(17, 17, &[0x42]).expect("a frame");
        let plane = alone.geometry(&alone.components()[0], Scale::Eighth);
        assert_eq!((plane.width, plane.height, plane.stride, plane.rows), (3, 3, 3, 3));
    }

    #[test]
    fn frames_that_make_no_sense_are_told_from_those_of_other_decoders() {
        for samplings in [[0x02, 0x11, 0x11], [0x51, 0x11, 0x11], [0x11, 0x10, 0x11]] {
            assert_eq!(frame(8, 8, &samplings), Err(Error::Corrupt(Corrupt::Frame)));
        }
        assert_eq!(frame(0, 8, &[0x11]), Err(Error::Corrupt(Corrupt::NoPixels)));
        assert_eq!(frame(8, 0, &[0x11]), Err(Error::Unsupported(Unsupported::LateHeight)));
        assert_eq!(frame(8, 8, &[0x11; 4]), Err(Error::Unsupported(Unsupported::Components(4))));
        assert_eq!(Frame::read(0xc0, &[8, 0, 8, 0, 8, 1, 1]), Err(Error::Corrupt(Corrupt::Segment)));
        assert_eq!(Frame::read(0xc1, &[12, 0, 8, 0, 8, 1]), Err(Error::Unsupported(Unsupported::Precision(12))));
        assert_eq!(
            Frame::read(0xc0, &[8, 0, 8, 0, 8, 3, 1, 17, 0, 1, 17, 0, 2, 17, 0]),
            Err(Error::Corrupt(Corrupt::Frame))
        );
    }

    #[test]
    fn a_marker_tells_the_kind_of_its_frame() {
        assert_eq!(kind(0xc3), Some(Err(Error::Unsupported(Unsupported::Lossless))));
        assert_eq!(kind(0xc9), Some(Err(Error::Unsupported(Unsupported::Arithmetic))));
        assert_eq!(kind(0xc5), Some(Err(Error::Unsupported(Unsupported::Hierarchical))));
        assert_eq!((kind(0xc1), kind(0xc4), kind(0xc8), kind(0xcc)), (Some(Ok(())), None, None, None));
    }
}
