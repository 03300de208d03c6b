//! The tables that a file states, kept built from one file to the next: most files state the same.

use crate::error::{Corrupt, Error};
use crate::huffman::{AcTable, DcTable, Spec};
use crate::segment::Fields;

/// Quantisation, in coded order.
type Quantisation = [u16; 64];

#[derive(Clone, Debug)]
pub(crate) struct Tables {
    dc: [Slot<DcTable>; 4],
    ac: [Slot<AcTable>; 4],
    quantisation: [Option<Quantisation>; 4],
}

/// One Huffman table.
#[derive(Clone, Debug)]
struct Slot<T> {
    /// By this file.
    stated: Option<Spec>,
    /// By this file or one before.
    built: Option<Spec>,
    table: T,
}

impl<T> Slot<T> {
    fn prepare(&mut self, build: impl FnOnce(&mut T, &Spec) -> Result<(), Error>) -> Result<(), Error> {
        let stated = self.stated.as_ref().ok_or(Error::Corrupt(Corrupt::Huffman))?;
        if self.built.as_ref() != Some(stated) {
            self.built = None;
            build(&mut self.table, stated)?;
            self.built = Some(*stated);
        }
        Ok(())
    }
}

impl Tables {
    /// Of what [`Tables::new`] allocates, and what building takes for a moment.
    pub(crate) const BYTES: usize = 4 * (DcTable::BYTES + AcTable::BYTES) + AcTable::BUILD_BYTES;

    pub(crate) fn new() -> Tables {
        Tables {
            dc: std::array::from_fn(|_| Slot { stated: None, built: None, table: DcTable::empty() }),
            ac: std::array::from_fn(|_| Slot { stated: None, built: None, table: AcTable::empty() }),
            quantisation: [None; 4],
        }
    }

    /// Forgets what the file before has stated. Huffman tables that are not stated are the standard's, as in the frames
    /// of Motion JPEG.
    pub(crate) fn begin(&mut self) {
        self.quantisation = [None; 4];
        for (number, slot) in self.dc.iter_mut().enumerate() {
            slot.stated = Spec::standard_dc(number);
        }
        for (number, slot) in self.ac.iter_mut().enumerate() {
            slot.stated = Spec::standard_ac(number);
        }
    }

    /// Reads a segment of Huffman tables.
    pub(crate) fn huffman(&mut self, content: &[u8]) -> Result<(), Error> {
        let mut fields = Fields::new(content);
        while !fields.is_empty() {
            let (is_ac, number, spec) = Spec::read(&mut fields)?;
            let stated = if is_ac {
                self.ac.get_mut(number).map(|slot| &mut slot.stated)
            } else {
                self.dc.get_mut(number).map(|slot| &mut slot.stated)
            };
            *stated.ok_or(Error::Corrupt(Corrupt::Huffman))? = Some(spec);
        }
        Ok(())
    }

    /// Reads a segment of quantisation tables.
    pub(crate) fn quantisation(&mut self, content: &[u8]) -> Result<(), Error> {
        let mut fields = Fields::new(content);
        while !fields.is_empty() {
            let place = fields.byte()?;
            let table =
                self.quantisation.get_mut(usize::from(place & 0xf)).ok_or(Error::Corrupt(Corrupt::Quantisation))?;
            let mut values = [0; 64];
            match place >> 4 {
                0 => {
                    for (value, byte) in values.iter_mut().zip(fields.array::<64>()?) {
                        *value = byte.into();
                    }
                }
                // In baseline files the standard forbids it; libjpeg reads it all the same.
                1 => {
                    for value in &mut values {
                        *value = fields.u16()?;
                    }
                }
                _ => return Err(Error::Corrupt(Corrupt::Quantisation)),
            }
            *table = Some(values);
        }
        Ok(())
    }

    /// The factors of quantisation table `number`.
    pub(crate) fn factors(&self, number: u8) -> Result<[i32; 64], Error> {
        let table = self.quantisation.get(usize::from(number)).and_then(Option::as_ref);
        table.map(|table| table.map(i32::from)).ok_or(Error::Corrupt(Corrupt::Quantisation))
    }

    /// Builds what [`Tables::dc`] will give.
    pub(crate) fn prepare_dc(&mut self, number: u8) -> Result<(), Error> {
        self.dc.get_mut(usize::from(number)).ok_or(Error::Corrupt(Corrupt::Huffman))?.prepare(DcTable::build)
    }

    /// Builds what [`Tables::ac`] will give.
    pub(crate) fn prepare_ac(&mut self, number: u8) -> Result<(), Error> {
        let slot = self.ac.get_mut(usize::from(number)).ok_or(Error::Corrupt(Corrupt::Huffman))?;
        slot.prepare(|table, spec| {
            table.build(spec);
            Ok(())
        })
    }

    /// A table that has been prepared.
    pub(crate) fn dc(&self, number: u8) -> Result<&DcTable, Error> {
        self.dc.get(usize::from(number)).map(|slot| &slot.table).ok_or(Error::Corrupt(Corrupt::Huffman))
    }

    /// A table that has been prepared.
    pub(crate) fn ac(&self, number: u8) -> Result<&AcTable, Error> {
        self.ac.get(usize::from(number)).map(|slot| &slot.table).ok_or(Error::Corrupt(Corrupt::Huffman))
    }
}
