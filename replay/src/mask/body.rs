//! JSON, masked in place.
//!
//! **Invariant**: everything but masked values keeps its bytes: blanks, order, spelling of numbers. A document that is cut off is read as far as it
//! goes, so that a truncated body hides nothing.

use crate::mask::{MaskKey, value::mask};

/// Who decides about the scalars of a document.
pub(super) trait Scalars {
    /// Whether all below a member of this name is masked.
    fn is_field(&self, name: &str) -> bool;
    /// Whether nothing below a member of this name is masked.
    fn is_kept(&self, name: &str) -> bool;
    /// What the name of a member becomes, if it changes.
    fn name(&mut self, _name: &str) -> Option<String> {
        None
    }
    /// What a string becomes, if it changes.
    fn string(&mut self, name: &str, masked: bool, text: &str) -> Option<String>;
    /// What a number becomes, if it changes.
    fn number(&mut self, name: &str, masked: bool, text: &str) -> Option<String>;
}

/// What an open level takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Key,
    Value,
    Item,
}

/// An object or array that is open.
struct Level {
    expects: Expects,
    name: String,
    masked: bool,
    kept: bool,
}

/// JSON with its scalars replaced; `None` where the text is not JSON.
pub(super) fn json(text: &str, scalars: &mut dyn Scalars) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut levels: Vec<Level> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let from = at;
        match byte {
            b'{' | b'[' => {
                let level = below(levels.last(), *byte == b'{', scalars);
                levels.push(level);
                at += 1;
            }
            b'}' | b']' => {
                levels.pop()?;
                at += 1;
            }
            b',' | b':' => {
                if let Some(level) = levels.last_mut()
                    && level.expects != Expects::Item
                {
                    level.expects = if *byte == b',' {
                        Expects::Key
                    } else {
                        Expects::Value
                    };
                }
                at += 1;
            }
            b'"' => {
                let (content, end) = string_at(text, at);
                let plain = unescaped(content);
                at = end;
                let new = match levels.last_mut() {
                    Some(level) if level.expects == Expects::Key => {
                        let new = scalars.name(&plain).filter(|_| !level.kept);
                        level.name = plain;
                        new
                    }
                    _ => replaced(levels.last(), &plain, scalars, true),
                };
                if let Some(new) = new {
                    out.push('"');
                    out.push_str(&escaped(&new));
                    out.push_str(&text[from + 1 + content.len()..end]);
                    continue;
                }
            }
            b'-' | b'0'..=b'9' => {
                let number = |byte: &&u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                at += bytes[at..].iter().take_while(number).count();
                if let Some(new) = replaced(levels.last(), &text[from..at], scalars, false) {
                    out.push_str(&new);
                    continue;
                }
            }
            b't' | b'f' | b'n' => {
                at += bytes[at..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_lowercase())
                    .count();
            }
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            _ => return None,
        }
        out.push_str(&text[from..at]);
    }
    Some(out)
}

fn below(above: Option<&Level>, object: bool, scalars: &dyn Scalars) -> Level {
    let name = above.map_or(String::new(), |above| above.name.clone());
    Level {
        expects: if object { Expects::Key } else { Expects::Item },
        masked: above.is_some_and(|above| above.masked) || scalars.is_field(&name),
        kept: above.is_some_and(|above| above.kept) || scalars.is_kept(&name),
        name,
    }
}

fn replaced(
    level: Option<&Level>,
    text: &str,
    scalars: &mut dyn Scalars,
    string: bool,
) -> Option<String> {
    let (name, masked, kept) = match level {
        Some(level) => {
            let kept = level.kept || scalars.is_kept(&level.name);
            (
                level.name.as_str(),
                level.masked || scalars.is_field(&level.name),
                kept,
            )
        }
        None => ("", false, false),
    };
    if kept {
        return None;
    }
    if string {
        scalars.string(name, masked, text)
    } else {
        scalars.number(name, masked, text)
    }
}

/// The content of the string that begins at `at`, and where it ends; a string that is cut off ends with the text.
fn string_at(text: &str, at: usize) -> (&str, usize) {
    let bytes = text.as_bytes();
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    if end < bytes.len() {
        return (&text[at + 1..end], end + 1);
    }
    // The last character may be cut in two by the escape that was skipped over.
    let end = text.len();
    (&text[at + 1..end], end)
}

/// What a JSON string of this content says.
pub(super) fn unescaped(content: &str) -> String {
    if !content.contains('\\') {
        return content.to_owned();
    }
    let mut quoted = format!("\"{content}\"");
    // Where a text was cut within an escape, what is before it counts.
    for _ in 0..6 {
        if let Ok(plain) = serde_json::from_str(&quoted) {
            return plain;
        }
        let Some(last) = quoted
            .len()
            .checked_sub(2)
            .and_then(|at| quoted[..=at].char_indices().next_back())
        else {
            break;
        };
        if last.0 == 0 {
            break;
        }
        quoted.truncate(last.0);
        quoted.push('"');
    }
    content.to_owned()
}

/// The content of a JSON string that says `plain`.
pub(super) fn escaped(plain: &str) -> String {
    let quoted = serde_json::Value::from(plain).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Where the object or array ends that begins at `from`; `None` if it does not end, or is no JSON.
pub(super) fn end_of_document(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut open, mut at) = (Vec::new(), from);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => open.push(*byte),
            b'}' | b']' => {
                // Each closing bracket is two code points behind its opening one.
                if open.pop()? + 2 != *byte {
                    return None;
                }
                if open.is_empty() {
                    return Some(at + 1);
                }
            }
            b'"' => {
                at = string_at(text, at).1;
                continue;
            }
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'+' | b'-' | b'.' => {}
            byte if byte.is_ascii_alphanumeric() => {}
            _ => return None,
        }
        at += 1;
    }
    None
}

/// A number with its digits replaced; its sign, point and exponent stay.
pub(super) fn number(key: &MaskKey, text: &str) -> String {
    let (mantissa, exponent) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
    mask(key, mantissa) + exponent
}

/// JSON with every value masked but the times of a JWT; `None` where the text is not JSON.
pub(super) fn every_value(key: &MaskKey, text: &str) -> Option<String> {
    struct Every<'k>(&'k MaskKey);
    impl Scalars for Every<'_> {
        fn is_field(&self, _: &str) -> bool {
            true
        }
        fn is_kept(&self, name: &str) -> bool {
            ["exp", "iat", "nbf", "auth_time"].contains(&name)
        }
        fn string(&mut self, _: &str, _: bool, text: &str) -> Option<String> {
            Some(mask(self.0, text))
        }
        fn number(&mut self, _: &str, _: bool, text: &str) -> Option<String> {
            Some(number(self.0, text))
        }
    }
    if !text.trim_start().starts_with('{') {
        return None;
    }
    json(text, &mut Every(key))
}
