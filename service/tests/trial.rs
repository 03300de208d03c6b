//! A child of the released binary, from outside: what it does before it has read a word.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const DOWNLOADER: &str = env!("CARGO_BIN_EXE_downloader");
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `check` has nothing to say against it.
fn eventually(check: impl Fn() -> Result<(), String>) {
    let began = Instant::now();
    while let Err(reason) = check() {
        assert!(began.elapsed() < PATIENCE, "{reason}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Claim: a child closes what it inherited, goes first when memory runs out, and leaves no core; without an order it does
/// nothing. Fault: a descriptor that stays open at exec, as some of the Kafka client's do.
#[test]
fn a_child_closes_what_it_inherited_and_gives_way() {
    let leaked = tempfile::NamedTempFile::new().expect("a file");
    let path = leaked.path().to_owned();
    let shell = format!("exec 9<{} && exec -a downloader {DOWNLOADER} trial", path.display());
    let mut child = Command::new("bash").args(["-c", &shell]).stdin(Stdio::piped()).spawn().expect("started");
    let about = |what: &str| fs::read_to_string(format!("/proc/{}/{what}", child.id())).unwrap_or_default();
    eventually(|| {
        let cmdline = about("cmdline");
        if cmdline != "downloader\0trial\0" {
            return Err(format!("not started yet: {cmdline:?}"));
        }
        let score = about("oom_score_adj");
        if score.trim() == "1000" { Ok(()) } else { Err(format!("its score is {score}")) }
    });
    let folder = format!("/proc/{}/fd", child.id());
    let open: Vec<_> =
        fs::read_dir(folder).expect("it runs").flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    assert!(open.len() >= 3 && !open.contains(&path), "{open:?}");
    let limits = about("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("listed");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("ended").code(), Some(1));
}

/// Claim: a child dies with its parent, even one that waits for its order. Fault: SIGKILL to the parent.
#[test]
fn a_child_that_waits_dies_with_its_parent() {
    let shell = format!("exec 9<&0; {DOWNLOADER} trial <&9 & echo $!; wait");
    let parent = Command::new("bash").args(["-c", &shell]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut parent = parent.expect("started");
    let mut line = String::new();
    BufReader::new(parent.stdout.take().expect("piped")).read_line(&mut line).expect("a process id");
    let child = line.trim().to_owned();
    eventually(|| match fs::read_to_string(format!("/proc/{child}/oom_score_adj")) {
        Ok(score) if score.trim() == "1000" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // Its stdin stays open: nothing but the parent's death can end it.
    let _stdin = parent.stdin.take();
    parent.kill().expect("killed");
    parent.wait().expect("ended");
    eventually(|| match fs::read_to_string(format!("/proc/{child}/stat")) {
        Ok(stat) if !stat.contains(") Z ") => Err(stat),
        _ => Ok(()),
    });
}
