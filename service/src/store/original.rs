//! The original, put so that of all that one record's owners fetch the first that is stored decides.
//!
//! It carries its record's identity. It is put only where nothing is; an object of the same record is reused instead, any
//! other replaced, but only in the version that was judged. So two owners of a record, or a rerun after a crash anywhere
//! (also with the put's answer lost), make thumbnail and outcome from the same bytes. Original first, thumbnail second:
//! killed in between, the pair is complete after the rerun.
//! Records that share keys replace each other's pair, the last one stays, as in 2020. Killed between its two puts, or
//! with a zombie of the other record that puts its thumbnail late, a mixed pair is left: the thumbnail's `source-sha256`
//! is then not the original's, by which a reader knows. Nor is it excluded that two owners both replace an object whose
//! version is a hash of its bytes, if the first has put those very bytes again.

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use s3::command::Command;
use s3::error::S3Error;
use s3::request::Request as _;
use s3::request::tokio_backend::ReqwestRequest;
use sha2::{Digest, Sha256};

use super::{Object, SOURCE_SHA256, Store, StoreError, header, hex};
use crate::task::{ObjectKey, RecordIdentity};

/// Names the record; see [`RecordIdentity`].
const RECORD: HeaderName = HeaderName::from_static("x-amz-meta-record");
/// How often a put that came second is decided anew, before the store counts as out of order.
const ROUNDS_MAX: u32 = 4;

/// What became of the put of an original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is stored.
    Stored,
    /// It is stored, in place of what was not an original of the same record.
    Replaced,
    /// An original of the same record was stored before: it decides, and nothing was put.
    Decided(Original),
}

/// An original that is stored, as its metadata describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    bytes: u64,
    sha256: String,
    version: Option<HeaderValue>,
}

/// What has to be true of a key for a put.
enum Condition {
    /// Nothing is there.
    Absent,
    /// This version is there; none: the store names no versions, so whatever is there goes.
    Still(Option<HeaderValue>),
}

impl Original {
    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Store {
    /// Puts the original of `record`, unless one is stored already. `unusable` is a stored one that turned out to be none.
    ///
    /// One request where nothing is stored. With `S3_CONDITIONAL_PUTS=false` always one, in place of what is there; so it
    /// is too with a store that passes conditions over in silence.
    ///
    /// # Errors
    /// Whether the key or the store is at fault. Reading what is stored takes the right to get objects.
    ///
    /// # Cancel safety
    /// As for [`Store::put`]; who asks again finds out what became of it.
    pub async fn put_original(
        &self,
        key: &ObjectKey,
        object: Object<'_>,
        record: &RecordIdentity,
        unusable: Option<&Original>,
    ) -> Result<Claim, StoreError> {
        let identity = (RECORD, header(record.as_str())?);
        if !self.conditional_puts {
            return self.put_with(key, object, [identity]).await.map(|()| Claim::Stored);
        }
        let mut condition = Condition::Absent;
        for _ in 0..ROUNDS_MAX {
            let (claim, demand) = match condition {
                Condition::Absent => (Claim::Stored, Some((IF_NONE_MATCH, HeaderValue::from_static("*")))),
                Condition::Still(version) => (Claim::Replaced, version.map(|version| (IF_MATCH, version))),
            };
            match self.put_with(key, object, [Some(identity.clone()), demand].into_iter().flatten()).await {
                Ok(()) => return Ok(claim),
                Err(StoreError::Contested | StoreError::ObjectMissing) => {}
                Err(StoreError::Unavailable { status: 501, code }) => {
                    return Err(StoreError::ConditionsUnsupported { code });
                }
                Err(error) => return Err(error),
            }
            condition = match self.find(key, record).await? {
                None => Condition::Absent,
                Some(Found::Original(stored)) if Some(&stored) != unusable => return Ok(Claim::Decided(stored)),
                Some(Found::Original(Original { version, .. }) | Found::Foreign(version)) => Condition::Still(version),
            };
        }
        Err(StoreError::Contested)
    }

    /// The bytes of a stored original and their SHA-256; `None` if they are not what its metadata say.
    ///
    /// # Errors
    /// Whether the key or the store is at fault.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn get_original(
        &self,
        key: &ObjectKey,
        original: &Original,
    ) -> Result<Option<(Bytes, [u8; 32])>, StoreError> {
        match self.read(key, original.bytes).await.map_err(|error| self.explain(error)) {
            Ok(bytes) => {
                let sha256 = Sha256::digest(&bytes).into();
                Ok((hex(&sha256) == original.sha256).then_some((bytes, sha256)))
            }
            // Deleted meanwhile.
            Err(StoreError::ObjectMissing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object under `key`, up to the byte after the last one expected.
    async fn read(&self, key: &ObjectKey, expected: u64) -> Result<Bytes, S3Error> {
        let request = ReqwestRequest::new(&self.bucket, key.as_str(), Command::GetObject).await?;
        let mut response = request.response().await?;
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::with_capacity(expected);
        while let Some(piece) = response.chunk().await? {
            if bytes.len().saturating_add(piece.len()) > expected {
                return Ok(Bytes::new());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    /// What is stored under `key`, by its metadata.
    async fn find(&self, key: &ObjectKey, record: &RecordIdentity) -> Result<Option<Found>, StoreError> {
        let answer = async {
            let request = ReqwestRequest::new(&self.bucket, key.as_str(), Command::HeadObject).await?;
            request.response().await
        };
        let answer = match answer.await.map_err(|error| self.explain(error)) {
            Ok(answer) => answer,
            // An answer to HEAD has no body, and so no code of S3's.
            Err(StoreError::ObjectMissing | StoreError::Refused { status: 404, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        // A weak one, as some proxies make of it, never matches.
        let version = answer.headers().get(ETAG).filter(|version| !version.as_bytes().starts_with(b"W/")).cloned();
        let bytes = text(CONTENT_LENGTH).and_then(|text| text.parse().ok()).unwrap_or(0);
        let can_be = (1..=self.original_bytes_max).contains(&bytes) && text(RECORD) == Some(record.as_str());
        Ok(Some(match text(SOURCE_SHA256) {
            Some(sha256) if can_be => Found::Original(Original { bytes, sha256: sha256.to_owned(), version }),
            _ => Found::Foreign(version),
        }))
    }
}

/// What is stored under a key.
enum Found {
    /// Says that it is an original of the record.
    Original(Original),
    /// Another record's, nobody's, or nothing that can be an original.
    Foreign(Option<HeaderValue>),
}

#[cfg(test)]
mod tests;
