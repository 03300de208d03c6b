//! What is left in the bucket: of one record always one pair and its outcome, made from the original that was stored
//! first, whatever the origin serves by then.

use bytes::Bytes;
use downloader::task::Task;
use e2e::bucket::Object;
use e2e::embedded::Child;
use e2e::expect::{PATIENCE, eventually};
use e2e::fixtures;
use e2e::kafka::Headers;
use e2e::ledger::{Expected, Source, Subject, Verdict, sha256};
use e2e::origin::Gate;

use crate::{World, downloader, ok, world};

const PATH: &str = "/changing.jpg";
const ORIGINAL: &str = "originals/1";
const THUMBNAIL: &str = "thumbnails/1";

fn picture(name: &str) -> Bytes {
    fixtures::image_bytes(name).unwrap_or_else(|| panic!("fixture {name} is missing"))
}

/// Serves `name` under [`PATH`] from now on.
fn serve(world: &World, name: &str) -> Source {
    let bytes = picture(name);
    world.origin.serve(PATH, bytes.clone());
    Source::of_bytes(&bytes)
}

/// Writes task 1, which is expected to end with `source`.
async fn produce(world: &World, source: Source) {
    world.produce(1, world.origin.url(PATH), Expected::Ok(source)).await.unwrap();
}

async fn object(world: &World, key: &str) -> Object {
    world.bucket.get(key).await.unwrap().unwrap_or_else(|| panic!("there is no {key}"))
}

/// Lets a downloader store the originals of tasks `ids` and ends it before a thumbnail is put; by SIGTERM, so that the
/// group doesn't wait for it. Until the gates are dropped, no thumbnail is put.
async fn stopped_between_the_puts(world: &World, ids: std::ops::RangeInclusive<u64>) -> Vec<Gate> {
    let gates: Vec<_> = ids.clone().map(|id| world.store.hold("PUT", &format!("thumbnails/{id}"))).collect();
    let mut first = downloader(world, &[("DRAIN_TIMEOUT", "1s")]);
    for gate in &gates {
        gate.reached().await;
    }
    first.terminate().unwrap();
    first.ended().await.unwrap();
    for id in ids {
        let requests = world.store.requests(&format!("originals/{id}"));
        assert_eq!(requests, ["PUT"], "one request is enough where nothing is stored");
    }
    gates
}

/// Waits until everything is settled and committed, and judges it.
async fn settled(world: &World, heir: &Child) -> Verdict {
    world.settled(|| heir.log_tail()).await;
    world.all_committed().await;
    world.verdict(Some(Verdict::rerun_bound(256, 1))).await.unwrap()
}

/// How often an original was found and then `kind`.
async fn originals_found(child: &Child, kind: &str) -> f64 {
    child.metric("downloader_originals_found_total", &[kind]).await.unwrap()
}

/// Claim: after a crash the stored original decides. Fault: SIGKILL between the two puts, then the origin serves another
/// picture. Verdict: pair and outcome are of the first picture; the second was fetched and left no trace.
#[tokio::test]
async fn killed_between_the_puts_the_first_original_decides() {
    let world = world().await;
    let first = serve(&world, "seeding.jpg");
    produce(&world, first).await;
    let gate = world.store.hold("PUT", THUMBNAIL);
    let mut victim = downloader(&world, &[]);
    gate.reached().await;
    victim.kill().await.unwrap();
    drop(gate);
    serve(&world, "rgb8.png");
    let heir = downloader(&world, &[]);
    let verdict = settled(&world, &heir).await;
    verdict.assert_green();
    assert!(verdict.rerun.contains_key(&Subject::Task(1)), "the origin was not asked again: {verdict}");
    assert_eq!(object(&world, ORIGINAL).await.bytes, picture("seeding.jpg"));
    assert_eq!(world.store.requests(ORIGINAL)[..4], ["PUT", "PUT", "HEAD", "GET"]);
    assert_eq!(originals_found(&heir, "reused").await, 1.0);
    assert!(heir.log().iter().any(|line| line.contains("the stored original decides")), "{}", heir.log_tail());
}

/// Claim: the same once both objects are stored and only the outcome is missing. Fault: the broker goes down while the
/// origin is held, so that nothing can be reported; SIGKILL after the puts; the origin serves another picture.
#[tokio::test]
async fn killed_before_the_outcome_the_first_original_decides() {
    let world = world().await;
    let first = serve(&world, "seeding.jpg");
    let (_, gate) = world.origin.hold(PATH);
    produce(&world, first).await;
    let mut victim = downloader(&world, &[]);
    gate.reached().await;
    world.broker.down();
    gate.open();
    eventually("the thumbnail is stored", PATIENCE, async || match world.bucket.get(THUMBNAIL).await {
        Ok(Some(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .evidence("downloader", || async { victim.log_tail() })
    .await;
    victim.kill().await.unwrap();
    let before = object(&world, THUMBNAIL).await.bytes;
    world.origin.heal(PATH);
    serve(&world, "rgb8.png");
    world.broker.up();
    let heir = downloader(&world, &[]);
    settled(&world, &heir).await.assert_green();
    assert_eq!(object(&world, THUMBNAIL).await.bytes, before, "a repeat leaves the same bytes");
    assert_eq!(originals_found(&heir, "reused").await, 1.0);
}

/// Claim: of two owners of one record the one whose original is stored decides for both. Fault: a paused downloader's
/// put is held in the store until its successor, which fetched another picture, puts too; then both go on. Verdict: the
/// pair belongs together and to every outcome; both puts were made, and one of them won.
#[tokio::test]
async fn of_two_owners_at_once_one_original_decides_for_both() {
    let world = world().await;
    serve(&world, "seeding.jpg");
    produce(&world, Source::default()).await;
    let gate = world.store.hold("PUT", ORIGINAL);
    let mut zombie = downloader(&world, &[]);
    gate.reached().await;
    zombie.pause().unwrap();
    serve(&world, "rgb8.png");
    let heir = downloader(&world, &[]);
    gate.reached_by(2).await;
    gate.open();
    zombie.go_on().unwrap();
    world.settled(|| heir.log_tail()).await;
    // Its last words are said before the verdict.
    zombie.terminate().unwrap();
    zombie.ended().await.unwrap();
    settled(&world, &heir).await.assert_green();
    let puts = world.store.requests(ORIGINAL).iter().filter(|method| *method == "PUT").count();
    assert_eq!(puts, 2, "nobody may put over the other's");
}

/// Claim: a new record with the keys of an old one replaces its pair, as it did in 2020. Fault: none. Verdict: pair and
/// outcome are the new record's.
#[tokio::test]
async fn a_new_record_with_the_same_keys_replaces_the_pair() {
    let world = world().await;
    let first = serve(&world, "seeding.jpg");
    produce(&world, first).await;
    let child = downloader(&world, &[]);
    world.settled(|| child.log_tail()).await;
    world.verdict(Some(0)).await.unwrap().assert_green();

    let second = serve(&world, "rgb8.png");
    let task = Task {
        correlation_id: 2,
        url: world.origin.url(PATH).into(),
        target_path: ORIGINAL.into(),
        target_thumbnail_path: THUMBNAIL.into(),
    };
    let place = world.kafka.produce_task(&task, &Headers::new()).await.unwrap();
    world.ledger.produced_task(task, Some(place), Expected::Ok(second));
    world.settled(|| child.log_tail()).await;
    let verdict = world.verdict(None).await.unwrap();
    let wrong: Vec<_> = verdict.wrong.keys().collect();
    assert_eq!(wrong, [&Subject::Task(1)], "only the replaced one differs from its outcome: {verdict}");
    assert_eq!(object(&world, ORIGINAL).await.bytes, picture("rgb8.png"));
    assert_eq!(world.origin.requests(PATH).len(), 2, "replacing takes no other fetch");
    assert_eq!(originals_found(&child, "replaced").await, 1.0);
}

/// Claim: an object that says nothing of a record is replaced. Fault: somebody else's object lies under the key.
#[tokio::test]
async fn an_object_without_an_identity_is_replaced() {
    let world = world().await;
    world.bucket.put(ORIGINAL, &picture("grey.jpg"), "image/jpeg").await.unwrap();
    let source = serve(&world, "seeding.jpg");
    produce(&world, source).await;
    let child = downloader(&world, &[]);
    world.settled(|| child.log_tail()).await;
    world.verdict(Some(0)).await.unwrap().assert_green();
    assert_eq!(object(&world, ORIGINAL).await.bytes, picture("seeding.jpg"));
    assert_eq!(originals_found(&child, "replaced").await, 1.0);
}

/// Claim: what bears the record's name and cannot be an original decides nothing. Fault: a drain between the puts,
/// then the original is replaced by bytes that are not those of its metadata, or by what is no picture. Verdict: pair
/// and outcome are what the origin serves now.
#[tokio::test]
async fn a_stored_original_that_is_none_decides_nothing() {
    let forged = [(1, picture("grey.jpg"), sha256(b"others")), (2, "no picture".into(), sha256(b"no picture"))];
    let world = world().await;
    serve(&world, "seeding.jpg");
    for (id, ..) in &forged {
        let source = Source::of_bytes(&picture("rgb8.png"));
        world.produce(*id, world.origin.url(PATH), Expected::Ok(source)).await.unwrap();
    }
    let gates = stopped_between_the_puts(&world, 1..=2).await;
    for (id, bytes, stated) in &forged {
        let key = format!("originals/{id}");
        let record = object(&world, &key).await.metadata.remove("record").expect("an identity");
        let headers = [("x-amz-meta-record", record.as_str()), ("x-amz-meta-source-sha256", stated)];
        world.bucket.put_with(&key, bytes, "image/jpeg", &headers).await.unwrap();
    }
    drop(gates);
    serve(&world, "rgb8.png");
    let heir = downloader(&world, &[]);
    settled(&world, &heir).await.assert_green();
    for (id, ..) in forged {
        assert_eq!(object(&world, &format!("originals/{id}")).await.bytes, picture("rgb8.png"), "task {id}");
    }
    assert_eq!(originals_found(&heir, "replaced").await, 2.0);
}

/// Claim: reading stored originals back needs no more than the budget of source bytes, and nobody waits for ever. Fault:
/// a drain between the puts of several tasks, whose pictures each take the whole budget of the heir. Verdict: all end.
#[tokio::test]
async fn originals_are_read_back_within_the_budget_of_source_bytes() {
    const TASKS: u64 = 4;
    let tight = [("SOURCE_BYTES_MAX", "1MiB"), ("SOURCE_BYTES_IN_FLIGHT_MAX", "1MiB")];
    // What follows the end of a picture belongs to its bytes and changes nothing.
    let large = |name| Bytes::from([&picture(name)[..], &vec![0; 1 << 20]].concat()).slice(..1 << 20);
    let world = world().await;
    for id in 1..=TASKS {
        let path = format!("/large/{id}");
        let url = world.origin.serve(&path, large("seeding.jpg"));
        world.produce(id, url, ok(&world, &path)).await.unwrap();
    }
    drop(stopped_between_the_puts(&world, 1..=TASKS).await);
    for id in 1..=TASKS {
        world.origin.serve(&format!("/large/{id}"), large("grey.jpg"));
    }
    let heir = downloader(&world, &tight);
    settled(&world, &heir).await.assert_green();
    assert_eq!(originals_found(&heir, "reused").await, TASKS as f64);
}

/// Claim: with `S3_CONDITIONAL_PUTS=false` an original is put over whatever is there, by one plain request. Fault: the
/// store knows no conditions; a drain between the puts; the origin changes. Verdict: pair and outcome are of the second
/// picture.
#[tokio::test]
async fn without_conditional_puts_the_last_original_stays() {
    let world = world().await;
    serve(&world, "seeding.jpg");
    produce(&world, Source::of_bytes(&picture("rgb8.png"))).await;
    drop(stopped_between_the_puts(&world, 1..=1).await);
    serve(&world, "rgb8.png");
    world.store.refuse_conditions();
    let heir = downloader(&world, &[("S3_CONDITIONAL_PUTS", "false")]);
    settled(&world, &heir).await.assert_green();
    assert_eq!(world.store.requests(ORIGINAL)[..2], ["PUT", "PUT"]);
    assert_eq!(originals_found(&heir, "reused").await, 0.0);
}

/// Claim: a store that does not know conditional puts makes the work wait, and the setting for it is named. Fault: 501
/// to every condition. Verdict: not ready, nothing decided; with the setting the work goes on.
#[tokio::test]
async fn a_store_without_conditional_puts_is_told_by_the_settings_name() {
    let world = world().await;
    world.store.refuse_conditions();
    let source = serve(&world, "seeding.jpg");
    produce(&world, source).await;
    let mut child = downloader(&world, &[("DRAIN_TIMEOUT", "2s")]);
    crate::outage::not_ready(&child, "S3_CONDITIONAL_PUTS=false").await;
    assert_eq!(world.ledger.progress(), (0, 1));
    child.terminate().unwrap();
    child.ended().await.unwrap();
    let heir = downloader(&world, &[("S3_CONDITIONAL_PUTS", "false")]);
    settled(&world, &heir).await.assert_green();
}
