use super::*;
use crate::containers::http::{ask, client};
use crate::expect::PATIENCE;
use crate::origin::Origin;

/// An origin in the store's place: it answers GETs.
async fn before_an_origin() -> (Origin, StoreProxy) {
    let here = IpAddr::from([127, 0, 0, 1]);
    let origin = Origin::start(SocketAddr::new(here, 0)).await.unwrap();
    let proxy = StoreProxy::start(here, origin.address()).await.unwrap();
    (origin, proxy)
}

async fn get(proxy: &StoreProxy, path: &str) -> Result<u16, String> {
    let asked = ask(client().get(format!("{}{path}", proxy.endpoint()))).await;
    asked.map(|answer| answer.status).map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn what_is_not_held_passes_and_what_is_waits_on_its_side() {
    let (origin, proxy) = before_an_origin().await;
    assert_eq!(get(&proxy, "/grey.jpg").await, Ok(200));
    proxy.passes(PATIENCE).await.unwrap();
    for held_as_request in [true, false] {
        let path = if held_as_request { "/n/1/grey.jpg" } else { "/n/2/grey.jpg" };
        let part = if held_as_request { "n/1" } else { "n/2" };
        let gate = if held_as_request { proxy.hold_requests("GET", part) } else { proxy.hold_answers("GET", part) };
        let (there, path_there) = (proxy.clone(), path.to_owned());
        let asked = tokio::spawn(async move { get(&there, &path_there).await });
        gate.reached().await;
        assert_eq!(origin.requests(path).is_empty(), held_as_request, "{path}");
        assert_eq!(get(&proxy, "/grey.jpg").await, Ok(200), "another passes meanwhile");
        gate.open();
        assert_eq!(asked.await.unwrap(), Ok(200));
    }
}

#[tokio::test]
async fn each_fault_bites_and_is_healed() {
    let (_origin, proxy) = before_an_origin().await;
    proxy.break_by(StoreFault::Status(503));
    assert_eq!(get(&proxy, "/grey.jpg").await, Ok(503));
    proxy.bites(PATIENCE).await.unwrap();
    proxy.break_by(StoreFault::ResetMidUpload(10));
    assert!(get(&proxy, "/grey.jpg").await.is_err(), "it is reset");
    proxy.break_by(StoreFault::Silent);
    let there = proxy.clone();
    let asked = tokio::spawn(async move { get(&there, "/grey.jpg").await });
    proxy.bites(PATIENCE).await.unwrap();
    proxy.heal();
    assert!(asked.await.unwrap().is_err(), "who waited gets no answer");
    assert_eq!(get(&proxy, "/grey.jpg").await, Ok(200));
    proxy.passes(PATIENCE).await.unwrap();
}
