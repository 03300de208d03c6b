//! The real downloader: as a child process, which can be told to end, killed, paused and read; or as a task.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use downloader::config::Settings;
use downloader::drain::{Ended, Exit};
use downloader::observe::health;
use downloader::observe::telemetry::{self, Telemetry};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{READY_PATIENCE, Stack, free_port};
use crate::expect::eventually;
use crate::scrape;

/// The name under which an executable of this crate is the downloader: see [`become_downloader`].
pub const NAME: &str = "downloader";
/// Variables that a child needs as well. All others stay here, so that a run does not depend on them.
const PASSED_ON: [&str; 3] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_BACKTRACE"];
const LINES_MAX: usize = 10_000;

/// Becomes the downloader, and does not return, if this process was started under its name.
///
/// Called first in `main` of an executable that starts itself again as a [`Child`].
pub fn become_downloader() {
    let name = std::env::args_os().next().unwrap_or_default();
    if name != NAME {
        return;
    }
    close_inherited();
    // If the parent dies, nobody is left to end us.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    std::process::exit(downloader::cli::main(std::env::args_os()));
}

/// Closes what came from the parent. librdkafka's sockets pass to children, and a connection that its broker closes
/// would stay open as long as a child holds it: no client would notice that the broker went down.
fn close_inherited() {
    let listed = std::fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let paths: Vec<_> = listed.map(|entry| entry.path()).collect();
    // The listing was open while it listed itself, and no longer is.
    for path in paths.into_iter().filter(|path| path.exists()) {
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<i32>().ok());
        if let Some(number) = number.filter(|number| *number > 2) {
            // SAFETY: it is open, and this is the first that the process does: nothing here owns it.
            unsafe { rustix::io::close(number) };
        }
    }
}

/// A running downloader in a process of its own; killed when dropped.
pub struct Child {
    process: tokio::process::Child,
    pid: Pid,
    health: std::net::SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<((), ())>,
}

/// Resident memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// All of it.
    pub bytes: u64,
    /// Of it what no file stands behind: without code, which the system drops and reads again as it likes.
    pub own_bytes: u64,
}

/// Reads lines into `log` until there are no more.
async fn keep(output: impl AsyncRead + Unpin, log: &Mutex<Vec<String>>) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LINES_MAX {
            log.drain(..LINES_MAX / 2);
        }
        log.push(line);
    }
}

impl Child {
    /// Starts `program` as the downloader of `stack`; `changes` add to its settings or replace them.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(program: &Path, stack: &Stack, changes: &[(&str, &str)]) -> anyhow::Result<Child> {
        Child::start_with(program, stack, &[], changes)
    }

    /// As [`Child::start`], with arguments: a subcommand and its options. What it prints is in the log too.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start_with(program: &Path, stack: &Stack, args: &[&str], changes: &[(&str, &str)]) -> anyhow::Result<Child> {
        let mut settings: HashMap<String, String> =
            stack.settings().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let health = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
        settings.insert("HTTP_LISTEN".into(), health.to_string());
        settings.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let passed_on = PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut process = Command::new(program)
            .arg0(NAME)
            .args(args)
            .env_clear()
            .envs(passed_on)
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {} as the downloader", program.display()))?;
        let pid = process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).context("read the child's id")?;
        let output = process.stderr.take().context("read the child's log")?;
        let printed = process.stdout.take().context("read what the child prints")?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = log.clone();
        let reading = tokio::spawn(async move { tokio::join!(keep(output, &lines), keep(printed, &lines)) });
        Ok(Child { process, pid, health, log, reading })
    }

    /// Ends it as a crash does: SIGKILL. Returns when it is gone.
    ///
    /// # Errors
    /// The system does not say how it ended.
    pub async fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.ended().await
    }

    /// Asks it to drain: SIGTERM.
    ///
    /// # Errors
    /// It is gone already.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Stops its clock: SIGSTOP.
    ///
    /// # Errors
    /// It is gone already.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on: SIGCONT.
    ///
    /// # Errors
    /// It is gone already.
    pub fn go_on(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Lets its memory grow to so many bytes and no further, as a container would.
    ///
    /// # Errors
    /// It is gone already.
    pub fn limit_memory(&self, bytes: u64) -> anyhow::Result<()> {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        prlimit(Some(self.pid), Resource::Data, limit).map(drop).context("limit the downloader's memory")
    }

    /// Waits until it has ended; all of its log is read then.
    ///
    /// # Errors
    /// The system does not say how it ended.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let status = self.process.wait().await.context("wait for the downloader to end")?;
        let _ = (&mut self.reading).await;
        Ok(status)
    }

    /// Whether it has ended by itself, and how.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// The answer of one of `/livez`, `/readyz` and `/metrics`: status and text.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ask(&self, path: &str) -> anyhow::Result<(u16, String)> {
        health::ask(self.health, path).await
    }

    /// The sum of a metric over its labels, of those samples that have all of `labels`; 0: it has not been counted yet.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> anyhow::Result<f64> {
        let (_, text) = self.ask("/metrics").await?;
        Ok(scrape::sum(&text, name, labels).unwrap_or_default())
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It is not in time, or has ended; its log is shown.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let ready = async || match self.ask("/readyz").await {
            Ok((200, _)) => Ok(()),
            Ok((status, text)) => Err(format!("/readyz says {status}: {text}")),
            Err(error) => Err(format!("/readyz does not answer: {error:#}")),
        };
        let waited = eventually("the downloader is ready", READY_PATIENCE, ready);
        waited.evidence("downloader", || async { self.log_tail() }).or_error().await.map_err(|unmet| anyhow!(unmet))
    }

    /// Memory it holds now, as Linux counts it.
    ///
    /// # Errors
    /// It has ended, or the system does not say.
    pub fn resident(&self) -> anyhow::Result<Resident> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero()));
        let status = status.context("read the downloader's status")?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("find its memory")?;
            let kib = line.trim().trim_end_matches("kB").trim().parse::<u64>().context("read its memory")?;
            anyhow::Ok(kib << 10)
        };
        Ok(Resident { bytes: bytes("VmRSS:")?, own_bytes: bytes("RssAnon:")? })
    }

    /// Its log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The end of its log, for evidence.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        log.get(log.len().saturating_sub(40)..).unwrap_or_default().join("\n")
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        anyhow::ensure!(self.process.id().is_some(), "the downloader has ended already");
        kill_process(self.pid, signal).context("send a signal to the downloader")
    }
}

/// A downloader as a task of this process.
pub struct InProcess {
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<Ended>>,
}

impl InProcess {
    /// Starts it on `stack`; `changes` add to its settings or replace them.
    ///
    /// # Errors
    /// A setting cannot be used.
    pub fn start(stack: &Stack, changes: &[(&str, &str)]) -> anyhow::Result<InProcess> {
        let mut settings: HashMap<OsString, OsString> =
            stack.settings().into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        settings.insert("HTTP_LISTEN".into(), format!("127.0.0.1:{}", free_port()).into());
        settings.insert("LOG_LEVEL".into(), "error".into());
        settings.extend(changes.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let settings = Settings::load(settings, &HashMap::new()).context("read the settings")?;
        let telemetry = telemetry(&settings)?;
        let (metrics, run_id) = (telemetry.metrics(), format!("{:016x}", fastrand::u64(..)));
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let running = tokio::spawn(async move { downloader::run(&settings, metrics, &run_id, stopping).await });
        Ok(InProcess { stop, running })
    }

    /// Asks it to drain and waits for its end, up to `patience`.
    ///
    /// # Errors
    /// It did not end in time, could not start, or panicked.
    pub async fn drain(self, patience: Duration) -> anyhow::Result<Exit> {
        self.stop.cancel();
        let ended = tokio::time::timeout(patience, self.running).await;
        let ended = ended.with_context(|| format!("drain within {patience:?}"))?.context("run the downloader")??;
        Ok(ended.exit)
    }
}

/// The telemetry of this process, which has one log, whoever comes first.
fn telemetry(settings: &Settings) -> anyhow::Result<&'static Telemetry> {
    static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(telemetry) = TELEMETRY.get() {
        return Ok(telemetry);
    }
    // A test that panics says so as tests do, not as a line of the downloader's log.
    let hook = std::panic::take_hook();
    let started = telemetry::init(settings);
    std::panic::set_hook(hook);
    Ok(TELEMETRY.get_or_init({
        let started = started.context("set up telemetry")?;
        || started
    }))
}
