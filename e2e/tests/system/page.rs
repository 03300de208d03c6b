//! The page, in a browser.

use e2e::browser::Browser;
use e2e::expect::{PATIENCE, eventually};
use e2e::management::{PASSWORD, USER};
use e2e::sandbox::{Sandbox, evidence_folder};
use fantoccini::Locator;

const SUBMITTED: &str = "/seeding.jpg";

/// Claim: a person submits a picture on the page and sees its thumbnail, without doing anything more. Fault: none. Verdict:
/// the browser has drawn the thumbnail in its natural size, and its console shows no error; a screenshot is in
/// `target/e2e/page/`.
#[tokio::test]
async fn the_page_submits_and_shows_a_thumbnail() {
    let sandbox = Sandbox::start("page").await;
    let browser = Browser::start().await;
    let management = sandbox.start_management().await;
    let _downloader = sandbox.start_downloader().await;
    let page = management.url("/");
    let mut login = page.clone();
    login.set_username(USER).expect("an http URL can have one");
    login.set_password(Some(PASSWORD)).expect("an http URL can have one");

    let client = browser.client();
    // Once to log in; then without the credentials, as a person's address bar would have it.
    client.goto(login.as_str()).await.expect("the page opens");
    client.goto(page.as_str()).await.expect("the page opens");
    assert_eq!(client.title().await.unwrap(), "Pictures");
    let field = client.find(Locator::Id("url")).await.expect("a field for the address");
    field.send_keys(sandbox.origin().url(SUBMITTED).as_str()).await.expect("it can be typed into");
    client.find(Locator::Css("#submit button")).await.expect("a button").click().await.expect("it can be pressed");

    let screenshot = evidence_folder(sandbox.name()).join("page.png");
    let shown = eventually("the thumbnail is shown", PATIENCE, async || {
        let script = "const image = document.querySelector('#tasks li[data-state=ok] img');
                      return image && image.complete ? [image.naturalWidth, image.naturalHeight] : null";
        let size = browser.run(script).await;
        if size.is_array() { Ok(size) } else { Err(format!("the page shows: {}", text(&browser).await)) }
    });
    let shown = shown.or_error().await;
    browser.screenshot(&screenshot).await.expect("a screenshot");
    let size = shown.unwrap_or_else(|unmet| panic!("{unmet}\nsee {}", screenshot.display()));
    let [Some(width), Some(height)] = [size[0].as_u64(), size[1].as_u64()] else { panic!("{size} is no size") };
    assert_eq!(width.max(height), 128, "{width} x {height}");
}

async fn text(browser: &Browser) -> String {
    browser.run("return document.body.innerText").await.as_str().unwrap_or_default().replace('\n', " | ")
}
