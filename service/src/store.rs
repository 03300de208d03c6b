//! The object store: originals and thumbnails under the keys that the task names.
//!
//! An object is there completely or not at all, so being killed within a put leaves the old object or none. Who may put
//! an original over another is said in `original`. The client obeys `HTTP_PROXY` and its kin: where they are set,
//! `NO_PROXY` must name the store.

mod error;
mod original;

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use s3::command::Command;
use s3::creds::Credentials;
use s3::error::S3Error;
use s3::request::Request as _;
use s3::request::tokio_backend::ReqwestRequest;
use s3::{Bucket, BucketConfiguration, Region};

use crate::config::Settings;
use crate::task::ObjectKey;

pub use error::StoreError;
pub use original::{Claim, Original};

/// One request, its whole body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The region whose buckets must be made without naming it.
const REGION_UNNAMED: &str = "us-east-1";

const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
const SOURCE_SHA256: HeaderName = HeaderName::from_static("x-amz-meta-source-sha256");

/// One bucket. Clones share connections.
#[derive(Clone, Debug)]
pub struct Store {
    bucket: Box<Bucket>,
    /// `S3_CONDITIONAL_PUTS`.
    conditional_puts: bool,
    /// No original is larger.
    original_bytes_max: u64,
}

/// What is put under a key.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// The bytes.
    pub bytes: &'a Bytes,
    /// Their SHA-256, which the store compares with what arrived.
    pub sha256: &'a [u8; 32],
    /// Their media type.
    pub content_type: &'a str,
    /// SHA-256 of the original that they were made from, or are.
    pub source_sha256: &'a [u8; 32],
}

impl Store {
    /// A store by the `S3_*` settings. Needs no network.
    ///
    /// # Errors
    /// There are no credentials, or the endpoint cannot be used.
    pub fn new(settings: &Settings) -> anyhow::Result<Store> {
        // The whole process: the pipeline retries, and it knows the class of an error.
        s3::set_retries(0);
        let region_name = settings.s3_region_name.as_str();
        let region = match &settings.s3_endpoint {
            Some(endpoint) => custom_region(region_name, endpoint.trim_end_matches('/')),
            None => match region_name.parse::<Region>().context("read S3_REGION_NAME")? {
                Region::Custom { .. } => custom_region(region_name, &format!("https://s3.{region_name}.amazonaws.com")),
                known => known,
            },
        };
        let bucket = Bucket::new(&settings.s3_bucket_name, region, credentials(settings)?)
            .and_then(|bucket| bucket.with_request_timeout(REQUEST_TIMEOUT))
            .context("prepare the client of the object store")?;
        let bucket = if settings.s3_endpoint.is_some() { bucket.with_path_style() } else { bucket };
        Ok(Store {
            bucket,
            conditional_puts: settings.s3_conditional_puts,
            original_bytes_max: settings.source_bytes_max,
        })
    }

    /// Puts an object, in place of what is there. Its bytes are shared with the request, not copied.
    ///
    /// # Errors
    /// Whether the key or the store is at fault.
    ///
    /// # Cancel safety
    /// The old object or the new one is there afterwards, never a part.
    pub async fn put(&self, key: &ObjectKey, object: Object<'_>) -> Result<(), StoreError> {
        self.put_with(key, object, []).await
    }

    /// A put with more headers.
    async fn put_with(
        &self,
        key: &ObjectKey,
        object: Object<'_>,
        more: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Result<(), StoreError> {
        let own =
            [(CHECKSUM, header(&BASE64.encode(object.sha256))?), (SOURCE_SHA256, header(&hex(object.source_sha256))?)];
        let headers = own.into_iter().chain(more).collect();
        self.send(key, object, headers).await.map_err(|error| self.explain(error))
    }

    /// The client signs the put, but doesn't send it: it would copy the body, which nobody has reserved memory for.
    async fn send(&self, key: &ObjectKey, object: Object<'_>, headers: HeaderMap) -> Result<(), S3Error> {
        let command = Command::PutObject {
            content: object.bytes,
            content_type: object.content_type,
            custom_headers: Some(headers),
            multipart: None,
        };
        let signed = ReqwestRequest::new(&self.bucket, key.as_str(), command).await?;
        let put = self.bucket.http_client().put(signed.url()?).headers(signed.headers().await?);
        let answer = put.timeout(REQUEST_TIMEOUT).body(object.bytes.clone()).send().await?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(S3Error::HttpFailWithBody(status.as_u16(), answer.text().await?)),
        }
    }

    /// Asks whether the bucket is there and our credentials are good.
    ///
    /// # Errors
    /// What is wrong, and which setting to look at.
    pub async fn check(&self) -> Result<(), StoreError> {
        let page = self.bucket.list_page(String::new(), None, None, None, Some(1)).await;
        page.map(drop).map_err(|error| self.explain(error))
    }

    /// Makes the bucket; true if it was not there before.
    ///
    /// # Errors
    /// It can neither be made nor used.
    pub async fn create_bucket(&self) -> Result<bool, StoreError> {
        let mut config = BucketConfiguration::default();
        if self.bucket.region.to_string() != REGION_UNNAMED {
            config.set_region(self.bucket.region.clone());
        }
        let created = async {
            let request = ReqwestRequest::new(&self.bucket, "", Command::CreateBucket { config }).await?;
            request.response_data(false).await
        };
        match created.await.map_err(|error| self.explain(error)) {
            Ok(_) => Ok(true),
            // Ours or somebody else's: it will do if we may use it.
            Err(StoreError::BucketExists { .. }) => self.check().await.map(|()| false),
            Err(error) => Err(error),
        }
    }

    fn explain(&self, error: S3Error) -> StoreError {
        StoreError::of(error, &self.bucket.name)
    }
}

fn custom_region(region: &str, endpoint: &str) -> Region {
    Region::Custom { region: region.to_owned(), endpoint: endpoint.to_owned() }
}

/// Those of the settings, else an AWS profile's. No metadata service is asked: that would block, and for long.
fn credentials(settings: &Settings) -> anyhow::Result<Credentials> {
    match (&settings.s3_access, &settings.s3_secret) {
        (Some(access), Some(secret)) => {
            Credentials::new(Some(access.reveal()), Some(secret.reveal()), None, None, None)
                .context("use S3_ACCESS and S3_SECRET")
        }
        _ => Credentials::from_env()
            .or_else(|_| Credentials::from_profile(None))
            .context("S3_ACCESS and S3_SECRET are not set, and no AWS profile is there instead"),
    }
}

fn header(text: &str) -> Result<HeaderValue, StoreError> {
    HeaderValue::from_str(text).map_err(|error| StoreError::Client(error.into()))
}

/// Lower-case hex, as object metadata and outcomes state a hash.
pub fn hex(hash: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
