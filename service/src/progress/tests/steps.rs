//! What may happen, and what it does to the world.

use super::*;

#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Acknowledged,
    /// Kept by the broker, but the answer was lost.
    Unheard,
    Refused,
    TooLarge,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A record is written after this many offsets that never appear; some records kill the process that works them.
    Write {
        gap: i64,
        kills: bool,
    },
    Receive {
        count: usize,
    },
    Start {
        pick: usize,
    },
    Finish {
        pick: usize,
    },
    /// A list is taken; nothing is taken before its answer.
    Commit {
        all: bool,
    },
    Answer {
        answer: Answer,
    },
    Wait {
        seconds: u64,
    },
    /// SIGKILL from outside.
    Crash,
    Revoke {
        acknowledged: bool,
    },
    /// Somebody else owns it already; a commit of the former owner may still come.
    Lose {
        stale: bool,
    },
    /// The former owner's commit arrives.
    Stale,
    /// Retention takes this many records.
    Expire {
        records: usize,
    },
    /// `--reset-offsets` to the committed offset: the metadata is gone.
    Reset,
    /// Another program or another offset: the metadata is not to be believed.
    Spoil,
    /// An unclean election: the log's last records are gone, and others take their offsets.
    Truncate {
        records: usize,
    },
    /// The topic is deleted and made again.
    Recreate {
        records: i64,
    },
    /// The same, and the new log has grown past what a live owner has read before it fetches again: nothing goes backwards.
    RecreateUnseen {
        more: i64,
    },
    /// The owner asks which log the topic's name stands for.
    Identify,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        6 => Just(Answer::Acknowledged), 1 => Just(Answer::Unheard), 1 => Just(Answer::Refused), 1 => Just(Answer::TooLarge),
    ];
    prop_oneof![
        8 => (0i64..3, prop::bool::weighted(0.04)).prop_map(|(gap, kills)| Step::Write { gap, kills }),
        8 => (1usize..6).prop_map(|count| Step::Receive { count }),
        12 => (0usize..64).prop_map(|pick| Step::Start { pick }),
        10 => (0usize..64).prop_map(|pick| Step::Finish { pick }),
        8 => any::<bool>().prop_map(|all| Step::Commit { all }),
        8 => answer.prop_map(|answer| Step::Answer { answer }),
        2 => (0u64..30).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Crash),
        1 => any::<bool>().prop_map(|acknowledged| Step::Revoke { acknowledged }),
        1 => any::<bool>().prop_map(|stale| Step::Lose { stale }),
        1 => Just(Step::Stale),
        1 => (1usize..6).prop_map(|records| Step::Expire { records }),
        1 => Just(Step::Reset),
        1 => Just(Step::Spoil),
        1 => (0usize..5).prop_map(|records| Step::Truncate { records }),
        1 => (0i64..5).prop_map(|records| Step::Recreate { records }),
        1 => (0i64..5).prop_map(|more| Step::RecreateUnseen { more }),
        1 => Just(Step::Identify),
    ]
}

impl World {
    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Write { gap, kills } => {
                self.clock_ms += 1;
                self.log.insert(self.log_end + gap, (self.clock_ms, kills));
                self.log_end += gap + 1;
            }
            Step::Receive { count } => (0..count).for_each(|_| self.receive()),
            Step::Start { pick } => self.start(pick),
            Step::Finish { pick } => self.finish(pick),
            Step::Commit { all } => self.commit(all),
            Step::Answer { answer } => self.answer(answer),
            Step::Wait { seconds } => {
                self.now += Duration::from_secs(seconds);
                let (now, owner) = (self.now, self.owner());
                if seconds >= LEASE.as_secs() {
                    assert!(!owner.progress.may_publish(PARTITION, owner.epoch, now), "I7: the lease has ended");
                    assert!(
                        owner.waiting.iter().all(|offset| {
                            owner.progress.may_start(PARTITION, *offset, now) == Some(Err(Hold::Lease))
                        })
                    );
                }
            }
            Step::Crash => self.crash(),
            Step::Revoke { acknowledged } => {
                if let Some(closing) = self.unassign().filter(|_| acknowledged) {
                    self.broker_keeps(&closing);
                }
            }
            Step::Lose { stale } => {
                let closing = self.unassign();
                self.stale = closing.filter(|_| stale);
            }
            Step::Stale => {
                if let Some(commit) = self.stale.take() {
                    self.broker_keeps(&commit);
                    self.disturbed += 1;
                }
            }
            Step::Expire { records } => {
                let left = self.log.keys().nth(records).copied().unwrap_or(self.log_end);
                let taken: Vec<i64> = self.log.range(..left).map(|(offset, _)| *offset).collect();
                self.log_start = left;
                for offset in taken {
                    self.log.remove(&offset);
                }
            }
            // An offset of a log that is gone can be told from its metadata alone: without that it is a person's word.
            Step::Reset | Step::Spoil if self.commit_is_of_another_log() => {}
            Step::Reset => {
                if let Some((_, metadata)) = &mut self.commit {
                    metadata.clear();
                    self.disturbed += 1;
                }
            }
            Step::Spoil => {
                if let Some((_, metadata)) = &mut self.commit {
                    metadata.insert(5.min(metadata.len()), 'x');
                    self.disturbed += 1;
                }
            }
            Step::Truncate { records } => self.truncate(records),
            Step::Recreate { records } => self.recreate(records),
            Step::RecreateUnseen { more } => self.recreate_unseen(more),
            Step::Identify => self.identify(),
        }
    }
}
