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

    /// Writes `count` tasks for one small picture, each under a path of its own, which `name` tells from others'.
    ///
    /// # Panics
    /// As [`Sandbox::produce`].
    pub async fn produce_copies(&self, name: &str, count: usize) {
        let urls: Vec<_> = (0..count).map(|n| self.origin.url(&format!("/n/{name}{n}/grey.jpg"))).collect();
        self.produce(&urls).await;
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

    /// Writes a task that should end as a dead letter, because it ends whoever works on it.
    ///
    /// # Panics
    /// The broker didn't acknowledge it.
    pub async fn produce_expecting_quarantine(&self, url: &str) -> u64 {
        let task = self.next_task(url);
        let payload = serde_json::to_vec(&task).unwrap_or_else(|error| panic!("write a task: {error}"));
        let expected = Expected::DeadLetter {
            code: "quarantined".to_owned(),
            payload: Some(payload),
            key: Some(task.correlation_id.to_string().into_bytes()),
            headers: Headers::new(),
            correlation_id: Some(task.correlation_id),
        };
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

    /// What should become of the picture that the origin has under `url`.
    ///
    /// # Panics
    /// It has none.
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
