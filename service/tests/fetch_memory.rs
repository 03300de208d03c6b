//! Claim: whatever an origin sends, a fetch holds what it has reserved and a bounded rest. A process of its own, since it
//! counts every allocation.

mod counting;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use counting::{Counting, Since};
use downloader::config::Settings;
use downloader::fetch::Fetcher;
use downloader::flow::hosts::Hosts;
use downloader::flow::limits::ByteBudget;

#[global_allocator]
static ALLOCATOR: Counting<true> = Counting;

const MIB: usize = 1 << 20;
const BYTES_MAX: usize = 8 * MIB;
/// What one connection may hold beside what was reserved.
const REST: usize = MIB;

/// Sends `first`, then `again` over and over, to whoever connects.
fn serve(listener: &TcpListener, first: &[u8], again: &[u8]) {
    let (mut stream, _) = listener.accept().expect("a client");
    let read = stream.read(&mut [0; 4096]).expect("a request");
    assert_ne!(read, 0, "a request");
    if stream.write_all(first).is_err() {
        return;
    }
    while !again.is_empty() && stream.write_all(again).is_ok() {}
}

#[tokio::test]
async fn a_fetch_holds_what_it_reserved_and_a_bounded_rest() {
    let body = vec![7; BYTES_MAX];
    let honest = [format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES_MAX}\r\n\r\n").as_bytes(), &body].concat();
    let chunk = [b"10000\r\n", &body[..0x10000], b"\r\n"].concat();
    let chunked: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let lying: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
    let long_header = [b"HTTP/1.1 200 OK\r\nX: ", &vec![b'h'; 16 * MIB][..]].concat();
    for (name, first, again, reserved) in [
        ("an honest picture as large as allowed", &honest[..], &b""[..], BYTES_MAX),
        ("chunks without end", chunked, &chunk, BYTES_MAX),
        ("a body without length or end", b"HTTP/1.1 200 OK\r\n\r\n", &chunk, BYTES_MAX),
        ("a length above the limit", lying, &chunk, 0),
        ("a header of 16 MB", &long_header, b"", 0),
        ("a header without end", b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", 0),
        (
            "informational answers, then a header without end",
            b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\n",
            b"A: b\r\n",
            0,
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let port = address.port().to_string();
        let settings =
            [("FETCH_ALLOW_CIDRS", "127.0.0.1/32"), ("FETCH_ALLOW_PORTS", port.as_str()), ("SOURCE_BYTES_MAX", "8MiB")];
        let settings = settings.map(|(name, value)| (name.into(), value.into()));
        let settings = Settings::load(settings, &HashMap::new()).expect("settings");
        let budget = ByteBudget::new(64 << 20);
        let fetcher = Fetcher::new(&settings, Hosts::new(1), budget.clone()).expect("a fetcher");
        let url = format!("http://{address}/").parse().expect("a URL");
        let (first, again) = (first.to_vec(), again.to_vec());
        let server = std::thread::spawn(move || serve(&listener, &first, &again));
        let since = Since::now();
        let fetched = fetcher.fetch(&url).await;
        let used = since.peak();
        println!("{name:<50} {used:>9} bytes, of which {reserved} reserved");
        assert_eq!(fetched.is_ok(), name.starts_with("an honest"), "{name}: {fetched:?}");
        assert!(used < reserved + REST, "{name}: {used} bytes, where {reserved} were reserved");
        drop((fetched, fetcher));
        assert_eq!(budget.held(), 0, "{name}");
        // Not on this thread, which has the connection to close.
        tokio::task::spawn_blocking(move || server.join().expect("no panic")).await.expect("no panic");
    }
}
