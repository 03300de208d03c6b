//! Claim: putting an object copies none of its bytes, since they were reserved once. A process of its own, since it
//! counts every allocation.

mod counting;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};

use bytes::Bytes;
use counting::{Counting, Since};
use downloader::config::Settings;
use downloader::store::{Object, Store};
use downloader::task::Task;

#[global_allocator]
static ALLOCATOR: Counting<false> = Counting;

/// Takes one put, returns the length of its body.
fn take_put(listener: &std::net::TcpListener) -> usize {
    let (mut stream, _) = listener.accept().expect("a client");
    let (mut seen, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    let (body, expected) = loop {
        let read = stream.read(&mut buffer).expect("bytes");
        assert_ne!(read, 0, "the client went away");
        seen.extend_from_slice(&buffer[..read]);
        if let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            break (seen.len() - end - 4, length.parse().expect("a number"));
        }
    };
    let mut received: usize = body;
    while received < expected {
        received += stream.read(&mut buffer).expect("bytes");
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("answered");
    received
}

#[tokio::test]
async fn a_put_copies_none_of_the_bytes() {
    const LENGTH: usize = 16 << 20;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || take_put(&listener));
    let settings = [("S3_ENDPOINT", endpoint.as_str()), ("S3_ACCESS", "a"), ("S3_SECRET", "s")];
    let settings = settings.map(|(name, value)| (name.into(), value.into()));
    let store = Store::new(&Settings::load(settings, &HashMap::new()).expect("settings")).expect("a client");
    let task = Task {
        correlation_id: 7,
        url: "http://example.com/".into(),
        target_path: "originals/7".into(),
        target_thumbnail_path: "thumbnails/7".into(),
    };
    let key = task.vet().expect("a task").original_key;
    let bytes = Bytes::from(vec![7; LENGTH]);
    let object = Object { bytes: &bytes, sha256: &[0; 32], content_type: "image/png", source_sha256: &[0; 32] };
    let since = Since::now();
    store.put(&key, object).await.expect("put");
    let used = since.peak();
    assert_eq!(server.join().expect("no panic"), LENGTH);
    assert!(used < LENGTH / 8, "{used} bytes beside the {LENGTH} of the object");
}
