//! `--stream` against running services: pairs are looked at while they come, and the sending ends when the evidence is enough.
//!
//! **Invariant**: it only ever ends the sending; the verdict is made of all that was answered. It looks at what is in the journal and at nothing
//! else, so it holds no answers.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use rehearsal_replay::{
    deciding::Deciding,
    rules::Side,
    run::{Horizon, Known},
    sequential::Finding,
    verdict::{GateKind, Proof},
};

use super::{
    Replay,
    journal::{Heard, Journal},
};
use crate::problem::Problem;

/// What came is looked at this often.
const EVERY: Duration = Duration::from_millis(20);

/// A replay that may be decided before the capture is at its end.
#[derive(Clone)]
pub(super) struct Watched {
    /// How far the runs go.
    pub(super) horizon: Arc<Horizon>,
    /// Takes what the runs see.
    pub(super) heard: Sender<Heard>,
}

/// Starts to look at a replay whose gate asks for a stream; nothing for another one. `noisy`: a second instance of legacy runs too, and some of
/// what differs may be noise, so only the proof that little differs ends the sending.
///
/// # Errors
/// When the operating system has no room for it.
#[expect(
    clippy::disallowed_methods,
    reason = "running services are on real machines: this process never simulates"
)]
pub(super) fn watched(
    replay: &Arc<Replay>,
    journal: &Journal,
    earlier: &[(u8, Known)],
    noisy: bool,
) -> Result<Option<Watched>, Problem> {
    if (replay.gate.kind, replay.gate.proof) != (GateKind::Proven, Proof::Stream) {
        return Ok(None);
    }
    let (heard, hearing) = channel();
    for (run, one) in earlier.iter().filter(|(_, one)| !one.state) {
        // The other end is held below.
        let _ = heard.send((*run, one.at, Some(one.place)));
    }
    let horizon = Arc::new(Horizon::default());
    let (replay, journal, closing) = (replay.clone(), journal.clone(), horizon.clone());
    thread::Builder::new()
        .name("deciding".to_owned())
        .spawn(move || decide(&replay, &journal, &hearing, &closing, noisy))
        .map_err(|error: io::Error| {
            Problem::infrastructure(format!("cannot start to decide: {error}"))
        })?;
    Ok(Some(Watched { horizon, heard }))
}

fn decide(
    replay: &Replay,
    journal: &Journal,
    hearing: &Receiver<Heard>,
    horizon: &Horizon,
    noisy: bool,
) {
    let (plan, rules, limit) = (&replay.plan, &replay.rules, replay.gate.limit);
    let mut deciding = Deciding::new(plan, rules, limit, journal.archive());
    while let Ok(first) = hearing.recv() {
        for (run, at, place) in std::iter::once(first).chain(hearing.try_iter()) {
            match run {
                0 => deciding.tell(Side::Legacy, at, place),
                1 => deciding.tell(Side::Candidate, at, place),
                _ => {}
            }
        }
        if journal.written().is_err() {
            return;
        }
        if let Some(decision) = deciding.decided() {
            if decision.finding == Finding::Below || !noisy {
                horizon.close();
            }
            return;
        }
        // More come meanwhile, and are looked at together.
        thread::park_timeout(EVERY);
    }
}
