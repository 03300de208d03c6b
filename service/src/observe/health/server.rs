//! The HTTP side of health: `/livez`, `/readyz` and `/metrics`.

use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Health;
use crate::observe::Metrics;

const PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];
const TEXT: &str = "text/plain; charset=utf-8";
/// The text format that Prometheus' encoder writes.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long an answer that was begun may take once the server is to end.
const PARTING: Duration = Duration::from_secs(1);

/// Answers until `shutdown`, and at most [`PARTING`] longer.
///
/// # Cancel safety
/// Safe: dropping it closes the listener and every connection.
pub async fn serve(listener: TcpListener, health: Health, metrics: Metrics, shutdown: CancellationToken) {
    let live = health.clone();
    let router = Router::new()
        .route("/livez", get(move || std::future::ready(verdict(live.livez()))))
        .route("/readyz", get(move || std::future::ready(verdict(health.readyz()))))
        .route("/metrics", get(move || std::future::ready(([(header::CONTENT_TYPE, METRICS_TEXT)], metrics.render()))))
        .fallback(unknown);
    let server = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let parting = async {
        shutdown.cancelled().await;
        tokio::time::sleep(PARTING).await;
    };
    tokio::select! {
        result = server => if let Err(error) = result {
            tracing::error!(%error, "the HTTP server for health and metrics ended");
        },
        () = parting => {}
    }
}

fn verdict(answer: Result<(), Vec<String>>) -> Response {
    let (status, text) = match answer {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
    };
    (status, [(header::CONTENT_TYPE, TEXT)], text).into_response()
}

async fn unknown(uri: Uri) -> Response {
    let text = format!("there is no {}; this server has {}\n", uri.path(), PATHS.join(", "));
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, TEXT)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Dependency;
    use crate::observe::health::ask;
    use std::net::SocketAddr;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    async fn start(health: &Health) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shutdown = CancellationToken::new();
        let server = serve(listener, health.clone(), Metrics::unexported(), shutdown.clone());
        (address, shutdown, tokio::spawn(server))
    }

    #[tokio::test]
    async fn each_path_answers_as_documented() {
        let health = Health::new();
        let (address, shutdown, server) = start(&health).await;
        let get = async |path| ask(address, path).await.expect("answers");
        assert_eq!(get("/livez").await, (200, "ok\n".to_owned()));
        let (status, reasons) = get("/readyz").await;
        assert_eq!((status, reasons.lines().count()), (503, 3), "one reason per line: {reasons}");
        health.joined(true);
        health.dependency(Dependency::Kafka, Ok(()));
        health.dependency(Dependency::Store, Ok(()));
        assert_eq!(get("/readyz").await, (200, "ok\n".to_owned()));
        health.overdue_task(true);
        assert_eq!(get("/livez").await.0, 503);
        let (status, metrics) = get("/metrics").await;
        assert_eq!(status, 200, "{metrics}");
        let expected = "there is no /helth; this server has /livez, /readyz, /metrics\n";
        assert_eq!(get("/helth?x=1").await, (404, expected.to_owned()));
        shutdown.cancel();
        server.await.expect("ends");
        assert!(ask(address, "/livez").await.expect_err("closed").to_string().contains("is the downloader running"));
    }

    #[tokio::test]
    async fn a_client_that_never_finishes_does_not_hold_up_the_end() {
        let (address, shutdown, server) = start(&Health::new()).await;
        let mut slow = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, address.port())).await.expect("connected");
        slow.write_all(b"GET /livez HTTP/1.1\r\nHost:").await.expect("half a request");
        ask(address, "/livez").await.expect("the server has both connections by now");
        shutdown.cancel();
        tokio::time::timeout(PARTING * 3, server).await.expect("within its bound").expect("ends");
    }
}
