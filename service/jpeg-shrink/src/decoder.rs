//! The decoder: from segment to segment, and what it keeps.

use crate::bits::{Coded, Window};
use crate::error::{Corrupt, Damage, Error, Unsupported};
use crate::frame::{COMPONENTS_MAX, Frame, Geometry, Scale};
use crate::header::Jpeg;
use crate::huffman::index;
use crate::idct;
use crate::picture::{Picture, Plane};
use crate::progressive::{Coefficients, Progressive};
use crate::scan::{self, Scan};
use crate::segment::{self, DHT, DQT, DRI, EOI, Fields, SOS};
use crate::sequential::{Blocks, Sequential};
use crate::tables::Tables;

/// What a decoder holds besides planes and coefficients.
pub(crate) const SCRATCH_BYTES: u64 = (Window::BYTES + Tables::BYTES + size_of::<Decoder>()) as u64;

/// More bits than this no coefficient has.
const LOW_MAX: u8 = 13;

/// Decodes files one after the other, and keeps tables and memory from one to the next.
#[derive(Clone, Debug)]
pub struct Decoder {
    window: Window,
    tables: Tables,
    samples: [Vec<u8>; COMPONENTS_MAX],
    /// Of progressive files: the DC coefficient of each block.
    coefficients: [Vec<i16>; COMPONENTS_MAX],
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

/// How far a component is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Set with its first scan.
    quantisation: Option<[i32; 64]>,
    /// Bits of its DC coefficients that are still unknown.
    low: u8,
}

impl Decoder {
    /// A decoder that holds its tables and no picture.
    pub fn new() -> Decoder {
        Decoder {
            window: Window::new(),
            tables: Tables::new(),
            samples: [const { Vec::new() }; COMPONENTS_MAX],
            coefficients: [const { Vec::new() }; COMPONENTS_MAX],
        }
    }

    /// Bytes held for pictures.
    pub fn kept_bytes(&self) -> usize {
        let samples: usize = self.samples.iter().map(Vec::capacity).sum();
        let coefficients: usize = self.coefficients.iter().map(Vec::capacity).sum();
        samples + coefficients * size_of::<i16>()
    }

    /// Gives the memory for pictures back if it is more than `bytes`.
    ///
    /// Memory that is kept is not cleared by the system again, which can take longer than to decode a small picture.
    pub fn keep_at_most(&mut self, bytes: usize) {
        if self.kept_bytes() > bytes {
            self.samples = [const { Vec::new() }; COMPONENTS_MAX];
            self.coefficients = [const { Vec::new() }; COMPONENTS_MAX];
        }
    }

    /// Decodes a file at a scale.
    ///
    /// What is missing or wrong behind the first sample does not end it: see [`Picture::damage`]. Takes no more time
    /// than the length of the file and the number of samples warrant, and no more memory than [`Jpeg::memory`] says.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a general decoder may know more; among others [`Unsupported::ProgressiveScale`].
    /// [`Error::Corrupt`] if no block could be read.
    pub fn decode(&mut self, jpeg: &Jpeg<'_>, scale: Scale) -> Result<Picture<'_>, Error> {
        jpeg.check(scale)?;
        let frame = &jpeg.frame;
        let planes = self.allocate(frame, scale)?;
        self.tables.begin();
        let mut progress = [Progress::default(); COMPONENTS_MAX];
        let mut damage = None;
        let mut interval = 0;
        let mut at = 2;
        while !is_complete(frame, &progress) {
            let step = segment::next(jpeg.bytes, at).and_then(|segment| {
                at = segment.end;
                match segment.marker {
                    EOI => Err(Error::Corrupt(Corrupt::EndsEarly)),
                    DQT => self.tables.quantisation(segment.content),
                    DHT => self.tables.huffman(segment.content),
                    DRI => Fields::new(segment.content).u16().map(|units| interval = units),
                    SOS => {
                        let scan = Scan::read(segment.content, frame)?;
                        if frame.is_progressive && scan.first != 0 {
                            return Ok(());
                        }
                        let mut coded = Coded::new(jpeg.bytes, at, &mut self.window);
                        let mut target = Target { tables: &mut self.tables, progress: &mut progress, planes: &planes };
                        let harm = if frame.is_progressive {
                            target.progressive(frame, &scan, &mut coded, interval, &mut self.coefficients)
                        } else {
                            target.sequential(frame, &scan, &mut coded, interval, &mut self.samples, scale)
                        }?;
                        at = coded.at();
                        damage = damage.or(harm);
                        Ok(())
                    }
                    _ => Ok(()),
                }
            });
            match step {
                Ok(()) => {}
                Err(error) if progress.iter().all(|component| component.quantisation.is_none()) => return Err(error),
                Err(Error::Corrupt(Corrupt::EndsEarly)) => {
                    damage.get_or_insert(Damage::EndsEarly);
                    break;
                }
                Err(Error::Corrupt(_)) => {
                    damage.get_or_insert(Damage::Segment);
                    break;
                }
                Err(error @ Error::Unsupported(_)) => return Err(error),
            }
        }
        if frame.is_progressive {
            self.flatten(&progress);
        }
        let mut picture = Picture {
            planes: [Plane::EMPTY; COMPONENTS_MAX],
            count: frame.components().len(),
            color: jpeg.color(),
            damage,
        };
        for ((plane, geometry), samples) in picture.planes.iter_mut().zip(planes).zip(&self.samples) {
            *plane = Plane { samples, geometry };
        }
        Ok(picture)
    }

    /// Makes room for all planes, and makes them grey.
    fn allocate(&mut self, frame: &Frame, scale: Scale) -> Result<[Geometry; COMPONENTS_MAX], Error> {
        let too_many = |_| Error::Unsupported(Unsupported::Size);
        let mut planes = [Plane::EMPTY.geometry; COMPONENTS_MAX];
        for samples in &mut self.samples {
            samples.clear();
        }
        for coefficients in &mut self.coefficients {
            coefficients.clear();
        }
        for (at, component) in frame.components().iter().enumerate() {
            let geometry = frame.geometry(component, scale);
            let count = usize::try_from(geometry.samples()).map_err(too_many)?;
            if let (Some(plane), Some(samples), Some(coefficients)) =
                (planes.get_mut(at), self.samples.get_mut(at), self.coefficients.get_mut(at))
            {
                *plane = geometry;
                // Exactly as many as were predicted.
                samples.reserve_exact(count);
                samples.resize(count, 128);
                if frame.is_progressive {
                    coefficients.reserve_exact(count);
                    coefficients.resize(count, 0);
                }
            }
        }
        Ok(planes)
    }

    /// Coefficients -> samples.
    fn flatten(&mut self, progress: &[Progress; COMPONENTS_MAX]) {
        for ((samples, coefficients), component) in self.samples.iter_mut().zip(&self.coefficients).zip(progress) {
            let Some([factor, ..]) = component.quantisation else { continue };
            for (sample, dc) in samples.iter_mut().zip(coefficients) {
                *sample = idct::flat((i32::from(*dc) * factor).clamp(-idct::COEFFICIENT_MAX, idct::COEFFICIENT_MAX));
            }
        }
    }
}

/// Whether all that the scale needs has been read.
fn is_complete(frame: &Frame, progress: &[Progress; COMPONENTS_MAX]) -> bool {
    let is_done = |component: &Progress| component.quantisation.is_some() && component.low == 0;
    progress.iter().take(frame.components().len()).all(is_done)
}

/// What a scan writes to.
struct Target<'a> {
    tables: &'a mut Tables,
    progress: &'a mut [Progress; COMPONENTS_MAX],
    planes: &'a [Geometry; COMPONENTS_MAX],
}

impl Target<'_> {
    fn sequential(
        &mut self,
        frame: &Frame,
        scan: &Scan,
        coded: &mut Coded<'_>,
        interval: u16,
        samples: &mut [Vec<u8>; COMPONENTS_MAX],
        scale: Scale,
    ) -> Result<Option<Damage>, Error> {
        let missing = Error::Corrupt(Corrupt::Scan);
        for part in scan.parts() {
            let component = frame.components().get(part.component).ok_or(missing)?;
            let progress = self.progress.get(part.component).ok_or(missing)?;
            if progress.quantisation.is_some() {
                return Err(missing);
            }
            self.tables.factors(component.table)?;
            self.tables.prepare_dc(part.dc)?;
            self.tables.prepare_ac(part.ac)?;
        }
        let mut rooms = samples.each_mut().map(Some);
        let mut parts = Vec::with_capacity(COMPONENTS_MAX);
        for part in scan.parts() {
            let component = frame.components().get(part.component).ok_or(missing)?;
            let geometry = self.planes.get(part.component).ok_or(missing)?;
            let quantisation = self.tables.factors(component.table)?;
            let (across, down) = scan.blocks(component);
            if let Some(progress) = self.progress.get_mut(part.component) {
                progress.quantisation = Some(quantisation);
            }
            parts.push(Blocks {
                samples: rooms.get_mut(part.component).and_then(Option::take).ok_or(missing)?,
                stride: index(geometry.stride),
                across,
                down,
                dc: self.tables.dc(part.dc)?,
                ac: self.tables.ac(part.ac)?,
                factors: match scale {
                    Scale::Half => idct::factors::<4>(&quantisation),
                    _ => idct::factors::<8>(&quantisation),
                },
                quantisation,
                before: 0,
            });
        }
        let grid = self.grid(frame, scan)?;
        let parts = &mut parts[..];
        Ok(match scale {
            Scale::Eighth => scan::walk(coded, grid, interval, &mut Sequential::<1, 1> { parts }),
            Scale::Quarter => scan::walk(coded, grid, interval, &mut Sequential::<2, 8> { parts }),
            Scale::Half => scan::walk(coded, grid, interval, &mut Sequential::<4, 32> { parts }),
            Scale::Full => scan::walk(coded, grid, interval, &mut Sequential::<8, 64> { parts }),
        })
    }

    fn progressive(
        &mut self,
        frame: &Frame,
        scan: &Scan,
        coded: &mut Coded<'_>,
        interval: u16,
        coefficients: &mut [Vec<i16>; COMPONENTS_MAX],
    ) -> Result<Option<Damage>, Error> {
        let missing = Error::Corrupt(Corrupt::Scan);
        let is_first = scan.high == 0;
        if scan.low > LOW_MAX {
            return Err(missing);
        }
        for part in scan.parts() {
            let component = frame.components().get(part.component).ok_or(missing)?;
            let progress = self.progress.get(part.component).ok_or(missing)?;
            // Each scan tells one more bit, so their number is bounded.
            let is_next = match progress.quantisation {
                None => is_first,
                Some(_) => !is_first && scan.high == progress.low && scan.low + 1 == scan.high,
            };
            if !is_next {
                return Err(missing);
            }
            self.tables.factors(component.table)?;
            if is_first {
                self.tables.prepare_dc(part.dc)?;
            }
        }
        let mut rooms = coefficients.each_mut().map(Some);
        let mut parts = Vec::with_capacity(COMPONENTS_MAX);
        for part in scan.parts() {
            let component = frame.components().get(part.component).ok_or(missing)?;
            let geometry = self.planes.get(part.component).ok_or(missing)?;
            let (across, down) = scan.blocks(component);
            let progress = self.progress.get_mut(part.component).ok_or(missing)?;
            if progress.quantisation.is_none() {
                progress.quantisation = Some(self.tables.factors(component.table)?);
            }
            progress.low = scan.low;
            parts.push(Coefficients {
                dc: rooms.get_mut(part.component).and_then(Option::take).ok_or(missing)?,
                stride: index(geometry.stride),
                across,
                down,
                table: is_first.then(|| self.tables.dc(part.dc)).transpose()?,
                before: 0,
            });
        }
        let grid = self.grid(frame, scan)?;
        Ok(scan::walk(coded, grid, interval, &mut Progressive { parts: &mut parts, low: scan.low }))
    }

    /// Units of the scan, across and down.
    fn grid(&self, frame: &Frame, scan: &Scan) -> Result<(u32, u32), Error> {
        let first = scan.parts().first().and_then(|part| self.planes.get(part.component));
        first.map(|plane| scan.grid(frame, plane)).ok_or(Error::Corrupt(Corrupt::Scan))
    }
}
