//! The demo, as a user starts it.

use std::path::Path;

use e2e::fixtures::images;
use serde_json::Value;
use tokio::process::Command;

/// Runs the demo with these arguments into `folder`; returns what it printed and its summary.
async fn demo(folder: &Path, args: &[&str]) -> (String, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    let output = command.args(args).arg("--out").arg(folder).kill_on_drop(true).output().await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{printed}\n{said}");
    let summary = std::fs::read(folder.join("summary.json")).unwrap();
    (printed, serde_json::from_slice(&summary).unwrap())
}

/// Claim: the downloader of `demo --crash` dies mid-flight, and nothing is lost. Fault: its own SIGKILL. Verdict: the demo's,
/// and the files that it promises are there: a thumbnail for each `Ok`.
#[tokio::test]
async fn the_demo_survives_its_own_crash_and_leaves_what_it_promises() {
    const COPIES: usize = 2;
    let folder = tempfile::tempdir().unwrap();
    let (printed, summary) = demo(folder.path(), &["--crash", "--copies", &COPIES.to_string()]).await;
    assert!(printed.contains("SIGKILL mid-flight: lost 0, wrong 0, repeated "), "{printed}");
    assert!(summary["rerun"].as_array().is_some_and(|rerun| !rerun.is_empty()), "the kill hit nothing\n{printed}");
    let pictures = COPIES * images().unwrap().iter().filter(|image| image.valid).count();
    assert_eq!(summary["ok"], pictures, "{printed}");
    let files = |name: &str| std::fs::read_dir(folder.path().join(name)).unwrap().count();
    assert_eq!((files("originals"), files("thumbnails")), (pictures, pictures), "{printed}");
    let sheet = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    assert_eq!(sheet.matches("<img").count(), pictures, "a contact sheet of every thumbnail");
}
