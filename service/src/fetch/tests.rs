//! Fetches from an origin on a raw socket, which can do what no HTTP library would: stop, lie, trickle, break off.

mod hostile;
mod http2;
mod lying;
mod names;
mod noted;
mod origin;
mod proxy;
mod published;
mod ring;
mod tls;

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::error::{Class, Classified, Code};
use origin::{Origin, Step};

const BUDGET: u64 = 1 << 20;
const BYTES_MAX: u64 = 100 << 10;

fn settings(origin: &Origin, more: &[(&str, &str)]) -> Settings {
    let port = origin.port().to_string();
    let mut environment = HashMap::from([
        ("FETCH_ALLOW_CIDRS", "127.0.0.1/32"),
        ("FETCH_ALLOW_PORTS", port.as_str()),
        ("SOURCE_BYTES_MAX", "100KiB"),
    ]);
    environment.extend(more.iter().copied());
    let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into()));
    Settings::load(environment, &HashMap::new()).expect("settings")
}

/// For what must not run into any of them, however busy the machine is.
const PATIENT: Timeouts = Timeouts {
    resolve: Duration::from_secs(30),
    connect: Duration::from_secs(30),
    first_byte: Duration::from_secs(30),
    idle: Duration::from_secs(30),
    pace: Duration::from_secs(30),
    pace_bytes: 1 << 10,
    total: Duration::from_secs(60),
    unused: Duration::from_secs(30),
};

struct Setup {
    origin: Origin,
    fetcher: Fetcher,
    budget: ByteBudget,
    hosts: Hosts,
}

impl Setup {
    async fn with(timeouts: Timeouts, more: &[(&str, &str)]) -> Setup {
        let origin = Origin::start().await;
        let (budget, hosts) = (ByteBudget::new(BUDGET), Hosts::new(2));
        let settings = settings(&origin, more);
        let fetcher = Fetcher::with(&settings, hosts.clone(), budget.clone(), |parts| Parts { timeouts, ..parts });
        Setup { origin, fetcher: fetcher.expect("a fetcher"), budget, hosts }
    }

    async fn new() -> Setup {
        Setup::with(PATIENT, &[]).await
    }

    /// Serves `steps` at a path and fetches it.
    async fn fetch(&self, steps: Vec<Step>) -> Result<Source, FetchError> {
        let url = self.origin.serve("/picture", steps);
        self.fetch_url(&url).await
    }

    /// Fetches, and afterwards nothing may be held but by the source.
    async fn fetch_url(&self, url: &str) -> Result<Source, FetchError> {
        let fetched = self.fetcher.fetch(&url.parse().expect("a URL")).await;
        let held = fetched.as_ref().map_or(0, |source| length(source.bytes()).div_ceil(1024) * 1024);
        assert_eq!(self.budget.held(), held, "bytes reserved after {url}");
        assert!(self.hosts.is_empty(), "a host's share is held after {url}");
        assert_eq!(self.fetcher.fetches.held(), 0, "a place is held after {url}");
        fetched
    }

    async fn code(&self, steps: Vec<Step>) -> Code {
        self.fetch(steps).await.expect_err("a failure").code()
    }
}

fn answer(head: &str, body: &[u8]) -> Vec<Step> {
    vec![Step::Send([b"HTTP/1.1 ", head.as_bytes(), b"\r\n\r\n", body].concat())]
}

fn ok(body: &[u8]) -> Vec<Step> {
    answer(&format!("200 OK\r\nContent-Length: {}", body.len()), body)
}

fn redirect(to: &str) -> Vec<Step> {
    answer(&format!("302 Found\r\nContent-Length: 0\r\nLocation: {to}"), b"")
}

#[tokio::test]
async fn a_picture_arrives_whole_with_its_hash() {
    let setup = Setup::new().await;
    let source = setup.fetch(ok(b"picture")).await.expect("fetched");
    assert_eq!(&source.bytes()[..], b"picture");
    assert_eq!(source.sha256()[..], Sha256::digest(b"picture")[..]);
    let request = setup.origin.requests().remove(0);
    for line in ["GET /picture HTTP/1.1", "accept-encoding: identity", "user-agent: downloader/", "(image-pipeline)"] {
        assert!(request.contains(line), "no '{line}' in {request}");
    }
    assert!(!request.contains("referer"), "{request}");
    drop(source);
    let all_of_it = vec![7; usize::try_from(BYTES_MAX).expect("fits")];
    assert_eq!(setup.fetch(ok(&all_of_it)).await.expect("as large as allowed").bytes(), &all_of_it);
    let chunked = answer("200 OK\r\nTransfer-Encoding: chunked", b"3\r\npic\r\n4\r\nture\r\n0\r\n\r\n");
    assert_eq!(&setup.fetch(chunked).await.expect("fetched").bytes()[..], b"picture");
    let until_closed = [answer("200 OK\r\nConnection: close", b"picture"), vec![Step::Close]].concat();
    assert_eq!(&setup.fetch(until_closed).await.expect("fetched").bytes()[..], b"picture");
}

#[tokio::test]
async fn the_query_is_asked_for_and_the_fragment_is_not() {
    let setup = Setup::new().await;
    let url = setup.origin.serve("/picture?size=2", ok(b"x"));
    setup.fetch_url(&format!("{url}#part")).await.expect("fetched");
    assert!(setup.origin.requests()[0].starts_with("GET /picture?size=2 HTTP/1.1"));
}

#[tokio::test]
async fn at_most_three_redirects_are_followed() {
    let setup = Setup::new().await;
    setup.origin.serve("/4", ok(b"picture"));
    setup.origin.serve("/3", redirect("/4"));
    setup.origin.serve("/2?secret", redirect("3"));
    let third = setup.origin.serve("/1", redirect("/2?secret"));
    let fourth = setup.origin.serve("/0", redirect(&third));
    assert_eq!(&setup.fetch_url(&third).await.expect("three redirects").bytes()[..], b"picture");
    let before = setup.origin.requests().len();
    let error = setup.fetch_url(&fourth).await.expect_err("four redirects");
    assert_eq!((error.code(), error.class()), (Code::RedirectLimit, Class::Permanent));
    assert_eq!(setup.origin.requests().len() - before, 4, "the fifth place is never asked");
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_place_is_refused_and_never_asked() {
    let setup = Setup::new().await;
    let port = setup.origin.port();
    for (to, code) in [
        (format!("http://127.0.0.2:{port}/"), Code::AddressForbidden),
        (format!("http://2130706434:{port}/"), Code::AddressForbidden),
        (format!("http://[::1]:{port}/"), Code::AddressForbidden),
        (format!("http://[::ffff:127.0.0.2]:{port}/"), Code::AddressForbidden),
        (format!("//169.254.169.254:{port}/latest"), Code::AddressForbidden),
        ("http://127.0.0.1:1/".into(), Code::RedirectRefused),
        (format!("http://user:hunter2@127.0.0.1:{port}/"), Code::RedirectRefused),
        ("ftp://127.0.0.1/".into(), Code::RedirectRefused),
        ("file:///etc/passwd".into(), Code::RedirectRefused),
        ("http://[broken".into(), Code::RedirectRefused),
    ] {
        let before = setup.origin.requests().len();
        let error = setup.fetch(redirect(&to)).await.expect_err(&to);
        assert_eq!((error.code(), error.class()), (code, Class::Permanent), "{to}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert_eq!(setup.origin.requests().len() - before, 1, "{to} was asked");
    }
    assert_eq!(setup.code(answer("302 Found\r\nContent-Length: 0", b"")).await, Code::RedirectRefused);
}

#[tokio::test]
async fn a_url_is_judged_before_anything_is_sent() {
    let setup = Setup::new().await;
    let port = setup.origin.port();
    for (url, code) in [
        (format!("http://0x7f.2:{port}/"), Code::AddressForbidden),
        (format!("http://017700000002:{port}/"), Code::AddressForbidden),
        (format!("http://[::ffff:7f00:2]:{port}/"), Code::AddressForbidden),
        (format!("http://user@127.0.0.1:{port}/"), Code::UrlCredentialsRefused),
        ("http://127.0.0.1:1/".into(), Code::UrlPortRefused),
        ("gopher://127.0.0.1/".into(), Code::UrlSchemeRefused),
    ] {
        let error = setup.fetch_url(&url).await.expect_err(&url);
        assert_eq!((error.code(), error.class()), (code, Class::Permanent), "{url}: {error}");
    }
    assert_eq!(setup.origin.requests().len(), 0);
    assert_eq!(setup.origin.connections(), 0, "not even a connection");
}

#[tokio::test]
async fn a_name_is_judged_by_its_addresses_before_it_is_connected_to() {
    let setup = Setup::with(PATIENT, &[("FETCH_ALLOW_CIDRS", "127.0.0.3/32")]).await;
    for name in ["localhost", "LOCALHOST"] {
        let error = setup.fetch_url(&format!("http://{name}:{}/", setup.origin.port())).await.expect_err(name);
        assert_eq!((error.code(), error.class()), (Code::AddressForbidden, Class::Permanent), "{name}: {error}");
    }
    assert_eq!(setup.origin.connections(), 0);
    let allowed = Setup::with(PATIENT, &[("FETCH_ALLOW_CIDRS", "127.0.0.0/8,::1/128")]).await;
    let url = allowed.origin.serve("/picture", ok(b"picture")).replace("127.0.0.1", "localhost");
    assert_eq!(&allowed.fetch_url(&url).await.expect("allowed").bytes()[..], b"picture");
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_as_declared_and_as_counted() {
    let setup = Setup::new().await;
    let declared = answer("200 OK\r\nContent-Length: 10000000000", b"x");
    assert_eq!(setup.code(declared).await, Code::BodyTooLarge);
    let chunk = format!("{:x}\r\n{}\r\n", 1000, "x".repeat(1000));
    let endless = [answer("200 OK\r\nTransfer-Encoding: chunked", b""), vec![Step::Repeat(chunk.into_bytes())]];
    assert_eq!(setup.code(endless.concat()).await, Code::BodyTooLarge);
    let unbounded = [answer("200 OK", b""), vec![Step::Repeat(vec![b'x'; 1000])]].concat();
    assert_eq!(setup.code(unbounded).await, Code::BodyTooLarge);
}

#[tokio::test]
async fn what_breaks_off_is_truncated_and_transient() {
    let setup = Setup::new().await;
    let short = answer("200 OK\r\nContent-Length: 1000", &[7; 500]);
    let chunked = answer("200 OK\r\nTransfer-Encoding: chunked", b"3e8\r\nhalf");
    for head in [short, chunked] {
        for end in [Step::Close, Step::Reset] {
            let error = setup.fetch([head.clone(), vec![end]].concat()).await.expect_err("half of it");
            assert_eq!(error.code(), Code::BodyTruncated, "{error}");
            assert_eq!(error.class(), Class::Transient { retry_after: None });
        }
    }
    let error = setup.fetch([answer("200 OK\r\nContent-Length: 1000", &[7; 500]), vec![Step::Close]].concat()).await;
    assert_eq!(error.expect_err("half").to_string(), "the body ended after 500 bytes of 1000");
    assert_eq!(setup.code(ok(b"")).await, Code::BodyEmpty);
    assert_eq!(setup.code(answer("204 No Content", b"")).await, Code::BodyEmpty);
}

#[tokio::test]
async fn each_timeout_has_its_code() {
    let soon = Duration::from_millis(250);
    let setup = Setup::with(Timeouts { first_byte: soon, ..PATIENT }, &[]).await;
    assert_eq!(setup.code(vec![Step::Hold]).await, Code::FirstByteTimeout);
    let half_a_head = vec![Step::Send(b"HTTP/1.1 200 O".to_vec()), Step::Hold];
    assert_eq!(setup.code(half_a_head).await, Code::FirstByteTimeout);
    let setup = Setup::with(Timeouts { idle: soon, ..PATIENT }, &[]).await;
    let still = [answer("200 OK\r\nContent-Length: 9", b"x"), vec![Step::Hold]].concat();
    assert_eq!(setup.code(still).await, Code::IdleTimeout);
}

#[tokio::test]
async fn a_trickle_and_slow_redirects_run_into_the_total() {
    let total = Duration::from_millis(700);
    let setup = Setup::with(Timeouts { total, ..PATIENT }, &[]).await;
    let byte_by_byte = vec![vec![Step::Send(b"x".to_vec()), Step::Wait(Duration::from_millis(100))]; 60].concat();
    let trickle = [answer("200 OK\r\nContent-Length: 60", b""), byte_by_byte].concat();
    assert_eq!(setup.code(trickle).await, Code::TotalTimeout);
    let late = |to: &str| [vec![Step::Wait(Duration::from_millis(200))], redirect(to)].concat();
    setup.origin.serve("/d", [vec![Step::Wait(Duration::from_millis(200))], ok(b"x")].concat());
    setup.origin.serve("/c", late("/d"));
    setup.origin.serve("/b", late("/c"));
    let first = setup.origin.serve("/a", late("/b"));
    assert_eq!(setup.fetch_url(&first).await.expect_err("800 ms in all").code(), Code::TotalTimeout);
}

#[tokio::test]
async fn time_spent_waiting_for_our_own_limits_is_not_the_origins() {
    let total = Duration::from_secs(1);
    let setup = Setup::with(Timeouts { total, ..PATIENT }, &[]).await;
    let url: Url = setup.origin.serve("/picture", ok(b"picture")).parse().expect("a URL");
    let all_bytes = setup.budget.reserve(BUDGET).await;
    let fetch = tokio::spawn({
        let (fetcher, url) = (setup.fetcher.clone(), url.clone());
        async move { fetcher.fetch(&url).await }
    });
    tokio::time::sleep(2 * total).await;
    assert!(!fetch.is_finished(), "it waits for bytes");
    drop(all_bytes);
    assert_eq!(&fetch.await.expect("no panic").expect("fetched").bytes()[..], b"picture");
}

#[tokio::test]
async fn statuses_become_codes_and_retry_after_travels_with_them() {
    let setup = Setup::new().await;
    for status in [404, 410, 401, 206, 304] {
        let error =
            setup.fetch(answer(&format!("{status} Text\r\nContent-Length: 0"), b"")).await.expect_err("no picture");
        assert_eq!((error.code(), error.class()), (Code::HttpStatusPermanent, Class::Permanent), "{status}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
    for status in [408, 425, 429, 500, 503] {
        let error =
            setup.fetch(answer(&format!("{status} Text\r\nContent-Length: 0"), b"")).await.expect_err("no picture");
        assert_eq!(error.code(), Code::HttpStatusTransient, "{status}");
        assert_eq!(error.class(), Class::Transient { retry_after: None }, "{status}");
    }
    let asked = setup.fetch(answer("503 Busy\r\nRetry-After: 7\r\nContent-Length: 0", b"")).await.expect_err("busy");
    assert_eq!(asked.class(), Class::Transient { retry_after: Some(Duration::from_secs(7)) });
}

#[tokio::test]
async fn what_is_not_http_is_said_to_be_so() {
    let setup = Setup::new().await;
    let tls = vec![Step::Send(b"\x16\x03\x01 not http at all\r\n\r\n".to_vec()), Step::Close];
    assert_eq!(setup.code(tls).await, Code::HttpProtocol);
    let long_header = answer(&format!("200 OK\r\nX-Long: {}", "h".repeat(1_000_000)), b"");
    assert_eq!(setup.code(long_header).await, Code::HttpProtocol);
}

#[tokio::test]
async fn a_refused_connection_and_a_failed_handshake_are_told_apart() {
    let setup = Setup::new().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let strict = Setup::with(PATIENT, &[("FETCH_ALLOW_PORTS", nobody.port().to_string().as_str())]).await;
    let error = strict.fetch_url(&format!("http://{nobody}/?secret")).await.expect_err("nobody listens");
    assert_eq!((error.code(), error.class()), (Code::ConnectFailed, Class::Transient { retry_after: None }));
    let source = std::error::Error::source(&error).expect("the client's error").to_string();
    assert!(!source.contains("secret"), "{source}");
    setup.origin.serve_at_accept(vec![
        Step::Read,
        Step::Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        Step::Close,
    ]);
    let error = setup.fetch_url(&format!("https://127.0.0.1:{}/", setup.origin.port())).await.expect_err("no TLS");
    assert_eq!((error.code(), error.class()), (Code::TlsFailed, Class::Permanent), "{error:?}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_apart() {
    let setup = Setup::new().await;
    let url = format!("http://nobody.invalid:{}/", setup.origin.port());
    let error = setup.fetch_url(&url).await.expect_err("no such name");
    // A machine without a name server cannot know that the name does not exist.
    assert!(matches!(error.code(), Code::DnsNotFound | Code::DnsFailed), "{error}");
    assert_eq!(error.class(), Class::Transient { retry_after: None });
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_is_tried_once_more() {
    let setup = Setup::new().await;
    let url = setup.origin.serve_in_turn("/picture", vec![vec![Step::Reset], ok(b"picture")]);
    assert_eq!(&setup.fetch_url(&url).await.expect("the second time").bytes()[..], b"picture");
    let url = setup.origin.serve_in_turn("/never", vec![vec![Step::Reset], vec![Step::Close], ok(b"picture")]);
    assert_eq!(setup.fetch_url(&url).await.expect_err("twice").code(), Code::ConnectFailed);
}

#[tokio::test]
async fn a_compressed_body_is_passed_on_as_it_is() {
    let setup = Setup::new().await;
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let packed = answer(&format!("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}", gzip.len()), &gzip);
    assert_eq!(setup.fetch(packed).await.expect("bytes").bytes()[..], gzip);
}

#[tokio::test]
async fn a_host_has_its_share_and_a_cancelled_fetch_gives_it_back() {
    let setup = Setup::new().await;
    let url: Url = setup.origin.serve("/held", vec![Step::Hold]).parse().expect("a URL");
    let fetches: Vec<_> = (0..5)
        .map(|_| {
            let (fetcher, url) = (setup.fetcher.clone(), url.clone());
            tokio::spawn(async move { fetcher.fetch(&url).await.map(drop) })
        })
        .collect();
    setup.origin.requested(2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(setup.origin.requests().len(), 2, "two at once");
    for fetch in fetches {
        fetch.abort();
        assert!(fetch.await.expect_err("aborted").is_cancelled());
    }
    assert!(setup.hosts.is_empty());
    assert_eq!(setup.budget.held(), 0);
}
