//! A host's wall clock, which faults may set wrong. Its monotonic clock is the world's and never jumps.
//!
//! **Invariant**: without a fault it reads the world's time and costs one look at an empty list. What the process itself reads from the
//! operating system (`interpose`) is no host's and stays right.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rehearsal_core::time::Timestamp;

use crate::{engine::EPOCH, fault::Kind, range::whole};

/// How a wall clock is wrong.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// By so many microseconds.
    Off(i64),
    /// By so many microseconds for each second since then.
    Drifts(f64, Duration),
}

#[derive(Debug, Default)]
struct State {
    /// By fault, in the order of their starts.
    wrongs: Vec<(usize, Wrong)>,
    /// Microseconds that steps have left behind.
    stepped: i64,
    /// How many readings were wrong.
    readings: u64,
}

/// One host's wall clock, over all its boots. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub(super) struct WallClock(Arc<Mutex<State>>);

impl WallClock {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it shows when it is `elapsed` since the run's start.
    pub(super) fn read(&self, elapsed: Duration) -> Timestamp {
        let state = &mut *self.lock();
        let right = EPOCH.plus(elapsed);
        if state.wrongs.is_empty() && state.stepped == 0 {
            return right;
        }
        let off = state.wrongs.iter().map(|(_, wrong)| match *wrong {
            Wrong::Off(micros) => micros,
            Wrong::Drifts(ppm, since) => whole(elapsed.saturating_sub(since).as_secs_f64() * ppm),
        });
        let off = off.fold(state.stepped, i64::saturating_add);
        state.readings += u64::from(off != 0);
        Timestamp::from_micros(right.as_micros().saturating_add(off))
    }

    /// Fault `number` begins at `elapsed`; gives the wrong readings so far.
    pub(super) fn start(&self, number: usize, kind: &Kind, elapsed: Duration) -> u64 {
        let state = &mut *self.lock();
        match *kind {
            Kind::Skew { offset_ms } => {
                let off = Wrong::Off(offset_ms.saturating_mul(1000));
                state.wrongs.push((number, off));
            }
            Kind::Drift { ppm } => state.wrongs.push((number, Wrong::Drifts(ppm, elapsed))),
            Kind::Step { offset_ms } => {
                state.stepped = state.stepped.saturating_add(offset_ms.saturating_mul(1000));
            }
            _ => {}
        }
        state.readings
    }

    /// It ends; gives the wrong readings so far.
    pub(super) fn stop(&self, number: usize) -> u64 {
        let mut state = self.lock();
        state.wrongs.retain(|(other, _)| *other != number);
        state.readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_as_wrong_as_its_faults_together() {
        let clock = WallClock::default();
        let at = Duration::from_secs;
        let off =
            |seconds| clock.read(at(seconds)).as_micros() - EPOCH.plus(at(seconds)).as_micros();
        assert_eq!(off(1), 0);
        clock.start(0, &Kind::Skew { offset_ms: -2_000 }, at(1));
        clock.start(1, &Kind::Drift { ppm: 100.0 }, at(1));
        assert_eq!(off(1), -2_000_000, "a drift begins with nothing");
        assert_eq!(off(11), -2_000_000 + 1_000);
        clock.stop(0);
        assert_eq!(off(21), 2_000);
        clock.start(2, &Kind::Step { offset_ms: 5 }, at(21));
        clock.stop(1);
        clock.stop(2);
        assert_eq!(off(22), 5_000, "a step stays");
        assert_eq!(clock.stop(9), 4, "the right reading does not count");
    }
}
