//! Facts that others report -> `/livez` and `/readyz`: is a restart needed, and may work be expected.
//!
//! Alive: the consumer polls and no task is past every deadline. Ready: alive enough to work, in the group, and both
//! dependencies answer. A drain is watched by its own deadline, so it counts as alive whatever else stands still.

mod client;
mod server;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use client::ask;
pub use server::serve;

use crate::error::Dependency;
use crate::progress::ENVIRONMENT_AT;

/// Without a turn of the poll loop for this long the consumer is taken for wedged.
pub const POLL_SILENCE_MAX: Duration = Duration::from_secs(30);

const DEPENDENCIES: [Dependency; 2] = [Dependency::Kafka, Dependency::Store];

/// What is known about the process; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    facts: Arc<Mutex<Facts>>,
}

#[derive(Debug, Default)]
struct Facts {
    polled: Option<Instant>,
    joined: bool,
    kafka: Answer,
    store: Answer,
    overdue_task: bool,
    unleased: usize,
    unclean_ends: u8,
    draining: bool,
}

#[derive(Debug, Default)]
enum Answer {
    #[default]
    Unknown,
    Answers,
    Fails(String),
}

impl Health {
    /// Alive, and not ready before the others have reported.
    pub fn new() -> Health {
        Health::default()
    }

    /// The poll loop turned. From the first call on it has to be called again within [`POLL_SILENCE_MAX`].
    pub fn poll_turned(&self) {
        self.facts().polled = Some(Instant::now());
    }

    /// Whether the consumer is a member of its group; an empty assignment counts.
    pub fn joined(&self, joined: bool) {
        self.facts().joined = joined;
    }

    /// Whether a dependency answers; if not, why.
    pub fn dependency(&self, dependency: Dependency, answer: Result<(), String>) {
        let answer = match answer {
            Ok(()) => Answer::Answers,
            Err(reason) => Answer::Fails(reason),
        };
        match dependency {
            Dependency::Kafka => self.facts().kafka = answer,
            Dependency::Store => self.facts().store = answer,
        }
    }

    /// Whether a task is still running although it is past every deadline.
    pub fn overdue_task(&self, overdue: bool) {
        self.facts().overdue_task = overdue;
    }

    /// Partitions of which nothing starts or is published, because no commit was acknowledged for a while.
    pub fn unleased(&self, partitions: usize) {
        self.facts().unleased = partitions;
    }

    /// Ends without a farewell, in a row, of those who worked the same records before this process.
    pub fn unclean_ends(&self, count: u8) {
        self.facts().unclean_ends = count;
    }

    /// The process has begun to drain; it will not take work again.
    pub fn draining(&self) {
        self.facts().draining = true;
    }

    /// Whether the process works as it should.
    ///
    /// # Errors
    /// Why it has to be restarted.
    pub fn livez(&self) -> Result<(), Vec<String>> {
        let facts = self.facts();
        let mut reasons = Vec::new();
        if facts.draining {
            return Ok(());
        }
        if let Some(silence) = facts.polled.map(|polled| polled.elapsed())
            && silence > POLL_SILENCE_MAX
        {
            reasons.push(format!(
                "the consumer has not polled Kafka for {} s (at most {} s are allowed): it is stuck",
                silence.as_secs(),
                POLL_SILENCE_MAX.as_secs(),
            ));
        }
        if facts.overdue_task {
            reasons.push("a task is still running although it is past every deadline: it is stuck".to_owned());
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    /// Whether the process can be expected to work on tasks now.
    ///
    /// # Errors
    /// What is missing.
    pub fn readyz(&self) -> Result<(), Vec<String>> {
        let mut reasons = self.livez().err().unwrap_or_default();
        let facts = self.facts();
        if facts.draining {
            reasons.push("the process is shutting down and takes no new tasks".to_owned());
        } else if !facts.joined {
            reasons.push("the consumer has not joined its group yet".to_owned());
        }
        if facts.unleased > 0 && !facts.draining {
            let partitions = facts.unleased;
            reasons.push(format!(
                "no commit was acknowledged for COMMIT_LEASE: nothing of {partitions} partition(s) starts or is published"
            ));
        }
        if facts.unclean_ends >= ENVIRONMENT_AT && !facts.draining {
            reasons.push(format!(
                "{} processes in a row were ended over the same records: look for what ends them (memory limit, probes, \
                 node); the records are worked one at a time in child processes meanwhile",
                facts.unclean_ends
            ));
        }
        for dependency in DEPENDENCIES {
            let (name, answer) = match dependency {
                Dependency::Kafka => ("the Kafka broker", &facts.kafka),
                Dependency::Store => ("the object store", &facts.store),
            };
            match answer {
                Answer::Answers => {}
                Answer::Unknown => reasons.push(format!("{name} has not answered yet")),
                Answer::Fails(reason) => reasons.push(format!("{name} does not answer: {reason}")),
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    /// A process that works.
    fn working() -> Health {
        let health = Health::new();
        health.poll_turned();
        health.joined(true);
        health.dependency(Dependency::Kafka, Ok(()));
        health.dependency(Dependency::Store, Ok(()));
        health
    }

    fn reason(verdict: Result<(), Vec<String>>) -> String {
        let [reason] = <[String; 1]>::try_from(verdict.expect_err("fails")).expect("one reason");
        reason
    }

    #[tokio::test(start_paused = true)]
    async fn a_consumer_that_does_not_poll_is_wedged_and_may_recover() {
        let health = working();
        assert_eq!((health.livez(), health.readyz()), (Ok(()), Ok(())));
        advance(POLL_SILENCE_MAX).await;
        assert_eq!(health.livez(), Ok(()));
        advance(Duration::from_secs(13)).await;
        assert!(reason(health.livez()).contains("has not polled Kafka for 43 s"));
        assert!(reason(health.readyz()).contains("has not polled Kafka for 43 s"));
        health.poll_turned();
        assert_eq!((health.livez(), health.readyz()), (Ok(()), Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn before_its_first_turn_a_consumer_is_alive_and_not_ready() {
        let health = Health::new();
        advance(Duration::from_secs(3600)).await;
        assert_eq!(health.livez(), Ok(()), "waiting for a broker is no reason for a restart");
        let reasons = health.readyz().expect_err("nothing has answered yet");
        let expected = [
            "the consumer has not joined its group yet",
            "the Kafka broker has not answered yet",
            "the object store has not answered yet",
        ];
        assert_eq!(reasons, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dependency_that_fails_makes_it_unready_and_not_dead() {
        for (dependency, name) in [(Dependency::Kafka, "the Kafka broker"), (Dependency::Store, "the object store")] {
            let health = working();
            health.dependency(dependency, Err("connection refused".to_owned()));
            assert_eq!(health.livez(), Ok(()));
            assert_eq!(reason(health.readyz()), format!("{name} does not answer: connection refused"));
            health.dependency(dependency, Ok(()));
            assert_eq!(health.readyz(), Ok(()));
        }
        let health = working();
        health.joined(false);
        assert_eq!(health.livez(), Ok(()));
        assert_eq!(reason(health.readyz()), "the consumer has not joined its group yet");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_past_every_deadline_is_a_reason_to_restart() {
        let health = working();
        health.overdue_task(true);
        assert!(reason(health.livez()).contains("past every deadline"));
        assert!(reason(health.readyz()).contains("past every deadline"));
        health.overdue_task(false);
        assert_eq!((health.livez(), health.readyz()), (Ok(()), Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn many_unclean_ends_in_a_row_make_it_unready() {
        let health = working();
        health.unclean_ends(ENVIRONMENT_AT - 1);
        assert_eq!(health.readyz(), Ok(()));
        health.unclean_ends(ENVIRONMENT_AT);
        assert_eq!(health.livez(), Ok(()), "a restart would be one more");
        assert!(reason(health.readyz()).starts_with("6 processes in a row"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_draining_process_is_left_alone_and_gets_no_work() {
        let health = working();
        health.draining();
        health.overdue_task(true);
        health.joined(false);
        advance(POLL_SILENCE_MAX * 2).await;
        assert_eq!(health.livez(), Ok(()));
        assert_eq!(reason(health.readyz()), "the process is shutting down and takes no new tasks");
    }
}
