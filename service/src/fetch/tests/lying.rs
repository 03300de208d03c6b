//! Origins that misbehave in HTTP/1: that send too much, something else than they say, or us away.

use std::io::Write as _;

use super::hostile::{chunked, ending, send, with_length};
use super::ring::Deed::Answer;
use super::ring::End::{Error, Source};
use super::ring::{Limit, Ring, case};
use super::*;

#[tokio::test]
async fn who_sends_too_much_is_cut_off() {
    let ring = Ring::plain().await;
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 64 << 20]).expect("packed");
    let bomb = bomb.finish().expect("packed");
    let packed = bomb.len();
    let bomb = answer(&format!("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {packed}"), &bomb);
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes();
    let lines = |count: usize| (0..count).map(|index| format!("X-{index}: y\r\n")).collect::<String>();
    let header = |header: &str| answer(&format!("200 OK\r\n{header}Content-Length: 7"), b"picture");
    let long = |bytes: usize| header(&format!("X-Long: {}\r\n", "h".repeat(bytes)));
    ring.run(vec![
        case(
            "a length above the limit",
            Limit::None,
            Answer(vec![send(&with_length("102401", "")), Step::Hold]),
            Error(Code::BodyTooLarge),
        ),
        case(
            "a length of 63 bits",
            Limit::None,
            Answer(vec![send(&with_length("9223372036854775807", "x")), Step::Hold]),
            Error(Code::BodyTooLarge),
        ),
        case(
            "a length of 64 bits",
            Limit::None,
            Answer(vec![send(&with_length("18446744073709551614", "x")), Step::Hold]),
            Error(Code::HttpProtocol),
        ),
        case(
            "a body without length or end",
            Limit::None,
            Answer(vec![send("HTTP/1.1 200 OK\r\n\r\n"), Step::Repeat(chunk.clone())]),
            Error(Code::BodyTooLarge),
        ),
        case(
            "chunks without end",
            Limit::None,
            Answer(vec![send(&chunked("")), Step::Repeat(chunk.clone())]),
            Error(Code::BodyTooLarge),
        ),
        case(
            "small chunks without end",
            Limit::None,
            Answer(vec![send(&chunked("")), Step::Repeat(format!("40\r\n{}\r\n", "x".repeat(0x40)).into_bytes())]),
            Error(Code::BodyTooLarge),
        ),
        case(
            "one endless chunk",
            Limit::None,
            Answer(vec![send(&chunked("ffffffffffff\r\n")), Step::Repeat(chunk.clone())]),
            Error(Code::BodyTooLarge),
        ),
        case(
            "a chunk of more than 64 bits",
            Limit::None,
            Answer(ending(&chunked("10000000000000000f\r\nx"), Step::Hold)),
            Error(Code::BodyTruncated),
        ),
        case(
            "a chunk whose size never ends",
            Limit::Idle,
            Answer(vec![send(&chunked("0")), Step::Repeat(b"0".repeat(1000))]),
            Error(Code::IdleTimeout),
        ),
        case(
            "an extension of a chunk without end",
            Limit::None,
            Answer(vec![send(&chunked("1;a=")), Step::Repeat(b"b".repeat(1000))]),
            Error(Code::BodyTruncated),
        ),
        case(
            "trailers without end",
            Limit::None,
            Answer(vec![send(&chunked("1\r\nx\r\n0\r\n")), Step::Repeat(b"A: b\r\n".repeat(100))]),
            Error(Code::BodyTruncated),
        ),
        case("a gzip bomb is taken at its bytes", Limit::None, Answer(bomb), Source(packed)),
        case("a header of 1 MB", Limit::None, Answer(long(1_000_000)), Error(Code::HttpProtocol)),
        case(
            "a header without end",
            Limit::None,
            Answer(vec![send("HTTP/1.1 200 OK\r\n"), Step::Repeat(b"A: b\r\n".repeat(100))]),
            Error(Code::HttpProtocol),
        ),
        case("a header above 64 KiB", Limit::None, Answer(long(64 << 10)), Error(Code::HttpProtocol)),
        case("a header below 64 KiB", Limit::None, Answer(long(63 << 10)), Source(7)),
        case("101 lines in the header", Limit::None, Answer(header(&lines(100))), Error(Code::HttpProtocol)),
        case("100 lines in the header", Limit::None, Answer(header(&lines(99))), Source(7)),
    ])
    .await;
}

#[tokio::test]
async fn who_lies_about_what_he_sends_is_taken_at_the_bytes() {
    let ring = Ring::plain().await;
    let declared = |content_type: &str| {
        answer(&format!("200 OK\r\nContent-Type: {content_type}\r\nContent-Length: 7"), b"picture")
    };
    ring.run(vec![
        case(
            "a length above the body",
            Limit::None,
            Answer(ending(&with_length("100", "picture"), Step::Close)),
            Error(Code::BodyTruncated),
        ),
        case(
            "a length below the body",
            Limit::None,
            Answer(ending(&with_length("3", "picture"), Step::Close)),
            Source(3),
        ),
        case(
            "a length of zero and a body",
            Limit::None,
            Answer(ending(&with_length("0", "picture"), Step::Close)),
            Error(Code::BodyEmpty),
        ),
        case(
            "two lengths that differ",
            Limit::None,
            Answer(ending(&with_length("3\r\nContent-Length: 7", "picture"), Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "a negative length",
            Limit::None,
            Answer(ending(&with_length("-1", "picture"), Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "a length that is no number",
            Limit::None,
            Answer(ending(&with_length("0x7", "picture"), Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "a length of more than 64 bits",
            Limit::None,
            Answer(ending(&with_length("99999999999999999999", "picture"), Step::Hold)),
            Error(Code::HttpProtocol),
        ),
        case(
            "a chunk's size that is no number",
            Limit::None,
            Answer(ending(&chunked("zz\r\npicture"), Step::Hold)),
            Error(Code::BodyTruncated),
        ),
        case("a type that is no picture's", Limit::None, Answer(declared("text/html")), Source(7)),
        case("a type that is none", Limit::None, Answer(declared("\u{1}\u{ff}")), Error(Code::HttpProtocol)),
        case("a type of 5,000 characters", Limit::None, Answer(declared(&"x".repeat(5000))), Source(7)),
    ])
    .await;
}

#[tokio::test]
async fn who_redirects_is_followed_to_three_public_places_and_no_further() {
    let ring = Ring::plain().await;
    for index in 0..100 {
        ring.origin.serve(&format!("/hop{index}"), redirect(&format!("/hop{}", index + 1)));
    }
    let before = ring.origin.requests().len();
    let mut cases = vec![
        case("100 redirects", Limit::None, Answer(redirect("/hop0")), Error(Code::RedirectLimit)),
        case("a redirect to itself", Limit::None, Answer(redirect("/picture")), Error(Code::RedirectLimit)),
        case(
            "a redirect without a place",
            Limit::None,
            Answer(answer("302 Found\r\nContent-Length: 0", b"")),
            Error(Code::RedirectRefused),
        ),
        case(
            "a redirect of 1 MB",
            Limit::None,
            Answer(redirect(&format!("/{}", "x".repeat(1_000_000)))),
            Error(Code::HttpProtocol),
        ),
        case(
            "a redirect with an endless body",
            Limit::None,
            Answer(vec![send("HTTP/1.1 302 Found\r\nLocation: /end\r\n\r\n"), Step::Repeat(vec![b'x'; 1000])]),
            Source(7),
        ),
    ];
    ring.origin.serve("/end", ok(b"picture"));
    for to in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "data:image/png;base64,AA",
        "javascript:alert(1)",
        "gopher://127.0.0.1/",
        "http://[bad",
    ] {
        cases.push(case(to, Limit::None, Answer(redirect(to)), Error(Code::RedirectRefused)));
    }
    ring.run(cases).await;
    assert_eq!(ring.origin.requests().len() - before, 4 + 4 + 1 + 1 + 2 + 6, "a redirect too many was followed");
}

/// What is left on a connection after an answer's end must not be taken for the answer to the next request.
#[tokio::test]
async fn an_answer_sent_in_advance_answers_nothing() {
    let setup = Setup::new().await;
    let evil = with_length("4", "evil");
    let first = setup.origin.serve("/first", vec![send(&format!("{}{evil}", with_length("5", "first")))]);
    let second = setup.origin.serve("/second", ok(b"second"));
    assert_eq!(&setup.fetch_url(&first).await.expect("fetched").bytes()[..], b"first");
    assert_eq!(&setup.fetch_url(&second).await.expect("fetched").bytes()[..], b"second");
    assert_eq!(setup.origin.connections(), 2, "the first one is not used again");
}
