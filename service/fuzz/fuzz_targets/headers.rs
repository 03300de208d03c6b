//! The headers of a record: names and values of any bytes, read for the trace and carried into a dead letter and back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|headers: Vec<(Vec<u8>, Option<Vec<u8>>)>| downloader::kafka::fuzz_headers(&headers));
