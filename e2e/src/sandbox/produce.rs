//! Tasks and other records of one sandbox, each entered into the ledger with what should become of it.

use std::sync::atomic::Ordering;

use downloader::task::Task;
use url::Url;

use super::Sandbox;
use crate::fixtures;
use crate::kafka::Headers;
use crate::ledger::{Entry, Expected, Ledger, Place, Source, Subject};
use crate::origin::Origin;

impl Sandbox {
    /// Writes a task for each URL of the origin; each should become a picture.
    ///
    /// # Panics
    /// The broker didn't acknowledge one, or the origin has no such picture.
    pub async fn produce(&self, urls: &[Url]) -> Ledger {
        for url in urls {
            self.produce_expecting(url.as_str(), picture_of(&self.origin, url)).await;
        }
        self.ledger.clone()
    }

    /// Writes a task for any URL, and what should become of it; its id.
    ///
    /// # Panics
    /// The broker didn't acknowledge it.
    pub async fn produce_expecting(&self, url: &str, expected: Expected) -> u64 {
        let task = self.next_task(url);
        let place = self.kafka.produce_task(&task, &Headers::new()).await;
        self.produced(task, place, expected)
    }

    /// As [`Sandbox::produce_expecting`], to a partition of the caller's choice.
    ///
    /// # Panics
    /// The broker didn't acknowledge it.
    pub async fn produce_to(&self, partition: i32, url: &str, expected: Expected) -> u64 {
        let task = self.next_task(url);
        let place = self.kafka.produce_task_to(partition, &task).await;
        self.produced(task, place, expected)
    }

    /// What should become of a picture of the origin.
    ///
    /// # Panics
    /// The origin has no such picture.
    pub fn picture(&self, url: &Url) -> Expected {
        picture_of(&self.origin, url)
    }

    fn next_task(&self, url: &str) -> Task {
        let correlation_id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Task {
            correlation_id,
            url: url.to_owned(),
            target_path: format!("originals/{correlation_id}"),
            target_thumbnail_path: format!("thumbnails/{correlation_id}"),
        }
    }

    fn produced(&self, task: Task, place: anyhow::Result<Place>, expected: Expected) -> u64 {
        let id = task.correlation_id;
        let place = place.unwrap_or_else(|error| panic!("produce task {id}: {error:#}"));
        self.ledger.produced_task(task, Some(place), expected);
        id
    }

    /// Writes a record that is not a task; it should become a dead letter with this code.
    ///
    /// # Panics
    /// The broker didn't acknowledge it.
    pub async fn produce_unreadable(&self, payload: Option<&[u8]>, code: &str, correlation_id: Option<u64>) -> Place {
        let headers: Headers = vec![("kept".to_owned(), Some(b"as it was".to_vec())), ("null".to_owned(), None)];
        let key: &[u8] = b"\xff not text";
        let place = self.kafka.produce(Some(key), payload, &headers).await;
        let place = place.unwrap_or_else(|error| panic!("produce a record that is no task: {error:#}"));
        let expected = Expected::DeadLetter {
            code: code.to_owned(),
            payload: payload.map(<[u8]>::to_vec),
            key: Some(key.to_vec()),
            headers,
            correlation_id,
        };
        self.ledger.produced(Entry { subject: Subject::Record(place), place: Some(place), task: None, expected });
        place
    }
}

/// What should become of a picture of the origin.
fn picture_of(origin: &Origin, url: &Url) -> Expected {
    let body = origin.body(url.path()).unwrap_or_else(|| panic!("the origin has no {}", url.path()));
    let images = fixtures::images().unwrap_or_else(|error| panic!("{error:#}"));
    let committed = images.iter().find(|image| fixtures::image_bytes(&image.file).is_some_and(|bytes| bytes == body));
    match committed {
        Some(image) => Expected::of_image(image, &body),
        None => Expected::Ok(Source::of_bytes(&body)),
    }
}
