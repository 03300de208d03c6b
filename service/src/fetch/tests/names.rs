//! Whom a fetch reaches by a name, and whom it does not: what a name server answers, and how a URL spells its host.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::fetch::resolver::ResolveError;

/// A fetcher whose names a test answers: the first look-up by the first list, and so on, the last for ever.
fn answered_by(setup: &Setup, answers: &[&[&str]]) -> (Fetcher, Arc<AtomicUsize>) {
    let answers: Vec<Vec<IpAddr>> =
        answers.iter().map(|texts| texts.iter().map(|text| text.parse().expect("an address")).collect()).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let look_up = move |_: &str| {
        let index = counted.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        if answers[index].is_empty() { Err(ResolveError::NotFound) } else { Ok(answers[index].clone()) }
    };
    let settings = settings(&setup.origin, &[]);
    let fetcher = Fetcher::with(&settings, setup.hosts.clone(), setup.budget.clone(), |parts| Parts {
        resolver: parts.resolver.answered_by(look_up),
        timeouts: PATIENT,
        ..parts
    });
    (fetcher.expect("a fetcher"), asked)
}

fn at_name(setup: &Setup, path: &str) -> Url {
    format!("http://pictures.example:{}{path}", setup.origin.port()).parse().expect("a URL")
}

/// The rule: one forbidden answer refuses the name, wherever it stands. Who mixes them is testing which one we take.
#[tokio::test]
async fn a_name_with_one_forbidden_answer_is_not_connected_to_at_all() {
    let setup = Setup::new().await;
    setup.origin.serve("/picture", ok(b"picture"));
    for answers in [
        &["127.0.0.1", "10.0.0.1"][..],
        &["10.0.0.1", "127.0.0.1"],
        &["127.0.0.1", "::ffff:127.0.0.2"],
        &["127.0.0.1", "127.0.0.1", "fe80::1"],
        &["127.0.0.1", "64:ff9b::7f00:2"],
    ] {
        let (fetcher, _) = answered_by(&setup, &[answers]);
        let error = fetcher.fetch(&at_name(&setup, "/picture")).await.expect_err("a forbidden answer");
        assert_eq!((error.code(), error.class()), (Code::AddressForbidden, Class::Permanent), "{answers:?}: {error}");
    }
    assert_eq!(setup.origin.connections(), 0, "the allowed answer was connected to");
    let (fetcher, _) = answered_by(&setup, &[&["127.0.0.1"]]);
    assert_eq!(&fetcher.fetch(&at_name(&setup, "/picture")).await.expect("allowed").bytes()[..], b"picture");
}

/// The answer that was judged is the one connected to: there is no second look-up that could say something else.
#[tokio::test]
async fn an_answer_that_changes_is_judged_anew_for_each_connection_and_never_in_between() {
    let setup = Setup::new().await;
    let closing = answer("200 OK\r\nConnection: close\r\nContent-Length: 7", b"picture");
    setup.origin.serve("/picture", [closing, vec![Step::Close]].concat());
    let (fetcher, asked) = answered_by(&setup, &[&["127.0.0.1"], &["127.0.0.2"]]);
    fetcher.fetch(&at_name(&setup, "/picture")).await.expect("the first answer is allowed");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one look-up for one connection");
    let error = fetcher.fetch(&at_name(&setup, "/picture")).await.expect_err("the second is not");
    assert_eq!(error.code(), Code::AddressForbidden, "{error}");
    assert_eq!((asked.load(Ordering::SeqCst), setup.origin.connections()), (2, 1));
}

#[tokio::test]
async fn a_redirect_to_a_name_is_judged_by_its_answers() {
    let setup = Setup::new().await;
    let (fetcher, _) = answered_by(&setup, &[&["10.0.0.1"]]);
    let away = setup.origin.serve("/away", redirect(at_name(&setup, "/picture").as_str()));
    let error = fetcher.fetch(&away.parse().expect("a URL")).await.expect_err("forbidden");
    assert_eq!((error.code(), setup.origin.connections()), (Code::AddressForbidden, 1), "{error}");
}

#[tokio::test]
async fn a_name_without_an_answer_is_told_apart_and_may_come_back() {
    let setup = Setup::new().await;
    setup.origin.serve("/picture", ok(b"picture"));
    let (fetcher, _) = answered_by(&setup, &[&[], &["127.0.0.1"]]);
    let error = fetcher.fetch(&at_name(&setup, "/picture")).await.expect_err("no answer");
    assert_eq!((error.code(), error.class()), (Code::DnsNotFound, Class::Transient { retry_after: None }));
    fetcher.fetch(&at_name(&setup, "/picture")).await.expect("an answer");
}

/// The host that was judged is the host that is asked: once, whatever the URL looked like.
#[tokio::test]
async fn the_host_header_names_the_judged_host_and_port_once() {
    let setup = Setup::new().await;
    let port = setup.origin.port();
    setup.origin.serve("/picture", ok(b"picture"));
    let (fetcher, _) = answered_by(&setup, &[&["127.0.0.1"]]);
    for (url, host) in [
        (format!("http://0x7f.1:{port}/picture"), format!("127.0.0.1:{port}")),
        (format!("HTTP://2130706433:0{port}/x/../picture#@10.0.0.1/"), format!("127.0.0.1:{port}")),
        (format!("http:\\\\127.0.0.1:{port}\\picture"), format!("127.0.0.1:{port}")),
        (format!("http://PICTURES.example:{port}/picture"), format!("pictures.example:{port}")),
        (format!("http://pictures.example.:{port}/picture"), format!("pictures.example.:{port}")),
        (format!("http://b\u{fc}cher.example:{port}/picture"), format!("xn--bcher-kva.example:{port}")),
        (format!("http://\u{ff50}ictures\u{3002}example:{port}/picture"), format!("pictures.example:{port}")),
    ] {
        fetcher.fetch(&url.parse().expect("a URL")).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let request = setup.origin.requests().pop().expect("a request");
        let hosts: Vec<_> = request.lines().filter_map(|line| line.strip_prefix("host: ")).collect();
        assert_eq!(hosts, [host], "{url}");
        assert!(request.starts_with("GET /picture HTTP/1.1\r\n"), "{request}");
        assert!(!request.contains("cookie") && !request.contains("authorization"), "{request}");
    }
}

#[tokio::test]
async fn the_user_agent_names_a_contact_where_one_is_set() {
    let setup = Setup::with(PATIENT, &[("FETCH_USER_AGENT_CONTACT", "https://example.org/bot")]).await;
    setup.fetch(ok(b"picture")).await.expect("fetched");
    let expected = format!("user-agent: downloader/{} (+https://example.org/bot)", env!("CARGO_PKG_VERSION"));
    assert!(setup.origin.requests()[0].contains(&expected), "{:?}", setup.origin.requests());
}
