//! A peer in a process of its own, and the two that are made of this program: the downloader's own, and the `image` crate.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Cursor, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use bytes::Bytes;
use downloader::config::Settings;
use downloader::flow::limits::ByteBudget;
use downloader::image::Pool;
use image::codecs::jpeg::JpegEncoder;

/// Which worker this process is.
pub(crate) const KIND: &str = "THUMBNAIL_WORKER";
const QUALITY: u8 = 80;
/// More than any job here takes.
const DECODE_BYTES: u64 = 1 << 30;

/// A running peer; it ends with this value.
pub(crate) struct Worker {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    process: Child,
    jobs: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What came of a job.
pub(crate) struct Made {
    pub(crate) cpu_ms: Vec<f64>,
    /// Resident before the picture was read.
    pub(crate) idle_kib: u64,
    /// The most until now.
    pub(crate) peak_kib: u64,
}

impl Worker {
    /// Ours, then the peers.
    pub(crate) fn all(work: &Path) -> anyhow::Result<Vec<Worker>> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/thumbnails/peers");
        let (python, python_script) = (work.join("python/bin/python"), scripts.join("python.py"));
        let (own, sharp, node) = (std::env::current_exe()?, scripts.join("sharp.mjs"), work.join("node"));
        let python = |kind: &str| vec![python.clone().into(), python_script.clone().into(), OsString::from(kind)];
        Ok(vec![
            Worker::start("downloader", vec![own.clone().into()])?,
            Worker::start("pyvips", python("pyvips"))?,
            Worker::start("sharp", vec!["node".into(), sharp.into(), node.into()])?,
            Worker::start("Pillow", python("pillow"))?,
            Worker::start("image", vec![own.into()])?,
        ])
    }

    fn start(name: &'static str, command: Vec<OsString>) -> anyhow::Result<Worker> {
        let (program, arguments) = command.split_first().context("a command")?;
        let mut process = Command::new(program)
            .args(arguments)
            .env(KIND, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let jobs = process.stdin.take().context("its input")?;
        let answers = BufReader::new(process.stdout.take().context("its output")?);
        let mut worker = Worker { name, version: String::new(), process, jobs, answers };
        worker.version = worker.answer()?;
        Ok(worker)
    }

    pub(crate) fn make(&mut self, file: &Path, edge: u32, times: usize, out: Option<&Path>) -> anyhow::Result<Made> {
        let out = out.map_or("-".into(), |out| out.display().to_string());
        writeln!(self.jobs, "{}\t{edge}\t{times}\t{out}", file.display()).context("give it a job")?;
        self.jobs.flush().context("give it a job")?;
        let answer = self.answer()?;
        let (times, memory) = answer.split_once('|').context("its answer has no memory")?;
        let cpu_ms =
            times.split_whitespace().map(|nanos| Ok(nanos.parse::<f64>()? / 1e6)).collect::<anyhow::Result<_>>()?;
        let mut memory = memory.split_whitespace().map(str::parse);
        let (idle, peak) = (memory.next().context("no memory")??, memory.next().context("no peak")??);
        Ok(Made { cpu_ms, idle_kib: idle, peak_kib: peak })
    }

    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        anyhow::ensure!(self.answers.read_line(&mut line).context("read its answer")? > 0, "{} has ended", self.name);
        Ok(line.trim().to_owned())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Works on jobs until the input ends.
pub(crate) fn serve(kind: &str) -> anyhow::Result<()> {
    let ours = kind == "downloader";
    println!(
        "{}",
        if ours { "this repository, gap 1.95 (1.5 at 1/2), Q80 of jpeg-encoder" } else { "image crate, thumbnail()" }
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut fields = line.split('\t');
        let mut field = || fields.next().context("a field is missing");
        let (path, edge, times, out) = (field()?, field()?.parse()?, field()?.parse::<usize>()?, field()?);
        // Threads and tables are there before it counts.
        let pool = pool(edge)?;
        let idle = memory("VmRSS:")?;
        let source = Bytes::from(std::fs::read(path)?);
        let (mut spent, mut made) = (Vec::new(), Vec::new());
        for _ in 0..times {
            let began = cpu_nanos()?;
            made = match ours {
                true => runtime.block_on(pool.thumbnail(source.clone())).context("make it")?.bytes.to_vec(),
                false => by_image(&source, edge)?,
            };
            spent.push((cpu_nanos()? - began).to_string());
        }
        if out != "-" {
            std::fs::write(out, made)?;
        }
        println!("{} | {idle} {}", spent.join(" "), memory("VmHWM:")?);
    }
    Ok(())
}

fn pool(edge: u32) -> anyhow::Result<Pool> {
    let settings =
        [("THUMBNAIL_EDGE_PX".into(), edge.to_string().into()), ("SOURCE_PIXELS_MAX".into(), "200000000".into())];
    let settings = Settings::load(settings, &std::collections::HashMap::new()).context("read the settings")?;
    Pool::with_threads(&settings, ByteBudget::new(DECODE_BYTES), std::num::NonZero::<usize>::MIN)
}

fn by_image(source: &[u8], edge: u32) -> anyhow::Result<Vec<u8>> {
    let mut reader = image::ImageReader::new(Cursor::new(source)).with_guessed_format()?;
    reader.no_limits();
    let thumbnail = reader.decode()?.thumbnail(edge, edge).to_rgb8();
    let mut made = Vec::new();
    JpegEncoder::new_with_quality(&mut made, QUALITY).encode_image(&thumbnail)?;
    Ok(made)
}

/// Of all threads of this process.
fn cpu_nanos() -> anyhow::Result<i64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(time.tv_sec * 1_000_000_000 + time.tv_nsec)
}

fn memory(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
