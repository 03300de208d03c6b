//! What a failure means for the task: its class decides what the pipeline does, its code is what the outside world reads.
//!
//! Each stage has its own error type and says the class of every cause itself; only the pipeline acts on a class.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the pipeline has to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Trying again cannot help: an `Error` outcome at once.
    Permanent,
    /// May pass by itself: retried with backoff up to a limit, then an `Error` outcome.
    Transient {
        /// How long the origin asked us to wait, if it did.
        retry_after: Option<Duration>,
    },
    /// Our own infrastructure failed: never the task's fault, so the work waits until it is back.
    Infrastructure(Dependency),
}

/// A service of ours that the work cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dependency {
    /// The broker.
    Kafka,
    /// The object store.
    Store,
}

impl Dependency {
    /// The name used in logs, metrics and `/readyz`.
    pub fn as_str(self) -> &'static str {
        match self {
            Dependency::Kafka => "kafka",
            Dependency::Store => "store",
        }
    }
}

/// The two questions every stage's error answers.
pub trait Classified: std::error::Error {
    /// What to do about it.
    fn class(&self) -> Class;
    /// What to call it in the outcome, the metric and the span's `error.type`.
    fn code(&self) -> Code;
}

macro_rules! codes {
    ($($variant:ident = $text:literal, $meaning:literal;)*) => {
        /// Every cause, one code each. All but [`Code::INTERNAL`] can be in an outcome or a dead letter; these are the list in
        /// `fixtures/wire/error_codes.json`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $meaning] #[serde(rename = $text)] $variant,)*
        }

        impl Code {
            /// All of them, in the order of the list.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as it is written on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$variant => $text,)*
                }
            }

            /// The code in words, for people: all that an outcome says about its cause.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Code::$variant => $meaning,)*
                }
            }
        }
    };
}

codes! {
    NotJson = "not_json", "The payload is not one JSON object in UTF-8, or is nested too deep.";
    FieldMissing = "field_missing", "A field of the task is missing.";
    FieldDuplicate = "field_duplicate", "A field of the task is there twice.";
    FieldType = "field_type", "A field of the task has another JSON type than it must.";
    IdOutOfRange = "id_out_of_range", "The correlation id is an integer outside 0..2^63-1.";
    NoPayload = "no_payload", "The record has no payload: null, or zero bytes.";
    UrlInvalid = "url_invalid", "The URL can't be parsed, has no host, holds control characters or is too long.";
    UrlSchemeRefused = "url_scheme_refused", "The URL's scheme is neither http nor https.";
    UrlCredentialsRefused = "url_credentials_refused", "The URL holds a user name or a password.";
    UrlPortRefused = "url_port_refused", "The URL's port is not among the allowed ones.";
    KeyInvalid = "key_invalid", "An object key breaks the rules for keys, or both keys collide.";
    AddressForbidden = "address_forbidden", "The host's address is not a public one.";
    DnsNotFound = "dns_not_found", "The host's name has no address.";
    DnsFailed = "dns_failed", "The host's name could not be looked up.";
    ConnectFailed = "connect_failed", "The host refused or broke the connection.";
    ConnectTimeout = "connect_timeout", "The host did not accept the connection in time.";
    TlsFailed = "tls_failed", "No trusted TLS connection to the host could be made.";
    FirstByteTimeout = "first_byte_timeout", "The answer did not begin in time.";
    IdleTimeout = "idle_timeout", "The answer stopped for too long.";
    TotalTimeout = "total_timeout", "The whole answer did not arrive in time.";
    HttpStatusPermanent = "http_status_permanent", "The host answered with a status that another try won't change.";
    HttpStatusTransient = "http_status_transient", "The host answered with 5xx, 408, 425 or 429.";
    RedirectLimit = "redirect_limit", "The host redirected too often.";
    RedirectRefused = "redirect_refused", "The host redirected to a place that is not allowed.";
    BodyTooLarge = "body_too_large", "The picture has more bytes than allowed.";
    BodyTruncated = "body_truncated", "The answer ended before its announced length.";
    BodyEmpty = "body_empty", "The answer has no body.";
    HttpProtocol = "http_protocol", "The answer breaks the HTTP protocol.";
    ImageUnsupported = "image_unsupported", "The bytes are none of JPEG, PNG, GIF and WebP, or a variant that is not supported.";
    ImageCorrupt = "image_corrupt", "The picture is damaged or incomplete.";
    ImageTooManyPixels = "image_too_many_pixels", "The picture has more pixels than allowed.";
    ImageMemoryLimit = "image_memory_limit", "Decoding the picture would need more memory than allowed.";
    DecoderPanicked = "decoder_panicked", "The decoder failed on the picture in an unforeseen way.";
    DeadlineExceeded = "deadline_exceeded", "The task was not finished within its deadline.";
    Quarantined = "quarantined", "The task ended the process that worked on it, twice.";
    StoreUnavailable = "store_unavailable", "The object store is out of reach; the work waits.";
    BrokerUnavailable = "broker_unavailable", "The broker is out of reach; the work waits.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Code {
    /// Codes of metrics and spans only: our own infrastructure is never a task's outcome.
    pub const INTERNAL: [Code; 2] = [Code::StoreUnavailable, Code::BrokerUnavailable];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_published_list() {
        let list = include_str!("../../fixtures/wire/error_codes.json");
        let list: Vec<serde_json::Value> = serde_json::from_str(list).expect("JSON");
        let published: Vec<_> = list.iter().map(|entry| (entry["code"].as_str(), entry["meaning"].as_str())).collect();
        let external = Code::ALL.iter().filter(|code| !Code::INTERNAL.contains(code));
        let ours: Vec<_> = external.map(|code| (Some(code.as_str()), Some(code.meaning()))).collect();
        assert_eq!(ours, published);
    }
}
