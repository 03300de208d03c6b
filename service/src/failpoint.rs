//! Places where a test holds this process, so that what the test does to it happens there and nowhere else. The process asks
//! the test's gate, at the address in `FAILPOINT_GATE`, at each place whether it may go on, and waits for the answer.
//!
//! Only with the feature of this name. No released binary has it, and without it nothing is left of these calls.

/// A place, in the order in which a record comes by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Point {
    /// A record was taken, and nothing done about it.
    Received,
    /// The source is here, and memory for decoding it reserved.
    BeforeDecode,
    /// Decoded, and not yet scaled and encoded.
    MidDecode,
    /// The outcome is decided, and not yet handed to the producer.
    BeforeOutcome,
    /// The group takes partitions away, and nothing was said about them yet.
    Revoking,
}

#[cfg(not(feature = "failpoints"))]
mod gate {
    use super::Point;

    pub(crate) async fn reach(_: Point) {}

    pub(crate) fn reach_blocking(_: Point) {}
}

#[cfg(feature = "failpoints")]
mod gate {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::Point;

    /// Waits until the gate lets this place pass.
    pub(crate) async fn reach(point: Point) {
        let _ = tokio::task::spawn_blocking(move || reach_blocking(point)).await;
    }

    /// The same, on a thread that may wait.
    pub(crate) fn reach_blocking(point: Point) {
        let Ok(gate) = std::env::var("FAILPOINT_GATE") else { return };
        let asked = TcpStream::connect(gate).and_then(|mut gate| {
            writeln!(gate, "{}", point.name())?;
            gate.read_to_end(&mut Vec::new())
        });
        if let Err(error) = asked {
            tracing::warn!(?point, %error, "nobody at the gate of failpoints");
        }
    }

    impl Point {
        fn name(self) -> &'static str {
            match self {
                Point::Received => "received",
                Point::BeforeDecode => "before_decode",
                Point::MidDecode => "mid_decode",
                Point::BeforeOutcome => "before_outcome",
                Point::Revoking => "revoking",
            }
        }
    }
}

pub(crate) use gate::{reach, reach_blocking};
