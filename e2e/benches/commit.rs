//! What a commit costs: time and size at a range of 100,000 offsets, and what each record costs on its way there, beside
//! the form that others give the same set. Ratios within one run; nothing is asserted.
//!
//! The peers: a bitmap in base64, and run lengths of four bytes in base64, the two forms of Confluent's Parallel Consumer
//! (its `OffsetBitSet` and `OffsetRunLength`, version 2). That one also tries zstd over both, which is left out here, and
//! it drops the map where none of its forms fits.
//!
//! `cargo bench --workspace --bench commit [-- --quick]`

use std::hint::black_box;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use downloader::progress::{Commit, Found, METADATA_UNITS_MAX, Note, Place, Progress};

const RANGE: i64 = 100_000;
const GAPS: [usize; 3] = [10, 1_000, 10_000];
const GROUP: &str = "downloader";
const TOPIC: &str = "urls_new";

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let rounds = if quick { 3 } else { 41 };
    println!(
        "a commit over {RANGE} offsets; medians of {rounds} alternating rounds; Kafka takes {METADATA_UNITS_MAX} units"
    );
    println!("gaps   | form          |  units |  bytes |  fits | write µs | read µs | write / bitmap | read / bitmap");
    for gaps in GAPS {
        sizes(gaps, rounds);
    }
    println!();
    println!("each record, ns; 100,000 open at once; medians of {rounds} alternating rounds");
    println!("gaps   | form          | received | started | finished | all / bitmap");
    for gaps in GAPS {
        records(gaps, rounds.min(11));
    }
    println!();
    println!("a steady flow, 10,000 open at once and finishing in any order, a commit for each 256 finished");
    println!("partitions | ns a record, commits included | metadata bytes a record");
    for partitions in [1, 12, 100] {
        steady(partitions, if quick { 40_000 } else { 400_000 });
    }
}

/// Which offsets stay unfinished: the first, so that the position stays there, and others anywhere.
fn unfinished(gaps: usize) -> Vec<bool> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut open = vec![false; RANGE as usize];
    open[0] = true;
    let mut left = gaps - 1;
    while left > 0 {
        let at = random.usize(..open.len() - 1);
        if !open[at] {
            open[at] = true;
            left -= 1;
        }
    }
    open
}

fn opened(partitions: i32) -> (Progress, Vec<u64>) {
    let mut progress = Progress::new(GROUP, TOPIC, 7, Duration::from_secs(20));
    let now = Instant::now();
    let epochs = (0..partitions).map(|partition| {
        let epoch = progress.assigned(partition);
        progress.open(partition, epoch, &Found::default(), now);
        epoch
    });
    let epochs = epochs.collect();
    for claim in progress.commits(true, now) {
        progress.committed(&claim, now);
    }
    (progress, epochs)
}

/// A way to write the set down and read it back.
trait Form {
    fn name(&self) -> &'static str;
    fn write(&mut self) -> String;
    fn read(&self, text: &str) -> usize;
}

struct Ours(Progress, Place);

impl Ours {
    fn commit(&mut self) -> Commit {
        self.0.commits(true, Instant::now()).pop().expect("a commit")
    }
}

impl Form for Ours {
    fn name(&self) -> &'static str {
        "downloader"
    }

    fn write(&mut self) -> String {
        self.commit().metadata
    }

    fn read(&self, text: &str) -> usize {
        Note::read(text.as_bytes(), &self.1, 0).expect("believed").expect("a note").unfinished.len()
    }
}

/// One bit an offset, set where finished; before it a letter and the length.
struct Bitmap(Bits);

impl Form for Bitmap {
    fn name(&self) -> &'static str {
        "bitmap"
    }

    fn write(&mut self) -> String {
        let mut bytes = vec![b'o'];
        bytes.extend(self.0.end.to_be_bytes());
        let words = self.0.end.div_ceil(64) as usize;
        bytes.extend(self.0.words[..words].iter().flat_map(|word| word.to_le_bytes()));
        bytes.truncate(9 + self.0.end.div_ceil(8) as usize);
        STANDARD_NO_PAD.encode(bytes)
    }

    fn read(&self, text: &str) -> usize {
        let bytes = STANDARD_NO_PAD.decode(text).expect("base64");
        let end = u64::from_be_bytes(bytes[1..9].try_into().expect("eight bytes"));
        let open = |offset: &u64| bytes[9 + (offset / 8) as usize] >> (offset % 8) & 1 == 0;
        (0..end).filter(open).collect::<Vec<u64>>().len()
    }
}

/// How many are unfinished, how many finished, and so on in turn, four bytes each.
struct RunLengths(Bits);

impl Form for RunLengths {
    fn name(&self) -> &'static str {
        "run lengths"
    }

    fn write(&mut self) -> String {
        let mut bytes = vec![b'r'];
        let (mut finished, mut run) = (false, 0_u32);
        for offset in 0..self.0.end {
            if self.0.is_finished(offset) != finished {
                bytes.extend(run.to_be_bytes());
                (finished, run) = (!finished, 0);
            }
            run += 1;
        }
        bytes.extend(run.to_be_bytes());
        STANDARD_NO_PAD.encode(bytes)
    }

    fn read(&self, text: &str) -> usize {
        let bytes = STANDARD_NO_PAD.decode(text).expect("base64");
        let (mut open, mut offset, mut finished) = (Vec::new(), 0_u64, false);
        for run in bytes[1..].chunks_exact(4) {
            let run = u64::from(u32::from_be_bytes(run.try_into().expect("four bytes")));
            if !finished {
                open.extend(offset..offset + run);
            }
            (offset, finished) = (offset + run, !finished);
        }
        open.len()
    }
}

/// The plain tracker: a bit for each offset, and where the highest finished one is.
#[derive(Clone, Default)]
struct Bits {
    words: Vec<u64>,
    next: u64,
    end: u64,
}

impl Bits {
    fn received(&mut self, offset: u64) {
        self.words.resize(offset as usize / 64 + 1, 0);
    }

    fn finished(&mut self, offset: u64) {
        self.words[offset as usize / 64] |= 1 << (offset % 64);
        self.end = self.end.max(offset + 1);
        while self.next < self.end && self.is_finished(self.next) {
            self.next += 1;
        }
    }

    fn is_finished(&self, offset: u64) -> bool {
        self.words[offset as usize / 64] >> (offset % 64) & 1 == 1
    }
}

fn sizes(gaps: usize, rounds: usize) {
    let open = unfinished(gaps);
    let (mut progress, epochs) = opened(1);
    let mut bits = Bits::default();
    for offset in 0..RANGE {
        let _ = progress.received(0, offset, Some(offset));
        progress.started(0, offset);
        bits.received(offset as u64);
    }
    for offset in (0..RANGE).filter(|offset| !open[*offset as usize]) {
        progress.finished(0, epochs[0], offset);
        bits.finished(offset as u64);
    }
    let place = Place { group: GROUP.into(), topic: TOPIC.into(), partition: 0 };
    let mut forms: [Box<dyn Form>; 3] =
        [Box::new(Ours(progress, place)), Box::new(Bitmap(bits.clone())), Box::new(RunLengths(bits))];
    let mut times = [const { (Vec::new(), Vec::new()) }; 3];
    for round in 0..rounds {
        for turn in 0..forms.len() {
            let at = (round + turn) % forms.len();
            let (form, times) = (&mut forms[at], &mut times[at]);
            let began = Instant::now();
            let text = black_box(form.write());
            times.0.push(began.elapsed().as_secs_f64());
            let began = Instant::now();
            let read = black_box(form.read(&text));
            times.1.push(began.elapsed().as_secs_f64());
            assert_eq!(read, gaps, "{} comes back", form.name());
        }
    }
    let bitmap = (times[1].0.clone(), times[1].1.clone());
    for (form, (write, read)) in forms.iter_mut().zip(&times) {
        let text = form.write();
        let units = text.encode_utf16().count();
        println!(
            "{gaps:6} | {:13} | {units:6} | {:6} | {:>5} | {:8.1} | {:7.1} | {:14.2} | {:13.2}",
            form.name(),
            text.len(),
            if units <= METADATA_UNITS_MAX { "yes" } else { "no" },
            median(write.clone()) * 1e6,
            median(read.clone()) * 1e6,
            ratio(write, &bitmap.0),
            ratio(read, &bitmap.1),
        );
    }
}

fn records(gaps: usize, rounds: usize) {
    let open = unfinished(gaps);
    let mut order: Vec<i64> = (0..RANGE).filter(|offset| !open[*offset as usize]).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut order);
    let mut times: [[Vec<f64>; 4]; 2] = Default::default();
    for round in 0..rounds {
        for turn in 0..2 {
            let at = (round + turn) % 2;
            let spent = if at == 0 { ours(&order) } else { plain(&order) };
            let each = [spent[0] / RANGE as f64, spent[1] / RANGE as f64, spent[2] / order.len() as f64];
            for (times, each) in times[at].iter_mut().zip(each.into_iter().chain([each.iter().sum()])) {
                times.push(each * 1e9);
            }
        }
    }
    for (name, spent) in ["downloader", "bitmap"].into_iter().zip(&times) {
        let [received, started, finished] = [0, 1, 2].map(|phase: usize| median(spent[phase].clone()));
        let all = ratio(&spent[3], &times[1][3]);
        println!("{gaps:6} | {name:13} | {received:8.0} | {started:7.0} | {finished:8.0} | {all:12.1}");
    }
}

fn ours(order: &[i64]) -> [f64; 3] {
    let (mut progress, epochs) = opened(1);
    let received = timed(|| {
        for offset in 0..RANGE {
            let _ = progress.received(0, offset, Some(offset));
        }
    });
    let now = Instant::now();
    let started = timed(|| {
        for offset in 0..RANGE {
            let _ = black_box(progress.may_start(0, offset, now));
            progress.started(0, offset);
        }
    });
    let finished = timed(|| {
        for offset in order {
            progress.finished(0, epochs[0], *offset);
            black_box(progress.wants_commit(0));
        }
    });
    [received, started, finished]
}

fn plain(order: &[i64]) -> [f64; 3] {
    let mut bits = Bits::default();
    let received = timed(|| (0..RANGE).for_each(|offset| bits.received(offset as u64)));
    let finished = timed(|| order.iter().for_each(|offset| bits.finished(*offset as u64)));
    black_box(bits);
    [received, 0.0, finished]
}

fn steady(partitions: i32, records: i64) {
    const OPEN: i64 = 10_000;
    let (mut progress, epochs) = opened(partitions);
    let mut random = fastrand::Rng::with_seed(7);
    let mut running: Vec<(i32, i64)> = Vec::new();
    let (mut since, mut bytes) = (0, 0);
    let spent = timed(|| {
        for at in 0..records {
            let (partition, offset) = ((at % i64::from(partitions)) as i32, at / i64::from(partitions));
            let now = Instant::now();
            let _ = progress.received(partition, offset, Some(offset));
            let _ = black_box(progress.may_start(partition, offset, now));
            progress.started(partition, offset);
            running.push((partition, offset));
            if running.len() < OPEN as usize {
                continue;
            }
            // Any of the older half, so that nothing is left for ever.
            let (partition, offset) = running.swap_remove(random.usize(..running.len() / 2));
            progress.finished(partition, epochs[partition as usize], offset);
            black_box(progress.wants_commit(partition));
            since += 1;
            if since == 256 {
                since = 0;
                for commit in progress.commits(true, now) {
                    bytes += commit.metadata.len();
                    progress.committed(&commit, now);
                }
            }
        }
    });
    println!("{partitions:10} | {:29.0} | {:23.1}", spent / records as f64 * 1e9, bytes as f64 / records as f64);
}

fn timed(act: impl FnOnce()) -> f64 {
    let began = Instant::now();
    act();
    began.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of the ratios within each round.
fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
}
