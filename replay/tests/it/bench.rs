//! A comparison that passes until something is done to it.
//!
//! **Invariant**: every part of it can be changed alone.

use bytes::Bytes;
use rehearsal_replay::{
    capture::Capture,
    judge::judge,
    plan::{Pace, Plan, plan},
    report::Report,
    rules::{Rules, Side},
    run::{Answer, FailureReason, Observations, Outcome},
    verdict::Gate,
};

use crate::{
    reports::{answer, observations},
    server::{captured, reads, rules},
};

pub(crate) type Reply = Box<dyn Fn(usize) -> Outcome>;

/// A comparison that passes until something is done to it.
pub(crate) struct Bench {
    pub(crate) rules: Rules,
    pub(crate) capture: Capture,
    pub(crate) pace: Pace,
    pub(crate) legacy: Reply,
    pub(crate) candidate: Reply,
    pub(crate) secondary: Option<Reply>,
    /// What the candidate says of an entity's final state.
    pub(crate) state: Box<dyn Fn(&str) -> Outcome>,
    pub(crate) gate: Gate,
    pub(crate) plan: fn(&mut Plan),
    pub(crate) sides: fn(&mut Observations, &mut Observations, Option<&mut Observations>),
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            rules: Rules::default(),
            capture: reads(1_500),
            pace: Pace::Max,
            legacy: Box::new(thing),
            candidate: Box::new(thing),
            secondary: None,
            state: Box::new(|id| answer(200, format!("{{\"id\":\"{id}\"}}"))),
            gate: Gate::default(),
            plan: |_| (),
            sides: |_, _, _| (),
        }
    }

    pub(crate) fn judged(self) -> Report {
        let mut plan = plan(self.capture, &self.rules, self.pace);
        (self.plan)(&mut plan);
        let state = |id: &str| answer(200, format!("{{\"id\":\"{id}\"}}"));
        let mut legacy = observations(Side::Legacy, &plan, self.legacy, state);
        let mut candidate = observations(Side::Candidate, &plan, self.candidate, self.state);
        let secondary = self.secondary;
        let mut secondary = secondary.map(|reply| {
            let mut seen = observations(Side::Legacy, &plan, reply, state);
            "http://secondary:80".clone_into(&mut seen.url);
            seen
        });
        (self.sides)(&mut legacy, &mut candidate, secondary.as_mut());
        let (rules, gate) = (&self.rules, &self.gate);
        judge(&plan, &legacy, &candidate, secondary.as_ref(), rules, gate)
    }
}

/// An ordinary answer.
pub(crate) fn thing(at: usize) -> Outcome {
    answer(
        200,
        format!("{{\"id\":\"{at}\",\"name\":\"thing {at}\",\"tags\":[1,2]}}"),
    )
}

pub(crate) fn refused(status: u16) -> Reply {
    Box::new(move |_| answer(status, "{\"error\":\"no\"}".to_owned()))
}

pub(crate) fn failed(reason: FailureReason) -> Outcome {
    Outcome::Failed {
        reason,
        message: format!("candidate:80: {}", reason.name()),
    }
}

pub(crate) fn ignoring(place: &str) -> Rules {
    rules(&format!(
        "[[rule]]\nid = \"blindfold\"\nkind = \"ignore\"\nreason = \"test\"\nendpoint = \"*\"\nwhere = \"{place}\"\n"
    ))
}

pub(crate) fn with_state() -> (Rules, Capture) {
    let rules = rules(
        "[state]\ncreate = \"POST /things\"\nid = \"/id\"\nlegacy = \"/things/{id}\"\ncandidate = \"/things/{id}\"\n",
    );
    let post = |at| {
        (
            "POST",
            "/things".to_owned(),
            format!("{{\"id\":\"t-{at}\"}}"),
        )
    };
    (rules, captured((0..1_500).map(post)))
}

/// A body that claims a coding which it does not have.
pub(crate) fn undecodable(at: usize) -> Outcome {
    Outcome::Answered(Answer {
        status: 200,
        headers: vec![("content-encoding".to_owned(), "gzip".to_owned())],
        body: Bytes::from(format!("not gzip {at}")),
    })
}
