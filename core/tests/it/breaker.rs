//! The breaker: its rules one by one, and random calls against a model that keeps every result.
//!
//! The one invariant: the model shares no arithmetic with the ring of buckets but the length of a step.
//! It deliberately waits for nothing: time is a number.

use std::time::Duration;

use proptest::prelude::*;
use rehearsal_core::{
    breaker::{
        Admission, Breaker, BreakerPolicy, BreakerState, BreakerStateName, CallClass, Permit,
    },
    time::Timestamp,
};

use crate::sample::NOW;

const QUICK: Duration = Duration::from_millis(40);

fn at(millis: u64) -> Timestamp {
    NOW.plus(Duration::from_millis(millis))
}

fn permit(breaker: &mut Breaker, now: Timestamp) -> Permit {
    match breaker.admit(now).0 {
        Admission::Allowed(permit) => permit,
        Admission::Refused { until } => panic!("refused until {until}"),
    }
}

fn call(breaker: &mut Breaker, class: CallClass, now: Timestamp) {
    let permit = permit(breaker, now);
    breaker.record(permit, class, QUICK, now, 0.0);
}

/// Open since `NOW` until 5 s later.
fn open() -> Breaker {
    let mut breaker = Breaker::new(BreakerPolicy::default());
    for _ in 0..5 {
        call(&mut breaker, CallClass::ConnectFailure, NOW);
    }
    assert_eq!(breaker.state(), BreakerState::Open { until: at(5000) });
    breaker
}

#[test]
fn half_of_twenty_calls_open_it() {
    let mut breaker = Breaker::new(BreakerPolicy::default());
    for n in 0..19 {
        let class = if n % 2 == 0 {
            CallClass::Success
        } else {
            CallClass::ProviderFault
        };
        call(&mut breaker, class, NOW);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    call(&mut breaker, CallClass::ProviderFault, NOW);
    assert_eq!(breaker.state().name(), BreakerStateName::Open);
    assert_eq!((breaker.available(NOW), breaker.generation()), (0, 1));
}

#[test]
fn slow_successes_open_it() {
    let mut breaker = Breaker::new(BreakerPolicy::default());
    for _ in 0..20 {
        let permit = permit(&mut breaker, NOW);
        breaker.record(
            permit,
            CallClass::Success,
            Duration::from_millis(1600),
            NOW,
            0.0,
        );
    }
    assert_eq!(breaker.state().name(), BreakerStateName::Open);
}

#[test]
fn neutral_results_decide_nothing() {
    let mut breaker = Breaker::new(BreakerPolicy::default());
    for _ in 0..100 {
        call(&mut breaker, CallClass::CallerFault, NOW);
        call(&mut breaker, CallClass::Cancelled, NOW);
    }
    for _ in 0..4 {
        call(&mut breaker, CallClass::ConnectFailure, NOW);
    }
    // A 4xx proves that the provider can be reached.
    call(&mut breaker, CallClass::CallerFault, NOW);
    call(&mut breaker, CallClass::ConnectFailure, NOW);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn an_open_breaker_starts_nothing_until_its_time() {
    let mut breaker = open();
    let until = at(5000);
    assert_eq!(
        breaker.admit(at(4999)),
        (Admission::Refused { until }, None)
    );
    assert_eq!(
        (breaker.available(at(4999)), breaker.available(until)),
        (0, 3)
    );
    let (admission, transition) = breaker.admit(until);
    assert!(matches!(
        admission,
        Admission::Allowed(Permit { probe: true, .. })
    ));
    let transition = transition.unwrap();
    assert_eq!(
        (transition.from, transition.to, transition.generation),
        (BreakerStateName::Open, BreakerStateName::HalfOpen, 2)
    );
}

#[test]
fn two_good_probes_close_it_and_one_bad_one_does_not_open_it() {
    let mut breaker = open();
    call(&mut breaker, CallClass::ProviderFault, at(5000));
    call(&mut breaker, CallClass::Success, at(5001));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    call(&mut breaker, CallClass::Success, at(5002));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn two_bad_probes_open_it_for_twice_as_long_up_to_the_cap_until_it_closes() {
    let mut breaker = open();
    let mut now = at(5000);
    for seconds in [10, 20, 40, 60, 60] {
        call(&mut breaker, CallClass::ProviderFault, now);
        call(&mut breaker, CallClass::ProviderFault, now);
        let until = now.plus(Duration::from_secs(seconds));
        assert_eq!(breaker.state(), BreakerState::Open { until });
        now = until;
    }
    call(&mut breaker, CallClass::Success, now);
    call(&mut breaker, CallClass::Success, now);
    for _ in 0..5 {
        call(&mut breaker, CallClass::ConnectFailure, now);
    }
    let until = now.plus(Duration::from_secs(5));
    assert_eq!(breaker.state(), BreakerState::Open { until });
}

#[test]
fn jitter_shortens_by_a_fifth_at_most() {
    for (jitter, millis) in [
        (0.0, 5000),
        (0.5, 4500),
        (1.0, 4000),
        (9.0, 4000),
        (f64::NAN, 5000),
    ] {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for _ in 0..5 {
            let permit = permit(&mut breaker, NOW);
            breaker.record(permit, CallClass::ConnectFailure, QUICK, NOW, jitter);
        }
        let until = at(millis);
        assert_eq!(breaker.state(), BreakerState::Open { until }, "{jitter}");
    }
}

#[test]
fn a_late_result_of_the_closed_era_is_ignored() {
    let mut breaker = Breaker::new(BreakerPolicy::default());
    let late: Vec<Permit> = (0..4).map(|_| permit(&mut breaker, NOW)).collect();
    for _ in 0..5 {
        call(&mut breaker, CallClass::ConnectFailure, NOW);
    }
    let probe = permit(&mut breaker, at(5000));
    for permit in late {
        let found = breaker.record(permit, CallClass::Success, QUICK, at(5001), 0.0);
        assert_eq!(found, None);
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(breaker.available(at(5001)), 2);
    breaker.record(probe, CallClass::Success, QUICK, at(5001), 0.0);
    assert_eq!(
        breaker.available(at(5001)),
        2,
        "three probes, one of them done"
    );
}

#[test]
fn lost_probes_free_their_slots_after_the_lease() {
    let mut breaker = open();
    let lost = permit(&mut breaker, at(5000));
    permit(&mut breaker, at(5000));
    permit(&mut breaker, at(5500));
    let refused = Admission::Refused { until: at(8000) };
    assert_eq!(breaker.admit(at(7999)).0, refused);
    assert_eq!(
        (breaker.available(at(7999)), breaker.available(at(8000))),
        (0, 2)
    );
    let fresh = permit(&mut breaker, at(8000));
    // The lost one comes back late: it neither counts nor frees another's slot.
    assert_eq!(
        breaker.record(lost, CallClass::Success, QUICK, at(8100), 0.0),
        None
    );
    assert_eq!(breaker.available(at(8100)), 1);
    breaker.record(fresh, CallClass::Cancelled, QUICK, at(8100), 0.0);
    assert_eq!(breaker.available(at(8100)), 2);
}

#[test]
fn a_clock_that_jumps_back_does_not_keep_it_open() {
    let mut breaker = open();
    let back = Timestamp::from_secs(1_800_000_000);
    assert_eq!(breaker.available(back), 3);
    permit(&mut breaker, back);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    let further = Timestamp::from_secs(1_700_000_000);
    assert_eq!(breaker.available(further), 3);
}

#[test]
fn useless_policies_are_refused() {
    assert_eq!(BreakerPolicy::default().check(), Ok(()));
    let check = |change: fn(&mut BreakerPolicy), setting: &str| {
        let mut policy = BreakerPolicy::default();
        change(&mut policy);
        assert_eq!(policy.check().unwrap_err().setting, setting);
    };
    check(|it| it.buckets = 0, "buckets");
    check(|it| it.window = Duration::ZERO, "window");
    check(|it| it.min_calls = 0, "min_calls");
    check(|it| it.failure_rate = f64::NAN, "failure_rate");
    check(|it| it.slow_rate = 1.5, "slow_rate");
    check(
        |it| it.consecutive_connect_failures = 0,
        "consecutive_connect_failures",
    );
    check(|it| it.open_for = Duration::ZERO, "open_for");
    check(|it| it.open_cap = Duration::ZERO, "open_cap");
    check(|it| it.probes_good = 4, "probes_good");
    check(|it| it.probe_lease = Duration::ZERO, "probe_lease");
}

/// A breaker by the book: it keeps every result and every running probe, and counts them anew each time.
struct Model {
    policy: BreakerPolicy,
    state: BreakerStateName,
    until: Timestamp,
    era: u64,
    openings: u32,
    results: Vec<(Timestamp, CallClass)>,
    running: Vec<(u64, Timestamp)>,
}

impl Model {
    fn enter(&mut self, state: BreakerStateName, now: Timestamp) {
        self.state = state;
        self.era += 1;
        self.results.clear();
        self.running.clear();
        match state {
            BreakerStateName::Open => {
                let wait = self.policy.open_for * 2_u32.pow(self.openings.min(10));
                self.until = now.plus(wait.min(self.policy.open_cap));
                self.openings += 1;
            }
            BreakerStateName::Closed => self.openings = 0,
            BreakerStateName::HalfOpen => {}
        }
    }

    fn how_many(&self, wanted: &[CallClass]) -> usize {
        let counted = |it: &&(Timestamp, CallClass)| wanted.contains(&it.1);
        self.results.iter().filter(counted).count()
    }

    /// Running or finished probes that take a slot.
    fn slots(&self, now: Timestamp) -> usize {
        self.running.iter().filter(|it| now < it.1).count() + self.results.len()
    }

    fn admits(&mut self, now: Timestamp) -> bool {
        if self.state == BreakerStateName::Open && now >= self.until {
            self.enter(BreakerStateName::HalfOpen, now);
        }
        match self.state {
            BreakerStateName::Closed => true,
            BreakerStateName::Open => false,
            BreakerStateName::HalfOpen => self.slots(now) < self.policy.probes as usize,
        }
    }

    fn started(&mut self, permit: Permit, now: Timestamp) {
        if permit.probe {
            let lease = now.plus(self.policy.probe_lease);
            self.running.push((permit.serial, lease));
        }
    }

    fn ended(&mut self, permit: Permit, class: CallClass, now: Timestamp) {
        let neutral = matches!(class, CallClass::CallerFault | CallClass::Cancelled);
        if permit.generation != self.era {
            return;
        }
        if self.state == BreakerStateName::HalfOpen {
            let live = |it: &(u64, Timestamp)| it.0 == permit.serial && now < it.1;
            let known = self.running.iter().any(live);
            self.running.retain(|it| it.0 != permit.serial);
            if known && !neutral {
                self.results.push((now, class));
            }
            let good = self.how_many(&[CallClass::Success]);
            if good >= 2 {
                self.enter(BreakerStateName::Closed, now);
            } else if self.results.len() - good >= 2 {
                self.enter(BreakerStateName::Open, now);
            }
            return;
        }
        if class == CallClass::Cancelled {
            return;
        }
        self.results.push((now, class));
        let in_a_row = self
            .results
            .iter()
            .rev()
            .take_while(|it| it.1 == CallClass::ConnectFailure)
            .count();
        let step = |time: Timestamp| time.as_micros() / 1_000_000;
        let recent: Vec<CallClass> = self
            .results
            .iter()
            .filter(|it| step(now) - step(it.0) < 10 && it.1 != CallClass::CallerFault)
            .map(|it| it.1)
            .collect();
        let failed = recent
            .iter()
            .filter(|it| **it != CallClass::Success)
            .count();
        // A caller's fault decides nothing by itself.
        let decides = class != CallClass::CallerFault;
        if decides && (in_a_row >= 5 || recent.len() >= 20 && failed * 2 >= recent.len()) {
            self.enter(BreakerStateName::Open, now);
        }
    }
}

fn class() -> impl Strategy<Value = CallClass> {
    prop_oneof![
        4 => Just(CallClass::Success),
        4 => Just(CallClass::ProviderFault),
        2 => Just(CallClass::ConnectFailure),
        1 => Just(CallClass::CallerFault),
        1 => Just(CallClass::Cancelled),
    ]
}

proptest! {
    /// Calls that start at random times and end late, early, or never.
    #[test]
    fn it_agrees_with_the_model(
        steps in proptest::collection::vec((0_u64..1500, any::<bool>(), 0_usize..6, class()), 1..400),
    ) {
        let policy = BreakerPolicy::default();
        let mut breaker = Breaker::new(policy.clone());
        let mut model = Model {
            policy,
            state: BreakerStateName::Closed,
            until: NOW,
            era: 0,
            openings: 0,
            results: Vec::new(),
            running: Vec::new(),
        };
        let mut flying: Vec<Permit> = Vec::new();
        let mut now = NOW;
        for (millis, start, which, class) in steps {
            // Mostly quick, so that windows fill.
            now = now.plus(Duration::from_millis(if millis < 1400 { millis / 10 } else { millis }));
            if start || flying.is_empty() {
                let wanted = model.admits(now);
                match breaker.admit(now).0 {
                    Admission::Allowed(permit) => {
                        prop_assert!(wanted);
                        model.started(permit, now);
                        flying.push(permit);
                    }
                    Admission::Refused { until } => {
                        prop_assert!(!wanted);
                        prop_assert!(until > now);
                    }
                }
            } else {
                let permit = flying.remove(which.min(flying.len() - 1));
                model.ended(permit, class, now);
                breaker.record(permit, class, QUICK, now, 0.0);
            }
            prop_assert_eq!(breaker.state().name(), model.state);
            prop_assert_eq!(breaker.generation(), model.era);
        }
    }
}
