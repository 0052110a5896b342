//! Path templates (`/appointments/{id}`) and the endpoints that rules name.
//!
//! **Invariant**: a template that matched a path fills back to the same path.

use crate::rules::{Rules, Subject};

/// A path with variables: `{name}` is one segment, `{name...}` at the end is all that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Variable(String),
    Rest(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// For people: what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(format!("{text:?} does not begin with `/`"));
        };
        let parts: Vec<&str> = path.split('/').collect();
        let mut segments: Vec<Segment> = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            let variable = part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'));
            let segment = match variable {
                Some(name) => match name.strip_suffix("...") {
                    Some(name) if at + 1 == parts.len() => Segment::Rest(name.to_owned()),
                    Some(_) => return Err(format!("`{part}` has to be the last segment")),
                    None => Segment::Variable(name.to_owned()),
                },
                None if part.contains(['{', '}']) => {
                    return Err(format!(
                        "{part:?}: a variable is a whole segment, `{{name}}`"
                    ));
                }
                None => Segment::Literal((*part).to_owned()),
            };
            if let Segment::Variable(name) | Segment::Rest(name) = &segment
                && (name.is_empty() || segments.iter().any(|known| known.name() == Some(name)))
            {
                return Err(format!("{text:?}: a variable needs a name of its own"));
            }
            segments.push(segment);
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    /// The variables' values if `path` is of this form.
    pub fn capture<'t, 'p>(&'t self, path: &'p str) -> Option<Vec<(&'t str, &'p str)>> {
        let mut rest = Some(path.strip_prefix('/')?);
        let mut values = Vec::new();
        for segment in &self.segments {
            let text = rest?;
            if let Segment::Rest(name) = segment {
                values.push((name.as_str(), text));
                return Some(values);
            }
            let (part, after) = match text.split_once('/') {
                Some((part, after)) => (part, Some(after)),
                None => (text, None),
            };
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::Variable(name) if !part.is_empty() => values.push((name.as_str(), part)),
                _ => return None,
            }
            rest = after;
        }
        rest.is_none().then_some(values)
    }

    /// Whether `path` is of this form.
    pub fn matches(&self, path: &str) -> bool {
        let Some(mut rest) = path.strip_prefix('/').map(Some) else {
            return false;
        };
        for segment in &self.segments {
            let Some(text) = rest else { return false };
            let (part, after) = match text.split_once('/') {
                Some((part, after)) => (part, Some(after)),
                None => (text, None),
            };
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::Variable(_) if !part.is_empty() => {}
                Segment::Rest(_) => return true,
                _ => return false,
            }
            rest = after;
        }
        rest.is_none()
    }

    /// The path with each variable replaced by its value; `None` if one has no value.
    pub fn fill(&self, values: &[(&str, &str)]) -> Option<String> {
        let mut path = String::with_capacity(self.text.len() + 16);
        for segment in &self.segments {
            path.push('/');
            match segment {
                Segment::Literal(literal) => path.push_str(literal),
                Segment::Variable(name) | Segment::Rest(name) => {
                    let (_, value) = values.iter().find(|(known, _)| known == name)?;
                    path.push_str(value);
                }
            }
        }
        Some(path)
    }
}

impl Segment {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Variable(name) | Self::Rest(name) => Some(name),
        }
    }
}

/// The requests that a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `"*"`: all, the state reads too.
    Any,
    /// `"state"`: the reads of the final state.
    State,
    /// `"unknown"`: requests that no `rewrite` rule speaks of.
    Unknown,
    /// `"GET /path/{id}"`: this method (`*` for any) on this path.
    Path {
        /// The method; `None` for any.
        method: Option<String>,
        /// The path.
        template: Template,
    },
}

impl Endpoint {
    /// Reads an endpoint.
    ///
    /// # Errors
    /// For people: what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "*" => return Ok(Self::Any),
            "state" => return Ok(Self::State),
            "unknown" => return Ok(Self::Unknown),
            _ => {}
        }
        let Some((method, path)) = text.split_once(' ') else {
            return Err(format!(
                "{text:?} is no `METHOD /path`, `*`, `state` or `unknown`"
            ));
        };
        if method != "*"
            && !method
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        {
            return Err(format!("{method:?} is no method"));
        }
        Ok(Self::Path {
            method: (method != "*").then(|| method.to_owned()),
            template: Template::parse(path.trim())?,
        })
    }

    /// Whether it speaks of `subject`.
    pub fn fits(&self, subject: &Subject<'_>, rules: &Rules) -> bool {
        match (self, subject) {
            (Self::Any, _) | (Self::State, Subject::State) => true,
            (Self::Unknown, Subject::Request { method, path }) => !rules.knows(method, path),
            (Self::Path { .. }, Subject::Request { method, path }) => self.covers(method, path),
            (Self::State, Subject::Request { .. })
            | (Self::Unknown | Self::Path { .. }, Subject::State) => false,
        }
    }

    /// Whether it is a path that covers this request.
    pub(crate) fn covers(&self, method: &str, path: &str) -> bool {
        match self {
            Self::Path {
                method: wanted,
                template,
            } => wanted.as_ref().is_none_or(|wanted| wanted == method) && template.matches(path),
            _ => false,
        }
    }
}

/// The template that a path nobody declared most likely has: segments that look like ids become `{id}`. Also the last such id.
pub fn generic_template(path: &str) -> (String, Option<&str>) {
    let mut id = None;
    let mut template = String::with_capacity(path.len());
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            template.push('/');
        }
        if looks_like_an_id(segment) {
            template.push_str("{id}");
            id = Some(segment);
        } else {
            template.push_str(segment);
        }
    }
    (template, id)
}

/// Digits alone (`42`), a word and digits (`a-17`), or a long token with digits in it (a UUID, a digest); not a version (`v1`).
fn looks_like_an_id(segment: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = segment
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let tail = segment.rsplit(['-', '_']).next().unwrap_or_default();
    let long = segment.len() >= 16 && segment.bytes().any(|byte| byte.is_ascii_digit());
    plain && (digits(segment) || (tail.len() < segment.len() && digits(tail)) || long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_whole_paths() {
        let check = |template: &str, path: &str, values: Option<&[(&str, &str)]>| {
            let template = Template::parse(template).expect("a template");
            let captured = template.capture(path);
            assert_eq!(captured.as_deref(), values, "{template:?} on {path}");
            assert_eq!(template.matches(path), values.is_some());
            if let Some(values) = captured {
                assert_eq!(template.fill(&values).as_deref(), Some(path));
            }
        };
        check("/a/{id}", "/a/1", Some(&[("id", "1")]));
        check("/a/{id}", "/a/", None);
        check("/a/{id}", "/a/1/b", None);
        check("/a/{id}", "/a", None);
        check("/a/{id}/b", "/a/1/b", Some(&[("id", "1")]));
        check("/", "/", Some(&[]));
        check("/{rest...}", "/a/b", Some(&[("rest", "a/b")]));
        check("/", "*", None);
    }

    #[test]
    fn broken_templates_are_refused() {
        for text in ["a", "/a{id}", "/{}", "/{a}/{a}", "/{rest...}/b"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        for text in ["GET", "get /a", "every", "GET a"] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_in_undeclared_paths_are_seen() {
        assert_eq!(
            generic_template("/users/42/posts"),
            ("/users/{id}/posts".to_owned(), Some("42"))
        );
        assert_eq!(
            generic_template("/css/main.css"),
            ("/css/main.css".to_owned(), None)
        );
        assert_eq!(
            generic_template("/v1/a-7"),
            ("/v1/{id}".to_owned(), Some("a-7"))
        );
    }
}
