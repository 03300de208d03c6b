//! The judging: what each record came to, compared with what it should have come to.

use std::collections::{BTreeMap, BTreeSet};

use downloader::error::Code;
use downloader::task::{Outcome, Res, Task};

use super::likeness::Likeness;
use super::{Book, Entry, Expected, Invariant, Problem, Source, Subject, Verdict, history, sha256};
use crate::bucket::Object;
use crate::kafka::{DeadLetter, Headers, header};

/// Object metadata that names the original an object was made from.
const SOURCE_SHA256: &str = "source-sha256";

pub(super) fn judge(book: &Book, bound: Option<usize>) -> Verdict {
    let mut verdict =
        Verdict { bound, strays: book.strays.clone(), commits: book.offsets.clone(), ..Verdict::default() };
    let (sharing, likeness) = (sharing(book), Likeness::default());
    for entry in book.entries.values() {
        let subject = entry.subject;
        if !book.is_finished(entry) && history::is_gone(book, entry) {
            verdict.expired.insert(subject);
            continue;
        }
        if !book.is_finished(entry) {
            verdict.lost.insert(subject);
            if committed_over(book, entry) {
                verdict.committed_over.insert(subject);
            }
            continue;
        }
        let problems = problems(book, entry, &likeness);
        if !problems.is_empty() {
            verdict.wrong.insert(subject, problems);
        }
        match book.standing(subject) {
            Some(Outcome { res: Res::Ok, .. }) => verdict.ok += 1,
            Some(outcome) => *verdict.errors.entry(code(outcome)).or_default() += 1,
            None => verdict.dead_only += 1,
        }
        if let Some(repeats) = repeats(book, entry) {
            verdict.repeated.insert(subject, repeats);
        }
        if let Some(requests) = reruns(book, entry, &sharing) {
            verdict.rerun.insert(subject, requests);
        }
    }
    let known: BTreeSet<&Subject> = book.entries.keys().collect();
    for subject in book.outcomes.keys().filter(|subject| !known.contains(subject)) {
        verdict.strays.push(format!("an outcome of {subject}, which nobody produced"));
    }
    for place in book.dead_letters.keys().filter(|place| !is_dead(book, place)) {
        verdict.strays.push(format!("a dead letter of the record at {place}, which is a task or was not produced"));
    }
    verdict.orphans = orphans(book);
    history::judge(book, &mut verdict);
    verdict
}

/// The group says that it is done with a record that is not finished: nobody will ever look at it again.
fn committed_over(book: &Book, entry: &Entry) -> bool {
    let Some(place) = entry.place else { return false };
    let here = book.offsets.iter().find(|offsets| offsets.partition == place.partition);
    here.and_then(|offsets| offsets.committed).is_some_and(|next_offset| next_offset > place.offset)
}

fn is_dead(book: &Book, place: &super::Place) -> bool {
    let entry = book.places.get(place).and_then(|subject| book.entries.get(subject));
    entry.is_some_and(|entry| matches!(entry.expected, Expected::DeadLetter { .. }))
}

fn problems(book: &Book, entry: &Entry, likeness: &Likeness) -> Vec<Problem> {
    let Some(outcome) = book.standing(entry.subject) else {
        return dead_letter_problems(book, entry);
    };
    let mut problems = Vec::new();
    let contract = |what: String| Problem::new(Invariant::Contract, what);
    match (&entry.expected, outcome.res) {
        (Expected::Ok(source), Res::Ok) => problems.extend(source_problems(source, outcome)),
        (Expected::Error(expected), Res::Error) | (Expected::DeadLetter { code: expected, .. }, Res::Error)
            if code(outcome) != *expected =>
        {
            problems.push(contract(format!("Error {} where {expected} is expected", code(outcome))));
        }
        (Expected::Ok(_), Res::Error) => {
            problems.push(contract(format!("Error {} where Ok is expected", code(outcome))));
        }
        (Expected::Error(expected) | Expected::DeadLetter { code: expected, .. }, Res::Ok) => {
            problems.push(contract(format!("Ok where Error {expected} is expected")));
        }
        _ => {}
    }
    if outcome.res == Res::Ok
        && let Some(task) = &entry.task
    {
        problems.extend(object_problems(book, task, outcome, likeness));
    }
    if let Some(code) = internal_code(book, entry.subject) {
        problems.push(contract(format!("an outcome blames the task for {code}, even if it doesn't stand")));
    }
    if !ok_outcomes_agree(book, entry.subject) {
        problems.push(Problem::new(Invariant::I5, "its Ok outcomes name different bytes"));
    }
    problems.extend(dead_letter_problems(book, entry));
    problems
}

fn source_problems(source: &Source, outcome: &Outcome) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut differ = |what: &str, expected: Option<String>, found: Option<String>| {
        if let Some(expected) = expected
            && found.as_ref() != Some(&expected)
        {
            let what = format!("{what} is {}, not {expected}", found.as_deref().unwrap_or("not stated"));
            problems.push(Problem::new(Invariant::Contract, what));
        }
    };
    differ("the source's SHA-256", source.sha256.clone(), outcome.source_sha256.clone());
    differ("the content type", source.content_type.clone(), outcome.content_type.clone());
    differ("the picture's size", source.size.map(shown), outcome.width.zip(outcome.height).map(shown));
    problems
}

/// What an `Ok` claims, compared with the objects (I2).
fn object_problems(book: &Book, task: &Task, outcome: &Outcome, likeness: &Likeness) -> Vec<Problem> {
    let mut problems = Vec::new();
    let durable = |what: String| Problem::new(Invariant::I2, what);
    let object = |key: &String| book.objects.get(key).and_then(Option::as_ref);
    let (original, thumbnail) = (object(&task.target_path), object(&task.target_thumbnail_path));
    let mut compare = |name: &str, object: Option<&Object>, sha: &Option<String>, bytes: Option<u64>| {
        let Some(object) = object else {
            problems.push(durable(format!("the {name} is missing")));
            return;
        };
        if bytes.is_some_and(|bytes| object.bytes.len() as u64 != bytes) {
            let (found, stated) = (object.bytes.len(), bytes.unwrap_or_default());
            problems.push(durable(format!("the {name} has {found} bytes, not {stated}")));
        }
        if sha.as_ref().is_some_and(|sha| sha256(&object.bytes) != *sha) {
            problems.push(durable(format!("the {name} has another SHA-256 than the outcome says")));
        }
    };
    compare("original", original, &outcome.source_sha256, outcome.source_bytes);
    compare("thumbnail", thumbnail, &outcome.thumbnail_sha256, outcome.thumbnail_bytes);
    if let (Some(original), Some(thumbnail)) = (original, thumbnail) {
        if original.content_type != outcome.content_type {
            let what = format!("the original is stored as {:?}", original.content_type);
            problems.push(Problem::new(Invariant::Contract, what));
        }
        let found = sha256(&original.bytes);
        if thumbnail.metadata.get(SOURCE_SHA256) != Some(&found) {
            problems.push(durable("mixed pair: the thumbnail was made from another original".into()));
        }
        if original.metadata.get(SOURCE_SHA256) != Some(&found) {
            problems.push(durable("the original's metadata name another SHA-256 than its bytes have".into()));
        }
        if likeness.differ(&original.bytes, &thumbnail.bytes) {
            problems.push(durable("the thumbnail shows another picture than the original".into()));
        }
        problems.extend(thumbnail_problem(book, thumbnail, outcome).map(durable));
    }
    problems
}

fn thumbnail_problem(book: &Book, thumbnail: &Object, outcome: &Outcome) -> Option<String> {
    let decoded = match image::load_from_memory(&thumbnail.bytes) {
        Ok(decoded) => (decoded.width(), decoded.height()),
        Err(error) => return Some(format!("the thumbnail cannot be decoded: {error}")),
    };
    if let Some(stated) = outcome.thumbnail_width.zip(outcome.thumbnail_height)
        && stated != decoded
    {
        return Some(format!("the thumbnail is {}, not {}", shown(decoded), shown(stated)));
    }
    let (width, height) = outcome.width.zip(outcome.height)?;
    let edge = book.thumbnail_edge_px?;
    let scale = f64::from(edge) / f64::from(width.max(height));
    let fitted = |side: u32| if scale >= 1.0 { f64::from(side) } else { (f64::from(side) * scale).max(1.0) };
    let near = |found: u32, side: u32| (f64::from(found) - fitted(side)).abs() <= 1.0;
    let fits = near(decoded.0, width) && near(decoded.1, height);
    (!fits).then(|| format!("a thumbnail of {} does not show {width}x{height} within {edge}", shown(decoded)))
}

fn dead_letter_problems(book: &Book, entry: &Entry) -> Vec<Problem> {
    let Expected::DeadLetter { code, payload, key, headers, .. } = &entry.expected else { return Vec::new() };
    let letters = entry.place.and_then(|place| book.dead_letters.get(&place));
    let mut problems: Vec<String> = Vec::new();
    for letter in letters.into_iter().flatten() {
        if letter.payload != *payload {
            problems.push("the dead letter has another payload".into());
        }
        if letter.key != *key {
            problems.push("the dead letter has another key".into());
        }
        if foreign(letter) != *headers {
            problems.push(format!("the dead letter has other headers: {:?}", foreign(letter)));
        }
        let said = header(&letter.headers, "dead.code").unwrap_or("none");
        if said != code {
            problems.push(format!("the dead letter says {said}, not {code}"));
        }
    }
    problems.into_iter().map(|what| Problem::new(Invariant::Contract, what)).collect()
}

/// The headers that were not added.
fn foreign(letter: &DeadLetter) -> Headers {
    letter.headers.iter().filter(|(name, _)| !name.starts_with("dead.")).cloned().collect()
}

/// A code that no outcome may have: our own infrastructure failed.
fn internal_code(book: &Book, subject: Subject) -> Option<String> {
    let records = book.outcomes.get(&subject).into_iter().flatten();
    let mut codes = records.filter_map(|record| record.outcome.code.clone());
    codes.find(|code| Code::INTERNAL.iter().any(|internal| internal.as_str() == code))
}

/// A repeat leaves the same bytes (I5).
fn ok_outcomes_agree(book: &Book, subject: Subject) -> bool {
    let records = book.outcomes.get(&subject).into_iter().flatten();
    let ok = records.map(|record| &record.outcome).filter(|outcome| outcome.res == Res::Ok);
    let stated: BTreeSet<_> = ok.map(|outcome| (&outcome.source_sha256, &outcome.thumbnail_sha256)).collect();
    stated.len() <= 1
}

fn repeats(book: &Book, entry: &Entry) -> Option<usize> {
    let outcomes = book.outcomes.get(&entry.subject).map_or(0, Vec::len);
    let letters = entry.place.and_then(|place| book.dead_letters.get(&place)).map_or(0, Vec::len);
    let most = outcomes.max(letters);
    (most > 1).then_some(most)
}

/// More requests than the outcome has attempts, where the URL is this task's alone.
fn reruns(book: &Book, entry: &Entry, sharing: &BTreeMap<&str, usize>) -> Option<usize> {
    let url = entry.task.as_ref()?.url.as_str();
    if sharing.get(url) != Some(&1) {
        return None;
    }
    let requests = *book.requests.get(url::Url::parse(url).ok()?.path())?;
    let attempts = book.standing(entry.subject)?.attempts.unwrap_or(1) as usize;
    (requests > attempts).then_some(requests)
}

/// How many tasks name each URL.
fn sharing(book: &Book) -> BTreeMap<&str, usize> {
    let mut sharing = BTreeMap::new();
    for task in book.entries.values().filter_map(|entry| entry.task.as_ref()) {
        *sharing.entry(task.url.as_str()).or_default() += 1;
    }
    sharing
}

/// Objects of tasks that ended in an `Error`: harmless, but somebody pays for them.
fn orphans(book: &Book) -> BTreeSet<String> {
    let failed = |entry: &&Entry| book.standing(entry.subject).is_some_and(|outcome| outcome.res == Res::Error);
    let tasks = book.entries.values().filter(failed).filter_map(|entry| entry.task.as_ref());
    let keys = tasks.flat_map(|task| [&task.target_path, &task.target_thumbnail_path]);
    let named: BTreeMap<&String, usize> =
        book.entries.values().filter_map(|entry| entry.task.as_ref()).fold(BTreeMap::new(), |mut named, task| {
            *named.entry(&task.target_path).or_default() += 1;
            *named.entry(&task.target_thumbnail_path).or_default() += 1;
            named
        });
    let alone = |key: &&String| named.get(*key) == Some(&1);
    keys.filter(|key| book.listed.contains(*key)).filter(alone).cloned().collect()
}

fn shown((width, height): (u32, u32)) -> String {
    format!("{width}x{height}")
}

fn code(outcome: &Outcome) -> String {
    outcome.code.clone().unwrap_or_else(|| "none".to_owned())
}
