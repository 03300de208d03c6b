//! Ledger and spans -> one row for each task, those that something is said of first.

use std::collections::{BTreeMap, BTreeSet};

use downloader::task::{Outcome, Res, Task};
use serde::Serialize;

use super::Recorded;
use super::page::{Clock, Names, Shown};
use crate::kafka::header;
use crate::ledger::{Entry, Expected, Place, Subject, Verdict};
use crate::traces::Span;

/// Bars of one row. Who needs more retries than that shows nothing new by them.
const BARS_MAX: usize = 80;
const REQUESTS_MAX: usize = 40;

#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) subject: String,
    place: Option<String>,
    url: Option<String>,
    pub(super) marks: Vec<Mark>,
    produced: Option<f64>,
    pub(super) bars: Vec<Bar>,
    /// When the origin was asked for its URL.
    requests: Vec<f64>,
    pub(super) ends: Vec<End>,
}

/// What the verdict says of a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Mark {
    pub(super) kind: Kind,
    pub(super) why: String,
}

/// The worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Lost,
    Wrong,
    Lied,
    Late,
    SetBack,
    Recorded,
    Repeated,
    Rerun,
    Expired,
}

/// One bar: stage, index of the process, from, to, and what else there is to say.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Bar(pub(super) Stage, pub(super) Option<usize>, pub(super) f64, pub(super) f64, pub(super) String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    Waiting,
    /// All that a process did about it.
    Run,
    /// The same of one that died, or had not ended, before it could report it.
    Cut,
    Fetch,
    Thumbnail,
    GetOriginal,
    PutOriginal,
    PutThumbnail,
    Send,
    Trial,
    Management,
}

impl Bar {
    /// Whether it shows what was asked of the origin then. The origin's clock has milliseconds.
    fn covers(&self, asked: f64) -> bool {
        matches!(self.0, Stage::Run | Stage::Cut) && self.2 - 5.0 <= asked && asked <= self.3 + 5.0
    }
}

/// An outcome or a dead letter: when the broker had it, index of the process, and what it says.
#[derive(Debug, Serialize)]
pub(super) struct End(pub(super) Option<f64>, pub(super) Option<usize>, pub(super) String);

/// Every row.
pub(super) fn rows(recorded: &Recorded<'_>, clock: Clock, names: &mut Names) -> Vec<Row> {
    let mut entries = recorded.ledger.entries();
    entries.extend(of_others(recorded, &entries));
    let mut spans_of = Attributed::of(recorded, &entries);
    let row = |entry: &Entry| row(recorded, clock, names, entry, &spans_of.take(entry.subject));
    let mut rows: Vec<Row> = entries.iter().map(row).collect();
    let worst = |row: &Row| row.marks.iter().map(|mark| mark.kind).min().map_or((1, Kind::Expired), |kind| (0, kind));
    rows.sort_by(|a, b| {
        let by_time = a.produced.unwrap_or_default().total_cmp(&b.produced.unwrap_or_default());
        worst(a).cmp(&worst(b)).then(by_time)
    });
    rows
}

/// Tasks that somebody else wrote, as management does, and that only spans tell of.
fn of_others(recorded: &Recorded<'_>, known: &[Entry]) -> Vec<Entry> {
    let known: BTreeSet<Subject> = known.iter().map(|entry| entry.subject).collect();
    let mut others: BTreeMap<Subject, Entry> = BTreeMap::new();
    for span in recorded.spans.iter().filter(|span| stage(span) == Stage::Run) {
        let number = |name: &str| span.attributes.get(name).and_then(|text| text.parse::<i64>().ok());
        let id = number("messaging.message.conversation_id").and_then(|id| u64::try_from(id).ok());
        let Some(id) = id.filter(|id| !known.contains(&Subject::Task(*id))) else { continue };
        let partition = number("messaging.destination.partition.id").and_then(|number| i32::try_from(number).ok());
        let place = partition.zip(number("messaging.kafka.offset"));
        let place = place.map(|(partition, offset)| Place { partition, offset });
        let fetched = recorded.spans.iter().find(|other| other.trace_id == span.trace_id && other.name == "GET");
        let url = fetched.and_then(|fetch| fetch.attributes.get("url.full")).cloned().unwrap_or_default();
        let (target_path, target_thumbnail_path) = (String::new(), String::new());
        let task = Task { correlation_id: id, url, target_path, target_thumbnail_path };
        let entry = Entry { subject: Subject::Task(id), place, task: Some(task), expected: Expected::Any };
        others.insert(entry.subject, entry);
    }
    others.into_values().collect()
}

fn row(recorded: &Recorded<'_>, clock: Clock, names: &mut Names, entry: &Entry, spans: &[&Span]) -> Row {
    let ledger = recorded.ledger;
    let sent = spans.iter().find(|span| stage(span) == Stage::Management && span.name.starts_with("send "));
    let sent = sent.map(|span| clock.ns(span.end_ns));
    let produced = ledger.produced_ms(entry.subject).map(|at| clock.ms(at)).or(sent);
    let ends = ends(recorded, clock, names, entry);
    let path = entry.task.as_ref().and_then(|task| url::Url::parse(&task.url).ok());
    let requests = path.and_then(|url| recorded.requests.get(url.path())).map(Vec::as_slice).unwrap_or_default();
    let requests: Vec<f64> = requests.iter().take(REQUESTS_MAX).map(|at| clock.ms(*at)).collect();

    let mut bars: Vec<Bar> = spans.iter().map(|span| bar(span, clock, names)).collect();
    bars.extend(cut_short(spans, clock, names));
    let unreported = requests.iter().filter(|asked| !bars.iter().any(|bar| bar.covers(**asked)));
    let unreported: Vec<Bar> =
        unreported.filter_map(|asked| unreported_since(*asked, recorded, clock, names)).collect();
    bars.extend(unreported);
    let begun = bars.iter().filter(|bar| bar.0 != Stage::Management).map(|bar| bar.2);
    let begun = begun.chain(requests.first().copied()).reduce(f64::min);
    let ended = ends.iter().filter_map(|end| end.0).reduce(f64::min);
    let until = begun.or(ended).unwrap_or_else(|| clock.ms(recorded.now_ms));
    if let Some(produced) = produced.filter(|produced| *produced < until) {
        bars.push(Bar(Stage::Waiting, None, produced, until, String::new()));
    }
    bars.extend(waiting_again(&bars, ended, clock.ms(recorded.now_ms)));
    // What holds others comes before them.
    bars.sort_by(|a, b| a.2.total_cmp(&b.2).then(b.3.total_cmp(&a.3)));
    bars.truncate(BARS_MAX);
    Row {
        subject: entry.subject.to_string(),
        place: entry.place.map(|place| place.to_string()),
        url: entry.task.as_ref().map(|task| task.url.clone()),
        marks: marks(recorded.verdict, entry.subject),
        produced,
        bars,
        requests,
        ends,
    }
}

fn bar(span: &Span, clock: Clock, names: &mut Names) -> Bar {
    let error = span.attributes.get("error.type").map_or("failed", String::as_str);
    let mut note = if span.failed { format!("FAILED: {error}") } else { String::new() };
    let stage = stage(span);
    if stage == Stage::Management {
        note = format!("{} {note}", span.name);
    } else if let Some(status) = span.attributes.get("http.response.status_code") {
        note = format!("HTTP {status} {note}");
    }
    let process = names.index(&span.service, &span.instance);
    Bar(stage, Some(process), clock.ns(span.start_ns), clock.ns(span.end_ns), note.trim().to_owned())
}

fn stage(span: &Span) -> Stage {
    match span.name.as_str() {
        _ if span.service.starts_with("management") => Stage::Management,
        "GET" => Stage::Fetch,
        "thumbnail" => Stage::Thumbnail,
        "get original" => Stage::GetOriginal,
        "put original" => Stage::PutOriginal,
        "put thumbnail" => Stage::PutThumbnail,
        "trial" => Stage::Trial,
        name if name.starts_with("send ") => Stage::Send,
        _ => Stage::Run,
    }
}

/// What was begun and not finished waits for the next who begins with it.
fn waiting_again(bars: &[Bar], ended: Option<f64>, now: f64) -> Vec<Bar> {
    let frames = bars.iter().filter(|bar| matches!(bar.0, Stage::Run | Stage::Cut));
    let mut frames: Vec<(f64, f64)> = frames.map(|bar| (bar.2, bar.3)).collect();
    frames.sort_by(|a, b| a.0.total_cmp(&b.0));
    // An outcome is in Kafka a little before the process knows.
    let until = ended.unwrap_or(now);
    let (mut waits, mut free) = (Vec::new(), f64::INFINITY);
    for begins in frames.iter().copied().chain([(until, until)]) {
        if free < begins.0.min(until) {
            waits.push(Bar(Stage::Waiting, None, free, begins.0.min(until), "again: it was not finished".to_owned()));
        }
        free = if free.is_finite() { free.max(begins.1) } else { begins.1 };
    }
    waits
}

/// What is said of a process that has ended and never reported the whole of its work.
fn cut_short(spans: &[&Span], clock: Clock, names: &mut Names) -> Vec<Bar> {
    let known: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    let mut begun: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for span in spans.iter().filter(|span| !matches!(stage(span), Stage::Run | Stage::Management)) {
        let Some(parent) = span.parent_id.as_deref().filter(|parent| !known.contains(parent)) else { continue };
        let process = names.index(&span.service, &span.instance);
        begun.entry(parent).or_insert((process, clock.ns(span.start_ns)));
    }
    let died = |(process, from): (usize, f64)| {
        let to = names.shown.get(process)?.to?;
        (to > from).then(|| Bar(Stage::Cut, Some(process), from, to, "it died before it had reported this".to_owned()))
    };
    begun.into_values().filter_map(died).collect()
}

/// A request for the picture that no span tells of: of the process that lived alone then, until it died or the run ended. Of
/// several nobody knows which.
fn unreported_since(asked: f64, recorded: &Recorded<'_>, clock: Clock, names: &Names) -> Option<Bar> {
    let alive = |shown: &Shown| {
        shown.run.is_some() && shown.from.is_some_and(|from| from <= asked) && shown.to.is_none_or(|to| asked <= to)
    };
    let mut living = names.shown.iter().enumerate().filter(|(_, shown)| alive(shown));
    let (process, shown) = living.next().filter(|_| living.next().is_none())?;
    let (to, note) = match shown.to {
        Some(to) => (to, "it died before it had reported this"),
        None => (clock.ms(recorded.now_ms), "not reported by the end"),
    };
    Some(Bar(Stage::Cut, Some(process), asked, to, note.to_owned()))
}

fn ends(recorded: &Recorded<'_>, clock: Clock, names: &mut Names, entry: &Entry) -> Vec<End> {
    let mut ends = Vec::new();
    for record in recorded.ledger.outcome_records(entry.subject) {
        let writer = header(&record.headers, "source.run_id").map(|run| names.index("downloader", run));
        ends.push(End(record.at_ms.map(|at| clock.ms(at)), writer, said(&record.outcome)));
    }
    for letter in entry.place.into_iter().flat_map(|place| recorded.ledger.dead_letters(place)) {
        let code = header(&letter.headers, "dead.code").unwrap_or("none");
        ends.push(End(letter.at_ms.map(|at| clock.ms(at)), None, format!("dead letter: {code}")));
    }
    ends
}

fn said(outcome: &Outcome) -> String {
    match outcome.res {
        Res::Ok => "Ok".to_owned(),
        Res::Error => format!("Error {}", outcome.code.as_deref().unwrap_or("without a code")),
    }
}

fn marks(verdict: &Verdict, subject: Subject) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut mark = |kind, why: String| marks.push(Mark { kind, why });
    if verdict.lost.contains(&subject) {
        let over = verdict.committed_over.contains(&subject);
        mark(Kind::Lost, if over { "lost, and a commit has passed it" } else { "not finished" }.to_owned());
    }
    if let Some(problems) = verdict.wrong.get(&subject) {
        mark(Kind::Wrong, problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    }
    for lie in verdict.lies.iter().filter(|lie| lie.subjects.contains(&subject)) {
        let (offset, partition) = (lie.next_offset, lie.partition);
        mark(Kind::Lied, format!("the commit of {offset} of partition {partition} called it finished"));
    }
    if verdict.late.contains(&subject) {
        mark(Kind::Late, "published by a process that had long lost its partition".to_owned());
    }
    if verdict.set_back.contains(&subject) {
        mark(Kind::SetBack, "opened again by a commit of a former owner".to_owned());
    }
    if verdict.rerun_recorded.contains(&subject) {
        mark(Kind::Recorded, "run again though a commit had recorded it as finished".to_owned());
    }
    if let Some(times) = verdict.repeated.get(&subject) {
        mark(Kind::Repeated, format!("reported {times} times"));
    }
    if let Some(requests) = verdict.rerun.get(&subject) {
        mark(Kind::Rerun, format!("fetched {requests} times"));
    }
    if verdict.expired.contains(&subject) {
        mark(Kind::Expired, "taken by retention, or gone with its topic".to_owned());
    }
    marks
}

/// Spans by the task that they are about.
struct Attributed<'a>(BTreeMap<Subject, Vec<&'a Span>>);

impl<'a> Attributed<'a> {
    /// Some spans name the task, by its id, its place, its keys or its URL; the others of a trace that is about one task alone
    /// are about that too.
    fn of(recorded: &Recorded<'a>, entries: &[Entry]) -> Attributed<'a> {
        let known = Known::of(entries);
        let mut of_trace: BTreeMap<&str, BTreeSet<Subject>> = BTreeMap::new();
        for span in recorded.spans {
            if let Some(subject) = known.subject_of(span) {
                of_trace.entry(&span.trace_id).or_default().insert(subject);
            }
        }
        let mut attributed: BTreeMap<Subject, Vec<&'a Span>> = BTreeMap::new();
        for span in recorded.spans {
            let by_trace = || {
                let subjects = of_trace.get(span.trace_id.as_str())?;
                subjects.first().copied().filter(|_| subjects.len() == 1)
            };
            if let Some(subject) = known.subject_of(span).or_else(by_trace) {
                attributed.entry(subject).or_default().push(span);
            }
        }
        Attributed(attributed)
    }

    fn take(&mut self, subject: Subject) -> Vec<&'a Span> {
        self.0.remove(&subject).unwrap_or_default()
    }
}

/// What spans call the tasks.
#[derive(Default)]
struct Known {
    ids: BTreeMap<String, Subject>,
    places: BTreeMap<Place, Subject>,
    keys: BTreeMap<String, Subject>,
    /// None: several tasks name it.
    urls: BTreeMap<String, Option<Subject>>,
}

impl Known {
    fn of(entries: &[Entry]) -> Known {
        let mut known = Known::default();
        for entry in entries {
            let subject = entry.subject;
            if let Some(place) = entry.place {
                known.places.insert(place, subject);
            }
            if let Some(task) = &entry.task {
                known.ids.insert(task.correlation_id.to_string(), subject);
                known.keys.insert(task.target_path.clone(), subject);
                known.keys.insert(task.target_thumbnail_path.clone(), subject);
                // Spans show it without its query.
                let url = task.url.split(['?', '#']).next().unwrap_or_default();
                known.urls.entry(url.to_owned()).and_modify(|of| *of = None).or_insert(Some(subject));
            }
        }
        known
    }

    fn subject_of(&self, span: &Span) -> Option<Subject> {
        let attribute = |name: &str| span.attributes.get(name);
        let by_id = attribute("messaging.message.conversation_id").and_then(|id| self.ids.get(id));
        let by_key = attribute("aws.s3.key").and_then(|key| self.keys.get(key));
        let by_place = || {
            // Only the spans of the task's own record; one that is sent has a place too.
            let offset = attribute("messaging.kafka.offset").filter(|_| stage(span) == Stage::Run)?.parse().ok()?;
            let partition = attribute("messaging.destination.partition.id")?.parse().ok()?;
            self.places.get(&Place { partition, offset })
        };
        let by_url = || attribute("url.full").and_then(|url| self.urls.get(url)?.as_ref());
        by_id.or(by_key).or_else(by_place).or_else(by_url).copied()
    }
}
