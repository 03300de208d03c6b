//! Decodes a JPEG at 1/8, 1/4, 1/2 or all of its size, and leaves out the work that such a size does not need.
//!
//! A thumbnail needs few of a JPEG's coefficients, yet most of a decoder's time goes into reading all of them. Here the
//! others are passed over, several with one look into a table, and never stored. Of a progressive file 1/8 needs the
//! scans of DC coefficients; the others are jumped over.
//!
//! The planes come as they are in the file, not as RGB: grey, luma and chroma, or red, green and blue, each with the
//! size of its own sampling. [`Plane::extent`] tells how much of its last row and column shows the picture; crop to it
//! when you resize, or the thumbnail is shifted by up to a pixel.
//!
//! ```
//! use jpeg_shrink::{Decoder, Error, Jpeg, Scale};
//!
//! /// Luma at 1/8: its width, its height, its samples.
//! fn small(file: &[u8], decoder: &mut Decoder) -> Result<(u32, u32, Vec<u8>), Error> {
//!     let jpeg = Jpeg::parse(file)?;
//!     // Judge the size before anything is allocated: jpeg.width(), jpeg.height(), jpeg.memory(Scale::Eighth).
//!     let picture = decoder.decode(&jpeg, Scale::Eighth)?;
//!     if let Some(damage) = picture.damage() {
//!         eprintln!("some of it is missing: {damage}");
//!     }
//!     let luma = picture.planes()[0];
//!     let samples = (0..luma.height()).flat_map(|y| luma.row(y)).copied().collect();
//!     Ok((luma.width(), luma.height(), samples))
//! }
//!
//! // One decoder for many files keeps its tables and its memory.
//! let mut decoder = Decoder::new();
//! # let file = include_bytes!("../tests/common/standard.jpg");
//! assert_eq!(small(file, &mut decoder)?, (1, 1, vec![128]));
//! # Ok::<(), Error>(())
//! ```
//!
//! What is decoded: baseline, extended and progressive files with Huffman coding and 8 bits a sample, of one or three
//! components in any sampling, in one scan or several, with restart markers or without. Anything else is
//! [`Error::Unsupported`]: leave it to a general decoder. [`Error::Corrupt`] is for files that no decoder can read.
//! A file that is damaged behind its first sample gives what there is, and [`Picture::damage`] says so.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap
    )
)]

mod bits;
mod decoder;
mod error;
mod frame;
mod header;
mod huffman;
mod idct;
mod picture;
mod progressive;
mod scan;
mod segment;
mod sequential;
mod tables;

pub use decoder::Decoder;
pub use error::{Corrupt, Damage, Error, Unsupported};
pub use frame::{Component, Scale};
pub use header::{Color, Jpeg};
pub use picture::{Picture, Plane};
