//! A record on its way through the pipeline, and what it holds of the intake meanwhile.

use std::sync::{Arc, LazyLock, OnceLock};

use opentelemetry::Context;
use rdkafka::message::OwnedHeaders;
use tokio_util::sync::CancellationToken;

use super::Intake;
use crate::flow::hosts::HostKey;
use crate::kafka::headers;
use crate::progress::Care;
use crate::task::{self, RecordIdentity, Ticket};

/// Of records that nobody owns yet.
static NEVER: LazyLock<Arc<CancellationToken>> = LazyLock::new(Arc::default);

/// A record that may be worked on.
#[derive(Debug)]
pub struct Delivery {
    /// The bytes, as they came.
    pub payload: Option<Vec<u8>>,
    pub(in crate::kafka) key: Option<Vec<u8>>,
    pub(in crate::kafka) headers: Option<OwnedHeaders>,
    pub(in crate::kafka) timestamp_ms: Option<i64>,
    /// Its place.
    pub ticket: Ticket,
    /// How carefully it has to be worked.
    pub care: Care,
    /// Fires when the record stops being ours: from then on nothing may be published for it.
    pub ended: Arc<CancellationToken>,
    pub(super) host: OnceLock<Option<HostKey>>,
    /// Once it has started.
    pub(super) share: Option<Share>,
}

impl Delivery {
    /// A record that has just arrived.
    pub(in crate::kafka) fn new(
        payload: Option<Vec<u8>>,
        key: Option<Vec<u8>>,
        headers: Option<OwnedHeaders>,
        timestamp_ms: Option<i64>,
        (partition, offset): (i32, i64),
    ) -> Delivery {
        Delivery {
            payload,
            key,
            headers,
            timestamp_ms,
            ticket: Ticket { partition, offset, epoch: 0 },
            care: Care::None,
            ended: NEVER.clone(),
            host: OnceLock::new(),
            share: None,
        }
    }

    /// A record that came from nowhere.
    #[cfg(test)]
    pub(crate) fn stub(payload: &[u8]) -> Delivery {
        Delivery::new(Some(payload.to_vec()), None, None, None, (0, 0))
    }

    /// The trace the record belongs to.
    pub fn trace(&self) -> Context {
        headers::trace_context(self.headers.as_ref())
    }

    /// Which record of which log this is.
    pub fn identity(&self, topic: &str) -> RecordIdentity {
        RecordIdentity::of(topic, self.ticket.partition, self.ticket.offset, self.timestamp_ms)
    }

    /// How carefully it has to be worked by now.
    pub fn care_now(&self) -> Care {
        self.intake().map_or(self.care, |intake| intake.care(self.ticket.partition))
    }

    /// Waits until something may be handed to the producer for this record: until its partition's lease runs (I7).
    ///
    /// # Cancel safety
    /// Safe.
    pub(in crate::kafka) async fn leased(&self) {
        if let Some(intake) = self.intake() {
            intake.leased(self.ticket).await;
        }
    }

    /// The record with its share of what runs, which the intake has counted.
    pub(super) fn started(mut self, intake: &Arc<Intake>) -> Delivery {
        let host = self.busy_host().cloned();
        self.share = Some(Share { intake: Some(intake.clone()), host, care: self.care });
        self
    }

    fn intake(&self) -> Option<&Arc<Intake>> {
        self.share.as_ref()?.intake.as_ref()
    }

    pub(super) fn size(&self) -> usize {
        self.payload.as_ref().map_or(0, Vec::len) + self.key.as_ref().map_or(0, Vec::len)
    }

    /// Whose server it counts against while it runs.
    pub(super) fn busy_host(&self) -> Option<&HostKey> {
        if self.care == Care::None { self.host() } else { None }
    }

    /// Whose server the task asks. Looks into the record, so it is not asked of a suspect.
    pub(super) fn host(&self) -> Option<&HostKey> {
        let host = || HostKey::in_text(&task::url_in(self.payload.as_deref()?)?);
        self.host.get_or_init(host).as_ref()
    }
}

/// A started record's part of what runs; dropping it makes room.
#[derive(Debug)]
pub(super) struct Share {
    /// `None`: the room is made already.
    intake: Option<Arc<Intake>>,
    host: Option<HostKey>,
    care: Care,
}

impl Share {
    /// What it holds, for who makes room himself.
    pub(super) fn into_parts(mut self) -> (Option<HostKey>, Care) {
        self.intake = None;
        (self.host.take(), self.care)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(intake) = &self.intake {
            intake.ended(self.host.as_ref(), self.care);
        }
    }
}
