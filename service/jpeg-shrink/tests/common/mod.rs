//! Files written from coefficients that the test knows, and the samples that they stand for, both in the plainest way.
#![allow(dead_code, reason = "each test uses its part")]

use std::f64::consts::PI;

use jpeg_shrink::{Jpeg, Picture, Scale};

pub(crate) const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// How the blocks lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Interleaved,
    /// A scan for each component.
    Separate,
    /// DC in two steps, AC between them.
    Progressive,
    /// The same with all DC of each component in a scan of its own, in three steps.
    ProgressiveSeparate,
}

/// Which codes the symbols have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codes {
    /// The standard's.
    Standard,
    /// The standard's, not stated in the file.
    Unstated,
    /// Most of 16 bits.
    Long,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// Factors of each component, across and down.
    pub(crate) samplings: Vec<(u8, u8)>,
    pub(crate) interval: u16,
    pub(crate) order: Order,
    pub(crate) codes: Codes,
    /// Of 100 coefficients, so many are not zero.
    pub(crate) density: u32,
    pub(crate) seed: u64,
}

/// Coefficients of a component, in natural order, for whole units.
pub(crate) struct Component {
    pub(crate) across: usize,
    pub(crate) down: usize,
    /// Blocks that show something of the picture.
    pub(crate) seen: (usize, usize),
    pub(crate) blocks: Vec<[i32; 64]>,
    pub(crate) size: (usize, usize),
}

pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) components: Vec<Component>,
    pub(crate) quantisation: [i32; 64],
}

impl Plan {
    pub(crate) fn has_wide_units(&self) -> bool {
        self.samplings.len() > 1 && self.samplings.iter().map(|(h, v)| h * v).sum::<u8>() > 10
    }

    /// The coefficients, and the file that tells them.
    pub(crate) fn file(&self) -> File {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let quantisation: [i32; 64] = std::array::from_fn(|_| random.i32(1..12));
        let most = |which: fn(&(u8, u8)) -> u8| usize::from(self.samplings.iter().map(which).max().expect("some"));
        let is_alone = self.samplings.len() == 1;
        let (h_max, v_max) = if is_alone { (1, 1) } else { (most(|s| s.0), most(|s| s.1)) };
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let units = (width.div_ceil(8 * h_max), height.div_ceil(8 * v_max));
        let components: Vec<Component> = self
            .samplings
            .iter()
            .map(|(h, v)| {
                let (h, v) = if is_alone { (1, 1) } else { (usize::from(*h), usize::from(*v)) };
                let size = ((width * h).div_ceil(h_max), (height * v).div_ceil(v_max));
                let (across, down) = (units.0 * h, units.1 * v);
                let blocks = (0..across * down).map(|_| self.block(&quantisation, &mut random)).collect();
                Component { across, down, seen: (size.0.div_ceil(8), size.1.div_ceil(8)), blocks, size }
            })
            .collect();
        let mut writer = Writer::new(self, &quantisation);
        writer.scans(&components, units);
        File { bytes: writer.finish(), components, quantisation }
    }

    fn block(&self, quantisation: &[i32; 64], random: &mut fastrand::Rng) -> [i32; 64] {
        let mut block = [0; 64];
        block[0] = random.i32(-900..900) / quantisation[0];
        for (at, coefficient) in block.iter_mut().enumerate().skip(1) {
            if random.u32(..100) < self.density {
                let range = if random.u8(..40) == 0 { 1023 } else { 200 / (1 + i32::try_from(at).expect("small")) + 1 };
                *coefficient = random.i32(-range..=range);
            }
        }
        block
    }
}

struct Writer<'a> {
    plan: &'a Plan,
    out: Vec<u8>,
    dc: Vec<Option<(u32, u32)>>,
    ac: Vec<Option<(u32, u32)>>,
    bits: u64,
    count: u32,
}

/// Counts by length, and symbols.
type Table = ([u8; 16], Vec<u8>);

fn tables(codes: Codes) -> (Table, Table) {
    let symbols: Vec<u8> = (0..16).flat_map(|run| (1..=10).map(move |size| run << 4 | size)).chain([0, 0xf0]).collect();
    if codes == Codes::Long {
        let mut ac: Vec<u8> = symbols.into_iter().rev().collect();
        // The end of a block is not among the short ones.
        ac.swap(1, 100);
        let mut counts = [0; 16];
        counts[1..8].fill(1);
        counts[15] = u8::try_from(ac.len() - 7).expect("few");
        let mut dc_counts = [0; 16];
        dc_counts[15] = 12;
        return ((dc_counts, (0..12).collect()), (counts, ac));
    }
    // Written by libjpeg, so that this is not our own copy.
    let standard = include_bytes!("standard.jpg");
    let mut found = Vec::new();
    let mut at = 2;
    while standard[at + 1] != 0xda {
        let length = usize::from(u16::from_be_bytes([standard[at + 2], standard[at + 3]]));
        let mut content = &standard[at + 4..at + 2 + length];
        while standard[at + 1] == 0xc4 && !content.is_empty() {
            let counts: [u8; 16] = content[1..17].try_into().expect("16");
            let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
            found.push((content[0], (counts, content[17..17 + total].to_vec())));
            content = &content[17 + total..];
        }
        at += 2 + length;
    }
    let of = |place: u8| found.iter().find(|table| table.0 == place).expect("a table").1.clone();
    (of(0), of(0x10))
}

fn codes_of((counts, symbols): &Table) -> Vec<Option<(u32, u32)>> {
    let mut codes = vec![None; 256];
    let (mut code, mut at) = (0, 0);
    for (length, count) in (1..).zip(counts) {
        for _ in 0..*count {
            codes[usize::from(symbols[at])] = Some((code, length));
            (code, at) = (code + 1, at + 1);
        }
        code <<= 1;
    }
    codes
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan, quantisation: &[i32; 64]) -> Writer<'a> {
        let (dc, ac) = tables(plan.codes);
        let mut writer =
            Writer { plan, out: vec![0xff, 0xd8], dc: codes_of(&dc), ac: codes_of(&ac), bits: 0, count: 0 };
        let zigzagged = ZIGZAG.map(|place| u8::try_from(quantisation[place]).expect("small"));
        writer.segment(0xdb, &[&[0][..], &zigzagged].concat());
        let is_progressive = matches!(plan.order, Order::Progressive | Order::ProgressiveSeparate);
        let [height, width] = [plan.height, plan.width].map(u16::to_be_bytes);
        let mut frame = [&[8][..], &height, &width, &[u8::try_from(plan.samplings.len()).expect("few")]].concat();
        for (id, (h, v)) in (1..).zip(&plan.samplings) {
            frame.extend([id, h << 4 | v, 0]);
        }
        writer.segment(if is_progressive { 0xc2 } else { 0xc0 }, &frame);
        if plan.codes != Codes::Unstated {
            for (place, (counts, symbols)) in [(0, dc), (0x10, ac)] {
                writer.segment(0xc4, &[&[place][..], &counts, &symbols].concat());
            }
        }
        if plan.interval > 0 {
            writer.segment(0xdd, &plan.interval.to_be_bytes());
        }
        writer
    }

    fn segment(&mut self, marker: u8, content: &[u8]) {
        self.out.extend([0xff, marker]);
        self.out.extend(u16::try_from(content.len() + 2).expect("short").to_be_bytes());
        self.out.extend(content);
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.extend([0xff, 0xd9]);
        self.out
    }

    fn put(&mut self, value: u32, count: u32) {
        self.bits = self.bits << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = u8::try_from(self.bits >> self.count & 0xff).expect("a byte");
            self.out.push(byte);
            if byte == 0xff {
                self.out.push(0);
            }
        }
        self.bits &= (1 << self.count) - 1;
    }

    fn align(&mut self) {
        let spare = (8 - self.count) % 8;
        self.put((1 << spare) - 1, spare);
    }

    fn symbol(&mut self, is_ac: bool, symbol: u8, value: i32) {
        let table = if is_ac { &self.ac } else { &self.dc };
        let (code, length) = table[usize::from(symbol)].expect("a symbol of the table");
        self.put(code, length);
        let size = u32::from(symbol & 0xf);
        if size > 0 {
            let raw = if value < 0 { value + (1 << size) - 1 } else { value };
            self.put(u32::try_from(raw).expect("not negative"), size);
        }
    }

    fn dc(&mut self, difference: i32) {
        let size = u8::try_from(32 - difference.unsigned_abs().leading_zeros()).expect("small");
        self.symbol(false, size, difference);
    }

    fn ac(&mut self, block: &[i32; 64]) {
        let mut run = 0;
        for place in &ZIGZAG[1..] {
            if block[*place] == 0 {
                run += 1;
                continue;
            }
            while run > 15 {
                self.symbol(true, 0xf0, 0);
                run -= 16;
            }
            let size = u8::try_from(32 - block[*place].unsigned_abs().leading_zeros()).expect("small");
            self.symbol(true, run << 4 | size, block[*place]);
            run = 0;
        }
        if run > 0 {
            self.symbol(true, 0, 0);
        }
    }

    fn scans(&mut self, components: &[Component], units: (usize, usize)) {
        let all: Vec<usize> = (0..components.len()).collect();
        let baseline = |writer: &mut Writer<'_>, _: usize, block: &[i32; 64], before: &mut i32| {
            writer.dc(block[0] - *before);
            *before = block[0];
            writer.ac(block);
        };
        let ac = |writer: &mut Writer<'_>, _: usize, block: &[i32; 64], _: &mut i32| writer.ac(block);
        match self.plan.order {
            Order::Interleaved => self.scan(&all, components, units, [0, 63, 0], baseline),
            Order::Separate => {
                for one in &all {
                    self.scan(&[*one], components, units, [0, 63, 0], baseline);
                }
            }
            Order::Progressive => {
                self.dc_scan(&all, components, units, 1, 0);
                for one in &all {
                    self.scan(&[*one], components, units, [1, 63, 0], ac);
                }
                self.dc_scan(&all, components, units, 0, 1);
            }
            Order::ProgressiveSeparate => {
                for (low, high) in [(2, 0), (1, 2), (0, 1)] {
                    for one in all.iter().rev() {
                        self.dc_scan(&[*one], components, units, low, high);
                    }
                }
            }
        }
    }

    fn dc_scan(&mut self, which: &[usize], components: &[Component], units: (usize, usize), low: u8, high: u8) {
        self.scan(which, components, units, [0, 0, high << 4 | low], |writer, _, block, before| {
            let dc = block[0] >> low;
            if high == 0 {
                writer.dc(dc - *before);
                *before = dc;
            } else {
                writer.put(u32::from(dc & 1 != 0), 1);
            }
        });
    }

    fn scan(
        &mut self,
        which: &[usize],
        components: &[Component],
        units: (usize, usize),
        range: [u8; 3],
        write: impl Fn(&mut Writer<'_>, usize, &[i32; 64], &mut i32),
    ) {
        let mut header = vec![u8::try_from(which.len()).expect("few")];
        for component in which {
            header.extend([u8::try_from(component + 1).expect("few"), 0]);
        }
        header.extend(range);
        self.segment(0xda, &header);
        let is_alone = which.len() == 1;
        let (across, down) = if is_alone { components[which[0]].seen } else { units };
        let mut before = vec![0; components.len()];
        for unit in 0..across * down {
            let interval = usize::from(self.plan.interval);
            if interval > 0 && unit > 0 && unit % interval == 0 {
                self.align();
                self.out.extend([0xff, 0xd0 + u8::try_from((unit / interval - 1) % 8).expect("small")]);
                before.fill(0);
            }
            for one in which {
                let component = &components[*one];
                let (h, v) = if is_alone { (1, 1) } else { (component.across / units.0, component.down / units.1) };
                for block in 0..h * v {
                    let (x, y) = (unit % across * h + block % h, unit / across * v + block / h);
                    write(self, *one, &component.blocks[y * component.across + x], &mut before[*one]);
                }
            }
        }
        self.align();
    }
}

/// The samples of a component at `n` for each side of a block: the lowest coefficients, transformed by the textbook.
pub(crate) fn samples(component: &Component, quantisation: &[i32; 64], n: usize) -> Vec<Vec<f64>> {
    let wave = |at: usize, k: usize| {
        let scale = if k == 0 { (1.0 / n as f64).sqrt() } else { (2.0 / n as f64).sqrt() };
        scale * (PI * (2 * at + 1) as f64 * k as f64 / (2 * n) as f64).cos()
    };
    let waves: Vec<Vec<f64>> = (0..n).map(|at| (0..n).map(|k| wave(at, k)).collect()).collect();
    let mut rows = vec![vec![0.0; component.across * n]; component.down * n];
    for (at, block) in component.blocks.iter().enumerate() {
        let (left, top) = (at % component.across * n, at / component.across * n);
        for y in 0..n {
            for x in 0..n {
                let mut sum = 0.0;
                for v in 0..n {
                    for u in 0..n {
                        let dequantised = block[8 * v + u] * quantisation[8 * v + u];
                        sum += f64::from(dequantised) * waves[x][u] * waves[y][v];
                    }
                }
                rows[top + y][left + x] = (sum * n as f64 / 8.0 + 128.0).clamp(0.0, 255.0);
            }
        }
    }
    rows
}

/// Fails unless every sample of the picture is the exact value, rounded.
pub(crate) fn is_exact(picture: &Picture<'_>, file: &File, scale: Scale, what: &dyn std::fmt::Debug) {
    let n = usize::try_from(scale.eighths()).expect("small");
    assert_eq!(picture.planes().len(), file.components.len());
    for (at, (plane, component)) in picture.planes().iter().zip(&file.components).enumerate() {
        let exact = samples(component, &file.quantisation, n);
        let size = ((component.size.0 * n).div_ceil(8), (component.size.1 * n).div_ceil(8));
        assert_eq!(
            (usize::try_from(plane.width()), usize::try_from(plane.height())),
            (Ok(size.0), Ok(size.1)),
            "{what:?}"
        );
        for (y, exact) in (0..plane.height()).zip(exact) {
            let row = plane.row(y);
            assert_eq!(row.len(), size.0);
            for (x, (sample, exact)) in row.iter().zip(exact).enumerate() {
                let off = (f64::from(*sample) - exact).abs();
                assert!(off < 0.502, "{what:?} {scale:?}: {sample} at {x},{y} of plane {at} is {exact}");
            }
        }
    }
}

/// A picture of gentle waves and some noise, as RGB.
pub(crate) fn waves(width: u16, height: u16, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for channel in [0.07, 0.11, 0.05] {
                let wave = (f64::from(x) * channel).sin() + (f64::from(y) * channel * 1.3).cos();
                pixels.push((128.0 + 35.0 * wave) as u8 + random.u8(..12));
            }
        }
    }
    pixels
}

/// The header of a file that has one.
pub(crate) fn parse(bytes: &[u8]) -> Jpeg<'_> {
    Jpeg::parse(bytes).expect("a header")
}
