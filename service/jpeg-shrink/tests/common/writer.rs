//! Coefficients -> a file, bit by bit.

use super::{Codes, Component, Order, Plan, ZIGZAG};

pub(super) struct Writer<'a> {
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
    pub(super) fn new(plan: &'a Plan, quantisation: &[i32; 64]) -> Writer<'a> {
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

    pub(super) fn finish(mut self) -> Vec<u8> {
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

    pub(super) fn scans(&mut self, components: &[Component], units: (usize, usize)) {
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
