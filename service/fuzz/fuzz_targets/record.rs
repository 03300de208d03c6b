//! The bytes of a record: read, judged, and where it is a task, written and read again.
#![no_main]

use downloader::task::Task;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let Ok(task) = Task::read(Some(payload)) else { return };
    assert!(task.correlation_id <= i64::MAX as u64);
    if let Ok(vetted) = task.vet() {
        assert!(matches!(vetted.url.scheme(), "http" | "https"));
        assert!(vetted.url.username().is_empty() && vetted.url.password().is_none());
        for key in [vetted.original_key.as_str(), vetted.thumbnail_key.as_str()] {
            assert!(!key.is_empty() && key.len() <= 1024 && !key.split('/').any(|part| part == ".."));
        }
    }
    let written = serde_json::to_vec(&task).expect("a task is JSON");
    assert_eq!(Task::read(Some(&written)).expect("what we write we read"), task);
});
