//! Conditions on the two values of a difference: a rule that names the values it forgives stays sensitive to all others.
//!
//! **Invariant**: a condition on a side never holds where that side has no value.

use crate::json::{Json, Number};

/// What one side's value has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Matcher {
    /// One of these values.
    OneOf(Vec<Json<'static>>),
    /// A number of at least this.
    AtLeast(f64),
    /// A string that begins so.
    StartsWith(String),
    /// `null`, which TOML cannot write.
    Null,
}

/// What both sides' values have to be; `None` is any value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// Of legacy.
    pub legacy: Option<Matcher>,
    /// Of the candidate.
    pub candidate: Option<Matcher>,
}

/// A condition on another field of the same documents: the rule holds only where that field has these values.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Which field: a JSON pointer, looked up in each side's own document.
    pub path: String,
    /// Its values.
    pub when: When,
}

impl Given {
    /// Whether the documents are so.
    pub fn holds(&self, legacy: &Json<'_>, candidate: &Json<'_>) -> bool {
        let fields = (legacy.pointer(&self.path), candidate.pointer(&self.path));
        self.when.fits(fields.0, fields.1)
    }
}

impl Matcher {
    /// Whether `value` is such a value.
    pub fn fits(&self, value: Option<&Json<'_>>) -> bool {
        match (self, value) {
            (Self::OneOf(values), Some(value)) => values.iter().any(|known| known == value),
            (Self::AtLeast(limit), Some(Json::Number(number))) => number.as_f64() >= *limit,
            (Self::StartsWith(prefix), Some(Json::String(text))) => text.starts_with(prefix),
            (Self::Null, Some(Json::Null)) => true,
            _ => false,
        }
    }
}

impl When {
    /// Whether both values are as they have to be.
    pub fn fits(&self, legacy: Option<&Json<'_>>, candidate: Option<&Json<'_>>) -> bool {
        self.legacy
            .as_ref()
            .is_none_or(|matcher| matcher.fits(legacy))
            && self
                .candidate
                .as_ref()
                .is_none_or(|matcher| matcher.fits(candidate))
    }
}

/// A status as a JSON number, to put conditions on.
pub(crate) fn status_value(status: u16) -> Json<'static> {
    Json::Number(Number::from_text(status.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn conditions_hold_only_for_their_values() {
        let when = When {
            legacy: Some(Matcher::OneOf(vec![Json::String("confirmed".into())])),
            candidate: Some(Matcher::AtLeast(2.0)),
        };
        let confirmed = Json::String("confirmed".into());
        let number = |text: &'static str| parse(text.as_bytes()).expect("a number");
        assert!(when.fits(Some(&confirmed), Some(&number("2"))));
        assert!(!when.fits(Some(&confirmed), Some(&number("1"))));
        assert!(!when.fits(Some(&confirmed), None));
        assert!(!when.fits(None, Some(&number("2"))));
        assert!(When::default().fits(None, None));
        assert!(Matcher::Null.fits(Some(&Json::Null)));
        assert!(!Matcher::Null.fits(None));
        assert!(Matcher::StartsWith("conf".into()).fits(Some(&confirmed)));
    }
}
