//! Each fault of a link bites, and is gone when it is taken away, against a broker that answers every request with its
//! correlation id.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::expect::{PATIENCE, eventually};
use crate::kafka::Api;

/// Long enough for what is not held up, and short enough to wait for in vain.
const SOON: Duration = Duration::from_millis(300);

struct World {
    proxy: Proxy,
    link: Link,
    /// Correlation ids of the requests that the broker got.
    got: mpsc::UnboundedReceiver<i32>,
}

async fn world() -> World {
    let broker = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let upstream = broker.local_addr().unwrap();
    let (seen, got) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = broker.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut request = [0; 12];
                while client.read_exact(&mut request).await.is_ok() {
                    let id: [u8; 4] = request[8..].try_into().unwrap();
                    seen.send(i32::from_be_bytes(id)).unwrap();
                    client.write_all(&[&4_i32.to_be_bytes()[..], &id].concat()).await.unwrap();
                }
            });
        }
    });
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), upstream).await.unwrap();
    let link = proxy.link(Ipv4Addr::LOCALHOST.into());
    World { proxy, link, got }
}

impl World {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.proxy.address()).await.unwrap()
    }
}

async fn ask(client: &mut TcpStream, api: Api, id: i32) {
    let request = [&8_i32.to_be_bytes()[..], &api.number().to_be_bytes(), &9_i16.to_be_bytes(), &id.to_be_bytes()];
    client.write_all(&request.concat()).await.unwrap();
}

async fn answer(client: &mut TcpStream) -> std::io::Result<i32> {
    let mut response = [0; 8];
    client.read_exact(&mut response).await?;
    Ok(i32::from_be_bytes(response[4..].try_into().unwrap()))
}

async fn no_answer(client: &mut TcpStream) {
    let waited = tokio::time::timeout(SOON, answer(client)).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test]
async fn what_nobody_breaks_passes_and_is_counted() {
    let world = world().await;
    let mut client = world.connect().await;
    ask(&mut client, Api::Produce, 1).await;
    ask(&mut client, Api::OffsetCommit, 2).await;
    assert_eq!((answer(&mut client).await.unwrap(), answer(&mut client).await.unwrap()), (1, 2));
    assert_eq!(world.link.request_bytes(Api::OffsetCommit), [12]);
    assert!(world.link.request_bytes(Api::Fetch).is_empty());
}

#[tokio::test]
async fn a_cut_swallows_and_tells_nobody_until_it_is_restored() {
    let mut world = world().await;
    let mut client = world.connect().await;
    ask(&mut client, Api::Produce, 1).await;
    assert_eq!(answer(&mut client).await.unwrap(), 1);
    world.link.cut();
    ask(&mut client, Api::Produce, 2).await;
    world.link.bites().await;
    let mut later = world.connect().await;
    ask(&mut later, Api::Produce, 3).await;
    no_answer(&mut client).await;
    no_answer(&mut later).await;
    assert_eq!(world.got.recv().await, Some(1));
    assert!(world.got.try_recv().is_err(), "nothing reached the broker");
    world.link.restore();
    assert_eq!((answer(&mut client).await.unwrap(), answer(&mut later).await.unwrap()), (2, 3));
}

#[tokio::test]
async fn what_was_held_when_its_connection_was_reset_never_passes() {
    let mut world = world().await;
    // Who is woken by both, the reset and the open gate, must not take the gate: one of two would, by chance.
    for id in 1..=20 {
        let gate = world.link.hold_requests(Api::Produce);
        let mut client = world.connect().await;
        ask(&mut client, Api::Produce, id).await;
        gate.reached().await;
        world.link.reset();
        drop(gate);
        assert!(answer(&mut client).await.is_err(), "{id} was answered");
    }
    let mut later = world.connect().await;
    ask(&mut later, Api::Produce, 99).await;
    answer(&mut later).await.unwrap();
    assert_eq!(world.got.recv().await, Some(99), "the broker saw what was held");
}

#[tokio::test]
async fn connections_that_were_forgotten_stay_dead_and_new_ones_pass() {
    let world = world().await;
    let mut client = world.connect().await;
    ask(&mut client, Api::Produce, 1).await;
    answer(&mut client).await.unwrap();
    world.link.cut();
    world.link.restore_for_new_connections();
    let mut later = world.connect().await;
    ask(&mut client, Api::Produce, 2).await;
    ask(&mut later, Api::Produce, 3).await;
    assert_eq!(answer(&mut later).await.unwrap(), 3);
    no_answer(&mut client).await;
}

#[tokio::test]
async fn a_reset_ends_every_connection_and_welcomes_new_ones() {
    let mut world = world().await;
    let mut client = world.connect().await;
    let gate = world.link.hold_requests(Api::Produce);
    ask(&mut client, Api::Produce, 1).await;
    gate.reached().await;
    world.link.reset();
    let error = answer(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    gate.open();
    let mut later = world.connect().await;
    ask(&mut later, Api::Produce, 2).await;
    assert_eq!(answer(&mut later).await.unwrap(), 2);
    assert_eq!((world.got.recv().await, world.got.try_recv().is_err()), (Some(2), true), "what was held is gone");
}

#[tokio::test]
async fn a_held_request_never_reaches_the_broker_and_others_do() {
    let mut world = world().await;
    let (mut commits, mut others) = (world.connect().await, world.connect().await);
    let gate = world.link.hold_requests(Api::OffsetCommit);
    ask(&mut commits, Api::OffsetCommit, 1).await;
    gate.reached().await;
    ask(&mut others, Api::Produce, 2).await;
    assert_eq!(answer(&mut others).await.unwrap(), 2);
    assert_eq!((world.got.recv().await, world.got.try_recv().is_err()), (Some(2), true));
    gate.open();
    assert_eq!((answer(&mut commits).await.unwrap(), world.got.recv().await), (1, Some(1)));
}

#[tokio::test]
async fn a_held_response_was_done_but_nobody_knows() {
    let mut world = world().await;
    let mut client = world.connect().await;
    let gate = world.link.hold_responses(Api::OffsetCommit);
    ask(&mut client, Api::Produce, 1).await;
    ask(&mut client, Api::OffsetCommit, 2).await;
    gate.reached().await;
    assert_eq!(answer(&mut client).await.unwrap(), 1);
    assert_eq!((world.got.recv().await, world.got.recv().await), (Some(1), Some(2)));
    no_answer(&mut client).await;
    gate.open();
    assert_eq!(answer(&mut client).await.unwrap(), 2);
}

#[tokio::test]
async fn a_delay_makes_each_frame_late() {
    let world = world().await;
    let mut client = world.connect().await;
    world.link.delay(SOON / 2);
    let asked = Instant::now();
    ask(&mut client, Api::Produce, 1).await;
    answer(&mut client).await.unwrap();
    assert!(asked.elapsed() >= SOON, "once each way: {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_later_container_with_the_same_address_has_a_link_of_its_own() {
    let world = world().await;
    world.link.cut();
    // It may connect before the test asks for its link, and then meets what was done to the former one.
    let mut early = world.connect().await;
    ask(&mut early, Api::Produce, 1).await;
    no_answer(&mut early).await;
    let link = world.proxy.link(Ipv4Addr::LOCALHOST.into());
    answer(&mut early).await.unwrap_err();
    let mut later = world.connect().await;
    ask(&mut later, Api::Produce, 2).await;
    assert_eq!(answer(&mut later).await.unwrap(), 2);
    assert_eq!(link.request_bytes(Api::Produce), [12]);
    world.proxy.forget(&world.link);
    ask(&mut later, Api::Produce, 3).await;
    assert_eq!(answer(&mut later).await.unwrap(), 3, "the end of the former one is nothing to it");
}

#[tokio::test]
async fn who_ends_a_connection_ends_it_for_both() {
    let world = world().await;
    let mut client = world.connect().await;
    client.shutdown().await.unwrap();
    eventually("the broker's end is closed too", PATIENCE, async || match answer(&mut client).await {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
