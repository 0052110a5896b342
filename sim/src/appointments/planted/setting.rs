//! Defects that are nothing but settings: ones that the service accepts, and the scenario did not ask for.
//!
//! **Invariant**: the scenario's tables, which the oracles go by, are left as they are.

use std::time::Duration;

use rehearsal_core::outbox::MAX_WAIT;
use rehearsal_service::Config;

use super::Defect;

/// More calls at once than any scenario has requests under way.
const UNLIMITED: u32 = 10_000;
/// Longer than any run.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// `config` with the defect, if it is one of settings.
pub(super) fn spoil(defect: Defect, config: Config) -> Config {
    let mut config = config;
    match defect {
        Defect::UnlimitedBulkhead => {
            config.bulkhead = UNLIMITED;
            config.claim_batch = 1000;
        }
        Defect::AbsentIsFinal => {
            config.policy.in_flight_horizon = config.policy.attempt_timeout;
        }
        Defect::UnlimitedRetryAfter => config.policy.retry_after_cap = MAX_WAIT,
        Defect::BreakerNeverCloses => {
            config.breaker.open_for = FOR_EVER;
            config.breaker.open_cap = FOR_EVER;
        }
        Defect::AuditorOff => config.roles.auditor = false,
        _ => {}
    }
    config
}
