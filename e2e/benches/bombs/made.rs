//! Files that say or do as much as they may.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

/// Below the default of SOURCE_BYTES_MAX.
const BYTES_MAX: usize = 19 << 20;
/// 48 million pixels: below the default of SOURCE_PIXELS_MAX.
const WIDTH: u16 = 8000;
const HEIGHT: u16 = 6000;
/// A side of a square that is decoded whole within DECODE_BYTES_MAX.
const SIDE: u32 = 3900;

type Make = fn() -> anyhow::Result<Vec<u8>>;

pub(crate) const BOMBS: [(&str, Make); 12] = [
    ("large_48mp.png", || solid(GrayImage::new(WIDTH.into(), HEIGHT.into()).into(), ImageFormat::Png)),
    ("large_15mp.png", || solid(RgbImage::new(SIDE, SIDE).into(), ImageFormat::Png)),
    ("large_15mp.gif", || solid(RgbImage::new(SIDE, SIDE).into(), ImageFormat::Gif)),
    ("large_15mp.webp", || solid(RgbImage::new(SIDE, SIDE).into(), ImageFormat::WebP)),
    ("large_48mp.jpg", || Ok(jpeg(0xc0, &[baseline_scan()]))),
    ("restarts_48mp.jpg", || Ok(jpeg(0xc0, &[[&RESTART_EACH[..], &restarting_scan()].concat()]))),
    ("scans_100_48mp.jpg", || Ok(jpeg(0xc2, &progressive_scans(100)))),
    ("scans_101_48mp.jpg", || Ok(jpeg(0xc2, &progressive_scans(101)))),
    ("many_segments.jpg", || Ok(many_segments())),
    ("many_chunks.png", many_chunks),
    ("inflating_pixels.png", || inflating(b"IDAT")),
    ("inflating_profile.png", || inflating(b"iCCP")),
];

/// One restart interval for each unit of blocks.
const RESTART_EACH: [u8; 6] = [0xff, 0xdd, 0, 4, 0, 1];
/// Units of 16 x 16 pixels.
const UNITS: usize = WIDTH as usize / 16 * (HEIGHT as usize / 16);

fn solid(picture: DynamicImage, format: ImageFormat) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format)?;
    Ok(bytes.into_inner())
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).expect("short").to_be_bytes();
    [&[0xff, marker], &length[..], content].concat()
}

/// Quantisation, tables of one code, a frame of three components with halved chroma, and scans.
fn jpeg(frame: u8, scans: &[Vec<u8>]) -> Vec<u8> {
    let [width, height] = [WIDTH, HEIGHT].map(u16::to_be_bytes);
    let quantisation = segment(0xdb, &[&[0][..], &[1; 64]].concat());
    // One code of one bit: no difference to the block before, and the end of a block.
    let code = |class: u8| segment(0xc4, &[&[class, 1][..], &[0; 15], &[0]].concat());
    let components = [1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0];
    let frame = segment(frame, &[&[8][..], &height, &width, &[3], &components].concat());
    let mut bytes = [&[0xff, 0xd8][..], &quantisation, &code(0x00), &code(0x10), &frame].concat();
    scans.iter().for_each(|scan| bytes.extend_from_slice(scan));
    bytes.extend([0xff, 0xd9]);
    bytes
}

fn scan_header(spectrum: [u8; 3]) -> Vec<u8> {
    segment(0xda, &[&[3, 1, 0, 2, 0, 3, 0][..], &spectrum].concat())
}

/// Six blocks a unit, of each a DC and an AC code.
fn baseline_scan() -> Vec<u8> {
    [scan_header([0, 63, 0]), vec![0; UNITS * 12 / 8]].concat()
}

fn restarting_scan() -> Vec<u8> {
    let mut scan = scan_header([0, 63, 0]);
    for unit in 0..UNITS {
        // Twelve bits, filled up with ones.
        scan.extend([0, 0x0f]);
        if unit + 1 < UNITS {
            scan.extend([0xff, 0xd0 + u8::try_from(unit % 8).expect("small")]);
        }
    }
    scan
}

/// A first scan of DC coefficients, and refinements, each of them one bit a block.
fn progressive_scans(count: usize) -> Vec<Vec<u8>> {
    let bits = vec![0; UNITS * 6 / 8];
    let first = [scan_header([0, 0, 0x01]), bits.clone()].concat();
    let refinement = [scan_header([0, 0, 0x10]), bits].concat();
    std::iter::once(first).chain(std::iter::repeat_n(refinement, count - 1)).collect()
}

/// Behind the marker that begins the file nothing but empty comments, then a picture.
fn many_segments() -> Vec<u8> {
    let picture = jpeg(0xc0, &[baseline_scan()]);
    let comments = segment(0xfe, &[]).repeat((BYTES_MAX - picture.len()) / 4);
    [&picture[..2], &comments, &picture[2..]].concat()
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut checksum = flate2::Crc::new();
    checksum.update(name);
    checksum.update(content);
    let length = u32::try_from(content.len()).expect("short").to_be_bytes();
    [&length[..], name, content, &checksum.sum().to_be_bytes()].concat()
}

fn png(side: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let head = [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header)].concat();
    [head, chunks.concat(), chunk(b"IEND", &[])].concat()
}

/// Zeros until the deflated form is as long as a file may be.
fn deflated_zeros() -> anyhow::Result<Vec<u8>> {
    let (mut encoder, zeros) = (ZlibEncoder::new(Vec::new(), Compression::fast()), vec![0; 16 << 20]);
    while encoder.get_ref().len() < BYTES_MAX - (256 << 10) {
        encoder.write_all(&zeros)?;
    }
    Ok(encoder.finish()?)
}

fn deflated_pixel() -> anyhow::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&[0, 0])?;
    Ok(encoder.finish()?)
}

fn many_chunks() -> anyhow::Result<Vec<u8>> {
    let note = chunk(b"tEXt", b"a\0b");
    Ok(png(1, &[note.repeat((BYTES_MAX - 256) / note.len()), chunk(b"IDAT", &deflated_pixel()?)]))
}

/// One pixel, or its colour profile, inflates to gigabytes.
fn inflating(name: &[u8; 4]) -> anyhow::Result<Vec<u8>> {
    let zeros = deflated_zeros()?;
    Ok(match name {
        b"IDAT" => png(1, &[chunk(name, &zeros)]),
        _ => png(1, &[chunk(name, &[&b"profile\0\0"[..], &zeros].concat()), chunk(b"IDAT", &deflated_pixel()?)]),
    })
}
