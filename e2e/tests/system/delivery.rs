//! Nothing goes wrong: a user's picture, by every part of the system.

use e2e::containers::store::{Disk, StoreKind};
use e2e::fixtures;
use e2e::kafka::Api;
use e2e::ledger::sha256;
use e2e::sandbox::Sandbox;

/// Claim: what a user submits is fetched, stored and served back. Fault: none. Verdict: both objects, read back from the
/// store, have the hashes that the outcome states, the original is the origin's picture byte for byte, and management
/// serves both with the right content type and without letting a browser guess.
#[tokio::test]
async fn a_submitted_picture_is_served() {
    let sandbox = Sandbox::start("submitted_picture").await;
    let management = sandbox.start_management().await;
    let _downloader = sandbox.start_downloader().await;
    let picture = fixtures::image_bytes("alpha.png").expect("the fixture is committed");
    let url = sandbox.origin().serve("/uploads/alpha", picture.clone());

    let id = management.submit(&url).await;
    let task = management.reached(id, "ok").await;

    let outcome = task.outcome.expect("a finished task has an outcome");
    assert_eq!((outcome.res.as_str(), outcome.description.as_str()), ("Ok", ""));
    assert_eq!(outcome.content_type.as_deref(), Some("image/png"));
    assert_eq!(outcome.source_sha256, Some(sha256(&picture)), "the outcome's hash is the picture's");
    assert_eq!(sandbox.origin().requests("/uploads/alpha").len(), 1, "fetched once");

    let keys: Vec<String> = sandbox.bucket().list().await.expect("the bucket can be listed").into_keys().collect();
    let [original_key, thumbnail_key] = &keys[..] else { panic!("two objects, not {keys:?}") };
    let original = sandbox.bucket().get(original_key).await.unwrap().expect("listed");
    let thumbnail = sandbox.bucket().get(thumbnail_key).await.unwrap().expect("listed");
    assert_eq!(original.bytes, picture, "the original is stored as it was served");
    assert_eq!(Some(sha256(&thumbnail.bytes)), outcome.thumbnail_sha256);

    let links = task.links;
    for (link, stored) in [(links.original, original), (links.thumbnail, thumbnail)] {
        let link = link.expect("a finished task links to its pictures");
        let answer = management.get(&link).await;
        assert_eq!(answer.status, 200, "{link}: {}", answer.text());
        assert_eq!(answer.body, stored.bytes, "{link}");
        assert_eq!(answer.header("content-type"), Some("image/png"), "{link}: transparency is kept");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{link}");
    }
}

/// Claim: any S3 server can take MinIO's place. Fault: the store is versitygw (the other one, where the whole ring runs on it).
/// Verdict: every committed picture becomes what it should, both objects read back; a repeat finds the original stored.
#[tokio::test]
async fn another_store_serves_as_well() {
    let other = match StoreKind::chosen().expect("the stack is up") {
        StoreKind::Minio => StoreKind::Versitygw,
        StoreKind::Versitygw => StoreKind::Minio,
    };
    let sandbox = Sandbox::on_store("another_store", other, Disk::Volume).await;
    let victim = sandbox.downloader().by_link().start().await;
    let unanswered = victim.link().hold_responses(Api::Produce);
    let pictures = fixtures::images().expect("the fixtures are committed");
    let urls: Vec<_> = pictures.iter().map(|image| sandbox.origin().url(&format!("/{}", image.file))).collect();
    sandbox.produce(&urls).await;
    unanswered.reached().await;
    victim.kill().await;
    drop(unanswered);
    let _heir = sandbox.start_downloader().await;
    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(urls.len()).await;
    verdict.assert_green();
    let valid = pictures.iter().filter(|image| image.valid).count();
    assert_eq!(verdict.ok, valid, "{verdict}");
}

/// Claim: what a user may not submit is refused at once, with a reason, and becomes no task. Fault: none. Verdict: the
/// statuses, and that nothing was written to the topic of tasks.
#[tokio::test]
async fn a_refused_submission_becomes_no_task() {
    let sandbox = Sandbox::start("refused_submission").await;
    let management = sandbox.start_management().await;
    for (url, status) in [
        ("http://blocked.example/cat.jpg", 403),
        ("http://pictures.blocked.example/cat.jpg", 403),
        ("ftp://example.com/cat.jpg", 422),
        ("no url at all", 422),
    ] {
        let answer = management.submit_text(url).await;
        assert_eq!(answer.status, status, "{url}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{url}");
    }
    let offsets = sandbox.kafka().offsets().await.expect("the offsets can be read");
    assert!(offsets.iter().all(|partition| partition.high == 0), "{offsets:?}");
}
