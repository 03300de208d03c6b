//! Files of another encoder, against another decoder that decodes all of them.

mod common;

use common::{parse, waves};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use jpeg_shrink::{Color, Decoder, Scale};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

const SAMPLINGS: [SamplingFactor; 8] = [
    SamplingFactor::R_4_4_4,
    SamplingFactor::R_4_2_0,
    SamplingFactor::R_4_2_2,
    SamplingFactor::R_4_4_0,
    SamplingFactor::R_4_1_1,
    SamplingFactor::R_4_1_0,
    SamplingFactor::R_4_4_1,
    SamplingFactor::R_4_2_1,
];

#[derive(Clone, Copy, Debug)]
struct Choice {
    width: u16,
    height: u16,
    sampling: SamplingFactor,
    color: ColorType,
    quality: u8,
    interval: u16,
    is_optimised: bool,
    scans: Option<u8>,
}

impl Choice {
    fn file(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.quality);
        encoder.set_sampling_factor(self.sampling);
        encoder.set_optimized_huffman_tables(self.is_optimised);
        if let Some(scans) = self.scans {
            encoder.set_progressive_scans(scans);
        }
        if self.interval > 0 {
            encoder.set_restart_interval(self.interval);
        }
        let mut pixels = waves(self.width, self.height, 6);
        if self.color == ColorType::Luma {
            pixels = pixels.into_iter().step_by(3).collect();
        }
        encoder.encode(&pixels, self.width, self.height, self.color).expect("encoded");
        bytes
    }
}

/// All samples, by the other decoder: luma, and chroma as large as luma.
fn reference(bytes: &[u8], is_grey: bool) -> Vec<u8> {
    let space = if is_grey { ColorSpace::Luma } else { ColorSpace::YCbCr };
    let options = DecoderOptions::default().jpeg_set_out_colorspace(space);
    JpegDecoder::new_with_options(ZCursor::new(bytes), options).decode().expect("decoded")
}

/// The means of the blocks of luma, `side` x `side`, that lie within the picture.
fn means(luma: &[u8], width: usize, height: usize, side: usize) -> Vec<Vec<f64>> {
    let mean = |left: usize, top: usize| {
        let samples = (0..side * side).map(|at| f64::from(luma[(top + at / side) * width + left + at % side]));
        samples.sum::<f64>() / (side * side) as f64
    };
    let row = |y| (0..width / side).map(|x| mean(x * side, y * side)).collect();
    (0..height / side).map(row).collect()
}

fn check(decoder: &mut Decoder, choice: Choice) {
    let file = choice.file();
    let (width, height) = (usize::from(choice.width), usize::from(choice.height));
    let jpeg = parse(&file);
    let is_grey = choice.color == ColorType::Luma;
    assert_eq!(jpeg.color(), if is_grey { Color::Grey } else { Color::YCbCr });
    assert_eq!(jpeg.is_progressive(), choice.scans.is_some());
    let all = reference(&file, is_grey);
    let luma: Vec<u8> = all.iter().copied().step_by(if is_grey { 1 } else { 3 }).collect();
    for (scale, worst) in [(Scale::Full, 2.0), (Scale::Eighth, 1.5)] {
        if choice.scans.is_some() && scale == Scale::Full {
            continue;
        }
        let picture = decoder.decode(&jpeg, scale).expect("decoded");
        assert_eq!(picture.damage(), None, "{choice:?}");
        let side = 8 / usize::try_from(scale.eighths()).expect("small");
        for (y, row) in (0..).zip(means(&luma, width, height, side)) {
            for (sample, mean) in picture.planes()[0].row(y).iter().zip(row) {
                let off = (f64::from(*sample) - mean).abs();
                assert!(off <= worst, "{choice:?} {scale:?}: {sample} in row {y} is {mean}");
            }
        }
    }
}

#[test]
fn luma_is_that_of_another_decoder() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut decoder = Decoder::new();
    for round in 0..400 {
        let (is_optimised, scans) = [(false, None), (true, None), (false, Some(4)), (true, Some(7))][round % 4];
        let choice = Choice {
            width: random.u16(1..68),
            height: random.u16(1..68),
            sampling: SAMPLINGS[round / 4 % 8],
            color: if random.u8(..6) == 0 { ColorType::Luma } else { ColorType::Rgb },
            quality: [25, 60, 80, 95, 100][random.usize(..5)],
            // jpeg-encoder 0.7.1 counts the symbols for its own tables without the restarts.
            interval: if is_optimised { 0 } else { [0, 0, 1, 3, 40][random.usize(..5)] },
            is_optimised,
            scans,
        };
        // jpeg-encoder writes a scan for each component with tables of its own and with factors of four, and zune-jpeg
        // 0.5.15 misreads those unless they are progressive.
        let is_split = is_optimised || round / 4 % 8 >= 4;
        if is_split && scans.is_none() && choice.color == ColorType::Rgb {
            continue;
        }
        check(&mut decoder, choice);
    }
}

/// Many times what the decoder holds of a file at once.
#[test]
fn a_large_file_is_decoded_to_its_end() {
    let mut decoder = Decoder::new();
    for interval in [0, 50] {
        let choice = Choice {
            width: 1203,
            height: 801,
            sampling: SamplingFactor::R_4_2_0,
            color: ColorType::Rgb,
            quality: 97,
            interval,
            is_optimised: false,
            scans: None,
        };
        assert!(choice.file().len() > 400_000);
        check(&mut decoder, choice);
        check(&mut decoder, Choice { scans: Some(9), ..choice });
    }
}

/// The planes together are the picture: red, green and blue patches stay where and what they are.
#[test]
fn chroma_lies_where_luma_lies() {
    let patches = [[200, 40, 30], [30, 180, 60], [40, 50, 190], [180, 170, 40]];
    let (width, height) = (96_usize, 64);
    let pixels: Vec<u8> =
        (0..width * height).flat_map(|at| patches[(at % width / 48) + 2 * (at / width / 32)]).collect();
    for sampling in SAMPLINGS {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 95);
        encoder.set_sampling_factor(sampling);
        encoder.encode(&pixels, 96, 64, ColorType::Rgb).expect("encoded");
        let mut decoder = Decoder::new();
        for scale in Scale::ALL {
            let picture = decoder.decode(&parse(&file), scale).expect("decoded");
            for (at, [red, green, blue]) in patches.into_iter().enumerate() {
                // The middle of each patch.
                let (x, y) = (0.25 + 0.5 * (at % 2) as f64, 0.25 + 0.5 * (at / 2) as f64);
                let value = |plane: usize| {
                    let plane = &picture.planes()[plane];
                    let row = plane.row((plane.extent().1 * y) as u32);
                    f64::from(row[(plane.extent().0 * x) as usize])
                };
                let (luma, cb, cr) = (value(0), value(1) - 128.0, value(2) - 128.0);
                for (ours, theirs) in [
                    (luma + 1.402 * cr, red),
                    (luma - 0.344_136 * cb - 0.714_136 * cr, green),
                    (luma + 1.772 * cb, blue),
                ] {
                    assert!(
                        (ours - f64::from(theirs)).abs() < 12.0,
                        "{sampling:?} {scale:?} patch {at}: {ours} is not {theirs}"
                    );
                }
            }
        }
    }
}
