//! Which behaviours are possible.
//!
//! **Invariant**: drawing from a behaviour that passes [`Behaviour::check`] cannot fail: its rates are shares and its bounds are ordered. It
//! deliberately does not judge whether a behaviour is sensible; a provider that always hangs is a scenario.

use super::{Behaviour, ErrorRule, GarbleRule, Latency, ListingLag, Operation};

/// A behaviour that no provider can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: found {found}, expected {expected}")]
pub struct InvalidBehaviour {
    /// The field's path, like `windows[0].errors[1].rate`.
    pub field: String,
    /// Its value.
    pub found: String,
    /// What would do.
    pub expected: &'static str,
}

impl Behaviour {
    /// Refuses rates outside `[0, 1]`, bounds out of order, and statuses that are no errors.
    pub fn check(&self) -> Result<(), InvalidBehaviour> {
        check_latency("latency", self.latency)?;
        check_errors("errors", &self.errors)?;
        check_rate("hang_rate", self.hang_rate)?;
        check_rate("processed_but_unanswered", self.processed_but_unanswered)?;
        check_garbled("garbled", &self.garbled)?;
        check_lag("listing_lag", self.listing_lag)?;
        for (index, window) in self.windows.iter().enumerate() {
            let name = |field: &str| format!("windows[{index}].{field}");
            if window.from >= window.to {
                return Err(InvalidBehaviour {
                    field: name("to_ms"),
                    found: format!("{:?}", window.to),
                    expected: "later than from_ms",
                });
            }
            if let Some(latency) = window.latency {
                check_latency(&name("latency"), latency)?;
            }
            if let Some(errors) = &window.errors {
                check_errors(&name("errors"), errors)?;
            }
            check_garbled(
                &name("garbled"),
                window.garbled.as_deref().unwrap_or_default(),
            )?;
            check_lag(&name("listing_lag"), window.listing_lag)?;
            check_rate(&name("hang_rate"), window.hang_rate.unwrap_or_default())?;
            check_rate(
                &name("processed_but_unanswered"),
                window.processed_but_unanswered.unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}

fn check_rate(field: &str, rate: f64) -> Result<(), InvalidBehaviour> {
    if (0.0..=1.0).contains(&rate) {
        return Ok(());
    }
    Err(InvalidBehaviour {
        field: field.to_owned(),
        found: rate.to_string(),
        expected: "a share from 0 to 1",
    })
}

fn check_errors(field: &str, errors: &[ErrorRule]) -> Result<(), InvalidBehaviour> {
    for (index, rule) in errors.iter().enumerate() {
        check_rate(&format!("{field}[{index}].rate"), rule.rate)?;
        if !(400..=599).contains(&rule.status) {
            return Err(InvalidBehaviour {
                field: format!("{field}[{index}].status"),
                found: rule.status.to_string(),
                expected: "an error's status, 400 to 599",
            });
        }
    }
    let rule = |rule: &ErrorRule, operation| (rule.rate, rule.strikes(operation));
    check_sum(field, errors, rule)
}

fn check_garbled(field: &str, rules: &[GarbleRule]) -> Result<(), InvalidBehaviour> {
    for (index, rule) in rules.iter().enumerate() {
        check_rate(&format!("{field}[{index}].rate"), rule.rate)?;
    }
    let rule = |rule: &GarbleRule, operation| (rule.rate, rule.strikes(operation));
    check_sum(field, rules, rule)
}

fn check_lag(field: &str, lag: Option<ListingLag>) -> Result<(), InvalidBehaviour> {
    let Some(lag) = lag else { return Ok(()) };
    check_rate(&format!("{field}.rate"), lag.rate)?;
    check_latency(&format!("{field}.lag"), lag.lag)
}

/// At most one rule is drawn for a call: the rates of those that strike an operation cannot exceed one.
fn check_sum<R>(
    field: &str,
    rules: &[R],
    rate_and_strikes: impl Fn(&R, Operation) -> (f64, bool),
) -> Result<(), InvalidBehaviour> {
    for operation in [
        Operation::Book,
        Operation::Lookup,
        Operation::Cancel,
        Operation::List,
    ] {
        let sum: f64 = rules
            .iter()
            .map(|rule| rate_and_strikes(rule, operation))
            .filter_map(|(rate, strikes)| strikes.then_some(rate))
            .sum();
        // Rates written in decimals may sum to a hair above one.
        if sum > 1.0 + 1e-9 {
            return Err(InvalidBehaviour {
                field: field.to_owned(),
                found: format!("rates that sum to {sum} for {}", operation.as_str()),
                expected: "at most 1 for each operation",
            });
        }
    }
    Ok(())
}

fn check_latency(field: &str, latency: Latency) -> Result<(), InvalidBehaviour> {
    let ordered = match latency {
        Latency::Fixed(_) => true,
        Latency::Uniform { min, max } => min <= max,
        Latency::Lognormal { p50, p95 } => !p50.is_zero() && p50 <= p95,
    };
    if ordered {
        return Ok(());
    }
    Err(InvalidBehaviour {
        field: field.to_owned(),
        found: format!("{latency:?}"),
        expected: "min <= max, 0 < p50 <= p95",
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::provider::Window;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn possible() -> Behaviour {
        Behaviour {
            errors: vec![ErrorRule::new(503, 0.25)],
            windows: vec![Window::outage(ms(5_000), ms(9_000), 500)],
            ..Behaviour::healthy(1)
        }
    }

    #[test]
    fn impossible_behaviours_are_refused_by_name() {
        let check = |change: &dyn Fn(&mut Behaviour), field: &str| {
            let mut behaviour = possible();
            change(&mut behaviour);
            let error = behaviour.check().expect_err(field);
            assert_eq!(error.field, field);
        };
        possible().check().expect("the model itself is possible");
        check(&|b| b.hang_rate = 1.5, "hang_rate");
        check(&|b| b.hang_rate = f64::NAN, "hang_rate");
        check(&|b| b.errors[0].status = 200, "errors[0].status");
        check(&|b| b.errors[0].rate = -0.1, "errors[0].rate");
        check(&|b| b.errors.push(ErrorRule::new(500, 0.8)), "errors");
        check(&|b| b.windows[0].to = ms(1), "windows[0].to_ms");
        let lag = |rate| ListingLag {
            rate,
            lag: Latency::Fixed(ms(1)),
            look_ups: false,
        };
        check(&|b| b.listing_lag = Some(lag(2.0)), "listing_lag.rate");
        let garble = |rate| GarbleRule {
            how: crate::provider::Garbling::NotJson,
            rate,
            operations: Vec::new(),
        };
        check(&|b| b.garbled = vec![garble(-1.0)], "garbled[0].rate");
        check(&|b| b.garbled = vec![garble(0.6), garble(0.6)], "garbled");
        check(
            &|b| {
                b.latency = Latency::Uniform {
                    min: ms(2),
                    max: ms(1),
                }
            },
            "latency",
        );
    }
}
