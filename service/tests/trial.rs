//! A child of the released binary, from outside: what it does before it has read a word.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const DOWNLOADER: &str = env!("CARGO_BIN_EXE_downloader");
const PATIENCE: Duration = Duration::from_secs(30);
/// More than a pipe holds: written once somebody reads.
const MORE_THAN_A_PIPE: usize = 1 << 20;

/// What `work` returns, which waits for something of another process.
fn within<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waiting) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    waiting.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Writes what is no order, and returns once the child reads: then it has prepared itself.
fn read_by_the_child<W: Write + Send + 'static>(mut stdin: W) -> W {
    within("the child reads its order", move || {
        stdin.write_all(&vec![0; MORE_THAN_A_PIPE]).expect("it lives");
        stdin
    })
}

/// Claim: a child closes what it inherited, goes first when memory runs out, and leaves no core; with what is no order it does
/// nothing. Fault: a descriptor that stays open at exec, as some of the Kafka client's do.
#[test]
fn a_child_closes_what_it_inherited_and_gives_way() {
    let leaked = tempfile::NamedTempFile::new().expect("a file");
    let path = leaked.path().to_owned();
    let shell = format!("exec 9<{} && exec -a downloader {DOWNLOADER} trial", path.display());
    let mut child = Command::new("bash").args(["-c", &shell]).stdin(Stdio::piped()).spawn().expect("started");
    let stdin = read_by_the_child(child.stdin.take().expect("piped"));
    let about = |what: &str| fs::read_to_string(format!("/proc/{}/{what}", child.id())).unwrap_or_default();
    assert_eq!(about("cmdline"), "downloader\0trial\0");
    assert_eq!(about("oom_score_adj").trim(), "1000");
    let folder = format!("/proc/{}/fd", child.id());
    let open: Vec<_> =
        fs::read_dir(folder).expect("it runs").flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    assert!(open.len() >= 3 && !open.contains(&path), "{open:?}");
    let limits = about("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("listed");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    drop(stdin);
    assert_eq!(child.wait().expect("ended").code(), Some(1));
}

/// Claim: a child dies with its parent, even one that waits for its order. Fault: SIGKILL to the parent.
#[test]
fn a_child_that_waits_dies_with_its_parent() {
    let shell = format!("exec 9<&0; {DOWNLOADER} trial <&9 & echo $!; wait");
    let parent = Command::new("bash").args(["-c", &shell]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut parent = parent.expect("started");
    let mut line = String::new();
    let mut stdout = BufReader::new(parent.stdout.take().expect("piped"));
    stdout.read_line(&mut line).expect("a process id");
    let child = line.trim().to_owned();
    // It stays open: nothing but the parent's death can end the child.
    let _stdin = read_by_the_child(parent.stdin.take().expect("piped"));
    let score = fs::read_to_string(format!("/proc/{child}/oom_score_adj")).expect("it runs");
    assert_eq!(score.trim(), "1000");
    parent.kill().expect("killed");
    parent.wait().expect("ended");
    // Both have it open; the last of them to end closes it.
    within("the child ends", move || stdout.read_to_end(&mut Vec::new()).expect("read"));
}
