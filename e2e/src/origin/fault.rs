//! What an origin can do to a request, and how it looks on the wire. Raw bytes, because no HTTP library would lie.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::gate::Barrier;

/// How a path misbehaves.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers with this status and no picture.
    Status {
        /// The HTTP status.
        status: u16,
        /// Value of `Retry-After`, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// Answers as late as this, with this status or, where there is none, with the picture.
    Late {
        /// From the request to the answer's first byte.
        by: Duration,
        /// The HTTP status of an answer without a picture.
        status: Option<u16>,
    },
    /// Announces the whole body and closes after so many bytes of it.
    Truncate {
        /// Bytes of the body that are sent.
        after: usize,
    },
    /// Sends so many bytes of the body, then resets the connection.
    Reset {
        /// Bytes of the body that are sent.
        after: usize,
    },
    /// Sends the body in small pieces with pauses between them.
    Drip {
        /// Bytes of a piece.
        piece: usize,
        /// Time between two pieces.
        every: Duration,
    },
    /// Redirects to this place.
    Redirect {
        /// Value of `Location`.
        to: String,
    },
    /// Sends the body again and again without end and without a length.
    Endless,
    /// Holds the request at a gate, after so many bytes of the body, or before the answer begins.
    #[doc(hidden)]
    Hold {
        /// `None`: before the first byte of the answer.
        after: Option<usize>,
        /// Where it waits.
        barrier: Held,
    },
}

impl fmt::Display for Fault {
    /// What the path does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Status { status, .. } => write!(f, "answers {status}"),
            Fault::Late { by, status: None } => write!(f, "answers {by:?} late"),
            Fault::Late { by, status: Some(status) } => write!(f, "answers {status}, {by:?} late"),
            Fault::Truncate { after } => write!(f, "ends after {after} bytes"),
            Fault::Reset { after } => write!(f, "is reset after {after} bytes"),
            Fault::Drip { piece, every } => write!(f, "sends {piece} bytes every {every:?}"),
            Fault::Redirect { to } => write!(f, "redirects to {to}"),
            Fault::Endless => write!(f, "never ends"),
            Fault::Hold { after: None, .. } => write!(f, "is held"),
            Fault::Hold { after: Some(after), .. } => write!(f, "is held after {after} bytes"),
        }
    }
}

/// The origin's end of a gate; made by `Origin::hold`.
#[derive(Clone, Debug)]
pub struct Held(pub(super) Barrier);

/// Writes the answer. `Ok(true)`: the connection can serve another request.
pub(super) async fn answer(
    stream: &mut TcpStream,
    body: Option<Bytes>,
    fault: Option<&Fault>,
) -> std::io::Result<bool> {
    let Some(body) = body else {
        return status(stream, 404, None).await;
    };
    match fault {
        None => whole(stream, &body).await,
        Some(Fault::Status { status: code, retry_after }) => status(stream, *code, *retry_after).await,
        Some(Fault::Late { by, status: code }) => {
            tokio::time::sleep(*by).await;
            match code {
                Some(code) => status(stream, *code, None).await,
                None => whole(stream, &body).await,
            }
        }
        Some(Fault::Redirect { to }) => {
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            Ok(true)
        }
        Some(Fault::Truncate { after }) => {
            begin(stream, &body, *after).await?;
            stream.shutdown().await?;
            Ok(false)
        }
        Some(Fault::Reset { after }) => {
            begin(stream, &body, *after).await?;
            stream.set_zero_linger()?;
            Ok(false)
        }
        Some(Fault::Drip { piece, every }) => {
            stream.write_all(head(body.len()).as_bytes()).await?;
            for part in body.chunks((*piece).max(1)) {
                stream.write_all(part).await?;
                tokio::time::sleep(*every).await;
            }
            Ok(true)
        }
        Some(Fault::Endless) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(if body.is_empty() { b"\0" } else { &body }).await?;
            }
        }
        Some(Fault::Hold { after: None, barrier }) => {
            barrier.0.pass().await;
            whole(stream, &body).await
        }
        Some(Fault::Hold { after: Some(after), barrier }) => {
            begin(stream, &body, *after).await?;
            barrier.0.pass().await;
            stream.write_all(body.get(*after..).unwrap_or_default()).await?;
            Ok(true)
        }
    }
}

async fn whole(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<bool> {
    stream.write_all(head(body.len()).as_bytes()).await?;
    stream.write_all(body).await?;
    Ok(true)
}

/// The header and the first bytes of the body.
async fn begin(stream: &mut TcpStream, body: &[u8], bytes: usize) -> std::io::Result<()> {
    stream.write_all(head(body.len()).as_bytes()).await?;
    stream.write_all(body.get(..bytes).unwrap_or(body)).await?;
    stream.flush().await
}

async fn status(stream: &mut TcpStream, code: u16, retry_after: Option<Duration>) -> std::io::Result<bool> {
    let retry_after = retry_after.map_or_else(String::new, |wait| format!("Retry-After: {}\r\n", wait.as_secs()));
    let head = format!("HTTP/1.1 {code} Because\r\n{retry_after}Content-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    Ok(true)
}

/// The content type says nothing, so that whoever trusts it is found out.
fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n")
}
