//! The pipeline at work without containers: `cargo run --release --bin demo -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The downloader runs in a process of its own, so that it can be killed: this executable under another name.
    e2e::embedded::downloader::become_downloader();
    e2e::demo::main(std::env::args_os())
}
