//! The tables of rules about how a value is written: `time`, `normalize`, `absent`, `spelling`, `status` and `binding`.
//!
//! **Invariant**: a rule that could make everything the same by accident is refused: what may differ is always named.

use toml::de::DeValue;

use crate::rules::{
    Absence, Effect, Instants, Normalization, Place, RulesError, Spelling, StatusSet, Within,
    document::{Section, nearest, number},
    instant::{offset, unit_ns},
    kinds::{pattern, place},
};

/// `path`, or `where`: one of the two.
fn somewhere(section: &mut Section<'_, '_>) -> Result<Place, RulesError> {
    match section.string("path")? {
        None => place(section),
        Some(_) => pattern(section, "path").map(Place::Body),
    }
}

pub(super) fn time(section: &mut Section<'_, '_>) -> Result<Effect, RulesError> {
    let place = somewhere(section)?;
    refuse(section, &place)?;
    let within_s = section.number("within_s")?;
    let precision_ns = match section.string("precision")? {
        None => None,
        Some(text) => Some(unit_ns(&text).map_err(|found| {
            section.error_at("precision", found, "a duration like `1s`, `100ms` or `1m`")
        })?),
    };
    if within_s.is_none() && precision_ns.is_none() {
        return Err(section.missing("within_s"));
    }
    let mut offsets = Vec::new();
    for key in ["legacy_offset", "candidate_offset"] {
        offsets.push(match section.string(key)? {
            None => None,
            Some(text) => Some(offset(&text).map_err(|found| {
                section.error_at(key, found, "an offset like `Z`, `+01:00` or `-05:30`")
            })?),
        });
    }
    let epoch_per_s = match section.string("epoch")?.as_deref() {
        None => None,
        Some("s") => Some(1),
        Some("ms") => Some(1_000),
        Some("us") => Some(1_000_000),
        Some("ns") => Some(1_000_000_000),
        Some(other) => {
            let expected = "`s`, `ms`, `us` or `ns`: what a number counts since 1970";
            return Err(section.error_at("epoch", format!("{other:?}"), expected));
        }
    };
    Ok(Effect::Time {
        place,
        instants: Instants {
            within_s: within_s.unwrap_or(0.0),
            precision_ns,
            legacy_offset: offsets[0],
            candidate_offset: offsets[1],
            epoch_per_s,
        },
    })
}

pub(super) fn normalize(section: &mut Section<'_, '_>) -> Result<Effect, RulesError> {
    let place = somewhere(section)?;
    refuse(section, &place)?;
    let pattern = section.required("pattern")?;
    let with = section
        .text("with")?
        .ok_or_else(|| section.missing("with"))?;
    let normalization = Normalization::new(&pattern, &with)
        .map_err(|found| section.error_at("pattern", found, "a regular expression"))?;
    Ok(Effect::Normalize {
        place,
        normalization,
    })
}

pub(super) fn absent(section: &mut Section<'_, '_>) -> Result<Effect, RulesError> {
    let path = pattern(section, "path")?;
    let words = words(section, &["null", "missing", "empty"])?;
    let absence = Absence {
        null: words.contains(&"null"),
        missing: words.contains(&"missing"),
        empty: words.contains(&"empty"),
    };
    if words.len() < 2 {
        let expected = "at least two of `null`, `missing`, `empty`";
        return Err(section.error_at("same", format!("only `{}`", words[0]), expected));
    }
    Ok(Effect::Absent { path, absence })
}

pub(super) fn spelling(section: &mut Section<'_, '_>) -> Result<Effect, RulesError> {
    let place = somewhere(section)?;
    refuse(section, &place)?;
    let words = words(section, &["case", "space", "number"])?;
    Ok(Effect::Spelling {
        place,
        spelling: Spelling {
            case: words.contains(&"case"),
            space: words.contains(&"space"),
            number: words.contains(&"number"),
        },
    })
}

pub(super) fn status(section: &mut Section<'_, '_>) -> Result<Effect, RulesError> {
    let legacy = statuses(section, "legacy")?;
    let candidate = statuses(section, "candidate")?;
    if candidate.span().1 >= 500 && legacy.span().0 < 500 {
        let expected = "statuses below 500: a server error is never the same as another answer (`ignore` forgives it)";
        return Err(section.error_at("candidate", "server errors", expected));
    }
    Ok(Effect::Status { legacy, candidate })
}

pub(super) fn binding(section: &mut Section<'_, '_>, id: &str) -> Result<Effect, RulesError> {
    let place = somewhere(section)?;
    refuse(section, &place)?;
    let within = match section.string("within")? {
        None => None,
        Some(text) => Some(Within::new(&text).map_err(|found| {
            let expected = "a regular expression with one group, which captures the value";
            section.error_at("within", found, expected)
        })?),
    };
    if within.is_none() && matches!(&place, Place::Body(pattern) if pattern.text().ends_with("**"))
    {
        let expected = "a field, or `within`: paired up one to one, all values of all fields could be exchanged";
        return Err(section.error_at("path", "every field", expected));
    }
    let pairing = section.string("pairing")?.unwrap_or_else(|| id.to_owned());
    Ok(Effect::Binding {
        place,
        within,
        pairing,
    })
}

/// These kinds speak of texts in headers, cookies and bodies.
fn refuse(section: &Section<'_, '_>, place: &Place) -> Result<(), RulesError> {
    if !matches!(place, Place::Status | Place::Encoding | Place::Answer) {
        return Ok(());
    }
    let expected = "`header NAME`, `cookie NAME`, `body` or a JSON pointer";
    Err(section.error_at("where", "a place without a text", expected))
}

/// The words of `same`, each one of `known`.
fn words(
    section: &mut Section<'_, '_>,
    known: &[&'static str],
) -> Result<Vec<&'static str>, RulesError> {
    let texts = section.strings("same")?;
    if texts.is_empty() {
        return Err(section.missing("same"));
    }
    let mut words = Vec::new();
    for text in &texts {
        let Some(word) = known.iter().find(|word| *word == text) else {
            let expected = nearest(text, known).map_or_else(
                || format!("some of {}", known.join(", ")),
                |nearest| format!("`{nearest}`, the nearest spelling"),
            );
            return Err(section.error_at("same", format!("{text:?}"), expected));
        };
        if !words.contains(word) {
            words.push(*word);
        }
    }
    Ok(words)
}

fn statuses(section: &mut Section<'_, '_>, key: &'static str) -> Result<StatusSet, RulesError> {
    let expected = "a status or a class, one or several: `404`, \"4xx\" or [200, \"3xx\"]";
    let Some(value) = section.value(key) else {
        return Err(section.missing(key));
    };
    let written = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        other => number(other),
    };
    let texts: Option<Vec<String>> = match value.get_ref() {
        DeValue::Array(items) => items.iter().map(|item| written(item.get_ref())).collect(),
        other => written(other).map(|text| vec![text]),
    };
    let Some(texts) = texts else {
        return Err(section.wrong(key, value, expected));
    };
    StatusSet::parse(texts.iter().map(String::as_str))
        .map_err(|found| section.error_at(key, found, expected))
}
