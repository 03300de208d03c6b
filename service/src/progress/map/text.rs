//! Bytes as text that a broker's limit counts cheaply: the limit is in UTF-16 units, so a unit should carry many bits.
//!
//! base64url while it fits: people can read and copy it. Else 14 bits a character from U+4E00 on: all of them letters in
//! one plane, unchanged by Unicode normalisation, and no tool takes them for controls.

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const WIDE_FIRST: u32 = 0x4e00;
const WIDE_BITS: u32 = 14;

/// How the bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Base64,
    Wide,
}

impl Form {
    fn bits(self) -> u32 {
        match self {
            Form::Base64 => 6,
            Form::Wide => WIDE_BITS,
        }
    }

    /// Bytes that fit into this many characters, each one unit of the limit.
    pub(super) fn bytes_in(self, characters: usize) -> usize {
        characters.saturating_mul(self.bits() as usize) / 8
    }

    pub(super) fn letter(self) -> char {
        match self {
            Form::Base64 => 'b',
            Form::Wide => 'w',
        }
    }

    pub(super) fn of_letter(letter: char) -> Option<Form> {
        [Form::Base64, Form::Wide].into_iter().find(|form| form.letter() == letter)
    }

    fn character(self, value: u32) -> char {
        let ascii = || BASE64.get(usize::try_from(value).ok()?).map(|byte| char::from(*byte));
        match self {
            Form::Base64 => ascii().unwrap_or('A'),
            Form::Wide => char::from_u32(WIDE_FIRST + value).unwrap_or('\u{4e00}'),
        }
    }

    fn value(self, character: char) -> Option<u32> {
        match (self, character) {
            (Form::Base64, 'A'..='Z') => Some(u32::from(character) - u32::from('A')),
            (Form::Base64, 'a'..='z') => Some(u32::from(character) - u32::from('a') + 26),
            (Form::Base64, '0'..='9') => Some(u32::from(character) - u32::from('0') + 52),
            (Form::Base64, '-') => Some(62),
            (Form::Base64, '_') => Some(63),
            (Form::Base64, _) => None,
            (Form::Wide, _) => u32::from(character).checked_sub(WIDE_FIRST).filter(|value| *value < 1 << WIDE_BITS),
        }
    }

    /// Appends `bytes`, the last character filled up with zeros.
    pub(super) fn write(self, bytes: &[u8], text: &mut String) {
        let (mut held, mut bits): (u32, u32) = (0, 0);
        for byte in bytes {
            held = held << 8 | u32::from(*byte);
            bits += 8;
            while bits >= self.bits() {
                bits -= self.bits();
                text.push(self.character(held >> bits));
                held &= (1 << bits) - 1;
            }
        }
        if bits > 0 {
            text.push(self.character(held << (self.bits() - bits)));
        }
    }

    /// The bytes of `text`; `None` if a character is not of this form. Zeros that filled up the last character may come
    /// back as one more byte.
    pub(super) fn read(self, text: &str) -> Option<Vec<u8>> {
        let (mut held, mut bits): (u32, u32) = (0, 0);
        let mut bytes = Vec::with_capacity(self.bytes_in(text.len()));
        for character in text.chars() {
            held = held << self.bits() | self.value(character)?;
            bits += self.bits();
            while bits >= 8 {
                bits -= 8;
                bytes.push(u8::try_from(held >> bits).ok()?);
                held &= (1 << bits) - 1;
            }
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_back_and_take_what_is_said(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for form in [Form::Base64, Form::Wide] {
                let mut text = String::new();
                form.write(&bytes, &mut text);
                let units = text.encode_utf16().count();
                prop_assert_eq!(units, text.chars().count());
                prop_assert!(form.bytes_in(units) >= bytes.len());
                prop_assert!(units == 0 || form.bytes_in(units - 1) < bytes.len());
                let read = form.read(&text).unwrap();
                prop_assert_eq!(read.get(..bytes.len()), Some(bytes.as_slice()));
                prop_assert!(read.iter().skip(bytes.len()).all(|byte| *byte == 0));
            }
        }
    }
}
