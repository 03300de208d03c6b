//! One connection, frame by frame: four bytes of length, then in a request its kind, version and correlation id, in a
//! response the correlation id of its request.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::link::{Flow, Link, Side};

/// Longer frames than Kafka's own limit are no frames.
const FRAME_BYTES_MAX: usize = 100 << 20;
/// Frames that may be on the way, as in a network's buffers.
const ON_THE_WAY_MAX: usize = 64;

/// Correlation id -> kind, of requests without a response.
type Asked = Arc<Mutex<HashMap<i32, i16>>>;

struct Frame {
    bytes: Vec<u8>,
    api: Option<i16>,
    came: Instant,
}

/// Serves one connection until an end closes it or the link is reset.
pub(super) async fn connection(mut client: TcpStream, upstream: SocketAddr, link: &Link) {
    let mut flow = link.flow();
    let began = flow.borrow_and_update().resets;
    let mut resets = flow.clone();
    tokio::select! {
        biased;
        // First: of what was held nothing may pass any more, though its gate opens at the same time.
        _reset = resets.wait_for(|flow| flow.resets != began) => {}
        // An end that goes away is its own affair.
        _ended = serve(&mut client, upstream, link, flow) => return,
    }
    // Dropped with data on the way and without lingering: the peer gets a reset.
    let _ = client.set_zero_linger();
}

async fn serve(
    client: &mut TcpStream,
    upstream: SocketAddr,
    link: &Link,
    mut flow: watch::Receiver<Flow>,
) -> io::Result<()> {
    // Whoever connects through a cut network hears nothing, and is connected once it is back.
    let _ = flow.wait_for(|flow| !flow.cut).await;
    let began = *flow.borrow();
    let mut broker = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let ((from_client, to_client), (from_broker, to_broker)) = (client.split(), broker.split());
    let asked = Asked::default();
    let (request_in, request_out) = mpsc::channel(ON_THE_WAY_MAX);
    let (response_in, response_out) = mpsc::channel(ON_THE_WAY_MAX);
    let requests = read(from_client, Side::Request, link, &asked, request_in);
    let responses = read(from_broker, Side::Response, link, &asked, response_in);
    let (to_broker, to_client) = (
        write(to_broker, Side::Request, link, request_out, began),
        write(to_client, Side::Response, link, response_out, began),
    );
    tokio::try_join!(requests, responses, to_broker, to_client).map(drop)
}

async fn read(
    mut from: impl AsyncRead + Unpin,
    side: Side,
    link: &Link,
    asked: &Asked,
    on_the_way: mpsc::Sender<Frame>,
) -> io::Result<()> {
    while let Some(bytes) = next(&mut from).await? {
        let api = kind(&bytes, side, asked);
        if let (Some(api), Side::Request) = (api, side) {
            link.saw_request(api, bytes.len());
        }
        if on_the_way.send(Frame { bytes, api, came: Instant::now() }).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// A request says its kind; a response has that of the request with its correlation id.
fn kind(bytes: &[u8], side: Side, asked: &Asked) -> Option<i16> {
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    match side {
        Side::Request => {
            let (kind_and_version, id) = number(bytes, 4).zip(number(bytes, 8))?;
            let api = (kind_and_version >> 16) as i16;
            asked.insert(id, api);
            Some(api)
        }
        Side::Response => asked.remove(&number(bytes, 4)?),
    }
}

async fn write(
    mut to: impl AsyncWrite + Unpin,
    side: Side,
    link: &Link,
    mut on_the_way: mpsc::Receiver<Frame>,
    began: Flow,
) -> io::Result<()> {
    let mut flow = link.flow();
    while let Some(frame) = on_the_way.recv().await {
        let delay = flow.borrow().delay;
        tokio::time::sleep_until(frame.came + delay).await;
        link.let_pass(frame.api, side, &mut flow, began).await;
        to.write_all(&frame.bytes).await?;
    }
    // The end of a connection does not get through a cut network either.
    let _ = flow.wait_for(|flow| flow.passes(began)).await;
    to.shutdown().await
}

/// The next whole frame with its length; `None`: the end.
async fn next(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; 4];
    match from.read_exact(&mut bytes).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    };
    let length = number(&bytes, 0).and_then(|length| usize::try_from(length).ok());
    let Some(length) = length.filter(|length| *length <= FRAME_BYTES_MAX) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not Kafka's protocol"));
    };
    bytes.resize(4 + length, 0);
    from.read_exact(&mut bytes[4..]).await?;
    Ok(Some(bytes))
}

/// The four bytes at `at`.
fn number(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
