//! Reads back what the pipeline put into the bucket, with a client of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use s3::creds::Credentials;
use s3::error::S3Error;
use s3::{BucketConfiguration, Region};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const METADATA: &str = "x-amz-meta-";

/// Where a bucket is and how to get in.
#[derive(Clone, Debug)]
pub struct BucketPlace {
    /// An http URL without a path, as this process reaches it.
    pub endpoint: String,
    /// As in `S3_REGION_NAME`.
    pub region: String,
    /// The bucket's name.
    pub name: String,
    /// Access key.
    pub access: String,
    /// Secret key.
    pub secret: String,
}

/// A bucket. Clones share connections.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Box<s3::Bucket>,
    credentials: Credentials,
}

/// An object as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The bytes.
    pub bytes: Bytes,
    /// The media type stored with them.
    pub content_type: Option<String>,
    /// User metadata, names without their prefix.
    pub metadata: BTreeMap<String, String>,
}

impl Bucket {
    /// A client for `place`; needs no network.
    ///
    /// # Errors
    /// The place cannot be used.
    pub fn open(place: &BucketPlace) -> anyhow::Result<Bucket> {
        let region = Region::Custom { region: place.region.clone(), endpoint: place.endpoint.clone() };
        let credentials = Credentials::new(Some(&place.access), Some(&place.secret), None, None, None)
            .context("use the bucket's credentials")?;
        let client = s3::Bucket::new(&place.name, region, credentials.clone())
            .and_then(|bucket| bucket.with_path_style().with_request_timeout(REQUEST_TIMEOUT))
            .with_context(|| format!("prepare the client of bucket '{}'", place.name))?;
        Ok(Bucket { client, credentials })
    }

    /// Makes the bucket if it is not there.
    ///
    /// # Errors
    /// The store refuses, or cannot be reached.
    pub async fn create(&self) -> anyhow::Result<()> {
        let (name, region) = (&self.client.name, self.client.region.clone());
        let created =
            s3::Bucket::create_with_path_style(name, region, self.credentials.clone(), BucketConfiguration::default());
        match created.await {
            Ok(_) | Err(S3Error::HttpFailWithBody(409, _)) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("make bucket '{name}'")),
        }
    }

    /// The object under `key`; none if there is none.
    ///
    /// # Errors
    /// The store refuses, or cannot be reached.
    pub async fn get(&self, key: &str) -> anyhow::Result<Option<Object>> {
        let response = match self.client.get_object(key).await {
            Ok(response) => response,
            Err(S3Error::HttpFailWithBody(404, _)) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read object '{key}'")),
        };
        let headers: BTreeMap<String, String> =
            response.headers().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let metadata =
            headers.iter().filter_map(|(name, value)| Some((name.strip_prefix(METADATA)?.to_owned(), value.clone())));
        Ok(Some(Object {
            metadata: metadata.collect(),
            content_type: headers.get("content-type").cloned(),
            bytes: response.into_bytes(),
        }))
    }

    /// Puts an object, for tests that need one to be there.
    ///
    /// # Errors
    /// The store refuses, or cannot be reached.
    pub async fn put(&self, key: &str, bytes: &[u8], content_type: &str) -> anyhow::Result<()> {
        let put = self.client.put_object_with_content_type(key, bytes, content_type).await;
        put.map(drop).with_context(|| format!("put object '{key}'"))
    }

    /// Puts an object with more headers.
    ///
    /// # Errors
    /// As [`Bucket::put`], or a header cannot be sent.
    pub async fn put_with(
        &self,
        key: &str,
        bytes: &[u8],
        content_type: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let mut put = self.client.put_object_builder(key, bytes).with_content_type(content_type);
        for (name, value) in headers {
            put = put.with_header(name, value).with_context(|| format!("send header '{name}'"))?;
        }
        put.execute().await.map(drop).with_context(|| format!("put object '{key}'"))
    }

    /// Every key with its size in bytes.
    ///
    /// # Errors
    /// The store refuses, or cannot be reached.
    pub async fn list(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let pages = self.client.list(String::new(), None).await.context("list the bucket")?;
        Ok(pages.into_iter().flat_map(|page| page.contents).map(|object| (object.key, object.size)).collect())
    }
}
