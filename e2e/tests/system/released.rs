//! The image that is released holds nothing that only tests need.

use e2e::fixtures;
use e2e::sandbox::Sandbox;

/// What a picture names that ends a test build.
const FAILPOINT: &[u8] = b"failpoint:";
/// Where a test build finds the gate that it asks at its failpoints.
const GATE: &[u8] = b"FAILPOINT_GATE";

/// Claim: no failpoint is compiled into the released image. Fault: pictures that end a test build, each in its own way.
/// Verdict: each becomes a thumbnail, the process lives, and its binary does not know the
/// words; the image for tests does.
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

    let knows = |binary: &[u8], word: &[u8]| binary.windows(word.len()).any(|window| window == word);
    let test_build = sandbox.downloader().with_failpoints().start().await;
    let [released, of_tests] = [&downloader, &test_build].map(|of| of.container().file("/usr/local/bin/downloader"));
    let (released, of_tests) = tokio::join!(released, of_tests);
    for word in [FAILPOINT, GATE] {
        let name = String::from_utf8_lossy(word);
        assert!(knows(&of_tests, word), "the image for tests knows {name}, so that is what to look for");
        assert!(!knows(&released, word), "the released image knows {name}");
    }
    assert_eq!(downloader.terminate().await, 0);
}
