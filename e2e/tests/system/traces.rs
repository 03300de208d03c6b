//! What the two services tell about one picture.

use std::collections::BTreeSet;

use e2e::expect::{PATIENCE, eventually};
use e2e::sandbox::Sandbox;

/// Claim: one trace follows a picture through both languages. Fault: none. Verdict: the edges from management's request to
/// management's reading of the outcome, exactly these and in one trace with one root; the tree is printed.
#[tokio::test]
async fn one_trace_follows_a_picture_through_both_languages() {
    let sandbox = Sandbox::start("one_trace").await;
    let management = sandbox.start_management().await;
    let _downloader = sandbox.start_downloader().await;
    let id = management.submit(&sandbox.origin().url("/seeding.jpg")).await;
    management.reached(id, "ok").await;

    let names = sandbox.kafka().names();
    let request = "management: POST /api/v1/tasks".to_owned();
    let send_task = format!("management: send {}", names.tasks);
    let process_task = format!("downloader: process {}", names.tasks);
    let send_outcome = format!("downloader: send {}", names.outcomes);
    let process_outcome = format!("management: process {}", names.outcomes);
    let mut expected = BTreeSet::from([
        (request.clone(), send_task.clone()),
        (send_task.clone(), process_task.clone()),
        (process_task.clone(), send_outcome.clone()),
        (send_outcome, process_outcome.clone()),
    ]);
    for stage in ["GET", "thumbnail", "put original", "put thumbnail"] {
        expected.insert((process_task.clone(), format!("downloader: {stage}")));
    }
    // Each process exports in its own time; a span is sent after it has ended.
    let trace = eventually("the whole trace has arrived", PATIENCE, async || {
        let trace = sandbox.traces().with(|span| span.label() == process_task);
        let trace = trace.ok_or_else(|| format!("no span is called '{process_task}'"))?;
        let missing: Vec<_> = expected.difference(&trace.edges()).cloned().collect();
        if missing.is_empty() { Ok(trace) } else { Err(format!("{missing:?} are missing of\n{trace}")) }
    })
    .await;
    println!("{trace}");
    assert_eq!(trace.edges(), expected, "{trace}");
    assert_eq!(trace.roots(), [request], "{trace}");
    assert!(trace.links().contains(&(process_task, send_task)), "the downloader's span is linked too\n{trace}");
    assert!(trace.spans().iter().all(|span| !span.failed), "{trace}");
}

/// Claim: either protocol of OTLP carries the spans. Fault: none. Verdict: a downloader of each kind reports a picture.
#[tokio::test]
async fn spans_arrive_by_either_protocol() {
    let sandbox = Sandbox::start("either_protocol").await;
    let process_task = format!("process {}", sandbox.kafka().names().tasks);
    for protocol in ["grpc", "http/protobuf"] {
        let service = format!("downloader by {protocol}");
        let downloader = sandbox.downloader();
        let downloader =
            downloader.setting("OTEL_EXPORTER_OTLP_PROTOCOL", protocol).setting("OTEL_SERVICE_NAME", &service);
        let downloader = downloader.start().await;
        sandbox.produce(&[sandbox.origin().url("/grey.jpg")]).await;
        sandbox.settled().await;
        eventually(format!("a span by {protocol}"), PATIENCE, async || {
            let trace = sandbox.traces().with(|span| span.service == service && span.name == process_task);
            trace.map(drop).ok_or_else(|| format!("{} spans, none of them", sandbox.traces().spans().len()))
        })
        .evidence("its log", || downloader.logs())
        .await;
        assert_eq!(downloader.terminate().await, 0);
    }
}
