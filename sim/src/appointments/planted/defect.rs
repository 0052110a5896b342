//! The catalogue of planted defects, and `[planted]`, the table that puts one into a run.
//!
//! **Invariant**: names are stable: plans, scoreboards and documents hold them. Each entry says what is wrong in one sentence, and which of
//! the reference's traps (section 10) it walks into; it deliberately does not say which oracle has to find it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `[planted]`: what is wrong with the service of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// Which defect, by its name in the catalogue.
    pub defect: Defect,
}

/// Where a defect is put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seam {
    /// The service is given other settings than the scenario's.
    Settings,
    /// A decorator of the store, or another way of opening it.
    Store,
    /// Something stands between the service and its provider.
    Provider,
    /// A decorator of the log.
    Journal,
    /// Another circuit breaker.
    Breaker,
}

macro_rules! catalogue {
    ($($variant:ident = $name:literal, $seam:ident, [$($trap:literal),*], $sentence:literal;)*) => {
        /// A planted defect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Defect {
            $(#[doc = $sentence] #[serde(rename = $name)] $variant,)*
        }

        impl Defect {
            /// All of them, in the order of reports.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its stable name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What is wrong, as one sentence.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// Where it is put in.
            pub const fn seam(self) -> Seam {
                match self { $(Self::$variant => Seam::$seam,)* }
            }

            /// The traps that it walks into, by their numbers in the service's reference.
            pub const fn traps(self) -> &'static [u8] {
                match self { $(Self::$variant => &[$($trap),*],)* }
            }
        }
    };
}

catalogue! {
    AcknowledgeBeforeCommit = "acknowledge-before-commit", Store, [36],
        "An accept is answered at once and committed a moment later.";
    NoUniqueIndex = "no-unique-index", Store, [9, 10],
        "The key is looked up before it is written and no index is unique, so two requests at once both pass.";
    FirstKeyWins = "first-key-wins", Store, [8],
        "A key that is used again with another payload gets the first request's answer.";
    ForgottenCancel = "forgotten-cancel", Store, [7],
        "A cancel that races the booking is acknowledged and forgotten.";
    StaleReads = "stale-reads", Store, [],
        "Reads are answered from a cache that nobody invalidates.";
    BlindSearch = "search-is-blind", Store, [],
        "A search by request finds nothing.";
    BlockingAccept = "blocking-accept", Store, [27],
        "An accept waits for the provider before it answers.";
    SynchronousNormal = "synchronous-normal", Store, [35],
        "Commits are not synced: the database runs with synchronous = NORMAL.";
    LeaseShorterThanTimeout = "lease-shorter-than-timeout", Store, [3],
        "Leases end before the call to the provider can.";
    CrashAfterSendResends = "crash-after-send-resends", Store, [2],
        "An attempt that was lost with its worker is sent again without asking what became of it.";
    ExhaustedAtRescue = "exhausted-at-rescue-never-ends", Store, [21],
        "An entry whose last attempt was lost with its worker is neither tried nor given up.";
    HighWaterMark = "high-water-mark", Store, [23],
        "The worker remembers the highest id that it has seen, and never looks below.";
    TwoClaimers = "two-claimers", Store, [24],
        "Two workers that claim at the same time get the same entries.";
    MixedUpDetails = "details-mixed-up", Store, [],
        "What is claimed together is sent with the details of the first.";
    StaleSettle = "stale-settle-accepted", Store, [3, 25],
        "A settle is taken from whoever once held a lease.";
    AttemptAsFence = "attempt-counter-as-fence", Store, [4],
        "A settle is fenced by the attempt counter, which refunds take back.";
    RetryDelayZero = "retry-delay-zero", Store, [16],
        "A retry is due at once.";
    ForgottenDoubt = "unknown-taken-as-not-sent", Store, [1],
        "An attempt whose outcome is not known is repeated as if it had not been sent.";
    RefundForgotten = "refund-forgotten", Store, [17],
        "An attempt that was put off before it was sent counts like one that was.";
    EndlessRefund = "endless-refund", Store, [17, 20],
        "No attempt ever counts, so none is the last.";
    GivesUpWithoutCompensation = "gives-up-without-compensation", Store, [5],
        "When attempts run out, the booking counts as refused, and nothing is cancelled.";
    RedriveOfConfirmed = "redrive-of-confirmed", Store, [33],
        "Entries that once had an error are put back to work without a look at what became of them.";
    UnlimitedBulkhead = "bulkhead-unlimited", Settings, [27],
        "Any number of calls to one provider run at once.";
    AbsentIsFinal = "absent-is-final", Settings, [1, 6],
        "What a look-up does not find is sent again at once, though it may still be on its way.";
    UnlimitedRetryAfter = "retry-after-unbounded", Settings, [15],
        "However long a provider asks to be left alone, it is.";
    BreakerNeverCloses = "breaker-never-closes", Settings, [18],
        "A breaker that has opened stays open.";
    BreakerIgnoresGeneration = "breaker-ignores-generation", Breaker, [19],
        "A result from before the breaker opened counts as a probe's.";
    LostProbe = "lost-half-open-probe", Breaker, [18],
        "A probe that ends without saying anything of the provider holds its place for ever.";
    BreakerBypassed = "breaker-bypassed", Breaker, [17],
        "The breaker opens, and every call is let through.";
    AuditorOff = "auditor-off", Settings, [6],
        "The auditor does not run.";
    AuditorRepairsInFlight = "auditor-repairs-in-flight", Store, [30],
        "The auditor repairs what is queued, leased or young, at first sight.";
    UnreportedDeadLetters = "dead-letters-unreported", Store, [31],
        "What the auditor finds of given-up cancels is not kept.";
    FindingsOutlive = "findings-outlive-their-cause", Store, [],
        "What the auditor once found stays open when it is put right.";
    NewKeyPerAttempt = "new-key-per-attempt", Provider, [1, 3],
        "Each attempt at a booking has an idempotency key of its own.";
    TimeoutAsSuccess = "timeout-as-success", Provider, [1],
        "A booking that is not answered counts as booked.";
    TimeoutAsFailure = "timeout-as-failure", Provider, [1],
        "A booking that is not answered counts as refused.";
    CompensatesUnknown = "compensates-unknown", Provider, [5],
        "A booking whose outcome is not known is cancelled at once, and then tried again.";
    CancelWithoutTombstone = "cancel-without-tombstone", Provider, [6],
        "A cancel of what is not booked yet is taken for done.";
    RefusalTakenForBooking = "refusal-taken-for-booking", Provider, [14],
        "A refused booking is taken for a duplicate, and a duplicate for booked.";
    LookUpIsBlind = "look-up-is-blind", Provider, [1, 14],
        "Looking up by key never finds anything.";
    RetryAfterIgnored = "retry-after-ignored", Provider, [15],
        "Nobody reads how long a provider asks to be left alone.";
    PersonalErrorText = "pii-in-error-text", Journal, [38],
        "The log of a provider's error names the patient.";
    LogWithoutRequestId = "log-without-request-id", Journal, [],
        "The log's last line of a request does not say which request.";
    UnloggedCompensation = "compensation-unlogged", Journal, [],
        "A compensation is queued and the log does not say so.";
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Defect {
    /// The defect of this name.
    ///
    /// # Errors
    /// A sentence that names the nearest ones.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|defect| defect.name() == name);
        found.copied().ok_or_else(|| {
            let names = Self::ALL.iter().map(|defect| defect.name());
            let mut near: Vec<_> = names
                .map(|known| (1000 - likeness(known, name), known))
                .collect();
            near.sort_unstable();
            let near: Vec<_> = near.iter().take(3).map(|(_, known)| *known).collect();
            format!(
                "no planted defect is named {name:?}; the nearest are {}",
                near.join(", ")
            )
        })
    }
}

impl Defect {
    /// The scenario to hunt it in: a file in `scenarios/scoreboard`, without `.toml`.
    pub const fn hunt(self) -> &'static str {
        match self {
            Self::AcknowledgeBeforeCommit
            | Self::NoUniqueIndex
            | Self::FirstKeyWins
            | Self::ForgottenCancel
            | Self::StaleReads
            | Self::SynchronousNormal
            | Self::AuditorOff => "commits",
            Self::BlockingAccept
            | Self::UnlimitedBulkhead
            | Self::BreakerNeverCloses
            | Self::LostProbe
            | Self::BreakerBypassed
            | Self::MixedUpDetails
            | Self::HighWaterMark => "outages",
            Self::ExhaustedAtRescue
            | Self::UnlimitedRetryAfter
            | Self::UnreportedDeadLetters
            | Self::PersonalErrorText
            | Self::LogWithoutRequestId
            | Self::UnloggedCompensation => "dead_letters",
            Self::GivesUpWithoutCompensation => "exhausted",
            Self::EndlessRefund => "hopeless",
            Self::AttemptAsFence => "lost_answers",
            Self::BreakerIgnoresGeneration => "late_results",
            Self::TimeoutAsSuccess | Self::TimeoutAsFailure | Self::RefusalTakenForBooking => {
                "unaudited"
            }
            Self::CancelWithoutTombstone => "tombstones",
            Self::AuditorRepairsInFlight | Self::FindingsOutlive => "late_bookings",
            Self::AbsentIsFinal | Self::BlindSearch => "forgetful",
            Self::LeaseShorterThanTimeout
            | Self::CrashAfterSendResends
            | Self::TwoClaimers
            | Self::StaleSettle
            | Self::RetryDelayZero
            | Self::RefundForgotten
            | Self::ForgottenDoubt
            | Self::RedriveOfConfirmed
            | Self::NewKeyPerAttempt
            | Self::CompensatesUnknown
            | Self::LookUpIsBlind
            | Self::RetryAfterIgnored => "deliveries",
        }
    }
}

/// In thousandths.
fn likeness(one: &str, other: &str) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a likeness lies between 0 and 1"
    )]
    let thousandths = (strsim::jaro_winkler(one, other) * 1000.0) as u64;
    thousandths
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_catalogue_is_large_enough_and_its_names_are_unique() {
        let names: BTreeSet<_> = Defect::ALL.iter().map(|defect| defect.name()).collect();
        assert_eq!(names.len(), Defect::ALL.len());
        assert!(names.len() >= 24, "{}", names.len());
        for defect in Defect::ALL {
            assert_eq!(Defect::named(defect.name()), Ok(*defect));
            assert!(defect.traps().iter().all(|trap| (1..=40).contains(trap)));
            assert!(defect.sentence().ends_with('.'), "{defect}");
            let json = serde_json::to_string(defect).unwrap();
            assert_eq!(json, format!("{:?}", defect.name()), "one spelling");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let refused = Defect::named("breaker-never-close").unwrap_err();
        assert!(
            refused.contains("nearest are breaker-never-closes"),
            "{refused}"
        );
        let text = "defect = \"stale-settle-acepted\"";
        let error = toml::from_str::<Planted>(text).unwrap_err();
        let explained = crate::scenario::explain(&error);
        assert!(
            explained.contains("did you mean `stale-settle-accepted`?"),
            "{explained}"
        );
    }
}
