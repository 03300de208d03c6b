//! One record from its bytes to its acknowledged outcome:
//! `payload -> Task -> Source -> Thumbnail -> stored -> Outcome -> AckedOutcome`.
//!
//! Killed here: nothing was acknowledged, so the record comes again and does the same once more. An `Ok` is published
//! only after both objects are stored (I2). The workshop decides, here or in a child; this file alone publishes. Only
//! these two turn an error's class into an action, and only there a task's failure is logged.

mod workshop;

use std::time::Instant;

use tracing::field::display;
use tracing::{Instrument as _, Span, warn};

use crate::error::{Code, Dependency};
use crate::failpoint::{self, Point};
use crate::flow::outage::Breaker;
use crate::kafka::{AckedOutcome, Delivery, Producer};
use crate::observe::metrics::{End, Metrics, Stage};
use crate::observe::names::attribute;
use crate::observe::spans::{self, Place};
use crate::progress::Care;
use crate::task::{Outcome, RecordError, Task};
use crate::trial::{Bench, Record, Verdict};

pub use workshop::Decision;
pub(crate) use workshop::{Workshop, id_of};

/// Where records are worked on, and where their outcomes go.
pub(crate) struct Pipeline {
    pub(crate) workshop: Workshop,
    pub(crate) bench: Bench,
    pub(crate) producer: Producer,
    pub(crate) broker_breaker: Breaker,
    pub(crate) metrics: Metrics,
    pub(crate) topic: String,
    pub(crate) group: String,
}

impl Pipeline {
    /// Works a record until it is finished. `None`: it stopped being ours first, and nothing more is published for it.
    pub(crate) async fn run_task(&self, delivery: &Delivery) -> Option<AckedOutcome> {
        // Even reading the bytes of a suspect is left to a child.
        let read = (delivery.care == Care::None).then(|| Task::read(delivery.payload.as_deref()));
        let id = read.as_ref().and_then(id_of);
        let place = Place {
            topic: &self.topic,
            group: &self.group,
            partition: delivery.ticket.partition,
            offset: delivery.ticket.offset,
        };
        let span = spans::process_span(place, id, &delivery.trace());
        let began = Instant::now();
        self.metrics.task_started();
        let work = async {
            failpoint::reach(Point::Received).await;
            let decision = match read {
                Some(read) => self.workshop.decide(&delivery.identity(&self.topic), read).await,
                None => Box::pin(self.on_trial(delivery)).await,
            };
            match decision {
                Decision::Outcome(outcome, end) => (end, Box::pin(self.publish(delivery, &outcome)).await),
                Decision::DeadLetter(error) => Box::pin(self.bury(delivery, &error)).await,
            }
        };
        let ended = tokio::select! {
            biased;
            () = delivery.ended.cancelled() => None,
            done = work.instrument(span) => Some(done),
        };
        self.metrics.task_ended(ended.as_ref().map_or(End::Cancelled, |(end, _)| *end), began.elapsed());
        ended.map(|(_, acked)| acked)
    }

    /// A suspect is decided in a child, or condemned because two of them died of it.
    async fn on_trial(&self, delivery: &Delivery) -> Decision {
        let record = Record {
            partition: delivery.ticket.partition,
            offset: delivery.ticket.offset,
            identity: delivery.identity(&self.topic),
            trace: spans::carried(&Span::current(), &delivery.trace()),
            payload: delivery.payload.as_deref(),
        };
        let decision = match self.bench.try_record(&record, || delivery.care_now() == Care::Alone).await {
            Verdict::Decided(decision) => decision,
            Verdict::Condemned { cause, correlation_id } => Decision::DeadLetter(RecordError {
                code: Code::Quarantined,
                reason: format!("two processes that worked on it ended by {cause}"),
                correlation_id,
            }),
        };
        let id = match &decision {
            Decision::Outcome(outcome, end) => {
                if let End::Error(code) = end {
                    spans::fail(&Span::current(), code.as_str(), &code.meaning());
                }
                Some(outcome.correlation_id)
            }
            Decision::DeadLetter(error) => error.correlation_id,
        };
        Span::current().record(attribute::MESSAGING_MESSAGE_CONVERSATION_ID, id.map(display));
        decision
    }

    /// Publishes until the broker acknowledges.
    async fn publish(&self, delivery: &Delivery, outcome: &Outcome) -> AckedOutcome {
        let send = || {
            let span = spans::send_span(self.producer.output_topic());
            let send = self.producer.send(delivery, outcome, span.clone());
            self.workshop.staged(Stage::Send, span, self.workshop.waits(Dependency::Kafka, send))
        };
        failpoint::reach(Point::BeforeOutcome).await;
        self.broker_breaker.until_ok(send).await
    }

    /// What is not a task, or is condemned: the dead letter first, then, where an id can be read, its `Error` outcome.
    async fn bury(&self, delivery: &Delivery, error: &RecordError) -> (End, AckedOutcome) {
        let what = match error.code {
            Code::Quarantined => "a record is condemned",
            _ => "a record is not a task",
        };
        warn!(code = %error.code, id = error.correlation_id, reason = error.reason, "{what}");
        spans::fail(&Span::current(), error.code.as_str(), &error.code.meaning());
        let send = || self.workshop.waits(Dependency::Kafka, self.producer.send_dead_letter(delivery, error.code));
        let acked = self.broker_breaker.until_ok(send).await;
        self.metrics.dead_letter(error.code);
        let end = End::Error(error.code);
        match error.correlation_id {
            Some(id) => {
                let outcome = Outcome::error(id, 1, error.code, true);
                (end, self.publish(delivery, &outcome).await)
            }
            None => (end, acked),
        }
    }
}

#[cfg(test)]
mod tests;
