//! The harness itself: it tests nothing that is stale, leaves nothing behind, and shows what it knows when a test fails.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::ListContainersOptionsBuilder;
use e2e::containers::engine::{docker, on_engine};
use e2e::containers::images::{check, source_hash};
use e2e::containers::run::{self, Owner};
use e2e::expect::{PATIENCE, eventually};
use e2e::kafka::Api;
use e2e::sandbox::{Sandbox, evidence_folder};
use e2e::store_proxy::StoreFault;

/// Claim: an image that was not built from the working tree is refused. Fault: the check expects another hash than the
/// image carries. Verdict: one line that names the image and the remedy; and the right hash passes.
#[tokio::test]
async fn a_stale_image_is_refused() {
    let sandbox = Sandbox::start("stale_image").await;
    let image = sandbox.stack().images.downloader.clone();
    let (stale, missing, current) = on_engine(async move {
        let engine = docker().unwrap();
        let current = source_hash("downloader").unwrap();
        (
            check(&engine, &image, Some("0123456789abcdef")).await.unwrap_err().to_string(),
            check(&engine, "image-pipeline/no-such-image:local", None).await.unwrap_err().to_string(),
            check(&engine, &image, Some(&current)).await,
        )
    })
    .await;
    assert!(stale.contains("is stale (built from sources ") && stale.ends_with(": run compose/prepare"), "{stale}");
    assert_eq!(missing, "the image image-pipeline/no-such-image:local is missing: run compose/prepare");
    assert!(!stale.contains('\n'), "one line: {stale}");
    current.unwrap();
}

/// Claim: what a dead run left is removed by the next one, and nobody else's. Fault: a container whose owner has ended, one
/// whose owner is alive, one that was to be kept. Verdict: the first is gone, the others aren't.
#[tokio::test]
async fn only_what_dead_runs_left_is_swept() {
    let sandbox = Sandbox::start("sweep").await;
    let image = sandbox.stack().images.downloader.clone();
    let dead: Owner = {
        let mut child = Command::new("true").spawn().unwrap();
        let alive = Owner::this_process().unwrap().to_string();
        let dead = alive.replace(&format!(":{}:", std::process::id()), &format!(":{}:", child.id()));
        child.wait().unwrap();
        dead.parse().unwrap()
    };
    let left = on_engine(async move {
        let engine = docker().unwrap();
        let alive = Owner::this_process().unwrap();
        for (run, owner, kept) in
            [("swept-dead", &dead, false), ("swept-alive", &alive, false), ("swept-kept", &dead, true)]
        {
            let labels = run::labels(run, owner, kept);
            let body = ContainerCreateBody { image: Some(image.clone()), labels: Some(labels), ..Default::default() };
            engine.create_container(None, body).await.unwrap();
        }
        run::sweep(&engine).await.unwrap();
        let mut left = Vec::new();
        for run in ["swept-dead", "swept-alive", "swept-kept"] {
            for id in containers_of(&engine, run).await {
                engine.remove_container(&id, None).await.unwrap();
                left.push(run);
            }
        }
        left
    })
    .await;
    assert_eq!(left, ["swept-alive", "swept-kept"]);
}

/// Claim: what a test does to the system stands in its book of faults without its help. Fault: a downloader is stopped and goes
/// on, is cut off and is let back, its store misbehaves and is mended, and it is killed; another is terminated. Verdict: the
/// book, in this order, with nothing open.
#[tokio::test]
async fn what_a_test_does_is_noted() {
    let sandbox = Sandbox::start("noted_faults").await;
    let victim = sandbox.downloader().by_link().by_store_proxy().start().await;
    let other = sandbox.start_downloader().await;
    victim.wait_ready().await;
    other.wait_ready().await;
    victim.pause().await;
    victim.resume().await;
    victim.link().delay(Duration::from_millis(1));
    victim.link().cut();
    victim.link().restore();
    victim.store_proxy().break_by(StoreFault::Silent);
    victim.store_proxy().heal();
    drop(victim.link().hold_requests(Api::JoinGroup));
    drop(sandbox.failpoints().hold("nowhere"));
    victim.kill().await;
    assert_eq!(other.terminate().await, 0);
    let entries = sandbox.faults().entries();
    let what: Vec<(String, bool)> = entries
        .iter()
        .map(|entry| {
            (entry.what.split_once("-downloader-").map_or(&*entry.what, |(_, rest)| rest).to_owned(), entry.is_moment())
        })
        .collect();
    let expected = [
        ("1: SIGSTOP, until SIGCONT", false),
        ("1: every frame to and from Kafka 1ms later", false),
        ("1: cut off from Kafka", false),
        ("1: the store misbehaves, Silent", false),
        ("1: JoinGroup requests held", false),
        ("failpoints: hold at nowhere", false),
        ("1: SIGKILL", true),
        ("2: SIGTERM, until it ended", false),
    ];
    assert_eq!(what, expected.map(|(what, moment)| (what.to_owned(), moment)));
    assert!(entries.iter().all(|entry| entry.ended_ms.is_some()), "{entries:?}");
}

/// Claim: a failed test shows what it knows, and a run leaves nothing behind, not even when its process is killed. Fault: a
/// test in a process of its own, which fails, and whose process is killed at its end. Verdict: the files of its evidence, and
/// what its timeline shows; and no container and no network of its run is left.
#[tokio::test]
async fn a_failed_and_killed_run_leaves_evidence_and_nothing_else() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "harness::fails_on_purpose", "--ignored", "--nocapture"])
        .env("E2E_KILLED_ON_PURPOSE", "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let owner = format!(":{}:", child.id());
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "killed, not {status}");

    let folder = evidence_folder("fails_on_purpose");
    let read =
        |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(read("topics.txt").contains("/held.jpg"), "the record");
    assert!(read("ledger.txt").contains("lost      1: 1"), "the verdict");
    assert!(read("origin.txt").contains("1 /held.jpg"), "the request");
    assert!(read("offsets.txt").contains("high: 1"), "the offsets");
    assert!(read("schedule.txt").lines().any(|line| line.ends_with("lasts  origin: /held.jpg is held")), "the fault");
    let claims = read("commits.txt").lines().filter(|line| line.contains(" open ")).count();
    assert!(claims > 0, "the commits with which a partition was claimed");
    let page = read("timeline.html");
    let data = page.split_once("id=\"data\">").and_then(|(_, rest)| rest.split_once("</script>")).expect("data").0;
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let (task, process) = (&data["tasks"][0], &data["processes"][0]);
    assert_eq!((&data["failed"], &task["marks"][0]["kind"]), (&true.into(), &"lost".into()), "{data}");
    assert_eq!((&process["name"], &data["faults"][0]["path"]), (&"downloader-1".into(), &"/held.jpg".into()), "{data}");
    assert_eq!(data["partitions"][0]["commits"][0]["writer"], 0, "a commit and the log name one run id: {data}");
    assert!(task["requests"][0].is_number() && process["from"].is_number() && process["to"].is_null(), "{data}");
    let log_of = |part: &str| {
        let logs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let log = logs.iter().find(|path| path.to_string_lossy().ends_with(part));
        std::fs::read_to_string(log.unwrap_or_else(|| panic!("no {part} in {logs:?}"))).unwrap()
    };
    assert!(log_of("downloader-1.log").contains("downloader starts"), "from the start");
    for part in ["kafka.log", "store.log"] {
        assert!(!log_of(part).is_empty(), "{part} is empty");
    }
    eventually("nothing of the run is left", PATIENCE, async || {
        let owner = owner.clone();
        let left = on_engine(async move { left_by(&docker().unwrap(), &owner).await }).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

/// Not a test of its own: the run that `a_failed_and_killed_run_leaves_evidence_and_nothing_else` looks at.
#[tokio::test]
#[ignore = "fails on purpose"]
async fn fails_on_purpose() {
    struct KilledOnPurpose;
    impl Drop for KilledOnPurpose {
        fn drop(&mut self) {
            if std::env::var_os("E2E_KILLED_ON_PURPOSE").is_some() {
                let _ = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
            }
        }
    }
    // Dropped last: after the sandbox has written its evidence.
    let _end = KilledOnPurpose;
    let sandbox = Sandbox::start("fails_on_purpose").await;
    let (url, gate) = sandbox.origin().hold("/held.jpg");
    sandbox.produce(&[url]).await;
    let _downloader = sandbox.start_downloader().await;
    gate.reached().await;
    panic!("on purpose");
}

async fn containers_of(engine: &bollard::Docker, run: &str) -> Vec<String> {
    let filters = HashMap::from([("label".to_owned(), vec![format!("image-pipeline.e2e.run={run}")])]);
    let every = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    engine.list_containers(Some(every)).await.unwrap().into_iter().filter_map(|container| container.id).collect()
}

async fn left_by(engine: &bollard::Docker, owner: &str) -> Vec<String> {
    let is_theirs = |labels: &Option<HashMap<String, String>>| {
        labels.iter().flat_map(HashMap::values).any(|value| value.contains(owner))
    };
    let every = ListContainersOptionsBuilder::new().all(true).build();
    let containers = engine.list_containers(Some(every)).await.unwrap().into_iter();
    let containers = containers.filter(|found| is_theirs(&found.labels)).filter_map(|found| found.id);
    let networks = engine.list_networks(None).await.unwrap().into_iter();
    let networks = networks.filter(|found| is_theirs(&found.labels)).filter_map(|found| found.name);
    containers.chain(networks).collect()
}
