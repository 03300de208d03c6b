//! Luma and chroma as they are -> rows for the encoder, without a way over RGB.

use image::GrayImage;
use jpeg_encoder::{ImageBuffer, JpegColorType};

/// Luma, and chroma that has half or all of its sides.
pub(super) struct Planar<'a> {
    pub(super) planes: &'a [GrayImage; 3],
    pub(super) width: u16,
    pub(super) height: u16,
}

impl ImageBuffer for Planar<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    /// The encoder takes one sample of each four for its chroma: of half a plane every sample is repeated, and it gets
    /// them back as they are.
    fn fill_buffers(&self, y: u16, rows: &mut [Vec<u8>; 4]) {
        for (plane, row) in self.planes.iter().zip(rows) {
            let y = if plane.height() < self.height.into() { y / 2 } else { y };
            let width = usize::try_from(plane.width()).unwrap_or(usize::MAX);
            let samples = plane.as_raw().chunks_exact(width).nth(y.into()).unwrap_or_default();
            if plane.width() < self.width.into() {
                row.extend(samples.iter().flat_map(|sample| [*sample; 2]));
            } else {
                row.extend_from_slice(samples);
            }
        }
    }
}
