//! Origins that misbehave in HTTP/2, whose frames are made by hand.

use super::ring::Deed::{self, Answer, AtStream};
use super::ring::End::{Error, Source};
use super::ring::{Limit, Ring, case};
use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// `:status: 200`, from HPACK's static table.
const STATUS_200: u8 = 0x88;
/// The stream of the client's first request.
const FIRST: u32 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("fits").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn settings_frames() -> Vec<u8> {
    [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat()
}

/// A header line that is in no table, without compression.
fn line(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = text.len();
        // HPACK's integers: seven bits, and the rest in groups of seven.
        let mut bytes = if length < 127 { vec![u8::try_from(length).expect("fits")] } else { vec![127] };
        let mut rest = length.checked_sub(127);
        while let Some(left) = rest {
            let more = if left >= 128 { 0x80 } else { 0 };
            bytes.push(u8::try_from(left & 0x7f).expect("fits") | more);
            rest = (left >= 128).then_some(left >> 7);
        }
        [bytes, text.as_bytes().to_vec()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

fn ok_head(lines: &[(&str, &str)]) -> Vec<u8> {
    let block = [vec![STATUS_200], lines.iter().flat_map(|(name, value)| line(name, value)).collect()].concat();
    frame(HEADERS, END_HEADERS, FIRST, &block)
}

fn data(flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, FIRST, bytes)
}

fn reset(code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, FIRST, &code.to_be_bytes())
}

fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// Settings, then these frames, then nothing more.
fn frames(frames: &[Vec<u8>]) -> Deed {
    ending(frames, Step::Hold)
}

fn ending(frames: &[Vec<u8>], end: Step) -> Deed {
    AtStream(vec![Step::Send([settings_frames(), frames.concat()].concat()), end])
}

/// Settings, these frames, and then another one over and over.
fn flood(first: &[Vec<u8>], again: &[u8]) -> Deed {
    AtStream(vec![Step::Send([settings_frames(), first.concat()].concat()), Step::Repeat(again.repeat(100))])
}

#[tokio::test]
async fn an_honest_origin_passes_through_the_ring_with_tls_and_http2() {
    let ring = Ring::tls(&["h2"]).await;
    ring.run(vec![
        case(
            "a body in two frames",
            Limit::None,
            frames(&[ok_head(&[]), data(0, b"pic"), data(END_STREAM, b"ture")]),
            Source(7),
        ),
        case(
            "a length that is right",
            Limit::None,
            frames(&[ok_head(&[("content-length", "7")]), data(END_STREAM, b"picture")]),
            Source(7),
        ),
        case(
            "no room for what we send, of which there is nothing",
            Limit::None,
            frames(&[frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]), ok_head(&[]), data(END_STREAM, b"picture")]),
            Source(7),
        ),
        case(
            "a goodbye after the picture has begun",
            Limit::None,
            frames(&[ok_head(&[]), data(0, b"pic"), goaway(FIRST, NO_ERROR), data(END_STREAM, b"ture")]),
            Source(7),
        ),
    ])
    .await;
    let ring = Ring::tls(&["http/1.1"]).await;
    ring.run(vec![case("HTTP/1.1 behind TLS", Limit::None, Answer(ok(b"picture")), Source(7))]).await;
}

#[tokio::test]
async fn who_keeps_us_waiting_in_frames_runs_into_the_limit_of_that_wait() {
    let ring = Ring::tls(&["h2"]).await;
    let informational = frame(HEADERS, END_HEADERS, FIRST, &[&[0x08, 3], "103".as_bytes()].concat());
    ring.run(vec![
        case("no settings and no answer", Limit::FirstByte, AtStream(vec![Step::Hold]), Error(Code::FirstByteTimeout)),
        case("settings and no answer", Limit::FirstByte, frames(&[]), Error(Code::FirstByteTimeout)),
        case(
            "half a header",
            Limit::FirstByte,
            frames(&[frame(HEADERS, 0, FIRST, &[STATUS_200])]),
            Error(Code::FirstByteTimeout),
        ),
        case(
            "settings without end",
            Limit::FirstByte,
            flood(&[], &frame(SETTINGS, 0, 0, &[])),
            Error(Code::FirstByteTimeout),
        ),
        case(
            "pings without end",
            Limit::FirstByte,
            flood(&[], &frame(PING, 0, 0, &[0; 8])),
            Error(Code::FirstByteTimeout),
        ),
        case(
            "informational answers without end",
            Limit::FirstByte,
            flood(&[], &informational),
            Error(Code::FirstByteTimeout),
        ),
        case(
            "a body whose window never opens",
            Limit::Idle,
            frames(&[ok_head(&[("content-length", "7")])]),
            Error(Code::IdleTimeout),
        ),
        case("a body that stops", Limit::Idle, frames(&[ok_head(&[]), data(0, b"pic")]), Error(Code::IdleTimeout)),
        case(
            "frames without a byte, and no end",
            Limit::None,
            flood(&[ok_head(&[])], &data(0, b"")),
            Error(Code::BodyTruncated),
        ),
    ])
    .await;
    // The origin is told that its answer is not waited for any more.
    ring.origin.heard(RST_STREAM).await;
}

#[tokio::test]
async fn who_breaks_off_in_frames_does_so_at_a_phase_that_is_told() {
    let ring = Ring::tls(&["h2"]).await;
    let half = [ok_head(&[]), data(0, b"pic")];
    let half_and = |last: Vec<u8>| frames(&[half.concat(), last]);
    ring.run(vec![
        case("RST_STREAM before the header", Limit::None, frames(&[reset(INTERNAL_ERROR)]), Error(Code::HttpProtocol)),
        case(
            "the stream refused, and the next one not answered",
            Limit::FirstByte,
            frames(&[reset(REFUSED_STREAM)]),
            Error(Code::FirstByteTimeout),
        ),
        case("RST_STREAM within the body", Limit::None, half_and(reset(INTERNAL_ERROR)), Error(Code::BodyTruncated)),
        case("CANCEL within the body", Limit::None, half_and(reset(CANCEL)), Error(Code::BodyTruncated)),
        case(
            "no error, but RST_STREAM before the length is reached",
            Limit::None,
            frames(&[ok_head(&[("content-length", "7")]), data(0, b"pic"), reset(NO_ERROR)]),
            Error(Code::BodyTruncated),
        ),
        // As with FIN and without a length in HTTP/1: nothing tells an early end from the end.
        case("no error, but RST_STREAM without a length", Limit::None, half_and(reset(NO_ERROR)), Source(3)),
        case("GOAWAY before the header", Limit::None, frames(&[goaway(0, NO_ERROR)]), Error(Code::HttpProtocol)),
        case(
            "GOAWAY within the body, and the end",
            Limit::None,
            ending(&[half.concat(), goaway(FIRST, NO_ERROR)], Step::Close),
            Error(Code::BodyTruncated),
        ),
        case(
            "GOAWAY with an error within the body, and nothing more",
            Limit::Idle,
            half_and(goaway(FIRST, INTERNAL_ERROR)),
            Error(Code::IdleTimeout),
        ),
        case(
            "GOAWAY with an error within the body, and the end",
            Limit::None,
            ending(&[half.concat(), goaway(FIRST, INTERNAL_ERROR)], Step::Close),
            Error(Code::BodyTruncated),
        ),
        case("FIN before the header", Limit::None, ending(&[], Step::Close), Error(Code::ConnectFailed)),
        case("FIN within the body", Limit::None, ending(&half, Step::Close), Error(Code::BodyTruncated)),
        case("RST before the header", Limit::None, ending(&[], Step::Reset), Error(Code::ConnectFailed)),
        case(
            "RST within the body",
            Limit::None,
            AtStream(vec![Step::Send([settings_frames(), half.concat()].concat()), Step::Read, Step::Reset]),
            Error(Code::BodyTruncated),
        ),
        case(
            "a header and the end",
            Limit::None,
            frames(&[frame(HEADERS, END_HEADERS | END_STREAM, FIRST, &[STATUS_200])]),
            Error(Code::BodyEmpty),
        ),
    ])
    .await;
}

#[tokio::test]
async fn who_breaks_the_rules_of_frames_is_cut_off() {
    let ring = Ring::tls(&["h2"]).await;
    let huge = line("x-long", &"h".repeat(16_000));
    let begun = [frame(HEADERS, 0, FIRST, &[&[STATUS_200], &huge[..]].concat())];
    let over_the_window: Vec<Vec<u8>> =
        std::iter::once(ok_head(&[])).chain((0..64).map(|_| data(0, &[7; 16_384]))).collect();
    ring.run(vec![
        case(
            "CONTINUATION without end",
            Limit::None,
            flood(&begun, &frame(CONTINUATION, 0, FIRST, &huge)),
            Error(Code::HttpProtocol),
        ),
        case(
            "CONTINUATION without a byte, and no end",
            Limit::None,
            flood(&begun, &frame(CONTINUATION, 0, FIRST, &[])),
            Error(Code::HttpProtocol),
        ),
        case(
            "a length above the body",
            Limit::None,
            frames(&[ok_head(&[("content-length", "9")]), data(END_STREAM, b"picture")]),
            Error(Code::BodyTruncated),
        ),
        case(
            "a length below the body",
            Limit::None,
            frames(&[ok_head(&[("content-length", "3")]), data(END_STREAM, b"picture")]),
            Error(Code::BodyTruncated),
        ),
        case(
            "a length above the limit",
            Limit::None,
            frames(&[ok_head(&[("content-length", "102401")])]),
            Error(Code::BodyTooLarge),
        ),
        case("a body above the limit", Limit::None, frames(&over_the_window[..9]), Error(Code::BodyTooLarge)),
        case(
            "a body without end",
            Limit::None,
            flood(&[ok_head(&[])], &data(0, &[7; 16_384])),
            Error(Code::BodyTooLarge),
        ),
        case(
            "a push that was not asked for",
            Limit::None,
            frames(&[frame(PUSH_PROMISE, END_HEADERS, FIRST, &[0, 0, 0, 2, STATUS_200])]),
            Error(Code::HttpProtocol),
        ),
        case(
            "a body before its header",
            Limit::None,
            frames(&[data(END_STREAM, b"picture")]),
            Error(Code::HttpProtocol),
        ),
        case(
            "a stream that nobody opened",
            Limit::None,
            frames(&[frame(HEADERS, END_HEADERS, 99, &[STATUS_200])]),
            Error(Code::HttpProtocol),
        ),
        case(
            "a header that cannot be unpacked",
            Limit::None,
            frames(&[frame(HEADERS, END_HEADERS, FIRST, &[0xff, 0xff, 0xff])]),
            Error(Code::HttpProtocol),
        ),
        case(
            "a frame above what we take",
            Limit::None,
            frames(&[ok_head(&[]), data(0, &[7; 20_000])]),
            Error(Code::BodyTruncated),
        ),
        case(
            "a window beyond all bounds",
            Limit::None,
            frames(&[ok_head(&[]), frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])]),
            Error(Code::BodyTruncated),
        ),
        case(
            "no frames but HTTP/1.1",
            Limit::None,
            AtStream(vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\npicture".to_vec()), Step::Hold]),
            Error(Code::HttpProtocol),
        ),
    ])
    .await;
}

/// What arrives while we wait for bytes of our own is bounded by the window we gave.
#[tokio::test]
async fn who_sends_more_than_the_window_that_nobody_empties_is_cut_off() {
    let setup = Ring::tls(&["h2"]).await;
    let all_bytes = setup.budget.reserve(BUDGET).await;
    let more_than_a_window = (0..17).map(|_| data(0, &[7; 16_384])).collect::<Vec<_>>();
    let script = [settings_frames(), ok_head(&[]), more_than_a_window.concat()].concat();
    let url: Url = setup.origin.serve_at_stream(vec![Step::Send(script), Step::Hold]).parse().expect("a URL");
    let fetch = tokio::spawn({
        let (fetcher, url) = (setup.fetcher(Limit::None), url.clone());
        async move { fetcher.fetch(&url).await }
    });
    setup.origin.heard(RST_STREAM).await;
    assert!(!fetch.is_finished(), "it waits for bytes");
    drop(all_bytes);
    // What fitted into the window is looked at all the same.
    let error = fetch.await.expect("no panic").expect_err("more than the limit");
    assert_eq!(error.code(), Code::BodyTooLarge, "{error}");
}
