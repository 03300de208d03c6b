//! Which log lines are written, and how they look.
//!
//! `LOG_LEVEL` decides; libraries that talk a lot are held at `warn` unless it names them, and what the exporters have to
//! say about a collector that is down appears once a minute.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _};
use tracing_subscriber::fmt::format::{FormatFields, Writer};
use tracing_subscriber::fmt::{FormattedFields, MakeWriter};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt as tracing_fmt};

use super::names::attribute;
use crate::config::LogFormat;

/// Libraries whose lines below `warn` are about themselves.
const NOISY: [&str; 9] =
    ["h2", "hyper", "hyper_util", "librdkafka", "opentelemetry", "rdkafka", "reqwest", "rustls", "tonic"];
const LEVELS: &str = "off, error, warn, info, debug, trace";
/// Of what the exporters log about themselves, one line in so much time.
const EXPORTER_LINE_EVERY: Duration = Duration::from_mins(1);
const EXPORTERS: &str = "opentelemetry";

/// The layer that writes lines to `writer`, in colour only where text is written to a terminal.
///
/// # Errors
/// `level`, the value of `LOG_LEVEL`, cannot be read.
pub(super) fn layer<S, W>(
    level: &str,
    format: LogFormat,
    writer: W,
    terminal: bool,
) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = filter(level)?.and(Sparingly { asked_for: level.contains(EXPORTERS), last: Mutex::default() });
    let lines = tracing_fmt::layer().with_writer(writer);
    Ok(match format {
        LogFormat::Text => lines.with_ansi(terminal).fmt_fields(ShortFields).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed(),
    })
}

/// Reads `LOG_LEVEL`.
fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    let mut general = LevelFilter::ERROR;
    for directive in directives(text).filter(|directive| !directive.contains(['=', '['])) {
        // The filter itself would take a misspelt level for the name of a crate, and then nothing would be logged.
        let Ok(level) = directive.parse() else {
            bail!("LOG_LEVEL: '{directive}' is not a level ({LEVELS}); a crate is written as in info,downloader=debug");
        };
        general = level;
    }
    let quiet = general.min(LevelFilter::WARN);
    let all = NOISY
        .iter()
        .map(|name| format!("{name}={quiet}"))
        .chain(directives(text).map(str::to_owned))
        .collect::<Vec<_>>();
    EnvFilter::builder().parse(all.join(",")).with_context(|| {
        format!("LOG_LEVEL: '{text}' cannot be read; write a level ({LEVELS}) or, as in info,downloader=debug, several")
    })
}

/// The comma separated parts.
fn directives(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|directive| !directive.is_empty())
}

/// Lets a line of the exporters through only if the last one was long enough ago, or if all of them were asked for.
struct Sparingly {
    /// `LOG_LEVEL` names the exporters.
    asked_for: bool,
    last: Mutex<Option<Instant>>,
}

impl Sparingly {
    fn limits(&self, metadata: &Metadata<'_>) -> bool {
        !self.asked_for && metadata.target().starts_with(EXPORTERS)
    }
}

impl<S> Filter<S> for Sparingly {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        if !self.limits(metadata) {
            return true;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < EXPORTER_LINE_EVERY) {
            return false;
        }
        *last = Some(Instant::now());
        true
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.limits(metadata) { Interest::sometimes() } else { Interest::always() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}

/// Fields as a person reads them: of a span's attributes only those that tell tasks apart, under short names, and
/// nothing that could begin a new line.
struct ShortFields;

/// The name under which text lines show a field; none: not at all. Dotted names are attributes for the collector.
fn shown(name: &'static str) -> Option<&'static str> {
    match name {
        attribute::MESSAGING_DESTINATION_PARTITION_ID => Some("partition"),
        attribute::MESSAGING_KAFKA_OFFSET => Some("offset"),
        attribute::MESSAGING_MESSAGE_CONVERSATION_ID => Some("correlation_id"),
        attribute::URL_FULL => Some("url"),
        attribute::AWS_S3_KEY => Some("key"),
        name if name.contains('.') => None,
        name => Some(name),
    }
}

impl<'writer> FormatFields<'writer> for ShortFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = ShortVisitor { writer, first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        let mut added = String::new();
        self.format_fields(Writer::new(&mut added), fields)?;
        if !current.fields.is_empty() && !added.is_empty() {
            current.fields.push(' ');
        }
        current.fields.push_str(&added);
        Ok(())
    }
}

struct ShortVisitor<'writer> {
    writer: Writer<'writer>,
    first: bool,
    result: fmt::Result,
}

impl Visit for ShortVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Some libraries give their message as a text, which would be shown in quotes.
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let Some(name) = shown(field.name()) else { return };
        if self.result.is_err() {
            return;
        }
        let space = if std::mem::take(&mut self.first) { "" } else { " " };
        let mut line = OneLine(&mut self.writer);
        self.result = match name {
            "message" => write!(line, "{space}{value:?}"),
            name => write!(line, "{space}{name}={value:?}"),
        };
    }
}

/// Writes control characters escaped, so that no text from outside can forge a line or colour a terminal.
struct OneLine<'a, 'writer>(&'a mut Writer<'writer>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| {
            if letter.is_control() { write!(self.0, "{}", letter.escape_default()) } else { self.0.write_char(letter) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::spans::{Place, fetch_span, process_span};
    use std::sync::Arc;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// What `log` writes under `level`.
    fn written(level: &str, format: LogFormat, log: impl FnOnce()) -> String {
        let file = tempfile::tempfile().expect("temporary file");
        let lines = layer(level, format, Arc::new(file.try_clone().expect("cloned")), false).expect("a good level");
        tracing::subscriber::with_default(Registry::default().with(lines), log);
        let mut text = String::new();
        let mut file = file;
        std::io::Seek::rewind(&mut file).expect("rewound");
        std::io::Read::read_to_string(&mut file, &mut text).expect("UTF-8");
        text
    }

    fn process() -> tracing::Span {
        let place = Place { topic: "urls_new", group: "downloader", partition: 3, offset: 42 };
        process_span(place, Some(7), &opentelemetry::Context::new())
    }

    #[test]
    fn a_line_names_its_task_at_every_level() {
        let text = written("warn", LogFormat::Text, || process().in_scope(|| tracing::warn!(attempt = 2, "failed")));
        assert!(text.contains("process{partition=3 offset=42 correlation_id=7}"), "{text}");
        assert!(text.trim_end().ends_with("failed attempt=2"), "{text}");
        let text = written("info", LogFormat::Text, || tracing::info!(message = "given as a text", why = "so"));
        assert!(text.trim_end().ends_with("given as a text why=\"so\""), "{text}");
        let text = written("info", LogFormat::Json, || process().in_scope(|| tracing::info!("stored")));
        let line: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(line["message"], "stored");
        assert_eq!(line["spans"][0][attribute::MESSAGING_MESSAGE_CONVERSATION_ID], "7", "{line}");
    }

    #[test]
    fn a_field_recorded_later_is_shown_and_attributes_are_not() {
        let url = "http://example.com/cat.jpg?token=secret".parse().expect("a URL");
        let text = written("info", LogFormat::Text, || {
            let span = fetch_span(&url);
            span.record(attribute::HTTP_RESPONSE_STATUS_CODE, 404);
            span.in_scope(|| tracing::info!("answered"));
        });
        assert!(text.contains("fetch{url=\"http://example.com/cat.jpg\"}"), "{text}");
        assert!(!text.contains("secret") && !text.contains("404"), "{text}");
    }

    #[test]
    fn text_from_outside_stays_on_its_line() {
        let hostile = "harmless\nERROR forged\u{1b}[31m";
        let text = written("info", LogFormat::Text, || tracing::info!(reason = %hostile, "{hostile}"));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn talkative_libraries_are_held_at_warn_unless_named() {
        let log = || {
            tracing::info!(target: "librdkafka", "detail");
            tracing::warn!(target: "librdkafka", "trouble");
        };
        let text = written("debug", LogFormat::Text, log);
        assert!(text.contains("trouble") && !text.contains("detail"), "{text}");
        assert_eq!(written("error", LogFormat::Text, log), "", "no more than the general level");
        let text = written("error,librdkafka=info", LogFormat::Text, log);
        assert!(text.contains("trouble") && text.contains("detail"), "{text}");
    }

    #[test]
    fn an_exporter_in_trouble_says_so_once_a_minute() {
        let log = || {
            for _ in 0..5 {
                tracing::error!(target: "opentelemetry_sdk", "cannot export");
                tracing::error!(target: "opentelemetry-otlp", "cannot export");
                tracing::error!("ours");
            }
        };
        let text = written("info", LogFormat::Text, log);
        assert_eq!(text.matches("cannot export").count(), 1, "{text}");
        assert_eq!(text.matches("ours").count(), 5, "{text}");
        let text = written("info,opentelemetry=debug", LogFormat::Text, log);
        assert_eq!(text.matches("cannot export").count(), 10, "whoever asks for them gets them all: {text}");
    }

    #[test]
    fn a_level_that_cannot_be_read_is_named() {
        for (level, wrong) in
            [("inof", "'inof'"), ("info,downloader=loud", "'info,downloader=loud'"), ("info,db", "'db'")]
        {
            let error = filter(level).expect_err("not a level").to_string();
            assert!(error.starts_with("LOG_LEVEL: ") && error.contains(wrong), "{error}");
        }
        for level in ["warn", " info , downloader=debug", "off", "info,[process{offset=1}]=trace"] {
            filter(level).expect("reads");
        }
    }
}
