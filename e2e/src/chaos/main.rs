//! The command line: many schedules, a few at once, with progress and a tally.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Arg, ArgAction, Command, value_parser};
use futures_util::StreamExt as _;
use proptest::strategy::ValueTree as _;

use super::{Schedule, run, seed, tree_of_seed};

const HELP: &str = "Runs random schedules of work and faults on the real stack, each from a seed of its own, and says of each whether \
anything was lost, wrong, or run again without need. Exit code 0: all were green.";
/// Runs that finding a simpler failing schedule may take.
const SHRINKS_MAX: usize = 24;

/// Runs the program; its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let number = || value_parser!(u64).range(1..);
    let command = Command::new("chaos")
        .about(HELP)
        .arg(
            Arg::new("schedules")
                .long("schedules")
                .value_name("N")
                .help("How many")
                .value_parser(number())
                .default_value("20"),
        )
        .arg(
            Arg::new("at-once")
                .long("at-once")
                .value_name("N")
                .help("How many at once")
                .value_parser(number())
                .default_value("3"),
        )
        .arg(
            Arg::new("shrink")
                .long("shrink")
                .action(ArgAction::SetTrue)
                .help("Look for a simpler schedule that fails as well"),
        )
        .after_help(
            "E2E_SEED=… is the first schedule's seed; the others follow. E2E_STORE=versitygw takes the other store.",
        );
    let matches = match command.try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => error.exit(),
    };
    let count = |name| matches.get_one::<u64>(name).copied().unwrap_or(1);
    crate::sandbox::at_once(usize::try_from(count("at-once")).unwrap_or(usize::MAX >> 3));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime can't be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    // What a schedule died of is in its line.
    std::panic::set_hook(Box::new(|_| {}));
    let at_once = usize::try_from(count("at-once")).unwrap_or(1);
    runtime.block_on(all(seed(), count("schedules"), at_once, matches.get_flag("shrink")))
}

async fn all(first: u64, schedules: u64, at_once: usize, shrink: bool) -> ExitCode {
    println!("first seed {first:#018x} (E2E_SEED={first:#x} replays it), {schedules} schedules, {at_once} at once");
    let began = Instant::now();
    let seeds = (0..schedules).map(|number| first.wrapping_add(number));
    let mut running = futures_util::stream::iter(seeds)
        .map(|seed| async move { (seed, run(tree_of_seed(seed).current()).await) })
        .buffer_unordered(at_once);
    let (mut done, mut failed, mut bit) = (0_u64, Vec::new(), BTreeMap::<&str, usize>::new());
    while let Some((seed, result)) = running.next().await {
        done += 1;
        match result {
            Ok(report) => {
                report.bit.iter().for_each(|(kind, times)| *bit.entry(kind).or_default() += times);
                println!("{done:5}/{schedules} pass {seed:#018x}: {report}");
            }
            Err(why) => {
                failed.push(seed);
                println!("{done:5}/{schedules} FAIL {seed:#018x}: {why}");
            }
        }
    }
    drop(running);
    let took = began.elapsed().as_secs_f64();
    let tally: Vec<_> = bit.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
    println!(
        "{} passed, {} failed in {took:.0} s, {:.1} s each; faults that bit: {}",
        schedules - failed.len() as u64,
        failed.len(),
        took / schedules as f64,
        tally.join(", ")
    );
    for seed in &failed {
        println!("red: E2E_SEED={seed:#x}");
    }
    if shrink && let Some(seed) = failed.first() {
        println!("the simplest schedule found that fails as well: {}", simplest(*seed).await);
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn simplest(seed: u64) -> Schedule {
    let mut tree = tree_of_seed(seed);
    let mut simplest = tree.current();
    for _ in 0..SHRINKS_MAX {
        if !tree.simplify() {
            break;
        }
        let candidate = tree.current();
        if run(candidate.clone()).await.is_err() {
            simplest = candidate;
        } else if !tree.complicate() {
            break;
        }
    }
    simplest
}
