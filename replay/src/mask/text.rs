//! Free text: what is found in it without a structure to go by.
//!
//! **Invariant**: patterns come first, then `name: value` and `<name>value</name>` of masked fields, then learned values; what one has found the
//! next leaves alone, and masks what of its own find lies around it.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

use crate::mask::{
    masker::Masker,
    value::{EMAIL, JWT, PHONE},
};

/// Emails, JWTs, phone, social security and card numbers, what follows `Bearer`, and the user of a URL.
static PATTERNS: LazyLock<Regex> = LazyLock::new(|| {
    let bearer = r"(?i:\bbearer\s+)(?<bearer>[A-Za-z0-9._~+/=-]{8,})";
    let user = r#"\b[A-Za-z][A-Za-z0-9+.-]*://(?<user>[^\s/?\#"'<>@]+)@"#;
    let numbers = r"\b\d{3}-\d{2}-\d{4}\b|\b(?:\d{4}[ -]){3}\d{4}\b";
    Regex::new(&format!("{JWT}|{bearer}|{user}|{EMAIL}|{PHONE}|{numbers}"))
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
    let mut spans = patterns(masker, text);
    if text.contains([':', '=']) {
        named(masker, &PAIRS, text, &mut spans);
    }
    if text.contains("</") {
        named(masker, &ELEMENTS, text, &mut spans);
    }
    for span in masker.known.find(text) {
        masker.counts.learned += u64::from(!take(&mut spans, text, span).is_empty());
    }
    written(masker, text, spans)
}

/// `text` with nothing but patterns masked.
pub(super) fn by_pattern<'t>(masker: &mut Masker, text: &'t str) -> Cow<'t, str> {
    let spans = patterns(masker, text);
    written(masker, text, spans)
}

fn patterns(masker: &mut Masker, text: &str) -> Vec<Span> {
    if !text
        .bytes()
        .any(|byte| byte.is_ascii_digit() || byte == b'@' || byte == b' ')
    {
        return Vec::new();
    }
    let spans: Vec<Span> = PATTERNS
        .captures_iter(text)
        .filter_map(|found| {
            let part = found.name("bearer").or_else(|| found.name("user"));
            let found = part.or_else(|| found.get(0))?;
            Some((found.start(), found.end()))
        })
        .collect();
    masker.counts.patterns += spans.len() as u64;
    spans
}

fn written<'t>(masker: &mut Masker, text: &'t str, mut spans: Vec<Span>) -> Cow<'t, str> {
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
        let taken = take(spans, text, (value.start(), value.start() + shown.len()));
        masker.counts.fields += u64::from(!taken.is_empty());
        for (from, to) in taken {
            masker.learn_value(&text[from..to]);
        }
    }
}

/// Adds, in order, what of a span was not taken before, and says what that was.
fn take(spans: &mut Vec<Span>, text: &str, span: Span) -> Vec<Span> {
    let first = spans.partition_point(|known| known.1 <= span.0);
    let (mut free, mut from) = (Vec::new(), span.0);
    for known in spans[first..].iter().take_while(|known| known.0 < span.1) {
        free.extend(words(text, (from, known.0)));
        from = known.1;
    }
    if from == span.0 {
        free.push(span);
    } else {
        free.extend(words(text, (from, span.1)));
    }
    for span in &free {
        let at = spans.partition_point(|known| known.0 < span.0);
        spans.insert(at, *span);
    }
    free
}

/// A span that lies beside a pattern, from its first letter or digit to its last; the name of a scheme is no value.
fn words(text: &str, (from, to): Span) -> Option<Span> {
    let found = text.get(from..to)?;
    let shown = found.trim_start_matches(|c: char| !c.is_alphanumeric());
    let from = from + (found.len() - shown.len());
    let shown = shown.trim_end_matches(|c: char| !c.is_alphanumeric());
    let scheme = ["bearer", "basic"]
        .iter()
        .any(|scheme| shown.eq_ignore_ascii_case(scheme));
    (!shown.is_empty() && !scheme).then_some((from, from + shown.len()))
}
