//! Why there are no samples, and why those that there are may be wrong.

use std::fmt;

/// Why a JPEG was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A JPEG of a kind that this crate leaves to a general decoder.
    Unsupported(Unsupported),
    /// Not a JPEG, or one that is damaged before its first sample.
    Corrupt(Corrupt),
}

/// What a general decoder may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// Arithmetic instead of Huffman coding.
    Arithmetic,
    /// Predicted samples instead of transformed blocks.
    Lossless,
    /// Frames that refine other frames.
    Hierarchical,
    /// So many bits a sample, and not eight.
    Precision(u8),
    /// So many components: neither grey nor three colours. Four are CMYK or YCCK.
    Components(u8),
    /// A height that is told behind the data.
    LateHeight,
    /// More than ten blocks in an interleaved unit: the standard forbids it, some decoders don't.
    BlocksPerUnit,
    /// A progressive file at another scale than 1/8.
    ProgressiveScale,
    /// More samples than this machine can address.
    Size,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// They do not begin like a JPEG.
    NotJpeg,
    /// They end before the first sample.
    EndsEarly,
    /// A side has no pixels.
    NoPixels,
    /// A frame header that contradicts itself, comes twice, or is missing.
    Frame,
    /// A quantisation table that is cut short, or missing.
    Quantisation,
    /// A Huffman table that is cut short, missing, or no prefix code.
    Huffman,
    /// A scan header that contradicts the frame, or a scan that should not be there.
    Scan,
    /// A segment shorter than what it has to hold.
    Segment,
}

/// What was missing or wrong in the data of a picture that was decoded all the same.
///
/// Samples that could not be read are grey (128), as libjpeg leaves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The data of a scan, or the file, ended before every block was read.
    EndsEarly,
    /// Bits that are no code, or a block of more than 64 coefficients.
    BadCode,
    /// A restart marker was missing, or was not the one expected.
    Restart,
    /// A segment between the scans made no sense; what follows it was not read.
    Segment,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unsupported(what) => what.fmt(f),
            Error::Corrupt(what) => what.fmt(f),
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsupported::Arithmetic => f.write_str("arithmetic coding"),
            Unsupported::Lossless => f.write_str("lossless coding"),
            Unsupported::Hierarchical => f.write_str("hierarchical coding"),
            Unsupported::Precision(bits) => write!(f, "{bits} bits a sample"),
            Unsupported::Components(count) => write!(f, "{count} components"),
            Unsupported::LateHeight => f.write_str("a height that is told after the data"),
            Unsupported::BlocksPerUnit => f.write_str("more than ten blocks in a unit"),
            Unsupported::ProgressiveScale => f.write_str("a progressive file at more than 1/8"),
            Unsupported::Size => f.write_str("more samples than can be addressed"),
        }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Corrupt::NotJpeg => "it does not begin like a JPEG",
            Corrupt::EndsEarly => "it ends early",
            Corrupt::NoPixels => "a side has no pixels",
            Corrupt::Frame => "its frame header makes no sense",
            Corrupt::Quantisation => "a quantisation table is missing or cut short",
            Corrupt::Huffman => "a Huffman table is missing or no prefix code",
            Corrupt::Scan => "a scan header makes no sense",
            Corrupt::Segment => "a segment is too short",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::EndsEarly => "its data end early",
            Damage::BadCode => "its data hold bits that are no code",
            Damage::Restart => "a restart marker is missing or wrong",
            Damage::Segment => "a segment between its scans makes no sense",
        })
    }
}

impl std::error::Error for Error {}
