//! TOML read key by key, so that an error names the line, what was found and what was expected.
//!
//! **Invariant**: a key that nobody asked for is an error with the nearest spelling that somebody would have asked for.

use jiff::civil::Date;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Why a rule file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: line {line}: found {found}, expected {expected}")]
pub struct RulesError {
    /// The file as the user named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

/// The file, to name places in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document<'d> {
    pub(super) file: &'d str,
    pub(super) text: &'d str,
}

impl Document<'_> {
    pub(super) fn error(
        &self,
        offset: usize,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> RulesError {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        RulesError {
            file: self.file.to_owned(),
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            found: found.into(),
            expected: expected.into(),
        }
    }
}

/// One table of the file.
#[derive(Debug)]
pub(super) struct Section<'d, 'i> {
    document: Document<'d>,
    table: &'d DeTable<'i>,
    offset: usize,
    asked: Vec<&'static str>,
}

impl<'d, 'i> Section<'d, 'i> {
    pub(super) fn new(document: Document<'d>, table: &'d DeTable<'i>, offset: usize) -> Self {
        Self {
            document,
            table,
            offset,
            asked: Vec::new(),
        }
    }

    /// The line the table begins on.
    pub(super) fn line(&self) -> usize {
        self.document.error(self.offset, "", "").line
    }

    /// An error at the table itself.
    pub(super) fn error(
        &self,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> RulesError {
        self.document.error(self.offset, found, expected)
    }

    /// An error at a key's value.
    pub(super) fn error_at(
        &self,
        key: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> RulesError {
        let offset = self
            .table
            .iter()
            .find(|(known, _)| known.get_ref() == key)
            .map_or(self.offset, |(_, value)| value.span().start);
        self.document.error(offset, found, expected)
    }

    /// The value of `key`, if it is there.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'i>>> {
        self.asked.push(key);
        self.table
            .iter()
            .find(|(known, _)| known.get_ref() == key)
            .map(|(_, value)| value)
    }

    /// The error of a key that has to be there.
    pub(super) fn missing(&self, key: &str) -> RulesError {
        self.error(format!("no key `{key}`"), format!("`{key}` = ..."))
    }

    /// A non-empty string.
    pub(super) fn string(&mut self, key: &'static str) -> Result<Option<String>, RulesError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => Ok(Some(text.to_owned())),
            Some(_) => Err(self.error_at(key, format!("an empty `{key}`"), "a text")),
            None => Err(self.wrong(key, value, "a string")),
        }
    }

    /// A string that may be empty.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, RulesError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(self.wrong(key, value, "a string")),
        }
    }

    /// A non-empty string that has to be there.
    pub(super) fn required(&mut self, key: &'static str) -> Result<String, RulesError> {
        self.string(key)?.ok_or_else(|| self.missing(key))
    }

    /// One string or an array of them, at least one.
    pub(super) fn strings(&mut self, key: &'static str) -> Result<Vec<String>, RulesError> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let expected = "a string or an array of strings";
        let items: Vec<&DeValue<'_>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(Spanned::get_ref).collect(),
            other => vec![other],
        };
        let texts: Option<Vec<String>> = items
            .into_iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect();
        match texts {
            Some(texts) if !texts.is_empty() => Ok(texts),
            _ => Err(self.wrong(key, value, expected)),
        }
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self, key: &'static str) -> Result<Option<f64>, RulesError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        number(value.get_ref())
            .and_then(|text| text.parse::<f64>().ok())
            .filter(|number| number.is_finite() && *number >= 0.0)
            .map(Some)
            .ok_or_else(|| self.wrong(key, value, "a number of at least 0"))
    }

    /// A date without a time: `2027-01-31`.
    pub(super) fn date(&mut self, key: &'static str) -> Result<Option<Date>, RulesError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let date = match value.get_ref() {
            DeValue::Datetime(datetime) if datetime.time.is_none() => datetime.date,
            _ => None,
        };
        let date = date.and_then(|date| {
            let year = i16::try_from(date.year).ok()?;
            let (month, day) = (i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?);
            Date::new(year, month, day).ok()
        });
        date.map(Some)
            .ok_or_else(|| self.wrong(key, value, "a date: 2027-01-31"))
    }

    /// The tables of an array of tables.
    pub(super) fn sections(
        &mut self,
        key: &'static str,
    ) -> Result<Vec<Section<'d, 'i>>, RulesError> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(self.wrong(key, value, &format!("tables: [[{key}]]")));
        };
        items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::Table(table) => Ok(Section::new(self.document, table, item.span().start)),
                _ => Err(self.wrong(key, item, &format!("a table: [[{key}]]"))),
            })
            .collect()
    }

    /// A table.
    pub(super) fn section(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Section<'d, 'i>>, RulesError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::Table(table) => {
                Ok(Some(Section::new(self.document, table, value.span().start)))
            }
            _ => Err(self.wrong(key, value, &format!("a table: [{key}]"))),
        }
    }

    /// The keys and texts of a table of strings.
    pub(super) fn texts(&self) -> Result<Vec<(String, String)>, RulesError> {
        self.table
            .iter()
            .map(|(key, value)| match value.get_ref().as_str() {
                Some(text) => Ok((key.get_ref().to_string(), text.to_owned())),
                None => Err(self.wrong(key.get_ref(), value, "a string")),
            })
            .collect()
    }

    /// The error of a value of the wrong type.
    pub(super) fn wrong(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
    ) -> RulesError {
        let found = match value.get_ref().as_str() {
            Some(text) => format!("`{key}` = {text:?}"),
            None => format!("`{key}` = {}", value.get_ref().type_str()),
        };
        self.document.error(value.span().start, found, expected)
    }

    /// Refuses keys that nobody asked for.
    pub(super) fn finish(self) -> Result<(), RulesError> {
        let Some((key, _)) = self
            .table
            .iter()
            .find(|(key, _)| !self.asked.contains(&key.get_ref().as_ref()))
        else {
            return Ok(());
        };
        let nearest = nearest(key.get_ref(), &self.asked);
        let expected = nearest.map_or_else(
            || format!("one of {}", self.asked.join(", ")),
            |nearest| format!("`{nearest}`, the nearest spelling"),
        );
        Err(self.document.error(
            key.span().start,
            format!("an unknown key `{}`", key.get_ref()),
            expected,
        ))
    }
}

/// The text of a TOML number, in decimal.
pub(super) fn number(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(integer) if integer.radix() == 10 => {
            Some(integer.as_str().trim_start_matches('+').to_owned())
        }
        DeValue::Float(float) => Some(float.as_str().trim_start_matches('+').to_owned()),
        _ => None,
    }
}

/// The known word nearest to `word`, if one is near enough to have been meant.
pub(super) fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), *known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
