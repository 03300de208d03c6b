//! What has been decoded.

use crate::error::Damage;
use crate::frame::{COMPONENTS_MAX, Geometry};
use crate::header::Color;

/// The planes of a picture, in the memory of the decoder that made them.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'d> {
    pub(crate) planes: [Plane<'d>; COMPONENTS_MAX],
    pub(crate) count: usize,
    pub(crate) color: Color,
    pub(crate) damage: Option<Damage>,
}

impl<'d> Picture<'d> {
    /// One for each component.
    pub fn planes(&self) -> &[Plane<'d>] {
        self.planes.get(..self.count).unwrap_or_default()
    }

    /// What the planes mean.
    pub fn color(&self) -> Color {
        self.color
    }

    /// What was missing or wrong in the data that were read; none if all of them made sense.
    ///
    /// Coefficients that the scale does not need are checked for their codes only, those in scans of their own not at
    /// all, and nothing is read behind the last scan that is needed.
    pub fn damage(&self) -> Option<Damage> {
        self.damage
    }
}

/// The samples of one component.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'d> {
    pub(crate) samples: &'d [u8],
    pub(crate) geometry: Geometry,
}

impl<'d> Plane<'d> {
    pub(crate) const EMPTY: Plane<'static> = Plane {
        samples: &[],
        geometry: Geometry { width: 0, height: 0, extent: (0.0, 0.0), stride: 0, rows: 0, blocks: (0, 0) },
    };

    /// All samples: [`height`](Plane::height) rows and some more, each [`stride`](Plane::stride) samples from the next.
    pub fn samples(&self) -> &'d [u8] {
        self.samples
    }

    /// Samples of a row that show something of the picture. Those behind them are what the encoder has filled up with.
    pub fn width(&self) -> u32 {
        self.geometry.width
    }

    /// Rows that show something of the picture.
    pub fn height(&self) -> u32 {
        self.geometry.height
    }

    /// Samples from the begin of a row to that of the next.
    pub fn stride(&self) -> u32 {
        self.geometry.stride
    }

    /// Rows in [`samples`](Plane::samples).
    pub fn rows(&self) -> u32 {
        self.geometry.rows
    }

    /// Width and height of the picture in samples of this plane, exactly: the last sample of a row or column may show
    /// the picture only in part. Whoever resizes crops to this.
    pub fn extent(&self) -> (f64, f64) {
        self.geometry.extent
    }

    /// The samples of row `y` that show something of the picture; none behind the last.
    pub fn row(&self, y: u32) -> &'d [u8] {
        let size = |side| usize::try_from(side).unwrap_or(usize::MAX);
        let begin = size(y).saturating_mul(size(self.stride()));
        let end = begin.saturating_add(size(self.width()));
        if y < self.height() { self.samples.get(begin..end).unwrap_or_default() } else { &[] }
    }
}
