//! What a death leaves in the store and in the topic of outcomes, and what a repeat makes of it.

use e2e::fixtures;
use e2e::kafka::Api;
use e2e::ledger::Subject;
use e2e::sandbox::Sandbox;

/// Claim: the stored original decides what a repeat is made of. Fault: the downloader is killed with both objects stored, once
/// with its outcome held before the broker, once with the broker's acknowledgement held; then the origin serves another
/// picture. Verdict: outcome and objects are those of the first picture, in the second case twice and equal.
#[tokio::test]
async fn the_stored_original_decides_whatever_the_origin_serves_later() {
    for (name, acknowledged) in [("outcome_held", false), ("acknowledgement_held", true)] {
        let sandbox = Sandbox::start(name).await;
        let url = sandbox.origin().serve("/changing", fixtures::image_bytes("grey.jpg").unwrap());
        let victim = sandbox.downloader().by_link().start().await;
        victim.wait_ready().await;
        let link = victim.link();
        let gate = if acknowledged { link.hold_responses(Api::Produce) } else { link.hold_requests(Api::Produce) };
        sandbox.produce(&[url]).await;
        gate.reached().await;
        assert_eq!(sandbox.bucket().list().await.unwrap().len(), 2, "both objects are stored before the outcome");
        victim.kill().await;
        drop(gate);
        sandbox.origin().serve("/changing", fixtures::image_bytes("alpha.png").unwrap());

        let _heir = sandbox.start_downloader().await;
        if acknowledged {
            sandbox.committed().await;
        }
        sandbox.settled().await;
        let verdict = sandbox.verdict(1).await;
        verdict.assert_green();
        assert_eq!(verdict.ok, 1, "{verdict}");
        let outcomes = sandbox.ledger().outcome_records(Subject::Task(1)).len();
        assert_eq!(outcomes, if acknowledged { 2 } else { 1 }, "{name}\n{verdict}");
    }
}
