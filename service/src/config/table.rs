//! The one list of settings. `--help`, the checks, the start-up log and the README's table all come from it.

use super::parse;

/// How a setting is written and what is allowed.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number between two bounds.
    Count(u64, u64),
    /// A number of bytes between two bounds.
    Bytes(u64, u64),
    /// A duration between two bounds, in milliseconds.
    Duration(u64, u64),
    /// Networks in CIDR form.
    Cidrs,
    /// A URL or a mail address that a header can carry.
    Contact,
    /// IPv6 networks of a length that a NAT64 translator can have.
    Nat64Prefixes,
    /// Port numbers.
    Ports,
    /// An address with a port.
    SocketAddress,
    /// `key=value;key=value`.
    Properties,
    /// An http or https URL without a path.
    Endpoint,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The environment variable; the flag is the same in lower case with dashes.
    pub name: &'static str,
    /// Variables that are read when this one is not set.
    pub also: &'static [&'static str],
    /// How it is written.
    pub kind: Kind,
    /// The default as it would be written; empty: none.
    pub default: &'static str,
    /// Never shown.
    pub secret: bool,
    /// One line for `--help` and the README.
    pub meaning: &'static str,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600_000;

const fn setting(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, also: &[], kind, default, secret: false, meaning }
}

/// Every setting, in the order in which `--help` shows them.
pub const SETTINGS: &[Setting] = &[
    setting("KAFKA_BROKERS", Kind::Text, "127.0.0.1:9092", "bootstrap servers, comma separated"),
    setting("KAFKA_INPUT_TOPIC", Kind::Text, "urls_new", "topic of tasks"),
    setting("KAFKA_OUTPUT_TOPIC", Kind::Text, "urls_done", "topic of outcomes"),
    setting("KAFKA_DEAD_TOPIC", Kind::Text, "urls_dead", "topic of what is not a task"),
    setting("KAFKA_CONSUMER_GROUP", Kind::Text, "downloader", "consumer group"),
    setting(
        "KAFKA_GROUP_PROTOCOL",
        Kind::Choice(&["classic", "consumer"]),
        "classic",
        "classic (cooperative-sticky) or consumer (KIP-848)",
    ),
    Setting {
        secret: true,
        ..setting(
            "KAFKA_PROPERTIES",
            Kind::Properties,
            "",
            "librdkafka properties for all clients, key=value;key=value",
        )
    },
    setting("S3_ENDPOINT", Kind::Endpoint, "", "object store; empty: AWS of the region"),
    setting("S3_REGION_NAME", Kind::Text, "us-east-1", "region"),
    setting("S3_BUCKET_NAME", Kind::Text, "images", "bucket of originals and thumbnails"),
    Setting { also: &["AWS_ACCESS_KEY_ID"], secret: true, ..setting("S3_ACCESS", Kind::Text, "", "access key") },
    Setting { also: &["AWS_SECRET_ACCESS_KEY"], secret: true, ..setting("S3_SECRET", Kind::Text, "", "secret key") },
    setting(
        "S3_CONDITIONAL_PUTS",
        Kind::Choice(&["true", "false"]),
        "true",
        "true: an original already stored for the same record decides; false: for a store without conditional puts",
    ),
    setting("PARALLEL_OPERATIONS", Kind::Count(1, 100_000), "256", "tasks taken at once, those that wait included"),
    setting(
        "FETCH_PER_HOST_MAX",
        Kind::Count(1, 10_000),
        "8",
        "concurrent requests of one replica per scheme, host and port, of each hop",
    ),
    setting("FETCH_ALLOW_CIDRS", Kind::Cidrs, "", "networks allowed beyond the public internet, comma separated"),
    setting(
        "FETCH_NAT64_PREFIXES",
        Kind::Nat64Prefixes,
        "",
        "prefixes of NAT64 translators beside 64:ff9b::/96; addresses in them are judged by the IPv4 address they carry",
    ),
    setting("FETCH_ALLOW_PORTS", Kind::Ports, "80,443", "the ports an origin may use"),
    setting(
        "FETCH_USER_AGENT_CONTACT",
        Kind::Contact,
        "",
        "whom an origin may turn to, shown in the User-Agent of every request",
    ),
    setting("SOURCE_BYTES_MAX", Kind::Bytes(KIB, GIB), "20MiB", "largest image, in bytes"),
    setting("SOURCE_PIXELS_MAX", Kind::Count(1, 1 << 32), "50000000", "largest image, in pixels"),
    setting(
        "SOURCE_BYTES_IN_FLIGHT_MAX",
        Kind::Bytes(MIB, 64 * GIB),
        "128MiB",
        "bytes of images held at once, over all tasks",
    ),
    setting("DECODE_BYTES_MAX", Kind::Bytes(MIB, 64 * GIB), "128MiB", "bytes used by decoders at once, over all tasks"),
    setting("THUMBNAIL_EDGE_PX", Kind::Count(1, 4096), "128", "longest edge of a thumbnail, in pixels"),
    setting(
        "THUMBNAIL_QUALITY",
        Kind::Count(1, 100),
        "80",
        "quality of a thumbnail that is a JPEG; one that is transparent is a PNG",
    ),
    setting("COMMIT_INTERVAL", Kind::Duration(10, 60 * SECOND), "1s", "time between commits"),
    setting(
        "COMMIT_LEASE",
        Kind::Duration(SECOND, HOUR),
        "20s",
        "without an acknowledged commit for this long a partition starts and publishes nothing",
    ),
    setting("DRAIN_TIMEOUT", Kind::Duration(SECOND, HOUR), "25s", "from SIGTERM to the end of the process"),
    setting("FETCH_TIMEOUT", Kind::Duration(100, HOUR), "30s", "one whole fetch, redirects included"),
    setting("TASK_TIMEOUT", Kind::Duration(100, 24 * HOUR), "5m", "one task, its retries included"),
    setting("HTTP_LISTEN", Kind::SocketAddress, "127.0.0.1:8081", "address of /livez, /readyz and /metrics"),
    setting("LOG_LEVEL", Kind::Text, "info", "level or filter directives, as in info,downloader=debug"),
    setting("LOG_FORMAT", Kind::Choice(&["text", "json"]), "text", "text or json"),
];

impl Setting {
    /// The flag without its dashes: `KAFKA_BROKERS` -> `kafka-brokers`.
    pub fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }

    /// Whether `text` can be read as this setting.
    ///
    /// # Errors
    /// What is wrong, without the text of a secret.
    pub fn check(&self, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Text => Ok(()),
            Kind::Choice(words) if words.contains(&text) => Ok(()),
            Kind::Choice(words) => Err(format!("'{text}' is not one of {}", words.join(", "))),
            Kind::Count(least, most) => within(parse::count(text)?, least, most, &u64::to_string),
            Kind::Bytes(least, most) => within(parse::bytes(text)?, least, most, &|n| format!("{n} bytes")),
            Kind::Duration(least, most) => {
                let millis = u64::try_from(parse::duration(text)?.as_millis()).unwrap_or(u64::MAX);
                within(millis, least, most, &|n| format!("{n}ms"))
            }
            Kind::Cidrs => parse::cidrs(text).map(drop),
            Kind::Contact => parse::contact(text).map(drop),
            Kind::Nat64Prefixes => parse::nat64_prefixes(text).map(drop),
            Kind::Ports => parse::ports(text).map(drop),
            Kind::SocketAddress => parse::socket_address(text).map(drop),
            Kind::Properties => parse::properties(text).map(drop),
            Kind::Endpoint => endpoint(text),
        }
    }
}

fn within(value: u64, least: u64, most: u64, show: &dyn Fn(&u64) -> String) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{} is out of range; allowed are {} to {}", show(&value), show(&least), show(&most)))
}

fn endpoint(text: &str) -> Result<(), String> {
    let wrong = || "not an http or https URL without a path, as in http://127.0.0.1:9000".to_owned();
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none();
    if plain { Ok(()) } else { Err(wrong()) }
}
