//! The child's side: an order from stdin -> a decision to stdout. One record, then the process ends.
//!
//! It takes what may go wrong upon itself: it dies with its parent, it is the first that the kernel kills for want of
//! memory, and it has a limit of its own before that. Killed here, one or both objects may be stored, each of them whole.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::num::NonZero;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getppid, getrlimit, setrlimit};
use tracing::Instrument as _;

use super::frame::{self, Order, Report};
use crate::cgroup;
use crate::config::Settings;
use crate::flow::limits::ByteBudget;
use crate::image::Pool;
use crate::observe::health::Health;
use crate::observe::spans;
use crate::observe::telemetry::{self, Telemetry};
use crate::pipeline::{Workshop, id_of};
use crate::task::Task;

/// Of the source's bytes: the body while it grows takes up to two, the request that puts it one, what is read back one.
const SOURCE_COPIES: u64 = 4;
/// Runtime, TLS with its roots, exporters, thread stacks and what the allocator keeps: 6 MiB while a child fetches, without
/// exporters, and much room, since a limit too low would condemn the innocent.
const BASE_BYTES: u64 = 64 << 20;
/// Below the parent's patience for the end of a child that has decided.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);
/// The first to go when memory runs out.
const OOM_SCORE: &str = "1000";

/// Runs the child and returns its exit code, which proves nothing: only what it says counts.
pub(crate) fn child() -> i32 {
    close_inherited();
    give_way();
    match work() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("trial: {error:#}");
            1
        }
    }
}

fn work() -> anyhow::Result<()> {
    let mut frames = Vec::new();
    io::stdin().lock().read_to_end(&mut frames).context("read the order")?;
    let (mut order, payload) = frame::read_order(frames).context("read the order")?;
    // It may have died before we asked to die with it.
    let parent = getppid().map(|parent| parent.as_raw_nonzero().get());
    anyhow::ensure!(parent == i32::try_from(order.parent).ok(), "the parent is gone");
    let texts = order.settings.drain(..).map(|(name, text)| (name.into(), text.into()));
    let settings = Settings::load(texts, &HashMap::new())?;
    limit(Resource::Data, data_bytes_max(&settings, cgroup::memory_max())).context("limit the memory")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let telemetry = telemetry::init(&settings)?;
    let result = runtime.block_on(decide(&settings, telemetry, &order, payload));
    runtime.shutdown_background();
    result
}

async fn decide(
    settings: &Settings,
    telemetry: Telemetry,
    order: &Order,
    payload: Option<Bytes>,
) -> anyhow::Result<()> {
    let pool = Pool::with_threads(settings, ByteBudget::new(settings.decode_bytes_max), NonZero::<usize>::MIN)
        .context("start the decoder")?;
    let sources = ByteBudget::new(settings.source_bytes_in_flight_max);
    let workshop = Workshop::new(settings, sources, pool, &Health::default(), telemetry.metrics())?;
    let read = Task::read(payload.as_deref());
    let id = id_of(&read);
    if let Some(id) = id {
        say(&Report::Id(id))?;
    }
    let span = spans::trial_span(order.partition, order.offset, id, spans::extract(&order.trace));
    let decision = workshop.decide(&order.identity, read).instrument(span).await;
    say(&Report::Decided(decision.into()))?;
    telemetry.shutdown(FLUSH_PATIENCE).await;
    Ok(())
}

fn say(report: &Report) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(&frame::report(report)?).and_then(|()| stdout.flush()).context("report to the parent")
}

/// Most that a child's memory may grow to: one decode at its maximum, the source in all its copies, and the rest. A
/// record that needs more would do so in any process. RLIMIT_DATA counts stacks and every private writable mapping.
/// A part of the container's is left to the parent: a kernel that has just killed the child may see no memory of it come
/// back for a moment, and kill the parent as well.
fn data_bytes_max(settings: &Settings, container: Option<u64>) -> u64 {
    let source = settings.source_bytes_max.saturating_mul(SOURCE_COPIES);
    let need = settings.decode_bytes_max.saturating_add(source).saturating_add(BASE_BYTES);
    need.min(container.map_or(u64::MAX, |bytes| bytes / 4 * 3))
}

/// Before all else: die with the parent, leave no core, and go first when memory runs out.
fn give_way() {
    // Each of them is refused only where it means nothing; without it the child is a worse neighbour, no worse witness.
    // Linux takes the thread that started us for the parent: one of its runtime's, which lives as long as it.
    #[cfg(target_os = "linux")]
    let _refused = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let _refused = limit(Resource::Core, 0);
    let _refused = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
}

/// Sets a limit, or leaves one that is lower already.
fn limit(resource: Resource, bytes: u64) -> io::Result<()> {
    let bytes = getrlimit(resource).maximum.map_or(bytes, |most| most.min(bytes));
    Ok(setrlimit(resource, Rlimit { current: Some(bytes), maximum: Some(bytes) })?)
}

/// Closes what came from the parent. Not all of librdkafka's sockets stay behind at exec, and a connection that its
/// broker closes would stay open as long as a child holds it: no client would notice that the broker went down.
fn close_inherited() {
    let listed = std::fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let paths: Vec<_> = listed.map(|entry| entry.path()).collect();
    // The listing was open while it listed itself, and no longer is.
    for path in paths.into_iter().filter(|path| path.exists()) {
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<i32>().ok());
        if let Some(number) = number.filter(|number| *number > 2) {
            // SAFETY: it is open, and so far this process has only read its arguments: nothing here owns it.
            unsafe { rustix::io::close(number) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let variables = variables.iter().map(|(name, text)| (name.into(), text.into()));
        Settings::load(variables, &HashMap::new()).expect("they work together")
    }

    #[test]
    fn a_childs_settings_are_its_parents_wherever_these_came_from() {
        let environment =
            [("S3_ACCESS", "who"), ("S3_SECRET", "line\nline"), ("KAFKA_PROPERTIES", r"a=b\;c"), ("LOG_LEVEL", "warn")];
        let environment = environment.map(|(name, text)| (name.into(), text.into()));
        let flags = HashMap::from([("LOG_LEVEL", "debug".to_owned()), ("FETCH_ALLOW_CIDRS", "10.0.0.0/8".to_owned())]);
        let parents = Settings::load(environment, &flags).expect("they work together");
        let handed_on = parents.variables().iter().map(|(name, text)| (name.into(), text.into()));
        let childs = Settings::load(handed_on, &HashMap::new()).expect("they work together");
        assert_eq!(format!("{childs:?}"), format!("{parents:?}"));
        assert_eq!(childs.log_level, "debug");
        assert_eq!(childs.kafka_properties.get("a"), Some("b;c"));
        assert_eq!(childs.s3_secret.expect("handed on").reveal(), "line\nline");
    }

    #[test]
    fn the_limit_follows_the_budgets_within_the_container() {
        let most = |variables: &[(&str, &str)], container| data_bytes_max(&settings(variables), container) >> 20;
        assert_eq!(most(&[], None), 128 + 4 * 20 + 64);
        assert_eq!(most(&[("DECODE_BYTES_MAX", "1GiB")], None), 1024 + 4 * 20 + 64);
        assert_eq!(most(&[("SOURCE_BYTES_MAX", "100MiB")], None), 128 + 4 * 100 + 64);
        assert_eq!(most(&[], Some(512 << 20)), 128 + 4 * 20 + 64);
        assert_eq!(most(&[], Some(192 << 20)), 144);
    }
}
