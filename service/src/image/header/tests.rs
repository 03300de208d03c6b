use super::*;

const PIXELS_MAX: u64 = 50_000_000;

fn refusal(bytes: &[u8]) -> ImageError {
    read(bytes, PIXELS_MAX, 128).expect_err("refused")
}

fn is_corrupt(bytes: &[u8], word: &str) {
    let error = refusal(bytes);
    let is_said = matches!(&error, ImageError::Corrupt { reason, .. } if reason.contains(word));
    assert!(is_said, "{error} does not say '{word}'");
}

fn jpeg(parts: &[&[u8]]) -> Vec<u8> {
    [&[0xff, 0xd8][..], &parts.concat()].concat()
}

/// A frame header of the given kind, size and samplings.
fn frame(kind: u8, width: u16, height: u16, samplings: &[u8]) -> Vec<u8> {
    let count = u8::try_from(samplings.len()).expect("few");
    let mut bytes = vec![0xff, kind, 0, 8 + 3 * count, 8];
    bytes.extend(height.to_be_bytes());
    bytes.extend(width.to_be_bytes());
    bytes.push(count);
    for (index, sampling) in (1..).zip(samplings) {
        bytes.extend([index, *sampling, 0]);
    }
    bytes
}

/// A scan of the first components.
fn scan(components: u8) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xda, 0, 6 + 2 * components, components];
    bytes.extend((1..=components).flat_map(|id| [id, 0]));
    bytes.extend([0, 63, 0]);
    bytes.extend([0x12, 0xff, 0x00, 0x34, 0xff, 0xd0, 0x56]);
    bytes
}

const END: &[u8] = &[0xff, 0xd9];
const YCC_420: &[u8] = &[0x22, 0x11, 0x11];

#[test]
fn the_format_is_what_the_bytes_say() {
    for other in ["", "GIF88a", "<svg xmlns='http://www.w3.org/2000/svg'/>", "BM....", "RIFF1234WAVE", "\u{89}PNG"] {
        assert_eq!(refusal(other.as_bytes()), ImageError::NotAnImage, "{other}");
    }
    assert_eq!(refusal(b"\xff\xd8"), ImageError::NotAnImage);
}

#[test]
fn a_jpeg_is_walked_to_its_end() {
    let whole = jpeg(&[&frame(0xc0, 400, 300, YCC_420), &scan(3), END, b"trailing bytes"]);
    let header = read(&whole, PIXELS_MAX, 128).expect("a header");
    assert_eq!((header.format, header.width, header.height), (Format::Jpeg, 400, 300));
    is_corrupt(&jpeg(&[&frame(0xc0, 400, 300, YCC_420), &scan(3)]), "ends early");
    is_corrupt(&jpeg(&[&frame(0xc0, 400, 300, YCC_420), END]), "no data");
    is_corrupt(&jpeg(&[&scan(3), END]), "before its frame header");
    is_corrupt(&jpeg(&[&[0xff, 0xe1, 0, 1], END]), "no length");
    is_corrupt(&jpeg(&[&[0xff, 0xe1, 0xff, 0xff, 1, 2, 3]]), "ends early");
    let twice = [frame(0xc0, 400, 300, YCC_420), frame(0xc0, 4, 3, YCC_420)].concat();
    is_corrupt(&jpeg(&[&twice, &scan(3), END]), "two frame headers");
}

#[test]
fn the_size_is_judged_before_what_follows_the_header() {
    let huge = jpeg(&[&frame(0xc0, 65_500, 65_500, YCC_420)]);
    assert!(matches!(refusal(&huge), ImageError::TooManyPixels { width: 65_500, height: 65_500, .. }));
    let long = jpeg(&[&frame(0xc0, 65_501, 10, YCC_420), &scan(3), END]);
    assert!(matches!(refusal(&long), ImageError::SideTooLong { width: 65_501, .. }));
    is_corrupt(&jpeg(&[&frame(0xc0, 0, 10, YCC_420), &scan(3), END]), "no pixels");
}

#[test]
fn what_the_decoder_does_not_know_is_unsupported() {
    for kind in [0xc3, 0xc5, 0xc7, 0xc9, 0xcb, 0xcf] {
        let file = jpeg(&[&frame(kind, 4, 3, YCC_420), &scan(3), END]);
        assert!(matches!(refusal(&file), ImageError::Unsupported { .. }), "{kind:x}");
    }
    let mut twelve_bits = frame(0xc1, 4, 3, YCC_420);
    twelve_bits[4] = 12;
    assert!(matches!(refusal(&jpeg(&[&twelve_bits, &scan(3), END])), ImageError::Unsupported { .. }));
    let no_height = jpeg(&[&frame(0xc0, 4, 0, YCC_420), &scan(3), END]);
    assert!(matches!(refusal(&no_height), ImageError::Unsupported { .. }));
}

#[test]
fn components_in_scans_of_their_own_are_for_the_decoder_that_reads_them_right() {
    let split = |kind, samplings: &[u8]| {
        read(&jpeg(&[&frame(kind, 400, 300, samplings), &scan(1).repeat(samplings.len()), END]), PIXELS_MAX, 128)
    };
    assert_eq!(split(0xc0, YCC_420).expect("a header").way, Way::Shrunk(Scale::Half));
    assert_eq!(split(0xc0, &[0x11; 3]).expect("a header").way, Way::Shrunk(Scale::Half));
    let cmyk = [0x22, 0x11, 0x11, 0x22];
    assert!(matches!(split(0xc0, &cmyk), Err(ImageError::Unsupported { .. })), "zune-jpeg misreads it");
    assert_eq!(split(0xc0, &[0x11; 4]).expect("a header").way, Way::Whole);
    assert_eq!(split(0xc2, YCC_420).expect("a header").way, Way::Whole);
}

#[test]
fn a_jpeg_is_decoded_no_larger_than_its_thumbnail_needs() {
    let way = |kind, width, height, edge| {
        let file = jpeg(&[&frame(kind, width, height, YCC_420), &scan(3), END]);
        read(&file, PIXELS_MAX, edge).expect("a header").way
    };
    assert_eq!(way(0xc0, 4000, 3000, 128), Way::Shrunk(Scale::Eighth));
    assert_eq!(way(0xc0, 4000, 3000, 512), Way::Shrunk(Scale::Quarter));
    assert_eq!(way(0xc0, 100, 100, 128), Way::Shrunk(Scale::Full));
    assert_eq!(way(0xc2, 4000, 3000, 128), Way::Shrunk(Scale::Eighth));
    assert_eq!(
        way(0xc2, 4000, 3000, 512),
        Way::Whole,
        "progressive: only the smallest scale has no coefficients to keep"
    );
}

#[test]
fn scans_are_counted() {
    let scans = |count| jpeg(&[&frame(0xc2, 4, 3, YCC_420), &scan(1).repeat(count), END]);
    assert!(read(&scans(100), PIXELS_MAX, 128).is_ok());
    is_corrupt(&scans(101), "more scans");
}

#[test]
fn memory_is_predicted_by_the_way_a_file_is_decoded() {
    let pixels = 4000 * 3000;
    let needed = |kind, samplings: &[u8], edge| {
        let components = u8::try_from(samplings.len()).expect("few");
        let file = jpeg(&[&frame(kind, 4000, 3000, samplings), &scan(components), END]);
        read(&file, PIXELS_MAX, edge).expect("a header").decode_bytes
    };
    let whole = |kind, samplings, edge| (needed(kind, samplings, edge) - rows(4000, 3000, edge.into())) / pixels;
    assert_eq!(whole(0xc0, &[0x11; 4], 128), 3, "by rows");
    assert_eq!(whole(0xc2, YCC_420, 512), 3 + 2 * 2, "progressive: all are kept");
    assert_eq!(whole(0xc2, &[0x11, 0x11, 0x11], 512), 3 + 2 * 3);
    assert_eq!(whole(0xc2, &[0x11; 4], 128), 3 + 2 * 4);
    // One byte and a half for each block of 64, and for each coefficient that is kept two more.
    let blocks = pixels / 64 * 3 / 2;
    let planes = needed(0xc0, YCC_420, 128);
    assert!((OVERHEAD_BYTES + blocks..OVERHEAD_BYTES + 3 * blocks).contains(&planes), "{planes}");
    assert_eq!((needed(0xc2, YCC_420, 128) - planes) / blocks, 2);
    let larger = needed(0xc0, YCC_420, 512);
    assert!((OVERHEAD_BYTES + 4 * blocks..6 << 20).contains(&larger), "{larger}");
}

fn rows(width: u64, height: u64, edge: u64) -> u64 {
    width * ROWS_BYTES_PER_WIDTH + height * edge * COLUMNS_BYTES_PER_PIXEL + OVERHEAD_BYTES
}

fn png(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    let fields = [&b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"[..], &width.to_be_bytes(), &height.to_be_bytes()];
    [&fields.concat()[..], &[depth, colour, 0, 0, 0]].concat()
}

#[test]
fn a_png_needs_as_much_as_its_depth_says() {
    let needed = |depth, colour| {
        let header = read(&png(1000, 1000, depth, colour), PIXELS_MAX, 128).expect("a header");
        (header.decode_bytes - rows(1000, 1000, 128)) / 1_000_000
    };
    assert_eq!((needed(8, 2), needed(16, 2), needed(8, 6), needed(16, 6)), (8, 16, 8, 16));
    assert_eq!((needed(1, 3), needed(1, 0), needed(16, 4)), (8, 4, 8));
    is_corrupt(&png(10, 10, 8, 5), "colour type");
    is_corrupt(&png(10, 10, 8, 2)[..20], "ends early");
    is_corrupt(&png(10, 0, 8, 2), "no pixels");
    is_corrupt(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIDAT12345678901", "IHDR");
    assert!(matches!(refusal(&png(u32::MAX, u32::MAX, 8, 2)), ImageError::TooManyPixels { .. }));
}

fn gif(screen: (u16, u16), more: &[u8]) -> Vec<u8> {
    let sides = [screen.0.to_le_bytes(), screen.1.to_le_bytes()].concat();
    [&b"GIF89a"[..], &sides, &[0, 0, 0], more].concat()
}

fn gif_frame(place: (u16, u16), size: (u16, u16)) -> Vec<u8> {
    let fields = [place.0, place.1, size.0, size.1].map(u16::to_le_bytes).concat();
    [&[0x2c][..], &fields, &[0]].concat()
}

#[test]
fn a_gifs_first_frame_lies_on_its_screen() {
    let extension = [0x21, 0xf9, 2, 1, 2, 3, 9, 9, 9, 0];
    let whole = gif((64, 48), &[&extension[..], &gif_frame((16, 0), (48, 48))].concat());
    let header = read(&whole, PIXELS_MAX, 128).expect("a header");
    assert_eq!((header.format, header.width, header.height), (Format::Gif, 64, 48));
    is_corrupt(&gif((64, 48), &gif_frame((0, 0), (65_535, 65_535))), "does not fit");
    is_corrupt(&gif((64, 48), &gif_frame((17, 0), (48, 48))), "does not fit");
    is_corrupt(&gif((64, 48), &[0x3b]), "no frame");
    is_corrupt(&gif((64, 48), &[0x99]), "no known kind");
    is_corrupt(&gif((64, 48), &extension[..6]), "ends early");
    assert!(matches!(refusal(&gif((65_535, 65_535), &[])), ImageError::TooManyPixels { .. }));
}

fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
    for (name, body) in chunks {
        bytes.extend(*name);
        bytes.extend(u32::try_from(body.len()).expect("small").to_le_bytes());
        bytes.extend(*body);
        bytes.extend(vec![0; body.len() % 2]);
    }
    bytes
}

fn u24(value: u32) -> [u8; 3] {
    let [low, middle, high, _] = value.to_le_bytes();
    [low, middle, high]
}

fn lossy(width: u16, height: u16) -> Vec<u8> {
    [&[0; 6][..], &width.to_le_bytes(), &height.to_le_bytes()].concat()
}

fn lossless(width: u32, height: u32) -> Vec<u8> {
    [&[0x2f][..], &((width - 1) | (height - 1) << 14).to_le_bytes()].concat()
}

fn canvas(width: u32, height: u32) -> Vec<u8> {
    [&[0; 4][..], &u24(width - 1), &u24(height - 1)].concat()
}

#[test]
fn the_pictures_inside_a_webp_are_no_larger_than_it_says() {
    let size = |bytes: &[u8]| read(bytes, PIXELS_MAX, 128).map(|header| (header.width, header.height));
    assert_eq!(size(&webp(&[(b"VP8 ", &lossy(400, 300))])), Ok((400, 300)));
    assert_eq!(size(&webp(&[(b"VP8L", &lossless(400, 301))])), Ok((400, 301)));
    let extended = webp(&[(b"VP8X", &canvas(400, 300)), (b"ICCP", b"odd"), (b"VP8 ", &lossy(400, 300))]);
    assert_eq!(size(&extended), Ok((400, 300)));
    let lying = webp(&[(b"VP8X", &canvas(400, 300)), (b"VP8 ", &lossy(16_383, 16_383))]);
    is_corrupt(&lying, "larger than itself");
    let animated = |frame: (u32, u32), inner: (u16, u16)| {
        let place = [&[0; 6][..], &u24(frame.0 - 1), &u24(frame.1 - 1), &[0; 4]].concat();
        let picture = webp(&[(b"VP8 ", &lossy(inner.0, inner.1))]).split_off(12);
        webp(&[(b"VP8X", &canvas(400, 300)), (b"ANIM", &[0; 6]), (b"ANMF", &[place, picture].concat())])
    };
    assert_eq!(size(&animated((200, 100), (200, 100))), Ok((400, 300)));
    is_corrupt(&animated((401, 100), (200, 100)), "larger than itself");
    is_corrupt(&animated((200, 100), (16_383, 100)), "larger than itself");
    is_corrupt(&webp(&[(b"VP9 ", &lossy(1, 1))]), "no known kind");
    let cut = &extended[..extended.len() - 4];
    is_corrupt(cut, "ends early");
    assert!(matches!(refusal(&webp(&[(b"VP8X", &canvas(1 << 24, 1 << 24))])), ImageError::TooManyPixels { .. }));
}
