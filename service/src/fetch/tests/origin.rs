//! An origin that answers by script, on a raw socket or behind TLS.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// What an answer is made of. A connection stays open for the next request unless a step closes it.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Until the other side has had enough.
    Repeat(Vec<u8>),
    /// The bytes one by one, and such a pause before each.
    Drip(Vec<u8>, Duration),
    Wait(Duration),
    /// Whatever the other side sends first.
    Read,
    /// Nothing more, until the other side closes.
    Hold,
    /// With TLS this says goodbye first.
    Close,
    /// Ends the connection in the middle, without TLS's goodbye.
    Drop,
    Reset,
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

type Scripts = HashMap<String, Vec<Vec<Step>>>;

/// When a script that is for every connection begins.
#[derive(Clone, Debug)]
enum ForAll {
    /// Before anything is read, and before any handshake.
    AtAccept(Vec<Step>),
    /// After the client's part of an HTTP/2 connection has come, up to its first request.
    AtStream(Vec<Step>),
}

#[derive(Default)]
struct State {
    scripts: Mutex<Scripts>,
    for_all: Mutex<Option<ForAll>>,
    requests: Mutex<Vec<String>>,
    /// The types of the HTTP/2 frames so far.
    frames: watch::Sender<Vec<u8>>,
}

pub(super) struct Origin {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    count: watch::Receiver<usize>,
    /// Connections so far, and those that are open.
    open: watch::Receiver<(usize, usize)>,
}

impl Origin {
    pub(super) async fn start() -> Origin {
        Origin::listen(None).await
    }

    /// The same behind TLS.
    pub(super) async fn start_tls(acceptor: TlsAcceptor) -> Origin {
        Origin::listen(Some(acceptor)).await
    }

    async fn listen(acceptor: Option<TlsAcceptor>) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let state = Arc::new(State::default());
        let (counted, count) = watch::channel(0);
        let (opened, open) = watch::channel((0, 0));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                opened.send_modify(|(all, open)| (*all, *open) = (*all + 1, *open + 1));
                let (state, counted, opened) = (Arc::clone(&shared), counted.clone(), opened.clone());
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    serve_connection(stream, acceptor, &state, &counted).await;
                    opened.send_modify(|(_, open)| *open -= 1);
                });
            }
        });
        Origin { address, scheme, state, count, open }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Answers every request for `path` by `script`; returns the URL.
    pub(super) fn serve(&self, path: &str, script: Vec<Step>) -> String {
        self.serve_in_turn(path, vec![script])
    }

    /// Answers by one script after the other, and by the last one from then on.
    pub(super) fn serve_in_turn(&self, path: &str, scripts: Vec<Vec<Step>>) -> String {
        let in_reverse = scripts.into_iter().rev().collect();
        self.state.scripts.lock().expect("not poisoned").insert(path.to_owned(), in_reverse);
        *self.state.for_all.lock().expect("not poisoned") = None;
        self.url(path)
    }

    /// Does `script` on every connection as soon as it is there; returns a URL.
    pub(super) fn serve_at_accept(&self, script: Vec<Step>) -> String {
        *self.state.for_all.lock().expect("not poisoned") = Some(ForAll::AtAccept(script));
        self.url("/picture")
    }

    /// Does `script`, which is made of frames, on every HTTP/2 connection that brought a request; returns a URL.
    pub(super) fn serve_at_stream(&self, script: Vec<Step>) -> String {
        *self.state.for_all.lock().expect("not poisoned") = Some(ForAll::AtStream(script));
        self.url("/picture")
    }

    /// The head of every request so far, in lower case but for its first line.
    pub(super) fn requests(&self) -> Vec<String> {
        self.state.requests.lock().expect("not poisoned").clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.open.borrow().0
    }

    /// Waits until the client has sent an HTTP/2 frame of this type.
    pub(super) async fn heard(&self, kind: u8) {
        let mut frames = self.state.frames.subscribe();
        let heard = frames.wait_for(|kinds| kinds.contains(&kind));
        let _ =
            tokio::time::timeout(PATIENCE, heard).await.expect("such a frame comes in time").expect("the origin lives");
    }

    /// Waits until `count` requests have come.
    pub(super) async fn requested(&self, count: usize) {
        self.count.clone().wait_for(|seen| *seen >= count).await.expect("the origin lives");
    }

    /// Waits until there was a connection, and none is open any more.
    pub(super) async fn released(&self) {
        self.open.clone().wait_for(|(all, open)| *all > 0 && *open == 0).await.expect("the origin lives");
    }
}

/// A connection, whatever is around it.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn serve_connection(
    mut stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    state: &State,
    counted: &watch::Sender<usize>,
) {
    let for_all = state.for_all.lock().expect("not poisoned").clone();
    if let Some(ForAll::AtAccept(script)) = for_all {
        run(&mut stream, script, None).await;
        return;
    }
    let Some(acceptor) = acceptor else { return serve_requests(&mut stream, state, counted).await };
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    match for_all {
        Some(ForAll::AtStream(script)) => {
            if read_until_request(&mut stream, state).await.is_some() {
                run(&mut stream, script, Some(&state.frames)).await;
            }
        }
        _ => serve_requests(&mut stream, state, counted).await,
    }
}

async fn serve_requests(stream: &mut dyn Wire, state: &State, counted: &watch::Sender<usize>) {
    while let Some(head) = read_head(stream).await {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
        let noted = format!("{first}\r\n{}", rest.to_ascii_lowercase());
        state.requests.lock().expect("not poisoned").push(noted);
        counted.send_modify(|count| *count += 1);
        let script = {
            let mut scripts = state.scripts.lock().expect("not poisoned");
            let turns = scripts.get_mut(&path).unwrap_or_else(|| panic!("nothing is served at {path}"));
            if turns.len() > 1 { turns.pop().expect("more than one") } else { turns[0].clone() }
        };
        if !run(stream, script, None).await {
            return;
        }
    }
}

/// Whether the connection is good for another request. What comes while holding still are frames, if there is a place to
/// note them.
async fn run(stream: &mut dyn Wire, script: Vec<Step>, frames: Option<&watch::Sender<Vec<u8>>>) -> bool {
    for step in script {
        let sent = match step {
            Step::Send(bytes) => send(stream, &bytes).await,
            Step::Repeat(bytes) => loop {
                if let Err(error) = send(stream, &bytes).await {
                    break Err(error);
                }
            },
            Step::Drip(bytes, pause) => drip(stream, &bytes, pause).await,
            Step::Wait(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Step::Read => stream.read(&mut [0; 4096]).await.map(drop),
            Step::Hold => {
                match frames {
                    Some(frames) => while read_frame(stream, frames).await.is_some() {},
                    None => drop(stream.read_to_end(&mut Vec::new()).await),
                }
                return false;
            }
            Step::Close => {
                let _ = stream.shutdown().await;
                return false;
            }
            Step::Drop => return false,
            Step::Reset => {
                let _ = stream.tcp().set_zero_linger();
                return false;
            }
        };
        if sent.is_err() {
            return false;
        }
    }
    true
}

async fn send(stream: &mut dyn Wire, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Ends with an error as soon as the other side has closed: a write alone would notice that late.
async fn drip(stream: &mut dyn Wire, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    for byte in bytes {
        let mut heard = [0; 256];
        match tokio::time::timeout(pause, stream.read(&mut heard)).await {
            Ok(Ok(0)) => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(_)) | Err(_) => {}
        }
        send(stream, &[*byte]).await?;
    }
    Ok(())
}

async fn read_head(stream: &mut dyn Wire) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

const PREFACE: usize = 24;
const HEADERS: u8 = 1;

/// The client's preface and its frames up to the first request.
async fn read_until_request(stream: &mut dyn Wire, state: &State) -> Option<()> {
    let mut preface = [0; PREFACE];
    stream.read_exact(&mut preface).await.ok()?;
    while read_frame(stream, &state.frames).await? != HEADERS {}
    Some(())
}

/// The type of the client's next frame, which is noted.
async fn read_frame(stream: &mut dyn Wire, frames: &watch::Sender<Vec<u8>>) -> Option<u8> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).expect("fits")];
    stream.read_exact(&mut payload).await.ok()?;
    frames.send_modify(|kinds| kinds.push(head[3]));
    Some(head[3])
}
