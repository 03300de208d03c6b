//! Letters -> what to put back. A record may have several letters: it was buried again after a crash, or it went back and
//! died again. Its last death decides whether it matches; any letter that still has the payload can bring it back.

use std::collections::BTreeMap;

use super::{Left, Report, Request};
use crate::kafka::{Inscription, Place, Source, Unreadable};

/// What the letters say, one entry a record: some 150 bytes of memory each.
pub(super) struct Survey<'a> {
    topic: &'a str,
    request: &'a Request,
    pub(super) read: u64,
    ours: u64,
    records: BTreeMap<Source, Dead>,
    left: Left,
}

#[derive(Debug)]
struct Dead {
    last: Death,
    /// A letter with the payload, if one has it.
    whole: Option<Place>,
}

#[derive(Debug)]
struct Death {
    deaths: u32,
    written_ms: Option<i64>,
    place: Place,
    code: String,
    left_out_bytes: Option<u64>,
}

/// A record to put back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) source: Source,
    pub(super) deaths: u32,
    pub(super) code: String,
}

impl<'a> Survey<'a> {
    pub(super) fn new(topic: &'a str, request: &'a Request) -> Survey<'a> {
        Survey { topic, request, read: 0, ours: 0, records: BTreeMap::new(), left: Left::default() }
    }

    /// Takes one letter in.
    pub(super) fn add(&mut self, place: Place, written_ms: Option<i64>, said: Result<Inscription, Unreadable>) {
        self.read += 1;
        let said = match said {
            Ok(said) => said,
            Err(error) => {
                if self.recent(written_ms) {
                    self.left.add(place, "no dead letter", error);
                }
                return;
            }
        };
        if said.topic != self.topic {
            if self.recent(written_ms) && self.named(&said.code) {
                self.left.add_elsewhere(place, &said.code, &said.topic);
            }
            return;
        }
        self.ours += 1;
        let whole = said.left_out_bytes.is_none().then_some(place);
        let death =
            Death { deaths: said.deaths, written_ms, place, code: said.code, left_out_bytes: said.left_out_bytes };
        let Some(known) = self.records.get_mut(&said.source) else {
            self.records.insert(said.source, Dead { last: death, whole });
            return;
        };
        known.whole = known.whole.or(whole);
        if (death.deaths, death.written_ms) > (known.last.deaths, known.last.written_ms) {
            known.last = death;
        }
    }

    /// Letters of records that have a later one.
    pub(super) fn duplicates(&self) -> u64 {
        self.ours - u64::try_from(self.records.len()).unwrap_or(self.ours)
    }

    /// What matches, by the place of the letter to read it from. What matches and cannot go back is entered as left.
    pub(super) fn plan(self, report: &mut Report) -> BTreeMap<Place, Planned> {
        let Survey { request, records, left, .. } = self;
        report.left = left;
        let mut plan = BTreeMap::new();
        for (source, Dead { last, whole }) in records {
            if !(recent(request, last.written_ms) && named(request, &last.code)) {
                continue;
            }
            report.matching += 1;
            match whole {
                Some(place) => {
                    plan.insert(place, Planned { source, deaths: last.deaths, code: last.code });
                }
                None => {
                    let bytes = last.left_out_bytes.unwrap_or_default();
                    let reason = format_args!("its payload of {bytes} bytes was too large to come along");
                    report.left.add(last.place, &last.code, reason);
                }
            }
        }
        plan
    }

    fn recent(&self, written_ms: Option<i64>) -> bool {
        recent(self.request, written_ms)
    }

    fn named(&self, code: &str) -> bool {
        named(self.request, code)
    }
}

/// A letter without a time can't be told from a recent one.
fn recent(request: &Request, written_ms: Option<i64>) -> bool {
    request.since_ms.zip(written_ms).is_none_or(|(since, written)| written >= since)
}

fn named(request: &Request, code: &str) -> bool {
    request.codes.is_empty() || request.codes.iter().any(|named| named.as_str() == code)
}
