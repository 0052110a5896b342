//! A shrunk plan as a file: what it shows, as comments above it, and the plan.
//!
//! **Invariant**: the same result makes the same bytes; read back, it is the same plan with its `[found]` table.

use std::fmt::Write;

use super::Shrunk;
use crate::{finding::Found, plan::Plan, system::System};

impl<S: System> Shrunk<S> {
    /// The plan with where it comes from; `how` says how the failing plan was found.
    pub fn found(&self, how: &str) -> Plan<S> {
        Plan {
            found: Some(Found {
                oracle: self.finding.oracle.clone(),
                fingerprint: self.finding.fingerprint.clone(),
                message: self.finding.message.clone(),
                how: how.to_owned(),
                on: None,
                open: false,
            }),
            ..self.plan.clone()
        }
    }

    /// The file's text.
    pub fn to_toml(&self, how: &str) -> String {
        let ms = self.finding.at_us / 1000;
        let mut text = format!(
            "# oracle {}, fingerprint {}\n",
            self.finding.oracle, self.finding.fingerprint
        );
        let (before, after) = (self.before, self.after);
        for line in [
            one_line(&self.finding.message),
            format!("at {}.{:03}s of virtual time", ms / 1000, ms % 1000),
            format!("found by: {}", one_line(how)),
            format!(
                "shrunk: faults {} -> {}, operations {} -> {}, hosts {} -> {}; {}",
                before.faults,
                after.faults,
                before.operations,
                after.operations,
                before.hosts,
                after.hosts,
                if self.complete {
                    "nothing more can be removed"
                } else {
                    "broken off before the end"
                }
            ),
        ] {
            writeln!(text, "# {line}").expect("a string takes everything");
        }
        text.push('\n');
        text.push_str(&self.found(how).to_toml());
        text
    }
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
