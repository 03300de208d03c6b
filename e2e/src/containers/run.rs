//! One run of a test binary: its labels, its network, and how all of it goes away again.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context as _, anyhow};
use bollard::Docker;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{
    InspectNetworkOptions, ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
};

const RUN_LABEL: &str = "image-pipeline.e2e.run";
const OWNER_LABEL: &str = "image-pipeline.e2e.owner";
const KEPT_LABEL: &str = "image-pipeline.e2e.kept";

/// A run that has a network and will be cleaned up.
#[derive(Clone, Debug)]
pub struct Run {
    /// Eight hexadecimal digits, in every name that the run gives.
    pub id: String,
    /// The network of all its containers.
    pub network: String,
    /// This machine as those containers see it.
    pub gateway: IpAddr,
    labels: HashMap<String, String>,
}

impl Run {
    /// Sweeps dead runs, then makes a network for this one and sets its reaper.
    ///
    /// # Errors
    /// The engine refused, or the network has no gateway.
    pub async fn start(docker: &Docker) -> anyhow::Result<Run> {
        for name in sweep(docker).await.context("sweep what dead runs left")? {
            eprintln!("e2e: removed {name}, left by a run that is dead");
        }
        let id = format!("{:08x}", fastrand::u32(..));
        let labels = labels(&id, &Owner::this_process()?, kept());
        if !kept() {
            set_reaper(&id).context("start the reaper")?;
        }
        let network = format!("e2e-{id}");
        let gateway = create_network(docker, &network, &labels).await?;
        Ok(Run { id, network, gateway, labels })
    }

    /// Another network of the run, in which nobody is: this machine's address in it, which containers can reach too.
    ///
    /// # Errors
    /// The engine refused, or the network has no gateway.
    pub async fn another_network(&self, docker: &Docker, name: &str) -> anyhow::Result<IpAddr> {
        create_network(docker, &format!("{}-{name}", self.network), &self.labels).await
    }

    /// The labels that every container of this run carries.
    pub fn labels(&self) -> &HashMap<String, String> {
        &self.labels
    }
}

/// Whether the user asked to keep everything: `E2E_KEEP=1`.
pub fn kept() -> bool {
    std::env::var("E2E_KEEP").is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}

/// The labels of what belongs to a run.
pub fn labels(run: &str, owner: &Owner, kept: bool) -> HashMap<String, String> {
    let mut labels =
        HashMap::from([(RUN_LABEL.to_owned(), run.to_owned()), (OWNER_LABEL.to_owned(), owner.to_string())]);
    if kept {
        labels.insert(KEPT_LABEL.to_owned(), "true".to_owned());
    }
    labels
}

/// The command that removes a kept run by hand.
pub fn removal_command(run: &str) -> String {
    format!(
        "docker ps -aq --filter label={RUN_LABEL}={run} | xargs -r docker rm -fv; \
         docker network ls -q --filter label={RUN_LABEL}={run} | xargs -r docker network rm"
    )
}

/// This machine's address in it.
async fn create_network(docker: &Docker, name: &str, labels: &HashMap<String, String>) -> anyhow::Result<IpAddr> {
    let request =
        NetworkCreateRequest { name: name.to_owned(), labels: Some(labels.clone()), ..NetworkCreateRequest::default() };
    docker.create_network(request).await.with_context(|| format!("create the network {name}"))?;
    let found = docker.inspect_network(name, None::<InspectNetworkOptions>).await.context("inspect the network")?;
    let ranges = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let gateway = ranges.into_iter().find_map(|range| range.gateway).ok_or_else(|| anyhow!("{name} has no gateway"))?;
    gateway.parse().with_context(|| format!("read the gateway {gateway} of {name}"))
}

/// A child process in a group of its own, so that Ctrl-C misses it. Its input ends when this process does, however that
/// happens; then it removes the run.
fn set_reaper(run: &str) -> anyhow::Result<()> {
    let mut reaper = Command::new("sh")
        .args(["-c", &format!("cat >/dev/null; {}", removal_command(run))])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("run sh")?;
    // Held open until the end of this process, and not one moment less.
    std::mem::forget(reaper.stdin.take());
    Ok(())
}

/// Removes the containers and networks of runs whose process is gone, kept ones aside. Gives their names.
///
/// # Errors
/// The engine refused to list them. One that another run removes at the same moment is no error.
pub async fn sweep(docker: &Docker) -> anyhow::Result<Vec<String>> {
    let filters = HashMap::from([("label".to_owned(), vec![OWNER_LABEL.to_owned()])]);
    let mut removed = Vec::new();
    let every = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    for container in docker.list_containers(Some(every)).await.context("list containers")? {
        let (Some(id), Some(labels)) = (container.id, container.labels) else { continue };
        if is_left_over(&labels) && remove_container(docker, &id).await.is_ok() {
            let names = container.names.unwrap_or_default();
            removed.push(names.first().map_or(id, |name| name.trim_start_matches('/').to_owned()));
        }
    }
    let every = ListNetworksOptionsBuilder::new().filters(&filters).build();
    for network in docker.list_networks(Some(every)).await.context("list networks")? {
        let (Some(name), Some(labels)) = (network.name, network.labels) else { continue };
        if is_left_over(&labels) && docker.remove_network(&name).await.is_ok() {
            removed.push(name);
        }
    }
    Ok(removed)
}

fn is_left_over(labels: &HashMap<String, String>) -> bool {
    let owner = labels.get(OWNER_LABEL).and_then(|owner| owner.parse::<Owner>().ok());
    !labels.contains_key(KEPT_LABEL) && owner.is_some_and(|owner| !owner.may_be_alive())
}

/// Removes a container, running or not, with its anonymous volumes.
pub(super) async fn remove_container(docker: &Docker, id: &str) -> Result<(), bollard::errors::Error> {
    docker.remove_container(id, Some(RemoveContainerOptionsBuilder::new().force(true).v(true).build())).await
}

/// The process that a run belongs to. Its start time tells it from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    namespace: String,
    pid: u32,
    started: String,
}

impl Owner {
    /// The process we are in.
    ///
    /// # Errors
    /// `/proc` can't be read.
    pub fn this_process() -> anyhow::Result<Owner> {
        let pid = std::process::id();
        let started = start_time(pid).ok_or_else(|| anyhow!("read the start time of process {pid} in /proc"))?;
        Ok(Owner { namespace: namespace()?, pid, started })
    }

    /// False only for a process that is certainly gone: another namespace's processes can't be seen from here.
    fn may_be_alive(&self) -> bool {
        namespace().map_or(true, |here| here != self.namespace) || start_time(self.pid).as_ref() == Some(&self.started)
    }
}

fn namespace() -> anyhow::Result<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").context("read /proc/self/ns/pid")?;
    Ok(link.to_string_lossy().chars().filter(char::is_ascii_digit).collect())
}

/// In clock ticks since the machine's start: field 22 of `/proc/PID/stat`, counted after the name in brackets.
fn start_time(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_ascii_whitespace().nth(19).map(str::to_owned)
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.namespace, self.pid, self.started)
    }
}

impl FromStr for Owner {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Owner> {
        let parts: Vec<&str> = text.split(':').collect();
        let [namespace, pid, started] = parts[..] else { return Err(anyhow!("'{text}' names no owner")) };
        Ok(Owner { namespace: namespace.to_owned(), pid: pid.parse()?, started: started.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive() {
        assert!(Owner::this_process().unwrap().may_be_alive());
    }

    #[test]
    fn a_process_that_ended_is_dead() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let owner = Owner { pid, ..Owner::this_process().unwrap() };
        assert!(!owner.may_be_alive());
    }

    #[test]
    fn a_later_process_of_the_same_number_is_not_the_owner() {
        let owner = Owner { started: "1".to_owned(), ..Owner::this_process().unwrap() };
        assert!(!owner.may_be_alive());
    }

    #[test]
    fn a_process_elsewhere_counts_as_alive() {
        let owner = Owner { namespace: "1".to_owned(), started: "1".to_owned(), ..Owner::this_process().unwrap() };
        assert!(owner.may_be_alive());
    }

    #[test]
    fn an_owner_reads_back() {
        let owner = Owner::this_process().unwrap();
        assert_eq!(owner.to_string().parse::<Owner>().unwrap(), owner);
        assert!("12:nobody".parse::<Owner>().is_err());
    }
}
