//! Reading a provider's Retry-After.
//!
//! The one invariant: what is read is bounded, and never earlier than the provider asked, short of the bound.
//! It deliberately does not decide the delay; [`crate::delivery::next`] takes it as a floor.

use core::time::Duration;

use jiff::{
    civil,
    fmt::{rfc2822, strtime},
    tz::TimeZone,
};

use crate::time::Timestamp;

/// The longest wait that is read. A policy's own cap is usually lower.
const CEILING: Duration = Duration::from_hours(24);

/// How long a Retry-After asks to wait: delta-seconds or an HTTP-date in any of its three forms.
///
/// A date in the past is no wait. Values beyond a day are a day. Negative numbers, fractions, NaN and anything else
/// give `None`. Several headers, joined by commas, give the longest wait that any of them asks.
pub fn parse_retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let mut longest = None;
    let mut parts = header.split(',');
    while let Some(part) = parts.next() {
        let asked = match delta_seconds(part) {
            Some(asked) => Some(asked),
            // A date may hold one comma, after its weekday.
            None if is_weekday(part) => parts.next().and_then(|rest| date(part, rest, now)),
            None => asctime(part, now),
        };
        longest = longest.max(asked);
    }
    longest
}

fn delta_seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Digits that overflow ask for longer than the ceiling.
    let seconds = text.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).min(CEILING))
}

fn is_weekday(text: &str) -> bool {
    let text = text.trim();
    text.len() >= 3 && text.bytes().all(|b| b.is_ascii_alphabetic())
}

fn date(weekday: &str, rest: &str, now: Timestamp) -> Option<Duration> {
    let rest = rest.trim();
    // RFC 1123, without its weekday: a wrong one is no reason to call too early.
    let _ = weekday;
    if let Ok(at) = rfc2822::DateTimeParser::new().parse_timestamp(rest) {
        return Some(wait(at, now));
    }
    civil_date("%d-%b-%y %H:%M:%S GMT", rest, now)
}

fn asctime(text: &str, now: Timestamp) -> Option<Duration> {
    civil_date("%a %b %e %H:%M:%S %Y", text.trim(), now)
}

fn civil_date(format: &str, text: &str, now: Timestamp) -> Option<Duration> {
    let broken = strtime::parse(format, text).ok()?;
    let at: civil::DateTime = broken.to_datetime().ok()?;
    Some(wait(at.to_zoned(TimeZone::UTC).ok()?.timestamp(), now))
}

fn wait(at: jiff::Timestamp, now: Timestamp) -> Duration {
    Timestamp::from_micros(at.as_microsecond())
        .since(now)
        .min(CEILING)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 6 November 1994, 08:49:37 UTC.
    const NOW: Timestamp = Timestamp::from_secs(784_111_777);

    fn check(header: &str, expect: Option<u64>) {
        let asked = parse_retry_after(header, NOW);
        assert_eq!(asked, expect.map(Duration::from_secs), "{header:?}");
    }

    #[test]
    fn delta_seconds_are_bounded() {
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("86401", Some(86_400));
        check("99999999999999999999999999", Some(86_400));
    }

    #[test]
    fn nonsense_is_no_wait_of_its_own() {
        for bad in [
            "", "-1", "-0", "NaN", "1.5", "1e9", "inf", "soon", "+5", "Sun, 99",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn dates_in_all_three_forms() {
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sunday, 06-Nov-94 08:50:37 GMT", Some(60));
        check("Sun Nov  6 08:50:37 1994", Some(60));
    }

    #[test]
    fn a_past_date_is_no_wait_and_a_far_one_is_bounded() {
        check("Sun, 06 Nov 1994 08:49:36 GMT", Some(0));
        check("Sun, 06 Nov 2094 08:49:36 GMT", Some(86_400));
    }

    #[test]
    fn two_headers_never_give_an_earlier_time_than_either() {
        check("5, 120", Some(120));
        check("120, -5", Some(120));
        check("Sun, 06 Nov 1994 08:50:37 GMT, 5", Some(60));
        check("90, Sun, 06 Nov 1994 08:50:37 GMT", Some(90));
    }
}
