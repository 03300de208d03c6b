//! OTLP requests -> spans. Metrics are accepted and dropped.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status};

use super::trace::{Span, Trace};

const PROTOBUF: &str = "application/x-protobuf";

/// What has been received so far. Stops listening when dropped.
#[derive(Debug)]
pub struct Traces {
    address: SocketAddr,
    spans: Spans,
    _server: AbortOnDropHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

impl Traces {
    /// Listens on a free port of `address`, which only has to be one that the exporters reach.
    ///
    /// # Errors
    /// The address is not one of this machine.
    pub async fn listen(address: IpAddr) -> anyhow::Result<Traces> {
        let listener =
            TcpListener::bind((address, 0)).await.with_context(|| format!("listen for traces on {address}"))?;
        let address = listener.local_addr()?;
        let spans = Spans::default();
        let http = spans.clone();
        let router = Router::new()
            .route("/v1/traces", post(async move |headers, body| export_over_http(&http, &headers, &body)))
            .route("/v1/metrics", post(async || protobuf(&ExportMetricsServiceResponse::default())))
            .route_service(
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                TraceServiceServer::new(spans.clone()),
            )
            .route_service(
                "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
                MetricsServiceServer::new(spans.clone()),
            );
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("e2e: the trace receiver ended: {error}");
            }
        });
        Ok(Traces { address, spans, _server: AbortOnDropHandle::new(server) })
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`, with either protocol.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span received so far, in the order of their start.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = self.spans.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        spans.sort_by_key(|span| span.start_ns);
        spans
    }

    /// What has been received of each trace so far, in the order of their start.
    pub fn all(&self) -> Vec<Trace> {
        let mut traces: Vec<Trace> = Vec::new();
        for span in self.spans() {
            match traces.iter_mut().find(|trace| trace.id() == span.trace_id) {
                Some(trace) => trace.push(span),
                None => traces.push(Trace::of(span)),
            }
        }
        traces
    }

    /// The trace that holds a span for which `matches` is true.
    pub fn with(&self, matches: impl Fn(&Span) -> bool) -> Option<Trace> {
        self.all().into_iter().find(|trace| trace.spans().iter().any(&matches))
    }
}

impl Spans {
    fn take(&self, request: ExportTraceServiceRequest) {
        let spans = request.resource_spans.into_iter().flat_map(Span::read_all);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
    }
}

fn export_over_http(spans: &Spans, headers: &HeaderMap, body: &Bytes) -> axum::response::Response {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type != Some(PROTOBUF) || headers.contains_key(header::CONTENT_ENCODING) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "only plain protobuf is read here").into_response();
    }
    match ExportTraceServiceRequest::decode(body.as_ref()) {
        Ok(request) => {
            spans.take(request);
            protobuf(&ExportTraceServiceResponse::default())
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

fn protobuf(answer: &impl prost::Message) -> axum::response::Response {
    ([(header::CONTENT_TYPE, PROTOBUF)], answer.encode_to_vec()).into_response()
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Spans {
    async fn export(
        &self,
        _request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::http::{ask, client};
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as WireSpan};

    fn request(name: &str) -> ExportTraceServiceRequest {
        let span =
            WireSpan { trace_id: vec![0xab; 16], span_id: vec![1; 8], name: name.to_owned(), ..WireSpan::default() };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
    }

    async fn receiver() -> Traces {
        Traces::listen([127, 0, 0, 1].into()).await.unwrap()
    }

    #[tokio::test]
    async fn both_protocols_come_in_by_one_port() {
        let traces = receiver().await;
        let body = request("by http").encode_to_vec();
        let post =
            client().post(format!("{}/v1/traces", traces.endpoint())).header("content-type", PROTOBUF).body(body);
        assert_eq!(ask(post).await.unwrap().status, 200);
        let mut grpc = TraceServiceClient::connect(traces.endpoint()).await.unwrap();
        grpc.export(request("by grpc")).await.unwrap();
        let names: Vec<String> = traces.spans().into_iter().map(|span| span.name).collect();
        assert_eq!(names, ["by http", "by grpc"]);
        assert_eq!(traces.all().len(), 1, "they are of one trace");
    }

    #[tokio::test]
    async fn what_is_no_export_is_refused_and_not_taken() {
        let traces = receiver().await;
        for (content_type, body, status) in [("application/json", "{}", 415), (PROTOBUF, "\u{7f}no protobuf", 400)] {
            let post = client().post(format!("{}/v1/traces", traces.endpoint()));
            let answer = ask(post.header("content-type", content_type).body(body)).await.unwrap();
            assert_eq!(answer.status, status, "{content_type}: {}", answer.text());
        }
        assert_eq!(traces.spans(), []);
    }
}
