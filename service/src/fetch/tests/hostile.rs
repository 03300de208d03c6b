//! Origins that misbehave in HTTP/1: that keep us waiting, break off, or do not speak it.

use super::ring::Deed::{Answer, AtAccept};
use super::ring::End::{Error, Source};
use super::ring::{Limit, Ring, case};
use super::*;

const PAUSE: Duration = Duration::from_millis(20);

pub(super) fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

/// What is sent, and then an end of the connection.
pub(super) fn ending(text: &str, end: Step) -> Vec<Step> {
    vec![send(text), end]
}

pub(super) fn with_length(length: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
}

pub(super) fn chunked(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

#[tokio::test]
async fn an_honest_origin_passes_through_the_ring() {
    let ring = Ring::plain().await;
    ring.run(vec![
        case("a length that is right", Limit::None, Answer(ok(b"picture")), Source(7)),
        case("chunks", Limit::None, Answer(vec![send(&chunked("3\r\npic\r\n4\r\nture\r\n0\r\n\r\n"))]), Source(7)),
        case(
            "an answer that is late",
            Limit::None,
            Answer([vec![Step::Wait(PAUSE)], ok(b"picture")].concat()),
            Source(7),
        ),
        case(
            "no length, closed at the end",
            Limit::None,
            Answer(ending("HTTP/1.0 200 OK\r\n\r\npicture", Step::Close)),
            Source(7),
        ),
    ])
    .await;
}

#[tokio::test]
async fn who_keeps_us_waiting_runs_into_the_limit_of_that_wait() {
    let ring = Ring::plain().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let forever = "x".repeat(10_000).into_bytes();
    let slow_chunks = "1\r\nx\r\n".repeat(1000).into_bytes();
    ring.run(vec![
        case("accepts and says nothing", Limit::FirstByte, AtAccept(vec![Step::Hold]), Error(Code::FirstByteTimeout)),
        case(
            "reads the request and says nothing",
            Limit::FirstByte,
            Answer(vec![Step::Hold]),
            Error(Code::FirstByteTimeout),
        ),
        case(
            "stops within the status line",
            Limit::FirstByte,
            Answer(ending("HTTP/1.1 20", Step::Hold)),
            Error(Code::FirstByteTimeout),
        ),
        case(
            "stops within the header",
            Limit::FirstByte,
            Answer(ending("HTTP/1.1 200 OK\r\nA: b", Step::Hold)),
            Error(Code::FirstByteTimeout),
        ),
        case(
            "slow loris: the header byte by byte",
            Limit::FirstByte,
            Answer(vec![send("HTTP/1.1 200 OK\r\nX: "), Step::Drip(forever.clone(), PAUSE)]),
            Error(Code::FirstByteTimeout),
        ),
        case(
            "informational answers without end",
            Limit::FirstByte,
            Answer(vec![Step::Repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec())]),
            Error(Code::FirstByteTimeout),
        ),
        case("a header and no body", Limit::Idle, Answer(ending(head, Step::Hold)), Error(Code::IdleTimeout)),
        case(
            "a body that stops",
            Limit::Idle,
            Answer(ending(&format!("{head}half"), Step::Hold)),
            Error(Code::IdleTimeout),
        ),
        case(
            "a chunk that stops",
            Limit::Idle,
            Answer(ending(&chunked("64\r\nhalf"), Step::Hold)),
            Error(Code::IdleTimeout),
        ),
        case(
            "chunks without the last one",
            Limit::Idle,
            Answer(ending(&chunked("3\r\npic\r\n"), Step::Hold)),
            Error(Code::IdleTimeout),
        ),
        case(
            "a body without length that nobody ends",
            Limit::Idle,
            Answer(ending("HTTP/1.1 200 OK\r\n\r\npicture", Step::Hold)),
            Error(Code::IdleTimeout),
        ),
        case(
            "a body byte by byte",
            Limit::Pace,
            Answer(vec![send(head), Step::Drip(forever.clone(), PAUSE)]),
            Error(Code::IdleTimeout),
        ),
        case(
            "chunks byte by byte",
            Limit::Pace,
            Answer(vec![send(&chunked("")), Step::Drip(slow_chunks, PAUSE)]),
            Error(Code::IdleTimeout),
        ),
        case(
            "a body byte by byte, without length",
            Limit::Pace,
            Answer(vec![send("HTTP/1.1 200 OK\r\n\r\n"), Step::Drip(forever.clone(), PAUSE)]),
            Error(Code::IdleTimeout),
        ),
        case(
            "a body that is fast enough for every wait",
            Limit::Total,
            Answer(vec![send(head), Step::Drip(forever, PAUSE)]),
            Error(Code::TotalTimeout),
        ),
    ])
    .await;
}

#[tokio::test]
async fn who_breaks_off_does_so_at_a_phase_that_is_told() {
    let ring = Ring::plain().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    let (half, half_chunk) = (format!("{head}half"), chunked("64\r\nhalf"));
    let mut cases = Vec::new();
    for (end, how) in [(Step::Close, "FIN"), (Step::Reset, "RST")] {
        let name = |phase: &str| -> &'static str { format!("{how} {phase}").leak() };
        cases.extend([
            case(name("at accept"), Limit::None, AtAccept(vec![end.clone()]), Error(Code::ConnectFailed)),
            case(name("after the request"), Limit::None, Answer(vec![end.clone()]), Error(Code::ConnectFailed)),
            case(
                name("within the status line"),
                Limit::None,
                Answer(ending("HTTP/1.1 20", end.clone())),
                Error(Code::ConnectFailed),
            ),
            case(
                name("within the header"),
                Limit::None,
                Answer(ending("HTTP/1.1 200 OK\r\nA: b", end.clone())),
                Error(Code::ConnectFailed),
            ),
            case(name("after the header"), Limit::None, Answer(ending(head, end.clone())), Error(Code::BodyTruncated)),
            case(name("within the body"), Limit::None, Answer(ending(&half, end.clone())), Error(Code::BodyTruncated)),
            case(
                name("within a chunk"),
                Limit::None,
                Answer(ending(&half_chunk, end.clone())),
                Error(Code::BodyTruncated),
            ),
            case(
                name("between chunks"),
                Limit::None,
                Answer(ending(&chunked("3\r\npic\r\n"), end.clone())),
                Error(Code::BodyTruncated),
            ),
            case(
                name("within the size of a chunk"),
                Limit::None,
                Answer(ending(&chunked("3\r\npic\r\n6"), end.clone())),
                Error(Code::BodyTruncated),
            ),
            case(
                name("before the end of the last chunk"),
                Limit::None,
                Answer(ending(&chunked("3\r\npic\r\n0\r\n"), end.clone())),
                Error(Code::BodyTruncated),
            ),
        ]);
    }
    cases.extend([
        // Nothing tells an early end from the end here: what the bytes are worth is for the decoder to say.
        case(
            "FIN without a length",
            Limit::None,
            Answer(ending("HTTP/1.1 200 OK\r\n\r\nhalf", Step::Close)),
            Source(4),
        ),
        case(
            "FIN without a length or a byte",
            Limit::None,
            Answer(ending("HTTP/1.1 200 OK\r\n\r\n", Step::Close)),
            Error(Code::BodyEmpty),
        ),
        case(
            "RST without a length",
            Limit::None,
            Answer(ending("HTTP/1.1 200 OK\r\n\r\nhalf", Step::Reset)),
            Error(Code::BodyTruncated),
        ),
    ]);
    ring.run(cases).await;
}

#[tokio::test]
async fn who_does_not_speak_http_is_not_understood() {
    let ring = Ring::plain().await;
    ring.run(vec![
        case(
            "noise",
            Limit::None,
            Answer(ending("\u{7f}ELF\u{2}\u{1}\u{1}\r\n\r\n", Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case("HTTP/0.9", Limit::None, Answer(ending("picture\r\n\r\n", Step::Close)), Error(Code::HttpProtocol)),
        case(
            "a version of the future",
            Limit::None,
            Answer(ending("HTTP/7.0 200 OK\r\n\r\n", Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "another protocol's greeting",
            Limit::None,
            AtAccept(ending("220 mail ready\r\n", Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "a status of 42",
            Limit::None,
            Answer(ending("HTTP/1.1 42 OK\r\n\r\n", Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "a status of 1000",
            Limit::None,
            Answer(ending("HTTP/1.1 1000 OK\r\n\r\n", Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "a header line without a colon",
            Limit::None,
            Answer(ending("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "a header line with a zero",
            Limit::None,
            Answer(ending("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "a folded header line",
            Limit::None,
            Answer(ending("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "another protocol from here on",
            Limit::None,
            Answer(ending("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", Step::Hold)),
            Error(Code::HttpStatusPermanent),
        ),
    ])
    .await;
}

/// The handshake of TCP itself, unanswered: the queue of who listens is full.
#[tokio::test]
async fn who_never_accepts_runs_into_the_limit_of_connecting() {
    let ring = Ring::plain().await;
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("an address");
    let mut queued = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_secs(1), tokio::net::TcpStream::connect(address)).await
    {
        queued.push(connected.expect("a place in the queue"));
        assert!(queued.len() < 100, "the queue never fills");
    }
    let ports = format!("{}", address.port());
    let settings = settings(&ring.origin, &[("FETCH_ALLOW_PORTS", ports.as_str())]);
    let timeouts = Timeouts { connect: Duration::from_millis(200), ..PATIENT };
    let fetcher = Fetcher::with(&settings, Hosts::new(2), ByteBudget::new(BUDGET), |parts| Parts { timeouts, ..parts });
    let error = fetcher.expect("a fetcher").fetch(&format!("http://{address}/").parse().expect("a URL")).await;
    let error = error.expect_err("nobody accepts");
    assert_eq!(
        (error.code(), error.class()),
        (Code::ConnectTimeout, Class::Transient { retry_after: None }),
        "{error}"
    );
}
