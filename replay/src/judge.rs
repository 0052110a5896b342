//! From two sides' observations to a report: pairs, diff, clusters, sensitivity, verdict, in that order.
//!
//! **Invariant**: it is a pure function; the same plan, observations, rules and gate give the same report.

mod count;
mod details;

use std::{cmp::Reverse, collections::BTreeMap};

use self::{
    count::Count,
    details::{endpoint_reports, notes, rule_reports},
};
use crate::{
    clusters::Cluster,
    comparing::{Compared, compare_timed},
    diff::{Conflict, shortened},
    hypothesis::{Fingerprint, explain, explain_state},
    noise::Noise,
    overlap::Spans,
    pairs::{STATE, Which},
    plan::{Pace, Plan},
    report::{
        AccountingReport, CaptureReport, EndpointFinding, EndpointReport, FORMAT, GateReport,
        Report, RuleReport, SensitivityReport, SideLatency, StateReport, Targets, Timing,
    },
    rules::Rules,
    run::{Accounting, Brief, Observations, Outcome, SkipReason, Time, is_one_service},
    sensitivity::{Sample, Sensitivity},
    verdict::{Down, Evidence, Gate, Judgment, verdict},
};

/// For so many clusters a cause is looked for: those that a report shows.
const EXPLAINED: usize = 25;

/// So many violated pairings are told, those that most pairs show first.
const CONFLICTS: usize = 50;

/// Judges what a run saw, without knowing when: [`judge_timed`].
///
/// # Panics
/// When the observations are not of this plan: a bug of the caller.
pub fn judge(
    plan: &Plan,
    legacy: &Observations,
    candidate: &Observations,
    secondary: Option<&Observations>,
    rules: &Rules,
    gate: &Gate,
) -> Report {
    judge_timed(plan, [legacy, candidate], secondary, None, rules, gate)
}

/// Judges what a run saw. `secondary` is what a second instance of legacy answered, where one ran: how legacy differs from itself. `spans` are when the
/// requests of legacy and of the candidate were under way, where that is known: reads that overlapped a write may show what was before or after it.
///
/// # Panics
/// When the observations are not of this plan: a bug of the caller.
pub fn judge_timed(
    plan: &Plan,
    [legacy, candidate]: [&Observations; 2],
    secondary: Option<&Observations>,
    spans: Option<[&Spans; 2]>,
    rules: &Rules,
    gate: &Gate,
) -> Report {
    let mut count = Count::new(plan, gate);
    let compared = compare_timed(plan, [legacy, candidate], secondary, spans, rules);
    let pairs = compared.pairs;
    for (at, (one, planned)) in compared.requests.iter().zip(&plan.requests).enumerate() {
        let fetched = pairs.fetch(Which::Request(at));
        let pair = pairs.pair(Which::Request(at), &fetched);
        count.request(at, planned, &pair, one.category, &one.comparison);
    }
    for (at, one) in compared.states.iter().enumerate() {
        let fetched = pairs.fetch(Which::State(at));
        let pair = pairs.pair(Which::State(at), &fetched);
        count.state(at, &pair, one.category, &one.comparison);
    }
    let clusters = explained(
        plan,
        &compared,
        std::mem::take(&mut count.clusters).sorted(),
    );
    let sample = std::mem::replace(&mut count.sample, Sample::new(""));
    let fetch = |which| (pairs.subject(which), pairs.fetch(which));
    let sensitivity = sample.measure(&compared.comparer, fetch);
    let endpoints = endpoint_reports(&count, gate.limit);
    let above = |row: &&EndpointReport| row.finding == EndpointFinding::Above;
    let named = |row: &EndpointReport| (row.endpoint.clone(), row.pairs.mismatches(), row.compared);
    let evidence = Evidence {
        stream: Some(count.stream),
        first: count.first,
        answered: count.accounting.answered,
        accepted: count.accepted,
        throttled: count.throttled,
        recorded: count.recorded,
        hidden: compared.noise.as_ref().map_or(0.0, Noise::hidden),
        over: endpoints.iter().filter(above).map(named).collect(),
        secondary_is_candidate: secondary
            .is_some_and(|one| is_one_service(&one.url, &candidate.url)),
        pairs: count.pairs,
        state: count.states,
        state_skipped: count.states_skipped,
        planned: plan.requests.len() as u64 - count.decided,
        lost: plan.source.lost,
        sessions: (
            count.alone.0 + count.sessions.len() as u64,
            count.alone.1 + count.wrong_sessions.len() as u64,
        ),
        mutations: (sensitivity.mutations, sensitivity.caught),
        down: [Some(legacy), Some(candidate), secondary]
            .into_iter()
            .flatten()
            .filter_map(down)
            .collect(),
        same_target: is_one_service(&legacy.url, &candidate.url),
        stopped: [Some(legacy), Some(candidate), secondary]
            .into_iter()
            .flatten()
            .any(stopped),
        standing_clock: plan.source.standing_clock
            && matches!(plan.pace, Pace::Recorded | Pace::Times(_)),
    };
    let judgment = verdict(&evidence, gate);
    let mut notes = notes(plan, &compared.hits, &judgment, &evidence, rules, gate);
    if count.decided > 0 {
        notes.push(format!(
            "the evidence was enough before the capture was at its end: {} requests were not sent",
            count.decided
        ));
    }
    if compared.overlapping > 0 {
        notes.push(format!(
            "{} of the ignored pairs are reads that were under way together with a write, and the candidate shows what legacy has shown before or after it",
            compared.overlapping
        ));
    }
    let found = Found {
        count,
        endpoints,
        clusters,
        rules: rule_reports(plan, rules, &compared.hits, &sensitivity.hidden),
        overlapping: compared.overlapping,
        noise: compared.noise,
        conflicts: compared.conflicts,
        sensitivity,
        judgment,
        notes,
        stopped: evidence.stopped,
    };
    report(plan, [legacy, candidate], secondary, gate, found)
}

/// The largest clusters with the cause of each, where one is found.
fn explained(plan: &Plan, compared: &Compared<'_, '_>, mut clusters: Vec<Cluster>) -> Vec<Cluster> {
    for cluster in clusters.iter_mut().take(EXPLAINED) {
        let fingerprint = Fingerprint {
            endpoint: &cluster.endpoint,
            kind: cluster.difference,
            path: &cluster.path,
        };
        cluster.hypothesis = if cluster.endpoint == STATE {
            explain_state(compared, fingerprint)
        } else {
            explain(plan, compared, fingerprint)
        };
    }
    clusters
}

fn down(side: &Observations) -> Option<Down> {
    let accounting = side.accounting();
    let from = side.gone_from();
    let nothing = accounting.sent > 0 && accounting.answered == 0;
    if !nothing && from.is_none() {
        return None;
    }
    let failed = |at: &usize| matches!(side.outcomes.brief(*at), Brief::Failed(_));
    let last = (0..side.outcomes.len()).rev().find(failed);
    let message = last.and_then(|at| match &*side.outcomes.read(at) {
        Outcome::Failed { message, .. } => Some(shortened(message)),
        _ => None,
    });
    Some(Down {
        side: side.side,
        url: side.url.clone(),
        from: if nothing { None } else { from },
        message: message.unwrap_or_default(),
    })
}

fn stopped(side: &Observations) -> bool {
    let all = side.outcomes.briefs().chain(side.state.briefs());
    all.into_iter()
        .any(|brief| brief == Brief::Skipped(SkipReason::Stopped))
}

/// All that was found, before it is put together.
struct Found<'a> {
    count: Count<'a>,
    endpoints: Vec<EndpointReport>,
    clusters: Vec<Cluster>,
    rules: Vec<RuleReport>,
    overlapping: u64,
    noise: Option<Noise>,
    conflicts: Vec<Conflict>,
    sensitivity: Sensitivity,
    judgment: Judgment,
    notes: Vec<String>,
    stopped: bool,
}

fn report(
    plan: &Plan,
    sides: [&Observations; 2],
    secondary: Option<&Observations>,
    gate: &Gate,
    found: Found<'_>,
) -> Report {
    let source = &plan.source;
    let Found {
        count,
        endpoints,
        clusters,
        rules,
        overlapping: overlapping_reads,
        noise,
        mut conflicts,
        sensitivity,
        judgment,
        notes,
        stopped,
    } = found;
    let violated_pairings = conflicts.len() as u64;
    conflicts.sort_by_key(|conflict| Reverse(conflict.pairs));
    conflicts.truncate(CONFLICTS);
    let by_side: BTreeMap<&'static str, Accounting> = sides
        .map(|side| (side.side.name(), side.accounting()))
        .into();
    Report {
        format: FORMAT,
        verdict: judgment.verdict,
        reasons: judgment.reasons,
        notes,
        capture: CaptureReport {
            sha256: source.sha256.clone(),
            format: source.format.clone(),
            exchanges: source.exchanges,
            skipped: source.skipped.clone(),
        },
        targets: Targets {
            legacy: sides[0].url.clone(),
            candidate: sides[1].url.clone(),
            secondary: secondary.map(|side| side.url.clone()),
        },
        pace: plan.pace.to_string(),
        stopped,
        accounting: AccountingReport {
            pairs: count.accounting,
            by_side,
        },
        pairs: count.pairs,
        overlapping_reads,
        coverage: judgment.coverage,
        mismatch_rate: judgment.rate,
        gate: GateReport {
            kind: gate.kind,
            limit: gate.limit,
            verdict: judgment.gate,
            stopping: judgment.stopping,
        },
        endpoints,
        behavior: count.behavior.report(),
        clusters,
        rules,
        violated_pairings,
        conflicts,
        noise,
        sensitivity: SensitivityReport {
            mutations: sensitivity.mutations,
            caught: sensitivity.caught,
            threshold: gate.sensitivity,
            by_mutation: sensitivity.by_mutation,
            blind: sensitivity.blind,
        },
        latency_ms: sides
            .into_iter()
            .filter(|side| side.time == Time::Virtual)
            .map(|side| (side.side.name(), SideLatency::of(side)))
            .collect(),
        state: StateReport {
            entities: plan.entities.len() as u64,
            pairs: count.states,
            skipped: count.states_skipped,
        },
        reproducers: Vec::new(),
        timing: Timing::of(sides),
    }
}
