//! Which images the tests run, and that none of them is stale: `compose/prepare` chose them, `compose/.env` names them,
//! and an image built here carries the hash of the files it was built from.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};
use bollard::Docker;
use bollard::errors::Error as EngineError;

const HASH_LABEL: &str = "source-hash";
/// What an error of this module ends with.
const REMEDY: &str = "run compose/prepare";

/// The images of the stack, by the names that `docker run` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// The broker.
    pub kafka: String,
    /// MinIO.
    pub minio: String,
    /// The other S3 server.
    pub versitygw: String,
    /// Ours.
    pub downloader: String,
    /// Ours, and holds at named places where a test wants it to.
    pub failpoints: String,
    /// Ours.
    pub management: String,
}

impl Images {
    /// The chosen images, each of them here and none of them stale.
    ///
    /// # Errors
    /// One line: what is missing or stale, and what to run.
    pub async fn ready(docker: &Docker) -> anyhow::Result<Images> {
        docker.ping().await.map_err(|error| anyhow!("the Docker engine does not answer ({error}): {REMEDY}"))?;
        let images = Images::chosen(&repository().join("compose/.env"))?;
        for (image, source) in images.with_sources() {
            let expected = source.map(source_hash).transpose()?;
            check(docker, image, expected.as_deref()).await?;
        }
        Ok(images)
    }

    /// As the file names them.
    ///
    /// # Errors
    /// The file or one of its lines is missing.
    pub fn chosen(file: &Path) -> anyhow::Result<Images> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| anyhow!("compose/.env, which names the images, can't be read ({error}): {REMEDY}"))?;
        let mut values: HashMap<&str, &str> = text.lines().filter_map(|line| line.trim().split_once('=')).collect();
        let mut image = |name: &str| match values.remove(name) {
            Some(image) if !image.is_empty() => Ok(image.to_owned()),
            _ => Err(anyhow!("compose/.env has no {name}: {REMEDY}")),
        };
        Ok(Images {
            kafka: image("KAFKA_IMAGE")?,
            minio: image("S3_IMAGE")?,
            versitygw: image("VERSITYGW_IMAGE")?,
            downloader: image("DOWNLOADER_IMAGE")?,
            failpoints: image("FAILPOINTS_IMAGE")?,
            management: image("MANAGEMENT_IMAGE")?,
        })
    }

    /// Each with the name that `compose/source-hash` knows it by; none for what was pulled as it is.
    fn with_sources(&self) -> [(&str, Option<&str>); 6] {
        [
            (&self.kafka, built_here(&self.kafka)),
            (&self.minio, built_here(&self.minio)),
            (&self.versitygw, built_here(&self.versitygw)),
            (&self.downloader, Some("downloader")),
            (&self.failpoints, Some("failpoints")),
            (&self.management, Some("management")),
        ]
    }
}

/// `image-pipeline/NAME:local` -> `NAME`.
fn built_here(image: &str) -> Option<&str> {
    image.strip_prefix("image-pipeline/")?.strip_suffix(":local")
}

/// That the image is here and, where a hash is expected, carries it.
///
/// # Errors
/// One line: what is wrong with it, and what to run.
pub async fn check(docker: &Docker, image: &str, expected: Option<&str>) -> anyhow::Result<()> {
    let found = match docker.inspect_image(image).await {
        Ok(found) => found,
        Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => {
            bail!("the image {image} is missing: {REMEDY}")
        }
        Err(error) => return Err(error).with_context(|| format!("inspect the image {image}")),
    };
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    match (labels.get(HASH_LABEL), expected) {
        (_, None) => Ok(()),
        (Some(label), Some(expected)) if label == expected => Ok(()),
        (Some(label), Some(expected)) => bail!(
            "the image {image} is stale (built from sources {}, the working tree holds {}): {REMEDY}",
            short(label),
            short(expected)
        ),
        (None, Some(_)) => bail!("the image {image} does not say what it was built from: {REMEDY}"),
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// The hash of everything in the working tree that the image is made from.
///
/// # Errors
/// `compose/source-hash` can't be run, or doesn't know the name.
pub fn source_hash(name: &str) -> anyhow::Result<String> {
    let program = repository().join("compose/source-hash");
    let output = Command::new(&program).arg(name).output().with_context(|| format!("run {}", program.display()))?;
    if !output.status.success() {
        bail!("compose/source-hash {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout).context("read the hash")?.trim().to_owned())
}

/// The root of the working tree that this crate was built in.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("invariant: the crate lies in the repository").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(lines: &[&str]) -> anyhow::Result<Images> {
        let file = std::env::temp_dir().join(format!("e2e-env-{:08x}", fastrand::u32(..)));
        std::fs::write(&file, lines.join("\n")).unwrap();
        let images = Images::chosen(&file);
        std::fs::remove_file(file).unwrap();
        images
    }

    const ALL: [&str; 7] = [
        "KAFKA_IMAGE=k:1",
        "S3_IMAGE=s:1",
        "# a comment",
        "VERSITYGW_IMAGE=v:1",
        "DOWNLOADER_IMAGE=d:1",
        "FAILPOINTS_IMAGE=f:1",
        "MANAGEMENT_IMAGE=m:1",
    ];

    #[test]
    fn the_file_names_the_images() {
        let images = chosen(&ALL).unwrap();
        assert_eq!(images.kafka, "k:1");
        assert_eq!(images.with_sources()[3], ("d:1", Some("downloader")), "ours are checked under any name");
        assert_eq!(images.with_sources()[0], ("k:1", None), "what was pulled has no sources here");
    }

    #[test]
    fn what_the_file_lacks_is_named_with_its_remedy() {
        let error = chosen(&ALL[..4]).unwrap_err().to_string();
        assert_eq!(error, "compose/.env has no DOWNLOADER_IMAGE: run compose/prepare");
        let error = Images::chosen(Path::new("/nowhere/.env")).unwrap_err().to_string();
        assert!(error.starts_with("compose/.env") && error.ends_with(": run compose/prepare"), "{error}");
    }

    #[test]
    fn an_image_of_our_own_build_is_known_by_its_name() {
        assert_eq!(built_here("image-pipeline/kafka:local"), Some("kafka"));
        assert_eq!(built_here("apache/kafka:4.3.1"), None);
    }
}
