//! OTLP requests -> spans. Metrics are accepted and dropped.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
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
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status};

use super::trace::{Span, Trace};
use crate::expect::{PATIENCE, eventually};
use crate::fault_book::{Faults, Notes};

const PROTOBUF: &str = "application/x-protobuf";
/// The kind of fault that lasts here.
const BROKEN: &str = "collector";

/// How a collector fails whoever reports to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorFault {
    /// Every export is answered with 503.
    Refuses,
    /// Exports are taken and never answered.
    Silent,
}

/// What has been received so far. Stops listening when dropped.
#[derive(Debug)]
pub struct Traces {
    address: SocketAddr,
    spans: Spans,
    gate: Arc<Gate>,
    notes: Notes,
    _server: AbortOnDropHandle<()>,
}

/// What every request meets first.
#[derive(Debug)]
struct Gate {
    fault: watch::Sender<Option<CollectorFault>>,
    /// Requests that met a fault, and requests that were taken.
    met: watch::Sender<(usize, usize)>,
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
        let gate = Arc::new(Gate { fault: watch::Sender::new(None), met: watch::Sender::default() });
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
            )
            .layer(from_fn_with_state(gate.clone(), pass));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("e2e: the trace receiver ended: {error}");
            }
        });
        Ok(Traces { address, spans, gate, notes: Notes::default(), _server: AbortOnDropHandle::new(server) })
    }

    /// What a test does to it is noted there.
    pub(crate) fn notes_in(&self, faults: &Faults) {
        self.notes.go_to(faults, "collector");
    }

    /// From now on it fails every exporter so.
    pub fn break_by(&self, fault: CollectorFault) {
        self.notes.begins(BROKEN, &format!("{fault:?}"));
        self.gate.met.send_replace((0, 0));
        self.gate.fault.send_replace(Some(fault));
    }

    /// It takes exports again, and those first that wait for an answer.
    pub fn heal(&self) {
        self.gate.fault.send_replace(None);
        self.notes.ends(BROKEN);
    }

    /// Waits until an exporter has met the fault.
    ///
    /// # Panics
    /// None did within [`PATIENCE`].
    pub async fn bites(&self) {
        self.met("an exporter meets the collector's fault", |(failed, _)| failed > 0).await;
    }

    /// Waits until an export has been taken since the last fault began.
    ///
    /// # Panics
    /// None was within [`PATIENCE`].
    pub async fn takes(&self) {
        self.met("the collector takes an export", |(_, taken)| taken > 0).await;
    }

    async fn met(&self, what: &str, enough: impl Fn((usize, usize)) -> bool) {
        eventually(what, PATIENCE, async || {
            let met = *self.gate.met.borrow();
            if enough(met) { Ok(()) } else { Err(format!("{} failed, {} were taken", met.0, met.1)) }
        })
        .await;
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

/// Lets a request through, or fails it.
async fn pass(State(gate): State<Arc<Gate>>, request: HttpRequest, next: Next) -> axum::response::Response {
    let mut fault = gate.fault.subscribe();
    let now = *fault.borrow_and_update();
    match now {
        None => gate.met.send_modify(|(_, taken)| *taken += 1),
        Some(_) => gate.met.send_modify(|(failed, _)| *failed += 1),
    }
    match now {
        None => {}
        Some(CollectorFault::Refuses) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        // The sender lives as long as the server does.
        Some(CollectorFault::Silent) => drop(fault.wait_for(Option::is_none).await),
    }
    next.run(request).await
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
    async fn a_collector_can_refuse_and_keep_silent() {
        let traces = receiver().await;
        let post = || {
            let body = request("kept").encode_to_vec();
            ask(client().post(format!("{}/v1/traces", traces.endpoint())).header("content-type", PROTOBUF).body(body))
        };
        traces.break_by(CollectorFault::Refuses);
        assert_eq!(post().await.unwrap().status, 503);
        traces.bites().await;
        traces.break_by(CollectorFault::Silent);
        let mut waiting = Box::pin(post());
        tokio::select! {
            answer = &mut waiting => panic!("it was answered: {answer:?}"),
            () = traces.bites() => {}
        }
        assert_eq!(traces.spans(), []);
        traces.heal();
        assert_eq!(waiting.await.unwrap().status, 200);
        assert_eq!(post().await.unwrap().status, 200);
        traces.takes().await;
        assert_eq!(traces.spans().len(), 2);
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
