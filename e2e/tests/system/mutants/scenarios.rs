//! What brings a defect to light. Each scenario runs with a defect or without, waits for conditions that both come to, and
//! ends in a verdict.

use e2e::expect::{PATIENCE, eventually, unix_ms};
use e2e::ledger::{Subject, Verdict};
use e2e::naive::{Defect, Naive};
use e2e::sandbox::Sandbox;
use e2e::store_proxy::{StoreFault, StoreProxy};

/// Whose defect it is, where one consumer follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Victim,
    Heir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scenario {
    KilledAtTheOrigin,
    KilledWithTwoPartitions,
    KilledAtTheStore,
    KilledBeforeTheCommit,
    OutcomesRefused,
    DeadLettersRefused,
    StoreRefuses,
    Undisturbed,
    TopicMadeAgain,
    PartitionMoves,
    ThrownOut,
    SendsTimeOut,
    ThrownOutMidFetch,
}

impl Scenario {
    pub(super) const ALL: [Scenario; 13] = [
        Scenario::KilledAtTheOrigin,
        Scenario::KilledWithTwoPartitions,
        Scenario::KilledAtTheStore,
        Scenario::KilledBeforeTheCommit,
        Scenario::OutcomesRefused,
        Scenario::DeadLettersRefused,
        Scenario::StoreRefuses,
        Scenario::Undisturbed,
        Scenario::TopicMadeAgain,
        Scenario::PartitionMoves,
        Scenario::ThrownOut,
        Scenario::SendsTimeOut,
        Scenario::ThrownOutMidFetch,
    ];

    pub(super) async fn run(self, defect: Option<(Defect, Who)>) -> Verdict {
        let name = match defect {
            Some((defect, _)) => format!("mutant_{defect:?}").to_lowercase(),
            None => format!("mutant_control_{self:?}").to_lowercase(),
        };
        let partitions = match self {
            Scenario::KilledWithTwoPartitions | Scenario::PartitionMoves | Scenario::ThrownOut => 2,
            _ => 1,
        };
        let sandbox = match self {
            Scenario::OutcomesRefused => Sandbox::that_refuses_writes(&name, partitions, |names| &names.outcomes).await,
            Scenario::DeadLettersRefused => Sandbox::that_refuses_writes(&name, partitions, |names| &names.dead).await,
            // It is stopped: nobody else may be on it.
            Scenario::SendsTimeOut => Sandbox::on_a_broker_with(&name, partitions, &[]).await,
            _ => Sandbox::with_partitions(&name, partitions).await,
        };
        let world = World { sandbox, defect };
        match self {
            Scenario::KilledAtTheOrigin => world.killed_at_the_origin(&["h..h..."]).await,
            Scenario::KilledWithTwoPartitions => world.killed_at_the_origin(&["h..h.", "h....h."]).await,
            Scenario::KilledAtTheStore => world.killed_at_the_store().await,
            Scenario::KilledBeforeTheCommit => world.killed_before_the_commit().await,
            Scenario::OutcomesRefused => world.writes_refused(world.sandbox.kafka().names().outcomes.clone()).await,
            Scenario::DeadLettersRefused => world.writes_refused(world.sandbox.kafka().names().dead.clone()).await,
            Scenario::StoreRefuses => world.store_refuses().await,
            Scenario::Undisturbed => world.undisturbed().await,
            Scenario::TopicMadeAgain => world.topic_made_again().await,
            Scenario::PartitionMoves => world.partition_moves().await,
            Scenario::ThrownOut => world.thrown_out().await,
            Scenario::SendsTimeOut => world.sends_time_out().await,
            Scenario::ThrownOutMidFetch => world.thrown_out_mid_fetch().await,
        }
    }
}

struct World {
    sandbox: Sandbox,
    defect: Option<(Defect, Who)>,
}

impl World {
    fn of(&self, who: Who) -> Option<Defect> {
        self.defect.filter(|(_, whose)| *whose == who).map(|(defect, _)| defect)
    }

    fn victim(&self) -> e2e::naive::Builder<'_> {
        Naive::with(&self.sandbox, self.of(Who::Victim))
    }

    fn heir(&self) -> e2e::naive::Builder<'_> {
        Naive::with(&self.sandbox, self.of(Who::Heir))
    }

    /// Tasks for pictures of one size and different colours, so many to `partition`.
    async fn produce(&self, partition: i32, name: &str, count: usize) {
        for number in 0..count {
            self.produce_one(partition, &format!("/{name}{partition}_{number}.png")).await;
        }
    }

    async fn produce_one(&self, partition: i32, path: &str) -> u64 {
        let colours: [[u8; 3]; 3] = [[200, 30, 30], [30, 200, 30], [30, 30, 200]];
        let id = self.sandbox.ledger().entries().len();
        let url = self.sandbox.origin().serve(path, picture(colours[id % colours.len()]));
        self.sandbox.produce_to(partition, url.as_str(), self.sandbox.picture(&url)).await
    }

    async fn proxy(&self) -> StoreProxy {
        let (gateway, store) = (self.sandbox.stack().run.gateway, self.sandbox.stack().store.address());
        StoreProxy::start(gateway, store).await.expect("a way to the store")
    }

    /// A commit of the victim's is waited for by what the broker wrote down where the victim itself can't know it.
    async fn has_committed(&self, victim: &Naive, records: usize) {
        victim.quiet_after(records).await;
        if self.of(Who::Victim) == Some(Defect::AutoCommit) {
            self.sandbox.committed().await;
        }
    }

    /// Dies while some records wait at the origin (`h`) and all others are finished, one after the other, and committed.
    async fn killed_at_the_origin(&self, layout: &[&str]) -> Verdict {
        let victim = self.victim().start();
        let (mut gates, mut others, mut records) = (Vec::new(), 0, 0);
        for (partition, places) in (0..).zip(layout) {
            for (offset, place) in places.chars().enumerate() {
                let path = format!("/{partition}_{offset}.png");
                records += 1;
                if place == 'h' {
                    let gate = self.sandbox.origin().hold(&path).1;
                    self.produce_one(partition, &path).await;
                    gate.reached().await;
                    gates.push(gate);
                    continue;
                }
                self.produce_one(partition, &path).await;
                others += 1;
                eventually("all but the held ones are finished", PATIENCE, async || {
                    let (finished, _) = self.sandbox.ledger().progress();
                    if finished == others { Ok(()) } else { Err(format!("{finished} of {others}")) }
                })
                .await;
            }
        }
        self.has_committed(&victim, records).await;
        victim.kill().await;
        let held = gates.len();
        drop(gates);
        let _heir = self.heir().start();
        for partition in (0..).take(layout.len()) {
            self.produce(partition, "after", 2).await;
        }
        self.sandbox.committed().await;
        self.sandbox.verdict(held).await
    }

    /// Dies while the thumbnails of all records are on their way to the store.
    async fn killed_at_the_store(&self) -> Verdict {
        let proxy = self.proxy().await;
        let gate = proxy.hold_requests("PUT", "thumbnails/");
        self.produce(0, "at", 4).await;
        let victim = self.victim().by_store(proxy.endpoint()).start();
        gate.reached_by(4).await;
        victim.quiet_after(4).await;
        victim.kill().await;
        // What was on its way never arrives.
        proxy.reset();
        let _heir = self.heir().start();
        self.produce(0, "after", 2).await;
        self.sandbox.committed().await;
        self.sandbox.verdict(4).await
    }

    /// Dies after its outcomes and before its first commit; then the origin has other pictures.
    async fn killed_before_the_commit(&self) -> Verdict {
        self.produce(0, "at", 3).await;
        let victim = self.victim().without_commits().start();
        self.sandbox.settled().await;
        victim.kill().await;
        for number in 0..3 {
            self.sandbox.origin().serve(&format!("/at0_{number}.png"), picture([200, 200, 200]));
        }
        let _heir = self.heir().start();
        self.sandbox.committed().await;
        self.sandbox.verdict(3).await
    }

    /// The broker refuses whatever is written to `topic`, and later takes it.
    async fn writes_refused(&self, topic: String) -> Verdict {
        self.produce(0, "good", 2).await;
        self.unreadable(2).await;
        let victim = self.victim().start();
        victim.sends_failed(2).await;
        self.sandbox.take_writes(&topic).await;
        self.produce(0, "after", 2).await;
        self.sandbox.committed().await;
        self.sandbox.verdict(0).await
    }

    /// The broker stands still while outcomes are sent. What timed out may arrive, and so may whatever was sent instead: as many
    /// as there is time for.
    async fn sends_time_out(&self) -> Verdict {
        let gates = [0, 1].map(|number| self.sandbox.origin().hold(&format!("/at0_{number}.png")).1);
        self.produce(0, "at", 2).await;
        let victim = self.victim().start();
        for gate in &gates {
            gate.reached().await;
        }
        let broker = &self.sandbox.stack().broker.container;
        broker.pause().await;
        drop(gates);
        victim.sends_failed(1).await;
        broker.resume().await;
        self.sandbox.committed().await;
        self.sandbox.verdict(16).await
    }

    async fn unreadable(&self, count: usize) {
        for number in 0..count {
            self.sandbox.produce_unreadable(Some(format!("{{ {number}").as_bytes()), "not_json", None).await;
        }
    }

    /// The store answers 503 for a while.
    async fn store_refuses(&self) -> Verdict {
        let proxy = self.proxy().await;
        proxy.break_by(StoreFault::Status(503));
        self.produce(0, "at", 3).await;
        let victim = self.victim().by_store(proxy.endpoint()).start();
        victim.store_failed(3).await;
        proxy.heal();
        self.sandbox.committed().await;
        self.sandbox.verdict(0).await
    }

    /// Nothing happens. The bound is one that fewer records than it would never reach.
    async fn undisturbed(&self) -> Verdict {
        self.produce(0, "at", 4).await;
        self.unreadable(1).await;
        let victim = self.victim().start();
        self.sandbox.committed().await;
        victim.idle().await;
        self.sandbox.verdict(8).await
    }

    /// The topic is made again under it, and the new log is shorter.
    async fn topic_made_again(&self) -> Verdict {
        self.produce(0, "old", 6).await;
        let victim = self.victim().start();
        self.sandbox.settled().await;
        self.sandbox.committed().await;
        self.sandbox.recreate_topic().await;
        self.produce(0, "new", 3).await;
        victim.quiet_after(9).await;
        victim.idle().await;
        self.sandbox.verdict(3).await
    }

    /// Another member joins, gets one of two partitions, and works on it; then the first commits for its other one.
    async fn partition_moves(&self) -> Verdict {
        self.produce(0, "before", 3).await;
        self.produce(1, "before", 3).await;
        let victim = self.victim().start();
        self.sandbox.settled().await;
        self.sandbox.committed().await;
        let heir = self.heir().start();
        let moved = eventually("a partition has moved", PATIENCE, async || {
            let owners = self.sandbox.ledger().owners();
            let moved = owners.iter().find(|(_, owner)| **owner == heir.run_id()).map(|(partition, _)| *partition);
            moved.ok_or_else(|| format!("{owners:?}"))
        })
        .await;
        self.produce(moved, "moved", 3).await;
        self.sandbox.committed().await;
        self.produce(1 - moved, "stayed", 1).await;
        self.sandbox.settled().await;
        victim.quiet_after(7).await;
        heir.quiet_after(3).await;
        self.sandbox.verdict(0).await
    }

    /// Stands still until another member has everything, and comes back.
    async fn thrown_out(&self) -> Verdict {
        self.produce(0, "before", 3).await;
        self.produce(1, "before", 3).await;
        let victim = self.victim().impatient().start();
        self.sandbox.settled().await;
        self.sandbox.committed().await;
        victim.stall();
        let heir = self.heir().start();
        self.produce(0, "meanwhile", 3).await;
        self.produce(1, "meanwhile", 3).await;
        self.sandbox.settled().await;
        self.sandbox.committed().await;
        heir.quiet_after(6).await;
        let resumed = self.sandbox.ledger().commits().len();
        victim.resume();
        eventually("it is back", PATIENCE, async || {
            let commits = self.sandbox.ledger().commits();
            let back = commits.iter().skip(resumed).any(|commit| commit.run_id() == Some(victim.run_id()));
            if back { Ok(()) } else { Err(format!("{} commits", commits.len())) }
        })
        .await;
        victim.quiet_after(6).await;
        self.sandbox.verdict(6).await
    }

    /// The same with one partition and a fetch under way, which ends later than its producer could have held the outcome.
    async fn thrown_out_mid_fetch(&self) -> Verdict {
        let id = self.produce_one(0, "/held.png").await;
        let gate = self.sandbox.origin().hold("/held.png").1;
        let victim = self.victim().impatient().start();
        gate.reached().await;
        victim.stall();
        // The gate keeps whom it has, and nobody else.
        self.sandbox.origin().heal("/held.png");
        let heir = self.heir().start();
        self.sandbox.settled().await;
        heir.quiet_after(1).await;
        victim.resume();
        victim.has_lost().await;
        let claimed = self.sandbox.ledger().commits().iter().map(|commit| commit.at_ms).max().expect("its claim");
        eventually("nobody's producer can hold it any more", PATIENCE, async || match unix_ms() - claimed {
            16_000.. => Ok(()),
            ms => Err(format!("{ms} ms")),
        })
        .await;
        drop(gate);
        victim.idle().await;
        assert!(!self.sandbox.ledger().outcome_records(Subject::Task(id)).is_empty());
        self.sandbox.verdict(1).await
    }
}

/// 200 x 150 pixels of one colour.
fn picture(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(200, 150, image::Rgb(colour));
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("it can be encoded");
    bytes.into_inner()
}
