//! A rule file, `rehearsal.rules/1`, from its text.
//!
//! **Invariant**: a file of a newer major version is refused and named, not half understood.

use toml::de::DeTable;

use crate::rules::{
    Endpoint, Rules, RulesError, StateReads,
    document::{Document, Section},
    kinds::{rule, template},
};

const FORMAT: &str = "rehearsal.rules/1";

impl Rules {
    /// Reads the rules in `text`; `file` is the name to use in errors.
    ///
    /// # Errors
    /// The first thing wrong with the file: the line, what was found and what was expected.
    pub fn read(file: &str, text: &str) -> Result<Self, RulesError> {
        let document = Document { file, text };
        let root = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            document.error(offset, error.message(), "TOML")
        })?;
        let mut root = Section::new(document, root.get_ref(), 0);
        let format = root.required("format")?;
        if format != FORMAT {
            return Err(root.error_at("format", format!("{format:?}"), format!("{FORMAT:?}")));
        }
        let name = root.required("name")?;
        let mut rules = Vec::new();
        for section in root.sections("rule")? {
            let line = section.line();
            let read = rule(section)?;
            if rules
                .iter()
                .any(|known: &crate::rules::Rule| known.id == read.id)
            {
                return Err(RulesError {
                    file: file.to_owned(),
                    line,
                    found: format!("a second rule with the id {:?}", read.id),
                    expected: "ids that are unique".to_owned(),
                });
            }
            rules.push(read);
        }
        let state = match root.section("state")? {
            Some(section) => Some(state(section)?),
            None => None,
        };
        root.finish()?;
        Ok(Self {
            name,
            rules,
            state,
            today: None,
        })
    }
}

fn state(mut section: Section<'_, '_>) -> Result<StateReads, RulesError> {
    let text = section.required("create")?;
    let Ok(create @ Endpoint::Path { .. }) = Endpoint::parse(&text) else {
        return Err(section.error_at("create", format!("{text:?}"), "`METHOD /path`"));
    };
    let id = section.required("id")?;
    if !id.starts_with('/') {
        return Err(section.error_at("id", format!("{id:?}"), "a JSON pointer like `/id`"));
    }
    let mut sides = Vec::new();
    for key in ["legacy", "candidate"] {
        let read = template(&mut section, key)?.ok_or_else(|| section.missing(key))?;
        if read.variables().collect::<Vec<_>>() != ["id"] {
            let found = format!("{:?}", read.text());
            return Err(section.error_at(key, found, "a path with the variable {id}"));
        }
        sides.push(read);
    }
    let (candidate, legacy) = (sides.remove(1), sides.remove(0));
    section.finish()?;
    Ok(StateReads {
        create,
        id,
        legacy,
        candidate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capture::{Body, Request},
        rules::Side,
    };

    fn check(rule: &str, expect: &str) {
        let text = format!("format = \"rehearsal.rules/1\"\nname = \"t\"\n{rule}");
        let shown = match Rules::read("r.toml", &text) {
            Ok(rules) => format!("{} rules", rules.rules.len()),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expect);
    }

    #[test]
    fn errors_name_line_found_and_expected() {
        check(
            "[[rule]]\nid = \"a\"\nkind = \"ignore\"\nreason = \"r\"\nendpoint = \"*\"\nwhere = \"status\"\nlegcy = 2",
            "r.toml: line 9: found an unknown key `legcy`, expected `legacy`, the nearest spelling",
        );
        check(
            "[[rule]]\nid = \"a\"\nkind = \"ignor\"\nreason = \"r\"\nendpoint = \"*\"",
            "r.toml: line 5: found an unknown kind \"ignor\", expected `ignore`, the nearest spelling",
        );
        check(
            "[[rule]]\nid = \"a\"\nkind = \"ignore\"\nendpoint = \"*\"",
            "r.toml: line 3: found no key `reason`, expected `reason` = ...",
        );
        check(
            "[[rule]]\nid = \"a\"\nkind = \"ignore\"\nreason = \"  \"\nendpoint = \"*\"",
            "r.toml: line 6: found an empty `reason`, expected a text",
        );
        check(
            "x = ",
            "r.toml: line 3: found string values must be quoted, expected literal string, expected TOML",
        );
    }

    #[test]
    fn rules_that_would_forgive_too_much_are_refused() {
        let head = "[[rule]]\nid = \"a\"\nreason = \"r\"\nendpoint = \"*\"\n";
        check(
            &format!("{head}kind = \"map\"\nwhere = \"status\"\nlegacy = 200"),
            "r.toml: line 3: found no key `candidate`, expected `candidate` = ...",
        );
        check(
            &format!("{head}kind = \"error\"\nstatus = 200"),
            "r.toml: line 8: found something else, expected statuses from 400 to 499: two server errors are no match",
        );
        check(
            &format!("{head}kind = \"error\"\nstatus = [404, 503]"),
            "r.toml: line 8: found something else, expected statuses from 400 to 499: two server errors are no match",
        );
        for (legacy, candidate) in [(200, 503), (500, 404)] {
            check(
                &format!(
                    "{head}kind = \"map\"\nwhere = \"status\"\nlegacy = {legacy}\ncandidate = {candidate}"
                ),
                "r.toml: line 8: found `status` with a server error on one side, expected statuses of which none or all are 5xx: a server error is never the same as another answer",
            );
        }
        check(
            &format!("{head}kind = \"map\"\nwhere = \"status\"\nlegacy = 200\ncandidate = 201"),
            "1 rules",
        );
        check(
            &format!("{head}kind = \"map\"\nwhere = \"answer\"\nlegacy = 1\ncandidate = 2"),
            "r.toml: line 8: found `answer`, expected `status`, `header NAME` or `/json/pointer`: two answers are not the same as a whole",
        );
    }

    #[test]
    fn a_given_is_for_fields_and_says_something() {
        let head = "[[rule]]\nid = \"a\"\nreason = \"r\"\nendpoint = \"*\"\nkind = \"ignore\"\n";
        check(
            &format!("{head}where = \"status\"\ngiven = {{ path = \"/a\", legacy = 1 }}"),
            "r.toml: line 9: found `given`, expected `given` in rules about one JSON field only",
        );
        check(
            &format!("{head}where = \"/b\"\ngiven = {{ path = \"/a\" }}"),
            "r.toml: line 9: found no condition, expected `legacy`, `candidate` or both",
        );
        check(
            &format!("{head}where = \"/b\"\ngiven = {{ path = \"/a\", candidat = 1, legacy = 2 }}"),
            "r.toml: line 9: found an unknown key `candidat`, expected `candidate`, the nearest spelling",
        );
        check(
            &format!("{head}where = \"/b\"\ngiven = {{ path = \"/a\", legacy = 2 }}"),
            "1 rules",
        );
    }

    #[test]
    fn other_versions_are_refused() {
        let error = Rules::read("r.toml", "format = \"rehearsal.rules/2\"\nname = \"n\"")
            .expect_err("a newer major");
        assert_eq!(
            error.to_string(),
            "r.toml: line 1: found \"rehearsal.rules/2\", expected \"rehearsal.rules/1\""
        );
    }

    #[test]
    fn requests_are_rewritten_for_their_side_only() {
        let rules = Rules::read(
            "r.toml",
            r#"
format = "rehearsal.rules/1"
name = "t"
[[rule]]
id = "read"
kind = "rewrite"
reason = "moved"
endpoint = "GET /things/{id}"
side = "candidate"
to = "/v1/things/{id}"
set_headers = { accept = "application/json" }
[state]
create = "POST /things"
id = "/id"
legacy = "/things/{id}"
candidate = "/v1/things/{id}"
"#,
        )
        .expect("rules");
        let request = |method: &str, target: &str, body: &'static str| Request {
            method: method.into(),
            target: target.into(),
            version: "1.1".into(),
            headers: vec![("Accept".into(), "*/*".into())],
            body: Body::Whole(body.into()),
        };
        let read = request("GET", "http://old:80/things/a%2F1?full=1", "");
        let rewritten = rules.rewrite(Side::Candidate, &read);
        assert_eq!(rewritten.target, "/v1/things/a%2F1?full=1");
        assert_eq!(
            rewritten.headers,
            vec![("accept".to_owned(), "application/json".to_owned())]
        );
        assert_eq!(rules.rewrite(Side::Legacy, &read).target, read.target);
        assert_eq!(rules.label("GET", "/things/9"), "GET /things/{id}");
        assert_eq!(rules.label("GET", "/other/9"), "GET /other/{id}");
        let create = request("POST", "/things", r#"{"id":"x-1"}"#);
        assert_eq!(rules.entity(&create).as_deref(), Some("x-1"));
        assert_eq!(rules.created(&create).as_deref(), Some("x-1"));
        assert_eq!(rules.created(&read), None);
        assert_eq!(rules.entity(&read).as_deref(), Some("a%2F1"));
    }
}
