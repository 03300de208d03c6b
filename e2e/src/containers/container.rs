//! One container, and what a test may do to it.

use std::fmt::Write as _;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bollard::Docker;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerInspectResponse, ExecConfig};
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, LogsOptionsBuilder,
    StartContainerOptions,
};
use futures_util::StreamExt as _;

use super::engine::{docker, on_engine, on_engine_blocking};
use super::run::{self, Run};
use super::spec::{self, Spec};
use crate::fault_book::{Faults, Notes};

/// For a container to start, or to end.
pub(super) const STARTUP_TIMEOUT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The kind of fault that a pause is.
const PAUSED: &str = "paused";

/// When a container ran, in Unix milliseconds, and how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Since when.
    pub started_ms: Option<i64>,
    /// Until when; none: it still runs.
    pub ended_ms: Option<i64>,
    /// Of its main process.
    pub exit_code: Option<i64>,
    /// The kernel killed a process of it for want of memory.
    pub out_of_memory: bool,
}

/// A container of this run. Dropping it does nothing: the sandbox removes its own, the reaper the rest.
#[derive(Clone, Debug)]
pub struct Container {
    id: Arc<str>,
    name: Arc<str>,
    notes: Notes,
}

impl Container {
    /// Starts it and waits until it counts as started.
    ///
    /// # Errors
    /// The engine refused, or the container ended or didn't get ready in time: with the end of its log.
    pub async fn start(run: &Run, spec: Spec) -> anyhow::Result<Container> {
        let name = spec.name.clone();
        let run = run.clone();
        let started = on_engine(async move { spec::start(&run, spec).await }).await;
        let id = started.with_context(|| format!("start {name}"))?;
        Ok(Container { id: id.into(), name: name.into(), notes: Notes::default() })
    }

    /// Its name, which is its host name too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The engine's name for it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What a test does to it is noted there.
    pub(crate) fn notes_in(&self, faults: &Faults) {
        self.notes.go_to(faults, &self.name);
    }

    /// SIGKILL; returns when it is dead.
    pub async fn kill(&self) {
        self.notes.moment("SIGKILL");
        self.notes.ends(PAUSED);
        self.act("kill", |docker, id| async move {
            signal(&docker, &id, "SIGKILL").await?;
            ended(&docker, &id).await.map(drop)
        })
        .await;
    }

    /// SIGTERM; returns at once.
    pub async fn ask_to_terminate(&self) {
        self.notes.moment("SIGTERM");
        self.act("ask to terminate", |docker, id| async move { signal(&docker, &id, "SIGTERM").await }).await;
    }

    /// SIGTERM; returns the exit code once it has ended.
    pub async fn terminate(&self) -> i64 {
        let _until_it_ended = self.notes.began("SIGTERM, until it ended");
        self.act("terminate", |docker, id| async move {
            signal(&docker, &id, "SIGTERM").await?;
            ended(&docker, &id).await
        })
        .await
    }

    /// SIGSTOP: stops all threads of its main process where they are. (The engine's own pause fails now and then on a busy
    /// machine: "unable to freeze".)
    pub async fn pause(&self) {
        self.notes.begins(PAUSED, "SIGSTOP, until SIGCONT");
        self.act("pause", |docker, id| async move { signal(&docker, &id, "SIGSTOP").await }).await;
    }

    /// SIGCONT: lets it go on after a pause.
    pub async fn resume(&self) {
        self.act("resume", |docker, id| async move { signal(&docker, &id, "SIGCONT").await }).await;
        self.notes.ends(PAUSED);
    }

    /// Starts it again after its end, and returns at once. What it had in its volumes is there still.
    pub async fn start_again(&self) {
        self.notes.moment("started again");
        self.act("start again", |docker, id| async move {
            docker.start_container(&id, None::<StartContainerOptions>).await.context("start it")
        })
        .await;
    }

    /// Whether its main process stands still, by this machine's kernel.
    pub async fn is_stopped(&self) -> bool {
        self.act("look at the state of", |docker, id| async move {
            let status = process_status(&docker, &id).await?;
            Ok(status.lines().any(|line| line.starts_with("State:") && line.contains('T')))
        })
        .await
    }

    /// All it has written, standard output and error, in order, with times.
    pub async fn logs(&self) -> String {
        self.act("read the log of", |docker, id| async move { logs(&docker, &id, "all").await }).await
    }

    /// How it ended; none while it runs.
    pub async fn exit_code(&self) -> Option<i64> {
        self.act("inspect", |docker, id| async move { exit_code(&docker, &id).await }).await
    }

    /// Whether the kernel killed it, or a process in it, for want of memory.
    pub async fn ran_out_of_memory(&self) -> bool {
        self.act("inspect", |docker, id| async move {
            let state = inspect(&docker, &id).await?.state.ok_or_else(|| anyhow!("the engine gave no state"))?;
            Ok(state.oom_killed == Some(true))
        })
        .await
    }

    /// The most memory that its main process has held so far (resident), in bytes, as this machine's kernel counts.
    pub async fn peak_memory_bytes(&self) -> u64 {
        self.act("read the memory of", |docker, id| async move {
            let status = process_status(&docker, &id).await?;
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("find its peak")?;
            Ok(peak.trim().trim_end_matches("kB").trim().parse::<u64>().context("read its peak")? << 10)
        })
        .await
    }

    /// A file of it, in the archive that the engine wraps around it, which is uncompressed.
    pub async fn file(&self, path: &'static str) -> Vec<u8> {
        self.act("read a file of", move |docker, id| async move {
            let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
            let mut archive = docker.download_from_container(&id, Some(options));
            let mut bytes = Vec::new();
            while let Some(part) = archive.next().await {
                bytes.extend_from_slice(&part.context("read the archive")?);
            }
            Ok(bytes)
        })
        .await
    }

    /// Runs a program in it beside its own; the exit code.
    pub async fn execute(&self, command: &[&str]) -> i64 {
        let config = ExecConfig {
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            attach_stdout: Some(true),
            ..ExecConfig::default()
        };
        self.act("run a program in", |docker, id| async move {
            let execution = docker.create_exec(&id, config).await?.id;
            if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&execution, None).await? {
                while output.next().await.is_some() {}
            }
            docker.inspect_exec(&execution).await?.exit_code.ok_or_else(|| anyhow!("the program has not ended"))
        })
        .await
    }

    /// Its address in the run's network.
    pub async fn address(&self) -> IpAddr {
        self.act("find the address of", |docker, id| async move {
            let networks = inspect(&docker, &id).await?.network_settings.and_then(|settings| settings.networks);
            let mut addresses = networks.unwrap_or_default().into_values().filter_map(|network| network.ip_address);
            let address = addresses.find(|address| !address.is_empty()).ok_or_else(|| anyhow!("it has no address"))?;
            Ok(address.parse()?)
        })
        .await
    }

    /// The port of 127.0.0.1 that leads to one of its ports.
    pub async fn host_port(&self, port: u16) -> u16 {
        self.act("find a port of", move |docker, id| async move {
            let ports = inspect(&docker, &id).await?.network_settings.and_then(|settings| settings.ports);
            let bindings = ports.unwrap_or_default().remove(&format!("{port}/tcp")).flatten().unwrap_or_default();
            let host_port = bindings.into_iter().find_map(|binding| binding.host_port);
            Ok(host_port.ok_or_else(|| anyhow!("port {port} is not published"))?.parse()?)
        })
        .await
    }

    /// Removes it now, running or not. For `Drop`: blocks, and is silent where it is gone already.
    pub(crate) fn remove_blocking(&self) {
        let id = self.id.to_string();
        let _ = on_engine_blocking(async move { anyhow::Ok(run::remove_container(&docker()?, &id).await?) });
    }

    /// When it ran and how it ended, as far as the engine says. For `Drop`: blocks.
    pub(crate) fn life_blocking(&self) -> Life {
        let id = self.id.to_string();
        let state = on_engine_blocking(async move { anyhow::Ok(inspect(&docker()?, &id).await?.state) });
        let state = state.ok().flatten().unwrap_or_default();
        let ended = state.running != Some(true);
        Life {
            started_ms: state.started_at.as_deref().and_then(unix_ms_of),
            ended_ms: state.finished_at.as_deref().filter(|_| ended).and_then(unix_ms_of),
            exit_code: state.exit_code.filter(|_| ended),
            out_of_memory: state.oom_killed == Some(true),
        }
    }

    /// Its log, or why it can't be read. For `Drop`: blocks.
    pub(crate) fn logs_blocking(&self) -> String {
        let id = self.id.to_string();
        on_engine_blocking(async move { logs(&docker()?, &id, "all").await })
            .unwrap_or_else(|error| format!("the log can't be read: {error:#}"))
    }

    /// A test can't go on without this: a failure ends it, with the container's name and what was tried.
    async fn act<T, F>(&self, what: &str, work: impl FnOnce(Docker, String) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        let result = match docker() {
            Ok(docker) => on_engine(work(docker, self.id.to_string())).await,
            Err(error) => Err(error),
        };
        result.unwrap_or_else(|error| panic!("{what} {}: {error:#}", self.name))
    }
}

/// Ports of 127.0.0.1 that nobody uses. Fixed for the whole run: a broker that is killed and started again must be where it
/// said it was. Asked for together, so that they differ.
pub(super) fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners: Vec<TcpListener> = (0..N).map(listen).collect::<std::io::Result<_>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// The engine's times: RFC 3339 in UTC, `2026-01-31T01:02:03.123456789Z`.
fn unix_ms_of(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (time.next()??, time.next()??, time.next()??);
    // Howard Hinnant's days_from_civil: years begin in March, so that a leap day is a year's last.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let in_the_day = ((hours * 60.0 + minutes) * 60.0 + seconds) * 1000.0;
    Some(days * 86_400_000 + in_the_day as i64)
}

async fn inspect(docker: &Docker, id: &str) -> anyhow::Result<ContainerInspectResponse> {
    docker.inspect_container(id, None::<InspectContainerOptions>).await.context("inspect it")
}

/// What the kernel says of its main process.
async fn process_status(docker: &Docker, id: &str) -> anyhow::Result<String> {
    let pid = inspect(docker, id).await?.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| anyhow!("it does not run"))?;
    std::fs::read_to_string(format!("/proc/{pid}/status")).context("read its status")
}

async fn signal(docker: &Docker, id: &str, signal: &str) -> anyhow::Result<()> {
    let options = KillContainerOptionsBuilder::new().signal(signal).build();
    docker.kill_container(id, Some(options)).await.with_context(|| format!("send {signal}"))
}

async fn exit_code(docker: &Docker, id: &str) -> anyhow::Result<Option<i64>> {
    let state = inspect(docker, id).await?.state.ok_or_else(|| anyhow!("the engine gave no state"))?;
    Ok(if state.running == Some(true) { None } else { state.exit_code })
}

async fn ended(docker: &Docker, id: &str) -> anyhow::Result<i64> {
    let wait = async {
        loop {
            if let Some(code) = exit_code(docker, id).await? {
                return anyhow::Ok(code);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    match tokio::time::timeout(STARTUP_TIMEOUT, wait).await {
        Ok(code) => code,
        Err(_) => bail!("still running after {STARTUP_TIMEOUT:?}"),
    }
}

async fn logs(docker: &Docker, id: &str, tail: &str) -> anyhow::Result<String> {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true).tail(tail).build();
    let mut lines = docker.logs(id, Some(options));
    let mut text = String::new();
    while let Some(line) = lines.next().await {
        write!(text, "{}", line.context("read the log")?)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_times_are_read() {
        assert_eq!(unix_ms_of("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_ms_of("2024-02-29T23:59:58.25Z"), Some(1_709_251_198_250));
        assert_eq!(unix_ms_of("2026-11-27T14:06:03.123456789Z"), Some(1_795_788_363_123));
        assert!(unix_ms_of("0001-01-01T00:00:00Z").is_some_and(|never| never < 0), "that of what has not ended");
        assert_eq!(unix_ms_of("yesterday"), None);
    }
}
