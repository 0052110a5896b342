//! Linearizability: whether some order of the calls, each at one instant between its start and its end, explains what their callers saw.
//!
//! The search of Wing and Gong, with Lowe's memory of configurations: a configuration is the set of calls that have taken effect and the
//! state of a sequential model, and none is visited twice. A call whose outcome is unknown may take effect at any time after its start, or
//! never. Between two calls the model may change by itself ([`Model::drift`]).
//!
//! **Invariant**: `Holds` and `Broken` are exact; the search either ends or says that it gave up. It knows nothing of what is modeled.

use std::collections::BTreeSet;

/// What a call does to a state, one call at a time.
pub trait Model {
    /// A state.
    type State: Clone + Ord;
    /// A call, with what its caller saw of it.
    type Call;

    /// The state before all calls.
    fn initial(&self) -> Self::State;

    /// The states that `call` may lead to from `state` with what its caller saw; none when it could not have seen that.
    fn after(&self, state: &Self::State, call: &Self::Call) -> Vec<Self::State>;

    /// The states that `state` may turn into by itself, one step each.
    fn drift(&self, state: &Self::State) -> Vec<Self::State>;
}

/// A call in a history. Times are any numbers that grow, such as places in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval<C> {
    /// When it started.
    pub from: u64,
    /// When its caller heard of its end; `None` when the outcome is unknown.
    pub to: Option<u64>,
    /// What it was.
    pub call: C,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgment {
    /// There is an order that explains the history.
    Holds,
    /// There is none.
    Broken {
        /// The calls, by number, of a longest order that explains a part.
        explained: Vec<usize>,
        /// The calls, by number, that could have come next and could not have seen what they saw.
        refuted: Vec<usize>,
    },
    /// The search was ended before it found out.
    GaveUp {
        /// Configurations visited.
        visited: usize,
    },
}

/// Most calls of one history: a set of them is one word.
pub const MOST_CALLS: usize = 64;

/// Judges `history` by `model`, visiting at most `most` configurations. More than [`MOST_CALLS`] calls are given up at once.
pub fn judge<M: Model>(model: &M, history: &[Interval<M::Call>], most: usize) -> Judgment {
    if history.len() > MOST_CALLS {
        return Judgment::GaveUp { visited: 0 };
    }
    let known = history
        .iter()
        .enumerate()
        .filter(|(_, call)| call.to.is_some())
        .fold(0_u64, |set, (number, _)| set | 1 << number);
    let mut search = Search {
        model,
        history,
        seen: BTreeSet::new(),
        longest: (Vec::new(), Vec::new()),
        known,
    };
    // Depth first, on a stack of its own: the set of calls that took effect, their order, the state.
    let mut open = vec![(0_u64, Vec::new(), model.initial())];
    while let Some((done, order, state)) = open.pop() {
        if done & known == known {
            return Judgment::Holds;
        }
        if !search.seen.insert((done, state.clone())) {
            continue;
        }
        if search.seen.len() > most {
            return Judgment::GaveUp {
                visited: search.seen.len(),
            };
        }
        search.expand(done, &order, &state, &mut open);
    }
    let (explained, refuted) = search.longest;
    Judgment::Broken { explained, refuted }
}

/// What is still to be visited: calls done, their order, state.
type Open<S> = Vec<(u64, Vec<usize>, S)>;

struct Search<'a, M: Model> {
    model: &'a M,
    history: &'a [Interval<M::Call>],
    seen: BTreeSet<(u64, M::State)>,
    /// A longest order, and what was next to it.
    longest: (Vec<usize>, Vec<usize>),
    /// The calls whose outcome is known: all of them have to be explained.
    known: u64,
}

impl<M: Model> Search<'_, M> {
    fn expand(&mut self, done: u64, order: &[usize], state: &M::State, open: &mut Open<M::State>) {
        let left = |number: usize| done & (1 << number) == 0;
        // Nothing that started after the end of a call that is still to come can come before it.
        let earliest_end = (0..self.history.len())
            .filter(|number| left(*number) && self.known & (1 << number) != 0)
            .filter_map(|number| self.history[number].to)
            .min()
            .unwrap_or(u64::MAX);
        let next: Vec<usize> = (0..self.history.len())
            .filter(|number| left(*number) && self.history[*number].from <= earliest_end)
            .collect();
        if order.len() >= self.longest.0.len() {
            self.longest = (order.to_vec(), next.clone());
        }
        for changed in self.model.drift(state) {
            open.push((done, order.to_vec(), changed));
        }
        for number in next {
            for after in self.model.after(state, &self.history[number].call) {
                let mut order = order.to_vec();
                order.push(number);
                open.push((done | 1 << number, order, after));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A register of small numbers that may fall by one, from above two, by itself.
    struct Register;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Call {
        Write(u8),
        Read(u8),
        /// From, to, and whether it was done; `None`: its caller does not know.
        Swap(u8, u8, Option<bool>),
    }

    impl Model for Register {
        type State = u8;
        type Call = Call;

        fn initial(&self) -> u8 {
            0
        }

        fn after(&self, state: &u8, call: &Call) -> Vec<u8> {
            match *call {
                Call::Write(value) => vec![value],
                Call::Read(value) if value == *state => vec![*state],
                Call::Swap(from, to, Some(true) | None) if from == *state => vec![to],
                Call::Swap(from, _, Some(false) | None) if from != *state => vec![*state],
                Call::Read(_) | Call::Swap(..) => Vec::new(),
            }
        }

        fn drift(&self, state: &u8) -> Vec<u8> {
            if *state > 2 {
                vec![*state - 1]
            } else {
                Vec::new()
            }
        }
    }

    fn history(calls: &[(u64, u64, Call)]) -> Vec<Interval<Call>> {
        calls
            .iter()
            .map(|(from, to, call)| Interval {
                from: *from,
                to: (*to > 0).then_some(*to),
                call: *call,
            })
            .collect()
    }

    fn check(calls: &[(u64, u64, Call)]) -> Judgment {
        judge(&Register, &history(calls), 10_000)
    }

    #[test]
    fn overlap_explains_and_order_refutes() {
        use Call::{Read, Write};
        assert_eq!(check(&[(1, 5, Write(1)), (2, 3, Read(0))]), Judgment::Holds);
        assert_eq!(check(&[(1, 5, Write(1)), (2, 3, Read(1))]), Judgment::Holds);
        let stale = check(&[(1, 2, Write(1)), (3, 4, Read(0))]);
        assert_eq!(
            stale,
            Judgment::Broken {
                explained: vec![0],
                refuted: vec![1]
            }
        );
        // New, then old again: each is possible, both are not.
        let back = check(&[(1, 9, Write(1)), (2, 3, Read(1)), (4, 5, Read(0))]);
        assert!(matches!(back, Judgment::Broken { .. }), "{back:?}");
    }

    #[test]
    fn an_unknown_call_takes_effect_late_or_never_but_not_early() {
        use Call::{Read, Write};
        let lost = (2, 0, Write(1));
        assert_eq!(
            check(&[lost, (3, 4, Read(0)), (5, 6, Read(1))]),
            Judgment::Holds
        );
        assert_eq!(check(&[lost, (3, 4, Read(0))]), Judgment::Holds);
        let early = check(&[(1, 2, Read(1)), (3, 0, Write(1))]);
        assert!(matches!(early, Judgment::Broken { .. }), "{early:?}");
    }

    #[test]
    fn what_changes_by_itself_does_so_in_its_own_direction() {
        use Call::{Read, Write};
        assert_eq!(
            check(&[(1, 2, Write(4)), (3, 4, Read(3)), (5, 6, Read(2))]),
            Judgment::Holds
        );
        let risen = check(&[(1, 2, Write(4)), (3, 4, Read(3)), (5, 6, Read(4))]);
        assert!(matches!(risen, Judgment::Broken { .. }), "{risen:?}");
        let low = check(&[(1, 2, Write(2)), (3, 4, Read(1))]);
        assert!(matches!(low, Judgment::Broken { .. }), "{low:?}");
    }

    #[test]
    fn a_search_that_is_too_long_says_so() {
        let calls: Vec<_> = (0..12).map(|n| (1, 100, Call::Write(n))).collect();
        let calls = [calls, vec![(1, 100, Call::Read(99))]].concat();
        let judged = judge(&Register, &history(&calls), 50);
        assert_eq!(judged, Judgment::GaveUp { visited: 51 });
        let many = history(&[(1, 2, Call::Write(1)); MOST_CALLS + 1]);
        assert_eq!(judge(&Register, &many, 50), Judgment::GaveUp { visited: 0 });
    }

    /// The definition itself: some order of all known and some unknown calls that keeps to time and that the model can follow.
    fn brute(calls: &[Interval<Call>]) -> bool {
        fn extend(calls: &[Interval<Call>], order: &mut Vec<usize>) -> bool {
            let complete = (0..calls.len()).all(|n| calls[n].to.is_none() || order.contains(&n));
            if complete && in_time(calls, order) && followed(calls, order) {
                return true;
            }
            (0..calls.len()).any(|number| {
                if order.contains(&number) {
                    return false;
                }
                order.push(number);
                let found = extend(calls, order);
                order.pop();
                found
            })
        }
        fn in_time(calls: &[Interval<Call>], order: &[usize]) -> bool {
            (0..order.len()).all(|later| {
                (0..later).all(|earlier| {
                    let end = calls[order[later]].to.unwrap_or(u64::MAX);
                    end >= calls[order[earlier]].from
                })
            })
        }
        fn followed(calls: &[Interval<Call>], order: &[usize]) -> bool {
            let mut states = BTreeSet::from([0_u8]);
            for number in order {
                let fallen = states.iter().flat_map(|high| 2.min(*high)..=*high);
                let fallen: BTreeSet<u8> = fallen.collect();
                let after = |state: &u8| Register.after(state, &calls[*number].call);
                states = fallen.iter().flat_map(after).collect();
            }
            !states.is_empty()
        }
        extend(calls, &mut Vec::new())
    }

    #[test]
    fn it_agrees_with_the_definition_on_a_thousand_small_histories() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (mut held, mut broken) = (0, 0);
        for round in 0..1_000 {
            let count = rng.random_range(2..=6);
            let calls: Vec<Interval<Call>> = (0..count)
                .map(|_| {
                    let from = rng.random_range(1..12);
                    let unknown = rng.random_range(0..4) == 0;
                    let (one, other) = (rng.random_range(0..4), rng.random_range(0..4));
                    let call = match rng.random_range(0..5) {
                        0 | 1 => Call::Write(one),
                        2 if unknown => Call::Swap(one, other, None),
                        2 => Call::Swap(one, other, Some(rng.random_range(0..2) == 0)),
                        _ => Call::Read(one),
                    };
                    Interval {
                        from,
                        to: (!unknown).then(|| from + rng.random_range(0..8)),
                        call,
                    }
                })
                .collect();
            let expected = brute(&calls);
            let found = judge(&Register, &calls, 100_000);
            assert_eq!(found == Judgment::Holds, expected, "{round}: {calls:?}");
            assert!(!matches!(found, Judgment::GaveUp { .. }));
            if expected {
                held += 1;
            } else {
                broken += 1;
            }
        }
        assert!(held > 200 && broken > 200, "{held} held, {broken} did not");
    }
}
