//! Why there is no thumbnail. Each cause is the picture's own, so none of them is worth another try.

use super::header::Format;
use crate::error::{Class, Classified, Code};

/// Why no thumbnail can be made of some bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// None of the formats.
    #[error("the bytes are not a JPEG, PNG, GIF or WebP")]
    NotAnImage,
    /// A variant of a format that the decoder does not know.
    #[error("the {format} cannot be decoded: {reason}")]
    Unsupported {
        /// The format.
        format: Format,
        /// What is not known.
        reason: String,
    },
    /// Damaged, incomplete, or lying about itself.
    #[error("the {format} is damaged: {reason}")]
    Corrupt {
        /// The format.
        format: Format,
        /// Where it stopped to make sense.
        reason: String,
    },
    /// More pixels than allowed.
    #[error("the picture has {width} x {height} pixels; at most {pixels_max} are allowed (SOURCE_PIXELS_MAX)")]
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit.
        pixels_max: u64,
    },
    /// A side longer than allowed.
    #[error("the picture has {width} x {height} pixels; a side has at most {side_max}")]
    SideTooLong {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit.
        side_max: u32,
    },
    /// Its decoder would need more memory than there is for all of them.
    #[error("decoding the picture needs {needed} bytes; {budget} are allowed (DECODE_BYTES_MAX)")]
    MemoryLimit {
        /// What was predicted, or asked for.
        needed: u64,
        /// The limit.
        budget: u64,
    },
    /// The decoded picture could not be resized or encoded.
    #[error("the thumbnail cannot be made: {0}")]
    Unfinished(String),
    /// The decoder panicked.
    #[error("the decoder failed in a way it should not")]
    Panicked,
}

impl Classified for ImageError {
    fn class(&self) -> Class {
        match self {
            ImageError::NotAnImage
            | ImageError::Unsupported { .. }
            | ImageError::Corrupt { .. }
            | ImageError::TooManyPixels { .. }
            | ImageError::SideTooLong { .. }
            | ImageError::MemoryLimit { .. }
            | ImageError::Unfinished(_)
            | ImageError::Panicked => Class::Permanent,
        }
    }

    fn code(&self) -> Code {
        match self {
            ImageError::NotAnImage | ImageError::Unsupported { .. } => Code::ImageUnsupported,
            ImageError::Corrupt { .. } => Code::ImageCorrupt,
            ImageError::TooManyPixels { .. } | ImageError::SideTooLong { .. } => Code::ImageTooManyPixels,
            ImageError::MemoryLimit { .. } => Code::ImageMemoryLimit,
            ImageError::Unfinished(_) | ImageError::Panicked => Code::DecoderPanicked,
        }
    }
}
