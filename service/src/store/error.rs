//! What can go wrong with the object store: by status and by the error code that S3 puts into the answer's body.

use s3::error::S3Error;

use crate::error::{Class, Classified, Code, Dependency};

/// Why a request to the store failed. All of it is our own infrastructure's fault, but for a key that it refuses.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot keep an object under this key, and never will.
    #[error("the store refuses the object key ({code})")]
    KeyRefused {
        /// The store's own word.
        code: String,
    },
    /// No object under the key.
    #[error("there is no such object")]
    ObjectMissing,
    /// No bucket.
    #[error("the bucket '{bucket}' does not exist (S3_BUCKET_NAME); `downloader setup` makes it")]
    BucketMissing {
        /// Its name.
        bucket: String,
    },
    /// A bucket of that name was there before.
    #[error("the bucket '{bucket}' exists already")]
    BucketExists {
        /// Its name.
        bucket: String,
    },
    /// Unknown credentials, a wrong secret, or no right to do this.
    #[error("the store refuses our credentials with {status} {code} (S3_ACCESS, S3_SECRET, and what they may do)")]
    AccessDenied {
        /// The HTTP status.
        status: u16,
        /// The store's own word.
        code: String,
    },
    /// The clocks of the store and of this machine disagree.
    #[error("the store refuses our signature because the clocks differ ({code})")]
    ClockSkew {
        /// The store's own word.
        code: String,
    },
    /// The bucket belongs to another region.
    #[error("the bucket is in another region ({code}; S3_REGION_NAME)")]
    WrongRegion {
        /// The store's own word.
        code: String,
    },
    /// The name cannot be a bucket's.
    #[error("'{bucket}' cannot be the name of a bucket (S3_BUCKET_NAME)")]
    BucketName {
        /// The name.
        bucket: String,
    },
    /// No connection.
    #[error("the store cannot be reached (S3_ENDPOINT)")]
    Unreachable(#[source] S3Error),
    /// No answer in time.
    #[error("the store did not answer in time")]
    Timeout(#[source] S3Error),
    /// The connection broke.
    #[error("the connection to the store broke")]
    Broken(#[source] S3Error),
    /// The store says that it cannot answer now.
    #[error("the store answered with {status} {code}")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// The store's own word.
        code: String,
    },
    /// The bytes that arrived are not those we sent.
    #[error("the store received other bytes than were sent ({code})")]
    Damaged {
        /// The store's own word.
        code: String,
    },
    /// The store does not know the condition of a put.
    #[error("the store answered a conditional put with 501 {code}; for such a store set S3_CONDITIONAL_PUTS=false")]
    ConditionsUnsupported {
        /// The store's own word.
        code: String,
    },
    /// A conditional put came second, or at the same time as another.
    #[error("others put the same object again and again; S3_CONDITIONAL_PUTS=false puts it over theirs")]
    Contested,
    /// Any other refusal.
    #[error("the store refused the request with {status} {code}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The store's own word.
        code: String,
    },
    /// The client could not make the request or read the answer.
    #[error("the answer of the store cannot be read (S3_ENDPOINT)")]
    Client(#[source] S3Error),
}

impl Classified for StoreError {
    fn class(&self) -> Class {
        match self {
            StoreError::KeyRefused { .. } => Class::Permanent,
            StoreError::ObjectMissing
            | StoreError::BucketMissing { .. }
            | StoreError::BucketExists { .. }
            | StoreError::AccessDenied { .. }
            | StoreError::ClockSkew { .. }
            | StoreError::WrongRegion { .. }
            | StoreError::BucketName { .. }
            | StoreError::Unreachable(_)
            | StoreError::Timeout(_)
            | StoreError::Broken(_)
            | StoreError::Unavailable { .. }
            | StoreError::Damaged { .. }
            | StoreError::ConditionsUnsupported { .. }
            | StoreError::Contested
            | StoreError::Refused { .. }
            | StoreError::Client(_) => Class::Infrastructure(Dependency::Store),
        }
    }

    fn code(&self) -> Code {
        match self.class() {
            Class::Permanent => Code::KeyInvalid,
            Class::Transient { .. } | Class::Infrastructure(_) => Code::StoreUnavailable,
        }
    }
}

impl StoreError {
    /// Reads the client's error.
    pub(super) fn of(error: S3Error, bucket: &str) -> StoreError {
        match error {
            S3Error::HttpFailWithBody(status, body) => StoreError::of_answer(status, &body, bucket),
            S3Error::Reqwest(ref cause) if cause.is_timeout() => StoreError::Timeout(error),
            S3Error::Reqwest(ref cause) if cause.is_connect() => StoreError::Unreachable(error),
            S3Error::Reqwest(_) => StoreError::Broken(error),
            error => StoreError::Client(error),
        }
    }

    /// Reads an answer that is not a success. The codes are S3's; `XMinio…` are those of `MinIO`, `Object…` and
    /// `ExistingObject…` of versitygw: both keep keys as paths, where a directory and a file cannot share a name.
    fn of_answer(status: u16, body: &str, bucket: &str) -> StoreError {
        let bucket = bucket.to_owned();
        let code = error_code(body).unwrap_or("without an S3 code").to_owned();
        match (status, code.as_str()) {
            (
                _,
                "KeyTooLongError"
                | "InvalidObjectName"
                | "InvalidURI"
                | "XMinioInvalidObjectName"
                | "XMinioObjectExistsAsDirectory"
                | "XMinioParentIsObject"
                | "ObjectParentIsFile"
                | "ExistingObjectIsDirectory",
            ) => StoreError::KeyRefused { code },
            (_, "NoSuchBucket") => StoreError::BucketMissing { bucket },
            (_, "BucketAlreadyOwnedByYou" | "BucketAlreadyExists") => StoreError::BucketExists { bucket },
            (_, "InvalidBucketName") => StoreError::BucketName { bucket },
            (_, "RequestTimeTooSkewed") => StoreError::ClockSkew { code },
            (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException")
            | (301 | 307 | 308, _) => StoreError::WrongRegion { code },
            (
                400,
                "BadDigest"
                | "InvalidDigest"
                | "IncompleteBody"
                | "XAmzContentSHA256Mismatch"
                | "XAmzContentChecksumMismatch",
            ) => StoreError::Damaged { code },
            (401 | 403, _) => StoreError::AccessDenied { status, code },
            (409, "ConditionalRequestConflict") | (412, _) => StoreError::Contested,
            (404, "NoSuchKey") => StoreError::ObjectMissing,
            (408 | 429 | 500..=599, _) => StoreError::Unavailable { status, code },
            (_, _) => StoreError::Refused { status, code },
        }
    }
}

/// The text of the body's `<Code>`: a short word, or the body is not S3's.
fn error_code(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> StoreError {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>words</Message></Error>");
        StoreError::of(S3Error::HttpFailWithBody(status, body), "pictures")
    }

    #[test]
    fn only_a_refused_key_is_the_tasks_fault() {
        for (status, code) in [
            (400, "XMinioInvalidObjectName"),
            (400, "KeyTooLongError"),
            (400, "InvalidObjectName"),
            (409, "XMinioObjectExistsAsDirectory"),
            (409, "ObjectParentIsFile"),
        ] {
            let error = answer(status, code);
            assert_eq!((error.class(), error.code()), (Class::Permanent, Code::KeyInvalid), "{status} {code}");
            assert!(error.to_string().contains(code), "{error}");
        }
        for (status, code) in [
            (404, "NoSuchBucket"),
            (403, "SignatureDoesNotMatch"),
            (403, "RequestTimeTooSkewed"),
            (400, "BadDigest"),
            (400, "InvalidArgument"),
            (503, "SlowDown"),
            (507, "XMinioStorageFull"),
            (301, "PermanentRedirect"),
            (412, "PreconditionFailed"),
            (409, "ConditionalRequestConflict"),
        ] {
            let error = answer(status, code);
            assert_eq!(error.class(), Class::Infrastructure(Dependency::Store), "{status} {code}");
            assert_eq!(error.code(), Code::StoreUnavailable, "{status} {code}");
        }
    }

    #[test]
    fn each_cause_names_the_setting_to_look_at() {
        for (error, named) in [
            (answer(404, "NoSuchBucket"), "S3_BUCKET_NAME"),
            (answer(404, "NoSuchBucket"), "pictures"),
            (answer(400, "InvalidBucketName"), "S3_BUCKET_NAME"),
            (answer(403, "InvalidAccessKeyId"), "S3_ACCESS"),
            (answer(403, "SignatureDoesNotMatch"), "S3_SECRET"),
            (answer(403, "RequestTimeTooSkewed"), "clocks"),
            (answer(400, "AuthorizationHeaderMalformed"), "S3_REGION_NAME"),
            (answer(412, "PreconditionFailed"), "S3_CONDITIONAL_PUTS"),
            (answer(503, "SlowDown"), "503 SlowDown"),
            (answer(418, "Teapot"), "418 Teapot"),
        ] {
            assert!(error.to_string().contains(named), "'{error}' does not say {named}");
        }
    }

    #[test]
    fn a_body_that_is_not_s3s_is_not_quoted() {
        let page = "<html><Code><script>alert(1)</script></Code></html>".to_owned();
        let error = StoreError::of(S3Error::HttpFailWithBody(502, page), "pictures");
        assert_eq!(error.to_string(), "the store answered with 502 without an S3 code");
        let no_store = StoreError::of(S3Error::HttpFailWithBody(404, String::new()), "pictures");
        assert!(
            matches!(no_store, StoreError::Refused { status: 404, .. }),
            "a 404 of another server is no missing object"
        );
    }

    #[tokio::test]
    async fn a_store_that_is_not_there_or_silent_is_told_apart() {
        let refused = reqwest_error("http://127.0.0.1:1/", 5_000).await;
        assert!(matches!(StoreError::of(refused, "b"), StoreError::Unreachable(_)));
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = silent.local_addr().expect("an address");
        let late = reqwest_error(&format!("http://{address}/"), 100).await;
        assert!(matches!(StoreError::of(late, "b"), StoreError::Timeout(_)));
    }

    /// An error as the client makes it: from a bucket at `endpoint`.
    async fn reqwest_error(endpoint: &str, timeout_ms: u64) -> S3Error {
        let region = s3::Region::Custom { region: "r".into(), endpoint: endpoint.trim_end_matches('/').into() };
        let credentials = s3::creds::Credentials::new(Some("a"), Some("s"), None, None, None).expect("credentials");
        let bucket = s3::Bucket::new("pictures", region, credentials)
            .and_then(|bucket| bucket.with_request_timeout(std::time::Duration::from_millis(timeout_ms)))
            .expect("a bucket")
            .with_path_style();
        bucket.put_object("/k", b"x").await.expect_err("nobody answers")
    }
}
