//! JSON scalars as exporters write them: numbers in quotes, text without them, null for nothing.
//!
//! **Invariant**: nothing is guessed: what is neither the kind that is meant nor plainly means it is an error.

use std::{borrow::Cow, fmt, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

/// Text, borrowed where it holds no escapes; a number or a boolean is its text, null is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(if value { "true" } else { "false" })))
            }
            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(Of)
    }
}

/// A list; null is an empty one.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A number, in quotes or not; null and empty quotes are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Number(pub(crate) Option<f64>);

impl Number {
    /// As a whole number, if it is one that is not negative.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and a negative number is none"
    )]
    pub(crate) fn whole(self) -> Option<u64> {
        self.0
            .filter(|number| number.is_finite() && *number >= 0.0)
            .map(|number| number as u64)
    }

    /// Milliseconds as nanoseconds, if it is not negative.
    pub(crate) fn ms_as_ns(self) -> Option<u64> {
        Self(self.0.map(|ms| (ms * 1e6).round())).whole()
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl Visitor<'_> for Of {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                let text = text.trim();
                if text.is_empty() || text == "-" {
                    return Ok(Number(None));
                }
                let number = text
                    .parse()
                    .map_err(|_| E::custom(format!("{text:?} is no number")));
                number.map(|number| Number(Some(number)))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }
            fn visit_unit<E: Error>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
        }
        deserializer.deserialize_any(Of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_as_they_are_meant() {
        let text =
            |json: &'static str| serde_json::from_str::<Text>(json).map(|text| text.0.into_owned());
        assert_eq!(text("\"a\\nb\"").expect("text"), "a\nb");
        assert_eq!(text("12").expect("text"), "12");
        assert_eq!(text("null").expect("text"), "");
        assert!(text("[]").is_err());
        let number = |json: &str| serde_json::from_str::<Number>(json).map(|number| number.0);
        assert_eq!(number("\"1.5\"").expect("a number"), Some(1.5));
        assert_eq!(number("-1").expect("a number"), Some(-1.0));
        assert_eq!(number("null").expect("a number"), None);
        assert!(number("\"x\"").is_err());
        assert_eq!(Number(Some(-1.0)).ms_as_ns(), None);
        assert_eq!(Number(Some(1.5)).ms_as_ns(), Some(1_500_000));
    }
}
