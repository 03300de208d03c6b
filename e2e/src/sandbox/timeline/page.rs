//! What the page shows, as its script reads it. Times are milliseconds since the first record.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rows::{self, Row};
use super::{Process, Recorded};
use crate::kafka::CommitRecord;
use crate::ledger::{Subject, Verdict};

/// Tasks that a page shows.
pub(super) const TASKS_MAX: usize = 400;
/// Commits of one partition that a page shows.
const COMMITS_MAX: usize = 400;
/// Partitions whose commits a page shows.
const PARTITIONS_MAX: usize = 8;
/// Faults that a page shows.
const FAULTS_MAX: usize = 60;

/// Where a time stands on the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) first_ms: i64,
}

impl Clock {
    pub(super) fn ms(self, unix_ms: i64) -> f64 {
        (unix_ms - self.first_ms) as f64
    }

    /// To a tenth of a millisecond: more digits only make the page longer.
    pub(super) fn ns(self, unix_ns: u64) -> f64 {
        let since_ns = i128::from(unix_ns) - i128::from(self.first_ms) * 1_000_000;
        (since_ns as f64 / 1e5).round() / 10.0
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Page {
    pub(super) name: String,
    /// When the first record was produced, in Unix milliseconds.
    first_ms: i64,
    /// When this was written.
    until: f64,
    failed: bool,
    /// None: the test wrote nothing to the ledger, which knows nothing to say then.
    pub(super) green: Option<bool>,
    pub(super) words: Vec<String>,
    ledger: String,
    /// What was left out, and by which rule.
    pub(super) thinned: Vec<String>,
    pub(super) processes: Vec<Shown>,
    pub(super) faults: Vec<Fault>,
    pub(super) partitions: Vec<Partition>,
    pub(super) tasks: Vec<Row>,
}

/// A process, or what is known of one that nobody started here.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) run: Option<String>,
    pub(super) from: Option<f64>,
    pub(super) to: Option<f64>,
    pub(super) end: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) path: Option<String>,
    pub(super) from: f64,
    /// None: it had not ended.
    pub(super) to: Option<f64>,
    pub(super) moment: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Partition {
    pub(super) partition: i32,
    pub(super) commits: Vec<Commit>,
}

#[derive(Debug, Serialize)]
pub(super) struct Commit {
    at: f64,
    pub(super) offset: Option<i64>,
    /// An index into the processes.
    writer: Option<usize>,
    open: bool,
    end: Option<i64>,
    /// Offsets that its map names as unfinished.
    unfinished: usize,
    strikes: u8,
    note: Option<&'static str>,
    /// The records that it called finished, and which were not.
    pub(super) lie: Option<String>,
}

/// Names for what spans and commits call by a run id.
pub(super) struct Names {
    pub(super) shown: Vec<Shown>,
    by_run: BTreeMap<String, usize>,
}

impl Names {
    fn of(processes: &[Process], clock: Clock) -> Names {
        let (mut shown, mut by_run) = (Vec::new(), BTreeMap::new());
        for process in processes {
            if let Some(run) = &process.run_id {
                by_run.insert(run.clone(), shown.len());
            }
            shown.push(Shown {
                name: process.name.clone(),
                run: process.run_id.clone(),
                from: process.life.started_ms.map(|at| clock.ms(at)),
                to: process.life.ended_ms.map(|at| clock.ms(at)),
                end: end_of(process),
            });
        }
        Names { shown, by_run }
    }

    /// The index of the process with this run id; of an unknown one a name is made of what it says of itself.
    pub(super) fn index(&mut self, service: &str, run: &str) -> usize {
        if let Some(known) = self.by_run.get(run) {
            return *known;
        }
        // Management's run id is not in its log; there is one of it at most.
        let container = self.shown.iter().position(|shown| shown.run.is_none() && shown.name.starts_with(service));
        let index = container.filter(|_| !service.is_empty()).unwrap_or_else(|| {
            let short: String = run.chars().take(8).collect();
            let (name, end) = (format!("{service} {short}").trim().to_owned(), String::new());
            self.shown.push(Shown { name, run: Some(run.to_owned()), from: None, to: None, end });
            self.shown.len() - 1
        });
        self.by_run.insert(run.to_owned(), index);
        index
    }
}

fn end_of(process: &Process) -> String {
    match process.life {
        life if life.out_of_memory => "killed, out of memory".to_owned(),
        life if life.ended_ms.is_none() => "runs".to_owned(),
        life => match life.exit_code {
            Some(137) => "killed by SIGKILL".to_owned(),
            Some(code) => format!("exit code {code}"),
            None => "ended".to_owned(),
        },
    }
}

pub(super) fn page(recorded: &Recorded<'_>) -> Page {
    let entries = recorded.ledger.entries();
    let produced = entries.iter().filter_map(|entry| recorded.ledger.produced_ms(entry.subject));
    // A test without a ledger has others write its tasks.
    let first_span = recorded.spans.first().and_then(|span| i64::try_from(span.start_ns / 1_000_000).ok());
    let first_ms = produced.min().or(first_span).unwrap_or(recorded.now_ms);
    let clock = Clock { first_ms };
    let mut names = Names::of(recorded.processes, clock);
    let mut thinned = Vec::new();
    let mut rows = rows::rows(recorded, clock, &mut names);
    thin_rows(&mut rows, &mut thinned);
    let partitions = partitions(recorded, clock, &mut names, &mut thinned);
    Page {
        name: recorded.name.to_owned(),
        first_ms,
        until: clock.ms(recorded.now_ms),
        failed: recorded.failed,
        green: (!entries.is_empty()).then(|| recorded.verdict.is_green()),
        words: if entries.is_empty() { Vec::new() } else { words(recorded.verdict) },
        ledger: recorded.verdict.to_string(),
        faults: faults(recorded, clock, &mut thinned),
        processes: names.shown,
        partitions,
        tasks: rows,
        thinned,
    }
}

/// All that something is said of, and of the others every so many-th.
fn thin_rows(rows: &mut Vec<Row>, thinned: &mut Vec<String>) {
    let all = rows.len();
    if all <= TASKS_MAX {
        return;
    }
    // They come first.
    let marked = rows.iter().filter(|row| !row.marks.is_empty()).count();
    let kept = marked.min(TASKS_MAX);
    let step = (all - marked).div_ceil((TASKS_MAX - kept).max(1)).max(1);
    let mut index = 0;
    rows.retain(|row| {
        let keep = if row.marks.is_empty() { (index - marked).is_multiple_of(step) } else { index < kept };
        index += 1;
        keep
    });
    rows.truncate(TASKS_MAX);
    thinned.push(format!(
        "{} of {all} tasks are shown: {kept} of the {marked} that something is said of, and of the others one in {step}.",
        rows.len()
    ));
}

fn faults(recorded: &Recorded<'_>, clock: Clock, thinned: &mut Vec<String>) -> Vec<Fault> {
    // What concerns everybody comes before what concerns one path, if not all can be shown.
    let mut entries: Vec<_> = recorded.faults.iter().collect();
    entries.sort_by_key(|entry| entry.path.is_some());
    if entries.len() > FAULTS_MAX {
        thinned.push(format!("{FAULTS_MAX} of {} faults are shown; schedule.txt has all.", entries.len()));
        entries.truncate(FAULTS_MAX);
    }
    entries.sort_by_key(|entry| entry.began_ms);
    let shown = entries.into_iter().map(|entry| Fault {
        what: entry.what.clone(),
        path: entry.path.clone(),
        from: clock.ms(entry.began_ms),
        to: entry.ended_ms.map(|at| clock.ms(at)),
        moment: entry.is_moment(),
    });
    shown.collect()
}

fn partitions(recorded: &Recorded<'_>, clock: Clock, names: &mut Names, thinned: &mut Vec<String>) -> Vec<Partition> {
    let mut of: BTreeMap<i32, Vec<Commit>> = BTreeMap::new();
    for record in recorded.ledger.commits() {
        let commit = commit(&record, recorded.verdict, clock, names);
        of.entry(record.partition).or_default().push(commit);
    }
    let all = of.len();
    let lied = |commits: &Vec<Commit>| commits.iter().any(|commit| commit.lie.is_some());
    let mut of: Vec<_> = of.into_iter().collect();
    of.sort_by_key(|(partition, commits)| (!lied(commits), *partition));
    if all > PARTITIONS_MAX {
        of.truncate(PARTITIONS_MAX);
        thinned.push(format!("Commits of {PARTITIONS_MAX} of {all} partitions are shown; commits.txt has all."));
    }
    let mut left_out = 0;
    for (_partition, commits) in &mut of {
        left_out += thin_commits(commits);
    }
    if left_out > 0 {
        thinned
            .push(format!("{left_out} commits between others of the same process are not shown; commits.txt has all."));
    }
    of.into_iter().map(|(partition, commits)| Partition { partition, commits }).collect()
}

/// Lies, and the first and last of each writer, stay; of the others every so many-th. How many went.
fn thin_commits(commits: &mut Vec<Commit>) -> usize {
    let all = commits.len();
    if all > COMMITS_MAX {
        let step = all.div_ceil(COMMITS_MAX);
        let writers: Vec<_> = commits.iter().map(|commit| commit.writer).collect();
        let differs = |index: usize, other: Option<usize>| other.and_then(|at| writers.get(at)) != writers.get(index);
        let mut index = 0;
        commits.retain(|commit| {
            let border = differs(index, index.checked_sub(1)) || differs(index, Some(index + 1));
            let keep = commit.lie.is_some() || border || index.is_multiple_of(step);
            index += 1;
            keep
        });
    }
    all - commits.len()
}

fn commit(record: &CommitRecord, verdict: &Verdict, clock: Clock, names: &mut Names) -> Commit {
    let lie = verdict.lies.iter().find(|lie| {
        (lie.partition, Some(lie.next_offset), lie.writer, lie.at_ms)
            == (record.partition, record.next_offset, record.run_id(), record.at_ms)
    });
    let note = record.note.as_ref().ok().and_then(Option::as_ref);
    Commit {
        at: clock.ms(record.at_ms),
        offset: record.next_offset,
        writer: record.run_id().map(|run| names.index("downloader", &format!("{run:016x}"))),
        open: record.is_open(),
        end: note.map(|note| note.end),
        unfinished: note.map_or(0, |note| note.unfinished.len()),
        strikes: note.map_or(0, |note| note.strikes),
        note: record.note.as_ref().err().map(|distrust| distrust.as_str()),
        lie: lie.map(|lie| list(lie.subjects.iter())),
    }
}

/// The verdict in sentences.
fn words(verdict: &Verdict) -> Vec<String> {
    let errors: usize = verdict.errors.values().sum();
    let mut words = vec![format!("{} tasks ended Ok, {errors} in an Error.", verdict.ok)];
    let mut say = |count: usize, sentence: String| {
        if count > 0 {
            words.push(sentence);
        }
    };
    say(verdict.dead_only, format!("{} records were no tasks and became dead letters.", verdict.dead_only));
    let (lost, over, expired) = (&verdict.lost, &verdict.committed_over, &verdict.expired);
    let (again, late) = (&verdict.rerun_recorded, &verdict.late);
    say(lost.len(), format!("Lost, that is not finished (I1): {}.", counted(lost.iter())));
    say(over.len(), format!("Passed by a commit, so that nobody will look at them again: {}.", counted(over.iter())));
    for lie in &verdict.lies {
        let (partition, offset, subjects) = (lie.partition, lie.next_offset, counted(lie.subjects.iter()));
        say(1, format!("An untrue commit (I3): {offset} of partition {partition}, with {subjects} unfinished."));
    }
    say(again.len(), format!("Run again though a commit had recorded it as finished (I4): {}.", counted(again.iter())));
    say(late.len(), format!("Published by a process that had long lost the partition (I7): {}.", counted(late.iter())));
    say(verdict.wrong.len(), format!("Wrong (I2, I5): {}.", counted(verdict.wrong.keys())));
    say(verdict.strays.len(), format!("Found, and nobody should have written it: {}.", verdict.strays.join("; ")));
    say(expired.len(), format!("Taken by retention, or gone with its topic: {}.", counted(expired.iter())));
    let (repeated, rerun) = (&verdict.repeated, &verdict.rerun);
    say(repeated.len(), format!("Reported more than once, which is allowed: {}.", counted(repeated.keys())));
    say(rerun.len(), format!("Fetched again by a successor, which is allowed: {}.", counted(rerun.keys())));
    if verdict.lost.is_empty() && verdict.lies.is_empty() && verdict.wrong.is_empty() {
        words.push("Nothing was lost, nothing is wrong, and every commit was true.".to_owned());
    }
    words
}

/// How many, and who.
fn counted<'a>(subjects: impl ExactSizeIterator<Item = &'a Subject>) -> String {
    match subjects.len() {
        1 => format!("task {}", list(subjects)),
        count => format!("{count} tasks: {}", list(subjects)),
    }
}

fn list<'a>(subjects: impl ExactSizeIterator<Item = &'a Subject>) -> String {
    const NAMED_MAX: usize = 20;
    let more = if subjects.len() > NAMED_MAX { ", …" } else { "" };
    let named: Vec<String> = subjects.take(NAMED_MAX).map(Subject::to_string).collect();
    named.join(", ") + more
}
