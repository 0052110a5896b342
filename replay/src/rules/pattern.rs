//! Patterns of places in a JSON body: JSON pointers in which `*` is any one step and `**`, at the end, any steps.
//!
//! **Invariant**: a pattern without stars matches exactly the place that the pointer names.

use std::{borrow::Cow, fmt::Write as _};

/// One step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Into an object.
    Key(Cow<'a, str>),
    /// Into an array.
    Index(usize),
}

/// A pattern of places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    steps: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Exactly(String),
    One,
    Rest,
}

impl Pattern {
    /// Reads a pattern; the empty one is the whole body.
    ///
    /// # Errors
    /// For people: what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        if !text.is_empty() {
            let Some(path) = text.strip_prefix('/') else {
                return Err(format!("{text:?} does not begin with `/`"));
            };
            for part in path.split('/') {
                if steps.last() == Some(&Part::Rest) {
                    return Err(format!("{text:?}: `**` has to be the last step"));
                }
                steps.push(match part {
                    "*" => Part::One,
                    "**" => Part::Rest,
                    part => Part::Exactly(part.replace("~1", "/").replace("~0", "~")),
                });
            }
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The place it names, if it names exactly one: its steps, all of them keys.
    pub(crate) fn keys(&self) -> Option<Vec<&str>> {
        self.steps
            .iter()
            .map(|part| match part {
                Part::Exactly(key) => Some(key.as_str()),
                Part::One | Part::Rest => None,
            })
            .collect()
    }

    /// Whether `path` is such a place.
    pub fn matches(&self, path: &[Step<'_>]) -> bool {
        let mut path = path.iter();
        for part in &self.steps {
            let step = path.next();
            match (part, step) {
                (Part::Rest, _) => return true,
                (Part::One, Some(_)) => {}
                (Part::Exactly(wanted), Some(Step::Key(key))) if wanted == key => {}
                (Part::Exactly(wanted), Some(Step::Index(index)))
                    if wanted.parse() == Ok(*index) => {}
                _ => return false,
            }
        }
        path.next().is_none()
    }
}

/// The JSON pointer of a path.
pub(crate) fn pointer(path: &[Step<'_>]) -> String {
    render(path, false)
}

/// The pointer with array indexes replaced by `*`: the same for all items of a list.
pub(crate) fn general_pointer(path: &[Step<'_>]) -> String {
    render(path, true)
}

fn render(path: &[Step<'_>], general: bool) -> String {
    path.iter().fold(String::new(), |mut text, step| {
        match step {
            Step::Key(key) => {
                text.push('/');
                text.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Step::Index(_) if general => text.push_str("/*"),
            Step::Index(index) => {
                let _ = write!(text, "/{index}");
            }
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_places() {
        let path = [
            Step::Key("items".into()),
            Step::Index(3),
            Step::Key("a/b".into()),
        ];
        let check = |pattern: &str, matches: bool| {
            let pattern = Pattern::parse(pattern).expect("a pattern");
            assert_eq!(pattern.matches(&path), matches, "{pattern:?}");
        };
        check("/items/3/a~1b", true);
        check("/items/*/a~1b", true);
        check("/items/**", true);
        check("/**", true);
        check("/items/*", false);
        check("/items/4/a~1b", false);
        check("/items/*/a~1b/c", false);
        check("", false);
        assert_eq!(pointer(&path), "/items/3/a~1b");
        assert_eq!(general_pointer(&path), "/items/*/a~1b");
    }

    #[test]
    fn broken_patterns_are_refused() {
        assert!(Pattern::parse("items").is_err());
        assert!(Pattern::parse("/**/a").is_err());
    }
}
