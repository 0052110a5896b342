//! Free text: what is found in it without a structure to go by.
//!
//! **Invariant**: patterns come first, then `name: value` and `<name>value</name>` of masked fields, then learned values; what one has found the
//! next leaves alone.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

use crate::mask::{
    masker::Masker,
    value::{EMAIL, JWT, PHONE},
};

/// Emails, JWTs, phone, social security and card numbers, and what follows `Bearer`.
static PATTERNS: LazyLock<Regex> = LazyLock::new(|| {
    let bearer = r"(?i:\bbearer\s+)(?<bearer>[A-Za-z0-9._~+/=-]{8,})";
    let numbers = r"\b\d{3}-\d{2}-\d{4}\b|\b(?:\d{4}[ -]){3}\d{4}\b";
    Regex::new(&format!("{JWT}|{bearer}|{EMAIL}|{PHONE}|{numbers}"))
        .expect("the patterns are constants")
});

/// `name: value`, `name=value`, `"name": "value"`.
static PAIRS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?<name>[A-Za-z_][A-Za-z0-9_-]*)\\?["']?[ \t]*[:=][ \t]*\\?["']?(?<value>[^"'\\\n\r,;&|<>{}\[\]]{1,200})"#)
        .expect("the pattern is a constant")
});

static ELEMENTS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"<(?:\w+:)?(?<name>[A-Za-z_][\w.-]*)(?:\s[^>]*)?>(?<value>[^<]{1,1000})</")
        .expect("the pattern is a constant")
});

type Span = (usize, usize);

/// `text` with all that is found in it masked.
pub(super) fn free<'t>(masker: &mut Masker, text: &'t str) -> Cow<'t, str> {
    let mut spans: Vec<Span> = Vec::new();
    if text
        .bytes()
        .any(|byte| byte.is_ascii_digit() || byte == b'@' || byte == b' ')
    {
        for found in PATTERNS.captures_iter(text) {
            let whole = found.name("bearer").or_else(|| found.get(0));
            spans.extend(whole.map(|whole| (whole.start(), whole.end())));
        }
        masker.counts.patterns += spans.len() as u64;
    }
    if text.contains([':', '=']) {
        named(masker, &PAIRS, text, &mut spans);
    }
    if text.contains("</") {
        named(masker, &ELEMENTS, text, &mut spans);
    }
    for span in masker.known.find(text) {
        masker.counts.learned += u64::from(take(&mut spans, span));
    }
    spans.retain(|(from, to)| !masker.rules.keeps_value(&text[*from..*to]));
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    let (mut masked, mut at) = (String::with_capacity(text.len()), 0);
    for (from, to) in spans {
        masked.push_str(&text[at..from]);
        masked.push_str(&masker.image(&text[from..to]));
        at = to;
    }
    Cow::Owned(masked + &text[at..])
}

/// Values that stand beside the name of a masked field.
fn named(masker: &mut Masker, pattern: &Regex, text: &str, spans: &mut Vec<Span>) {
    for found in pattern.captures_iter(text) {
        let (Some(name), Some(value)) = (found.name("name"), found.name("value")) else {
            continue;
        };
        let shown = value.as_str().trim_end();
        if shown.is_empty() || !masker.rules.is_field(name.as_str()) {
            continue;
        }
        if take(spans, (value.start(), value.start() + shown.len())) {
            masker.learn_value(shown);
            masker.counts.fields += 1;
        }
    }
}

/// Adds a span, in order, if nothing of it was taken before.
fn take(spans: &mut Vec<Span>, span: Span) -> bool {
    let at = spans.partition_point(|known| known.0 < span.0);
    let free =
        (at == 0 || spans[at - 1].1 <= span.0) && spans.get(at).is_none_or(|next| span.1 <= next.0);
    if free {
        spans.insert(at, span);
    }
    free
}
