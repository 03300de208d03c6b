//! One trace: its spans, what hangs below what, and a drawing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span as WireSpan};

/// One span as it was received. Ids are lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of the trace.
    pub trace_id: String,
    /// Its own.
    pub span_id: String,
    /// Of the span it is a child of.
    pub parent_id: Option<String>,
    /// `service.name` of the process that sent it.
    pub service: String,
    /// `service.instance.id` of that process: of a downloader its run id.
    pub instance: String,
    /// Its name.
    pub name: String,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    pub kind: &'static str,
    /// The spans it is linked to.
    pub links: Vec<String>,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Its status is an error.
    pub failed: bool,
    /// Nanoseconds since 1970.
    pub start_ns: u64,
    /// Nanoseconds since 1970.
    pub end_ns: u64,
}

impl Span {
    pub(super) fn read_all(of_resource: ResourceSpans) -> Vec<Span> {
        let resource = of_resource.resource.unwrap_or_default();
        let of_process = |key: &str| {
            let found = resource.attributes.iter().find(|pair| pair.key == key);
            found.and_then(|pair| pair.value.clone()).map(text).unwrap_or_default()
        };
        let (service, instance) = (of_process("service.name"), of_process("service.instance.id"));
        let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(|span| Span::read(&service, &instance, span)).collect()
    }

    fn read(service: &str, instance: &str, span: WireSpan) -> Span {
        Span {
            kind: match span.kind() {
                SpanKind::Unspecified | SpanKind::Internal => "internal",
                SpanKind::Server => "server",
                SpanKind::Client => "client",
                SpanKind::Producer => "producer",
                SpanKind::Consumer => "consumer",
            },
            failed: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
            service: service.to_owned(),
            instance: instance.to_owned(),
            name: span.name,
            links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
            attributes: span
                .attributes
                .into_iter()
                .map(|pair| (pair.key, pair.value.map(text).unwrap_or_default()))
                .collect(),
            start_ns: span.start_time_unix_nano,
            end_ns: span.end_time_unix_nano,
        }
    }

    /// `service: name`, as edges name it.
    pub fn label(&self) -> String {
        format!("{}: {}", self.service, self.name)
    }

    /// How long it took.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end_ns.saturating_sub(self.start_ns))
    }

    /// Linked to the span it is a child of.
    fn is_linked_to_parent(&self) -> bool {
        self.parent_id.as_ref().is_some_and(|parent| self.links.contains(parent))
    }
}

/// The spans of one trace that have arrived.
#[derive(Clone, Debug)]
pub struct Trace {
    spans: Vec<Span>,
}

impl Trace {
    pub(super) fn of(first: Span) -> Trace {
        Trace { spans: vec![first] }
    }

    pub(super) fn push(&mut self, span: Span) {
        self.spans.push(span);
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.spans.first().map_or("", |span| &span.trace_id)
    }

    /// Its spans.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// What hangs below what: the labels of parent and child.
    pub fn edges(&self) -> BTreeSet<(String, String)> {
        self.spans.iter().filter_map(|span| Some((self.parent(span)?.label(), span.label()))).collect()
    }

    /// Which spans are linked to which: the labels of the one that holds the link and the one it names.
    pub fn links(&self) -> BTreeSet<(String, String)> {
        let linked = |span: &Span| {
            self.spans.iter().filter(|other| span.links.contains(&other.span_id)).map(Span::label).collect::<Vec<_>>()
        };
        self.spans.iter().flat_map(|span| linked(span).into_iter().map(|to| (span.label(), to))).collect()
    }

    /// The labels of spans without a parent, or with one that has not arrived.
    pub fn roots(&self) -> Vec<String> {
        self.spans.iter().filter(|span| self.parent(span).is_none()).map(Span::label).collect()
    }

    fn parent(&self, span: &Span) -> Option<&Span> {
        let id = span.parent_id.as_ref()?;
        self.spans.iter().find(|other| other.span_id == *id)
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>, span: &Span, indent: &str, is_last: bool) -> fmt::Result {
        let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let link = if span.is_linked_to_parent() { ", linked to it" } else { "" };
        let failed = span.attributes.get("error.type").map_or("error", String::as_str);
        let failed = if span.failed { format!("  FAILED {failed}") } else { String::new() };
        let millis = span.duration().as_micros();
        writeln!(
            f,
            "{indent}{branch}{}  ({}{link})  {}.{} ms{failed}",
            span.label(),
            span.kind,
            millis / 1000,
            millis % 1000 / 100
        )?;
        let children: Vec<&Span> =
            self.spans.iter().filter(|child| child.parent_id.as_ref() == Some(&span.span_id)).collect();
        for (index, child) in children.iter().enumerate() {
            self.draw(f, child, &format!("{indent}{below}"), index + 1 == children.len())?;
        }
        Ok(())
    }
}

impl fmt::Display for Trace {
    /// As a tree, siblings in the order of their start.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "trace {}", self.id())?;
        let roots: Vec<&Span> = self.spans.iter().filter(|span| self.parent(span).is_none()).collect();
        for (index, root) in roots.iter().enumerate() {
            self.draw(f, root, "", index + 1 == roots.len())?;
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: AnyValue) -> String {
    match value.value {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, name: &str, start_ms: u64) -> Span {
        Span {
            trace_id: "ab".to_owned(),
            span_id: id.to_owned(),
            parent_id: parent.map(str::to_owned),
            service: "s".to_owned(),
            instance: "1".to_owned(),
            name: name.to_owned(),
            kind: "internal",
            links: Vec::new(),
            attributes: BTreeMap::new(),
            failed: false,
            start_ns: start_ms * 1_000_000,
            end_ns: start_ms * 1_000_000 + 1_500_000,
        }
    }

    fn trace() -> Trace {
        let linked = Span { links: vec!["1".to_owned()], kind: "consumer", ..span("2", Some("1"), "process", 1) };
        let failed = Span { failed: true, ..span("4", Some("2"), "put", 3) };
        Trace {
            spans: vec![
                span("1", None, "send", 0),
                linked,
                span("3", Some("2"), "GET", 2),
                failed,
                span("5", Some("9"), "lone", 4),
            ],
        }
    }

    #[test]
    fn a_trace_is_drawn_as_a_tree() {
        let drawn = "trace ab\n\
                     ├─ s: send  (internal)  1.5 ms\n\
                     │  └─ s: process  (consumer, linked to it)  1.5 ms\n\
                     │     ├─ s: GET  (internal)  1.5 ms\n\
                     │     └─ s: put  (internal)  1.5 ms  FAILED error\n\
                     └─ s: lone  (internal)  1.5 ms\n";
        assert_eq!(trace().to_string(), drawn);
    }

    #[test]
    fn a_trace_is_judged_by_its_edges_links_and_roots() {
        let pair = |from: &str, to: &str| (format!("s: {from}"), format!("s: {to}"));
        let trace = trace();
        assert_eq!(
            trace.edges(),
            BTreeSet::from([pair("send", "process"), pair("process", "GET"), pair("process", "put")])
        );
        assert_eq!(trace.links(), BTreeSet::from([pair("process", "send")]));
        assert_eq!(trace.roots(), ["s: send", "s: lone"], "one whose parent never came counts as a root");
    }
}
