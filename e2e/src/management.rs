//! The management application in a container, and its HTTP API as a user's program sees it.

use serde::Deserialize;
use url::Url;

use crate::containers::container::Container;
use crate::containers::http::{Answer, ask, client};
use crate::containers::spec::Spec;
use crate::containers::store::{STORE_ACCESS, STORE_REGION, STORE_SECRET};
use crate::expect::{PATIENCE, eventually};
use crate::sandbox::Sandbox;

/// The port of the page and the API inside the container.
pub const HTTP_PORT: u16 = 8080;
/// The port of health and metrics inside the container.
pub const ACTUATOR_PORT: u16 = 8081;
/// The one account.
pub const USER: &str = "demo";
/// Its password.
pub const PASSWORD: &str = "demo";
const MEMORY_MIB: i64 = 512;

/// A task as the API shows it. What the API may leave out is optional.
#[derive(Clone, Debug, Deserialize)]
pub struct TaskView {
    /// The correlation id.
    pub id: u64,
    /// `waiting`, `sent`, `ok` or `error`.
    pub state: String,
    /// What was submitted.
    pub url: String,
    /// What became of it.
    pub outcome: Option<OutcomeView>,
    /// Where more is.
    pub links: Links,
}

/// An outcome as the API shows it: the fields that tests compare.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "the fields of the wire format")]
pub struct OutcomeView {
    pub res: String,
    pub description: String,
    pub code: Option<String>,
    pub content_type: Option<String>,
    pub source_sha256: Option<String>,
    pub thumbnail_sha256: Option<String>,
}

/// Paths of the API.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Links {
    #[serde(rename = "self")]
    pub this: String,
    pub thumbnail: Option<String>,
    pub original: Option<String>,
}

/// A running management application with a database of its own. Dropping the handle does nothing to it.
#[derive(Clone, Debug)]
pub struct Management {
    container: Container,
    http_port: u16,
}

impl Management {
    /// Starts it for `sandbox` and waits until it is ready.
    pub(crate) async fn start(sandbox: &Sandbox) -> Management {
        let (stack, names) = (sandbox.stack(), sandbox.kafka().names());
        let settings = [
            ("KAFKA_BROKERS", stack.broker.bootstrap_inside()),
            ("KAFKA_INPUT_TOPIC", names.tasks.clone()),
            ("KAFKA_OUTPUT_TOPIC", names.outcomes.clone()),
            ("KAFKA_CONSUMER_GROUP", format!("{}.management", sandbox.name())),
            ("S3_ENDPOINT", stack.store.endpoint_inside()),
            ("S3_REGION_NAME", STORE_REGION.to_owned()),
            ("S3_BUCKET_NAME", sandbox.bucket_name().to_owned()),
            ("S3_ACCESS", STORE_ACCESS.to_owned()),
            ("S3_SECRET", STORE_SECRET.to_owned()),
            ("USERS", format!("{USER}:{{noop}}{PASSWORD}")),
            ("BLOCKED_DOMAINS", "blocked.example".to_owned()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", sandbox.traces().endpoint()),
            ("OTEL_SERVICE_NAME", "management".to_owned()),
            // It lives for seconds: less than the better compiler needs to pay.
            ("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1".to_owned()),
        ];
        let spec = Spec {
            name: sandbox.container_name("management"),
            image: stack.images.management.clone(),
            environment: settings.map(|(name, value)| (name.to_owned(), value)).into(),
            memory_mib: MEMORY_MIB,
            // Its database is in the image's volume, and outlives a kill.
            tmpfs: vec![("/tmp", "mode=1777")],
            ports: vec![(HTTP_PORT, 0), (ACTUATOR_PORT, 0)],
            ..Spec::default()
        };
        let container = sandbox.start_container(spec).await;
        let http_port = ready(&container).await;
        Management { container, http_port }
    }

    /// Starts it again after its end, with the database that it had. Ready when this returns.
    ///
    /// # Panics
    /// It doesn't get ready.
    pub async fn start_again(&mut self) {
        self.container.start_again().await;
        self.http_port = ready(&self.container).await;
    }

    /// The container, for what has no word here.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// The page and the API, as this machine's programs reach them.
    pub fn url(&self, path: &str) -> Url {
        let text = format!("http://127.0.0.1:{}{path}", self.http_port);
        Url::parse(&text).unwrap_or_else(|error| panic!("'{text}' is no URL: {error}"))
    }

    /// Submits a picture; its id.
    ///
    /// # Panics
    /// It wasn't accepted.
    pub async fn submit(&self, url: &Url) -> u64 {
        #[derive(Deserialize)]
        struct Accepted {
            id: u64,
        }
        let answer = self.submit_text(url.as_str()).await;
        assert_eq!(answer.status, 202, "submitting {url}: {}", answer.text());
        let Accepted { id } = read(&answer);
        assert_eq!(answer.header("location"), Some(format!("/api/v1/tasks/{id}").as_str()), "where the task is");
        id
    }

    /// Submits anything; what was answered.
    pub async fn submit_text(&self, url: &str) -> Answer {
        let body = serde_json::json!({ "url": url }).to_string();
        let request = client().post(self.url("/api/v1/tasks")).header("content-type", "application/json").body(body);
        self.ask(request).await
    }

    /// A task as it stands.
    pub async fn task(&self, id: u64) -> TaskView {
        let answer = self.get(&format!("/api/v1/tasks/{id}")).await;
        assert_eq!(answer.status, 200, "task {id}: {}", answer.text());
        read(&answer)
    }

    /// Waits until a task has reached `state`.
    ///
    /// # Panics
    /// It didn't within [`PATIENCE`], or reached another that is final.
    pub async fn reached(&self, id: u64, state: &str) -> TaskView {
        let task = eventually(format!("task {id} is '{state}'"), PATIENCE, async || {
            let task = self.task(id).await;
            let is_final = matches!(task.state.as_str(), "ok" | "error");
            if task.state == state || is_final { Ok(task) } else { Err(format!("it is '{}'", task.state)) }
        })
        .evidence("management's log", || self.container.logs())
        .await;
        assert_eq!(task.state, state, "{task:?}");
        task
    }

    /// Gets a path as the demo user.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(client().get(self.url(path))).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = ask(request.basic_auth(USER, Some(PASSWORD))).await;
        answer.unwrap_or_else(|error| panic!("ask {}: {error:#}", self.container.name()))
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: &Answer) -> T {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("read {}: {error}", answer.text()))
}

/// Waits until it is ready; the port of its page, which is another one after each start.
async fn ready(container: &Container) -> u16 {
    let health_port = container.host_port(ACTUATOR_PORT).await;
    eventually(format!("{} is ready", container.name()), PATIENCE * 2, async || {
        readiness(container, health_port).await
    })
    .evidence("its log", || container.logs())
    .await;
    container.host_port(HTTP_PORT).await
}

async fn readiness(container: &Container, port: u16) -> Result<(), String> {
    if let Some(code) = container.exit_code().await {
        return Err(format!("it has ended with exit code {code}"));
    }
    let request = client().get(format!("http://127.0.0.1:{port}/actuator/health/readiness"));
    match ask(request).await {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("its readiness answers {}: {}", answer.status, answer.text())),
        Err(error) => Err(format!("{error:#}")),
    }
}
