//! What may differ between two texts: what a regular expression rewrites, and how words are spelled.
//!
//! **Invariant**: a rewriting that grows past [`LIMIT`] is an error, and an error is a difference: it never makes two texts equal.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use crate::json::{Json, Number};

/// A rewritten text has at most this many bytes.
pub const LIMIT: usize = 16 << 20;

/// A compiled expression has at most this many bytes: a rule is read by people.
const COMPILED: usize = 1 << 20;

/// Expression and replacement.
#[derive(Clone, Debug)]
pub struct Normalization {
    pattern: Regex,
    with: String,
}

/// Which part of a text is the value that is meant: what the expression's only group captures.
#[derive(Clone, Debug)]
pub struct Within(Regex);

/// In what two texts may differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spelling {
    /// Upper and lower case.
    pub case: bool,
    /// Blanks: at both ends, and how many between words.
    pub space: bool,
    /// Whether a number is written as a number or as a text.
    pub number: bool,
}

/// A text became too long to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rewritten text is longer than {LIMIT} bytes")]
pub struct TooLong;

fn compiled(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(COMPILED).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("{pattern:?}, which compiles to more than {limit} bytes")
        }
        // The last line says what is wrong; those before it point at the place.
        error => {
            let told = error.to_string();
            let last = told.lines().last().unwrap_or_default();
            format!("{pattern:?}: {}", last.trim_start_matches("error: "))
        }
    })
}

impl Normalization {
    /// Reads an expression and its replacement (`$1` is what the first group captured).
    ///
    /// # Errors
    /// For people: what is wrong with the expression.
    pub fn new(pattern: &str, with: &str) -> Result<Self, String> {
        let pattern = compiled(pattern)?;
        if pattern.is_match("") {
            return Err(format!(
                "{:?}, which matches nothing at all",
                pattern.as_str()
            ));
        }
        Ok(Self {
            pattern,
            with: with.to_owned(),
        })
    }

    /// `text`, rewritten.
    ///
    /// # Errors
    /// When it becomes too long.
    pub fn apply<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, TooLong> {
        let mut rewritten: Option<String> = None;
        let mut from = 0;
        for captures in self.pattern.captures_iter(text) {
            let Some(whole) = captures.get(0) else { break };
            let rewritten = rewritten.get_or_insert_default();
            rewritten.push_str(&text[from..whole.start()]);
            captures.expand(&self.with, rewritten);
            from = whole.end();
            if rewritten.len() > LIMIT {
                return Err(TooLong);
            }
        }
        Ok(match rewritten {
            None => Cow::Borrowed(text),
            Some(rewritten) => Cow::Owned(rewritten + &text[from..]),
        })
    }
}

impl Within {
    /// Reads an expression with one group.
    ///
    /// # Errors
    /// For people: what is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let pattern = compiled(pattern)?;
        if pattern.captures_len() != 2 {
            let groups = pattern.captures_len() - 1;
            return Err(format!("{:?} with {groups} groups", pattern.as_str()));
        }
        Ok(Self(pattern))
    }

    /// What the group captured, and `text` without it.
    pub fn split<'t>(&self, text: &'t str) -> Option<(&'t str, [&'t str; 2])> {
        let value = self.0.captures(text)?.get(1)?;
        let around = [&text[..value.start()], &text[value.end()..]];
        Some((value.as_str(), around))
    }
}

impl Spelling {
    /// Whether the two are the same but for their spelling.
    pub fn same(self, legacy: &Json<'_>, candidate: &Json<'_>) -> bool {
        match (legacy, candidate) {
            (Json::String(a), Json::String(b)) => self.folded(a) == self.folded(b),
            (Json::String(text), Json::Number(number))
            | (Json::Number(number), Json::String(text)) => {
                self.number && written(text).is_some_and(|other| other == *number)
            }
            _ => false,
        }
    }

    fn folded(self, text: &str) -> Cow<'_, str> {
        let mut folded = Cow::Borrowed(text);
        if self.space {
            folded = Cow::Owned(folded.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        if self.case {
            folded = Cow::Owned(folded.to_lowercase());
        }
        folded
    }
}

/// The number that a text writes, if it writes one as JSON does.
fn written(text: &str) -> Option<Number<'_>> {
    match crate::json::parse(text.as_bytes()) {
        Ok(Json::Number(number)) if text.trim() == text => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_rewritten() {
        let check = |pattern: &str, with: &str, text: &str, expect: &str| {
            let normalization = Normalization::new(pattern, with).expect("an expression");
            assert_eq!(normalization.apply(text).as_deref(), Ok(expect));
        };
        check(
            "[0-9a-f]{8}",
            "ID",
            "job 0123abcd and ffffffff.",
            "job ID and ID.",
        );
        check("(\\w+)@(\\w+)", "$2 at $1", "a@b", "b at a");
        check("x", "y", "abc", "abc");
    }

    #[test]
    fn expressions_that_cannot_be_used_are_refused() {
        let refused = |pattern: &str| Normalization::new(pattern, "").expect_err(pattern);
        assert_eq!(refused("a("), "\"a(\": unclosed group");
        assert!(refused("(a{1000}){1000}").contains("more than"), "size");
        assert!(refused("a*").contains("nothing at all"));
        assert!(Within::new("/things/x").is_err());
        assert!(Within::new("/(a)/(b)").is_err());
    }

    #[test]
    fn a_rewriting_without_end_is_an_error() {
        let normalization = Normalization::new("a", &"b".repeat(1_000)).expect("an expression");
        assert_eq!(normalization.apply(&"a".repeat(100_000)), Err(TooLong));
    }

    #[test]
    fn spelling_is_case_blanks_and_quotes() {
        let string = |text: &'static str| Json::String(text.into());
        let case = Spelling {
            case: true,
            ..Spelling::default()
        };
        assert!(case.same(&string("Straße"), &string("STRAßE")));
        assert!(!case.same(&string("a b"), &string("A  B")));
        let space = Spelling {
            space: true,
            ..Spelling::default()
        };
        assert!(space.same(&string(" a  b"), &string("a b\n")));
        assert!(!space.same(&string("ab"), &string("a b")));
        let number = Spelling {
            number: true,
            ..Spelling::default()
        };
        let one = Json::Number(Number::from_text("1.0"));
        assert!(number.same(&string("1"), &one));
        assert!(!number.same(&string("1 "), &one) && !number.same(&string("x"), &one));
        assert!(!case.same(&string("1"), &one));
    }

    #[test]
    fn a_value_is_found_within_its_text() {
        let within = Within::new("/things/([^/]+)").expect("an expression");
        assert_eq!(
            within.split("/v1/things/a-1/x"),
            Some(("a-1", ["/v1/things/", "/x"]))
        );
        assert_eq!(within.split("/others/1"), None);
    }
}
