//! Ways of saying that there is no value: `null`, no such field, an empty text, array or object.
//!
//! **Invariant**: two ways are the same only where a rule names both; a value never is.

use crate::json::Json;

/// Which ways are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Absence {
    /// `null`.
    pub null: bool,
    /// No such field.
    pub missing: bool,
    /// `""`, `[]` or `{}`.
    pub empty: bool,
}

impl Absence {
    /// Whether both sides say in a declared way that there is no value.
    pub fn same(self, legacy: Option<&Json<'_>>, candidate: Option<&Json<'_>>) -> bool {
        self.says(legacy) && self.says(candidate)
    }

    fn says(self, value: Option<&Json<'_>>) -> bool {
        match value {
            None => self.missing,
            Some(Json::Null) => self.null,
            Some(Json::String(text)) => self.empty && text.is_empty(),
            Some(Json::Array(items)) => self.empty && items.is_empty(),
            Some(Json::Object(members)) => self.empty && members.is_empty(),
            Some(Json::Bool(_) | Json::Number(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_ways_are_the_same() {
        let (null, empty) = (Json::Null, Json::String("".into()));
        let some = Absence {
            null: true,
            missing: true,
            empty: false,
        };
        assert!(some.same(Some(&null), None));
        assert!(!some.same(Some(&null), Some(&empty)));
        assert!(!some.same(Some(&null), Some(&Json::Bool(false))));
        let all = Absence {
            empty: true,
            ..some
        };
        assert!(all.same(Some(&empty), None));
        assert!(all.same(Some(&Json::Array(Vec::new())), Some(&null)));
    }
}
