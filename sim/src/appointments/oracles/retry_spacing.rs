//! Retries keep their distance: each waits as long as was decided, what was decided lies within the backoff's bounds, and a provider that asked
//! to be left alone is.
//!
//! A wait is measured by the store's clock, which may jump: it is early only if both the store's clock and the world's say so. A lease that the store's
//! clock allowed is the wait's end, whatever becomes of it: whoever rescues it later need not wait for the same time again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rehearsal_core::{
    delivery::Policy,
    log::{Evt, LogEvent},
    outbox::MAX_WAIT,
    time::Timestamp,
};
use rehearsal_mocks::provider::{Operation, ProviderEvent};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, extra, given, outbox},
    },
    oracle::{Findings, Oracle},
    trace::Entry,
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "retry_spacing",
    property: "no attempt starts before its time, no retry is set outside the backoff's bounds, none before Retry-After",
    check,
};

/// Log lines count whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(2);

/// Between a commit or a claim and the line that tells of it there is no more than this.
const RECENT_US: u64 = 1_000_000;

/// By how much the store's clock was ahead of the world's, in microseconds: since when.
struct StoreClock(Vec<(u64, i64)>);

/// The least and the most that the store's clock was ahead in a while.
#[derive(Clone, Copy)]
struct Ahead {
    least: i64,
    most: i64,
}

impl StoreClock {
    /// Just now.
    fn now(&self) -> Ahead {
        let ahead = self.0.last().map_or(0, |(_, ahead)| *ahead);
        Ahead {
            least: ahead,
            most: ahead,
        }
    }

    /// Of late.
    fn recent(&self, at_us: u64) -> Ahead {
        let mut recent = self.now();
        for (since, ahead) in self.0.iter().rev() {
            recent.least = recent.least.min(*ahead);
            recent.most = recent.most.max(*ahead);
            // What was in force at the beginning of that time counts, and nothing before.
            if since.saturating_add(RECENT_US) < at_us {
                break;
            }
        }
        recent
    }
}

/// When the next attempt may start.
#[derive(Clone, Copy)]
struct Due {
    /// By the world's clock.
    at_us: u64,
    /// How far the store's was ahead when it was set.
    ahead: Ahead,
}

impl Due {
    /// Whether it has come at `at_us`: by the world's clock, or by the store's, which is `ahead`. What is due later than the longest wait was set
    /// before that clock jumped back, and counts as due.
    fn has_come(self, at_us: u64, ahead: Ahead) -> bool {
        let (due, now) = (self.at_us.cast_signed(), at_us.cast_signed());
        let rounding = micros(ROUNDING).cast_signed();
        now + rounding >= due
            || now + ahead.most + rounding >= due + self.ahead.least
            || due + self.ahead.most + rounding > now + ahead.least + micros(MAX_WAIT).cast_signed()
    }
}

/// What is known of one appointment's booking or cancel.
#[derive(Default)]
struct Thread {
    due: Option<Due>,
    /// How the last attempt ended.
    ended: Option<Ended>,
    /// What the provider asked for with the last error, until another call arrives.
    sent: Option<Sent>,
}

/// An error that asks to be left alone.
#[derive(Clone, Copy)]
struct Sent {
    status: u16,
    /// For so long.
    seconds: Option<Duration>,
    /// Until then.
    date: Option<Timestamp>,
}

impl Sent {
    /// An answer with this status and these values of `Retry-After`. What cannot be read asks for nothing (RFC 9110, 10.2.3).
    fn of(status: u16, values: &[String]) -> Option<Self> {
        let seconds = values.iter().filter_map(|value| {
            let digits = value.bytes().all(|byte| byte.is_ascii_digit());
            let seconds = value.parse().ok().filter(|_| digits);
            seconds.map(Duration::from_secs)
        });
        let dates = values.iter().filter_map(|value| {
            let civil = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", value).ok()?;
            let at = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
            Some(Timestamp::from_micros(at.as_microsecond()))
        });
        matches!(status, 429 | 503).then(|| Self {
            status,
            seconds: seconds.max(),
            date: dates.max(),
        })
    }

    /// What it asks of a caller who reads it when this `line` is written, if that tells of just this answer.
    fn asks(self, line: &LogEvent) -> Option<Duration> {
        let answered = format!("answered {}", self.status);
        let heard =
            extra(line, "outcome") == "throttled" || extra(line, "err").starts_with(&answered);
        let wait = self.date.map(|date| date.since(line.time));
        self.seconds.max(wait).filter(|_| heard)
    }
}

/// An attempt's end.
struct Ended {
    attempt: Option<u64>,
    host: Arc<str>,
    boot: u32,
    /// By the world's clock: a wait is decided by a monotonic one, and its host's own may jump before the line that tells of it.
    at_us: u64,
    /// What the provider asked for in its answer.
    asked: Option<Duration>,
}

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let tables = given(trace);
    let policy = tables.map_or_else(Policy::default, |tables| tables.service.delivery());
    let mut threads: BTreeMap<(&str, &str), Thread> = BTreeMap::new();
    let owners: BTreeMap<i64, (&str, &str)> = outbox(trace)
        .map(|(_, it)| (it.id, (it.appointment_id.as_str(), it.kind.as_str())))
        .collect();
    let mut clock = StoreClock(vec![(0, 0)]);
    for (entry, event) in trace.system() {
        match event {
            Event::StoreClock { ahead_us } => clock.0.push((entry.at_us, *ahead_us)),
            Event::Leased { entry: id, .. } => {
                let thread = owners.get(id).and_then(|owner| threads.get_mut(owner));
                let Some(thread) = thread else { continue };
                let come = |due: &mut Due| due.has_come(entry.at_us, clock.now());
                if thread.due.take_if(come).is_some() {
                    findings.examine(entry.at_us, None);
                }
            }
            Event::Provider(ProviderEvent::Called { op, key, .. }) => {
                threads.entry((key, op.as_str())).or_default().sent = None;
            }
            Event::Provider(ProviderEvent::Failed {
                op: op @ (Operation::Book | Operation::Cancel),
                key,
                status,
                retry_after,
                ..
            }) => {
                let sent = Sent::of(*status, retry_after);
                threads.entry((key, op.as_str())).or_default().sent = sent;
            }
            Event::Log(line) => {
                let Some(id) = &line.appointment_id else {
                    continue;
                };
                let thread = threads
                    .entry((id.as_str(), extra(line, "kind")))
                    .or_default();
                thread.take(entry, line, clock.recent(entry.at_us), &policy, |wrong| {
                    findings.examine(entry.at_us, wrong.map(|wrong| format!("{id}: {wrong}")));
                });
            }
            _ => {}
        }
    }
    findings.unless(tables.is_some(), "retry")
}

impl Thread {
    /// Takes a line of the log; `examine` gets each case, with what is wrong.
    fn take(
        &mut self,
        entry: &Entry<Event>,
        line: &LogEvent,
        ahead: Ahead,
        policy: &Policy,
        mut examine: impl FnMut(Option<String>),
    ) {
        match line.evt {
            Evt::AttemptStarted | Evt::ResolveStarted => {
                let Some(due) = self.due.take() else {
                    return;
                };
                let early = !due.has_come(entry.at_us, ahead);
                examine(early.then(|| {
                    let before = Duration::from_micros(due.at_us - entry.at_us);
                    format!("an attempt started {before:?} before its time")
                }));
            }
            Evt::ProviderError | Evt::ProviderTimeout | Evt::ProviderAnswered | Evt::Resolved => {
                let logged = number(line, "retry_after_ms").map(Duration::from_millis);
                let sent = self.sent.and_then(|sent| sent.asks(line));
                self.ended = Some(Ended {
                    attempt: number(line, "attempt"),
                    host: entry.host.clone(),
                    boot: entry.boot,
                    at_us: entry.at_us,
                    asked: sent.max(logged),
                });
            }
            Evt::RetryScheduled | Evt::Deferred => {
                let wait_ms = number(line, "wait_ms").unwrap_or_default();
                let wait = Duration::from_millis(wait_ms);
                self.due = Some(Due {
                    at_us: entry.at_us + micros(wait),
                    ahead,
                });
                // The line follows the commit: by then, the next attempt may have begun, and even ended.
                let attempt = number(line, "attempt");
                let ended = self.ended.take_if(|ended| ended.attempt == attempt);
                let ended = ended.filter(|ended| {
                    line.evt == Evt::RetryScheduled
                        && ended.host == entry.host
                        && ended.boot == entry.boot
                });
                if let (Some(Ended { at_us, asked, .. }), Some(attempt)) = (ended, attempt) {
                    let decided = wait + Duration::from_micros(entry.at_us - at_us);
                    // A line that was written when its time had come, as a commit may take long, tells no more than that it had.
                    let exact = wait_ms > 0;
                    examine(out_of_bounds(decided, exact, attempt, asked, policy));
                }
            }
            // The next one is another entry's, or a repaired one's.
            Evt::DeadLettered | Evt::Confirmed | Evt::Cancelled | Evt::AuditRepair => {
                *self = Self::default();
            }
            _ => {}
        }
    }
}

fn number(line: &LogEvent, key: &str) -> Option<u64> {
    line.extra.get(key).and_then(serde_json::Value::as_u64)
}

/// What is wrong with a retry `wait` after `attempt`; one that is not `exact` may have been set earlier.
fn out_of_bounds(
    wait: Duration,
    exact: bool,
    attempt: u64,
    asked: Option<Duration>,
    policy: &Policy,
) -> Option<String> {
    let (least, most) = bounds(attempt, asked, policy);
    if wait + ROUNDING < least {
        let why = asked.map_or("the backoff's least", |_| "what the provider asked for");
        Some(format!(
            "a retry {wait:?} after attempt {attempt}, {why} is {least:?}"
        ))
    } else if exact && wait > most + ROUNDING {
        Some(format!(
            "a retry {wait:?} after attempt {attempt}, the backoff's most is {most:?}"
        ))
    } else {
        None
    }
}

/// The shortest and the longest wait after `attempt`. Full jitter: from a tenth of the base to the base doubled with each attempt, or the cap;
/// and never before the provider asked.
fn bounds(attempt: u64, asked: Option<Duration>, policy: &Policy) -> (Duration, Duration) {
    let (base, cap) = (policy.backoff.base, policy.backoff.cap);
    let doublings = u32::try_from(attempt.saturating_sub(1))
        .unwrap_or(31)
        .min(31);
    let asked = asked.unwrap_or_default().min(policy.retry_after_cap);
    let least = (base / 10).min(cap);
    let most = base.saturating_mul(1 << doublings).min(cap).max(least);
    (least.max(asked), most.max(asked))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    /// A first attempt that ended throttled, a retry `wait_ms` later, and an attempt at `again_ms`.
    fn retried(wait_ms: u64, again_ms: u64) -> fixture::Story {
        let at = |ms: u64| Timestamp::from_micros(i64::try_from(ms * 1000).unwrap());
        let line = |ms: u64, evt: Evt| {
            let mut line = fixture::log(evt).with("kind", "book").with("attempt", 1);
            line.time = at(ms);
            line
        };
        let failed = ProviderEvent::Failed {
            op: Operation::Book,
            key: "a-1".to_owned(),
            status: 429,
            processed: false,
            retry_after: Vec::new(),
        };
        let ended = line(30, Evt::ProviderError).with("outcome", "throttled");
        let retry = line(30, Evt::RetryScheduled).with("wait_ms", wait_ms);
        let mut story = fixture::without(fixture::confirmed(), |event| {
            matches!(event, Event::Provider(ProviderEvent::Booked { .. }))
                || fixture::is_log(event, Evt::ProviderAnswered)
                || fixture::is_log(event, Evt::Confirmed)
        });
        let place = story.iter().position(|(ms, ..)| *ms > 30).unwrap();
        let events: Vec<(u64, &'static str, Event)> = vec![
            (29, "provider-acme", Event::Provider(failed)),
            (30, "service", Event::Log(ended)),
            (30, "service", Event::Log(retry)),
            (
                again_ms,
                "service",
                Event::Log(line(again_ms, Evt::AttemptStarted)),
            ),
        ];
        story.splice(place..place, events);
        story
    }

    /// `story`, whose provider sent this `Retry-After`.
    fn asking(story: fixture::Story, value: &str) -> fixture::Story {
        fixture::edit(story, |event| {
            if let Event::Provider(ProviderEvent::Failed { retry_after, .. }) = event {
                retry_after.push(value.to_owned());
            }
        })
    }

    #[test]
    fn an_attempt_before_its_time_is_caught_and_a_patient_one_is_not() {
        fixture::catches(&ORACLE, &retried(100, 60), "started 70ms before its time");
        let findings = fixture::judge(&ORACLE, &retried(100, 130));
        assert_eq!((findings.checked, findings.violations.len()), (2, 0));
    }

    /// `story`, with these events before all that comes later.
    fn with(story: fixture::Story, events: &[(u64, Event)]) -> fixture::Story {
        let mut story = story;
        for (at_ms, event) in events {
            let place = story.iter().position(|(ms, ..)| ms >= at_ms).unwrap();
            story.insert(place, (*at_ms, "service", event.clone()));
        }
        story
    }

    /// Was asked to wait for five seconds, and did for four.
    fn patient() -> fixture::Story {
        asking(retried(5_000, 4_000), "5")
    }

    const AHEAD: Event = Event::StoreClock {
        ahead_us: 86_400_000_000,
    };
    const RIGHT: Event = Event::StoreClock { ahead_us: 0 };
    const BEHIND: Event = Event::StoreClock {
        ahead_us: -86_400_000_000,
    };
    const LEASED: Event = Event::Leased {
        entry: 1,
        before: 1,
        epoch: 2,
    };

    #[test]
    fn a_store_whose_clock_has_jumped_is_not_early() {
        let clean = |events: &[(u64, Event)]| {
            let story = with(patient(), events);
            assert_eq!(fixture::judge(&ORACLE, &story).violations, []);
        };
        clean(&[(2_000, AHEAD)]);
        // What was put off by a day and a little is put off by nobody.
        clean(&[(2_000, BEHIND)]);
        clean(&[(3_900, AHEAD), (3_950, RIGHT)]);
        // It has long been right again.
        let story = with(patient(), &[(1_000, AHEAD), (2_000, RIGHT)]);
        fixture::catches(&ORACLE, &story, "started 1.03s before its time");
    }

    #[test]
    fn a_lease_that_the_stores_clock_allowed_may_be_rescued_at_once() {
        let rescued = [(1_000, AHEAD), (1_001, LEASED), (1_500, RIGHT)];
        let story = with(patient(), &rescued);
        assert_eq!(fixture::judge(&ORACLE, &story).violations, []);
        let never_allowed = with(patient(), &rescued[1..]);
        fixture::catches(&ORACLE, &never_allowed, "started 1.03s before its time");
    }

    #[test]
    fn a_wait_outside_the_backoff_is_caught() {
        fixture::catches(&ORACLE, &retried(0, 40), "the backoff's least is 20ms");
        fixture::catches(&ORACLE, &retried(900, 990), "the backoff's most is 200ms");
    }

    #[test]
    fn a_retry_before_retry_after_is_caught_also_when_the_log_hides_it() {
        fixture::catches(
            &ORACLE,
            &asking(retried(100, 130), "3"),
            "what the provider asked for is 3s",
        );
        let obeyed = asking(retried(3_000, 3_030), "3");
        assert_eq!(fixture::judge(&ORACLE, &obeyed).violations, []);
    }

    #[test]
    fn a_date_asks_for_as_long_as_its_readers_clock_says() {
        let until = |wait_ms: u64, value: &str| asking(retried(wait_ms, wait_ms + 30), value);
        let date = "Thu, 01 Jan 1970 00:00:03 GMT";
        fixture::catches(
            &ORACLE,
            &until(100, date),
            "what the provider asked for is 2.97s",
        );
        for clean in [
            until(2_970, date),
            until(100, "soon"),
            until(100, "-1"),
            until(100, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            assert_eq!(fixture::judge(&ORACLE, &clean).violations, []);
        }
    }

    #[test]
    fn an_answer_that_was_not_taken_for_a_pause_asks_for_one_all_the_same() {
        let unread = |err: &str| {
            let story = asking(retried(100, 130), "3");
            fixture::edit(story, |event| {
                if let Event::Log(line) = event
                    && line.evt == Evt::ProviderError
                {
                    *line = line.clone().with("outcome", "unknown").with("err", err);
                }
            })
        };
        fixture::catches(
            &ORACLE,
            &unread("answered 429: throttled"),
            "what the provider asked for is 3s",
        );
        let unheard = unread("the connection was reset");
        assert_eq!(fixture::judge(&ORACLE, &unheard).violations, []);
    }

    #[test]
    fn a_line_that_follows_the_next_attempts_end_is_not_held_against_it() {
        let late = fixture::edit(retried(0, 40), |event| {
            if let Event::Log(line) = event
                && line.evt == Evt::ProviderError
            {
                line.extra.insert("attempt", 2);
            }
        });
        assert_eq!(fixture::judge(&ORACLE, &late).violations, []);
    }

    #[test]
    fn a_run_without_retries_has_no_case() {
        let findings = fixture::judge(&ORACLE, &fixture::confirmed());
        assert_eq!(findings.checked, 0);
        assert!(findings.not_applicable.is_some());
    }
}
