//! Differences as data.
//!
//! **Invariant**: a difference's texts are bounded, so a report is, whatever the services answer.

/// A value is shown with at most so many characters.
pub const TEXT_LIMIT: usize = 120;

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The status.
    Status,
    /// A header.
    Header,
    /// A field that legacy has and the candidate lacks.
    Missing,
    /// A field that the candidate has and legacy lacks.
    Extra,
    /// A field of another JSON type.
    Type,
    /// A field with another value.
    Value,
    /// An invented value that is paired with another one elsewhere in the run.
    Binding,
    /// A body that is not JSON, as text.
    Text,
    /// A body that is not text, by its digest.
    Binary,
    /// A body in another character encoding, with a byte order mark or without; or one whose content coding cannot be undone.
    Encoding,
    /// No answer from one side, or no useful one from both.
    Failed,
    /// The comparison itself failed: it proves nothing.
    Comparator,
}

impl DifferenceKind {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Header => "header",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Type => "type",
            Self::Value => "value",
            Self::Binding => "binding",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Encoding => "encoding",
            Self::Failed => "failed",
            Self::Comparator => "comparator",
        }
    }
}

/// One difference that no rule suppressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its kind.
    pub kind: DifferenceKind,
    /// Where: a JSON pointer with array indexes as `*`, a header's name, or nothing for the whole.
    pub path: String,
    /// The exact pointer, where `path` has stars.
    pub exact: Option<String>,
    /// Legacy's value, shortened.
    pub legacy: Option<String>,
    /// The candidate's value, shortened.
    pub candidate: Option<String>,
}

/// What comparing two answers gave. Rules are named by their place in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What no rule suppressed: at most [`Self::LIMIT`], and one of each kind at each further place up to [`Self::PLACES`].
    pub differences: Vec<Difference>,
    /// Whether there was more than that: nobody has seen all of it, so nothing may excuse it.
    pub truncated: bool,
    /// Rules that declared a difference to be none, once for each.
    pub equated: Vec<usize>,
    /// Rules that forgave a difference, once for each.
    pub ignored: Vec<usize>,
    /// Whether an `error` rule let the statuses alone decide.
    pub by_status: bool,
    /// Pairings of invented values that are settled later, and the rule that each is of.
    pub(super) bound: Vec<(u32, Option<usize>)>,
    /// Digests of words that both sides have alike: whether they name the same is settled later.
    pub(super) references: Vec<u64>,
    /// Whether it depends on pairings that are settled later.
    pub(super) second_look: bool,
}

impl Comparison {
    /// More differences than this at the same places say nothing more.
    pub const LIMIT: usize = 64;
    /// No more differences than this are kept of one pair.
    pub const PLACES: usize = 1_024;
}

/// `text` with at most [`TEXT_LIMIT`] characters, on one line.
pub fn shortened(text: &str) -> String {
    let flat = |character: char| {
        if character.is_control() {
            '\u{fffd}'
        } else {
            character
        }
    };
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(TEXT_LIMIT).map(flat).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_on_one_line() {
        assert_eq!(shortened("a\nb"), "a\u{fffd}b");
        let long = shortened(&"é".repeat(500));
        assert_eq!(long.chars().count(), TEXT_LIMIT + 1);
    }
}
