//! The data hold what a reader has to see, and nothing that a stranger named gets out of them.

use downloader::error::Code;
use downloader::progress::Note;
use downloader::task::Task;

use super::page::{Page, TASKS_MAX, page};
use super::rows::{Kind, Stage};
use super::*;
use crate::expect::unix_ms;
use crate::fault_book::Faults;
use crate::kafka::{CommitRecord, OutcomeRecord};
use crate::ledger::{Expected, Place};

const RUN: u64 = 0xabc;

/// A ledger with tasks at offsets 0, 1, … of partition 0, and the spans of one downloader, which started with the first.
struct Run {
    ledger: Ledger,
    start_ms: i64,
    spans: Vec<Span>,
    faults: Faults,
    requests: BTreeMap<String, Vec<i64>>,
    died_ms: Option<i64>,
}

fn url(id: u64) -> String {
    format!("http://127.0.0.1:1/n/{id}/grey.jpg")
}

fn run(tasks: u64) -> Run {
    let (ledger, start_ms) = (Ledger::new(None), unix_ms());
    for id in 0..tasks {
        let (target_path, target_thumbnail_path) = (format!("originals/{id}"), format!("thumbnails/{id}"));
        let task = Task { correlation_id: id, url: url(id), target_path, target_thumbnail_path };
        let place = Place { partition: 0, offset: i64::try_from(id).unwrap() };
        ledger.produced_task(task, Some(place), Expected::Error("total_timeout".into()));
    }
    let (spans, faults, requests, died_ms) = (Vec::new(), Faults::default(), BTreeMap::new(), None);
    Run { ledger, start_ms, spans, faults, requests, died_ms }
}

impl Run {
    /// A span of the downloader `(id, parent)` in milliseconds since the start.
    fn span(&mut self, ids: (&str, Option<&str>), name: &str, attribute: (&str, &str), (from, to): (u64, u64)) {
        let start = u64::try_from(self.start_ms).unwrap();
        self.spans.push(Span {
            trace_id: ids.1.unwrap_or(ids.0).to_owned(),
            span_id: ids.0.to_owned(),
            parent_id: ids.1.map(str::to_owned),
            service: "downloader".to_owned(),
            instance: format!("{RUN:016x}"),
            name: name.to_owned(),
            kind: "internal",
            links: Vec::new(),
            attributes: [(attribute.0.to_owned(), attribute.1.to_owned())].into(),
            failed: false,
            start_ns: (start + from) * 1_000_000,
            end_ns: (start + to) * 1_000_000,
        });
    }

    fn commit(&self, next_offset: i64, at_ms: i64) {
        let note = Note {
            run_id: RUN,
            open: true,
            strikes: 1,
            fence: 0,
            limit: 9,
            anchor_ms: None,
            end: next_offset,
            unfinished: Vec::new(),
            log_id: None,
        };
        let (metadata, at_ms) = (Vec::new(), self.start_ms + at_ms);
        let next_offset = Some(next_offset);
        self.ledger.saw_commit(CommitRecord { partition: 0, next_offset, metadata, note: Ok(Some(note)), at_ms });
    }

    fn finish(&self, id: u64, at_ms: i64) {
        let (key, headers, place) = (None, Vec::new(), Place { partition: 0, offset: 0 });
        let outcome = downloader::task::Outcome::error(id, 1, Code::TotalTimeout, false);
        let at_ms = Some(self.start_ms + at_ms);
        self.ledger.saw_outcome(OutcomeRecord { outcome, key, headers, place, at_ms });
    }

    fn page(&self) -> Page {
        self.recorded(page)
    }

    fn recorded<T>(&self, read: impl FnOnce(&Recorded<'_>) -> T) -> T {
        let life = Life { started_ms: Some(self.start_ms), ended_ms: self.died_ms, ..Life::default() };
        let downloader = Process { name: "downloader-1".to_owned(), run_id: Some(format!("{RUN:016x}")), life };
        read(&Recorded {
            name: "a_test",
            failed: false,
            ledger: &self.ledger,
            verdict: &self.ledger.verdict(None),
            spans: &self.spans,
            faults: &self.faults.entries(),
            processes: &[downloader],
            requests: &self.requests,
            now_ms: self.start_ms + 1000,
        })
    }
}

const ID: &str = "messaging.message.conversation_id";

#[test]
fn the_bars_of_a_task_stand_in_order_and_are_those_of_its_process() {
    let mut run = run(2);
    run.span(("p", None), "process t.urls_new", (ID, "1"), (100, 200));
    run.span(("g", Some("p")), "GET", ("http.response.status_code", "200"), (105, 150));
    run.span(("t", Some("p")), "thumbnail", ("", ""), (150, 160));
    run.span(("o", Some("p")), "put original", ("aws.s3.key", "originals/1"), (160, 170));
    run.span(("q", Some("p")), "put thumbnail", ("aws.s3.key", "thumbnails/1"), (170, 180));
    run.span(("s", Some("p")), "send t.urls_done", ("", ""), (180, 199));
    run.finish(1, 199);
    let page = run.page();
    let row = page.tasks.iter().find(|row| row.subject == "1").unwrap();
    let stages: Vec<Stage> = row.bars.iter().map(|bar| bar.0).collect();
    let expected = [Stage::Waiting, Stage::Run, Stage::Fetch, Stage::Thumbnail, Stage::PutOriginal];
    assert_eq!(stages, [&expected[..], &[Stage::PutThumbnail, Stage::Send]].concat());
    let (waiting, fetch) = (&row.bars[0], &row.bars[2]);
    assert!(waiting.3 > 0.0 && waiting.3 == row.bars[1].2, "until it began: {waiting:?}");
    assert!((fetch.3 - fetch.2 - 45.0).abs() < 0.2, "as long as the span says: {fetch:?}");
    assert_eq!(page.processes[fetch.1.unwrap()].name, "downloader-1");
    assert_eq!((fetch.4.as_str(), row.ends.len()), ("HTTP 200", 1));
    assert!(page.tasks.iter().all(|row| row.subject == "1" || row.bars.len() == 1), "the other only waits");
}

#[test]
fn work_of_a_process_that_died_ends_with_it() {
    let mut run = run(1);
    run.span(("g", Some("never arrives")), "GET", ("url.full", &url(0)), (10, 20));
    assert!(!run.page().tasks[0].bars.iter().any(|bar| bar.0 == Stage::Cut), "it lives, and may report it yet");
    run.died_ms = Some(run.start_ms + 70);
    let page = run.page();
    let cut = page.tasks[0].bars.iter().find(|bar| bar.0 == Stage::Cut).expect("a frame of its own");
    assert_eq!((cut.1, cut.3 - cut.2), (Some(0), 60.0));
    let waits: Vec<_> =
        page.tasks[0].bars.iter().filter(|bar| bar.0 == Stage::Waiting).map(|bar| (bar.2, bar.3)).collect();
    assert_eq!((waits.len(), waits[1].0), (2, cut.3), "it waits until it is begun, and again: {waits:?}");
}

#[test]
fn a_request_that_no_span_tells_of_is_the_work_of_who_lived_alone() {
    let mut run = run(2);
    run.span(("p", None), "process t.urls_new", (ID, "1"), (100, 200));
    run.requests =
        [("/n/0/grey.jpg".to_owned(), vec![run.start_ms + 30]), ("/n/1/grey.jpg".to_owned(), vec![run.start_ms + 103])]
            .into();
    let cut = |page: &Page, row: usize| {
        page.tasks[row].bars.iter().filter(|bar| bar.0 == Stage::Cut).cloned().collect::<Vec<_>>()
    };
    let page = run.page();
    assert_eq!((page.tasks[0].subject.as_str(), cut(&page, 1).len()), ("0", 0), "the other is reported");
    assert!((cut(&page, 0)[0].3 - 1000.0).abs() < 20.0, "not reported by the end: {:?}", cut(&page, 0));
    run.died_ms = Some(run.start_ms + 70);
    assert_eq!(cut(&run.page(), 0)[0].3 - cut(&run.page(), 0)[0].2, 40.0, "until it died");
    run.died_ms = Some(run.start_ms + 20);
    assert!(cut(&run.page(), 0).is_empty(), "nobody lived");
}

#[test]
fn a_task_that_management_wrote_has_a_row_of_its_own_and_no_verdict() {
    let mut run = run(0);
    run.span(("p", None), "process t.urls_new", (ID, "7"), (100, 200));
    run.span(("g", Some("p")), "GET", ("url.full", "http://127.0.0.1:1/cat.jpg"), (105, 150));
    run.span(("m", Some("p")), "send t.urls_new", ("", ""), (20, 30));
    run.spans.last_mut().unwrap().service = "management".to_owned();
    run.spans.rotate_right(1);
    run.finish(7, 199);
    let page = run.page();
    let stages: Vec<Stage> = page.tasks[0].bars.iter().map(|bar| bar.0).collect();
    assert_eq!(page.tasks[0].subject, "7");
    assert_eq!(stages, [Stage::Management, Stage::Waiting, Stage::Run, Stage::Fetch], "waiting since it was sent");
    assert_eq!((page.green, page.words.len()), (None, 0));
}

#[test]
fn a_fault_is_a_band_and_a_moment_none() {
    let run = run(1);
    let cut = run.faults.began("downloader-1: cut off from Kafka");
    run.faults.moment("downloader-1: SIGKILL");
    drop(cut);
    let lasting = run.faults.began("origin: held");
    let faults = run.page().faults;
    drop(lasting);
    let seen: Vec<_> = faults.iter().map(|fault| (fault.what.as_str(), fault.moment, fault.to.is_some())).collect();
    let expected = [
        ("downloader-1: cut off from Kafka", false, true),
        ("downloader-1: SIGKILL", true, true),
        ("origin: held", false, false),
    ];
    assert_eq!(seen, expected);
    assert!(faults[0].to > Some(faults[0].from));
}

#[test]
fn a_lie_and_what_it_was_about_are_marked_and_stand_first() {
    let run = run(3);
    run.finish(0, 10);
    run.finish(1, 10);
    run.commit(2, 20);
    run.commit(3, 30);
    run.finish(2, 40);
    let page = run.page();
    let lies: Vec<_> = page.partitions[0].commits.iter().map(|commit| (commit.offset, commit.lie.as_deref())).collect();
    assert_eq!(lies, [(Some(2), None), (Some(3), Some("2"))]);
    assert_eq!(page.tasks[0].subject, "2", "what something is said of comes first");
    assert_eq!(page.tasks[0].marks[0].kind, Kind::Lied);
    assert!(page.words.iter().any(|word| word.contains("untrue commit (I3): 3 of partition 0")), "{:?}", page.words);
}

#[test]
fn the_lost_come_before_the_repeated_and_all_before_the_others() {
    let run = run(4);
    for id in [0, 2, 3, 3] {
        run.finish(id, 10);
    }
    let page = run.page();
    let order: Vec<&str> = page.tasks.iter().map(|row| row.subject.as_str()).collect();
    assert_eq!(order, ["1", "3", "0", "2"]);
    assert_eq!((page.tasks[0].marks[0].kind, page.tasks[1].marks[0].kind), (Kind::Lost, Kind::Repeated));
}

#[test]
fn a_large_run_is_thinned_to_a_small_page_that_says_so_and_keeps_what_is_marked() {
    let mut run = run(5000);
    for id in (0..5000).filter(|id| *id != 4321) {
        run.finish(id, 10);
        let (process, fetch) = (format!("p{id}"), format!("g{id}"));
        run.span((&process, None), "process t.urls_new", (ID, &id.to_string()), (id, id + 9));
        run.span((&fetch, Some(&process)), "GET", ("", ""), (id, id + 5));
    }
    let page = run.page();
    assert!(page.tasks.len() <= TASKS_MAX && page.tasks.len() > TASKS_MAX / 2, "{}", page.tasks.len());
    assert_eq!(page.tasks[0].subject, "4321");
    assert!(page.thinned[0].contains("of 5000 tasks are shown: 1 of the 1"), "{:?}", page.thinned);
    let bytes = run.recorded(html).unwrap().len();
    assert!(bytes < 300 << 10, "{bytes} bytes");
}

#[test]
fn what_strangers_named_cannot_leave_the_data() {
    let run = run(0);
    let hostile = "http://127.0.0.1/</script><script>alert(1)</script><!--&\u{2028}@DATA@";
    let (target_path, target_thumbnail_path) = ("o".to_owned(), "t".to_owned());
    let task = Task { correlation_id: 7, url: hostile.to_owned(), target_path, target_thumbnail_path };
    run.ledger.produced_task(task, None, Expected::Any);
    run.faults.moment("</SCRIPT ><img src=x onerror=alert(1)>");
    let page = run.recorded(html).unwrap();
    let (before, after) = around_the_data();
    assert!(before.ends_with("id=\"data\">") && after.ends_with("</html>\n"), "the template has a place for them");
    let json =
        page.strip_prefix(&before).and_then(|rest| rest.strip_suffix(&after)).expect("the template is untouched");
    assert!(!json.contains(['<', '>', '&', '\u{2028}']), "{json}");
    let read: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(read["tasks"][0]["url"], hostile, "and a reader of JSON sees what there was");
    assert_eq!(read["faults"][0]["what"], "</SCRIPT ><img src=x onerror=alert(1)>");
}

/// What is drawn from the data is text to the browser too.
#[test]
fn the_page_needs_nothing_from_outside_and_makes_no_markup_of_data() {
    let page = format!("{TEMPLATE}{SCRIPT}");
    for word in
        ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "src=", "href=", "url(", "@import"]
    {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
    let named = page.matches("http-equiv").count() + page.matches("http://www.w3.org/2000/svg").count();
    assert_eq!(page.matches("http").count(), named, "an address");
}
