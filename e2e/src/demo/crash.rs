//! `--crash`: SIGKILL while requests are held at the origin, so that it lands in the middle of fetches by construction.

use std::time::Instant;

use anyhow::Context as _;
use url::Url;

use super::progress::Progress;
use super::work::Work;
use super::{STALL_MAX, end, finish};
use crate::embedded::Stack;
use crate::expect::eventually;
use crate::ledger::Verdict;
use crate::origin::Gate;

/// Fetches that are held: fewer than half of what the downloader takes at once. One server, and here is only one, may
/// hold no more than half of that, and the rest goes on.
const HELD: usize = 6;

/// Works, kills, works on with an heir: when the last record was finished, and how many may be rerun.
pub(super) async fn run(work: &Work, stack: &Stack) -> anyhow::Result<(Instant, usize)> {
    let mut progress = Progress::of(stack);
    let gates = hold(work, stack)?;
    let mut victim = work.start_downloader(stack)?;

    let half = work.items.len() / 2;
    let mid_flight = eventually("half of the work is done, and requests are held", STALL_MAX, async || {
        progress.show();
        let (finished, reached) = (stack.ledger.progress().0, gates.iter().filter(|gate| gate.count() > 0).count());
        let enough = finished >= half && reached == gates.len();
        if enough {
            Ok((finished, reached))
        } else {
            Err(format!("{finished} of {half}, {reached} of {} held", gates.len()))
        }
    });
    let evidence = mid_flight.evidence("downloader", || async { victim.log_tail() });
    let (finished, held) = evidence.or_error().await.map_err(anyhow::Error::new)?;
    progress.say(&format!("{finished} finished, {held} fetches under way: SIGKILL"));
    victim.kill().await.context("kill the downloader")?;

    drop(gates);
    let mut heir = work.start_downloader(stack)?;
    progress.say("another downloader started; the broker will miss the dead one in 3 s");
    finish(&mut progress, &mut heir, stack).await?;
    let ended = Instant::now();
    end(heir).await?;
    progress.end();
    Ok((ended, Verdict::rerun_bound(work.parallel_operations, 1)))
}

/// Holds some fetches from a quarter of the list on.
fn hold(work: &Work, stack: &Stack) -> anyhow::Result<Vec<Gate>> {
    let from = work.items.len() / 4;
    work.items
        .iter()
        .skip(from)
        .take(HELD)
        .map(|item| {
            let url = Url::parse(&item.url).context("read the URL of a fixture")?;
            Ok(stack.origin.hold(url.path()).1)
        })
        .collect()
}
