//! Records that are no tasks, and tasks that want what they must not get.

use std::net::SocketAddr;

use e2e::containers::broker::KAFKA_PORT;
use e2e::containers::engine::{docker, on_engine};
use e2e::downloader::HEALTH_PORT;
use e2e::fixtures;
use e2e::ledger::{Expected, Source};
use e2e::management::{ACTUATOR_PORT, HTTP_PORT};
use e2e::origin::Origin;
use e2e::sandbox::Sandbox;

/// Claim: what is not a task stops nobody and is not lost either. Fault: every record of the golden messages that can't be
/// read, between tasks. Verdict: each is a dead letter, whole, with an `Error` outcome where its id can be read; every
/// task is finished; the commits are at the end of the log.
#[tokio::test]
async fn an_unreadable_record_stops_nobody() {
    let sandbox = Sandbox::start("unreadable").await;
    let unreadable: Vec<_> = fixtures::task_cases().unwrap().into_iter().filter(|case| !case.reads).collect();
    for (n, case) in unreadable.iter().enumerate() {
        sandbox.produce(&[sandbox.origin().url(&format!("/n/{n}/grey.jpg"))]).await;
        let code = case.code.as_deref().unwrap_or_else(|| panic!("{}: no code", case.why));
        sandbox.produce_unreadable(case.payload().unwrap().as_deref(), code, case.correlation_id).await;
    }
    let downloader = sandbox.start_downloader().await;
    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(0).await;
    verdict.assert_green();
    assert_eq!(verdict.ok, unreadable.len(), "{verdict}");
    assert_eq!(downloader.terminate().await, 0);
}

/// Claim: a task gets at nothing that is not public, by no name and no detour, though the container itself could reach
/// it. Fault: tasks for the stack's own parts, the downloader's own health port, the host at another address, and an
/// allowed origin that redirects there. Verdict: `address_forbidden` for each; the server at the forbidden address, which
/// is there for this, saw no connection; and the same server is reached as soon as its address is allowed.
#[tokio::test]
async fn a_forbidden_address_is_refused() {
    let sandbox = Sandbox::start("forbidden_address").await;
    let (stack, run) = (sandbox.stack(), sandbox.stack().run.clone());
    let elsewhere = on_engine(async move { run.another_network(&docker()?, "trap").await }).await;
    let elsewhere = elsewhere.expect("a network is created");
    let trap = Origin::start(SocketAddr::new(elsewhere, 0)).await.unwrap();
    let trapped = trap.url("/grey.jpg");
    let store = stack.store.kind;
    let ports =
        [sandbox.origin().address().port(), trap.address().port(), KAFKA_PORT, store.port(), HTTP_PORT, HEALTH_PORT];
    // Ports are no wall here, so that what is refused is refused for its address.
    let ports = ports.map(|port| port.to_string()).join(",");

    let management = sandbox.start_management().await;
    let downloader = sandbox.downloader().setting("FETCH_ALLOW_PORTS", &ports).start().await;
    downloader.wait_ready().await;
    let mut targets = vec![
        trapped.to_string(),
        sandbox.origin().redirect("/detour", trapped.as_str()).to_string(),
        format!("http://127.0.0.1:{HEALTH_PORT}/metrics"),
        format!("http://localhost:{HEALTH_PORT}/metrics"),
        format!("http://[::1]:{HEALTH_PORT}/metrics"),
        format!("http://0.0.0.0:{HEALTH_PORT}/metrics"),
        format!("http://2130706433:{HEALTH_PORT}/metrics"),
        format!("http://169.254.169.254:{HTTP_PORT}/latest/meta-data"),
    ];
    for (container, port, path) in [
        (&stack.broker.container, KAFKA_PORT, "/"),
        (&stack.store.container, store.port(), store.health_path()),
        (management.container(), HTTP_PORT, "/"),
        (management.container(), ACTUATOR_PORT, "/actuator/prometheus"),
        (downloader.container(), HEALTH_PORT, "/metrics"),
    ] {
        let (name, address) = (container.name(), container.address().await);
        let by_name = format!("http://{name}:{port}{path}");
        targets.push(sandbox.origin().redirect(&format!("/detour/to/{name}/{port}"), &*by_name).to_string());
        targets.extend([
            by_name,
            format!("http://{address}:{port}{path}"),
            format!("http://[::ffff:{address}]:{port}{path}"),
        ]);
    }
    for target in &targets {
        sandbox.produce_expecting(target, Expected::Error("address_forbidden".to_owned())).await;
    }
    sandbox.settled().await;
    let verdict = sandbox.verdict(0).await;
    verdict.assert_green();
    assert_eq!(verdict.errors.get("address_forbidden"), Some(&targets.len()), "{verdict}");
    assert_eq!(trap.connections(), 0, "the trap saw a connection");
    assert_eq!(downloader.terminate().await, 0);

    let cidrs = format!("{}/32,{elsewhere}/32", stack.run.gateway);
    let allowing = sandbox.downloader().setting("FETCH_ALLOW_PORTS", &ports).setting("FETCH_ALLOW_CIDRS", &cidrs);
    allowing.start().await;
    let body = trap.body("/grey.jpg").expect("the trap has a picture");
    sandbox.produce_expecting(trapped.as_str(), Expected::Ok(Source::of_bytes(&body))).await;
    sandbox.settled().await;
    sandbox.verdict(0).await.assert_green();
    assert!(trap.connections() > 0, "the trap can be reached");
}
