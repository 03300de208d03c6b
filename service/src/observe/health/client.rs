//! One question to a process's HTTP server, for `downloader health`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Asks the server that listens on `address` for `path`: status and body. An address that means "all interfaces" is
/// asked on loopback.
///
/// # Errors
/// Nothing listens there, it does not answer within two seconds, or not in HTTP.
pub async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let address = reachable(address);
    match tokio::time::timeout(PATIENCE, exchange(address, path)).await {
        Ok(answer) => answer,
        Err(_elapsed) => bail!("{address} did not answer within {} s", PATIENCE.as_secs()),
    }
}

async fn exchange(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.with_context(|| {
        format!("connect to {address}; is the downloader running, and is HTTP_LISTEN the same for both?")
    })?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.with_context(|| format!("ask {address}"))?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await.with_context(|| format!("read from {address}"))?;
    let answer = String::from_utf8_lossy(&answer);
    parse(&answer).with_context(|| format!("{address} does not speak HTTP"))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn every_interface_is_asked_on_loopback() {
        for (listens, asked) in
            [("0.0.0.0:8081", "127.0.0.1:8081"), ("[::]:8081", "[::1]:8081"), ("192.0.2.1:80", "192.0.2.1:80")]
        {
            assert_eq!(reachable(listens.parse().expect("an address")).to_string(), asked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_given_up_on() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let error = ask(silent.local_addr().expect("bound"), "/livez").await.expect_err("no answer");
        assert!(error.to_string().ends_with("did not answer within 2 s"), "{error}");
    }

    #[test]
    fn only_http_is_taken_for_an_answer() {
        let answer = "HTTP/1.0 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nwhy\n";
        assert_eq!(parse(answer), Some((503, "why\n".to_owned())));
        for other in ["", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 ok\r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
