//! One request and its answer, as bytes.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Shared, Side, StoreFault};

const HEAD_BYTES_MAX: usize = 64 << 10;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Serves one request; then the connection ends, as the store's answer says it will.
pub(super) async fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let Some(mut request) = Request::read_head(&mut client).await? else { return Ok(()) };
    let mut fault = shared.fault.subscribe();
    let standing = *fault.borrow_and_update();
    if standing.is_some() {
        shared.book().struck += 1;
    }
    if let Some(StoreFault::ResetMidUpload(after)) = standing {
        request.read_body(&mut client, after).await?;
        return client.set_zero_linger();
    }
    request.read_body(&mut client, usize::MAX).await?;
    match standing {
        Some(StoreFault::Status(code)) => {
            let answer = format!("HTTP/1.1 {code} Because\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).await?;
            return client.shutdown().await;
        }
        Some(StoreFault::Silent) => {
            let _ = fault.changed().await;
            return client.set_zero_linger();
        }
        Some(StoreFault::Slow(by)) => tokio::time::sleep(by).await,
        Some(StoreFault::ResetMidUpload(_)) | None => {}
    }
    if let Some(barrier) = shared.barrier(&request.method, &request.path, Side::Request) {
        barrier.pass().await;
    }
    let mut store = TcpStream::connect(shared.upstream).await?;
    store.set_nodelay(true)?;
    store.write_all(&request.bytes).await?;
    let mut answer = Vec::new();
    store.read_to_end(&mut answer).await?;
    if let Some(barrier) = shared.barrier(&request.method, &request.path, Side::Answer) {
        barrier.pass().await;
    }
    client.write_all(&answer).await?;
    if standing.is_none() {
        shared.book().answered += 1;
    }
    client.shutdown().await
}

struct Request {
    method: String,
    path: String,
    body_bytes: usize,
    /// As they go to the store: what was read, with the wish that the connection be closed.
    bytes: Vec<u8>,
    /// Where the body begins in them.
    body_at: usize,
}

impl Request {
    /// `None`: the client has closed.
    async fn read_head(client: &mut TcpStream) -> io::Result<Option<Request>> {
        let mut bytes = Vec::new();
        let head_bytes = loop {
            if let Some(at) = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END) {
                break at + HEAD_END.len();
            }
            if bytes.len() > HEAD_BYTES_MAX || client.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&bytes[..head_bytes]).into_owned();
        let mut words = head.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let length = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let body_bytes = length.and_then(|(_, length)| length.trim().parse().ok()).unwrap_or(0);
        let close = b"Connection: close\r\n";
        let line = head.find("\r\n").map_or(0, |at| at + 2);
        bytes.splice(line..line, close.iter().copied());
        Ok(Some(Request { method, path, body_bytes, bytes, body_at: head_bytes + close.len() }))
    }

    /// Up to `most` bytes of the body.
    async fn read_body(&mut self, client: &mut TcpStream, most: usize) -> io::Result<()> {
        let wanted = self.body_at + self.body_bytes.min(most);
        while self.bytes.len() < wanted {
            if client.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}
