//! JSON and multipart bodies, masked in place.
//!
//! **Invariant**: everything but masked values keeps its bytes: blanks, order, spelling of numbers. A document that is cut off is read as far as it
//! goes, so that a truncated body hides nothing.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::mask::{
    MaskKey,
    encoding::{Plus, respelled},
    masker::Masker,
    value::mask,
};

/// The name of a file in the head of a part, in either spelling (RFC 7578, 4.2; RFC 6266, 4.3).
static FILE_NAMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)(?<before>\bfilename(?:="|\*=[\w-]*'[\w-]*'|=))(?<name>[^";\r\n]+)"#)
        .expect("the pattern is a constant")
});

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
                    let quoted = serde_json::to_string(&new).ok()?;
                    out.push_str(&quoted[..quoted.len() - 1]);
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

fn unescaped(content: &str) -> String {
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

/// The parts of a multipart body, each masked by its field's name; `None` where the boundary does not occur.
pub(super) fn multipart(masker: &mut Masker, media: &str, text: &str) -> Option<String> {
    let boundary = media
        .split(';')
        .find_map(|part| part.trim().strip_prefix("boundary="))?;
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    if !text.contains(&delimiter) {
        return None;
    }
    let mut masked = String::with_capacity(text.len());
    for (at, part) in text.split(&delimiter).enumerate() {
        if at > 0 {
            masked.push_str(&delimiter);
        }
        let blank = ["\r\n\r\n", "\n\n"]
            .into_iter()
            .find_map(|blank| Some(part.find(blank)? + blank.len()));
        let Some(blank) = blank else {
            masked.push_str(&masker.text(part));
            continue;
        };
        let (head, value) = part.split_at(blank);
        let named = head
            .split(';')
            .find_map(|part| part.trim().strip_prefix("name=\"")?.split('"').next());
        let inner = value.trim_end_matches(['\r', '\n']);
        masked.push_str(&self::head(masker, head));
        if named.is_some_and(|name| masker.rules.is_field(name)) {
            masked.push_str(&masker.field(inner));
        } else {
            masked.push_str(&masker.document(inner));
        }
        masked.push_str(&value[inner.len()..]);
    }
    Some(masked)
}

/// The head of a part: names of fields and what says how the part is written stay, the name of a file does not, but for its extension.
fn head(masker: &mut Masker, head: &str) -> String {
    let mut masked = String::with_capacity(head.len());
    for line in head.split_inclusive('\n') {
        let content = line.trim_end();
        match content.split_once(':') {
            Some((name, value)) if !name.to_ascii_lowercase().starts_with("content-") => {
                let value = masker.header(&name.to_ascii_lowercase(), value);
                masked.push_str(name);
                masked.push(':');
                masked.push_str(&value);
            }
            _ => masked.push_str(&FILE_NAMES.replace_all(content, |found: &Captures<'_>| {
                found["before"].to_owned() + &file_name(masker, &found["name"])
            })),
        }
        masked.push_str(&line[content.len()..]);
    }
    masked
}

/// Not learned: names such as `document` are in all text.
fn file_name(masker: &mut Masker, name: &str) -> String {
    let extension = name.rfind('.').filter(|dot| name.len() - dot <= 6);
    let (stem, extension) = name.split_at(extension.unwrap_or(name.len()));
    masker.counts.fields += 1;
    let stem = if stem.contains('%') {
        respelled(stem, Plus::Plus, |plain| Some(masker.image(plain))).into_owned()
    } else {
        masker.image(stem)
    };
    stem + extension
}
