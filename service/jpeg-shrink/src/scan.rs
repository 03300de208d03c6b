//! A scan: its header, and the walk over its units with their restarts.

use crate::bits::{Bits, Coded, Restart, Window};
use crate::error::{Corrupt, Damage, Error, Unsupported};
use crate::frame::{COMPONENTS_MAX, Component, Frame, Geometry};
use crate::huffman::index;
use crate::segment::Fields;

/// Blocks in an interleaved unit.
const UNIT_BLOCKS_MAX: u32 = 10;

/// A component in a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its place in the frame.
    pub(crate) component: usize,
    /// Its Huffman tables, 0 to 3.
    pub(crate) dc: u8,
    pub(crate) ac: u8,
}

/// A scan header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    parts: [Part; COMPONENTS_MAX],
    count: usize,
    /// The first coefficient: only in progressive files it may not be 0.
    pub(crate) first: u8,
    /// The bits of each coefficient that were known before, and those still unknown after it; in progressive files.
    pub(crate) high: u8,
    pub(crate) low: u8,
}

impl Scan {
    pub(crate) fn read(content: &[u8], frame: &Frame) -> Result<Scan, Error> {
        let corrupt = Error::Corrupt(Corrupt::Scan);
        let mut fields = Fields::new(content);
        let count = usize::from(fields.byte()?);
        let mut parts = [Part { component: 0, dc: 0, ac: 0 }; COMPONENTS_MAX];
        if count == 0 || count > frame.components().len() {
            return Err(corrupt);
        }
        for at in 0..count {
            let [id, tables] = fields.array()?;
            let component = frame.components().iter().position(|component| component.id == id).ok_or(corrupt)?;
            let part = Part { component, dc: tables >> 4, ac: tables & 0xf };
            let is_twice = parts.iter().take(at).any(|before| before.component == component);
            if is_twice || part.dc > 3 || part.ac > 3 {
                return Err(corrupt);
            }
            if let Some(place) = parts.get_mut(at) {
                *place = part;
            }
        }
        let [first, _last, precision] = fields.array()?;
        let scan = Scan { parts, count, first, high: precision >> 4, low: precision & 0xf };
        let blocks = |part: &Part| {
            frame
                .components()
                .get(part.component)
                .map_or(0, |component| u32::from(component.horizontal) * u32::from(component.vertical))
        };
        if count > 1 && scan.parts().iter().map(blocks).sum::<u32>() > UNIT_BLOCKS_MAX {
            return Err(Error::Unsupported(Unsupported::BlocksPerUnit));
        }
        Ok(scan)
    }

    pub(crate) fn parts(&self) -> &[Part] {
        self.parts.get(..self.count).unwrap_or_default()
    }

    /// Units across and down.
    pub(crate) fn grid(&self, frame: &Frame, alone: &Geometry) -> (u32, u32) {
        if self.count == 1 { alone.blocks } else { frame.units() }
    }

    /// Blocks of a component in a unit, across and down.
    pub(crate) fn blocks(&self, component: &Component) -> (usize, usize) {
        if self.count == 1 { (1, 1) } else { (component.horizontal.into(), component.vertical.into()) }
    }
}

/// What is done with the units of a scan.
pub(crate) trait Unit {
    /// Reads the unit at `x`, `y`. False if its bits make no sense.
    fn read(&mut self, x: usize, y: usize, bits: &mut Bits, window: &Window) -> bool;

    /// Forgets what the next unit would be told relative to.
    fn restart(&mut self);
}

/// Reads all units; `interval` of them lie between two restart markers, if it is not 0.
///
/// Units that are missing are not read.
pub(crate) fn walk(coded: &mut Coded<'_>, grid: (u32, u32), interval: u16, unit: &mut impl Unit) -> Option<Damage> {
    let (across, down) = (index(grid.0), index(grid.1));
    let total = across.saturating_mul(down);
    let interval = if interval == 0 { total } else { usize::from(interval) };
    let mut damage = None;
    let mut is_sound = true;
    let (mut begun, mut expected) = (0, 0);
    let mut bits = coded.begin();
    loop {
        let end = total.min(begun + interval);
        let (mut x, mut y) = (begun % across, begun / across);
        for _ in begun..end {
            if !coded.has_unit(&bits) {
                let Some(more) = coded.more(bits) else { break };
                bits = more;
            }
            is_sound &= unit.read(x, y, &mut bits, coded.window());
            x += 1;
            if x == across {
                (x, y) = (0, y + 1);
            }
        }
        if !is_sound {
            damage.get_or_insert(Damage::BadCode);
        }
        if coded.is_overrun(&bits) {
            damage.get_or_insert(Damage::EndsEarly);
        }
        begun = end;
        while begun < total {
            unit.restart();
            let restart = coded.restart(expected, &mut damage);
            expected = (expected + 1) & 7;
            match restart {
                Restart::Begun(first) => {
                    bits = first;
                    break;
                }
                Restart::Lost => begun = total.min(begun + interval),
                Restart::Over => {
                    damage.get_or_insert(Damage::EndsEarly);
                    return damage;
                }
            }
        }
        if begun >= total {
            return damage;
        }
    }
}
