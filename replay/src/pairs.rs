//! Pairs: for each planned request, what legacy and the candidate made of it; then the same for each entity's final state.
//!
//! **Invariant**: pairs come in the plan's order, as many as it has requests and entities; a pair is of one request, never of two that look alike.

use crate::{
    plan::{Plan, Planned},
    rules::Subject,
    run::{Observations, Outcome, StateRead},
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

/// The pairs of the capture's requests.
///
/// # Panics
/// When the observations are not of this plan: a bug of the caller.
pub fn requests<'a>(
    plan: &'a Plan,
    legacy: &'a Observations,
    candidate: &'a Observations,
) -> impl Iterator<Item = Pair<'a>> {
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
    let outcomes = legacy.outcomes.iter().zip(&candidate.outcomes);
    plan.requests
        .iter()
        .zip(outcomes)
        .map(|(planned, (legacy, candidate))| Pair {
            seq: planned.seq,
            subject: subject(planned),
            endpoint: &planned.endpoint,
            session: planned.session.as_deref(),
            asked: (&planned.request.method, &planned.request.target),
            legacy,
            candidate,
        })
}

/// The pairs of final states.
///
/// # Panics
/// When the two sides read other entities: a bug of the caller.
pub fn states<'a>(
    legacy: &'a Observations,
    candidate: &'a Observations,
) -> impl Iterator<Item = Pair<'a>> {
    assert_eq!(
        legacy.state.len(),
        candidate.state.len(),
        "the sides read other entities"
    );
    let reads = legacy.state.iter().zip(&candidate.state);
    (0..).zip(reads).map(
        |(seq, (legacy, candidate)): (u64, (&StateRead, &StateRead))| {
            assert_eq!(legacy.id, candidate.id, "the sides read other entities");
            Pair {
                seq,
                subject: Subject::State,
                endpoint: STATE,
                session: None,
                asked: (STATE, &legacy.id),
                legacy: &legacy.outcome,
                candidate: &candidate.outcome,
            }
        },
    )
}

fn subject(planned: &Planned) -> Subject<'_> {
    Subject::Request {
        method: &planned.request.method,
        path: planned.request.path(),
    }
}
