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
    /// By so many microseconds, which stay when the fault ends.
    Stepped(i64),
}

impl Wrong {
    fn micros(self, elapsed: Duration) -> i64 {
        match self {
            Self::Off(micros) | Self::Stepped(micros) => micros,
            Self::Drifts(ppm, since) => whole(elapsed.saturating_sub(since).as_secs_f64() * ppm),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// By fault, in the order of their starts, with the readings that each made wrong.
    wrongs: Vec<(usize, Wrong, u64)>,
    /// Microseconds that steps have left behind.
    stepped: i64,
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
        let mut off = state.stepped;
        for (_, wrong, readings) in &mut state.wrongs {
            let micros = wrong.micros(elapsed);
            *readings += u64::from(micros != 0);
            off = off.saturating_add(micros);
        }
        Timestamp::from_micros(right.as_micros().saturating_add(off))
    }

    /// Fault `number` begins at `elapsed`.
    pub(super) fn start(&self, number: usize, kind: &Kind, elapsed: Duration) {
        let micros = |offset_ms: i64| offset_ms.saturating_mul(1000);
        let wrong = match *kind {
            Kind::Skew { offset_ms } => Wrong::Off(micros(offset_ms)),
            Kind::Drift { ppm } => Wrong::Drifts(ppm, elapsed),
            Kind::Step { offset_ms } => Wrong::Stepped(micros(offset_ms)),
            _ => return,
        };
        self.lock().wrongs.push((number, wrong, 0));
    }

    /// It ends; gives the readings that it made wrong.
    pub(super) fn stop(&self, number: usize) -> u64 {
        let state = &mut *self.lock();
        let Some(place) = state.wrongs.iter().position(|(other, ..)| *other == number) else {
            return 0;
        };
        let (_, wrong, readings) = state.wrongs.remove(place);
        if let Wrong::Stepped(micros) = wrong {
            state.stepped = state.stepped.saturating_add(micros);
        }
        readings
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
        assert_eq!(clock.stop(9), 0, "no such fault");
    }

    #[test]
    fn each_fault_counts_the_readings_that_it_made_wrong() {
        let clock = WallClock::default();
        let at = Duration::from_secs;
        clock.start(0, &Kind::Step { offset_ms: 5 }, at(1));
        clock.start(1, &Kind::Skew { offset_ms: 0 }, at(1));
        clock.start(2, &Kind::Drift { ppm: 100.0 }, at(1));
        clock.read(at(1));
        clock.read(at(2));
        let counts = [0, 1, 2].map(|fault| clock.stop(fault));
        assert_eq!(counts, [2, 0, 1], "an offset of nothing is none");
        clock.start(3, &Kind::Skew { offset_ms: 0 }, at(2));
        clock.read(at(3));
        assert_eq!(clock.stop(3), 0, "an older step's readings are not its own");
    }
}
