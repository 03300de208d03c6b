use super::*;
use reqwest::header::HeaderValue;

fn rules() -> Rules {
    Rules { allowed: Vec::new(), ports: vec![80, 443, 8443] }
}

fn url(text: &str) -> Url {
    text.parse().expect("a URL")
}

fn redirect(from: &str, location: &str) -> Result<Url, RedirectProblem> {
    let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_bytes(location.as_bytes()).expect("a header"))]);
    rules().redirect(&url(from), &headers)
}

#[test]
fn every_spelling_of_a_forbidden_address_is_refused() {
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0x0",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "１２７.０.０.１",
        "①②⑦.0.0.1",
        "169.254.169.254",
        "0xA9FEA9FE",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
    ] {
        for scheme in ["http", "https"] {
            let judged = rules().judge(&url(&format!("{scheme}://{host}/a.jpg")));
            assert!(matches!(judged, Err(UrlProblem::Address(_))), "{scheme}://{host}: {judged:?}");
        }
    }
    for host in ["example.org", "example.org.", "xn--nxasmq6b", "1.1.1.1", "[2606:4700::1111]"] {
        assert_eq!(rules().judge(&url(&format!("http://{host}/"))), Ok(()), "{host}");
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
    let only_https = Rules { allowed: Vec::new(), ports: vec![443] };
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
