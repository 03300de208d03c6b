//! A headless Chromium, driven over WebDriver, for what only a browser can tell about the page.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// What the driver says once it listens, before the number of its port.
const STARTED: &str = "started successfully on port ";

/// A running browser; it ends when dropped.
pub struct Browser {
    client: Client,
    session: String,
    port: u16,
    _driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one with an empty profile.
    ///
    /// # Panics
    /// There is no Chromium or no driver on this machine, in one line that says which packages to install.
    pub async fn start() -> Browser {
        match tokio::time::timeout(START_TIMEOUT, start()).await {
            Ok(Ok(browser)) => browser,
            Ok(Err(error)) => panic!("{error:#}"),
            Err(_) => panic!("Chromium didn't start within {START_TIMEOUT:?}"),
        }
    }

    /// To go places, find elements and use them.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What a script returns that runs in the page.
    ///
    /// # Panics
    /// The script fails.
    pub async fn run(&self, script: &str) -> Value {
        let result = self.client.execute(script, Vec::new()).await;
        result.unwrap_or_else(|error| panic!("run in the page: {script}: {error}"))
    }

    /// Saves what the window shows, as PNG.
    ///
    /// # Errors
    /// The file can't be written, or the browser is gone.
    pub async fn screenshot(&self, file: &Path) -> anyhow::Result<()> {
        let png = self.client.screenshot().await.context("take a screenshot")?;
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        std::fs::write(file, png).with_context(|| format!("write {}", file.display()))
    }
}

async fn start() -> anyhow::Result<Browser> {
    let (driver, port) = start_driver().await?;
    let profile = tempfile::tempdir().context("make a folder for the browser's profile")?;
    let arguments = [
        "--headless".to_owned(),
        // Its own confinement needs rights that containers and root don't have; the only page it sees is ours.
        "--no-sandbox".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        "--no-first-run".to_owned(),
        "--no-proxy-server".to_owned(),
        "--window-size=1000,700".to_owned(),
        format!("--user-data-dir={}", profile.path().display()),
    ];
    let capabilities = json!({ "goog:chromeOptions": { "args": arguments } });
    let capabilities = capabilities.as_object().cloned().unwrap_or_default();
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(&format!("http://127.0.0.1:{port}"))
        .await
        .context("start Chromium; it is in Debian's package chromium")?;
    let session = client.session_id().await.context("ask for the session")?;
    let session = session.ok_or_else(|| anyhow!("the driver gave no session"))?;
    Ok(Browser { client, session, port, _driver: driver, _profile: profile })
}

/// On a port of its own choice.
async fn start_driver() -> anyhow::Result<(Child, u16)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| anyhow!("no chromedriver ({error}): apt-get install chromium chromium-driver"))?;
    let output = driver.stdout.take().ok_or_else(|| anyhow!("chromedriver has no output"))?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await.context("read what chromedriver says")? {
        if let Some((_, port)) = line.split_once(STARTED) {
            let port =
                port.trim().trim_end_matches('.').parse().with_context(|| format!("find the port in '{line}'"))?;
            // It would be ended by a pipe that nobody reads.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((driver, port));
        }
    }
    Err(anyhow!("chromedriver ended before it listened"))
}

impl Drop for Browser {
    /// Ends the session, so that the driver ends Chromium: killing the driver alone would leave it running.
    fn drop(&mut self) {
        let end = || -> std::io::Result<()> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(END_TIMEOUT))?;
            let head =
                format!("DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", self.session);
            stream.write_all(head.as_bytes())?;
            // The answer comes when Chromium has ended.
            let _ = stream.read(&mut [0; 512])?;
            Ok(())
        };
        if let Err(error) = end() {
            eprintln!("e2e: the browser's session can't be ended: {error}");
        }
    }
}
