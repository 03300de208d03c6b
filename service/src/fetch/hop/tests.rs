use super::*;
use proptest::prelude::*;
use reqwest::header::HeaderValue;

fn rules() -> Rules {
    Rules { networks: Networks::default(), ports: vec![80, 443, 8443] }
}

fn url(text: &str) -> Url {
    text.parse().expect("a URL")
}

fn redirect(from: &str, location: &str) -> Result<Url, RedirectProblem> {
    let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_bytes(location.as_bytes()).expect("a header"))]);
    rules().redirect(&url(from), &headers)
}

/// Spellings of addresses that are not public.
const FORBIDDEN: &[&str] = &[
    // Decimal, octal, hexadecimal, short, and mixed.
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "0x7f.1",
    "0177.0.0.1",
    "0177.0x0.0.1",
    "017700000001",
    "00000000177.0.0.1",
    "0",
    "0x",
    "0x0",
    "00",
    "0.0.0.0",
    "10.0",
    "192.168.257",
    "3232235777",
    "169.254.169.254",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    // A dot at the end, percent-encoding, full-width and circled digits, ideographic and half-width full stops.
    "127.0.0.1.",
    "127.1.",
    "%31%32%37.0.0.1",
    "127%2e0%2E0%2e1",
    "%30x7f.1",
    "１２７.０.０.１",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "127｡0．0.1",
    "⓪x7f.1",
    "１６９．２５４．１６９．２５４",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
    "127.0.0.\u{ad}1",
    "1\u{200b}27.0.0.1",
    // IPv6: long, short, capital, with an IPv4 address in it.
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::8.8.8.8]",
    "[2002:7f00:1::]",
    "[2001::80ff:fffe]",
    "[fe80::1]",
    "[fc00::1]",
    "[ff02::1]",
    "[::ffff:0:127.0.0.1]",
];

#[test]
fn every_spelling_of_a_forbidden_address_is_refused() {
    for host in FORBIDDEN {
        for scheme in ["http", "https", "HTTP"] {
            let judged = rules().judge(&url(&format!("{scheme}://{host}/a.jpg")));
            assert!(matches!(judged, Err(UrlProblem::Address(_))), "{scheme}://{host}: {judged:?}");
        }
        for from in ["http://a.org/x", "https://a.org/x"] {
            let judged = redirect(from, &format!("//{host}/a.jpg"));
            assert!(
                matches!(judged, Err(RedirectProblem::Url(UrlProblem::Address(_)))),
                "{from} to {host}: {judged:?}"
            );
        }
    }
    for host in [
        "example.org",
        "example.org.",
        "xn--nxasmq6b",
        "1.1.1.1",
        "0x1010101",
        "[2606:4700::1111]",
        "[64:ff9b::1.1.1.1]",
    ] {
        assert_eq!(rules().judge(&url(&format!("http://{host}/"))), Ok(()), "{host}");
    }
}

#[test]
fn what_is_no_host_at_all_is_no_url() {
    for text in [
        "http://127.0.0.1:80:80/",
        "http://127.0.0.0.1/",
        "http://256.0.0.1/",
        "http://0x100000000/",
        "http://127.0.0.1.0x/x",
        "http://[::1",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::ffff:127.0.0.1.2]/",
        "http://[127.0.0.1]/",
        "http://a b/",
        "http://%00/",
        "http://127.0.0.1%00.example.org/",
        "http:///",
        "http://example.org:65536/",
    ] {
        // What a lenient parser takes all the same must be no more than the address that it looks like.
        if let Ok(url) = text.parse::<Url>() {
            assert!(rules().judge(&url).is_err(), "{text} reads as {url}");
        }
    }
}

/// Where the host begins and ends, as browsers see it.
#[test]
fn a_host_that_hides_behind_something_is_the_one_that_is_judged() {
    let refused = [
        "http:127.0.0.1/",
        "http:/127.0.0.1/",
        "http:///127.0.0.1/",
        "http:\\\\127.0.0.1\\",
        "http://127.0.0.1\\@example.org/",
        "http://127.0.0.1#@example.org/",
        "http://127.0.0.1?@example.org/",
        "http://127.0.0.1:80#example.org",
        "http://127.0.0.1:00080/",
        "http://127.0.0.1:/",
        "ht\ntp://12\t7.0.0.\r1/",
        " http://127.0.0.1/ ",
    ];
    for text in refused {
        let judged = rules().judge(&url(text));
        assert!(matches!(judged, Err(UrlProblem::Address(_))), "{text:?}: {judged:?}");
    }
    for text in [
        "http://example.org@127.0.0.1/",
        "http://example.org:80@127.0.0.1/",
        "http://@:@127.0.0.1/",
        "http://a%40b@1.1.1.1/",
    ] {
        let judged = rules().judge(&url(text));
        assert!(matches!(judged, Err(UrlProblem::Credentials | UrlProblem::Address(_))), "{text:?}: {judged:?}");
    }
    for (text, host) in [
        ("http://example.org\\@127.0.0.1/", "example.org"),
        ("http://example.org/@127.0.0.1/", "example.org"),
        ("http://example.org#@127.0.0.1/", "example.org"),
        ("http://EXAMPLE\u{3002}org/", "example.org"),
        ("http://faß.example/", "xn--fa-hia.example"),
        ("http://127.0.0.1.example.org/", "127.0.0.1.example.org"),
    ] {
        assert_eq!((url(text).host_str(), rules().judge(&url(text))), (Some(host), Ok(())), "{text:?}");
    }
}

proptest! {
    /// The URL is read twice: here, and by the client that asks. Both must see the same host and port.
    #[test]
    fn the_client_reads_the_host_that_was_judged(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("127.0.0.1".to_owned()), Just("example.org".to_owned()), Just("[::1]".to_owned()), Just("0x7f.1".to_owned()),
                Just("@".to_owned()), Just(":".to_owned()), Just("\\".to_owned()), Just("/".to_owned()), Just("//".to_owned()),
                Just("#".to_owned()), Just("?".to_owned()), Just("%".to_owned()), Just("%2f".to_owned()), Just("%40".to_owned()),
                Just("80".to_owned()), Just(".".to_owned()), Just("\t".to_owned()), Just("\u{3002}".to_owned()), any::<char>().prop_map(String::from),
            ],
            1..8,
        ),
    ) {
        let Ok(url) = format!("http://{}", parts.concat()).parse::<Url>() else { return Ok(()) };
        // The client refuses what it cannot read.
        let Ok(uri) = url.as_str().parse::<hyper::http::Uri>() else { return Ok(()) };
        prop_assert_eq!(uri.host(), url.host_str(), "{}", url);
        prop_assert_eq!(uri.port_u16(), url.port(), "{}", url);
        prop_assert_eq!(uri.scheme_str(), Some(url.scheme()));
        prop_assert!(uri.authority().is_some_and(|authority| !authority.as_str().contains('@')) || rules().judge(&url).is_err());
    }
}

#[test]
fn scheme_credentials_and_port_are_judged() {
    let judged = |text: &str| rules().judge(&url(text));
    assert!(matches!(judged("ftp://example.org/"), Err(UrlProblem::Scheme(scheme)) if scheme == "ftp"));
    assert!(matches!(judged("file:///etc/passwd"), Err(UrlProblem::Scheme(_))));
    assert!(matches!(judged("data:image/png;base64,AA"), Err(UrlProblem::Scheme(_))));
    assert_eq!(judged("http://user@example.org/"), Err(UrlProblem::Credentials));
    assert_eq!(judged("http://:secret@example.org/"), Err(UrlProblem::Credentials));
    assert_eq!(judged("http://example.org:22/"), Err(UrlProblem::Port(22)));
    assert_eq!(judged("https://example.org:8443/"), Ok(()));
    let only_https = Rules { networks: Networks::default(), ports: vec![443] };
    assert_eq!(only_https.judge(&url("http://example.org/")), Err(UrlProblem::Port(80)));
}

#[test]
fn a_problem_shows_no_secret() {
    let problem = rules().judge(&url("http://user:hunter2@example.org/?token=hunter2")).expect_err("credentials");
    assert!(!problem.to_string().contains("hunter2"), "{problem}");
}

#[test]
fn redirects_are_resolved_and_judged_like_a_url_given() {
    assert_eq!(redirect("http://a.org/x/y?q", "z.jpg"), Ok(url("http://a.org/x/z.jpg")));
    assert_eq!(redirect("http://a.org/x", "//b.org/z"), Ok(url("http://b.org/z")));
    assert_eq!(redirect("http://a.org/x", "https://a.org/x"), Ok(url("https://a.org/x")));
    assert_eq!(redirect("https://a.org/x", "http://a.org/x"), Err(RedirectProblem::Downgrade));
    assert_eq!(redirect("http://a.org/x", "http://[broken/"), Err(RedirectProblem::NotAUrl));
    for to in ["ftp://b.org/", "file:///etc/passwd", "javascript:alert(1)", "http://u:p@b.org/", "http://b.org:25/"] {
        assert!(matches!(redirect("http://a.org/x", to), Err(RedirectProblem::Url(_))), "{to}");
    }
    for to in ["http://169.254.169.254/latest", "http://0x7f.1/", "//[::1]/"] {
        let judged = redirect("http://a.org/x", to);
        assert!(matches!(judged, Err(RedirectProblem::Url(UrlProblem::Address(_)))), "{to}: {judged:?}");
    }
    assert_eq!(rules().redirect(&url("http://a.org/"), &HeaderMap::new()), Err(RedirectProblem::NoLocation));
}

#[test]
fn each_status_has_one_meaning() {
    for (status, meaning) in [
        (200, Answer::Picture),
        (203, Answer::Picture),
        (201, Answer::Permanent),
        (204, Answer::Nothing),
        (205, Answer::Nothing),
        (206, Answer::Permanent),
        (300, Answer::Permanent),
        (301, Answer::Redirect),
        (302, Answer::Redirect),
        (303, Answer::Redirect),
        (304, Answer::Permanent),
        (305, Answer::Permanent),
        (307, Answer::Redirect),
        (308, Answer::Redirect),
        (400, Answer::Permanent),
        (401, Answer::Permanent),
        (404, Answer::Permanent),
        (408, Answer::Transient),
        (410, Answer::Permanent),
        (425, Answer::Transient),
        (429, Answer::Transient),
        (451, Answer::Permanent),
        (500, Answer::Transient),
        (503, Answer::Transient),
        (599, Answer::Transient),
        (999, Answer::Permanent),
    ] {
        assert_eq!(answer(StatusCode::from_u16(status).expect("a status")), meaning, "{status}");
    }
}

#[test]
fn retry_after_is_read_as_seconds_and_as_a_date() {
    let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
    let read =
        |text: &'static str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]), now);
    assert_eq!(read("7"), Some(Duration::from_secs(7)));
    assert_eq!(read(" 0 "), Some(Duration::ZERO));
    assert_eq!(read("Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
    assert_eq!(read("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
    assert_eq!(read("soon"), None);
    assert_eq!(read("-1"), None);
    assert_eq!(read("1.5"), None);
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}
