//! Settings: environment variables, files and flags -> one checked [`Settings`].
//!
//! Order of precedence: flag, `NAME`, the file that `NAME_FILE` names, the default. An empty value counts as not set.
//! Everything that is wrong is reported at once, by the variable's name; a secret's text never appears.

pub mod parse;
mod table;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Deserializer};

pub use table::{Kind, SETTINGS, Setting};

/// librdkafka's default for `session.timeout.ms`, which the lease has to stay below.
const SESSION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(45);

/// Every setting, read and checked. Fields are named as the variables are; the table says what each means.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "the table of settings documents each field once")]
pub struct Settings {
    pub kafka_brokers: String,
    pub kafka_input_topic: String,
    pub kafka_output_topic: String,
    pub kafka_dead_topic: String,
    pub kafka_consumer_group: String,
    pub kafka_group_protocol: GroupProtocol,
    #[serde(default)]
    pub kafka_properties: Properties,
    #[serde(default)]
    pub s3_endpoint: Option<String>,
    pub s3_region_name: String,
    pub s3_bucket_name: String,
    #[serde(default)]
    pub s3_access: Option<Secret>,
    #[serde(default)]
    pub s3_secret: Option<Secret>,
    pub s3_conditional_puts: bool,
    pub parallel_operations: usize,
    pub fetch_per_host_max: usize,
    #[serde(default, deserialize_with = "cidrs")]
    pub fetch_allow_cidrs: Vec<IpNet>,
    #[serde(default, deserialize_with = "nat64_prefixes")]
    pub fetch_nat64_prefixes: Vec<Ipv6Net>,
    #[serde(deserialize_with = "ports")]
    pub fetch_allow_ports: Vec<u16>,
    #[serde(default)]
    pub fetch_user_agent_contact: Option<String>,
    #[serde(deserialize_with = "bytes")]
    pub source_bytes_max: u64,
    pub source_pixels_max: u64,
    #[serde(deserialize_with = "bytes")]
    pub source_bytes_in_flight_max: u64,
    #[serde(deserialize_with = "bytes")]
    pub decode_bytes_max: u64,
    pub thumbnail_edge_px: u32,
    pub thumbnail_quality: u8,
    #[serde(deserialize_with = "duration")]
    pub commit_interval: Duration,
    #[serde(deserialize_with = "duration")]
    pub commit_lease: Duration,
    #[serde(deserialize_with = "duration")]
    pub drain_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub fetch_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub task_timeout: Duration,
    pub http_listen: SocketAddr,
    pub log_level: String,
    pub log_format: LogFormat,
    /// What differs from the default, as it may be logged.
    #[serde(skip)]
    pub changed: Vec<(&'static str, String)>,
    #[serde(skip)]
    texts: Texts,
}

/// Every setting as it was written, by its variable; secrets are among them, so none is printed.
#[derive(Clone, Default)]
struct Texts(Vec<(String, String)>);

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Which of Kafka's group protocols the consumer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupProtocol {
    /// The classic protocol with cooperative-sticky assignment.
    Classic,
    /// KIP-848.
    Consumer,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
}

/// A text that is never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text, for the client that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// librdkafka properties from `KAFKA_PROPERTIES`; values are secrets, so only the keys are printed.
#[derive(Clone, Default)]
pub struct Properties(pub Vec<(String, String)>);

impl Properties {
    /// The value given for `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    fn keys(&self) -> String {
        self.0.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.keys())
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, parse::properties).map(Properties)
    }
}

/// Everything that is wrong with the settings, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be used:\n  {}", if .0.len() == 1 { "a setting" } else { "some settings" }, .0.join("\n  "))]
pub struct SettingsError(pub Vec<String>);

impl Settings {
    /// Reads the settings from `environment` and `flags` (by variable name).
    ///
    /// # Errors
    /// Every problem found, at once.
    pub fn load(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &HashMap<&'static str, String>,
    ) -> Result<Settings, SettingsError> {
        let environment: HashMap<OsString, OsString> =
            environment.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let mut problems = Vec::new();
        let mut texts = Vec::new();
        let mut changed = Vec::new();
        for setting in SETTINGS {
            let given = match given(setting, &environment, flags) {
                Ok(given) => given,
                Err(problem) => {
                    problems.push(format!("{}: {problem}", setting.name));
                    continue;
                }
            };
            let text = given.clone().unwrap_or_else(|| setting.default.to_owned());
            if text.is_empty() {
                continue;
            }
            if let Err(problem) = setting.check(&text) {
                problems.push(format!("{}: {problem}", setting.name));
            }
            if given.is_some_and(|given| given != setting.default) {
                changed.push((setting.name, if setting.secret { "***".to_owned() } else { text.clone() }));
            }
            texts.push((setting.name.to_owned(), text));
        }
        if !problems.is_empty() {
            return Err(SettingsError(problems));
        }
        // Each text has passed its own check, so this can only fail if table and struct disagree; a test says they don't.
        let mut settings: Settings =
            envy::from_iter(texts.iter().cloned()).map_err(|error| SettingsError(vec![error.to_string()]))?;
        if let Some((_, shown)) = changed.iter_mut().find(|(name, _)| *name == "KAFKA_PROPERTIES") {
            *shown = settings.kafka_properties.keys();
        }
        settings.changed = changed;
        settings.texts = Texts(texts);
        let problems = settings.contradictions();
        if problems.is_empty() { Ok(settings) } else { Err(SettingsError(problems)) }
    }

    /// Variables from which [`Settings::load`] makes the same settings again, wherever these came from. Secrets are
    /// among them.
    pub(crate) fn variables(&self) -> &[(String, String)] {
        &self.texts.0
    }

    /// Combinations that cannot work.
    fn contradictions(&self) -> Vec<String> {
        let session_timeout = self
            .kafka_properties
            .get("session.timeout.ms")
            .and_then(|text| text.trim().parse().ok())
            .map_or(SESSION_TIMEOUT_DEFAULT, Duration::from_millis);
        let mut problems = Vec::new();
        let mut refuse = |wrong: bool, problem: &str| {
            if wrong {
                problems.push(problem.to_owned());
            }
        };
        refuse(
            self.source_bytes_max > self.source_bytes_in_flight_max,
            "SOURCE_BYTES_MAX: is above SOURCE_BYTES_IN_FLIGHT_MAX, so the largest image would never start",
        );
        refuse(self.commit_interval >= self.commit_lease, "COMMIT_INTERVAL: is not below COMMIT_LEASE");
        refuse(
            self.commit_lease >= session_timeout,
            "COMMIT_LEASE: is not below the session timeout (session.timeout.ms, 45s unless KAFKA_PROPERTIES says otherwise)",
        );
        refuse(self.fetch_timeout > self.task_timeout, "FETCH_TIMEOUT: is above TASK_TIMEOUT");
        refuse(
            self.s3_access.is_some() != self.s3_secret.is_some(),
            "S3_ACCESS, S3_SECRET: one is set without the other",
        );
        let topics = [&self.kafka_input_topic, &self.kafka_output_topic, &self.kafka_dead_topic];
        refuse(
            topics.iter().enumerate().any(|(index, topic)| topics.iter().skip(index + 1).any(|other| other == topic)),
            "KAFKA_INPUT_TOPIC, KAFKA_OUTPUT_TOPIC, KAFKA_DEAD_TOPIC: two of them are the same topic",
        );
        for key in crate::kafka::refused(&self.kafka_properties) {
            refuse(true, &format!("KAFKA_PROPERTIES: '{key}' is set by the downloader itself and cannot be given"));
        }
        problems
    }
}

/// The text given for a setting, if any.
fn given(
    setting: &Setting,
    environment: &HashMap<OsString, OsString>,
    flags: &HashMap<&'static str, String>,
) -> Result<Option<String>, String> {
    if let Some(text) = flags.get(setting.name) {
        return Ok(Some(text.clone()).filter(|text| !text.is_empty()));
    }
    let file_name = format!("{}_FILE", setting.name);
    let file = environment.get(&OsString::from(&file_name));
    let plain =
        std::iter::once(&setting.name).chain(setting.also).find_map(|name| environment.get(&OsString::from(name)));
    match (plain, file) {
        (Some(_), Some(_)) if environment.contains_key(&OsString::from(setting.name)) => {
            Err(format!("is given twice, also as {file_name}"))
        }
        (_, Some(path)) => read_file(Path::new(path)).map(Some).map_err(|error| format!("{file_name}: {error}")),
        (Some(text), None) => text.clone().into_string().map(Some).map_err(|_| "is not UTF-8".to_owned()),
        (None, None) => Ok(None),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn parsed<'de, D: Deserializer<'de>, T>(deserializer: D, parse: fn(&str) -> Result<T, String>) -> Result<T, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    parsed(deserializer, parse::bytes)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parsed(deserializer, parse::duration)
}

fn cidrs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    parsed(deserializer, parse::cidrs)
}

fn nat64_prefixes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Ipv6Net>, D::Error> {
    parsed(deserializer, parse::nat64_prefixes)
}

fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    parsed(deserializer, parse::ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::load(environment.iter().map(|(name, value)| (name.into(), value.into())), &HashMap::new())
    }

    #[test]
    fn every_setting_of_the_table_is_read_and_defaults_pass_their_own_check() {
        let settings = load(&[]).expect("the defaults work");
        assert_eq!(settings.source_bytes_max, 20 << 20);
        assert_eq!(settings.fetch_allow_ports, [80, 443]);
        assert_eq!(settings.task_timeout, Duration::from_secs(300));
        assert!(settings.s3_conditional_puts);
        assert!(settings.changed.is_empty());
        for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
            assert_eq!(setting.check(setting.default), Ok(()), "{}", setting.name);
        }
    }

    #[test]
    fn all_problems_are_reported_at_once_by_name() {
        let error = load(&[
            ("PARALLEL_OPERATIONS", "many"),
            ("COMMIT_INTERVAL", "5"),
            ("LOG_FORMAT", "xml"),
            ("S3_ENDPOINT", "minio:9000"),
        ])
        .expect_err("four problems");
        assert_eq!(error.0.len(), 4, "{error}");
        for name in ["PARALLEL_OPERATIONS", "COMMIT_INTERVAL", "LOG_FORMAT", "S3_ENDPOINT"] {
            assert!(error.0.iter().any(|line| line.starts_with(name)), "{name} is missing in {error}");
        }
    }

    #[test]
    fn combinations_that_cannot_work_are_refused() {
        let error = load(&[
            ("SOURCE_BYTES_MAX", "1GiB"),
            ("COMMIT_LEASE", "45s"),
            ("FETCH_TIMEOUT", "10m"),
            ("S3_ACCESS", "who"),
            ("KAFKA_DEAD_TOPIC", "urls_new"),
            ("KAFKA_PROPERTIES", "enable.auto.commit=true;group.id=x"),
        ])
        .expect_err("seven problems");
        assert_eq!(error.0.len(), 7, "{error}");
    }

    #[test]
    fn a_shorter_session_timeout_needs_a_shorter_lease() {
        let error = load(&[("KAFKA_PROPERTIES", "session.timeout.ms=6000")]).expect_err("the lease is longer");
        assert!(error.0.iter().any(|line| line.starts_with("COMMIT_LEASE")), "{error}");
        load(&[("KAFKA_PROPERTIES", "session.timeout.ms=6000"), ("COMMIT_LEASE", "4s")]).expect("works");
    }

    #[test]
    fn secrets_are_never_shown() {
        let settings =
            load(&[("S3_ACCESS", "hunter2"), ("S3_SECRET", "hunter2"), ("KAFKA_PROPERTIES", "sasl.password=hunter2")])
                .expect("reads");
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(settings.changed.contains(&("KAFKA_PROPERTIES", "sasl.password".into())), "{:?}", settings.changed);
        let error = load(&[("KAFKA_PROPERTIES", "hunter2")]).expect_err("no '='");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_secret_can_come_from_a_file_and_empty_counts_as_not_set() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), "hunter2\n").expect("written");
        let path = file.path().to_str().expect("UTF-8");
        let settings =
            load(&[("S3_SECRET_FILE", path), ("AWS_ACCESS_KEY_ID", "who"), ("S3_ENDPOINT", "")]).expect("reads");
        assert_eq!(settings.s3_secret.expect("read").reveal(), "hunter2");
        assert_eq!(settings.s3_access.expect("read from the second name").reveal(), "who");
        assert_eq!(settings.s3_endpoint, None);
        let error = load(&[("S3_SECRET_FILE", "/does/not/exist")]).expect_err("no file");
        assert!(error.0.iter().any(|line| line.contains("/does/not/exist")), "{error}");
    }

    #[test]
    fn a_flag_wins_over_the_environment() {
        let flags = HashMap::from([("LOG_LEVEL", "debug".to_owned())]);
        let settings = Settings::load([("LOG_LEVEL".into(), "warn".into())], &flags).expect("reads");
        assert_eq!(settings.log_level, "debug");
    }
}
