//! Free text: what is found in it without a structure to go by.
//!
//! **Invariant**: what is wrapped comes first (JSON, URLs, escapes), then patterns, then `name: value` and `<name>value</name>` of masked fields, then
//! base64, then learned values; what one has found the next leaves alone, and masks what of its own find lies around it.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};

use crate::mask::{
    markup,
    masker::Masker,
    number, pairs,
    value::{EMAIL, JWT, PHONE},
    wrapped,
};

/// Emails, JWTs, phone, social security and card numbers, what follows `Bearer`, and the user of a URL.
static PATTERNS: LazyLock<Regex> = LazyLock::new(|| {
    let bearer = r"(?i:\bbearer\s+)(?<bearer>[A-Za-z0-9._~+/=-]{8,})";
    let user = r#"\b[A-Za-z][A-Za-z0-9+.-]*://(?<user>[^\s/?\#"'<>@]+)@"#;
    let numbers = r"\b\d{3}-\d{2}-\d{4}\b|\b(?:\d{4}[ -]){3}\d{4}\b";
    let card = r"(?<card>\b(?:\d{13,19}|\d{4}[ -]\d{6}[ -]\d{4,5})\b)";
    // Digits alone are no phone number unless something says so: ids and times are digits too.
    let said = r"\b(?i:call|called|phone|phones|telephone|tel|mobile|cell|fax|dial|ring|whatsapp|sms|telefon|handy|mobil|anruf)\b[^\d\n]{0,20}?(?<phone>\+?\(?\d(?:[ ().-]{0,2}\d){6,14}\b)";
    let plain = r"\b0[1-9]\d{8,9}\b|\b[6-9]\d{4} \d{5}\b";
    Regex::new(&format!(
        "{JWT}|{bearer}|{user}|{EMAIL}|{card}|{said}|{numbers}|{PHONE}|{plain}"
    ))
    .expect("the patterns are constants")
});

/// A part of a text that is found: where it is, and what is written there unless that is its mask.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) from: usize,
    pub(super) to: usize,
    written: Option<String>,
}

type Span = (usize, usize);

/// `text` with all that is found in it masked.
pub(super) fn free<'t>(masker: &mut Masker, text: &'t str) -> Cow<'t, str> {
    let mut finds = Vec::new();
    if text.contains(['{', '[']) {
        wrapped::documents(masker, text, &mut finds);
    }
    wrapped::urls(masker, text, &mut finds);
    patterns(masker, text, &mut finds);
    if text.contains([':', '=']) {
        pairs::named(masker, text, &mut finds);
    }
    if text.contains("</") {
        markup::elements(masker, text, &mut finds);
    }
    wrapped::runs(masker, text, &mut finds);
    for span in masker.known.find(text) {
        masker.counts.learned += u64::from(!Find::take(&mut finds, text, span).is_empty());
    }
    written(masker, text, finds)
}

/// The name of a member or parameter with what no field is named like masked: patterns, and names of people.
pub(super) fn name<'t>(masker: &mut Masker, text: &'t str) -> Cow<'t, str> {
    let mut finds = Vec::new();
    patterns(masker, text, &mut finds);
    for span in masker.known.find_in_name(text) {
        masker.counts.learned += u64::from(!Find::take(&mut finds, text, span).is_empty());
    }
    written(masker, text, finds)
}

fn patterns(masker: &mut Masker, text: &str, finds: &mut Vec<Find>) {
    if !text
        .bytes()
        .any(|byte| byte.is_ascii_digit() || byte == b'@' || byte == b' ')
    {
        return;
    }
    for found in PATTERNS.captures_iter(text) {
        if let Some(span) = span(&found) {
            masker.counts.patterns += u64::from(!Find::take(finds, text, span).is_empty());
        }
    }
}

/// What of a pattern's find is masked.
fn span(found: &Captures<'_>) -> Option<Span> {
    if let Some(card) = found.name("card")
        && !number::is_card(card.as_str())
    {
        return None;
    }
    let part = ["bearer", "user", "phone"]
        .iter()
        .find_map(|name| found.name(name));
    let part = part.or_else(|| found.get(0))?;
    (!is_date(part.as_str())).then_some((part.start(), part.end()))
}

/// Whether digits in groups are a day: of four, two and two digits, or of two, two and four.
fn is_date(text: &str) -> bool {
    let groups: Vec<usize> = text.split(['.', '-', '/', ' ']).map(str::len).collect();
    matches!(groups.as_slice(), [4, 2, 2] | [2, 2, 4]) && !text.contains('@')
}

fn written<'t>(masker: &mut Masker, text: &'t str, finds: Vec<Find>) -> Cow<'t, str> {
    let (mut masked, mut at) = (String::new(), 0);
    for find in finds {
        let (from, to) = (find.from, find.to);
        if masker.rules.keeps_value(&text[from..to]) {
            continue;
        }
        masked.push_str(&text[at..from]);
        match find.written {
            Some(written) => masked.push_str(&written),
            None => masked.push_str(&masker.image(&text[from..to])),
        }
        at = to;
    }
    if at == 0 || (masked.len() == at && masked == text[..at]) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(masked + &text[at..])
}

impl Find {
    /// A find that is written as `written`.
    pub(super) fn written(from: usize, to: usize, written: String) -> Self {
        Self {
            from,
            to,
            written: Some(written),
        }
    }

    /// Adds, in order, what of a span was not found before, and says what that was.
    pub(super) fn take(finds: &mut Vec<Self>, text: &str, span: Span) -> Vec<Span> {
        let first = finds.partition_point(|known| known.to <= span.0);
        let (mut free, mut from) = (Vec::new(), span.0);
        for known in finds[first..]
            .iter()
            .take_while(|known| known.from < span.1)
        {
            free.extend(words(text, (from, known.from)));
            from = known.to;
        }
        if from == span.0 {
            free.push(span);
        } else {
            free.extend(words(text, (from, span.1)));
        }
        for (from, to) in &free {
            let at = finds.partition_point(|known| known.from < *from);
            let find = Self {
                from: *from,
                to: *to,
                written: None,
            };
            finds.insert(at, find);
        }
        free
    }
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
