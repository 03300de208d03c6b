//! What is written elsewhere about a fetch: the README's limits, the list of codes.

use super::*;

#[test]
fn the_readme_states_the_limits_that_are_not_settings() {
    let readme = include_str!("../../../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let limits = Timeouts::with_total(Duration::ZERO);
    let kib = |bytes: u64| format!("{} KiB", bytes >> 10);
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    for said in [
        format!("{} to connect, of which {} for the name", seconds(limits.connect), seconds(limits.resolve)),
        format!("{} to the end of the header, {} between two", seconds(limits.first_byte), seconds(limits.idle)),
        format!("at least {} of it in every {}", kib(limits.pace_bytes), seconds(limits.pace)),
        format!(
            "{REDIRECTS_MAX} redirects, a header of {} in {}",
            kib(client::HEADER_BYTES_MAX.into()),
            client::HEADER_LINES_MAX
        ),
        format!("At most {} requests of a replica", crate::flow::limits::FETCHES_MAX),
    ] {
        assert!(readme.contains(&said), "README.md does not say '{said}'");
    }
}

/// The class of every code that a fetch can end in is the one that readers are told.
#[test]
fn classes_agree_with_the_published_list_of_codes() {
    let list: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../../fixtures/wire/error_codes.json")).expect("JSON");
    let forbidden = Networks::default().judge("127.0.0.1".parse().expect("an address")).expect_err("loopback");
    let second = Duration::from_secs(1);
    for error in [
        FetchError::Url(UrlProblem::NoHost),
        FetchError::Url(UrlProblem::Scheme("ftp".into())),
        FetchError::Url(UrlProblem::Credentials),
        FetchError::Url(UrlProblem::Port(1)),
        FetchError::Address(forbidden),
        FetchError::DnsNotFound,
        FetchError::DnsFailed,
        FetchError::ConnectTimeout(second),
        FetchError::Tls(rustls::Error::EncryptError),
        FetchError::FirstByteTimeout(second),
        FetchError::IdleTimeout(second),
        FetchError::TooSlow { least: 1, window: second },
        FetchError::TotalTimeout(second),
        FetchError::StatusPermanent(404),
        FetchError::StatusTransient { status: 503, retry_after: None },
        FetchError::HeaderTooLarge,
        FetchError::RedirectLimit(3),
        FetchError::RedirectRefused(RedirectProblem::NoLocation),
        FetchError::BodyTooLarge(1),
        FetchError::BodyTruncated { received: 1, declared: None },
        FetchError::BodyEmpty,
    ] {
        let listed = list.iter().find(|row| row["code"] == error.code().as_str()).expect("listed");
        assert_eq!(listed["permanent"], error.class() == Class::Permanent, "{}", error.code());
    }
}
