//! Records that are no tasks, and tasks that want what they must not get.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use e2e::containers::broker::KAFKA_PORT;
use e2e::containers::engine::{docker, on_engine};
use e2e::downloader::HEALTH_PORT;
use e2e::fixtures;
use e2e::ledger::{Expected, Source};
use e2e::management::{ACTUATOR_PORT, HTTP_PORT};
use e2e::name_server::Answer;
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
    let stack = sandbox.stack();
    let elsewhere = another_network(&sandbox, "trap").await;
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

/// Claim: a name gets at nothing that its answers must not name, whatever they were before or are beside (SSRF by DNS). Fault:
/// a name server on the network whose answer is another with each question, between two attempts and between two hops, or
/// mixes good and bad ones of both families; one that knows no name, and one that is silent. Verdict: each task ends with the
/// right code, no trap saw a connection, a name with good answers is fetched meanwhile, and the trap is reached by its name as
/// soon as its address is allowed.
#[tokio::test]
async fn a_name_that_changes_its_answer_gets_at_nothing() {
    let sandbox = Sandbox::start("hostile_names").await;
    let origin = sandbox.origin();
    let (here, port) = (origin.address().ip(), origin.address().port());
    let elsewhere = another_network(&sandbox, "name-trap").await;
    // One where a second attempt would go, one where a redirect would.
    let trap = Origin::start(SocketAddr::new(elsewhere, port)).await.unwrap();
    let other_trap = Origin::start(SocketAddr::new(elsewhere, 0)).await.unwrap();
    let ports = format!("{port},{}", other_trap.address().port());
    let names = sandbox.start_name_server().await;
    let downloader = || sandbox.downloader().name_server(&names).setting("FETCH_ALLOW_PORTS", &ports);
    let first = downloader().setting("FETCH_TIMEOUT", "10s").setting("TASK_TIMEOUT", "10s").start().await;
    first.wait_ready().await;

    let (good, bad) = (Answer::address(here), Answer::address(elsewhere));
    let both = |more: IpAddr| Answer::Addresses(vec![here, more]);
    let [loopback, metadata] = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(169, 254, 169, 254)].map(IpAddr::from);
    let local = IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
    let at = |name: &str, path: &str| format!("http://{name}:{port}{path}");
    let expect = async |url: &str, code: &str| sandbox.produce_expecting(url, Expected::Error(code.to_owned())).await;

    let silent = names.name(&[Answer::Silence]);
    expect(&at(&silent, "/silent/grey.jpg"), "deadline_exceeded").await;
    for answers in [
        vec![bad.clone()],
        vec![Answer::address(loopback)],
        vec![Answer::address(metadata)],
        vec![both(elsewhere)],
        vec![both(loopback)],
        vec![Answer::Addresses(vec![elsewhere, here])],
        // The address of the other family is asked for by itself.
        vec![both(local)],
        vec![both(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into())],
    ] {
        expect(&at(&names.name(&answers), "/grey.jpg"), "address_forbidden").await;
    }
    expect(&at(&names.name(&[Answer::Nothing]), "/grey.jpg"), "dns_not_found").await;
    let broken = names.name(&[good.clone(), bad.clone()]);
    origin.reset("/n/broken/grey.jpg", 10);
    expect(&at(&broken, "/n/broken/grey.jpg"), "address_forbidden").await;
    let turned = names.name(&[good.clone(), bad.clone()]);
    origin.redirect("/turned", other_trap.url("/grey.jpg").as_str().replace(&elsewhere.to_string(), &turned));
    expect(&at(&turned, "/turned"), "address_forbidden").await;
    let honest = at(&names.name(&[good]), "/n/honest/grey.jpg");
    let picture = origin.body("/n/honest/grey.jpg").expect("it is served");
    sandbox.produce_expecting(&honest, Expected::Ok(Source::of_bytes(&picture))).await;

    sandbox.settled().await;
    sandbox.committed().await;
    let verdict = sandbox.verdict(0).await;
    let log = names.log().await;
    verdict.assert_green();
    let counts =
        ["address_forbidden", "dns_not_found", "deadline_exceeded"].map(|code| verdict.errors.get(code).copied());
    assert_eq!(counts, [Some(10), Some(1), Some(1)], "{verdict}\n{log}");
    assert_eq!([&trap, &other_trap].map(Origin::connections), [0, 0], "a trap saw a connection\n{log}");
    // What changed its answer was believed at first.
    assert_eq!(["/n/broken/grey.jpg", "/turned"].map(|path| origin.requests(path).len()), [1, 1], "{log}");
    assert_eq!(first.terminate().await, 0);

    downloader().setting("FETCH_ALLOW_CIDRS", format!("{here}/32,{elsewhere}/32")).start().await;
    let trapped = at(&names.name(&[bad]), "/grey.jpg");
    let picture = trap.body("/grey.jpg").expect("the trap has a picture");
    sandbox.produce_expecting(&trapped, Expected::Ok(Source::of_bytes(&picture))).await;
    sandbox.settled().await;
    sandbox.verdict(0).await.assert_green();
    assert!(trap.connections() > 0, "the trap can be reached");
}

/// This machine's address in a network that no container of the sandbox is in.
async fn another_network(sandbox: &Sandbox, name: &'static str) -> IpAddr {
    let run = sandbox.stack().run.clone();
    on_engine(async move { run.another_network(&docker()?, name).await }).await.expect("a network is created")
}
