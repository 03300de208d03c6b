//! The golden messages, and what no list of examples covers.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn wire() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire")
}

fn cases(of: &str) -> Vec<Value> {
    let text = std::fs::read(wire().join("cases.json")).expect("cases.json");
    let cases: Value = serde_json::from_slice(&text).expect("JSON");
    cases[of].as_array().expect("a list of cases").clone()
}

fn payload(case: &Value) -> Option<Vec<u8>> {
    case["file"].as_str().map(|file| std::fs::read(wire().join(file)).expect("a golden message"))
}

#[test]
fn golden_tasks_read_as_the_cases_say() {
    for case in cases("tasks") {
        let payload = payload(&case);
        match Task::read(payload.as_deref()) {
            Ok(task) => {
                assert_eq!(case["reads"], true, "{case}");
                assert_eq!(case["correlation_id"], task.correlation_id, "{case}");
                assert_eq!(case["url"], task.url, "{case}");
                assert_eq!(case["target_path"], task.target_path, "{case}");
                assert_eq!(case["target_thumbnail_path"], task.target_thumbnail_path, "{case}");
                let refused = task.vet().err().map(|error| error.code().as_str());
                let expected = case["refused"].as_str();
                // Ports are judged where the settings are known, by the fetcher.
                if expected != Some("url_port_refused") {
                    assert_eq!(refused, expected, "{case}");
                }
            }
            Err(error) => {
                assert_eq!(case["reads"], false, "{case} {error}");
                assert_eq!(case["code"], error.code.as_str(), "{case} {error}");
                assert_eq!(case["correlation_id"].as_u64(), error.correlation_id, "{case} {error}");
            }
        }
    }
}

#[test]
fn golden_outcomes_read_and_ours_are_written_byte_for_byte() {
    let readable: Vec<Value> = cases("outcomes").into_iter().filter(|case| case["reads"] == true).collect();
    assert!(readable.len() > 10, "the cases are there");
    for case in readable {
        let payload = payload(&case).expect("a payload");
        let outcome: Outcome = serde_json::from_slice(&payload).unwrap_or_else(|error| panic!("{case}: {error}"));
        for (field, value) in serde_json::to_value(&outcome).expect("JSON").as_object().expect("an object") {
            assert_eq!(&case[field], value, "{field} of {case}");
        }
        if case["written_by"] == "downloader" {
            let written = serde_json::to_string(&outcome).expect("JSON");
            assert_eq!(written, String::from_utf8(payload).expect("UTF-8"), "{case}");
        }
    }
}

#[test]
fn the_readers_rule_keeps_the_outcome_the_cases_name() {
    let text = std::fs::read(wire().join("readers_rule.json")).expect("readers_rule.json");
    let sequences: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
    for case in sequences {
        let outcomes: Vec<Outcome> = case["sequence"]
            .as_array()
            .expect("a sequence")
            .iter()
            .map(|outcome| {
                let mut outcome = outcome.clone();
                outcome["correlation_id"] = 7.into();
                serde_json::from_value(outcome).expect("an outcome")
            })
            .collect();
        let kept =
            outcomes.iter().skip(1).fold(&outcomes[0], |held, next| if next.replaces(held) { next } else { held });
        let index = usize::try_from(case["final_index"].as_u64().expect("an index")).expect("small");
        assert!(std::ptr::eq(kept, &outcomes[index]), "{case}");
    }
}

proptest! {
    /// Whatever the bytes, reading ends, and what reads as a task can be written and read again.
    #[test]
    fn any_bytes_read_or_are_refused(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(task) = Task::read(Some(&payload)) {
            prop_assert_eq!(Task::read(Some(&serde_json::to_vec(&task).unwrap())), Ok(task));
        }
    }

    #[test]
    fn every_task_survives_the_wire(
        correlation_id in 0..=CORRELATION_ID_MAX, url in ".*", target_path in ".*", target_thumbnail_path in ".*",
    ) {
        let task = Task { correlation_id, url, target_path, target_thumbnail_path };
        prop_assert_eq!(Task::read(Some(&serde_json::to_vec(&task).unwrap())), Ok(task));
    }

    /// A key that passes names something below the bucket on every store, whatever was in it.
    #[test]
    fn a_key_that_passes_stays_inside_the_bucket(text in "[a-z./\\\\%\u{0}-\u{1f}ü ]{0,40}") {
        if let Ok(key) = vet_key("target_path", &text) {
            let path = Path::new("/bucket").join(key.as_str());
            let plain = path.components().all(|part| {
                matches!(part, std::path::Component::RootDir | std::path::Component::Normal(_))
            });
            prop_assert!(plain && path.starts_with("/bucket/") && path != Path::new("/bucket/"), "{:?}", path);
        }
    }
}
