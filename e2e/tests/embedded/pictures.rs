//! Every committed picture through the whole pipeline.

use std::collections::BTreeMap;

use e2e::fixtures;
use e2e::ledger::{Expected, Subject};

use crate::{downloader, world};

/// Claim: each picture of `fixtures/images` comes to what `images.json` says: its size, or its code. Fault: the hostile
/// ones themselves. Verdict: green, objects hashed, thumbnails decoded, no object of a refused picture.
#[tokio::test]
async fn every_committed_picture_comes_to_its_stated_end() {
    let world = world().await;
    let child = downloader(&world, &[]);
    let mut notes = BTreeMap::new();
    for (id, image) in (1..).zip(fixtures::images().unwrap()) {
        let expected = Expected::of_image(&image, &fixtures::image_bytes(&image.file).unwrap());
        world.produce(id, world.origin.url(&format!("/{}", image.file)), expected).await.unwrap();
        notes.insert(Subject::Task(id), image);
    }
    world.settled(|| child.log_tail()).await;
    let verdict = world.verdict(Some(0)).await.unwrap();
    let wrong: Vec<String> = verdict
        .wrong
        .iter()
        .map(|(subject, problems)| format!("{} ({}): {problems:?}", notes[subject].file, notes[subject].note))
        .collect();
    assert!(verdict.is_green(), "{verdict}\n{}", wrong.join("\n"));
    assert!(verdict.orphans.is_empty(), "objects of refused pictures: {verdict}");
    for (subject, image) in &notes {
        let (Subject::Task(id), Some(alpha)) = (subject, image.alpha) else { continue };
        let thumbnail = world.ledger.object(&format!("thumbnails/{id}")).unwrap();
        let expected = if alpha { "image/png" } else { "image/jpeg" };
        assert_eq!(thumbnail.content_type.as_deref(), Some(expected), "{} ({})", image.file, image.note);
    }
}

/// Claim: what is larger than allowed is refused while it streams. Fault: an origin without end and without a length.
#[tokio::test]
async fn a_picture_without_end_is_refused_at_the_limit() {
    let world = world().await;
    let child = downloader(&world, &[("SOURCE_BYTES_MAX", "1MiB")]);
    let url = world.origin.fault("/endless.jpg", e2e::origin::Fault::Endless);
    world.produce(1, url, Expected::Error("body_too_large".into())).await.unwrap();
    world.settled(|| child.log_tail()).await;
    let verdict = world.verdict(Some(0)).await.unwrap();
    verdict.assert_green();
    assert!(verdict.orphans.is_empty(), "{verdict}");
}
