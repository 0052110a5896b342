//! A HAR's lists of headers and parameters: `{name, value}` objects, `[name, value]` pairs of some writers, or one object of both.
//!
//! **Invariant**: order and repetition are kept.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::capture::{Headers, lenient::Text};

/// One header.
#[derive(Debug, Default)]
struct Pair<'a> {
    name: Text<'a>,
    value: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Pair<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Pair<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a header: {name, value} or [name, value]")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pair<'de>, A::Error> {
                let mut pair = Pair::default();
                let mut named = false;
                while let Some(key) = map.next_key::<Text>()? {
                    match &*key {
                        "name" => (pair.name, named) = (map.next_value()?, true),
                        "value" => pair.value = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                if named {
                    Ok(pair)
                } else {
                    Err(Error::missing_field("name"))
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pair<'de>, A::Error> {
                let name = seq.next_element()?.unwrap_or_default();
                let value = seq.next_element()?.unwrap_or_default();
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Pair { name, value })
            }
        }
        deserializer.deserialize_any(Of)
    }
}

/// Headers as a HAR writes them.
#[derive(Debug, Default)]
pub(super) struct List(pub(super) Headers);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of headers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
                let mut headers = Headers::new();
                while let Some(Pair { name, value }) = seq.next_element()? {
                    headers.push((name.0.into_owned(), value.0.into_owned()));
                }
                Ok(List(headers))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List, A::Error> {
                let mut headers = Headers::new();
                while let Some((name, value)) = map.next_entry::<Text, Text>()? {
                    headers.push((name.0.into_owned(), value.0.into_owned()));
                }
                Ok(List(headers))
            }
            fn visit_unit<E: Error>(self) -> Result<List, E> {
                Ok(List::default())
            }
        }
        deserializer.deserialize_any(Of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_in_three_forms() {
        let expected: Headers = vec![("A".into(), "1".into()), ("a".into(), "2".into())];
        for json in [
            r#"[{"name":"A","value":"1"},{"value":2,"name":"a","comment":null}]"#,
            r#"[["A","1"],["a","2"]]"#,
            r#"{"A":"1","a":"2"}"#,
        ] {
            let list: List = serde_json::from_str(json).expect("headers");
            assert_eq!(list.0, expected);
        }
        assert!(
            serde_json::from_str::<List>("null")
                .expect("none")
                .0
                .is_empty()
        );
        assert!(serde_json::from_str::<List>(r#"[{"value":"1"}]"#).is_err());
    }
}
