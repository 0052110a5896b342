//! Whether two numbers are so near that a rule takes them for the same.
//!
//! **Invariant**: where both numbers and the tolerance have at most 38 digits together, the answer is that of decimal arithmetic: two identifiers
//! beyond 2^53 are never the same because binary floating point cannot tell them apart.

use crate::json::Number;

/// Whether `a` and `b` are at most `absolute` apart, or `relative` times the larger one of them.
pub(super) fn near(a: &Number<'_>, b: &Number<'_>, absolute: f64, relative: f64) -> bool {
    let exact = |tolerance: f64, is_relative: bool| exactly(a, b, tolerance, is_relative);
    let within = |exact: Option<bool>, limit: f64| {
        exact.unwrap_or_else(|| {
            let (a, b) = (a.as_f64(), b.as_f64());
            // Decimals that are exactly so far apart are, in binary, often a hair further.
            let hair = 4.0 * f64::EPSILON * a.abs().max(b.abs());
            limit > 0.0 && (a - b).abs() <= limit + hair
        })
    };
    let larger = a.as_f64().abs().max(b.as_f64().abs());
    within(exact(absolute, false), absolute) || within(exact(relative, true), relative * larger)
}

/// The same by decimal arithmetic; `None` where that takes more than 38 digits.
fn exactly(a: &Number<'_>, b: &Number<'_>, tolerance: f64, relative: bool) -> Option<bool> {
    let tolerance = Number::from_text(tolerance.to_string());
    let power = a.power().min(b.power());
    let power = if relative {
        power
    } else {
        power.min(tolerance.power())
    };
    let (a, b) = (a.in_units(power)?, b.in_units(power)?);
    let apart = a.checked_sub(b)?.checked_abs()?;
    if !relative {
        return Some(apart <= tolerance.in_units(power)?);
    }
    let fine = tolerance.power().min(0);
    let scale = 10_i128.checked_pow(u32::try_from(-fine).ok()?)?;
    let larger = a.checked_abs()?.max(b.checked_abs()?);
    Some(apart.checked_mul(scale)? <= larger.checked_mul(tolerance.in_units(fine)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, (absolute, relative): (f64, f64), expect: bool) {
        let of = |text: &str| Number::from_text(text.to_owned());
        assert_eq!(near(&of(a), &of(b), absolute, relative), expect, "{a} {b}");
        assert_eq!(near(&of(b), &of(a), absolute, relative), expect, "{b} {a}");
    }

    #[test]
    fn decimals_are_as_far_apart_as_they_are_written() {
        check("0.1", "0.2", (0.1, 0.0), true);
        check("0.1", "0.3", (0.2, 0.0), true);
        check("0.1", "0.30001", (0.2, 0.0), false);
        check("-1", "1", (2.0, 0.0), true);
        check("-1", "1", (1.999, 0.0), false);
        check("100", "101", (0.0, 0.01), true);
        check("100", "102", (0.0, 0.01), false);
        check("1e3", "1000.0", (0.0, 0.0), true);
        check("0", "0.0", (0.0, 0.0), true);
        check("1e-7", "2e-7", (1e-7, 0.0), true);
    }

    #[test]
    fn large_numbers_are_told_apart() {
        check("9007199254740993", "9007199254740995", (1.0, 0.0), false);
        check("9007199254740993", "9007199254740995", (2.0, 0.0), true);
        check(
            "123456789012345678901",
            "123456789012345678903",
            (1.0, 0.0),
            false,
        );
    }

    #[test]
    fn numbers_of_any_size_have_an_answer() {
        check("1e300", "1.0000001e300", (0.0, 1e-6), true);
        check("1e300", "1.1e300", (1.0, 1e-6), false);
        check("1e400", "2e400", (1.0, 0.5), true);
        check("1e400", "2e400", (1.0, 0.4), false);
        check("1e-300", "2e-300", (1e-9, 0.0), true);
    }
}
