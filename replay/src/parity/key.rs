//! Which rows belong together: the fields that name a row, on each side, and the fields that are compared.
//!
//! **Invariant**: two rows have the same key only if all its fields have the same text; a row that lacks one of them has no key.

use xxhash_rust::xxh3::Xxh3;

use crate::{json::Json, rules::Side};

/// The fields that name a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Legacy's name of a field, and the candidate's.
    fields: Vec<(String, String)>,
}

impl Key {
    /// Tried in this order when no key is given: the client's own id of the request, then the row's.
    pub const USUAL: [&'static str; 2] = ["request_id", "id"];

    /// A key of one field that both sides call `name`.
    pub fn of(name: &str) -> Self {
        Self {
            fields: vec![(name.to_owned(), name.to_owned())],
        }
    }

    /// Reads `id`, `tenant,id` or, where the sides differ, `LEGACY=CANDIDATE`. A name that begins with `/` is a JSON pointer.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut fields = Vec::new();
        for field in text.split(',').map(str::trim) {
            let (legacy, candidate) = field.split_once('=').unwrap_or((field, field));
            if legacy.is_empty() || candidate.is_empty() {
                return Err(format!(
                    "found {text:?}, expected field names such as id, tenant,id or LEGACY=CANDIDATE"
                ));
            }
            fields.push((legacy.to_owned(), candidate.to_owned()));
        }
        Ok(Self { fields })
    }

    /// As it is written: `tenant,id`, `old_id=id`.
    pub fn text(&self) -> String {
        let fields = self.fields.iter().map(|(legacy, candidate)| {
            if legacy == candidate {
                legacy.clone()
            } else {
                format!("{legacy}={candidate}")
            }
        });
        fields.collect::<Vec<_>>().join(",")
    }

    /// The names of its fields on one side.
    pub fn names(&self, side: Side) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .map(move |(legacy, candidate)| match side {
                Side::Legacy => legacy.as_str(),
                Side::Candidate => candidate.as_str(),
            })
    }

    /// Whether this row has a key.
    pub fn is_in(&self, side: Side, row: &Json<'_>) -> bool {
        self.hash(side, row).is_some()
    }

    /// The row's key, as people read it.
    pub fn shown(&self, side: Side, row: &Json<'_>) -> String {
        let texts = self.names(side).map(|name| match field(row, name) {
            Some(Json::String(text)) => text.to_string(),
            Some(other) => other.to_string(),
            None => String::new(),
        });
        texts.collect::<Vec<_>>().join(",")
    }

    /// A digest of the row's key: 128 bits, so that two keys of a billion share one with a chance of one in 10^20.
    pub(super) fn hash(&self, side: Side, row: &Json<'_>) -> Option<u128> {
        let mut hasher = Xxh3::new();
        for name in self.names(side) {
            match field(row, name)? {
                Json::String(text) => hasher.update(text.as_bytes()),
                Json::Number(number) => hasher.update(number.text().as_bytes()),
                _ => return None,
            }
            // No text has this byte, so `a,bc` is not `ab,c`.
            hasher.update(&[0xff]);
        }
        Some(hasher.digest128())
    }
}

fn field<'r, 'j>(row: &'r Json<'j>, name: &str) -> Option<&'r Json<'j>> {
    if name.starts_with('/') {
        row.pointer(name)
    } else {
        row.get(name)
    }
}

/// Which top-level fields are compared; the key's are found whether they are among them or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(Option<Vec<String>>);

impl Columns {
    /// Only these.
    pub fn only(names: Vec<String>) -> Self {
        Self(Some(names))
    }

    /// Takes what is not compared out of a row.
    pub(super) fn keep(&self, row: &mut Json<'_>) {
        if let (Some(names), Json::Object(members)) = (&self.0, row) {
            members.retain(|(key, _)| names.iter().any(|name| name == key));
        }
    }

    /// Whether every field is compared.
    pub(super) fn is_all(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn a_key_is_the_text_of_its_fields() {
        let row = |text: &'static str| parse(text.as_bytes()).expect("JSON");
        let key = Key::parse("tenant,old=id").expect("a key");
        assert_eq!(key.text(), "tenant,old=id");
        let a = row(r#"{"tenant":"t","old":7}"#);
        let b = row(r#"{"tenant":"t","id":"7"}"#);
        assert_eq!(key.hash(Side::Legacy, &a), key.hash(Side::Candidate, &b));
        assert_eq!(key.hash(Side::Candidate, &a), None);
        assert_eq!(key.shown(Side::Legacy, &a), "t,7");
        let (left, right) = (row(r#"{"a":"x","b":"yz"}"#), row(r#"{"a":"xy","b":"z"}"#));
        let key = Key::parse("a,b").expect("a key");
        assert_ne!(
            key.hash(Side::Legacy, &left),
            key.hash(Side::Legacy, &right)
        );
        assert!(Key::parse("a,").is_err());
        assert!(Key::parse("=b").is_err());
    }

    #[test]
    fn columns_take_the_rest_away() {
        let mut row = parse(br#"{"a":1,"b":2}"#).expect("JSON");
        Columns::only(vec!["b".to_owned()]).keep(&mut row);
        assert_eq!(row.to_string(), r#"{"b":2}"#);
        Columns::default().keep(&mut row);
        assert_eq!(row.to_string(), r#"{"b":2}"#);
    }
}
