//! Each metric through both of its readers.

use super::*;
use crate::observe::names::METRICS;
use opentelemetry_sdk::metrics::InMemoryMetricExporter;
use std::collections::BTreeSet;

struct Readings;

impl Gauges for Readings {
    fn in_flight(&self) -> u64 {
        11
    }
    fn waiting(&self) -> u64 {
        12
    }
    fn source_bytes_held(&self) -> u64 {
        13
    }
    fn decode_bytes_held(&self) -> u64 {
        14
    }
    fn lag(&self) -> Option<u64> {
        Some(15)
    }
    fn oldest_unfinished_age(&self) -> Option<Duration> {
        Some(Duration::from_millis(16_500))
    }
    fn partitions(&self) -> u64 {
        17
    }
    fn partitions_paused(&self) -> u64 {
        18
    }
    fn partitions_unleased(&self) -> u64 {
        19
    }
    fn metadata_units(&self) -> u64 {
        20
    }
    fn metadata_share(&self) -> f64 {
        0.25
    }
    fn strikes(&self) -> u64 {
        21
    }
}

fn record_everything(metrics: &Metrics) {
    metrics.records_received(3, 2);
    metrics.task_started();
    metrics.task_ended(End::Ok, Duration::from_millis(40));
    metrics.task_ended(End::Error(Code::BodyTooLarge), Duration::from_millis(40));
    metrics.task_ended(End::Cancelled, Duration::from_secs(200));
    metrics.stage(Stage::Fetch, Duration::from_millis(40), true);
    metrics.stage(Stage::Fetch, Duration::from_millis(40), false);
    metrics.retried(Code::ConnectTimeout);
    metrics.infrastructure_waited(Dependency::Store);
    metrics.dead_letter(Code::NotJson);
    metrics.commit(Duration::from_millis(4), None);
    metrics.commit(Duration::from_millis(4), Some("refused"));
    metrics.original_found("reused");
    metrics.rebalanced("assigned");
    metrics.record_skipped();
    metrics.records_expired(3);
    metrics.metadata_distrusted(Distrust::Foreign);
    metrics.client_rebuilt("failed");
    metrics.observe(Arc::new(Readings));
}

/// The line of `text` that begins with `name` and has all of `labels`.
fn line<'a>(text: &'a str, name: &str, labels: &[&str]) -> &'a str {
    text.lines()
        .find(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        })
        .unwrap_or_else(|| panic!("no {name} with {labels:?} in\n{text}"))
}

#[test]
fn every_documented_metric_is_scraped_under_its_name_with_its_attributes() {
    let metrics = Metrics::unexported();
    record_everything(&metrics);
    let text = metrics.render();
    for metric in METRICS {
        let name = metric.prometheus_name();
        let kind = match metric.instrument {
            names::Instrument::Counter => "counter",
            names::Instrument::Gauge => "gauge",
            names::Instrument::Histogram => "histogram",
        };
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "no {kind} {name} in\n{text}");
        assert!(text.contains(&format!("# HELP {name} {}\n", metric.meaning)), "no help for {name}");
        for attribute in metric.attributes {
            let label = format!("{}=\"", attribute.replace('.', "_"));
            let samples = text.lines().filter(|line| line.starts_with(&name));
            assert!(samples.clone().any(|line| line.contains(&label)), "{name} has no {label}");
        }
    }
    let documented: BTreeSet<_> = METRICS.iter().map(Metric::prometheus_name).collect();
    let scraped: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)).collect();
    assert_eq!(scraped, documented, "what is scraped is documented");
}

#[test]
fn values_are_those_that_were_recorded() {
    let metrics = Metrics::unexported();
    record_everything(&metrics);
    let text = metrics.render();
    for (name, value) in [
        ("downloader_tasks_in_flight", "11"),
        ("downloader_tasks_waiting", "12"),
        ("downloader_source_held_bytes", "13"),
        ("downloader_decode_held_bytes", "14"),
        ("downloader_tasks_lag", "15"),
        ("downloader_tasks_oldest_unfinished_age_seconds", "16.5"),
        ("downloader_partitions_assigned", "17"),
        ("downloader_tasks_started_total", "1"),
    ] {
        assert_eq!(line(&text, name, &[]).rsplit(' ').next(), Some(value), "{name}");
    }
    let ended = "downloader_tasks_ended_total";
    assert!(line(&text, ended, &["outcome=\"error\"", "error_type=\"body_too_large\""]).ends_with(" 1"));
    assert!(line(&text, ended, &["outcome=\"cancelled\""]).ends_with(" 1"));
    let timed = "messaging_process_duration_seconds_sum";
    let sums = text.lines().filter(|line| line.starts_with(timed)).collect::<Vec<_>>();
    assert_eq!(sums.len(), 2, "ok and error, the cancelled one is not timed: {sums:?}");
    assert!(
        line(&text, "messaging_client_operation_duration_seconds_count", &["error_type=\"refused\""]).ends_with(" 1")
    );
    assert!(line(&text, "messaging_client_consumed_messages_total", &["partition_id=\"3\""]).ends_with(" 2"));
}

#[test]
fn nothing_is_said_about_what_is_not_known() {
    struct Unknown;
    impl Gauges for Unknown {
        fn in_flight(&self) -> u64 {
            0
        }
        fn waiting(&self) -> u64 {
            0
        }
        fn source_bytes_held(&self) -> u64 {
            0
        }
        fn decode_bytes_held(&self) -> u64 {
            0
        }
        fn lag(&self) -> Option<u64> {
            None
        }
        fn oldest_unfinished_age(&self) -> Option<Duration> {
            None
        }
        fn partitions(&self) -> u64 {
            0
        }
        fn partitions_paused(&self) -> u64 {
            0
        }
        fn partitions_unleased(&self) -> u64 {
            0
        }
        fn metadata_units(&self) -> u64 {
            0
        }
        fn metadata_share(&self) -> f64 {
            0.0
        }
        fn strikes(&self) -> u64 {
            0
        }
    }
    let metrics = Metrics::unexported();
    assert!(!metrics.render().contains("downloader_tasks_in_flight"), "no source was given yet");
    metrics.observe(Arc::new(Unknown));
    let text = metrics.render();
    assert!(text.contains("downloader_tasks_in_flight 0") && !text.contains("downloader_tasks_lag"), "{text}");
    assert!(!text.contains("oldest_unfinished"), "{text}");
    metrics.observe(Arc::new(Readings));
    assert!(metrics.render().contains("downloader_tasks_lag 15"), "the later source replaces the earlier one");
}

#[test]
fn an_exporter_beside_the_scrape_gets_the_same_metrics() {
    let exporter = InMemoryMetricExporter::default();
    let readers = MeterProviderBuilder::default().with_periodic_exporter(exporter.clone());
    let metrics = Metrics::new(readers, Resource::builder_empty().build(), "urls_new", "downloader").expect("set up");
    record_everything(&metrics);
    metrics.provider().force_flush().expect("flushed");
    let exported = exporter.get_finished_metrics().expect("exported");
    let scopes: Vec<_> = exported.iter().flat_map(|resource| resource.scope_metrics()).collect();
    let names: BTreeSet<_> = scopes.iter().flat_map(|scope| scope.metrics()).map(|metric| metric.name()).collect();
    assert_eq!(names, METRICS.iter().map(|metric| metric.name).collect());
    assert!(scopes.iter().all(|scope| scope.scope().schema_url() == Some(names::SCHEMA_URL)));
    assert!(metrics.render().contains("messaging_destination_name=\"urls_new\""));
}
