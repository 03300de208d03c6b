//! One suspect record in a child process, and what its end proves.
//!
//! A record that may end the process is worked on by a child of its own: this executable again, with this process as
//! the witness. The child decides (see `pipeline::Workshop`) and says so; only the parent publishes. Two children that
//! the record ended before the eyes of one parent, the second of them alone, condemn it; anything less proves nothing.
//!
//! Killed here: the children die with us, nothing was published, and the record comes again; what was seen is forgotten.
//! The parent never reads the record: its bytes, and what they name, are touched in the child only.

mod child;
mod evidence;
mod frame;

use std::collections::HashMap;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::warn;

use crate::cgroup;
use crate::config::Settings;
use crate::flow::retry::RetryPolicy;
use crate::task::RecordIdentity;
use frame::{Order, Report};

pub use crate::pipeline::Decision;
pub(crate) use child::child;
pub use evidence::Evidence;

/// The hidden subcommand that a child is started with.
pub(crate) const SUBCOMMAND: &str = "trial";
/// The name a child is started under: that of the binary, whatever file it is.
const NAME: &str = "downloader";
/// This very executable, also after another was put in its place.
const OWN_EXECUTABLE: &str = "/proc/self/exe";
/// How long a child may take to end once it has said its last word.
const FAREWELL: Duration = Duration::from_secs(5);

/// A suspect record, as it goes to a child.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Its partition of the topic of tasks.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// What tells it apart from every other record.
    pub identity: RecordIdentity,
    /// Trace headers that the child continues.
    pub trace: HashMap<String, String>,
    /// Its bytes, unread.
    pub payload: Option<&'a [u8]>,
}

/// What is to become of a suspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A child came to its end with it.
    Decided(Decision),
    /// It ended two children.
    Condemned {
        /// What the second died of.
        cause: &'static str,
        /// The record's id, where a child could still say it.
        correlation_id: Option<u64>,
    },
}

/// Where suspects are tried: at most one child for each processor at a time.
pub struct Bench {
    program: PathBuf,
    variables: Vec<(String, String)>,
    places: Semaphore,
    places_max: u32,
    pauses: RetryPolicy,
}

impl Bench {
    /// A bench whose children run this process's own executable with these settings.
    pub fn new(settings: &Settings) -> Bench {
        let own = Path::new(OWN_EXECUTABLE);
        let program = if own.exists() { own.to_owned() } else { std::env::current_exe().unwrap_or_default() };
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let places_max = u32::try_from(processors).unwrap_or(1);
        Bench {
            program,
            variables: settings.variables().to_vec(),
            places: Semaphore::new(processors),
            places_max,
            pauses: RetryPolicy::for_tasks(settings.task_timeout),
        }
    }

    /// The same with children that run `program`, which is the downloader if it is called so: for a process that is not
    /// the downloader itself.
    pub fn with_program(self, program: impl Into<PathBuf>) -> Bench {
        Bench { program: program.into(), ..self }
    }

    /// Has `record` worked on in children until it is decided or condemned, however long that takes. While `alone` says so no
    /// other child runs beside it, and whatever ends it proves nothing: what is around us is suspected, not the record.
    ///
    /// # Cancel safety
    /// Its child is killed. What was seen so far is forgotten.
    pub async fn try_record(&self, record: &Record<'_>, alone: impl Fn() -> bool) -> Verdict {
        let (mut killed_one, mut correlation_id, mut pauses) = (false, None, 0);
        loop {
            let alone = alone();
            let places = self.places(if killed_one || alone { self.places_max } else { 1 }).await;
            let (partition, offset) = (record.partition, record.offset);
            let evidence = match self.start(record) {
                Ok(trial) => {
                    let (id, evidence) = trial.ended().await;
                    correlation_id = id.or(correlation_id);
                    evidence
                }
                Err(error) => Evidence::None { why: format!("no child could be started: {error}") },
            };
            drop(places);
            match evidence {
                Evidence::Decided(decision) => return Verdict::Decided(decision),
                Evidence::Killer { cause } if alone => {
                    let pause = self.pause(&mut pauses);
                    warn!(
                        partition,
                        offset,
                        id = correlation_id,
                        cause,
                        ?pause,
                        "a child ended; nothing is concluded from it"
                    );
                    tokio::time::sleep(pause).await;
                }
                Evidence::Killer { cause } if killed_one => return Verdict::Condemned { cause, correlation_id },
                Evidence::Killer { cause } => {
                    warn!(partition, offset, id = correlation_id, cause, "a record ended its child; once more, alone");
                    killed_one = true;
                }
                Evidence::None { why } => {
                    let pause = self.pause(&mut pauses);
                    warn!(partition, offset, id = correlation_id, why, ?pause, "a trial proved nothing; once more");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Starts one child on `record`, whoever else is on trial.
    ///
    /// # Errors
    /// The system gives no process.
    pub fn start(&self, record: &Record<'_>) -> io::Result<Trial> {
        let order = Order {
            parent: std::process::id(),
            settings: self.variables.clone(),
            partition: record.partition,
            offset: record.offset,
            identity: record.identity.clone(),
            trace: record.trace.clone(),
            has_payload: record.payload.is_some(),
        };
        let input = frame::order(&order, record.payload)?;
        let oom_kills = cgroup::oom_kills();
        let process = Command::new(&self.program)
            .arg0(NAME)
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C on a terminal is meant for us, who drain.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Trial { process, input, oom_kills })
    }

    fn pause(&self, pauses: &mut u32) -> Duration {
        *pauses += 1;
        self.pauses.backoff(*pauses).mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    async fn places(&self, count: u32) -> SemaphorePermit<'_> {
        match self.places.acquire_many(count).await {
            Ok(places) => places,
            Err(_closed) => std::future::pending().await,
        }
    }
}

/// One record in one child, which is killed when this is dropped.
pub struct Trial {
    process: tokio::process::Child,
    input: Vec<u8>,
    /// Before it began.
    oom_kills: Option<u64>,
}

impl Trial {
    /// The child's process id.
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for the child's end: the record's id, if the child said it, and what its end proves.
    ///
    /// # Cancel safety
    /// The child is killed.
    pub async fn ended(mut self) -> (Option<u64>, Evidence) {
        let said = match (self.process.stdin.take(), self.process.stdout.take()) {
            (Some(stdin), Some(stdout)) => converse(stdin, &self.input, stdout).await,
            _ => Said::default(),
        };
        let (status, by_us) = match tokio::time::timeout(FAREWELL, self.process.wait()).await {
            Ok(status) => (status, false),
            Err(_late) => {
                let _ended_meanwhile = self.process.start_kill();
                (self.process.wait().await, true)
            }
        };
        // Without both readings nobody knows, and what nobody knows proves nothing.
        let more = self.oom_kills.zip(cgroup::oom_kills()).is_some_and(|(before, after)| after > before);
        (said.correlation_id, evidence::judge(said.decision, status, more && !by_us))
    }
}

/// What a child said before its last word, or its end.
#[derive(Default)]
struct Said {
    correlation_id: Option<u64>,
    decision: Option<Decision>,
}

/// Tells the child what to do and listens until it has decided, ends, or says what no child of ours would.
async fn converse(mut stdin: ChildStdin, input: &[u8], mut stdout: ChildStdout) -> Said {
    let tell = async move {
        // A child that ends early does not listen; how it ended says why.
        let _ended = stdin.write_all(input).await;
        drop(stdin);
        std::future::pending().await
    };
    let listen = pin!(async {
        let (mut said, mut heard) = (Said::default(), BytesMut::new());
        loop {
            while let Ok(Some(frame)) = frame::next(&mut heard) {
                match serde_json::from_slice(&frame) {
                    Ok(Report::Id(id)) => said.correlation_id = Some(id),
                    Ok(Report::Decided(decision)) => {
                        said.decision = Some(*decision);
                        return said;
                    }
                    Err(_not_ours) => return said,
                }
            }
            if heard.len() > frame::REPORT_BYTES_MAX || !matches!(stdout.read_buf(&mut heard).await, Ok(1..)) {
                return said;
            }
        }
    });
    tokio::select! {
        said = tell => said,
        said = listen => said,
    }
}
