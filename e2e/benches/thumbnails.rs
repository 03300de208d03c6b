//! A thumbnail's whole job, bytes in memory to JPEG bytes in memory, on one core, beside the tools that people use: CPU time,
//! peak memory, and how near the thumbnail comes to a full decode with Lanczos3. Nothing is asserted.
//!
//! `e2e/benches/thumbnails/run` fetches peers and pictures and starts this. Each peer is a process of its own that lives for
//! the whole run; they take turns, picture by picture and round by round, so that a busy machine meets all of them alike. CPU
//! time is the whole process's. A ratio is the median over rounds of (peer / downloader) within a round.

#[path = "thumbnails/chart.rs"]
mod chart;
#[path = "thumbnails/quality.rs"]
mod quality;
#[path = "thumbnails/worker.rs"]
mod worker;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use worker::Worker;

/// A picture, the thumbnail's edge, repetitions in a turn, and the ratio to pyvips that is aimed at.
const JOBS: [Job; 11] = [
    Job::new("12mp_picos.jpg", 128, 3),
    Job::new("12mp_seed.jpg", 128, 3),
    Job::new("12mp_picos.jpg", 512, 3),
    Job::new("12mp_seed.jpg", 512, 3),
    Job::new("12mp_progressive.jpg", 128, 2),
    Job::new("2mp_life.jpg", 128, 6),
    Job::new("2mp_life.jpg", 512, 6),
    Job::new("small_life.jpg", 128, 20),
    Job::new("2mp.png", 128, 3),
    Job::new("2mp.webp", 128, 3),
    Job::new("100mp.jpg", 128, 1),
];

#[derive(Clone, Copy, Debug)]
struct Job {
    file: &'static str,
    edge: u32,
    repetitions: usize,
}

impl Job {
    const fn new(file: &'static str, edge: u32, repetitions: usize) -> Job {
        Job { file, edge, repetitions }
    }

    fn name(self) -> String {
        format!("{} -> {}", self.file, self.edge)
    }
}

fn main() -> anyhow::Result<()> {
    if let Some(kind) = std::env::var_os(worker::KIND) {
        return worker::serve(&kind.to_string_lossy());
    }
    let quick = std::env::args().any(|argument| argument == "--quick");
    let work = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/thumbnails");
    let pictures = work.join("pictures");
    anyhow::ensure!(pictures.join(JOBS[0].file).exists(), "no pictures; run e2e/benches/thumbnails/run");
    let mut workers = Worker::all(&work)?;
    println!("thumbnails on one core, {}; {} rounds", today(), rounds(quick));
    workers.iter().for_each(|worker| println!("  {:10} {}", worker.name, worker.version));
    let mut rows = Vec::new();
    println!("\nCPU ms an image (median), and how many times the downloader's:");
    for job in JOBS {
        let row = Row::measure(job, &mut workers, &pictures, rounds(quick))?;
        println!("{row}");
        rows.push(row);
    }
    drop(workers);
    println!(
        "\npeak memory beyond the idle process, MiB (the file's own bytes included), and luma SSIM / PSNR dB of the thumbnail:"
    );
    for job in JOBS {
        println!("{}", once(job, &work, &pictures)?);
    }
    let chart = work.join("thumbnails.svg");
    std::fs::write(&chart, chart::draw(&rows)).context("write the chart")?;
    println!("\nchart: target/thumbnails/thumbnails.svg");
    Ok(())
}

fn rounds(quick: bool) -> usize {
    if quick { 2 } else { 7 }
}

fn today() -> String {
    let output = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// One job's figures, ours first.
struct Row {
    job: Job,
    cells: Vec<Cell>,
}

struct Cell {
    peer: &'static str,
    millis: f64,
    /// Of ours.
    ratio: f64,
}

impl Row {
    fn measure(job: Job, workers: &mut [Worker], pictures: &Path, rounds: usize) -> anyhow::Result<Row> {
        let picture = pictures.join(job.file);
        let mut millis: HashMap<&str, Vec<f64>> = HashMap::new();
        for _ in 0..rounds {
            for worker in &mut *workers {
                let made = worker.make(&picture, job.edge, job.repetitions, None);
                let made = made.with_context(|| format!("{}: {}", worker.name, job.name()))?;
                millis.entry(worker.name).or_default().push(median(made.cpu_ms));
            }
        }
        let ours = millis["downloader"].clone();
        let cell = |worker: &Worker| {
            let theirs = millis[worker.name].clone();
            let ratio = median(theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect());
            Cell { peer: worker.name, millis: median(theirs), ratio }
        };
        Ok(Row { job, cells: workers.iter().map(cell).collect() })
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:28}", self.job.name())?;
        self.cells.iter().try_for_each(|cell| write!(f, " | {} {:7.2} ({:5.2} x)", cell.peer, cell.millis, cell.ratio))
    }
}

/// Each peer in a fresh process: peak memory, and the thumbnail looked at.
fn once(job: Job, work: &Path, pictures: &Path) -> anyhow::Result<String> {
    let picture = pictures.join(job.file);
    let reference = quality::Reference::of(&std::fs::read(&picture).context("read the picture")?)?;
    let mut line = format!("{:28}", job.name());
    for mut worker in Worker::all(work)? {
        let out: PathBuf = work.join(format!("{}.thumbnail", worker.name));
        let made = worker.make(&picture, job.edge, 1, Some(&out))?;
        let (ssim, psnr) = reference.compare(&std::fs::read(&out).context("read the thumbnail")?)?;
        let beyond = made.peak_kib.saturating_sub(made.idle_kib) as f64 / 1024.0;
        line += &format!(" | {} {beyond:5.1}, {ssim:.4} / {psnr:4.1}", worker.name);
    }
    Ok(line)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
