//! The demo's command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{Error, ErrorKind};
use clap::{Arg, ArgAction, Command, value_parser};
use url::Url;

/// Copies of each fixture that `--crash` works on: enough tasks for the bound on repeats to mean something.
const CRASH_COPIES: u32 = 16;

/// What the demo is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Args {
    /// Pictures of the public internet; none: the fixtures.
    pub(super) urls: Vec<Url>,
    /// Whether the downloader is killed on the way.
    pub(super) crash: bool,
    /// How often each fixture is worked on.
    pub(super) copies: u32,
    /// Where the pictures and the contact sheet go; none: `target/demo`.
    pub(super) out: Option<PathBuf>,
}

impl Args {
    /// Reads arguments, the program's name first.
    ///
    /// # Errors
    /// What cannot be used and what to write instead; or the text of `--help`.
    pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Args, Error> {
        let matches = command().try_get_matches_from(args)?;
        let refuse = |message: String| Err(command().error(ErrorKind::ValueValidation, message));
        let mut urls = Vec::new();
        for text in matches.get_many::<String>("URL").into_iter().flatten() {
            match url(text) {
                Ok(url) => urls.push(url),
                Err(problem) => return refuse(format!("'{text}' {problem}")),
            }
        }
        for file in matches.get_many::<PathBuf>("urls").into_iter().flatten() {
            match read_file(file) {
                Ok(more) => urls.extend(more),
                Err(problem) => return refuse(problem),
            }
        }
        let crash = matches.get_flag("crash");
        if crash && !urls.is_empty() {
            return refuse("--crash works on the fixtures, whose origin it can hold; leave the URLs out".into());
        }
        let copies = matches.get_one::<u32>("copies").copied();
        if copies.is_some() && !urls.is_empty() {
            return refuse("--copies is about the fixtures; leave it out, or leave the URLs out".into());
        }
        let out = matches.get_one::<PathBuf>("out").cloned();
        Ok(Args { urls, crash, copies: copies.unwrap_or(if crash { CRASH_COPIES } else { 1 }), out })
    }
}

fn command() -> Command {
    Command::new("demo")
        .about("Runs the downloader on a broker, an object store and an origin in this process: no Docker, no network.")
        .after_help(
            "Without URLs it works on the pictures of fixtures/images, hostile ones included. It leaves originals, \
             thumbnails, a contact sheet (index.html) and summary.json in target/demo, or where --out says.\n\n\
             Exit codes: 0 nothing lost and nothing wrong, 1 something is or cannot start, 2 bad arguments.",
        )
        .arg(
            Arg::new("URL")
                .action(ArgAction::Append)
                .help("Pictures to fetch; public http and https addresses only, on ports 80 and 443"),
        )
        .arg(
            Arg::new("urls")
                .long("urls")
                .value_name("FILE")
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .help("A file with one URL a line; empty lines and lines that begin with # are skipped"),
        )
        .arg(
            Arg::new("crash")
                .long("crash")
                .action(ArgAction::SetTrue)
                .help("Kill the downloader mid-flight (SIGKILL), start another, and print what that cost"),
        )
        .arg(
            Arg::new("copies")
                .long("copies")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..=1000))
                .help("Work on each fixture N times [default: 1, with --crash 16]"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FOLDER")
                .value_parser(value_parser!(PathBuf))
                .help("Where the pictures and the contact sheet go [default: target/demo]"),
        )
}

fn read_file(file: &Path) -> Result<Vec<Url>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let lines = text.lines().map(str::trim).enumerate();
    let urls: Result<Vec<Url>, String> = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            url(line).map_err(|problem| format!("{}, line {}: '{line}' {problem}", file.display(), index + 1))
        })
        .collect();
    match urls?.as_slice() {
        [] => Err(format!("{} holds no URL; write one a line", file.display())),
        urls => Ok(urls.to_vec()),
    }
}

fn url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("is not an http or https URL; write it as https://host/path (files of URLs go after --urls)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Args, Error> {
        Args::read(std::iter::once("demo").chain(args.iter().copied()).map(OsString::from))
    }

    fn refusal(args: &[&str]) -> String {
        let error = read(args).expect_err("refused");
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn without_arguments_the_fixtures_are_worked_on() {
        assert_eq!(read(&[]).unwrap(), Args { urls: Vec::new(), crash: false, copies: 1, out: None });
        assert_eq!(read(&["--crash"]).unwrap().copies, CRASH_COPIES);
    }

    #[test]
    fn urls_come_from_arguments_and_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# pictures\n\n https://b.example/2.png \n").unwrap();
        let args = read(&["http://a.example/1.jpg", "--urls", file.path().to_str().unwrap()]).unwrap();
        let urls: Vec<&str> = args.urls.iter().map(Url::as_str).collect();
        assert_eq!(urls, ["http://a.example/1.jpg", "https://b.example/2.png"]);
    }

    #[test]
    fn refusals_name_what_is_wrong_and_what_to_write() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert!(refusal(&["--urls", path]).contains("holds no URL"));
        std::fs::write(file.path(), "https://a.example/\ncat.jpg\n").unwrap();
        assert!(refusal(&["--urls", path]).contains("line 2: 'cat.jpg' is not an http or https URL"));
        assert!(refusal(&["--urls", "/does/not/exist"]).contains("cannot read /does/not/exist"));
        assert!(refusal(&["ftp://a.example/x"]).contains("write it as https://host/path"));
        assert!(refusal(&["--crash", "https://a.example/x"]).contains("leave the URLs out"));
        assert!(refusal(&["--copies", "0"]).contains("1..=1000"));
        assert!(refusal(&["--crahs"]).contains("--crash"), "a near miss is named");
    }

    #[test]
    fn help_names_every_option() {
        let help = read(&["--help"]).expect_err("the help text").to_string();
        for option in ["URL", "--urls <FILE>", "--crash", "--copies <N>", "--out <FOLDER>", "target/demo", "Exit codes"]
        {
            assert!(help.contains(option), "{help}");
        }
    }
}
