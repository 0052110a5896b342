//! Points in time as recorders write them, in nanoseconds since the Unix epoch.
//!
//! **Invariant**: a time is read in full or not at all; one before 1970 is none.
//! It deliberately takes a time without a zone for UTC: the writers that leave the zone out run on UTC hosts.

use jiff::{
    Timestamp,
    civil::DateTime,
    fmt::{rfc2822, strtime},
    tz::TimeZone,
};

fn nanoseconds(timestamp: Timestamp) -> Option<u64> {
    u64::try_from(timestamp.as_nanosecond()).ok()
}

/// ISO 8601: any offset, any number of fraction digits.
pub(crate) fn iso(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return nanoseconds(timestamp);
    }
    let civil: DateTime = text.parse().ok()?;
    nanoseconds(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// An HTTP date: `Tue, 15 Nov 1994 08:12:31 GMT`.
pub(crate) fn http_date(text: &str) -> Option<u64> {
    let zoned = rfc2822::parse(text.trim()).ok()?;
    nanoseconds(zoned.timestamp())
}

/// nginx's `$time_local`: `10/Oct/2000:13:55:36 -0700`.
pub(crate) fn time_local(text: &str) -> Option<u64> {
    let broken = strtime::parse("%d/%b/%Y:%H:%M:%S %z", text.trim()).ok()?;
    nanoseconds(broken.to_timestamp().ok()?)
}

/// Seconds with a decimal fraction, to the last digit: `1700000000.123`.
pub(crate) fn decimal_seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) || whole.starts_with('+') {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    whole
        .checked_mul(1_000_000_000)?
        .checked_add(digits.parse().ok()?)
}

/// Whichever of these it is; a bare number is seconds, milliseconds, microseconds or nanoseconds by its size.
pub(crate) fn any(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &text.as_bytes()[digits..];
    if digits > 4 && matches!(rest.first(), None | Some(b'.')) {
        let whole: u64 = text[..digits].parse().ok()?;
        return match digits {
            ..=11 => decimal_seconds(text),
            12..=14 => whole.checked_mul(1_000_000),
            15..=17 => whole.checked_mul(1_000),
            _ => Some(whole),
        };
    }
    iso(text)
        .or_else(|| time_local(text))
        .or_else(|| http_date(text))
}

/// Floating seconds, as Python writes them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be within the range"
)]
pub(crate) fn float_seconds(seconds: f64) -> Option<u64> {
    let within = seconds.is_finite() && (0.0..1e10).contains(&seconds);
    // A double holds a time of today to a quarter of a microsecond; what is below it is noise.
    within.then(|| {
        seconds.trunc() as u64 * 1_000_000_000 + (seconds.fract() * 1e6).round() as u64 * 1_000
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn times_are_read_in_every_spelling() {
        let expected = Some(1_700_000_000 * SECOND + 123_000_000);
        for text in [
            "2023-11-14T22:13:20.123Z",
            "2023-11-14T22:13:20.1230000+00:00",
            "2023-11-14T15:13:20.123-07:00",
            "2023-11-14T15:13:20.123-0700",
            "2023-11-14T22:13:20.123",
            " 2023-11-14 22:13:20.123Z ",
        ] {
            assert_eq!(iso(text), expected, "{text}");
        }
        assert_eq!(decimal_seconds("1700000000.123"), expected);
        assert_eq!(float_seconds(1_700_000_000.123), expected);
        for text in [
            "1700000000.123",
            "1700000000123",
            "1700000000123000",
            "1700000000123000000",
        ] {
            assert_eq!(any(text), expected, "{text}");
        }
        let whole = Some(1_700_000_000 * SECOND);
        assert_eq!(any("14/Nov/2023:15:13:20 -0700"), whole);
        assert_eq!(decimal_seconds("1700000000"), whole);
        assert_eq!(http_date("Tue, 14 Nov 2023 22:13:20 GMT"), whole);
        assert_eq!(time_local("14/Nov/2023:15:13:20 -0700"), whole);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2023-13-01T00:00:00Z",
            "-5",
            "1969-01-01T00:00:00Z",
        ] {
            assert_eq!(iso(text), None, "{text}");
        }
        for text in ["", "x", "-1.5", "1.-5", "1.x", "99999999999999999999"] {
            assert_eq!(decimal_seconds(text), None, "{text}");
        }
        assert_eq!(float_seconds(f64::NAN), None);
        assert_eq!(float_seconds(-1.0), None);
    }
}
