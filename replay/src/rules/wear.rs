//! What a run showed about the rules themselves: used, unused, expired, about to expire.
//!
//! **Invariant**: it is a function of the rules, the day and the counts; it changes no verdict. A rule that nobody needs is a blind spot in
//! waiting, and a rule that has outlived its reason is one already.

use jiff::ToSpan;

use crate::rules::{Effect, Rule, Rules};

/// A rule that expires within so many days is told about: time enough to fix what it excuses, or to give a new reason.
pub const EXPIRES_SOON_DAYS: i32 = 30;

/// A note names so many rules.
const NAMED: usize = 20;

/// What is worth saying about the rules after a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Wear {
    /// Rules whose last day has passed: they suppressed nothing.
    pub expired: Vec<String>,
    /// Rules that expire within [`EXPIRES_SOON_DAYS`].
    pub expiring: Vec<String>,
    /// Rules that suppressed nothing although they could have.
    pub unused: Vec<String>,
}

impl Rules {
    /// What is worth saying; `suppressed` counts by rule. What day it is was said by [`Rules::expire`].
    ///
    /// # Panics
    /// When the counts are not of these rules: a bug of the caller.
    pub fn wear(&self, suppressed: &[u64]) -> Wear {
        assert_eq!(self.rules.len(), suppressed.len(), "counts of other rules");
        let named = |rule: &Rule| format!("{} (line {})", rule.id, rule.line);
        let soon = self
            .today
            .and_then(|today| today.checked_add(EXPIRES_SOON_DAYS.days()).ok());
        let mut wear = Wear::default();
        for (rule, suppressed) in self.rules.iter().zip(suppressed) {
            if rule.expired {
                wear.expired.push(named(rule));
                continue;
            }
            if let (Some(last), Some(soon)) = (rule.expires, soon)
                && last <= soon
            {
                wear.expiring.push(format!("{} on {last}", named(rule)));
            }
            if *suppressed == 0 && !matches!(rule.effect, Effect::Rewrite { .. }) {
                wear.unused.push(named(rule));
            }
        }
        wear
    }
}

impl Wear {
    /// A line for people for each thing that is worth saying.
    pub fn notes(&self) -> Vec<String> {
        let lines = [
            (
                "rules that have expired and suppress nothing any more",
                &self.expired,
            ),
            ("rules that expire soon", &self.expiring),
            ("rules that suppressed nothing here", &self.unused),
        ];
        lines
            .into_iter()
            .filter(|(_, rules)| !rules.is_empty())
            .map(|(what, rules)| {
                let more = rules.len().saturating_sub(NAMED);
                let named = rules
                    .iter()
                    .take(NAMED)
                    .map(String::as_str)
                    .collect::<Vec<_>>();
                let rest = if more > 0 {
                    format!(" and {more} more")
                } else {
                    String::new()
                };
                format!("{what}: {}{rest}", named.join(", "))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn rules_wear_out() {
        let rule = |id: &str, expires: &str| {
            format!(
                "[[rule]]\nid = \"{id}\"\nkind = \"ignore\"\nreason = \"r\"\nendpoint = \"*\"\nwhere = \"/{id}\"\n{expires}\n"
            )
        };
        let text = format!(
            "format = \"rehearsal.rules/1\"\nname = \"t\"\n{}{}{}{}",
            rule("past", "expires = 2026-11-22"),
            rule("today", "expires = 2026-11-23"),
            rule("later", "expires = 2027-11-23"),
            rule("unused", ""),
        );
        let mut rules = Rules::read("t.toml", &text).expect("rules");
        let today = date(2026, 11, 23);
        rules.expire(today);
        let wear = rules.wear(&[0, 1, 2, 0]);
        assert_eq!(wear.expired, ["past (line 3)"]);
        assert_eq!(wear.expiring, ["today (line 10) on 2026-11-23"]);
        assert_eq!(wear.unused, ["unused (line 24)"]);
        assert_eq!(
            wear.notes()[0],
            "rules that have expired and suppress nothing any more: past (line 3)"
        );
        let expired: Vec<bool> = rules.rules.iter().map(|rule| rule.expired).collect();
        assert_eq!(
            expired,
            [true, false, false, false],
            "the last day still holds"
        );
    }
}
