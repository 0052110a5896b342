//! Causes in numbers: rounding, and numbers written as texts.
//!
//! **Invariant**: rounding is done in decimal digits, as the services do it for people, never in binary.

use crate::{
    hypothesis::{
        cause::{Cause, Class},
        place::{Example, Fate, Place},
        value::in_legacy,
    },
    json::{Json, Number},
};

/// More digits are no rounding anybody would choose.
const MOST_DIGITS: usize = 12;

pub(super) fn causes<'c>(place: &'c Place, examples: &[Example]) -> Vec<Cause<'c>> {
    let numbers: Vec<(&str, &str)> = examples
        .iter()
        .filter_map(|one| match (&one.legacy, &one.candidate) {
            (Some(Json::Number(a)), Some(Json::Number(b))) => Some((a.text(), b.text())),
            _ => None,
        })
        .collect();
    let mut causes = Vec::new();
    if numbers.is_empty() {
        causes.extend(quoted(place, examples));
        return causes;
    }
    let decimals = |text: &str| {
        text.split_once('.')
            .map_or(0, |(_, fraction)| fraction.len())
    };
    let most = numbers.iter().map(|(_, b)| decimals(b)).max().unwrap_or(0);
    for digits in [most, 0, 1, 2] {
        if digits > MOST_DIGITS {
            continue;
        }
        for (said, mode) in [
            ("rounded", Mode::HalfUp),
            ("rounded half to even", Mode::HalfEven),
            ("cut", Mode::Cut),
            ("rounded up", Mode::Up),
        ] {
            let said = format!("numbers at {} are {said} to {digits} decimals", place.path);
            let change = move |value: Option<&Json<'_>>| match value {
                Some(Json::Number(number)) => rounded(number.text(), digits, mode)
                    .map_or(Fate::Stays, |text| {
                        Fate::Becomes(Json::Number(Number::from_text(text)))
                    }),
                _ => Fate::Stays,
            };
            causes.push(Cause::new(Class::Rounding, said, in_legacy(place, change)));
        }
    }
    let unit = 10.0_f64.powi(-i32::try_from(most.min(MOST_DIGITS)).unwrap_or(0));
    let near = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= unit * 1.000_001,
        _ => false,
    };
    if most > 0 && numbers.iter().all(|(a, b)| near(a, b)) {
        let said = format!(
            "numbers at {} are at most one unit of their last decimal apart",
            place.path
        );
        let undo: crate::hypothesis::cause::Undo<'c> = Box::new(move |one| {
            let (a, b) = (place.number(one.legacy)?, place.number(one.candidate)?);
            let fits = a != b
                && (a.parse::<f64>().ok()? - b.parse::<f64>().ok()?).abs() <= unit * 1.000_001;
            let change = |value: Option<&Json<'_>>| match value {
                Some(Json::Number(_)) if fits => {
                    Fate::Becomes(Json::Number(Number::from_text(b.clone())))
                }
                _ => Fate::Stays,
            };
            Some((place.changed(one.legacy, &change)?, one.candidate.clone()))
        });
        causes.push(Cause::new(Class::Rounding, said, undo));
    }
    causes
}

/// A number where the other side has a text of it, or a truth value.
fn quoted<'c>(place: &'c Place, examples: &[Example]) -> Vec<Cause<'c>> {
    let scalar = |value: &Option<Json<'static>>| {
        matches!(
            value,
            Some(Json::String(_) | Json::Number(_) | Json::Bool(_))
        )
    };
    if !examples.iter().any(|one| {
        scalar(&one.legacy)
            && scalar(&one.candidate)
            && one.legacy.as_ref().map(Json::kind) != one.candidate.as_ref().map(Json::kind)
    }) {
        return Vec::new();
    }
    let said = format!(
        "the value at {} is written as another type: a number or a truth value as a text",
        place.path
    );
    let change = |value: Option<&Json<'_>>| match value {
        Some(Json::Number(number)) => Fate::Becomes(Json::String(number.text().to_owned().into())),
        Some(Json::Bool(value)) => Fate::Becomes(Json::String(value.to_string().into())),
        _ => Fate::Stays,
    };
    vec![Cause::new(
        Class::Encoding,
        said,
        super::in_both(place, change),
    )]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    HalfUp,
    HalfEven,
    Cut,
    Up,
}

/// A plain decimal with so many decimals; `None` for what is written with an exponent or is too long.
fn rounded(text: &str, digits: usize, mode: Mode) -> Option<String> {
    let (sign, plain) = text
        .strip_prefix('-')
        .map_or(("", text), |plain| ("-", plain));
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let exponent = text.contains(['e', 'E']);
    if exponent || fraction.len() <= digits || whole.len() + digits > 30 {
        return None;
    }
    let (kept, rest) = fraction.split_at(digits);
    let mut value: u128 = format!("{whole}{kept}").parse().ok()?;
    let rest_is_zero = rest.bytes().all(|digit| digit == b'0');
    let half = rest.as_bytes()[0];
    let exactly_half = half == b'5' && rest[1..].bytes().all(|digit| digit == b'0');
    let up = match mode {
        Mode::Cut => false,
        Mode::Up => !rest_is_zero,
        Mode::HalfUp => half >= b'5',
        Mode::HalfEven => half >= b'5' && (!exactly_half || value % 2 == 1),
    };
    value += u128::from(up);
    let text = format!("{value:0>width$}", width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    Some(if digits == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_in_decimal() {
        let check = |text: &str, digits, mode, expect: Option<&str>| {
            assert_eq!(
                rounded(text, digits, mode).as_deref(),
                expect,
                "{text} {mode:?}"
            );
        };
        check("2.675", 2, Mode::HalfUp, Some("2.68"));
        check("2.665", 2, Mode::HalfEven, Some("2.66"));
        check("2.675", 2, Mode::Cut, Some("2.67"));
        check("2.671", 2, Mode::Up, Some("2.68"));
        check("-0.005", 2, Mode::HalfUp, Some("-0.01"));
        check("9.99", 0, Mode::HalfUp, Some("10"));
        check("1.5", 2, Mode::HalfUp, None);
        check("1.25e3", 1, Mode::Cut, None);
    }
}
