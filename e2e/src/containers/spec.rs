//! What a container is started from, and its start.

use std::collections::HashMap;
use std::net::IpAddr;

use testcontainers::core::{Healthcheck, Host, IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{GenericImage, ImageExt as _};

use super::container::STARTUP_TIMEOUT;
use super::http::choose_cryptography;
use super::run::Run;

/// What a container is started from.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// Its name, and its host name for the others of the run.
    pub name: String,
    /// As in `compose/.env`.
    pub image: String,
    /// Instead of the image's own entry point.
    pub entrypoint: Option<String>,
    /// Instead of the image's own command.
    pub command: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// Memory it may use, in MiB; more, and the kernel kills it.
    pub memory_mib: i64,
    /// Folders in memory, with their mount options. The rest of its file system is read-only.
    pub tmpfs: Vec<(&'static str, &'static str)>,
    /// Names that it finds at these addresses.
    pub hosts: Vec<(String, IpAddr)>,
    /// Whom it asks for names that the engine does not know; none: this machine's own name servers.
    pub dns: Option<IpAddr>,
    /// Its ports, each with the port of 127.0.0.1 that leads there; 0: any.
    pub ports: Vec<(u16, u16)>,
    /// When it counts as started.
    pub ready: Vec<WaitFor>,
}

/// Starts it, waits until it counts as started, and returns the engine's name for it.
pub(super) async fn start(run: &Run, spec: Spec) -> anyhow::Result<String> {
    choose_cryptography();
    let (repository, tag) = split_reference(&spec.image);
    let mut image = GenericImage::new(repository, tag);
    if let Some(entrypoint) = &spec.entrypoint {
        image = image.with_entrypoint(entrypoint);
    }
    for condition in spec.ready {
        image = image.with_wait_for(condition);
    }
    let tmpfs: HashMap<String, String> =
        spec.tmpfs.iter().map(|(folder, options)| ((*folder).to_owned(), (*options).to_owned())).collect();
    let mut request = image
        .with_container_name(&spec.name)
        .with_network(&run.network)
        .with_labels(run.labels())
        .with_readonly_rootfs(true)
        .with_cap_drop("ALL")
        .with_security_opt("no-new-privileges:true")
        // The engine would start a program in each container every two seconds; tests ask over HTTP. Compose heeds the
        // images' own.
        .with_health_check(Healthcheck::none())
        .with_startup_timeout(STARTUP_TIMEOUT)
        .with_host_config_modifier(move |host| {
            host.memory = Some(spec.memory_mib << 20);
            host.memory_swap = host.memory;
            host.tmpfs = Some(tmpfs.clone());
            host.dns = spec.dns.map(|address| vec![address.to_string()]);
            host.publish_all_ports = Some(false);
            // Published for this machine's programs alone: other containers come by the network, strangers not at all.
            let bindings = host.port_bindings.iter_mut().flat_map(HashMap::values_mut).flatten().flatten();
            bindings.for_each(|binding| binding.host_ip = Some("127.0.0.1".to_owned()));
        });
    if !spec.command.is_empty() {
        request = request.with_cmd(&spec.command);
    }
    for (name, value) in &spec.environment {
        request = request.with_env_var(name, value);
    }
    for (name, address) in spec.hosts {
        request = request.with_host(name, Host::Addr(address));
    }
    for (port, host_port) in &spec.ports {
        request = request.with_mapped_port(*host_port, port.tcp());
    }
    let started = request.start().await?;
    let id = started.id().to_owned();
    // Its Drop would remove the container with the first handle of it; the sandbox decides that.
    std::mem::forget(started);
    Ok(id)
}

/// `repository:tag`, `repository@sha256:digest` or `repository`, which may hold a port: the last colon after the last
/// slash is what divides.
fn split_reference(image: &str) -> (&str, &str) {
    let name_from = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[name_from..].rfind(':') {
        Some(colon) => (&image[..name_from + colon], &image[name_from + colon + 1..]),
        None => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_reference_is_divided_at_its_tag() {
        assert_eq!(split_reference("image-pipeline/kafka:local"), ("image-pipeline/kafka", "local"));
        assert_eq!(split_reference("registry:5000/kafka"), ("registry:5000/kafka", "latest"));
        assert_eq!(split_reference("apache/kafka@sha256:ab12"), ("apache/kafka@sha256", "ab12"));
    }
}
