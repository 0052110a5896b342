//! Instants however they are written: with any offset, any precision, as RFC 2822 dates or as seconds since 1970.
//!
//! **Invariant**: a text without an offset is an instant only where the rule says which offset it means; nothing is guessed.
//! It deliberately knows fixed offsets only: what a zone's clocks showed on a day is data that changes from machine to machine.

use jiff::{
    Timestamp,
    civil::DateTime,
    fmt::rfc2822,
    tz::{Offset, TimeZone},
};

use crate::json::Json;

/// When two written times are the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Instants {
    /// At most this many seconds apart.
    pub within_s: f64,
    /// Both are cut to multiples of this many nanoseconds first.
    pub precision_ns: Option<i128>,
    /// What a legacy time without an offset means.
    pub legacy_offset: Option<Offset>,
    /// What a candidate's time without an offset means.
    pub candidate_offset: Option<Offset>,
    /// What a number means: so many of them are a second; `None` reads no numbers.
    pub epoch_per_s: Option<i128>,
}

impl Instants {
    /// Whether both are times, and the same.
    pub fn same(&self, legacy: &Json<'_>, candidate: &Json<'_>) -> bool {
        let legacy = self.instant_ns(legacy, self.legacy_offset);
        let candidate = self.instant_ns(candidate, self.candidate_offset);
        let (Some(a), Some(b)) = (legacy, candidate) else {
            return false;
        };
        let cut = |ns: i128| match self.precision_ns {
            Some(unit) => ns.div_euclid(unit) * unit,
            None => ns,
        };
        (cut(a) - cut(b)).unsigned_abs() as f64 <= self.within_s * 1e9
    }

    fn instant_ns(&self, value: &Json<'_>, offset: Option<Offset>) -> Option<i128> {
        match value {
            Json::String(text) => instant(text, offset)
                .map(Timestamp::as_nanosecond)
                .or_else(|| self.epoch_ns(text)),
            Json::Number(number) => self.epoch_ns(number.text()),
            _ => None,
        }
    }

    /// A number of seconds, milliseconds... since 1970, exactly.
    fn epoch_ns(&self, text: &str) -> Option<i128> {
        let unit_ns = 1_000_000_000 / self.epoch_per_s?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let mut ns = whole.parse::<i128>().ok()?.checked_mul(unit_ns)?;
        let mut digit_ns = unit_ns;
        for digit in fraction.bytes() {
            digit_ns /= 10;
            let value = i128::from(char::from(digit).to_digit(10)?) * digit_ns;
            ns += if whole.starts_with('-') {
                -value
            } else {
                value
            };
        }
        Some(ns)
    }
}

/// The instant that a text names: RFC 3339 or RFC 2822; without an offset, at `offset`.
pub(crate) fn instant(text: &str, offset: Option<Offset>) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    if let (Some(offset), Ok(local)) = (offset, text.parse::<DateTime>()) {
        let zoned = local.to_zoned(TimeZone::fixed(offset));
        return zoned.ok().map(|zoned| zoned.timestamp());
    }
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// `Z`, `+01:00`, `-05:30`.
///
/// # Errors
/// For people: what was found.
pub(super) fn offset(text: &str) -> Result<Offset, String> {
    if matches!(text, "Z" | "z" | "UTC") {
        return Ok(Offset::UTC);
    }
    let read = || {
        let (sign, rest) = match text.as_bytes().first()? {
            b'+' => (1, &text[1..]),
            b'-' => (-1, &text[1..]),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        let fits = (0..=23).contains(&hours) && (0..60).contains(&minutes);
        fits.then(|| Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok())?
    };
    read().ok_or_else(|| format!("{text:?}"))
}

/// `1s`, `100ms`, `1m`: in nanoseconds.
///
/// # Errors
/// For people: what was found.
pub(super) fn unit_ns(text: &str) -> Result<i128, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ns = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => 0,
    };
    match number.parse::<i128>() {
        Ok(number) if number > 0 && unit_ns > 0 && number < 1_000_000 => Ok(number * unit_ns),
        _ => Err(format!("{text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    const EXACT: Instants = Instants {
        within_s: 0.0,
        precision_ns: None,
        legacy_offset: None,
        candidate_offset: None,
        epoch_per_s: None,
    };

    fn check(instants: &Instants, legacy: &str, candidate: &str, same: bool) {
        let read = |text: &'static str| parse(text.as_bytes()).expect("JSON");
        let (a, b): (&'static str, &'static str) = (
            Box::leak(legacy.to_owned().into_boxed_str()),
            Box::leak(candidate.to_owned().into_boxed_str()),
        );
        assert_eq!(
            instants.same(&read(a), &read(b)),
            same,
            "{legacy} {candidate} {instants:?}"
        );
    }

    #[test]
    fn instants_are_the_same_however_they_are_written() {
        check(
            &EXACT,
            r#""2026-01-01T10:00:00Z""#,
            r#""2026-01-01T11:00:00.000+01:00""#,
            true,
        );
        check(
            &EXACT,
            r#""2026-01-01T10:00:00Z""#,
            r#""Thu, 1 Jan 2026 10:00:00 GMT""#,
            true,
        );
        check(
            &EXACT,
            r#""2026-01-01T10:00:00Z""#,
            r#""2026-01-01T11:00:00Z""#,
            false,
        );
        check(
            &EXACT,
            r#""2026-01-01T10:00:00Z""#,
            r#""2026-01-01T10:00:00""#,
            false,
        );
        check(&EXACT, r#""2026-01-01T10:00:00Z""#, "1767261600", false);
        let seconds = Instants {
            epoch_per_s: Some(1),
            ..EXACT
        };
        check(&seconds, r#""2026-01-01T10:00:00Z""#, "1767261600", true);
        check(
            &seconds,
            r#""2026-01-01T10:00:00.5Z""#,
            r#""1767261600.5""#,
            true,
        );
        let millis = Instants {
            epoch_per_s: Some(1_000),
            ..EXACT
        };
        check(
            &millis,
            "1767261600001",
            r#""2026-01-01T10:00:00.001Z""#,
            true,
        );
        check(&millis, "1767261600001", r#""2026-01-01T10:00:00Z""#, false);
        let cut = Instants {
            precision_ns: Some(1_000_000_000),
            ..EXACT
        };
        check(
            &cut,
            r#""2026-01-01T10:00:00.999Z""#,
            r#""2026-01-01T10:00:00Z""#,
            true,
        );
        check(
            &cut,
            r#""2026-01-01T10:00:00.999Z""#,
            r#""2026-01-01T10:00:01Z""#,
            false,
        );
        let local = Instants {
            legacy_offset: offset("+02:00").ok(),
            ..EXACT
        };
        check(
            &local,
            r#""2026-01-01 12:00:00""#,
            r#""2026-01-01T10:00:00Z""#,
            true,
        );
        check(
            &local,
            r#""2026-01-01 12:00:00""#,
            r#""2026-01-01 12:00:00""#,
            false,
        );
    }

    #[test]
    fn offsets_and_units_are_read() {
        assert_eq!(offset("-05:30").map(Offset::seconds), Ok(-19_800));
        assert_eq!(offset("Z").map(Offset::seconds), Ok(0));
        for text in ["", "CET", "+1", "+24:00", "+01:60", "01:00"] {
            assert!(offset(text).is_err(), "{text}");
        }
        assert_eq!(unit_ns("10ms"), Ok(10_000_000));
        for text in ["", "1", "s", "0s", "1y", "-1s"] {
            assert!(unit_ns(text).is_err(), "{text}");
        }
    }
}
