//! From two sides' observations to a report: pairs, diff, clusters, sensitivity, verdict, in that order.
//!
//! **Invariant**: it is a pure function; the same plan, observations, rules and gate give the same report.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    clusters::Clusters,
    diff::{Category, Comparer, Comparison, categorize, shortened},
    pairs::{Pair, requests, states},
    plan::{Pace, Plan},
    report::{
        AccountingReport, CaptureReport, EndpointReport, FORMAT, GateReport, PairedAccounting,
        Report, RuleReport, SensitivityReport, SideLatency, StateReport, Targets, Timing,
    },
    rules::{Effect, Rules},
    run::{Accounting, Latency, Observations, Outcome, SkipReason},
    sensitivity::{Sample, Sensitivity},
    verdict::{Down, Evidence, Gate, Judgment, Tally, Verdict, verdict},
};

/// Endpoints beyond this many share one line: undeclared paths can be as many as requests.
const ENDPOINTS: usize = 100;

/// Judges what a run saw. `secondary` is what a second instance of legacy answered, where one ran: how legacy differs from itself.
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
    if let Some(secondary) = secondary {
        assert_eq!(
            plan.requests.len(),
            secondary.outcomes.len(),
            "the secondary ran another plan"
        );
    }
    let mut count = Count::new(plan, rules);
    let mut comparer = Comparer::new(rules);
    for pair in requests(plan, legacy, candidate) {
        let (category, comparison) = categorize(&mut comparer, &pair);
        count.request(&pair, category, &comparison);
    }
    for pair in states(legacy, candidate) {
        let (category, comparison) = categorize(&mut comparer, &pair);
        count.state(&pair, category, &comparison);
    }
    let sensitivity = std::mem::replace(&mut count.sample, Sample::new("")).measure(&comparer);
    let evidence = Evidence {
        pairs: count.pairs,
        state: count.states,
        state_skipped: count.states_skipped,
        planned: plan.requests.len() as u64,
        lost: plan.source.lost,
        sessions: (
            count.alone.0 + count.sessions.len() as u64,
            count.alone.1 + count.wrong_sessions.len() as u64,
        ),
        mutations: (sensitivity.mutations, sensitivity.caught),
        down: [legacy, candidate].into_iter().filter_map(down).collect(),
        same_target: legacy.url == candidate.url,
        stopped: [legacy, candidate].into_iter().any(stopped),
        standing_clock: plan.source.standing_clock
            && matches!(plan.pace, Pace::Recorded | Pace::Times(_)),
    };
    let judgment = verdict(&evidence, gate);
    report(
        plan,
        legacy,
        candidate,
        rules,
        gate,
        count,
        sensitivity,
        judgment,
    )
}

/// What is counted while pairs are compared.
struct Count<'a> {
    pairs: Tally,
    states: Tally,
    states_skipped: u64,
    accounting: PairedAccounting,
    endpoints: BTreeMap<String, Tally>,
    clusters: Clusters,
    suppressed: Vec<u64>,
    sessions: BTreeSet<&'a str>,
    wrong_sessions: BTreeSet<&'a str>,
    alone: (u64, u64),
    accepted: u64,
    sample: Sample<'a>,
}

impl<'a> Count<'a> {
    fn new(plan: &Plan, rules: &Rules) -> Self {
        Self {
            pairs: Tally::default(),
            states: Tally::default(),
            states_skipped: 0,
            accounting: PairedAccounting::default(),
            endpoints: BTreeMap::new(),
            clusters: Clusters::default(),
            suppressed: vec![0; rules.rules.len()],
            sessions: BTreeSet::new(),
            wrong_sessions: BTreeSet::new(),
            alone: (0, 0),
            accepted: 0,
            sample: Sample::new(&plan.source.sha256),
        }
    }

    fn request(&mut self, pair: &Pair<'a>, category: Category, comparison: &Comparison) {
        let accounting = &mut self.accounting;
        accounting.planned += 1;
        match (pair.legacy, pair.candidate) {
            (Outcome::Skipped(_), _) | (_, Outcome::Skipped(_)) => accounting.skipped += 1,
            (Outcome::Answered(legacy), Outcome::Answered(candidate)) => {
                accounting.sent += 1;
                accounting.answered += 1;
                self.accepted += u64::from(legacy.status < 400 && candidate.status < 400);
            }
            _ => {
                accounting.sent += 1;
                accounting.failed += 1;
            }
        }
        add(&mut self.pairs, category);
        if category != Category::Skipped {
            let name = shortened(pair.endpoint);
            let full = self.endpoints.len() >= ENDPOINTS && !self.endpoints.contains_key(&name);
            let name = if full { "(others)".to_owned() } else { name };
            add(self.endpoints.entry(name).or_default(), category);
        }
        let wrong = matches!(category, Category::Mismatched | Category::FailedOneSide);
        if wrong || category == Category::Matched {
            if let Some(session) = pair.session {
                self.sessions.insert(session);
                if wrong {
                    self.wrong_sessions.insert(session);
                }
            } else {
                // A request without a session is one of its own.
                self.alone.0 += 1;
                self.alone.1 += u64::from(wrong);
            }
        }
        self.common(pair, category, comparison);
    }

    fn state(&mut self, pair: &Pair<'a>, category: Category, comparison: &Comparison) {
        self.states_skipped += u64::from(category == Category::Skipped);
        add(&mut self.states, category);
        self.common(pair, category, comparison);
    }

    fn common(&mut self, pair: &Pair<'a>, category: Category, comparison: &Comparison) {
        for rule in comparison.equated.iter().chain(&comparison.ignored) {
            self.suppressed[*rule] += 1;
        }
        match category {
            Category::Matched | Category::Ignored => self.sample.offer(*pair),
            Category::Mismatched | Category::FailedOneSide | Category::FailedBoth => {
                self.clusters.add(pair, &comparison.differences);
            }
            Category::Skipped => {}
        }
    }
}

fn add(tally: &mut Tally, category: Category) {
    match category {
        Category::Matched => tally.matched += 1,
        Category::Mismatched => tally.mismatched += 1,
        Category::Ignored => tally.ignored += 1,
        Category::FailedOneSide => tally.failed_one_side += 1,
        Category::FailedBoth => tally.failed_both += 1,
        Category::Skipped => {}
    }
}

fn down(side: &Observations) -> Option<Down> {
    let accounting = side.accounting();
    let from = side.gone_from();
    let nothing = accounting.sent > 0 && accounting.answered == 0;
    if !nothing && from.is_none() {
        return None;
    }
    let message = side
        .outcomes
        .iter()
        .rev()
        .find_map(|outcome| match outcome {
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
    let states = side.state.iter().map(|read| &read.outcome);
    side.outcomes
        .iter()
        .chain(states)
        .any(|outcome| *outcome == Outcome::Skipped(SkipReason::Stopped))
}

#[expect(
    clippy::too_many_arguments,
    reason = "one literal is put together from all that was found"
)]
fn report(
    plan: &Plan,
    legacy: &Observations,
    candidate: &Observations,
    rules: &Rules,
    gate: &Gate,
    count: Count<'_>,
    sensitivity: Sensitivity,
    judgment: Judgment,
) -> Report {
    let source = &plan.source;
    let sides = [legacy, candidate];
    let by_side: BTreeMap<&'static str, Accounting> = sides
        .map(|side| (side.side.name(), side.accounting()))
        .into();
    Report {
        format: FORMAT,
        verdict: judgment.verdict,
        reasons: judgment.reasons,
        notes: notes(plan, &count, judgment.verdict, rules),
        capture: CaptureReport {
            sha256: source.sha256.clone(),
            format: source.format.clone(),
            exchanges: source.exchanges,
            skipped: source.skipped.clone(),
        },
        targets: Targets {
            legacy: legacy.url.clone(),
            candidate: candidate.url.clone(),
        },
        pace: plan.pace.to_string(),
        accounting: AccountingReport {
            pairs: count.accounting,
            by_side,
        },
        pairs: count.pairs,
        coverage: judgment.coverage,
        mismatch_rate: judgment.rate,
        gate: GateReport {
            kind: gate.kind,
            limit: gate.limit,
            verdict: judgment.gate,
        },
        endpoints: count
            .endpoints
            .into_iter()
            .map(|(endpoint, pairs)| EndpointReport { endpoint, pairs })
            .collect(),
        clusters: count.clusters.sorted(),
        rules: rule_reports(plan, rules, &count.suppressed),
        sensitivity: SensitivityReport {
            mutations: sensitivity.mutations,
            caught: sensitivity.caught,
            threshold: gate.sensitivity,
            by_mutation: sensitivity.by_mutation,
            blind: sensitivity.blind,
        },
        latency_ms: sides
            .map(|side| (side.side.name(), latency(&side.latency)))
            .into(),
        state: StateReport {
            entities: plan.entities.len() as u64,
            pairs: count.states,
            skipped: count.states_skipped,
        },
        timing: Timing::default(),
    }
}

fn latency(latency: &Latency) -> SideLatency {
    SideLatency {
        response: latency.response(),
        service: latency.service(),
        send_delay: latency.late(),
    }
}

fn rule_reports(plan: &Plan, rules: &Rules, suppressed: &[u64]) -> Vec<RuleReport> {
    let rewritten = |rule: &crate::rules::Rule| {
        let fits = |planned: &&crate::plan::Planned| {
            let request = &planned.request;
            let covers = |endpoint: &crate::rules::Endpoint| {
                endpoint.covers(&request.method, request.path())
            };
            planned.unreplayable.is_none() && rule.endpoints.iter().any(covers)
        };
        match rule.effect {
            Effect::Rewrite { .. } => plan.requests.iter().filter(fits).count() as u64,
            _ => 0,
        }
    };
    let reports = rules.rules.iter().zip(suppressed);
    reports
        .map(|(rule, suppressed)| RuleReport {
            rule: rule.id.clone(),
            kind: rule.effect.kind(),
            reason: rule.reason.clone(),
            suppressed: *suppressed,
            rewritten: rewritten(rule),
        })
        .collect()
}

fn notes(plan: &Plan, count: &Count<'_>, verdict: Verdict, rules: &Rules) -> Vec<String> {
    let mut notes = Vec::new();
    let answered = count.accounting.answered;
    if answered > 0 && count.accepted == 0 {
        notes.push(format!(
            "no request was accepted by both sides: only refusals were compared, {answered} of them"
        ));
    }
    if rules.state.is_none() {
        notes.push(
            "the rules do not say how to read the final state, so it was not compared".to_owned(),
        );
    } else if plan.entities.is_empty() {
        notes.push(
            "the capture creates no entity, so there was no final state to compare".to_owned(),
        );
    }
    if verdict == Verdict::Pass {
        notes.push(
            "for this capture the rate is exact; the bound speaks of future traffic like it"
                .to_owned(),
        );
    }
    let unseen: Vec<&str> = rules
        .rules
        .iter()
        .zip(&count.suppressed)
        .filter(|(rule, suppressed)| {
            **suppressed == 0 && matches!(rule.effect, Effect::Ignore { .. })
        })
        .map(|(rule, _)| rule.id.as_str())
        .take(20)
        .collect();
    if !unseen.is_empty() {
        notes.push(format!(
            "`ignore` rules that forgave nothing here: {}",
            unseen.join(", ")
        ));
    }
    notes
}
