//! The report as `JUnit` XML, the form that CI servers show.
//!
//! One case stands for each thing that had to hold: the targets, the accounting, the gate, each endpoint, the final state, coverage, sensitivity,
//! and at the end the verdict. What an endpoint alone cannot prove is skipped with the number of requests it lacks, since it fails no run.
//!
//! **Invariant**: a run whose exit code is not 0 has a case that failed, and one whose exit code is 0 has none. The text is valid XML 1.0 whatever
//! the services answered.

use std::fmt::Write;

use crate::{
    report::{EndpointFinding, Report},
    verdict::{COVERAGE_NEEDED, Verdict, percent},
};

/// So many endpoints have a case of their own.
const ENDPOINTS: usize = 200;

/// A test case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is tested: a group of cases.
    pub class: String,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Passed,
    /// It did not hold: what kind of failure, and why.
    Failed(&'static str, String),
    /// It could not be tested: what kind of error, and why.
    Error(&'static str, String),
    /// It was not tested, which fails nothing.
    Skipped(String),
}

/// The report as `JUnit` XML.
pub fn junit(report: &Report) -> String {
    write("rehearsal replay", &cases(report))
}

/// `cases` as one suite.
pub fn write(suite: &str, cases: &[Case]) -> String {
    let count =
        |kind: fn(&Outcome) -> bool| cases.iter().filter(|case| kind(&case.outcome)).count();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        cases.len(),
        count(|outcome| matches!(outcome, Outcome::Failed(..))),
        count(|outcome| matches!(outcome, Outcome::Error(..))),
        count(|outcome| matches!(outcome, Outcome::Skipped(_)))
    );
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let name = escaped(suite);
    let _ = writeln!(xml, "  <testsuite name=\"{name}\" {counts}>");
    for case in cases {
        let (class, name) = (escaped(&case.class), escaped(&case.name));
        let _ = write!(xml, "    <testcase classname=\"{class}\" name=\"{name}\"");
        let _ = match &case.outcome {
            Outcome::Passed => writeln!(xml, "/>"),
            Outcome::Failed(kind, why) => within(&mut xml, "failure", Some(kind), why),
            Outcome::Error(kind, why) => within(&mut xml, "error", Some(kind), why),
            Outcome::Skipped(why) => within(&mut xml, "skipped", None, why),
        };
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn within(xml: &mut String, element: &str, kind: Option<&str>, why: &str) -> std::fmt::Result {
    let kind = kind.map_or_else(String::new, |kind| format!(" type=\"{kind}\""));
    writeln!(
        xml,
        ">\n      <{element}{kind} message=\"{}\"/>\n    </testcase>",
        escaped(why)
    )
}

fn cases(report: &Report) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut push = |class: &str, name: &str, outcome: Outcome| {
        cases.push(Case {
            class: format!("replay.{class}"),
            name: name.to_owned(),
            outcome,
        });
    };
    let first = || report.reasons.first().cloned().unwrap_or_default();
    let down = report.verdict == Verdict::Infrastructure;
    push(
        "run",
        "both targets answered",
        held(!down, "infrastructure", first),
    );
    let accounting = &report.accounting.pairs;
    let balanced = accounting.planned == accounting.sent + accounting.skipped
        && accounting.sent == accounting.answered + accounting.failed;
    push(
        "run",
        "every planned request is accounted for",
        held(balanced, "accounting", || format!("{accounting:?}")),
    );
    push(
        "gate",
        "mismatch rate",
        by_verdict(report.gate.verdict, || report.gate.stopping.reason.clone()),
    );
    for row in report.endpoints.iter().take(ENDPOINTS) {
        let told = || {
            format!(
                "{} of {} differ, upper bound {}, limit {}",
                row.pairs.mismatches(),
                row.compared,
                percent(row.upper_95_family),
                percent(report.gate.limit)
            )
        };
        let outcome = match row.finding {
            EndpointFinding::Below => Outcome::Passed,
            EndpointFinding::Above if report.verdict != Verdict::Pass => {
                Outcome::Failed("endpoint", told())
            }
            EndpointFinding::Above | EndpointFinding::OutOfReach => Outcome::Skipped(told()),
        };
        push("endpoint", &row.endpoint, outcome);
    }
    let wrong = report.state.pairs.mismatches();
    push(
        "state",
        "final states agree",
        match (wrong, report.state.entities) {
            (0, 0) => Outcome::Skipped("there was no final state to compare".to_owned()),
            (0, _) => Outcome::Passed,
            (wrong, all) => Outcome::Failed("state", format!("{wrong} of {all} differ")),
        },
    );
    push(
        "coverage",
        "the capture was compared",
        held(report.coverage >= COVERAGE_NEEDED, "coverage", || {
            format!(
                "{} was compared, {} is needed",
                percent(report.coverage),
                percent(COVERAGE_NEEDED)
            )
        }),
    );
    let sensitivity = &report.sensitivity;
    let sharp = sensitivity.mutations > 0
        && sensitivity.caught as f64 >= sensitivity.threshold * sensitivity.mutations as f64;
    push(
        "sensitivity",
        "mutations are caught",
        held(sharp, "blind", || {
            format!(
                "{} of {} were caught",
                sensitivity.caught, sensitivity.mutations
            )
        }),
    );
    push(
        "verdict",
        "verdict",
        by_verdict(report.verdict, || report.reasons.join("; ")),
    );
    cases
}

fn held(held: bool, kind: &'static str, why: impl FnOnce() -> String) -> Outcome {
    if held {
        Outcome::Passed
    } else {
        Outcome::Error(kind, why())
    }
}

fn by_verdict(verdict: Verdict, why: impl FnOnce() -> String) -> Outcome {
    match verdict {
        Verdict::Pass => Outcome::Passed,
        Verdict::Fail => Outcome::Failed("fail", why()),
        Verdict::Inconclusive => Outcome::Error("inconclusive", why()),
        Verdict::Infrastructure => Outcome::Error("infrastructure", why()),
    }
}

/// `text` as an attribute's value. What XML 1.0 cannot hold becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            '\t' => escaped.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other if other.is_control() && (other as u32) < 0x80 => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_valid_xml() {
        let nasty = "<a b=\"c\">&\u{0}\u{1b}\n]]>\u{ffff}é";
        let case = |outcome| Case {
            class: "x".to_owned(),
            name: nasty.to_owned(),
            outcome,
        };
        let xml = write(
            "s",
            &[
                case(Outcome::Passed),
                case(Outcome::Failed("fail", nasty.to_owned())),
                case(Outcome::Error("blind", "e".to_owned())),
                case(Outcome::Skipped("s".to_owned())),
            ],
        );
        insta::assert_snapshot!(xml, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites>
          <testsuite name="s" tests="4" failures="1" errors="1" skipped="1">
            <testcase classname="x" name="&lt;a b=&quot;c&quot;&gt;&amp;��&#10;]]&gt;�é"/>
            <testcase classname="x" name="&lt;a b=&quot;c&quot;&gt;&amp;��&#10;]]&gt;�é">
              <failure type="fail" message="&lt;a b=&quot;c&quot;&gt;&amp;��&#10;]]&gt;�é"/>
            </testcase>
            <testcase classname="x" name="&lt;a b=&quot;c&quot;&gt;&amp;��&#10;]]&gt;�é">
              <error type="blind" message="e"/>
            </testcase>
            <testcase classname="x" name="&lt;a b=&quot;c&quot;&gt;&amp;��&#10;]]&gt;�é">
              <skipped message="s"/>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
