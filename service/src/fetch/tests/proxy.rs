//! A proxy that the environment names is never asked: it would look the name up, and connect, in our place.

use std::process::Command;

use super::*;

const FETCHES: &str = "fetch::tests::proxy::a_process_with_proxies_in_its_environment";
const NAMES: [&str; 8] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "PROXY", "proxy"];

/// Runs in a process of its own, whose environment names a proxy: an ordinary client asks it, ours does not.
#[tokio::test]
#[ignore = "run by environment_proxies_are_never_asked"]
async fn a_process_with_proxies_in_its_environment() {
    let setup = Setup::new().await;
    let url = setup.origin.serve("/picture", ok(b"picture"));
    assert_eq!(&setup.fetch_url(&url).await.expect("fetched").bytes()[..], b"picture");
    assert_eq!(setup.origin.connections(), 1);
    // The control: the environment is as it should be, for who looks at it.
    let answer = reqwest::Client::new().get(&url).send().await.expect("the proxy answers");
    assert_eq!(answer.status().as_u16(), 418);
    assert_eq!(setup.origin.connections(), 1);
}

#[tokio::test]
async fn environment_proxies_are_never_asked() {
    let proxy = Origin::start().await;
    proxy.serve_at_accept([vec![Step::Read], answer("418 Proxy\r\nContent-Length: 0", b"")].concat());
    let here = std::env::current_exe().expect("this program");
    let address = proxy.url("");
    let output = tokio::task::spawn_blocking(move || {
        let environment = NAMES.iter().map(|name| (*name, address.as_str()));
        // Set for programs run by a server, it switches proxies off.
        let command = Command::new(here)
            .args(["--exact", FETCHES, "--ignored"])
            .envs(environment)
            .env_remove("REQUEST_METHOD")
            .output();
        command.expect("runs")
    });
    let output = output.await.expect("no panic");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(proxy.connections(), 1, "the control, and nothing else");
}
