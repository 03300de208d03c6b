//! How near a thumbnail comes to the best that could be made: a full decode, scaled by Lanczos3. Luma alone.

use anyhow::Context as _;
use image::imageops::FilterType;
use image::{GrayImage, ImageReader};

/// Side of the windows that SSIM compares, in pixels.
const WINDOW: u32 = 8;
/// Wang et al. 2004: (0.01 * 255)^2 and (0.03 * 255)^2.
const C1: f64 = 6.5025;
const C2: f64 = 58.5225;

/// A picture decoded whole.
pub(crate) struct Reference(GrayImage);

impl Reference {
    pub(crate) fn of(source: &[u8]) -> anyhow::Result<Reference> {
        Ok(Reference(decode(source)?))
    }

    /// Mean SSIM and PSNR in dB.
    pub(crate) fn compare(&self, thumbnail: &[u8]) -> anyhow::Result<(f64, f64)> {
        let found = decode(thumbnail)?;
        let (width, height) = found.dimensions();
        let wanted = image::imageops::resize(&self.0, width, height, FilterType::Lanczos3);
        Ok((ssim(&wanted, &found), psnr(&wanted, &found)))
    }
}

fn decode(bytes: &[u8]) -> anyhow::Result<GrayImage> {
    let mut reader = ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format()?;
    reader.no_limits();
    Ok(reader.decode().context("decode it")?.to_luma8())
}

fn psnr(a: &GrayImage, b: &GrayImage) -> f64 {
    let squares = a.iter().zip(b.iter()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    let mean = squares.sum::<f64>() / f64::from(a.width() * a.height());
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}

fn ssim(a: &GrayImage, b: &GrayImage) -> f64 {
    let (mut sum, mut windows) = (0.0, 0.0);
    for y in (0..=a.height().saturating_sub(WINDOW)).step_by(WINDOW as usize / 2) {
        for x in (0..=a.width().saturating_sub(WINDOW)).step_by(WINDOW as usize / 2) {
            sum += ssim_of_window(a, b, x, y);
            windows += 1.0;
        }
    }
    sum / windows
}

fn ssim_of_window(a: &GrayImage, b: &GrayImage, x: u32, y: u32) -> f64 {
    let (mut n, mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (dy, dx) in (0..WINDOW.min(a.height())).flat_map(|dy| (0..WINDOW.min(a.width())).map(move |dx| (dy, dx))) {
        let [va, vb] = [a, b].map(|image| f64::from(image.get_pixel(x + dx, y + dy).0[0]));
        n += 1.0;
        sa += va;
        sb += vb;
        saa += va * va;
        sbb += vb * vb;
        sab += va * vb;
    }
    let (ma, mb) = (sa / n, sb / n);
    let (variance_a, variance_b, covariance) = (saa / n - ma * ma, sbb / n - mb * mb, sab / n - ma * mb);
    ((2.0 * ma * mb + C1) * (2.0 * covariance + C2)) / ((ma * ma + mb * mb + C1) * (variance_a + variance_b + C2))
}
