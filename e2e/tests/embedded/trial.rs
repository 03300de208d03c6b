//! Suspect records in child processes: real children, a store and an origin in this process, and no Kafka.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use downloader::config::Settings;
use downloader::task::{Outcome, RecordIdentity, Res, Task};
use downloader::trial::{Bench, Decision, Evidence, Record, Verdict};
use e2e::expect::{PATIENCE, eventually};
use e2e::fixtures;
use e2e::origin::Gate;
use rustix::process::{Pid, Signal, kill_process};
use url::Url;

use crate::{World, world};

const PICTURE: &str = "grey.jpg";
const PARENT: &str = "trial::the_parent_in_the_test_of_its_death";
const PARENT_URL: &str = "TRIAL_URL";

fn bench(settings: &Settings) -> Bench {
    Bench::new(settings).with_program(env!("CARGO_BIN_EXE_demo"))
}

fn settings(world: &World) -> Settings {
    let variables = world.settings().into_iter().map(|(name, text)| (name.into(), text.into()));
    Settings::load(variables, &HashMap::new()).unwrap()
}

fn task(id: u64, url: &Url) -> Vec<u8> {
    let task = Task {
        correlation_id: id,
        url: url.to_string(),
        target_path: format!("originals/{id}"),
        target_thumbnail_path: format!("thumbnails/{id}"),
    };
    serde_json::to_vec(&task).unwrap()
}

fn record(payload: Option<&[u8]>) -> Record<'_> {
    Record {
        partition: 0,
        offset: 7,
        identity: RecordIdentity::of("urls_new", 0, 7, Some(1)),
        trace: HashMap::new(),
        payload,
    }
}

/// Serves a picture that ends the process which decodes it.
fn killer(world: &World, how: &str) -> Url {
    let bytes = [&fixtures::image_bytes(PICTURE).unwrap()[..], b"failpoint:", how.as_bytes()].concat();
    world.origin.serve(&format!("/{how}.jpg"), bytes)
}

fn outcome(decision: Decision) -> Outcome {
    match decision {
        Decision::Outcome(outcome, _) => outcome,
        Decision::DeadLetter(error) => panic!("a dead letter: {error}"),
    }
}

fn assert_ok(verdict: Verdict) -> Outcome {
    let Verdict::Decided(decision) = verdict else { panic!("{verdict:?}") };
    let outcome = outcome(decision);
    assert_eq!(outcome.res, Res::Ok, "{outcome:?}");
    outcome
}

/// The process that holds the other end of a connection to `origin`: the child that a held request came from.
fn process_behind(peer: SocketAddr, origin: SocketAddr) -> Option<Pid> {
    // Both ends: connections elsewhere, also those that lately ended, may have the same port on this side.
    let ends = [peer, origin].map(|address| format!(":{:04X}", address.port()));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let inode = columns
        .filter(|columns| columns[1].ends_with(&ends[0]) && columns[2].ends_with(&ends[1]))
        .find_map(|columns| Some(*columns.get(9)?))?;
    let socket = PathBuf::from(format!("socket:[{inode}]"));
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let holds = |id: &i32| {
        let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        open.into_iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == socket))
    };
    ids.into_iter().find(holds).and_then(Pid::from_raw)
}

/// The child whose request number `nth` for `path` is held.
async fn held(world: &World, path: &str, nth: usize) -> Pid {
    eventually("a child asks the origin", PATIENCE, async || {
        let request = world.origin.requests(path).into_iter().nth(nth - 1);
        let request = request.ok_or("no request")?;
        process_behind(request.peer, world.origin.address()).ok_or_else(|| format!("nobody holds {}", request.peer))
    })
    .await
}

/// Waits until no such process runs any more; a zombie does not run, but somebody has yet to reap it.
async fn ended(id: Pid, reaped: bool) {
    eventually("the child has ended", PATIENCE, async || match fs::read_to_string(format!("/proc/{id}/stat")) {
        Err(_) => Ok(()),
        Ok(stat) if !reaped && stat.contains(") Z ") => Ok(()),
        Ok(stat) => Err(stat),
    })
    .await;
}

fn hold(world: &World, path: &str) -> (Url, Gate) {
    world.origin.serve(path, fixtures::image_bytes(PICTURE).unwrap());
    world.origin.hold(path)
}

/// Claim: a child decides as the process itself would: a picture is stored and `Ok`, a refused one an `Error`, what is no
/// task a dead letter. Fault: none. States what a child costs.
#[tokio::test]
async fn a_child_decides_every_kind_of_record() {
    const CHILDREN: u32 = 20;
    let world = world().await;
    let bench = bench(&settings(&world));
    let url = world.origin.url(&format!("/{PICTURE}"));
    let payload = task(1, &url);
    let outcome_1 = assert_ok(bench.try_record(&record(Some(&payload)), || false).await);
    assert_eq!((outcome_1.correlation_id, outcome_1.attempts), (1, Some(1)));
    let stored = world.bucket.list().await.unwrap();
    assert_eq!(stored.len(), 2, "{stored:?}");

    let refused = task(2, &"ftp://127.0.0.1/".parse().unwrap());
    let (id, evidence) = bench.start(&record(Some(&refused))).unwrap().ended().await;
    let Evidence::Decided(decision) = evidence else { panic!("{evidence:?}") };
    assert_eq!((id, outcome(decision).code.as_deref()), (Some(2), Some("url_scheme_refused")));

    let cases: [(Option<&[u8]>, _, _); 3] = [
        (None, "no_payload", None),
        (Some(b"\xff"), "not_json", None),
        (Some(b"{\"correlation_id\":3}"), "field_missing", Some(3)),
    ];
    for (payload, code, expected) in cases {
        let began = Instant::now();
        let (id, evidence) = bench.start(&record(payload)).unwrap().ended().await;
        let Evidence::Decided(Decision::DeadLetter(error)) = evidence else { panic!("{evidence:?}") };
        assert_eq!(
            (error.code.as_str(), error.correlation_id, id),
            (code, expected, expected),
            "{:?}",
            began.elapsed()
        );
    }
    let began = Instant::now();
    for _ in 0..CHILDREN {
        bench.start(&record(None)).unwrap().ended().await;
    }
    eprintln!("{:?} a child", began.elapsed() / CHILDREN);
}

/// Claim: what ends the process that decodes it ends only children: the first proves it, the second condemns, and the id
/// is known though the parent never read the record. Fault: pictures that abort, overflow the stack, and take memory
/// without end. Verdict: the cause, and an honest record is decided afterwards by the same parent.
#[tokio::test]
async fn a_killer_is_condemned_by_its_second_child_and_the_parent_lives() {
    let world = world().await;
    let bench = bench(&settings(&world));
    for (id, how, cause) in [(1, "abort", "SIGABRT"), (2, "overflow", "SIGABRT"), (3, "allocate", "SIGABRT")] {
        let payload = task(id, &killer(&world, how));
        let (said, evidence) = bench.start(&record(Some(&payload))).unwrap().ended().await;
        assert_eq!((said, evidence), (Some(id), Evidence::Killer { cause }), "{how}");
        let verdict = bench.try_record(&record(Some(&payload)), || false).await;
        assert_eq!(verdict, Verdict::Condemned { cause, correlation_id: Some(id) }, "{how}");
        assert_eq!(world.origin.requests(&format!("/{how}.jpg")).len(), 1 + 2, "{how}: two children condemn");
    }
    assert_eq!(world.bucket.list().await.unwrap(), [].into(), "nothing may be stored");
    let honest = task(4, &world.origin.url(&format!("/{PICTURE}")));
    assert_ok(bench.try_record(&record(Some(&honest)), || false).await);
}

/// Claim: a killer's second child works alone. Fault: an honest record on trial whose origin answers late. Verdict: the
/// killer's second request comes after the honest record is through.
#[tokio::test]
async fn a_killer_gets_its_second_child_only_when_nobody_else_is_on_trial() {
    let world = world().await;
    let bench = Arc::new(bench(&settings(&world)));
    let (url, gate) = hold(&world, "/late.jpg");
    let payload = task(1, &url);
    let honest = {
        let (bench, payload) = (bench.clone(), payload.clone());
        tokio::spawn(async move { (bench.try_record(&record(Some(&payload)), || false).await, Instant::now()) })
    };
    gate.reached().await;
    let url = killer(&world, "abort");
    let (_, first) = world.origin.hold("/abort.jpg");
    let payload = task(2, &url);
    let condemned = tokio::spawn(async move { bench.try_record(&record(Some(&payload)), || false).await });
    let child = held(&world, "/abort.jpg", 1).await;
    first.open();
    ended(child, true).await;
    // Time enough for a second child, measured in children elsewhere.
    let elsewhere = self::bench(&settings(&world));
    for id in 3..6 {
        let payload = task(id, &world.origin.url(&format!("/{PICTURE}")));
        assert_ok(elsewhere.try_record(&record(Some(&payload)), || false).await);
    }
    gate.open();
    let (verdict, through) = honest.await.unwrap();
    assert_ok(verdict);
    let verdict = condemned.await.unwrap();
    assert!(matches!(verdict, Verdict::Condemned { correlation_id: Some(2), .. }), "{verdict:?}");
    let requests = world.origin.requests("/abort.jpg");
    assert_eq!(requests.len(), 2);
    assert!(requests[1].at > through, "{:?} before", through - requests[1].at);
}

/// Claim: a child that was killed from outside proves nothing, however often. Fault: SIGKILL to two children in a row,
/// while the origin holds their requests. Verdict: the record runs again and is `Ok`.
#[tokio::test]
async fn a_child_killed_from_outside_proves_nothing_and_its_record_runs_again() {
    let world = world().await;
    let bench = bench(&settings(&world));
    let (url, gate) = hold(&world, "/held.jpg");
    let payload = task(1, &url);
    let trial = tokio::spawn(async move { bench.try_record(&record(Some(&payload)), || false).await });
    for nth in [1, 2] {
        kill_process(held(&world, "/held.jpg", nth).await, Signal::KILL).unwrap();
    }
    held(&world, "/held.jpg", 3).await;
    gate.open();
    assert_ok(trial.await.unwrap());
    assert_eq!(world.origin.requests("/held.jpg").len(), 3);
}

/// Claim: a trial that is given up ends its child, which nobody has to wait for. Fault: the trial's future is dropped
/// while its child waits for the origin.
#[tokio::test]
async fn a_trial_that_is_cancelled_ends_its_child() {
    let world = world().await;
    let bench = bench(&settings(&world));
    let (url, gate) = hold(&world, "/held.jpg");
    let payload = task(1, &url);
    let trial = tokio::spawn(async move { bench.try_record(&record(Some(&payload)), || false).await });
    gate.reached().await;
    let child = held(&world, "/held.jpg", 1).await;
    trial.abort();
    ended(child, true).await;
}

/// Claim: a child does not outlive its parent. Fault: SIGKILL to a parent whose child waits for the origin.
#[tokio::test]
async fn a_child_dies_with_its_parent() {
    let world = world().await;
    let (url, gate) = hold(&world, "/held.jpg");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", PARENT, "--ignored"])
        .envs(world.settings())
        .env(PARENT_URL, url.as_str())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    gate.reached().await;
    let child = held(&world, "/held.jpg", 1).await;
    assert_ne!(child.as_raw_nonzero().get().unsigned_abs(), parent.id());
    parent.kill().unwrap();
    parent.wait().unwrap();
    ended(child, false).await;
}

#[tokio::test]
#[ignore = "the test of its death starts it"]
async fn the_parent_in_the_test_of_its_death() {
    let Ok(url) = std::env::var(PARENT_URL) else { return };
    let settings = Settings::load(std::env::vars_os(), &HashMap::new()).unwrap();
    let payload = task(1, &url.parse().unwrap());
    bench(&settings).try_record(&record(Some(&payload)), || false).await;
}

/// Claim: a child has its parent's settings wherever these came from, and no secret where others can read it. Fault: a
/// flag, and a secret in a file that is gone when the child starts. Verdict: both objects are stored, with a thumbnail
/// as the flag says; neither arguments nor environment hold the secret; the memory is limited by the budgets.
#[tokio::test]
async fn settings_from_flags_and_files_reach_the_child_and_secrets_stay_hidden() {
    const EDGE_PX: u32 = 20;
    let world = world().await;
    let secret = world.store.place().secret;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &secret).unwrap();
    let mut variables: HashMap<_, _> = world.settings().into_iter().collect();
    variables.remove("S3_SECRET").unwrap();
    variables.insert("S3_SECRET_FILE", file.path().to_str().unwrap().to_owned());
    variables.insert("DECODE_BYTES_MAX", "64MiB".to_owned());
    let flags = HashMap::from([("THUMBNAIL_EDGE_PX", EDGE_PX.to_string())]);
    let variables = variables.into_iter().map(|(name, text)| (name.into(), text.into()));
    let settings = Settings::load(variables, &flags).unwrap();
    drop(file);
    assert!(!format!("{settings:?}").contains(&secret));

    let bench = bench(&settings);
    let (url, gate) = hold(&world, "/held.jpg");
    let payload = task(1, &url);
    let trial = tokio::spawn(async move { bench.try_record(&record(Some(&payload)), || false).await });
    gate.reached().await;
    let child = held(&world, "/held.jpg", 1).await;
    let about = |what: &str| fs::read(Path::new("/proc").join(child.to_string()).join(what)).unwrap();
    assert_eq!(about("cmdline"), b"downloader\0trial\0");
    let environment = String::from_utf8_lossy(&about("environ")).into_owned();
    assert!(!environment.contains(&secret), "the secret is in the environment");
    let limits = String::from_utf8(about("limits")).unwrap();
    let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
    assert!(data.contains(&((64 + 4 * 20 + 64) << 20).to_string()), "{data}");
    gate.open();
    let outcome = assert_ok(trial.await.unwrap());
    let (width, height) = (outcome.thumbnail_width.unwrap(), outcome.thumbnail_height.unwrap());
    assert_eq!(width.max(height), EDGE_PX);
}
