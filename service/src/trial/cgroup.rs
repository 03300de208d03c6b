//! How many processes of our control group the kernel has killed for want of memory.

use std::fs;
use std::path::{Path, PathBuf};

const OWN: &str = "/proc/self/cgroup";
const MOUNTED: &str = "/sys/fs/cgroup";

/// The count so far; `None` where the system does not tell.
pub(super) fn oom_kills() -> Option<u64> {
    let own = fs::read_to_string(OWN).ok()?;
    counters(&own).into_iter().find_map(|path| count(&fs::read_to_string(path).ok()?))
}

/// Files that may hold the count, best first. A container may see its own group mounted as the root, and yet be told
/// its name from outside; so the root comes after the named group.
fn counters(own: &str) -> Vec<PathBuf> {
    let groups = own.lines().filter_map(|line| {
        let (_, controllers_and_path) = line.split_once(':')?;
        let (controllers, path) = controllers_and_path.split_once(':')?;
        let (folder, file) = match controllers {
            "" => (MOUNTED.to_owned(), "memory.events"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (format!("{MOUNTED}/memory"), "memory.oom_control")
            }
            _ => return None,
        };
        let root = Path::new(&folder);
        // A group outside of ours would count what is not ours.
        let named = (!path.contains("..")).then(|| root.join(path.trim_start_matches('/')).join(file));
        Some(named.into_iter().chain([root.join(file)]))
    });
    groups.flatten().collect()
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_looked_for_in_our_own_group_first() {
        let found = |own: &str| -> Vec<String> {
            counters(own).iter().map(|path| path.to_string_lossy().into_owned()).collect()
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
}
