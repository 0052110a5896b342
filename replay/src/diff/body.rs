//! Bodies, compared by what they mean: content codings and character sets are undone, JSON and forms are compared by structure, text as text,
//! bytes as bytes. That the same text is written in another encoding is a difference of its own.
//!
//! **Invariant**: a body that cannot be read is a difference, never a match. A body that is the same byte for byte, coded and described the same
//! way, is the same; it is read only to see the values that services invent.

use std::{borrow::Cow, collections::BTreeMap};

use sha2::{Digest, Sha256};

use crate::{
    capture::{decoded, header, hex},
    diff::{
        DifferenceKind,
        charset::{Characters, is_json},
        ledger::{Ledger, Location},
    },
    json::{Json, parse_text},
    rules::{Effect, Place},
    run::Answer,
};

const WHOLE: Location<'_> = Location::Body(&[]);

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Fields,
    Other,
}

impl Ledger<'_> {
    /// Writes down what differs between two answers' bodies.
    pub(super) fn bodies(&mut self, legacy: &Answer, candidate: &Answer) {
        let same = legacy.body == candidate.body && described(legacy) == described(candidate);
        if same && (legacy.body.is_empty() || self.binding_rules.is_empty()) {
            return;
        }
        let (a, b) = match (
            decoded(&legacy.headers, &legacy.body),
            decoded(&candidate.headers, &candidate.body),
        ) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(_), Err(_)) if same => return,
            (a, b) => {
                let told = |side: Result<Cow<'_, [u8]>, String>| {
                    Json::String(side.err().unwrap_or_else(|| "readable".to_owned()).into())
                };
                let (a, b) = (told(a), told(b));
                return self.differ(DifferenceKind::Encoding, WHOLE, Some(&a), Some(&b));
            }
        };
        let (left, right) = (Characters::of(legacy, &a), Characters::of(candidate, &b));
        if let (Some(left), Some(right)) = (&left, &right)
            && !left.written_as(right)
        {
            let told = |side: &Characters<'_>| Json::String(side.writing().into());
            let (a, b) = (told(left), told(right));
            self.differ(
                DifferenceKind::Encoding,
                Location::Encoding,
                Some(&a),
                Some(&b),
            );
        }
        let (left, right) = (left.map(|one| one.text), right.map(|one| one.text));
        if let (Some(left), Some(right)) = (&left, &right) {
            if self.read(
                form(legacy, left),
                form(candidate, right),
                left,
                right,
                same,
            ) {
                return;
            }
            if left == right {
                self.alike(WHOLE, left);
                return;
            }
        }
        if a != b || (left.is_some() && right.is_some()) {
            let kind = if left.is_some() && right.is_some() {
                DifferenceKind::Text
            } else {
                DifferenceKind::Binary
            };
            let (a, b) = (shown(left.as_deref(), &a), shown(right.as_deref(), &b));
            self.differ(kind, WHOLE, Some(&a), Some(&b));
        }
    }

    /// Compares two texts by their structure; whether they have one.
    fn read(&mut self, legacy: Form, candidate: Form, a: &str, b: &str, same: bool) -> bool {
        if legacy == Form::Json || candidate == Form::Json {
            match (parse_text(a), if same { None } else { Some(parse_text(b)) }) {
                (Ok(document), None) => self.documents(&document, &document),
                (Ok(left), Some(Ok(right))) => self.documents(&left, &right),
                (Err(_), None | Some(Err(_))) => return false,
                (Ok(_), Some(Err(_))) | (Err(_), Some(Ok(_))) => {
                    let (a, b) = (shown(Some(a), &[]), shown(Some(b), &[]));
                    self.differ(DifferenceKind::Type, WHOLE, Some(&a), Some(&b));
                }
            }
            return true;
        }
        if legacy == Form::Fields && candidate == Form::Fields {
            let (left, right) = (fields(a), fields(b));
            self.documents(&left, &right);
            return true;
        }
        false
    }

    fn documents(&mut self, legacy: &Json<'_>, candidate: &Json<'_>) {
        if self.rules.rules.iter().any(|rule| rule.given.is_some()) {
            self.look_up_givens(legacy, candidate);
        }
        self.values(&mut Vec::new(), legacy, candidate);
    }

    /// Whether any rule binds values in headers or cookies.
    pub(super) fn binds_headers(&self) -> bool {
        self.binding_rules.iter().any(|(rule, _)| {
            matches!(
                &self.rules.rules[*rule].effect,
                Effect::Binding {
                    place: Place::Header(_) | Place::Cookie(_),
                    ..
                }
            )
        })
    }
}

/// What says how a body is to be read.
fn described(answer: &Answer) -> [Option<&str>; 2] {
    ["content-encoding", "content-type"].map(|name| header(&answer.headers, name))
}

fn media(answer: &Answer) -> &str {
    header(&answer.headers, "content-type").unwrap_or_default()
}

fn form(answer: &Answer, text: &str) -> Form {
    let media = media(answer);
    let kind = media.split(';').next().unwrap_or_default().trim();
    if is_json(media)
        || matches!(
            text.trim_ascii_start().as_bytes().first(),
            Some(b'{' | b'[')
        )
    {
        Form::Json
    } else if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Form::Fields
    } else {
        Form::Other
    }
}

/// A form as an object: a field that is repeated is an array, in order.
fn fields(text: &str) -> Json<'static> {
    let mut fields: BTreeMap<String, Vec<Json<'static>>> = BTreeMap::new();
    for pair in text.trim_ascii().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = Json::String(unescaped(value).into());
        fields.entry(unescaped(name)).or_default().push(value);
    }
    let member = |(name, mut values): (String, Vec<Json<'static>>)| {
        let value = if values.len() == 1 {
            values.remove(0)
        } else {
            Json::Array(values)
        };
        (Cow::Owned(name), value)
    };
    Json::Object(fields.into_iter().map(member).collect())
}

/// Percent-decoded, `+` as a blank; what is not valid stays as it is.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3);
        let escape = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let escape = escape.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match (bytes[at], escape) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                at += 2;
            }
            (b'+', _) => plain.push(b' '),
            (byte, _) => plain.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// A body as a whole, as a value that rules and reports can speak of: its text, or its length and digest.
fn shown<'b>(text: Option<&'b str>, bytes: &[u8]) -> Json<'b> {
    if let Some(text) = text {
        return Json::String(text.into());
    }
    let digest = hex(&Sha256::digest(bytes));
    Json::String(format!("{} bytes, sha256 {digest}", bytes.len()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        assert_eq!(
            fields("a=1&b=x%20y+z&a=2&c&=&%zz=%").to_string(),
            r#"{"":"","%zz":"%","a":["1","2"],"b":"x y z","c":""}"#
        );
    }
}
