//! The demo: the real downloader on a broker, a store and an origin in this process. It shows progress, leaves pictures
//! and a contact sheet, and prints the ledger; with `--crash` it kills the downloader on the way.

mod args;
mod crash;
mod page;
mod progress;
mod report;
mod work;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::embedded::{Child, Stack};
use crate::ledger::Verdict;
use args::Args;
use progress::Progress;
use work::Work;

/// Without a record finished for this long something is wrong; longer than the longest task may take.
const STALL_MAX: Duration = Duration::from_secs(150);
/// How long the downloader may take to end once it is asked to.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// Exit code of arguments that cannot be used.
const BAD_ARGUMENTS: u8 = 2;

/// Runs the demo and returns its exit code: 0 if nothing is lost or wrong, 1 otherwise, 2 for bad arguments.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::read(args) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(BAD_ARGUMENTS));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: the system gives no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Returning instead of dying ends the downloader and removes the store's folder.
    let run = async {
        tokio::select! {
            result = run(&args) => result,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    };
    match runtime.block_on(run) {
        Ok(verdict) if verdict.is_green() => ExitCode::SUCCESS,
        Ok(_red) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a run came to, for the report.
struct Run {
    work: Work,
    stack: Stack,
    verdict: Verdict,
    /// From the first task written to the last record finished.
    took: Duration,
}

async fn run(args: &Args) -> anyhow::Result<Verdict> {
    let standard = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/demo");
    let folder = args.out.clone().unwrap_or_else(standard);
    let scratch = tempfile::tempdir().context("make a temporary folder for the store")?;
    let stack = Stack::start(scratch.path()).await.context("start broker, store and origin")?;
    let work = Work::plan(args, &stack)?;
    println!("{}", work.describe(&stack));

    let began = Instant::now();
    work.produce(&stack).await?;
    let (ended, bound) = if args.crash { crash::run(&work, &stack).await? } else { plain(&work, &stack).await? };
    let verdict = stack.verdict(Some(bound)).await?;
    let run = Run { work, stack, verdict, took: ended - began };
    let folder = report::write(&run, &folder)?;
    print!("{}", report::summary(&run, &folder));
    Ok(run.verdict)
}

/// One downloader from the first record to the last: when that was finished, and how many may be rerun.
async fn plain(work: &Work, stack: &Stack) -> anyhow::Result<(Instant, usize)> {
    let mut downloader = work.start_downloader(stack)?;
    let mut progress = Progress::of(stack);
    finish(&mut progress, &mut downloader, stack).await?;
    let ended = Instant::now();
    end(downloader).await?;
    progress.end();
    Ok((ended, 0))
}

/// Waits until every record is finished, or nothing moves any more: what is open then is lost, and the verdict says so.
async fn finish(progress: &mut Progress, downloader: &mut Child, stack: &Stack) -> anyhow::Result<()> {
    let (mut finished, mut moved) = (0, Instant::now());
    let mut ticks = tokio::time::interval(progress::EVERY);
    while let Err(open) = stack.ledger.settled() {
        ticks.tick().await;
        progress.show();
        if stack.ledger.progress().0 != finished {
            (finished, moved) = (stack.ledger.progress().0, Instant::now());
        }
        if let Some(status) = downloader.has_ended() {
            bail!("the downloader ended by itself ({status}). The end of its log:\n{}", downloader.log_tail());
        }
        if moved.elapsed() > STALL_MAX {
            eprintln!("nothing has moved for {STALL_MAX:?}: {open}. The end of the log:\n{}", downloader.log_tail());
            return Ok(());
        }
    }
    progress.show();
    Ok(())
}

/// Asks a downloader to drain, and checks how it ended.
async fn end(mut downloader: Child) -> anyhow::Result<()> {
    downloader.terminate()?;
    let status = tokio::time::timeout(END_PATIENCE, downloader.ended()).await;
    let status =
        status.with_context(|| format!("the downloader does not end; its log:\n{}", downloader.log_tail()))??;
    if !status.success() {
        bail!("the downloader ended with {status}. The end of its log:\n{}", downloader.log_tail());
    }
    Ok(())
}
