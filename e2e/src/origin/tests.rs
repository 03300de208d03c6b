use super::*;

async fn origin() -> Origin {
    Origin::start("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

fn client() -> reqwest::Client {
    // The provider may have been chosen by another test.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

#[tokio::test]
async fn copies_of_a_fixture_are_counted_apart() {
    let (origin, client) = (origin().await, client());
    for path in ["/n/1/grey.jpg", "/n/2/grey.jpg", "/n/2/grey.jpg?size=large", "/grey.jpg"] {
        let body = client.get(origin.url(path)).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(Some(body), fixtures::image_bytes("grey.jpg"), "{path}");
    }
    assert_eq!(client.get(origin.url("/none.jpg")).send().await.unwrap().status(), 404);
    let counts = origin.request_counts();
    assert_eq!((counts["/n/1/grey.jpg"], counts["/n/2/grey.jpg"], counts["/none.jpg"]), (1, 2, 1));
    assert_eq!(origin.requests("/n/2/grey.jpg")[1].target, "/n/2/grey.jpg?size=large");
    assert!(origin.connections() < 5, "connections are kept alive: {}", origin.connections());
}

#[tokio::test]
async fn a_gate_holds_until_it_is_opened_and_tells_who_came() {
    let (origin, client) = (origin().await, client());
    let (url, gate) = origin.hold("/cat.jpg");
    let mut answer = tokio::spawn(client.get(url).send());
    gate.reached().await;
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut answer).await.is_err(), "it was not held");
    gate.open();
    let body = answer.await.unwrap().unwrap().bytes().await.unwrap();
    assert_eq!(Some(body), fixtures::image_bytes(PHOTOGRAPH));
    assert_eq!(gate.count(), 1);
}

#[tokio::test]
async fn a_gate_that_is_dropped_opens() {
    let (origin, client) = (origin().await, client());
    let (url, gate) = origin.hold_after("/cat.jpg", 1000);
    let answer = tokio::spawn(async move { client.get(url).send().await?.bytes().await });
    gate.reached().await;
    drop(gate);
    assert_eq!(Some(answer.await.unwrap().unwrap()), fixtures::image_bytes(PHOTOGRAPH));
}

#[tokio::test]
async fn a_gate_in_the_body_lets_the_first_bytes_through() {
    let (origin, client) = (origin().await, client());
    let (url, gate) = origin.hold_after("/cat.jpg", 1000);
    let mut response = client.get(url).send().await.unwrap();
    let mut received = 0;
    while received < 1000 {
        received += response.chunk().await.unwrap().unwrap().len();
    }
    gate.reached().await;
    assert_eq!(received, 1000);
    assert!(tokio::time::timeout(Duration::from_millis(100), response.chunk()).await.is_err(), "it was not held");
}

#[tokio::test]
async fn a_fault_for_some_requests_ends_after_them() {
    let (origin, client) = (origin().await, client());
    let fault = Fault::Status { status: 503, retry_after: Some(Duration::from_secs(7)) };
    let url = origin.fault_times("/grey.jpg", fault, 2);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = client.get(url.clone()).send().await.unwrap();
        let asked = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        statuses.push((answer.status().as_u16(), asked));
    }
    assert_eq!(statuses, [(503, Some("7".into())), (503, Some("7".into())), (200, None)]);
}

#[tokio::test]
async fn every_way_to_break_a_body_breaks_it_and_healing_mends_it() {
    let (origin, client) = (origin().await, client());
    for fault in [Fault::Truncate { after: 100 }, Fault::Reset { after: 100 }] {
        let url = origin.fault("/grey.jpg", fault.clone());
        let answer = client.get(url.clone()).send().await;
        let body = match answer {
            Ok(answer) => answer.bytes().await,
            Err(error) => Err(error),
        };
        assert!(body.is_err(), "{fault:?}");
        origin.heal("/grey.jpg");
        let body = client.get(url).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(Some(body), fixtures::image_bytes("grey.jpg"));
    }
}

#[tokio::test]
async fn a_drip_is_slow_and_whole_a_redirect_points_and_endless_does_not_end() {
    let (origin, client) = (origin().await, client());
    let began = Instant::now();
    origin.serve("/drip", vec![7; 50]);
    let url = origin.drip("/drip", 10, Duration::from_millis(20));
    assert_eq!(client.get(url).send().await.unwrap().bytes().await.unwrap(), vec![7; 50]);
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());

    let answer = client.get(origin.redirect("/moved", "http://127.0.0.1:1/x")).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (302, &"http://127.0.0.1:1/x".parse().unwrap())
    );

    let mut answer = client.get(origin.fault("/endless", Fault::Endless)).send().await.unwrap();
    let (mut received, once) = (0, origin.body("/endless").unwrap().len());
    while received < 3 * once {
        received += answer.chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_path_is_noted_for_as_long_as_it_is() {
    let (origin, client, faults) = (origin().await, client(), Faults::default());
    origin.notes_in(&faults);
    let open = || {
        let open = faults.entries().into_iter().filter(|entry| entry.ended_ms.is_none());
        open.map(|entry| (entry.what, entry.path)).collect::<Vec<_>>()
    };
    let noted = |what: &str| vec![(what.to_owned(), Some("/grey.jpg".to_owned()))];
    let (_url, gate) = origin.hold("/grey.jpg");
    assert_eq!(open(), noted("origin: /grey.jpg is held"));
    gate.open();
    assert_eq!(open(), []);
    let url = origin.fail("/grey.jpg", 503, None);
    assert_eq!(open(), noted("origin: /grey.jpg answers 503"));
    origin.truncate("/grey.jpg", 100);
    assert_eq!(open(), noted("origin: /grey.jpg ends after 100 bytes"), "in place of the former");
    origin.heal("/grey.jpg");
    assert_eq!(open(), []);
    origin.fault_times("/grey.jpg", Fault::Status { status: 404, retry_after: None }, 1);
    assert_eq!(open(), noted("origin: /grey.jpg answers 404"));
    client.get(url).send().await.unwrap();
    assert_eq!(open(), [], "used up");
}
