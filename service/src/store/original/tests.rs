//! Which requests a put of an original comes to, against a stub that answers as it is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Method, Request, Response};

use super::*;
use crate::config::Settings;
use crate::error::{Class, Classified as _, Dependency};
use crate::task::Task;

const BYTES: &[u8] = b"a picture";
const OURS: &str = "urls_new/3/42/1763856000000";

fn ours() -> RecordIdentity {
    RecordIdentity::of("urls_new", 3, 42, Some(1_763_856_000_000))
}

/// An answer: status, code of the error in its body, headers.
type Canned = (u16, &'static str, Vec<(&'static str, String)>);

/// A store that gives its answers in their order, and notes what it was asked.
struct Stub {
    store: Store,
    asked: Arc<Mutex<Vec<Request<()>>>>,
}

async fn stub(answers: Vec<Canned>, conditional: &str) -> Stub {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (noted, answers) = (asked.clone(), Arc::new(Mutex::new(answers.into_iter())));
    let answer = move |request: Request<Body>| {
        let (parts, _body) = request.into_parts();
        noted.lock().unwrap().push(Request::from_parts(parts, ()));
        let (status, code, headers) = answers.lock().unwrap().next().expect("one more answer");
        let body = if code.is_empty() { String::new() } else { format!("<Error><Code>{code}</Code></Error>") };
        let answer = Response::builder().status(status);
        let answer = headers.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value));
        std::future::ready(answer.body(Body::from(body)).unwrap())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    let settings = [
        ("S3_ENDPOINT", endpoint.as_str()),
        ("S3_ACCESS", "a"),
        ("S3_SECRET", "s"),
        ("SOURCE_BYTES_MAX", "1KiB"),
        ("S3_CONDITIONAL_PUTS", conditional),
    ];
    let settings = settings.map(|(name, value)| (name.into(), value.into()));
    let store = Store::new(&Settings::load(settings, &HashMap::new()).unwrap()).unwrap();
    Stub { store, asked }
}

impl Stub {
    async fn put(&self, unusable: Option<&Original>) -> Result<Claim, StoreError> {
        let (bytes, sha256) = (Bytes::from_static(BYTES), Sha256::digest(BYTES).into());
        let object = Object { bytes: &bytes, sha256: &sha256, content_type: "image/png", source_sha256: &sha256 };
        self.store.put_original(&key(), object, &ours(), unusable).await
    }

    /// Each request as its method, and the condition it made.
    fn asked(&self) -> Vec<(Method, Option<String>)> {
        let condition = |request: &Request<()>| {
            let headers = request.headers();
            let value = headers.get(IF_NONE_MATCH).or(headers.get(IF_MATCH))?;
            Some(value.to_str().unwrap().to_owned())
        };
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|request| (request.method().clone(), condition(request))).collect()
    }
}

fn key() -> ObjectKey {
    let task = Task {
        correlation_id: 7,
        url: "http://example.com/".into(),
        target_path: "originals/7".into(),
        target_thumbnail_path: "thumbnails/7".into(),
    };
    task.vet().unwrap().original_key
}

fn absent() -> (Method, Option<String>) {
    (Method::PUT, Some("*".into()))
}

fn still(version: &str) -> (Method, Option<String>) {
    (Method::PUT, Some(version.into()))
}

fn head() -> (Method, Option<String>) {
    (Method::HEAD, None)
}

/// The answer to a HEAD of an object like this.
fn found(record: Option<&str>, sha256: Option<&str>, length: u64) -> Canned {
    let named = |name, value: Option<&str>| value.map(|value| (name, value.to_owned()));
    let metadata = [named("x-amz-meta-record", record), named("x-amz-meta-source-sha256", sha256)];
    let plain = [("content-length", length.to_string()), ("etag", "\"v1\"".to_owned())];
    (200, "", metadata.into_iter().flatten().chain(plain).collect())
}

const CREATED: Canned = (200, "", Vec::new());
const TAKEN: Canned = (412, "PreconditionFailed", Vec::new());

#[tokio::test]
async fn where_nothing_is_stored_one_put_names_the_record_and_its_condition() {
    let stub = stub(vec![CREATED], "true").await;
    assert_eq!(stub.put(None).await.unwrap(), Claim::Stored);
    assert_eq!(stub.asked(), [absent()]);
    let asked = stub.asked.lock().unwrap();
    let headers = asked[0].headers();
    assert_eq!(asked[0].uri().path(), "/images/originals/7");
    assert_eq!(headers["x-amz-meta-record"], OURS);
    assert_eq!(headers["x-amz-meta-source-sha256"], hex(&Sha256::digest(BYTES).into()));
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(headers["content-length"], BYTES.len().to_string());
    let signed = headers["authorization"].to_str().unwrap();
    for name in ["if-none-match", "x-amz-checksum-sha256", "x-amz-meta-record"] {
        assert!(signed.contains(name), "{name} is not signed: {signed}");
    }
}

#[tokio::test]
async fn an_original_of_the_same_record_decides() {
    for taken in [TAKEN, (409, "ConditionalRequestConflict", Vec::new())] {
        let stub = stub(vec![taken, found(Some(OURS), Some("5ha"), 9)], "true").await;
        let Claim::Decided(original) = stub.put(None).await.unwrap() else { panic!("it was put over") };
        assert_eq!((original.bytes(), original.sha256.as_str()), (9, "5ha"));
        assert_eq!(stub.asked(), [absent(), head()]);
    }
}

#[tokio::test]
async fn what_cannot_be_an_original_of_the_record_is_replaced_in_the_version_that_was_seen() {
    for (foreign, why) in [
        (found(Some("urls_new/3/42/1763856000001"), Some("5ha"), 9), "another record"),
        (found(None, Some("5ha"), 9), "no identity"),
        (found(Some(OURS), None, 9), "no hash"),
        (found(Some(OURS), Some("5ha"), 0), "empty"),
        (found(Some(OURS), Some("5ha"), 1025), "too large"),
    ] {
        let stub = stub(vec![TAKEN, foreign, CREATED], "true").await;
        assert_eq!(stub.put(None).await.unwrap(), Claim::Replaced, "{why}");
        assert_eq!(stub.asked(), [absent(), head(), still("\"v1\"")], "{why}");
    }
}

#[tokio::test]
async fn one_that_turned_out_unusable_is_replaced_but_not_a_newer_version_of_it() {
    let ours = || found(Some(OURS), Some("5ha"), 9);
    let version = |text| Some(HeaderValue::from_static(text));
    let unusable = Original { bytes: 9, sha256: "5ha".into(), version: version("\"v1\"") };
    let same = stub(vec![TAKEN, ours(), CREATED], "true").await;
    assert_eq!(same.put(Some(&unusable)).await.unwrap(), Claim::Replaced);
    let older = Original { version: version("\"v0\""), ..unusable };
    let newer = stub(vec![TAKEN, ours()], "true").await;
    assert!(matches!(newer.put(Some(&older)).await.unwrap(), Claim::Decided(_)));
}

#[tokio::test]
async fn whoever_is_overtaken_decides_anew() {
    // Another owner replaces the foreign object first.
    let answers = vec![TAKEN, found(None, None, 9), TAKEN, found(Some(OURS), Some("5ha"), 9)];
    let overtaken = stub(answers, "true").await;
    assert!(matches!(overtaken.put(None).await.unwrap(), Claim::Decided(_)));
    // It is deleted before it is looked at, or before it is replaced.
    let answers = vec![
        TAKEN,
        (404, "", vec![]),
        TAKEN,
        found(None, None, 9),
        (404, "NoSuchKey", vec![]),
        (404, "", vec![]),
        CREATED,
    ];
    let deleted = stub(answers, "true").await;
    assert_eq!(deleted.put(None).await.unwrap(), Claim::Stored);
    assert_eq!(deleted.asked(), [absent(), head(), absent(), head(), still("\"v1\""), head(), absent()]);
    // Without end: the store is out of order, and the work waits.
    let answers = (0..ROUNDS_MAX).flat_map(|_| [TAKEN, (404, "", vec![])]).collect();
    let error = stub(answers, "true").await.put(None).await.unwrap_err();
    assert_eq!(error.class(), Class::Infrastructure(Dependency::Store), "{error}");
}

#[tokio::test]
async fn without_conditional_puts_it_is_put_over_whatever_is_there() {
    let stub = stub(vec![CREATED], "false").await;
    assert_eq!(stub.put(None).await.unwrap(), Claim::Stored);
    assert_eq!(stub.asked(), [(Method::PUT, None)]);
    assert_eq!(stub.asked.lock().unwrap()[0].headers()["x-amz-meta-record"], OURS);
}

#[tokio::test]
async fn a_store_that_does_not_know_the_condition_is_told_from_one_that_is_down() {
    let error = stub(vec![(501, "NotImplemented", vec![])], "true").await.put(None).await.unwrap_err();
    assert!(error.to_string().contains("S3_CONDITIONAL_PUTS=false"), "{error}");
    assert_eq!(error.class(), Class::Infrastructure(Dependency::Store));
    let plain = stub(vec![(501, "NotImplemented", vec![])], "false").await.put(None).await.unwrap_err();
    assert!(!plain.to_string().contains("S3_CONDITIONAL_PUTS"), "{plain}");
}

#[tokio::test]
async fn a_stored_original_is_read_only_as_it_was_described() {
    let body = || (200, "damaged", vec![]);
    let text = "<Error><Code>damaged</Code></Error>";
    let sha256: [u8; 32] = Sha256::digest(text).into();
    let original = |bytes, sha256: String| Original { bytes, sha256, version: None };
    let length = u64::try_from(text.len()).unwrap();
    for (described, usable) in [
        (original(length, hex(&sha256)), true),
        (original(length, hex(&[0; 32])), false),
        (original(length - 1, hex(&sha256)), false),
    ] {
        let stub = stub(vec![body()], "true").await;
        let read = stub.store.get_original(&key(), &described).await.unwrap();
        assert_eq!(read, usable.then(|| (Bytes::from_static(text.as_bytes()), sha256)), "{described:?}");
    }
    let gone = stub(vec![(404, "NoSuchKey", vec![])], "true").await;
    assert_eq!(gone.store.get_original(&key(), &original(1, String::new())).await.unwrap(), None);
}
