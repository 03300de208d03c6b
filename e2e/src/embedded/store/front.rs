//! What stands before s3s-fs: it makes puts as atomic as those of MinIO and versitygw, counts requests and places faults.
//!
//! s3s-fs looks whether an object exists, and only then writes its bytes, then its metadata. Here requests for one object
//! take turns, and one that has begun is finished even if its client dies, so that of many conditional puts one wins, and
//! nobody sees bytes without their metadata.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use axum::response::{IntoResponse as _, Response};
use s3s::service::S3Service;

use crate::gate::{Barrier, Gate};

/// What the requests are about to meet, and have met. Clones share it; it outlives a server that goes down.
#[derive(Clone, Debug, Default)]
pub(super) struct Front(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    /// Method and path -> where such a request waits before it is worked on.
    gates: HashMap<(String, String), Barrier>,
    /// Path -> methods, in the order in which they came.
    requests: BTreeMap<String, Vec<String>>,
    /// Path -> the turns of its requests.
    turns: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
    conditions_refused: bool,
}

impl Front {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds requests with this method for `path`, in place of the gate that stood there.
    pub(super) fn hold(&self, method: &str, path: &str) -> Gate {
        let (gate, barrier) = Gate::new(&format!("{method} {path}"));
        self.book().gates.insert((method.to_owned(), path.to_owned()), barrier);
        gate
    }

    /// Answers conditional puts as a store that does not know them.
    pub(super) fn refuse_conditions(&self) {
        self.book().conditions_refused = true;
    }

    /// The methods of the requests for `path`, in the order in which they came.
    pub(super) fn requests(&self, path: &str) -> Vec<String> {
        self.book().requests.get(path).cloned().unwrap_or_default()
    }

    /// Answers a request by `service`.
    pub(super) async fn answer(self, service: S3Service, request: Request) -> Response {
        let place = (request.method().to_string(), request.uri().path().to_owned());
        let conditional = [IF_MATCH, IF_NONE_MATCH].iter().any(|name| request.headers().contains_key(name));
        let (gate, turn, refused) = {
            let mut book = self.book();
            book.requests.entry(place.1.clone()).or_default().push(place.0.clone());
            let turn = book.turns.entry(place.1.clone()).or_default().clone();
            (book.gates.get(&place).cloned(), turn, conditional && book.conditions_refused)
        };
        if refused {
            let text = "<?xml version=\"1.0\"?><Error><Code>NotImplemented</Code><Message>A header you provided \
                        implies functionality that is not implemented</Message></Error>";
            return (StatusCode::NOT_IMPLEMENTED, [(CONTENT_TYPE, "application/xml")], text).into_response();
        }
        if let Some(gate) = gate {
            gate.pass().await;
        }
        let answering = tokio::spawn(async move {
            let _turn = turn.lock_owned().await;
            service.call(request.map(s3s::Body::http_body_unsync)).await
        });
        match answering.await {
            Ok(Ok(answer)) => answer.map(Body::new),
            broken => (StatusCode::INTERNAL_SERVER_ERROR, format!("{:?}", broken.err())).into_response(),
        }
    }
}
