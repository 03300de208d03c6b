//! Where the broker, or the container, draws a line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use downloader::progress::{METADATA_UNITS_MAX, Note, Place};
use e2e::expect::{PATIENCE, eventually};
use e2e::fixtures;
use e2e::kafka::{Api, GroupCommit};
use e2e::ledger::{Expected, Source, Verdict};
use e2e::origin::{Fault, Origin};
use e2e::sandbox::Sandbox;
use futures_util::StreamExt as _;

/// Partitions with a full map each: together more than a broker takes in one request.
const FULL_MAPS: i32 = 100;
/// Records of which every second is unfinished: their map takes nearly all of [`METADATA_UNITS_MAX`].
const MAPPED: i32 = 54_000;
/// A broker's limit of one request to commit, which is one batch of its own topic.
const REQUEST_BYTES_MAX: usize = 1 << 20;

fn commit(partition: i32, offset: i64, metadata: impl Into<String>) -> GroupCommit {
    GroupCommit { partition, offset, metadata: metadata.into() }
}

/// Claim: a broker that takes little metadata gets less of it, and the position goes on; it refuses per partition, and what it
/// refuses of one holds up no other. Fault: `offset.metadata.max.bytes=64`, and a partition with so many gaps that its map
/// doesn't fit. Verdict: the broker keeps the other partition of a refused request; the map is cut and committed; nothing that
/// was committed as finished runs again after a kill.
#[tokio::test]
async fn a_broker_that_takes_little_metadata_gets_a_shorter_map() {
    const LIMIT: usize = 64;
    const RECORDS: i64 = 960;
    let settings = [("KAFKA_OFFSET_METADATA_MAX_BYTES", "64")];
    let sandbox = Sandbox::on_a_broker_with("little_metadata", 2, &settings).await;
    let too_long = [commit(0, 0, "a".repeat(LIMIT + 1)), commit(1, 0, "b".repeat(LIMIT))];
    too_long.iter().for_each(|commit| sandbox.ledger().commits_itself(commit.clone()));
    sandbox.kafka().commit_at_once(&too_long).await.expect_err("one partition's text is too long");
    assert_eq!(sandbox.kafka().commits().await.unwrap(), [too_long[1].clone()], "the other one is kept");

    // One of four is held, and the others are not found, which is soon done.
    let missing = || Expected::Error("http_status_permanent".to_owned());
    let grey = Expected::Ok(Source::of_bytes(&fixtures::image_bytes("grey.jpg").unwrap()));
    let mut gates = Vec::new();
    for n in 0..RECORDS {
        let path = format!("/n/{n}/grey.jpg");
        let (url, expected) = if n % 4 == 1 {
            let (url, gate) = sandbox.origin().hold(&path);
            gates.push(gate);
            (url, grey.clone())
        } else {
            (sandbox.origin().fail(&path, 404, None), missing())
        };
        sandbox.produce_to(0, url.as_str(), expected).await;
    }
    let builder = || {
        let builder = sandbox.downloader().setting("PARALLEL_OPERATIONS", "1024");
        builder.setting("FETCH_PER_HOST_MAX", "256").setting("FETCH_TIMEOUT", "2m")
    };
    let victim = builder().start().await;
    victim.logs_line("the broker takes less metadata than Kafka's default").await;
    for n in 0..10 {
        sandbox.produce_to(1, sandbox.origin().url(&format!("/none/{n}")).as_str(), missing()).await;
    }
    eventually("both partitions' commits go on", 2 * PATIENCE, async || {
        let commits = sandbox.ledger().commits();
        let last = |partition| commits.iter().rev().find(|commit| commit.partition == partition && commit.is_open());
        let (Some(cut), Some(other)) = (last(0), last(1)) else { return Err("none".to_owned()) };
        let known = (0..RECORDS).filter(|offset| cut.claims(*offset)).count();
        let goes_on = other.next_offset == Some(10) && cut.next_offset == Some(1) && known > 20;
        let is_cut = i64::try_from(known).is_ok_and(|known| known < RECORDS * 3 / 4);
        if goes_on && is_cut { Ok(()) } else { Err(format!("{other:?}, {known} known of {cut:?}")) }
    })
    .evidence("its log", || victim.logs())
    .await;
    victim.kill().await;
    drop(gates);
    let _heir = builder().start().await;
    eventually("every record is finished", 2 * PATIENCE, async || sandbox.ledger().settled()).await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(Verdict::rerun_bound(1024, 1)).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, usize::try_from(RECORDS / 4).unwrap(), "{verdict}");
}

/// Claim: a hundred partitions with full maps are claimed, in requests that the broker takes. Fault: a predecessor left such
/// maps; all in one request they are refused as a whole, which is shown first. Verdict: each first commit of the heir holds its
/// predecessor's map; the proxy saw no request near the limit.
#[tokio::test]
async fn a_hundred_full_maps_are_claimed() {
    let sandbox = Sandbox::with_partitions("full_maps", FULL_MAPS).await;
    sandbox.kafka().fill(FULL_MAPS, MAPPED).await.expect("the broker takes empty records");
    let unfinished: Vec<i64> = (0..i64::from(MAPPED)).step_by(2).collect();
    let full: Vec<GroupCommit> = (0..FULL_MAPS)
        .map(|partition| {
            let names = sandbox.kafka().names();
            let place = Place { group: names.group.clone(), topic: names.tasks.clone(), partition };
            let end = i64::from(MAPPED);
            let note = Note {
                run_id: 1,
                open: false,
                strikes: 0,
                fence: 0,
                limit: end,
                anchor_ms: None,
                end,
                unfinished: unfinished.clone(),
                log_id: None,
            };
            let (text, written) = note.write(&place, 0, METADATA_UNITS_MAX, 0).expect("it fits");
            assert_eq!(written, end, "the whole map fits");
            commit(partition, 0, text)
        })
        .collect();
    let bytes: usize = full.iter().map(|commit| commit.metadata.len()).sum();
    assert!(bytes > REQUEST_BYTES_MAX, "{bytes} bytes of metadata");
    sandbox.kafka().commit_at_once(&full).await.expect_err("the broker refuses the whole request");
    assert_eq!(sandbox.kafka().commits().await.unwrap(), [], "and keeps nothing of it");
    for some in full.chunks(20) {
        some.iter().for_each(|commit| sandbox.ledger().commits_itself(commit.clone()));
        sandbox.kafka().commit_at_once(some).await.expect("the broker takes a part");
    }

    // What they hold is not the point here, only that they are claimed: one at a time is worked on.
    let heir = sandbox.downloader().by_link().memory_mib(512).setting("PARALLEL_OPERATIONS", "1").start().await;
    let claims = eventually("every partition is claimed", 4 * PATIENCE, async || {
        let mut claims = BTreeMap::new();
        for commit in sandbox.ledger().commits().into_iter().filter(|commit| commit.is_open()) {
            claims.entry(commit.partition).or_insert(commit);
        }
        let count = claims.len();
        if count == full.len() { Ok(claims) } else { Err(format!("{count} of {} are", full.len())) }
    })
    .evidence("its log", || heir.logs())
    .await;
    let peak = heir.container().peak_memory_bytes().await;
    heir.kill().await;
    for (partition, claim) in claims {
        let Ok(Some(note)) = claim.note else { panic!("{partition}: {:?}", claim.note) };
        let kept = note.end == i64::from(MAPPED) && note.unfinished.len() >= unfinished.len() - 1;
        assert!(kept, "partition {partition}: a map up to {} with {}", note.end, note.unfinished.len());
    }
    let requests = heir.link().request_bytes(Api::OffsetCommit);
    let largest = requests.iter().max().copied().unwrap_or_default();
    println!("{} requests of at most {largest} bytes; the heir held at most {} MiB", requests.len(), peak >> 20);
    assert!(requests.len() > 1 && largest < REQUEST_BYTES_MAX / 3, "{requests:?}");
    assert!(requests.iter().sum::<usize>() > REQUEST_BYTES_MAX, "{requests:?}");
}

/// Claim: ten thousand tasks taken at once, on a slow origin, fit into the memory of a small container, with budgets for
/// bytes that leave them room. Fault: the origin lets each request wait; some pictures are large, so that these budgets are
/// used up too. Verdict: ten thousand were in
/// flight at once; the kernel killed nobody; all finish. The peak is printed.
#[tokio::test]
async fn ten_thousand_tasks_at_once_fit_into_a_small_container() {
    ten_thousand_tasks("ten_thousand", 300).await;
}

/// As above, and each of them is a picture.
#[tokio::test]
#[ignore = "long mode: twenty thousand objects take minutes"]
async fn ten_thousand_pictures_at_once_fit_into_a_small_container() {
    ten_thousand_tasks("ten_thousand_pictures", usize::MAX).await;
}

/// Those after the first `pictures` are not found, since two objects each are what takes the time.
async fn ten_thousand_tasks(name: &str, pictures: usize) {
    const AT_ONCE: usize = 10_000;
    const MEMORY_MIB: i64 = 256;
    /// More than can be at work, so that there is a moment at which all ten thousand are.
    const TASKS: usize = AT_ONCE + 2_000;
    const LARGE: usize = 24;
    let sandbox = Sandbox::start(name).await;
    let (small, large) = (fixtures::image_bytes("grey.jpg").unwrap(), noise(4_000, 3_000));
    let expected = [&small, &large].map(|body| Expected::Ok(Source::of_bytes(body)));
    // One host may hold no more than half of what is at work.
    let mut origins = Vec::new();
    for _ in 0..4 {
        origins.push(Origin::start(SocketAddr::new(sandbox.stack().run.gateway, 0)).await.unwrap());
    }
    let produced = futures_util::stream::iter(0..TASKS).for_each_concurrent(500, async |n| {
        let origin = &origins[n % origins.len()];
        let (path, is_large) = (format!("/slow/{n}.jpg"), n % 10 == 0 && n / 10 < LARGE);
        let url = origin.serve(&path, if is_large { large.clone() } else { small.clone() });
        let status = (n >= pictures).then_some(404);
        origin.fault(&path, Fault::Late { by: Duration::from_millis(300), status });
        let expected = match status {
            Some(_) => Expected::Error("http_status_permanent".to_owned()),
            None => expected[usize::from(is_large)].clone(),
        };
        sandbox.produce_expecting(url.as_str(), expected).await;
    });
    produced.await;

    let ports: Vec<_> = origins.iter().map(|origin| origin.address().port().to_string()).collect();
    let downloader = sandbox.downloader().memory_mib(MEMORY_MIB).setting("PARALLEL_OPERATIONS", AT_ONCE.to_string());
    let downloader = downloader.setting("FETCH_PER_HOST_MAX", "64").setting("FETCH_ALLOW_PORTS", ports.join(","));
    let downloader = downloader.setting("SOURCE_BYTES_IN_FLIGHT_MAX", "48MiB").setting("DECODE_BYTES_MAX", "24MiB");
    let downloader = downloader.setting("TASK_TIMEOUT", "20m").setting("LOG_LEVEL", "error").start().await;
    let mut most = 0.0_f64;
    eventually("ten thousand are in flight at once", 2 * PATIENCE, async || {
        if let Some(code) = downloader.container().exit_code().await {
            panic!("it ended with {code}, out of memory: {}", downloader.container().ran_out_of_memory().await);
        }
        most = most.max(downloader.metric("downloader_tasks_in_flight", "").await.unwrap_or_default());
        if most >= AT_ONCE as f64 { Ok(()) } else { Err(format!("{most} at most")) }
    })
    .evidence("its log", || downloader.logs())
    .await;
    eventually("every record is finished", 20 * PATIENCE, async || match downloader.container().exit_code().await {
        Some(code) => {
            panic!("it ended with {code}, out of memory: {}", downloader.container().ran_out_of_memory().await)
        }
        None => sandbox.ledger().settled(),
    })
    .evidence("its log", || downloader.logs())
    .await;
    sandbox.committed().await;
    let peak = downloader.container().peak_memory_bytes().await;
    println!("{name}: {TASKS} tasks, the process held at most {} of {MEMORY_MIB} MiB", peak >> 20);
    assert!(!downloader.container().ran_out_of_memory().await);
    let verdict = sandbox.verdict(0).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, pictures.min(TASKS), "{verdict}");
    assert_eq!(downloader.terminate().await, 0);
}

/// A picture that can hardly be compressed.
fn noise(width: u32, height: u32) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    let picture =
        image::RgbImage::from_fn(width, height, |_, _| image::Rgb([random.u8(..), random.u8(..), random.u8(..)]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("a picture can be encoded");
    Bytes::from(bytes.into_inner())
}
