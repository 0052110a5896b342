//! What a log line says besides its message: a few named values.
//!
//! **Invariant**: names are unique and in order, so that the same values make the same line in whatever order they were given.
//! A line has a handful: a sorted list is smaller than any tree, and most lines of a run are kept to its end.

use alloc::{borrow::Cow, vec::Vec};
use core::ops::Index;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

/// A name; hardly ever anything but a literal.
type Name = Cow<'static, str>;

/// Named values, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extra(Vec<(Name, Value)>);

impl Extra {
    /// The value under `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.place(name).ok().map(|at| &self.0[at].1)
    }

    /// Sets the value under `name`.
    pub fn insert(&mut self, name: impl Into<Name>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.place(&name) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve(USUAL);
                }
                self.0.insert(at, (name, value));
            }
        }
    }

    /// Every name and value, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

/// Room for what most lines have.
const USUAL: usize = 6;

impl Index<&str> for Extra {
    type Output = Value;

    /// The value under `name`; null when there is none.
    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Extra;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Extra, A::Error> {
                let mut extra = Extra::default();
                while let Some((name, value)) = pairs.next_entry::<Name, Value>()? {
                    extra.insert(name, value);
                }
                Ok(extra)
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_the_order_of_their_names_and_the_last_one_given_counts() {
        let mut extra = Extra::default();
        for (name, value) in [("b", 1), ("a", 2), ("c", 3), ("b", 4)] {
            extra.insert(name, value);
        }
        assert_eq!(
            serde_json::to_string(&extra).unwrap(),
            r#"{"a":2,"b":4,"c":3}"#
        );
        let read: Extra = serde_json::from_str(r#"{"c":3,"b":4,"a":2}"#).unwrap();
        assert_eq!(read, extra);
        assert_eq!((&extra["b"], &extra["z"]), (&4.into(), &Value::Null));
    }
}
