//! The bytes that a digest is taken over: any serde value, without the names of its fields.
//!
//! **Invariant**: two values of one type have the same bytes only if they are equal, and a value has the same bytes in every build and on
//! every machine. A run hashes megabytes: this costs a quarter of writing JSON, and has half its size.
//! It deliberately cannot be read back: the trace on disk is JSON.

use std::fmt::Display;

use serde::{Serialize, Serializer, ser};

/// Before what is there, and before what is not.
const PRESENT: u8 = 1;
const ABSENT: u8 = 0;

/// Appends the bytes of `value` to `bytes`.
///
/// # Errors
/// When the value's own serialization fails.
pub(super) fn write(value: &impl Serialize, bytes: &mut Vec<u8>) -> Result<(), Refused> {
    value.serialize(Canonical(bytes))
}

/// A value that refuses to be serialized, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

impl ser::Error for Refused {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

struct Canonical<'a>(&'a mut Vec<u8>);

/// What follows a beginning: the parts of a list, a map or a struct.
struct Parts<'a> {
    bytes: &'a mut Vec<u8>,
    /// Whether nothing else says where it ends.
    open: bool,
}

impl Canonical<'_> {
    /// A number in as few bytes as it needs: seven bits each, the lowest first, the highest bit set on all but the last.
    fn number(self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    /// A length or a variant, then `bytes`.
    fn counted(self, bytes: &[u8]) {
        let Self(out) = self;
        Canonical(out).number(bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

impl<'a> Canonical<'a> {
    fn variant(self, index: u32) -> Self {
        let Self(out) = self;
        Canonical(out).number(u64::from(index));
        Canonical(out)
    }

    fn parts(self, open: bool) -> Parts<'a> {
        Parts {
            bytes: self.0,
            open,
        }
    }
}

impl<'a> Serializer for Canonical<'a> {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Refused> {
        self.0.push(u8::from(value));
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Refused> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Refused> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Refused> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Refused> {
        // The sign goes to the lowest bit, so that small numbers of either sign are short.
        self.number((value << 1 ^ value >> 63).cast_unsigned());
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Refused> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Refused> {
        self.0.push(value);
        Ok(())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Refused> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Refused> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Refused> {
        self.number(value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Refused> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Refused> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Refused> {
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Refused> {
        self.serialize_u32(value.into())
    }

    fn serialize_str(self, value: &str) -> Result<(), Refused> {
        self.counted(value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Refused> {
        self.counted(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Refused> {
        self.0.push(ABSENT);
        Ok(())
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Refused> {
        self.0.push(PRESENT);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Refused> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refused> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<(), Refused> {
        self.variant(index);
        Ok(())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        value.serialize(self.variant(index))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Refused> {
        Ok(self.parts(true))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Refused> {
        Ok(self.parts(false))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Refused> {
        Ok(self.parts(false))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Refused> {
        Ok(self.variant(index).parts(false))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Refused> {
        Ok(self.parts(true))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Refused> {
        Ok(self.parts(false))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Refused> {
        Ok(self.variant(index).parts(false))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl Parts<'_> {
    /// One part of a thing whose number of parts its type knows.
    fn part<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(Canonical(self.bytes))
    }

    /// One part, which others may or may not follow.
    fn another<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Refused> {
        self.bytes.push(PRESENT);
        self.part(value)
    }

    fn over(self) {
        if self.open {
            self.bytes.push(ABSENT);
        }
    }
}

/// Implements one of serde's interfaces for parts: `$add` is what it calls for each.
macro_rules! parts {
    ($($interface:ident, $add:ident => $how:ident;)*) => {
        $(impl ser::$interface for Parts<'_> {
            type Ok = ();
            type Error = Refused;

            fn $add<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Refused> {
                self.$how(value)
            }

            fn end(self) -> Result<(), Refused> {
                self.over();
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq, serialize_element => another;
    SerializeTuple, serialize_element => part;
    SerializeTupleStruct, serialize_field => part;
    SerializeTupleVariant, serialize_field => part;
}

impl ser::SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Refused> {
        self.another(key)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Refused> {
        self.part(value)
    }

    fn end(self) -> Result<(), Refused> {
        self.over();
        Ok(())
    }
}

/// A field may be left out, so each says whether it is there.
macro_rules! fields {
    ($($interface:ident)*) => {
        $(impl ser::$interface for Parts<'_> {
            type Ok = ();
            type Error = Refused;

            fn serialize_field<T: ?Sized + Serialize>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Result<(), Refused> {
                self.another(value)
            }

            fn skip_field(&mut self, _: &'static str) -> Result<(), Refused> {
                self.bytes.push(ABSENT);
                Ok(())
            }

            fn end(self) -> Result<(), Refused> {
                Ok(())
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn bytes(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(value, &mut bytes).unwrap();
        bytes
    }

    #[derive(Serialize)]
    struct Skips {
        #[serde(skip_serializing_if = "Option::is_none")]
        one: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        other: Option<u8>,
        rest: Vec<Vec<&'static str>>,
    }

    #[derive(Serialize)]
    enum Kinds {
        Unit,
        Pair(u8, i64),
        Named {
            text: &'static str,
            map: BTreeMap<u8, f64>,
        },
        One(Option<bool>),
    }

    #[test]
    fn unlike_values_have_unlike_bytes() {
        let fields = [None, Some(0), Some(1)];
        let lists = [
            vec![],
            vec![vec![]],
            vec![vec![""]],
            vec![vec!["", ""]],
            vec![vec![], vec![]],
            vec![vec![], vec![""]],
            vec![vec!["a", "b"]],
            vec![vec!["ab"]],
            vec![vec!["a"], vec!["b"]],
        ];
        let mut seen = BTreeSet::new();
        for one in fields {
            for other in fields {
                for rest in lists.clone() {
                    assert!(seen.insert(bytes(&Skips { one, other, rest })));
                }
            }
        }
    }

    #[test]
    fn variants_and_numbers_are_told_apart() {
        let named = |text, entries: &[(u8, f64)]| Kinds::Named {
            text,
            map: entries.iter().copied().collect(),
        };
        let all = [
            Kinds::Unit,
            Kinds::Pair(1, 0),
            Kinds::Pair(1, -1),
            Kinds::Pair(1, 1),
            Kinds::Pair(1, i64::MIN),
            Kinds::Pair(1, i64::MAX),
            named("", &[]),
            named("", &[(0, 0.0)]),
            named("", &[(0, -0.0)]),
            named("", &[(0, 0.0), (1, 0.0)]),
            named("\u{1}", &[]),
            Kinds::One(None),
            Kinds::One(Some(false)),
            Kinds::One(Some(true)),
        ];
        let seen: BTreeSet<Vec<u8>> = all.iter().map(bytes).collect();
        assert_eq!(seen.len(), all.len());
        let numbers: BTreeSet<Vec<u8>> = (0..64).map(|bit| bytes(&(1_u64 << bit))).collect();
        assert_eq!(numbers.len(), 64);
    }

    #[test]
    fn the_bytes_are_these() {
        let value = (300_u16, "ab", Some(-1_i32), [true; 2]);
        assert_eq!(bytes(&value), [0xac, 2, 2, b'a', b'b', 1, 1, 1, 1]);
    }
}
