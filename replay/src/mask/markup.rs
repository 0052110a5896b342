//! Elements of XML and HTML in text, as far as the names of masked fields go.
//!
//! **Invariant**: all text below an element of a masked field is masked, however deep, in character data as well; tags keep their bytes, and what
//! stands in attributes is the matter of `pairs`.

use std::sync::LazyLock;

use regex::Regex;

use crate::mask::{masker::Masker, text::Find};

static OPENING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"<(?<whole>(?:[\w-]+:)?(?<name>[A-Za-z_][\w.-]*))(?:\s[^<>]*)?>")
        .expect("the pattern is a constant")
});

/// What is no text between an element's tags: tags, the marks of character data, references.
static MARKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"<!\[CDATA\[|\]\]>|<[^<>]*>|&#?\w{1,31};").expect("the pattern is a constant")
});

/// An element that closes later is none: text in which many tags are open is not read again for each.
const LENGTH: usize = 1 << 16;

/// Values that stand within an element of a masked field.
pub(super) fn elements(masker: &mut Masker, text: &str, finds: &mut Vec<Find>) {
    let mut at = 0;
    while let Some(found) = OPENING.captures_at(text, at) {
        let Some(tag) = found.get(0) else { break };
        at = tag.end();
        if tag.as_str().ends_with("/>") || !masker.rules.is_field(&found["name"]) {
            continue;
        }
        let closing = format!("</{}", &found["whole"]);
        let mut limit = text.len().min(at + LENGTH);
        while !text.is_char_boundary(limit) {
            limit -= 1;
        }
        let Some(length) = memchr::memmem::find(&text.as_bytes()[at..limit], closing.as_bytes())
        else {
            continue;
        };
        let end = at + length;
        for (from, to) in pieces(text, at, end) {
            let taken = Find::take(finds, text, (from, to));
            masker.counts_field(!taken.is_empty());
            for (from, to) in taken {
                masker.learn_value(&text[from..to]);
            }
        }
        at = end;
    }
}

/// The text between `from` and `to`, without blanks around it.
fn pieces(text: &str, from: usize, to: usize) -> Vec<(usize, usize)> {
    let content = &text[from..to];
    let (mut pieces, mut at) = (Vec::new(), 0);
    let ends = MARKS
        .find_iter(content)
        .map(|mark| (mark.start(), mark.end()));
    for (end, next) in ends.chain([(content.len(), content.len())]) {
        let piece = &content[at..end];
        let shown = piece.trim_start();
        let begin = from + at + (piece.len() - shown.len());
        let shown = shown.trim_end();
        if shown.chars().any(char::is_alphanumeric) {
            pieces.push((begin, begin + shown.len()));
        }
        at = next;
    }
    pieces
}
