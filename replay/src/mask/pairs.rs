//! Names and values in text: `name: value`, `name=value`, `"name": "value"`, `name="value"`.
//!
//! **Invariant**: a value in quotes ends where its quotes do, whatever else is in it; one without ends with its line or at a separator.

use std::sync::LazyLock;

use regex::Regex;

use crate::mask::{body, masker::Masker, text::Find};

/// The name, and what stands between it and the value.
static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?<name>[A-Za-z_][A-Za-z0-9_\[\]-]*)\\?["']?[ \t]*[:=][ \t]*"#)
        .expect("the pattern is a constant")
});

/// No value without quotes, and none in them, is longer.
const BARE: usize = 200;
const QUOTED: usize = 4_000;

/// What ends a value that has no quotes.
const ENDS: &str = "\"\n\r,;&|<>{}[]";

/// Values that stand beside the name of a masked field.
pub(super) fn named(masker: &mut Masker, text: &str, finds: &mut Vec<Find>) {
    let mut at = 0;
    while let Some(found) = NAMES.captures_at(text, at) {
        let (Some(whole), Some(name)) = (found.get(0), found.name("name")) else {
            break;
        };
        at = whole.end();
        if !masker.rules.is_path_of_field(name.as_str()) {
            continue;
        }
        let (from, to, coded) = value(text, at);
        let shown = text[from..to].trim_end();
        if shown.is_empty() {
            continue;
        }
        at = to.max(at);
        let to = from + shown.len();
        if coded && shown.contains('\\') {
            // As JSON and most languages write it: unescaped to mask it, and escaped again.
            let plain = body::unescaped(shown);
            let free = !finds.iter().any(|find| find.from < to && from < find.to);
            if free && plain != shown {
                let masked = masker.field(&plain);
                let place = finds.partition_point(|find| find.from < from);
                finds.insert(place, Find::written(from, to, body::escaped(&masked)));
                continue;
            }
        }
        let taken = Find::take(finds, text, (from, to));
        masker.counts_field(!taken.is_empty());
        for (from, to) in taken {
            masker.learn_value(&text[from..to]);
        }
    }
}

/// The value that begins at `at`, without its quotes, and whether it may have escapes.
fn value(text: &str, at: usize) -> (usize, usize, bool) {
    let rest = &text[at..];
    for quote in ["\\\"", "\"", "'"] {
        let Some(inner) = rest.strip_prefix(quote) else {
            continue;
        };
        let from = at + quote.len();
        if let Some(length) = closed(inner, quote) {
            return (from, from + length, quote == "\"");
        }
        return (from, from + bare(inner), false);
    }
    (at, at + bare(rest), false)
}

/// The length of what stands before the closing quote, if it closes soon.
fn closed(inner: &str, quote: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        if at > QUOTED || c == '\n' {
            return None;
        }
        let rest = &inner[at..];
        let behind = rest.get(quote.len()..).and_then(|rest| rest.chars().next());
        match quote {
            "\"" if escaped => escaped = false,
            "\"" if c == '\\' => escaped = true,
            // An apostrophe within a name stands between letters.
            "'" if c == '\'' && behind.is_some_and(char::is_alphanumeric) => {}
            _ if rest.starts_with(quote) => return Some(at),
            _ => {}
        }
    }
    None
}

fn bare(rest: &str) -> usize {
    let mut before = ' ';
    for (at, c) in rest.char_indices() {
        let next = rest[at + c.len_utf8()..].chars().next();
        let within = before.is_alphanumeric() && next.is_some_and(char::is_alphanumeric);
        if at >= BARE || ENDS.contains(c) || c == '\\' || (c == '\'' && !within) {
            return at;
        }
        before = c;
    }
    rest.len()
}
