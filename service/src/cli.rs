//! The command line: subcommands, a flag for every setting, `--help` from the table of settings, exit codes.

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tracing::{error, info, warn};

use crate::cgroup;
use crate::config::{Kind, SETTINGS, Setting, Settings, parse};
use crate::drain::{self, Exit, FLUSH_MAX};
use crate::error::{Class, Classified, Code, Dependency};
use crate::kafka::setup::{PARTITIONS_DEFAULT, create_topics};
use crate::observe::health;
use crate::observe::telemetry::{self, Telemetry};
use crate::replay::{self, Request};
use crate::store::Store;
use crate::trial;

/// Exit code of settings or arguments that cannot be used.
const BAD_SETTINGS: i32 = 2;
const SETUP_RETRY_EVERY: Duration = Duration::from_secs(2);

/// Runs the program with these arguments and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> i32 {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return error.exit_code();
        }
    };
    // Its settings are its parent's, not those of its environment.
    if matches.subcommand_name() == Some(trial::SUBCOMMAND) {
        return trial::child();
    }
    let settings = match Settings::load(std::env::vars_os(), &flags(&matches)) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}\n'downloader --help' lists every setting.");
            return BAD_SETTINGS;
        }
    };
    // Fails only if somebody chose a provider before, and then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the system gives no threads: {error}");
            return Exit::Failed.code();
        }
    };
    // A task of the runtime: what this thread awaited itself would be woken through the kernel, and so would be all it starts.
    let command = runtime.spawn(async move {
        let result = match matches.subcommand() {
            Some(("setup", given)) => {
                let partitions = given.get_one("partitions").copied().unwrap_or(PARTITIONS_DEFAULT);
                setup(&settings, partitions).await
            }
            Some(("replay", given)) => replay(&settings, &request(given)).await,
            Some(("health", _)) => ask_health(&settings).await,
            _ => run(&settings).await,
        };
        result.unwrap_or_else(|error| {
            eprintln!("{error:#}");
            Exit::Failed.code()
        })
    });
    let code = runtime.block_on(command).unwrap_or_else(|panic| {
        eprintln!("{panic}");
        Exit::Failed.code()
    });
    // Threads that still hang on a network that is gone must not hold up the end (I8).
    runtime.shutdown_background();
    code
}

async fn run(settings: &Settings) -> anyhow::Result<i32> {
    let Some(telemetry) = observed(settings) else { return Ok(BAD_SETTINGS) };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        run_id = telemetry.run_id(),
        settings = ?settings.changed,
        "downloader starts"
    );
    warn_of_little_memory(settings, cgroup::memory_max());
    let stop = drain::on_signal().context("listen for signals")?;
    let result = crate::run(settings, telemetry.metrics(), telemetry.run_id(), stop).await;
    let flush = result.as_ref().map_or(FLUSH_MAX, |ended| ended.deadlines.flush());
    ended(telemetry, result.map(|ended| ended.exit), flush).await
}

/// The budgets are obeyed, whatever the container has; then the kernel decides.
fn warn_of_little_memory(settings: &Settings, container_bytes: Option<u64>) {
    let budgets_bytes = settings.source_bytes_in_flight_max.saturating_add(settings.decode_bytes_max);
    if let Some(container_bytes) = container_bytes.filter(|bytes| *bytes <= budgets_bytes) {
        warn!(
            container_bytes,
            budgets_bytes,
            "pictures alone may take all of the container's memory; lower SOURCE_BYTES_IN_FLIGHT_MAX or DECODE_BYTES_MAX"
        );
    }
}

async fn setup(settings: &Settings, partitions: i32) -> anyhow::Result<i32> {
    let Some(telemetry) = observed(settings) else { return Ok(BAD_SETTINGS) };
    let result = async {
        create_topics(settings, partitions).await?;
        create_bucket(settings).await?;
        Ok(Exit::Drained)
    };
    let result = result.await;
    ended(telemetry, result, FLUSH_MAX).await
}

async fn replay(settings: &Settings, request: &Request) -> anyhow::Result<i32> {
    let Some(telemetry) = observed(settings) else { return Ok(BAD_SETTINGS) };
    let stop = drain::on_signal().context("listen for signals")?;
    let report = replay::run(settings, telemetry.run_id(), telemetry.metrics(), request, &stop).await;
    let result = report.context("replay the dead letters").map(|report| {
        println!("{}", report.to_string().trim_end());
        report.exit()
    });
    ended(telemetry, result, FLUSH_MAX).await
}

/// Telemetry; `None`: `LOG_LEVEL` or an `OTEL_*` variable cannot be used, which was said.
fn observed(settings: &Settings) -> Option<Telemetry> {
    telemetry::init(settings).inspect_err(|error| eprintln!("{error:#}")).ok()
}

async fn ended(telemetry: Telemetry, result: anyhow::Result<Exit>, flush: Duration) -> anyhow::Result<i32> {
    let code = match result {
        Ok(exit) => exit.code(),
        Err(error) => {
            error!("{error:#}");
            Exit::Failed.code()
        }
    };
    telemetry.shutdown(flush).await;
    Ok(code)
}

/// Creates the bucket, waiting for the store.
async fn create_bucket(settings: &Settings) -> anyhow::Result<()> {
    let store = Store::new(settings).context("make the S3 client")?;
    let bucket = &settings.s3_bucket_name;
    loop {
        match store.create_bucket().await {
            Ok(true) => info!(bucket, "bucket created"),
            Ok(false) => info!(bucket, "bucket exists"),
            Err(error) if error.class() == Class::Infrastructure(Dependency::Store) => {
                info!(%error, "waiting for the store");
                tokio::time::sleep(SETUP_RETRY_EVERY).await;
                continue;
            }
            Err(error) => return Err(error).context("create the bucket"),
        }
        return Ok(());
    }
}

async fn ask_health(settings: &Settings) -> anyhow::Result<i32> {
    let (status, body) = health::ask(settings.http_listen, "/readyz").await?;
    println!("{}", body.trim_end());
    Ok(i32::from(status != 200))
}

fn flags(matches: &ArgMatches) -> HashMap<&'static str, String> {
    // Global flags reach the subcommand's matches, wherever they stood.
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    let given = |setting: &Setting| Some((setting.name, matches.get_one::<String>(setting.name)?.clone()));
    SETTINGS.iter().filter_map(given).collect()
}

fn request(given: &ArgMatches) -> Request {
    let named: Vec<&String> = given.get_many("code").into_iter().flatten().collect();
    let codes = Code::ALL.iter().copied().filter(|code| named.iter().any(|named| *named == code.as_str()));
    Request {
        codes: codes.collect(),
        since_ms: given.get_one("since").copied(),
        dry_run: given.get_flag("dry-run"),
        per_second: given.get_one("rate").copied(),
    }
}

/// `2h` or `2026-11-22T14:00:00Z` -> Unix milliseconds.
fn since(text: &str) -> Result<i64, String> {
    let at = match parse::duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago),
        Err(_) => humantime::parse_rfc3339(text).ok(),
    };
    let ms = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).and_then(|at| i64::try_from(at.as_millis()).ok());
    ms.ok_or_else(|| "neither a duration, as in 90m, nor a time, as in 2026-11-22T14:00:00Z".to_owned())
}

fn replay_command() -> Command {
    let codes = Code::ALL.iter().filter(|code| !Code::INTERNAL.contains(code)).map(|code| code.as_str());
    Command::new("replay")
        .about("Put the records of dead letters back to the topic of tasks, once what they died of is mended")
        .after_help(
            "Reads KAFKA_DEAD_TOPIC from its start to its present end; joins no group, commits nothing. Records of \
             KAFKA_INPUT_TOPIC go back with payload, key and headers as they were, plus replay.* headers. A record that \
             died more than once goes back once, and its last death decides whether it matches. The letters stay: \
             another run replays what matches again, which costs work and changes no outcome; --since leaves out \
             what an earlier run has seen.\n\n\
             Exit codes: 0 all that matched went back, 1 some could not (each is named), or it was stopped or failed, \
             2 bad arguments or settings.",
        )
        .arg(
            Arg::new("code")
                .long("code")
                .value_name("code")
                .action(ArgAction::Append)
                .value_parser(PossibleValuesParser::new(codes))
                .hide_possible_values(true)
                .help("Only records that died of this (their dead.code); may be given again [default: all]"),
        )
        .arg(Arg::new("since").long("since").value_name("time or duration").value_parser(since).help(
            "Only records whose last letter was written since, as in 2026-11-22T14:00:00Z or 90m [default: all]",
        ))
        .arg(
            Arg::new("rate")
                .long("rate")
                .value_name("count")
                .value_parser(value_parser!(u32).range(1..=1_000_000))
                .help("Records put back per second, at most [default: no limit]"),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Only say what would be put back"),
        )
}

fn command() -> Command {
    let partitions = Arg::new("partitions")
        .long("partitions")
        .value_name("count")
        .value_parser(value_parser!(i32).range(1..=10_000))
        .help(format!(
            "partitions of a topic that is created: the most downloaders that can share its work [default: {PARTITIONS_DEFAULT}]"
        ));
    Command::new("downloader")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .after_help(
            "Every setting is also an environment variable, and NAME_FILE reads it from a file. A flag wins over the \
             environment. OTEL_* variables work as OpenTelemetry specifies; without an endpoint nothing is exported.\n\n\
             Exit codes: 0 drained, 75 drained but a last commit was not acknowledged, 70 the Kafka client failed, \
             2 bad settings, 1 anything else.",
        )
        .subcommand(Command::new("run").about("Work on tasks until SIGTERM (the default)"))
        .subcommand(Command::new("setup").about("Create the topics and the bucket that are missing, then exit").arg(partitions))
        .subcommand(Command::new("health").about("Ask the running process whether it is ready: 0 yes, 1 no and why"))
        .subcommand(Command::new(trial::SUBCOMMAND).about("Work on one suspect record for the process that starts it").hide(true))
        .subcommand(replay_command())
        .disable_help_subcommand(true)
        .args(SETTINGS.iter().map(arg))
}

fn arg(setting: &Setting) -> Arg {
    let default = if setting.default.is_empty() { "none" } else { setting.default };
    let variables = std::iter::once(&setting.name).chain(setting.also).copied().collect::<Vec<_>>().join(" or ");
    Arg::new(setting.name)
        .long(setting.flag())
        .value_name(value_name(setting.kind))
        .help(format!("{} [default: {default}] [env: {variables}]", setting.meaning))
        .global(true)
}

/// The type and unit of a setting, as `--help` and the README show it.
pub fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Choice(_) => "word",
        Kind::Count(..) => "count",
        Kind::Bytes(..) => "bytes, KiB, MiB, GiB",
        Kind::Duration(..) => "ms, s, m, h",
        Kind::Cidrs => "CIDR,…",
        Kind::Contact => "URL or mail address",
        Kind::Nat64Prefixes => "IPv6 prefix,…",
        Kind::Ports => "port,…",
        Kind::SocketAddress => "address:port",
        Kind::Properties => "key=value;…",
        Kind::Endpoint => "URL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn help_shows_every_setting_with_default_and_variable() {
        let help = command().render_long_help().to_string();
        for setting in SETTINGS {
            let shown = help.contains(&format!("--{} ", setting.flag())) && help.contains(setting.name);
            assert!(shown && help.contains(&format!("[default: {}", setting.default)), "{} in\n{help}", setting.name);
        }
    }

    #[test]
    fn a_flag_counts_before_and_after_the_subcommand() {
        for args in [["downloader", "--log-level=debug", "setup"], ["downloader", "setup", "--log-level=debug"]] {
            let matches = command().try_get_matches_from(args).expect("parses");
            assert_eq!(flags(&matches).get("LOG_LEVEL").map(String::as_str), Some("debug"));
        }
    }

    #[test]
    fn what_a_child_is_started_with_is_understood_and_not_shown() {
        let matches = command().try_get_matches_from(["downloader", trial::SUBCOMMAND]).expect("parses");
        assert_eq!(matches.subcommand_name(), Some(trial::SUBCOMMAND));
        assert!(!command().render_long_help().to_string().contains("suspect"));
    }

    #[test]
    fn an_unknown_flag_or_word_is_refused_with_code_2() {
        for args in [["downloader", "--kafka-broker=x"], ["downloader", "replicate"]] {
            assert_eq!(command().try_get_matches_from(args).expect_err("refused").exit_code(), 2);
        }
        for bad in ["--code=nonsense", "--code=broker_unavailable", "--rate=0", "--since=yesterday", "--since=", "x"] {
            let error = command().try_get_matches_from(["downloader", "replay", bad]).expect_err(bad);
            assert_eq!(error.exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn replay_takes_codes_a_time_and_a_rate() {
        let line = "downloader replay --code not_json --code=id_out_of_range --since 1970-01-01T00:00:02Z --rate 5";
        let matches = command().try_get_matches_from(line.split(' ')).expect("parses");
        let (_, given) = matches.subcommand().expect("replay");
        let Request { codes, since_ms, dry_run, per_second } = request(given);
        assert_eq!(codes, [Code::NotJson, Code::IdOutOfRange]);
        assert_eq!((since_ms, dry_run, per_second), (Some(2_000), false, Some(5)));
        let now = since("0s").expect("a duration");
        let before = now - since("90m").expect("a duration");
        assert!((5_399_000..=5_400_000).contains(&before), "{before}");
    }
}
