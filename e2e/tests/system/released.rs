//! The image that is released holds nothing that only tests need.

use e2e::fixtures;
use e2e::sandbox::Sandbox;

/// What a picture names that ends a test build.
const FAILPOINT: &[u8] = b"failpoint:";

/// Claim: no failpoint is compiled into the released image. Fault: pictures that end a test build, each in its own way.
/// Verdict: each becomes a thumbnail, the process lives, and its binary does not know the word; a test build does.
#[tokio::test]
async fn no_failpoint_is_in_the_released_image() {
    let sandbox = Sandbox::start("released").await;
    let downloader = sandbox.start_downloader().await;
    let grey = fixtures::image_bytes("grey.jpg").unwrap();
    let urls = ["abort", "overflow", "allocate"].map(|how| {
        let bytes = [&grey[..], FAILPOINT, how.as_bytes()].concat();
        sandbox.origin().serve(&format!("/{how}.jpg"), bytes)
    });
    sandbox.produce(&urls).await;
    sandbox.settled().await;
    let verdict = sandbox.verdict(0).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, 3, "{verdict}");
    assert_eq!(downloader.container().exit_code().await, None, "it lives");

    let knows = |binary: &[u8]| binary.windows(FAILPOINT.len()).any(|window| window == FAILPOINT);
    assert!(knows(&std::fs::read(env!("CARGO_BIN_EXE_demo")).unwrap()), "a test build is told by this");
    assert!(!knows(&downloader.container().file("/usr/local/bin/downloader").await), "the image's binary");
    assert_eq!(downloader.terminate().await, 0);
}
