//! `downloader replay`: dead letters -> their records, back in the topic of tasks.
//!
//! The letters are read twice: once to learn which of several letters of one record is the last, once to put records back.
//! The topic is a log: a letter that was put back stays in it, and the next run puts it back again. So a kill here loses
//! nothing and may repeat something, which every reader of outcomes takes (I5).

mod survey;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Settings;
use crate::drain::Exit;
use crate::error::Code;
use crate::kafka::{DeadLog, Place, ProduceError, Producer};
use crate::observe::metrics::Metrics;
use survey::{Planned, Survey};

/// Records handed to the producer and not acknowledged.
const IN_FLIGHT_MAX: usize = 64;
/// Without an acknowledgement for this long a run ends.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
const WRITE_RETRY_EVERY: Duration = Duration::from_secs(1);
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// What a limited run may catch up at once after it was held up.
const BURST: Duration = Duration::from_millis(100);
const BY_SIGNAL: &str = "by a signal";
/// Letters that are left are named up to this many.
const LEFT_NAMED_MAX: usize = 20;

/// What is to be put back, and how.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Records that died of one of these; none: of any.
    pub codes: Vec<Code>,
    /// Letters written at or after this, in Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Nothing is written.
    pub dry_run: bool,
    /// The most records written per second.
    pub per_second: Option<u32>,
}

/// What became of the letters. Its text is the summary.
#[derive(Debug)]
pub struct Report {
    dead_topic: String,
    topic: String,
    dry_run: bool,
    began: SystemTime,
    read: u64,
    matching: u64,
    duplicates: u64,
    replayed: u64,
    left: Left,
    stopped: Option<String>,
}

/// Letters whose records were not put back, and why.
#[derive(Debug, Default)]
struct Left {
    count: u64,
    /// Those among them that another topic's downloader has to see to.
    elsewhere: u64,
    named: Vec<String>,
}

impl Left {
    fn add(&mut self, place: Place, code: &str, reason: impl fmt::Display) {
        self.count += 1;
        if self.named.len() < LEFT_NAMED_MAX {
            let Place { partition, offset } = place;
            self.named.push(format!("partition {partition} offset {offset} {}: {reason}", code.escape_debug()));
        }
    }

    fn add_elsewhere(&mut self, place: Place, code: &str, topic: &str) {
        self.elsewhere += 1;
        self.add(place, code, format_args!("it belongs to topic '{}'", topic.escape_debug()));
    }
}

impl Report {
    /// Whether all that matched went back; what belongs to another topic doesn't count.
    pub fn exit(&self) -> Exit {
        let complete = self.stopped.is_none() && self.left.count == self.left.elsewhere;
        if complete { Exit::Drained } else { Exit::Failed }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let back = if self.dry_run { "to replay" } else { "replayed" };
        let topic = if self.dry_run {
            format!("nothing was written to '{}'", self.topic)
        } else {
            format!("to '{}'", self.topic)
        };
        writeln!(f, "read        {} letters of '{}'", self.read, self.dead_topic)?;
        writeln!(f, "matching    {} records", self.matching)?;
        writeln!(f, "{back:<11} {} ({topic})", self.replayed)?;
        writeln!(f, "duplicates  {} (letters of a record that has a later one)", self.duplicates)?;
        writeln!(f, "left        {}", self.left.count)?;
        for line in &self.left.named {
            writeln!(f, "  {line}")?;
        }
        let named = u64::try_from(self.left.named.len()).unwrap_or(u64::MAX);
        if self.left.count > named {
            writeln!(f, "  and {} more", self.left.count - named)?;
        }
        if let Some(cause) = &self.stopped {
            writeln!(f, "stopped     {cause}; the letters are all still there")?;
        }
        if self.replayed > 0 && !self.dry_run {
            let began = humantime::format_rfc3339_seconds(self.began);
            write!(
                f,
                "Letters stay in their topic, so another run replays these again. Only later ones: --since {began}"
            )?;
        }
        Ok(())
    }
}

/// Reads the letters and puts back what `request` asks for, until `stop` fires.
///
/// # Errors
/// The letters cannot be read; nothing was written then.
pub async fn run(
    settings: &Settings,
    run_id: &str,
    metrics: Metrics,
    request: &Request,
    stop: &CancellationToken,
) -> anyhow::Result<Report> {
    let began = SystemTime::now();
    let producer = Producer::new(settings, run_id, metrics)?;
    let mut report = Report {
        dead_topic: settings.kafka_dead_topic.clone(),
        topic: settings.kafka_input_topic.clone(),
        dry_run: request.dry_run,
        began,
        read: 0,
        matching: 0,
        duplicates: 0,
        replayed: 0,
        left: Left::default(),
        stopped: None,
    };
    let surveyed = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        surveyed = survey(settings, request) => Some(surveyed?),
    };
    let Some((mut log, survey)) = surveyed else {
        report.stopped = Some("by a signal before anything was written".to_owned());
        return Ok(report);
    };
    report.read = survey.read;
    report.duplicates = survey.duplicates();
    let plan = survey.plan(&mut report);
    if request.dry_run {
        report.replayed = u64::try_from(plan.len()).unwrap_or(u64::MAX);
    } else if !plan.is_empty() {
        put_all_back(&mut log, &producer, plan, request.per_second, stop, &mut report).await;
    }
    Ok(report)
}

/// Reads every letter once.
async fn survey<'a>(settings: &'a Settings, request: &'a Request) -> anyhow::Result<(DeadLog, Survey<'a>)> {
    let mut log = DeadLog::open(settings).await?;
    let mut survey = Survey::new(&settings.kafka_input_topic, request);
    let mut progress = Progress::default();
    log.rewind()?;
    while let Some(letter) = log.next().await? {
        survey.add(letter.place, letter.written_ms, letter.inscription());
        progress.say(|| info!(read = survey.read, of = log.letters_max(), "reading the dead letters"));
    }
    Ok((log, survey))
}

/// Reads the letters again and writes the records of those in `plan`.
async fn put_all_back(
    log: &mut DeadLog,
    producer: &Producer,
    mut plan: BTreeMap<Place, Planned>,
    per_second: Option<u32>,
    stop: &CancellationToken,
    report: &mut Report,
) {
    let all = plan.len();
    let (mut pace, mut progress) = (Pace::new(per_second), Progress::default());
    let mut writing = FuturesUnordered::new();
    let mut reading = log.rewind().map_err(|error| report.stopped = Some(format!("{error:#}"))).is_ok();
    while reading || !writing.is_empty() {
        tokio::select! {
            biased;
            () = stop.cancelled(), if reading => {
                report.stopped = Some(BY_SIGNAL.to_owned());
                reading = false;
            }
            Some((place, planned, end)) = writing.next(), if !writing.is_empty() => {
                let planned: Planned = planned;
                match end {
                    Written::Acked => report.replayed += 1,
                    Written::TooLarge => report.left.add(place, &planned.code, "the broker refuses a record of this size"),
                    // Everything may have been read when the signal came.
                    Written::Not => report.stopped = Some(BY_SIGNAL.to_owned()),
                    Written::Failed(cause) => {
                        report.stopped.get_or_insert(cause);
                        break;
                    }
                }
                progress.say(|| info!(replayed = report.replayed, of = all, "putting records back"));
            }
            next = log.next(), if reading && writing.len() < IN_FLIGHT_MAX => match next {
                Ok(Some(letter)) => {
                    if let Some(planned) = plan.remove(&letter.place) {
                        let at = pace.slot(Instant::now());
                        writing.push(async move {
                            let send = || producer.put_back(&letter, planned.source, planned.deaths);
                            let end = write(send, at, stop).await;
                            (letter.place, planned, end)
                        });
                    }
                    reading = !plan.is_empty();
                }
                Ok(None) => {
                    for (place, planned) in std::mem::take(&mut plan) {
                        report.left.add(place, &planned.code, "it was gone when its turn came: retention took it");
                    }
                    reading = false;
                }
                Err(error) => {
                    report.stopped = Some(format!("{error:#}"));
                    reading = false;
                }
            },
        }
    }
    if let Some(cause) = &mut report.stopped {
        *cause = format!("{cause}, with {} of {all} records put back", report.replayed);
    }
}

/// How the writing of one record ended.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    Acked,
    TooLarge,
    /// The run was stopped before it was acknowledged.
    Not,
    Failed(String),
}

/// Writes at `at`, and again until the broker acknowledges or refuses for good, for [`WRITE_PATIENCE`].
async fn write<F>(mut send: impl FnMut() -> F, at: Instant, stop: &CancellationToken) -> Written
where
    F: Future<Output = Result<(), ProduceError>>,
{
    let mut next = at;
    let mut first_failure = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Written::Not,
            () = tokio::time::sleep_until(next) => {}
        }
        match send().await {
            Ok(()) => return Written::Acked,
            Err(ProduceError::TooLarge { .. }) => return Written::TooLarge,
            Err(error) => {
                if first_failure.get_or_insert_with(Instant::now).elapsed() >= WRITE_PATIENCE {
                    return Written::Failed(format!(
                        "the broker has acknowledged nothing for {WRITE_PATIENCE:?}: {error}"
                    ));
                }
                warn!(%error, "writing again");
                next = Instant::now() + WRITE_RETRY_EVERY;
            }
        }
    }
}

/// When the next record may be written.
#[derive(Debug)]
struct Pace {
    step: Duration,
    next: Option<Instant>,
}

impl Pace {
    fn new(per_second: Option<u32>) -> Pace {
        Pace { step: per_second.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1)), next: None }
    }

    fn slot(&mut self, now: Instant) -> Instant {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let slot = self.next.map_or(now, |next| next.max(earliest));
        self.next = Some(slot + self.step);
        slot
    }
}

/// Says how far it came, now and then.
#[derive(Debug)]
struct Progress(Instant);

impl Default for Progress {
    fn default() -> Progress {
        Progress(Instant::now())
    }
}

impl Progress {
    fn say(&mut self, line: impl FnOnce()) {
        if self.0.elapsed() >= PROGRESS_EVERY {
            line();
            self.0 = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests;
