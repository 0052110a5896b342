//! Multipart bodies: part by part, each by the name of its field.
//!
//! **Invariant**: boundaries, names of fields and what says how a part is written stay; a boundary that no header names is the body's first line.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::mask::{
    body::Scalars,
    encoding::{Plus, respelled},
    headers,
    masker::Masker,
};

/// The name of a file in the head of a part, in either spelling (RFC 7578, 4.2; RFC 6266, 4.3).
static FILE_NAMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)(?<before>\bfilename(?:="|\*=[\w-]*'[\w-]*'|=))(?<name>[^";\r\n]+)"#)
        .expect("the pattern is a constant")
});

/// The name of a part's field.
static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)(?<before>;\s*name=)(?:"(?<quoted>[^"\r\n]*)"|(?<bare>[^";\s]+))"#)
        .expect("the pattern is a constant")
});

/// The boundary in a media type.
static BOUNDARY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i);\s*boundary\s*=\s*(?:"(?<quoted>[^"]+)"|(?<bare>[^";\s]+))"#)
        .expect("the pattern is a constant")
});

/// The parts of a multipart body, each masked by its field's name; `None` where the boundary does not occur.
pub(super) fn masked(masker: &mut Masker, media: &str, text: &str) -> Option<String> {
    let declared = BOUNDARY
        .captures(media)
        .map(|found| format!("--{}", either(&found)));
    let first = || text.lines().next().map(|line| line.trim_end().to_owned());
    let delimiter = declared
        .filter(|delimiter| text.contains(delimiter))
        .or_else(first)
        .filter(|line| line.len() > 2 && line.starts_with("--"))?;
    let mut masked = String::with_capacity(text.len());
    for (at, part) in text.split(delimiter.as_str()).enumerate() {
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
        let named = NAMES.captures(head).map(|found| either(&found).to_owned());
        let inner = value.trim_end_matches(['\r', '\n']);
        masked.push_str(&self::head(masker, head));
        let named = named.unwrap_or_default();
        if masker.rules.is_path_kept(&named) {
            masked.push_str(inner);
        } else if masker.rules.is_path_of_field(&named) && !inner.is_empty() {
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
                let value = headers::value(masker, &name.to_ascii_lowercase(), value);
                masked.push_str(name);
                masked.push(':');
                masked.push_str(&value);
            }
            _ => {
                let named = NAMES.replace(content, |found: &Captures<'_>| {
                    let (whole, name) = (&found[0], either(found));
                    match masker.name(name) {
                        Some(image) => whole.replacen(name, &image, 1),
                        None => whole.to_owned(),
                    }
                });
                masked.push_str(&FILE_NAMES.replace_all(&named, |found: &Captures<'_>| {
                    found["before"].to_owned() + &file_name(masker, &found["name"])
                }));
            }
        }
        masked.push_str(&line[content.len()..]);
    }
    masked
}

/// What stands in quotes, or without.
fn either<'t>(found: &Captures<'t>) -> &'t str {
    let inner = found.name("quoted").or_else(|| found.name("bare"));
    inner.map_or("", |inner| inner.as_str())
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
