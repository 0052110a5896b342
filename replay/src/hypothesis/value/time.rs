//! Causes in times: zones and clocks.
//!
//! **Invariant**: a shift of whole quarters of an hour is a zone's; any other is a clock's.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime},
};

use crate::{
    hypothesis::{
        cause::{Cause, Class},
        place::{Example, Place},
        value::{in_both, text_change},
    },
    json::Json,
    rules::instant,
};

/// All zones are whole quarters of an hour from UTC.
const QUARTER_S: i64 = 900;

/// A clock's error may drift by this much while a capture runs.
const DRIFT_S: i64 = 5;

pub(super) fn causes<'c>(place: &'c Place, examples: &[Example]) -> Vec<Cause<'c>> {
    let texts: Vec<(&str, &str)> = examples
        .iter()
        .filter_map(|one| match (&one.legacy, &one.candidate) {
            (Some(Json::String(a)), Some(Json::String(b))) => Some((a.as_ref(), b.as_ref())),
            _ => None,
        })
        .filter(|(a, b)| local(a).is_some() && local(b).is_some())
        .collect();
    if texts.is_empty() {
        return days(place, examples).into_iter().collect();
    }
    let mut causes = vec![
        Cause::new(
            Class::TimeZone,
            format!(
                "the same instant is written in another zone at {}",
                place.path
            ),
            in_both(
                place,
                text_change(|text| instant(text, None).map(|instant| instant.to_string())),
            ),
        ),
        Cause::new(
            Class::TimeZone,
            format!(
                "the clock's time at {} is the same, its offset is lost or another",
                place.path
            ),
            in_both(
                place,
                text_change(|text| local(text).map(|local| local.to_string())),
            ),
        ),
    ];
    let mut shifts: Vec<i64> = texts.iter().filter_map(|(a, b)| shift_s(a, b)).collect();
    shifts.sort_unstable();
    if let Some(shift) = shifts.get(shifts.len() / 2).copied() {
        if shifts.iter().all(|shift| shift % QUARTER_S == 0) {
            shifts.dedup();
            for shift in shifts.iter().copied().filter(|shift| *shift != 0).take(4) {
                let said = format!("times at {} are {} off", place.path, told(shift));
                // Only some times may be off: those that are not stay as they are.
                let undo: crate::hypothesis::cause::Undo<'c> = Box::new(move |one| {
                    let (a, b) = (place.value(one.legacy)?, place.value(one.candidate)?);
                    let moved = shifted(&a, shift).filter(|moved| *moved == b)?;
                    let change = text_change(move |_| Some(moved.clone()));
                    Some((place.changed(one.legacy, &change)?, one.candidate.clone()))
                });
                causes.push(Cause::new(Class::TimeZone, said, undo));
            }
            if shifts.len() == 2 && (shifts[1] - shifts[0]) % QUARTER_S == 0 {
                // Some days an hour more or less than on others: daylight saving time.
                let said = format!(
                    "times at {} are {} or {} off: a zone with daylight saving time",
                    place.path,
                    told(shifts[0]),
                    told(shifts[1])
                );
                let change = text_change(|text| {
                    let s = seconds(text)?;
                    Timestamp::from_second(s - s.rem_euclid(QUARTER_S * 4 * 24))
                        .ok()
                        .map(|day| day.to_string())
                });
                causes.push(Cause::new(Class::TimeZone, said, in_both(place, change)));
            }
        } else {
            let said = format!(
                "the clock behind {} is about {} off",
                place.path,
                told(shift)
            );
            let near = DRIFT_S.max(shift.abs() / 2);
            let undo: crate::hypothesis::cause::Undo<'c> = Box::new(move |one| {
                let value = |answer| place.value(answer);
                let (a, b) = (value(one.legacy)?, value(one.candidate)?);
                let apart = shift_s(&a, &b)?;
                let fits = apart != 0 && (apart - shift).abs() <= near;
                let change = text_change(move |_| fits.then(|| b.clone()));
                Some((place.changed(one.legacy, &change)?, one.candidate.clone()))
            });
            causes.push(Cause::new(Class::Clock, said, undo));
        }
    }
    causes
}

/// Dates without a time that are the day before or after.
fn days<'c>(place: &'c Place, examples: &[Example]) -> Option<Cause<'c>> {
    let next = |one: &Example| match (&one.legacy, &one.candidate) {
        (Some(Json::String(a)), Some(Json::String(b))) => is_next_day(a, b),
        _ => false,
    };
    if !examples.iter().any(next) {
        return None;
    }
    let said = format!(
        "the day at {} is one off: it is that of another zone",
        place.path
    );
    let undo: crate::hypothesis::cause::Undo<'c> = Box::new(move |one| {
        let (a, b) = (place.value(one.legacy)?, place.value(one.candidate)?);
        let fits = is_next_day(&a, &b);
        let change = text_change(move |_| fits.then(|| b.clone()));
        Some((place.changed(one.legacy, &change)?, one.candidate.clone()))
    });
    Some(Cause::new(Class::TimeZone, said, undo))
}

/// Whether two texts are dates, nothing more, and one day apart.
fn is_next_day(one: &str, other: &str) -> bool {
    let date = |text: &str| {
        text.parse::<Date>()
            .ok()
            .filter(|_| text.len() == "2030-01-31".len())
    };
    let days = |(a, b): (Date, Date)| a.until(b).ok().map(|span| span.get_days());
    date(one)
        .zip(date(other))
        .and_then(days)
        .is_some_and(|days| days.abs() == 1)
}

/// What the clock on the wall showed, without its offset.
fn local(text: &str) -> Option<DateTime> {
    let clock = text.find(['T', 't', ' '])?;
    let zone = text[clock..]
        .find(['Z', 'z', '+', '-'])
        .map_or(text.len(), |at| clock + at);
    text[..zone].parse().ok()
}

/// Seconds since 1970; a time without an offset as if it were UTC.
fn seconds(text: &str) -> Option<i64> {
    instant(text, Some(jiff::tz::Offset::UTC)).map(Timestamp::as_second)
}

fn shift_s(legacy: &str, candidate: &str) -> Option<i64> {
    Some(seconds(candidate)? - seconds(legacy)?)
}

/// A time that much later, in its own zone.
fn shifted(text: &str, shift: i64) -> Option<String> {
    let instant = instant(text, Some(jiff::tz::Offset::UTC))?;
    let later = instant.checked_add(SignedDuration::from_secs(shift)).ok()?;
    if text.parse::<Timestamp>().is_ok() {
        let zone = text.rfind(['Z', 'z', '+', '-'])?;
        let offset_s = (local(text)?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second())
            - instant.as_second();
        let offset = jiff::tz::Offset::from_seconds(i32::try_from(offset_s).ok()?).ok()?;
        return Some(format!("{}{}", offset.to_datetime(later), &text[zone..]));
    }
    Some(jiff::tz::Offset::UTC.to_datetime(later).to_string())
}

fn told(shift: i64) -> String {
    let sign = if shift < 0 { "-" } else { "+" };
    let s = shift.unsigned_abs();
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{sign}{s} s"),
        (0, m, 0) => format!("{sign}{m} min"),
        (h, 0, 0) => format!("{sign}{h} h"),
        (h, m, s) => format!("{sign}{h}:{m:02}:{s:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shifted_in_their_own_zone() {
        let check = |text: &str, shift: i64, expect: &str| {
            assert_eq!(shifted(text, shift).as_deref(), Some(expect));
        };
        check(
            "2026-03-01T09:30:00-05:00",
            3_600,
            "2026-03-01T10:30:00-05:00",
        );
        check("2026-03-01T09:30:00Z", -1_800, "2026-03-01T09:00:00Z");
        check("2026-03-01T09:30:00", 60, "2026-03-01T09:31:00");
        assert_eq!(told(-3_600), "-1 h");
        assert_eq!(told(5_400), "+1:30:00");
    }
}
