//! What each case of the hostile ring must keep: one right outcome in time, nothing held, the connection given up.

use super::*;
use crate::fetch::tests::tls::Root;
use tokio::time::{Instant, timeout};

/// No case may take longer. The limits that a case runs into are shortened, and the others out of reach.
const CASE_MAX: Duration = Duration::from_secs(8);
const SHORTENED: Duration = Duration::from_millis(200);
/// Also of a connection that is kept: a case ends with it given up.
const RING: Timeouts = Timeouts { unused: Duration::from_millis(50), ..PATIENT };

/// The limit that a case is to run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    None,
    Connect,
    FirstByte,
    Idle,
    Pace,
    Total,
}

impl Limit {
    fn timeouts(self) -> Timeouts {
        match self {
            Limit::None => RING,
            Limit::Connect => Timeouts { connect: SHORTENED, ..RING },
            Limit::FirstByte => Timeouts { first_byte: SHORTENED, ..RING },
            Limit::Idle => Timeouts { idle: SHORTENED, ..RING },
            Limit::Pace => Timeouts { pace: SHORTENED, ..RING },
            Limit::Total => Timeouts { total: SHORTENED, ..RING },
        }
    }
}

/// What the origin does.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// To a request.
    Answer(Vec<Step>),
    /// To a connection.
    AtAccept(Vec<Step>),
    /// To a request over HTTP/2, in frames.
    AtStream(Vec<Step>),
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A source of so many bytes.
    Source(usize),
    Error(Code),
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) limit: Limit,
    pub(super) deed: Deed,
    pub(super) end: End,
}

pub(super) fn case(name: &'static str, limit: Limit, deed: Deed, end: End) -> Case {
    Case { name, limit, deed, end }
}

/// One origin and the fetchers that try it, with the budgets they share.
pub(super) struct Ring {
    pub(super) origin: Origin,
    roots: Vec<reqwest::Certificate>,
    pub(super) budget: ByteBudget,
    hosts: Hosts,
}

impl Ring {
    pub(super) async fn plain() -> Ring {
        Ring::around(Origin::start().await, Vec::new())
    }

    /// Behind TLS that the client trusts.
    pub(super) async fn tls(protocols: &[&str]) -> Ring {
        let root = Root::new();
        Ring::around(Origin::start_tls(root.acceptor("127.0.0.1", protocols)).await, vec![root.certificate()])
    }

    pub(super) fn around(origin: Origin, roots: Vec<reqwest::Certificate>) -> Ring {
        Ring { origin, roots, budget: ByteBudget::new(BUDGET), hosts: Hosts::new(2) }
    }

    pub(super) fn fetcher(&self, limit: Limit) -> Fetcher {
        let (roots, timeouts) = (self.roots.clone(), limit.timeouts());
        Fetcher::with(&settings(&self.origin, &[]), self.hosts.clone(), self.budget.clone(), |parts| Parts {
            timeouts,
            roots,
            ..parts
        })
        .expect("a fetcher")
    }

    /// Every case in turn. Says at once what all of them came to, and which went wrong.
    pub(super) async fn run(&self, cases: Vec<Case>) {
        let mut wrong = Vec::new();
        let mut fetchers: Vec<(Limit, Fetcher)> = Vec::new();
        for case in cases {
            if !fetchers.iter().any(|(limit, _)| *limit == case.limit) {
                fetchers.push((case.limit, self.fetcher(case.limit)));
            }
            let (_, fetcher) = fetchers.iter().find(|(limit, _)| *limit == case.limit).expect("just made");
            let began = Instant::now();
            let problem = self.try_case(fetcher, &case).await.err();
            let (name, end) = (case.name, case.end);
            println!("{name:<60} {end:?} after {:?} {}", began.elapsed(), problem.as_deref().unwrap_or("as it must"));
            wrong.extend(problem.map(|problem| format!("{name}: {problem}")));
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    async fn try_case(&self, fetcher: &Fetcher, case: &Case) -> Result<(), String> {
        let url = match case.deed.clone() {
            Deed::Answer(script) => self.origin.serve("/picture", script),
            Deed::AtAccept(script) => self.origin.serve_at_accept(script),
            Deed::AtStream(script) => self.origin.serve_at_stream(script),
        };
        let url: Url = url.parse().expect("a URL");
        let fetched = timeout(CASE_MAX, fetcher.fetch(&url)).await.map_err(|_| "no end in time".to_owned())?;
        let end = match &fetched {
            Ok(source) => End::Source(source.bytes().len()),
            Err(error) => End::Error(error.code()),
        };
        if end != case.end {
            return Err(format!("{fetched:?} instead of {:?}", case.end));
        }
        drop(fetched);
        let held = (self.budget.held(), self.hosts.len(), fetcher.fetches.held());
        if held != (0, 0, 0) {
            return Err(format!("bytes, hosts and places held: {held:?}"));
        }
        timeout(CASE_MAX, self.origin.released()).await.map_err(|_| "the connection is still open".to_owned())
    }
}
