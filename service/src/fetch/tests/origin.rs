//! An origin that answers by script.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What an answer is made of. A connection stays open for the next request unless a step closes it.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Until the other side has had enough.
    Repeat(Vec<u8>),
    Wait(Duration),
    Close,
    Reset,
}

type Scripts = HashMap<String, Vec<Vec<Step>>>;

#[derive(Default)]
struct State {
    scripts: Mutex<Scripts>,
    for_all: Mutex<Option<Vec<Step>>>,
    requests: Mutex<Vec<String>>,
    connections: Mutex<usize>,
}

pub(super) struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    count: watch::Receiver<usize>,
}

impl Origin {
    pub(super) async fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let (counted, count) = watch::channel(0);
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *shared.connections.lock().expect("not poisoned") += 1;
                let (state, counted) = (Arc::clone(&shared), counted.clone());
                tokio::spawn(async move { serve(stream, &state, &counted).await });
            }
        });
        Origin { address, state, count }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers every request for `path` by `script`; returns the URL.
    pub(super) fn serve(&self, path: &str, script: Vec<Step>) -> String {
        self.serve_in_turn(path, vec![script])
    }

    /// Answers by one script after the other, and by the last one from then on.
    pub(super) fn serve_in_turn(&self, path: &str, scripts: Vec<Vec<Step>>) -> String {
        let in_reverse = scripts.into_iter().rev().collect();
        self.state.scripts.lock().expect("not poisoned").insert(path.to_owned(), in_reverse);
        format!("http://{}{path}", self.address)
    }

    /// Does `script` on every connection, whatever it brings.
    pub(super) fn serve_all(&self, script: Vec<Step>) {
        *self.state.for_all.lock().expect("not poisoned") = Some(script);
    }

    /// The head of every request so far, in lower case but for its first line.
    pub(super) fn requests(&self) -> Vec<String> {
        self.state.requests.lock().expect("not poisoned").clone()
    }

    pub(super) fn connections(&self) -> usize {
        *self.state.connections.lock().expect("not poisoned")
    }

    /// Waits until `count` requests have come.
    pub(super) async fn requested(&self, count: usize) {
        self.count.clone().wait_for(|seen| *seen >= count).await.expect("the origin lives");
    }
}

async fn serve(mut stream: TcpStream, state: &State, counted: &watch::Sender<usize>) {
    let for_all = state.for_all.lock().expect("not poisoned").clone();
    if let Some(script) = for_all {
        let _ = stream.read(&mut [0; 1024]).await;
        run(&mut stream, script).await;
        return;
    }
    while let Some(head) = read_head(&mut stream).await {
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
        if !run(&mut stream, script).await {
            return;
        }
    }
}

/// Whether the connection is good for another request.
async fn run(stream: &mut TcpStream, script: Vec<Step>) -> bool {
    for step in script {
        let sent = match step {
            Step::Send(bytes) => stream.write_all(&bytes).await,
            Step::Repeat(bytes) => loop {
                if let Err(error) = stream.write_all(&bytes).await {
                    break Err(error);
                }
            },
            Step::Wait(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Step::Close => return false,
            Step::Reset => {
                let _ = stream.set_zero_linger();
                return false;
            }
        };
        if sent.is_err() {
            return false;
        }
    }
    true
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
