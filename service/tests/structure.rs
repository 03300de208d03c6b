//! Who may know what. The rules stand in ARCHITECTURE.md; here they can fail.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file below `service/src`, as its path from there and its text without tests.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    let product = found.into_iter().filter(|path| {
        !path.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            part == "tests" || part == "tests.rs"
        })
    });
    product
        .map(|path| {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
            let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
            (name, code)
        })
        .collect()
}

/// Files outside `allowed` whose code says one of `words`.
fn offenders(words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = |(name, code): (String, String)| {
        let said = code.lines().enumerate().filter(|(_, line)| {
            let line = line.trim_start();
            !line.starts_with("//") && words.iter().any(|word| line.contains(word))
        });
        said.map(|(number, line)| format!("{name}:{}: {}", number + 1, line.trim())).collect::<Vec<_>>()
    };
    sources().into_iter().filter(|(name, _)| !allowed(name)).flat_map(lines).collect()
}

#[test]
fn only_kafka_knows_the_kafka_client() {
    let found = offenders(&["rdkafka::"], |name| name.starts_with("kafka"));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn progress_and_retry_are_pure() {
    let pure = |name: &str| name.starts_with("progress") || name == "flow/retry.rs";
    let words = ["tokio", "rdkafka", "tracing", "Instant::now", "SystemTime", "std::thread", "std::net", "std::fs"];
    let found = offenders(&words, |name| !pure(name));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_stage_sees_an_offset() {
    let stage = |name: &str| ["fetch", "image", "store"].iter().any(|stage| name.starts_with(stage));
    let found = offenders(&["Ticket", "next_offset", "Delivery"], |name| !stage(name));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_the_pipeline_decides_about_another_attempt() {
    let found = offenders(&["Next::", "give_up("], |name| {
        name.starts_with("pipeline") || matches!(name, "service.rs" | "flow/retry.rs")
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn an_expect_states_an_invariant_and_unsafe_stays_where_it_is() {
    let expects: Vec<_> = offenders(&[".expect("], |_| false)
        .into_iter()
        .filter(|line| !line.contains(".expect(\"invariant: "))
        .collect();
    assert!(expects.is_empty(), "{expects:#?}");
    let found = offenders(&["unsafe "], |name| name.starts_with("kafka") || name == "trial/child.rs");
    assert!(found.is_empty(), "{found:#?}");
}

/// That the image's binary does not hold the text `failpoint:` is for the system ring to look at.
#[test]
fn what_is_released_has_no_failpoints() {
    let manifest = include_str!("../Cargo.toml");
    assert!(
        manifest.contains("\nfailpoints = []\n") && !manifest.contains("\ndefault = "),
        "the feature is on by default"
    );
    let image =
        [include_str!("../../compose/downloader/build-image"), include_str!("../../compose/downloader/Dockerfile")];
    for text in image {
        let build = text.lines().find(|line| line.contains("cargo build")).expect("it builds the binary");
        assert!(build.contains("--package downloader --features tls"), "{build}");
        assert!(!text.contains("failpoints") && !text.contains("--all-features"), "{text}");
    }
}

#[test]
fn a_rule_that_is_broken_is_noticed() {
    assert!(!offenders(&["rdkafka::"], |_| false).is_empty(), "the search finds what is there");
}
