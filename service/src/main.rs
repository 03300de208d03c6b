//! The process: settings -> telemetry -> subcommand -> exit code.

fn main() {
    std::process::exit(downloader::cli::main(std::env::args_os()));
}
