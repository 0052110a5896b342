//! Numbers as they were written, equal by exact decimal value.
//!
//! **Invariant**: no two numbers are equal because binary floating point, or an exponent that no machine number holds, cannot tell them apart.

use std::borrow::Cow;

/// Powers of ten are computed with up to here: beyond any number that means something, and so far from `i64`'s end that no text overflows it.
const EXPONENT: i64 = i64::MAX / 4;

/// A number as it was written.
#[derive(Clone, Debug)]
pub struct Number<'a>(Cow<'a, str>);

impl<'a> Number<'a> {
    /// A number from its text, which the caller knows to be one.
    pub fn from_text(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The nearest binary floating point number.
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// Bytes that are equal for equal values.
    pub(crate) fn digested(&self) -> Cow<'_, [u8]> {
        let text = self.0.as_bytes();
        let plain = text.iter().all(u8::is_ascii_digit) && !text.ends_with(b"0");
        if plain {
            return Cow::Borrowed(text);
        }
        let Some((negative, mut digits, exponent)) = self.canonical() else {
            return Cow::Owned([b"~", text].concat());
        };
        if exponent == 0 && !negative && !digits.is_empty() {
            return Cow::Owned(digits);
        }
        digits.push(if negative { b'-' } else { b'+' });
        digits.extend_from_slice(&exponent.to_le_bytes());
        Cow::Owned(digits)
    }

    /// The power of ten of its last significant digit; of a number beyond all measure, one beyond all others.
    pub fn power(&self) -> i64 {
        self.canonical().map_or(i64::MAX, |(.., power)| power)
    }

    /// It in units of a power of ten; `None` where that is no whole number of 38 digits.
    pub fn in_units(&self, power: i64) -> Option<i128> {
        let (negative, digits, exponent) = self.canonical()?;
        let digits = std::str::from_utf8(&digits).ok()?;
        let value: i128 = if digits.is_empty() {
            0
        } else {
            digits.parse().ok()?
        };
        let shift = u32::try_from(exponent.checked_sub(power)?).ok();
        let value = match shift {
            _ if value == 0 => 0,
            shift => value.checked_mul(10_i128.checked_pow(shift?)?)?,
        };
        Some(if negative { -value } else { value })
    }

    /// Sign, significant digits and the power of ten of the last one: equal for equal values. `None` where the exponent is beyond [`EXPONENT`]:
    /// such a number is equal to itself, as it is written, and to no other.
    fn canonical(&self) -> Option<(bool, Vec<u8>, i64)> {
        let text = self.0.as_bytes();
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mantissa_end = text
            .iter()
            .position(|byte| matches!(byte, b'e' | b'E'))
            .unwrap_or(text.len());
        let written = text.get(mantissa_end + 1..).unwrap_or_default();
        let stated = match std::str::from_utf8(written) {
            Ok("") => Some(0),
            Ok(digits) => digits.parse::<i64>().ok(),
            Err(_) => None,
        };
        let stated = stated.filter(|exponent| exponent.abs() <= EXPONENT);
        let mut exponent = stated.unwrap_or(0);
        let mut digits = Vec::with_capacity(mantissa_end);
        let mut fraction = false;
        for byte in &text[..mantissa_end] {
            if *byte == b'.' {
                fraction = true;
            } else {
                digits.push(*byte);
                exponent -= i64::from(fraction);
            }
        }
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent += 1;
        }
        let leading = digits.iter().take_while(|byte| **byte == b'0').count();
        digits.drain(..leading);
        if digits.is_empty() {
            return Some((false, digits, 0));
        }
        stated.map(|_| (negative, digits, exponent))
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
            || matches!((self.canonical(), other.canonical()), (Some(a), Some(b)) if a == b)
    }
}
impl Eq for Number<'_> {}
