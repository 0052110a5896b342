//! One rule's table, read by its kind.
//!
//! **Invariant**: a rule that could forgive everything by accident is refused: `map` names both values, `error` only statuses from 400 to 499, and
//! no server error is taken for another answer.

use std::ops::Range;

use toml::de::DeValue;

use crate::{
    json::{Json, Number},
    rules::{
        Effect, Endpoint, Given, Matcher, Pattern, Place, Rule, RulesError, Side, Template, When,
        document::{Section, nearest, number},
        status_value, values,
    },
};

const KINDS: [&str; 15] = [
    "rewrite",
    "map",
    "drop",
    "rename",
    "tolerance",
    "time",
    "normalize",
    "absent",
    "spelling",
    "status",
    "unordered",
    "binding",
    "error",
    "volatile",
    "ignore",
];

/// Reads one `[[rule]]`.
pub(super) fn rule(mut section: Section<'_, '_>) -> Result<Rule, RulesError> {
    let line = section.line();
    let id = section.required("id")?;
    let kind = section.required("kind")?;
    let reason = section.required("reason")?;
    let endpoints = endpoints(&mut section, &kind)?;
    let expires = section.date("expires")?;
    if kind == "rewrite" && expires.is_some() {
        let expected = "no `expires` in a `rewrite`: it suppresses nothing, and without it requests would go elsewhere";
        return Err(section.error_at("expires", "`expires`", expected));
    }
    let effect = effect(&mut section, &kind, &id, &endpoints)?;
    let given = given(&mut section, &effect)?;
    section.finish()?;
    Ok(Rule {
        id,
        reason,
        line,
        expires,
        expired: false,
        endpoints,
        given,
        effect,
    })
}

fn given(section: &mut Section<'_, '_>, effect: &Effect) -> Result<Option<Given>, RulesError> {
    let Some(mut inner) = section.section("given")? else {
        return Ok(None);
    };
    let of_a_field = match effect {
        Effect::Map { place, .. }
        | Effect::Ignore { place, .. }
        | Effect::Time { place, .. }
        | Effect::Normalize { place, .. }
        | Effect::Spelling { place, .. } => matches!(place, Place::Body(_)),
        Effect::Drop { .. } | Effect::Tolerance { .. } | Effect::Absent { .. } => true,
        _ => false,
    };
    if !of_a_field {
        let expected = "`given` in rules about one JSON field only";
        return Err(section.error_at("given", "`given`", expected));
    }
    let path = inner.required("path")?;
    if !path.starts_with('/') || path.contains('*') {
        return Err(inner.error_at("path", format!("{path:?}"), "a JSON pointer without `*`"));
    }
    let when = when(&mut inner)?;
    if when == When::default() {
        return Err(inner.error("no condition", "`legacy`, `candidate` or both"));
    }
    inner.finish()?;
    Ok(Some(Given { path, when }))
}

fn endpoints(section: &mut Section<'_, '_>, kind: &str) -> Result<Vec<Endpoint>, RulesError> {
    let texts = section.strings("endpoint")?;
    if texts.is_empty() {
        return match kind {
            // Headers of the transport mean nothing anywhere.
            "volatile" => Ok(vec![Endpoint::Any]),
            _ => Err(section.missing("endpoint")),
        };
    }
    texts
        .iter()
        .map(|text| {
            Endpoint::parse(text).map_err(|found| {
                section.error_at(
                    "endpoint",
                    found,
                    "`METHOD /path/{id}`, `*`, `state` or `unknown`",
                )
            })
        })
        .collect()
}

fn effect(
    section: &mut Section<'_, '_>,
    kind: &str,
    id: &str,
    endpoints: &[Endpoint],
) -> Result<Effect, RulesError> {
    Ok(match kind {
        "rewrite" => rewrite(section, endpoints)?,
        "map" => {
            let (place, when) = (place(section)?, when(section)?);
            if place == Place::Answer {
                let expected = "`status`, `header NAME` or `/json/pointer`: two answers are not the same as a whole";
                return Err(section.error_at("where", "`answer`", expected));
            }
            for (key, matcher) in [("legacy", &when.legacy), ("candidate", &when.candidate)] {
                if matcher.is_none() {
                    return Err(section.missing(key));
                }
            }
            if place == Place::Status && takes_a_server_error_for_another_answer(&when) {
                let expected = "statuses of which none or all are 5xx: a server error is never the same as another answer";
                return Err(section.error_at(
                    "where",
                    "`status` with a server error on one side",
                    expected,
                ));
            }
            Effect::Map { place, when }
        }
        "drop" => {
            let (side, path) = (side(section)?, pattern(section, "path")?);
            if matches!(path.text(), "/*" | "/**") {
                let expected = "a field: without all of them, an empty answer is like any other";
                return Err(section.error_at("path", "every field", expected));
            }
            Effect::Drop {
                side,
                path,
                when: when(section)?,
            }
        }
        "rename" => rename(section)?,
        "tolerance" => {
            let path = pattern(section, "path")?;
            let (absolute, relative) = (section.number("absolute")?, section.number("relative")?);
            if absolute.is_none() && relative.is_none() {
                return Err(section.missing("absolute"));
            }
            Effect::Tolerance {
                path,
                absolute: absolute.unwrap_or(0.0),
                relative: relative.unwrap_or(0.0),
            }
        }
        "time" => values::time(section)?,
        "normalize" => values::normalize(section)?,
        "absent" => values::absent(section)?,
        "spelling" => values::spelling(section)?,
        "status" => values::status(section)?,
        "unordered" => Effect::Unordered {
            path: pattern(section, "path")?,
            key: section.strings("key")?,
        },
        "binding" => values::binding(section, id)?,
        "error" => Effect::Error {
            statuses: statuses(section)?,
        },
        "volatile" => Effect::Volatile {
            headers: section
                .strings("headers")?
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        },
        "ignore" => Effect::Ignore {
            place: place(section)?,
            when: when(section)?,
        },
        other => {
            let expected = nearest(other, &KINDS).map_or_else(
                || format!("one of {}", KINDS.join(", ")),
                |nearest| format!("`{nearest}`, the nearest spelling"),
            );
            return Err(section.error_at("kind", format!("an unknown kind {other:?}"), expected));
        }
    })
}

fn rewrite(section: &mut Section<'_, '_>, endpoints: &[Endpoint]) -> Result<Effect, RulesError> {
    let side = side(section)?;
    let to = template(section, "to")?;
    let set_headers = match section.section("set_headers")? {
        Some(headers) => headers.texts()?,
        None => Vec::new(),
    };
    if to.is_none() && set_headers.is_empty() {
        return Err(section.missing("to"));
    }
    for endpoint in endpoints {
        let Endpoint::Path { template, .. } = endpoint else {
            return Err(section.error_at("endpoint", "no path", "`METHOD /path/{id}`"));
        };
        let unknown = to
            .iter()
            .flat_map(Template::variables)
            .find(|name| !template.variables().any(|known| known == *name));
        if let Some(name) = unknown {
            let found = format!("a variable {{{name}}}");
            let expected = format!("one of {:?}'s", template.text());
            return Err(section.error_at("to", found, expected));
        }
    }
    Ok(Effect::Rewrite {
        side,
        to,
        set_headers,
    })
}

fn rename(section: &mut Section<'_, '_>) -> Result<Effect, RulesError> {
    let legacy = pattern(section, "path")?;
    if legacy.keys().is_none_or(|keys| keys.is_empty()) {
        return Err(section.error_at(
            "path",
            format!("{:?}", legacy.text()),
            "one field, without `*`",
        ));
    }
    Ok(Effect::Rename {
        legacy,
        candidate: section.required("candidate_key")?,
    })
}

pub(super) fn template(
    section: &mut Section<'_, '_>,
    key: &'static str,
) -> Result<Option<Template>, RulesError> {
    let Some(text) = section.string(key)? else {
        return Ok(None);
    };
    Template::parse(&text)
        .map(Some)
        .map_err(|found| section.error_at(key, found, "a path like `/v1/things/{id}`"))
}

pub(super) fn side(section: &mut Section<'_, '_>) -> Result<Side, RulesError> {
    match section.required("side")?.as_str() {
        "legacy" => Ok(Side::Legacy),
        "candidate" => Ok(Side::Candidate),
        other => Err(section.error_at("side", format!("{other:?}"), "`legacy` or `candidate`")),
    }
}

pub(super) fn pattern(
    section: &mut Section<'_, '_>,
    key: &'static str,
) -> Result<Pattern, RulesError> {
    let text = section.required(key)?;
    Pattern::parse(&text)
        .map_err(|found| section.error_at(key, found, "a JSON pointer like `/items/*/price`"))
}

pub(super) fn place(section: &mut Section<'_, '_>) -> Result<Place, RulesError> {
    let text = section.required("where")?;
    if let Some(name) = text.strip_prefix("header ") {
        return Ok(Place::Header(name.trim().to_ascii_lowercase()));
    }
    if let Some(name) = text.strip_prefix("cookie ") {
        return Ok(Place::Cookie(name.trim().to_owned()));
    }
    match text.as_str() {
        "status" => Ok(Place::Status),
"encoding" => Ok(Place::Encoding),
        "answer" => Ok(Place::Answer),
        "body" => Pattern::parse("/**")
            .map(Place::Body)
            .map_err(|found| section.error_at("where", found, "a JSON pointer")),
        pointer => Pattern::parse(pointer).map(Place::Body).map_err(|found| {
            let known = ["status", "header", "cookie", "body", "encoding", "answer"];
            let word = pointer.split(' ').next().unwrap_or_default();
            let expected = nearest(word, &known).filter(|_| !pointer.contains('/')).map_or_else(
                || {
                    "`status`, `header NAME`, `cookie NAME`, `body`, `encoding`, `answer` or a JSON pointer like `/items/*/price`"
                        .to_owned()
                },
                |nearest| format!("`{nearest}`, the nearest spelling"),
            );
            section.error_at("where", found, expected)
        }),
    }
}

fn statuses(section: &mut Section<'_, '_>) -> Result<Vec<u16>, RulesError> {
    let expected = "statuses from 400 to 499: two server errors are no match";
    let values = match section.value("status") {
        None => return Err(section.missing("status")),
        Some(value) => match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| number(item.get_ref())).collect(),
            other => vec![number(other)],
        },
    };
    let statuses: Option<Vec<u16>> = values
        .into_iter()
        .map(|text| {
            text?
                .parse()
                .ok()
                .filter(|status| (400..500).contains(status))
        })
        .collect();
    statuses
        .filter(|statuses| !statuses.is_empty())
        .ok_or_else(|| section.error_at("status", "something else", expected))
}

fn takes_a_server_error_for_another_answer(when: &When) -> bool {
    let fits = |matcher: &Option<Matcher>, mut statuses: Range<u16>| {
        statuses.any(|status| {
            let value = status_value(status);
            matcher
                .as_ref()
                .is_some_and(|matcher| matcher.fits(Some(&value)))
        })
    };
    let apart = |one, other| fits(one, 500..600) && fits(other, 100..500);
    apart(&when.legacy, &when.candidate) || apart(&when.candidate, &when.legacy)
}

fn when(section: &mut Section<'_, '_>) -> Result<When, RulesError> {
    Ok(When {
        legacy: matcher(section, "legacy")?,
        candidate: matcher(section, "candidate")?,
    })
}

fn matcher(
    section: &mut Section<'_, '_>,
    key: &'static str,
) -> Result<Option<Matcher>, RulesError> {
    let Some(value) = section.value(key) else {
        return Ok(None);
    };
    let expected = "a value, several in an array, { at_least = N }, { starts_with = \"..\" } or { null = true }";
    let fail = |section: &Section<'_, '_>| Err(section.wrong(key, value, expected));
    let matcher = match value.get_ref() {
        DeValue::Array(items) => {
            let values: Option<Vec<_>> = items.iter().map(|item| scalar(item.get_ref())).collect();
            match values {
                Some(values) if !values.is_empty() => Matcher::OneOf(values),
                _ => return fail(section),
            }
        }
        DeValue::Table(_) => {
            let Some(mut inner) = section.section(key)? else {
                return Ok(None);
            };
            let null = inner.value("null").map(|value| value.get_ref().as_bool());
            let matcher = match (
                inner.number("at_least")?,
                inner.string("starts_with")?,
                null,
            ) {
                (Some(limit), None, None) => Matcher::AtLeast(limit),
                (None, Some(prefix), None) => Matcher::StartsWith(prefix),
                (None, None, Some(Some(true))) => Matcher::Null,
                _ => return fail(section),
            };
            inner.finish()?;
            matcher
        }
        other => match scalar(other) {
            Some(value) => Matcher::OneOf(vec![value]),
            None => return fail(section),
        },
    };
    Ok(Some(matcher))
}

fn scalar(value: &DeValue<'_>) -> Option<Json<'static>> {
    match value {
        DeValue::String(text) => Some(Json::String(text.to_string().into())),
        DeValue::Boolean(value) => Some(Json::Bool(*value)),
        other => number(other).map(|text| Json::Number(Number::from_text(text))),
    }
}
