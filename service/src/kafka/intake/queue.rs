//! What one partition has received and not started, in order, except for records whose server is busy: these stand
//! aside, so that a slow server holds up nobody else's pictures.

use std::collections::VecDeque;

use super::delivery::Delivery;
use crate::flow::hosts::HostKey;
use crate::progress::Care;

/// Records that may stand aside; with more the partition waits as a whole.
const ASIDE_MAX: usize = 1024;
/// Of these, how many are looked at for one that may go on.
const ASIDE_LOOK: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    records: VecDeque<Delivery>,
    aside: VecDeque<Delivery>,
    bytes: usize,
}

impl Queue {
    pub(super) fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.size();
        self.records.push_back(delivery);
    }

    /// The next record that may start, by what `may` says of its offset and `full` of its server.
    pub(super) fn take(
        &mut self,
        may: impl Fn(i64) -> Option<Care>,
        full: impl Fn(&HostKey) -> bool,
    ) -> Option<(Delivery, Care)> {
        let aside = self.aside.iter().take(ASIDE_LOOK).position(|delivery| !delivery.host().is_some_and(&full));
        if let Some(at) = aside
            && let Some(care) = self.aside.get(at).and_then(|delivery| may(delivery.ticket.offset))
        {
            return self.aside.remove(at).map(|delivery| (self.left(delivery), care));
        }
        loop {
            let front = self.records.front()?;
            let care = may(front.ticket.offset)?;
            let busy = care == Care::None && front.host().is_some_and(&full);
            if busy && self.aside.len() >= ASIDE_MAX {
                return None;
            }
            let delivery = self.records.pop_front()?;
            if !busy {
                return Some((self.left(delivery), care));
            }
            self.aside.push_back(delivery);
        }
    }

    fn left(&mut self, delivery: Delivery) -> Delivery {
        self.bytes = self.bytes.saturating_sub(delivery.size());
        delivery
    }

    pub(super) fn len(&self) -> usize {
        self.records.len() + self.aside.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
