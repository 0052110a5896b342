//! Pairs: for each planned request, what legacy and the candidate made of it; then the same for each entity's final state.
//!
//! Answers may be in an archive rather than in memory, so pairs are fetched one at a time, in whatever order they are needed.
//!
//! **Invariant**: pairs come in the plan's order, as many as it has requests and entities; a pair is of one request, never of two that look alike.

use std::borrow::Cow;

use crate::{
    plan::{Plan, Planned},
    rules::Subject,
    run::{Brief, Observations, Outcome, Outcomes},
};

/// The endpoint's name of a pair of state reads.
pub const STATE: &str = "state";

/// What both sides made of one request.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The request's place in the capture; for state reads, the entity's place in the plan.
    pub seq: u64,
    /// What rules are looked up by.
    pub subject: Subject<'a>,
    /// The endpoint's name in reports.
    pub endpoint: &'a str,
    /// The client's session.
    pub session: Option<&'a str>,
    /// What was asked, for people: `GET /path`, or the entity's id.
    pub asked: (&'a str, &'a str),
    /// What legacy made of it.
    pub legacy: &'a Outcome,
    /// What the candidate made of it.
    pub candidate: &'a Outcome,
}

/// Which pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Of the request at this place in the plan.
    Request(usize),
    /// Of the final state of the entity at this place in the plan.
    State(usize),
}

/// Both outcomes of a pair, fetched.
#[derive(Clone, Debug)]
pub struct Fetched<'a> {
    /// What legacy made of it.
    pub legacy: Cow<'a, Outcome>,
    /// What the candidate made of it.
    pub candidate: Cow<'a, Outcome>,
}

/// All pairs of two sides.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    plan: &'a Plan,
    legacy: &'a Observations,
    candidate: &'a Observations,
}

impl<'a> Pairs<'a> {
    /// The pairs of what both sides made of `plan`.
    ///
    /// # Panics
    /// When the observations are not of this plan: a bug of the caller.
    pub fn new(plan: &'a Plan, legacy: &'a Observations, candidate: &'a Observations) -> Self {
        assert_eq!(
            plan.requests.len(),
            legacy.outcomes.len(),
            "legacy ran another plan"
        );
        assert_eq!(
            plan.requests.len(),
            candidate.outcomes.len(),
            "the candidate ran another plan"
        );
        assert_eq!(
            legacy.state.len(),
            candidate.state.len(),
            "the sides read other entities"
        );
        assert!(
            legacy.state.len() <= plan.entities.len(),
            "the sides read entities that are not in the plan"
        );
        Self {
            plan,
            legacy,
            candidate,
        }
    }

    /// The requests' pairs, in the plan's order.
    pub fn requests(&self) -> impl Iterator<Item = Which> + use<> {
        (0..self.plan.requests.len()).map(Which::Request)
    }

    /// The final states' pairs, in the plan's order.
    pub fn states(&self) -> impl Iterator<Item = Which> + use<> {
        (0..self.legacy.state.len()).map(Which::State)
    }

    /// Reads what both sides made of it.
    pub fn fetch(&self, which: Which) -> Fetched<'a> {
        let (legacy, candidate, at) = self.outcomes(which);
        Fetched {
            legacy: legacy.read(at),
            candidate: candidate.read(at),
        }
    }

    /// The pair, once its outcomes are `fetched`.
    pub fn pair<'f>(&self, which: Which, fetched: &'f Fetched<'_>) -> Pair<'f>
    where
        'a: 'f,
    {
        match which {
            Which::Request(at) => {
                of_request(&self.plan.requests[at], &fetched.legacy, &fetched.candidate)
            }
            Which::State(at) => Pair {
                seq: at as u64,
                subject: Subject::State,
                endpoint: STATE,
                session: None,
                asked: (STATE, &self.plan.entities[at]),
                legacy: &fetched.legacy,
                candidate: &fetched.candidate,
            },
        }
    }

    /// What is known of both outcomes without reading them.
    pub fn briefs(&self, which: Which) -> (Brief, Brief) {
        let (legacy, candidate, at) = self.outcomes(which);
        (legacy.brief(at), candidate.brief(at))
    }

    /// A digest of legacy's status and body.
    pub(crate) fn digest(&self, which: Which) -> u64 {
        let (legacy, _, at) = self.outcomes(which);
        legacy.digest(at)
    }

    /// The request's place in the capture; for a final state, the entity's place in the plan.
    pub fn seq(&self, which: Which) -> u64 {
        match which {
            Which::Request(at) => self.plan.requests[at].seq,
            Which::State(at) => at as u64,
        }
    }

    /// The endpoint's name in reports.
    pub fn endpoint(&self, which: Which) -> &'a str {
        match which {
            Which::Request(at) => &self.plan.requests[at].endpoint,
            Which::State(_) => STATE,
        }
    }

    /// What rules are looked up by.
    pub fn subject(&self, which: Which) -> Subject<'a> {
        match which {
            Which::Request(at) => subject(&self.plan.requests[at]),
            Which::State(_) => Subject::State,
        }
    }

    fn outcomes(&self, which: Which) -> (&'a Outcomes, &'a Outcomes, usize) {
        match which {
            Which::Request(at) => (&self.legacy.outcomes, &self.candidate.outcomes, at),
            Which::State(at) => (&self.legacy.state, &self.candidate.state, at),
        }
    }
}

/// What both sides made of a request of the plan.
pub(crate) fn of_request<'f>(
    planned: &'f Planned,
    legacy: &'f Outcome,
    candidate: &'f Outcome,
) -> Pair<'f> {
    Pair {
        seq: planned.seq,
        subject: subject(planned),
        endpoint: &planned.endpoint,
        session: planned.session.as_deref(),
        asked: (&planned.method, &planned.target),
        legacy,
        candidate,
    }
}

fn subject(planned: &Planned) -> Subject<'_> {
    Subject::Request {
        method: &planned.method,
        path: planned.path(),
    }
}
