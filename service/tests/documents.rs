//! The README says what the code says.

use std::collections::BTreeSet;

use downloader::cli::value_name;
use downloader::config::SETTINGS;
use downloader::observe::names::METRICS;

const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_lists_every_setting_with_its_default() {
    let mut missing = Vec::new();
    for setting in SETTINGS {
        let default = if setting.default.is_empty() { "none".to_owned() } else { format!("`{}`", setting.default) };
        let row = format!("| `{}` | {} | {default} | {} |", setting.name, value_name(setting.kind), setting.meaning);
        if !README.contains(&row) {
            missing.push(row);
        }
    }
    assert!(missing.is_empty(), "not in README.md, or not so:\n{}", missing.join("\n"));
    assert_eq!(rows("variable"), SETTINGS.len(), "README.md has rows of settings that don't exist");
}

#[test]
fn the_readme_lists_every_metric() {
    let row = |metric: &downloader::observe::names::Metric| {
        format!("| `{}` | {} |", metric.prometheus_name(), metric.meaning)
    };
    let missing: Vec<_> = METRICS.iter().map(row).filter(|row| !README.contains(row)).collect();
    assert!(missing.is_empty(), "not in README.md, or not so:\n{}", missing.join("\n"));
    assert_eq!(rows("metric"), METRICS.len(), "README.md has rows of metrics that don't exist");
}

/// Rows of the table whose first column has this heading.
fn rows(heading: &str) -> usize {
    let from = README.lines().skip_while(|line| !line.starts_with(&format!("| {heading} |")));
    from.skip(2).take_while(|line| line.starts_with('|')).count()
}

/// The headers that the code writes are those of the AsyncAPI document, and the other way round.
#[test]
fn the_asyncapi_document_names_every_header_we_write() {
    let code = concat!(include_str!("../src/kafka/headers.rs"), include_str!("../src/kafka/dead_letters.rs"));
    let document = include_str!("../../fixtures/wire/asyncapi.yaml");
    let prefixes = ["source.", "dead.", "replay."];
    let ours = |name: &&str| prefixes.iter().any(|prefix| name.starts_with(prefix) && name != prefix);
    let written: BTreeSet<&str> = code.split('"').skip(1).step_by(2).filter(ours).collect();
    let keys = document.lines().filter_map(|line| line.trim_start().split_once(':')).map(|(key, _)| key);
    let documented: BTreeSet<&str> = keys.filter(ours).collect();
    assert!(written.len() > 10, "the search finds what is there: {written:?}");
    assert_eq!(written, documented);
}
