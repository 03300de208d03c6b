//! What our control group says about memory: how much there is, and how many of us the kernel has killed for want of it.

use std::fs;
use std::path::{Path, PathBuf};

const OWN: &str = "/proc/self/cgroup";
const MOUNTED: &str = "/sys/fs/cgroup";

/// A file of a memory controller, under its names in version 2 and version 1.
struct File {
    unified: &'static str,
    legacy: &'static str,
}

const KILLS: File = File { unified: "memory.events", legacy: "memory.oom_control" };
const LIMIT: File = File { unified: "memory.max", legacy: "memory.limit_in_bytes" };

/// How many processes the kernel has killed so far; `None` where the system does not tell.
pub(crate) fn oom_kills() -> Option<u64> {
    read(&KILLS, count)
}

/// Most bytes of memory that this process and its children may have together; `None` where nobody sets a limit.
pub(crate) fn memory_max() -> Option<u64> {
    read(&LIMIT, limit)
}

fn read(file: &File, understand: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let own = fs::read_to_string(OWN).ok()?;
    places(&own, file).into_iter().find_map(|path| understand(&fs::read_to_string(path).ok()?))
}

/// Where the file may be, best first. A container may see its own group mounted as the root, and yet be told its name
/// from outside; so the root comes after the named group.
fn places(own: &str, file: &File) -> Vec<PathBuf> {
    let groups = own.lines().filter_map(|line| {
        let (_, controllers_and_path) = line.split_once(':')?;
        let (controllers, path) = controllers_and_path.split_once(':')?;
        let (folder, name) = match controllers {
            "" => (MOUNTED.to_owned(), file.unified),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (format!("{MOUNTED}/memory"), file.legacy)
            }
            _ => return None,
        };
        let root = Path::new(&folder);
        // A group outside of ours would tell what is not ours.
        let named = (!path.contains("..")).then(|| root.join(path.trim_start_matches('/')).join(name));
        Some(named.into_iter().chain([root.join(name)]))
    });
    groups.flatten().collect()
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Version 2 says `max` for no limit, version 1 the largest number of whole pages.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_looked_for_in_our_own_group_first() {
        let found = |own: &str| -> Vec<String> {
            places(own, &KILLS).iter().map(|path| path.to_string_lossy().into_owned()).collect()
        };
        let second = "0::/kubepods/pod1/a\n";
        assert_eq!(found(second), ["/sys/fs/cgroup/kubepods/pod1/a/memory.events", "/sys/fs/cgroup/memory.events"]);
        let first = "9:name=systemd:/a:b\n4:cpu,memory:/docker/c\n3:cpuset:/\n0::/\n";
        let expected = [
            "/sys/fs/cgroup/memory/docker/c/memory.oom_control",
            "/sys/fs/cgroup/memory/memory.oom_control",
            "/sys/fs/cgroup/memory.events",
            "/sys/fs/cgroup/memory.events",
        ];
        assert_eq!(found(first), expected);
        assert_eq!(found("0::/../../other\n"), ["/sys/fs/cgroup/memory.events"]);
        assert_eq!(found(""), [""; 0]);
        assert_eq!(found("nonsense\n1:memory\n"), [""; 0]);
    }

    #[test]
    fn both_versions_of_the_file_are_read() {
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(count("low 0\nhigh 0\nmax 9\noom 5\noom_kill 4\noom_group_kill 1\n"), Some(4));
        // Kernels before 4.13 do not count.
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None);
    }

    #[test]
    fn no_limit_is_none_in_both_versions() {
        assert_eq!(limit("201326592\n"), Some(192 << 20));
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
    }
}
