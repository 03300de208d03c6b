//! The long mode of random schedules: `cargo run --release -p e2e --features containers --bin chaos -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    e2e::chaos::main(std::env::args_os())
}
