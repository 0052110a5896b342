//! Triggers: a fault that starts at an event of the run in place of a time.
//!
//! The recorder sees every event and counts those that faults wait for; when a count is reached, the engine asks its director at once,
//! before it polls any host again. So a fault falls between an event and whatever its host would have done next.
//! **Invariant**: counting changes nothing: a run whose triggers never come is the run without them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::range::Range;

/// `when` of a `[[faults]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The event's name; a system says which it has.
    pub event: String,
    /// At which of them, from 1; a range is drawn.
    #[serde(default = "first")]
    pub nth: Range,
}

/// A fault's trigger, with everything drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The event's name.
    pub event: String,
    /// At which of them, from 1.
    pub nth: u64,
}

/// A target that stands for the host at which the event happened.
pub const ITS_HOST: &str = "@event";

fn first() -> Range {
    Range::fixed(1.0)
}

/// More events than this come in no run whose trace fits into memory.
const MOST_EVENTS: f64 = 1e7;

impl When {
    /// Draws which of the events it is.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    pub fn draw(&self, rng: &mut impl rand::Rng) -> Result<Trigger, String> {
        if self.nth.low < 1.0 || self.nth.high > MOST_EVENTS {
            return Err(format!(
                "when.nth: found {} to {}, expected 1 to {MOST_EVENTS}",
                self.nth.low, self.nth.high
            ));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded just above"
        )]
        let nth = self.nth.draw(rng).round() as u64;
        Ok(Trigger {
            event: self.event.clone(),
            nth,
        })
    }
}

/// A fault whose event has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Its number in the plan.
    pub(crate) fault: usize,
    /// Where the event happened.
    pub(crate) host: Arc<str>,
}

/// Counts events for the faults that wait for them. Clones count together.
pub(crate) struct Watch<E> {
    names: fn(&E) -> Option<&'static str>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Fault, event, how many more of it.
    waiting: Vec<(usize, String, u64)>,
    hits: Vec<Hit>,
}

impl<E> Clone for Watch<E> {
    fn clone(&self) -> Self {
        Self {
            names: self.names,
            state: self.state.clone(),
        }
    }
}

impl<E> std::fmt::Debug for Watch<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<E> Watch<E> {
    /// A watch for `triggers`, by their faults' numbers; `None` when there is none. `names` names a system's events.
    pub(crate) fn over<'a>(
        triggers: impl Iterator<Item = (usize, &'a Trigger)>,
        names: fn(&E) -> Option<&'static str>,
    ) -> Option<Self> {
        let waiting: Vec<_> = triggers
            .map(|(fault, trigger)| (fault, trigger.event.clone(), trigger.nth))
            .collect();
        (!waiting.is_empty()).then(|| Self {
            names,
            state: Arc::new(Mutex::new(State {
                waiting,
                hits: Vec::new(),
            })),
        })
    }

    /// One of the system's events happened.
    pub(crate) fn see(&self, host: &Arc<str>, event: &E) {
        if let Some(name) = (self.names)(event) {
            self.notice(host, name);
        }
    }

    /// Something of this name happened.
    pub(crate) fn notice(&self, host: &Arc<str>, name: &str) {
        let state = &mut *self.state();
        state.waiting.retain_mut(|(fault, event, left)| {
            if event != name {
                return true;
            }
            *left -= 1;
            if *left == 0 {
                state.hits.push(Hit {
                    fault: *fault,
                    host: host.clone(),
                });
            }
            *left > 0
        });
    }

    /// Whether a fault's event has come that was not taken yet.
    pub(crate) fn is_hit(&self) -> bool {
        !self.state().hits.is_empty()
    }

    /// Takes the faults whose event has come, in order.
    pub(crate) fn take(&self) -> Vec<Hit> {
        std::mem::take(&mut self.state().hits)
    }

    /// Nothing is waited for any more.
    pub(crate) fn disarm(&self) {
        self.state().waiting.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_event_of_a_name_is_a_hit_once() {
        let trigger = Trigger {
            event: "even".to_owned(),
            nth: 2,
        };
        let names: fn(&u8) -> Option<&'static str> =
            |event| event.is_multiple_of(2).then_some("even");
        let watch = Watch::over([(7, &trigger)].into_iter(), names).unwrap();
        let host: Arc<str> = Arc::from("a");
        for event in [1, 2, 3] {
            watch.see(&host, &event);
        }
        assert!(!watch.is_hit());
        watch.see(&host, &4);
        let hit = Hit {
            fault: 7,
            host: host.clone(),
        };
        assert_eq!(watch.take(), [hit]);
        watch.see(&host, &6);
        assert!(!watch.is_hit());
        assert!(Watch::over([].into_iter(), names).is_none());
    }

    #[test]
    fn an_event_before_the_first_is_refused() {
        let when = |nth| When {
            event: "x".to_owned(),
            nth,
        };
        let mut rng = crate::chance::Chance::new(1).rng();
        assert!(when(Range::fixed(0.0)).draw(&mut rng).is_err());
        assert_eq!(when(Range::fixed(3.0)).draw(&mut rng).unwrap().nth, 3);
    }
}
